"""GRU, BiGRU and GRUCell: the equations, ragged rows, arguments, serialisation, streaming, TFLite."""

import itertools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from gru_reference import layer_reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from speechgru.gru import GRU, BiGRU, GRUCell

FAST = ["compiled", "fused", "portable"]
ALL = ["compiled", "fused", "portable", "reference"]
FORMS = list(itertools.product([True, False], ["keep", "write"], [True, False]))


def runs(implementation, *, reset_after=True, dtype="float32"):
    """Whether an implementation has the form; "compiled" has the one that nearly all models use."""
    return implementation != "compiled" or (reset_after and dtype == "float32")


def make(kind, units, inputs, **arguments):
    """A built layer with biases other than zero."""
    layer = kind(units, bias_initializer="glorot_uniform", **arguments)
    layer.build([None, None, inputs])
    return layer


def ragged(seed, batch=4, frames=23, inputs=3, units=5, dtype="float32"):
    rng = np.random.default_rng(seed)
    x_BTF = rng.normal(size=[batch, frames, inputs]).astype(dtype)
    lengths_B = rng.integers(0, frames + 1, size=batch)
    lengths_B[0], lengths_B[1] = 0, frames
    states = [rng.normal(size=[batch, units]).astype(dtype) for _ in range(2)]
    return x_BTF, lengths_B, states


@pytest.mark.parametrize("implementation", ALL)
@pytest.mark.parametrize(("reset_after", "update_gate", "use_bias"), FORMS)
def test_every_implementation_follows_the_equations(implementation, reset_after, update_gate, use_bias):
    if not runs(implementation, reset_after=reset_after):
        pytest.skip("compiled has no reset_after=False; test_gru_compiled.py holds that it says so")
    layer = make(
        BiGRU,
        5,
        3,
        reset_after=reset_after,
        update_gate=update_gate,
        use_bias=use_bias,
        implementation=implementation,
        return_state=True,
    )
    x_BTF, lengths_B, states = ragged(0)
    outputs, *finals = layer(x_BTF, lengths=lengths_B, initial_state=states)
    expected = layer_reference(layer, x_BTF, lengths_B=lengths_B, initial_states=states)
    np.testing.assert_allclose(outputs, np.concatenate([o for o, _ in expected], axis=-1), atol=1e-5)
    for final, (_, expected_final) in zip(finals, expected, strict=True):
        np.testing.assert_allclose(final, expected_final, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 4),
    frames=st.integers(1, 40),
    inputs=st.integers(1, 4),
    units=st.integers(1, 6),
    form=st.sampled_from(FORMS),
    implementation=st.sampled_from(FAST),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 10_000),
)
def test_any_shape_length_form_and_dtype_follows_the_equations(
    batch, frames, inputs, units, form, implementation, dtype, seed
):
    reset_after, update_gate, use_bias = form
    assume(runs(implementation, reset_after=reset_after, dtype=dtype))
    layer = make(
        BiGRU,
        units,
        inputs,
        reset_after=reset_after,
        update_gate=update_gate,
        use_bias=use_bias,
        implementation=implementation,
        dtype=dtype,
    )
    rng = np.random.default_rng(seed)
    x_BTF = rng.normal(size=[batch, frames, inputs]).astype(dtype)
    lengths_B = rng.integers(0, frames + 1, size=batch)
    outputs = layer(x_BTF, lengths=lengths_B)
    expected = layer_reference(layer, x_BTF, lengths_B=lengths_B)
    assert outputs.dtype == dtype
    np.testing.assert_allclose(
        outputs, np.concatenate([o for o, _ in expected], axis=-1), atol=1e-5 if dtype == "float32" else 1e-12
    )


@pytest.mark.parametrize("implementation", ALL)
def test_an_utterance_is_the_same_alone_and_in_any_padded_batch(implementation):
    layer = make(BiGRU, 5, 3, implementation=implementation)
    x_BTF, lengths_B, _ = ragged(1)
    garbage = np.where(np.arange(23)[None, :, None] < lengths_B[:, None, None], x_BTF, np.float32(np.nan))
    together = layer(garbage, lengths=lengths_B).numpy()
    for row, length in enumerate(lengths_B):
        if length:
            alone = layer(x_BTF[row : row + 1, :length]).numpy()
            np.testing.assert_allclose(together[row, :length], alone[0], atol=1e-6)
        np.testing.assert_array_equal(together[row, length:], 0)


