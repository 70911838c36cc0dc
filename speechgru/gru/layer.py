"""GRU and BiGRU: sequence layers over `GRUCell`, with four implementations of the same function."""

import inspect

import keras
import tensorflow as tf

from speechgru.gru import cudnn
from speechgru.gru.cell import GRUCell
from speechgru.gru.fused import fused_gru
from speechgru.gru.portable import portable_gru

IMPLEMENTATIONS = ("auto", "fused", "cudnn", "portable", "reference")
MERGE_MODES = ("concat", "sum", "ave", "mul", None)
_CELL_ARGUMENTS = tuple(
    name
    for name, parameter in inspect.signature(GRUCell.__init__).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
)


class _Sequence(keras.layers.Layer):
    """What GRU and BiGRU share: arguments, validity of frames, and one direction on each implementation."""

    def __init__(
        self,
        units,
        *,
        return_sequences=True,
        return_state=False,
        implementation="auto",
        recompute=False,
        **kwargs,
    ):
        if implementation not in IMPLEMENTATIONS:
            raise ValueError(f"implementation is {implementation!r}; expected one of {IMPLEMENTATIONS}.")
        self._cell_arguments = {name: kwargs.pop(name) for name in _CELL_ARGUMENTS if name in kwargs}
        super().__init__(**kwargs)
        self.units = units
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.implementation = implementation
        self.recompute = recompute
        self.supports_masking = True

    def _make_cell(self, name, seed_offset=0):
        arguments = dict(self._cell_arguments)
        if arguments.get("seed") is not None:
            arguments["seed"] += seed_offset
        return GRUCell(self.units, **arguments, dtype=self.dtype_policy, name=name)

    @property
    def cells(self):
        """The cells, in the order of the weights."""
        raise NotImplementedError

    def build(self, input_shape):
        for cell in self.cells:
            cell.build(input_shape)
        self.built = True

    def explain(self, *, has_mask=False):
        """Says which implementation a call takes here, and why, in one sentence.

        Args:
            has_mask: whether the call is given a mask (as against lengths, or nothing).
        """
        name, reason = self._choose(has_mask)
        return f"implementation={self.implementation!r} runs {name!r}: {reason}."

    def _choose(self, has_mask):
        if self.implementation not in ("auto", "cudnn"):
            return self.implementation, "asked for by name"
        cell = self.cells[0]
        obstacle = cudnn.obstacle(
            reset_after=cell.reset_after,
            dtype=self._cudnn_dtype,
            recurrent_dropout=cell.recurrent_dropout,
            has_mask=has_mask,
        )
        if self.implementation == "cudnn":
            if obstacle:
                raise ValueError(f"implementation='cudnn' cannot run: {obstacle}. Use 'auto', or remove the cause.")
            return "cudnn", "asked for by name"
        if obstacle:
            return "fused", f"not 'cudnn', because {obstacle}"
        return "cudnn", "a GPU is present and the arguments allow it"

    @property
    def _cudnn_dtype(self):
        return cudnn.product_dtype(compute_dtype=self.compute_dtype, variable_dtype=self.variable_dtype)

    def _valid(self, inputs_BTF, lengths_B, mask_BT):
        """Booleans [B, T]: which frames are real; None if all are. And the lengths as a tensor or None."""
        valid_BT = None if mask_BT is None else tf.cast(mask_BT, tf.bool)
        if lengths_B is None:
            return valid_BT, None
        lengths_B = tf.convert_to_tensor(lengths_B)
        num_frames = tf.shape(inputs_BTF)[1]
        if tf.executing_eagerly() and tf.size(lengths_B) > 0:
            low, high = int(tf.reduce_min(lengths_B)), int(tf.reduce_max(lengths_B))
            if low < 0 or high > int(num_frames):
                raise ValueError(
                    f"{self.name}: lengths from {low} to {high} for inputs of {int(num_frames)} frames; "
                    "expected 0 <= length <= frames. Lengths count the frames of this layer's input."
                )
        in_length_BT = tf.range(num_frames, dtype=lengths_B.dtype)[tf.newaxis] < lengths_B[:, tf.newaxis]
        return in_length_BT if valid_BT is None else valid_BT & in_length_BT, lengths_B

    def _run(self, runs, inputs_BTF, *, lengths_B, mask_BT, initial_states, training):
        """Runs directions over the same inputs.

        Args:
            runs: [(cell, backwards), ...].

        Returns:
            [(outputs_BTU aligned with the inputs, final_state_BU), ...]; outputs are 0 at frames that are not valid.
        """
        name, _ = self._choose(mask_BT is not None)
        valid_BT, lengths_B = self._valid(inputs_BTF, lengths_B, mask_BT)
        if valid_BT is not None:
            # Padding may hold anything; a NaN there would come back through 0 * NaN in the gradient of the weights.
            inputs_BTF = tf.where(valid_BT[:, :, tf.newaxis], inputs_BTF, tf.zeros([], inputs_BTF.dtype))
        batch = inputs_BTF.shape[0] or tf.shape(inputs_BTF)[0]
        if initial_states is None:
            initial_states = [None] * len(runs)
        initial_states = [
            tf.zeros([batch, self.units], self.variable_dtype) if state is None else tf.cast(state, self.variable_dtype)
            for state in initial_states
        ]
        if inputs_BTF.shape[0] is not None:
            for state in initial_states:
                state.set_shape([inputs_BTF.shape[0], self.units])
        time_major = None
        if name == "fused":
            # Two directions without dropout share one transposed copy.
            time_major = (
                tf.transpose(inputs_BTF, [1, 0, 2]),
                None if valid_BT is None else tf.transpose(valid_BT),
            )
        results = []
        for (cell, backwards), state_BU in zip(runs, initial_states, strict=True):
            if name == "reference":
                outputs_BTU, final_BU = self._reference(cell, backwards, inputs_BTF, valid_BT, state_BU, training)
            else:
                outputs_BTU, final_BU = self._direct(
                    name, cell, backwards, inputs_BTF, time_major, valid_BT, lengths_B, state_BU, training
                )
            results.append(tuple(tf.cast(result, self.compute_dtype) for result in (outputs_BTU, final_BU)))
        return results

    def run_direction(self, cell, inputs, *, backwards=False, lengths=None, initial_state=None, training=False):
        """One direction alone: (outputs_BTU aligned with the inputs, final_state_BU).

        Args:
            cell: one of `cells`.
            inputs: [B, T, F].
            backwards: whether it starts at the last real frame; outputs stay in the order of time.
            lengths: [B] integers, as in a call.
            initial_state: [B, U]; zeros where None.
            training: whether dropout is active.
        """
        ((outputs_BTU, final_BU),) = self._run(
            [(cell, backwards)],
            inputs,
            lengths_B=lengths,
            mask_BT=None,
            initial_states=[initial_state],
            training=training,
        )
        return outputs_BTU, final_BU

    def _direct(self, name, cell, backwards, inputs_BTF, time_major, valid_BT, lengths_B, state_BU, training):
        """One direction on "fused", "portable" or "cudnn"."""
        input_mask_BF = state_mask_BU = None
        if training and cell.dropout:
            input_mask_BF = cell.get_dropout_mask(tf.ones(tf.shape(inputs_BTF)[::2], inputs_BTF.dtype))
        if training and cell.recurrent_dropout:
            state_mask_BU = cell.get_recurrent_dropout_mask(state_BU)
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()
        # Variables are read here, outside every loop: TFLite's converter needs that (FACTS: a read inside ends it).
        kernel_FG, recurrent_kernel_UG, *bias = (tf.convert_to_tensor(weight) for weight in cell.weights)
        bias = tf.unstack(bias[0]) if bias and cell.reset_after else bias
        input_bias_G, recurrent_bias_G = (*bias, None, None)[:2]
        common = {
            "initial_state_BU": state_BU,
            "kernel_FG": kernel_FG,
            "recurrent_kernel_UG": recurrent_kernel_UG,
            "input_bias_G": input_bias_G,
            "recurrent_bias_G": recurrent_bias_G,
            "update_gate": cell.update_gate,
            "backwards": backwards,
        }
        if input_mask_BF is not None:
            inputs_BTF = inputs_BTF * input_mask_BF[:, tf.newaxis]
        if name == "cudnn":
            outputs_BTU, final_BU = cudnn.cudnn_gru(inputs_BTF, dtype=self._cudnn_dtype, lengths_B=lengths_B, **common)
            if lengths_B is not None:
                final_BU = tf.where((lengths_B > 0)[:, tf.newaxis], tf.cast(final_BU, state_BU.dtype), state_BU)
        elif name == "fused":
            inputs_TBF, valid_TB = time_major
            if input_mask_BF is not None:
                inputs_TBF = inputs_TBF * input_mask_BF
            states_TBU = fused_gru(
                inputs_TBF,
                valid_TB=valid_TB,
                recurrent_mask_BU=state_mask_BU,
                reset_after=cell.reset_after,
                # Outside training nothing is kept for a backward pass; should one come, it computes the gates again.
                recompute=self.recompute or not training,
                **common,
            )
            final_BU = _last(states_TBU, state_BU, backwards)
            outputs_BTU = tf.transpose(states_TBU, [1, 0, 2])
        else:
            outputs_BTU = portable_gru(
                inputs_BTF,
                valid_BT=valid_BT,
                recurrent_mask_BU=state_mask_BU,
                reset_after=cell.reset_after,
                **common,
            )
            edge = outputs_BTU[:, :1] if backwards else outputs_BTU[:, -1:]
            final_BU = tf.concat([state_BU[:, tf.newaxis], edge], axis=1)[:, -1]
        if valid_BT is not None:
            outputs_BTU = tf.where(valid_BT[:, :, tf.newaxis], outputs_BTU, tf.zeros([], outputs_BTU.dtype))
        return outputs_BTU, final_BU

    def _reference(self, cell, backwards, inputs_BTF, valid_BT, state_BU, training):
        """One direction as Keras runs it: `keras.layers.RNN` over the cell."""
        rnn = keras.layers.RNN(
            cell,
            return_sequences=True,
            return_state=True,
            go_backwards=backwards,
            zero_output_for_mask=True,
            dtype=self.variable_dtype,
        )
        outputs_BTU, final_BU = rnn(inputs_BTF, initial_state=state_BU, mask=valid_BT, training=bool(training))
        return outputs_BTU[:, ::-1] if backwards else outputs_BTU, final_BU

    def _last_output(self, final_BU, valid_BT):
        """The output of `return_sequences=False`: the final state, zeros for a row without a real frame."""
        if valid_BT is None:
            return final_BU
        return tf.where(tf.reduce_any(valid_BT, axis=1, keepdims=True), final_BU, tf.zeros([], final_BU.dtype))

    def compute_mask(self, inputs, mask=None):
        del inputs
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        output_mask = mask if self.return_sequences else None
        return [output_mask] + [None] * len(self.cells) if self.return_state else output_mask

    def get_config(self):
        cell_config = self.cells[0].get_config()
        return {
            **super().get_config(),
            "units": self.units,
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "implementation": self.implementation,
            "recompute": self.recompute,
            **{name: cell_config[name] for name in _CELL_ARGUMENTS},
        }


