"""What starting the command costs and prints: which modules it loads, the notice before TensorFlow, the last line."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import speechgru.cli.commands  # noqa: F401  (registers the commands)
from speechgru.cli import console
from speechgru.cli.asked import MODULES, asked_app

ROOT = Path(__file__).resolve().parent.parent
#: What takes long to import, and no help and no wrong argument needs.
SLOW = ("numpy", "pydantic", "yaml", "soundfile", "soxr", "tensorflow", "keras", "ai_edge_litert", "email", "asyncio")


def loaded_by(*arguments):
    """The slow modules that a command has loaded when it ends; it may be a mistake."""
    code = (
        "import sys, contextlib, io\n"
        f"sys.argv = ['speechgru', *{[str(argument) for argument in arguments]!r}]\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    from speechgru.cli import main\n"
        "    main()\n"
        f"print([name for name in {(*SLOW, 'hassil', 'matplotlib', 'numba')!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(eval(done.stdout))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["prepare", "--help"], ["language", "train-gru", "--help"], ["evaluate", "--nonsense"], ["trane"]],
)
def test_help_and_wrong_arguments_load_nothing_slow(arguments):
    # Times depend on the machine, and on what else runs there: the modules are what makes them.
    assert loaded_by(*arguments) == set()


#: Runs each command up to the first thing that it prints, in a process forked from one that has loaded the command
#: line alone; prints what it was and the slow modules that were loaded then.
FIRST_LINES = """
import io, json, os, sys
import speechgru.cli.commands
from speechgru.cli import main

class Watched(io.StringIO):
    def write(self, text):
        if text.strip():
            loaded = [name for name in slow if name in sys.modules]
            os.write(3, (json.dumps([words[0], text, loaded]) + os.linesep).encode())
            os._exit(0)
        return len(text)

