"""Leads a sweep, alone or with workers here and elsewhere."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechgru.errors import ConfigError, Interrupted, UserError
from speechgru.files import held, make_folder, room_for, write_json
from speechgru.network import Address, client_tls, read_token, read_token_file, server_tls
from speechgru.process.locked_folder import locked_folder
from speechgru.process.signals import Interruption, Stopped, exit_code
from speechgru.progress import Progress, silent
from speechgru.tune.beginning import require_beginning, require_same_sweep, require_same_values
from speechgru.tune.combinations import count_combinations
from speechgru.tune.environment import hidden_gpus, list_gpus, trial_environment, worker_name
from speechgru.tune.folder import SweepFolder, read_json
from speechgru.tune.heartbeat import Heartbeats
from speechgru.tune.journal import Journal
from speechgru.tune.port import Client, Listener, Port
from speechgru.tune.refusals import Refusals
from speechgru.tune.results import rows_of, write_results
from speechgru.tune.supervisor import Supervisor
from speechgru.tune.sweep_file import LoadedSweep
from speechgru.tune.telling import Telling
from speechgru.tune.worker import work
from speechgru.visible import counted

if TYPE_CHECKING:
    from speechgru.tune.oracles import JournaledOracle

#: How to resume after a second signal.
_ADVICE = "the same command resumes the sweep"
#: Where this machine's own workers find the chief: any free port, which no other machine reaches.
_OWN = Address("127.0.0.1", 0)


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
    token_file: str | Path | None = None,
    tls: tuple[str | Path, str | Path] | None = None,
    progress: Progress = silent,
) -> SweepResult:
    """Searches, or resumes the search in `run`.

    Killed at any moment, the same call resumes: finished trials are kept, trials that were under way continue from
    their checkpoints, and the search draws what it would have drawn.

    Args:
        loaded: the sweep, from `sweep_file.load_sweep`.
        run: the sweep's folder; made when it is missing. Where several machines work, all must see it under this name.
        workers: trials at a time on this machine. Several share its cores, and each has a GPU where there are some.
        listen: `HOST:PORT` for workers of other machines (`join`); None where there are none. They must show the
            sweep's token.
        token_file: holds the token, and is made where it is missing; None for what the environment's `SPEECHGRU_TOKEN`
            holds, and else for `token` in the sweep's folder.
        tls: files of a certificate and of its key (PEM), so that nobody in the network reads what is sent there, the
            token included; None for plain connections.
        progress: called after each trial.

    Returns:
        What was found.

    Raises:
        ConfigError: the folder holds another sweep.
        ManifestError: a manifest of the sweep cannot be read, so that every trial would fail.
        UserError: the folder or the address is in use, a worker cannot be kept alive, the token or certificate is none,
            the disk is full.
        Interrupted: a signal came; all is kept.
    """
    if workers < (0 if listen else 1):
        raise UserError(f"a sweep needs a worker, got --workers {workers}; 0 goes with --listen alone")
    if tls is not None and listen is None:
        raise UserError("a certificate is for the workers of other machines, and goes with --listen")
    listener = None
    if listen is not None:
        listener = Listener(Address.parse(listen), None if tls is None else server_tls(*tls))
    require_beginning(loaded)
    folder = SweepFolder(Path(run).absolute())
    advice = "wait for it, stop it, or give another --run"
    with locked_folder(folder.path, activity="leads this sweep", advice=advice):
        if require_same_sweep(folder, loaded):
            progress("resuming", 0, 0, "no trial of the sweep that was here came to a checkpoint; it is begun anew")
        token = secrets.token_urlsafe() if listener is None else _token_of(folder, token_file, make=True)
        return Chief(folder, loaded, workers=workers, listener=listener, token=token, progress=progress).lead()


def join(
    run: str | Path,
    chief: str,
    *,
    workers: int = 1,
    token_file: str | Path | None = None,
    certificate: str | Path | None = None,
    progress: Progress = silent,
) -> int:
    """Works for a sweep that another machine leads, until it ends.

    Args:
        run: the sweep's folder, as its chief sees it.
        chief: `HOST:PORT` that the chief listens on.
        workers: trials at a time on this machine.
        token_file: holds the sweep's token; None for what the environment's `SPEECHGRU_TOKEN` holds, and else for
            `token` in the sweep's folder.
        certificate: file (PEM) of the chief's certificate, or of the one that has signed it; None where it has none.
        progress: called when workers start.

    Returns:
        How many times a worker died and was replaced.

    Raises:
        UserError: there is no sweep in the folder, the address is none, the chief refuses the token or is not the one
            of the certificate, or a worker cannot be kept alive.
        Interrupted: a signal came; the trials' state is kept.
    """
    folder = SweepFolder(Path(run).absolute())
    if not folder.definition.is_file():
        raise UserError(f"{folder.path}: holds no sweep; give the folder that the chief writes, which all machines see")
    if workers < 1:
        raise UserError(f"joining needs a worker, got --workers {workers}")
    address = Address.parse(chief)
    token = _token_of(folder, token_file, make=False)
    tls = None if certificate is None else client_tls(certificate)
    with (
        # By its file: a folder's number, by which it is told else, changes at times on some networks' file systems.
        held(folder.path, folder.definition.exists, is_others=True),
        Interruption(advice=_ADVICE, awaited=True) as stopped,
    ):
        if not Client(address, token, tls=tls, stopped=stopped).greet():
            progress("working", 0, 0, f"{address} does not answer yet; waiting for it for an hour")
        with Supervisor(
            folder, address, workers, token=token, certificate=None if certificate is None else Path(certificate)
        ) as supervisor:
            progress("working", 0, 1, f"{workers} workers for {address}")
            while not stopped() and (read_json(folder.status) or {}).get("ended") is None:
                supervisor.check()
                time.sleep(0.5)
            if stopped():
                raise Interrupted("stopped; the trials' state is kept", code=exit_code(stopped.received))
            supervisor.wait()
    progress("working", 1, 1, "the sweep has ended")
    return supervisor.num_replaced


def _token_of(folder: SweepFolder, file: str | Path | None, *, make: bool) -> str:
    """The token of a sweep's port: a file's, the environment's, or the one in the sweep's folder.

    Raises:
        UserError: it is none, or missing.
    """
    given = read_token(None, os.environ) if file is None else None
    return given or read_token_file(folder.token if file is None else file, make=make)


class Chief:
    """Leads one session of a sweep.

    Args:
        folder: the sweep's folder, held against other leaders.
        loaded: the sweep.
        workers: trials at a time on this machine.
        listener: for workers of other machines; None where there are none.
        token: what workers show.
        progress: called after each trial.
    """

    def __init__(
        self,
        folder: SweepFolder,
        loaded: LoadedSweep,
        *,
        workers: int,
        listener: Listener | None,
        token: str,
        progress: Progress,
    ):
        self._folder, self._loaded, self._workers, self._progress = folder, loaded, workers, progress
        self._listener, self._token, self._gpus = listener, token, list_gpus()
        self._journal = Journal(folder.journal)
        if self._journal.note:
            progress(folder.journal.name, 0, 0, self._journal.note)
        self._refusals = Refusals(loaded)
        self._oracle: JournaledOracle | None = None

    def lead(self) -> SweepResult:
        """Runs the search to its end, or until a signal."""
        with hidden_gpus() as visible_gpus:  # the search itself needs none
            return self._lead(visible_gpus)

    def _lead(self, visible_gpus: str | None) -> SweepResult:
        from speechgru.tune.oracles import SweepHooks, make_oracle

        sweep = self._loaded.sweep
        is_alone = self._workers == 1 and self._listener is None
        hooks = SweepHooks(
            plan=self._plan,
            reason_to_refuse=self._refusals.reason,
            read_outcome=self._read_outcome,
            on_change=self._report,
            is_alive=(lambda worker: worker == worker_name(0)) if is_alone else Heartbeats(self._folder).is_alive,
        )
        write_json(self._folder.status, {"ended": None})
        with Interruption(advice=_ADVICE, awaited=True) as stopped:
            oracle = self._oracle = make_oracle(
                sweep.tuner,
                dimensions=self._loaded.dimensions,
                seed=sweep.seed,
                epochs=sweep.budget.epochs,
                journal=self._journal,
                hooks=hooks,
                max_trials_run=sweep.budget.trials,
                max_seconds=None if sweep.budget.minutes is None else 60.0 * sweep.budget.minutes,
            )
            with Telling(self._folder, self._running, self._tell):
                if is_alone:
                    self._work_alone(oracle, stopped, visible_gpus)
                else:
                    self._serve(oracle, stopped)
        if oracle.failure is not None:
            raise oracle.failure
        if stopped.received is not None:
            self._write_results(ended=None)
            raise Interrupted(
                f"{self._folder.path}: stopped; {oracle.num_finished} finished trials and the state of the others are "
                "kept, and the same command resumes the sweep",
                code=exit_code(stopped.received),
            )
        ended = oracle.ended or ""
        rows = self._write_results(ended=ended)
        write_json(self._folder.status, {"ended": ended})
        best = self._folder.best if any(row["is_best"] for row in rows) else None
        return SweepResult(self._folder.path, ended, oracle.seconds, rows, best, oracle.num_redrawn)

    def _work_alone(self, oracle: JournaledOracle, stopped: Interruption, visible_gpus: str | None) -> None:
        """Searches and works in this process, one trial after the other."""
        environment = trial_environment(gpu=None, threads=None)
        environment.pop("CUDA_VISIBLE_DEVICES")
        if visible_gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = visible_gpus
        with contextlib.suppress(Stopped):
            work(oracle, worker_name(0), self._folder, environment=environment, stopped=stopped)

    def _serve(self, oracle: JournaledOracle, stopped: Interruption) -> None:
        """Serves the search to workers of this machine and of others."""
        listeners = [Listener(_OWN)] if self._listener is None else [Listener(_OWN), self._listener]
        with Port(oracle, self._token, listeners, log=lambda line: self._progress("port", 0, 0, line)) as port:
            if self._listener is not None:
                self._progress("port", 0, 0, f"workers may join at {port.addresses[1]}, with the sweep's token")
            own = port.addresses[0]
            with Supervisor(self._folder, own, self._workers, token=self._token, gpus=self._gpus) as supervisor:
                while not stopped() and not oracle.is_over():
                    supervisor.check(replace=oracle.is_wanted, recall=bool(oracle.unassigned))
                    time.sleep(0.2)
                if not stopped() and oracle.failure is None:
                    supervisor.wait()

    # -- what the search asks ----------------------------------------------------------------------------------------

    def _plan(self, choice: dict[str, Any]) -> None:
        """Writes a trial's plan, and of a refused one its outcome."""
        sweep, trial = self._loaded.sweep, self._folder.trial(choice["trial"])
        refused = choice.pop("refused")
        require_same_values(trial, choice["values"])
        try:
            config = self._loaded.configure(choice["values"]).model_dump(mode="json")
        except ConfigError:  # why it is refused
            config = None
        with room_for(trial.path):
            make_folder(trial.path)
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

    def _read_outcome(self, number: str) -> dict[str, Any]:
        outcome = self._folder.trial(number).read_outcome()
        if outcome is None:
            raise UserError(
                f"{self._folder.trial(number).outcome}: a worker reported the end of the trial, and its outcome is not "
                "here; all machines must see the sweep's folder under the same name"
            )
        if outcome["status"] == "refused":
            self._refusals.remember(self._folder.trial(number).read_plan()["values"], outcome["reason"] or "no reason")
        return outcome

    # -- what is shown -----------------------------------------------------------------------------------------------

    def _report(self) -> None:
        """Writes the results so far and reports progress."""
        rows = self._write_results(ended=None)
        done = [row for row in rows if row["status"] != "running"]
        best = next((row for row in rows if row["is_best"]), None)
        metric = self._loaded.sweep.objective.metric
        notes = [f"{len(rows) - len(done)} running"]
        if best is not None:
            shown = f"{best[metric]:.4g}" if metric == "loss" else f"{best[metric]:.2%}"
            notes.append(f"best dev {metric.upper() if metric != 'loss' else metric} {shown} (trial {best['trial']})")
        for status in ("failed", "refused"):
            number = sum(row["status"] == status for row in rows)
            if number:
                notes.append(f"{number} {status}")
        counted = [row for row in done if row["status"] != "refused"]
        total = self._num_planned() or len(counted) + len(rows) - len(done)
        self._progress("trials", len(counted), total, ", ".join(notes))

    def _running(self) -> list[str]:
        """The trials that were begun and have not ended."""
        events = list(self._journal.events)
        ended = {event["trial"] for event in events if event["event"] not in ("began", "moved")}
        return [event["trial"] for event in events if event["event"] == "began" and event["trial"] not in ended]

    def _tell(self, number: str, line: str) -> None:
        self._progress(f"trial {number}", 0, 0, line)

    def _num_planned(self) -> int:
        """Trials that the sweep will come to; 0 where nobody knows."""
        sweep = self._loaded.sweep
        most = sweep.budget.trials or 0
        combinations = count_combinations(self._loaded.dimensions) if sweep.tuner.kind == "grid" else None
        return min(most or combinations, combinations) if combinations else most

    def _write_results(self, *, ended: str | None) -> list[dict[str, Any]]:
        rows = rows_of(self._folder, self._loaded, self._journal.events)
        num_redrawn, seconds = (self._oracle.num_redrawn, self._oracle.seconds) if self._oracle else (0, 0.0)
        notes = []
        if num_redrawn:
            notes.append(
                f"{counted(num_redrawn, 'trial')} of an earlier session would be drawn otherwise by the libraries of "
                "today; all count as they were."
            )
        write_results(
            self._folder,
            self._loaded,
            rows,
            seconds=seconds,
            ended=ended,
            workers=len({row["worker"] for row in rows}),
            notes=notes,
        )
        return rows
