"""Several TFLite models over the same weights become one file: a signature each, every constant stored once.

TensorFlow's converter would make such a file from a SavedModel, but there it cannot read weights that a loop uses
(TensorFlow 2.17: "missing attribute 'value'", and the process ends), and its quantisation works on one function only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from speechgru.runtime.tflite.metadata import CHECKSUM_BYTES, CHECKSUM_ENTRY, with_checksum

#: What operators call the subgraphs that they run: in options of loops, branches and calls.
_SUBGRAPH_FIELDS = (
    *("condSubgraphIndex", "bodySubgraphIndex", "thenSubgraphIndex", "elseSubgraphIndex", "initSubgraphIndex"),
    "subgraph",
)


@dataclass(frozen=True)
class Part:
    """A model that becomes a signature.

    Args:
        name: the signature's name.
        content: a TFLite file without signatures.
        inputs: names of the inputs, in the order of the traced function's arguments.
        outputs: names of the outputs, in the order in which TensorFlow flattens them.
    """

    name: str
    content: bytes
    inputs: Sequence[str]
    outputs: Sequence[str]


def join(parts: Sequence[Part]) -> bytes:
    """One TFLite file with a signature for each part, the first part's subgraph being the main one.

    Raises:
        ValueError: a part has another number of inputs or outputs than it names.
    """
    joined = schema.ModelT()
    joined.version, joined.description = 3, "speechgru"
    joined.buffers, joined.subgraphs, joined.operatorCodes, joined.signatureDefs = [schema.BufferT()], [], [], []
    place_of: dict[bytes, int] = {}
    for part in parts:
        model = schema.ModelT.InitFromPackedBuf(part.content, 0)
        codes = [_place(joined.operatorCodes, code) for code in model.operatorCodes]
        first = len(joined.subgraphs)
        for subgraph in model.subgraphs:
            _drop_unread(subgraph)
            for tensor in subgraph.tensors:
                tensor.buffer = _place_buffer(joined.buffers, place_of, model.buffers[tensor.buffer])
                _strip(tensor)
            for operator in subgraph.operators:
                operator.opcodeIndex = codes[operator.opcodeIndex]
                for name in _SUBGRAPH_FIELDS:
                    if hasattr(operator.builtinOptions, name):
                        setattr(operator.builtinOptions, name, getattr(operator.builtinOptions, name) + first)
        main = model.subgraphs[0]
        main.name = part.name
        joined.subgraphs += model.subgraphs
        joined.signatureDefs.append(_signature(part, main, first))
    return pack(joined)


def add_operator_code(model: Any, operator: int, *, version: int) -> int:
    """Adds a kind of operator, one of `schema.BuiltinOperator`, to an unpacked model; gives its number there."""
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = operator
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def with_metadata(content: bytes, entries: Mapping[str, bytes]) -> bytes:
    """The same model with entries in the file's own metadata, which C++ reads by `FlatBufferModel::ReadAllMetadata`.

    Of entries whose names are there already the old ones are taken out.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    kept = []
    for entry in model.metadata or ():
        if entry.name.decode() in entries:
            model.buffers[entry.buffer] = schema.BufferT()
        else:
            kept.append(entry)
    for name, value in entries.items():
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(value, np.uint8)
        entry.name, entry.buffer = name, len(model.buffers)
        model.buffers.append(buffer)
        kept.append(entry)
    model.metadata = kept
    return pack(model)


def sealed(content: bytes, entries: Mapping[str, bytes]) -> bytes:
    """As `with_metadata`, and with the checksum of everything else (`runtime.tflite.require_intact`)."""
    return with_checksum(with_metadata(content, {**entries, CHECKSUM_ENTRY: bytes(CHECKSUM_BYTES)}))


def _signature(part: Part, main: Any, subgraph: int) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = part.name, subgraph
    for field, names, tensors in (("inputs", part.inputs, main.inputs), ("outputs", part.outputs, main.outputs)):
        if len(names) != len(tensors):
            raise ValueError(f"{part.name}: {len(names)} {field} are named, the model has {len(tensors)}")
        maps = []
        for name, tensor in zip(names, tensors, strict=True):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, int(tensor)
            maps.append(entry)
        setattr(signature, field, maps)
    return signature


def _drop_unread(subgraph: Any) -> None:
    """Takes the constants that no operator reads out of their tensors, such as biases that became int32."""
    read = {int(index) for operator in subgraph.operators for index in operator.inputs}
    read |= {int(index) for index in (*subgraph.inputs, *subgraph.outputs)}
    for index, tensor in enumerate(subgraph.tensors):
        if index not in read:
            tensor.buffer = 0  # a part's first buffer is empty too


def _strip(tensor: Any) -> None:
    """Takes off what no interpreter needs, a tenth of a small file: signatures have names of their own."""
    tensor.name = None
    if tensor.quantization is not None and (tensor.quantization.scale is None or not len(tensor.quantization.scale)):
        tensor.quantization = None


def _place(codes: list[Any], code: Any) -> int:
    """Where an operator's code stands among the joined ones; it is added where it is not there."""
    for place, known in enumerate(codes):
        if vars(known) == vars(code):
            return place
    codes.append(code)
    return len(codes) - 1


def _place_buffer(buffers: list[Any], place_of: dict[bytes, int], buffer: Any) -> int:
    """The same for a constant; tensors without one share the first buffer, which is empty."""
    content = b"" if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()
    if not content:
        return 0
    if content not in place_of:
        place_of[content] = len(buffers)
        buffers.append(buffer)
    return place_of[content]


class _AlignedBuffer(schema.BufferT):
    """A constant that begins at a multiple of 16 bytes, as the schema demands; its Python code does not see to that."""

    def Pack(self, builder: Any) -> int:
        data = None
        if self.data is not None:
            content = np.asarray(self.data, np.uint8).tobytes()
            builder.Prep(16, len(content))
            data = builder.CreateByteVector(content)
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def pack(model: Any) -> bytes:
    """A model's bytes."""
    builder = flatbuffers.Builder(1 << 20)
    model.buffers = [_aligned(buffer) for buffer in model.buffers]
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _aligned(buffer: Any) -> Any:
    aligned = _AlignedBuffer()
    aligned.data = buffer.data
    return aligned
