"""YAML and JSON files of a grammar as dictionaries whose strings know the line that they stand on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from speechgru.errors import GrammarError
from speechgru.files import describe_undecodable, read_text
from speechgru.yaml_nodes import FAULTS, MOST_VALUES, construct_bounded, describe_fault

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Levels of lists and mappings; a grammar has ten or so.
_MOST_LEVELS = 100
#: A grammar's file is no larger.
MOST_BYTES = 1 << 24


class Located(str):
    """A text with the place that it was read from, `file:line`, for messages."""

    where: str = ""


class _GrammarLoader(_Loader):
    """Reads words as people write them: `on`, `off`, `yes` and `no` are text, as in YAML 1.2."""

    name_of_file = ""


_GrammarLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _OWN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    for _OWN in [("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int")]
}
_GrammarLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))
# YAML 1.1 reads 12:30 as a number of seconds, and 010 as eight.
_GrammarLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")
)


def _string(loader: Any, node: yaml.ScalarNode) -> Located:
    text = Located(loader.construct_scalar(node))
    text.where = f"{loader.name_of_file}:{node.start_mark.line + 1}"
    return text


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    loader.flatten_mapping(node)
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        where = f"{loader.name_of_file}:{key_node.start_mark.line + 1}"
        if not isinstance(key, (str, int, float)):
            raise GrammarError(f"{where}: a key must be a word, got {key!r}")
        if not isinstance(key, str):
            key = Located(key)
            key.where = where
        if key in found:
            raise GrammarError(f"{where}: {key} stands twice; keep one")
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_GrammarLoader.add_constructor("tag:yaml.org,2002:str", _string)
_GrammarLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def where_of(value: Any, otherwise: str) -> str:
    """The place of a key or text; `otherwise` where it is not known."""
    return value.where if isinstance(value, Located) and value.where else otherwise


def read_grammar_files(path: Path) -> dict[str, Any]:
    """Reads a file, or all files of a folder as one document.

    Args:
        path: a `.yaml`, `.yml` or `.json` file, or a folder of them.

    Raises:
        GrammarError: there is nothing to read, it is not YAML or JSON, or two files of a folder contradict each other.
    """
    if not path.is_dir():
        return _read(path)
    files = sorted(file for file in path.rglob("*") if file.suffix in (".yaml", ".yml", ".json"))
    if not files:
        raise GrammarError(f"{path}: the folder holds no .yaml or .json file; give a grammar's file, or its folder")
    together: dict[str, Any] = {}
    for file in files:
        _merge(together, _read(file), str(file))
    return together


def _read(path: Path) -> dict[str, Any]:
    try:
        text = read_text(path, most=MOST_BYTES)
    except FileNotFoundError:
        raise GrammarError(f"{path}: there is no such grammar; give a YAML file of sentence templates") from None
    except UnicodeDecodeError as error:
        raise GrammarError(f"{path}: {describe_undecodable(error)}; save the grammar as UTF-8") from error
    except OSError as error:
        raise GrammarError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        document = json.loads(text) if path.suffix == ".json" else _construct(text, str(path))
    except yaml.MarkedYAMLError as error:
        where = f"{path}:{error.problem_mark.line + 1}" if error.problem_mark else str(path)
        raise GrammarError(
            f"{where}: is not valid YAML ({error.problem}); put templates that begin with [ {{ or < between quotes"
        ) from error
    except yaml.YAMLError as error:
        raise GrammarError(f"{path}: is not valid ({' '.join(str(error).split())})") from error
    except FAULTS as error:
        if isinstance(error, GrammarError):
            raise
        raise GrammarError(f"{path}: is not valid ({describe_fault(error)})") from error
    if not isinstance(document, dict):
        raise GrammarError(f"{path}: expected a grammar with the keys language and intents, got {document!r:.60}")
    return document


def _construct(text: str, name: str) -> Any:
    _refuse_depth(text, name)
    loader = _GrammarLoader(text)
    loader.name_of_file = name
    return construct_bounded(loader)


def _refuse_depth(text: str, name: str) -> None:
    """Refuses what ends the process in libyaml's loader, which composes each level in a call of its own.

    And what would keep it busy for minutes: parsing alone is quick.
    """
    depth = num_values = 0
    line: int | None = None
    try:
        for event in yaml.parse(text, Loader=_Loader):
            num_values += isinstance(event, yaml.NodeEvent)
            if num_values > MOST_VALUES:
                raise GrammarError(f"{name}: holds more than {MOST_VALUES:,} values; a grammar has hundreds")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            line = event.start_mark.line if event.start_mark else None
            if depth > _MOST_LEVELS:
                break
        else:
            return
    except yaml.MarkedYAMLError as error:  # the parser of newer releases has a limit of its own
        if "nesting depth" not in str(error):
            raise
        line = error.problem_mark.line if error.problem_mark else None
    where = name if line is None else f"{name}:{line + 1}"
    raise GrammarError(f"{where}: is nested more than {_MOST_LEVELS} levels deep; close its brackets")


def _merge(together: dict[str, Any], more: Mapping[str, Any], name: str) -> None:
    for key, value in more.items():
        if key not in together:
            together[key] = value
        elif isinstance(together[key], dict) and isinstance(value, dict):
            _merge(together[key], value, name)
        elif isinstance(together[key], list) and isinstance(value, list):
            together[key] = [*together[key], *value]
        elif together[key] != value:
            raise GrammarError(
                f"{where_of(key, name)}: {key} is {value!r} here and {together[key]!r} in another file of the folder; "
                "keep one"
            )
