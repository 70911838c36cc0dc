"""The tutorials from their first line to their last, as a reader follows them, with fewer sentences, steps and trials.

Files, commands and Python are taken from the page in its order. `SIZES` and `MORE` are all that is changed in them,
`NOT_HERE` is what is left out; what a page asks a reader to have or to say is made by the test before it.
"""

import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.request

import numpy as np
import pytest
import soundfile
from commands import Commands, needs_fork
from corpus_trees import TREES
from pages import DOCS, ROOT, SHELL, blocks_after, commands_of

from speechgru.errors import UserError
from speechgru.grammar import Grammar
from speechgru.utterances import read_manifest
from speechgru.voices import ENGINES
from speechgru.web.litert import fetch

pytest.importorskip("tensorflow", reason="the tutorials train")
pytest.importorskip("hassil", reason="their grammar is read with hassil (extra train)")
pytest.importorskip("espeakng_loader", reason="their sentences are spoken by eSpeak NG")
pytestmark = [
    pytest.mark.slow,  # each prepares, trains, exports and transcribes; their lines are parsed in test_docs.py
    needs_fork,
]

#: What a page says, and how much less of it is done.
SIZES = {
    "utterances=2000": "utterances=40", "utterances=9000": "utterances=40",
    "train.max_steps=1000": "train.max_steps=2", "text.subwords=200": "text.subwords=20",
    "trials: 24": "trials: 2", "max_rtf: 0.01": "max_rtf: 10", "min: 48, max: 160": "min: 16, max: 32",
    "trials: 14": "trials: 1", "min: 32, max: 192": "min: 32, max: 48", "min: 1, max: 3": "min: 1, max: 2",
    "train.max_steps: 300": "train.max_steps: 2", "num_layers: 3, units: 256": "num_layers: 1, units: 16",
    "max_steps: 100000": "max_steps: 2", "warmup_steps: 2000": "warmup_steps: 1",
}  # fmt: skip
#: What is given to a command besides, by the words that it begins with: sizes that the page leaves to the defaults.
MORE = {
    "train": "train.max_steps=2 train.evaluate_every_steps=2 train.show_examples=0",
    "tune my_sweep.yaml": "train.max_steps=2 train.evaluate_every_steps=2",
    "tune configs/": "train.evaluate_every_steps=2",
    "adapt": "--steps 16 --folds 2 --max-forgetting 100",
    "record": "--prompts 6",
    "language train-gru": "train.max_steps=2 train.evaluate_every_steps=2",
    # A model of two steps is close to none, and 8 bits say other nothings than 32.
    "export": "--max-wer-change 100",
    "prepare sentences": "engines=espeak",
    "prepare fsdd": "joined_train=40 joined_dev=5 joined_test=5",
}
#: What is read aloud, of the first tutorial's grammar.
SENTENCES = ("turn on the light", "switch off the kitchen lamp", "turn off the bedroom light")
#: Commands that an environment, a microphone or another machine is needed for.
NOT_HERE = ("make .venv/installed", "source .venv", "pip install", "npm install", "--microphone")
#: Of a model of two steps these may find that the answer is no.
MAY_SAY_NO = ("check", "adapt", "calibrate", "record")


