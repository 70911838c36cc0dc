"""A .tflite file's own metadata entries."""

from __future__ import annotations

import os
from collections.abc import Iterator

from speechgru.runtime.tflite.layout import UINT32, Entry, Model, Table, buffer_spans, item_of, reading, root_of


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
    spans = buffer_spans(content, root)
    entries = {}
    for _, name, index in entries_of(root):
        start, size = item_of(spans, index, "buffer")
        entries[name] = content[start : start + size]
    return entries
