"""The configuration of a language model's training: typed and strict, from KEY=VALUE overrides."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pydantic

from speechgru.config.section import Section
from speechgru.config.sections import TrainConfig
from speechgru.config.strict_yaml import parse_value, read_yaml, to_yaml
from speechgru.errors import ConfigError
from speechgru.files import write_text
from speechgru.ranges import Count, Positive, Rate, Share
from speechgru.text import shown


class LanguageDataConfig(Section):
    """Which texts: files of a line an utterance, or manifests.

    Keys: `train` and `dev`, files; `dev_share`, of the texts that are held out where there is no `dev`; `max_labels`,
    of a text; `max_skipped_share`, of the texts that may be left out because they are longer or cannot be written.
    """

    train: tuple[str, ...] = pydantic.Field(default=(), strict=False)
    dev: tuple[str, ...] = pydantic.Field(default=(), strict=False)
    dev_share: Annotated[float, pydantic.Field(gt=0, le=0.5)] = 0.05
    max_labels: Count = 1000
    max_skipped_share: Share = 0.1


class LanguageModelConfig(Section):
    """The network: `embedding` numbers a label, `num_layers` GRU layers of `units`, `dropout` around each."""

    embedding: Count = 64
    units: Count = 128
    num_layers: Annotated[int, pydantic.Field(ge=1, le=4)] = 1
    dropout: Rate = 0.2


class LanguageTrainConfig(TrainConfig):
    """The optimisation, with a recogniser's keys where they mean something here."""

    #: Keys that only a recogniser's training reads.
    OTHERS: ClassVar[frozenset[str]] = frozenset(
        {
            *("precision", "start_from", "freeze", "quiet_start_ms", "spelling_weight", "ctc", "monitor"),
            *("false_accepts_per_hour", "show_examples"),
        }
    )

    max_steps: Count = 4000
    patience: Count | None = 5
    learning_rate: Positive = 5e-3
    clip_norm: Positive = 100.0  # of the gradient of a text's loss, which is a sum over its labels
    evaluate_every_steps: Count = 200
    checkpoint_every_steps: Count = 200

    @pydantic.model_validator(mode="after")
    def _known(self) -> LanguageTrainConfig:
        foreign = sorted(self.model_fields_set & self.OTHERS)
        if foreign:
            raise ValueError(f"{foreign[0]} is a key of a recogniser's training, and means nothing to a language model")
        return self


class LanguageConfig(Section):
    """All of a language model's configuration."""

    data: LanguageDataConfig = LanguageDataConfig()
    model: LanguageModelConfig = LanguageModelConfig()
    train: LanguageTrainConfig = LanguageTrainConfig()

    def as_record(self) -> dict[str, Any]:
        """Every key that means something, by section."""
        return self.model_dump(mode="json", exclude={"train": set(LanguageTrainConfig.OTHERS)})


def language_config(
    overrides: Sequence[str], *, train: Sequence[str | Path], dev: Sequence[str | Path]
) -> LanguageConfig:
    """The configuration of a training, as people give it on a command line.

    Args:
        overrides: `section.key=value` each, the value read as YAML.
        train: files of texts.
        dev: likewise, to score by; empty holds out a share of the others.

    Raises:
        ConfigError: an override names no key, or has a value that the key cannot have.

    Example:
        >>> language_config(["model.units=256"], train=["texts.txt"], dev=[]).model.units
        256
    """
    document: dict[str, dict[str, Any]] = {"data": {}}
    for override in overrides:
        key, separator, value = override.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not separator or len(parts) != 2 or not all(parts):
            raise ConfigError(f"override {shown(override)}: expected section.key=value, such as model.units=256")
        if key in ("data.train", "data.dev"):
            raise ConfigError(f"override {shown(override)}: name the texts as arguments, and those of dev with --dev")
        try:
            document.setdefault(parts[0], {})[parts[1]] = parse_value(value)
        except ValueError as error:
            raise ConfigError(f"override {shown(override)}: the value is not valid YAML ({error})") from error
    document["data"] |= {
        "train": [str(Path(path).absolute()) for path in train],
        "dev": [str(Path(path).absolute()) for path in dev],
    }
    return _validated(document, where="")


def load_language_config(path: Path) -> LanguageConfig:
    """Reads what `save_language_config` wrote.

    Raises:
        ConfigError: it is missing, damaged, or of another version.
    """
    document, _ = read_yaml(path, missing="the run's configuration is gone")
    return _validated(document, where=f"{path}: ")


def save_language_config(path: Path, config: LanguageConfig) -> None:
    """Writes a configuration with every key resolved, atomically."""
    write_text(path, to_yaml(config.as_record()))


def _validated(document: Mapping[str, Any], *, where: str) -> LanguageConfig:
    try:
        return LanguageConfig.model_validate(document)
    except pydantic.ValidationError as error:
        raise ConfigError("\n".join(f"{where}{_describe(problem)}" for problem in error.errors())) from error


def _describe(problem: Any) -> str:
    key = ".".join(map(str, problem["loc"][:2]))
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, _known_keys(), n=1)
        advice = f"did you mean {near[0]}?" if near else f"the known ones are {', '.join(_known_keys())}"
        return f"unknown key {key}; {advice}"
    if problem["type"] == "value_error":
        return f"{key}: {problem['ctx']['error']}"
    message = problem["msg"]
    return f"{key}: {(message[0].lower() + message[1:]).removeprefix('input ')}, got {shown(problem['input'])}"


def _known_keys() -> list[str]:
    return [f"{section}.{key}" for section, keys in LanguageConfig().as_record().items() for key in keys]
