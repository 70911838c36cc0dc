"""How a command ends: signals at any moment, and standard streams that are full, closed or read by nobody."""

import errno
import functools
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from speechgru.cli import commands, console
from speechgru.files import atomic_folder, atomic_path
from speechgru.process import signals

BUNDLE = Path(__file__).parent / "data" / "bundles" / "v3"
FULL = "error: standard output cannot be written (No space left on device); what was done before is kept\n"


def all_commands():
    """The words of each command and group, from the table that the command line is made of."""

    def below(command, words):
        yield words
        for name, each in getattr(command, "commands", {}).items():
            yield from below(each, (*words, name))

    return list(below(typer.main.get_command(console.app), ()))


COMMANDS = all_commands()
VERBS = [words for words in COMMANDS if words not in ((), ("negatives",), ("grammar",), ("language",))]


def test_the_table_holds_every_module_of_commands():
    assert len(VERBS) == len(set(VERBS)) >= 18 and commands.web


class Lost(io.StringIO):
    """A stream that cannot be written, as it happens: when it is flushed."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def flush(self):
        if self.getvalue():
            raise OSError(self.number, os.strerror(self.number))


@pytest.fixture
def run(monkeypatch):
    """Runs a command line in this process; gives the exit code and what was printed."""

    def run(*arguments, out=None, err=None):
        streams = out or io.StringIO(), err or io.StringIO()
        monkeypatch.setattr(sys, "argv", ["speechgru", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as caught:
            console.main()
        monkeypatch.setattr(console.terminal, "quiet", True)  # rich keeps what it could not print: it is dropped here
        console.terminal.print()
        monkeypatch.setattr(console.terminal, "quiet", False)
        return (caught.value.code or 0, *(stream.getvalue() for stream in streams))

    return run


# Standard streams


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_that_cannot_be_printed_is_one_message_or_none(run, words):
    code, _, err = run(*words, "--help", out=Lost(errno.ENOSPC))
    assert (code, err) == (2, FULL)
    code, _, err = run(*words, "--help", out=Lost(errno.EPIPE))
    assert (code, err) == (141, "")


@pytest.fixture
def printing(tmp_path, write_wav, write_lines):
    """Command lines that do something and print it, as tables and as JSON."""
    recording = write_wav(tmp_path, "0.wav", sample_rate=8000)
    lines = [{"audio_filepath": "0.wav", "duration": 1.0, "text": "yes"}]
    manifest = write_lines(tmp_path / "m.jsonl", lines)
    (tmp_path / "none.wav").write_bytes(b"")
    done = [
        ["check", manifest, "--out", tmp_path / "clean.jsonl"],
        ["inspect", BUNDLE],
        ["transcribe", BUNDLE, recording],
        ["grammar", "check", "digits"],
        ["negatives", "add", recording, "--to", tmp_path / "n.jsonl"],
        ["evaluate", BUNDLE, "--manifest", manifest],
    ]
    return [[*each, *more] for each in done for more in ([], ["--json"])]


def test_output_that_cannot_be_printed_is_one_message_and_what_was_done_is_kept(run, printing, tmp_path):
    for arguments in printing:
        code, _, err = run(*arguments, out=Lost(errno.ENOSPC))
        assert code == 2 and err.endswith(FULL) and err.count("error: ") == 1, arguments
        code, _, err = run(*arguments, out=Lost(errno.EPIPE))
        assert code == 141 and "error: " not in err, arguments
    assert (tmp_path / "clean.jsonl").exists() and (tmp_path / "n.jsonl").exists()


def test_messages_that_cannot_be_printed_change_nothing(run, printing):
    for arguments in printing:
        code, out, _ = run(*arguments, err=Lost(errno.ENOSPC))
        assert out and code == run(*arguments)[0], arguments
    assert run("check", "none.jsonl", err=Lost(errno.ENOSPC))[0] == 2


_SCRIPT = """
import os, sys
from speechgru.cli import run_command
def command():
    with open("model", "w") as model:
        if sys.argv[1:]:
            os.write(1, b"some library's line")
            os.write(2, b"some library's line")
        print("message", file=sys.stderr)
        model.write(repr(sys.stdin.read()))
    print("text")
