"""Corpora of a grammar or of any sentences: the same bytes for the same seed, meaning and engine in each line."""

from __future__ import annotations

import collections
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from speechgru.corpora import prepare, spoken
from speechgru.corpora.planning import plan
from speechgru.corpora.spoken import speak_sentences
from speechgru.corpora.variety import VARIETIES, phrase, record
from speechgru.errors import CorpusError, GrammarError
from speechgru.grammar import Grammar
from speechgru.utterances.check import check
from speechgru.utterances.examination import read_utterance
from speechgru.utterances.manifest import read_manifest
from speechgru.voices import ENGINES, people

YAML = """
language: en
intents:
  Wait: {data: [{sentences: ["wait {minutes} (minute|minutes) [please]"]}]}
  Light: {data: [{sentences: ["turn (on|off) the {room} light"]}]}
lists:
  minutes: {range: {from: 1, to: 100}}
  room: {values: [kitchen, hall, bedroom, attic]}
"""


class Hums:
    """An engine that hums a tone as long as the text; each person has a pitch."""

    summary, licence, cache_key, is_slow = "humming", "public domain", "", True

    def __init__(self, name, *voices):
        self.name, self._voices = name, voices

    def why_unavailable(self):
        return ""

    def voices(self, split):
        return people.voices_of(split, self._voices, self.person)

    def person(self, voice):
        return f"{self.name}/{voice}"

    def draw_voice(self, split, rng, *, is_digits, is_wide):
        return Hum(people.draw_of(split, self._voices, self.person, rng))

    def speak(self, text, voice, *, seed):
        if "zero" in text:
            raise CorpusError("no such word")
        time_N = np.arange(300 * len(text)) / 8000
        samples_N = 0.5 * np.sin(2 * np.pi * (150 + 7 * len(voice.name) + seed % 50) * time_N)
        return (np.round(samples_N * 32767) / 32768).astype(np.float32), 8000


class Hum:
    """A voice of it."""

    def __init__(self, name):
        self.name, self.facts = name, {"hum": True}

    def __repr__(self):
        return self.name


@pytest.fixture
def hums(monkeypatch, tmp_path):
    """Two engines that cost nothing, and an empty cache of the user's."""
    monkeypatch.setattr(
        "speechgru.voices.ENGINES", {"choir": Hums("choir", *"abcdefghijkl"), "solo": Hums("solo", "z")}
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))


@pytest.fixture
def grammar_file(tmp_path):
    pytest.importorskip("hassil")
    path = tmp_path / "my.yaml"
    path.write_text(YAML)
    return path


def digests(out):
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "measurements.jsonl"
    }


def test_commands_carry_their_meaning_their_engine_and_their_grammar(run_command, hums, grammar_file, tmp_path):
    out = tmp_path / "mine"
    code, printed, err = run_command(
        "prepare", "commands", "--grammar", grammar_file, "--out", out, "--utterances=60", "--workers", "1",
        "--engines", "choir=2", "test_engines=solo", "--seed", "3",
    )  # fmt: skip
    assert code == 0, err
    assert "voices: choir (12 people), solo (1 people)" in " ".join(printed.split())
    grammar = Grammar.load(grammar_file)
    assert Grammar.load(out / "grammar.json") == grammar
    manifests = [out / f"{split}.jsonl" for split in ("train", "dev", "test", "test_solo")]
    lines = {path.stem: read_manifest(path) for path in manifests}
    assert {split: len(of) for split, of in lines.items()} == {"train": 52, "dev": 3, "test": 5, "test_solo": 5}
    assert [line.text for line in lines["test_solo"]] == [line.text for line in lines["test"]]
    for split, utterances in lines.items():
        for line in utterances:
            meaning = grammar.parse(line.text)
            assert (line.extra["intent"], line.extra["slots"]) == (meaning.intent, dict(meaning.slots))
            assert line.extra["engine"] == ("solo" if split == "test_solo" else "choir") and line.extra["hum"]
            assert line.speaker == f"{line.extra['engine']}/{line.extra['voice']}"
            assert len(read_utterance(line, sample_rate=16000).samples_N) == round(line.duration * 16000)
    speakers = [{line.speaker for line in utterances} for utterances in lines.values()]
    assert sum(map(len, speakers)) == len(set.union(*speakers))
    assert all(not found.problems for found in check(manifests[1:]))
    record = json.loads((out / "voices.json").read_text())
    assert record["engines"]["choir"]["licence"] == "public domain" and record["engines"]["solo"]["kept_for"] == "test"
    assert record["engines"]["choir"]["weight"] == 2 and record["variety"] == "wide"
    run_command(
        "prepare", "commands", "--grammar", grammar_file, "--out", out, "engines=choir", "utterances=12", "workers=1"
    )
    assert (out / "test.jsonl").exists() and not (out / "test_solo.jsonl").exists(), (
        "of the corpus that was there before"
    )


