"""The recurrence of `compiled`, as machine code: one direction of a GRU over some rows of a batch, and its gradient.

With s the logistic function, m = h R the recurrent products, and
u = s(sign * (a_u + m_u)) what is new of a state (`sign` is -1 where the update gate says what is kept, 1 - u):

    r = s(a_r + m_r),  n = tanh(a_h + r * (m_h + c)),  h' = h + u * (n - h)

A step is one product (`products`) and one pass over its numbers while they are in the first cache; TensorFlow's
operations make some eight passes and dispatches of it. What the backward pass needs is written in the same pass.

Axes: B batch, R the rows of one call, T frames, F inputs, U units, G = 3U gates in the order update, reset, candidate,
Y = U of all directions, K = `KEPT` U of all directions, N frames of several rows; E, H and W are F, U and G, each
padded to whole tiles (`products.padded`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import boolean, float32, int64

from speechgru.gru.products import multiply
from speechgru.jit import entry, given, inner, logistic, tanh

#: Numbers a unit that the forward pass keeps for the backward pass: u, r, n, m_h + c, and the state before the frame.
KEPT = 5
#: Frames of which a product takes in at once: its factors fit in the second cache.
GATHERED = 256

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
def _clear(numbers: Any, count: int) -> None:
    for j in range(count):
        numbers[j] = _ZERO


_GIVEN_VECTOR, _GIVEN_MATRIX, _GIVEN_BATCH = (given(float32, ndim) for ndim in (1, 2, 3))
_PLACES, _MATRIX, _BATCH = given(int64, 1), float32[:, ::1], float32[:, :, ::1]


@entry(
    _GIVEN_BATCH,
    _GIVEN_MATRIX,
    _GIVEN_MATRIX,
    _GIVEN_VECTOR,
    given(boolean, 2),
    _GIVEN_MATRIX,
    _PLACES,
    _PLACES,
    float32,
    boolean,
    int64,
    _MATRIX,
    _MATRIX,
    _MATRIX,
    _BATCH,
    _BATCH,
    _BATCH,
)
def forward(
    inputs_BTF: np.ndarray,
    kernel_FW: np.ndarray,
    recurrent_UW: np.ndarray,
    bias_4U: np.ndarray,
    valid_BT: np.ndarray,
    mask_BU: np.ndarray,
    rows_R: np.ndarray,
    ends_R: np.ndarray,
    sign: float,
    backwards: bool,
    direction: int,
    h_RH: np.ndarray,
    masked_RH: np.ndarray,
    m_RW: np.ndarray,
    gates_RTW: np.ndarray,
    outputs_BTY: np.ndarray,
    kept_BTK: np.ndarray,
) -> None:
    """Runs one direction over some rows of a batch.

    Args:
        inputs_BTF: x.
        kernel_FW, recurrent_UW: W and R, padded by zeros.
        bias_4U: of a_u, a_r and a_h, and c.
        valid_BT: at a frame that is not valid the state passes unchanged, and the output is 0; of no rows: all are.
        mask_BU: of recurrent dropout, multiplies the state in the products; of no rows: there is none.
        rows_R: which rows of the batch it runs.
        ends_R: the number of frames of each up to its last valid one, the longest row first.
        sign: 1, or -1 where the update gate says what is kept.
        backwards: from the last frame to the first.
        direction: which columns of the outputs are this one's.
        h_RH: the states before the first frame; afterwards those after the last.
        masked_RH, m_RW, gates_RTW: space for the masked states, their products, and x W.
        outputs_BTY: filled.
        kept_BTK: filled with what `backward` needs, unless it has one frame only where there are more.
    """
    num_frames, width = inputs_BTF.shape[1], inputs_BTF.shape[2]
    units, rows, gates_width, h_width = recurrent_UW.shape[0], len(rows_R), recurrent_UW.shape[1], h_RH.shape[1]
    all_valid, is_masked, keeps = len(valid_BT) == 0, len(mask_BU) > 0, kept_BTK.shape[1] == num_frames
    y, k = units * direction, KEPT * units * direction
    for row in range(rows):
        b = rows_R[row]
        for t in range(ends_R[row], num_frames):
            _clear(outputs_BTY[b, t, y:], units)
        for t in range(0, ends_R[row], GATHERED):
            frames = min(GATHERED, ends_R[row] - t)
            x_start, a_start = (b * num_frames + t) * width, (row * num_frames + t) * gates_width
            multiply(inputs_BTF, x_start, width, 1, frames, kernel_FW, 0, gates_RTW, a_start, gates_width, width, False)
    active = 0 if backwards else rows
    for i in range(num_frames):
        t = num_frames - 1 - i if backwards else i
        # Rows that have ended, or backwards not begun, stand behind the others and cost nothing.
        while backwards and active < rows and ends_R[active] > t:
            active += 1
        while not backwards and active > 0 and ends_R[active - 1] <= t:
            active -= 1
        if is_masked:
            for row in range(active):
                for j in range(units):
                    masked_RH[row, j] = h_RH[row, j] * mask_BU[rows_R[row], j]
            multiply(masked_RH, 0, h_width, 1, active, recurrent_UW, 0, m_RW, 0, gates_width, units, False)
        else:
            multiply(h_RH, 0, h_width, 1, active, recurrent_UW, 0, m_RW, 0, gates_width, units, False)
        for row in range(active):
            b = rows_R[row]
            outputs, kept = outputs_BTY[b, t, y:], kept_BTK[b, t if keeps else 0, k:]
            if all_valid or valid_BT[b, t]:
                _step_forward(gates_RTW[row, t], m_RW[row], bias_4U, sign, h_RH[row], outputs, kept, units)
            else:
                _clear(outputs, units)


@entry(
    _GIVEN_BATCH,
    _GIVEN_BATCH,
    _GIVEN_BATCH,
    _GIVEN_MATRIX,
    given(boolean, 2),
    _GIVEN_MATRIX,
    _PLACES,
    _PLACES,
    float32,
    boolean,
    int64,
    _MATRIX,
    _MATRIX,
    _MATRIX,
    _MATRIX,
    _BATCH,
    _MATRIX,
    _MATRIX,
    float32[::1],
)
def backward(
    upstream_BTY: np.ndarray,
    kept_BTK: np.ndarray,
    inputs_BTF: np.ndarray,
    transposed_GH: np.ndarray,
    valid_BT: np.ndarray,
    mask_BU: np.ndarray,
    rows_R: np.ndarray,
    ends_R: np.ndarray,
    sign: float,
    backwards: bool,
    direction: int,
    d_RH: np.ndarray,
    through_RH: np.ndarray,
    before_NH: np.ndarray,
    d_products_NW: np.ndarray,
    d_gates_BTW: np.ndarray,
    d_kernel_FW: np.ndarray,
    d_recurrent_UW: np.ndarray,
    d_bias_4U: np.ndarray,
) -> None:
    """The gradient of `forward` for the same rows, but for that of the inputs.

    With d the gradient of h':

        d_u = sign * d * (n - h) * u * (1 - u)   gradient of a_u, and of m_u
        d_h = d * u * (1 - n^2)                  gradient of a_h
        d_m = d_h * r                            gradient of m_h
        d_r = d_h * (m_h + c) * r * (1 - r)      gradient of a_r, and of m_r
        d  <- d * (1 - u) + [d_u, d_r, d_m] R^T

    Args:
        upstream_BTY: the gradient of the outputs.
        kept_BTK: what `forward` kept.
        transposed_GH: R^T, padded by zeros.
        inputs_BTF, valid_BT, mask_BU, rows_R, ends_R, sign, backwards, direction: as `forward` got them.
        d_RH: the gradients of the last states; afterwards those of the first.
        through_RH: space for [d_u, d_r, d_m] R^T.
        before_NH, d_products_NW: space for the states and gradients of some frames.
        d_gates_BTW: filled with the gradient of x W at every row's frames up to its last valid one.
        d_kernel_FW, d_recurrent_UW, d_bias_4U: added to.
    """
    num_frames, width = inputs_BTF.shape[1], inputs_BTF.shape[2]
    units, rows, gates_width, h_width = transposed_GH.shape[0] // 3, len(rows_R), d_products_NW.shape[1], d_RH.shape[1]
    all_valid, is_masked = len(valid_BT) == 0, len(mask_BU) > 0
    y, k = units * direction, KEPT * units * direction
    active = rows if backwards else 0
    # The recurrent kernel's gradient is a sum over frames of h^T [d_u, d_r, d_m]: the factors of some frames are
    # gathered and multiplied at once, so that what it has so far is read and written less often.
    gathered = 0
    for i in range(num_frames):
        t = i if backwards else num_frames - 1 - i
        while not backwards and active < rows and ends_R[active] > t:
            active += 1
        while backwards and active > 0 and ends_R[active - 1] <= t:
            active -= 1
        for row in range(active):
            b, before, d_products = rows_R[row], before_NH[gathered + row], d_products_NW[gathered + row]
            d_gates = d_gates_BTW[b, t]
            if all_valid or valid_BT[b, t]:
                upstream, kept = upstream_BTY[b, t, y:], kept_BTK[b, t, k:]
                _step_backward(kept, upstream, sign, d_RH[row], d_products, before, d_gates, units)
                _add(d_bias_4U, d_gates, 3 * units)
                _add(d_bias_4U[3 * units :], d_products[2 * units :], units)
                if is_masked:
                    _multiply_by(before, mask_BU[b], units)
            else:
                _clear(d_gates, 3 * units)
                _clear(d_products, 3 * units)
                _clear(before, units)
        start = gathered * gates_width
        multiply(
            d_products_NW, start, gates_width, 1, active, transposed_GH, 0, through_RH, 0, h_width, 3 * units, False
        )
        for row in range(active):
            if is_masked:
                _multiply_by(through_RH[row], mask_BU[rows_R[row]], units)
            _add(d_RH[row], through_RH[row], units)
        gathered += active
        if gathered + rows > len(before_NH) or i == num_frames - 1:
            multiply(before_NH, 0, 1, h_width, units, d_products_NW, 0, d_recurrent_UW, 0, gates_width, gathered, True)
            gathered = 0
    for row in range(rows):
        for t in range(0, ends_R[row], GATHERED):
            first, frames = rows_R[row] * num_frames + t, min(GATHERED, ends_R[row] - t)
            multiply(
                inputs_BTF,
                first * width,
                1,
                width,
                width,
                d_gates_BTW,
                first * gates_width,
                d_kernel_FW,
                0,
                gates_width,
                frames,
                True,
            )


@entry(_GIVEN_BATCH, _GIVEN_MATRIX, _PLACES, _PLACES, boolean, _BATCH)
def backward_inputs(
    d_gates_BTW: np.ndarray,
    transposed_GE: np.ndarray,
    rows_R: np.ndarray,
    ends_R: np.ndarray,
    adds: bool,
    d_inputs_BTE: np.ndarray,
) -> None:
    """What one direction has of the inputs' gradient, which all directions share.

    Args:
        d_gates_BTW: as `backward` filled it.
        transposed_GE: W^T, padded by zeros.
        rows_R, ends_R: as `forward` got them.
        adds: whether what an earlier direction has is added to.
        d_inputs_BTE: filled up to every row's last valid frame; E is F padded to whole tiles.
    """
    num_frames, gates_width = d_gates_BTW.shape[1], d_gates_BTW.shape[2]
    depth, width = transposed_GE.shape
    for row in range(len(rows_R)):
        for t in range(0, ends_R[row], GATHERED):
            first, frames = rows_R[row] * num_frames + t, min(GATHERED, ends_R[row] - t)
            multiply(
                d_gates_BTW,
                first * gates_width,
                gates_width,
                1,
                frames,
                transposed_GE,
                0,
                d_inputs_BTE,
                first * width,
                width,
                depth,
                adds,
            )
