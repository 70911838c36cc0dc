"""The journal: every trial that began or ended, one line each, written before anybody acts on it.

A search is a function of its seed and of what happened to it in which order. So nothing else of it is kept: whoever
goes on with a sweep begins the search anew and tells it the journal.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from speechgru.errors import BundleError
from speechgru.files import room_for


class Journal:
    """An append-only file of events.

    Args:
        path: the file; made with the first event. A last line that a crash cut short is taken away.

    Raises:
        BundleError: a line before the last is damaged.
    """

    def __init__(self, path: Path):
        self._path = path
        self.events: list[dict[str, Any]] = []
        whole = 0
        content = path.read_bytes() if path.exists() else b""
        for number, line in enumerate(content.split(b"\n"), start=1):
            end = whole + len(line) + 1
            if end > len(content):
                break  # without its newline: what a crash cut short, or nothing
            try:
                self.events.append(json.loads(line))
            except ValueError as error:
                raise BundleError(f"{path}:{number}: the line is damaged ({error}); restore the file") from error
            whole = end
        if whole < len(content):
            with room_for(path), open(path, "rb+") as stream:
                stream.truncate(whole)

    def append(self, event: dict[str, Any]) -> None:
        """Adds an event; it is on the disk when this returns.

        Raises:
            UserError: the disk is full or the file cannot be written.
        """
        with room_for(self._path), open(self._path, "ab") as stream:
            stream.write(json.dumps(event).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.events.append(event)
