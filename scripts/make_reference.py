"""Writes the reference from the code, as Markdown: python scripts/make_reference.py --out FOLDER.

`command_line.md` is made from the commands themselves, `configuration.md` from configs/base.yaml and the types that a
configuration is checked against, and `python/ROOM.md` from the names in a room's `__all__`, their signatures and
docstrings. `scripts/make_docs.py` calls it for the site.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also runs without an installation
sys.path.insert(0, str(Path(__file__).resolve().parent))  # where it is loaded from elsewhere

import typer
import typer.models
from reference_markdown import docstring, markdown, paragraphs, sentence, table

from speechgru.cli import app
from speechgru.config import RunConfig
from speechgru.corpora import CORPORA
from speechgru.voices import ENGINES

ROOT = Path(__file__).resolve().parents[1]
#: The rooms, and modules that stand by themselves, whose public names have a page, in the order of the pipeline.
ROOMS = (
    "speechgru", "gru", "gru.convert", "features", "lengths", "augment", "utterances", "text", "corpora", "voices",
    "grammar", "language", "shards", "dataset", "model", "ctc", "train", "train.language", "decoding", "metrics",
    "scoring", "tune", "export", "runtime", "runtime.tflite", "align", "timed", "serve", "web", "listen", "recording",
    "adapt", "config", "errors",
)  # fmt: skip
#: Characters of a constant that is shown.
_LONGEST_VALUE = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    write_reference(parser.parse_args().out)


def write_reference(out: Path) -> None:
    """Writes all pages.

    Args:
        out: the folder; made where it is missing.
    """
    pages = {"command_line.md": command_line(), "configuration.md": configuration(), "python/index.md": python_index()}
    pages |= {f"python/{_page_of(room)}.md": python_room(room) for room in ROOMS}
    for name, text in pages.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


# -- the command line ------------------------------------------------------------------------------------------------


def commands(group: typer.Typer = app, *, before: str = "speechgru") -> Iterator[tuple[str, Callable[..., Any]]]:
    """(the words of a command, the function that it calls) of a group and of those below it."""
    for command in group.registered_commands:
        assert command.callback is not None
        yield f"{before} {command.name or command.callback.__name__.replace('_', '-')}", command.callback
    for below in group.registered_groups:
        assert below.typer_instance is not None
        name = below.name or below.typer_instance.info.name
        yield from commands(below.typer_instance, before=f"{before} {name}")


def command_line() -> str:
    """The page of the command line."""
    parts = [
        "# The command line",
        "Made from the commands themselves. `KEY=VALUE` sets a key of [the configuration](configuration.md). "
        "[Exit codes](files.md#exit-codes) stand beside the files.",
    ]
    for words, callback in commands():
        parts += [f"## {words}", markdown(inspect.getdoc(callback) or ""), *_parameters(callback)]
        if words == "speechgru prepare":
            parts += _corpora()
    return "\n\n".join(parts) + "\n"


def _parameters(callback: Callable[..., Any]) -> list[str]:
    arguments, options = [], []
    hints = typing.get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        # Python 3.10 takes a default of None for leave to make it optional, outside of the annotation.
        hint = next(one for one in (hints[name], *typing.get_args(hints[name])) if hasattr(one, "__metadata__"))
        kind = hint.__origin__
        info = next(extra for extra in hint.__metadata__ if isinstance(extra, typer.models.ParameterInfo))
        default = parameter.default
        needed = default is inspect.Parameter.empty
        if isinstance(info, typer.models.ArgumentInfo):
            arguments.append([f"`{info.metavar or name.upper()}`", _kind(kind), _meaning(info, default, needed)])
            continue
        flag = f"--{name.replace('_', '-')}"
        is_switch = _without_none(kind) is bool
        # In an annotation the first name stands where a default would; a switch with two names has both in one.
        declared = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str) and one[:1] == "-"]
        if not declared:
            declared = [flag] if not is_switch or default is False else [flag, f"--no-{name.replace('_', '-')}"]
        names = [f"`{part.strip()}`" for one in declared for part in one.split("/")]
        of = "" if is_switch else info.metavar or _kind(kind)
        options.append([", ".join(names), of, _meaning(info, default, needed)])
    tables = []
    if arguments:
        tables.append(table(["argument", "", "meaning"], arguments))
    if options:
        tables.append(table(["option", "value", "meaning"], options))
    return tables


def _meaning(info: typer.models.ParameterInfo, default: Any, needed: bool) -> str:
    said = markdown(info.help or "")
    if needed:
        return f"{said} *Needed.*"
    if default in (None, False, "") or default == []:
        return said
    return f"{said} *Default: {'on' if default is True else default}.*"


def _without_none(kind: Any) -> Any:
    kinds = [one for one in typing.get_args(kind) if one is not type(None)]
    return kinds[0] if typing.get_origin(kind) is not list and kinds else kind


def _kind(kind: Any) -> str:
    kind = _without_none(kind)
    if typing.get_origin(kind) is list:
        return f"{_kind(typing.get_args(kind)[0])}, any number"
    return {Path: "path", str: "text", int: "whole number", float: "number", bool: "switch"}.get(kind, str(kind))


def _corpora() -> list[str]:
    parts = []
    for corpus in CORPORA.values():
        parts += [f"### prepare {corpus.name}", sentence(corpus.summary)]
        rows = [
            [f"`{option.name}={'none' if option.default is None else option.default}`", markdown(option.meaning)]
            for option in corpus.options.values()
        ]
        if rows:
            parts.append(table(["option and default", "meaning"], rows))
    rows = [[f"`{engine.name}`", markdown(engine.summary), markdown(engine.licence)] for engine in ENGINES.values()]
    return [*parts, "### Voice engines", table(["engine", "what it is", "licence"], rows)]


# -- the configuration -----------------------------------------------------------------------------------------------


def configuration() -> str:
    """The page of the configuration: what base.yaml says of each key, and what the key's type allows."""
    schema = RunConfig.model_json_schema()
    parts = [
        "# The configuration",
        "A configuration file holds what differs from these defaults; a key that is not here is an error. This page is "
        "made from [configs/base.yaml](../../configs/base.yaml) and from the types that a configuration is checked "
        "against.",
    ]
    for section, (meaning, keys) in base_keys().items():
        allowed = schema["$defs"][schema["properties"][section]["$ref"].rsplit("/", 1)[1]]["properties"]
        parts.append(f"## {section}")
        if meaning:
            parts.append(sentence(meaning))
        rows = [[f"`{key}`", f"`{default}`", _allowed(allowed[key]), markdown(said)] for key, default, said in keys]
        parts.append(table(["key", "default", "allowed", "meaning"], rows))
    return "\n\n".join(parts) + "\n"