@keras.saving.register_keras_serializable(package="speechgru")
class GRU(_Sequence):
    """A GRU over sequences, `(inputs_BTF, lengths_B) -> outputs_BTU`. Equations, weights and gates: `GRUCell`.

    The implementations compute the same function over the same weights:

        "fused"      for CPUs: block-wise loop and hand-derived backward pass (`fused`); differentiable once
        "cudnn"      TensorFlow's cuDNN operation; the arguments and a GPU must allow it
        "portable"   converts to TFLite with built-in operations only, at batch 1 and dynamic time
        "reference"  `keras.layers.RNN` over the cell: slow, differentiable any number of times
        "auto"       "cudnn" where it can run, else "fused"; `explain()` says which and why

    `auto` looks for a GPU when the layer is called, hence when a graph is traced: a graph traced beside a GPU does not
    load without one, and "fused" does not go into a SavedModel with its gradient. Build a model with
    implementation="portable" over the same weights for export.

    Frames beyond a row's length, and frames masked out, do not change the state and have outputs 0, whatever they hold.
    A row of length 0 has outputs 0, its initial state as final state, and no gradient.

    Under a mixed policy (`mixed_bfloat16`, `mixed_float16`) products have 16-bit operands, and the state stays float32
    from the first frame to the last (see `GRUCell`); outputs and the final state are given in the compute dtype.
    "cudnn" runs mixed_bfloat16 in float32, and keeps the state in float16 under mixed_float16.

    One step, for streaming, is a call over one frame (or a few) with the state carried along:

        layer = GRU(units, return_state=True)
        output_B1U, state_BU = layer(frame_B1F, initial_state=state_BU)

    Args:
        units: width of the state.
        return_sequences: whether to return the output of every frame, or of the last real one. (Keras: False.)
        return_state: whether to return the final state as well.
        go_backwards: process from the last frame to the first and return outputs in that order, as Keras does.
        implementation: see above.
        recompute: "fused" only: keep the states alone for the backward pass (less memory, more time). Outside training
            it is always so.
        **kwargs: the keyword arguments of `GRUCell` (reset_after, update_gate, use_bias, dropout, recurrent_dropout,
            seed, initializers, ...) and of `keras.layers.Layer`.

    Call arguments:
        inputs: [B, T, F].
        lengths: [B] integers, real frames a row, 0 <= length <= T; they are checked where they are known (eagerly).
        mask: [B, T] booleans, False at frames to skip; together with lengths, both must hold.
        initial_state: [B, U]; zeros where None.
        training: whether dropout is active.

    Raises:
        ValueError: an argument is out of range, or implementation="cudnn" cannot run.
        NotImplementedError: "fused" is differentiated twice.

    Sources: see `GRUCell`; Appleyard et al. 2016, arXiv:1604.01946 (products hoisted out of the loop).
    """

    def __init__(self, units, *, go_backwards=False, **kwargs):
        super().__init__(units, **kwargs)
        self.go_backwards = go_backwards
        self.cell = self._make_cell("cell")

    @property
    def cells(self):
        return [self.cell]

    def call(self, inputs, lengths=None, mask=None, initial_state=None, training=False):
        if isinstance(initial_state, (list, tuple)):
            (initial_state,) = initial_state
        ((outputs_BTU, final_BU),) = self._run(
            [(self.cell, self.go_backwards)],
            inputs,
            lengths_B=lengths,
            mask_BT=mask,
            initial_states=[initial_state],
            training=training,
        )
        if not self.return_sequences:
            outputs = self._last_output(final_BU, self._valid(inputs, lengths, mask)[0])
        else:
            outputs = outputs_BTU[:, ::-1] if self.go_backwards else outputs_BTU
        return (outputs, final_BU) if self.return_state else outputs

    def compute_output_shape(self, input_shape):
        batch, num_frames = input_shape[0], input_shape[1]
        outputs = (batch, num_frames, self.units) if self.return_sequences else (batch, self.units)
        return (outputs, (batch, self.units)) if self.return_state else outputs

    def get_config(self):
        return {**super().get_config(), "go_backwards": self.go_backwards}


