"""What trials say of themselves while they run: a sweep is not silent for the minutes that a trial takes."""

from __future__ import annotations

import os
import re
import textwrap
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from speechgru.files import open_file
from speechgru.tune.folder import SweepFolder
from speechgru.visible import visible

#: Seconds between two looks at the logs of running trials.
_LOOK_SECONDS = 20.0
#: Bytes of a log in which its last line is looked for.
_END_BYTES = 4096
_MOST_CHARACTERS = 200
_WHOLE_MESSAGE = 1000
#: What TensorFlow's converter logs in C++, which says nothing of a trial.
_OF_A_LIBRARY = re.compile(r"[IWEF]\d{4} [\d:.]+|WARNING: All log messages before absl")


class Telling:
    """Looks at the logs of running trials in a thread, and tells each trial's last line that it did not tell yet.

    Args:
        sweep: the sweep's folder.
        running: the numbers of the trials that run.
        tell: called with a trial's number and a line such as `training: 120 of 300, loss 2.1`.
        seconds: between two looks.
    """

    def __init__(
        self,
        sweep: SweepFolder,
        running: Callable[[], Iterable[str]],
        tell: Callable[[str, str], None],
        *,
        seconds: float = _LOOK_SECONDS,
    ):
        self._sweep, self._running, self._tell, self._seconds = sweep, running, tell, seconds
        self._ended = threading.Event()
        self._told: dict[str, str] = {}
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Telling:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(self._seconds):
            for number in self._running():
                line = last_line(self._sweep.trial(number).log, most=_MOST_CHARACTERS)
                if line and line != self._told.get(number):
                    self._told[number] = line
                    self._tell(number, line)


def last_line(log: Path, *, most: int = _WHOLE_MESSAGE) -> str:
    """The last whole line of a log that says something, of so many characters; empty where there is none, or no file.

    Args:
        log: what processes print to.
        most: characters at most.
    """
    try:
        with open_file(log) as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _END_BYTES))
            text = stream.read(_END_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""
    whole, newline, _ = text.rpartition("\n")
    lines = [line.strip() for line in whole.splitlines()] if newline else []
    ours = (line for line in reversed(lines) if line and not _OF_A_LIBRARY.match(line))
    return textwrap.shorten(visible(next(ours, "")), most, placeholder=" ...")
