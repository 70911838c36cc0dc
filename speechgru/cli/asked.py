"""What of the command line a process's arguments ask for: building all of it takes a third of the time of a start."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import typer

from speechgru.cli.console import app, import_module

#: The modules that register each command, or the commands of each group.
MODULES: dict[str, tuple[str, ...]] = {
    "adapt": ("person",),
    "align": ("aligning",),
    "calibrate": ("rejection",),
    "check": ("corpus",),
    "config": ("beginning",),
    "doctor": ("doctoring",),
    "evaluate": ("scoring",),
    "export": ("bundle",),
    "grammar": ("grammar",),
    "init": ("beginning",),
    "inspect": ("bundle",),
    "join": ("training",),
    "language": ("language", "gru_language"),
    "listen": ("corpus",),
    "negatives": ("rejection",),
    "prepare": ("corpus",),
    "record": ("person",),
    "report": ("training",),
    "segment": ("aligning",),
    "serve": ("serving",),
    "shard": ("sharding",),
    "splice": ("aligning",),
    "spot": ("spotting",),
    "train": ("training",),
    "transcribe": ("transcribing",),
    "tune": ("training",),
    "web": ("web",),
}


def asked_app(arguments: Sequence[str]) -> typer.Typer:
    """The command line as far as its arguments need it.

    Args:
        arguments: those of the process. The first one's command stands alone; where it is none, such as a mistyped one
            or what a shell completes, there are all, and for the list of all they stand there without their options.

    >>> [command.callback.__name__ for command in asked_app(["train", "--help"]).registered_commands]
    ['train']
    """
    first = arguments[0] if arguments else ""
    for module in MODULES.get(first, ("commands",)):
        import_module(f"speechgru.cli.{module}")
    if first not in MODULES and list(arguments) != ["--help"]:
        return app
    part = copy.copy(app)
    if first in MODULES:
        part.registered_commands = [one for one in app.registered_commands if _name_of(one) == first]
        part.registered_groups = [one for one in app.registered_groups if one.name == first]
    else:
        part.registered_commands = [_without_options(one) for one in app.registered_commands]
    return part


def _name_of(command: Any) -> str:
    return str(command.name or command.callback.__name__)


def _without_options(command: Any) -> Any:
    """A command that has its name and its help alone."""
    named: Callable[[], None] = lambda: None  # noqa: E731
    named.__name__, named.__doc__ = command.callback.__name__, command.callback.__doc__
    bare = copy.copy(command)
    bare.callback, bare.cls = named, None
    return bare
