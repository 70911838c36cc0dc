"""How many processors a process may use."""

from __future__ import annotations

import os


def num_processors() -> int:
    """The processors that this process may run on, at least 1: fewer than the machine has where it is confined.

    >>> num_processors() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
