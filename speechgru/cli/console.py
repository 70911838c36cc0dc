"""The `speechgru` command: parses arguments, calls a verb, prints what it gave back."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Column

from speechgru import __version__
from speechgru.errors import Interrupted, UserError
from speechgru.progress import line_progress, silent

app = typer.Typer(
    help="Small speech recognisers: train on your own recordings, ship one file.\n\n"
    "The usual way: prepare -> check -> train -> evaluate -> export -> transcribe. "
    "Each command's --help shows an example.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
terminal = Console(markup=False, emoji=False)  # what it prints is names and transcripts
err = Console(stderr=True, emoji=False)

#: What a wrong argument raises. Typer has a click of its own since 0.26, an installed one before.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read, and nothing else.")]


def main() -> None:
    """The entry point of the `speechgru` command."""
    run_command(lambda: app(prog_name="speechgru", standalone_mode=False))


def run_command(command: Callable[[], Any]) -> None:
    """Runs `command` and ends the process as a command should.

    A user's mistake ends in one readable message and exit code 2, Ctrl-C in exit code 130, SIGTERM in 143, anything
    else in its traceback: that one is ours.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # a shell's or keras.json's is another project's
    if hasattr(sys.stdout, "reconfigure"):  # a terminal that cannot show a character gets its number
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = command()
    except (typer.Abort, KeyboardInterrupt):
        err.print("stopped; what was written before is kept")
        sys.exit(130)
    except Interrupted as interrupted:
        err.print(escape(str(interrupted)), soft_wrap=True, highlight=False)
        sys.exit(interrupted.code)
    except UserError as error:
        _fail(str(error))
    except _UsageError as error:
        context, message = getattr(error, "ctx", None), error.format_message()  # type: ignore[attr-defined]
        if not message:  # no command was given: the help is printed already
            sys.exit(2)
        _fail(message + (f" (see `{context.command_path} --help`)" if context else ""))
    sys.exit(code if isinstance(code, int) else 0)


def print_error(message: str) -> None:
    """Prints a user's mistake on one line of standard error."""
    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)


def print_notes(notes: Sequence[str]) -> None:
    """Prints what a person should know before long work, where the bars would cut it; elsewhere progress has it."""
    if err.is_terminal:
        for note in notes:
            err.print(escape(note), style="yellow", soft_wrap=True, highlight=False)


def _fail(message: str) -> None:
    print_error(message)
    sys.exit(2)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    if version:
        terminal.print(f"speechgru {__version__}", highlight=False)
        raise typer.Exit


@contextlib.contextmanager
def show_progress(*, quiet: bool = False) -> Iterator[Callable[[str, int, int, str], None]]:
    """Progress for verbs: bars on a terminal, a line every ten seconds and at each stage's end elsewhere."""
    if quiet:
        yield silent
    elif err.is_terminal:
        with progress_bars(err) as bars:
            tasks: dict[str, Any] = {}

            def draw(stage: str, done: int, total: int, note: str = "") -> None:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(escape(stage), total=total, note=note)
                bars.update(tasks[stage], completed=done, total=total, note=escape(note))

            yield draw
    else:
        yield line_progress(lambda line: err.print(line, highlight=False, markup=False, soft_wrap=True))


def progress_bars(console: Console) -> Bars:
    """Bars that keep their columns in a terminal of 80 characters: the note is last, and is cut to what is left."""

    def fixed(**more: Any) -> Column:
        return Column(no_wrap=True, **more)

    return Bars(
        TextColumn("{task.description}", table_column=fixed(max_width=24, overflow="ellipsis")),
        BarColumn(bar_width=10, table_column=fixed()),
        MofNCompleteColumn(table_column=fixed()),
        TimeElapsedColumn(table_column=fixed()),
        TimeRemainingColumn(compact=True, table_column=fixed()),
        TextColumn("{task.fields[note]}", table_column=fixed(ratio=1, overflow="ellipsis")),
        console=console,
        expand=True,
    )


def needs_training_packages(load: Callable[[], Any]) -> Any:
    """Imports what needs TensorFlow; a missing package is one message that names the extra."""
    try:
        return load()
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("speechgru"):
            raise
        raise UserError(f"this needs the training packages ({error.name}): pip install 'speechgru[train]'") from error


def import_module(name: str) -> Any:
    """Imports a verb when it is called, not when the command starts."""
    import importlib

    return importlib.import_module(name)


def split(value: str) -> list[str]:
    """The parts of a comma-separated list."""
    return [part.strip() for part in value.split(",") if part.strip()]


def whole_column(header: str) -> Column:
    """A column whose long words, such as paths, continue in the next line and are not cut."""
    return Column(header, overflow="fold")


def print_json(value: Any) -> None:
    """Prints JSON; a terminal that cannot show a character gets its escape."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, allow_nan=False)
    sys.stdout.write(text + "\n")