@pytest.mark.parametrize("implementation", ALL)
def test_a_row_of_length_zero_gives_zeros_and_no_nan_in_value_or_gradient(implementation):
    layer = make(BiGRU, 4, 3, implementation=implementation, return_state=True)
    x_BTF = np.full([2, 7, 3], np.nan, np.float32)
    x_BTF[1] = np.random.default_rng(0).normal(size=[7, 3])
    x = tf.constant(x_BTF)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs, *finals = layer(x, lengths=tf.constant([0, 7]))
        loss = tf.reduce_sum(outputs * outputs) + sum(tf.reduce_sum(final) for final in finals)
    gradients = tape.gradient(loss, [x, *layer.trainable_weights])
    np.testing.assert_array_equal(outputs[0], 0)
    for final in finals:
        np.testing.assert_array_equal(final[0], 0)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    np.testing.assert_array_equal(gradients[0][0], 0)
    assert np.abs(gradients[0][1]).max() > 0


@pytest.mark.parametrize("implementation", ALL)
def test_a_mask_with_frames_missing_anywhere_skips_those_frames(implementation):
    layer = make(BiGRU, 5, 3, implementation=implementation)
    x_BTF = np.random.default_rng(0).normal(size=[2, 20, 3]).astype("float32")
    mask_BT = np.ones([2, 20], bool)
    mask_BT[0, :6] = False  # left padding
    mask_BT[1, [3, 4, 11, 19]] = False
    outputs = layer(x_BTF, mask=mask_BT).numpy()
    for row in range(2):
        short = layer(x_BTF[row : row + 1, mask_BT[row]]).numpy()
        np.testing.assert_allclose(outputs[row, mask_BT[row]], short[0], atol=1e-6)
        np.testing.assert_array_equal(outputs[row, ~mask_BT[row]], 0)


def test_lengths_and_a_mask_must_both_hold():
    layer = make(GRU, 5, 3)
    x_BTF = np.random.default_rng(0).normal(size=[1, 10, 3]).astype("float32")
    mask_BT = np.arange(10)[None] != 2
    both = layer(x_BTF, lengths=[6], mask=mask_BT)
    np.testing.assert_array_equal(both, layer(x_BTF, mask=mask_BT & (np.arange(10)[None] < 6)))


@pytest.mark.parametrize("lengths", [[3, 8], [-1, 2]])
def test_lengths_that_the_inputs_do_not_have_are_refused(lengths):
    layer = make(GRU, 5, 3)
    with pytest.raises(ValueError, match=r"lengths from .* for inputs of 7 frames"):
        layer(np.zeros([2, 7, 3], "float32"), lengths=lengths)


@pytest.mark.parametrize(
    ("policy", "implementation"),
    [
        ("float16", "fused"), ("float16", "reference"), ("bfloat16", "fused"), ("bfloat16", "portable"),
        ("mixed_float16", "fused"), ("mixed_float16", "portable"), ("mixed_bfloat16", "fused"),
        ("mixed_bfloat16", "reference"),
    ],
)  # fmt: skip
def test_half_precision_policies(policy, implementation):
    # TensorFlow has no QR decomposition in bfloat16, which the default (orthogonal) initializer needs.
    layer = make(BiGRU, 5, 3, implementation=implementation, dtype=policy, recurrent_initializer="glorot_uniform")
    x_BTF, lengths_B, _ = ragged(2)
    with tf.GradientTape() as tape:
        outputs = layer(x_BTF, lengths=tf.constant(lengths_B))
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32))
    gradients = tape.gradient(loss, layer.trainable_weights)
    assert outputs.dtype == keras.DTypePolicy(policy).compute_dtype
    expected = np.concatenate([o for o, _ in layer_reference(layer, x_BTF, lengths_B=lengths_B)], axis=-1)
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), expected, atol=1e-2 if "bfloat" not in policy else 8e-2)
    assert all(np.isfinite(tf.cast(gradient, tf.float32)).all() for gradient in gradients)


