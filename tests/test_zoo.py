"""Whatever people bring: every verb ends in a right result or in one message, and leaves nothing half-written.

The suite draws a zoo in which each form, name, text and table of `zoo` has its turn; `-m slow` draws more of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
import zoo

from speechgru.cli import console

BUNDLE = Path(__file__).parent / "data" / "bundles" / "v3"
RECORDINGS = 4
#: Folders of the suite's zoo: so many that each of `zoo`'s forms is in one of them.
DRAWS = -(-max(len(zoo.FORMS), len(zoo.NAMES), len(zoo.TEXTS), RECORDINGS * len(zoo.LAYOUTS)) // RECORDINGS)
WIDE_DRAWS = 200

pytestmark = pytest.mark.skipif(not zoo.can_write_names(), reason="no such names on this system")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def messages(self) -> list[str]:
        return [line.removeprefix("error: ") for line in self.err.splitlines() if line.startswith("error: ")]

    @property
    def record(self):
        return json.loads(self.out)


@pytest.fixture
def speechgru(monkeypatch, capsys, tmp_path):
    """Runs a verb in this process, in `tmp_path`, and holds what is right of every verb, however it ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHGRU_TRACEBACK", raising=False)

    def run(*arguments, changes=None) -> Ended:
        monkeypatch.setattr(sys, "argv", ["speechgru", *map(str, arguments)])
        before = contents_of(tmp_path)
        with pytest.raises(SystemExit) as caught:
            console.main()
        out, err = capsys.readouterr()
        ended = Ended(caught.value.code or 0, out, err)
        what = " ".join(map(str, arguments))[:300], err[-2000:]
        assert ended.code in (0, 1, 2), what
        assert "Traceback" not in out + err, what
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", err), what
        for message in ended.messages:
            assert len(message.replace(f"{tmp_path}{os.sep}", "")) <= 400, what
        if ended.code == 2:
            # `transcribe` has one for each recording that it cannot read.
            assert len(ended.messages) == 1 or (arguments[0] == "transcribe" and ended.messages), what
        after = contents_of(tmp_path)
        changed = {name for name in before if after.get(name) != before[name]}
        assert changed <= {os.path.normpath(changes)} if changes and ended.code != 2 else not changed, (what, changed)
        new = after.keys() - before.keys()
        if ended.code == 2:
            assert not new, what
        for name in new:
            is_lock = os.path.basename(name) == ".trial.lock"  # a sweep's workers hold it, and it stays
            assert is_lock or not os.path.basename(name).startswith("."), (what, "a temporary file is left")
            require_whole(tmp_path / name)
        return ended

    return run


