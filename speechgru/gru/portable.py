"""The GRU for export: operations that TFLite has built in, in loops that LiteRT runs at the speed of its products.

What decides the time of a step on one thread (LiteRT 2.3, 256 units; microseconds, float32 / dynamic-range int8):

- XNNPACK packs the weights anew for every product in the graph, so that steps written out one after the other read
  different copies and soon leave the cache: 11 / 4.3 with one copy, 13 / 5.5 with 4, 30 / 12 with 20. Hence one frame a
  turn, at any length.
- XNNPACK runs a step as one call only where it has every operation of it: it has `SPLIT` into equal parts, not
  `SPLIT_V`, and none that computes an index, which must therefore not wait for the state.
- A loop copies whatever changed from turn to turn, and nothing of what did not: x may be of any length, but outputs
  that grow turn by turn cost the square of the time. Hence loops in loops (see `_Loops`). (As many variables in place
  of one kept tensor would cost 0.4 less, but then a loop's result is another's next value, and no specification says in
  which order they move.)
- Slicing with bounds that are known at run time only costs 1.5 a frame as `STRIDED_SLICE`, nothing as `SLICE`.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from speechgru.gru.fused_block import product

# Frames of the innermost loop, and turns of the loop over those loops. Measured, 3 BiGRU layers of 256, 400 frames,
# 1 thread, milliseconds for 4 x 16, 8 x 8, 10 x 10, 16 x 8, 32 x 4 (beside ONNX Runtime's GRU: 35):
# float32 46, 43, 42, 43, 45; dynamic-range int8 19.0, 17.5, 16.7, 16.9, 18.3; all with the kept states as variables,
# which one tensor makes some 9 % slower.
BLOCK, BLOCKS = 10, 10

# A preactivation whose sigmoid is exactly 0 in every dtype, whatever the state adds to it.
_SHUT = -1e4


def portable_gru(
    inputs_BTF: tf.Tensor,
    *,
    initial_state_BU: tf.Tensor,
    kernel_FG: tf.Tensor,
    recurrent_kernel_UG: tf.Tensor,
    input_bias_G: tf.Tensor | None = None,
    recurrent_bias_G: tf.Tensor | None = None,
    valid_BT: tf.Tensor | None = None,
    recurrent_mask_BU: tf.Tensor | None = None,
    reset_after: bool = True,
    update_gate: str = "keep",
    backwards: bool = False,
) -> tf.Tensor:
    """Runs one direction of a GRU; arguments and dtypes are those of `fused.fused_gru`, batch-major.

    As there, the steps are in the "write" convention, u = 1 - z. A step needs no further operation for frames that are
    not valid: with u = 0 exactly, h + u * (n - h) is h exactly.

    Returns:
        outputs_BTU aligned with the inputs.
    """
    units = recurrent_kernel_UG.shape[0]
    batch, num_frames = inputs_BTF.shape[:2]  # None where unknown while tracing
    if num_frames == 0:
        return tf.zeros([tf.shape(inputs_BTF)[0], 0, units], initial_state_BU.dtype)
    if update_gate == "keep":
        # s(-a) = 1 - s(a). In an exported graph the weights are constants, so the converter multiplies them, once.
        signs_G = tf.constant([-1.0] * units + [1.0] * 2 * units, kernel_FG.dtype)
        kernel_FG, recurrent_kernel_UG, input_bias_G, recurrent_bias_G = (
            None if weight is None else weight * signs_G
            for weight in (kernel_FG, recurrent_kernel_UG, input_bias_G, recurrent_bias_G)
        )
    steps = _Steps(recurrent_kernel_UG, recurrent_bias_G, recurrent_mask_BU, reset_after, inputs_BTF.dtype)
    # Of one row, the time-major form is the same numbers in the same order; a transposition would be a copy.
    inputs_TBF = tf.reshape(inputs_BTF, [-1, 1, inputs_BTF.shape[2]]) if batch == 1 else _swapped(inputs_BTF)
    # x W + b of all frames is one large product before the loops: it does not depend on the state, and inside the loop
    # it would be one more small product a step.
    x_TBG = tf.cast(tf.matmul(inputs_TBF, tf.cast(kernel_FG, inputs_BTF.dtype)), initial_state_BU.dtype)
    bias_G = _sum(input_bias_G, steps.outer_bias_G)
    if bias_G is not None:
        x_TBG = x_TBG + bias_G
    if valid_BT is not None:
        # All three gates are shut, which is one operation; only u = s(-1e4) = 0 counts, for with it r and n do not.
        x_TBG = tf.where(tf.transpose(valid_BT)[:, :, tf.newaxis], x_TBG, tf.cast(_SHUT, x_TBG.dtype))
    loops = _Loops(x_TBG, steps, batch, num_frames, backwards)
    outputs_TBU = loops.run(initial_state_BU)
    outputs_BTU = tf.reshape(outputs_TBU, [1, -1, units]) if batch == 1 else _swapped(outputs_TBU)
    outputs_BTU.set_shape([batch, num_frames, units])
    return outputs_BTU


class _Steps:
    """One step, h' = h + u * (n - h), and the part of the recurrent bias that can be added outside the loop."""

    def __init__(
        self,
        recurrent_UG: tf.Tensor,
        recurrent_bias_G: tf.Tensor | None,
        mask_BU: tf.Tensor | None,
        reset_after: bool,
        dtype: tf.DType,
    ) -> None:
        self.units = recurrent_UG.shape[0]
        sizes = [2 * self.units, self.units]
        # Two products take no longer than one whose result is cut, and serve both forms.
        self.recurrent_ur, self.recurrent_h = tf.split(tf.cast(recurrent_UG, dtype), sizes, axis=-1)
        self.outer_bias_G = self.bias_U = None
        if recurrent_bias_G is not None:
            # The recurrent biases of u and r are summands beside the input's; that of h is inside the product with r.
            bias_ur, self.bias_U = tf.split(recurrent_bias_G, sizes, axis=-1)
            self.outer_bias_G = tf.concat([bias_ur, tf.zeros_like(self.bias_U)], axis=-1)
        self.mask_BU = mask_BU
        self.reset_after = reset_after

    def __call__(self, x_BG: tf.Tensor, h_BU: tf.Tensor) -> tf.Tensor:
        masked_BU = h_BU if self.mask_BU is None else h_BU * self.mask_BU
        # Slices, because uneven parts are not for XNNPACK (SPLIT_V).
        x_ur, x_h = x_BG[:, : 2 * self.units], x_BG[:, 2 * self.units :]
        u, r = tf.split(tf.sigmoid(x_ur + product(masked_BU, self.recurrent_ur)), 2, axis=-1)
        if self.reset_after:
            m_h = product(masked_BU, self.recurrent_h)
            if self.bias_U is not None:
                m_h = m_h + self.bias_U
            n = tf.tanh(x_h + r * m_h)
        else:
            n = tf.tanh(x_h + product(r * masked_BU, self.recurrent_h))
        return h_BU + u * (n - h_BU)


