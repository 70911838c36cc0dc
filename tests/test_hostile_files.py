"""Files of strangers, and files that are none: one message in bounded time and memory, whatever is read."""

import io
import json
import os
import resource
import sys
import time
from pathlib import Path

import pytest

from speechgru.cli import console
from speechgru.files import open_file, read_file, sha256_of

BUNDLE = Path(__file__).parent / "data" / "bundles" / "v3"

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")


@pytest.fixture
def refused(monkeypatch, tmp_path, write_wav):
    """Runs a command line that must end in one message; gives the message."""
    write_wav(tmp_path, "0.wav", sample_rate=8000)
    monkeypatch.chdir(tmp_path)

    def refused(*arguments):
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["speechgru", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(SystemExit) as caught:
            console.main()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        message = err.getvalue()
        message = message[message.find("error: ") :]  # before it a line that names what is read
        assert (caught.value.code, out.getvalue()) == (2, ""), message
        assert message.startswith("error: ") and message.count("error: ") == 1 and len(message) < 1000, message
        assert time.process_time() - began < 15 and grown < 200, (time.process_time() - began, grown)
        return message

    return refused


def pipe(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def sparse(path):
    path.touch()
    os.truncate(path, 1 << 43)


#: Commands that read a document of each kind, by the document's name.
READERS = {
    "m.jsonl": ["check", "m.jsonl"],
    "c.yaml": ["check", "good.jsonl", "--config", "c.yaml"],
    "train.yaml": ["train", "train.yaml", "--run", "run"],
    "sweep.yaml": ["tune", "sweep.yaml", "--run", "run"],
    "g.yaml": ["grammar", "check", "g.yaml"],
    "g.json": ["grammar", "check", "g.json"],
    "hot.txt": ["transcribe", BUNDLE, "0.wav", "--hotwords", "hot.txt"],
    "phrases.txt": ["transcribe", BUNDLE, "0.wav", "--phrases", "phrases.txt"],
    "b/bundle.json": ["transcribe", "b", "0.wav"],
    "b/float32.tflite": ["inspect", "b"],
    "one.tflite": ["transcribe", "one.tflite", "0.wav"],
    "source/transcripts.csv": ["prepare", "folder", "--source", "source", "--out", "out"],
    "run/config.yaml": ["evaluate", "run", "--manifest", "good.jsonl"],
    "others.txt": ["prepare", "commands", "--grammar", "digits", "others=others.txt", "--out", "out"],
}


@pytest.mark.parametrize("make", [pipe, device, sparse])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_one_message(refused, tmp_path, write_wav, write_lines, name, make):
    write_lines(tmp_path / "good.jsonl", [{"audio_filepath": "0.wav", "duration": 1.0, "text": "yes"}])
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if path.parent.name == "source":
        write_wav(path.parent, "0.wav")
    if name == "b/float32.tflite":
        stored = json.loads((BUNDLE / "bundle.json").read_text())
        stored["models"] = {form: {**each, "file": path.name} for form, each in stored["models"].items()}
        (path.parent / "bundle.json").write_text(json.dumps(stored))
    make(path)
    message = refused(*READERS[name])
    assert path.name in message


def test_a_pipe_and_a_device_are_not_opened(tmp_path):
    pipe(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        for read in (open_file, read_file, sha256_of):
            with pytest.raises(OSError, match="it is a device or a pipe, not a file"):
                read(path)
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)
    (tmp_path / "large").write_bytes(b"12345")
    assert read_file(tmp_path / "large", most=5) == b"12345"
    with pytest.raises(OSError, match="it has 5 bytes, and such a file at most 4"):
        read_file(tmp_path / "large", most=4)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_file_whose_size_the_system_does_not_say_is_bounded_too():
    with pytest.raises(OSError, match="and such a file at most 10"):
        read_file("/proc/self/status", most=10)


DIGITS = "1" * 400
#: Documents of each kind that are wrong in ways of which libraries know nothing.
YAML = {
    "a tag of another kind": "model: !!bool abc",
    "an empty number": "model: !!int ''",
    "an empty float": "train: {learning_rate: !!float ''}",
    "another tag": "model: !!timestamp x",
    "python": "model: !!python/object/apply:os.system [ls]",
    "400 digits": f"train: {{max_steps: {DIGITS}}}",
    "400 digits as a float": f"train: {{learning_rate: {DIGITS}}}",
    "5,000 digits": "train: {max_steps: " + "1" * 5000 + "}",
    "an endless float": "train: {learning_rate: 1e999999999}",
    "a line of 10 MB": "model: " + "a" * 10_000_000,
    "a line of 900 kB": "model: " + "a" * 900_000,
    "many values": "data: {train: [" + "1," * 410_000 + "]}",
    "many keys": "model: {" + ",".join(f"k{number}: 1" for number in range(25_000)) + "}",
    "many aliases": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + k)}: &{chr(98 + k)} [{','.join(['*' + chr(97 + k)] * 9)}]\n" for k in range(8)
    ),
    "nested": "[" * 20_000,
    "nested flow": "{a: " * 20_000,
    "null bytes": "model: \0",
    "an alias of itself": "model: &a [*a]",
    "a merge of a number": "model: {<<: 3}",
    "a list as a key": "{[1, 2]: 3}",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "what"),
    [*((name, what) for name in ("c.yaml", "g.yaml") for what in YAML), ("sweep.yaml", "a tag of another kind")],
)
def test_hostile_yaml_is_one_message(refused, tmp_path, write_lines, name, what):
    write_lines(tmp_path / "good.jsonl", [{"audio_filepath": "0.wav", "duration": 1.0, "text": "yes"}])
    (tmp_path / name).write_text(YAML[what])
    assert name in refused(*READERS[name])


LINE = '{"audio_filepath": "0.wav", "duration": %s, "text": %s}'
LINES = {
    "400 digits": LINE % (DIGITS, '"a"'),
    "5,000 digits": LINE % ("1" * 5000, '"a"'),
    "an endless number": LINE % ("1e400", '"a"'),
    "no number": LINE % ("NaN", '"a"'),
    "a line of 10 MB": LINE % ("1.0", '"' + "a" * 10_000_000 + '"'),
    "10 MB of brackets": "[" * 10_000_000,
    "half a character": LINE % ("1.0", '"\\ud800"'),
    "a boolean": LINE % ("true", '"a"'),
    "an offset of 400 digits": LINE % ("1.0", f'"a", "offset": {DIGITS}'),
    "a channel of 400 digits": LINE % ("1.0", f'"a", "channel": {DIGITS}'),
    "null bytes": "\0" * 1000,
}


@pytest.mark.parametrize("what", LINES)
def test_hostile_lines_of_a_manifest_are_one_message(refused, tmp_path, what):
    (tmp_path / "m.jsonl").write_text(LINES[what] + "\n")
    assert "m.jsonl:1" in refused("check", "m.jsonl")


@pytest.mark.parametrize(
    "override", ["train.max_steps=" + DIGITS, "train.learning_rate=" + DIGITS, "train.seed=!!int ''"]
)
def test_hostile_overrides_are_one_message(refused, tmp_path, override):
    (tmp_path / "train.yaml").write_text("")
    assert "train." in refused("train", "train.yaml", "--run", "run", override)
