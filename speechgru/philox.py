"""TensorFlow's stateless random numbers of many seeds at once, in NumPy: a few of each.

An operation of TensorFlow draws from one seed; a batch in which each row has its own would be a loop of operations.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3 (Philox4x32 of 10 rounds).
"""

from __future__ import annotations

import numpy as np

_FACTORS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_STEPS = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW, _SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
#: The key with which TensorFlow makes a key and a counter of a seed, so that like seeds have unlike numbers.
_SEEDS_KEY = np.array([0x3EC8F720], np.uint64), np.array([0x02461E29], np.uint64)


def bits(seeds_B2: np.ndarray, count: int) -> np.ndarray:
    """`count` numbers of 32 random bits from each seed, uint32 [B, count].

    They are `tf.random.stateless_uniform(..., minval=None, maxval=None, dtype=tf.uint32)` by the algorithm Philox.

    >>> bits(np.array([[1, 2], [-3, 4]]), 5).shape
    (2, 5)
    """
    halves = seeds_B2.astype(np.int64).view(np.uint64)
    mixed_0, mixed_1, mixed_2, mixed_3 = _rounds(
        halves[:, 0] & _LOW, halves[:, 0] >> _SHIFT, halves[:, 1] & _LOW, halves[:, 1] >> _SHIFT, *_SEEDS_KEY
    )
    # A seed's counter begins at 0 in its lower half.
    blocks_K = np.arange(-(-count // 4), dtype=np.uint64)
    low_BK = np.broadcast_to(blocks_K, (len(seeds_B2), len(blocks_K)))
    numbers = _rounds(
        low_BK, np.zeros_like(low_BK), mixed_2[:, None], mixed_3[:, None], mixed_0[:, None], mixed_1[:, None]
    )
    numbers_BI = np.stack(np.broadcast_arrays(*numbers), axis=2).reshape(len(seeds_B2), 4 * len(blocks_K))
    return numbers_BI[:, :count].astype(np.uint32)


def uniform(seeds_B2: np.ndarray, count: int) -> np.ndarray:
    """`count` numbers in [0, 1) from each seed, float32 [B, count]: those of `tf.random.stateless_uniform`.

    >>> bool((uniform(np.array([[1, 2]]), 100) < 1).all())
    True
    """
    return (bits(seeds_B2, count) & np.uint32(0x7FFFFF)).astype(np.float32) * np.float32(2**-23)


def _rounds(
    c0: np.ndarray, c1: np.ndarray, c2: np.ndarray, c3: np.ndarray, k0: np.ndarray, k1: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The four numbers of 32 bits of each counter, which are numbers of 32 bits too, in 64."""
    for _ in range(10):
        product_0, product_1 = _FACTORS[0] * c0, _FACTORS[1] * c2
        c0, c2 = (product_1 >> _SHIFT) ^ c1 ^ k0, (product_0 >> _SHIFT) ^ c3 ^ k1
        c1, c3 = product_1 & _LOW, product_0 & _LOW
        k0, k1 = (k0 + _STEPS[0]) & _LOW, (k1 + _STEPS[1]) & _LOW
    return c0, c1, c2, c3
