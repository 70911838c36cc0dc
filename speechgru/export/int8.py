"""Activations in 8 bits too: products outside the recurrent loop have int8 inputs and outputs, at fixed scales.

It begins with 8-bit weights as TensorFlow's converter stores them (the form `dynamic`) and puts `QUANTIZE` and
`DEQUANTIZE` around those products. All else keeps its floats: samples and mel power span more decades than 8 bits, and
the recurrent loop has float states.

TensorFlow's own calibrator ends the process on these graphs (2.17), and it would give each signature scales of its own,
so that a stream would not compute what the whole recording gives. Here a product's scales belong to its weights,
whichever signature uses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from speechgru.export.flatbuffer import add_operator_code, pack

#: What a product's input and output span, (least, greatest) each, by the product's weights.
Spans = dict[bytes, list[tuple[float, float]]]

# A bias of more units than this leaves no room for its sum in 32 bits.
_MOST_BIAS = 2**30


def measure_spans(content: bytes, recordings: Iterable[Sequence[np.ndarray]]) -> Spans:
    """What the products of a model span while it runs.

    Args:
        content: a TFLite file with 8-bit weights and float activations.
        recordings: the model's inputs, in their order, one run each.

    Raises:
        ValueError: no product has 8-bit weights, or there are no recordings.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    # What a delegate computes in between cannot be read.
    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    tensors: dict[bytes, list[tuple[int, int]]] = {}
    for weights, operator in _products(model):
        tensors.setdefault(weights, []).append((int(operator.inputs[0]), int(operator.outputs[0])))
    if not tensors:
        raise ValueError(
            "no product outside the recurrent loop is large enough for 8-bit weights (1,024 of them); leave the form "
            "int8 out"
        )
    spans: Spans = {}
    places = [place["index"] for place in interpreter.get_input_details()]
    shapes: list[tuple[int, ...]] = []
    for inputs in recordings:
        if [values.shape for values in inputs] != shapes:  # else all stays where it is
            shapes = [values.shape for values in inputs]
            for place, shape in zip(places, shapes, strict=True):
                interpreter.resize_tensor_input(place, shape)
            interpreter.allocate_tensors()
        for place, values in zip(places, inputs, strict=True):
            interpreter.set_tensor(place, values)
        interpreter.invoke()
        for weights, pairs in tensors.items():
            for pair in pairs:
                found = [interpreter.get_tensor(index) for index in pair]
                # 0 is in each span: it is what stands where nothing is.
                before = spans.get(weights, [(0.0, 0.0)] * 2)
                spans[weights] = [
                    (min(low, float(values.min(initial=0))), max(high, float(values.max(initial=0))))
                    for (low, high), values in zip(before, found, strict=True)
                ]
    if not spans:
        raise ValueError("there are no recordings to measure activations on")
    return spans


