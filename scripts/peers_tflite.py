"""The recogniser of `bench_tflite.py` in the libraries that it is timed beside, with the same weights."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

#: ONNX Runtime's and Keras' defaults differ.
EPSILON = 1e-3
OPSET = 17  # the first with LayerNormalization


@dataclass(frozen=True)
class Weights:
    """What the peers take over: Keras' arrays, and the GRU layers as `gru.convert` reads them."""

    mean_M: np.ndarray
    deviation_M: np.ndarray
    convolution: list[np.ndarray]
    norms: list[list[np.ndarray]]
    grus: list[list[Any]]
    dense: list[np.ndarray]
    factor: int

    @property
    def sizes(self):
        """What PyTorch's module is built from."""
        _, n_mels, channels = self.convolution[0].shape
        units, classes = self.grus[0][0].units, self.dense[0].shape[1]
        return {
            "n_mels": n_mels, "channels": channels, "units": units, "num_layers": len(self.grus), "classes": classes,
            "factor": self.factor,
        }  # fmt: skip


def weights_of(graphs, config):
    from speechgru.gru import convert

    encoder, normalization = graphs.model.encoder, graphs.model.front_end.normalization
    return Weights(
        mean_M=normalization.mean_D.numpy(),
        deviation_M=normalization.deviation_D.numpy(),
        convolution=encoder.subsampling.get_weights(),
        norms=[block.normalization.layer.get_weights() for block in encoder.blocks],
        grus=[convert.read(block.recurrent.layer) for block in encoder.blocks],
        dense=encoder.logits.layer.get_weights(),
        factor=config.model.subsampling_factor,
    )


# -- ONNX Runtime ------------------------------------------------------------------------------------------------------


def onnx_model(weights, *, geometry=None):
    """`log_mel` [1, T, M] -> `log_probs` [1, S, V].

    With a stream's geometry: one call. `log_mel` are the window's frames, and `state_0`, ... [1, 1, U] come in and go
    out as `after_0`, ...: those behind the chunk's last step.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    from speechgru.gru import convert

    nodes, constants = [], []

    def constant(name, array, dtype=np.float32):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype), name))
        return name

    def node(operator, inputs, output, **attributes):
        outputs = [output] if isinstance(output, str) else output
        nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))
        return outputs[0]

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    kernel_KME, bias_E = weights.convolution
    factor, units, lookahead = weights.factor, weights.sizes["units"], geometry is not None and geometry.lookahead_steps
    inputs = [value("log_mel", [1, None if geometry is None else geometry.window_frames, weights.sizes["n_mels"]])]
    outputs = [value("log_probs", [1, None if geometry is None else geometry.chunk_steps, weights.sizes["classes"]])]
    x = node("Sub", ["log_mel", constant("mean", weights.mean_M)], "centred")
    x = node("Mul", [x, constant("scale", 1 / weights.deviation_M)], "normalized")
    x = node("Transpose", [x], "frames", perm=[0, 2, 1])
    x = node(
        "Conv",
        [x, constant("convolution", kernel_KME.transpose(2, 1, 0)), constant("convolution_bias", bias_E)],
        "convolved",
        strides=[factor],
        pads=[0 if geometry else factor] * 2,
    )
    x = node("Transpose", [node("Relu", [x], "subsampled")], "steps", perm=[2, 0, 1])
    constant("rows", [0, 1, -1], np.int64)
    for number, ((gamma_D, beta_D), directions) in enumerate(zip(weights.norms, weights.grus, strict=True)):
        scale, shift = constant(f"gamma_{number}", gamma_D), constant(f"beta_{number}", beta_D)
        x = node("LayerNormalization", [x, scale, shift], f"norm_{number}", axis=-1, epsilon=EPSILON)
        given = convert.to_onnx(directions)
        arrays = [constant(f"{name}_{number}", given.pop(name)) for name in ("W", "R", "B")]
        names = [f"gru_{number}", f"last_{number}"]
        if geometry is not None:
            before, after = f"state_{number}", f"after_{number}"
            inputs.append(value(before, [1, 1, units]))
            outputs.append(value(after, [1, 1, units]))
            if len(directions) == 2:
                zeros = constant(f"zeros_{number}", np.zeros([1, 1, units]))
                before = node("Concat", [before, zeros], f"both_{number}", axis=0)
            else:
                names[1] = after
            arrays += ["", before]  # without lengths
        x = node("GRU", [x, *arrays], names, **given)
        if geometry is not None and len(directions) == 2:
            begin = constant(f"begin_{number}", [geometry.chunk_steps - 1, 0], np.int64)
            end = constant(f"end_{number}", [geometry.chunk_steps, 1], np.int64)
            last = node("Slice", [x, begin, end], f"chunk_end_{number}")
            node("Reshape", [last, constant(f"shape_{number}", [1, 1, units], np.int64)], after)
        x = node("Reshape", [x, "rows"], f"joined_{number}")  # of batch 1, directions stand side by side already
    if lookahead:
        begin, end = constant("begin", [0], np.int64), constant("end", [geometry.chunk_steps], np.int64)
        x = node("Slice", [x, begin, end], "chunk")
    x = node("MatMul", [x, constant("dense", weights.dense[0])], "product")
    x = node("Add", [x, constant("dense_bias", weights.dense[1])], "logits")
    x = node("LogSoftmax", [x], "by_step", axis=-1)
    node("Reshape", [x, constant("shape", [1, -1, weights.sizes["classes"]], np.int64)], "log_probs")
    graph = helper.make_graph(nodes, "speechgru", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    checker.check_model(model)
    return model


def onnx_files(weights, folder, name, *, geometry=None):
    """Writes the model in float32 and after `quantize_dynamic`; paths by the contestants' names."""
    import onnx
    from onnxruntime.quantization import quantize_dynamic

    logging.getLogger().setLevel(logging.ERROR)  # it recommends a preprocessing that changes nothing here
    paths = {f"onnxruntime {form}": folder / f"{name}-{form}.onnx" for form in ("float32", "int8")}
    plain, quantized = paths.values()
    onnx.save(onnx_model(weights, geometry=geometry), plain)
    quantize_dynamic(plain, quantized)
    return paths