run_command(command)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", [(0, 1, 2), (1,), (1, 2)], ids=str)
def test_closed_streams_are_nowhere_and_no_files(tmp_path, closed):
    close = " ".join(f"{number}>&-" for number in closed)
    done = subprocess.run(
        ["sh", "-c", f'"$@" {close}', "sh", sys.executable, "-c", _SCRIPT, "raw"],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "model").read_text() == "''"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("streams", "code"), [(">/dev/full", 2), (">/dev/full 2>&1", 2), ("2>/dev/full", 0)])
def test_full_streams_end_with_the_right_status(tmp_path, monkeypatch, streams, code):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    done = subprocess.run(
        ["sh", "-c", f'"$@" {streams}', "sh", sys.executable, "-c", _SCRIPT],
        cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == code
    assert done.stderr in ("", f"message\n{FULL}")
    assert (tmp_path / "model").read_text() == "''"


# Signals


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_every_verb_answers_signals(run, monkeypatch, tmp_path, words, number):
    """Whatever it does then: here it writes a file and a folder, of which nothing is left."""

    def work(**options):
        with atomic_path(tmp_path / "file") as file, atomic_folder(tmp_path / "folder") as folder:
            for place in (file, folder / "file"):
                place.write_text("half")
            os.kill(os.getpid(), number)
            time.sleep(10)

    root = typer.main.get_command(console.app)
    command = functools.reduce(lambda group, word: group.commands[word], words, root)
    command.callback, command.params = work, []
    monkeypatch.setattr(typer.main, "get_command", lambda app: root)
    before = signal.getsignal(number)
    code, out, err = run(*words)
    assert (code, out, err) == (128 + number, "", "stopped; what was written before is kept\n")
    assert os.listdir(tmp_path) == [] and signal.getsignal(number) is before


_IN_AN_IMPORT = """
import os, pathlib, sys
from speechgru.cli import run_command
from speechgru.files import atomic_path
pathlib.Path("slow.py").write_text("import os, signal, time\\nos.kill(os.getpid(), signal.SIGINT)\\ntime.sleep(10)")
sys.path.insert(0, "")
def idle():
    try:
        import slow
    except BaseException:
        print("a library that swallows it")
def writing():
    with atomic_path("file"):
        import slow
run_command(globals()[sys.argv[1]])
"""


@pytest.mark.parametrize("what", ["idle", "writing"])
def test_a_signal_in_an_import_ends_the_command_in_silence(tmp_path, what):
    done = subprocess.run(
        [sys.executable, "-c", _IN_AN_IMPORT, what],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped; what was written before is kept\n")
    assert not (tmp_path / "file").exists() and not list(tmp_path.glob(".*"))


def test_a_signal_while_the_command_itself_is_imported(tmp_path):
    """Before there is a console that could print anything."""
    (tmp_path / "rich.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(10)")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom speechgru.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "")


def test_the_same_signal_twice_is_one_and_a_later_one_ends_at_once(monkeypatch):
    times, left = iter([0.0, 0.1, 2.0]), []
    monkeypatch.setattr(signals.time, "monotonic", lambda: next(times))
    monkeypatch.setattr("os._exit", left.append)
    with signals.ending_signals(at_once=left.append) as ending:
        with pytest.raises(signals.Terminated):
            os.kill(os.getpid(), signal.SIGTERM)
        for expected in ([], [143, 143]):
            os.kill(os.getpid(), signal.SIGTERM)
            assert left == expected and ending.received == signal.SIGTERM


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.ending_signals() as ending:
            os.kill(os.getpid(), signal.SIGINT)
        assert ending.received is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_signal_breaks_is_no_fault(capsys):
    """Such as a worker's pipe, or an import that was cut short."""

    def broken():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("numpy.core.multiarray failed to import") from None

    with pytest.raises(SystemExit) as caught:
        console.run_command(broken)
    assert caught.value.code == 143 and capsys.readouterr().err == "stopped; what was written before is kept\n"


def test_workers_end_with_their_caller_and_print_nothing(tmp_path):
    """Ctrl-C reaches the whole group of processes that a terminal has started."""
    code = (
        "import os, signal, threading, time\n"
        "from speechgru.cli import run_command\n"
        "from speechgru.process import workers\n"
        "threading.Timer(1.0, os.killpg, (os.getpid(), signal.SIGINT)).start()\n"
        "run_command(lambda: list(workers.run(time.sleep, [0.2] * 200, workers=2)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120, start_new_session=True
    )
    assert (done.returncode, done.stderr) == (130, "stopped; what was written before is kept\n")
