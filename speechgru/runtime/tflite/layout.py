"""A .tflite file's tables, read with every step checked.

A .tflite file is a flatbuffer: tables that point at each other by offsets. Nothing in it is trusted here, so a damaged
file ends in one sentence that names it. A changed weight is not damage that one can see.

Source: https://flatbuffers.dev/internals/ for the layout, and TensorFlow's `lite/schema/schema.fbs`, whose tables name
their fields in the order of the slots below.
"""

from __future__ import annotations

import contextlib
import enum
import os
import struct
from collections.abc import Iterator
from typing import Any

from speechgru.errors import BundleError
from speechgru.files import read_file

INT8, UINT16, INT32, UINT32, UINT64 = (struct.Struct(f"<{code}") for code in "bHiIQ")

#: Where a file's tables may begin: behind the root's offset and the identifier.
HEADER_BYTES = 8
_IDENTIFIER = b"TFL3"

_FIX = "copy the folder whole, or export the bundle again"

# The slots of the tables' fields.


class Model(enum.IntEnum):
    """The root."""

    VERSION = 0
    OPERATOR_CODES = 1
    SUBGRAPHS = 2
    BUFFERS = 4
    METADATA = 6
    SIGNATURES = 7


class Subgraph(enum.IntEnum):
    """A graph: a function, or a loop's condition or body."""

    TENSORS = 0
    INPUTS = 1
    OUTPUTS = 2
    OPERATORS = 3
    NAME = 4


class Tensor(enum.IntEnum):
    """A constant, an argument or an intermediate result."""

    SHAPE = 0
    TYPE = 1
    BUFFER = 2
    NAME = 3
    QUANTIZATION = 4
    IS_VARIABLE = 5
    SPARSITY = 6
    SHAPE_SIGNATURE = 7


class Quantization(enum.IntEnum):
    """How integers stand for numbers."""

    SCALE = 2


class Operator(enum.IntEnum):
    """One step of a graph."""

    CODE = 0
    INPUTS = 1
    OUTPUTS = 2
    LARGE_OPTIONS = 9


class OperatorCode(enum.IntEnum):
    """A kind of operator."""

    OLD_BUILTIN = 0
    CUSTOM = 1
    BUILTIN = 3


class Buffer(enum.IntEnum):
    """Bytes of a constant or of a metadata entry."""

    DATA = 0
    OFFSET = 1
    SIZE = 2


class Entry(enum.IntEnum):
    """A metadata entry."""

    NAME = 0
    BUFFER = 1


class Signature(enum.IntEnum):
    """A function that one can call by name."""

    INPUTS = 0
    OUTPUTS = 1
    KEY = 2
    SUBGRAPH = 4


class SignatureTensor(enum.IntEnum):
    """An argument or result of a function."""

    NAME = 0
    TENSOR = 1


class DamagedError(Exception):
    """What is wrong with a file, in a few words."""


@contextlib.contextmanager
def reading(path_or_bytes: str | os.PathLike[str] | bytes) -> Iterator[bytes]:
    """Gives the file's bytes, and turns what reading them finds into one sentence with the file's name."""
    if isinstance(path_or_bytes, (bytes, bytearray, memoryview)):
        name, content = "the TFLite model", bytes(path_or_bytes)
    else:
        name = os.fspath(path_or_bytes)
        try:
            content = read_file(name)
        except FileNotFoundError:
            raise BundleError(f"{name}: is missing; {_FIX}") from None
        except OSError as error:
            raise BundleError(f"{name}: cannot be read ({error.strerror}); {_FIX}") from error
    try:
        yield content
    except DamagedError as error:
        raise BundleError(f"{name}: {error}; {_FIX}") from None


