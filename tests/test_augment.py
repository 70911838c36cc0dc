"""Augmentation: a function of its seed, within real lengths, and as strong as it says."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="augmentation runs in TensorFlow's graph")

from speechgru.augment import augment_samples, mask_spectrogram, warp_frequency  # noqa: E402

QUIET = {
    "sample_rate": 8000, "gain_db": 0.0, "silence_seconds": 0.0, "noise_probability": 0.0, "noise_snr_db_min": 10.0,
    "noise_snr_db_max": 20.0,
}  # fmt: skip


def seed(number):
    return tf.constant([7, number], tf.int32)


def speech(count=4000):
    return np.random.default_rng(0).normal(size=count).astype(np.float32) * 0.1


def test_everything_switched_off_changes_nothing():
    samples_N = speech()
    np.testing.assert_array_equal(augment_samples(samples_N, seed(0), **QUIET), samples_N)


def test_the_same_seed_gives_the_same_and_another_another():
    strong = {**QUIET, "gain_db": 6.0, "silence_seconds": 0.2, "noise_probability": 0.5}
    one, two, three = (augment_samples(speech(), seed(k), **strong).numpy() for k in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert one.shape != three.shape or not np.allclose(one, three)


def test_gain_stays_within_its_decibels_and_uses_them():
    samples_N = speech(100)
    gains_db = [
        20 * np.log10(float(augment_samples(samples_N, seed(k), **{**QUIET, "gain_db": 6.0})[0] / samples_N[0]))
        for k in range(60)
    ]
    assert -6.001 < min(gains_db) < -4 and 4 < max(gains_db) < 6.001


def test_silence_is_added_at_both_ends_and_the_recording_kept_whole():
    samples_N = speech()
    longer_N = augment_samples(samples_N, seed(3), **{**QUIET, "silence_seconds": 0.2}).numpy()
    start = int(np.flatnonzero(longer_N)[0])
    np.testing.assert_array_equal(longer_N[start : start + len(samples_N)], samples_N)
    assert 0 < start <= 1600 and len(longer_N) - start - len(samples_N) <= 1600


def test_noise_has_the_drawn_signal_to_noise_ratio_and_its_share():
    samples_N = speech(20000)
    snrs_db = []
    for k in range(60):
        noise_N = augment_samples(samples_N, seed(k), **{**QUIET, "noise_probability": 0.5}).numpy() - samples_N
        if noise_N.any():
            snrs_db.append(10 * np.log10(np.square(samples_N).mean() / np.square(noise_N).mean()))
    assert 15 < len(snrs_db) < 45
    assert 9.8 < min(snrs_db) < 13 and 17 < max(snrs_db) < 20.2


def masked(num_frames=(40, 25), number=0, **changes):
    settings = {"time_masks": 2, "time_mask_share": 0.2, "frequency_masks": 1, "frequency_mask_share": 0.3}
    log_mel_BTM = tf.ones([len(num_frames), 40, 20])
    return mask_spectrogram(log_mel_BTM, tf.constant(num_frames), seed(number), **{**settings, **changes}).numpy() == 0


def test_masks_are_bands_within_the_real_length_and_their_share():
    widest_time = widest_frequency = 0
    for number in range(40):
        hidden_BTM = masked(number=number)
        for row, count in enumerate((40, 25)):
            frames_T = hidden_BTM[row, :count].all(axis=1)
            filters_M = hidden_BTM[row, :count].all(axis=0)
            assert frames_T.sum() <= 2 * (0.2 * count + 1) and filters_M.sum() <= 0.3 * 20 + 1
            assert not hidden_BTM[row, count:].all(axis=1).any(), "no time mask lies in the padding"
            widest_time, widest_frequency = max(widest_time, frames_T.sum()), max(widest_frequency, filters_M.sum())
    assert widest_time >= 8 and widest_frequency >= 4


def test_masks_do_not_depend_on_padding():
    short = mask_spectrogram(
        tf.ones([2, 40, 20]), tf.constant([40, 25]), seed(5), time_masks=2, time_mask_share=0.2, frequency_masks=1,
        frequency_mask_share=0.3,
    )  # fmt: skip
    long = mask_spectrogram(
        tf.ones([2, 90, 20]), tf.constant([40, 25]), seed(5), time_masks=2, time_mask_share=0.2, frequency_masks=1,
        frequency_mask_share=0.3,
    )  # fmt: skip
    np.testing.assert_array_equal(short[0], long[0, :40])
    np.testing.assert_array_equal(short[1, :25], long[1, :25])


def test_no_masks_hide_nothing():
    assert not masked(time_masks=0, frequency_masks=0).any()


def test_warping_moves_a_peak_by_its_share_and_keeps_padding_zero():
    log_mel_BTM = np.zeros([64, 3, 40], np.float32)
    log_mel_BTM[:, :2, 20] = 1.0
    warped_BTM = warp_frequency(tf.constant(log_mel_BTM), seed(0), warp_share=0.2).numpy()
    peaks = warped_BTM[:, 0].argmax(axis=1)
    assert 16 <= peaks.min() < 19 and 21 < peaks.max() <= 25
    assert not warped_BTM[:, 2].any()
    unwarped = warp_frequency(tf.constant(log_mel_BTM), seed(0), warp_share=0.0).numpy()
    np.testing.assert_allclose(unwarped, log_mel_BTM, atol=1e-6)
