"""The compiled log-mel: the operations' numbers, on every setting, padding and end; and who runs it."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from speechgru import native
from speechgru.features import Deltas, FrontEnd, GlobalNormalization, LogMel, UtteranceNormalization, compiled

pytest.importorskip("numba", reason="the compiled log-mel needs Numba, which librosa brings (extra train)")

from speechgru.features import kernels

SMALL = {
    "sample_rate": 8000, "frame_length": 200, "hop_length": 80, "n_fft": 256, "n_mels": 20, "f_min": 20.0,
    "f_max": 4000.0,
}  # fmt: skip
CD = {"sample_rate": 44100, "frame_length": 1103, "hop_length": 441, "n_fft": 2048, "f_max": 22050.0}


def batch_of(num_samples_B, *, seed=0, padding=0.0):
    """Noise and a tone, `padding` beyond each length."""
    rng, widest = np.random.default_rng(seed), max(num_samples_B)
    tone_N = np.sin(2 * np.pi * 0.05 * np.arange(widest))
    samples_BN = (0.2 * tone_N + 0.01 * rng.normal(size=[len(num_samples_B), widest])).astype(np.float32)
    samples_BN[np.arange(widest) >= np.array(num_samples_B)[:, None]] = padding
    return samples_BN, np.array(num_samples_B, np.int32)


def both(layer, samples_BN, num_samples_B):
    """The log-mel by operations, and that of compiled code."""
    front_end = FrontEnd(layer)
    fast = compiled.without_gradient(front_end)
    assert fast != front_end.whole
    (expected_BTM, expected_B), (log_mel_BTM, num_frames_B) = (f(samples_BN, num_samples_B) for f in (layer, fast))
    np.testing.assert_array_equal(num_frames_B, expected_B)
    assert log_mel_BTM.shape == expected_BTM.shape
    return expected_BTM.numpy(), log_mel_BTM.numpy()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"center": False},
        {"spectrum": "magnitude", "mel_scale": "htk"},
        {"preemphasis": 0.97, "center": False},
        {"preemphasis": 0.5, "n_mels": 33},
        {"n_fft": 512, "frame_length": 201, "hop_length": 31},
        {"n_fft": 1024, "hop_length": 300, "n_mels": 64},
        {"n_fft": 16, "frame_length": 16, "hop_length": 7, "n_mels": 3},
        {"n_fft": 4, "frame_length": 3, "hop_length": 1, "n_mels": 1, "f_min": 0.0},
        CD,
    ],
)
def test_it_gives_the_operations_numbers_on_ragged_rows_of_any_setting(changes):
    layer = LogMel(**{**SMALL, **changes})
    lengths = [2900, 1, 0, 199, 200, 256, 257, 1281, 2899]
    expected_BTM, log_mel_BTM = both(layer, *batch_of(lengths, padding=7.0))
    np.testing.assert_allclose(log_mel_BTM, expected_BTM, atol=2e-5)


def test_it_is_as_near_to_exact_numbers_as_the_operations_are():
    layer = LogMel(**SMALL)
    samples_BN, num_samples_B = batch_of([16_000])
    starts_T = np.arange(201) * 80
    frames_TN = np.stack([np.pad(samples_BN[0].astype(np.float64), 128)[start : start + 256] for start in starts_T])
    power_TF = np.abs(np.fft.rfft(frames_TN * layer.window_N)) ** 2
    exact_TM = np.log(np.maximum(power_TF @ layer.filters_FM, 1e-8))
    by_operations, by_code = (np.abs(values_BTM[0] - exact_TM) for values_BTM in both(layer, samples_BN, num_samples_B))
    assert by_code.mean() < 1.2 * by_operations.mean() + 1e-8
    assert by_code.max() < 1.5 * by_operations.max() + 1e-6


@pytest.mark.parametrize(
    "make_stages",
    [
        lambda: [GlobalNormalization(num_features=20)],
        lambda: [GlobalNormalization(num_features=20), Deltas(order=1)],
        lambda: [Deltas(order=1), GlobalNormalization(num_features=40)],
        lambda: [UtteranceNormalization()],
    ],
)
def test_the_stages_behind_it_follow_and_a_global_normalisation_is_part_of_it(make_stages):
    front_end = FrontEnd(LogMel(**SMALL), make_stages())
    if isinstance(front_end.normalization, GlobalNormalization):
        rng, width = np.random.default_rng(1), front_end.normalization.num_features
        front_end.set_statistics(rng.normal(-4, 2, width), rng.uniform(0.5, 3, width))
    given = batch_of([2900, 0, 1281], padding=7.0)
    (expected_BTD, _), (features_BTD, _) = front_end.whole(*given), compiled.without_gradient(front_end)(*given)
    np.testing.assert_allclose(features_BTD, expected_BTD, atol=1e-4)


@pytest.mark.parametrize("shape", [(0, 0), (0, 100), (2, 0), (3, 1)])
def test_batches_without_rows_or_samples_have_no_frames_or_few(shape):
    for center in (True, False):
        layer = LogMel(**SMALL, center=center)
        expected_BTM, log_mel_BTM = both(layer, np.ones(shape, np.float32), np.full(shape[0], shape[1], np.int32))
        np.testing.assert_allclose(log_mel_BTM, expected_BTM, atol=2e-5)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_rows_are_alike_alone_and_among_mates_to_the_bit_in_any_number_of_threads(monkeypatch, threads):
    layer = LogMel(**SMALL)
    samples_BN, num_samples_B = batch_of([4000, 3000, 1700])
    _, alone_BTM = both(layer, samples_BN[1:2, :3000], num_samples_B[1:2])
    monkeypatch.setattr(compiled, "num_threads", lambda: threads)
    _, log_mel_BTM = both(layer, samples_BN, num_samples_B)
    np.testing.assert_array_equal(log_mel_BTM[1, : alone_BTM.shape[1]], alone_BTM[0])
    assert not log_mel_BTM[1, alone_BTM.shape[1] :].any()


def test_silence_is_the_floor_and_what_is_no_number_stays_none():
    samples_BN = np.zeros([2, 4000], np.float32)
    samples_BN[1, 2000], samples_BN[1, 3999] = np.nan, np.inf
    expected_BTM, log_mel_BTM = both(LogMel(**SMALL, log_floor=1e-6), samples_BN, np.array([4000, 4000], np.int32))
    np.testing.assert_allclose(log_mel_BTM[0], np.log(1e-6), rtol=1e-6)
    np.testing.assert_array_equal(np.isfinite(log_mel_BTM), np.isfinite(expected_BTM))


def test_the_shape_is_known_where_it_is_in_a_graph():
    fast = compiled.without_gradient(FrontEnd(LogMel(**SMALL)))

    @tf.function(input_signature=[tf.TensorSpec([None, None]), tf.TensorSpec([None], tf.int32)])
    def run(samples_BN, num_samples_B):
        log_mel_BTM, num_frames_B = fast(samples_BN, num_samples_B)
        assert log_mel_BTM.shape.as_list() == [None, None, 20] and num_frames_B.shape.as_list() == [None]
        return log_mel_BTM

    assert run(tf.ones([2, 800]), tf.constant([800, 80])).shape == (2, 11, 20)


def test_what_it_cannot_compute_is_left_to_the_operations(monkeypatch):
    layer = LogMel(**{**SMALL, "n_fft": 250})
    assert compiled.obstacle(layer) == "it has powers of two alone, and n_fft is 250"
    front_end = FrontEnd(layer)
    assert compiled.without_gradient(front_end) == front_end.whole
    layer = LogMel(**SMALL)
    front_end = FrontEnd(layer)
    with native.operations_only():
        assert compiled.without_gradient(front_end) == front_end.whole
    monkeypatch.setitem(sys.modules, "numba", None)
    native._missing_package.cache_clear()
    try:
        assert "it needs Numba" in compiled.obstacle(layer)
        assert compiled.without_gradient(front_end) == front_end.whole
    finally:
        native._missing_package.cache_clear()


@pytest.mark.parametrize("half", [2, 4, 8, 16, 32, 512])
def test_the_transform_is_numpys(half):
    lanes = kernels.LANES
    rng = np.random.default_rng(half)
    z_HL = rng.normal(size=[half, lanes]) + 1j * rng.normal(size=[half, lanes])
    x = np.stack([z_HL.real, z_HL.imag], axis=1).astype(np.float32).ravel()
    y = np.empty_like(x)
    in_y = kernels._transform(x, y, kernels.make_turns(half), half)
    found_H2L = (y if in_y else x).reshape(half, 2, lanes)
    np.testing.assert_allclose(found_H2L[:, 0] + 1j * found_H2L[:, 1], np.fft.fft(z_HL, axis=0), atol=1e-5 * half)
