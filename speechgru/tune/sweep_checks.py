"""Whether a sweep can be carried out: keys, conditions, values and rounds, before anything trains."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechgru.config.strict_yaml import Origins
from speechgru.errors import ConfigError
from speechgru.tune.combinations import count_combinations, first_round_size, sampled_combinations
from speechgru.tune.space import Dimension
from speechgru.tune.sweep import Sweep

#: Keys that say what is scored and how: trials that differ in them cannot be compared.
_FIXED = {
    "data.dev": "all trials are scored on one evaluation set",
    "train.seed": "a seed is luck, and no hyperparameter; `repeats` trains each trial with several",
    "text.normalization": "it changes the references that trials are scored on",
    "text.lowercase": "it changes the references that trials are scored on",
    "text.remove_punctuation": "it changes the references that trials are scored on",
    "text.keep_punctuation": "it changes the references that trials are scored on",
}
#: A key of which a value was refused so often, each time by name, has one that goes with no others: each refusal takes
#: some hundredths of a second.
_HOPELESS = 40


def check_keys(sweep: Sweep, origins: Origins, *, path: Path, overrides: Sequence[str]) -> None:
    """Refuses keys that cannot be searched, or that something else sets, and conditions that can never hold.

    Args:
        sweep: what the file says.
        origins: where its keys stand.
        path: the file.
        overrides: `section.key=value` for every trial.

    Raises:
        ConfigError: names the key and its place.
    """
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


def check_values(
    dimensions: Mapping[str, Dimension], configure: Callable[[Mapping[str, Any]], Any], origins: Origins, *, path: Path
) -> None:
    """Whether every value that the space names stands in some configuration.

    Args:
        dimensions: the space, each key after those of its conditions.
        configure: makes a trial's configuration of its values, or raises `ConfigError`.
        origins: where the file's keys stand.
        path: the file.

    Raises:
        ConfigError: names each value that stands in none, its place and a reason.
    """
    waiting = {(key, json.dumps(value)) for key, d in dimensions.items() for value in d.extremes()}
    reasons: dict[tuple[str, str], str] = {}
    refusals = Counter[str]()
    for values in sampled_combinations(dimensions):
        shown = [(key, json.dumps(value)) for key, value in values.items()]
        if not waiting.intersection(shown):
            continue
        try:
            configure(values)
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
        where = origins.get(("space", key), str(path))
        reason = reasons.get((key, text), "its conditions never hold together").replace("\n", "; ")
        messages.append(f"{where}: {key} can never be {text}: {reason}")
    raise ConfigError("\n".join(messages))


def check_rounds(sweep: Sweep, dimensions: Mapping[str, Dimension], *, path: Path) -> None:
    """Refuses hyperband in a space that does not fill its first round, of which it then drops and promotes none.

    Raises:
        ConfigError: it does not.
    """
    epochs = sweep.budget.epochs
    if sweep.tuner.kind != "hyperband" or epochs is None:
        return
    size, combinations = first_round_size(epochs, sweep.tuner.factor), count_combinations(dimensions)
    if combinations is not None and combinations < size:
        raise ConfigError(
            f"{path}: hyperband begins with {size} trials (budget.epochs {epochs:g}, tuner.factor "
            f"{sweep.tuner.factor}), and the space has {combinations} combinations; use tuner: grid, lower "
            "budget.epochs, or search more values"
        )
