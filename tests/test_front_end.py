"""The front end as the configuration puts it together: in a graph, saved, and on a device."""

import numpy as np
import pytest

from speechgru.config.sections import RunConfig

tf = pytest.importorskip("tensorflow", reason="the front end is a TensorFlow model")

import keras  # noqa: E402

from speechgru.features import GlobalNormalization, UtteranceNormalization  # noqa: E402
from speechgru.model.build import build_encoder, build_front_end  # noqa: E402


def make_config(sample_rate=8000, **features):
    return RunConfig.model_validate(
        {
            "data": {"sample_rate": sample_rate},
            "features": {"n_mels": 20, **features},
            "model": {"units": 8, "subsampling_channels": 8},
        }
    )


def make_front_end(**settings):
    """With statistics that are not the initial ones, where it has any."""
    config = make_config(**settings)
    front_end = build_front_end(config)
    if config.features.normalization in ("global", "running"):
        rng = np.random.default_rng(2)
        width = front_end.num_features
        front_end.set_statistics(rng.normal(-4, 2, width), rng.uniform(0.5, 3, width))
    return front_end


@pytest.mark.parametrize(
    ("features", "layers"),
    [
        ({}, ["log_mel", "normalization"]),
        ({"deltas": 1}, ["log_mel", "deltas", "normalization"]),
        ({"deltas": 2, "normalization": "none"}, ["log_mel", "deltas"]),
        ({"normalization": "utterance"}, ["log_mel", "normalization"]),
        ({"normalization": "none"}, ["log_mel"]),
        ({"normalization": "running", "deltas": 1}, ["log_mel", "running_mean", "deltas", "normalization"]),
        ({"compression": "pcen"}, ["log_mel", "pcen", "normalization"]),
    ],
)
def test_the_configuration_names_the_layers_and_their_width(features, layers):
    config = make_config(**features)
    front_end = build_front_end(config)
    assert [layer.name for layer in front_end.model.layers if not isinstance(layer, keras.layers.InputLayer)] == layers
    features_BTD, num_frames_B = front_end.whole(np.ones([1, 4000], np.float32), np.array([4000], np.int32))
    assert features_BTD.shape[2] == front_end.num_features == 20 * (1 + features.get("deltas", 0))
    encoder = build_encoder(config, 5, num_features=front_end.num_features)
    logits_BSV, _ = encoder.whole(features_BTD, num_frames_B)
    assert logits_BSV.shape[2] == 5


def test_every_setting_reaches_the_log_mel_layer():
    settings = {"mel_scale": "htk", "spectrum": "magnitude", "preemphasis": 0.97, "center": False, "log_floor": 1e-5}
    layer = build_front_end(make_config(**settings)).log_mel
    assert {name: layer.get_config()[name] for name in settings} == settings


@pytest.mark.parametrize("normalization", ["global", "utterance", "none"])
def test_unnormalized_is_the_front_end_before_its_normalisation(normalization):
    front_end = make_front_end(deltas=1, normalization=normalization)
    inputs = [np.random.default_rng(0).normal(size=[2, 3000]).astype(np.float32), np.array([3000, 1200], np.int32)]
    before_BTD, num_frames_B = front_end.whole(*inputs, normalized=False)
    expected_BTD, expected_B = make_front_end(deltas=1, normalization="none").whole(*inputs)
    np.testing.assert_array_equal(before_BTD, expected_BTD)
    np.testing.assert_array_equal(num_frames_B, expected_B)
    kinds = {"global": GlobalNormalization, "utterance": UtteranceNormalization, "none": type(None)}
    assert isinstance(front_end.normalization, kinds[normalization])


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("features", [{}, {"normalization": "none"}, {"deltas": 2, "normalization": "utterance"}])
def test_from_log_mel_on_is_the_rest_of_the_front_end(features, normalized):
    front_end = make_front_end(**features)
    inputs = [np.random.default_rng(0).normal(size=[2, 3000]).astype(np.float32), np.array([3000, 1200], np.int32)]
    log_mel = front_end.log_mel(*inputs)
    expected_BTD, expected_B = front_end.whole(*inputs, normalized=normalized)
    rest_BTD, num_frames_B = front_end.from_log_mel(*log_mel, normalized=normalized)
    np.testing.assert_allclose(rest_BTD, expected_BTD, atol=1e-6)
    np.testing.assert_array_equal(num_frames_B, expected_B)


