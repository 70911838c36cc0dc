"""A corpus's own options: found in its function's signature, read from `KEY=VALUE`."""

from __future__ import annotations

import difflib
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.errors import CorpusError

#: The arguments of every corpus; the command line has flags for them.
COMMON = ("out", "source", "seed", "progress")

#: What a value of each type is called in messages.
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    list: "a list such as a,b",
}


@dataclass(frozen=True)
class Option:
    """An option of one corpus.

    Args:
        name: the argument's name and the key on the command line.
        kind: int, float, bool, str, Path or list (of texts).
        default: its value when it is not given.
        is_optional: whether `none` is a value.
        meaning: one sentence, from the function's docstring.
    """

    name: str
    kind: type
    default: Any
    is_optional: bool
    meaning: str

    def parse(self, text: str) -> Any:
        """The value that a text on the command line stands for.

        Raises:
            ValueError: it stands for none; names what was expected.

        >>> Option("joined", int, 0, False, "").parse("5")
        5
        >>> Option("speaker", str, None, True, "").parse("none") is None
        True
        """
        if self.is_optional and text.lower() in ("none", "null"):
            return None
        try:
            if self.kind is bool:
                return {"true": True, "false": False}[text.lower()]
            if self.kind is list:
                return [part.strip() for part in text.split(",") if part.strip()]
            return self.kind(text)
        except (ValueError, KeyError):
            raise ValueError(f"{self.name} must be {_WORDS[self.kind]}, got {text!r}") from None


def options_of(prepare: Callable[..., Any]) -> dict[str, Option]:
    """The options that a corpus's function has beside the common ones, in their order.

    Args:
        prepare: its options are keyword arguments with a default, annotated with a type of `Option`, and explained
            under `Args:` of its docstring.

    Raises:
        TypeError: an argument is annotated with another type; for the corpus's author.
    """
    hints, meanings = typing.get_type_hints(prepare), _meanings_of(prepare)
    options = {}
    for name, parameter in inspect.signature(prepare).parameters.items():
        if name in COMMON:
            continue
        kind, is_optional = _kind_of(hints.get(name))
        if kind not in _WORDS:
            raise TypeError(f"{prepare.__module__}: the option {name} is {hints.get(name)}; known are {list(_WORDS)}")
        options[name] = Option(name, kind, parameter.default, is_optional, meanings.get(name, ""))
    return options


def _kind_of(hint: Any) -> tuple[Any, bool]:
    """`int | None` -> int, True; `list[str]` -> list, False."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        given = [part for part in typing.get_args(hint) if part is not type(None)]
        return (_kind_of(given[0])[0] if len(given) == 1 else hint), type(None) in typing.get_args(hint)
    return typing.get_origin(hint) or hint, False


def _meanings_of(function: Callable[..., Any]) -> dict[str, str]:
    """What the docstring's `Args:` section explains, by argument; one line each."""
    section = re.search(r"^Args:\n((?: .*\n|\n)+)", (inspect.getdoc(function) or "") + "\n", re.M)
    if section is None:
        return {}
    entries = re.findall(r"^ {4}(\w+): ((?:.*\n)(?: {5,}.*\n)*)", section[1], re.M)
    return {name: " ".join(text.split()) for name, text in entries}


def parse_options(corpus: str, options: Mapping[str, Option], given: Iterable[str]) -> dict[str, Any]:
    """The options that `KEY=VALUE` arguments of the command line stand for.

    Raises:
        CorpusError: an argument has no `=`, an option is not known or given twice, or a value is of another type.
    """
    values: dict[str, Any] = {}
    for argument in given:
        name, separator, text = argument.partition("=")
        if not separator:
            raise CorpusError(f"{corpus}: expected KEY=VALUE, got {argument!r}; {_describe_known(options)}")
        require_option(corpus, options, name)
        if name in values:
            raise CorpusError(f"{corpus}: {name} is given twice; give it once")
        try:
            values[name] = options[name].parse(text)
        except ValueError as error:
            raise CorpusError(f"{corpus}: {error}") from None
    return values


def require_option(corpus: str, options: Mapping[str, Option], name: str) -> None:
    """Refuses an option that a corpus does not have.

    Raises:
        CorpusError: names the nearest one, and all.
    """
    if name in options:
        return
    near = difflib.get_close_matches(name, options, n=1)
    hint = f" (give --{name})" if name in COMMON[:3] else f" (did you mean {near[0]}?)" if near else ""
    raise CorpusError(f"{corpus}: has no option {name!r}{hint}; {_describe_known(options)}")


def _describe_known(options: Mapping[str, Option]) -> str:
    return f"its options are {', '.join(options)}" if options else "it has no options"
