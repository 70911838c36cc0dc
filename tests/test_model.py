"""The model's choices: normalisation over real steps, and precision that changes no weight and hardly a number."""

import os
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from commands import needs_fork

from speechgru.config.sections import RunConfig
from speechgru.gru import GRU, GRUCell, fused
from speechgru.model.build import PRECISIONS, build_encoder, build_model
from speechgru.model.normalization import RealStepsNormalization

NUM_CLASSES = 6
MIXED = PRECISIONS[1:]
#: Half a unit in the last place, relative: what one rounding to the precision may cost.
ROUNDING = {"float32": 2**-24, "mixed_bfloat16": 2**-9, "mixed_float16": 2**-12}


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    """Tracing time grows with the block."""
    monkeypatch.setattr(fused, "BLOCK", 4)


def small_config(**model):
    return RunConfig.model_validate(
        {
            "data": {"sample_rate": 8000},
            "features": {"n_mels": 12, "normalization": "utterance"},
            "model": {"units": 12, "subsampling_channels": 10, "dropout": 0.0, **model},
        }
    )


def features(seed=0, num_frames=(23, 9, 16, 1), width=12):
    """Ragged rows, past each length garbage that must not matter."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=[len(num_frames), max(num_frames), width]).astype("float32"), np.array(num_frames, "int32")


def masked(log_mel_BTD, num_frames_B):
    return np.where(np.arange(log_mel_BTD.shape[1])[None, :, None] < num_frames_B[:, None, None], log_mel_BTD, 0)


def randomize(model, seed=1):
    """Biases and moving averages start at values where a mistake would not show."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = 0.3 * rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.path else values)


# --- Batch normalisation ------------------------------------------------------------------------------------------


def test_batch_statistics_are_those_of_the_real_steps():
    layer = RealStepsNormalization(momentum=0.75)
    values_BSD, num_steps_B = features(3, num_frames=(7, 0, 4), width=5)
    values_BSD = 3.0 * values_BSD - 2.0
    outputs_BSD = layer(values_BSD, num_steps_B, training=True).numpy()
    real_ND = np.concatenate([row[:count] for row, count in zip(values_BSD, num_steps_B, strict=True)])
    mean_D, variance_D = real_ND.mean(axis=0), real_ND.var(axis=0)
    expected_ND = (real_ND - mean_D) / np.sqrt(variance_D + layer.epsilon)
    actual_ND = np.concatenate([row[:count] for row, count in zip(outputs_BSD, num_steps_B, strict=True)])
    np.testing.assert_allclose(actual_ND, expected_ND, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.25 * mean_D, atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.75 + 0.25 * variance_D, atol=1e-5)


def test_padding_changes_neither_the_trained_outputs_nor_the_moving_averages_nor_the_gradient():
    results = []
    for padding in (0, 40):
        layer = RealStepsNormalization()
        values_BSD, num_steps_B = features(4, num_frames=(7, 3), width=5)
        values_BSD = tf.constant(np.pad(values_BSD, [[0, 0], [0, padding], [0, 0]], constant_values=np.nan))
        with tf.GradientTape() as tape:
            tape.watch(values_BSD)
            outputs_BSD = layer(values_BSD, num_steps_B, training=True)[:, :7]
            real = tf.sequence_mask(num_steps_B, 7)[:, :, None]
            loss = tf.reduce_sum(tf.where(real, tf.sin(outputs_BSD), 0.0))
        gradient = tape.gradient(loss, [values_BSD, *layer.trainable_weights])
        results.append([layer.moving_mean, layer.moving_variance, gradient[0][:, :7], *gradient[1:]])
    for without, with_padding in zip(*results, strict=True):
        np.testing.assert_allclose(without, with_padding, atol=1e-6)


@pytest.mark.parametrize("number", [1.0, np.nan, np.inf])
def test_a_batch_without_a_finite_real_step_leaves_the_moving_averages(number):
    layer = RealStepsNormalization()
    num_steps_B = np.array([0, 0 if number == 1.0 else 1], "int32")
    outputs_BSD = layer(np.full([2, 3, 4], number, "float32"), num_steps_B, training=True)
    assert np.isfinite(outputs_BSD[0]).all() or number != 1.0
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(4))
    np.testing.assert_array_equal(layer.moving_variance, np.ones(4))