class Reader:
    """Somebody who follows pages in a folder of their own.

    Args:
        folder: an empty folder.
        commands: runs `speechgru`.
        replaced: what stands on the pages and is something else here, such as a port.
    """

    def __init__(self, folder, commands, replaced=()):
        self.folder, self._commands = folder, commands
        self._replaced = {**SIZES, **dict(replaced)}
        self._serving = []

    def follow(self, page, *, before=None):
        """Does all that a page says; `before(words)` may bring what a command needs, such as a recording."""
        for language, text, above in blocks_after(DOCS / "tutorials" / f"{page}.md"):
            for more, less in self._replaced.items():
                text = text.replace(more, less)
            if language == "yaml":
                (self.folder / re.findall(r"`(\w+\.yaml)`", above)[-1]).write_text(text, encoding="utf-8")
            elif language == "python":
                exec(compile(text, page, "exec"), {})
            elif language in SHELL:
                for words in commands_of(text):
                    line = " ".join(words)
                    if not any(one in line for one in NOT_HERE):
                        if before:
                            before(words)
                        self.run(words)
        self.stop_serving()

    def run(self, words):
        """Runs one command, a server until the next that is not asked of it."""
        if words[0] == "curl":
            done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=True, timeout=60)
            assert '"text"' in done.stdout, done
            return
        self.stop_serving()
        if words[0] == "python":
            self._serving.append(subprocess.Popen(words, cwd=self.folder, stderr=subprocess.DEVNULL))
            return
        assert words[0] == "speechgru", words
        line = " ".join(words[1:])
        more = [word for begins, more in MORE.items() if f"{line} ".startswith(begins) for word in more.split()]
        keys = {word.partition("=")[0] for word in words}
        words = [*words[1:], *(word for word in more if "=" not in word or word.partition("=")[0] not in keys)]
        command = self._commands.start(*words, cwd=self.folder)
        if words[0] == "serve":
            self._serving.append(command)
            wait_for(int(re.search(r"127\.0\.0\.1:(\d+)", line)[1]))
            return
        status, printed = command.wait(seconds=1800.0)
        if words[0] == "record" and "--from" not in words and status == 2:  # there is no microphone
            assert "give their folder with --from" in printed, printed
            return
        assert status == 0 or (status == 1 and words[0] in MAY_SAY_NO), f"{shlex.join(words)}\n{printed}"
        if words[0] == "adapt" and status == 1:  # as the message of `export` says, which would refuse it
            (self.folder / words[words.index("--run") + 1] / "not_better.txt").unlink()

    def stop_serving(self):
        for one in self._serving:
            if isinstance(one, subprocess.Popen):
                one.terminate()
                one.wait()
            else:
                one.send(signal.SIGTERM)
                status, printed = one.wait(seconds=60.0)
                assert status in (0, 143), printed
        self._serving.clear()