@keras.saving.register_keras_serializable(package="speechgru")
class BiGRU(_Sequence):
    """Two GRUs over the same inputs, one from each end: `(inputs_BTF, lengths_B) -> outputs_BTD`.

    Both outputs are in the order of time; with "concat" D = 2U, the forward direction first. The backward direction of
    a row starts at its last real frame. Arguments and implementations as in `GRU`, without `go_backwards`.

    Args:
        units: width of each direction's state.
        merge_mode: "concat", "sum", "ave" or "mul" of the two outputs, or None for both (`keras.layers.Bidirectional`).
        **kwargs: see `GRU`. With a seed, the backward direction draws its dropout masks from seed + 1.

    Call arguments:
        initial_state: [forward_BU, backward_BU]; others as in `GRU`.

    Returns:
        outputs; with return_state, (outputs, forward_state_BU, backward_state_BU). With return_sequences=False the
        outputs are those of each direction's last processed real frame.

    Raises:
        ValueError, NotImplementedError: as `GRU`.
    """

    def __init__(self, units, *, merge_mode="concat", **kwargs):
        if merge_mode not in MERGE_MODES:
            raise ValueError(f"merge_mode is {merge_mode!r}; expected one of {MERGE_MODES}.")
        super().__init__(units, **kwargs)
        self.merge_mode = merge_mode
        self.forward_cell = self._make_cell("forward_cell")
        self.backward_cell = self._make_cell("backward_cell", seed_offset=1)

    @property
    def cells(self):
        return [self.forward_cell, self.backward_cell]

    def call(self, inputs, lengths=None, mask=None, initial_state=None, training=False):
        if initial_state is not None and len(initial_state) != 2:
            raise ValueError(f"initial_state has {len(initial_state)} tensors; expected 2: forward and backward.")
        results = self._run(
            [(self.forward_cell, False), (self.backward_cell, True)],
            inputs,
            lengths_B=lengths,
            mask_BT=mask,
            initial_states=initial_state,
            training=training,
        )
        if self.return_sequences:
            outputs = [outputs_BTU for outputs_BTU, _ in results]
        else:
            valid_BT, _ = self._valid(inputs, lengths, mask)
            outputs = [self._last_output(final_BU, valid_BT) for _, final_BU in results]
        outputs = self._merge(*outputs)
        if not self.return_state:
            return outputs
        states = [final_BU for _, final_BU in results]
        return (*outputs, *states) if self.merge_mode is None else (outputs, *states)

    def _merge(self, forward, backward):
        if self.merge_mode == "concat":
            return tf.concat([forward, backward], axis=-1)
        if self.merge_mode == "sum":
            return forward + backward
        if self.merge_mode == "ave":
            return (forward + backward) / 2
        if self.merge_mode == "mul":
            return forward * backward
        return forward, backward

    def compute_output_shape(self, input_shape):
        batch, num_frames = input_shape[0], input_shape[1]
        width = 2 * self.units if self.merge_mode == "concat" else self.units
        outputs = (batch, num_frames, width) if self.return_sequences else (batch, width)
        outputs = (outputs, outputs) if self.merge_mode is None else (outputs,)
        if self.return_state:
            outputs = (*outputs, (batch, self.units), (batch, self.units))
        return outputs if len(outputs) > 1 else outputs[0]

    def compute_mask(self, inputs, mask=None):
        masks = super().compute_mask(inputs, mask)
        if self.merge_mode is not None:
            return masks
        return [masks[0], *masks] if isinstance(masks, list) else [masks, masks]

    def get_config(self):
        return {**super().get_config(), "merge_mode": self.merge_mode}


def _last(states_TBU, initial_state_BU, backwards):
    """The state after the last processed frame; the initial one where there are no frames."""
    edge = states_TBU[:1] if backwards else states_TBU[-1:]
    return tf.concat([initial_state_BU[tf.newaxis], edge], axis=0)[-1]