class _Loops:
    """Loops in loops over the frames, from the innermost, level 1, to the one whose turns are not bounded.

    A while loop has two ways to give one output a turn, and neither is for LiteRT: a tensor that grows is copied every
    turn, so that T frames cost T * T; and a list of tensors has no built-in operation. A tensor of a fixed K frames,
    shifted by one every turn, costs T * K. With K = 10 that is little; and then each such block is one "frame" of the
    next loop, which shifts by 10 in a tensor of 100. Only the outermost grows, by 100 frames a turn:

        level 1, `_frames`: BLOCK frames, one a turn        -> kept [BLOCK, B, U]
        level 2, `_blocks`: BLOCKS runs of level 1          -> kept [BLOCK * BLOCKS, B, U]
        level 3, `run`: as many runs of level 2 as needed   -> outputs [T, B, U], growing

    Frames are counted in the order of processing: `end` is the number that are done after a block. The first block of a
    loop may be short, never the last: a short block's tensor still has zeros, on the side that is processed first. In
    the first block they stand before all outputs, and one slice cuts them off; later they would stand between outputs.

    Args:
        x_TBG: x W + b of all frames.
        steps: one step.
        batch, num_frames: B and T, None where unknown while tracing.
        backwards: from the last frame to the first.
    """

    def __init__(
        self, x_TBG: tf.Tensor, steps: _Steps, batch: int | None, num_frames: int | None, backwards: bool
    ) -> None:
        self.x_TBG = x_TBG
        self.steps = steps
        self.batch = batch or tf.shape(x_TBG)[1]
        self.num_frames = num_frames or tf.shape(x_TBG)[0]
        self.backwards = backwards
        self.fans = [BLOCK, BLOCKS]
        self.bounded = False
        if num_frames is not None and num_frames <= BLOCK * BLOCKS:
            # Known to be short, as a stream's chunk is: no loop without a bound, and no room for frames it has not.
            self.bounded = True
            self.fans = [min(BLOCK, num_frames), -(-num_frames // BLOCK)]
        #: Frames that one turn of level 1, 2 and 3 covers.
        self.sizes = [1, self.fans[0], self.fans[0] * self.fans[1]]

    def run(self, h_BU: tf.Tensor) -> tf.Tensor:
        """Returns the states after each frame, in the order of time, [T, B, U]."""
        units = self.steps.units
        size = self.sizes[-1]
        if self.bounded:
            block = self._frames if self.fans[1] == 1 else self._blocks
            outputs_TBU, _ = block(self.num_frames, h_BU)
        else:

            def turn(end: tf.Tensor, h_BU: tf.Tensor, outputs_TBU: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
                block_KBU, h_BU = self._blocks(end, h_BU)
                return end + size, h_BU, self._joined([outputs_TBU, block_KBU])

            none_KBU = tf.zeros([0, self.batch, units], h_BU.dtype)
            _, _, outputs_TBU = tf.while_loop(
                lambda end, *_: end <= self.num_frames,
                turn,
                [self._short(size), h_BU, none_KBU],
                shape_invariants=[tf.TensorShape([]), h_BU.shape, tf.TensorShape([None, h_BU.shape[0], units])],
            )
        # Cut off what the first, short blocks did not compute. A SLICE, not a STRIDED_SLICE: see above.
        start = 0 if self.backwards else tf.shape(outputs_TBU)[0] - self.num_frames
        return tf.slice(outputs_TBU, [start, 0, 0], [self.num_frames, self.batch, units])

    def _blocks(self, end: int | tf.Tensor, h_BU: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Level 2: the frames up to `end` that one loop of loops covers; their states, and the last."""
        size = self.sizes[1]

        def turn(block_end: tf.Tensor, h_BU: tf.Tensor, kept_KBU: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            block_KBU, h_BU = self._frames(block_end, h_BU)
            return block_end + size, h_BU, self._shifted(kept_KBU, block_KBU)

        # The first block ends one size after where this loop begins; or, in the very first loop, where the sequence's
        # short block ends.
        first = tf.maximum(end - self.sizes[2] + size, self._short(size))
        none_KBU = tf.zeros([self.sizes[2], self.batch, self.steps.units], h_BU.dtype)
        _, h_BU, kept_KBU = tf.while_loop(lambda block_end, *_: block_end <= end, turn, [first, h_BU, none_KBU])
        return kept_KBU, h_BU

    def _frames(self, end: int | tf.Tensor, h_BU: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Level 1: the frames up to `end` that one loop covers, one a turn; their states, and the last.

        The index of a frame is the loop's own variable, so that reading x waits for nothing that XNNPACK computes.
        """
        frame, stop, stride = tf.maximum(end - self.sizes[1], 0), end, 1
        if self.backwards:
            # Counted in the order of processing, frame k is the one at T - 1 - k.
            frame, stop, stride = self.num_frames - 1 - frame, self.num_frames - 1 - stop, -1

        def turn(frame: tf.Tensor, h_BU: tf.Tensor, kept_KBU: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            h_BU = self.steps(tf.gather(self.x_TBG, frame), h_BU)
            return frame + stride, h_BU, self._shifted(kept_KBU, h_BU[tf.newaxis])

        none_KBU = tf.zeros([self.sizes[1], self.batch, self.steps.units], h_BU.dtype)
        _, h_BU, kept_KBU = tf.while_loop(lambda frame, *_: frame != stop, turn, [frame, h_BU, none_KBU])
        return kept_KBU, h_BU

    def _shifted(self, kept_KBU: tf.Tensor, new_JBU: tf.Tensor) -> tf.Tensor:
        """The states that are kept, in the order of time: J new ones in, the J oldest out."""
        if self.backwards:
            return tf.concat([new_JBU, kept_KBU[: -new_JBU.shape[0]]], axis=0)
        return tf.concat([kept_KBU[new_JBU.shape[0] :], new_JBU], axis=0)

    def _short(self, size: int) -> int | tf.Tensor:
        """How many frames the first block has: what full blocks leave over, or a full one; 1 to `size`."""
        return (self.num_frames - 1) % size + 1

    def _joined(self, pieces: Sequence[tf.Tensor]) -> tf.Tensor:
        return tf.concat(pieces[::-1] if self.backwards else pieces, axis=0)


def _swapped(tensor: tf.Tensor) -> tf.Tensor:
    """Batch-major to time-major, or back."""
    return tf.transpose(tensor, [1, 0, 2])


def _sum(*terms: tf.Tensor | None) -> tf.Tensor | None:
    present = [term for term in terms if term is not None]
    return tf.add_n(present) if present else None
