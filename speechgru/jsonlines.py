"""JSON Lines: one object a line, appended or rewritten, never torn.

One rule for all such files of ours: a line counts once its newline is written. What follows the last newline is what
a crash cut short, or what another process is still writing. Readers leave it out, and the next append removes it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from speechgru.files import atomic_path, make_folder, open_file, room_for, sync_folder

_BLOCK = 1 << 16


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One complete line of a file.

    Args:
        number: 1-based.
        record: its object; None where the line is damaged.
        error: why the line is damaged; empty where it is not.
    """

    number: int
    record: dict[str, Any] | None
    error: str = ""


def read_lines(path: str | Path) -> Iterator[Line]:
    """Reads the complete lines of a file in order; blank lines are passed over, and a missing file has none.

    Raises:
        OSError: the file exists and cannot be read.
    """
    try:
        stream = open_file(path)
    except FileNotFoundError:
        return
    with stream:
        for number, content in enumerate(stream, start=1):
            if not content.endswith(b"\n"):
                return
            if content.strip():
                yield _parse(content, number)


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """The objects of a file in order, without its damaged lines.

    Raises:
        OSError: the file exists and cannot be read.
    """
    return [line.record for line in read_lines(path) if line.record is not None]


def _parse(content: bytes, number: int) -> Line:
    try:
        record = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return Line(number, None, str(error))
    if not isinstance(record, dict):
        return Line(number, None, f"expected a JSON object, got {type(record).__name__}")
    return Line(number, record)


def encode_line(record: Mapping[str, Any], *, ascii_only: bool = True, compact: bool = False) -> bytes:
    r"""A record as its line, newline included.

    Args:
        record: JSON-ready.
        ascii_only: whether other characters are written as escapes.
        compact: whether the spaces after `,` and `:` are left out.

    >>> encode_line({"step": 3, "text": "tuò"})
    b'{"step": 3, "text": "tu\\u00f2"}\n'
    >>> encode_line({"step": 3, "wer": 0.5}, compact=True)
    b'{"step":3,"wer":0.5}\n'
    """
    separators = (",", ":") if compact else None
    return (json.dumps(record, ensure_ascii=ascii_only, separators=separators) + "\n").encode()


def write_lines(path: str | Path, records: Iterable[Mapping[str, Any]], *, ascii_only: bool = True) -> None:
    """Writes a file of records, atomically.

    Raises:
        UserError: the disk is full or the file cannot be written.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        for record in records:
            stream.write(encode_line(record, ascii_only=ascii_only))


class Appender:
    """A file of JSON Lines that this process appends to; a torn last line is removed when it is opened.

    Each record is handed to the system by one call, without a buffer, so that a killed process loses none.

    Args:
        path: the file; made with its folder when it is missing.
        durable: whether each record must be on the disk before `append` returns, to survive a power cut.
        ascii_only: see `encode_line`.
        compact: see `encode_line`.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, path: str | Path, *, durable: bool = False, ascii_only: bool = True, compact: bool = False):
        self.path = Path(path)
        self._durable, self._ascii_only, self._compact = durable, ascii_only, compact
        with room_for(self.path):
            make_folder(self.path.parent)
            self._stream = open(self.path, "a+b", buffering=0)  # noqa: SIM115
            self._is_new = _drop_torn_line(self._stream) == 0

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds a record.

        Raises:
            UserError: the disk is full or the file cannot be written.
        """
        left = memoryview(encode_line(record, ascii_only=self._ascii_only, compact=self._compact))
        with room_for(self.path):
            while left:
                left = left[self._stream.write(left) :]
            if self._durable:
                os.fsync(self._stream.fileno())
                if self._is_new:
                    sync_folder(self.path.parent)
        self._is_new = False

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()

    def __enter__(self) -> Appender:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def append(path: str | Path, record: Mapping[str, Any], *, durable: bool = False) -> None:
    """Adds one record to a file; see `Appender`.

    Raises:
        UserError: the disk is full or the file cannot be written.
    """
    with Appender(path, durable=durable) as appender:
        appender.append(record)


def _drop_torn_line(stream: io.FileIO) -> int:
    """Cuts a file after its last newline; returns its size in bytes."""
    size = end = stream.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK)
        stream.seek(start)
        place = stream.read(end - start).rfind(b"\n")
        end = start if place < 0 else start + place + 1
        if place >= 0:
            break
    if end < size:
        stream.truncate(end)
    return end
