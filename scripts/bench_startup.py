"""What starting each command costs: processor seconds to the end of its help, and to the first line that it prints.

    python scripts/bench_startup.py [--repetitions 5] [--only train evaluate ...]

Each command is a process of its own, whose processor time is read when its help has ended, and when its first line is
written; the rest of the command is not run. All but `config` begin with a line that names what they work on, before
they import what takes long (held by `tests/test_startup.py`). Their inputs are three tones with texts, a grammar, and a
bundle and a run that come with the repository. A figure is the best of the repetitions, since other work on the machine
only adds to it; `python` is what Python takes that does nothing, `typer` with what the command line stands on, below
which no command of ours can come. The last line is one JSON object, of seconds.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # also runs without an installation

BUNDLE, RUN = ROOT / "tests" / "data" / "bundles" / "v3", ROOT / "speechgru" / "base"
#: What each command is given to come to its first line, in a folder that `make_inputs` has filled.
COMMANDS = {
    "init": "my_first.yaml --use files --grammar lights.yaml",
    "config": "model.units",
    "doctor": "",
    "prepare": "folder --source recordings --out data",
    "check": "t.jsonl",
    "grammar check": "lights.yaml",
    "language train": f"sentences.txt --rules {BUNDLE} --out lm.ngram",
    "language convert": "a.arpa b.ngram",
    "language show": "a.arpa",
    "language train-gru": f"sentences.txt --recogniser {BUNDLE} --run run",
    "listen": "t.jsonl --out listened",
    "shard": "t.jsonl --out shards",
    "train": "my.yaml --run run",
    "report": f"{RUN}",
    "evaluate": f"{BUNDLE} --manifest t.jsonl",
    "tune": "sweep.yaml --run sweep",
    "join": "sweep --chief 127.0.0.1:1",
    "record": "--grammar lights.yaml --out me --from recordings",
    "adapt": f"{RUN} --recordings recordings --run adapted",
    "negatives add": "recordings/0.wav --to negatives.jsonl",
    "calibrate": f"{BUNDLE} --dev t.jsonl --negatives t.jsonl --grammar",
    "export": f"{RUN} --out bundle",
    "inspect": f"{BUNDLE}",
    "transcribe": f"{BUNDLE} recordings/0.wav",
    "align": f"{BUNDLE} recordings/0.wav recordings/0.txt",
    "segment": f"{BUNDLE} recordings/0.wav recordings/0.txt --out cut",
    "splice": "t.jsonl --grammar lights.yaml --out spliced",
    "spot": f"{BUNDLE} recordings/0.wav --keyword a",
    "serve": f"{BUNDLE} --http 127.0.0.1:0",
    "web": f"{BUNDLE} --out site --runtime nowhere",
}
#: Runs a command until it writes something; then prints on descriptor 3 the processor seconds and what it wrote.
UNTIL_FIRST_LINE = """
import io, os, sys, time
class Watched(io.FileIO):
    def write(self, data):
        if bytes(data).strip():
            os.write(3, f"{time.process_time()} {bytes(data).decode().strip()}".encode())
            os._exit(0)
        return len(data)
for number, name in ((1, "stdout"), (2, "stderr")):
    setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(Watched(number, "w")), "utf-8", line_buffering=True))
from speechgru.cli import main
main()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5, help="runs of each, of which the best counts")
    parser.add_argument("--only", nargs="+", default=[], metavar="COMMAND", help="some of them")
    arguments = parser.parse_args()
    repeat = range(arguments.repetitions)
    floors = {"python": "pass", "typer": "import typer, typer.rich_utils"}
    answer = {name: {"help": min(whole(["-c", code]) for _ in repeat)} for name, code in floors.items()}
    answer["speechgru"] = {"help": min(whole(["-m", "speechgru.cli", "--help"]) for _ in repeat)}
    print(f"{'processor seconds':18s} {'--help':>8s} {'first line':>11s}")
    for name, found in answer.items():
        print(f"{name:18s} {found['help']:8.3f}")
    for name in arguments.only or COMMANDS:
        command, taken = ["-m", "speechgru.cli", *name.split(), "--help"], []
        help_seconds = min(whole(command) for _ in repeat)
        for _ in repeat:
            with tempfile.TemporaryDirectory() as folder:
                make_inputs(Path(folder))
                taken.append(first_line([*name.split(), *COMMANDS[name].split()], folder=folder))
        seconds, line = min(taken)
        answer[name] = {"help": help_seconds, "first_line": seconds}
        print(f"{name:18s} {help_seconds:8.3f} {seconds:11.3f}   {line[:60]}")
    print(json.dumps({name: {key: round(value, 3) for key, value in found.items()} for name, found in answer.items()}))


def whole(arguments: list[str]) -> float:
    """The processor seconds of a Python process that runs to its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_line(words: list[str], *, folder: str) -> tuple[float, str]:
    """The processor seconds until a command writes, and its first line."""
    reading, writing = os.pipe()
    code = f"import os, sys\nos.dup2({writing}, 3)\nsys.argv = {['speechgru', *words]!r}\n{UNTIL_FIRST_LINE}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, env=environment(), pass_fds=[writing, 3])
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as stream:
        seconds, _, text = stream.read().partition(" ")
    return float(seconds), text.splitlines()[0]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"}


def make_inputs(folder: Path) -> None:
    """What the commands read: recordings with texts, a manifest, a grammar, a configuration, a sweep."""
    recordings, lines = folder / "recordings", []
    recordings.mkdir()
    for number in range(3):
        with wave.open(str(recordings / f"{number}.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(bytes([number, 1, 0, 0]) * 8000)
        (recordings / f"{number}.txt").write_text("ab", encoding="utf-8")
        path = str(recordings / f"{number}.wav")
        lines.append(json.dumps({"audio_filepath": path, "duration": 1.0, "text": "ab"}))
    files = {
        "t.jsonl": "\n".join(lines) + "\n",
        "sentences.txt": "turn on the light\nturn it off\n",
        "lights.yaml": "language: en\nintents:\n  Light:\n    data: [{sentences: ['turn on the light']}]\n",
        "my.yaml": "data: {train: t.jsonl, dev: t.jsonl}\n",
        "sweep.yaml": "base: my.yaml\nspace: {model.units: {type: choice, values: [8, 16]}}\ntuner: grid\n"
        "objective: wer\nbudget: {trials: 2}\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
