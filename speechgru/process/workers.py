"""Work for several processes, from any caller: a script without a main guard, a notebook, standard input.

`multiprocessing` either forks, which TensorFlow's threads do not survive, or runs the caller's main module again in
every worker, which a script must be written for. Here a worker is a fresh interpreter that imports this package alone.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from speechgru.errors import CorpusError

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")

_COMMAND = f"from {__name__} import _serve; _serve()"


def run(function: Callable[[_Job], _Result], jobs: Sequence[_Job], *, workers: int) -> Iterator[tuple[int, _Result]]:
    """Calls a function for every job.

    Args:
        function: a function of a module of this package; it and the jobs must pickle.
        jobs: the arguments.
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
    roots = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, roots))}
    numbered = list(enumerate(jobs))
    answers: queue.SimpleQueue[tuple[int | None, Any]] = queue.SimpleQueue()
    with contextlib.ExitStack() as stack:
        for share in (numbered[number::workers] for number in range(min(workers, len(jobs)))):
            worker = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", _COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
                )
            )
            attendant = threading.Thread(target=_attend, args=(worker, function, share, answers), daemon=True)
            attendant.start()
            stack.callback(attendant.join)
            stack.callback(worker.kill)  # first of the three: the pipes end, and with them the thread
        for _ in jobs:
            number, answer = answers.get()
            if number is None:
                raise answer
            yield number, answer


def _attend(
    worker: subprocess.Popen[bytes],
    function: Callable[[Any], Any],
    share: list[tuple[int, Any]],
    answers: queue.SimpleQueue[tuple[int | None, Any]],
) -> None:
    """Gives a worker its share and passes on its answers; runs in a thread."""
    if worker.stdin is None or worker.stdout is None:
        raise TypeError("a worker needs pipes as its standard input and output")
    try:
        pickle.dump((function, share), worker.stdin)
        worker.stdin.flush()
        for _ in share:
            answers.put(pickle.load(worker.stdout))
    except (OSError, EOFError, pickle.UnpicklingError):
        error = CorpusError(
            "a worker process ended before its work was done (see the messages above, if any); "
            "pass workers=1 to do it in this process"
        )
        answers.put((None, error))


def _serve() -> None:
    """The worker: a share of jobs comes on standard input, answers leave on what was standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    function, share = pickle.load(sys.stdin.buffer)
    for position, job in share:
        try:
            answer = position, function(job)
        except Exception as error:  # the caller's process raises it
            answer = None, error
        pickle.dump(answer, answers)
        answers.flush()
        if answer[0] is None:
            return
