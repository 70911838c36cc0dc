"""Dropout and layer normalisation as machine code: one pass over some rows of a batch.

The random numbers are Philox's with TensorFlow's key and counter, so that the masks are those of `tf.nn.experimental.
stateless_dropout`; a mask is drawn again for the backward pass and never kept.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3 (Philox4x32 of 10 rounds).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, int64, uint32, uint64

from speechgru.jit import associative, entry, given, inner

#: Blocks of four random numbers that are drawn at once.
BLOCKS = 256

_FACTORS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _SHIFT, _ONE = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(1)
#: The bits of a random number that TensorFlow makes a float32 in [0, 1) of.
_FRACTION = np.uint32(0x7FFFFF)
_ZERO = np.float32(0.0)


@inner
def _draw(key: Any, low: Any, high: Any, first: Any, numbers: Any) -> None:
    """Fills `4 * BLOCKS` random numbers, those of the blocks from `first` on behind the counter."""
    factor_0, factor_1 = _FACTORS
    for g in range(BLOCKS):
        place = low + first + np.uint64(g)
        carry = _ONE if place < low else np.uint64(0)
        c0, c1 = place & _LOW, place >> _SHIFT
        c2, c3 = (high + carry) & _LOW, (high + carry) >> _SHIFT
        k0, k1 = key & _LOW, key >> _SHIFT
        for _ in range(10):
            product_0, product_1 = factor_0 * c0, factor_1 * c2
            c0, c2 = (product_1 >> _SHIFT) ^ c1 ^ k0, (product_0 >> _SHIFT) ^ c3 ^ k1
            c1, c3 = product_1 & _LOW, product_0 & _LOW
            k0, k1 = (k0 + _STEPS[0]) & _LOW, (k1 + _STEPS[1]) & _LOW
        numbers[4 * g] = np.uint32(c0)
        numbers[4 * g + 1] = np.uint32(c1)
        numbers[4 * g + 2] = np.uint32(c2)
        numbers[4 * g + 3] = np.uint32(c3)


@inner
def _select(inputs: Any, numbers: Any, least: Any, scale: Any, outputs: Any, count: int) -> None:
    for i in range(count):
        outputs[i] = inputs[i] * scale if numbers[i] & _FRACTION >= least else _ZERO


@entry(given(float32, 1), uint64, uint64, uint64, uint32, float32, int64, int64, uint32[::1], float32[::1])
def dropout(
    inputs_I: np.ndarray,
    key: int,
    low: int,
    high: int,
    least: int,
    scale: float,
    first: int,
    end: int,
    numbers: np.ndarray,
    outputs_I: np.ndarray,
) -> None:
    """Drops some numbers, each by its own random one.

    Args:
        inputs_I: a batch's numbers.
        key, low, high: Philox's key and the halves of its counter at the first number.
        least: a number is kept if the fraction of its random number, an integer below 2^23, is not below it.
        scale: multiplies what is kept.
        first, end: the numbers that this call computes; `first` a multiple of `4 * BLOCKS`.
        numbers: space for `4 * BLOCKS` random numbers.
        outputs_I: filled.
    """
    for start in range(first, end, 4 * BLOCKS):
        _draw(key, low, high, np.uint64(start // 4), numbers)
        _select(inputs_I[start:], numbers, least, scale, outputs_I[start:], min(4 * BLOCKS, end - start))


@associative
def _moments(x: Any, count: int) -> Any:
    """The mean of some numbers, and the mean of their squared distances from it."""
    total = _ZERO
    for j in range(count):
        total += x[j]
    mean = total / np.float32(count)
    squares = _ZERO
    for j in range(count):
        squares += (x[j] - mean) * (x[j] - mean)
    return mean, squares / np.float32(count)


@associative
def _slopes(x: Any, upstream: Any, gamma: Any, mean: Any, count: int) -> Any:
    """The means of the gradient of the normalised numbers, and of it times them before they are divided."""
    total = _ZERO
    along = _ZERO
    for j in range(count):
        d = upstream[j] * gamma[j]
        total += d
        along += d * (x[j] - mean)
    return total / np.float32(count), along / np.float32(count)


@entry(given(float32, 2), given(float32, 1), given(float32, 1), float32, int64, int64, float32[:, ::1])
def normalize(
    inputs_RD: np.ndarray,
    gamma_D: np.ndarray,
    beta_D: np.ndarray,
    epsilon: float,
    first: int,
    end: int,
    outputs_RD: np.ndarray,
) -> None:
    """Layer normalisation of the rows `first` to `end`: (x - mean) / sqrt(variance + epsilon) * gamma + beta."""
    width = inputs_RD.shape[1]
    for row in range(first, end):
        x, outputs = inputs_RD[row], outputs_RD[row]
        mean, variance = _moments(x, width)
        scale = np.float32(1.0) / np.sqrt(variance + epsilon)
        for j in range(width):
            outputs[j] = (x[j] - mean) * scale * gamma_D[j] + beta_D[j]


@entry(
    given(float32, 2),
    given(float32, 2),
    given(float32, 1),
    float32,
    int64,
    int64,
    float32[:, ::1],
    float32[::1],
    float32[::1],
)
def normalize_backward(
    upstream_RD: np.ndarray,
    inputs_RD: np.ndarray,
    gamma_D: np.ndarray,
    epsilon: float,
    first: int,
    end: int,
    d_inputs_RD: np.ndarray,
    d_gamma_D: np.ndarray,
    d_beta_D: np.ndarray,
) -> None:
    """The gradient of `normalize` for the same rows; those of gamma and beta are added to.

    With d the gradient of the outputs and n = (x - mean) / deviation, that of x is
    (d gamma - mean(d gamma) - n mean(d gamma n)) / deviation.
    """
    width = inputs_RD.shape[1]
    for row in range(first, end):
        x, upstream, d_x = inputs_RD[row], upstream_RD[row], d_inputs_RD[row]
        mean, variance = _moments(x, width)
        scale = np.float32(1.0) / np.sqrt(variance + epsilon)
        total, along = _slopes(x, upstream, gamma_D, mean, width)
        along *= scale * scale
        for j in range(width):
            away = x[j] - mean
            d_gamma_D[j] += upstream[j] * away * scale
            d_beta_D[j] += upstream[j]
            d_x[j] = (upstream[j] * gamma_D[j] - total - away * along) * scale
