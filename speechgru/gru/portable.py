"""The GRU for export: operations that TFLite has built in, in loops that LiteRT runs at the speed of its products.

What decides the time of a step on one thread (LiteRT 2.3 with XNNPACK, nanoseconds):

- An operation between two others of XNNPACK costs 20 to 30, whatever it does with 64 numbers; a product of one row 120
  (16 x 48) to 490 (64 x 192), because it reads its weights; a turn of a loop 1,900. So at small widths the loop costs
  the most: frames are written out, some a turn; and both directions are one loop, in which all but their products are
  one operation for two rows.
- XNNPACK packs the weights anew for every product in the graph, so that frames written out read different copies. At
  256 units these soon leave the cache (float32 11 microseconds with one copy, 13 with 4, 30 with 20). Hence the fewer
  frames a turn the wider the layer (`_frames_a_turn`).
- XNNPACK runs a turn as one call only where it has every operation of it: it has slices with bounds that are known
  while tracing, `CONCATENATION` of four, and none that drops an axis or computes an index, which must not wait for the
  state.
- A loop copies whatever changed from turn to turn, and nothing of what did not: x may be of any length, but outputs
  that grow turn by turn cost the square of the time. Hence loops in loops (see `_Loops`). (As many variables in place
  of one kept tensor would cost 0.4 microseconds less, but then a loop's result is another's next value, and no
  specification says in which order they move.)
- Slicing with bounds that are known at run time only costs 1.5 microseconds a frame as `STRIDED_SLICE`, nothing as
  `SLICE`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

# Bytes of recurrent weights, in float32 and of all copies together, that a turn may read: what a core's second cache
# has room for. Measured, a BiGRU layer, 400 frames, 1 thread, milliseconds of a turn of 10, 5, 2 frames, beside a loop
# for each direction with a frame a turn. 64 units: float32 1.97, 1.99, -; 3.01; 8 bits 0.92, 1.06, -; 1.93. 128 units:
# float32 7.3, 8.9, 4.9; 4.5; 8 bits 2.7, 2.3, 2.4; 3.0.
_WEIGHT_BYTES = 1 << 20

# Frames of a turn at most, and frames after which the outermost loop makes its outputs grow.
MOST_FRAMES, KEPT_FRAMES = 10, 100

# Blocks of each level of loops inside the outermost, by frames of a block. A further level costs some 20 microseconds
# each time that it begins, so that a third is not worth the copies that it would save.
FANS = {1: [10, 10], 2: [5, 10], 10: [10]}

# A preactivation whose sigmoid is exactly 0 in every dtype, whatever the state adds to it.
_SHUT = -1e4

# Tensors that one CONCATENATION joins: XNNPACK takes no more than five.
_JOINED = 4


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
    direction = {
        "inputs_BTF": inputs_BTF,
        "initial_state_BU": initial_state_BU,
        "kernel_FG": kernel_FG,
        "recurrent_kernel_UG": recurrent_kernel_UG,
        "input_bias_G": input_bias_G,
        "recurrent_bias_G": recurrent_bias_G,
        "valid_BT": valid_BT,
        "reset_after": reset_after,
        "update_gate": update_gate,
        "backwards": backwards,
    }
    (outputs_BTU,) = portable_directions([direction], recurrent_mask_BU=recurrent_mask_BU)
    return outputs_BTU


def portable_directions(
    directions: Sequence[Mapping[str, Any]], *, recurrent_mask_BU: tf.Tensor | None = None
) -> list[tf.Tensor]:
    """Runs directions of one layer in one loop, where a turn has more than one frame: the same numbers as alone.

    A wide layer's turn is its products, and one loop for both directions would only join what they give.

    Args:
        directions: the arguments of `portable_gru` for each, `inputs_BTF` among them; of one shape, and of batch 1
            where they are more than one.
        recurrent_mask_BU: as there, for a single direction.

    Returns:
        outputs_BTU of each.
    """
    inputs_BTF, kernel_UG = directions[0]["inputs_BTF"], directions[0]["recurrent_kernel_UG"]
    batch, num_frames = inputs_BTF.shape[:2]  # None where unknown while tracing
    units = kernel_UG.shape[0]
    if num_frames == 0:
        none_BTU = tf.zeros([tf.shape(inputs_BTF)[0], 0, units], directions[0]["initial_state_BU"].dtype)
        return [none_BTU for _ in directions]
    if len(directions) > 1 and _frames_a_turn(units, len(directions)) == 1:
        return [one for direction in directions for one in portable_directions([direction])]
    prepared = [_Prepared(**direction) for direction in directions]
    # A row for each direction and utterance. What they share no further from here on is their products.
    x_TRG, h_RU = (
        tf.concat(rows, axis=axis) if len(prepared) > 1 else rows[0]
        for rows, axis in (([one.x_TBG for one in prepared], 1), ([one.h_BU for one in prepared], 0))
    )
    steps = _Steps(prepared, recurrent_mask_BU, directions[0].get("reset_after", True), inputs_BTF.dtype)
    outputs_TRU = _Loops(x_TRG, steps, None if batch is None else batch * len(prepared), num_frames).run(h_RU)
    outputs = []
    for number, direction in enumerate(directions):
        outputs_TBU = outputs_TRU[:, number : number + 1] if len(directions) > 1 else outputs_TRU
        if direction.get("backwards", False):
            outputs_TBU = _reversed(outputs_TBU)
        outputs_BTU = tf.reshape(outputs_TBU, [1, -1, units]) if batch == 1 else _swapped(outputs_TBU)
        outputs_BTU.set_shape([batch, num_frames, units])
        outputs.append(outputs_BTU)
    return outputs


class _Prepared:
    """One direction in the order of processing: x W + b of all frames, the state before them, the recurrent weights."""

    def __init__(
        self,
        *,
        inputs_BTF: tf.Tensor,
        initial_state_BU: tf.Tensor,
        kernel_FG: tf.Tensor,
        recurrent_kernel_UG: tf.Tensor,
        input_bias_G: tf.Tensor | None = None,
        recurrent_bias_G: tf.Tensor | None = None,
        valid_BT: tf.Tensor | None = None,
        reset_after: bool = True,
        update_gate: str = "keep",
        backwards: bool = False,
    ) -> None:
        if update_gate == "keep":
            # s(-a) = 1 - s(a). In an exported graph the weights are constants, so the converter multiplies them, once.
            units = recurrent_kernel_UG.shape[0]
            signs_G = tf.constant([-1.0] * units + [1.0] * 2 * units, kernel_FG.dtype)
            kernel_FG, recurrent_kernel_UG, input_bias_G, recurrent_bias_G = (
                None if weight is None else weight * signs_G
                for weight in (kernel_FG, recurrent_kernel_UG, input_bias_G, recurrent_bias_G)
            )
        self.h_BU = initial_state_BU
        self.recurrent_UG, self.recurrent_bias_G = recurrent_kernel_UG, recurrent_bias_G
        # Of one row, the time-major form is the same numbers in the same order; a transposition would be a copy.
        is_alone = inputs_BTF.shape[0] == 1
        inputs_TBF = tf.reshape(inputs_BTF, [-1, 1, inputs_BTF.shape[2]]) if is_alone else _swapped(inputs_BTF)
        if backwards:
            inputs_TBF = _reversed(inputs_TBF)
        # x W + b of all frames is one large product before the loops: it does not depend on the state, and inside the
        # loop it would be one more small product a step.
        x_TBG = tf.matmul(inputs_TBF, tf.cast(kernel_FG, inputs_BTF.dtype))
        self.x_TBG = tf.cast(x_TBG, initial_state_BU.dtype)
        if input_bias_G is not None:
            self.x_TBG = self.x_TBG + input_bias_G
        if valid_BT is not None:
            # All three gates are shut, which is one operation; only u = s(-1e4) = 0 counts, for with it r and n do not.
            valid_TB = tf.transpose(valid_BT)
            valid_TB = _reversed(valid_TB) if backwards else valid_TB
            self.x_TBG = tf.where(valid_TB[:, :, tf.newaxis], self.x_TBG, tf.cast(_SHUT, self.x_TBG.dtype))


class _Steps:
    """One step of all rows, h' = h + u * (n - h)."""

    def __init__(
        self,
        directions: Sequence[_Prepared],
        mask_RU: tf.Tensor | None,
        reset_after: bool,
        dtype: tf.DType,
    ) -> None:
        self.units = units = directions[0].recurrent_UG.shape[0]
        self.num_directions = len(directions)
        self.mask_RU, self.reset_after = mask_RU, reset_after
        kernels = [tf.cast(one.recurrent_UG, dtype) for one in directions]
        biases = [one.recurrent_bias_G for one in directions]
        if reset_after:
            # One product for all gates; its bias costs nothing there.
            self.recurrent = list(zip(kernels, biases, strict=True))
        else:
            # r stands before the candidate's product, which must wait for it.
            self.recurrent = [(kernel_UG[:, : 2 * units], None) for kernel_UG in kernels]
            self.recurrent_h = [(kernel_UG[:, 2 * units :], None) for kernel_UG in kernels]

    def __call__(self, x_KG: tf.Tensor, rows: slice, h_RU: tf.Tensor) -> tf.Tensor:
        """The states after one frame, whose x are some rows of a block's."""
        ur, h = slice(None, 2 * self.units), slice(2 * self.units, None)
        masked_RU = h_RU if self.mask_RU is None else h_RU * self.mask_RU
        # Slices, because uneven parts are not for XNNPACK (SPLIT_V), and of two equal ones they are the faster too.
        m_RG = self._products(masked_RU, self.recurrent)
        gates = tf.sigmoid(x_KG[rows, ur] + m_RG[:, ur])
        u, r = gates[:, : self.units], gates[:, self.units :]
        if self.reset_after:
            n = tf.tanh(x_KG[rows, h] + r * m_RG[:, h])
        else:
            n = tf.tanh(x_KG[rows, h] + self._products(r * masked_RU, self.recurrent_h))
        return h_RU + u * (n - h_RU)

    def _products(self, rows_RU: tf.Tensor, weights: Sequence[tuple[tf.Tensor, tf.Tensor | None]]) -> tf.Tensor:
        """The product of each direction's row and weights; of a single one, of all rows."""
        several = len(weights) > 1
        products = []
        for number, (kernel, bias) in enumerate(weights):
            row = rows_RU[number : number + 1] if several else rows_RU
            product = tf.cast(tf.matmul(tf.cast(row, kernel.dtype), kernel), rows_RU.dtype)
            products.append(product if bias is None else product + bias)
        return tf.concat(products, axis=0) if several else products[0]


