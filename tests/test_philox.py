"""Random numbers of many seeds at once: TensorFlow's of each, to the bit."""

import numpy as np
import pytest
import tensorflow as tf

from speechgru import philox
from speechgru.augment.seeds import part_seed, part_seeds

SEEDS_B2 = np.array([[0, 0], [1, 2], [-1, 7], [2**31 - 1, -(2**31)], [123456789, -987654321]], np.int32)


@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_the_numbers_of_each_seed_are_tensorflows(count):
    for dtype, found_BK in (("uint32", philox.bits(SEEDS_B2, count)), ("float32", philox.uniform(SEEDS_B2, count))):
        assert found_BK.shape == (len(SEEDS_B2), count) and found_BK.dtype == dtype
        limits = {} if dtype == "float32" else {"minval": None, "maxval": None}
        for row_K, seed in zip(found_BK, SEEDS_B2, strict=True):
            np.testing.assert_array_equal(row_K, tf.random.stateless_uniform([count], seed, dtype=dtype, **limits))


def test_no_seeds_have_no_numbers():
    assert philox.uniform(np.zeros([0, 2], np.int32), 5).shape == (0, 5)


@pytest.mark.parametrize("part", [0, 4, 7, 8, 30])
def test_the_parts_of_many_seeds_are_those_of_each(part):
    found_B2 = part_seeds(SEEDS_B2, part)
    assert found_B2.dtype == np.int32
    np.testing.assert_array_equal(found_B2, [part_seed(tf.constant(seed), part).numpy() for seed in SEEDS_B2])