def contents_of(folder: Path) -> dict[str, str]:
    """The files and folders below a folder, each file with a hash of its content."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = os.path.join(place, name)
            plain = os.path.isfile(path) and not os.path.islink(path)
            found[os.path.relpath(path, folder)] = hashlib.sha1(Path(path).read_bytes()).hexdigest() if plain else ""
    return found


def require_whole(path: Path) -> None:
    """A record that was written can be read to its end."""
    if path.suffix in (".jsonl", ".json") and path.is_file():
        content = path.read_bytes().decode("utf-8")
        assert content == "" or content.endswith("\n")
        # A manifest may have been given another name.
        for text in content.split("\n")[:-1] if path.suffix == ".jsonl" or "quarantine" in path.name else [content]:
            json.loads(text)
    if path.suffix == ".html":
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")


@dataclass(frozen=True)
class Cage:
    """A folder of recordings.

    Args:
        forms: each recording's form, by its name in the folder.
        texts: its text.
        layout: how the texts are written down.
    """

    forms: dict[str, str]
    texts: dict[str, str]
    layout: str

    @property
    def readable(self) -> set[str]:
        return {name for name, form in self.forms.items() if zoo.FORMS[form].is_read}

    @property
    def hidden(self) -> set[str]:
        return {name for name, form in self.forms.items() if form in zoo.HIDDEN}

    @property
    def is_lawful(self) -> bool:
        """Whether `prepare folder` has to read it."""
        beside = self.layout == "texts beside"
        breaks = any(sign in cell for cell in (*self.texts, *self.texts.values()) for sign in "\n\t")
        return (
            zoo.LAYOUTS[self.layout].is_read
            and len(self.readable) == len(self.forms) >= 3
            and all(map(zoo.is_utf8, self.texts))
            and all(text.strip() for text in self.texts.values())
            and (beside or not breaks)
            and not (self.layout in ("Common Voice", "Excel") and any('"' in cell for cell in self.texts.values()))
        )

    def build(self, folder: Path) -> None:
        folder.mkdir()
        samples_N = zoo.samples_of(BUNDLE)
        for name, form in self.forms.items():
            zoo.FORMS[form].write(folder / name, samples_N)
        zoo.LAYOUTS[self.layout].write(folder, list(self.texts.items()))


def draw(number: int, *, seed: int) -> list[Cage]:
    """Draws cages so that no value of an axis comes again before all of them came once."""
    rng = random.Random(seed)

    def turns(values):
        pool = list(values)
        while True:
            order = list(pool)
            rng.shuffle(order)
            yield from order

    good = turns(name for name, form in zoo.FORMS.items() if form.is_read)
    bad = turns(name for name, form in zoo.FORMS.items() if not form.is_read)
    names, texts = turns(zoo.NAMES.values()), turns(zoo.TEXTS.values())
    lawful = turns(name for name, layout in zoo.LAYOUTS.items() if layout.is_read)
    unlawful = turns(name for name, layout in zoo.LAYOUTS.items() if not layout.is_read)
    cages = []
    for place in range(number):
        forms = [next(good) for _ in range(RECORDINGS)]
        if place % 3 == 1:  # one fault at a time, so that no other one hides it
            forms[-2:] = [next(bad), next(bad)]
        layout = next(unlawful) if place % 3 == 2 else next(lawful)
        # A text of two lines cannot stand beside a recording, and an empty one nowhere.
        entries = {next(names) + zoo.FORMS[form].suffix: form for form in forms}
        cages.append(Cage(entries, {name: next(texts) for name in entries}, layout))
    return cages


def bring(cage: Cage, speechgru, tmp_path: Path) -> None:
    """Takes a folder through the verbs that need no TensorFlow."""
    cage.build(tmp_path / "mine")
    prepared = speechgru("prepare", "folder", "--source", "mine", "--out", "out")
    assert prepared.code == 0 or not cage.is_lawful, (cage, prepared.err)
    if prepared.code == 2:
        prepared = speechgru("prepare", "folder", "--source", "mine", "--out", "out", "--skip-missing")
    if prepared.code == 0:
        lines = [
            json.loads(line)
            for split in ("train", "dev", "test")
            for line in (tmp_path / "out" / f"{split}.jsonl").read_text(encoding="utf-8").split("\n")
            if line
        ]
        # No text is changed but for its accents' form; the spaces around a cell or a line are nobody's.
        found = {os.path.basename(line["audio_filepath"]): line["text"] for line in lines}
        given = {name: unicodedata.normalize("NFC", text).strip() for name, text in cage.texts.items()}
        assert found.keys() <= cage.readable | cage.hidden  # which reads headers
        assert {name: text for name, text in given.items() if name in found} == found, cage
        if cage.is_lawful:
            assert found.keys() == cage.forms.keys()
        manifests = [f"out/{split}.jsonl" for split in ("train", "dev", "test")]
        checked = speechgru("check", *manifests, "--json", "--out", "clean", "--report", "doctor")
        assert checked.code in (0, 1), checked.err
        accusations = [entry for part in checked.record for entry in (*part["problems"], *part["suspicions"])]
        # Law 9: what one verb has written no other refuses; and what nobody can read is named.
        unreadable = {entry["audio_filepath"] for entry in accusations if entry["reason"] in zoo.UNREADABLE}
        assert set(map(os.path.basename, unreadable)) == found.keys() & cage.hidden, (cage, accusations)
        for entry in accusations:  # whose recording's name may alone have 255 characters
            said = entry["message"].replace(entry["audio_filepath"], "").replace(str(tmp_path), "")
            assert len(said) <= 400, said
        scored = speechgru("evaluate", BUNDLE, "--manifest", manifests[0], "--json", "--report", "errors.html")
        if not cage.hidden:
            assert scored.code == 0 and scored.record["num_skipped"] == 0, (cage, scored.err)
    ended = speechgru("transcribe", BUNDLE, "mine", "--json")
    records = {os.path.basename(record["audio_filepath"]): record for record in ended.record}
    for name, record in records.items():
        form = zoo.FORMS[cage.forms[name]]
        assert (record["error"] is None) == (form.is_read or cage.forms[name] in zoo.SILENT), (name, form, record)
        assert record["text"] == "ab" or not form.is_exact or not form.is_read, (name, cage.forms[name], record)
        if cage.forms[name] in zoo.SILENT:
            assert (record["confidence"], record["notes"]) == (0.0, ["holds no samples; record it again"])
    assert ended.code == (2 if any(record["error"] for record in records.values()) else 0)


@pytest.mark.parametrize("place", range(DRAWS))
def test_a_folder_of_anything(place, speechgru, tmp_path):
    bring(draw(DRAWS, seed=0)[place], speechgru, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(WIDE_DRAWS))
def test_many_folders_of_anything(place, speechgru, tmp_path):
    bring(draw(WIDE_DRAWS, seed=1)[place], speechgru, tmp_path)


@pytest.mark.slow  # each is trained on, scored, exported and transcribed: seconds each
@pytest.mark.parametrize("place", range(DRAWS))
def test_a_folder_of_anything_is_learnt(place, speechgru, tmp_path):
    """What `prepare` could read of a folder goes through every verb that follows, or is refused in one message."""
    draw(DRAWS, seed=0)[place].build(tmp_path / "mine")
    if speechgru("prepare", "folder", "--source", "mine", "--out", "out", "--skip-missing").code:
        return
    (tmp_path / "c.yaml").write_text(TINY.replace("m.jsonl, dev: m.jsonl", "out/train.jsonl, dev: out/dev.jsonl"))
    trained = speechgru("train", "c.yaml", "--run", "run")
    if trained.code:
        return
    scored = speechgru("evaluate", "run", "--manifest", "out/test.jsonl", "--json", "--report", "errors.html")
    exported = speechgru("export", "run", "--out", "bundle", "--quantize", "none", "--json")
    assert scored.code == 0 or "none of its" in scored.err, scored.err
    assert exported.code == 0, exported.err
    again = speechgru("evaluate", "bundle", "--manifest", "out/test.jsonl", "--json")
    assert again.code == scored.code
    if again.code == 0:
        texts = [[each["hypothesis"] for each in ended.record["utterances"]] for ended in (scored, again)]
        assert texts[0] == texts[1]
    assert speechgru("transcribe", "bundle", "mine", "--json").record


@pytest.mark.parametrize("name", zoo.LINES)
def test_a_manifest_of_one_line(name, speechgru, tmp_path):
    line, is_read = zoo.LINES[name]
    zoo.FORMS["WAV, 16 bits"].write(tmp_path / "a.wav", zoo.samples_of(BUNDLE))
    (tmp_path / "m.jsonl").write_bytes(line + "\n".encode("utf-16-le" if line.startswith(b"\xff\xfe") else "utf-8"))
    checked = speechgru("check", "m.jsonl", "--json", "--out", "clean.jsonl", "--report", "doctor")
    assert (checked.code != 2) == is_read, checked.err
    scored = speechgru("evaluate", BUNDLE, "--manifest", "m.jsonl", "--json")
    assert scored.code == 0 if checked.code == 0 else scored.code in (0, 2)
    if checked.code != 2:
        speechgru("check", "m.jsonl")
        (part,) = checked.record
        assert (scored.code == 0) == (not set(part["counts"]) & set(zoo.UNREADABLE)), (part, scored.err)
        # What is left out can be put right and read again.
        assert speechgru("check", "clean.quarantine.jsonl", "--json").code == (1 if part["problems"] else 2)
    else:
        assert re.match(r"m\.jsonl(:1)?: ", checked.messages[0]) and re.match(r"m\.jsonl(:1)?: ", scored.messages[0])


#: A command with an odd thing in one place; `THING` is that place.
COMMANDS = (
    "check THING",
    "check m.jsonl --config THING",
    "check m.jsonl --out THING",
    "check m.jsonl other/n.jsonl --out THING",
    "check m.jsonl --report THING",
    "prepare folder --source THING --out out",
    "prepare folder --source mine --out THING",
    "prepare folder --source mine --out out --table THING",
    "prepare fsdd --source THING --out out",
    "prepare speechocean762 --source THING --out out",
    "prepare commands --grammar THING --out out",
    "evaluate THING --manifest m.jsonl",
    "evaluate BUNDLE --manifest THING",
    "evaluate BUNDLE --manifest m.jsonl --report THING",
    "evaluate BUNDLE --manifest m.jsonl --slice THING",
    "evaluate BUNDLE --manifest m.jsonl --phrases p.txt --negatives THING",
    "evaluate BUNDLE --manifest m.jsonl --hotwords THING",
    "evaluate BUNDLE --manifest m.jsonl --phrases THING",
    "evaluate BUNDLE --manifest m.jsonl --grammar-file THING",
    "evaluate BUNDLE --manifest m.jsonl --scorer THING",
    "evaluate BUNDLE --manifest m.jsonl --scorer THING:f",
    "inspect THING",
    "transcribe THING mine/0.wav",
    "transcribe BUNDLE THING",
    "transcribe BUNDLE THING --stream",
    "transcribe BUNDLE mine/0.wav --form THING",
    "transcribe BUNDLE mine/0.wav --hotword THING",
    "transcribe BUNDLE mine/0.wav --hotword ab=THING",
    "grammar check THING",
    "negatives add THING --to negatives.jsonl",
    "negatives add mine/0.wav --to THING",
    "record --out me --grammar THING --prompts 3 --from mine",
    "record --out THING --grammar g.yaml --prompts 3 --from mine",
    "record --out me --grammar g.yaml --from THING",
    "train THING --run new",
    "tune THING --run new",
    "join THING --chief 127.0.0.1:9",
    "adapt THING --recordings m.jsonl --run new",
    "export THING --out new",
    "report THING",
    "calibrate THING --dev m.jsonl --negatives m.jsonl --phrases p.txt",
    "shard m.jsonl --out new --config THING",
    "shard --verify THING",
)
#: The same of verbs that train, or that need a run; `RUN` is one of one step.
LEARNING = (
    "train c.yaml --run THING",
    "train c.yaml --run new data.train=THING",
    "train c.yaml --run new data.dev=THING",
    "train c.yaml --run new data.negatives=THING",
    "train c.yaml --run new data.grammar=THING",
    "train c.yaml --run new train.start_from=THING",
    "train c.yaml --run new train.freeze=[THING]",
    "train c.yaml --run new augment.noise_manifest=THING augment.noise_kinds=[recorded]",
    "train c.yaml --run new augment.reverb_manifest=THING augment.reverb_probability=1",
    "tune s.yaml --run new data.train=THING",
    "tune s.yaml --run new train.start_from=THING",
    "adapt RUN --recordings THING --run new --folds 2 --steps 1",
    "adapt RUN --recordings m.jsonl --run THING --folds 2 --steps 1",
    "adapt RUN --recordings m.jsonl --run new --folds 2 --steps 1 --general THING",
    "adapt RUN --recordings m.jsonl --run new --folds 2 --steps 1 --replay THING",
    "evaluate RUN --manifest THING",
    "evaluate RUN --manifest m.jsonl --report THING",
    "export RUN --out THING --quantize none",
    "export RUN --out new --quantize none --manifest THING",
    "report RUN --out THING",
    "listen THING --config c.yaml --out new",
    "listen m.jsonl --config THING --out new",
    "shard THING --config c.yaml --out new",
)
#: What people put in the wrong place: a name relative to the test's folder.
THINGS = {
    "nothing there": "nowhere",
    "a folder": "things/folder",
    "an empty file": "things/empty",
    "bytes": "things/bytes",
    "a text": "things/text",
    "UTF-16": "things/utf16",
    "JSON": "things/list.json",
    "deep YAML": "things/deep.yaml",
    "YAML of itself": "things/itself.yaml",
    "a recording": "mine/0.wav",
    "a manifest": "m.jsonl",
    "a place below a file": "m.jsonl/a/b",
    "an endless name": "n" * 5000,
    "a name that does not fit": "n" * 300 + "/a",
    "not UTF-8": os.fsdecode(b"caf\xe9"),
    "a dangling link": "things/dangling",
    "a link to itself": "things/loop",
    "two lines": "a\nb",
    "markup": "[/red]",
    "a device": os.devnull,
    "no name": "",
}


@pytest.fixture
def things(tmp_path):
    """A folder in which every command would succeed, with odd things beside."""
    for number in range(3):
        zoo.FORMS["WAV, 16 bits"].write(_made(tmp_path / "mine") / f"{number}.wav", zoo.samples_of(BUNDLE))
        (tmp_path / "mine" / f"{number}.txt").write_text("ab")
    lines = [zoo.manifest_line(audio_filepath=f"mine/{number}.wav", duration=0.571) for number in range(3)]
    (tmp_path / "m.jsonl").write_text("".join(f"{line}\n" for line in lines))
    (_made(tmp_path / "other") / "n.jsonl").write_text(lines[0].replace("mine", "../mine") + "\n")
    (tmp_path / "p.txt").write_text("ab\n")
    (tmp_path / "c.yaml").write_text(TINY)
    (tmp_path / "s.yaml").write_text(
        "base: c.yaml\nbudget: {trials: 1}\nspace: {train.learning_rate: {type: float, min: 1e-3, max: 1e-2}}\n"
    )
    (tmp_path / "g.yaml").write_text("language: en\nintents: {A: {data: [{sentences: [ab, a]}]}}\n")
    folder = _made(tmp_path / "things")
    (folder / "folder").mkdir()
    (folder / "empty").write_bytes(b"")
    (folder / "bytes").write_bytes(bytes(range(256)) * 20)
    (folder / "text").write_text("turn on the \x1b[31m light\n")
    (folder / "utf16").write_text("turn on\n", encoding="utf-16")
    (folder / "list.json").write_text("[1, 2]\n")
    (folder / "deep.yaml").write_text("[" * 100_000)
    (folder / "itself.yaml").write_text("a: &a [*a]\n")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    return tmp_path


#: A run of one step, of which nothing is expected but that it ends.
TINY = """
data: {sample_rate: 8000, train: m.jsonl, dev: m.jsonl, max_skipped_share: 0.99}
features: {n_mels: 8}
model: {num_layers: 1, units: 4, subsampling_channels: 4, direction: forward}
train: {batch_size: 2, max_steps: 1, warmup_steps: 0, evaluate_every_steps: 1, show_examples: 0}
"""


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A run folder that `TINY` makes of the recordings of `things`."""
    pytest.importorskip("tensorflow", reason="the run is trained")
    from speechgru.config import load_config
    from speechgru.train import train

    folder = tmp_path_factory.mktemp("learnt")
    zoo.FORMS["WAV, 16 bits"].write(folder / "0.wav", zoo.samples_of(BUNDLE))
    (folder / "m.jsonl").write_text(3 * f"{zoo.manifest_line(audio_filepath='0.wav', duration=0.571)}\n")
    (folder / "c.yaml").write_text(TINY)
    train(load_config(folder / "c.yaml"), folder / "run")
    return folder / "run"


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def mistake(command: str, speechgru, folder: Path, run: Path | None = None, *, names: Iterable[str] = THINGS) -> None:
    """Puts odd things into a command: it works, or is refused by name, and nothing is there that was not before."""
    before = contents_of(folder)
    for name in names:
        thing = THINGS[name]
        if thing == os.devnull and re.search("--(out|report|run|to) THING", command):
            continue  # test_files.py looks at what may become of devices
        own = {"BUNDLE": str(BUNDLE), "RUN": str(run)}
        words = [own.get(word, word.replace("THING", thing)) for word in command.split()]
        ended = speechgru(*words, changes=thing)
        assert ended.code != 2 or thing not in ("nowhere", "things/bytes") or thing in ended.err, (command, name)
        for made in sorted(contents_of(folder).keys() - before.keys(), reverse=True):
            (os.rmdir if os.path.isdir(folder / made) else os.remove)(folder / made)
        for changed in (path for path, content in contents_of(folder).items() if content != before[path]):
            assert changed == os.path.normpath(thing), (command, name)
            before[changed] = contents_of(folder)[changed]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_odd_thing_in_any_place(command, speechgru, things):
    """Every third thing for each command: each three commands in a row, of much the same verbs, have all of them."""
    mistake(command, speechgru, things, names=list(THINGS)[COMMANDS.index(command) % 3 :: 3])


