"""The sweep file: what is searched, how, for what, and how long; read strictly, before anything trains."""

from __future__ import annotations

import difflib
import json
import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic

from speechgru.config.load import find_paths, load_config
from speechgru.config.resuming import with_keys
from speechgru.config.sections import Count, NonNegativeInt, Positive, RunConfig
from speechgru.config.strict_yaml import Origins, read_yaml
from speechgru.errors import ConfigError
from speechgru.packaged import CONFIGS, own_file
from speechgru.text import shown
from speechgru.tune.space import Dimension

Metric = Literal["wer", "cer", "loss"]
Cost = Literal["size_mb", "rtf"]

#: Keys that say what is scored and how: trials that differ in them cannot be compared.
_FIXED = {
    "data.dev": "all trials are scored on one evaluation set",
    "train.seed": "a seed is luck, and no hyperparameter; `repeats` trains each trial with several",
    "text.normalization": "it changes the references that trials are scored on",
    "text.lowercase": "it changes the references that trials are scored on",
    "text.remove_punctuation": "it changes the references that trials are scored on",
    "text.keep_punctuation": "it changes the references that trials are scored on",
}
#: Combinations drawn to see whether every value fits some others.
_DRAWS = 400
#: A key of which a value was refused so often, each time by name, has one that goes with no others: each refusal takes
#: some hundredths of a second.
_HOPELESS = 40
#: Combinations of a grid that are looked at one by one.
_MOST_LISTED = 20_000


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


class Tuner(_Section):
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


class Objective(_Section):
    """What is made small, on `data.dev`.

    Args:
        metric: `wer` or `cer`, fractions; or `loss`, CTC's mean over the utterances, in nats, which cannot be compared
            between kinds of labels. Where the exported file is measured, `wer` and `cer` are its own.
        direction: `min`; there to be read.
    """

    metric: Metric = "wer"
    direction: Literal["min"] = "min"


class Limits(_Section):
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


class Budget(_Section):
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


class Sweep(_Section):
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


class LoadedSweep:
    """A sweep and the configuration that its trials begin from; `dimensions` has each key after those it depends on.

    Args:
        sweep: what the file says.
        path: the file, for messages.
        base: path of the base configuration.
        overrides: `section.key=value` that hold in every trial, the file's own `set` first.
        name: what the sweep is called.
    """

    def __init__(self, sweep: Sweep, *, path: Path, base: Path, overrides: Sequence[str], name: str):
        self.sweep, self.path, self.name = sweep, path, name
        self._base, self._overrides = base, list(overrides)
        self.dimensions = _in_order(sweep.space)

    def configure(self, values: Mapping[str, Any]) -> RunConfig:
        """The configuration of a trial.

        Args:
            values: what the search chose, by dotted key.

        Raises:
            ConfigError: the values do not go together.
        """
        chosen = [f"{key}={json.dumps(value)}" for key, value in _found(values, self.path.parent).items()]
        config = load_config(self._base, [*self._overrides, *chosen])
        # A trial keeps the weights that the search is for, so that its score is theirs.
        is_for_characters = self.sweep.objective.metric == "cer" and config.train.monitor == "auto"
        return with_keys(config, {"train.monitor": "cer"}) if is_for_characters else config

    def definition(self) -> dict[str, Any]:
        """All that a sweep which is resumed must have in common with the one that began; JSON-ready."""
        record = self.sweep.model_dump(mode="json", exclude={"base", "set", "budget"})
        record["epochs"] = self.sweep.budget.epochs
        record["configuration"] = load_config(self._base, self._overrides).model_dump(mode="json")
        return record


