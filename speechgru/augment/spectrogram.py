"""Augmentation of spectrograms: vocal-tract warping and SpecAugment's masks."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from speechgru.augment.seeds import FREQUENCY_MASKS, TIME_MASKS, WARP, part_seed


def warp_frequency(
    log_mel_BTM: tf.Tensor, seed: tf.Tensor, *, warp_share: float, strength: Any = 1.0, num_groups: int = 1
) -> tf.Tensor:
    """Stretches or squeezes each row's filter axis, as a longer or shorter vocal tract would.

    Filter m takes the value that stood at ``m * factor``, linearly interpolated; past the last filter the last value
    goes on.

    Args:
        log_mel_BTM: normalised log-mel; zeros beyond each length stay zeros.
        seed: int32 [2], or [B, 2]: a seed for each row, which then is warped the same whatever its mates.
        warp_share: factors are drawn from 1 - warp_share to 1 + warp_share.
        strength: scalar in [0, 1] that scales `warp_share`.
        num_groups: the last axis holds so many groups of filters, such as log-mel and its deltas; each is warped alike.

    Returns:
        `log_mel_BTM`, warped.

    Source: Jaitly and Hinton 2013, "Vocal Tract Length Perturbation", here along the mel axis.
    """
    log_mel_BTM = tf.convert_to_tensor(log_mel_BTM)
    if not warp_share:
        return log_mel_BTM
    shape = tf.shape(log_mel_BTM)
    num_filters = shape[2] // num_groups
    factors_B = draw_warp_factors(_row_seeds(seed, shape[0]), warp_share=warp_share, strength=strength)
    filters_M = tf.cast(tf.range(num_filters), tf.float32)
    places_BM = tf.minimum(factors_B[:, None] * filters_M, tf.cast(num_filters - 1, tf.float32))
    # weights[b, i, j]: how much of filter i stands in filter j afterwards
    weights_BMM = tf.maximum(0.0, 1.0 - tf.abs(filters_M[:, None] - places_BM[:, None, :]))
    grouped = tf.reshape(log_mel_BTM, [shape[0], shape[1] * num_groups, num_filters])
    warped_BTM = tf.reshape(tf.matmul(grouped, weights_BMM), shape)
    warped_BTM.set_shape(log_mel_BTM.shape)
    return warped_BTM


def draw_warp_factors(seeds_B2: tf.Tensor, *, warp_share: float, strength: Any = 1.0) -> tf.Tensor:
    """The factors that `warp_frequency` draws from these rows' seeds."""
    draws_BK2 = _row_draws(seeds_B2, WARP, tf.ones([tf.shape(seeds_B2)[0]], tf.int32))
    return 1.0 + strength * warp_share * (2.0 * draws_BK2[:, 0, 0] - 1.0)


