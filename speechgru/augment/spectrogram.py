"""Augmentation of spectrograms: vocal-tract warping and SpecAugment's masks."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru import philox
from speechgru.augment.seeds import part_seeds


def warp_frequency(log_mel_BTM: tf.Tensor, factors_B: tf.Tensor, *, num_groups: int = 1) -> tf.Tensor:
    """Stretches or squeezes each row's filter axis, as a longer or shorter vocal tract would.

    Filter m gets the value that stood at ``m * factor``, linearly interpolated; past the last filter the last value
    is repeated.

    Args:
        log_mel_BTM: normalised log-mel; zeros beyond each length stay zeros.
        factors_B: float32, each row's factor; 1 leaves it as it is.
        num_groups: the last axis holds this many groups of filters, such as log-mel and its deltas; each is warped
            alike.

    Returns:
        `log_mel_BTM`, warped.

    Source: Jaitly and Hinton 2013, "Vocal Tract Length Perturbation", here along the mel axis.

    >>> warp_frequency(tf.constant([[[0.0, 1.0, 2.0, 3.0]]]), tf.constant([0.5])).numpy().tolist()
    [[[0.0, 0.5, 1.0, 1.5]]]
    """
    log_mel_BTM = tf.convert_to_tensor(log_mel_BTM)
    shape = tf.shape(log_mel_BTM)
    num_filters = shape[2] // num_groups
    filters_M = tf.cast(tf.range(num_filters), tf.float32)
    places_BM = tf.minimum(factors_B[:, None] * filters_M, tf.cast(num_filters - 1, tf.float32))
    # weights[b, i, j]: how much of filter i stands in filter j afterwards
    weights_BMM = tf.maximum(0.0, 1.0 - tf.abs(filters_M[:, None] - places_BM[:, None, :]))
    grouped = tf.reshape(log_mel_BTM, [shape[0], shape[1] * num_groups, num_filters])
    warped_BTM = tf.reshape(tf.matmul(grouped, weights_BMM), shape)
    warped_BTM.set_shape(log_mel_BTM.shape)
    return warped_BTM


def draw_warp_factors(seeds_B2: tf.Tensor, part: int, *, warp_share: float, strength: Any = 1.0) -> tf.Tensor:
    """Each row's factor for `warp_frequency`, float32 [B]: from 1 - warp_share to 1 + warp_share, at full strength."""
    draws_BK2 = _row_draws(seeds_B2, part, tf.ones([tf.shape(seeds_B2)[0]], tf.int32))
    return 1.0 + strength * warp_share * (2.0 * draws_BK2[:, 0, 0] - 1.0)


def count_masks(num_frames_B: tf.Tensor, count: int, *, per_second: float, frame_seconds: float) -> tf.Tensor:
    """Masks of frames for each row, int32 [B]: `count`, and `per_second` more for each second, rounded down in all.

    Source: the adaptive number of masks of Park et al. 2020, "SpecAugment on Large Scale Datasets", section 2.
    """
    counts_B = tf.fill([tf.shape(num_frames_B)[0]], count)
    if per_second:
        # In float64, so that a row of just a whole number of seconds gets its mask.
        seconds_B = tf.cast(num_frames_B, tf.float64) * frame_seconds
        counts_B += tf.cast(tf.floor(per_second * seconds_B), tf.int32)
    return counts_B


def mask_frames(
    log_mel_BTM: tf.Tensor,
    num_frames_B: tf.Tensor,
    seeds_B2: tf.Tensor,
    part: int,
    *,
    counts_B: tf.Tensor,
    widest_share: Any,
) -> tf.Tensor:
    """SpecAugment's time masks: hides bands of frames behind zeros, the corpus's mean after normalisation.

    Each mask's width is drawn from 0 to its share of the row's own frames, rounded down, its place from all that fit;
    so an utterance is masked the same whatever the padding and its batch mates.

    Args:
        log_mel_BTM: normalised log-mel.
        num_frames_B: real frames.
        seeds_B2: int32, a seed for each row.
        part: the part of the seed to draw from.
        counts_B: masks for each row.
        widest_share: the widest mask, as a share of the row's frames; a number or a scalar tensor.

    Returns:
        `log_mel_BTM` with zeros under the masks.

    Source: Park et al. 2019, "SpecAugment", section 2, without time warping.
    """
    log_mel_BTM = tf.convert_to_tensor(log_mel_BTM)
    hidden_BT = _bands(
        _row_draws(seeds_B2, part, counts_B), num_frames_B, tf.shape(log_mel_BTM)[1], widest_share=widest_share
    )
    return tf.where(hidden_BT[:, :, None], 0.0, log_mel_BTM)