@pytest.mark.parametrize("implementation", ALL)
def test_go_backwards_returns_outputs_in_the_order_of_processing_as_keras_does(implementation):
    layer = make(GRU, 5, 3, go_backwards=True, implementation=implementation, return_state=True)
    peer = keras.layers.GRU(5, go_backwards=True, return_sequences=True, return_state=True)
    peer.build([None, None, 3])
    peer.set_weights(layer.get_weights())
    x_BTF = np.random.default_rng(0).normal(size=[2, 9, 3]).astype("float32")
    for ours, theirs in zip(layer(x_BTF), peer(x_BTF), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


# What is merged, and whether all of it, is the layer's doing: each implementation has its turn in some of them.
@pytest.mark.parametrize(
    ("merge_mode", "return_sequences", "implementation"),
    [
        (*form, implementation)
        for form, implementation in zip(
            itertools.product(["concat", "sum", "ave", "mul", None], [True, False]), itertools.cycle(ALL), strict=False
        )
    ],
)
def test_merge_modes_and_last_outputs_equal_keras_bidirectional(implementation, merge_mode, return_sequences):
    arguments = {"merge_mode": merge_mode, "return_sequences": return_sequences}
    layer = make(BiGRU, 4, 3, implementation=implementation, **arguments)
    peer = keras.layers.Bidirectional(keras.layers.GRU(4, return_sequences=return_sequences), merge_mode=merge_mode)
    peer.build([None, None, 3])
    peer.set_weights(layer.get_weights())
    x_BTF = np.random.default_rng(0).normal(size=[2, 9, 3]).astype("float32")
    ours, theirs = layer(x_BTF), peer(x_BTF)
    for one, other in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    shapes = layer.compute_output_shape((2, 9, 3))
    assert [tuple(one.shape) for one in tf.nest.flatten(ours)] == (list(shapes) if merge_mode is None else [shapes])


@pytest.mark.parametrize("implementation", ALL)
def test_last_output_of_a_ragged_batch_is_that_of_the_last_real_frame(implementation):
    layer = make(GRU, 5, 3, implementation=implementation, return_sequences=False)
    whole = make(GRU, 5, 3, implementation=implementation)
    whole.set_weights(layer.get_weights())
    x_BTF, lengths_B, (state, _) = ragged(3)
    last = layer(x_BTF, lengths=lengths_B, initial_state=state)
    outputs = whole(x_BTF, lengths=lengths_B, initial_state=state)
    for row, length in enumerate(lengths_B):
        np.testing.assert_allclose(last[row], outputs[row, length - 1] if length else np.zeros(5), atol=1e-6)


@pytest.mark.parametrize("implementation", ALL)
@pytest.mark.parametrize("chunk", [1, 4])
def test_streaming_with_the_state_carried_along_equals_the_whole_sequence(implementation, chunk):
    layer = make(GRU, 5, 3, implementation=implementation, return_state=True)
    x_BTF = np.random.default_rng(0).normal(size=[2, 19, 3]).astype("float32")
    whole, final = layer(x_BTF)
    state, pieces = None, []
    for start in range(0, 19, chunk):
        piece, state = layer(x_BTF[:, start : start + chunk], initial_state=state)
        pieces.append(piece)
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, atol=1e-6)
    np.testing.assert_allclose(state, final, atol=1e-6)


@pytest.mark.parametrize("implementation", FAST)
def test_no_frames_at_all_leave_the_initial_state(implementation):
    layer = make(GRU, 5, 3, implementation=implementation, return_state=True)
    outputs, final = layer(np.zeros([2, 0, 3], "float32"), initial_state=np.ones([2, 5], "float32"))
    assert outputs.shape == (2, 0, 5)
    np.testing.assert_array_equal(final, 1)


def test_the_cell_runs_under_keras_rnn_and_equals_the_layer():
    layer = make(GRU, 5, 3)
    x_BTF = np.random.default_rng(0).normal(size=[2, 9, 3]).astype("float32")
    rnn = keras.layers.RNN(layer.cell, return_sequences=True)
    np.testing.assert_allclose(rnn(x_BTF), layer(x_BTF), atol=1e-6)


