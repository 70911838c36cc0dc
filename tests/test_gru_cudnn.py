"""The cuDNN implementation beside a GPU: it really runs, and agrees with the fused one and PyTorch's cuDNN GRU."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.gru import BiGRU, convert

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not tf.config.list_physical_devices("GPU"), reason="TensorFlow sees no NVIDIA GPU"),
]


def make(**arguments):
    layer = BiGRU(16, bias_initializer="glorot_uniform", return_state=True, **arguments)
    layer.build([None, None, 8])
    return layer


def run(layer, x_BTF, lengths_B, states):
    with tf.GradientTape() as tape:
        tape.watch([x_BTF, *states])
        results = layer(x_BTF, lengths=lengths_B, initial_state=states)
        loss = sum(tf.reduce_sum(tf.sin(result)) for result in results)
    return [*results, *tape.gradient(loss, [x_BTF, *states, *layer.trainable_weights])]


def test_auto_runs_cudnn_and_its_operation_is_in_the_graph():
    layer = make()
    assert "runs 'cudnn'" in layer.explain()
    graph = tf.function(lambda x: layer(x)).get_concrete_function(tf.TensorSpec([None, None, 8])).graph
    assert [operation for operation in graph.get_operations() if operation.type == "CudnnRNNV3"]


@pytest.mark.parametrize("update_gate", ["keep", "write"])
@pytest.mark.parametrize("use_bias", [True, False])
@settings(max_examples=5, deadline=None)
@given(frames=st.integers(1, 40), seed=st.integers(0, 1000))
def test_outputs_and_gradients_agree_with_fused_on_ragged_rows_with_an_empty_one(update_gate, use_bias, frames, seed):
    arguments = {"update_gate": update_gate, "use_bias": use_bias}
    cudnn, fused = make(implementation="cudnn", **arguments), make(implementation="fused", **arguments)
    fused.set_weights(cudnn.get_weights())
    rng = np.random.default_rng(seed)
    x_BTF = tf.constant(rng.normal(size=[3, frames, 8]).astype("float32"))
    states = [tf.constant(rng.normal(size=[3, 16]).astype("float32")) for _ in range(2)]
    lengths_B = tf.constant([frames, 0, max(1, frames // 2)])
    for one, other in zip(run(cudnn, x_BTF, lengths_B, states), run(fused, x_BTF, lengths_B, states), strict=True):
        scale = max(1.0, float(tf.reduce_max(tf.abs(other))))
        # Tensor cores may run float32 as TF32: 10 bits of mantissa.
        np.testing.assert_allclose(one / scale, other / scale, atol=5e-3)


def test_outputs_and_gradients_agree_with_the_cudnn_gru_of_pytorch():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    module = torch.nn.GRU(8, 16, batch_first=True, bidirectional=True).cuda()
    layer = make(implementation="cudnn")
    convert.write(layer, convert.from_torch(module)[0])
    x_BTF = np.random.default_rng(0).normal(size=[3, 30, 8]).astype("float32")
    expected, _ = module(torch.from_numpy(x_BTF).cuda())
    (expected**2).sum().backward()
    with tf.GradientTape() as tape:
        outputs, *_ = layer(x_BTF)
        loss = tf.reduce_sum(outputs**2)
    gradients = tape.gradient(loss, layer.trainable_weights)
    np.testing.assert_allclose(outputs, expected.detach().cpu().numpy(), atol=5e-3)
    wanted = convert.to_keras(convert.from_torch({name: p.grad for name, p in module.named_parameters()})[0])
    for one, other in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3 * np.abs(other).max())