@pytest.mark.slow  # a minute
@pytest.mark.parametrize("command", COMMANDS)
def test_every_odd_thing_in_any_place(command, speechgru, things):
    mistake(command, speechgru, things)


@pytest.mark.slow  # some 200 trainings of one step, and graphs traced for each: minutes
@pytest.mark.parametrize("command", LEARNING)
def test_an_odd_thing_where_something_is_learnt(command, speechgru, things, learnt):
    mistake(command, speechgru, things, learnt)


def test_one_channel_of_a_recording_whose_channels_cancel(speechgru, tmp_path):
    zoo.FORMS["WAV, one channel inverted"].write(tmp_path / "a.wav", zoo.samples_of(BUNDLE))
    zoo.FORMS["WAV, 16 bits"].write(tmp_path / "mono.wav", zoo.samples_of(BUNDLE))
    ended = speechgru("transcribe", BUNDLE, "a.wav", "--json")
    assert ended.record[0]["text"] == "" and "a.wav: its channels cancel each other" in ended.err
    assert "transcribe one of them (--channel 1)" in ended.err
    for channel in (1, 2):
        (record,) = speechgru("transcribe", BUNDLE, "a.wav", "--json", "--channel", channel).record
        assert (record["text"], record["num_channels"], record["notes"]) == ("ab", 2, [])
    ended = speechgru("transcribe", BUNDLE, "a.wav", "mono.wav", "--json", "--channel", 2)
    assert ended.code == 2 and [record["error"] is None for record in ended.record] == [True, False]
    assert ended.messages == [
        "mono.wav: has 1 channel, and number 2 was asked for; it has one alone, so leave the choice out"
    ]


