"""Signs of life between machines: a worker changes a file, and the chief looks whether it still does."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator

from speechgru.errors import UserError
from speechgru.files import make_folder, read_file, write_text
from speechgru.tune.environment import worker_name
from speechgru.tune.folder import SweepFolder

#: Seconds between two changes of a worker's file.
BEAT_SECONDS = 3.0
#: Seconds without a change after which a worker's trial is given to another.
_DEAD_SECONDS = 60.0


@contextlib.contextmanager
def beating(sweep: SweepFolder, worker: str) -> Iterator[None]:
    """Changes the worker's file every few seconds, in a thread; removes it at the end.

    Args:
        sweep: the sweep's folder, which all machines see.
        worker: the worker's name.
    """
    ended = threading.Event()
    make_folder(sweep.workers)

    def beat() -> None:
        number = 0
        while True:
            with contextlib.suppress(Exception):  # a full disk is reported by whoever writes what matters
                write_text(sweep.beat(worker), f"{os.getpid()} {number}\n")
            number += 1
            if ended.wait(BEAT_SECONDS):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        sweep.beat(worker).unlink(missing_ok=True)


class Heartbeats:
    """The chief's view of the workers' files.

    A file's change is noted by this machine's clock: those of other machines may differ.

    Args:
        sweep: the sweep's folder.
    """

    def __init__(self, sweep: SweepFolder):
        self._sweep = sweep
        self._seen: dict[str, tuple[bytes, float]] = {}

    def is_alive(self, worker: str) -> bool:
        """Whether a worker's file has changed within the last minute; one never asked about before counts as alive.

        Args:
            worker: its name.
        """
        try:
            content = read_file(self._sweep.beat(worker), most=1000)
        except (OSError, UserError):  # a pipe in its place shows no sign of life
            content = b""
            if worker.startswith(worker_name("")):
                return False  # one of this machine, whose files are seen at once
        now = time.monotonic()
        before, since = self._seen.get(worker, (None, now))
        if content != before:
            self._seen[worker] = content, now
            return True
        return now - since < _DEAD_SECONDS
