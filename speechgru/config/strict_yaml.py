"""YAML that reads as people mean it, and that knows the line every key stands on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from speechgru.errors import ConfigError
from speechgru.files import describe_undecodable, read_text
from speechgru.yaml_nodes import FAULTS, construct_bounded, describe_fault, require_bounded

#: A configuration or sweep file is no larger, in bytes and in values: the ones that people write have hundreds.
_MOST_BYTES, _MOST_NODES = 1 << 20, 20_000


class _Loader(yaml.SafeLoader):
    """YAML 1.2's core scalars: `1e-3` is a number, `12:30` and `2024-01-01` are text. Booleans stay YAML 1.1's.

    Args:
        text: the document.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._num_nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._num_nodes += 1
        if self._num_nodes > _MOST_NODES:
            raise ValueError(f"it holds more than {_MOST_NODES:,} values")
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """Quotes what either version of YAML would read as another type: `"0123456789"` stays text."""


def _construct_int(loader: _Loader, node: Any) -> int:
    value = loader.construct_yaml_int(node)
    if abs(value) >= 1 << 63:  # more than any library counts with
        raise ValueError(f"the number {str(value)[:20]}... is too large")
    return value


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$", "yYnNtTfFoO"),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", "-+."),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
):
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))

Origins = dict[tuple[str, ...], str]


def read_yaml(path: str | Path, *, missing: str) -> tuple[dict[str, Any], Origins]:
    """Reads a file of sections.

    Args:
        path: the file.
        missing: what to say after its name where there is none.

    Returns:
        The document as a dictionary, and for each key, a tuple of names, the place it was read from (`file:line`).

    Raises:
        ConfigError: no such file, or it is not YAML, not a mapping, or names a key twice.
    """
    try:
        text = read_text(path, most=_MOST_BYTES)
    except FileNotFoundError:
        raise ConfigError(f"{path}: {missing}") from None
    except IsADirectoryError:
        found = sorted(Path(path).glob("*.yaml"))
        advice = f"such as {found[0]}" if found else "and none is in it"
        raise ConfigError(f"{path}: is a folder; name a YAML file, {advice}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {describe_undecodable(error)}; save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> tuple[dict[str, Any], Origins]:
    """As `read_yaml`, of a text that `name` stands for in messages."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return {}, {}
            if not isinstance(node, yaml.MappingNode):
                raise ConfigError(f"{name}: expected sections such as 'model:' with keys below them")
            require_bounded(node)
            origins: Origins = {}
            _collect_origins(node, (), name, origins)
            return loader.construct_document(node), origins
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: is not valid YAML ({error.problem or error})") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: is not valid YAML ({' '.join(str(error).split())})") from error
    except FAULTS as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{name}: is not valid YAML ({describe_fault(error)})") from error


def _collect_origins(node: yaml.MappingNode, prefix: tuple[str, ...], name: str, origins: Origins) -> None:
    for key_node, value_node in node.value:
        key = (*prefix, str(key_node.value))
        where = f"{name}:{key_node.start_mark.line + 1}"
        if key in origins:
            raise ConfigError(f"{where}: {'.'.join(key)} stands twice; keep one")
        origins[key] = where
        if isinstance(value_node, yaml.MappingNode):
            _collect_origins(value_node, key, name, origins)


def parse_value(text: str) -> Any:
    """A single value, as after a colon.

    Raises:
        ValueError: it is not YAML; says why in a few words.
    """
    try:
        return construct_bounded(_Loader(text))
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(getattr(error, "problem", None) or error).split())) from error
    except FAULTS as error:
        raise ValueError(describe_fault(error)) from error


def to_yaml(document: Any) -> str:
    """A document as text that either version of YAML reads alike, its keys in their order."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
