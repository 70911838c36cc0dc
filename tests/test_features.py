"""The front end's parts against librosa and NumPy. The laws are in test_laws.py, the whole is in test_front_end.py."""

import operator

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the front end is a TensorFlow layer")
librosa = pytest.importorskip("librosa", reason="librosa is the reference of the front end")

import keras  # noqa: E402

from speechgru.features import (  # noqa: E402
    Deltas,
    GlobalNormalization,
    LogMel,
    UtteranceNormalization,
    dither,
    hz_to_mel,
    mel_filters,
    mel_to_hz,
)

# Hz: frame_length, hop_length, n_fft
RATES = {
    8000: (200, 80, 256), 16000: (400, 160, 512), 22050: (551, 220, 1024), 44100: (1103, 441, 2048),
    48000: (1200, 480, 2048),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _librosa_in_python():
    """Loads librosa with those of its functions in Python that it would compile meanwhile, which took 19 seconds.

    The numbers are the same.
    """
    import numba

    def as_it_is(*arguments, **options):
        return arguments[0] if arguments and callable(arguments[0]) else lambda function: function

    with pytest.MonkeyPatch.context() as patch:
        for name in ("vectorize", "guvectorize"):
            patch.setattr(numba, name, as_it_is)
        # Loaded where they are first asked for, and so are the modules in them.
        for name in ("effects.preemphasis", "feature.melspectrogram", "feature.delta", "filters.mel", "hz_to_mel"):
            operator.attrgetter(name)(librosa)


SCALES = pytest.mark.parametrize("mel_scale", ["slaney", "htk"])


@SCALES
def test_the_mel_scale_is_librosas_and_its_own_inverse(mel_scale):
    frequencies_hz = np.concatenate([np.linspace(0, 2000, 41), [1000.0, 4000, 8000, 22050]])
    mels = hz_to_mel(frequencies_hz, mel_scale=mel_scale)
    np.testing.assert_allclose(mels, librosa.hz_to_mel(frequencies_hz, htk=mel_scale == "htk"), rtol=1e-9)
    np.testing.assert_allclose(mel_to_hz(mels, mel_scale=mel_scale), frequencies_hz, rtol=1e-9, atol=1e-9)


@SCALES
@pytest.mark.parametrize("sample_rate", RATES)
def test_the_filters_are_librosas(sample_rate, mel_scale):
    n_fft = RATES[sample_rate][2]
    ours_FM = mel_filters(
        sample_rate=sample_rate, n_fft=n_fft, n_mels=32, f_min=20.0, f_max=sample_rate / 2, mel_scale=mel_scale
    )
    theirs_MF = librosa.filters.mel(
        sr=sample_rate, n_fft=n_fft, n_mels=32, fmin=20.0, fmax=sample_rate / 2, htk=mel_scale == "htk"
    )
    np.testing.assert_allclose(ours_FM, theirs_MF.T, atol=1e-7)


def log_mels(samples_N, sample_rate, *, mel_scale="slaney", spectrum="power", center=True):
    """Ours and librosa's."""
    frame_length, hop_length, n_fft = RATES[sample_rate]
    layer = LogMel(
        sample_rate=sample_rate, frame_length=frame_length, hop_length=hop_length, n_fft=n_fft, n_mels=32, f_min=20.0,
        f_max=sample_rate / 2, center=center, mel_scale=mel_scale, spectrum=spectrum,
    )  # fmt: skip
    log_mel_BTM, num_frames_B = layer(samples_N[None], np.array([len(samples_N)], np.int32))
    mel_MT = librosa.feature.melspectrogram(
        y=samples_N, sr=sample_rate, n_fft=n_fft, hop_length=hop_length, win_length=frame_length, n_mels=32, fmin=20.0,
        fmax=sample_rate / 2, center=center, pad_mode="constant", power=2.0 if spectrum == "power" else 1.0,
        htk=mel_scale == "htk",
    )  # fmt: skip
    expected_TM = np.log(np.maximum(mel_MT.T, 1e-8))
    assert log_mel_BTM.shape[1] == len(expected_TM) == int(num_frames_B[0])
    return log_mel_BTM[0].numpy(), expected_TM


@SCALES
@pytest.mark.parametrize("spectrum", ["power", "magnitude"])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("sample_rate", RATES)
def test_log_mel_is_librosas_to_1e_4(sample_rate, center, spectrum, mel_scale):
    rng = np.random.default_rng(sample_rate)
    tone_N = np.sin(2 * np.pi * 440 * np.arange(sample_rate // 2) / sample_rate)
    samples_N = (0.2 * tone_N + 0.01 * rng.normal(size=len(tone_N))).astype(np.float32)
    ours_TM, theirs_TM = log_mels(samples_N, sample_rate, mel_scale=mel_scale, spectrum=spectrum, center=center)
    np.testing.assert_allclose(ours_TM, theirs_TM, atol=1e-4)


@pytest.mark.parametrize("sample_rate", RATES)
def test_a_pure_sweep_is_librosas_to_60_db_below_the_loudest(sample_rate):
    """Nothing but one loud frequency is the worst case of a float32 transform; librosa's is float64."""
    time_N = np.arange(sample_rate) / sample_rate
    samples_N = (0.5 * np.sin(2 * np.pi * (100 * time_N + 0.1 * sample_rate * time_N**2))).astype(np.float32)
    ours_TM, theirs_TM = log_mels(samples_N, sample_rate)
    near_the_loudest_TM = theirs_TM > theirs_TM.max(axis=1, keepdims=True) - 60 * np.log(10) / 10
    np.testing.assert_allclose(ours_TM[near_the_loudest_TM], theirs_TM[near_the_loudest_TM], atol=1e-4)
    np.testing.assert_allclose(ours_TM, theirs_TM, atol=1e-2)


def test_preemphasis_is_librosas_from_a_zero_on():
    samples_N = np.random.default_rng(0).normal(size=4000).astype(np.float32)
    lifted_N = librosa.effects.preemphasis(samples_N, coef=0.97, zi=[0.0])
    num_samples_B = np.array([4000], np.int32)
    for center in (True, False):
        ours_BTM, _ = small_layer(preemphasis=0.97, center=center)(samples_N[None], num_samples_B)
        expected_BTM, _ = small_layer(center=center)(lifted_N[None], num_samples_B)
        np.testing.assert_allclose(ours_BTM, expected_BTM, atol=1e-4)


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


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float16", "float64"])
def test_samples_of_every_dtype_give_what_they_give_everywhere_else(dtype):
    """Law 10. Integers were taken for floats: an int16 recording's log-mel was off by 20.8."""
    from speechgru.audio.samples import checked_samples

    rng, info = np.random.default_rng(0), np.iinfo(dtype) if "int" in dtype else None
    if info is None:
        samples_BN = rng.uniform(-0.9, 0.9, [2, 600]).astype(dtype)
    else:
        samples_BN = rng.integers(info.min, info.max, [2, 600], dtype=dtype, endpoint=True)
    layer, num_samples_B = small_layer(), np.array([600, 350])
    floats_BN = np.stack([checked_samples(samples_N) for samples_N in samples_BN])
    np.testing.assert_array_equal(layer(samples_BN, num_samples_B)[0], layer(floats_BN, num_samples_B)[0])


@pytest.mark.parametrize(
    ("samples_BN", "num_samples", "message"),
    [
        (np.zeros([2, 600], np.int64), [600, 350], "samples are int64; expected floats in .* 8, 16 or 32 bits"),
        (np.zeros([2, 600], bool), [600, 350], "samples are bool; expected floats"),
        (np.zeros([2, 600], np.complex64), [600, 350], "samples are complex64; expected floats"),
        (np.zeros([600], np.float32), [600], "expected ndim=2, found ndim=1"),
        (np.zeros([2, 1, 600], np.float32), [600, 350], "expected ndim=2, found ndim=3"),
        (np.zeros([2, 600], np.float32), [600], r"num_samples of shape \(1,\) beside .* \(2, 600\); expected \(2,\)"),
        (np.zeros([2, 600], np.float32), [[600], [350]], r"num_samples of shape \(2, 1\) beside"),
        (np.zeros([2, 600], np.float32), 600, r"num_samples of shape \(\) beside"),
        (np.zeros([2, 600], np.float32), [601, 350], "num_samples from 350 to 601 for rows of 600 samples; expected 0"),
        (np.zeros([2, 600], np.float32), [600, -1], "num_samples from -1 to 600 for rows of 600 samples"),
    ],
)
def test_samples_that_it_cannot_have_are_refused_by_one_message(samples_BN, num_samples, message):
    with pytest.raises(ValueError, match=message):
        small_layer()(samples_BN, np.array(num_samples))


@pytest.mark.parametrize("spectrum", ["power", "magnitude"])
def test_it_is_differentiable_beside_digital_silence(spectrum):
    samples_BN = np.random.default_rng(0).normal(size=[1, 1600]).astype(np.float32)
    samples_BN[:, :800] = 0
    samples_BN = tf.Variable(samples_BN)
    with tf.GradientTape() as tape:
        log_mel_BTM, _ = small_layer(spectrum=spectrum)(samples_BN, np.array([1600], np.int32))
        total = tf.reduce_sum(log_mel_BTM)
    gradient_BN = tape.gradient(total, samples_BN).numpy()
    assert np.isfinite(gradient_BN).all() and gradient_BN.any()


def test_layers_round_trip_through_their_configuration():
    layers = (
        small_layer(center=False, log_floor=1e-5, mel_scale="htk", spectrum="magnitude", preemphasis=0.9),
        Deltas(order=2),
        GlobalNormalization(num_features=20),
        UtteranceNormalization(deviation_floor=0.1),
    )
    for layer in layers:
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()


def test_wrong_settings_say_what_to_change():
    with pytest.raises(ValueError, match=r"n_fft \(128\) must be at least frame_length \(200\)"):
        small_layer(n_fft=128)
    with pytest.raises(ValueError, match=r"mel filters hold no frequency bin.*fewer features\.n_mels"):
        small_layer(n_mels=256)
    with pytest.raises(ValueError, match=r"frame_length \(1\) must be at least 2"):
        small_layer(frame_length=1)
    with pytest.raises(ValueError, match="unknown mel_scale 'bark'; choose from slaney, htk"):
        small_layer(mel_scale="bark")
    with pytest.raises(ValueError, match="unknown spectrum 'log'; choose from power, magnitude"):
        small_layer(spectrum="log")
    with pytest.raises(ValueError, match="order must be 1 or more, got 0"):
        Deltas(order=0)
    with pytest.raises(ValueError, match=r"deviation_floor must be above 0, got 0\.0"):
        UtteranceNormalization(deviation_floor=0.0)


def test_normalisation_brings_the_corpus_to_mean_0_deviation_1_and_leaves_padding():
    rng = np.random.default_rng(0)
    log_mel_BTM = rng.normal(-5, 3, size=[2, 50, 20]).astype(np.float32)
    layer = GlobalNormalization(num_features=20)
    layer.set_statistics(log_mel_BTM.mean(axis=(0, 1)), log_mel_BTM.std(axis=(0, 1)))
    out_BTM = layer(log_mel_BTM, np.array([50, 30], np.int32)).numpy()
    assert not out_BTM[1, 30:].any()
    full_BTM = layer(log_mel_BTM, np.array([50, 50], np.int32)).numpy()
    np.testing.assert_allclose(full_BTM.mean(axis=(0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(full_BTM.std(axis=(0, 1)), 1, atol=1e-5)
    with pytest.raises(ValueError, match="deviations above 0"):
        layer.set_statistics(np.zeros(20), np.zeros(20))


def slope_by_librosa(values_TD):
    return librosa.feature.delta(values_TD, width=5, axis=0, mode="nearest")


@pytest.mark.parametrize("order", [1, 2])
def test_deltas_are_librosas_least_squares_slopes_within_each_length(order):
    rng = np.random.default_rng(order)
    num_frames_B = np.array([1, 2, 3, 4, 5, 9, 23, 0], np.int32)
    log_mel_BTM = rng.normal(-5, 3, size=[len(num_frames_B), 30, 4]).astype(np.float32)
    log_mel_BTM[0, 25:] = np.nan  # beyond the length anything may stand
    out_BTD = Deltas(order=order)(log_mel_BTM, num_frames_B).numpy()
    assert out_BTD.shape == (8, 30, 4 * (1 + order))
    for row, count in enumerate(num_frames_B):
        assert not out_BTD[row, count:].any()
        if not count:
            continue
        groups = [log_mel_BTM[row, :count]]
        for _ in range(order):
            groups.append(slope_by_librosa(groups[-1]))
        np.testing.assert_allclose(out_BTD[row, :count], np.concatenate(groups, axis=1), atol=1e-5)


def test_deltas_of_no_frames_at_all_are_none():
    assert Deltas(order=2)(np.zeros([2, 0, 4], np.float32), np.zeros(2, np.int32)).shape == (2, 0, 12)


def test_utterance_normalisation_is_numpys_over_the_real_frames():
    rng = np.random.default_rng(0)
    num_frames_B = np.array([3000, 700, 1, 0], np.int32)
    log_mel_BTM = rng.normal(-15, 2, size=[4, 3000, 8]).astype(np.float32)
    log_mel_BTM[:, :, 3] = np.log(1e-8)  # digital silence does not become noise
    out_BTM = UtteranceNormalization()(log_mel_BTM, num_frames_B).numpy()
    for row, count in enumerate(num_frames_B):
        assert not out_BTM[row, count:].any()
        real_TM = log_mel_BTM[row, :count].astype(np.float64)
        if count:
            expected_TM = (real_TM - real_TM.mean(axis=0)) / np.maximum(real_TM.std(axis=0), 0.01)
            np.testing.assert_allclose(out_BTM[row, :count], expected_TM, atol=2e-4)
    assert np.isfinite(out_BTM).all()


def test_dither_is_a_pure_function_of_its_seed_and_fills_digital_silence():
    silence_N = tf.zeros(20_000)
    noise_N = dither(silence_N, tf.constant([1, 2]), deviation=1e-3).numpy()
    np.testing.assert_array_equal(noise_N, dither(silence_N, tf.constant([1, 2]), deviation=1e-3))
    assert np.abs(noise_N - dither(silence_N, tf.constant([1, 3]), deviation=1e-3)).max() > 1e-3
    assert noise_N.std() == pytest.approx(1e-3, rel=0.05)
    assert abs(noise_N.mean()) < 3e-5
    # Augmentation draws its noise from the same seed, or from seed + 1: another one.
    for seed in ([1, 2], [2, 3]):
        other_N = tf.random.stateless_normal([20_000], seed).numpy()
        assert abs(np.corrcoef(noise_N, other_N)[0, 1]) < 0.05


def test_no_dither_leaves_the_samples_as_they_are():
    samples_N = tf.constant([0.5, -0.25])
    assert dither(samples_N, tf.constant([1, 2]), deviation=0.0) is samples_N
