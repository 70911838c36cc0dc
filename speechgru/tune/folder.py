"""A sweep's folder: where things lie in it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.errors import BundleError, UserError
from speechgru.files import read_file
from speechgru.runs import RunFolder

#: The exit code of a trial's process that found another one at its trial.
BUSY = 75
#: The exit code of a trial's process that could not write or read its files any more.
DISK_FAILED = 74

#: Names from other machines become names of files: no path, nothing hidden, nothing that a terminal obeys.
_WORKER = re.compile(r"(?!\.)[\w.-]{1,150}")
_TRIAL = re.compile(r"[0-9]{4,9}")
#: Bytes of a JSON file of a sweep at most; a trial's plan has a few thousand.
_MOST_BYTES = 1 << 24
#: No number of an outcome reaches it.
_MOST = 1e15


@dataclass(frozen=True)
class TrialFolder:
    """A trial's run folder, and what the sweep keeps in it beside the run's own files.

    Args:
        path: the folder, named by the trial's number.
    """

    path: Path

    @property
    def name(self) -> str:
        """The trial's number, four digits."""
        return self.path.name

    @property
    def sweep(self) -> SweepFolder:
        """The sweep's folder, which it lies in."""
        return SweepFolder(self.path.parent.parent)

    @property
    def plan(self) -> Path:
        """JSON: what the trial is to do: values, configuration, repeats, what to measure."""
        return self.path / "trial.json"

    @property
    def outcome(self) -> Path:
        """JSON: what came of it; there once the trial has ended, and not before."""
        return self.path / "outcome.json"

    @property
    def deaths(self) -> Path:
        """JSON: how often the trial's process ended without an outcome, and where it stood."""
        return self.path / "deaths.json"

    @property
    def log(self) -> Path:
        """What the trial's processes printed."""
        return self.path / "log.txt"

    @property
    def lock(self) -> Path:
        """Locked by the process that runs the trial."""
        return self.path / ".trial.lock"

    @property
    def bundle(self) -> Path:
        """The exported model, where its cost was measured."""
        return self.path / "bundle"

    def repeat(self, number: int) -> Path:
        """The run folder of a repeat: the first is the trial's folder itself."""
        return self.path if number == 0 else self.path / "repeats" / str(number)

    def read_outcome(self) -> dict[str, Any] | None:
        """What came of the trial; None while it runs.

        Raises:
            BundleError: the file is damaged.
        """
        outcome = read_json(self.outcome)
        if outcome is not None:
            try:
                _require_outcome(outcome)
            except ValueError as error:
                raise BundleError(
                    f"{self.outcome}: is damaged ({error}); remove it, and the trial continues from its checkpoint"
                ) from error
        return outcome

    def read_plan(self) -> dict[str, Any]:
        """What the trial is to do.

        Raises:
            BundleError: the file is missing or damaged.
        """
        plan = read_json(self.plan)
        if not isinstance(plan, dict) or not isinstance(plan.get("values"), dict):
            raise BundleError(f"{self.plan}: is missing or damaged; put it back, or give another --run")
        return plan

    @property
    def is_claimed(self) -> bool:
        """Whether the trial has reached a checkpoint or a score."""
        outcome = read_json(self.outcome)
        is_completed = isinstance(outcome, dict) and outcome.get("status") == "completed"
        return RunFolder(self.path).is_claimed or is_completed