commands, slow = json.loads(sys.argv[1])
os.dup2(1, 3)
for words in commands:
    if os.fork() == 0:
        sys.argv = ["speechgru", *words]
        sys.stdout = sys.stderr = Watched()
        main()
    assert os.wait()[1] == 0, words
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process for each command is forked")
def test_each_command_prints_its_first_line_before_it_loads_anything_slow(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import bench_startup  # the same commands that are timed there

    assert {name.split()[0] for name in bench_startup.COMMANDS} == set(MODULES)
    bench_startup.make_inputs(tmp_path)
    commands = [[*name.split(), *given.split()] for name, given in bench_startup.COMMANDS.items()]
    asked = json.dumps([commands, [*SLOW, "hassil", "rapidfuzz", "matplotlib", "numba", "scipy", "uvicorn"]])
    done = subprocess.run(
        [sys.executable, "-c", FIRST_LINES, asked],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    found = {name: (line, set(loaded)) for name, line, loaded in map(json.loads, done.stdout.splitlines())}
    converting = {"pydantic", "email"}  # typer's newer versions convert arguments by it; it reads packages' metadata
    # Its answer is all that `config` prints, and a moment's work.
    assert found.pop("config")[1] <= converting | {"numpy", "yaml"}
    for name, (line, loaded) in found.items():
        assert loaded <= converting, name
        assert re.match(r"(reading|loading|scoring|preparing|adapting|exporting|joining|looking) ", line), (name, line)


def test_the_help_of_a_corpus_loads_no_network():
    assert loaded_by("prepare", "commands", "--help") <= {"numpy", "yaml", "soundfile", "soxr"}


def test_a_command_line_is_built_as_far_as_its_arguments_need_it():
    def names_of(built):
        return {one.name or one.callback.__name__ for one in (*built.registered_commands, *built.registered_groups)}

    assert names_of(console.app) == set(MODULES), "each command has a line in the table"
    for name, modules in MODULES.items():
        assert names_of(asked_app([name, "--help"])) == {name}
        ours = {f"speechgru.cli.{module}" for module in modules}
        (built,) = (
            one
            for one in (*console.app.registered_commands, *console.app.registered_groups)
            if (one.name or one.callback.__name__) == name
        )
        below = built.typer_instance.registered_commands if hasattr(built, "typer_instance") else [built]
        assert {one.callback.__module__ for one in below} == ours, name
    for mistyped in (["trane"], ["--version"], ["--show-completion"]):
        assert names_of(asked_app(mistyped)) == set(MODULES)


def test_the_list_of_commands_is_the_same_with_and_without_their_options(capsys):
    shown = []
    for built in (console.app, asked_app(["--help"])):
        built(["--help"], prog_name="speechgru", standalone_mode=False)
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] and "Train a recogniser" in shown[0]


def test_the_shell_completes_commands_and_names():
    def complete(words, *, place):
        environment = {
            **os.environ, "_SPEECHGRU_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(place)
        }  # fmt: skip
        command = [sys.executable, "-m", "speechgru.cli"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        return done.stdout.split()

    assert complete("speechgru tr", place=1) == ["train", "transcribe"]
    assert complete("speechgru config model.un", place=2) == ["model.units"]
    assert complete("speechgru prepare libri", place=2) == ["librispeech"]


@pytest.fixture
def ended(monkeypatch, capsys):
    """Runs something as a command is run; gives what it printed on standard error."""

    def ended(command, *, for_program=False):
        monkeypatch.setattr(console, "_is_for_program", for_program)
        with pytest.raises(SystemExit):
            console.run_command(command)
        return capsys.readouterr().err

    return ended


@pytest.mark.parametrize("for_program", [False, True])
def test_a_line_comes_before_tensorflow_is_loaded(ended, monkeypatch, for_program):
    before = list(sys.meta_path)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)

    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name == "tensorflow":
                raise ModuleNotFoundError("it is not there", name=name)

    def command():
        sys.meta_path.insert(1, Absent())  # right behind the one that prints
        for _ in range(2):
            with pytest.raises(ModuleNotFoundError):
                __import__("tensorflow")
        del sys.meta_path[1]

    expected = "" if for_program else "loading TensorFlow, which takes some seconds\n"
    assert ended(command, for_program=for_program) == expected, "once"
    assert sys.meta_path == before


def test_the_last_line_is_the_next_command_as_a_shell_needs_it(ended):
    line = ended(lambda: console.print_next("train", "my file.yaml", "--run", "runs/a"))
    assert line == "next: speechgru train 'my file.yaml' --run runs/a\n"
    assert ended(lambda: console.print_next("train"), for_program=True) == ""


def test_every_command_names_the_next_one():
    commands = [*console.app.registered_commands]
    for group in console.app.registered_groups:
        commands += group.typer_instance.registered_commands
    assert len(commands) >= 22
    for command in commands:
        module = sys.modules[command.callback.__module__]
        functions = [thing for _, thing in inspect.getmembers(module, inspect.isfunction)]
        naming = {each.__name__ for each in functions if "print_next(" in inspect.getsource(each)} | {"print_next"}
        source = inspect.getsource(command.callback)
        name = command.callback.__name__
        # A server ends when it is stopped; its lines say where it listens.
        assert name == "serve" or any(f"{each}(" in source for each in naming), name


def test_a_program_may_ask_every_command():
    commands = [*console.app.registered_commands]
    for group in console.app.registered_groups:
        commands += group.typer_instance.registered_commands
    without = [
        each.callback.__name__ for each in commands if "as_json" not in inspect.signature(each.callback).parameters
    ]
    assert without == []


def test_json_is_all_that_a_program_gets(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["speechgru", "config", "model.units", "--json"])
    with pytest.raises(SystemExit):
        console.main()
    out, err = capsys.readouterr()
    assert json.loads(out)[0]["key"] == "model.units" and err == ""
    monkeypatch.setattr(sys, "argv", ["speechgru", "config", "model.units"])
    with pytest.raises(SystemExit):
        console.main()
    assert capsys.readouterr().err.startswith("next: "), "the flag of one command is not the next one's"