def test_every_file_of_lines_of_a_spoken_corpus_can_be_given_to_check(hums, grammar_file, tmp_path, run_command):
    out = tmp_path / "out"
    prepare("commands", out, grammar=grammar_file, utterances=40, engines=["choir"], workers=1, cache=None)
    files = sorted(out.glob("*.jsonl"))
    assert [file.stem for file in files] == ["dev", "measurements", "test", "train"]
    status, printed, said = run_command("check", *files, "--json")
    assert status in (0, 1), said
    assert [Path(found["manifest"]).stem for found in json.loads(printed)] == ["dev", "test", "train"]
    status, _, said = run_command("check", out / "measurements.jsonl")
    assert status == 2 and "holds what was measured of recordings; name the manifests" in " ".join(said.split())


def test_what_is_no_command_is_said_by_the_voices_of_train(hums, grammar_file, tmp_path):
    others = tmp_path / "others.txt"
    others.write_text("it is late\n\n  good   morning\n" + "who is there\n" * 9, encoding="utf-8")
    options = {"grammar": grammar_file, "utterances": 40, "engines": ["choir"], "workers": 1, "cache": None}
    manifests = prepare("commands", tmp_path / "out", others=others, **options)
    said = read_manifest(manifests["others"])
    assert manifests["others"] == tmp_path / "out" / "others" / "train.jsonl"
    assert [line.text for line in said] == ["it is late", "good morning", *["who is there"] * 9]
    held_out = {line.speaker for split in ("dev", "test") for line in read_manifest(manifests[split])}
    assert held_out and not held_out & {line.speaker for line in said}
    # A manifest of people is as good; the commands are those that are spoken without it.
    prepare("commands", tmp_path / "again", others=manifests["others"], **options)
    assert digests(tmp_path / "again" / "others").keys() == digests(tmp_path / "out" / "others").keys()
    prepare("commands", tmp_path / "alone", **options)
    alone = digests(tmp_path / "alone")
    assert {name: digest for name, digest in digests(tmp_path / "out").items() if name in alone} == alone
    others.write_text("it is late\n[laughter] oh <unk> no\n")
    with pytest.raises(CorpusError, match=r"others\.txt: .*oh <unk> no.* has the mark \[laughter\], .* of 1 sentence"):
        prepare("commands", tmp_path / "out", others=others, **options)
    others.write_text("\n")
    with pytest.raises(CorpusError, match=r"others\.txt: holds no sentence; --others takes a manifest, or a text"):
        prepare("commands", tmp_path / "out", others=others, **options)
    with pytest.raises(CorpusError, match=r"gone\.txt: cannot be read \(No such file or directory\)"):
        prepare("commands", tmp_path / "out", others=tmp_path / "gone.txt", **options)


def test_neither_the_workers_nor_the_cache_change_a_byte(hums, tmp_path, monkeypatch):
    texts = [f"light {word}" for word in ("one", "two", "three", "four", "five", "six", "seven")] * 3
    monkeypatch.setattr(spoken, "_PER_FILE", 5)
    options = {"engines": {"choir": 1, "solo": 1}, "seed": 4, "workers": 1}
    speak_sentences({"train": texts, "test": texts[:4]}, tmp_path / "one", **options)
    assert len(list((tmp_path / "cache").rglob("*.flac"))) == 25
    speak_sentences({"train": texts, "test": texts[:4]}, tmp_path / "two", **options)
    speak_sentences({"train": texts, "test": texts[:4]}, tmp_path / "three", cache=None, **options)
    assert digests(tmp_path / "one") == digests(tmp_path / "two") == digests(tmp_path / "three")
    assert not (tmp_path / "one" / "dev.jsonl").exists(), "no sentence of dev was given"
    speak_sentences({"train": texts, "test": texts[:4]}, tmp_path / "two", **{**options, "seed": 5})
    assert digests(tmp_path / "one") != digests(tmp_path / "two")


@pytest.mark.parametrize("name", ["train.jsonl", "voices.json", "grammar.json", "measurements.jsonl"])
def test_a_file_of_somebody_elses_is_not_lost_to_a_corpus(hums, tmp_path, name):
    own, options = tmp_path / name, {"engines": {"choir": 1}, "workers": 1, "cache": None}
    own.write_text("mine")
    with pytest.raises(CorpusError, match=rf"holds {name}, and no recording that was spoken here; it would be lost"):
        speak_sentences({"train": ["light on"]}, tmp_path, **options)
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == [name] and own.read_text() == "mine"
    own.unlink()
    for text in ("light on", "light off"):  # the corpus itself is replaced
        speak_sentences({"train": [text]}, tmp_path, **options)
        assert [line.text for line in read_manifest(tmp_path / "train.jsonl")] == [text]