ARGUMENTS = {
    "reset_after": False,
    "update_gate": "write",
    "use_bias": False,
    "kernel_initializer": "he_normal",
    "recurrent_initializer": "glorot_uniform",
    "bias_initializer": "ones",
    "kernel_regularizer": keras.regularizers.L2(0.1),
    "recurrent_regularizer": keras.regularizers.L1(0.2),
    "bias_regularizer": keras.regularizers.L2(0.3),
    "kernel_constraint": keras.constraints.MaxNorm(2),
    "recurrent_constraint": keras.constraints.MaxNorm(3),
    "bias_constraint": keras.constraints.NonNeg(),
    "dropout": 0.1,
    "recurrent_dropout": 0.2,
    "seed": 7,
    "name": "some_name",
    "dtype": "mixed_bfloat16",
    "trainable": False,
}
SEQUENCE = {"return_sequences": False, "return_state": True, "implementation": "portable", "recompute": True}


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (GRUCell, ARGUMENTS),
        (GRU, ARGUMENTS | SEQUENCE | {"go_backwards": True}),
        (BiGRU, ARGUMENTS | SEQUENCE | {"merge_mode": "ave"}),
    ],
)
def test_get_config_round_trips_every_argument(kind, arguments):
    layer = kind(5, **arguments)
    config = layer.get_config()
    assert set(arguments) <= set(config)
    defaults = kind(5).get_config()
    assert not [name for name in arguments if config[name] == defaults[name]]
    assert kind.from_config(config).get_config() == config
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer)).get_config() == config


