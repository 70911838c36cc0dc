"""The verb: leads a sweep, alone or with workers on this machine and others, and writes what came of it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechgru.config.differences import find_differences
from speechgru.config.sections import RunConfig
from speechgru.errors import ConfigError, Interrupted, UserError
from speechgru.files import room_for, sha256_of, write_json
from speechgru.process.locked_folder import locked_folder
from speechgru.process.signals import Interruption, Stopped, exit_code
from speechgru.progress import Progress, silent
from speechgru.tune.folder import SweepFolder, read_json
from speechgru.tune.journal import Journal
from speechgru.tune.results import rows_of, write_results
from speechgru.tune.supervisor import Staff, list_gpus, worker_name
from speechgru.tune.sweep_file import LoadedSweep, count_combinations
from speechgru.utterances.examination import make_vocabulary
from speechgru.utterances.manifest import read_manifest

#: Seconds without a sign of life after which a worker's trial is given to another.
_DEAD_SECONDS = 60.0
#: How to resume after a second signal.
_ADVICE = "the same command goes on"
#: Bytes of a weight in the TFLite forms, at the least.
_WEIGHT_BYTES = {"none": 4, "float16": 2, "dynamic": 1, "int8": 1}


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """What a sweep came to.

    Args:
        folder: the sweep's folder.
        ended: why it ended.
        seconds: of the sweep, all its sessions together.
        trials: a record for each trial, see `results.rows_of`; the best one has `is_best`.
        best: the configuration to train, None where no trial was completed within the limits.
        num_redrawn: trials of earlier sessions that today's search would have drawn otherwise; they count as they were.
    """

    folder: Path
    ended: str
    seconds: float
    trials: list[dict[str, Any]]
    best: Path | None
    num_redrawn: int


def tune(
    loaded: LoadedSweep,
    run: str | Path,
    *,
    workers: int = 1,
    listen: str | None = None,
    progress: Progress = silent,
) -> SweepResult:
    """Searches, or goes on with the search in `run`.

    Killed at any moment, the same call goes on: finished trials are kept, trials that were under way continue from
    their checkpoints, and the search draws what it would have drawn.

    Args:
        loaded: the sweep, from `sweep_file.load_sweep`.
        run: the sweep's folder; made when it is missing. Where several machines work, all must see it under this name.
        workers: trials at a time on this machine. Several share its cores, and each has a GPU where there are some.
        listen: `HOST:PORT` for workers of other machines (`join`); None where there are none.
        progress: told after each trial.

    Returns:
        What was found.

    Raises:
        ConfigError: the folder holds another sweep.
        UserError: the folder is in use, a worker cannot be kept alive, nothing can be listened on, the disk is full.
        Interrupted: a signal came; all is kept.
    """
    if workers < (0 if listen else 1):
        raise UserError(f"a sweep needs a worker, got --workers {workers}; 0 goes with --listen alone")
    folder = SweepFolder(Path(run).absolute())
    advice = "wait for it, stop it, or give another --run"
    with locked_folder(folder.path, activity="leads this sweep", advice=advice):
        _require_same_sweep(folder, loaded)
        return _Chief(folder, loaded, workers=workers, listen=listen, progress=progress).lead()


def join(run: str | Path, chief: str, *, workers: int = 1, progress: Progress = silent) -> int:
    """Works for a sweep that another machine leads, until it ends.

    Args:
        run: the sweep's folder, as its chief sees it.
        chief: `HOST:PORT` that the chief listens on.
        workers: trials at a time on this machine.
        progress: told when workers start.

    Returns:
        How many times a worker died and was replaced.

    Raises:
        UserError: there is no sweep in the folder, the address is none, or a worker cannot be kept alive.
        Interrupted: a signal came; the trials' state is kept.
    """
    folder = SweepFolder(Path(run).absolute())
    if not folder.definition.is_file():
        raise UserError(f"{folder.path}: holds no sweep; give the folder that the chief writes, which all machines see")
    if workers < 1:
        raise UserError(f"joining needs a worker, got --workers {workers}")
    host, port = _address(chief)
    with Interruption(advice=_ADVICE, awaited=True) as stopped, Staff(folder, host, port, workers) as staff:
        progress("working", 0, 1, f"{workers} workers for {chief}")
        while not stopped() and (read_json(folder.status) or {}).get("ended") is None:
            staff.look()
            time.sleep(0.5)
        if stopped():
            raise Interrupted("stopped; the trials' state is kept", code=exit_code(stopped.received))
        staff.wait()
    progress("working", 1, 1, "the sweep has ended")
    return staff.num_replaced


class _Chief:
    """Leads one session of a sweep."""

    def __init__(self, folder: SweepFolder, loaded: LoadedSweep, *, workers: int, listen: str | None, progress: Any):
        self._folder, self._loaded, self._workers, self._progress = folder, loaded, workers, progress
        self._listen = _address(listen) if listen else None
        self._labels: dict[str, int] = {}
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._gpus = list_gpus()
        self._oracle: Any = None
        self._is_alone = workers == 1 and self._listen is None

    def lead(self) -> SweepResult:
        # The search itself needs no GPU; taking one would leave less to the trials.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        try:
            return self._lead(visible)
        finally:
            if visible is None:
                os.environ.pop("CUDA_VISIBLE_DEVICES")
            else:
                os.environ["CUDA_VISIBLE_DEVICES"] = visible

    def _lead(self, visible: str | None) -> SweepResult:
        from speechgru.tune.oracles import make_oracle

        sweep, journal = self._loaded.sweep, Journal(self._folder.journal)
        write_json(self._folder.status, {"ended": None})
        with Interruption(advice=_ADVICE, awaited=True) as stopped:
            self._oracle = make_oracle(
                sweep.tuner,
                dimensions=self._loaded.dimensions,
                seed=sweep.seed,
                epochs=sweep.budget.epochs,
                journal=journal,
                plan=self._plan,
                refusal=self._refusal,
                outcome=self._outcome,
                changed=self._changed,
                most_trials=sweep.budget.trials,
                max_seconds=None if sweep.budget.minutes is None else 60.0 * sweep.budget.minutes,
                is_alive=self._is_alive,
            )
            self._journal = journal
            if self._is_alone:
                self._work_alone(stopped, visible)
            else:
                self._serve(stopped)
        oracle = self._oracle
        if oracle.failure is not None:
            raise oracle.failure
        if stopped.received is not None:
            self._write(ended=None)
            finished = len(oracle.end_order)
            raise Interrupted(
                f"{self._folder.path}: stopped; {finished} finished trials and the state of the others are kept, and "
                "the same command goes on",
                code=exit_code(stopped.received),
            )
        rows = self._write(ended=oracle.ended)
        write_json(self._folder.status, {"ended": oracle.ended})
        best = self._folder.best if any(row["is_best"] for row in rows) else None
        return SweepResult(self._folder.path, oracle.ended, oracle.seconds, rows, best, oracle.num_redrawn)

    def _work_alone(self, stopped: Any, visible: str | None) -> None:
        from speechgru.tune.worker import SweepTuner, trial_environment

        with _keras_tuner_environment({"TUNER_ID": worker_name(0)}):
            environment = trial_environment(gpu=None, threads=None)
            environment.pop("CUDA_VISIBLE_DEVICES")
            if visible is not None:
                environment["CUDA_VISIBLE_DEVICES"] = visible
            tuner = SweepTuner(self._oracle, self._folder, environment=environment, stopped=stopped)
            with contextlib.suppress(Stopped):
                tuner.search()
            if tuner.error is not None:
                raise tuner.error

    def _serve(self, stopped: Any) -> None:
        from speechgru.tune.worker import SweepTuner

        host, port = self._listen or ("127.0.0.1", _free_port())
        failures: list[BaseException] = []

        def serve() -> None:
            try:
                tuner.search()
            except BaseException as error:
                failures.append(error)

        with _keras_tuner_environment({"TUNER_ID": "chief", "ORACLE_IP": host, "ORACLE_PORT": str(port)}):
            tuner = SweepTuner(self._oracle, self._folder, environment={}, stopped=stopped)
            server = threading.Thread(target=serve, daemon=True)
            server.start()
            # keras-tuner reads its environment once, when it starts to listen.
            _wait_until_listening(host, port, failures)
        local = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
        staff = Staff(self._folder, local, port, self._workers, gpus=self._gpus)
        with staff:
            while not stopped() and not self._oracle.is_over():
                oracle = self._oracle
                is_wanted = oracle.ended is None or oracle.orphans or oracle.ongoing_trials
                staff.look(replace=bool(is_wanted), recall=bool(oracle.orphans))
                time.sleep(0.2)
            if not stopped() and self._oracle.failure is None:
                staff.wait()

    # -- what the search asks ----------------------------------------------------------------------------------------

    def _plan(self, choice: dict[str, Any]) -> None:
        sweep, trial = self._loaded.sweep, self._folder.trial(choice["trial"])
        refused = choice.pop("refused")
        try:
            config = self._loaded.configure(choice["values"]).model_dump(mode="json")
        except ConfigError:  # why it is refused
            config = None
        with room_for(trial.path):
            trial.path.mkdir(parents=True, exist_ok=True)
        write_json(
            trial.plan,
            {
                "stop_after_epochs": None,
                "go_on_from": None,
                **choice,
                "metric": sweep.objective.metric,
                "repeats": sweep.repeats,
                "limits": sweep.limits.given if sweep.limits is not None else {},
                "form": sweep.measured_form,
                "config": config,
            },
        )
        if refused is not None:
            write_json(trial.outcome, {"status": "refused", "score": None, "reason": refused})

    def _refusal(self, values: dict[str, Any]) -> str | None:
        """Why a trial need not be trained: its values do not go together, or its size alone breaks a limit."""
        try:
            config = self._loaded.configure(values)
        except ConfigError as error:
            return str(error)
        limits = self._loaded.sweep.limits
        if limits is None or (limits.max_parameters is None and limits.max_size_mb is None):
            return None
        parameters = self._count_parameters(config)
        if limits.max_parameters is not None and parameters > limits.max_parameters:
            return f"{parameters:,} parameters are more than max_parameters ({limits.max_parameters:,})"
        least_mb = parameters * _WEIGHT_BYTES[limits.form] / 1e6
        if limits.max_size_mb is not None and least_mb > limits.max_size_mb:
            return (
                f"{parameters:,} parameters take at least {least_mb:.3f} MB as {limits.form}, more than max_size_mb "
                f"({limits.max_size_mb:g})"
            )
        return None

    def _count_parameters(self, config: RunConfig) -> int:
        import keras

        from speechgru.model.build import build_model

        key = config.text.model_dump_json()
        if key not in self._labels:
            manifests = [path for path in config.data.train if Path(path).is_file()]
            lines = [line for path in manifests for line in read_manifest(path)]
            self._labels[key] = len(make_vocabulary(config, lines))
        count = int(build_model(config, self._labels[key]).count_params())
        keras.backend.clear_session()
        return count

    def _outcome(self, number: str) -> dict[str, Any]:
        outcome = self._folder.trial(number).read_outcome()
        if outcome is None:
            raise UserError(
                f"{self._folder.trial(number).outcome}: a worker has ended the trial, and its outcome is not here; all "
                "machines must see the sweep's folder under the same name"
            )
        return outcome

    def _is_alive(self, worker: str) -> bool:
        """Whether the worker's file has changed of late, by this machine's clock."""
        if self._is_alone:
            return worker == worker_name(0)
        try:
            content = self._folder.beat(worker).read_bytes()
        except OSError:
            content = b""
            if worker.startswith(worker_name("")):
                return False  # one of this machine, whose files are seen at once
        now = time.monotonic()
        before, since = self._seen.get(worker, (None, now))
        if content != before:
            self._seen[worker] = content, now
            return True
        return now - since < _DEAD_SECONDS

    # -- what is shown -----------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        rows = self._write(ended=None)
        done = [row for row in rows if row["status"] != "running"]
        best = next((row for row in rows if row["is_best"]), None)
        metric = self._loaded.sweep.objective.metric
        notes = [f"{len(rows) - len(done)} under way"]
        if best is not None:
            shown = f"{best[metric]:.4g}" if metric == "loss" else f"{best[metric]:.2%}"
            notes.append(f"best dev {metric.upper() if metric != 'loss' else metric} {shown} (trial {best['trial']})")
        for status in ("failed", "refused"):
            number = sum(row["status"] == status for row in rows)
            if number:
                notes.append(f"{number} {status}")
        counted = [row for row in done if row["status"] != "refused"]
        total = self._planned() or len(counted) + len(rows) - len(done)
        self._progress("trials", len(counted), total, ", ".join(notes))

    def _planned(self) -> int:
        sweep = self._loaded.sweep
        most = sweep.budget.trials or 0
        combinations = count_combinations(self._loaded.dimensions) if sweep.tuner.kind == "grid" else None
        return min(most or combinations, combinations) if combinations else most

    def _write(self, *, ended: str | None) -> list[dict[str, Any]]:
        rows = rows_of(self._folder, self._loaded, self._journal.events)
        notes = []
        if self._oracle.num_redrawn:
            notes.append(
                f"{self._oracle.num_redrawn} trials of an earlier session would be drawn otherwise by the libraries "
                "of today; they count as they were."
            )
        write_results(
            self._folder,
            self._loaded,
            rows,
            seconds=self._oracle.seconds,
            ended=ended,
            workers=len({row["worker"] for row in rows}),
            notes=notes,
        )
        return rows


def _require_same_sweep(folder: SweepFolder, loaded: LoadedSweep) -> None:
    """Whether the folder is new, or holds this very sweep on this very evaluation set."""
    given = loaded.definition()
    given["evaluation_sha256"] = sha256_of(given["configuration"]["data"]["dev"])
    stored = read_json(folder.definition)
    if stored is None:
        if folder.journal.exists() or any(folder.path.glob("*.yaml")):
            raise ConfigError(f"{folder.path}: holds something else than a sweep; give another --run")
        write_json(folder.definition, given)
        return
    there, here = ({**sweep, **sweep["configuration"], "configuration": None} for sweep in (stored, given))
    changed = find_differences(there, here)
    if changed:
        raise ConfigError(
            f"{folder.path}: holds another sweep: {'; '.join(map(str, changed))}. budget.trials and budget.minutes may "
            "change, all else must be the same to resume it. Give the sweep as it was, or another --run"
        )


@contextlib.contextmanager
def _keras_tuner_environment(variables: dict[str, str]) -> Iterator[None]:
    """keras-tuner's variables of this process, which are nobody else's."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("KERASTUNER_")}
    given = {f"KERASTUNER_{name}": value for name, value in variables.items()}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)
        os.environ.update(before)


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"{text!r} is no address; give HOST:PORT, such as 192.168.1.10:7777")
    return host, int(port)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_listening(host: str, port: int, failures: list[BaseException]) -> None:
    reached = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    deadline = time.monotonic() + 30.0
    while True:
        if failures or time.monotonic() > deadline:
            reason = f" ({failures[0]})" if failures else ""
            raise UserError(f"cannot listen on {host}:{port}{reason}; give another port, or an address of this machine")
        with contextlib.suppress(OSError), socket.create_connection((reached, port), timeout=1.0):
            return
        time.sleep(0.05)
