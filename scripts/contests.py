"""Contests: libraries that do the same take turns within one process, and a table of what they took."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from bench_gru import ratio
from rich.console import Console
from rich.table import Table

TOLERANCE = 1e-3
PAUSE_SECONDS, TURN_SECONDS, MOST_CALLS = 0.25, 0.2, 10

console = Console(width=120, highlight=False)


@dataclass(frozen=True)
class Contestant:
    """One that takes turns.

    Args:
        library: whose threads may still spin when it is done.
        run: runs on the sound once; returns log-probabilities where they are compared.
    """

    library: str
    run: Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Of one contestant: seconds of a run, the median and the least, and the median of the processor's seconds."""

    median: float
    best: float
    processor: float


def take_turns(contestants, rounds):
    """Lets contestants by name run in turn; their `Timing`s by name."""
    calls, spent, processor = {}, {name: [] for name in contestants}, {name: [] for name in contestants}
    for name, contestant in contestants.items():  # first allocation
        contestant.run()
        start = time.perf_counter()
        contestant.run()
        calls[name] = max(1, min(MOST_CALLS, int(TURN_SECONDS / (time.perf_counter() - start))))
    library = None
    for _ in range(rounds):
        for name, contestant in contestants.items():
            if contestant.library != library:
                time.sleep(PAUSE_SECONDS)
                library = contestant.library
            contestant.run()
            for _ in range(calls[name]):
                start, start_processor = time.perf_counter(), time.process_time()
                contestant.run()
                spent[name].append(time.perf_counter() - start)
                processor[name].append(time.process_time() - start_processor)
    return {
        name: Timing(statistics.median(seconds), min(seconds), statistics.median(processor[name]))
        for name, seconds in spent.items()
    }


def times_as_fast(key, timings, *, mine, library):
    """The answer's ratio of a library's fastest contestant to `mine`, and the same of the processor's time."""
    answer = {}
    for name, field in ((key, "median"), (f"{key}_by_processor", "processor")):
        peers = [getattr(timing, field) for peer, timing in timings.items() if peer.startswith(library)]
        ours = getattr(timings[mine], field) if mine in timings else None
        answer[name] = ratio(ours, min(peers, default=None))
    return answer


def compare_outputs(contestants, expected, *, exact):
    """Largest difference of log-probabilities by name.

    Raises:
        SystemExit: one of `exact` differs by more than the tolerance: its time would say nothing.
    """
    differences = {}
    for name, contestant in contestants.items():
        found = contestant.run()
        if found.shape != expected.shape:
            raise SystemExit(f"{name} gives log-probabilities of shape {found.shape}, expected {expected.shape}")
        differences[name] = float(np.abs(found - expected).max())
        if name in exact and not differences[name] < TOLERANCE:
            raise SystemExit(f"{name} is another model: its log-probabilities are {differences[name]:.2g} away")
    return differences


def print_timings(title, timings, *, reference, seconds, differences=None):
    """A table of one contest; `seconds` is the length of the sound of one run."""
    table = Table("", *(["difference"] if differences else []), title=title, title_justify="left")
    for column in ("ms", "least ms", "ms / s of sound", "x ours dynamic", "processor ms"):
        table.add_column(column, justify="right")
    for name, timing in timings.items():
        if differences:
            difference = f"{differences[name]:.1e}" if name in differences else ""
        table.add_row(
            name,
            *([difference] if differences else []),
            f"{1e3 * timing.median:.2f}",
            f"{1e3 * timing.best:.2f}",
            f"{1e3 * timing.median / seconds:.2f}",
            f"{timing.median / timings[reference].median:.2f}" if reference in timings else "",
            f"{1e3 * timing.processor:.2f}",
        )
    console.print(table)


def leave_out(what, why):
    console.print(f"{what} is left out: {' '.join(str(why).split())[:300]}", markup=False)