def test_a_saved_functional_model_with_lengths_gives_the_same_outputs(tmp_path):
    inputs, lengths = keras.Input([None, 3]), keras.Input([], dtype="int32")
    outputs = BiGRU(5, dropout=0.1, recurrent_dropout=0.1, seed=1)(inputs, lengths=lengths)
    outputs, state = GRU(4, return_state=True)(outputs, lengths=lengths)
    assert outputs.shape == (None, None, 4)
    assert state.shape == (None, 4)
    model = keras.Model([inputs, lengths], [outputs, state])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x_BTF, lengths_B, _ = ragged(0)
    for one, other in zip(model([x_BTF, lengths_B]), loaded([x_BTF, lengths_B]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_have_one_layout_whatever_the_implementation():
    reference = keras.layers.Bidirectional(keras.layers.GRU(5))
    reference.build([None, None, 3])
    for implementation in ["auto", *ALL]:
        layer = make(BiGRU, 5, 3, implementation=implementation)
        assert [tuple(w.shape) for w in layer.weights] == [tuple(w.shape) for w in reference.weights]
        assert [w.path.split("/")[-1] for w in layer.weights] == ["kernel", "recurrent_kernel", "bias"] * 2


def test_the_mask_passes_on_to_the_next_layer():
    model = keras.Sequential([keras.Input([None, 3]), keras.layers.Masking(), BiGRU(4), GRU(3, return_sequences=False)])
    x_BTF = np.random.default_rng(0).normal(size=[1, 9, 3]).astype("float32")
    padded = np.concatenate([x_BTF, np.zeros([1, 5, 3], "float32")], axis=1)
    np.testing.assert_allclose(model(x_BTF), model(padded), atol=1e-6)


@pytest.mark.parametrize("implementation", FAST)
@pytest.mark.parametrize("reset_after", [True, False])
def test_dropout_masks_are_one_a_sequence_and_the_same_for_every_implementation(implementation, reset_after):
    if not runs(implementation, reset_after=reset_after):
        pytest.skip("compiled has no reset_after=False")
    arguments = {"reset_after": reset_after, "dropout": 0.4, "recurrent_dropout": 0.3, "seed": 5}
    layer = make(BiGRU, 8, 6, implementation=implementation, **arguments)
    x_BTF, lengths_B, _ = ragged(4, inputs=6, units=8)
    reference = make(BiGRU, 8, 6, implementation="reference", **arguments)
    reference.set_weights(layer.get_weights())
    first = layer(x_BTF, lengths=lengths_B, training=True)
    np.testing.assert_allclose(first, reference(x_BTF, lengths=lengths_B, training=True), atol=1e-5)
    second = layer(x_BTF, lengths=lengths_B, training=True)
    assert np.abs(first - second).max() > 1e-3, "masks must be drawn anew for every call"
    plain = layer(x_BTF, lengths=lengths_B)
    np.testing.assert_array_equal(plain, layer(x_BTF, lengths=lengths_B))


def test_a_kept_state_is_kept_exactly_under_recurrent_dropout():
    cell = GRUCell(4, recurrent_dropout=0.5, bias_initializer=keras.initializers.Constant(1e4), seed=1)
    state = np.random.default_rng(0).normal(size=[2, 4]).astype("float32")
    cell.build([None, 3])
    new, _ = cell(np.zeros([2, 3], "float32"), [state], training=True)
    np.testing.assert_allclose(new, state, rtol=1e-6)


def test_auto_runs_compiled_code_on_a_cpu_and_explains_why(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda *_: [])
    layer = make(GRU, 5, 3)
    assert re.fullmatch(r"implementation='auto' runs 'compiled': not 'cudnn', because .*no GPU\.", layer.explain())
    with pytest.raises(ValueError, match="implementation='cudnn' cannot run: TensorFlow sees no GPU"):
        make(GRU, 5, 3, implementation="cudnn")(np.zeros([1, 2, 3], "float32"))


def test_auto_runs_the_fused_code_in_a_graph_and_its_hand_derived_gradient(monkeypatch):
    """Fails when `auto` silently leaves the fast path, or autodiff replaces its backward pass."""
    from speechgru.gru import fused, implementations

    monkeypatch.setattr(tf.config, "list_logical_devices", lambda *_: [])
    calls = []
    real, backward = implementations.fused_gru, fused._Run.backward
    monkeypatch.setattr(implementations, "fused_gru", lambda *a, **k: calls.append("forward") or real(*a, **k))
    monkeypatch.setattr(fused._Run, "backward", lambda *a, **k: calls.append("backward") or backward(*a, **k))
    layer = make(BiGRU, 5, 3, reset_after=False)

    @tf.function
    def train(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x))
        return tape.gradient(loss, layer.trainable_weights)

    train(tf.zeros([2, 40, 3]))
    assert sorted(calls) == ["backward", "backward", "forward", "forward"]


@pytest.mark.parametrize(
    ("arguments", "dtype", "has_mask", "reason"),
    [
        ({"reset_after": False}, "float32", False, "no reset_after=False"),
        ({"recurrent_dropout": 0.1}, "float32", False, "no dropout inside the recurrent product"),
        ({}, "bfloat16", False, "no bfloat16"),
        ({}, "float32", True, "pass lengths"),
        ({}, "float32", False, None),
    ],
)
def test_explain_names_what_keeps_cudnn_from_running_beside_a_gpu(monkeypatch, arguments, dtype, has_mask, reason):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda *_: ["GPU:0"])
    monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": True})
    text = GRU(5, dtype=dtype, **arguments).explain(has_mask=has_mask)
    assert ("runs 'cudnn'" in text) if reason is None else ("runs 'fused'" in text and reason in text)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (GRU, {"implementation": "fast"}, "implementation is 'fast'; expected one of"),
        (GRU, {"update_gate": "hold"}, "update_gate is 'hold'; expected one of"),
        (GRU, {"dropout": 1.5}, "dropout is 1.5; expected a number"),
        (GRUCell, {"dropout": "0.1"}, "dropout is '0.1'; expected a number"),
        (GRU, {"recurrent_dropout": None}, "recurrent_dropout is None; expected a number"),
        (BiGRU, {"merge_mode": "stack"}, "merge_mode is 'stack'; expected one of"),
        (BiGRU, {"recurrent_dropout": -0.1}, "recurrent_dropout is -0.1; expected a number"),
    ],
)
def test_arguments_out_of_range_are_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(5, **arguments)


