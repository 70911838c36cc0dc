"""The `speechgru` command; importing this room registers every command.

The entry point reads the process's arguments and ends the process:

>>> import contextlib, unittest.mock
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

from speechgru.cli import (  # noqa: F401  (each registers its commands)
    beginning,
    bundle,
    corpus,
    doctoring,
    grammar,
    person,
    rejection,
    scoring,
    serving,
    spotting,
    training,
    transcribing,
    web,
)
from speechgru.cli.console import app, main, run_command, show_progress

__all__ = ["app", "main", "run_command", "show_progress"]
