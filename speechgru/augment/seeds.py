"""The seed of each part of an augmentation, so that new parts move no other draw."""

from __future__ import annotations

import tensorflow as tf

#: The first parts are split off an utterance's seed together; the length's is drawn from where nobody planned it.
_NUM_SPLIT = 8
LENGTH = 0


def part_seed(seed: tf.Tensor, part: int) -> tf.Tensor:
    """The part of an utterance's seed that one stage draws from; no two are related."""
    if part < _NUM_SPLIT:
        return split_seed(seed, _NUM_SPLIT)[part]
    # A wider split would give the first parts other seeds, and every run of before another augmentation.
    return tf.random.experimental.stateless_fold_in(seed, part)


def split_seed(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """`count` independent seeds from one, which must not be drawn from as well."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, count))
