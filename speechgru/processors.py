"""How many processors and threads a process may use."""

from __future__ import annotations

import os


def num_processors() -> int:
    """The processors that this process may run on, at least 1: fewer than the machine has where it is confined.

    >>> num_processors() >= 1
    True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_threads() -> int:
    """The threads that one computation may take: `TF_NUM_INTRAOP_THREADS`, as in TensorFlow, else one a processor.

    A sweep sets the variable for its trials, so that those that run beside each other share the processors.

    >>> num_threads() >= 1
    True
    """
    asked = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) > 0 else num_processors()
