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
from typing import Any

import grpc  # type: ignore[import-untyped]

from speechgru.files import write_json
from speechgru.process.children import run_module
from speechgru.process.signals import Interruption, Stopped, exit_code
from speechgru.runs import RunFolder
from speechgru.tune.environment import is_chief_process, trial_environment
from speechgru.tune.folder import BUSY, SweepFolder, TrialFolder, read_json
from speechgru.tune.heartbeat import beating
from speechgru.tune.keras_tuner_adapter import AdaptedTuner, Trial, TrialStatus, client_oracle

#: How a trial's process is started; the folder is added.
TRIAL_COMMAND = tuple(run_module("speechgru.tune.trial"))
#: Seconds between two looks at a trial's process, and before an idle worker asks again.
_LOOK_SECONDS, _IDLE_SECONDS = 0.1, 1.0
#: Seconds that a stopped trial has to finish its step and keep its state.
_STOP_SECONDS = 90.0
#: Seconds for which a worker waits for a chief that was stopped or killed.
_CHIEF_SECONDS = 3600.0


class SweepTuner(AdaptedTuner):
    """keras-tuner's side of a worker, and, where its environment says so, of the chief.

    Args:
        oracle: the search; where the environment names a chief, `client_oracle`'s.
        sweep: the sweep's folder.
        environment: of the trials' processes.
        stopped: whether the worker shall end.
    """

    def __init__(self, oracle: Any, sweep: SweepFolder, *, environment: Mapping[str, str], stopped: Interruption):
        super().__init__(oracle, directory=str(sweep.path), project_name=sweep.workers.name)
        self._sweep, self._environment, self._stopped = sweep, dict(environment), stopped
        self._search_oracle = oracle
        #: What kept the worker from running a trial, where something did.
        self.error: Exception | None = None
        self.oracle = _RetryingOracle(self.oracle, stopped, is_remote=self.oracle is not oracle)

    def run_trial(self, trial: Trial, *args: Any, **options: Any) -> None:
        """Runs a trial in a process of its own; its outcome is a file."""
        try:
            run_in_process(self._sweep.trial(trial.trial_id), environment=self._environment, stopped=self._stopped)
        except Exception as error:  # such as a full disk: nothing that the trial's values caused
            self.error = error
            raise Stopped from error

    def search(self, *args: Any, **options: Any) -> None:
        """Serves the search in the chief's process; elsewhere runs trials until there are no more."""
        if is_chief_process():
            self.oracle = self._search_oracle
        super().search(*args, **options)


class _RetryingOracle:
    """An oracle that may be out of reach for a while: what it does not answer is asked again.

    Args:
        oracle: the oracle, or keras-tuner's client of one.
        stopped: whether the worker shall end.
        is_remote: whether it is a client.
    """

    def __init__(self, oracle: Any, stopped: Interruption, *, is_remote: bool):
        self._oracle, self._stopped, self._is_remote = oracle, stopped, is_remote

    def create_trial(self, tuner_id: str) -> Trial:
        while True:
            if self._stopped():
                raise Stopped
            trial = self._ask("create_trial", tuner_id)
            if trial.status != TrialStatus.IDLE:
                return trial
            time.sleep(_IDLE_SECONDS)

    def end_trial(self, trial: Trial) -> None:
        self._ask("end_trial", trial)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._oracle, name)

    def _ask(self, name: str, *arguments: Any) -> Any:
        deadline = time.monotonic() + _CHIEF_SECONDS
        while True:
            try:
                self._stopped.awaited = not self._is_remote
                return getattr(self._oracle, name)(*arguments)
            except grpc.RpcError as error:
                if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                    raise
                if self._stopped() or time.monotonic() > deadline:
                    raise Stopped from error
                time.sleep(_IDLE_SECONDS)
            finally:
                self._stopped.awaited = True


def run_in_process(folder: TrialFolder, *, environment: Mapping[str, str], stopped: Callable[[], bool]) -> None:
    """Runs a trial to its outcome, in processes of its own.

    One that ends without an outcome, killed or by its own doing, is followed by another, which resumes from the last
    checkpoint; two that end so without a new checkpoint between them are the trial's failure.

    Raises:
        Stopped: the worker shall end; the trial's state is kept.
    """
    while folder.read_outcome() is None:
        if stopped():
            raise Stopped
        code = _run_once(folder, environment, stopped)
        if folder.read_outcome() is not None or code == BUSY:
            continue
        deaths = read_json(folder.deaths) or []
        deaths.append({"checkpoint": _newest_checkpoint(folder), "how": _describe_end(code)})
        write_json(folder.deaths, deaths)
        if len(deaths) > 1 and deaths[-1]["checkpoint"] == deaths[-2]["checkpoint"]:
            reason = f"its process {deaths[-1]['how']}, twice at the same place; {folder.log} has its last words"
            write_json(folder.outcome, {"status": "failed", "score": None, "reason": reason})


def _run_once(folder: TrialFolder, environment: Mapping[str, str], stopped: Callable[[], bool]) -> int:
    with open(folder.log, "ab") as log:
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
    """A worker that a supervisor started: `python -m speechgru.tune.worker FOLDER NAME THREADS [GPU]`."""
    sweep, name, threads = SweepFolder(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    gpu = sys.argv[4] if len(sys.argv) > 4 else None
    environment = trial_environment(gpu=gpu, threads=threads or None)
    with (
        Interruption(advice="the same command resumes the sweep", awaited=True, urgent=Stopped) as stopped,
        beating(sweep, name),
    ):
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        tuner = SweepTuner(client_oracle(), sweep, environment=environment, stopped=stopped)
        try:
            tuner.search()
        except Stopped:
            if tuner.error is not None:
                raise tuner.error from None
            sys.exit(exit_code(stopped.received))


def _stop_with_parent() -> None:
    while os.read(0, 1):  # not sys.stdin, whose lock would be held while the process ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(2 * _STOP_SECONDS)
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
