"""Standard output and standard error of a command: full, closed, or read by nobody any more."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class OutputLost(BaseException):
    """Standard output cannot be written; no `Exception`, so that no verb and no library takes it for its own.

    Args:
        error: what the system said.
    """

    def __init__(self, error: OSError):
        super().__init__(error)
        self.error = error


class _Stream:
    """A text stream whose failures are nobody's but the command's.

    Args:
        stream: the stream.
        is_needed: whether a failure ends the command by `OutputLost`; else what cannot be written is left out, as
            nobody reads messages where there is no room for them.
    """

    def __init__(self, stream: Any, *, is_needed: bool):
        self._stream, self._is_needed, self._is_lost = stream, is_needed, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._do(self._stream.flush)

    def _do(self, action: Any) -> None:
        if self._is_lost:
            return
        try:
            action()
        except OSError as error:
            self._is_lost = True
            _drop(self._stream)
            if self._is_needed:
                raise OutputLost(error) from error


def _drop(stream: Any) -> None:
    """Lets nothing more be written to a stream, not even what Python flushes at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # a test's stream has no descriptor
        _point(stream.fileno())


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Lets a command use `sys.stdin`, `sys.stdout` and `sys.stderr` whatever they are.

    Where one was closed (`>&-`), what would go there goes nowhere. Otherwise the next file that is opened, such as a
    model, would have its number, and what some library prints would be written into that file.

    Raises:
        OutputLost: from the block, where standard output cannot be written.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    names = ("stdin", "stdout", "stderr")
    for number, name in enumerate(names):
        if getattr(sys, name) is None and not _is_open(number):
            _point(number)
    for name in names:
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    if hasattr(sys.stdout, "reconfigure"):  # a terminal that cannot show a character gets its number
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = _Stream(sys.stdout, is_needed=True), _Stream(sys.stderr, is_needed=False)
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _point(number: int) -> None:
    """Lets a descriptor stand for `os.devnull`."""
    opened = os.open(os.devnull, os.O_RDWR)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)
    os.set_inheritable(number, True)