def test_batch_normalisation_equals_that_of_keras_where_all_steps_are_real():
    ours, theirs = RealStepsNormalization(), keras.layers.BatchNormalization(momentum=0.9)
    values_BSD, _ = features(5, num_frames=(6, 6, 6), width=4)
    num_steps_B = np.full(3, 6, "int32")
    for training in (True, True, False):
        one, other = ours(values_BSD, num_steps_B, training=training), theirs(values_BSD, training=training)
        np.testing.assert_allclose(one, other, atol=1e-5)
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_frozen_batch_normalisation_runs_on_its_moving_averages():
    layer = RealStepsNormalization()
    values_BSD, num_steps_B = features(6, num_frames=(6, 2), width=4)
    layer(values_BSD, num_steps_B, training=True)
    expected, before = layer(values_BSD, num_steps_B, training=False), layer.get_weights()
    layer.trainable = False
    np.testing.assert_array_equal(layer(values_BSD, num_steps_B, training=True), expected)
    for one, other in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_batch_normalisation_round_trips_through_its_configuration():
    arguments = {"momentum": 0.8, "epsilon": 0.01, "center": False, "scale": False, "name": "n", "dtype": "float64"}
    config = RealStepsNormalization(**arguments).get_config()
    defaults = RealStepsNormalization().get_config()
    assert not [name for name in arguments if config[name] == defaults[name]]
    layer = RealStepsNormalization.from_config(config)
    assert layer.get_config() == config
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert loaded.get_config() == config
    assert np.isfinite(loaded(np.ones([1, 2, 3]), np.array([2]), training=True)).all()
    with pytest.raises(ValueError, match="synchronized and renorm must be False"):
        RealStepsNormalization(renorm=True)


_TWO_REPLICAS = """
import numpy as np, tensorflow as tf
from speechgru.model import RealStepsNormalization
device = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
values_BSD, num_steps_B = tf.constant(rng.normal(size=[4, 5, 3]), tf.float32), tf.constant([5, 2, 0, 4])

def step(layer, values_BSD, num_steps_B):
    with tf.GradientTape() as tape:
        tape.watch(values_BSD)
        outputs_BSD = layer(values_BSD, num_steps_B, training=True)
        loss = tf.reduce_sum(tf.where(tf.sequence_mask(num_steps_B, 5)[:, :, None], tf.sin(outputs_BSD), 0.0))
    return tape.gradient(loss, values_BSD)

alone = RealStepsNormalization()
expected = step(alone, values_BSD, num_steps_B)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer = RealStepsNormalization()
    layer.build([None, None, 3])

def on_replica():
    number = tf.distribute.get_replica_context().replica_id_in_sync_group
    return step(layer, values_BSD[number::2], num_steps_B[number::2])

gradients = strategy.experimental_local_results(tf.function(lambda: strategy.run(on_replica))())
for number, gradient in enumerate(gradients):
    np.testing.assert_allclose(gradient, expected[number::2], atol=1e-5)
for one, other in zip(layer.weights, alone.weights):
    for part in strategy.experimental_local_results(one.value):
        np.testing.assert_allclose(part, other, atol=1e-6)
print("the same")
"""