def test_real_engines_in_two_processes_give_the_same_bytes_as_in_one(tmp_path, monkeypatch):
    engines = {name: 1.0 for name in ("espeak", "flite") if not ENGINES[name].why_unavailable()}
    if "espeak" not in engines:
        pytest.skip("espeakng_loader (extra train) is not installed")
    monkeypatch.setattr(spoken, "_PER_FILE", 3)
    texts = {"train": ["light on", "one two three", "off", "stop the radio now"], "dev": ["light off"]}
    for workers in (1, 2):
        speak_sentences(texts, tmp_path / str(workers), engines=engines, workers=workers, cache=None)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")


def test_sentences_without_a_split_are_dealt_by_their_text(hums, tmp_path):
    texts = [f"sentence number {number}" for number in range(60)]
    manifests = speak_sentences(texts, tmp_path / "out", engines={"choir": 1}, workers=1, cache=None)
    found = {split: [line.text for line in read_manifest(path)] for split, path in manifests.items()}
    assert sorted(text for own in found.values() for text in own) == sorted(texts)
    assert 35 < len(found["train"]) < 58
    with pytest.raises(CorpusError, match="sentences are of train, dev and test; got eval"):
        speak_sentences({"eval": texts}, tmp_path / "out", engines={"choir": 1})


def test_an_engines_fault_names_engine_voice_and_text(hums, tmp_path):
    with pytest.raises(CorpusError, match=r"engine solo did not speak 'zero one.*' with the voice z: no such word"):
        speak_sentences(
            {"train": ["zero one"]}, tmp_path / "out", engines={"solo": 1}, variety="usual", cache=None, workers=1
        )


def test_wide_variety_has_longer_silence_more_levels_and_other_pauses():
    rng = np.random.default_rng(0)
    padding = np.array([VARIETIES["wide"].draw_padding(rng) for _ in range(2000)])
    assert padding.min() < 0.11 and padding.max() > 1.4 and 0.3 < np.median(padding) < 0.5
    phrased = [phrase("one two three four five", rng, is_digits=True).rstrip(".!?") for _ in range(300)]
    counts = collections.Counter(text.count(",") for text in phrased)
    assert {0, 1, 2, 4} >= set(counts) and min(counts[0], counts[4]) > 70
    assert all(text.replace(",", "") == "one two three four five" for text in phrased)
    commands = [phrase("turn on the light", rng, is_digits=False) for _ in range(300)]
    assert 30 < sum("," in text for text in commands) < 90
    assert {text[-1] for text in commands} == {"t", ".", "!", "?"}
    speech_N = np.sin(np.arange(16000) / 3)
    peaks = [np.abs(record(speech_N, snr_db=40, rng=rng, variety=VARIETIES["wide"])).max() for _ in range(50)]
    assert min(peaks) < 0.1 and max(peaks) > 0.5


def test_a_small_grammar_repeats_its_sentences_and_a_split_one_does_not():
    texts = ["yes", "no", "stop"]
    small = plan(lambda split, rng: (texts[rng.integers(3)], {}), seed=0, utterances=200, is_split=False)
    assert {each.text for each in small if each.split == "test"} == set(texts)
    draws = []

    def draw(split, rng):
        draws.append(split)
        return f"light {rng.integers(8)}", {}

    plan(draw, seed=0, utterances=400, is_split=True)
    assert draws.count("test") < 1200, "once nothing new is left the search ends"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "commands: needs --grammar, a YAML file"),
        ({"source": "/somewhere"}, "commands: takes no source"),
        ({"engines": ["choir=much"]}, "expected ENGINE=WEIGHT such as espeak=3, got 'choir=much'"),
        ({"engines": ["choir", "choir=1"]}, "choir is given twice"),
        ({"engines": []}, "engines is empty"),
        ({"variety": "wild"}, "variety must be one of usual, wide, got 'wild'"),
        ({"utterances": 3}, "utterances must be a whole number, 12 or more, got 3"),
        ({"voices": "/no/such/folder"}, "no such folder; name a folder of .onnx"),
        ({"engines": ["solo"]}, "the voice engine solo has no speaker for dev"),
    ],
)
def test_wrong_options_are_named(hums, grammar_file, tmp_path, options, message):
    if options and "source" not in options:
        options = {"grammar": grammar_file, **options}
    if "voices" in options:
        options = {**options, "voices": Path(options["voices"])}
    with pytest.raises(CorpusError, match=message):
        prepare("commands", tmp_path / "out", workers=1, **options)


def test_a_grammar_that_is_not_there_is_named(hums, tmp_path):
    pytest.importorskip("hassil")
    with pytest.raises(GrammarError, match="nowhere"):
        prepare("commands", tmp_path / "out", grammar=tmp_path / "nowhere.yaml")


def test_a_flag_of_a_corpus_without_a_value_is_a_mistake(run_command, tmp_path):
    code, _, err = run_command("prepare", "commands", "--out", tmp_path, "--grammar")
    assert code == 2 and "--grammar needs a value" in err
    code, _, err = run_command("prepare", "commands", "--out", tmp_path, "--gramar", "x.yaml")
    assert code == 2 and "did you mean grammar?" in err
