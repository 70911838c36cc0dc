"""Running mean and PCEN: the equations frame by frame, whatever the block, the batch and the start."""

import math

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the front end is a TensorFlow model")

from speechgru.config.sections import RunConfig  # noqa: E402
from speechgru.export.convert import to_tflite  # noqa: E402
from speechgru.export.graphs import Graphs  # noqa: E402
from speechgru.features import PCEN, RunningMean, smooth  # noqa: E402
from speechgru.files import write_json  # noqa: E402
from speechgru.model.build import build_model  # noqa: E402
from speechgru.runtime import BUNDLE_VERSION, Recognizer  # noqa: E402


def smooth_by_frames(values_TM, keep, before_M=0.0):
    s_TM, s_M = np.empty(values_TM.shape), np.broadcast_to(np.asarray(before_M, float), values_TM.shape[1:])
    for t, x_M in enumerate(values_TM.astype(float)):
        s_M = keep * s_M + (1 - keep) * x_M
        s_TM[t] = s_M
    return s_TM


def mean_by_frames(values_TM, keep):
    return smooth_by_frames(values_TM, keep) / smooth_by_frames(np.ones([len(values_TM), 1]), keep)


@pytest.mark.parametrize("keep", [0.05, 0.7, 0.975, math.exp(-1 / 300), 0.99999])
@pytest.mark.parametrize("num_frames", [0, 1, 2, 127, 128, 129, 2000])
def test_smoothing_is_the_recursion_for_any_length_and_start(num_frames, keep):
    rng = np.random.default_rng(num_frames)
    values_BTM = (rng.normal(size=[2, num_frames, 3]) - 8).astype(np.float32)
    before_BM = rng.normal(size=[2, 3]).astype(np.float32)
    for before in (None, before_BM):
        s_BTM = smooth(tf.constant(values_BTM), keep, before_BM=None if before is None else tf.constant(before))
        assert s_BTM.shape == values_BTM.shape
        for row in range(2):
            expected_TM = smooth_by_frames(values_BTM[row], keep, 0.0 if before is None else before[row])
            np.testing.assert_allclose(s_BTM[row], expected_TM, atol=2e-5)


def test_what_is_long_gone_weighs_what_it_should_after_an_hour():
    values_BTM = np.zeros([1, 360_000, 1], np.float32)
    values_BTM[0, 100, 0] = 1.0
    s_T = smooth(tf.constant(values_BTM), 0.999).numpy()[0, :, 0]
    later = np.array([0, 1, 500, 3000, 10_000])
    np.testing.assert_allclose(s_T[100 + later], 0.001 * 0.999**later, rtol=1e-4, atol=1e-9)
    assert not s_T[:100].any() and s_T[-1] < 1e-12


def test_the_running_mean_is_taken_off_and_takes_a_channel_with_it():
    log_mel_BTM = np.random.default_rng(0).normal(-6, 2, size=[2, 300, 5]).astype(np.float32)
    layer = RunningMean(num_features=5, seconds=0.5, hop_seconds=0.01)
    out_BTM = layer(log_mel_BTM, tf.constant([300, 120])).numpy()
    for row, count in enumerate((300, 120)):
        expected_TM = log_mel_BTM[row, :count] - mean_by_frames(log_mel_BTM[row, :count], math.exp(-0.02))
        np.testing.assert_allclose(out_BTM[row, :count], expected_TM, atol=2e-5)
        assert not out_BTM[row, count:].any()
    np.testing.assert_allclose(out_BTM[:, 0], 0, atol=1e-6, err_msg="the mean of the first frame is that frame")
    channel_M = np.array([3.0, -2.0, 0.5, 1.0, -4.0], np.float32)
    np.testing.assert_allclose(layer(log_mel_BTM + channel_M, tf.constant([300, 120])), out_BTM, atol=5e-5)


