"""The `speechgru` command: parses arguments, calls a verb, prints what it gave back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column
from typer.core import TyperGroup

from speechgru import __version__
from speechgru.cli.output import OutputLost, standard_streams
from speechgru.cli.tables import Table  # noqa: F401  (commands draw tables)
from speechgru.errors import Interrupted, UserError
from speechgru.files import is_writing
from speechgru.process.signals import Ending, ending_signals, exit_code
from speechgru.progress import line_progress, silent
from speechgru.visible import visible, visible_json

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


#: The order in which help lists the commands; others follow.
_ORDER = (
    *("init", "config", "doctor", "prepare", "check", "grammar", "language", "listen", "shard", "train", "report"),
    *("evaluate", "tune", "join", "record", "adapt", "negatives", "calibrate", "export", "inspect", "transcribe"),
    *("spot", "align", "segment", "splice", "serve", "web"),
)


class Commands(TyperGroup):
    """The commands, in the order in which a person comes to need them."""

    def list_commands(self, ctx: Any) -> list[str]:
        places = {name: place for place, name in enumerate(_ORDER)}
        return sorted(super().list_commands(ctx), key=lambda name: places.get(name, len(places)))

    def get_params(self, ctx: Any) -> list[Any]:
        # Where a flag has no default, typer loads pydantic to convert that it was not given.
        params = super().get_params(ctx)
        for param in params:
            if getattr(param, "is_flag", False) and param.default is None:
                param.default = False
        return params


app = typer.Typer(
    cls=Commands,
    help="Small speech recognisers: train on your own recordings, ship one file.\n\n"
    "The usual way: prepare -> check -> train -> evaluate -> export -> transcribe. "
    "Each command's --help shows an example, and its last line what comes next. `speechgru init` begins. "
    "With --install-completion the Tab key completes commands and options.\n\n"
    "Exit codes: 0; 1 where the answer is no, such as problems that check found; 2 for a mistake in what was given; "
    "130 after Ctrl-C, 143 after SIGTERM; 70 for a fault of ours.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


class Terminal(Console):
    """A console that prints names and texts of people: what would steer the terminal is shown as an escape."""

    def render_str(self, text: str, **options: Any) -> Any:
        return super().render_str(visible(text), **options)


terminal = Terminal(markup=False, emoji=False)
err = Terminal(stderr=True, emoji=False)

#: What a wrong argument raises. Typer has a click of its own since 0.26, an installed one before.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")

#: The exit code of a fault of ours (`EX_SOFTWARE` of BSD's sysexits), and what shows its traceback.
_FAULT, _TRACEBACK = 70, "SPEECHGRU_TRACEBACK"
#: What a signal ends a command with: SIGHUP, SIGINT, SIGTERM.
_BY_SIGNAL = (129, 130, 143)
_STOPPED = "stopped; what was written before is kept"

#: Whether the command that runs was asked for JSON alone.
_is_for_program = False


def _note_json(asked: bool) -> bool:
    global _is_for_program
    _is_for_program = asked
    return asked


JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print JSON for a program to read, and nothing else.", callback=_note_json)
]


def main() -> None:
    """Runs the command that the process's arguments name, and ends the process."""

    def run() -> Any:
        asked = import_module("speechgru.cli.asked").asked_app(sys.argv[1:])
        return asked(prog_name="speechgru", standalone_mode=False)

    run_command(run)


def run_command(command: Callable[[], Any]) -> None:
    """Runs `command` and ends the process as a command should.

    A user's mistake, or a file that the system refuses, ends in one readable message and exit code 2, Ctrl-C in exit
    code 130, SIGTERM in 143, output that nobody reads any more (`| head`) in 141. What is left is a fault of ours: one
    line with how to report it, and exit code 70, which is no verdict of a verb. With the environment's
    `SPEECHGRU_TRACEBACK` that one shows where it came from.
    """
    # A shell's or keras.json's are another project's, and where no home can be written Keras reads anybody's in /tmp.
    os.environ.update(KERAS_BACKEND="tensorflow", KERAS_HOME=os.devnull)
    with standard_streams(), ending_signals(at_once=_leave, is_writing=is_writing) as ending:
        code = _run(command, ending)
        try:
            sys.stdout.flush()
        except OutputLost as lost:
            code = _describe_lost(lost) if code in (0, 1) else code
    sys.exit(code)


def _run(command: Callable[[], Any], ending: Ending) -> int:
    """Runs a command; gives its exit status, and prints what there is to say of it."""
    code: Any = 0
    try:
        try:
            with _announced("tensorflow", "loading TensorFlow, which takes some seconds"):
                code = command()
        finally:
            ending.is_over = True
    except OutputLost as lost:
        return _describe_lost(lost)
    except Interrupted as interrupted:
        err.print(escape(str(interrupted)), soft_wrap=True, highlight=False)
        return interrupted.code
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except SystemExit as end:
        code = end.code
    except BaseException as error:
        # A signal may end in any exception, such as that of an import or a process that it has cut short.
        if ending.received is None:
            return _describe_error(error)
    if ending.received is not None:
        code = exit_code(ending.received)
    if code in _BY_SIGNAL:
        err.print(_STOPPED)
    return code if isinstance(code, int) else 0


def _leave(code: int) -> None:
    """What a terminal needs before the process ends in the midst of something."""
    err.show_cursor()
    err.print(_STOPPED)


def _describe_lost(lost: OutputLost) -> int:
    """What is said where standard output cannot be written, and the exit status."""
    if isinstance(lost.error, BrokenPipeError):
        return 128 + 13
    print_error(f"standard output cannot be written ({lost.error.strerror}); what was done before is kept")
    return 2