def mask_filters(
    log_mel_BTM: tf.Tensor,
    seeds_B2: tf.Tensor,
    part: int,
    *,
    count: int,
    widest_share: Any,
    num_groups: int = 1,
) -> tf.Tensor:
    """SpecAugment's frequency masks: hides bands of mel filters behind zeros; arguments as in `mask_frames`.

    Args:
        log_mel_BTM: normalised log-mel.
        seeds_B2: int32, a seed for each row.
        part: the part of the seed to draw from.
        count: masks for each row.
        widest_share: the widest mask, as a share of the filters.
        num_groups: the last axis holds this many groups of filters, such as log-mel and its deltas; each is masked
            alike.
    """
    log_mel_BTM = tf.convert_to_tensor(log_mel_BTM)
    shape = tf.shape(log_mel_BTM)
    num_filters = shape[2] // num_groups
    hidden_BM = _bands(
        _row_draws(seeds_B2, part, tf.fill([shape[0]], count)),
        tf.fill([shape[0]], num_filters),
        num_filters,
        widest_share=widest_share,
    )
    return tf.where(tf.tile(hidden_BM, [1, num_groups])[:, None, :], 0.0, log_mel_BTM)


def _bands(draws_BK2: tf.Tensor, sizes_B: tf.Tensor, padded: tf.Tensor, *, widest_share: Any) -> tf.Tensor:
    """A band for each draw in rows of such sizes: a boolean [B, padded], True inside a band."""
    sizes_B1 = tf.cast(sizes_B, tf.float32)[:, None]
    # From 0 to as many as the share holds whole, all alike; a share of 10.4 would give 11 now and then. (The factor is
    # for float32, in which 0.29 of 100 is a little less than 29.)
    widest_B1 = tf.floor(widest_share * sizes_B1 * (1.0 + 1e-6))
    # A draw of 0, such as fills a row that has fewer bands than its mates, gives a band of no width.
    widths_BK = tf.floor(draws_BK2[:, :, 0] * (widest_B1 + 1.0))
    starts_BK = tf.floor(draws_BK2[:, :, 1] * (sizes_B1 - widths_BK + 1.0))
    positions = tf.cast(tf.range(padded), tf.float32)
    is_inside = tf.logical_and(
        positions >= starts_BK[:, :, None], positions < tf.minimum(starts_BK + widths_BK, sizes_B1)[:, :, None]
    )
    return tf.reduce_any(is_inside, axis=1)


def _row_draws(seeds_B2: tf.Tensor, part: int, counts_B: tf.Tensor) -> tf.Tensor:
    """`counts_B` pairs of numbers in [0, 1) for each row, from its own seed and count alone, then zeros: [B, K, 2]."""
    # TensorFlow has operations for one seed each: a loop of them over the rows, for a few numbers.
    draws_BK2 = tf.numpy_function(functools.partial(_draw, part=part), [seeds_B2, counts_B], tf.float32, stateful=False)
    draws_BK2.set_shape([seeds_B2.shape[0], None, 2])
    return draws_BK2


def _draw(seeds_B2: np.ndarray, counts_B: np.ndarray, *, part: int) -> np.ndarray:
    most = int(counts_B.max(initial=0))
    draws_BK2 = philox.uniform(part_seeds(seeds_B2, part), 2 * most).reshape(len(seeds_B2), most, 2)
    draws_BK2[np.arange(most) >= counts_B[:, None]] = 0.0
    return draws_BK2
