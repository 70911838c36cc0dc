"""Weight conversion against the real peers: keras.layers.GRU, torch.nn.GRU, ONNX Runtime's GRU."""

import dataclasses

import keras
import numpy as np
import pytest
from gru_reference import layer_reference

from speechgru.gru import GRU, BiGRU, GRUCell, convert


def make(kind, units, inputs, **arguments):
    layer = kind(units, bias_initializer="glorot_uniform", **arguments)
    layer.build([None, None, inputs])
    return layer


def inputs_of(seed, batch=3, frames=21, width=4):
    return np.random.default_rng(seed).normal(size=[batch, frames, width]).astype("float32")


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("update_gate", ["keep", "write"])
def test_keras_weights_give_the_same_outputs_and_come_back(bidirectional, reset_after, use_bias, update_gate):
    arguments = {"reset_after": reset_after, "use_bias": use_bias, "bias_initializer": "glorot_uniform"}
    peer = keras.layers.GRU(5, return_sequences=True, **arguments)
    if bidirectional:
        peer = keras.layers.Bidirectional(peer)
    x_BTF = inputs_of(0)
    expected = peer(x_BTF)
    kind = BiGRU if bidirectional else GRU
    layer = make(kind, 5, 4, reset_after=reset_after, use_bias=use_bias, update_gate=update_gate)
    convert.write(layer, convert.from_keras(peer))
    np.testing.assert_allclose(layer(x_BTF), expected, atol=1e-5)
    for one, other in zip(convert.to_keras(convert.read(layer), use_bias=use_bias), peer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_keras_layers_with_other_activations_are_refused():
    peer = keras.layers.GRU(5, activation="relu")
    peer.build([None, None, 4])
    with pytest.raises(ValueError, match=r"activations are \('relu', 'sigmoid'\)"):
        convert.from_keras(peer)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("update_gate", ["keep", "write"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_torch_weights_of_several_layers_give_the_same_outputs_and_come_back(use_bias, update_gate, bidirectional):
    torch = pytest.importorskip("torch")
    module = torch.nn.GRU(4, 5, num_layers=3, bias=use_bias, batch_first=True, bidirectional=bidirectional)
    x_BTF = inputs_of(1)
    with torch.no_grad():
        expected, states = module(torch.from_numpy(x_BTF))
    weights = convert.from_torch(module)
    assert len(weights) == 3
    outputs, finals = x_BTF, []
    for directions in weights:
        layer = make(
            BiGRU if bidirectional else GRU,
            5,
            outputs.shape[-1],
            use_bias=use_bias,
            update_gate=update_gate,
            return_state=True,
        )
        convert.write(layer, directions)
        outputs, *final = layer(outputs)
        finals += final
    np.testing.assert_allclose(outputs, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.stack(finals), states.numpy(), atol=1e-5)
    state = convert.to_torch(weights)
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(state[name], value.numpy())
    module.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})


def test_torch_ragged_batches_and_gradients_agree():
    torch = pytest.importorskip("torch")
    import tensorflow as tf

    module = torch.nn.GRU(4, 5, batch_first=True, bidirectional=True)
    layer = make(BiGRU, 5, 4)
    convert.write(layer, convert.from_torch(module)[0])
    x_BTF, lengths_B = inputs_of(2), [21, 9, 1]
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.from_numpy(x_BTF), lengths_B, batch_first=True)
    outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(module(packed)[0], batch_first=True)
    (outputs**2).sum().backward()
    with tf.GradientTape() as tape:
        ours = layer(x_BTF, lengths=tf.constant(lengths_B))
        loss = tf.reduce_sum(ours**2)
    gradients = [np.asarray(gradient) for gradient in tape.gradient(loss, layer.trainable_weights)]
    np.testing.assert_allclose(ours, outputs.detach().numpy(), atol=1e-5)
    expected = convert.from_torch({name: p.grad for name, p in module.named_parameters()})[0]
    for one, other in zip(gradients, convert.to_keras(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max())


def _onnx_outputs(arguments, x_BTF):
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    names = [name for name in ("W", "R", "B") if arguments[name] is not None]
    node = helper.make_node(
        "GRU",
        ["x", *names],
        ["y", "h"],
        hidden_size=arguments["hidden_size"],
        linear_before_reset=arguments["linear_before_reset"],
        direction=arguments["direction"],
    )
    graph = helper.make_graph(
        [node],
        "gru",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("y", "h")],
        [numpy_helper.from_array(np.ascontiguousarray(arguments[name]), name) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y_TDBU, h_DBU = session.run(None, {"x": x_BTF.transpose(1, 0, 2)})
    num_frames, _, batch, _ = y_TDBU.shape
    return y_TDBU.transpose(2, 0, 1, 3).reshape(batch, num_frames, -1), h_DBU


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("linear_before_reset", [0, 1])
@pytest.mark.parametrize("kind", [GRU, BiGRU])
def test_onnx_runtime_gives_the_same_outputs_both_ways(kind, linear_before_reset, use_bias):
    layer = make(kind, 5, 4, reset_after=bool(linear_before_reset), use_bias=use_bias, return_state=True)
    x_BTF = inputs_of(3)
    arguments = convert.to_onnx(convert.read(layer))
    assert arguments["linear_before_reset"] == linear_before_reset
    expected, states = _onnx_outputs(arguments, x_BTF)
    outputs, *finals = layer(x_BTF)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(np.stack(finals), states, atol=1e-5)

    # From ONNX, with recurrent biases of their own, which reset_after=False adds to the input ones.
    rng = np.random.default_rng(4)
    if use_bias:
        arguments["B"] = rng.normal(size=arguments["B"].shape).astype("float32")
    weights = convert.from_onnx(arguments["W"], arguments["R"], arguments["B"], linear_before_reset=linear_before_reset)
    convert.write(layer, weights)
    np.testing.assert_allclose(layer(x_BTF)[0], _onnx_outputs(arguments, x_BTF)[0], atol=1e-5)


@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("use_bias", [True, False])
def test_keep_and_write_are_one_function_with_the_update_gate_flipped(reset_after, use_bias):
    arguments = {"reset_after": reset_after, "use_bias": use_bias}
    keep = make(BiGRU, 5, 4, update_gate="keep", **arguments)
    write = make(BiGRU, 5, 4, update_gate="write", **arguments)
    convert.write(write, convert.read(keep))
    assert any(np.any(a != b) for a, b in zip(keep.get_weights(), write.get_weights(), strict=True))
    x_BTF = inputs_of(5)
    np.testing.assert_allclose(write(x_BTF), keep(x_BTF), atol=1e-6)
    expected = np.concatenate([outputs for outputs, _ in layer_reference(write, x_BTF)], axis=-1)
    np.testing.assert_allclose(write(x_BTF), expected, atol=1e-5)
    for weights in convert.read(keep):
        twice = convert.flip_update_gate(convert.flip_update_gate(weights))
        for name, array in dataclasses.asdict(weights).items():
            np.testing.assert_array_equal(dataclasses.asdict(twice)[name], array)


@pytest.mark.parametrize("reset_after", [True, False])
def test_the_two_reset_forms_do_not_convert_and_the_error_says_why(reset_after):
    source = make(GRU, 5, 4, reset_after=not reset_after)
    target = make(GRU, 5, 4, reset_after=reset_after)
    with pytest.raises(ValueError, match=r"different functions.*build the layer with reset_after="):
        convert.write(target, convert.read(source))
    if reset_after:
        with pytest.raises(ValueError, match=r"torch\.nn\.GRU has reset_after=True only"):
            convert.to_torch([convert.read(source)])


def test_weights_that_do_not_fit_are_refused_and_leave_the_layer_as_it_was():
    layer = make(BiGRU, 5, 4, use_bias=False)
    before = layer.get_weights()
    cases = [
        (make(GRU, 5, 4), r"weights of 1 direction\(s\), the layer has 2"),
        (make(BiGRU, 6, 4, use_bias=False), "received weights of shapes"),
        (make(BiGRU, 5, 4), "biases other than 0"),
    ]
    for source, message in cases:
        with pytest.raises(ValueError, match=message):
            convert.write(layer, convert.read(source))
    for one, other in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="has no weights yet"):
        convert.read(GRU(5))
    with pytest.raises(ValueError, match=r"expected the names of a torch\.nn\.GRU"):
        convert.from_torch({"weight": np.zeros(3)})


def test_a_layer_without_biases_fills_the_biases_of_one_with_them_with_zeros():
    source, target = make(GRU, 5, 4, use_bias=False), make(GRU, 5, 4)
    convert.write(target, convert.read(source))
    np.testing.assert_array_equal(target.get_weights()[2], 0)


def test_a_cell_alone_converts():
    source, target = make(GRU, 5, 4), GRUCell(5)
    target.build([None, 4])
    convert.write(target, convert.read(source))
    for one, other in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_cudnn_packing_is_the_documented_example():
    import tensorflow as tf

    from speechgru.gru.cudnn import pack

    row = tf.constant([[1.0, 2.0, 3.0]])
    packed = pack(row, row * 10, row[0] * 100, row[0] * 1000, units=1, update_gate="keep")
    np.testing.assert_array_equal(packed, [2, 1, 3, 20, 10, 30, 200, 100, 300, 2000, 1000, 3000])
    packed = pack(row, row * 10, None, None, units=1, update_gate="write")
    np.testing.assert_array_equal(packed, [2, -1, 3, 20, -10, 30, 0, 0, 0, 0, 0, 0])
