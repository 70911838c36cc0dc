"""The front end against librosa, and its normalisation. Laws 1, 3 and 5 are in test_laws.py."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the front end is a TensorFlow layer")
librosa = pytest.importorskip("librosa", reason="librosa is the reference of the front end")

import keras  # noqa: E402

from speechgru.features import GlobalNormalization, LogMel, hz_to_mel, mel_filters, mel_to_hz  # noqa: E402

RATES = {8000: (200, 80, 256), 16000: (400, 160, 512), 22050: (551, 220, 1024), 44100: (1103, 441, 2048)}


def test_the_mel_scale_is_librosas_and_its_own_inverse():
    frequencies_hz = np.concatenate([np.linspace(0, 2000, 41), [1000.0, 4000, 8000, 22050]])
    np.testing.assert_allclose(hz_to_mel(frequencies_hz), librosa.hz_to_mel(frequencies_hz), rtol=1e-9)
    np.testing.assert_allclose(mel_to_hz(hz_to_mel(frequencies_hz)), frequencies_hz, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sample_rate", RATES)
def test_the_filters_are_librosas(sample_rate):
    settings = {"n_fft": RATES[sample_rate][2], "n_mels": 40}
    ours_FM = mel_filters(sample_rate=sample_rate, f_min=20.0, f_max=sample_rate / 2, **settings)
    theirs_MF = librosa.filters.mel(sr=sample_rate, fmin=20.0, fmax=sample_rate / 2, **settings)
    np.testing.assert_allclose(ours_FM, theirs_MF.T, atol=1e-7)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("sample_rate", RATES)
def test_log_mel_is_librosas_to_1e_4(sample_rate, center):
    frame_length, hop_length, n_fft = RATES[sample_rate]
    rng = np.random.default_rng(sample_rate)
    tone_N = np.sin(2 * np.pi * 440 * np.arange(sample_rate // 2) / sample_rate)
    samples_N = (0.2 * tone_N + 0.01 * rng.normal(size=len(tone_N))).astype(np.float32)
    layer = LogMel(
        sample_rate=sample_rate, frame_length=frame_length, hop_length=hop_length, n_fft=n_fft, n_mels=40, f_min=20.0,
        f_max=sample_rate / 2, center=center,
    )  # fmt: skip
    log_mel_BTM, num_frames_B = layer(samples_N[None], np.array([len(samples_N)], np.int32))
    power_MT = librosa.feature.melspectrogram(
        y=samples_N, sr=sample_rate, n_fft=n_fft, hop_length=hop_length, win_length=frame_length, n_mels=40, fmin=20.0,
        fmax=sample_rate / 2, center=center, pad_mode="constant",
    )  # fmt: skip
    expected_TM = np.log(np.maximum(power_MT.T, 1e-8))
    assert log_mel_BTM.shape[1] == len(expected_TM) == int(num_frames_B[0])
    np.testing.assert_allclose(log_mel_BTM[0], expected_TM, atol=1e-4)


def small_layer(**changes):
    settings = {
        "sample_rate": 8000, "frame_length": 200, "hop_length": 80, "n_fft": 256, "n_mels": 20, "f_min": 20.0,
        "f_max": 4000.0,
    }  # fmt: skip
    return LogMel(**{**settings, **changes})


def test_silence_is_the_floor_and_not_minus_infinity():
    log_mel_BTM, _ = small_layer(log_floor=1e-6)(np.zeros([1, 4000], np.float32), np.array([4000], np.int32))
    np.testing.assert_allclose(log_mel_BTM, np.log(1e-6), rtol=1e-6)


def test_it_is_float32_under_every_precision_policy():
    before = keras.config.dtype_policy()
    try:
        for policy in ("mixed_bfloat16", "mixed_float16", "float32"):
            keras.config.set_dtype_policy(policy)
            log_mel_BTM, _ = small_layer()(np.ones([1, 400], np.float32), np.array([400], np.int32))
            assert log_mel_BTM.dtype == tf.float32
    finally:
        keras.config.set_dtype_policy(before)


def test_it_is_differentiable():
    samples_BN = tf.Variable(np.random.default_rng(0).normal(size=[1, 800]).astype(np.float32))
    with tf.GradientTape() as tape:
        log_mel_BTM, _ = small_layer()(samples_BN, np.array([800], np.int32))
        total = tf.reduce_sum(log_mel_BTM)
    gradient_BN = tape.gradient(total, samples_BN).numpy()
    assert np.isfinite(gradient_BN).all() and gradient_BN.any()


def test_layers_round_trip_through_their_configuration():
    for layer in (small_layer(center=False, log_floor=1e-5), GlobalNormalization(n_mels=20)):
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()


def test_wrong_settings_say_what_to_change():
    with pytest.raises(ValueError, match=r"n_fft \(128\) must be at least frame_length \(200\)"):
        small_layer(n_fft=128)
    with pytest.raises(ValueError, match=r"mel filters hold no frequency bin.*fewer features\.n_mels"):
        small_layer(n_mels=256)


def test_normalisation_brings_the_corpus_to_mean_0_deviation_1_and_leaves_padding():
    rng = np.random.default_rng(0)
    log_mel_BTM = rng.normal(-5, 3, size=[2, 50, 20]).astype(np.float32)
    layer = GlobalNormalization(n_mels=20)
    layer.set_statistics(log_mel_BTM.mean(axis=(0, 1)), log_mel_BTM.std(axis=(0, 1)))
    out_BTM = layer(log_mel_BTM, np.array([50, 30], np.int32)).numpy()
    assert not out_BTM[1, 30:].any()
    full_BTM = layer(log_mel_BTM, np.array([50, 50], np.int32)).numpy()
    np.testing.assert_allclose(full_BTM.mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(full_BTM.std(axis=(0, 1)), 1, atol=1e-5)
    with pytest.raises(ValueError, match="deviations above 0"):
        layer.set_statistics(np.zeros(20), np.zeros(20))