def test_a_manifest_names_the_channel_that_is_meant(speechgru, tmp_path):
    zoo.FORMS["WAV, one channel inverted"].write(tmp_path / "a.wav", zoo.samples_of(BUNDLE))
    lines = [zoo.manifest_line(duration=0, **more) for more in ({}, {"channel": 2}, {"channel": 3})]
    for number, line in enumerate(lines, start=1):
        (tmp_path / f"{number}.jsonl").write_text(line + "\n")
    scored = [
        speechgru("evaluate", BUNDLE, "--manifest", f"{number}.jsonl", "--json", "--report", f"{number}.html")
        for number in (1, 2, 3)
    ]
    (note,) = scored[0].record["notes"]
    assert note.startswith(f"{tmp_path / 'a.wav'} (line 1): its channels cancel each other, one of them is inverted")
    assert "its channels cancel each other" in (tmp_path / "1.html").read_text(encoding="utf-8")
    assert (scored[1].record["wer"], scored[1].record["notes"]) == (0.0, [])
    assert scored[1].record["utterances"][0]["channel"] == 2
    missing = "a.wav: has 2 channels, and number 3 was asked for; choose one from 1 to 2, or none to average them"
    assert scored[2].code == 2 and scored[2].messages[0].endswith(missing)
    checked = [speechgru("check", f"{number}.jsonl", "--json").record[0] for number in (1, 2, 3)]
    assert [part["counts"] for part in checked] == [{"silent": 1}, {}, {"no such channel": 1}]
    assert (checked[2]["problems"][0]["line"], checked[2]["problems"][0]["message"][-len(missing) :]) == (1, missing)


