"""One description of the model: training, exports and streams read it, and so does what somebody adds to it."""

import typing

import keras
import numpy as np
import pytest
import tensorflow as tf

import speechgru.features as features
import speechgru.model.build as build
from speechgru.config.sections import FeaturesConfig, ModelConfig, RunConfig
from speechgru.export import Graphs, to_tflite
from speechgru.features import Stage, mask_time
from speechgru.model import DIRECTIONS, Direction, KerasPredictor, Part, build_model
from speechgru.runtime import Windows

pytestmark = pytest.mark.usefixtures("short_turns")
NUM_CLASSES = 5


# --- A stage and a direction, as CONTRIBUTING.md shows them -------------------------------------------------------


class MovingMean(Stage):
    """Appends to each frame its mean with the frame before and the one after; the ends stand for those beyond them."""

    @classmethod
    def from_settings(cls, settings, *, num_features, name):
        return cls(name=name)

    reach_frames = 1

    def num_outputs(self, num_features):
        return 2 * num_features

    def call(self, log_mel, num_frames):
        return mask_time(self._appended(log_mel, tf.zeros_like(num_frames)[:, None], num_frames[:, None]), num_frames)

    def chunk(self, values_1TD, *, first_frame, end_frame):
        return self._appended(values_1TD, first_frame[None, None], end_frame[None, None])

    def _appended(self, values_BTD, first_B1, end_B1):
        places_T = tf.range(tf.shape(values_BTD)[1])[None]
        last_B1 = tf.maximum(end_B1 - 1, first_B1)
        near = [tf.clip_by_value(places_T + shift, first_B1, last_B1) for shift in (-1, 0, 1)]
        neighbours = [tf.gather(values_BTD, places_BT, axis=1, batch_dims=1) for places_BT in near]
        return tf.concat([values_BTD, tf.add_n(neighbours) / 3], axis=2)


class DelayLayer(Part):
    """Each step is computed from its inputs and those of the step before, which is its state."""

    def __init__(self, units, number, *, width):
        self.layer = keras.layers.Dense(units, activation="tanh", name=f"delay_{number}")
        self._state, self._width = f"before_{number}", width

    def whole(self, inputs, rows):
        before = keras.ops.pad(inputs, [[0, 0], [1, 0], [0, 0]])[:, :-1]
        return self.layer(keras.ops.concatenate([inputs, before], axis=2))

    def chunk(self, inputs_1SD, states, chunk):
        known_1SD = tf.concat([states[self._state], inputs_1SD], axis=1)
        outputs_1SE = self.layer(tf.concat([inputs_1SD, known_1SD[:, :-1]], axis=2))
        return outputs_1SE, {self._state: known_1SD[:, -1:]}

    def state_shapes(self, geometry):
        return {self._state: [1, 1, self._width]}


class Delay(Direction):
    """Layers that look one step back."""

    def make_layer(self, number):
        settings = self.config.model
        return DelayLayer(settings.units, number, width=settings.units if number else settings.subsampling_channels)


def configure(*, direction, normalization="layer", deltas=0):
    config = RunConfig.model_validate(
        {
            "data": {"sample_rate": 8000},
            "features": {"n_mels": 6, "deltas": deltas},
            "model": {"units": 6, "subsampling_channels": 7, "normalization": normalization},
        }
    )
    # A direction that is part of the package stands in `ModelConfig.direction` too, which checks it.
    return config.model_copy(update={"model": config.model.model_copy(update={"direction": direction})})


@pytest.fixture
def register(monkeypatch):
    """Adds the two to their tables, as their authors would."""
    monkeypatch.setitem(build.DIRECTIONS, "delay", Delay)
    stages = {"deltas": features.STAGES["deltas"], "mean": MovingMean.from_settings}
    monkeypatch.setattr(features, "STAGES", stages | features.STAGES)


def randomized(config):
    model = build_model(config, NUM_CLASSES, implementation="portable")
    rng = np.random.default_rng(1)
    for weight in model.weights:
        values = 0.5 * rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.path or "deviation" in weight.path else values)
    return model


