"""What charts and tables show of a sweep's trials: their objective, their hyperparameters, and which can be drawn."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from speechgru.report import html
from speechgru.report.page import Record


@dataclass(frozen=True)
class Objective:
    """What a sweep minimises, and how its values are written.

    Args:
        metric: "wer" or "cer", fractions shown as percentages, or "loss".
    """

    metric: str

    @property
    def name(self) -> str:
        return "loss" if self.metric == "loss" else self.metric.upper()

    def describe(self, value: Any) -> str:
        """A value in words; missing gives an en dash."""
        return number(value) if self.metric == "loss" else html.percent(value)

    def tick(self, value: float) -> str:
        """A round value at an axis."""
        return html.short(value) if self.metric == "loss" else html.share_tick(value)


@dataclass(frozen=True)
class Dot:
    """A completed trial whose objective is a finite number.

    Args:
        trial: its record.
        place: its place in the order of trials.
        value: its objective.
        is_over: whether it breaks a limit.
        is_best: whether it is the best within the limits.
    """

    trial: Record
    place: int
    value: float
    is_over: bool
    is_best: bool

    @property
    def name(self) -> str:
        return str(self.trial["trial"])


def number(value: Any) -> str:
    """A number to four digits; missing gives an en dash."""
    return f"{value:.4g}" if html.is_number(value) and not math.isnan(value) else html.MISSING


def finite(value: Any) -> float | None:
    """A finite number as it is, anything else as None."""
    return float(value) if html.is_number(value) and math.isfinite(value) else None


def value_text(value: Any) -> str:
    """A hyperparameter's value as YAML has it; a dash would mean that it was not searched."""
    if value is None or isinstance(value, bool) or value == "":
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    return html.plain(value)


def cut(name: str, most: int) -> str:
    """A text of at most `most` letters, the last an ellipsis where some are missing."""
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"


def places_of(trials: Sequence[Record]) -> list[int]:
    """The numbers that the trials are named by; without such names 1, 2, 3 and so on."""
    names = [str(trial["trial"]) for trial in trials]
    return list(map(int, names)) if all(map(str.isdecimal, names)) else list(range(1, len(names) + 1))


def dots_of(trials: Sequence[Record], *, best: str | None, objective: Objective) -> list[Dot]:
    """The trials that can be drawn, in their order; `best` names the best, which one over a limit never is."""
    dots = []
    for place, trial in zip(places_of(trials), trials, strict=True):
        value = finite(trial.get(objective.metric))
        if trial["status"] == "completed" and value is not None:
            is_over = trial.get("within_limits") is False
            dots.append(Dot(trial, place, value, is_over, not is_over and trial["trial"] == best))
    return dots


def spread_of(trial: Record) -> tuple[float, float] | None:
    """The lowest and the highest objective of a trial that trained several times; None of another."""
    values = [value for value in map(finite, trial.get("repeats") or ()) if value is not None]
    return (min(values), max(values)) if len(values) > 1 else None
