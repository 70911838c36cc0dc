"""One direction of a GRU on each implementation, and the choice among them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from speechgru.gru import compiled, cudnn
from speechgru.gru.cell import GRUCell
from speechgru.gru.fused import fused_gru
from speechgru.gru.portable import portable_directions


@dataclasses.dataclass(frozen=True)
class Frames:
    """The inputs of a call, which all directions of a layer share.

    Args:
        given_BTF: the inputs; frames that are not real hold anything.
        valid_BT: booleans, which frames are real; None if all are.
        lengths_B: real frames a row, if they were given.
        has_mask: whether a mask was given; real frames may then stand anywhere.
    """

    given_BTF: tf.Tensor
    valid_BT: tf.Tensor | None
    lengths_B: tf.Tensor | None
    has_mask: bool

    @classmethod
    def read(cls, inputs: Any, *, dtype: str, lengths: Any = None, mask: Any = None, name: str) -> Frames:
        """Reads the arguments of a call.

        Args:
            inputs: [B, T, F], floats, integers or booleans; padding may hold anything.
            dtype: what the layer computes in; the inputs are cast to it, as `keras.layers.GRU` does with numbers of any
                dtype. (Left as integers, they would make integers of the weights beside them.)
            lengths: [B] integers, real frames a row, or None.
            mask: [B, T] booleans, False at frames to skip, or None; with lengths, both must hold.
            name: the layer's, for the messages.

        Raises:
            ValueError: the inputs are no dense array of numbers, lengths are no integers, a shape is another one, or a
                length is outside 0..T, as far as that is known: in a graph, shapes where they are, and no values.
        """
        inputs_BTF = _read_inputs(inputs, dtype=dtype, name=name)
        valid_BT = None if mask is None else tf.cast(fitted(mask, "mask", inputs_BTF, width=None, name=name), tf.bool)
        lengths_B = None if lengths is None else _read_lengths(lengths, inputs_BTF, name=name)
        if lengths_B is not None:
            in_length_BT = tf.range(tf.shape(inputs_BTF)[1])[tf.newaxis] < lengths_B[:, tf.newaxis]
            valid_BT = in_length_BT if valid_BT is None else valid_BT & in_length_BT
        return cls(inputs_BTF, valid_BT, lengths_B, mask is not None)

    def reversed(self, outputs_BTX: tf.Tensor) -> tf.Tensor:
        """Outputs in the order in which a backward direction computed them.

        With lengths they stay at the beginning of each row, so that its length holds for them too. With a mask real
        frames may stand anywhere, and all of T is reversed, as Keras does; the mask must then be reversed as well.
        """
        if self.lengths_B is None or self.has_mask:
            return outputs_BTX[:, ::-1]
        return tf.reverse_sequence(outputs_BTX, self.lengths_B, seq_axis=1, batch_axis=0)

    @functools.cached_property
    def inputs_BTF(self) -> tf.Tensor:
        """The inputs, zeros at frames that are not real.

        Padding may hold anything; a NaN there would come back through 0 * NaN in the gradient of the weights.
        """
        return zeroed(self.given_BTF, self.valid_BT)

    @functools.cached_property
    def inputs_TBF(self) -> tf.Tensor:
        """The inputs, time-major; made once for two directions."""
        return tf.transpose(self.inputs_BTF, [1, 0, 2])

    @functools.cached_property
    def valid_TB(self) -> tf.Tensor | None:
        """`valid_BT`, time-major."""
        return None if self.valid_BT is None else tf.transpose(self.valid_BT)

    @property
    def batch(self) -> int | tf.Tensor:
        """The number of rows, as an int where it is known."""
        return self.given_BTF.shape[0] or tf.shape(self.given_BTF)[0]


def _read_inputs(inputs: Any, *, dtype: str, name: str) -> tf.Tensor:
    if isinstance(inputs, (tf.RaggedTensor, tf.SparseTensor)):
        kind, way = (
            ("ragged", ", lengths=inputs.row_lengths()") if isinstance(inputs, tf.RaggedTensor) else ("sparse", "")
        )
        dense = "inputs.to_tensor()" if kind == "ragged" else "tf.sparse.to_dense(inputs)"
        raise ValueError(f"{name}: inputs are {kind}; expected a dense tensor [B, T, F]: call it on {dense}{way}.")
    inputs_BTF = tf.convert_to_tensor(inputs)
    if not (inputs_BTF.dtype.is_floating or inputs_BTF.dtype.is_integer or inputs_BTF.dtype.is_bool):
        raise ValueError(f"{name}: inputs are {inputs_BTF.dtype.name}; expected real numbers.")
    return tf.cast(inputs_BTF, dtype)


def _read_lengths(lengths: Any, inputs_BTF: tf.Tensor, *, name: str) -> tf.Tensor:
    lengths_B = tf.convert_to_tensor(lengths)
    if not lengths_B.dtype.is_integer:
        # A float under a 16-bit policy has been rounded by Keras before it comes here: 257 frames would be 256.
        raise ValueError(
            f"{name}: lengths are {lengths_B.dtype.name}; expected integers (keras.Input(shape=(), dtype='int32'))."
        )
    lengths_B = fitted(tf.cast(lengths_B, tf.int32), "lengths", inputs_BTF, width=0, name=name)
    if tf.executing_eagerly() and tf.size(lengths_B) > 0:
        low, high, num_frames = int(tf.reduce_min(lengths_B)), int(tf.reduce_max(lengths_B)), inputs_BTF.shape[1]
        if low < 0 or high > num_frames:
            raise ValueError(
                f"{name}: lengths from {low} to {high} for inputs of {num_frames} frames; "
                "expected 0 <= length <= frames. Lengths count the frames of this layer's input."
            )
    return lengths_B


def fitted(tensor: Any, what: str, inputs_BTF: tf.Tensor, *, width: int | None, name: str) -> tf.Tensor:
    """What comes beside the inputs of a call, with one row for each of theirs.

    One row for all would be repeated in silence, and code that is compiled reads beyond the end of what is too short.

    Args:
        tensor: [B], [B, T] or [B, width].
        what: what it is called.
        inputs_BTF: the inputs.
        width: numbers a row; 0 for a tensor [B], None for one number a frame.
        name: the layer's.

    Raises:
        ValueError: its shape is another one, as far as shapes are known.
    """
    tensor = tf.convert_to_tensor(tensor)
    batch, num_frames = inputs_BTF.shape[:2]
    beside = [] if width == 0 else [num_frames if width is None else width]
    expected = tf.TensorShape([batch, *beside])
    if not tensor.shape.is_compatible_with(expected):
        meaning = {0: "[B]", None: "[B, T]"}.get(width, "[B, units]")
        hint = " Lengths are passed by keyword: lengths=..." if what == "initial_state" else ""
        raise ValueError(
            f"{name}: {what} of shape {tuple(tensor.shape)} beside inputs of shape {tuple(inputs_BTF.shape)}; "
            f"expected {tuple(expected)}, {meaning}.{hint}"
        )
    if expected.is_fully_defined():
        # A caller's tensor may not know its shape; loops need one that stays as it is from turn to turn.
        tensor.set_shape(expected)
        return tensor
    rows, frames = tf.unstack(tf.shape(inputs_BTF)[:2])
    sizes = [rows] if width == 0 else [rows, frames if width is None else width]
    # The reshape checks the sizes when the graph runs. From a state of one row TensorFlow would conclude that there is
    # one row, and a loop would give back more; the slice, of everything, ends that.
    return tf.slice(tf.reshape(tensor, sizes), [0] * len(sizes), sizes)


def zeroed(tensor_BTX: tf.Tensor, valid_BT: tf.Tensor | None) -> tf.Tensor:
    """Zeros at frames that are not real, whatever was there; a product with the mask would let NaN through."""
    if valid_BT is None:
        return tensor_BTX
    return tf.where(valid_BT[:, :, tf.newaxis], tensor_BTX, tf.zeros([], tensor_BTX.dtype))


@dataclasses.dataclass(frozen=True)
class Direction:
    """One direction of one call.

    Args:
        cell: its weights and arguments.
        backwards: whether it starts at the last real frame.
        initial_state_BU: the state before the first frame that it processes, in the dtype of the variables.
        training: whether dropout is active, and a backward pass likely.
        recompute: "fused" only: keep the states alone for the backward pass.
    """

    cell: GRUCell
    backwards: bool
    initial_state_BU: tf.Tensor
    training: bool
    recompute: bool = False


def choose(asked: str, cell: GRUCell, *, has_mask: bool, recompute: bool = False) -> tuple[str, str]:
    """Resolves an `implementation` argument to the name of one that runs here, and the reason.

    Args:
        asked: the argument.
        cell: its arguments decide what can run.
        has_mask: whether a call has a mask, as against lengths or nothing.
        recompute: see `GRU`; only "fused" has it.

    Raises:
        ValueError: "cudnn" or "compiled" was asked for and cannot run.
    """
    obstacles: dict[str, Callable[[], str | None]] = {
        "cudnn": lambda: cudnn.obstacle(
            reset_after=cell.reset_after,
            dtype=_cudnn_dtype(cell),
            recurrent_dropout=cell.recurrent_dropout,
            has_mask=has_mask,
        ),
        "compiled": lambda: compiled.obstacle(
            reset_after=cell.reset_after,
            compute_dtype=cell.dtype_policy.compute_dtype,
            variable_dtype=cell.variable_dtype,
        ),
    }
    if asked in obstacles and (obstacle := obstacles[asked]()):
        raise ValueError(f"implementation={asked!r} cannot run: {obstacle}. Use 'auto', or remove the cause.")
    if asked != "auto":
        return asked, "asked for by name"
    no_cudnn = obstacles["cudnn"]()
    if not no_cudnn:
        return "cudnn", "a GPU is present and the arguments allow it"
    no_compiled = "recompute is asked for" if recompute else obstacles["compiled"]()
    if not no_compiled:
        return "compiled", f"not 'cudnn', because {no_cudnn}"
    return "fused", f"not 'cudnn', because {no_cudnn}; not 'compiled', because {no_compiled}"


def run(name: str, frames: Frames, directions: Sequence[Direction]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Runs the directions of a layer with the implementation of a name, one of `IMPLEMENTATIONS` but "auto".

    Returns:
        outputs_BTY aligned with the inputs, the directions beside each other, 0 at frames that are not valid; each
        direction's final state, after the last valid frame that was processed.
    """
    if name == "compiled":
        return _compiled(frames, directions)
    if name == "portable" and frames.inputs_BTF.shape[0] == 1 and not any(one.training for one in directions):
        return _portable_alone(frames, directions)
    outputs, states = zip(*(_ONE_DIRECTION[name](frames, direction) for direction in directions), strict=True)
    return outputs[0] if len(outputs) == 1 else tf.concat(outputs, axis=-1), list(states)