# --- What callers bring -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def peer():
    """A layer of Keras over random inputs [3, 6, 3] that every dtype holds exactly."""
    layer = keras.layers.GRU(5, return_sequences=True, bias_initializer="glorot_uniform", seed=1)
    x_BTF = np.random.default_rng(0).integers(0, 4, size=[3, 6, 3])
    layer.build(x_BTF.shape)
    return layer, x_BTF


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float64"])
@pytest.mark.parametrize("implementation", ALL)
def test_inputs_of_every_dtype_give_what_keras_gives(peer, implementation, dtype):
    theirs, x_BTF = peer
    x_BTF = x_BTF.astype(dtype)
    layer = make(GRU, 5, 3, implementation=implementation)
    layer.set_weights(theirs.get_weights())
    outputs = layer(x_BTF)
    assert outputs.dtype == "float32"
    np.testing.assert_allclose(outputs, theirs(x_BTF), atol=1e-6)


def test_a_cell_takes_integers_and_drops_them_out_unrounded():
    cell = make(GRUCell, 4, 3, dropout=0.4, recurrent_dropout=0.4, seed=1)
    x_BF, h_BU = np.array([[1, 2, 3], [0, 4, 1]]), np.array([[1, 0, 2, 1], [2, 1, 0, 1]])
    floats = make(GRUCell, 4, 3, dropout=0.4, recurrent_dropout=0.4, seed=1)
    floats.set_weights(cell.get_weights())
    expected, _ = floats(x_BF.astype("float32"), [h_BU.astype("float32")], training=True)
    output, (state,) = cell(x_BF, [h_BU], training=True)
    assert output.dtype == state.dtype == "float32"
    np.testing.assert_allclose(output, expected, atol=1e-6)


@pytest.mark.parametrize("inputs", [tf.ragged.constant([[[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]]], inner_shape=(2,))])
def test_ragged_inputs_are_refused_with_the_way_to_make_them_dense(inputs):
    layer = make(GRU, 4, 2)
    with pytest.raises(ValueError, match=r"inputs are ragged; .* inputs.to_tensor\(\), lengths=inputs.row_lengths\(\)"):
        layer(inputs)
    assert layer(inputs.to_tensor(), lengths=inputs.row_lengths()).shape == (2, 2, 4)


X_BTF = np.random.default_rng(0).normal(size=[2, 6, 3]).astype("float32")
STATE_BU = np.ones([2, 5], "float32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": X_BTF[0]}, "expected ndim=3, found ndim=2"),
        ({"inputs": X_BTF[None]}, "expected ndim=3, found ndim=4"),
        ({"inputs": X_BTF[:, :, :2]}, "expected axis -1 of input shape to have value 3"),
        ({"inputs": X_BTF.astype("complex64")}, "inputs are complex64; expected real numbers"),
        ({"inputs": X_BTF.astype(str)}, "inputs are string; expected real numbers"),
        ({"inputs": tf.sparse.from_dense(X_BTF)}, "inputs are sparse; expected a dense tensor [B, T, F]"),
        ({"lengths": 5}, "lengths of shape () beside inputs of shape (2, 6, 3); expected (2,), [B]"),
        ({"lengths": [5]}, "lengths of shape (1,) beside inputs of shape (2, 6, 3); expected (2,), [B]"),
        ({"lengths": [5, 2, 1]}, "lengths of shape (3,) beside"),
        ({"lengths": [[5], [2]]}, "lengths of shape (2, 1) beside"),
        ({"lengths": [5.0, 2.0]}, "lengths are float32; expected integers"),
        ({"lengths": [True, False]}, "lengths are bool; expected integers"),
        ({"lengths": [5, 7]}, "lengths from 5 to 7 for inputs of 6 frames"),
        ({"mask": np.ones([6], bool)}, "mask of shape (6,) beside inputs of shape (2, 6, 3); expected (2, 6), [B, T]"),
        ({"mask": np.ones([2, 6, 1], bool)}, "mask of shape (2, 6, 1) beside"),
        ({"mask": np.ones([1, 6], bool)}, "mask of shape (1, 6) beside"),
        (
            {"initial_state": STATE_BU[0]},
            "initial_state of shape (5,) beside inputs of shape (2, 6, 3); expected (2, 5)",
        ),
        ({"initial_state": STATE_BU[:1]}, "initial_state of shape (1, 5) beside"),
        ({"initial_state": np.array([5, 2])}, "Lengths are passed by keyword: lengths=..."),
        ({"initial_state": [STATE_BU, STATE_BU]}, "initial_state has 2 tensors; expected 1"),
    ],
)
def test_what_does_not_fit_the_inputs_is_refused_with_the_shape_expected(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(GRU, 5, 3)(**{"inputs": X_BTF, **arguments})


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64"])
def test_lengths_of_every_integer_dtype_are_lengths(dtype):
    layer = make(GRU, 5, 3)
    np.testing.assert_array_equal(layer(X_BTF, lengths=np.array([6, 2], dtype)), layer(X_BTF, lengths=[6, 2]))


@pytest.mark.parametrize("wrong", ["lengths", "mask", "state"])
def test_a_graph_of_any_batch_repeats_no_single_row_for_all(wrong):
    layer = make(GRU, 5, 3, implementation="fused")
    given = {
        "lengths": {"lengths": tf.constant([6])},
        "mask": {"mask": tf.ones([1, 6], tf.bool)},
        "state": {"initial_state": tf.ones([1, 5])},
    }[wrong]

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3])])
    def call(x_BTF):
        return layer(x_BTF, **given)

    assert call(X_BTF[:1]).shape == (1, 6, 5)
    with pytest.raises(tf.errors.InvalidArgumentError):
        call(X_BTF)


