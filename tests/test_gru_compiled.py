"""The compiled GRU: its products, its hand-derived backward pass, its limits, and who runs it."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from test_gru_fused import assert_relative, gradients, make, problem

from speechgru.gru import GRU, BiGRU, compiled

pytest.importorskip("numba", reason="the compiled GRU needs Numba, which librosa brings (extra train)")

from speechgru.gru import products, recurrence


@pytest.mark.parametrize(("rows", "depth", "width"), [(32, 128, 384), (1, 5, 3), (7, 1, 33), (15, 20, 64), (0, 4, 4)])
@pytest.mark.parametrize("adds", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_product_is_numpys(rows, depth, width, adds, transposed):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(depth, rows) if transposed else (rows, depth)).astype("float32")
    b, c = products.aligned(depth, width), products.aligned(rows, width)
    b[:, :width], c[:, :width] = rng.normal(size=[depth, width]), rng.normal(size=[rows, width])
    expected = (a.T if transposed else a).astype("float64") @ b + (c if adds else 0)
    steps = (1, rows) if transposed else (depth, 1)
    products.multiply(a, 0, *steps, rows, b, 0, c, 0, c.shape[1], depth, adds)
    np.testing.assert_allclose(c, expected, atol=1e-5 * np.sqrt(depth))


def test_matrices_begin_at_a_line_of_the_cache_and_have_whole_tiles():
    for rows, columns in ((1, 1), (3, 33), (5, 64)):
        matrix = products.aligned(rows, columns)
        assert matrix.ctypes.data % 64 == 0 and matrix.shape == (rows, -(-columns // products.TILE) * products.TILE)
        assert not matrix.any()


@pytest.mark.parametrize("in_graph", [True, False])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("update_gate", ["keep", "write"])
def test_gradients_agree_with_autodiff_through_the_reference(update_gate, use_bias, in_graph):
    arguments = {"update_gate": update_gate, "use_bias": use_bias, "return_state": True}
    reference = make(BiGRU, 5, 4, implementation="reference", **arguments)
    layer = make(BiGRU, 5, 4, implementation="compiled", **arguments)
    layer.set_weights(reference.get_weights())
    given_ = problem(0)
    run = tf.function(lambda *a: gradients(layer, *a)) if in_graph else lambda *a: gradients(layer, *a)
    assert_relative(run(*given_), gradients(reference, *given_), 1e-5)


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 40),
    frames=st.integers(1, 14),
    units=st.integers(1, 40),
    inputs=st.integers(1, 40),
    update_gate=st.sampled_from(["keep", "write"]),
    threads=st.integers(1, 5),
    has_mask=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_gradients_of_any_shape_mask_and_number_of_threads_agree_with_the_fused_form(
    batch, frames, units, inputs, update_gate, threads, has_mask, seed
):
    rng = np.random.default_rng(seed)
    x_BTF = tf.constant(rng.normal(size=[batch, frames, inputs]).astype("float32"))
    valid_BT = rng.random([batch, frames]) < 0.7 if has_mask else None
    lengths_B = rng.integers(0, frames + 1, size=batch)
    results = []
    layers = [
        make(BiGRU, units, inputs, implementation=name, update_gate=update_gate) for name in ("fused", "compiled")
    ]
    layers[1].set_weights(layers[0].get_weights())
    weight = rng.normal(size=[batch, frames, 2 * units]).astype("float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "num_threads", lambda asked: threads)
        for layer in layers:
            with tf.GradientTape() as tape:
                tape.watch(x_BTF)
                outputs = layer(x_BTF, lengths=lengths_B, mask=valid_BT, training=True)
                loss = tf.reduce_sum(outputs * weight)
            results.append([outputs, *tape.gradient(loss, [x_BTF, *layer.trainable_weights])])
    assert_relative(*results, 2e-5)


def test_gradients_under_dropout_agree_with_the_reference():
    arguments = {"dropout": 0.3, "recurrent_dropout": 0.3, "seed": 3, "return_state": True}
    reference = make(BiGRU, 5, 4, implementation="reference", **arguments)
    layer = make(BiGRU, 5, 4, implementation="compiled", **arguments)
    layer.set_weights(reference.get_weights())
    given_ = problem(2)
    assert_relative(gradients(layer, *given_), gradients(reference, *given_), 1e-5)


def test_outside_training_nothing_is_kept_and_a_gradient_is_right_all_the_same():
    layer = make(BiGRU, 5, 4, implementation="compiled", return_state=True)
    given_ = problem(3, frames=9)
    assert_relative(gradients(layer, *given_, training=False), gradients(layer, *given_), 1e-6)


@pytest.mark.parametrize("frames", [0, 1, 11])
def test_dynamic_batch_and_time_train_in_a_graph(frames):
    layer = make(BiGRU, 5, 4, implementation="compiled", return_state=True)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 4]), tf.TensorSpec([None], tf.int32)])
    def run(x_BTF, lengths_B):
        with tf.GradientTape() as tape:
            results = layer(x_BTF, lengths=lengths_B, training=True)
            loss = sum(tf.reduce_sum(tf.sin(result)) for result in results)
        return [*results, *tape.gradient(loss, layer.trainable_weights)]

    for batch in (0, 2):
        x_BTF = tf.constant(np.random.default_rng(0).normal(size=[batch, frames, 4]).astype("float32"))
        results = run(x_BTF, tf.constant([frames, frames // 2][:batch], tf.int32))
        assert results[0].shape == (batch, frames, 10)
        assert all(np.isfinite(result).all() for result in results)


def test_the_same_call_gives_the_same_bits():
    layer = make(BiGRU, 20, 4, implementation="compiled", return_state=True)
    given_ = problem(4, batch=3, frames=40, units=20)
    first = gradients(layer, *given_)
    for one, other in zip(first, gradients(layer, *given_), strict=True):
        np.testing.assert_array_equal(one, other)


def test_frames_that_are_not_real_may_hold_anything_between_real_ones_too():
    layer = make(BiGRU, 5, 4, implementation="compiled")
    rng = np.random.default_rng(0)
    x_BTF, is_real_BT = rng.normal(size=[9, 12, 4]).astype("float32"), rng.random([9, 12]) < 0.7
    results = []
    for beyond in (0.0, np.nan):
        inputs_BTF = tf.constant(np.where(is_real_BT[:, :, None], x_BTF, np.float32(beyond)))
        with tf.GradientTape() as tape:
            tape.watch(inputs_BTF)
            loss = tf.reduce_sum(layer(inputs_BTF, mask=is_real_BT, training=True) ** 2)
        results.append([loss, *tape.gradient(loss, [inputs_BTF, *layer.trainable_weights])])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not results[0][1].numpy()[~is_real_BT].any()


def test_what_is_no_number_stays_none_so_that_training_sees_it():
    layer = make(GRU, 5, 3, implementation="compiled")
    x_BTF = np.zeros([2, 4, 3], "float32")
    x_BTF[0, 1] = np.nan
    outputs = layer(x_BTF).numpy()
    assert np.isnan(outputs[0, 1:]).all() and np.isfinite(outputs[0, 0]).all() and np.isfinite(outputs[1]).all()


def test_a_second_gradient_is_refused_with_a_way_out():
    layer = make(GRU, 5, 4, implementation="compiled")
    x_BTF = tf.ones([2, 6, 4])
    with tf.GradientTape() as outer:
        outer.watch(x_BTF)
        with tf.GradientTape() as inner:
            inner.watch(x_BTF)
            loss = tf.reduce_sum(layer(x_BTF, training=True) ** 2)
        gradient = inner.gradient(loss, x_BTF)
    with pytest.raises(NotImplementedError, match="implementation='reference'"):
        outer.gradient(gradient, x_BTF)


def test_auto_runs_it_in_a_graph_forward_and_backward(monkeypatch):
    calls = []
    for name in ("forward", "backward"):
        real = getattr(recurrence.Recurrence, name)
        monkeypatch.setattr(
            recurrence.Recurrence, name, lambda *a, _name=name, _real=real, **k: calls.append(_name) or _real(*a, **k)
        )
    layer = make(BiGRU, 5, 3)

    @tf.function
    def train(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, layer.trainable_weights)

    train(tf.zeros([2, 40, 3]))
    assert calls == ["forward", "backward"], "one call for both directions"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"reset_after": False}, "it has no reset_after=False"),
        ({"dtype": "float64"}, "it has float32 alone, and the layer computes in float64 over float64"),
        ({"dtype": "mixed_bfloat16"}, "it has float32 alone, and the layer computes in bfloat16 over float32"),
        ({"recompute": True}, "recompute is asked for"),
    ],
)
def test_auto_names_what_keeps_it_from_running(arguments, reason):
    explanation = GRU(5, **arguments).explain()
    assert "runs 'fused'" in explanation and f"not 'compiled', because {reason}" in explanation
    if "recompute" not in arguments:
        layer = make(GRU, 5, 3, implementation="compiled", **arguments)
        with pytest.raises(ValueError, match="implementation='compiled' cannot run: it has "):
            layer(np.zeros([1, 2, 3], "float32"))


def test_without_numba_the_fused_form_runs(monkeypatch):
    monkeypatch.setitem(sys.modules, "speechgru.gru.recurrence", None)
    monkeypatch.delattr("speechgru.gru.recurrence", raising=False)
    compiled._missing_package.cache_clear()
    try:
        layer = make(GRU, 5, 3)
        assert "runs 'fused'" in layer.explain() and "it needs Numba" in layer.explain()
        assert np.isfinite(layer(np.zeros([1, 2, 3], "float32"))).all()
    finally:
        compiled._missing_package.cache_clear()
