"""What is in the making: a mark in its name says that it is ours, a lock that its process lives."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: What ends the name of a file or folder that is being made.
IN_THE_MAKING = ".speechgru-unfinished"
#: What is in the making and younger may be another process's that has not locked it yet.
_SETTLED_SECONDS = 60.0
#: A pipe, or a link that leads to one, is not waited for.
_TO_LOCK = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
#: Whether this system tells that a process has been killed.
KNOWS_THE_KILLED = fcntl is not None


def remove_settled(path: Path, remove: Callable[[], None]) -> None:
    """Removes a file or folder in the making that no process holds."""
    with contextlib.suppress(OSError):  # another process has it, or has just removed it
        if abs(time.time() - path.lstat().st_mtime) > _SETTLED_SECONDS:  # or the clock has been turned back since
            with locked(path, is_needed=True):
                remove()


@contextlib.contextmanager
def locked(path: Path, *, is_needed: bool = False) -> Iterator[None]:
    """Holds the lock of a file or folder while the block runs; a killed process's is gone with it.

    Args:
        path: the file or folder.
        is_needed: whether it is an error that there is no lock to be had.

    Raises:
        OSError: there is none, and it is needed.
    """
    descriptor = -1
    try:
        if fcntl is not None:
            try:
                descriptor = os.open(path, _TO_LOCK)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if is_needed:
                    raise
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)