def dev_manifest(config: RunConfig) -> str:
    """The manifest that trials are scored on.

    Raises:
        ConfigError: the configuration names none.
    """
    if config.data.dev is None:
        raise ConfigError("data.dev names no manifest, and a sweep needs one to score its trials on")
    return config.data.dev


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> LoadedSweep:
    """Reads a sweep file and makes sure that it can be carried out.

    Args:
        path: the file, or the name of one that comes with the package. Its base configuration and manifests are
            relative to it; see `load_config`.
        overrides: `section.key=value` for every trial, after the file's own.

    Raises:
        ConfigError: names the file, the line and the key: an unknown key, a range that is empty or that no
            configuration can have, a condition on something that is not searched, no end.
    """
    path = Path(path)
    path = own_file(str(path), CONFIGS) or path
    document, origins = read_yaml(path, missing="no such sweep file; start from configs/sweep_*.yaml")
    try:
        sweep = Sweep.model_validate(document)
    except pydantic.ValidationError as error:
        messages = [_describe(problem, origins, path) for problem in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(messages))) from error
    base = path.parent / sweep.base
    if not base.is_file():
        raise ConfigError(f"{origins[('base',)]}: base: no such configuration file: {base}; name one beside the sweep")
    own = dict(sweep.set) | ({} if sweep.evaluation is None else {"data.dev": sweep.evaluation})
    fixed = [f"{key}={json.dumps(value)}" for key, value in _found(own, path.parent).items()]
    if sweep.budget.epochs is not None:
        fixed.append(f"train.max_epochs={json.dumps(sweep.budget.epochs)}")
    loaded = LoadedSweep(sweep, path=path, base=base, overrides=[*fixed, *overrides], name=path.stem)
    config = loaded.configure({})
    try:
        dev_manifest(config)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not config.data.train:
        raise ConfigError(f"{path}: data.train names no manifest; set it in {base} or give data.train=PATH")
    given = {override.partition("=")[0].strip(): override for override in overrides}
    for key, dimension in sweep.space.items():
        where = origins.get(("space", key), str(path))
        if key in _FIXED:
            raise ConfigError(f"{where}: {key} cannot be searched: {_FIXED[key]}")
        if key in sweep.set or key in given:
            also = f"override {given[key]!r}" if key in given else origins.get(("set", key), "`set`")
            raise ConfigError(f"{where}: {key} is searched, and {also} sets it; keep one")
        if key == "train.max_epochs" and sweep.budget.epochs is not None:
            raise ConfigError(f"{where}: {key} is searched, and budget.epochs sets it; keep one")
        if sweep.tuner.kind == "grid" and not dimension.is_listed:
            raise ConfigError(f"{where}: {key}: a grid needs a step, or type: choice; got a range without one")
        _check_conditions(key, dimension, sweep.space, where)
    _check_values(loaded, origins)
    _check_rounds(loaded)
    return loaded


def _check_rounds(loaded: LoadedSweep) -> None:
    """Refuses hyperband in a space that does not fill its first round, of which it then drops and promotes none."""
    sweep, epochs = loaded.sweep, loaded.sweep.budget.epochs
    if sweep.tuner.kind != "hyperband" or epochs is None:
        return
    size, combinations = first_round_size(epochs, sweep.tuner.factor), count_combinations(loaded.dimensions)
    if combinations is not None and combinations < size:
        raise ConfigError(
            f"{loaded.path}: hyperband begins with {size} trials (budget.epochs {epochs:g}, tuner.factor "
            f"{sweep.tuner.factor}), and the space has {combinations} combinations; use tuner: grid, lower "
            "budget.epochs, or search more values"
        )


def first_round_size(epochs: float, factor: int) -> int:
    """The trials that hyperband begins its largest bracket with.

    >>> first_round_size(9, 3)
    9
    """
    num_brackets = 1
    while epochs / factor**num_brackets >= 1:
        num_brackets += 1
    last_round = math.ceil(1 + math.log(epochs, factor)) / num_brackets
    return math.ceil(last_round * factor ** (num_brackets - 1))


