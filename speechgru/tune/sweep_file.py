"""The sweep file: what is searched, how, for what, and how long; read strictly, before anything trains."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic

from speechgru.config.load import find_paths, load_config
from speechgru.config.resuming import with_keys
from speechgru.config.sections import RunConfig
from speechgru.config.strict_yaml import read_yaml
from speechgru.errors import ConfigError
from speechgru.packaged import CONFIGS, own_file
from speechgru.tune.combinations import in_order
from speechgru.tune.sweep import Sweep, describe_problem
from speechgru.tune.sweep_checks import check_keys, check_rounds, check_values


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
        self.dimensions = in_order(sweep.space)

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
        messages = [describe_problem(problem, origins, path) for problem in error.errors()]
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
    check_keys(sweep, origins, path=path, overrides=overrides)
    check_values(loaded.dimensions, loaded.configure, origins, path=path)
    check_rounds(sweep, loaded.dimensions, path=path)
    return loaded


def _found(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Values by dotted key, whose paths are relative to the sweep file's folder, with absolute ones."""
    found = {}
    for key, value in values.items():
        section, _, name = key.partition(".")
        document = {section: {name: value}}
        find_paths(document, folder)
        found[key] = document[section][name]
    return found
