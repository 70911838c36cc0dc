"""Dropout and layer normalisation in compiled code: Keras' masks, values and gradients; and who runs it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from speechgru import native
from speechgru.model import compiled
from speechgru.model.layers import Dropout
from speechgru.model.normalization import StepNormalization

kernels = pytest.importorskip("speechgru.model.kernels", reason="compiled code needs Numba (extra train)")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture(params=[1, 3])
def threads(request, monkeypatch):
    """The number of threads, which run beside each other whatever the size."""
    monkeypatch.setattr(compiled, "num_threads", lambda: request.param)
    monkeypatch.setattr(compiled, "_LEAST_NUMBERS", 1)
    return request.param


@pytest.mark.parametrize("shape", [(3, 700, 4), (1, 1), (2, 0, 5), (1, 1023), (1, 1025), (2, 5, 7, 3)])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_masks_are_keras_at_every_call(threads, shape, rate):
    ours, theirs, inputs = Dropout(rate, seed=5), keras.layers.Dropout(rate, seed=5), tf.constant(noise(*shape))
    for _ in range(2):
        np.testing.assert_array_equal(ours(inputs, training=True), theirs(inputs, training=True))


@pytest.mark.parametrize("seed", [[0, 0], [-1, 7], [2**31 - 1, -(2**31)]])
def test_random_numbers_are_tensorflows_for_any_seed(seed):
    inputs, seed = tf.ones([5000]), tf.constant(seed, tf.int32)
    expected = tf.nn.experimental.stateless_dropout(inputs, 0.3, seed)
    np.testing.assert_array_equal(compiled.dropout(inputs, rate=0.3, seed=seed), expected)


def test_the_counters_carry_reaches_its_upper_half():
    numbers, beyond = (np.empty(4 * kernels.BLOCKS, np.uint32) for _ in range(2))
    key, last = np.uint64(77), np.uint64(2**64 - 1)
    kernels._draw(key, last, np.uint64(3), np.uint64(0), numbers)
    kernels._draw(key, np.uint64(0), np.uint64(4), np.uint64(0), beyond)
    np.testing.assert_array_equal(numbers[4:], beyond[:-4])


def test_a_share_is_dropped_and_the_mean_stays():
    outputs = compiled.dropout(tf.ones([200_000]), rate=0.1, seed=tf.constant([1, 2])).numpy()
    assert np.mean(outputs == 0) == pytest.approx(0.1, abs=0.003) and outputs.mean() == pytest.approx(1, abs=0.004)
    assert set(np.unique(outputs)) == {np.float32(0), np.float32(1 / 0.9)}


def test_dropouts_gradient_and_its_gradient_go_where_the_inputs_went():
    inputs, seed = tf.constant(noise(4, 50)), tf.constant([3, 4])
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            outputs = compiled.dropout(inputs, rate=0.4, seed=seed)
            loss = tf.reduce_sum(outputs**2)
        gradient = inner.gradient(loss, inputs)
    scale = outputs.numpy() / inputs.numpy()
    np.testing.assert_allclose(gradient, 2 * inputs * scale**2, rtol=1e-5)
    np.testing.assert_allclose(outer.gradient(gradient, inputs), 2 * scale**2, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 17, 256), (2, 3, 1), (5, 33), (2, 0, 8), (0, 4, 8)])
def test_the_normalisation_and_its_gradients_are_keras(threads, shape):
    inputs, upstream = tf.constant(5 + 3 * noise(*shape)), tf.constant(noise(*shape, seed=1))
    results = []
    for layer in (keras.layers.LayerNormalization(), StepNormalization()):
        layer.build(shape)
        layer.set_weights([noise(shape[-1], seed=2), noise(shape[-1], seed=3)])
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(outputs * upstream)
        results.append([outputs, *tape.gradient(loss, [inputs, *layer.trainable_weights])])
    for ours, theirs in zip(*reversed(results), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=3e-5)


def test_what_is_no_number_stays_none_in_its_row():
    inputs = noise(2, 3, 8)
    inputs[1, 1, 4] = np.nan
    layer = StepNormalization()
    assert np.isnan(layer(inputs, training=True)).sum() == 8
    assert np.isnan(Dropout(0.1, seed=0)(inputs, training=True)).sum() == 1


def test_a_second_gradient_of_the_normalisation_is_refused():
    inputs = tf.constant(noise(2, 3, 8))
    layer = StepNormalization()
    with tf.GradientTape() as outer:
        outer.watch(inputs)
        with tf.GradientTape() as inner:
            inner.watch(inputs)
            loss = tf.reduce_sum(layer(inputs, training=True) ** 3)
        gradient = inner.gradient(loss, inputs)
    with pytest.raises(NotImplementedError, match="operations_only"):
        outer.gradient(gradient, inputs)


@pytest.mark.parametrize("make", [lambda: Dropout(0.2, seed=1), StepNormalization])
def test_a_layer_computes_in_compiled_code_in_training_alone(make):
    layer = make()
    layer.build([None, None, 8])

    def operations(training):
        run = tf.function(lambda x: layer(x, training=training), input_signature=[tf.TensorSpec([None, None, 8])])
        return {operation.type for operation in run.get_concrete_function().graph.get_operations()}

    assert "PyFuncStateless" in operations(True) and "PyFuncStateless" not in operations(False)
    with native.operations_only():
        assert "PyFuncStateless" not in operations(True)
    config = layer.get_config()
    assert type(layer).from_config(config).get_config() == {**config, **({"axis": -1} if "axis" in config else {})}