def base_keys() -> dict[str, tuple[str, list[tuple[str, str, str]]]]:
    """What configs/base.yaml says: {section: (its meaning, [(key, default as written, meaning)])}."""
    sections: dict[str, tuple[str, list[tuple[str, str, str]]]] = {}
    for line in (ROOT / "configs" / "base.yaml").read_text(encoding="utf-8").splitlines():
        if (match := re.match(r"(\w+):\s*(?:# (.*))?$", line)) is not None:
            sections[match[1]] = (match[2] or "", keys := [])
        elif (match := re.match(r"  (\w+): (.*?)\s+# (.*)$", line)) is not None:
            keys.append((match[1], match[2], match[3]))
        elif (match := re.match(r"\s+# (.*)$", line)) is not None and keys:
            key, default, said = keys.pop()
            keys.append((key, default, f"{said} {match[1]}"))
    return sections


def _allowed(schema: dict[str, Any]) -> str:
    """What a key's schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_allowed(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "")
    if kind == "array":
        return f"list: {_allowed(schema['items'])}" if schema.get("items") else "list"
    words = {
        "integer": "whole number",
        "number": "number",
        "string": "text",
        "boolean": "`true`, `false`",
        "null": "`null`",
    }
    bounds = (("minimum", "from"), ("exclusiveMinimum", "above"), ("maximum", "to"), ("exclusiveMaximum", "below"))
    limits = [f"{word} {schema[key]:g}" for key, word in bounds if key in schema]
    return " ".join([words.get(kind, kind), *limits])


# -- the Python interface --------------------------------------------------------------------------------------------


def python_index() -> str:
    """The page that lists the rooms."""
    rows = []
    for room in ROOMS:
        module = _module(room)
        rows.append([f"[`{module.__name__}`]({_page_of(room)}.md)", markdown(paragraphs(module.__doc__ or "")[0])])
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *map(_page_of, ROOMS), "```"])
    return "\n\n".join(["# The Python interface", _SHAPES, table(["room", "what it is"], rows), toctree]) + "\n"


_SHAPES = (
    "Tensors that cross a function end in shape letters: B batch, N samples, T frames, M mels, S steps, D layer width, "
    "U units, G = 3U, V vocabulary with blank, L labels. Arguments after the main one are given by name. Examples run "
    "in the tests."
)


def python_room(room: str) -> str:
    """The page of a room: its docstring and its public names."""
    module = _module(room)
    parts = [f"# {module.__name__}", docstring(inspect.getdoc(module) or "")]
    if room == "speechgru":
        return "\n\n".join([*parts, _SHORTCUTS.format(_shortcuts(module))]) + "\n"
    parts.append(f"```{{py:currentmodule}} {module.__name__}\n```")
    constants = []
    for name in sorted(_public(module), key=lambda name: (not name[0].isupper(), name)):
        thing = getattr(module, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            parts += _documented(name, thing)
        elif not inspect.ismodule(thing):
            shown = repr(thing)
            constants.append([f"`{name}`", f"`{shown}`" if len(shown) < _LONGEST_VALUE else type(thing).__name__])
    if constants:
        parts += ["## Constants", table(["name", "value"], constants)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _public(module: Any) -> list[str]:
    """The names of a module's `__all__`; without one those of the classes and functions that are its own."""
    own = [name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
    return list(getattr(module, "__all__", [name for name in own if not name.startswith("_")]))


_SHORTCUTS = "## Names\n\nThe most used names of the rooms, loaded when they are first used:\n\n{}"


def _shortcuts(module: Any) -> str:
    """The public names of the package itself, with the pages that document them."""
    rows = []
    for name in sorted(module.__all__):
        thing = getattr(module, name)
        if not inspect.isclass(thing) and not inspect.isfunction(thing):
            continue
        homes = [room for room in ROOMS[1:] if name in _public(_module(room)) and getattr(_module(room), name) is thing]
        first = paragraphs(inspect.getdoc(thing) or "")[0]
        rows.append([f"[`{name}`]({_page_of(homes[0])}.md#{name.lower()})" if homes else f"`{name}`", markdown(first)])
    return table(["name", "what it is"], rows)


def _documented(name: str, thing: Any) -> list[str]:
    if inspect.isclass(thing):
        body = [docstring(inspect.getdoc(thing) or "")]
        for member, value in vars(thing).items():
            own = value.func if _is_cached(value) else value
            text = inspect.getdoc(value) if getattr(own, "__doc__", None) else None  # an inherited one is the library's
            if member.startswith("_") or not text:
                continue
            if isinstance(value, property) or _is_cached(value):
                body.append(_directive("py:property", member, docstring(text), depth=3))
            elif inspect.isfunction(value) or isinstance(value, classmethod | staticmethod):
                function = getattr(thing, member)
                body.append(_directive("py:method", f"{member}{_signature(function)}", docstring(text), depth=3))
        kind = "py:exception" if issubclass(thing, BaseException) else "py:class"
        return [f"## {name}", _directive(kind, f"{name}{_signature(thing)}", "\n\n".join(filter(None, body)))]
    text = docstring(inspect.getdoc(thing) or "")
    return [f"## {name}", _directive("py:function", f"{name}{_signature(thing)}", text)]


def _is_cached(value: Any) -> bool:
    return type(value).__name__ == "cached_property"


def _directive(kind: str, signature: str, body: str, *, depth: int = 4) -> str:
    fence = ":" * depth
    return f"{fence}{{{kind}}} {signature}\n\n{body}\n{fence}"


def _signature(thing: Any) -> str:
    """A signature whose defaults can be read, on one line."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return "()"
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.default is not inspect.Parameter.empty and not _is_plain(parameter.default):
            parameter = parameter.replace(default=Ellipsis)
        parameters.append(parameter.replace(annotation=_annotation(parameter.annotation)))
    text = str(signature.replace(parameters=parameters, return_annotation=_annotation(signature.return_annotation)))
    return " ".join(text.replace("'", '"').split())


def _is_plain(default: Any) -> bool:
    if isinstance(default, tuple):
        return all(map(_is_plain, default))
    return default is None or isinstance(default, str | int | float)


class _Written(str):
    """An annotation that `inspect` shows as it is written."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _annotation(annotation: Any) -> Any:
    if annotation is inspect.Parameter.empty:
        return annotation
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _Written(re.sub(r"\b(?:collections\.abc|typing|pathlib)\.", "", text))


def _module(room: str) -> Any:
    return importlib.import_module("speechgru" if room == "speechgru" else f"speechgru.{room}")


def _page_of(room: str) -> str:
    return room.replace(".", "_")


# -- docstrings as Markdown ------------------------------------------------------------------------------------------


if __name__ == "__main__":
    main()
