"""The seed of each part of an augmentation, so that new parts move no other draw."""

from __future__ import annotations

import tensorflow as tf

# Which part of an utterance's seed each kind draws from.
LENGTH, REVERB, NOISE, GAIN, WARP, TIME_MASKS, FREQUENCY_MASKS, EQUALIZER = range(8)
_NUM_PARTS = 8


def part_seed(seed: tf.Tensor, part: int) -> tf.Tensor:
    """The part of an utterance's seed that one kind of augmentation draws from; no two are related."""
    return split_seed(seed, _NUM_PARTS)[part]


def split_seed(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """So many independent seeds from one, which must not be drawn from as well."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, count))
