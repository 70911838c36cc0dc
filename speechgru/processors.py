"""How many processors and threads a process may use."""

from __future__ import annotations

import contextlib
import contextvars
import os
from collections.abc import Iterator

#: How many computations share the processors where this is asked.
_sharers = contextvars.ContextVar("sharers", default=1)


def num_processors() -> int:
    """The processors that this process may run on, at least 1: fewer than the machine has where it is confined.

    >>> num_processors() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_threads(asked: int = 0) -> int:
    """The threads that one computation may take: `TF_NUM_INTRAOP_THREADS`, as in TensorFlow, else one a processor.

    A sweep sets the variable for its trials, so that those that run beside each other share the processors.

    Args:
        asked: stands for the variable; 0: nothing does.

    >>> num_threads() >= 1
    True
    """
    variable = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    threads = asked or (int(variable) if variable.isdecimal() else 0) or num_processors()
    return max(1, threads // _sharers.get())


@contextlib.contextmanager
def shared_by(count: int) -> Iterator[None]:
    """Within it, `num_threads` gives each of `count` computations that run beside each other its share.

    >>> with shared_by(num_threads()):
    ...     num_threads()
    1
    """
    token = _sharers.set(_sharers.get() * count)
    try:
        yield
    finally:
        _sharers.reset(token)