@pytest.mark.parametrize(
    ("direction", "normalization", "deltas"), [("delay", "layer", 0), ("delay", "batch", 1), ("chunked", "none", 2)]
)
def test_an_added_stage_and_direction_train_export_and_stream_alike(register, direction, normalization, deltas):
    from ai_edge_litert.interpreter import Interpreter

    model = randomized(configure(direction=direction, normalization=normalization, deltas=deltas))
    assert model.front_end.num_features == 6 * (1 + deltas) * 2
    assert model.front_end.reach_frames == model.stream_geometry().slope_frames == 2 * deltas + 1
    graphs = Graphs(model)
    content = to_tflite({"recognize": graphs.recognize(), "stream": graphs.stream()}, form="none")
    whole, stream = (Interpreter(model_content=content).get_signature_runner(name) for name in ("recognize", "stream"))
    rng = np.random.default_rng(0)
    num_samples_B = np.array([4000, 1201, 2399], np.int32)
    samples_BN = rng.normal(size=[3, 4100]).astype(np.float32)
    # As training computes them: in a batch, with garbage beyond each recording's end.
    log_probs_BSV, num_steps_B = KerasPredictor(model).batch_log_probs(samples_BN, num_samples_B)
    for row, count in enumerate(num_samples_B):
        samples_N, expected_SV = samples_BN[row, :count], log_probs_BSV[row, : num_steps_B[row]]
        np.testing.assert_allclose(whole(samples=samples_N[None])["log_probs"][0], expected_SV, atol=1e-4)
        windows = Windows(
            lambda inputs: stream(**inputs), geometry=model.stream_geometry(), states=model.state_shapes()
        )
        parts = [
            log_probs_SV for piece_N in np.split(samples_N, [100, 333, 1100]) for log_probs_SV in windows.feed(piece_N)
        ]
        np.testing.assert_allclose(np.concatenate([*parts, *windows.finish()]), expected_SV, atol=1e-4)


def test_an_added_direction_has_gradients_and_names_for_freeze(register):
    model = randomized(configure(direction="delay"))
    assert [*model.encoder.layers_with_weights] == ["subsampling", "norm_0", "delay_0", "norm_1", "delay_1", "logits"]
    with tf.GradientTape() as tape:
        logits_BSV, _ = model([np.ones([1, 2000], np.float32), np.array([2000], np.int32)], training=True)
        loss = tf.reduce_sum(tf.square(logits_BSV))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


# --- The tables and the configuration agree -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "key", "names"),
    [
        (ModelConfig, "direction", [*DIRECTIONS]),
        (ModelConfig, "normalization", [*build.NORMALIZATIONS]),
        (FeaturesConfig, "mel_scale", [*features.MEL_SCALES]),
        (FeaturesConfig, "spectrum", [*features.SPECTRA]),
    ],
)
def test_the_configuration_names_what_the_table_holds(section, key, names):
    assert sorted(typing.get_args(section.model_fields[key].annotation)) == sorted(names)


# --- The model is a Keras model -----------------------------------------------------------------------------------


def test_it_is_saved_and_loaded_by_keras_with_its_description(tmp_path):
    config = configure(direction="forward", deltas=1)
    model = randomized(config)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.config == config
    assert [weight.name for weight in loaded.weights] == [weight.name for weight in model.weights]
    samples_N = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    np.testing.assert_array_equal(
        KerasPredictor(loaded).log_probs(samples_N), KerasPredictor(model).log_probs(samples_N)
    )
    assert loaded.stream_record() == model.stream_record()


def test_a_model_is_one_description_of_its_parts():
    model = randomized(configure(direction="chunked", deltas=1))
    assert [variable.path for variable in model.variables] == [
        variable.path for part in (model.front_end, model.encoder) for variable in part.model.variables
    ]
    assert [*model.state_shapes()] == ["context", "state_0", "state_1"]
    assert all(isinstance(block.recurrent, Part) for block in model.encoder.blocks)


def test_one_model_after_another_is_no_retracing(caplog):
    tf.get_logger().propagate = True  # to pytest
    for scale in range(1, 8):
        predictor = KerasPredictor(lambda inputs, training, scale=scale: (scale * inputs[0][..., None], inputs[1]))
        for _ in range(2):
            assert predictor.log_probs(np.ones(3, np.float64)).shape == (3, 1)
    assert caplog.text == ""
