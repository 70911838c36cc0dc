"""A .tflite file's own metadata entries, and among them the checksum of everything else in it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from speechgru.runtime.tflite.layout import (
    UINT32,
    DamagedError,
    Entry,
    Model,
    Table,
    buffer_spans,
    item_of,
    reading,
    root_of,
)

#: The entry with the SHA-256 of the file's bytes, those of the entry itself counted as zeros.
CHECKSUM_ENTRY = "speechgru_sha256"
CHECKSUM_BYTES = 32


def read_metadata(path_or_bytes: str | os.PathLike[str] | bytes) -> dict[str, bytes]:
    """A file's own metadata entries, as `FlatBufferModel::ReadAllMetadata` gives them in C++.

    Args:
        path_or_bytes: the file, or what is in it.

    Returns:
        The entries by name; of two with one name the last.

    Raises:
        BundleError: the file is missing, damaged, cut short or no TFLite file.
    """
    with reading(path_or_bytes) as content:
        return metadata_of(content, root_of(content))


def entries_of(root: Table) -> Iterator[tuple[int, str, int]]:
    """Position, name and buffer of every metadata entry."""
    for entry in root.tables(Model.METADATA):
        yield entry.position, entry.text(Entry.NAME), entry.number(Entry.BUFFER, UINT32)


def metadata_of(content: bytes, root: Table) -> dict[str, bytes]:
    """The entries of the file whose root is given (see `read_metadata`)."""
    return {name: content[start : start + size] for name, (start, size) in _spans_of(content, root).items()}


def _spans_of(content: bytes, root: Table) -> dict[str, tuple[int, int]]:
    """First byte and size of every entry's value, by its name."""
    spans = buffer_spans(content, root)
    return {name: item_of(spans, index, "buffer") for _, name, index in entries_of(root)}


def with_checksum(content: bytes) -> bytes:
    """A file whose entry `CHECKSUM_ENTRY`, which it has already, holds the checksum of everything else.

    Raises:
        DamagedError: it has no such entry.
    """
    start = _checksum_start(content, root_of(content))
    if start is None:
        raise DamagedError("has no place for a checksum")
    return content[:start] + _digest(content, start) + content[start + CHECKSUM_BYTES :]


def require_intact(path_or_bytes: str | os.PathLike[str] | bytes) -> bool:
    """Whether a file has a checksum of everything else; then it is the right one.

    Raises:
        BundleError: it is another one; or the file is missing, damaged, cut short or no TFLite file.
    """
    with reading(path_or_bytes) as content:
        start = _checksum_start(content, root_of(content))
        if start is not None and content[start : start + CHECKSUM_BYTES] != _digest(content, start):
            raise DamagedError("is damaged (its checksum is wrong)")
        return start is not None


def _checksum_start(content: bytes, root: Table) -> int | None:
    span = _spans_of(content, root).get(CHECKSUM_ENTRY)
    if span is None:
        return None
    if span[1] != CHECKSUM_BYTES:
        raise DamagedError("is damaged (its checksum is cut short)")
    return span[0]


def _digest(content: bytes, start: int) -> bytes:
    digest = hashlib.sha256(memoryview(content)[:start])
    digest.update(bytes(CHECKSUM_BYTES))
    digest.update(memoryview(content)[start + CHECKSUM_BYTES :])
    return digest.digest()
