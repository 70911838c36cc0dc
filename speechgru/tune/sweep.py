"""What a sweep is: its sections with their keys, and what is wrong with a file that has others."""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from speechgru.config.section import Section
from speechgru.config.sections import Count, NonNegativeInt, Positive
from speechgru.config.strict_yaml import Origins
from speechgru.text import shown
from speechgru.tune.space import Dimension

Metric = Literal["wer", "cer", "loss"]
Cost = Literal["size_mb", "rtf"]


class Tuner(Section):
    """How the next trial is chosen.

    Args:
        kind: `random`; `grid`, every combination once; `bayesian`, by a Gaussian process over the trials so far;
            `hyperband` (Li et al. 2018), which trains many for a few epochs and continues with the best of them.
        initial_points: of `bayesian`: trials drawn evenly before the process is asked; three a key when None.
        factor: of `hyperband`: one in `factor` continues, for `factor` times the epochs.
        iterations: of `hyperband`: how often it goes through all its brackets.
    """

    kind: Literal["random", "grid", "bayesian", "hyperband"] = "random"
    initial_points: Count | None = None
    factor: Annotated[int, pydantic.Field(ge=2, le=10)] = 3
    iterations: Count = 1


class Objective(Section):
    """What is made small, on `data.dev`.

    Args:
        metric: `wer` or `cer`, fractions; or `loss`, CTC's mean over the utterances, in nats, which cannot be compared
            between kinds of labels. Where the exported file is measured, `wer` and `cer` are its own.
        direction: `min`; there to be read.
    """

    metric: Metric = "wer"
    direction: Literal["min"] = "min"


class Limits(Section):
    """What a device allows, measured on the exported TFLite file.

    Args:
        form: which form of it.
        max_size_mb: megabytes of the file, a million bytes each.
        max_rtf: seconds of computing per second of audio, as `speechgru evaluate` measures: one thread of the machine
            that searches, log-mel and greedy decoding included.
        max_latency_ms: from the last sound to its text. Of a model that streams what a step waits for at most, and
            computing it; of one that reads the whole recording first computing the dev set's longest.
        max_parameters: weights; needs no export.
    """

    form: Literal["none", "dynamic", "float16", "int8"] = "dynamic"
    max_size_mb: Positive | None = None
    max_rtf: Positive | None = None
    max_latency_ms: Positive | None = None
    max_parameters: Count | None = None

    @property
    def given(self) -> dict[str, float]:
        """The limits that there are, by name."""
        return {name: value for name, value in self.model_dump().items() if name != "form" and value is not None}


class Budget(Section):
    """When the sweep ends; with `minutes` or a grid, `trials` may be left out.

    Args:
        trials: the most, those that are refused before training not counted.
        epochs: `train.max_epochs` of every trial; of `hyperband` that of the last ones.
        minutes: of the wall clock, all sessions together. No trial begins that would not end in time by the median of
            those before it.
    """

    trials: Count | None = None
    epochs: Positive | None = None
    minutes: Positive | None = None


class Sweep(Section):
    """A sweep as its file says; `load_sweep` makes one.

    Args:
        base: a configuration file, beside the sweep's.
        set: dotted keys that every trial has, with their values.
        space: dotted keys that are searched, with the values that they may have.
        tuner: how; its kind alone will do.
        objective: for what; its metric alone will do.
        limits: what a device allows. Trials that break a limit are never the best.
        front: costs to draw the metric against; each trial is then exported and measured.
        budget: until when.
        repeats: seeds that each trial is trained with, from `train.seed` on; the objective is their mean.
        seed: of the search.
        evaluation: the manifest in place of the base configuration's `data.dev`.
    """

    base: str
    set: dict[str, Any] = {}
    space: dict[str, Dimension]
    tuner: Tuner = Tuner()
    objective: Objective = Objective()
    limits: Limits | None = None
    front: tuple[Cost, ...] = pydantic.Field(default=(), strict=False)
    budget: Budget = Budget()
    repeats: Annotated[int, pydantic.Field(ge=1, le=20)] = 1
    seed: NonNegativeInt = 0
    evaluation: str | None = None

    @pydantic.field_validator("tuner", mode="before")
    @classmethod
    def _kind_alone(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @pydantic.field_validator("objective", mode="before")
    @classmethod
    def _metric_alone(cls, value: Any) -> Any:
        return {"metric": value} if isinstance(value, str) else value

    @pydantic.field_validator("front", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @pydantic.field_validator("space")
    @classmethod
    def _something_to_search(cls, value: dict[str, Dimension]) -> dict[str, Dimension]:
        if not value:
            raise ValueError("is empty; name at least one key, such as model.units: {type: int, min: 32, max: 128}")
        return value

    @pydantic.model_validator(mode="after")
    def _ends(self) -> Sweep:
        kind, budget = self.tuner.kind, self.budget
        if kind == "hyperband" and budget.epochs is None:
            raise ValueError("budget.epochs is missing: hyperband gives its last trials this many epochs, others fewer")
        if kind == "hyperband" and budget.epochs is not None and budget.epochs < self.tuner.factor:
            raise ValueError(
                f"budget.epochs {budget.epochs:g} is below tuner.factor {self.tuner.factor}: hyperband would train "
                f"every trial to its end and drop none; raise budget.epochs, or use tuner: random"
            )
        if kind == "hyperband" and self.repeats > 1:
            raise ValueError("repeats must be 1 with hyperband, which continues with a trial's weights")
        if kind in ("random", "bayesian") and budget.trials is None and budget.minutes is None:
            raise ValueError("budget.trials or budget.minutes is missing: a sweep must end")
        if self.tuner.initial_points is not None and kind != "bayesian":
            raise ValueError(f"tuner.initial_points belongs to bayesian, and the tuner is {kind}")
        if self.limits is not None and not self.limits.given:
            raise ValueError("limits names none; give max_size_mb, max_rtf, max_latency_ms or max_parameters")
        return self

    @property
    def measured_form(self) -> str | None:
        """The TFLite form whose cost each trial is measured in; None where nothing asks for it."""
        costs = {"max_size_mb", "max_rtf", "max_latency_ms"}
        if self.front or (self.limits is not None and costs & set(self.limits.given)):
            return (self.limits or Limits()).form
        return None


def describe_problem(problem: Any, origins: Origins, path: Path) -> str:
    """A line about what pydantic found wrong in a sweep file, with the key's place and, of an unknown one, its like."""
    location = tuple(str(part) for part in problem["loc"])
    where = next((origins[location[:n]] for n in range(len(location), 0, -1) if location[:n] in origins), str(path))
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        section: dict[str, Any] = {
            "space": Dimension,
            "tuner": Tuner,
            "objective": Objective,
            "limits": Limits,
            "budget": Budget,
        }
        known = list((section[location[0]] if len(location) > 1 else Sweep).model_fields)
        near = difflib.get_close_matches(location[-1], known, n=1)
        advice = f"did you mean {near[0]}?" if near else f"the known ones are {', '.join(known)}"
        return f"{where}: unknown key {key}; {advice}"
    if problem["type"] == "missing":
        return f"{where}: {key} is missing"
    if problem["type"] == "value_error":
        return f"{where}: {f'{key}: ' if key else ''}{problem['ctx']['error']}"
    message = problem["msg"][0].lower() + problem["msg"][1:]
    value = problem["input"]
    given = "nothing" if value is None or (isinstance(value, float) and math.isnan(value)) else shown(value)
    return f"{where}: {key}: {message.removeprefix('input ')}, got {given}"