class _Loops:
    """Loops in loops over blocks of frames, from straight code, level 0, to the loop whose turns are not bounded.

    A while loop has two ways to give one output a turn, and neither is for LiteRT: a tensor that grows is copied every
    turn, so that T frames cost T * T; and a list of tensors has no built-in operation. A tensor of a fixed number of
    frames, shifted by a block every turn, costs T times that number. With 10 blocks that is little; and then each such
    tensor is one "block" of the next loop. Only the outermost grows, by `KEPT_FRAMES` a turn:

        level 0, `_block`: K frames, written out            -> [K * R, U]
        level 1, `_level`: some runs of level 0             -> kept [fans[0] * K * R, U]
        level 2: the same of level 1, where K is small      -> kept [fans[1] * fans[0] * K * R, U]
        `run`: as many runs of the level below as needed    -> outputs [T * R, U], growing

    Whole blocks only: frames that are shut stand before the first one, and leave the state as it was. Likewise the
    first run of a level may be short, never the last: its tensor then has zeros on the side that is processed first. In
    the first run they stand before all outputs, and one slice cuts them off; later they would stand between outputs.

    Args:
        x_TRG: x W + b of all frames, in the order of processing.
        steps: one step.
        rows, num_frames: R and T, None where unknown while tracing.
    """

    def __init__(self, x_TRG: tf.Tensor, steps: _Steps, rows: int | None, num_frames: int | None) -> None:
        self.steps, self.rows = steps, rows
        self.num_rows = rows or tf.shape(x_TRG)[1]
        self.num_frames = num_frames or tf.shape(x_TRG)[0]
        self.size = size = _frames_a_turn(steps.units, steps.num_directions)
        fans = FANS.get(size, [5, 4])
        self.num_blocks: int | tf.Tensor
        if num_frames is not None and num_frames <= KEPT_FRAMES:
            # Known to be short, as a stream's chunk is: no loop without a bound, and no room for frames it has not.
            num_blocks = -(-num_frames // size)
            self.size = size = -(-num_frames // num_blocks)
            self.num_blocks, self.bounded = num_blocks, True
            inner = min(fans[0], num_blocks)
            fans = [inner, -(-num_blocks // inner)]
            # A loop at least, of one turn: what stands outside all loops is computed on int8 where that is asked for.
            fans = [fan for fan in fans if fan > 1] or [1]
        else:
            self.num_blocks, self.bounded = (self.num_frames + size - 1) // size, False
        self.fans = fans
        #: Blocks that one run of each level covers.
        self.sizes = [math.prod(fans[:level]) for level in range(len(fans) + 1)]
        missing = self.num_blocks * size - self.num_frames
        if size > 1 and not (self.bounded and missing == 0):
            x_TRG = tf.pad(x_TRG, [[missing, 0], [0, 0], [0, 0]], constant_values=tf.cast(_SHUT, x_TRG.dtype))
        # [N, K * R, G], so that a block is read at once and a frame of it is a slice of rows.
        self.x_NKG = tf.reshape(x_TRG, [-1, size * self.num_rows, x_TRG.shape[2]])

    def run(self, h_RU: tf.Tensor) -> tf.Tensor:
        """Returns the states after each frame, in the order of processing, [T, R, U]."""
        units, top = self.steps.units, len(self.fans)
        if self.bounded:
            outputs_KU, _ = self._level(top, self.num_blocks - 1, h_RU)
        else:

            def turn(last: tf.Tensor, h_RU: tf.Tensor, outputs_KU: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
                kept_KU, h_RU = self._level(top, last, h_RU)
                return last + self.sizes[top], h_RU, tf.concat([outputs_KU, kept_KU], axis=0)

            none_KU = tf.zeros([0, units], h_RU.dtype)
            _, _, outputs_KU = tf.while_loop(
                lambda last, *_: last < self.num_blocks,
                turn,
                [self._short(top) - 1, h_RU, none_KU],
                shape_invariants=[tf.TensorShape([]), h_RU.shape, tf.TensorShape([None, units])],
            )
        # Cut off what shut frames and short runs left before the first. A SLICE, not a STRIDED_SLICE: see above.
        count = self.num_frames * self.num_rows
        outputs_KU = tf.slice(outputs_KU, [tf.shape(outputs_KU)[0] - count, 0], [count, units])
        return tf.reshape(outputs_KU, [-1, self.num_rows, units])

    def _level(self, level: int, last: int | tf.Tensor, h_RU: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The blocks up to `last` that one run of a level covers: their states, and the last."""
        if level == 0:
            return self._block(last, h_RU)
        below, size = self.sizes[level - 1], self.sizes[level]

        def turn(block: tf.Tensor, h_RU: tf.Tensor, kept_KU: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            new_KU, h_RU = self._level(level - 1, block, h_RU)
            # The oldest out, the new ones in.
            kept_KU = tf.concat([kept_KU[below * self.size * self.num_rows :], new_KU], axis=0)
            return block + below, h_RU, kept_KU

        # The first run below ends one size after where this one begins; or, in the very first run, where the short one
        # of the sequence ends. A block's number is the loop's own variable, so that reading x waits for nothing that
        # XNNPACK computes.
        first = tf.maximum(last - size + below, self._short(level - 1) - 1)
        kept_KU = tf.zeros([size * self.size * self.num_rows, self.steps.units], h_RU.dtype)
        shapes = [tf.TensorShape([]), h_RU.shape, kept_KU.shape]
        _, h_RU, kept_KU = tf.while_loop(
            lambda block, *_: block <= last, turn, [first, h_RU, kept_KU], shape_invariants=shapes
        )
        return kept_KU, h_RU

    def _block(self, number: int | tf.Tensor, h_RU: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Level 0: the frames of one block, one after the other."""
        x_KG = self.x_NKG[0] if isinstance(number, int) else tf.gather(self.x_NKG, number)
        outputs = []
        for frame in range(self.size):
            rows = slice(None) if self.size == 1 else slice(frame * self.num_rows, (frame + 1) * self.num_rows)
            h_RU = self.steps(x_KG, rows, h_RU)
            outputs.append(h_RU)
        while len(outputs) > 1:
            groups = [outputs[start : start + _JOINED] for start in range(0, len(outputs), _JOINED)]
            outputs = [tf.concat(group, axis=0) if len(group) > 1 else group[0] for group in groups]
        return outputs[0], h_RU

    def _short(self, level: int) -> int | tf.Tensor:
        """How many blocks the first run of a level has: what full ones leave over, or a full one; 1 to its size."""
        return (self.num_blocks - 1) % self.sizes[level] + 1


def _frames_a_turn(units: int, num_directions: int) -> int:
    """How many frames are written out, each with its own copy of the recurrent weights."""
    weight_bytes = num_directions * 3 * units * units * 4
    return max(1, min(MOST_FRAMES, _WEIGHT_BYTES // weight_bytes))


def _reversed(tensor: tf.Tensor) -> tf.Tensor:
    """The other order of time: `REVERSE_V2` copies rows, where a slice with a negative stride copies single numbers."""
    return tf.reverse(tensor, axis=[0])


def _swapped(tensor: tf.Tensor) -> tf.Tensor:
    """Batch-major to time-major, or back."""
    return tf.transpose(tensor, [1, 0, 2])