@pytest.mark.parametrize("changes", [{}, {"gain": 0.8, "bias": 1.0, "root": 0.25}])
def test_pcen_is_its_equations(changes):
    log_mel_BTM = np.random.default_rng(0).normal(-6, 3, size=[2, 200, 4]).astype(np.float32)
    layer = PCEN(num_features=4, seconds=0.4, hop_seconds=0.01, **changes)
    out_BTM = layer(log_mel_BTM, tf.constant([200, 77])).numpy()
    gain, bias, root = ({"gain": 0.98, "bias": 2.0, "root": 0.5} | changes).values()
    for row, count in enumerate((200, 77)):
        energy_TM = np.exp(log_mel_BTM[row, :count].astype(float))
        mean_TM = mean_by_frames(energy_TM, math.exp(-0.01 / 0.4))
        expected_TM = (energy_TM / (1e-6 + mean_TM) ** gain + bias) ** root - bias**root
        np.testing.assert_allclose(out_BTM[row, :count], expected_TM, rtol=2e-4, atol=2e-5)
        assert not out_BTM[row, count:].any()


def test_pcen_hardly_minds_the_level_and_stays_finite_from_silence_to_full_scale():
    log_mel_BTM = np.random.default_rng(0).normal(-4, 2, size=[1, 200, 4]).astype(np.float32)
    layer, count = PCEN(num_features=4, seconds=0.4, hop_seconds=0.01), tf.constant([200])
    loud_BTM, soft_BTM = layer(log_mel_BTM, count), layer(log_mel_BTM - 4.6, count)  # 20 dB
    assert np.abs(loud_BTM - soft_BTM).max() < 0.25 * np.ptp(loud_BTM)
    for level in (math.log(1e-8), 12.0):
        assert np.isfinite(layer(np.full([1, 200, 4], level, np.float32), count)).all()


def test_a_time_constant_of_nothing_is_refused_and_configurations_make_the_same_layer():
    with pytest.raises(ValueError, match="must be above 0, got 0 and"):
        RunningMean(num_features=4, seconds=0, hop_seconds=0.01)
    for layer in (
        RunningMean(num_features=4, seconds=1.5, hop_seconds=0.01),
        PCEN(num_features=4, seconds=0.2, hop_seconds=0.01, gain=0.7, bias=1.0, root=0.3, epsilon=1e-5),
    ):
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()


def test_laws_5_and_6_a_device_gives_the_model_s_log_probs_at_once_and_in_a_stream(tmp_path):
    config = RunConfig.model_validate(
        {
            "data": {"sample_rate": 8000},
            "features": {"n_mels": 8, "compression": "pcen", "normalization": "running", "running_seconds": 0.5},
            "model": {"units": 6, "subsampling_channels": 7, "direction": "forward", "num_layers": 1},
        }
    )
    model = build_model(config, 5, implementation="portable")
    graphs = Graphs(model)
    functions = {"recognize": graphs.recognize(), "stream": graphs.stream()}
    (tmp_path / "model.tflite").write_bytes(to_tflite(functions, form="dynamic"))
    metadata = {
        "bundle_version": BUNDLE_VERSION, "sample_rate": 8000, "step_seconds": config.step_seconds,
        "unit": "character", "entries": list(" abc"), "text": {}, "models": {"dynamic": {"file": "model.tflite"}},
        "default_form": "dynamic", "stream": model.stream_record(),
        "features": {"n_fft": config.n_fft, "hop_length": config.hop_length, "center": True},
    }  # fmt: skip
    write_json(tmp_path / "bundle.json", metadata)
    assert {"pcen", "running_mean"} <= set(model.state_shapes())
    rng = np.random.default_rng(0)
    for seconds in (0.05, 0.5, 3.0):
        count = round(8000 * seconds)
        levels_N = np.repeat(rng.uniform(0.001, 0.5, 12), -(-count // 12))[:count]
        samples_N = (levels_N * rng.normal(size=count)).astype(np.float32)
        logits_BSV, _ = model([samples_N[None], np.array([count], np.int32)], training=False)
        expected_SV = tf.nn.log_softmax(logits_BSV)[0].numpy()
        at_once_SV = Recognizer(tmp_path).log_probs(samples_N)
        streamed_SV = Recognizer(tmp_path, window_seconds=0.04).log_probs(samples_N)
        np.testing.assert_allclose(at_once_SV, expected_SV, atol=5e-5)
        np.testing.assert_allclose(streamed_SV, expected_SV, atol=5e-5)
