"""The journal: every trial that began or ended, one line each, written before anybody acts on it.

A search is a function of its seed and of what happened to it in which order. So nothing else of it is kept: whoever
resumes a sweep begins the search anew and replays the journal to it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechgru import jsonlines
from speechgru.errors import BundleError


class Journal:
    """An append-only file of events.

    Args:
        path: the file; made with the first event. A last line that a crash cut short goes with the next event.

    Raises:
        BundleError: a complete line is damaged.
    """

    def __init__(self, path: Path):
        self._path = path
        self.events: list[dict[str, Any]] = []
        for line in jsonlines.read_lines(path):
            if line.record is None:
                raise BundleError(f"{path}:{line.number}: the line is damaged ({line.error}); restore the file")
            self.events.append(line.record)

    def append(self, event: dict[str, Any]) -> None:
        """Adds an event; it is on the disk when this returns.

        Raises:
            UserError: the disk is full or the file cannot be written.
        """
        jsonlines.append(self._path, event, durable=True)
        self.events.append(event)
