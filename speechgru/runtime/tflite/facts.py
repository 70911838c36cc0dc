"""What a .tflite file can do and what it holds, without an interpreter."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
from collections import Counter
from typing import Any

from speechgru.runtime.tflite.layout import (
    INT8,
    INT32,
    UINT32,
    DamagedError,
    Model,
    Operator,
    OperatorCode,
    Quantization,
    Signature,
    SignatureTensor,
    Subgraph,
    Table,
    Tensor,
    buffer_spans,
    item_of,
    reading,
    root_of,
)
from speechgru.runtime.tflite.metadata import metadata_of

#: A constant of no more elements than these is a shape, an axis or a scale, and no weight.
MAX_ELEMENTS_OF_NO_WEIGHT = 32

_CUSTOM = 32  # BuiltinOperator.CUSTOM
_ITEM_BITS = {
    **dict.fromkeys(("int2",), 2),
    **dict.fromkeys(("int4", "uint4"), 4),
    **dict.fromkeys(("int8", "uint8", "bool", "float8_e4m3fn", "float8_e5m2"), 8),
    **dict.fromkeys(("int16", "uint16", "float16", "bfloat16"), 16),
    **dict.fromkeys(("int32", "uint32", "float32"), 32),
    **dict.fromkeys(("int64", "uint64", "float64", "complex64"), 64),
    "complex128": 128,
}
_WEIGHT_TYPES = ("float32", "float16", "bfloat16", "float64", "int8", "uint8", "int16", "int4", "int2", "uint4")


@dataclasses.dataclass(frozen=True)
class TensorFacts:
    """An input or output.

    Args:
        name: as the signature calls it.
        shape: sizes of its axes; -1 where the size is the caller's choice.
        dtype: such as `float32`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclasses.dataclass(frozen=True)
class SignatureFacts:
    """A function of the file.

    Args:
        name: the signature's key; None for the first subgraph of a file without signatures.
        inputs: its arguments.
        outputs: its results.
    """

    name: str | None
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]


@dataclasses.dataclass(frozen=True)
class ConstantFacts:
    """Constants of one kind, each buffer counted once.

    Args:
        count: how many.
        size_bytes: together.
    """

    count: int
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class TFLiteFacts:
    """What a file holds.

    Args:
        size_bytes: the file.
        schema_version: of the TFLite format; 3 today.
        subgraphs: their names, in order; loops' conditions and bodies are subgraphs.
        signatures: the functions one can call, in order.
        operators: how often each occurs in all subgraphs, the most frequent first; `custom:NAME` is none of LiteRT's.
        num_tensors: of all subgraphs, constants and intermediate results.
        constants: by dtype.
        num_weights: elements of constants in a type that weights have (floats, and integers of 2 to 16 bits; int32
            where it has a scale, as biases do) and of more than 32 elements, each buffer counted once. A front end's
            filters and windows count too: they are constants like any other.
        buffer_bytes: all distinct buffers, of metadata too.
        shared_bytes: what tensors save by sharing buffers.
        duplicate_bytes: what they would save besides if buffers of the same bytes were one.
        metadata: names of the file's own entries and their sizes in bytes.
    """

    size_bytes: int
    schema_version: int
    subgraphs: tuple[str, ...]
    signatures: tuple[SignatureFacts, ...]
    operators: dict[str, int]
    num_tensors: int
    constants: dict[str, ConstantFacts]
    num_weights: int
    buffer_bytes: int
    shared_bytes: int
    duplicate_bytes: int
    metadata: dict[str, int]

    @property
    def num_operators(self) -> int:
        """Of all subgraphs."""
        return sum(self.operators.values())

    @property
    def foreign_operators(self) -> list[str]:
        """Operators that LiteRT alone does not have, sorted."""
        return sorted(name for name in self.operators if name.startswith("custom:"))

    def as_record(self) -> dict[str, Any]:
        """The facts as JSON holds them, `num_operators` too."""
        return json.loads(json.dumps(dataclasses.asdict(self) | {"num_operators": self.num_operators}))


def describe(path_or_bytes: str | os.PathLike[str] | bytes) -> TFLiteFacts:
    """What a file holds.

    Args:
        path_or_bytes: the file, or what is in it.

    Raises:
        BundleError: the file is missing, damaged, cut short or no TFLite file.
    """
    with reading(path_or_bytes) as content:
        root = root_of(content)
        buffers = buffer_spans(content, root)
        codes = [_operator_name(code) for code in root.tables(Model.OPERATOR_CODES)]
        operators: Counter[str] = Counter()
        names, graphs = [], []
        constants: dict[tuple[int, int], tuple[str, int]] = {}  # a buffer's span -> dtype, weights
        constant_bytes = 0
        for subgraph in root.tables(Model.SUBGRAPHS):
            names.append(subgraph.text(Subgraph.NAME))
            tensors = list(subgraph.tables(Subgraph.TENSORS))
            for tensor in tensors:
                start, size = item_of(buffers, tensor.number(Tensor.BUFFER, UINT32), "buffer")
                if not size or tensor.number(Tensor.IS_VARIABLE, INT8):
                    continue
                dtype, elements = _constant_facts(tensor, size)
                constants.setdefault((start, size), (dtype, elements))
                constant_bytes += size
            for operator in subgraph.tables(Subgraph.OPERATORS):
                operators[item_of(codes, operator.number(Operator.CODE, UINT32), "operator code")] += 1
                for slot in (Operator.INPUTS, Operator.OUTPUTS):
                    for index in operator.int32s(slot) or ():
                        if index != -1:  # an optional argument that is not given
                            item_of(tensors, index, "tensor")
            graphs.append((subgraph, tensors))
        by_dtype: dict[str, list[int]] = {}
        for (_, size), (dtype, _) in constants.items():
            by_dtype.setdefault(dtype, []).append(size)
        spans = {span for span in buffers if span[1]}
        buffer_bytes = sum(size for _, size in spans)
        different = {content[start : start + size] for start, size in spans}
        return TFLiteFacts(
            size_bytes=len(content),
            schema_version=root.number(Model.VERSION, UINT32),
            subgraphs=tuple(names),
            signatures=_signatures(root, graphs),
            operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
            num_tensors=sum(len(tensors) for _, tensors in graphs),
            constants={dtype: ConstantFacts(len(sizes), sum(sizes)) for dtype, sizes in sorted(by_dtype.items())},
            num_weights=sum(elements for _, elements in constants.values()),
            buffer_bytes=buffer_bytes,
            shared_bytes=constant_bytes - sum(size for _, size in constants),
            duplicate_bytes=buffer_bytes - sum(map(len, different)),
            metadata={name: len(value) for name, value in metadata_of(content, root).items()},
        )