@dataclass(frozen=True)
class SweepFolder:
    """A sweep's files by name.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def definition(self) -> Path:
        """JSON: the sweep as it was given, resolved; a sweep that is resumed must be the same."""
        return self.path / "sweep.json"

    @property
    def journal(self) -> Path:
        """JSON Lines: every trial that began or ended, in order; the search is rebuilt from it."""
        return self.path / "journal.jsonl"

    @property
    def status(self) -> Path:
        """JSON: why the sweep ended, or that it runs; workers of other machines look there."""
        return self.path / "status.json"

    @property
    def best(self) -> Path:
        """The best trial's configuration, for `speechgru train`."""
        return self.path / "best.yaml"

    @property
    def table(self) -> Path:
        """All trials, one a line."""
        return self.path / "trials.csv"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report" / "sweep.html"

    @property
    def measuring(self) -> Path:
        """Locked while a trial's cost is measured: two at once would slow each other."""
        return self.path / ".measuring"

    @property
    def workers(self) -> Path:
        """The workers' signs of life and logs."""
        return self.path / "workers"

    @property
    def token(self) -> Path:
        """What workers show at the sweep's port; for its owner's eyes alone."""
        return self.path / "token"

    def beat(self, worker: str) -> Path:
        """A file that a worker changes every few seconds.

        Raises:
            UserError: the name is none of a worker.
        """
        return self.workers / f"{require_worker(worker)}.beat"

    @property
    def trials(self) -> Path:
        """The trials' folders."""
        return self.path / "trials"

    def trial(self, number: str) -> TrialFolder:
        """A trial's folder.

        Raises:
            UserError: it is no trial's number.
        """
        return TrialFolder(self.trials / require_trial(number))

    @property
    def is_claimed(self) -> bool:
        """Whether a trial has reached a checkpoint or a score, so that another sweep would lose something."""
        return any(trial.is_claimed for trial in self.list_trials())

    def list_trials(self) -> list[TrialFolder]:
        """The folders of trials that are there; what else lies beside them is somebody else's."""
        return [TrialFolder(path) for path in sorted(self.trials.glob("*")) if _TRIAL.fullmatch(path.name)]


def require_worker(name: object) -> str:
    """The name of a worker, once it is known to be one.

    Raises:
        UserError: it is no text, or has other characters than letters, digits and the marks - _ . in it.

    >>> require_worker("host-0")
    'host-0'
    >>> require_worker("../host-0")
    Traceback (most recent call last):
    speechgru.errors.UserError: a worker's name has letters, digits and the marks - _ . alone, got '../host-0'
    """
    if not isinstance(name, str) or not _WORKER.fullmatch(name):
        raise UserError(f"a worker's name has letters, digits and the marks - _ . alone, got {name!a:.80}")
    return name


def require_trial(number: object) -> str:
    """The number of a trial, once it is known to be one.

    Raises:
        UserError: it is not a text of four digits or more.

    >>> require_trial("0003")
    '0003'
    """
    if not isinstance(number, str) or not _TRIAL.fullmatch(number):
        raise UserError(f"a trial's number is a text of four digits or more, got {number!a:.80}")
    return number


def read_json(path: Path) -> Any:
    """A JSON file's value; None where there is no file.

    Raises:
        BundleError: it is damaged.
    """
    try:
        return json.loads(read_file(path, most=_MOST_BYTES).decode("utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); a sweep writes a small file there") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{path}: is damaged ({error}); a sweep writes it whole, so something else changed it"
        ) from error


#: What the outcome of a completed trial holds, besides a score; without those in brackets where nothing was measured.
_NUMBERS = ("wer", "cer", "parameters", "training_seconds", "measuring_seconds")
_MEASURED = ("loss", "trained_wer", "size_mb", "rtf", "latency_ms", "steps")


def _require_outcome(outcome: object) -> None:
    """Whether a trial's outcome, which may have been written by another machine, has what the sweep reads.

    Raises:
        ValueError: it does not; says what.
    """
    if not isinstance(outcome, Mapping):
        raise ValueError(f"expected an object, got {type(outcome).__name__}")
    status, reason = outcome.get("status"), outcome.get("reason")
    if status not in ("completed", "failed", "refused"):
        raise ValueError(f"status is completed, failed or refused, got {status!a:.40}")
    if not isinstance(reason, str | None):
        raise ValueError(f"reason is a text, got {reason!a:.40}")
    if status != "completed":
        return
    for key in ("score", *_NUMBERS):
        _require_number(key, outcome.get(key))
    for key in _MEASURED:
        if outcome.get(key) is not None:
            _require_number(key, outcome[key])
    repeats, broken = outcome.get("repeats"), outcome.get("broken_limits")
    if not isinstance(repeats, list) or not isinstance(broken, dict):
        raise ValueError("repeats is a list, and broken_limits an object")
    for key, value in (*(("repeats", value) for value in repeats), *broken.items()):
        _require_number(key, value)


def _require_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST:
        raise ValueError(f"{name} is a number from 0, got {value!a:.40}")
