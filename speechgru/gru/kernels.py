"""The recurrence of `compiled`, as machine code: a GRU layer over some rows of a batch, and its gradient.

With s the logistic function, m = h R the recurrent products, and
u = s(sign * (a_u + m_u)) what is new of a state (`sign` is -1 where the update gate says what is kept, 1 - u):

    r = s(a_r + m_r),  n = tanh(a_h + r * (m_h + c)),  h' = h + u * (n - h)

A step is one product (`products`) and one pass over its numbers while they are in the first cache; TensorFlow's
operations make some eight passes and dispatches of it. What the backward pass needs is written in the same pass.

Axes: B batch, R the rows of one call, D directions, T frames, F inputs, U units, G = 3U gates in the order update,
reset, candidate, Y = U of all directions, K = `KEPT` U of all directions, N frames of a block in all rows of a call; E,
H and W are F, U and G, each padded to whole tiles (`products.padded`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, float32, int64

from speechgru.gru.products import TILE, multiply, multiply_column
from speechgru.jit import entry, given, inner, logistic, tanh

#: Numbers a unit that the forward pass keeps for the backward pass: u, r, n, m_h + c, and the state before the frame.
KEPT = 5
#: Rows of the matrices that a block of frames makes: what it works on fits in the second cache.
BLOCK_ROWS = 128

_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


@inner
def _step_forward(a: Any, m_G: Any, bias_4U: Any, sign: Any, h_U: Any, outputs: Any, kept: Any, units: int) -> None:
    """One frame of one row. Its arguments begin at 0, so that the loop becomes vector instructions."""
    for j in range(units):
        u = logistic(sign * (a[j] + m_G[j] + bias_4U[j]))
        r = logistic(a[units + j] + m_G[units + j] + bias_4U[units + j])
        m = m_G[2 * units + j] + bias_4U[3 * units + j]
        n = tanh(a[2 * units + j] + bias_4U[2 * units + j] + r * m)
        before = h_U[j]
        h = before + u * (n - before)
        h_U[j] = h
        outputs[j] = h
        kept[j] = u
        kept[units + j] = r
        kept[2 * units + j] = n
        kept[3 * units + j] = m
        kept[4 * units + j] = before


@inner
def _step_backward(
    kept: Any, upstream: Any, sign: Any, d_U: Any, d_products: Any, before_U: Any, d_gates: Any, units: int
) -> None:
    """One frame of one row."""
    for j in range(units):
        u, r, n, m, before = (
            kept[j],
            kept[units + j],
            kept[2 * units + j],
            kept[3 * units + j],
            kept[4 * units + j],
        )
        d = d_U[j] + upstream[j]
        keep = _ONE - u
        d_n = d * u * (_ONE - n * n)
        d_m = d_n * r
        d_r = d_m * m * (_ONE - r)
        d_u = sign * d * (n - before) * u * keep
        d_U[j] = d * keep
        before_U[j] = before
        d_products[j] = d_u
        d_products[units + j] = d_r
        d_products[2 * units + j] = d_m
        d_gates[j] = d_u
        d_gates[units + j] = d_r
        d_gates[2 * units + j] = d_n


@inner
def _add(total: Any, part: Any, count: int) -> None:
    for j in range(count):
        total[j] += part[j]


@inner
def _multiply_by(total: Any, factor: Any, count: int) -> None:
    for j in range(count):
        total[j] *= factor[j]


@inner
def _count_active(ends_R: Any, t: int) -> int:
    """The rows that have not ended at frame t; they stand before the others, which cost nothing."""
    active = len(ends_R)
    while active > 0 and ends_R[active - 1] <= t:
        active -= 1
    return active


@inner
def _copy(source: Any, target: Any, count: int) -> None:
    for j in range(count):
        target[j] = source[j]


@inner
def _clear(numbers: Any, count: int) -> None:
    for j in range(count):
        numbers[j] = _ZERO


_GIVEN_MATRIX, _GIVEN_BATCH = given(float32, 2), given(float32, 3)
_PLACES, _MATRIX, _BATCH = given(int64, 1), float32[:, ::1], float32[:, :, ::1]


@entry(
    _GIVEN_BATCH,
    _GIVEN_BATCH,
    _GIVEN_BATCH,
    _GIVEN_MATRIX,
    given(boolean, 2),
    _GIVEN_BATCH,
    _PLACES,
    _PLACES,
    float32,
    given(boolean, 1),
    int64,
    int64,
    int64,
    _BATCH,
    _MATRIX,
    _MATRIX,
    _MATRIX,
    _BATCH,
    _BATCH,
)
def forward(
    inputs_BTF: np.ndarray,
    kernel_DFW: np.ndarray,
    recurrent_DUW: np.ndarray,
    bias_D4U: np.ndarray,
    valid_BT: np.ndarray,
    masks_DBU: np.ndarray,
    rows_R: np.ndarray,
    ends_R: np.ndarray,
    sign: float,
    backwards_D: np.ndarray,
    first: int,
    end: int,
    block: int,
    h_DRH: np.ndarray,
    masked_RH: np.ndarray,
    m_RW: np.ndarray,
    gates_NW: np.ndarray,
    outputs_BTY: np.ndarray,
    kept_BTK: np.ndarray,
) -> None:
    """Runs some directions over some rows of a batch, a block of frames after the other.

    Args:
        inputs_BTF: x.
        kernel_DFW, recurrent_DUW: W and R of every direction, padded by zeros.
        bias_D4U: of a_u, a_r and a_h, and c.
        valid_BT: at a frame that is not valid the state passes unchanged, and the output is 0; of no rows: all are.
        masks_DBU: of recurrent dropout, multiply the state in the products; of no rows: there are none.
        rows_R: which rows of the batch it runs.
        ends_R: the number of frames of each up to its last valid one, the longest row first.
        sign: 1, or -1 where the update gate says what is kept.
        backwards_D: from the last frame to the first.
        first, end: the directions that it runs.
        block: frames of which x W is computed at once.
        h_DRH: the states before the first frame; afterwards those after the last.
        masked_RH, m_RW, gates_NW: space for the masked states, their products, and x W of a block, frame after frame.
        outputs_BTY: filled.
        kept_BTK: filled with what `backward` needs, unless it has one frame only where there are more.
    """
    num_frames, width = inputs_BTF.shape[1], inputs_BTF.shape[2]
    units, gates_width = recurrent_DUW.shape[1], recurrent_DUW.shape[2]
    rows, h_width = len(rows_R), h_DRH.shape[2]
    all_valid, is_masked, keeps = len(valid_BT) == 0, masks_DBU.shape[1] > 0, kept_BTK.shape[1] == num_frames
    num_blocks = -(-num_frames // block)
    for direction in range(first, end):
        y, k = units * direction, KEPT * units * direction
        h_start, r_start, w_start = direction * rows * h_width, direction * units * gates_width, direction * width
        for i in range(num_blocks):
            t_first = block * (num_blocks - 1 - i if backwards_D[direction] else i)
            frames = min(block, num_frames - t_first)
            # One column of W serves all rows while it is in the first cache, and x W stays in the second.
            for column in range(0, gates_width, TILE):
                for row in range(rows):
                    multiply_column(
                        inputs_BTF,
                        (rows_R[row] * num_frames + t_first) * width,
                        width,
                        1,
                        min(frames, ends_R[row] - t_first),
                        kernel_DFW,
                        w_start * gates_width + column,
                        gates_width,
                        gates_NW,
                        row * gates_width + column,
                        rows * gates_width,
                        width,
                        False,
                    )
            for step in range(frames):
                place = frames - 1 - step if backwards_D[direction] else step
                t = t_first + place
                active = _count_active(ends_R, t)
                if is_masked:
                    for row in range(active):
                        for j in range(units):
                            masked_RH[row, j] = h_DRH[direction, row, j] * masks_DBU[direction, rows_R[row], j]
                    multiply(
                        masked_RH, 0, h_width, 1, active, recurrent_DUW, r_start, m_RW, 0, gates_width, units, False
                    )
                else:
                    multiply(
                        h_DRH, h_start, h_width, 1, active, recurrent_DUW, r_start, m_RW, 0, gates_width, units, False
                    )
                for row in range(active):
                    b = rows_R[row]
                    outputs, kept = outputs_BTY[b, t, y:], kept_BTK[b, t if keeps else 0, k:]
                    if all_valid or valid_BT[b, t]:
                        gates, h_U = gates_NW[place * rows + row], h_DRH[direction, row]
                        _step_forward(gates, m_RW[row], bias_D4U[direction], sign, h_U, outputs, kept, units)
                    else:
                        _clear(outputs, units)
                for row in range(active, rows):
                    _clear(outputs_BTY[rows_R[row], t, y:], units)


@entry(
    _GIVEN_BATCH,
    _GIVEN_BATCH,
    _GIVEN_BATCH,
    _GIVEN_BATCH,
    _GIVEN_BATCH,
    given(boolean, 2),
    _GIVEN_BATCH,
    _PLACES,
    _PLACES,
    float32,
    given(boolean, 1),
    int64,
    int64,
    int64,
    _BATCH,
    _MATRIX,
    _MATRIX,
    _MATRIX,
    _MATRIX,
    _MATRIX,
    _BATCH,
    _BATCH,
    _BATCH,
    _MATRIX,
)
def backward(
    upstream_BTY: np.ndarray,
    kept_BTK: np.ndarray,
    inputs_BTF: np.ndarray,
    kernel_DGE: np.ndarray,
    recurrent_DGH: np.ndarray,
    valid_BT: np.ndarray,
    masks_DBU: np.ndarray,
    rows_R: np.ndarray,
    ends_R: np.ndarray,
    sign: float,
    backwards_D: np.ndarray,
    first: int,
    end: int,
    block: int,
    d_DRH: np.ndarray,
    through_RH: np.ndarray,
    inputs_NE: np.ndarray,
    before_NH: np.ndarray,
    d_products_NW: np.ndarray,
    d_gates_NW: np.ndarray,
    d_inputs_BTE: np.ndarray,
    d_kernel_DFW: np.ndarray,
    d_recurrent_DUW: np.ndarray,
    d_bias_D4U: np.ndarray,
) -> None:
    """The gradient of `forward` for the same directions and rows.

    With d the gradient of h':

        d_u = sign * d * (n - h) * u * (1 - u)   gradient of a_u, and of m_u
        d_h = d * u * (1 - n^2)                  gradient of a_h
        d_m = d_h * r                            gradient of m_h
        d_r = d_h * (m_h + c) * r * (1 - r)      gradient of a_r, and of m_r
        d  <- d * (1 - u) + [d_u, d_r, d_m] R^T

    What is left are sums over frames: of h^T [d_u, d_r, d_m] for R, of x^T [d_u, d_r, d_h] for W; and, for x,
    [d_u, d_r, d_h] W^T. Their factors are gathered for a block of frames and multiplied at once.

    Args:
        upstream_BTY: the gradient of the outputs.
        kept_BTK: what `forward` kept.
        kernel_DGE, recurrent_DGH: W^T and R^T of every direction, padded by zeros.
        inputs_BTF, valid_BT, masks_DBU, rows_R, ends_R, sign, backwards_D, first, end: as `forward` got them.
        block: frames of a block.
        d_DRH: the gradients of the last states; afterwards those of the first.
        through_RH: space for [d_u, d_r, d_m] R^T.
        inputs_NE, before_NH, d_products_NW, d_gates_NW: space for the factors of a block, frame after frame.
        d_inputs_BTE: filled up to every row's last valid frame.
        d_kernel_DFW, d_recurrent_DUW, d_bias_D4U: added to.
    """
    num_frames, width = inputs_BTF.shape[1], inputs_BTF.shape[2]
    gates_width, h_width, e_width = d_products_NW.shape[1], d_DRH.shape[2], inputs_NE.shape[1]
    rows, units = len(rows_R), recurrent_DGH.shape[1] // 3
    all_valid, is_masked = len(valid_BT) == 0, masks_DBU.shape[1] > 0
    num_blocks = -(-num_frames // block)
    for direction in range(first, end):
        y, k = units * direction, KEPT * units * direction
        bias, d_h = d_bias_D4U[direction], d_DRH[direction]
        r_start, w_start = direction * 3 * units * h_width, direction * 3 * units * e_width
        for i in range(num_blocks):
            t_first = block * (i if backwards_D[direction] else num_blocks - 1 - i)
            frames = min(block, num_frames - t_first)
            for step in range(frames):
                place = step if backwards_D[direction] else frames - 1 - step
                t, n = t_first + place, place * rows
                active = _count_active(ends_R, t)
                for row in range(rows):
                    b, before, d_products, d_gates = rows_R[row], before_NH[n], d_products_NW[n], d_gates_NW[n]
                    x = inputs_NE[n]
                    n += 1
                    if row < active and (all_valid or valid_BT[b, t]):
                        _copy(inputs_BTF[b, t], x, width)
                        upstream, kept = upstream_BTY[b, t, y:], kept_BTK[b, t, k:]
                        _step_backward(kept, upstream, sign, d_h[row], d_products, before, d_gates, units)
                        _add(bias, d_gates, 3 * units)
                        _add(bias[3 * units :], d_products[2 * units :], units)
                        if is_masked:
                            _multiply_by(before, masks_DBU[direction, b], units)
                    else:
                        _clear(x, width)
                        _clear(d_gates, 3 * units)
                        _clear(d_products, 3 * units)
                        _clear(before, units)
                start = place * rows * gates_width
                multiply(
                    d_products_NW,
                    start,
                    gates_width,
                    1,
                    active,
                    recurrent_DGH,
                    r_start,
                    through_RH,
                    0,
                    h_width,
                    3 * units,
                    False,
                )
                for row in range(active):
                    if is_masked:
                        _multiply_by(through_RH[row], masks_DBU[direction, rows_R[row]], units)
                    _add(d_h[row], through_RH[row], units)
            count = frames * rows
            start = direction * units * gates_width
            multiply(
                before_NH, 0, 1, h_width, units, d_products_NW, 0, d_recurrent_DUW, start, gates_width, count, True
            )
            start = direction * width * gates_width
            multiply(inputs_NE, 0, 1, e_width, width, d_gates_NW, 0, d_kernel_DFW, start, gates_width, count, True)
            for column in range(0, e_width, TILE):
                for row in range(rows):
                    multiply_column(
                        d_gates_NW,
                        row * gates_width,
                        rows * gates_width,
                        1,
                        min(frames, ends_R[row] - t_first),
                        kernel_DGE,
                        w_start + column,
                        e_width,
                        d_inputs_BTE,
                        (rows_R[row] * num_frames + t_first) * e_width + column,
                        e_width,
                        3 * units,
                        direction > first,
                    )
