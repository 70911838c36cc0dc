"""The `speechgru` command.

The entry point reads the process's arguments and ends the process:

>>> import contextlib, unittest.mock
>>> from speechgru.cli import run_command, show_progress
>>> with unittest.mock.patch("sys.argv", ["speechgru", "--version"]), contextlib.suppress(SystemExit):
...     main()
speechgru ...

A program of its own ends as the commands do: a status of its own, or 2 after the message of a user's mistake:

>>> run_command(lambda: 3)
Traceback (most recent call last):
SystemExit: 3

Progress on standard error, or none:

>>> with show_progress(quiet=True) as progress:
...     progress("reading", 1, 2, "a.wav")
"""

import importlib
from typing import Any

from speechgru.process.signals import ending_signals, leave_signals_to_system

__all__ = ["app", "main", "run_command", "show_progress"]


def main() -> None:
    """The entry point of the `speechgru` command.

    Importing this room loads next to nothing, so that the command answers signals while it loads the rest.
    """
    try:
        with ending_signals():
            console = importlib.import_module("speechgru.cli.console")
        console.main()
    finally:
        leave_signals_to_system()


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    importlib.import_module("speechgru.cli.commands")
    return getattr(importlib.import_module("speechgru.cli.console"), name)
