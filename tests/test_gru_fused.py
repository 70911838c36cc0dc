"""The fused GRU's hand-derived backward pass, its limits, and the portable form's conversion to TFLite."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.gru import GRU, BiGRU, fused
from speechgru.gru.portable import KEPT_FRAMES, MOST_FRAMES

FORMS = list(itertools.product([True, False], ["keep", "write"], [True, False]))
#: The forms, each with two more switches: whatever two of the five are set to, a case has both.
PAIRED_FORMS = [
    (reset_after, gate, bias, reset_after ^ (gate == "keep") ^ bias, reset_after ^ (gate == "keep"))
    for reset_after, gate, bias in FORMS
]


@pytest.fixture(autouse=True)
def _short_blocks(monkeypatch):
    """Tracing time grows with the block; test_gru.py runs the fused layer with its real one."""
    monkeypatch.setattr(fused, "BLOCK", 4)


def make(kind, units, inputs, **arguments):
    layer = kind(units, bias_initializer="glorot_uniform", **arguments)
    layer.build([None, None, inputs])
    return layer


def problem(seed, batch=3, frames=11, inputs=4, units=5, dtype="float32"):
    """Frames: two blocks of the fused loop and a rest. One row is empty."""
    rng = np.random.default_rng(seed)
    x_BTF = tf.constant(rng.normal(size=[batch, frames, inputs]).astype(dtype))
    lengths_B = tf.constant([frames, 0, max(frames // 2, 1)][:batch])
    states = [tf.constant(rng.normal(size=[batch, units]).astype(dtype)) for _ in range(2)]
    upstream = [tf.constant(rng.normal(size=[batch, frames, 2 * units]).astype(dtype))]
    upstream += [tf.constant(rng.normal(size=[batch, units]).astype(dtype)) for _ in range(2)]
    return x_BTF, lengths_B, states, upstream


def gradients(layer, x_BTF, lengths_B, states, upstream, *, training=True):
    """Gradients of the inputs, the initial states and every weight; the final states take part in the loss."""
    with tf.GradientTape() as tape:
        tape.watch([x_BTF, *states])
        results = layer(x_BTF, lengths=lengths_B, initial_state=states, training=training)
        loss = sum(tf.reduce_sum(result * weight) for result, weight in zip(results, upstream, strict=True))
    return [tf.convert_to_tensor(g) for g in tape.gradient(loss, [x_BTF, *states, *layer.trainable_weights])]


def assert_relative(actual, expected, tolerance):
    for one, other in zip(actual, expected, strict=True):
        scale = max(np.abs(other).max(), 1e-6)
        np.testing.assert_allclose(one / scale, other / scale, atol=tolerance)


@pytest.mark.parametrize(("reset_after", "update_gate", "use_bias", "recompute", "in_graph"), PAIRED_FORMS)
def test_gradients_agree_with_autodiff_through_the_reference(reset_after, update_gate, use_bias, recompute, in_graph):
    arguments = {"reset_after": reset_after, "update_gate": update_gate, "use_bias": use_bias, "return_state": True}
    reference = make(BiGRU, 5, 4, implementation="reference", **arguments)
    layer = make(BiGRU, 5, 4, implementation="fused", recompute=recompute, **arguments)
    layer.set_weights(reference.get_weights())
    given_ = problem(0)
    run = tf.function(lambda *a: gradients(layer, *a)) if in_graph else lambda *a: gradients(layer, *a)
    assert_relative(run(*given_), gradients(reference, *given_), 1e-5)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("reset_after", [True, False])
def test_gradients_agree_with_finite_differences_in_float64(reset_after, recompute):
    layer = make(
        BiGRU,
        3,
        2,
        reset_after=reset_after,
        implementation="fused",
        recompute=recompute,
        dtype="float64",
        return_state=True,
    )
    x_BTF, lengths_B, states, upstream = problem(1, frames=6, inputs=2, units=3, dtype="float64")

    def loss(x, h0, h1):
        results = layer(x, lengths=lengths_B, initial_state=[h0, h1])
        return sum(tf.reduce_sum(result * weight) for result, weight in zip(results, upstream, strict=True))

    loss = tf.function(loss)
    actual = gradients(layer, x_BTF, lengths_B, states, upstream)
    arrays = [x_BTF.numpy(), *(state.numpy() for state in states)]
    step = 1e-6
    rng = np.random.default_rng(0)
    for which, array in enumerate(arrays):
        for _ in range(12):
            place = tuple(rng.integers(0, size) for size in array.shape)
            values = []
            for sign in (1, -1):
                moved = [a.copy() for a in arrays]
                moved[which][place] += sign * step
                values.append(float(loss(*map(tf.constant, moved))))
            np.testing.assert_allclose(actual[which][place], (values[0] - values[1]) / (2 * step), rtol=1e-6, atol=1e-7)
    for weight, gradient in zip(layer.trainable_weights, actual[3:], strict=True):
        original = weight.numpy().copy()
        for _ in range(8):
            place = tuple(rng.integers(0, size) for size in original.shape)
            values = []
            for sign in (1, -1):
                moved = original.copy()
                moved[place] += sign * step
                weight.assign(moved)
                values.append(float(loss(*map(tf.constant, arrays))))
            weight.assign(original)
            np.testing.assert_allclose(gradient[place], (values[0] - values[1]) / (2 * step), rtol=1e-6, atol=1e-7)


@settings(max_examples=12, deadline=None)
@given(
    frames=st.integers(1, 14),
    units=st.integers(1, 6),
    form=st.sampled_from(FORMS),
    recompute=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_gradients_of_any_shape_and_form_agree_with_the_reference(frames, units, form, recompute, seed):
    arguments = dict(zip(("reset_after", "update_gate", "use_bias"), form, strict=True))
    arguments |= {"return_state": True, "dtype": "float64"}
    reference = make(BiGRU, units, 4, implementation="reference", **arguments)
    layer = make(BiGRU, units, 4, implementation="fused", recompute=recompute, **arguments)
    layer.set_weights(reference.get_weights())
    given_ = problem(seed, frames=frames, units=units, dtype="float64")
    assert_relative(gradients(layer, *given_), gradients(reference, *given_), 1e-10)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("reset_after", [True, False])
def test_gradients_under_dropout_agree_with_the_reference(reset_after, recompute):
    arguments = {"reset_after": reset_after, "dropout": 0.3, "recurrent_dropout": 0.3, "seed": 3, "return_state": True}
    reference = make(BiGRU, 5, 4, implementation="reference", **arguments)
    layer = make(BiGRU, 5, 4, implementation="fused", recompute=recompute, **arguments)
    layer.set_weights(reference.get_weights())
    given_ = problem(2)
    assert_relative(gradients(layer, *given_, training=True), gradients(reference, *given_, training=True), 1e-5)


@pytest.mark.parametrize("recompute", [False, True])
def test_dynamic_batch_and_time_train_at_every_number_of_frames(recompute):
    """A list of rest frames that is empty has an unknown batch while tracing: it must still stack."""
    layer = make(BiGRU, 5, 4, implementation="fused", recompute=recompute, return_state=True)
    reference = make(BiGRU, 5, 4, implementation="reference", return_state=True)
    reference.set_weights(layer.get_weights())
    signature = [tf.TensorSpec([None, None, 4]), tf.TensorSpec([None], tf.int32)]

    @tf.function(input_signature=signature)
    def run(x_BTF, lengths_B):
        with tf.GradientTape() as tape:
            results = layer(x_BTF, lengths=lengths_B, training=True)
            loss = sum(tf.reduce_sum(tf.sin(result)) for result in results)
        return [*results, *tape.gradient(loss, layer.trainable_weights)]

    for frames in (0, 1, 3, 4, 5, 8, 11):
        x_BTF = tf.constant(np.random.default_rng(0).normal(size=[2, frames, 4]).astype("float32"))
        lengths_B = tf.constant([frames, frames // 2])
        results = run(x_BTF, lengths_B)
        assert results[0].shape == (2, frames, 10)
        assert all(np.isfinite(result).all() for result in results)
        if frames:
            for one, other in zip(results[:3], reference(x_BTF, lengths=lengths_B), strict=True):
                np.testing.assert_allclose(one, other, atol=1e-5, err_msg=f"{frames} frames")


@pytest.mark.parametrize("recompute", [False, True])
def test_a_tape_outside_the_graph_differentiates_too(recompute):
    layer = make(GRU, 5, 4, implementation="fused", recompute=recompute)
    call = tf.function(lambda x: layer(x, training=True), input_signature=[tf.TensorSpec([None, None, 4])])
    x_BTF = tf.constant(np.random.default_rng(0).normal(size=[2, 11, 4]).astype("float32"))
    results = []
    for run in (call, layer):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(run(x_BTF) ** 2)
        results.append(tape.gradient(loss, layer.trainable_weights))
    assert_relative(*results, 1e-5)


@pytest.mark.parametrize("reset_after", [True, False])
def test_outside_training_nothing_is_kept_and_a_gradient_is_right_all_the_same(reset_after):
    layer = make(BiGRU, 5, 4, implementation="fused", reset_after=reset_after, return_state=True)
    given = problem(3, frames=9, inputs=4, units=5)
    assert_relative(gradients(layer, *given, training=False), gradients(layer, *given), 1e-5)


@pytest.mark.parametrize("in_graph", [True, False])
def test_a_second_gradient_is_refused_with_a_way_out(in_graph):
    layer = make(GRU, 5, 4, implementation="fused")

    def second(x_BTF):
        with tf.GradientTape() as outer:
            outer.watch(x_BTF)
            with tf.GradientTape() as inner:
                inner.watch(x_BTF)
                loss = tf.reduce_sum(layer(x_BTF, training=True) ** 2)
            gradient = inner.gradient(loss, x_BTF)
        return outer.gradient(gradient, x_BTF)

    x_BTF = tf.random.stateless_normal([2, 5, 4], [1, 2])
    with pytest.raises(NotImplementedError, match=r"no second-order gradient.*implementation='reference'"):
        (tf.function(second) if in_graph else second)(x_BTF)
    layer = make(GRU, 5, 4, implementation="reference")
    assert np.isfinite(second(x_BTF)).all()


def test_a_model_trains_through_fit():
    """The layer learns to say which of two inputs was larger first: needs a correct gradient through time."""
    import keras

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x_BTF = rng.normal(size=[256, 12, 2]).astype("float32")
    labels_B = (x_BTF[:, 0, 0] > x_BTF[:, 0, 1]).astype("float32")
    inputs = keras.Input([None, 2])
    outputs = keras.layers.Dense(1, activation="sigmoid")(GRU(16, return_sequences=False)(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(x_BTF, labels_B, epochs=30, batch_size=32, verbose=0)
    assert history.history["accuracy"][-1] > 0.85


def _tflite(layer, inputs, *, quantise=False, lengths=False):
    signature = [tf.TensorSpec([1, None, inputs])]
    function = tf.function(lambda x: layer(x), input_signature=signature)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantise:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def _run_tflite(content, x_BTF):
    interpreter_module = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = interpreter_module.Interpreter(model_content=content)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, x_BTF.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, x_BTF)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), interpreter


@pytest.mark.parametrize(
    ("reset_after", "update_gate", "use_bias", "one_direction"),
    [
        (True, "keep", True, False),
        (True, "write", False, True),
        (False, "keep", False, False),
        (False, "write", True, True),
    ],
)
def test_portable_converts_to_tflite_built_ins_and_is_exact_at_every_length(
    reset_after, update_gate, use_bias, one_direction
):
    kind = GRU if one_direction else BiGRU
    layer = make(
        kind, 5, 3, reset_after=reset_after, update_gate=update_gate, use_bias=use_bias, implementation="portable"
    )
    content = _tflite(layer, 3)
    rng = np.random.default_rng(0)
    for frames in (1, MOST_FRAMES - 1, MOST_FRAMES, 2 * MOST_FRAMES + 3, KEPT_FRAMES, 2 * KEPT_FRAMES + 7):
        x_BTF = rng.normal(size=[1, frames, 3]).astype("float32")
        outputs, _ = _run_tflite(content, x_BTF)
        np.testing.assert_allclose(outputs, layer(x_BTF), atol=1e-5)


@pytest.mark.parametrize("reset_after", [True, False])
def test_dynamic_range_quantisation_really_quantises_the_recurrent_products(reset_after):
    units, inputs = 128, 64
    layer = make(BiGRU, units, inputs, reset_after=reset_after, implementation="portable")
    x_BTF = np.random.default_rng(0).normal(size=[1, 45, inputs]).astype("float32")
    plain, quantised = _tflite(layer, inputs), _tflite(layer, inputs, quantise=True)
    assert len(quantised) < 0.45 * len(plain)
    outputs, interpreter = _run_tflite(quantised, x_BTF)
    assert np.abs(outputs - layer(x_BTF)).max() < 0.05
    # Outside the loops these are the input kernels; the recurrent ones are most of the file.
    kernels = [t for t in interpreter.get_tensor_details() if list(t["shape"]) == [3 * units, inputs]]
    assert [t["dtype"] for t in kernels] == [np.int8, np.int8]
    operations = {operation["op_name"] for operation in interpreter._get_ops_details()}
    assert "BATCH_MATMUL" not in operations