class Table:
    """A flatbuffer's table: what its fields hold, each step checked against the file's size.

    Args:
        content: the file.
        position: where the table stands.
        budget: bytes that may still be read, [number]: a damaged file must not send us round and round.
    """

    def __init__(self, content: bytes, position: int, budget: list[int]):
        self.content, self.position, self._budget = content, position, budget
        self.spend(8)  # the table and what points at it take no less
        self._vtable = position - self._read(INT32, position)
        self._vtable_bytes = self._read(UINT16, self._vtable)
        self._table_bytes = self._read(UINT16, self._vtable + 2)
        if self._vtable_bytes < 4 or self._vtable_bytes % 2 or self._table_bytes < 4:
            raise DamagedError("is damaged (a table has no layout)")

    def spend(self, num_bytes: int) -> None:
        """Counts what is read.

        Raises:
            DamagedError: it is many times the file.
        """
        self._budget[0] -= num_bytes
        if self._budget[0] < 0:
            raise DamagedError("is damaged (its parts lie upon each other)")

    def _read(self, kind: struct.Struct, position: int) -> Any:
        if not 0 <= position <= len(self.content) - kind.size:
            raise DamagedError("is damaged or cut short (an offset points outside the file)")
        return kind.unpack_from(self.content, position)[0]

    @property
    def num_slots(self) -> int:
        """Fields that the table's writer knew, up to the last that it used."""
        return (self._vtable_bytes - 4) // 2

    def field(self, slot: int) -> int | None:
        """A field's position; None where it is not given."""
        if slot >= self.num_slots:
            return None
        offset = self._read(UINT16, self._vtable + 4 + 2 * slot)
        if offset >= self._table_bytes:
            raise DamagedError("is damaged (a field lies outside its table)")
        return self.position + offset if offset else None

    def number(self, slot: int, kind: struct.Struct) -> int:
        """A number; 0 where it is not given."""
        position = self.field(slot)
        return 0 if position is None else self._read(kind, position)

    def follow(self, slot: int) -> int | None:
        """Where an offset points."""
        position = self.field(slot)
        return None if position is None else position + self._read(UINT32, position)

    def span(self, slot: int, *, item_bytes: int = 1) -> tuple[int, int] | None:
        """A vector's first byte and its number of items."""
        position = self.follow(slot)
        if position is None:
            return None
        count = self._read(UINT32, position)
        if position + 4 + count * item_bytes > len(self.content):
            raise DamagedError("is damaged or cut short (a list reaches beyond the file's end)")
        self.spend(count * item_bytes)
        return position + 4, count

    def text(self, slot: int) -> str:
        """A text; empty where it is not given."""
        start, count = self.span(slot) or (0, 0)
        return self.content[start : start + count].decode("utf-8", "replace")

    def int32s(self, slot: int) -> tuple[int, ...] | None:
        """A vector of int32."""
        span = self.span(slot, item_bytes=4)
        return None if span is None else struct.unpack_from(f"<{span[1]}i", self.content, span[0])

    def vector_of_tables(self, slot: int) -> list[int]:
        """The positions of a vector's tables."""
        start, count = self.span(slot, item_bytes=4) or (0, 0)
        offsets = struct.unpack_from(f"<{count}I", self.content, start)
        return [start + 4 * k + offset for k, offset in enumerate(offsets)]

    def tables(self, slot: int) -> Iterator[Table]:
        """A vector's tables."""
        for position in self.vector_of_tables(slot):
            yield Table(self.content, position, self._budget)

    def table(self, slot: int) -> Table | None:
        """A table that a field points at."""
        position = self.follow(slot)
        return None if position is None else Table(self.content, position, self._budget)


def root_of(content: bytes) -> Table:
    """The root of a file.

    Raises:
        DamagedError: it is not a TFLite file.
    """
    if len(content) < HEADER_BYTES:
        raise DamagedError(f"is cut short ({len(content)} bytes)" if content else "is empty")
    if content[4:8] != _IDENTIFIER:
        raise DamagedError(f"not a TFLite file (it begins with {content[:8]!r})")
    return Table(content, UINT32.unpack_from(content)[0], [8 * len(content)])  # nothing is read eight times


def item_of(items: list[Any], index: int, what: str) -> Any:
    """One of a file's things by its number.

    Raises:
        DamagedError: there is no such one.
    """
    if not 0 <= index < len(items):
        raise DamagedError(f"is damaged (it names {what} {index} of {len(items)})")
    return items[index]


def buffer_spans(content: bytes, root: Table) -> list[tuple[int, int]]:
    """First byte and size of every buffer; a file over 2 GB holds them behind the flatbuffer."""
    spans = []
    for buffer in root.tables(Model.BUFFERS):
        offset = buffer.number(Buffer.OFFSET, UINT64)
        if offset > 1:  # 1 is a place holder
            span = offset, buffer.number(Buffer.SIZE, UINT64)
            if sum(span) > len(content):
                raise DamagedError("is damaged or cut short (a buffer reaches beyond the file's end)")
            buffer.spend(span[1])
        else:
            span = buffer.span(Buffer.DATA) or (0, 0)
        spans.append(span)
    return spans
