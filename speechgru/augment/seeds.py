"""The seed of each part of an augmentation, so that new parts move no other draw."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from speechgru import philox

#: The first parts are split off an utterance's seed together; the length's is drawn from where nobody planned it.
_NUM_SPLIT = 8
LENGTH = 0


def part_seed(seed: tf.Tensor, part: int) -> tf.Tensor:
    """The part of an utterance's seed that one stage draws from; no two are related."""
    if part < _NUM_SPLIT:
        return split_seed(seed, _NUM_SPLIT)[part]
    # A wider split would give the first parts other seeds, and every run of before another augmentation.
    return tf.random.experimental.stateless_fold_in(seed, part)


def part_seeds(seeds_B2: np.ndarray, part: int) -> np.ndarray:
    """`part_seed` of many seeds at once, in NumPy: int32 [B, 2]."""
    if part < _NUM_SPLIT:
        return philox.bits(seeds_B2, 2 * _NUM_SPLIT)[:, 2 * part : 2 * part + 2].view(np.int32)
    folded_B1 = philox.bits(seeds_B2, 1).view(np.int32)
    return np.concatenate([folded_B1, np.full_like(folded_B1, part)], axis=1)


def split_seed(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """`count` independent seeds from one, which must not be drawn from as well."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, count))