def with_int8_activations(content: bytes, spans: Spans) -> bytes:
    """The same model, the products outside its loops computed on int8.

    Raises:
        ValueError: a product's weights are not among those that were measured.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    main = model.subgraphs[0]
    edit = _Edit(model, main)
    spans_of = {id(operator): _spans_of(spans, weights) for weights, operator in _products(model)}
    for operator in main.operators:
        if id(operator) in spans_of:
            edit.narrow(operator, *spans_of[id(operator)])
        else:
            edit.operators.append(operator)
    main.operators = edit.operators
    return pack(model)


def _products(model: Any) -> Iterator[tuple[bytes, Any]]:
    """Weights and operator of each product with 8-bit weights on float activations, outside the loops."""
    main = model.subgraphs[0]
    for operator in main.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) != schema.BuiltinOperator.FULLY_CONNECTED:
            continue
        source, weights = (main.tensors[index] for index in operator.inputs[:2])
        data = model.buffers[weights.buffer].data
        if (source.type, weights.type) == (schema.TensorType.FLOAT32, schema.TensorType.INT8) and data is not None:
            yield np.asarray(data, np.uint8).tobytes(), operator


def _spans_of(spans: Mapping[bytes, list[tuple[float, float]]], weights: bytes) -> list[tuple[float, float]]:
    if weights not in spans:
        raise ValueError(f"a product with {len(weights)} weights is in no signature that was measured")
    return spans[weights]


class _Edit:
    """A subgraph's operators in the making."""

    def __init__(self, model: Any, subgraph: Any):
        self._model, self._subgraph = model, subgraph
        self._codes = {
            name: add_operator_code(model, getattr(schema.BuiltinOperator, name), version=version)
            for name, version in (("QUANTIZE", 1), ("DEQUANTIZE", 2))
        }
        self._made: dict[tuple[Any, ...], Any] = {}
        self.operators: list[Any] = []

    def narrow(self, product: Any, input_span: tuple[float, float], output_span: tuple[float, float]) -> None:
        """Adds a product, changed to int8, and what it needs before and behind."""
        tensors = self._subgraph.tensors
        source, target, weights = int(product.inputs[0]), int(product.outputs[0]), int(product.inputs[1])
        # The products of both directions share their input, and a chunked model's last chunk has products of its own.
        narrowed = (source, input_span)
        if narrowed not in self._made:
            self._made[narrowed] = self._like(source, input_span)
            self._add("QUANTIZE", source, self._made[narrowed])
        inputs = [self._made[narrowed], weights]
        if len(product.inputs) > 2 and product.inputs[2] >= 0:
            bias = int(product.inputs[2])
            biased = (weights, bias, input_span)
            if biased not in self._made:
                scale = float(tensors[inputs[0]].quantization.scale[0])
                self._made[biased] = self._with_bias(weights, bias, scale)
            inputs[1:] = self._made[biased]
        product.inputs, product.outputs = inputs, [self._like(target, output_span)]
        product.builtinOptions.asymmetricQuantizeInputs = False
        self.operators.append(product)
        self._add("DEQUANTIZE", product.outputs[0], target)

    def _with_bias(self, weights: int, bias: int, input_scale: float) -> list[int]:
        """Weights and bias in int32, whose unit is that of a product of input and weight."""
        tensors, buffers = self._subgraph.tensors, self._model.buffers
        values_E = np.frombuffer(np.asarray(buffers[tensors[bias].buffer].data, np.uint8).tobytes(), "<f4")
        scales_E = np.broadcast_to(np.asarray(tensors[weights].quantization.scale, np.float64), values_E.shape)
        # Where weights are next to nothing beside their bias, their unit is too small to count the bias in.
        larger_E = np.maximum(scales_E, np.abs(values_E) / (_MOST_BIAS * input_scale))
        if (larger_E > scales_E).any():
            data = np.asarray(buffers[tensors[weights].buffer].data, np.uint8).view(np.int8)
            weights_ER = np.rint(data.reshape(len(scales_E), -1) * (scales_E / larger_E)[:, None])
            weights = self._constant(weights, weights_ER.astype(np.int8), larger_E)
        scales_E = larger_E * input_scale
        return [weights, self._constant(bias, np.rint(values_E / scales_E).astype("<i4"), scales_E)]

    def _like(self, index: int, span: tuple[float, float]) -> int:
        """A new tensor of another's shape, in int8 over a span."""
        low, high = span
        scale = max(high - low, 1e-6) / 255
        zero_point = int(np.clip(np.rint(-128 - low / scale), -128, 127))
        return self._tensor(index, np.int8, _quantization([scale], [zero_point]))

    def _constant(self, index: int, values: np.ndarray, scales: np.ndarray) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        quantization = _quantization(scales.tolist(), [0] * len(scales))
        return self._tensor(index, values.dtype, quantization, buffer=len(self._model.buffers) - 1)

    def _tensor(self, index: int, dtype: Any, quantization: Any, *, buffer: int = 0) -> int:
        original, tensor, kind = self._subgraph.tensors[index], schema.TensorT(), np.dtype(dtype).name
        tensor.name = original.name + b"/" + kind.encode()
        tensor.shape, tensor.shapeSignature, tensor.hasRank = original.shape, original.shapeSignature, original.hasRank
        tensor.type = getattr(schema.TensorType, kind.upper())
        tensor.buffer, tensor.quantization = buffer, quantization  # the first buffer is empty
        self._subgraph.tensors.append(tensor)
        return len(self._subgraph.tensors) - 1

    def _add(self, name: str, source: int, target: int) -> None:
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self._codes[name], [source], [target]
        options = {"QUANTIZE": "QuantizeOptions", "DEQUANTIZE": "DequantizeOptions"}[name]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        self.operators.append(operator)


def _quantization(scales: Sequence[float], zero_points: Sequence[int]) -> Any:
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = np.asarray(scales, np.float32), np.asarray(zero_points, np.int64)
    return quantization
