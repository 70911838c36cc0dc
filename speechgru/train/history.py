"""A run's history as its page asks for it: whatever is there, of a run that still trains, was killed or has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru import jsonlines
from speechgru.report.html import is_number

Record = Mapping[str, Any]

#: Why training ends.
_ENDS = {
    "max_steps": "all steps are done",
    "patience": "the dev set had not improved for long enough (patience)",
    "max_epochs": "all passes over the corpus are done",
    "callback": "a callback asked for it",
    "max_minutes": "its time was up (max_minutes)",
    "stop_after": "it was asked to stop there (stop_after)",
    "interrupted": "it was interrupted",
}
_NO_END = "no end is recorded: it still trains, or was killed"


@dataclass(frozen=True)
class Course:
    """What all charts of one training mark.

    Args:
        last_step: where the axis of steps ends; None ends each chart's at its own last point.
        resumed: steps at which another process resumed the training; upright dashed lines.
        dropped: steps whose batch was dropped; ticks on the axis.
        best_step: the best evaluation's step; a ring around its point on the first line of dev values.
    """

    last_step: float | None = None
    resumed: Sequence[float] = ()
    dropped: Sequence[float] = ()
    best_step: float | None = None


@dataclass(frozen=True)
class History:
    """The records of a run; what a record lacks, or has in another form, is as if it were not there.

    Args:
        records: in the file's order, each with `kind` and `step`.
    """

    records: Sequence[Record]

    def of_kind(self, kind: str) -> list[Record]:
        """The records of one kind."""
        return [record for record in self.records if record.get("kind") == kind]

    def values(self, key: str) -> list[float]:
        """The finite values of the training records by that name."""
        return [value for _, value in points_of(self.records, kind="train", key=key)]

    def last(self, key: str) -> Any:
        """The last finite number of any record by that name; None where there is none."""
        return next((record[key] for record in reversed(self.records) if is_finite(record.get(key))), None)

    @property
    def last_step(self) -> float:
        """The highest step of all records; 0 where there is none."""
        return max((record["step"] for record in self.records if is_finite(record.get("step"))), default=0)

    @property
    def best(self) -> Record | None:
        """The evaluation whose weights are kept: the last that was the best so far."""
        scored = [
            record for record in self.of_kind("dev") if all(is_finite(record.get(key)) for key in ("step", "wer"))
        ]
        marked = [record for record in scored if record.get("best") is True]
        # Histories without the mark: of equals the later one was kept.
        return marked[-1] if marked else min(scored, key=lambda record: (record["wer"], -record["step"]), default=None)

    @property
    def resumptions(self) -> list[Record]:
        """The records of processes that went on where another had been."""
        return [record for record in self.of_kind("session") if record.get("resumed") is True]

    @property
    def course(self) -> Course:
        """What all charts mark."""

        def steps(records: Sequence[Record]) -> list[float]:
            return [record["step"] for record in records if is_finite(record.get("step"))]

        return Course(
            last_step=self.last_step,
            resumed=[step for step in steps(self.resumptions) if step > 0],
            dropped=steps(self.of_kind("dropped")),
            best_step=None if self.best is None else self.best["step"],
        )

    @property
    def notes(self) -> list[str]:
        """What the sessions had to say of the corpus and of the run's settings, each once."""
        said = [record.get("notes") for record in self.of_kind("session")]
        return list(dict.fromkeys(str(note) for notes in said if isinstance(notes, list) for note in notes))

    def unlearnt(self) -> dict[tuple[str, str], list[str]]:
        """The utterances that were met and not learnt from: by name and reason, at which steps and what was amiss."""
        met: dict[tuple[str, str], list[str]] = {}
        for record in self.records:
            if record.get("kind") == "infeasible":
                why, aside = "too few steps for its text", ""
            elif record.get("kind") == "dropped":
                value = f" {record['value']:.3g}" if is_number(record.get("value")) else ""
                why, aside = "in a dropped batch", f" ({record.get('reason') or 'reason unknown'}{value})"
            else:
                continue
            step = f"{record['step']:,}" if is_finite(record.get("step")) else "?"
            for name in utterances_of(record):
                met.setdefault((name, why), []).append(step + aside)
        return met

    def end(self, *, max_steps: Any) -> str:
        """Why training ended, in words, or that it did not.

        Args:
            max_steps: how many steps the configuration asks for; no number where it asks for none.
        """
        ends = [place for place, record in enumerate(self.records) if record.get("kind") == "end"]
        went_on = ends and any(record.get("kind") in ("session", "train") for record in self.records[ends[-1] :])
        if ends and not went_on:
            reason = str(self.records[ends[-1]].get("reason") or "")
            return _ENDS.get(reason, reason) or "ended"
        if is_number(max_steps) and self.last_step >= max_steps:
            return _ENDS["max_steps"]
        return _NO_END if self.records else "no step is done yet"


def points_of(records: Sequence[Record], *, kind: str, key: str) -> list[tuple[float, float]]:
    """The steps and values of one kind of record; records without a finite value have no point."""
    return [
        (float(record["step"]), float(record[key]))
        for record in records
        if record.get("kind") == kind and is_finite(record.get("step")) and is_finite(record.get(key))
    ]


def is_finite(value: Any) -> bool:
    """Whether a value is a finite number."""
    return is_number(value) and math.isfinite(value)


def utterances_of(record: Record) -> list[str]:
    """The utterances that a record names."""
    names = record.get("utterances")
    return [str(name) for name in names] if isinstance(names, list) else []


def read_lines(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of a JSON Lines file, none where it is missing, and the numbers of its damaged lines.

    Raises:
        OSError: it exists and cannot be read.
    """
    lines = list(jsonlines.read_lines(path))
    records = [line.record for line in lines if line.record is not None]
    return records, [str(line.number) for line in lines if line.record is None]
