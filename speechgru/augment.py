"""What training does to a recording before it hears it: pure functions of a stateless seed, so that a run repeats.

Every `seed` is an int32 pair as `tf.random.stateless_uniform` takes; the same seed gives the same augmentation,
whatever the order in which utterances are read and however often a run was resumed.
"""

from __future__ import annotations

import tensorflow as tf


def augment_samples(
    samples_N: tf.Tensor,
    seed: tf.Tensor,
    *,
    sample_rate: int,
    gain_db: float,
    silence_seconds: float,
    noise_probability: float,
    noise_snr_db_min: float,
    noise_snr_db_max: float,
) -> tf.Tensor:
    """Quiet before and after, white noise at a drawn signal-to-noise ratio, and a drawn level, in that order.

    Args:
        samples_N: one utterance, float32.
        seed: int32 [2].
        sample_rate: Hz.
        gain_db: the level changes by up to so many dB, up or down.
        silence_seconds: at most so much quiet before, and as much after.
        noise_probability: the share of utterances that get noise.
        noise_snr_db_min: the noisiest, dB.
        noise_snr_db_max: the cleanest, dB.

    Returns:
        float32 samples, in general longer than `samples_N`; loud ones may go past 1, as floats can.
    """
    draws = tf.random.stateless_uniform([5], seed)
    longest = silence_seconds * sample_rate
    pads = tf.cast(draws[:2] * longest, tf.int32)
    snr_db = noise_snr_db_min + draws[2] * (noise_snr_db_max - noise_snr_db_min)
    noise_level = tf.sqrt(tf.reduce_mean(tf.square(samples_N)) * tf.pow(10.0, -snr_db / 10.0))
    quiet_N = tf.pad(samples_N, [pads])
    samples_N = tf.cond(
        draws[3] < noise_probability,
        lambda: quiet_N + noise_level * tf.random.stateless_normal(tf.shape(quiet_N), seed + 1),
        lambda: quiet_N,
    )
    gain = tf.pow(10.0, (2.0 * draws[4] - 1.0) * gain_db / 20.0)
    return samples_N * gain


def warp_frequency(log_mel_BTM: tf.Tensor, seed: tf.Tensor, *, warp_share: float) -> tf.Tensor:
    """Stretches or squeezes each row's filter axis, as a longer or shorter vocal tract would.

    Filter m takes the value that stood at ``m * factor``, linearly interpolated; past the last filter the last value
    goes on.

    Args:
        log_mel_BTM: normalised log-mel; zeros beyond each length stay zeros.
        seed: int32 [2].
        warp_share: factors are drawn from 1 - warp_share to 1 + warp_share.

    Returns:
        `log_mel_BTM`, warped.

    Source: Jaitly and Hinton 2013, "Vocal Tract Length Perturbation", here along the mel axis.
    """
    shape = tf.shape(log_mel_BTM)
    factors_B = tf.random.stateless_uniform([shape[0]], seed, 1.0 - warp_share, 1.0 + warp_share)
    filters_M = tf.cast(tf.range(shape[2]), tf.float32)
    places_BM = tf.minimum(factors_B[:, None] * filters_M, tf.cast(shape[2] - 1, tf.float32))
    # weights[b, i, j]: how much of filter i stands in filter j afterwards
    weights_BMM = tf.maximum(0.0, 1.0 - tf.abs(filters_M[:, None] - places_BM[:, None, :]))
    return tf.matmul(log_mel_BTM, weights_BMM)


def mask_spectrogram(
    log_mel_BTM: tf.Tensor,
    num_frames_B: tf.Tensor,
    seed: tf.Tensor,
    *,
    time_masks: int,
    time_mask_share: float,
    frequency_masks: int,
    frequency_mask_share: float,
) -> tf.Tensor:
    """SpecAugment: hides bands of frames and of filters behind zeros, the corpus's mean after normalisation.

    Each mask's width is drawn from 0 to its share of the row's own frames (or of the filters), its place from all
    that fit; so an utterance is masked the same whatever the padding.

    Args:
        log_mel_BTM: normalised log-mel.
        num_frames_B: real frames.
        seed: int32 [2].
        time_masks: masks of frames a row.
        time_mask_share: the widest, as a share of the row's frames.
        frequency_masks: masks of filters a row.
        frequency_mask_share: the widest, as a share of the filters.

    Returns:
        `log_mel_BTM` with zeros under the masks.

    Source: Park et al. 2019, "SpecAugment", section 2, without time warping.
    """
    shape = tf.shape(log_mel_BTM)
    hidden_BT = _bands(
        tf.cast(num_frames_B, tf.float32), shape[1], seed, count=time_masks, widest_share=time_mask_share
    )
    hidden_BM = _bands(
        tf.fill([shape[0]], tf.cast(shape[2], tf.float32)),
        shape[2],
        seed + 1,
        count=frequency_masks,
        widest_share=frequency_mask_share,
    )
    hidden_BTM = tf.logical_or(hidden_BT[:, :, None], hidden_BM[:, None, :])
    return tf.where(hidden_BTM, 0.0, log_mel_BTM)


def _bands(sizes_B: tf.Tensor, padded: tf.Tensor, seed: tf.Tensor, *, count: int, widest_share: float) -> tf.Tensor:
    """`count` random bands in each row of size `sizes_B`: a boolean [B, padded], True inside a band."""
    draws = tf.random.stateless_uniform([2, tf.shape(sizes_B)[0], count], seed)
    widths = tf.floor(draws[0] * (widest_share * sizes_B[:, None] + 1.0))
    starts = tf.floor(draws[1] * (sizes_B[:, None] - widths + 1.0))
    positions = tf.cast(tf.range(padded), tf.float32)[None, None, :]
    inside = tf.logical_and(positions >= starts[:, :, None], positions < (starts + widths)[:, :, None])
    return tf.reduce_any(inside, axis=1)
