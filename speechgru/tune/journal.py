"""The journal: every trial that began or ended, one line each, written before anybody acts on it.

A search is a function of its seed and of what happened to it in which order. So nothing else of it is kept: whoever
resumes a sweep begins the search anew and replays the journal to it. What a damaged line said is also in the trial's
folder: its plan says how it began, its outcome how it ended.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speechgru import jsonlines
from speechgru.errors import BundleError, UserError
from speechgru.files import atomic_path
from speechgru.tune.folder import SweepFolder, require_trial, require_worker
from speechgru.visible import counted

#: The worker of a trial of which the journal does not know one any more.
_UNKNOWN = "unknown"
#: What a number of seconds or a score stays below.
_MOST = 1e15


class Journal:
    """An append-only file of events.

    Damaged lines are restored from the folders of the trials, at their place, and the file as it was is set aside.

    Args:
        path: the file, in the sweep's folder; made with the first event. A last line that a crash cut short goes with
            the next event.

    Raises:
        BundleError: it is no file, or a trial began that neither the file nor its own folder knows.
        UserError: the file cannot be written.
    """

    def __init__(self, path: Path):
        self._path = path
        if path.exists() and not path.is_file():
            raise BundleError(f"{path}: not a file (a folder, a pipe or a device); remove it, and the sweep is resumed")
        lines = list(jsonlines.read_lines(path))
        found = [_event_of(line.record) for line in lines]
        restored = _Restoration(SweepFolder(path.parent), found)
        self.events: list[dict[str, Any]] = restored.events
        #: What was mended, for a person; empty where nothing was.
        self.note = ""
        if self.events != [line.record for line in lines]:
            num_damaged = restored.num_doubled + sum(
                event is not line.record or event is None for event, line in zip(found, lines, strict=True)
            )
            what = f"{counted(num_damaged, 'line is', 'lines are')} damaged" if path.exists() else "is gone"
            events = counted(restored.num_restored, "event was", "events were")
            self.note = f"{what}; {events} restored from the trials' folders"
            if path.exists():
                with atomic_path(self.damaged) as temporary:
                    shutil.copyfile(path, temporary)
                self.note += f", and the file as it was is {self.damaged.name}"
            jsonlines.write_lines(path, self.events)

    @property
    def damaged(self) -> Path:
        """The file as it was before its damaged lines were restored."""
        return self._path.with_name(f"{self._path.stem}_damaged{self._path.suffix}")

    def append(self, event: dict[str, Any]) -> None:
        """Adds an event; it is on the disk when this returns.

        Raises:
            UserError: the disk is full or the file cannot be written.
        """
        jsonlines.append(self._path, event, durable=True)
        self.events.append(event)


def _event_of(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """A line's event; None where it is none, and another one where only the worker's name is none."""
    if record is None or not _is_event(record):
        return None
    if record["event"] == "ended" or _holds(require_worker, record.get("worker")):
        return record
    return {**record, "worker": _UNKNOWN}


def _is_event(record: dict[str, Any]) -> bool:
    number, kind = record.get("trial"), record.get("event")
    if not isinstance(number, str) or not _holds(require_trial, number) or not _is_number(record.get("seconds")):
        return False
    if number != f"{int(number):04d}":
        return False
    if kind == "began":
        return isinstance(record.get("values"), dict) and isinstance(record.get("raw"), dict | None)
    if kind == "ended":
        score, status = record.get("score"), record.get("status")
        return _is_number(score) if status == "completed" else status in ("failed", "refused") and score is None
    return kind == "moved"


def _holds(require: Callable[[object], str], value: object) -> bool:
    try:
        require(value)
    except UserError:
        return False
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST


class _Restoration:
    """The events of a journal with those that its damaged lines have lost.

    Args:
        sweep: the sweep's folder.
        found: the lines' events; None for a damaged line.

    Raises:
        BundleError: a trial's plan or outcome is needed and is missing or damaged.
    """

    def __init__(self, sweep: SweepFolder, found: list[dict[str, Any] | None]):
        self._sweep = sweep
        self.events: list[dict[str, Any]] = []
        self.num_restored, self.num_doubled = 0, 0
        self._seconds, self._ended = 0.0, set[str]()
        self._num_begun = 0
        kinds = ({event["trial"] for event in found if event and event["event"] == kind} for kind in ("began", "ended"))
        self._will_begin, self._will_end = kinds
        for event in found:
            if event is None:
                self._restore_ends()
                if self._next not in self._will_begin and self._is_worth(self._next):
                    self._restore_beginning()
            else:
                self._add_found(event)
        if None in found or not found:
            self._restore_ends()
            while self._is_worth(self._next):  # lines that ran into each other, or a file that is gone
                self._restore_beginning()
                self._restore_ends()

    @property
    def _next(self) -> str:
        """The number of the trial that begins next."""
        return f"{self._num_begun:04d}"

    def _is_worth(self, number: str) -> bool:
        """Whether a trial has come to anything, which another one in its place would lose."""
        trial = self._sweep.trial(number)
        return trial.plan.exists() and (trial.outcome.exists() or trial.is_claimed)

    def _add_found(self, event: dict[str, Any]) -> None:
        number = event["trial"]
        if event["event"] == "began":
            while self._num_begun < int(number):
                self._restore_beginning()
            is_new = self._num_begun == int(number)
        else:
            while self._num_begun <= int(number):
                self._restore_beginning()
            is_new = number not in self._ended
        if is_new:
            self._add(event)
        else:
            self.num_doubled += 1

    def _add(self, event: dict[str, Any]) -> None:
        self._num_begun += event["event"] == "began"
        if event["event"] == "ended":
            self._ended.add(event["trial"])
        self._seconds = event["seconds"]
        self.events.append(event)

    def _restore(self, event: dict[str, Any]) -> None:
        self.num_restored += 1
        self._add({**event, "seconds": self._seconds, "restored": True})

    def _restore_beginning(self) -> None:
        number = self._next
        plan = self._sweep.trial(number).read_plan()
        event = {"event": "began", "trial": number, "worker": _UNKNOWN, "raw": plan.get("raw")}
        self._restore({**event, "values": plan["values"], "epochs": plan.get("stop_after_epochs")})

    def _restore_ends(self) -> None:
        for place in range(self._num_begun):
            number = f"{place:04d}"
            if number in self._ended or number in self._will_end:
                continue
            outcome = self._sweep.trial(number).read_outcome()
            if outcome is not None:
                self._restore(
                    {"event": "ended", "trial": number, "status": outcome["status"], "score": outcome.get("score")}
                )
