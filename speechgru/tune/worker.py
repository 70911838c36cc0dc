"""A worker: asks for a trial, runs it in a process of its own, reports its end, and asks again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from speechgru.errors import DiskError, UserError
from speechgru.files import held, open_log, write_json
from speechgru.network import TOKEN_VARIABLE, Address, client_tls, read_token
from speechgru.process.children import run_module
from speechgru.process.signals import Interruption, Stopped, exit_code
from speechgru.runs import RunFolder
from speechgru.tune.environment import trial_environment
from speechgru.tune.folder import BUSY, DISK_FAILED, SweepFolder, TrialFolder, read_json
from speechgru.tune.heartbeat import beating
from speechgru.tune.port import IDLE, STOPPED, Client, Desk
from speechgru.tune.telling import last_line

#: How a trial's process is started; the folder is added.
TRIAL_COMMAND = tuple(run_module("speechgru.tune.trial"))
#: Seconds between two looks at a trial's process, and before an idle worker asks again.
_LOOK_SECONDS, _IDLE_SECONDS = 0.1, 1.0
#: Seconds that a stopped trial has to finish its step and keep its state.
_STOP_SECONDS = 90.0


def work(
    desk: Desk, name: str, sweep: SweepFolder, *, environment: Mapping[str, str], stopped: Callable[[], bool]
) -> None:
    """Runs trial after trial, each in a process of its own, until there are no more.

    Args:
        desk: hands them out.
        name: the worker's.
        sweep: the sweep's folder.
        environment: of the trials' processes.
        stopped: whether the worker shall end.

    Raises:
        Stopped: the worker shall end; the trial's state is kept.
        DiskError: the disk is full or failing; the trial's state is kept.
        UserError: the desk refuses a call.
    """
    while True:
        if stopped():
            raise Stopped
        ticket = desk.create_trial(name)
        if ticket.status == STOPPED:
            return
        if ticket.status == IDLE:
            time.sleep(_IDLE_SECONDS)
            continue
        run_in_process(sweep.trial(ticket.trial_id), environment=environment, stopped=stopped)
        desk.end_trial(ticket.trial_id)


def run_in_process(folder: TrialFolder, *, environment: Mapping[str, str], stopped: Callable[[], bool]) -> None:
    """Runs a trial to its outcome, in processes of its own.

    One that ends without an outcome, killed or by its own doing, is followed by another, which resumes from the last
    checkpoint; two that end so without a new checkpoint between them are the trial's failure.

    Raises:
        DiskError: it cannot write or read its files any more: neither its failure nor a death.
        Stopped: the worker shall end; the trial's state is kept.
    """
    while folder.read_outcome() is None:
        if stopped():
            raise Stopped
        code = _run_once(folder, environment, stopped)
        if folder.read_outcome() is not None or code == BUSY:
            continue
        if code == DISK_FAILED:
            raise DiskError(f"trial {folder.name} cannot go on: {last_line(folder.log)}")
        deaths = read_json(folder.deaths) or []
        deaths.append({"checkpoint": _newest_checkpoint(folder), "how": _describe_end(code)})
        write_json(folder.deaths, deaths)
        if len(deaths) > 1 and deaths[-1]["checkpoint"] == deaths[-2]["checkpoint"]:
            reason = f"its process {deaths[-1]['how']}, twice at the same place; {folder.log} has its last words"
            write_json(folder.outcome, {"status": "failed", "score": None, "reason": reason})


def _run_once(folder: TrialFolder, environment: Mapping[str, str], stopped: Callable[[], bool]) -> int:
    with open_log(folder.log) as log:
        # A session of its own: Ctrl-C reaches the worker, which then asks the trial to keep its state.
        process = subprocess.Popen(
            [*TRIAL_COMMAND, str(folder.path)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )
    try:
        while process.poll() is None:
            if stopped():
                raise Stopped
            time.sleep(_LOOK_SECONDS)
        return process.returncode
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdin is not None:
            process.stdin.close()


def _newest_checkpoint(folder: TrialFolder) -> str | None:
    """Where a trial stands: its newest checkpoint in any of its repeats."""
    repeats = [folder.path, *sorted(folder.path.glob("repeats/*"))]
    found = [path for repeat in repeats for path in RunFolder(repeat).list_checkpoints()[:1]]
    return str(found[-1].relative_to(folder.path)) if found else None


def _describe_end(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code} and no result"
    name = signal.Signals(-code).name
    hint = "; the system does so when memory runs out" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"


def main() -> None:
    """A worker that a supervisor started: `python -m speechgru.tune.worker FOLDER NAME CHIEF THREADS GPU CERTIFICATE`.

    The last two may be empty; the token comes in the environment, where nobody who lists processes sees it.
    """
    folder, name, chief, threads, gpu, certificate = sys.argv[1:]
    sweep = SweepFolder(Path(folder))
    token = read_token(None, os.environ)
    if token is None:
        raise UserError(f"a worker needs the sweep's token in the environment's {TOKEN_VARIABLE}")
    environment = trial_environment(gpu=gpu or None, threads=int(threads) or None)
    with (
        held(sweep.path, sweep.definition.exists, is_others=True),
        Interruption(advice="the same command resumes the sweep", awaited=True) as stopped,
        beating(sweep, name),
    ):
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        desk = Client(
            Address.parse(chief), token, tls=client_tls(certificate) if certificate else None, stopped=stopped
        )
        try:
            work(desk, name, sweep, environment=environment, stopped=stopped)
        except Stopped:
            sys.exit(exit_code(stopped.received))
        except UserError as error:
            sys.exit(str(error))


def _stop_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock would be held while the process ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2 * _STOP_SECONDS)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
