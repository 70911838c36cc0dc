"""Weights in 16-bit floats, everything else as it was.

TensorFlow's converter would store every constant so, the front end's too: the log-mel floor of 1e-8 becomes 0 there,
and digital silence NaN.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from speechgru.export.flatbuffer import add_operator_code, pack

#: Constants of fewer numbers stay in 32 bits: those of the front end, biases, scales. It is also where TFLite's 8-bit
#: weights begin (see `mel.cut_into_bands`).
_FEWEST = 1024


def with_float16_weights(content: bytes) -> bytes:
    """The same model with large float32 constants stored in 16 bits; each is widened again where it is used."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    dequantize = add_operator_code(model, schema.BuiltinOperator.DEQUANTIZE, version=3)  # of float16
    for subgraph in model.subgraphs:
        used = {int(index) for operator in subgraph.operators for index in operator.inputs}
        widened = []
        for index in sorted(used - {-1}):
            tensor = subgraph.tensors[index]
            data = model.buffers[tensor.buffer].data
            if tensor.type != schema.TensorType.FLOAT32 or data is None or len(data) < 4 * _FEWEST:
                continue
            values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), "<f4")
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.astype("<f2").tobytes(), np.uint8)
            model.buffers.append(buffer)
            narrow = schema.TensorT()
            narrow.name, narrow.shape, narrow.type = tensor.name + b"/float16", tensor.shape, schema.TensorType.FLOAT16
            narrow.buffer, narrow.hasRank = len(model.buffers) - 1, True
            subgraph.tensors.append(narrow)
            tensor.buffer = 0  # the first, which is empty
            operator = schema.OperatorT()
            operator.opcodeIndex, operator.inputs, operator.outputs = dequantize, [len(subgraph.tensors) - 1], [index]
            operator.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
            operator.builtinOptions = schema.DequantizeOptionsT()
            widened.append(operator)
        subgraph.operators = widened + list(subgraph.operators)
    return pack(model)