@pytest.mark.parametrize("units", [4.0, 4.5, "4", None, True, 0, -1])
@pytest.mark.parametrize("kind", [GRU, BiGRU, GRUCell])
def test_units_other_than_a_positive_integer_are_refused(kind, units):
    with pytest.raises(ValueError, match=re.escape(f"units is {units!r}; expected an integer of 1 or more.")):
        kind(units)


def test_inputs_of_unknown_width_are_refused():
    with pytest.raises(ValueError, match=r"inputs of shape \(None, None, None\); expected \[B, T, F\] with a known F"):
        GRU(4)(keras.Input([None, None]))


def test_units_may_be_an_integer_of_numpy():
    assert type(GRU(np.int64(4)).get_config()["units"]) is int


# --- In the place of a layer of Keras -----------------------------------------------------------------------------


def test_arguments_are_in_the_order_of_keras():
    layer, theirs = make(GRU, 5, 3), keras.layers.GRU(5, return_sequences=True)
    theirs.build(X_BTF.shape)
    layer.set_weights(theirs.get_weights())
    mask_BT = np.arange(6) < np.array([[6], [4]])
    ours, expected = layer(X_BTF, STATE_BU, mask_BT).numpy(), theirs(X_BTF, STATE_BU, mask_BT).numpy()
    np.testing.assert_allclose(ours[mask_BT], expected[mask_BT], atol=1e-6)


KERAS_ARGUMENTS = {
    "activation": "tanh",
    "recurrent_activation": keras.activations.sigmoid,
    "stateful": False,
    "unroll": False,
    "use_cudnn": "auto",
    "zero_output_for_mask": True,
    "time_major": False,
}


@pytest.mark.parametrize("kind", [GRU, BiGRU])
def test_arguments_of_keras_are_accepted_at_the_values_that_there_are(kind):
    layer = kind(5, **KERAS_ARGUMENTS)
    assert kind.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "relu"}, "activation is 'relu'; this layer has 'tanh' only: keras.layers.GRU has others."),
        ({"activation": None}, "activation is None; this layer has 'tanh' only"),
        (
            {"recurrent_activation": "hard_sigmoid"},
            "recurrent_activation is 'hard_sigmoid'; this layer has 'sigmoid' only",
        ),
        ({"stateful": True}, "stateful is True; this layer has False only: carry the state along by return_state"),
        ({"unroll": True}, "unroll is True; this layer has False only"),
        ({"use_cudnn": True}, "use_cudnn is True; this layer has 'auto' only: name an implementation"),
        ({"zero_output_for_mask": False}, "zero_output_for_mask is False; this layer has True only: outputs are zeros"),
    ],
)
def test_other_values_of_arguments_of_keras_are_refused_by_one_message(arguments, message):
    for kind in [GRU, BiGRU] + [GRUCell] * ("activation" in next(iter(arguments))):
        with pytest.raises(ValueError, match=re.escape(message)):
            kind(5, **arguments)


