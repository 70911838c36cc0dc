"""How a verb reports its progress, without knowing whether a terminal, a notebook or nothing shows it."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Called as ``progress(stage, done, total, note)``: the stage in words, units done, units in all, and a
#: short note ("loss 3.2, dev WER 12 %"), empty where there is nothing to add.
Progress = Callable[[str, int, int, str], None]


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Progress that is not shown: the default of every verb."""


def line_progress(write: Callable[[str], None], *, every_seconds: float = 10.0) -> Callable[[str, int, int, str], None]:
    """Progress for logs: a line at most every `every_seconds`, and when a stage ends.

    Args:
        write: called with one line.
        every_seconds: the least time between two lines of a stage.
    """
    last: dict[str, float] = {}

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if done >= total or now - last.setdefault(stage, now) >= every_seconds:
            last[stage] = now
            write(f"{stage}: {done:,} of {total:,}" + (f", {note}" if note else ""))

    return report
