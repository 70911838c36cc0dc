"""From a YAML file and KEY=VALUE overrides to a configuration, and back."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pydantic

from speechgru.augment import STAGES
from speechgru.config.base_model import BASE, take_from_base
from speechgru.config.sections import RunConfig
from speechgru.config.strict_yaml import Origins, parse_value, read_yaml, to_yaml
from speechgru.config.text_section import SUBWORD_KEYS
from speechgru.errors import ConfigError
from speechgru.files import write_text
from speechgru.packaged import CONFIGS, own_file
from speechgru.stores import is_remote
from speechgru.text import RULES_BEFORE_KEYS, shown

#: The keys that name files and folders.
_PATHS = (
    *(("data", key) for key in ("train", "dev", "negatives", "grammar", "cache_folder")),
    ("text", "subword_model"),
    ("train", "start_from"),
    *(("augment", key) for stage in STAGES for key in stage.manifests),
)

_MISSING = "no such configuration file; start from one in configs/, or let `speechgru init` write one"


def load_config(path: str | Path, overrides: Sequence[str] = (), *, stored: bool = False) -> RunConfig:
    """Reads a configuration file and applies overrides.

    Paths in the file are relative to its own folder, and are found from the current one where its own has none such;
    those in overrides are relative to the current folder, as on any command line. The result holds them absolute.

    Args:
        path: a YAML file; keys it leaves out keep the defaults that `configs/base.yaml` shows. Or the name of one that
            comes with the package, such as `commands`: files that it names are in the current folder, or beside it.
        overrides: `section.key=value` each, the value read as YAML.
        stored: the file is a run's own (`save_config`): keys that it leaves out are newer than the run, and stand for
            what was done before there was a choice.

    Returns:
        The validated configuration.

    Raises:
        ConfigError: names file, line, key, what was got and what is expected, and for an unknown key the nearest one.
    """
    own = None if stored else own_file(str(path), CONFIGS)
    path = own or Path(path)
    document, origins = read_yaml(path, missing=_MISSING)
    if stored:
        for section, before in (("text", RULES_BEFORE_KEYS), ("train", {"quiet_start_ms": 0.0, "monitor": "wer"})):
            if isinstance(document.get(section), dict):
                document[section] = before | document[section]
        text = document.get("text")
        if isinstance(text, dict) and text.get("unit") != "subword":  # runs were begun that had them, to no effect
            document["text"] = {key: value for key, value in text.items() if key not in SUBWORD_KEYS}
    else:
        find_paths(document, path.parent, is_own=own is not None)
    for override in overrides:
        _apply_override(document, origins, override)
    if not stored:
        take_from_base(document)
        _compose(document)
    config = _validate(document, origins, fallback=str(path))
    data = config.data.model_copy(
        update={
            "train": tuple(map(_absolute, config.data.train)),
            "dev": _absolute(config.data.dev),
            "cache_folder": _absolute(config.data.cache_folder),
            "negatives": tuple(map(_absolute, config.data.negatives)),
        }
    )
    train = config.train.model_copy(update={"start_from": _absolute_start(config.train.start_from)})
    augment = config.augment.model_copy(
        update={key: _absolute(manifest) for key, (manifest, _) in config.augment.manifests.items()}
    )
    text = config.text.model_copy(update={"subword_model": _absolute(config.text.subword_model)})
    return config.model_copy(update={"data": data, "text": text, "augment": augment, "train": train})


def find_paths(document: dict[str, Any], folder: Path, *, is_own: bool = False) -> None:
    """Makes the paths of a document absolute: relative to its folder, or to the current one where they exist there.

    Args:
        document: sections with their keys; changed in place. What is no path where one belongs stays as it is.
        folder: where the document lies.
        is_own: it came with the package: what is not beside it is meant to be in the current folder.
    """

    def find(value: Any) -> Any:
        if isinstance(value, list):
            return [find(entry) for entry in value]
        if not isinstance(value, str) or not value or is_remote(value):
            return value
        beside, here = (os.path.abspath(os.path.join(place, os.path.expanduser(value))) for place in (folder, ""))
        return here if not os.path.exists(beside) and (is_own or os.path.exists(here)) else beside

    for section, key in _PATHS:
        keys = document.get(section)
        if not isinstance(keys, dict) or keys.get(key) in (None, BASE):
            continue
        found = find(keys[key])
        # A grammar may also be the name of one that is kept with the package.
        if key != "grammar" or (isinstance(found, str) and Path(found).exists()):
            keys[key] = found


def _compose(document: dict[str, Any]) -> None:
    """Writes the vocabulary in the form that transcripts are brought to: an accented letter is one character.

    Editors, and above all file systems, write `é` as one character or as two, and show the same.
    """
    text = document.get("text")
    if not isinstance(text, dict):
        return
    if isinstance(text.get("characters"), str):
        text["characters"] = unicodedata.normalize("NFC", text["characters"])
    if isinstance(text.get("words"), list):
        text["words"] = [
            unicodedata.normalize("NFC", word) if isinstance(word, str) else word for word in text["words"]
        ]


def _absolute(path: str | None) -> str | None:
    return path if path is None or is_remote(path) else str(Path(path).expanduser().absolute())


def _absolute_start(source: str | None) -> str | None:
    return source if source == BASE else _absolute(source)


def save_config(path: str | Path, config: RunConfig) -> None:
    """Writes a configuration with every key resolved, atomically."""
    write_text(path, to_yaml(config.model_dump(mode="json")))


def known_keys() -> list[str]:
    """Every dotted key, in the order of the types."""
    return [
        f"{section}.{key}"
        for section, field in RunConfig.model_fields.items()
        for key in field.annotation.model_fields  # type: ignore[union-attr]
    ]


def _apply_override(document: dict[str, Any], origins: Origins, override: str) -> None:
    key, separator, value = override.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if not separator or len(parts) != 2 or not all(parts):
        raise ConfigError(f"override {shown(override)}: expected section.key=value, such as train.learning_rate=1e-3")
    try:
        parsed = parse_value(value)
    except ValueError as error:
        raise ConfigError(f"override {shown(override)}: the value is not valid YAML ({error})") from error
    section = document.get(parts[0])
    if section is None:
        section = document[parts[0]] = {}
    if isinstance(section, dict):
        section[parts[1]] = parsed
    origins[parts] = f"override {shown(override)}"
    origins.setdefault(parts[:1], origins[parts])


def _validate(document: dict[str, Any], origins: Origins, *, fallback: str) -> RunConfig:
    # An empty section ("augment:" with nothing below) means its defaults.
    document = {key: {} if value is None else value for key, value in document.items()}
    try:
        return RunConfig.model_validate(document)
    except pydantic.ValidationError as error:
        problems = [_describe(problem, origins, fallback) for problem in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(problems))) from error


def _describe(problem: Any, origins: Origins, fallback: str) -> str:
    location = tuple(str(part) for part in problem["loc"])
    path = next((location[:n] for n in range(len(location), 0, -1) if location[:n] in origins), location)
    where = origins.get(path, fallback)
    key = ".".join(location[:2])
    value = problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"{where}: {_unknown_key(location)}"
    if problem["type"] == "model_type":
        return f"{where}: {key} must be a section with keys below it, got {shown(value)}"
    if isinstance(value, bool) and _wants_text(location):
        return (
            f"{where}: {key} wants text, got the YAML boolean {str(value).lower()}; "
            'if you mean a word such as no, yes, on or off, put it in quotes: "no"'
        )
    if problem["type"] == "invalid_key":
        return f"{where}: the key {value!r} is not text; the keys are named in configs/base.yaml"
    if problem["type"] == "value_error":
        message = str(problem["ctx"]["error"])
        if not location:  # a check across sections: blame the first key it names that somebody set
            named = (tuple(key.split(".")) for key in re.findall(r"\w+\.\w+", message))
            where = next((origins[key] for key in named if key in origins), fallback)
        return f"{where}: {f'{key}: ' if key else ''}{message}"
    message = problem["msg"]
    message = message[0].lower() + message[1:]
    given = "nothing" if value is None else shown(value)
    return f"{where}: {key}: {message.removeprefix('input ')}, got {given}"


def _unknown_key(location: tuple[str, ...]) -> str:
    key = ".".join(location)
    known = known_keys()
    sections, names = list(RunConfig.model_fields), []
    if len(location) == 1:
        near = difflib.get_close_matches(key, sections, n=1)
        elsewhere = [candidate for candidate in known if candidate.endswith(f".{key}")]
        hint = near or elsewhere[:1]
    else:
        names = [candidate.split(".")[1] for candidate in known if candidate.startswith(f"{location[0]}.")]
        near = [f"{location[0]}.{name}" for name in difflib.get_close_matches(location[1], names, n=1)]
        everywhere = {candidate.split(".")[1]: candidate for candidate in known}
        hint = near or [everywhere[name] for name in difflib.get_close_matches(location[1], everywhere, n=1)]
    advice = f"did you mean {hint[0]}?" if hint else f"the known ones are {', '.join(names or sections)}"
    return f"unknown key {key}; {advice}"


def _wants_text(location: tuple[str, ...]) -> bool:
    if len(location) < 2:
        return False
    section = RunConfig.model_fields[location[0]].annotation
    field = section.model_fields.get(location[1])  # type: ignore[union-attr]
    return field is not None and "str" in _type_names(field.annotation)


def _type_names(annotation: Any) -> set[str]:
    arguments = get_args(annotation)
    if not arguments:
        return {"str"} if isinstance(annotation, str) else {getattr(annotation, "__name__", "")}
    return set().union(*(_type_names(argument) for argument in arguments))