def wait_for(port):
    """Waits until a server answers at a port of this machine."""
    deadline = time.monotonic() + 120.0
    while time.monotonic() < deadline:
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing answers at port {port}")


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def furnish(folder):
    """Makes a folder that a reader works in: the clone's configurations, their sweeps at the sizes of this test."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    for file in (folder / "configs").glob("sweep_*.yaml"):
        text = file.read_text(encoding="utf-8")
        for more, less in SIZES.items():
            text = text.replace(more, less)
        file.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder of the first tutorial, in which those that build on it go on."""
    return furnish(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    commands = Commands(tmp_path_factory.mktemp("logs"), "speechgru.train", "speechgru.export", "speechgru.scoring")
    yield commands
    commands.close()


@pytest.fixture(scope="module")
def bundle_of_lights(home, commands):
    """What the first tutorial leaves: `lights.yaml`, `data/lights`, `runs/lights` and `bundle`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        Reader(home, commands).follow("first_commands", before=lambda words: say_hello(home))
    return home / "bundle"


def say_hello(home):
    """`hello.wav`, once there is a voice that training did not meet."""
    manifest = home / "data" / "lights" / "test.jsonl"
    if manifest.is_file():
        first = read_manifest(manifest)[0]
        samples, rate = soundfile.read(first.audio_filepath)
        start = round((first.offset or 0) * rate)
        soundfile.write(home / "hello.wav", samples[start : start + round(first.duration * rate)], rate)


def read_aloud(texts, folder, *, names):
    """A recording of each text by one voice of eSpeak NG."""
    folder.mkdir(exist_ok=True)
    engine = ENGINES["espeak"]
    voice = engine.draw_voice("test", np.random.default_rng(0), is_digits=False, is_wide=False)
    for name, text in zip(names, texts, strict=True):
        samples, rate = engine.speak(text, voice, seed=0)
        quiet = np.zeros(rate // 3, np.float32)
        soundfile.write(
            folder / f"{name}.wav", np.concatenate([quiet, 0.5 * samples / np.abs(samples).max(), quiet]), rate
        )


def read_with_texts(texts, folder):
    """Recordings as `prepare folder` reads them, `0.wav` with `0.txt`."""
    read_aloud(texts, folder, names=range(len(texts)))
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text, encoding="utf-8")


def test_first_commands_end_as_an_intent(bundle_of_lights, home):
    assert (bundle_of_lights / "bundle.json").is_file()
    assert Grammar.load(home / "lights.yaml").intents


def test_a_voice_is_learnt_from_what_it_read(bundle_of_lights, home, commands):
    def before(words):
        if "--from" in words:
            # The page's command before wrote the prompts.
            prompts = (home / "me" / "prompts.txt").read_text(encoding="utf-8").splitlines()
            read_aloud(prompts, home / "recordings", names=range(1, 1 + len(prompts)))
        if "my_recordings" in words:
            read_with_texts(SENTENCES, home / "my_recordings")
        soundfile.write(home / "tv.wav", np.random.default_rng(0).normal(0.0, 0.1, 32000), 16000)

    Reader(home, commands).follow("your_voice", before=before)
    assert (home / "my_bundle" / "bundle.json").is_file() and (home / "tv.jsonl").is_file()


def test_a_bundle_goes_into_the_browser(bundle_of_lights, home, commands):
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm, which fetches LiteRT.js, is not installed")
    (home / "litert").mkdir()
    try:
        fetch(home / "litert", npm=npm)  # the page's `npm install`
    except UserError as error:
        pytest.skip(f"LiteRT.js is not to be had: {error}")
    shutil.copytree(bundle_of_lights, home / "build" / "quickstart" / "bundle", dirs_exist_ok=True)
    shutil.copytree(home / "runs" / "lights", home / "build" / "quickstart" / "run", dirs_exist_ok=True)
    read_with_texts([*SENTENCES, *SENTENCES], home / "Jo-Doe")  # what the page's studio saves
    shutil.make_archive(str(home / "Jo-Doe"), "zip", home, "Jo-Doe")
    port = free_port()
    reader = Reader(home, commands, {"http.server": f"http.server {port} --bind 127.0.0.1"})
    reader.follow("browser", before=lambda words: None)
    reader.run(["python", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", "site"])
    wait_for(port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        assert b"<title>Speech recogniser</title>" in answer.read()
    reader.stop_serving()


def test_a_house_asks_a_bundle(bundle_of_lights, home, commands):
    pytest.importorskip("wyoming", reason="the server needs the extra serve")
    if shutil.which("curl") is None:
        pytest.skip("curl, with which the page asks, is not installed")
    shutil.copytree(bundle_of_lights, home / "build" / "quickstart" / "bundle", dirs_exist_ok=True)
    (home / "build" / "quickstart" / "examples").mkdir(exist_ok=True)
    shutil.copy(home / "hello.wav", home / "build" / "quickstart" / "examples" / "1.wav")
    wyoming, http = free_port(), free_port()
    places = {"192.168.1.10:10300": f"127.0.0.1:{wyoming}", "127.0.0.1:10300": f"127.0.0.1:{wyoming}"}
    Reader(home, commands, {**places, "127.0.0.1:8080": f"127.0.0.1:{http}"}).follow("home_assistant")


def test_a_big_corpus_is_prepared_packed_and_trained_on(commands, tmp_path):
    home = furnish(tmp_path)
    TREES["librispeech"](home)
    for speaker in ("ann", "bob", "eve"):
        (home / "recordings" / speaker).mkdir(parents=True)
        read_aloud(["the rain stopped", "nine apples"], home / "recordings" / speaker, names=["a", "b"])
        for name, text in (("a", "the rain stopped"), ("b", "nine apples")):
            (home / "recordings" / speaker / f"{name}.txt").write_text(text, encoding="utf-8")
    reader = Reader(home, commands)
    reader.run(["speechgru", "prepare", "folder", "--source", "recordings", "--out", "data/mine"])
    reader.follow("big_corpus")


def test_a_sweep_finds_what_a_device_can_carry(commands, shared_data, tmp_path):
    home = furnish(tmp_path)
    sentences = ("turn on the light", "turn it off", "stop", "more light", "less light", "good night")
    read_with_texts(sentences, home / "spoken")
    reader = Reader(home, commands, {"prepare fsdd": f"prepare fsdd --source {shared_data / 'fsdd'}"})
    reader.run(["speechgru", "prepare", "folder", "--source", "spoken", "--out", "data/mine"])
    (home / "my.yaml").write_text("data: {train: data/mine/train.jsonl, dev: data/mine/dev.jsonl}\n", encoding="utf-8")
    reader.follow("sweep")
    assert (home / "runs" / "best" / "config.yaml").is_file()


def test_any_sentence_of_a_book_is_written(commands, tmp_path):
    home = furnish(tmp_path)
    rivers, verbs, places = ("rhine", "elbe", "oder", "inn", "lech", "isar"), ("runs", "falls"), ("a town", "a sea")
    lines = [f"The {one} {two} to {three}." for one in rivers for two in verbs for three in places]
    (home / "book.txt").write_text("\n\n".join(lines), encoding="utf-8")
    read_aloud(["the rhine runs to a sea"], home, names=["hello"])
    Reader(home, commands).follow("open_vocabulary")