@needs_fork
def test_two_replicas_share_the_statistics_of_one_batch(commands):
    status, printed = commands.run(_TWO_REPLICAS, environment={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"})
    assert status == 0 and "the same" in printed, printed[-2000:]


def test_building_a_model_draws_its_weights_by_its_seed_and_leaves_the_callers_random_numbers():
    def drawn():
        return random.random(), np.random.random(), float(tf.random.uniform([])), float(keras.random.uniform([]))

    keras.utils.set_random_seed(5)
    expected = [drawn(), drawn()]
    keras.utils.set_random_seed(5)
    before = drawn()
    first = build_model(small_config(), NUM_CLASSES).get_weights()
    assert [before, drawn()] == expected
    for one, other in zip(build_model(small_config(), NUM_CLASSES).get_weights(), first, strict=True):
        np.testing.assert_array_equal(one, other)
    other_seed = RunConfig.model_validate({**small_config().model_dump(), "train": {"seed": 1}})
    assert np.abs(build_model(other_seed, NUM_CLASSES).get_weights()[0] - first[0]).max() > 0.01


@pytest.mark.parametrize("direction", ["bidirectional", "forward"])
def test_law_1_holds_with_batch_normalisation(direction):
    model = build_model(small_config(normalization="batch", direction=direction), NUM_CLASSES)
    randomize(model)
    rng = np.random.default_rng(0)
    num_samples_B = np.array([4000, 801, 160], "int32")
    samples_BN = rng.normal(size=[3, 4100]).astype("float32")
    logits_BSV, num_steps_B = (part.numpy() for part in model([samples_BN, num_samples_B], training=False))
    for row, count in enumerate(num_samples_B):
        alone, steps = model([samples_BN[row : row + 1, :count], num_samples_B[row : row + 1]], training=False)
        assert int(steps[0]) == num_steps_B[row]
        np.testing.assert_allclose(logits_BSV[row, : num_steps_B[row]], alone[0], atol=2e-5)


# --- Precision ----------------------------------------------------------------------------------------------------


def logits_and_gradients(encoder, scale):
    """In training, so that the fused layers run the backward pass that they have for it."""
    log_mel_BTD, num_frames_B = features()
    log_mel_BTD = masked(log_mel_BTD, num_frames_B)

    with tf.GradientTape() as tape:
        logits_BSV, num_steps_B = encoder([log_mel_BTD, num_frames_B], training=True)
        real = tf.sequence_mask(num_steps_B, tf.shape(logits_BSV)[1])[:, :, None]
        loss = scale * tf.reduce_sum(tf.where(real, tf.sin(logits_BSV), 0.0))
    gradients = tape.gradient(loss, encoder.trainable_variables)
    return tf.where(real, logits_BSV, 0.0), [gradient / scale for gradient in gradients]


@pytest.mark.parametrize(
    ("direction", "reset_after", "normalization"),
    [
        ("bidirectional", True, "none"),
        ("bidirectional", False, "layer"),
        ("bidirectional", True, "batch"),
        ("forward", False, "none"),
        ("forward", True, "layer"),
        ("forward", False, "batch"),
    ],
)
def test_mixed_precision_has_the_weights_of_float32_and_hardly_other_logits_and_gradients(
    direction, reset_after, normalization
):
    config = small_config(direction=direction, reset_after=reset_after, normalization=normalization)
    exact = build_encoder(config, NUM_CLASSES, num_features=12).model
    randomize(exact)
    weights = exact.get_weights()
    expected_BSV, expected = logits_and_gradients(exact, 1.0)
    for precision in MIXED:
        encoder = build_encoder(config, NUM_CLASSES, num_features=12, precision=precision).model
        assert [(v.name, v.shape, v.dtype) for v in encoder.variables] == [
            (v.name, v.shape, v.dtype) for v in exact.variables
        ]
        assert {weight.dtype for weight in encoder.weights} == {"float32"}
        encoder.set_weights(weights)
        logits_BSV, gradients = logits_and_gradients(encoder, 256.0 if precision == "mixed_float16" else 1.0)
        assert logits_BSV.dtype == tf.float32
        np.testing.assert_allclose(logits_BSV, expected_BSV, atol=16 * ROUNDING[precision])
        for one, other, variable in zip(gradients, expected, exact.trainable_variables, strict=True):
            assert one.dtype == tf.float32
            assert np.isfinite(one).all()
            error = np.linalg.norm(one - other) / np.linalg.norm(other)
            assert error < 32 * ROUNDING[precision], (precision, variable.path, error)


@pytest.mark.parametrize("precision", MIXED)
def test_every_precision_has_the_same_dropout_and_the_same_front_end(precision):
    samples_BN = np.random.default_rng(0).normal(size=[2, 900]).astype("float32")
    models = [build_model(small_config(dropout=0.4), NUM_CLASSES, precision=name) for name in ("float32", precision)]
    inputs = [samples_BN, np.array([900, 500], "int32")]
    one, other = (model.front_end.whole(*inputs)[0] for model in models)
    assert other.dtype == tf.float32
    np.testing.assert_array_equal(one, other)
    one, other = (model(inputs, training=True)[0] for model in models)
    np.testing.assert_allclose(one, other, atol=16 * ROUNDING[precision])
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("implementation", ["fused", "portable", "reference"])
@pytest.mark.parametrize("reset_after", [True, False])
def test_a_slow_state_moves_in_bfloat16(implementation, reset_after):
    """A unit that forgets 1/1,000 a step: a state of 8 bits would stay at 0.5 for ever."""
    layer = GRU(1, dtype="mixed_bfloat16", reset_after=reset_after, implementation=implementation, return_state=True)
    layer.build([None, None, 1])
    kernel, recurrent, bias = np.zeros([1, 3]), np.zeros([1, 3]), np.zeros(3)
    bias[0], bias[2] = np.log(999.0), 1.0  # the update gate keeps 0.999; the candidate is tanh(1)
    layer.set_weights([kernel, recurrent, np.stack([bias, 0 * bias]) if reset_after else bias])
    outputs_BTU, _ = layer(np.zeros([1, 100, 1], "float32"), initial_state=np.full([1, 1], 0.5, "float32"))
    assert outputs_BTU.dtype == tf.bfloat16
    expected = 0.5 + (np.tanh(1.0) - 0.5) * (1 - 0.999**100)
    assert float(outputs_BTU[0, -1, 0]) == pytest.approx(expected, rel=2**-8)
    assert expected > 0.5 * (1 + 2**-5)


def test_the_cell_returns_a_state_in_the_dtype_that_it_came_in():
    cell = GRUCell(3, dtype="mixed_bfloat16")
    cell.build([None, 2])
    assert cell.get_initial_state(batch_size=2)[0].dtype == tf.float32
    assert all(keras.ops.convert_to_tensor(weight).dtype == tf.float32 for weight in cell.weights)
    for dtype in (tf.float32, tf.bfloat16):
        output, (state,) = cell(tf.ones([2, 2]), [tf.zeros([2, 3], dtype)])
        assert output.dtype == state.dtype == dtype
    rnn = keras.layers.RNN(cell, return_sequences=True, dtype="mixed_bfloat16")
    for state in (None, tf.zeros([2, 3])):
        assert np.isfinite(tf.cast(rnn(tf.ones([2, 4, 2]), initial_state=state), tf.float32)).all()


@pytest.mark.parametrize(("policy", "dtype"), [("mixed_bfloat16", tf.float32), ("mixed_float16", tf.float16)])
def test_the_graph_beside_a_gpu_has_the_cudnn_operation_in_a_dtype_that_it_knows(policy, dtype, monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda *_: ["GPU:0"])
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": True})
    layer = GRU(5, dtype=policy, return_state=True)
    layer.build([None, None, 3])
    assert "runs 'cudnn'" in layer.explain()

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3]), tf.TensorSpec([None], tf.int32)])
    def train(x_BTF, lengths_B):
        with tf.GradientTape() as tape:
            outputs_BTU, state_BU = layer(x_BTF, lengths=lengths_B)
            loss = tf.reduce_sum(tf.cast(outputs_BTU, tf.float32))
        assert outputs_BTU.dtype == state_BU.dtype == layer.compute_dtype
        return tape.gradient(loss, layer.trainable_weights)

    function = train.get_concrete_function()
    operations = [one for one in function.graph.get_operations() if one.type == "CudnnRNNV3"]
    assert [one.get_attr("T") for one in operations] == [dtype]
    assert {gradient.dtype for gradient in function.outputs} == {tf.float32}


def test_an_unknown_precision_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="precision is 'float16'; expected one of float32, mixed_bfloat16"):
        build_encoder(small_config(), NUM_CLASSES, num_features=12, precision="float16")