def onnx_session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


# -- PyTorch -----------------------------------------------------------------------------------------------------------


def torch_module(*, n_mels, channels, units, num_layers, classes, factor):
    from torch import nn, zeros

    class Recogniser(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", zeros(n_mels))
            self.register_buffer("deviation", zeros(n_mels))
            self.subsampling = nn.Conv1d(n_mels, channels, 2 * factor + 1, stride=factor, padding=factor)
            widths = [channels] + [2 * units] * (num_layers - 1)
            self.norms = nn.ModuleList(nn.LayerNorm(width, eps=EPSILON) for width in widths)
            self.grus = nn.ModuleList(nn.GRU(width, units, batch_first=True, bidirectional=True) for width in widths)
            self.dense = nn.Linear(2 * units, classes)

        def forward(self, log_mel_1TM):
            frames_1MT = ((log_mel_1TM - self.mean) / self.deviation).transpose(1, 2)
            outputs = self.subsampling(frames_1MT).relu().transpose(1, 2)
            for norm, gru in zip(self.norms, self.grus, strict=True):
                outputs, _ = gru(norm(outputs))
            return self.dense(outputs).log_softmax(-1)

    return Recogniser().eval()


def torch_state(weights):
    import torch

    from speechgru.gru import convert

    state = {"mean": weights.mean_M, "deviation": weights.deviation_M}
    for name, (kernel, bias) in (("subsampling", weights.convolution), ("dense", weights.dense)):
        state |= {f"{name}.weight": kernel.T, f"{name}.bias": bias}
    for number, ((gamma_D, beta_D), directions) in enumerate(zip(weights.norms, weights.grus, strict=True)):
        state |= {f"norms.{number}.weight": gamma_D, f"norms.{number}.bias": beta_D}
        state |= {f"grus.{number}.{name}": array for name, array in convert.to_torch([directions]).items()}
    return {name: torch.tensor(np.ascontiguousarray(array)) for name, array in state.items()}


def torch_file(weights, path):
    import torch

    torch.save({"sizes": weights.sizes, "state": torch_state(weights)}, path)


def load_torch(path):
    import torch

    torch.set_num_threads(1)
    saved = torch.load(path, mmap=True)
    with torch.device("meta"):  # so that no weight is held twice
        module = torch_module(**saved["sizes"])
    module.load_state_dict(saved["state"], assign=True)
    return module


def torch_runner(module):
    import torch

    def run(log_mel_1TM):
        with torch.inference_mode():
            return module(torch.from_numpy(log_mel_1TM)).numpy()

    return run


def torch_quantized(module):
    """PyTorch's own dynamic quantisation of GRU and linear layers.

    Raises:
        AttributeError, RuntimeError: this version has none.
    """
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is going to move to another package
        return torch.ao.quantization.quantize_dynamic(module, {torch.nn.GRU, torch.nn.Linear}, dtype=torch.qint8)
