"""SIGTERM and Ctrl-C: the process finishes its step, keeps its state, reports it and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from speechgru.errors import Interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Another signal so soon is the same wish: `timeout` sends each twice, to the process and to its group.
_SAME_SECONDS = 0.5


class Interruption:
    """Records SIGTERM and Ctrl-C while it is entered, for a caller that ends when it can; calling it asks for one.

    The first signal is recorded where the caller looks at it soon (`awaited`), and else ends at once what is being
    done; a second one always does, but for the same one at once. Outside the main thread no handler can be set, and
    nothing changes.

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
        self._time = 0.0

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
        if number == self.received and time.monotonic() - self._time < _SAME_SECONDS:
            return
        is_first, self.received, self._time = self.received is None, number, time.monotonic()
        if is_first and self.awaited:
            return
        raise Interrupted(f"stopped at once; {self._advice}", code=exit_code(number))


def exit_code(number: int | None) -> int:
    """The exit status after a signal; that of SIGTERM where another process received it."""
    return 128 + (signal.SIGTERM if number is None else number)


class Stopped(BaseException):
    """The worker was asked to end; no `Exception`, so that nobody counts it as a failure."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, which end a command as Ctrl-C does: what it has begun is taken back on the way out."""


class Ending:
    """The signal that has come while `ending_signals` was entered.

    Args:
        at_once: called before the process ends inside a signal's handler, with the exit status.
        is_writing: whether something is half written.
    """

    def __init__(self, at_once: Callable[[int], None], is_writing: Callable[[], bool]) -> None:
        self._at_once, self._is_writing = at_once, is_writing
        #: The number of the first one; None before.
        self.received: int | None = None
        #: Whether the work is done, or failed: nothing is left that a signal could interrupt.
        self.is_over = False
        self._time = 0.0

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Handles a signal."""
        if self.received is None:
            self.received, self._time = number, time.monotonic()
            if not self.is_over and (self._is_writing() or not _is_importing(frame)):
                raise KeyboardInterrupt if number == signal.SIGINT else Terminated
        elif time.monotonic() - self._time < _SAME_SECONDS:
            return
        self._at_once(exit_code(self.received))
        os._exit(exit_code(self.received))


@contextlib.contextmanager
def ending_signals(
    *, at_once: Callable[[int], None] = lambda code: None, is_writing: Callable[[], bool] = lambda: False
) -> Iterator[Ending]:
    """Lets Ctrl-C, SIGTERM and SIGHUP raise `KeyboardInterrupt` in the block, the latter two as `Terminated`.

    While modules are imported and nothing is half written, the process ends at once instead: an exception in the
    midst of an import is printed, swallowed or turned into another one by many libraries. A second signal ends it at
    once too. A signal that the process was started to ignore, as under `nohup`, stays ignored.

    Args:
        at_once: called before the process ends at once, with its exit status; to print a line.
        is_writing: whether something is half written.

    Yields:
        Which signal has come. Outside the main thread no handler can be set, and none ever has.
    """
    ending = Ending(at_once, is_writing)
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)):
            if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, ending.receive)
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_signals_to_system() -> None:
    """Lets Ctrl-C and SIGTERM end the process silently from now on: nothing is left to do but Python's own end."""
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a frame runs while a module is imported."""
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