def _compiled(frames: Frames, directions: Sequence[Direction]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    if len(directions) > 1 and directions[0].training and directions[0].cell.dropout:
        # Dropout gives each direction inputs of its own.
        parts = [_compiled(frames, [direction]) for direction in directions]
        return tf.concat([outputs for outputs, _ in parts], axis=-1), [state for _, (state,) in parts]
    masks = [_dropout_masks(frames, direction) for direction in directions]
    cells = [direction.cell for direction in directions]
    # Variables are read here, once; see `_common`.
    weights = [[tf.convert_to_tensor(weight) for weight in cell.weights] for cell in cells]
    input_mask_BF = masks[0][0]
    return compiled.compiled_gru(
        # Its code passes over frames that are not real, whatever they hold: zeros would be two more passes.
        frames.given_BTF if input_mask_BF is None else frames.given_BTF * input_mask_BF[:, tf.newaxis],
        initial_states_BU=[direction.initial_state_BU for direction in directions],
        kernels_FG=[kernel for kernel, *_ in weights],
        recurrent_kernels_UG=[recurrent for _, recurrent, *_ in weights],
        biases_2G=[bias[0] if bias else None for _, _, *bias in weights],
        recurrent_masks_BU=[state for _, state in masks],
        backwards=[direction.backwards for direction in directions],
        valid_BT=frames.valid_BT,
        update_gate=cells[0].update_gate,
        # Outside training nothing is kept for a backward pass; should one come, it runs forward again.
        keep=bool(directions[0].training),
    )


def _fused(frames: Frames, direction: Direction) -> tuple[tf.Tensor, tf.Tensor]:
    cell, before_BU = direction.cell, direction.initial_state_BU
    input_mask_BF, state_mask_BU = _dropout_masks(frames, direction)
    states_TBU = fused_gru(
        frames.inputs_TBF if input_mask_BF is None else frames.inputs_TBF * input_mask_BF,
        valid_TB=frames.valid_TB,
        recurrent_mask_BU=state_mask_BU,
        reset_after=cell.reset_after,
        # Outside training nothing is kept for a backward pass; should one come, it computes the gates again.
        recompute=direction.recompute or not direction.training,
        **_common(direction),
    )
    # The initial state stands before the others, so that there is a last one where there are no frames.
    edge_1BU = states_TBU[:1] if direction.backwards else states_TBU[-1:]
    final_BU = tf.concat([before_BU[tf.newaxis], edge_1BU], axis=0)[-1]
    return zeroed(tf.transpose(states_TBU, [1, 0, 2]), frames.valid_BT), final_BU


def _portable(frames: Frames, direction: Direction) -> tuple[tf.Tensor, tf.Tensor]:
    input_mask_BF, state_mask_BU = _dropout_masks(frames, direction)
    arguments = _portable_arguments(frames, direction) | {"inputs_BTF": _with_dropout(frames, input_mask_BF)}
    (outputs_BTU,) = portable_directions([arguments], recurrent_mask_BU=state_mask_BU)
    return zeroed(outputs_BTU, frames.valid_BT), _last_of_portable(outputs_BTU, direction)


def _portable_alone(frames: Frames, directions: Sequence[Direction]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The directions of one utterance outside training, which may share a loop."""
    outputs = portable_directions([_portable_arguments(frames, direction) for direction in directions])
    states = [_last_of_portable(*pair) for pair in zip(outputs, directions, strict=True)]
    outputs_BTY = outputs[0] if len(outputs) == 1 else tf.concat(outputs, axis=-1)
    return zeroed(outputs_BTY, frames.valid_BT), states


def _portable_arguments(frames: Frames, direction: Direction) -> dict[str, Any]:
    return {
        "inputs_BTF": frames.inputs_BTF,
        "valid_BT": frames.valid_BT,
        "reset_after": direction.cell.reset_after,
        **_common(direction),
    }


def _last_of_portable(outputs_BTU: tf.Tensor, direction: Direction) -> tf.Tensor:
    before_BU = direction.initial_state_BU
    edge_B1U = outputs_BTU[:, :1] if direction.backwards else outputs_BTU[:, -1:]
    return tf.concat([before_BU[:, tf.newaxis], edge_B1U], axis=1)[:, -1]


def _cudnn(frames: Frames, direction: Direction) -> tuple[tf.Tensor, tf.Tensor]:
    before_BU, lengths_B = direction.initial_state_BU, frames.lengths_B
    input_mask_BF, _ = _dropout_masks(frames, direction)
    outputs_BTU, final_BU = cudnn.cudnn_gru(
        _with_dropout(frames, input_mask_BF),
        dtype=_cudnn_dtype(direction.cell),
        lengths_B=lengths_B,
        **_common(direction),
    )
    if lengths_B is not None:
        # A row of length 0 was run over one frame of padding, see `cudnn_gru`.
        final_BU = tf.where((lengths_B > 0)[:, tf.newaxis], tf.cast(final_BU, before_BU.dtype), before_BU)
    return zeroed(outputs_BTU, frames.valid_BT), final_BU


def _reference(frames: Frames, direction: Direction) -> tuple[tf.Tensor, tf.Tensor]:
    """As Keras runs it: `keras.layers.RNN` over the cell, which draws its own dropout masks there."""
    rnn = keras.layers.RNN(
        direction.cell,
        return_sequences=True,
        return_state=True,
        go_backwards=direction.backwards,
        zero_output_for_mask=True,
        dtype=direction.cell.variable_dtype,
    )
    outputs_BTU, final_BU = rnn(
        frames.inputs_BTF,
        initial_state=direction.initial_state_BU,
        mask=frames.valid_BT,
        training=bool(direction.training),
    )
    return outputs_BTU[:, ::-1] if direction.backwards else outputs_BTU, final_BU


_ONE_DIRECTION: dict[str, Callable[[Frames, Direction], tuple[tf.Tensor, tf.Tensor]]] = {
    "fused": _fused,
    "cudnn": _cudnn,
    "portable": _portable,
    "reference": _reference,
}
#: What a layer's `implementation` may be.
IMPLEMENTATIONS = ("auto", "compiled", *_ONE_DIRECTION)


def _dropout_masks(frames: Frames, direction: Direction) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """The masks of the inputs [B, F] and of the state [B, U], None where there is no such dropout."""
    cell = direction.cell
    input_mask_BF = state_mask_BU = None
    if direction.training and cell.dropout:
        inputs_BTF = frames.given_BTF
        input_mask_BF = cell.get_dropout_mask(tf.ones(tf.shape(inputs_BTF)[::2], inputs_BTF.dtype))
    if direction.training and cell.recurrent_dropout:
        state_mask_BU = cell.get_recurrent_dropout_mask(direction.initial_state_BU)
    # The cell keeps a mask until the sequence ends, which here is at once: the next call draws anew.
    cell.reset_dropout_mask()
    cell.reset_recurrent_dropout_mask()
    return input_mask_BF, state_mask_BU


def _with_dropout(frames: Frames, input_mask_BF: tf.Tensor | None) -> tf.Tensor:
    return frames.inputs_BTF if input_mask_BF is None else frames.inputs_BTF * input_mask_BF[:, tf.newaxis]


def _common(direction: Direction) -> dict[str, Any]:
    """The arguments that `fused_gru`, `portable_directions` and `cudnn_gru` share."""
    cell = direction.cell
    # Variables are read here, outside every loop: TFLite's converter ends the process at a read inside one.
    kernel_FG, recurrent_kernel_UG, *bias = (tf.convert_to_tensor(weight) for weight in cell.weights)
    bias = tf.unstack(bias[0]) if bias and cell.reset_after else bias
    input_bias_G, recurrent_bias_G = (*bias, None, None)[:2]
    return {
        "initial_state_BU": direction.initial_state_BU,
        "kernel_FG": kernel_FG,
        "recurrent_kernel_UG": recurrent_kernel_UG,
        "input_bias_G": input_bias_G,
        "recurrent_bias_G": recurrent_bias_G,
        "update_gate": cell.update_gate,
        "backwards": direction.backwards,
    }


def _cudnn_dtype(cell: GRUCell) -> str:
    return cudnn.product_dtype(compute_dtype=cell.dtype_policy.compute_dtype, variable_dtype=cell.variable_dtype)