@pytest.mark.parametrize("return_sequences", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_keras_bidirectional_wraps_the_layer(return_sequences, masked):
    wrapped = keras.layers.Bidirectional(GRU(4, return_sequences=return_sequences, return_state=True))
    wrapped = keras.layers.Bidirectional.from_config(wrapped.get_config())
    layer = make(BiGRU, 4, 3, return_sequences=return_sequences, return_state=True)
    wrapped.build(X_BTF.shape)
    wrapped.set_weights(layer.get_weights())
    arguments = {"mask": np.arange(6) < np.array([[6], [4]])} if masked else {}
    states = [np.full([2, 4], number, "float32") for number in (0.5, -0.5)]
    ours = layer(X_BTF, initial_state=states, **arguments)
    for theirs, expected in zip(wrapped(X_BTF, initial_state=states, **arguments), ours, strict=True):
        np.testing.assert_allclose(theirs, expected, atol=1e-6)


@pytest.mark.parametrize("kind", [GRU, BiGRU])
def test_a_mask_on_the_inputs_holds_beside_a_state_and_lengths_too(kind):
    """Keras passes a layer of several tensors no `mask`, which its own GRU then loses."""
    layer = make(kind, 5, 3)
    inputs, state = keras.Input([None, 3]), keras.Input([5])
    lengths = keras.Input([], dtype="int32")
    states = state if kind is GRU else [state, state]
    outputs = layer(keras.layers.Masking()(inputs), states, lengths=lengths)
    model = keras.Model([inputs, state, lengths], outputs)
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    padded_BTF = np.where(np.arange(6)[None, :, None] < np.array([6, 3])[:, None, None], X_BTF, np.float32(0))
    given = STATE_BU if kind is GRU else [STATE_BU, STATE_BU]
    expected = layer(X_BTF, initial_state=given, lengths=[5, 3])
    for each in (model, again):
        np.testing.assert_allclose(each([padded_BTF, STATE_BU, np.array([5, 6])]), expected, atol=1e-6)


@pytest.mark.parametrize("return_state", [False, True])
def test_the_layer_after_one_that_goes_backwards_reads_the_real_frames(return_state):
    first, second = make(GRU, 4, 3, go_backwards=True, return_state=return_state), make(GRU, 5, 4)
    padded_BTF = np.where(np.arange(6)[None, :, None] < np.array([6, 3])[:, None, None], X_BTF, np.float32(0))
    masked = first(keras.layers.Masking()(padded_BTF))
    by_mask_BTU = second(masked[0] if return_state else masked).numpy()
    by_lengths = first(padded_BTF, lengths=[6, 3])
    by_lengths_BTU = second(by_lengths[0] if return_state else by_lengths, lengths=[6, 3]).numpy()
    for row, length in enumerate([6, 3]):
        alone = first(X_BTF[row : row + 1, :length])
        alone_TU = second(alone[0] if return_state else alone)[0]
        # Under a mask the padding stands at the left of outputs in the order of processing, with lengths at the right.
        np.testing.assert_allclose(by_mask_BTU[row, 6 - length :], alone_TU, atol=1e-6)
        np.testing.assert_allclose(by_lengths_BTU[row, :length], alone_TU, atol=1e-6)


@pytest.mark.parametrize("kind", [GRU, BiGRU])
def test_keras_runs_a_model_of_these_layers_without_xla(kind):
    model = keras.Sequential([keras.Input([40, 3]), kind(4)])
    assert not any(layer.supports_jit for layer in model.layers)
    with pytest.warns(UserWarning, match="Model doesn't support `jit_compile=True`"):
        model.compile("sgd", "mse", jit_compile=True)
    assert model.jit_compile is False
    model.train_on_batch(np.zeros([1, 40, 3], "float32"), np.zeros([1, 40, 4 if kind is GRU else 8], "float32"))