def _describe_error(error: BaseException) -> int:
    """What is said of an exception that ended a command, and the exit status.

    Raises:
        BaseException: the exception, where it is one that Python handles.
    """
    if isinstance(error, UserError):
        return _refuse(str(error))
    if isinstance(error, OSError):
        return _refuse(_describe_system(error))
    if isinstance(error, MemoryError):
        return _refuse("the memory does not suffice; end other programs, or give less at once")
    if isinstance(error, _UsageError):
        context, message = getattr(error, "ctx", None), error.format_message()  # type: ignore[attr-defined]
        if not message:  # no command was given: the help is printed already
            return 2
        return _refuse(message + (f" (see `{context.command_path} --help`)" if context else ""))
    if not isinstance(error, Exception) or os.environ.get(_TRACEBACK):
        raise error
    print_error(_describe_fault(error))
    return _FAULT


@contextlib.contextmanager
def _announced(package: str, line: str) -> Iterator[None]:
    """Within it, the first import of a package that is slow to import prints a line before it begins."""

    class Announcing:
        is_due = True

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == package and self.is_due and not _is_for_program:
                self.is_due = False  # it stays: whoever is removed here lets the import skip the next one
                err.print(line, highlight=False, soft_wrap=True)

    announcing: Any = Announcing()
    sys.meta_path.insert(0, announcing)
    try:
        yield
    finally:
        sys.meta_path.remove(announcing)


def print_beginning(line: str) -> None:
    """Prints a command's first line on standard error: what it begins with, before what takes long to import or read.

    A program that asked for JSON gets nothing.
    """
    if not _is_for_program:
        err.print(visible(_shortened(line), in_a_line=True), markup=False, highlight=False, soft_wrap=True)


def first_of(names: Sequence[str | Path]) -> str:
    """The first of several files, and how many more there are.

    >>> first_of(["a.wav"]), first_of(["a.wav", "b.wav", "c.wav"])
    ('a.wav', 'a.wav and 2 more')
    """
    return f"{names[0]}{f' and {len(names) - 1:,} more' if len(names) > 1 else ''}" if names else "nothing"


def print_next(*words: str | Path, program: str = "speechgru") -> None:
    """Prints, as a command's last line on standard error, the command that a person most likely wants next.

    A program that asked for JSON gets nothing. Words in capitals, such as HELLO.wav, are for the person to replace.

    Args:
        *words: what stands behind the program's name; they are quoted as a shell needs it.
        program: another one than this; empty where `words` begin with it.
    """
    if not _is_for_program:
        command = shlex.join([*program.split(), *map(str, words)])
        err.print(f"next: {visible(command)}", markup=False, highlight=False, soft_wrap=True)


def _describe_system(error: OSError) -> str:
    """What the system says of a file, where nobody below knew more about it."""
    name = error.filename if isinstance(error.filename, str | bytes) else ""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{os.fsdecode(name)}: {reason[:1].lower()}{reason[1:]}" if name else reason


def _describe_fault(error: Exception) -> str:
    """An error that is nobody's mistake: what, where, and how to report it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "speechgru" in Path(frame.filename).parts] or frames
    where = f" in {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    reason = " ".join(str(error).split())
    return (
        f"speechgru {__version__} has a fault: {type(error).__name__}{where}{': ' * bool(reason)}{shorten(reason)}. "
        f"Please report it with the command and what it prints with {_TRACEBACK}=1 before it, and `speechgru doctor`"
    )


def shorten(text: str, *, most: int = 160) -> str:
    """The beginning of a long text, for a message."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def print_error(message: str) -> None:
    """Prints a user's mistake on one line of standard error; what would steer the terminal, as a name may, as text."""
    err.print(f"[bold red]error:[/] {escape(_shortened(message))}", soft_wrap=True, highlight=False)


def _shortened(message: str) -> str:
    """A message without endless names."""
    return re.sub(r"\S{200,}", lambda name: f"{name[0][:80]}...{name[0][-80:]}", message)


def print_notes(notes: Sequence[str]) -> None:
    """Prints what a person should know before long work, where the bars would cut it; elsewhere progress has it."""
    if err.is_terminal:
        for note in notes:
            err.print(escape(note), style="yellow", soft_wrap=True, highlight=False)


def _refuse(message: str) -> int:
    print_error(message)
    return 2


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    _note_json(False)  # until the command's own flag says otherwise
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
                if note and not total:
                    err.print(f"{stage}: {note}", highlight=False, markup=False, soft_wrap=True)
                    return
                if stage not in tasks:
                    tasks[stage] = bars.add_task(escape(visible(stage)), total=total or None, note="")
                bars.update(tasks[stage], completed=done, total=total or None, note=escape(visible(note)))

            yield draw
    else:
        yield line_progress(lambda line: err.print(line, highlight=False, markup=False, soft_wrap=True))


def progress_bars(console: Console) -> Bars:
    """Bars that keep their columns in a terminal of 80 characters: the note is last, and is cut to what is left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    def fixed(**more: Any) -> Column:
        return Column(no_wrap=True, **more)

    return Progress(
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


def ask(question: str) -> str:
    """What a person at the terminal answers.

    Raises:
        EOFError: there is no more input.
    """
    return input(visible(question))


def split(value: str) -> list[str]:
    """The parts of a comma-separated list."""
    return [part.strip() for part in value.split(",") if part.strip()]


def near(path: str | Path) -> Path:
    """A path as a person would write it: from the current folder on, where it lies below."""
    path = Path(path)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def number_column(header: str) -> Column:
    """A column of numbers or keys, which are never cut or broken, however narrow the terminal is."""
    return Column(header, no_wrap=True, overflow="ignore")


def print_json(value: Any) -> None:
    """Prints JSON; a terminal that cannot show a character gets its escape."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2, allow_nan=False)
    sys.stdout.write(visible_json(text) + "\n")
