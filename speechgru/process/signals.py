"""SIGTERM and Ctrl-C: the step is finished, the state is kept, and the process says so and ends."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from speechgru.errors import Interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """While it is entered, the two signals set `received`; a second one, or one that nobody waits for, ends at once.

    Outside the main thread signals cannot be taken, and nothing is changed.
    """

    def __init__(self) -> None:
        #: The number of the signal that came; None before.
        self.received: int | None = None
        #: Whether somebody looks at `received` soon; until then a signal ends what is being done.
        self.awaited = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def renew(self) -> None:
        """Takes the signals again: TensorFlow takes SIGTERM for itself once a process has joined a cluster."""
        for number in self._before:
            signal.signal(number, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        first, self.received = self.received is None, number
        if not (self.awaited and first):
            raise Interrupted("stopped at once; the run goes on from its last checkpoint", code=exit_code(number))


def exit_code(number: int | None) -> int:
    """The exit status that tells of a signal; that of SIGTERM where another process got it."""
    return 128 + (signal.SIGTERM if number is None else number)


class Stopped(BaseException):
    """The worker was asked to end; no `Exception`, so that keras-tuner takes it for no trial's failure."""


class StopSign:
    """Notes SIGTERM and Ctrl-C; a second one ends at once. Calling it tells whether one came."""

    def __init__(self) -> None:
        self.received: int | None = None
        #: Whether nobody looks at `received` for a while, as in a call that waits for the chief: then it raises.
        self.is_waiting = False

    def __enter__(self) -> StopSign:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in (signal.SIGTERM, signal.SIGINT)}
        else:
            self._before = {}
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        return self.received is not None

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise Interrupted("stopped at once; the same command goes on", code=128 + number)
        self.received = number
        if self.is_waiting:
            raise Stopped
