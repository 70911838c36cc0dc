"""Work for several processes, from any caller: a script without a main guard, a notebook, standard input.

`multiprocessing` either forks, which TensorFlow's threads do not survive, or runs the caller's main module again in
every worker, which a script must be written for. Here a worker is a fresh interpreter that imports this package alone.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FrameType
from typing import Any, TypeVar

from speechgru.errors import CorpusError
from speechgru.process.children import run_code

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

#: How long a worker may take to remove its temporary files.
_PATIENCE_SECONDS = 2.0
_COMMAND = f"from {__name__} import _serve; _serve()"


def run(function: Callable[[_Job], _Result], jobs: Sequence[_Job], *, workers: int) -> Iterator[tuple[int, _Result]]:
    """Calls a function for every job; a worker gets its next job when it has answered the last one.

    Args:
        function: a function of a module of this package; it and the jobs must pickle.
        jobs: the arguments; each some tenths of a second of work, as sending one takes a fraction of a millisecond.
        workers: processes; with 1 the work is done in this one.

    Yields:
        (position in `jobs`, result) as the results come, in no order.

    Raises:
        Exception: what the function raised, in any worker.
        CorpusError: a worker ended before its work.
    """
    if workers == 1:
        for position, job in enumerate(jobs):
            yield position, function(job)
        return
    left = _Shared(enumerate(jobs))
    answers: queue.SimpleQueue[tuple[int | None, Any]] = queue.SimpleQueue()
    attendants = []
    with contextlib.ExitStack() as stack:
        for _ in range(min(workers, len(jobs))):
            # A session of its own: Ctrl-C reaches this process alone, which ends its workers.
            worker = stack.enter_context(
                subprocess.Popen(
                    run_code(_COMMAND), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
                )
            )
            attendant = threading.Thread(target=_attend, args=(worker, function, left, answers), daemon=True)
            attendant.start()
            attendants.append(attendant)
            stack.callback(attendant.join)
            stack.callback(_end, worker)  # first of the three: the pipes end, and with them the thread
        for _ in jobs:
            number, answer = answers.get()
            if number is None:
                raise answer
            yield number, answer
        for attendant in attendants:  # their workers end by themselves, and remove their temporary files
            attendant.join()


class _Shared(Iterator[_Job]):
    """An iterator that several threads draw from, each item once.

    Args:
        items: what to draw.
    """

    def __init__(self, items: Iterable[_Job]):
        self._items, self._lock = iter(items), threading.Lock()

    def __next__(self) -> _Job:
        with self._lock:
            return next(self._items)


def _attend(
    worker: subprocess.Popen[bytes],
    function: Callable[[Any], Any],
    left: Iterable[tuple[int, Any]],
    answers: queue.SimpleQueue[tuple[int | None, Any]],
) -> None:
    """Gives a worker job after job and passes on its answers; runs in a thread."""
    if worker.stdin is None or worker.stdout is None:
        raise TypeError("a worker needs pipes as its standard input and output")
    try:
        pickle.dump(function, worker.stdin)
        for numbered in left:
            pickle.dump(numbered, worker.stdin)
            worker.stdin.flush()
            answers.put(pickle.load(worker.stdout))
        worker.stdin.close()  # the worker's sign to end
        worker.wait()
    except (OSError, EOFError, pickle.UnpicklingError):
        error = CorpusError(
            "a worker process ended before its work was done (see the messages above, if any); "
            "pass workers=1 to do it in this process"
        )
        answers.put((None, error))
    except Exception as failure:  # such as a job that cannot be pickled
        answers.put((None, failure))


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Ends a worker in the midst of its job; it removes its temporary files if it can."""
    worker.terminate()
    try:
        worker.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()
    if worker.stdin is not None:
        with contextlib.suppress(OSError):  # what nobody reads any more
            worker.stdin.close()


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends the worker where it is: an exception could end in a callback of a library in C, which passes over it."""
    signal.signal(number, signal.SIG_IGN)
    atexit._run_exitfuncs()  # its temporary folders
    os._exit(128 + number)


def _serve() -> None:
    """The worker: jobs come on standard input, answers leave on what was standard output."""
    signal.signal(signal.SIGTERM, _leave)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    function = pickle.load(sys.stdin.buffer)
    while True:
        try:
            position, job = pickle.load(sys.stdin.buffer)
        except EOFError:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends by itself
            return
        try:
            answer = position, function(job)
        except Exception as error:  # the caller's process raises it
            answer = None, error
        pickle.dump(answer, answers)
        answers.flush()
