"""A sweep's folder: where things lie in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.errors import BundleError
from speechgru.runs import RunFolder

#: The exit code of a trial's process that found another one at its trial.
BUSY = 75


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
        """What came of the trial; None while it runs."""
        return read_json(self.outcome)

    @property
    def is_claimed(self) -> bool:
        """Whether the trial has reached a checkpoint or a score."""
        return RunFolder(self.path).is_claimed or (self.read_outcome() or {}).get("status") == "completed"


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

    def beat(self, worker: str) -> Path:
        """A file that a worker changes every few seconds."""
        return self.workers / f"{worker}.beat"

    @property
    def trials(self) -> Path:
        """The trials' folders."""
        return self.path / "trials"

    def trial(self, number: str) -> TrialFolder:
        """A trial's folder."""
        return TrialFolder(self.trials / number)

    @property
    def is_claimed(self) -> bool:
        """Whether a trial has reached a checkpoint or a score, so that another sweep would lose something."""
        return any(TrialFolder(path).is_claimed for path in self.trials.glob("*"))


def read_json(path: Path) -> Any:
    """A JSON file's value; None where there is no file.

    Raises:
        BundleError: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BundleError(
            f"{path}: is damaged ({error}); a sweep writes it whole, so something else changed it"
        ) from error
