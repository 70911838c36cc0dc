"""SIGTERM and Ctrl-C: the process finishes its step, keeps its state, reports it and ends."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from speechgru.errors import Interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Records SIGTERM and Ctrl-C while it is entered, for a caller that ends when it can; calling it asks for one.

    The first signal is recorded where the caller looks at it soon (`awaited`), and else ends at once what is being
    done; a second one always does. Outside the main thread no handler can be set, and nothing changes.

    Args:
        advice: how to resume; completes the message of an end at once.
        awaited: whether the caller looks at `received` soon.
    """

    def __init__(self, *, advice: str, awaited: bool = False) -> None:
        self._advice = advice
        self.awaited = awaited
        #: The number of the last signal; None before the first.
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._record) for number in _SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Whether a signal was received."""
        return self.received is not None

    def renew(self) -> None:
        """Sets the handlers again: TensorFlow sets its own for SIGTERM once a process has joined a cluster."""
        for number in self._before:
            signal.signal(number, self._record)

    def _record(self, number: int, frame: FrameType | None) -> None:
        is_first, self.received = self.received is None, number
        if is_first and self.awaited:
            return
        raise Interrupted(f"stopped at once; {self._advice}", code=exit_code(number))


def exit_code(number: int | None) -> int:
    """The exit status after a signal; that of SIGTERM where another process received it."""
    return 128 + (signal.SIGTERM if number is None else number)


class Stopped(BaseException):
    """The worker was asked to end; no `Exception`, so that nobody counts it as a failure."""