def mask_spectrogram(
    log_mel_BTM: tf.Tensor,
    num_frames_B: tf.Tensor,
    seed: tf.Tensor,
    *,
    time_masks: int,
    time_mask_share: float,
    frequency_masks: int,
    frequency_mask_share: float,
    time_masks_per_second: float = 0.0,
    frame_seconds: float = 0.01,
    strength: Any = 1.0,
    num_groups: int = 1,
) -> tf.Tensor:
    """SpecAugment: hides bands of frames and of filters behind zeros, the corpus's mean after normalisation.

    Each mask's width is drawn from 0 to its share of the row's own frames (or of the filters), its place from all
    that fit; so an utterance is masked the same whatever the padding.

    Args:
        log_mel_BTM: normalised log-mel.
        num_frames_B: real frames.
        seed: int32 [2], or [B, 2]: a seed for each row, which then is masked the same whatever its mates.
        time_masks: masks of frames a row.
        time_mask_share: the widest, as a share of the row's frames.
        frequency_masks: masks of filters a row.
        frequency_mask_share: the widest, as a share of the filters.
        time_masks_per_second: as many more masks of frames for each second of the row, rounded down in all.
        frame_seconds: from one frame to the next.
        strength: scalar in [0, 1] that scales the widths.
        num_groups: the last axis holds so many groups of filters, such as log-mel and its deltas; each is masked alike.

    Returns:
        `log_mel_BTM` with zeros under the masks.

    Source: Park et al. 2019, "SpecAugment", section 2, without time warping; its adaptive number of masks Park et al.
    2020, "SpecAugment on Large Scale Datasets", section 2.
    """
    log_mel_BTM = tf.convert_to_tensor(log_mel_BTM)
    shape = tf.shape(log_mel_BTM)
    seeds_B2 = _row_seeds(seed, shape[0])
    hidden = []
    if (time_masks or time_masks_per_second) and time_mask_share:
        counts_B = tf.fill([shape[0]], time_masks)
        if time_masks_per_second:
            # In float64, so that a row of just so many seconds gets its mask.
            seconds_B = tf.cast(num_frames_B, tf.float64) * frame_seconds
            counts_B += tf.cast(tf.floor(time_masks_per_second * seconds_B), tf.int32)
        hidden_BT = _bands(
            _row_draws(seeds_B2, TIME_MASKS, counts_B),
            num_frames_B,
            shape[1],
            widest_share=strength * time_mask_share,
        )
        hidden.append(hidden_BT[:, :, None])
    if frequency_masks and frequency_mask_share:
        num_filters = shape[2] // num_groups
        hidden_BM = _bands(
            _row_draws(seeds_B2, FREQUENCY_MASKS, tf.fill([shape[0]], frequency_masks)),
            tf.fill([shape[0]], num_filters),
            num_filters,
            widest_share=strength * frequency_mask_share,
        )
        hidden.append(tf.tile(hidden_BM, [1, num_groups])[:, None, :])
    for hidden_BTM in hidden:
        log_mel_BTM = tf.where(hidden_BTM, 0.0, log_mel_BTM)
    return log_mel_BTM


def _bands(draws_BK2: tf.Tensor, sizes_B: tf.Tensor, padded: tf.Tensor, *, widest_share: Any) -> tf.Tensor:
    """A band for each draw in rows of such sizes: a boolean [B, padded], True inside a band."""
    sizes_B1 = tf.cast(sizes_B, tf.float32)[:, None]
    # A draw of 0, such as fills a row that has fewer bands than its mates, gives a band of no width.
    widths_BK = tf.floor(draws_BK2[:, :, 0] * (widest_share * sizes_B1 + 1.0))
    starts_BK = tf.floor(draws_BK2[:, :, 1] * (sizes_B1 - widths_BK + 1.0))
    positions = tf.cast(tf.range(padded), tf.float32)
    is_inside = tf.logical_and(
        positions >= starts_BK[:, :, None], positions < tf.minimum(starts_BK + widths_BK, sizes_B1)[:, :, None]
    )
    return tf.reduce_any(is_inside, axis=1)


def _row_seeds(seed: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
    """A seed for each row, [B, 2]: as given, or drawn from the one for all."""
    seed = tf.convert_to_tensor(seed)
    return seed if seed.shape.rank == 2 else tf.random.experimental.stateless_split(seed, num_rows)


def _row_draws(seeds_B2: tf.Tensor, part: int, counts_B: tf.Tensor) -> tf.Tensor:
    """So many pairs of numbers in [0, 1) for each row, from its own seed and count alone, then zeros: [B, K, 2]."""
    most = tf.reduce_max(tf.concat([counts_B, [0]], axis=0))

    def draw(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        seed, count = row
        return tf.pad(tf.random.stateless_uniform([count, 2], part_seed(seed, part)), [[0, most - count], [0, 0]])

    # A loop over rows, of a few numbers each: on a GPU it would cost more to ask for them than to make them.
    with tf.device("/CPU:0"):
        draws_BK2 = tf.map_fn(draw, (seeds_B2, counts_B), fn_output_signature=tf.TensorSpec([None, 2], tf.float32))
    return draws_BK2