def foreign_operators(path_or_bytes: str | os.PathLike[str] | bytes) -> list[str]:
    """Operators that LiteRT alone does not have: `custom:NAME`, of TensorFlow's own `custom:FlexNAME`.

    Args:
        path_or_bytes: the file, or what is in it.

    Returns:
        Their names, sorted; empty where built-ins suffice.

    Raises:
        BundleError: the file is missing, damaged, cut short or no TFLite file.
    """
    return describe(path_or_bytes).foreign_operators


def _constant_facts(tensor: Table, size: int) -> tuple[str, int]:
    """A constant's dtype and how many weights it holds.

    Raises:
        DamagedError: its buffer has another size than its shape and dtype say.
    """
    dtype = _tensor_type(tensor.number(Tensor.TYPE, INT8))
    shape = tensor.int32s(Tensor.SHAPE) or ()
    elements = math.prod(shape)
    if dtype in _ITEM_BITS and tensor.field(Tensor.SPARSITY) is None:
        expected = -(-elements * _ITEM_BITS[dtype] // 8)
        if min(shape, default=0) < 0 or size != expected:
            name = tensor.text(Tensor.NAME)
            raise DamagedError(
                f"is damaged (the constant {name!r} of shape {list(shape)} and type {dtype} has {size} bytes)"
            )
    quantization = tensor.table(Tensor.QUANTIZATION) if dtype == "int32" else None
    is_bias = quantization is not None and (quantization.span(Quantization.SCALE, item_bytes=4) or (0, 0))[1] > 0
    is_weight = elements > MAX_ELEMENTS_OF_NO_WEIGHT and (dtype in _WEIGHT_TYPES or is_bias)
    return dtype, elements if is_weight else 0


def _tensor_facts(name: str, tensor: Table) -> TensorFacts:
    shape = tensor.int32s(Tensor.SHAPE_SIGNATURE) or tensor.int32s(Tensor.SHAPE) or ()
    return TensorFacts(name, shape, _tensor_type(tensor.number(Tensor.TYPE, INT8)))


def _signatures(root: Table, graphs: list[tuple[Table, list[Table]]]) -> tuple[SignatureFacts, ...]:
    signatures = []
    for signature in root.tables(Model.SIGNATURES):
        _, tensors = item_of(graphs, signature.number(Signature.SUBGRAPH, UINT32), "subgraph")
        inputs, outputs = (
            tuple(
                _tensor_facts(
                    entry.text(SignatureTensor.NAME),
                    item_of(tensors, entry.number(SignatureTensor.TENSOR, UINT32), "tensor"),
                )
                for entry in signature.tables(slot)
            )
            for slot in (Signature.INPUTS, Signature.OUTPUTS)
        )
        signatures.append(SignatureFacts(signature.text(Signature.KEY), inputs, outputs))
    if not signatures and graphs:
        subgraph, tensors = graphs[0]
        inputs, outputs = (
            tuple(
                _tensor_facts(tensor.text(Tensor.NAME), tensor)
                for tensor in (item_of(tensors, index, "tensor") for index in subgraph.int32s(slot) or ())
            )
            for slot in (Subgraph.INPUTS, Subgraph.OUTPUTS)
        )
        signatures.append(SignatureFacts(None, inputs, outputs))
    return tuple(signatures)


def _operator_name(code: Table) -> str:
    # Files of the first 127 operators' time hold the number in one byte only, newer ones in either.
    number = max(code.number(OperatorCode.OLD_BUILTIN, INT8), code.number(OperatorCode.BUILTIN, INT32))
    if number == _CUSTOM:
        return f"custom:{code.text(OperatorCode.CUSTOM)}"
    return _names_of("BuiltinOperator").get(number, f"BUILTIN_{number}")


def _tensor_type(number: int) -> str:
    return _names_of("TensorType").get(number, f"type_{number}").lower()


@functools.cache
def _names_of(enumeration: str) -> dict[int, str]:
    """Names by number of one of the schema's enumerations, as the installed LiteRT knows them."""
    from ai_edge_litert import schema_py_generated

    values = vars(getattr(schema_py_generated, enumeration))
    return {value: name for name, value in values.items() if isinstance(value, int)}