#: Every command that writes, with inputs that are missing: what comes first is where the result shall go.
WRITERS = (
    "prepare folder --source nowhere --out FOLDER",
    "prepare synthetic engine=nowhere --out FOLDER",
    "check nowhere.jsonl --report FOLDER",
    "check nowhere.jsonl nor-here.jsonl --out FOLDER",
    "check nowhere.jsonl --out folder-of-manifests",
    "shard nowhere.jsonl --out FOLDER",
    "listen nowhere.jsonl --out FOLDER",
    "train nowhere.yaml --run FOLDER",
    "tune nowhere.yaml --run FOLDER",
    "adapt nowhere --recordings nowhere --run FOLDER",
    "record --grammar nowhere --out FOLDER",
    "export nowhere --out FOLDER",
    "report nowhere --out FILE",
    "evaluate nowhere --manifest nowhere.jsonl --report FILE",
    "negatives add nowhere.wav --to FILE",
)


@pytest.mark.parametrize("command", WRITERS)
def test_a_place_that_cannot_be_written_is_named_before_anything_is_read(command, speechgru, tmp_path):
    (tmp_path / "a file").write_text("mine")
    (tmp_path / "a folder").mkdir()
    (tmp_path / "folder-of-manifests" / "nowhere.jsonl").mkdir(parents=True)
    kind = "folder" if "FOLDER" in command else "file"
    odd = {"FOLDER": "a file", "FILE": "a folder"}
    ended = speechgru(*(odd.get(word, word) for word in command.split()))
    way_out = f"name a {kind} to write|several cleaned manifests need a folder"
    assert ended.code == 2 and re.search(f"is a (file|folder); ({way_out})$", ended.messages[0]), ended.err
    below = [os.path.join("a file", "x") if word in odd else word for word in command.split()]
    ended = speechgru(*below)
    assert "x" not in below[-1] or f"because {tmp_path / 'a file'} is a file" in ended.messages[0]


@pytest.mark.parametrize("way", ["--word-folders", "--word_folders true", "--word-folders=true", "word_folders=true"])
def test_a_switch_is_written_as_the_help_has_it(way, speechgru, tmp_path):
    for number, word in enumerate(("on", "off", "up")):
        path = tmp_path / "mine" / word / "1.wav"
        path.parent.mkdir(parents=True)
        zoo.FORMS["WAV, 16 bits"].write(path, zoo.samples_of(BUNDLE)[: 4000 + number])
        path.with_suffix(".txt").write_text("what the folder does not say")
    folder = ("prepare", "folder", "--source", "mine", "--seed", "1")
    assert speechgru(*folder, *way.split(), "--out", "out").code == 0
    assert "what the folder" not in (tmp_path / "out" / "train.jsonl").read_text()
    assert speechgru(*folder, "--no-word-folders", "--out", "beside").code == 0
    assert "what the folder" in (tmp_path / "beside" / "train.jsonl").read_text()
