"""What the packaged configurations are for, and what each key means, from `base.yaml` and the types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.config.sections import RunConfig
from speechgru.errors import ConfigError
from speechgru.files import read_text
from speechgru.packaged import CONFIGS, own_files

_SECTION = re.compile(r"^(\w+):")
_KEY = re.compile(r"^  (?P<name>\w+): (?P<default>.*?) +# (?P<meaning>.*)$")
_FURTHER = re.compile(r"^ +# (.*)$")

_TYPES = {"number": "a number", "integer": "a whole number", "string": "a text", "boolean": "true or false"}


@dataclass(frozen=True)
class Explanation:
    """A key of the configuration for people.

    Args:
        key: `section.name`.
        default: as `base.yaml` writes it.
        kind: what may stand there.
        meaning: what it does, its unit and the reason.
    """

    key: str
    default: str
    kind: str
    meaning: str


def explain() -> dict[str, Explanation]:
    """Every key with its explanation, in the order of `base.yaml`.

    Raises:
        ConfigError: the package came without its configurations.

    Example:
        >>> found = explain()["model.units"]
        >>> found.default, found.kind
        ('128', 'a whole number, 1 or more')
        >>> found.meaning
        'width of each, per direction'
    """
    definitions = RunConfig.model_json_schema()["$defs"]
    found: dict[str, Explanation] = {}
    section, key = "", ""
    for line in read_text(_base()).split("\n"):
        if match := _SECTION.match(line):
            section, key = match[1], ""
        elif match := _KEY.match(line):
            key = f"{section}.{match['name']}"
            owner = RunConfig.model_fields[section].annotation
            schema = definitions[getattr(owner, "__name__", "")]["properties"][match["name"]]
            found[key] = Explanation(key, match["default"], _kind_of(schema), match["meaning"])
        elif key and (match := _FURTHER.match(line)):
            before = found[key]
            found[key] = Explanation(key, before.default, before.kind, f"{before.meaning} {match[1]}")
    return found


def summaries() -> dict[str, str]:
    """The packaged configurations and sweeps by name, and the grammars as `grammars/NAME`, each with what it is for.

    Example:
        >>> summaries()["quickstart_full"]
        'The same commands learnt as letters, which spell any word'
    """
    return {name: _comment_of(path) for name, path in packaged_files().items()}


def packaged_files() -> dict[str, Path]:
    """The files that come with the package, by the names of `summaries`.

    Example:
        >>> packaged_files()["grammars/digits"].name
        'digits.yaml'
    """
    grammars = own_files(CONFIGS / "grammars")
    return own_files(CONFIGS) | {f"grammars/{name}": path for name, path in grammars.items()}


def _base() -> Path:
    path = own_files(CONFIGS).get("base")
    if path is None:
        raise ConfigError("this installation has no configurations; install speechgru again")
    return path


def _comment_of(path: Path) -> str:
    """The comment that a file begins with, up to the end of its first sentence or a colon."""
    lines = []
    for line in read_text(path).split("\n"):
        if not line.startswith("# "):
            break
        lines.append(line.removeprefix("# ").strip())
    comment = " ".join(lines)
    # "The base: a model of letters" says something after its colon only.
    first = re.match(r".{20,}?(?=[.:](?:\s|$))", comment)
    return first[0] if first else comment


def _kind_of(schema: Mapping[str, Any]) -> str:
    """What a JSON schema allows, in words.

    >>> _kind_of({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})
    'a whole number, 1 or more; or null'
    >>> _kind_of({"type": "array", "items": {"enum": ["white", "pink"], "type": "string"}})
    'a list, each white or pink'
    """
    if "anyOf" in schema:
        return "; or ".join(_kind_of(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " or ".join([", ".join(schema["enum"][:-1]), schema["enum"][-1]])
    if schema.get("type") == "null":
        return "null"
    if schema.get("type") == "array":
        return f"a list, each {_kind_of(schema['items'])}"
    kind = _TYPES.get(schema.get("type", ""), "a value")
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{kind} from {low:,} to {high:,}"
    limits = {"{:,} or more": low, "above {:,}": above, "below {:,}": below, "{:,} at most": high}
    return ", ".join([kind, *(words.format(limit) for words, limit in limits.items() if limit is not None)])