FORMS = {
    "defaults": {},
    "all on, by the utterance": {
        "deltas": 2, "normalization": "utterance", "preemphasis": 0.97, "spectrum": "magnitude", "mel_scale": "htk",
    },
    "running mean": {"normalization": "running", "deltas": 1, "running_seconds": 0.5},
    "pcen": {"compression": "pcen", "normalization": "none"},
    "44.1 kHz, not centred": {"sample_rate": 44100, "center": False, "deltas": 1},
}  # fmt: skip


@pytest.mark.parametrize("settings", FORMS.values(), ids=FORMS)
def test_law_5_eager_graph_saved_model_and_tflite_give_the_same_features(settings, tmp_path):
    """Also TFLite's dynamic form: no part of the front end is quantised."""
    from ai_edge_litert.interpreter import Interpreter

    front_end = make_front_end(**settings)
    sample_rate = settings.get("sample_rate", 8000)

    @tf.function(input_signature=[tf.TensorSpec([1, None], tf.float32, name="samples")])
    def one(samples):
        return {"log_mel": front_end.whole(samples, tf.reshape(tf.shape(samples)[1], [1]))[0]}

    tf.saved_model.save(front_end.model, str(tmp_path / "saved"), signatures={"serving_default": one})
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    interpreters = []
    for optimizations in ([], [tf.lite.Optimize.DEFAULT]):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([one.get_concrete_function()], one)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.optimizations = optimizations
        interpreters.append(Interpreter(model_content=converter.convert()))
    rng = np.random.default_rng(1)
    for seconds in (0.05, 0.2, 1.03):
        samples_BN = 0.3 * rng.normal(size=[1, round(seconds * sample_rate)]).astype(np.float32)
        expected_BTD = front_end.whole(samples_BN, np.array([samples_BN.shape[1]], np.int32))[0].numpy()
        assert expected_BTD.size
        np.testing.assert_allclose(one(tf.constant(samples_BN))["log_mel"], expected_BTD, atol=2e-5)
        np.testing.assert_allclose(served(samples=tf.constant(samples_BN))["log_mel"], expected_BTD, atol=2e-5)
        for interpreter in interpreters:
            index = interpreter.get_input_details()[0]["index"]
            interpreter.resize_tensor_input(index, samples_BN.shape)
            interpreter.allocate_tensors()
            interpreter.set_tensor(index, samples_BN)
            interpreter.invoke()
            from_tflite = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
            np.testing.assert_allclose(from_tflite, expected_BTD, atol=1e-4)


@pytest.mark.parametrize("settings", FORMS.values(), ids=FORMS)
def test_it_is_differentiable_beside_digital_silence(settings):
    front_end = make_front_end(**settings)
    samples_BN = np.zeros([2, 9000], np.float32)
    samples_BN[0, 3000:] = np.random.default_rng(0).normal(size=6000)
    samples_BN = tf.Variable(samples_BN)
    with tf.GradientTape() as tape:
        log_mel_BTD, _ = front_end.whole(tf.convert_to_tensor(samples_BN), tf.constant([9000, 5000]))
        total = tf.reduce_sum(log_mel_BTD**3)
    gradient_BN = tape.gradient(total, samples_BN).numpy()
    assert np.isfinite(gradient_BN).all()
    assert gradient_BN[0].any()


@pytest.mark.parametrize("normalization", ["global", "running", "utterance"])
def test_it_is_float32_under_every_precision_policy(normalization):
    inputs = [np.random.default_rng(0).normal(size=[1, 4000]).astype(np.float32), np.array([4000], np.int32)]
    expected_BTD = make_front_end(deltas=2, normalization=normalization).whole(*inputs)[0]
    before = keras.config.dtype_policy()
    try:
        for policy in ("mixed_bfloat16", "mixed_float16", "bfloat16"):
            keras.config.set_dtype_policy(policy)
            log_mel_BTD = make_front_end(deltas=2, normalization=normalization).whole(*inputs)[0]
            assert log_mel_BTD.dtype == tf.float32
            np.testing.assert_array_equal(log_mel_BTD, expected_BTD)
    finally:
        keras.config.set_dtype_policy(before)
