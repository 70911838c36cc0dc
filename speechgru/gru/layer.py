"""GRU and BiGRU: sequence layers over `GRUCell`, with five implementations of the same function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from speechgru.gru.cell import GRUCell
from speechgru.gru.sequence import SequenceLayer, last_output

MERGE_MODES = ("concat", "sum", "ave", "mul", None)


@keras.saving.register_keras_serializable(package="speechgru")
class GRU(SequenceLayer):
    """A GRU over sequences, `(inputs_BTF, lengths_B) -> outputs_BTU`. Equations, weights and gates: `GRUCell`.

    The implementations compute the same function over the same weights:

        "compiled"   for CPUs: machine code for whole sequences, forward and backward (`compiled`); float32 and
                     reset_after only; differentiable once
        "fused"      for CPUs: block-wise loop of operations, hand-derived backward pass (`fused`); differentiable once
        "cudnn"      TensorFlow's cuDNN operation; the arguments and a GPU must allow it
        "portable"   converts to TFLite with built-in operations only, at batch 1 and dynamic time
        "reference"  `keras.layers.RNN` over the cell: slow, differentiable any number of times
        "auto"       "cudnn" where it can run, else "compiled", else "fused"; `explain()` returns which and why

    `auto` looks for a GPU when the layer is called, hence when a graph is traced: a graph traced beside a GPU does not
    load without one, "compiled" runs in the process that traced it alone, and "fused" does not go into a SavedModel
    with its gradient. Build a model with implementation="portable" over the same weights for export.

    Frames beyond a row's length, and frames masked out, do not change the state and have outputs 0, whatever they hold.
    A row of length 0 has outputs 0, its initial state as final state, and no gradient.

    Under a mixed policy (`mixed_bfloat16`, `mixed_float16`) products have 16-bit operands, and the state stays float32
    from the first frame to the last (see `GRUCell`); outputs and the final state are given in the compute dtype.
    "cudnn" runs mixed_bfloat16 in float32, and keeps the state in float16 under mixed_float16.

    With the weights of a Keras layer it has its outputs, and padding changes nothing:

    >>> import keras
    >>> import numpy as np
    >>> from speechgru.gru import GRU
    >>> inputs_BTF = np.random.default_rng(0).normal(size=[2, 5, 3]).astype("float32")
    >>> layer, theirs = GRU(4, return_state=True), keras.layers.GRU(4, return_sequences=True)
    >>> _ = layer(inputs_BTF), theirs(inputs_BTF)  # builds the weights
    >>> layer.set_weights(theirs.get_weights())
    >>> outputs_BTU, _ = layer(inputs_BTF)
    >>> np.allclose(outputs_BTU, theirs(inputs_BTF), atol=1e-6)
    True
    >>> padded_BTU, _ = layer(inputs_BTF, lengths=[5, 2])
    >>> np.allclose(padded_BTU[1, :2], outputs_BTU[1, :2], atol=1e-6), not np.any(padded_BTU[1, 2:])
    (True, True)

    One step, for streaming, is a call over one frame (or a few) with the state carried along:

    >>> state_BU = None
    >>> for t in range(5):
    ...     output_B1U, state_BU = layer(inputs_BTF[:, t : t + 1], initial_state=state_BU)
    >>> np.allclose(output_B1U[:, 0], outputs_BTU[:, -1], atol=1e-6)
    True

    Args:
        units: width of the state.
        return_sequences: whether to return the output of every frame, or of the last real one. (Keras: False.)
        return_state: whether to return the final state as well.
        go_backwards: process from the last frame to the first and return outputs in that order, as Keras does. Under
            a mask the padding of the outputs stands at the left, and the mask that the next layer reads with it; with
            lengths it stays at the right, so that they hold for the outputs too.
        implementation: see above.
        recompute: "fused" only: keep the states alone for the backward pass (less memory, more time). Outside training
            it is always so.
        **kwargs: the keyword arguments of `GRUCell` (reset_after, update_gate, use_bias, dropout, recurrent_dropout,
            seed, initializers, ...) and of `keras.layers.Layer`. Those of `keras.layers.GRU` that have one value here
            (stateful=False, unroll=False, activation="tanh", ...) are accepted with it.

    Call arguments, those of `keras.layers.GRU` in its order, then:
        inputs: [B, T, F], of any dtype of real numbers.
        initial_state: [B, U]; zeros where None.
        mask: [B, T] booleans, False at frames to skip; together with lengths, both must hold.
        training: whether dropout is active.
        lengths: by keyword, [B] integers, real frames a row, 0 <= length <= T; they are checked where they are known
            (eagerly).
        inputs_mask: the mask that Keras itself gives along with masked inputs where there is a state or lengths too.

    Raises:
        ValueError: an argument is out of range or of another shape, or implementation="cudnn" or "compiled" cannot run.
        NotImplementedError: "compiled" or "fused" is differentiated twice.

    Sources: see `GRUCell`; Appleyard et al. 2016, arXiv:1604.01946 (products hoisted out of the loop).
    """

    def __init__(self, units: int, *, go_backwards: bool = False, **kwargs: Any) -> None:
        super().__init__(units, **kwargs)
        self.go_backwards = go_backwards
        self.cell = self._make_cell("cell")

    @property
    def cells(self) -> list[GRUCell]:
        return [self.cell]

    def call(
        self,
        inputs: tf.Tensor,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
        *,
        lengths: Any = None,
        inputs_mask: Any = None,
    ) -> Any:
        frames = self._read(inputs, lengths=lengths, masks=[mask, inputs_mask])
        outputs_BTU, (final_BU,) = self._run(
            frames,
            self.cells,
            backwards=[self.go_backwards],
            initial_states=self._states(initial_state),
            training=training,
        )
        if not self.return_sequences:
            outputs = last_output(final_BU, frames)
        else:
            outputs = frames.reversed(outputs_BTU) if self.go_backwards else outputs_BTU
        return (outputs, final_BU) if self.return_state else outputs

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        batch, num_frames = input_shape[0], input_shape[1]
        outputs = (batch, num_frames, self.units) if self.return_sequences else (batch, self.units)
        return (outputs, (batch, self.units)) if self.return_state else outputs

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        masks = super().compute_mask(inputs, mask)
        output_mask = masks[0] if isinstance(masks, list) else masks
        if not self.go_backwards or output_mask is None:
            return masks
        # Outputs are in the order of processing, so right padding stands at the left of them.
        output_mask = keras.ops.flip(output_mask, axis=1)
        return [output_mask, *masks[1:]] if isinstance(masks, list) else output_mask

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "go_backwards": self.go_backwards}


@keras.saving.register_keras_serializable(package="speechgru")
class BiGRU(SequenceLayer):
    """Two GRUs over the same inputs, one from each end: `(inputs_BTF, lengths_B) -> outputs_BTD`.

    Both outputs are in the order of time; with "concat" D = 2U, the forward direction first. The backward direction of
    a row starts at its last real frame. Arguments and implementations as in `GRU`, without `go_backwards`.

    A row's outputs do not depend on its padding, in either direction:

    >>> import numpy as np
    >>> from speechgru.gru import BiGRU
    >>> layer = BiGRU(4)
    >>> inputs_BTF = np.random.default_rng(0).normal(size=[2, 5, 3]).astype("float32")
    >>> outputs_BTD = layer(inputs_BTF, lengths=[5, 2])
    >>> tuple(outputs_BTD.shape)
    (2, 5, 8)
    >>> np.allclose(outputs_BTD[1:, :2], layer(inputs_BTF[1:, :2]), atol=1e-6)
    True

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

    def __init__(self, units: int, *, merge_mode: str | None = "concat", **kwargs: Any) -> None:
        if merge_mode not in MERGE_MODES:
            raise ValueError(f"merge_mode is {merge_mode!r}; expected one of {MERGE_MODES}.")
        super().__init__(units, **kwargs)
        self.merge_mode = merge_mode
        self.forward_cell = self._make_cell("forward_cell")
        self.backward_cell = self._make_cell("backward_cell", seed_offset=1)

    @property
    def cells(self) -> list[GRUCell]:
        return [self.forward_cell, self.backward_cell]

    def call(
        self,
        inputs: tf.Tensor,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
        *,
        lengths: Any = None,
        inputs_mask: Any = None,
    ) -> Any:
        frames = self._read(inputs, lengths=lengths, masks=[mask, inputs_mask])
        outputs_BTY, states = self._run(
            frames,
            self.cells,
            backwards=[False, True],
            initial_states=self._states(initial_state),
            training=training,
        )
        if not self.return_sequences:
            merged = self._merge(*(last_output(state, frames) for state in states))
        elif self.merge_mode == "concat":
            merged = outputs_BTY
        else:
            merged = self._merge(*tf.split(outputs_BTY, 2, axis=-1))
        if not self.return_state:
            return merged
        return (*merged, *states) if self.merge_mode is None else (merged, *states)

    def _merge(self, forward: tf.Tensor, backward: tf.Tensor) -> Any:
        if self.merge_mode == "concat":
            return tf.concat([forward, backward], axis=-1)
        if self.merge_mode == "sum":
            return forward + backward
        if self.merge_mode == "ave":
            return (forward + backward) / 2
        if self.merge_mode == "mul":
            return forward * backward
        return forward, backward

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Any:
        batch, num_frames = input_shape[0], input_shape[1]
        width = 2 * self.units if self.merge_mode == "concat" else self.units
        output = (batch, num_frames, width) if self.return_sequences else (batch, width)
        shapes = [output, output] if self.merge_mode is None else [output]
        if self.return_state:
            shapes += [(batch, self.units), (batch, self.units)]
        return tuple(shapes) if len(shapes) > 1 else output

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        masks = super().compute_mask(inputs, mask)
        if self.merge_mode is not None:
            return masks
        return [masks[0], *masks] if isinstance(masks, list) else [masks, masks]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "merge_mode": self.merge_mode}
