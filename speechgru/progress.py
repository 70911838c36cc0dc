"""How a verb reports its progress, without knowing whether a terminal, a notebook or nothing shows it."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Called as ``progress(stage, done, total, note)``: the stage in words, units done, units in all, and a short note
#: ("loss 3.2, dev WER 12 %"), empty where there is nothing to add. A stage of 0 units with a note is a message, and
#: without one of a number of units that is not known yet.
Progress = Callable[[str, int, int, str], None]


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Progress that is not shown: the default of every verb."""


def line_progress(write: Callable[[str], None], *, every_seconds: float = 10.0) -> Callable[[str, int, int, str], None]:
    """Progress for logs: a line at most every `every_seconds`, and when a stage ends.

    A line says how long the rest of its stage will take, at the speed since the stage's first report.

    Args:
        write: called with one line.
        every_seconds: the least time between two lines of a stage.
    """
    last: dict[str, float] = {}
    paces: dict[str, Pace] = {}

    def report(stage: str, done: int, total: int, note: str = "") -> None:
        if note and not total:
            write(f"{stage}: {note}")
            return
        now = time.monotonic()
        left = paces.setdefault(stage, Pace()).seconds_left(done, total, now=now)
        if 0 < total <= done or now - last.setdefault(stage, now) >= every_seconds:
            last[stage] = now
            notes = [note, f"about {rough_duration(left)} left" if left else ""]
            write(", ".join([f"{stage}: {done:,}{f' of {total:,}' if total else ''}", *filter(None, notes)]))

    return report


class Pace:
    """How long the rest of a stage will take, at its speed since the first report."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def seconds_left(self, done: int, total: int, *, now: float) -> float | None:
        """Seconds until all is done, at the time `now`; None while nothing has been done since the first report."""
        if self._first is None or done < self._first[1]:  # a stage that begins again has a pace of its own
            self._first = now, done
        began, done_before = self._first
        if done <= done_before or now <= began:
            return None
        return (now - began) / (done - done_before) * max(0, total - done)


def rough_duration(seconds: float) -> str:
    """A length of time as people say it.

    >>> [rough_duration(seconds) for seconds in (0.2, 42, 63, 200, 5000, 9000)]
    ['1 s', '42 s', '1 min', '3 min', '83 min', '2.5 h']
    """
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    if seconds < 5970:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