def _found(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Values by dotted key, whose paths are relative to the sweep file's folder, with absolute ones."""
    found = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        document = {section: {name: value}}
        find_paths(document, folder)
        found[key] = document[section][name]
    return found


def _check_conditions(key: str, dimension: Dimension, space: Mapping[str, Dimension], where: str) -> None:
    for parent, wanted in (dimension.when or {}).items():
        if parent not in space or parent == key:
            raise ConfigError(f"{where}: {key}: when names {parent}, which is not searched; name a key of the space")
        if not space[parent].is_listed:
            raise ConfigError(f"{where}: {key}: when names {parent}, a range; a condition needs a choice or a boolean")
        possible = space[parent].listed()
        for value in wanted:
            if value not in possible:
                raise ConfigError(
                    f"{where}: {key}: when waits for {parent} to be {value!r}, which it never is; it is one of "
                    f"{', '.join(map(repr, possible))}"
                )


def _check_values(loaded: LoadedSweep, origins: Origins) -> None:
    """Whether every value that the space names stands in some configuration."""
    waiting = {(key, json.dumps(value)) for key, d in loaded.dimensions.items() for value in d.extremes()}
    reasons: dict[tuple[str, str], str] = {}
    refusals = Counter[str]()
    for values in _combinations(loaded):
        shown = [(key, json.dumps(value)) for key, value in values.items()]
        if not waiting.intersection(shown):
            continue
        try:
            loaded.configure(values)
        except ConfigError as error:
            for value in waiting.intersection(shown):
                # The reason that names the key is the one to show.
                if value not in reasons or value[0] in str(error):
                    reasons[value] = str(error)
                refusals[value[0]] += value[0] in str(error)
            hopeless = {key for key, count in refusals.items() if count >= _HOPELESS}
            refused = {value for value in waiting & reasons.keys() if value[0] in hopeless}
            if refused:  # the others are refused with it, and may be right
                waiting = refused
                break
            continue
        waiting.difference_update(shown)
        if not waiting:
            return
    messages = []
    for key, text in sorted(waiting):
        where = origins.get(("space", key), str(loaded.path))
        reason = reasons.get((key, text), "its conditions never hold together").replace("\n", "; ")
        messages.append(f"{where}: {key} can never be {text}: {reason}")
    raise ConfigError("\n".join(messages))


def _combinations(loaded: LoadedSweep) -> list[dict[str, Any]]:
    """Combinations that show every extreme value with many others."""
    generator = random.Random(0)
    combinations = []
    for key, dimension in loaded.dimensions.items():
        for value in dimension.extremes():
            combinations += [_draw(loaded.dimensions, generator, {key: value}) for _ in range(20)]
    return combinations + [_draw(loaded.dimensions, generator, {}) for _ in range(_DRAWS)]


def _draw(dimensions: Mapping[str, Dimension], generator: random.Random, given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    wanted = dict(given)
    for key in list(given):  # what must hold for it to be there at all
        for parent, allowed in (dimensions[key].when or {}).items():
            wanted[parent] = generator.choice(allowed)
    for key, dimension in dimensions.items():
        if dimension.is_active(values):
            values[key] = wanted[key] if key in wanted else generator.choice(dimension.extremes())
    return values


def count_combinations(dimensions: Mapping[str, Dimension]) -> int | None:
    """How many combinations a space has whose values are all listed; None where there are ranges or very many."""
    if not all(dimension.is_listed for dimension in dimensions.values()):
        return None
    combinations: list[dict[str, Any]] = [{}]
    for key, dimension in dimensions.items():
        combinations = [
            {**values, **more}
            for values in combinations
            for more in ([{key: value} for value in dimension.listed()] if dimension.is_active(values) else [{}])
        ]
        if len(combinations) > _MOST_LISTED:
            return None
    return len(combinations)


def _in_order(space: Mapping[str, Dimension]) -> dict[str, Dimension]:
    """The space with every key after those of its conditions.

    Raises:
        ConfigError: conditions wait for each other.
    """
    ordered: dict[str, Dimension] = {}
    left = dict(space)
    while left:
        ready = [key for key, d in left.items() if not set(d.when or {}) & set(left)]
        if not ready:
            raise ConfigError(f"the conditions of {', '.join(left)} wait for each other; take one away")
        for key in ready:
            ordered[key] = left.pop(key)
    return ordered


def _describe(problem: Any, origins: Origins, path: Path) -> str:
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
