"""A corpus with one fault of each kind: every fault is found with its line and reason, and nothing else is accused."""

import json
import os

import numpy as np
import pytest
import soundfile
from test_report import Page

from speechgru.audio.reading import resample
from speechgru.config.sections import RunConfig
from speechgru.errors import ConfigError
from speechgru.text import Vocabulary
from speechgru.utterances import measurement, rules
from speechgru.utterances.case import Case, HeldOut
from speechgru.utterances.check import check
from speechgru.utterances.check_page import short_names, some, write_corpus_report
from speechgru.utterances.examination import Problem, examine, iterate_cases, judge, judge_alone, make_vocabulary
from speechgru.utterances.manifest import Utterance, read_manifest
from speechgru.utterances.measurement import Measurement, MeasurementLog, measure, measurement_key
from speechgru.utterances.rules import meanings, suspicions

RATE = 16000
WORDS = [
    *("the", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are", "as", "with", "his"),
    *("they", "at", "be", "this", "have", "from", "or", "one", "had"),
]
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def configure(**sections):
    fixed = {
        "data": {"sample_rate": RATE, "num_workers": 2},
        "text": {"characters": " 'abcdefghijklmnopqrstuvwxyz"},
        "augment": {"speed_share": 0.0},
    }
    return RunConfig.model_validate({name: fixed.get(name, {}) | sections.get(name, {}) for name in fixed | sections})


CONFIG = configure()


class Corpus:
    """A folder in which recordings and the lines that name them are made; `expected` gathers reasons by line."""

    def __init__(self, folder, make_speech):
        self.folder, self.make_speech = folder, make_speech
        self.lines = {"train": [], "test": []}
        self.expected = {"train": {}, "test": {}}
        self.rng = np.random.default_rng(3)
        self.number = 0
        folder.mkdir()

    def speech(self, seconds):
        self.number += 1
        return self.make_speech(seconds, sample_rate=RATE, seed=self.number)

    def write(self, samples, name=None, **options):
        self.number += 1
        name = name or f"{self.number:03d}.wav"
        soundfile.write(self.folder / name, samples, RATE, **options)
        return name

    def text(self, words=None):
        return " ".join(self.rng.choice(WORDS, words or int(self.rng.integers(3, 9))))

    def usual_seconds(self, text):
        return float(0.3 + 0.07 * len(text) * self.rng.uniform(0.9, 1.1))

    def add(self, *reasons, split="train", samples=None, name=None, text=None, **more):
        """Adds a line; what is not given is healthy."""
        text = self.text() if text is None else text
        if name is None:
            name = self.write(self.speech(self.usual_seconds(text)) if samples is None else samples)
        path = self.folder / name
        if "duration" not in more:
            more["duration"] = soundfile.info(path).duration
        self.lines[split].append({"audio_filepath": name, "text": text, **more})
        if reasons:
            self.expected[split][len(self.lines[split])] = set(reasons)
        return name

    def healthy(self, count, **more):
        for _ in range(count):
            self.add(**more)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """The planted corpus: manifests by split, and the reasons by line."""
    from conftest import make_speech, write_lines

    corpus = Corpus(tmp_path_factory.mktemp("planted") / "corpus", make_speech)
    corpus.healthy(10, speaker="ada")
    corpus.healthy(4, speaker="bob", split="test")

    corpus.add("unreadable", name="missing.wav", duration=1.0)
    (corpus.folder / "empty.wav").touch()
    corpus.add("unreadable", name="empty.wav", duration=1.0)
    truncated = corpus.folder / corpus.write(corpus.speech(2.0))
    truncated.write_bytes(truncated.read_bytes()[:-20000])
    corpus.add("unreadable", name=truncated.name, duration=2.0)
    corpus.healthy(3)
    corpus.add("no samples", samples=np.zeros(0))
    corpus.add("too short", samples=corpus.speech(0.05), text="to")
    corpus.add("too long", samples=corpus.speech(31.0), text=corpus.text(90))
    corpus.add("unknown character", text="it is 7 \u00df")
    corpus.add("too few steps", samples=corpus.speech(0.4), text="all the balloons are in the hall")

    corpus.healthy(3)
    corpus.add("silent", samples=np.zeros(2 * RATE))
    hiss = 5e-5 * corpus.rng.standard_normal(2 * RATE)
    corpus.add("silent", samples=hiss + 0.001)
    corpus.add(samples=np.zeros(RATE), text="")  # silence is the right recording of nothing
    corpus.add(samples=np.zeros(RATE), text="")  # and is not a copy of the other silence
    loud = corpus.speech(1.5)
    corpus.add("clipped", samples=np.clip(9 * loud, -1, 32767 / 32768), text="one had to be that")
    corpus.add("clipped", samples=0.2 * np.clip(8 * corpus.speech(1.5), -1, 1), text="that had to be one")
    corpus.add(samples=3.3 * corpus.speech(1.5), text="one had to be at")  # loud, not cut off
    corpus.add("dc offset", samples=corpus.speech(1.5) + 0.1, text="he was for one of it")
    corpus.add("duration mismatch", samples=corpus.speech(2.0), text="as they had this with", duration=1.4)
    corpus.add("duration mismatch", samples=corpus.speech(1.5), text="as they had that with", duration=2.0)
    corpus.add(samples=corpus.speech(2.0), text="as it had this with", duration=1.5, offset=0)  # a segment
    corpus.add(samples=corpus.speech(1.5), text="or they had this with", duration=0)  # not known
    corpus.add(samples=corpus.speech(1.6), text="or it had this with his", duration=1.55)  # within the tolerance
    narrow = resample(corpus.speech(1.8), source_rate=RATE, sample_rate=8000)
    soundfile.write(corpus.folder / "telephone.wav", narrow, 8000)
    corpus.add("narrow band", name="telephone.wav", text="they had it all at this")
    wide = resample(narrow, source_rate=8000, sample_rate=RATE)
    corpus.add("narrow band", samples=wide, text="they had this all at it")
    soundfile.write(corpus.folder / "studio.wav", corpus.make_speech(1.8, sample_rate=44100), 44100)
    corpus.add(name="studio.wav", text="he had this all at it")
    spoken = corpus.speech(1.8)
    corpus.add("channels cancel", "silent", samples=np.stack([spoken, -spoken], axis=1), text="is you with that one")
    corpus.add("channels cancel", samples=np.stack([spoken, -0.8 * spoken], axis=1), text="is you with that the")
    corpus.add(samples=np.stack([spoken, 0 * spoken], axis=1), text="is you with that be")
    corpus.add("empty text", text="", samples=corpus.speech(1.0))
    corpus.add("empty text", text=" ?!", samples=corpus.speech(1.0))
    corpus.add("mark", text="is <it> his one", samples=corpus.speech(1.3))
    corpus.add("mark", text="is it [his one] {...}", samples=corpus.speech(1.3))
    corpus.add(text="is {...} it (his) one", samples=corpus.speech(1.3))
    corpus.add("invisible character", text="is\u200b it\ufeff his one", samples=corpus.speech(1.3))
    corpus.add("text length", text="to", samples=corpus.speech(14.0))
    corpus.add("text length", text=corpus.text(13), samples=corpus.speech(1.2))

    twin = corpus.add(text="for you and he")
    corpus.healthy(2)
    flac = corpus.write(soundfile.read(corpus.folder / twin)[0], "twin.flac")
    corpus.add("duplicate", name=flac, text="For you, and he!")
    corpus.add("duplicate", name=twin, text="for you and he")
    torn = corpus.add("conflict", text="have it from me", samples=corpus.speech(1.3))
    corpus.add("conflict", name=torn, text="give it to her")

    copied = corpus.add("leak", text="is you that it")
    corpus.add(
        split="test",
        text="is you that it",
        speaker="ada",
        name=corpus.write(soundfile.read(corpus.folder / copied)[0], "copied.flac"),
    )
    lecture = corpus.write(corpus.speech(9.0), "lecture.wav")
    corpus.add(name=lecture, text="at be this have from or", offset=0.0, duration=1.9)
    corpus.add("leak", name=lecture, text="one had the of and to", offset=4.0, duration=1.8)
    corpus.add(split="test", name=lecture, text="had the of and to in", offset=5.0, duration=1.7)
    interview = corpus.write(corpus.speech(6.0), "interview.wav")
    corpus.add(name=interview, text="it he was for on are", offset=0.0, duration=1.8)
    corpus.add(split="test", name=interview, text="as with his they at be", offset=3.0, duration=1.8)
    call = corpus.write(np.stack([corpus.speech(1.8), corpus.speech(1.8)], axis=1), "call.wav")
    corpus.add(name=call, text="with his they at be are", channel=1)
    corpus.add(split="test", name=call, text="that you and of they at", channel=2)
    corpus.add("no such channel", name=call, text="that you and of they at", channel=3)
    mixed = corpus.write(np.stack([corpus.speech(1.8), corpus.speech(1.8)], axis=1), "mixed.wav")
    corpus.add("leak", name=mixed, text="with his they had be are")
    corpus.add(split="test", name=mixed, text="that you and of this at", channel=2)
    opposite = corpus.speech(1.5)
    opposite = corpus.write(np.stack([opposite, -opposite], axis=1), "opposite.wav")
    corpus.add(name=opposite, text="one of the and that is", channel=2)
    corpus.healthy(8, speaker="ada")

    manifests = {split: write_lines(corpus.folder / f"{split}.jsonl", lines) for split, lines in corpus.lines.items()}
    return manifests, corpus.expected


def accused(found):
    reasons = {}
    for accusation in (*found.problems, *found.suspicions):
        reasons.setdefault(accusation.utterance.line, set()).add(accusation.reason)
    return reasons


def test_every_planted_fault_is_found_and_nothing_else_is_accused(planted):
    manifests, expected = planted
    train, test = check([manifests["train"], manifests["test"]], config=CONFIG)
    assert accused(train) == expected["train"]
    assert accused(test) == expected["test"] == {}
    kinds = {reason for reasons in expected["train"].values() for reason in reasons}
    assert kinds >= set(suspicions()), "every suspicion is planted"
    for accusation in (*train.problems, *train.suspicions):
        assert accusation.message.startswith(f"{accusation.utterance.audio_filepath}: ")
    (inverted,) = (found.message for found in train.problems if "you with that one" in found.utterance.text)
    assert "is silent, since its channels cancel each other" in inverted and '"channel": 1' in inverted
    left_out = {
        "unreadable",
        "no such channel",
        "no samples",
        "too short",
        "too long",
        "unknown character",
        "too few steps",
    }
    left_out |= set(CONFIG.check.leave_out)
    assert {problem.utterance.line for problem in train.problems} == {
        line for line, reasons in expected["train"].items() if reasons & left_out
    }
    assert len(train.usable) + len(train.problems) == len(read_manifest(manifests["train"]))


def test_training_leaves_out_what_check_leaves_out(planted):
    manifests, expected = planted
    train, test = (read_manifest(manifests[split]) for split in ("train", "test"))
    for leave_out in ((), CONFIG.check.leave_out, suspicions()):
        config = configure(check={"leave_out": leave_out})
        usable, problems = examine(
            train, config=config, vocabulary=make_vocabulary(config, train), held_out=test if leave_out else ()
        )
        found, _ = check([manifests["train"], manifests["test"]], config=config)
        assert usable == found.usable
        assert [(problem.utterance.line, problem.reason) for problem in problems] == [
            (problem.utterance.line, problem.reason) for problem in found.problems
        ]
    assert {problem.utterance.line for problem in problems} == set(expected["train"])
    assert sorted([*problems, *usable], key=lambda entry: entry.utterance.line)[-1].utterance.line == len(train)


def test_held_out_recordings_are_read_only_where_leaks_are_left_out(planted, monkeypatch):
    manifests, _ = planted
    train, test = (read_manifest(manifests[split]) for split in ("train", "test"))
    read = []
    monkeypatch.setattr(measurement, "read_recording", _spy(measurement.read_recording, read))
    examine(train[:2], config=CONFIG, vocabulary=make_vocabulary(CONFIG, train), held_out=test)
    assert sorted(read) == sorted(utterance.audio_filepath for utterance in train[:2])


def _spy(function, calls):
    def spy(path, **options):
        calls.append(path)
        return function(path, **options)

    return spy


def test_the_fastest_copy_that_training_makes_must_have_steps_enough(tmp_path, make_speech, write_lines):
    """0.4 s give 41 frames and 21 steps; 10 % faster 5,818 samples are left, 37 frames, 19 steps."""
    soundfile.write(tmp_path / "a.wav", make_speech(0.4), RATE)
    for characters, speed_share, reason in ((19, 0.1, None), (20, 0.1, "too few steps"), (20, 0.0, None)):
        text = "abcdefghijklmnopqrst"[:characters]
        manifest = write_lines(tmp_path / "m.jsonl", [{"audio_filepath": "a.wav", "duration": 0.4, "text": text}])
        (found,) = check([manifest], config=configure(augment={"speed_share": speed_share}))
        assert [problem.reason for problem in found.problems] == ([reason] if reason else [])
    (found,) = check([manifest], config=configure(augment={"speed_share": 0.2}))
    assert "0.400 s, spoken 20% faster (augment.speed_share), give 17 steps, too few for the 20" in (
        found.problems[0].message
    )


def test_every_rule_has_one_function_and_a_meaning():
    for rule in rules.RULES:
        assert (rule.judge is None) != (rule.compare is None), rule.name
        assert rule.level == "suspicion" or rule.judge is not None, f"{rule.name} compares, so it is a suspicion"
        assert meanings()[rule.name] == rule.meaning
    assert list(meanings())[:3] == ["no such channel", "unreadable", "no samples"], "the gravest first"


def test_a_suspicion_that_no_rule_has_is_refused_before_anything_is_read(planted):
    manifests, _ = planted
    config, lines = configure(check={"leave_out": ("silnt",)}), read_manifest(manifests["test"])
    message = r"check\.leave_out: no suspicion is called 'silnt'; did you mean 'silent'\? known are silent, clipped,"
    with pytest.raises(ConfigError, match=message):
        check([manifests["test"]], config=config)
    with pytest.raises(ConfigError, match=message):
        examine(lines, config=config, vocabulary=make_vocabulary(config, lines))


@pytest.mark.parametrize("suspicion", suspicions())
def test_any_suspicion_can_be_left_out_or_kept(planted, suspicion):
    manifests, expected = planted
    given = [manifests["train"], manifests["test"]]
    kept, _ = check(given, config=configure(check={"leave_out": ()}))
    left_out, _ = check(given, config=configure(check={"leave_out": (suspicion,)}))
    lines = {line for line, reasons in expected["train"].items() if suspicion in reasons}
    unusable = {problem.utterance.line for problem in kept.problems}  # a file that ends before its line is one
    assert {problem.utterance.line for problem in left_out.problems} == unusable | lines
    assert accused(kept) == accused(left_out)


def test_the_thresholds_are_the_configurations(planted):
    manifests, expected = planted
    given = [manifests["train"], manifests["test"]]

    def lines(suspicion, **check_section):
        train, _ = check(given, config=configure(check=check_section))
        return {line for line, reasons in accused(train).items() if suspicion in reasons}

    planted_lines = {
        suspicion: {line for line, reasons in expected["train"].items() if suspicion in reasons}
        for suspicion in suspicions()
    }
    assert lines("silent", silent_below_db=-100.0) == {min(planted_lines["silent"])}, "only digital silence"
    assert lines("clipped", clipped_share=0.9) == set()
    assert lines("dc offset", dc_offset=0.2) == set()
    assert len(lines("dc offset", dc_offset=0.0005)) > 1
    assert len(lines("duration mismatch", duration_tolerance_seconds=0.02)) == 3
    assert len(lines("duration mismatch", duration_tolerance_seconds=1.0)) == 1, "what cannot be read stays"
    assert lines("text length", text_outlier_deviations=40.0) == set()


def test_what_is_left_out_is_quarantined_with_its_reasons(planted, tmp_path):
    manifests, expected = planted
    (found,) = check([manifests["train"]], config=CONFIG, out=tmp_path / "clean.jsonl")
    given = {utterance.line: utterance for utterance in read_manifest(manifests["train"])}
    quarantined = read_manifest(tmp_path / "clean.quarantine.jsonl")
    assert len(quarantined) == len(found.problems)
    for utterance, problem in zip(quarantined, found.problems, strict=True):
        old = given[problem.utterance.line]
        assert (utterance.audio_filepath, utterance.text) == (old.audio_filepath, old.text)
        assert utterance.extra["reasons"][0] == {"reason": problem.reason, "message": problem.message}
        assert {entry["reason"] for entry in utterance.extra["reasons"]} == expected["train"][problem.utterance.line]
    assert len(read_manifest(tmp_path / "clean.jsonl")) == len(found.usable)

    # Once mended it is used, and does not carry its past.
    for line in (tmp_path / "clean.quarantine.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["reasons"][0]["reason"] == "unknown character":
            mended = tmp_path / "mended.jsonl"
            mended.write_text(json.dumps(record | {"text": "it is so"}) + "\n", encoding="utf-8")
    (again,) = check([mended], config=CONFIG, out=tmp_path / "used.jsonl")
    assert not again.problems
    (used,) = read_manifest(tmp_path / "used.jsonl")
    assert used.text == "it is so" and "reasons" not in used.extra


def test_reasons_that_somebody_else_gave_are_kept(tmp_path, make_speech, write_lines):
    soundfile.write(tmp_path / "a.wav", make_speech(1.0), RATE)
    line = {"audio_filepath": "a.wav", "duration": 1.0, "text": "a", "reasons": ["loud"]}
    check([write_lines(tmp_path / "m.jsonl", [line])], config=CONFIG, out=tmp_path / "clean.jsonl")
    assert read_manifest(tmp_path / "clean.jsonl")[0].extra == {"reasons": ["loud"]}
    assert (tmp_path / "clean.quarantine.jsonl").read_bytes() == b""


def test_what_manifests_share_is_reported_and_not_accused(planted):
    manifests, _ = planted
    train, test = check([manifests["train"], manifests["test"]], config=CONFIG)
    (shared,) = train.shared
    assert test.shared == []
    assert shared["manifest"] == str(manifests["test"])
    assert shared["speakers"] == ["ada"]
    lines = [u for split in ("train", "test") for u in read_manifest(manifests[split])]
    assert shared["speakers_unknown"] == sum(u.speaker is None for u in lines) > 0
    assert [os.path.basename(name) for name in shared["recordings"]] == ["call.wav", "interview.wav"]
    train_texts = {CONFIG.text.normalize(u.text) for u in read_manifest(manifests["train"])}
    test_texts = [CONFIG.text.normalize(u.text) for u in read_manifest(manifests["test"])]
    assert shared["text_share"] == pytest.approx(np.mean([text in train_texts for text in test_texts]))
    known = {word for text in train_texts for word in text.split()}
    assert shared["unseen_word_share"] == pytest.approx(
        np.mean([word not in known for text in test_texts for word in text.split()])
    )


@pytest.mark.parametrize(
    ("names", "accused_one"),
    [
        (("train.jsonl", "test.jsonl"), 0),
        (("test.jsonl", "train.jsonl"), 1),
        (("my-dev.jsonl", "TRAIN_joined.jsonl"), 1),
        (("validation.jsonl", "eval.jsonl"), 0),
        (("a.jsonl", "b.jsonl"), 0),
        (("a.jsonl", "train.jsonl"), 0),
        (("train-a.jsonl", "train-b.jsonl"), None),
        (("test.jsonl", "latest.jsonl"), 0),
    ],
)
def test_a_leak_is_suspected_where_it_is_learnt_from(tmp_path, make_speech, write_lines, names, accused_one):
    soundfile.write(tmp_path / "a.wav", make_speech(1.0), RATE)
    line = {"audio_filepath": "a.wav", "duration": 1.0, "text": "a"}
    found = check([write_lines(tmp_path / name, [line]) for name in names], config=CONFIG)
    assert [index for index, entry in enumerate(found) if entry.suspicion_counts.get("leak")] == (
        [] if accused_one is None else [accused_one]
    )
    if accused_one is not None:
        assert f"is also in {names[1 - accused_one]}:1 (a.wav)" in found[accused_one].suspicions[0].message


def test_a_manifest_is_not_held_out_from_itself(planted):
    manifests, _ = planted
    first, second = check([manifests["test"], manifests["test"]], config=CONFIG)
    assert not first.suspicions and not second.suspicions and not first.shared


def test_characters_are_unknown_where_no_word_holds_them(tmp_path, make_speech, write_lines):
    corpus = Corpus(tmp_path / "c", make_speech)
    for text in ("light on", "light off", "lamp on"):
        corpus.add(text=text)
    manifest = write_lines(corpus.folder / "train.jsonl", corpus.lines["train"])
    (found,) = check([manifest], config=configure(text={"unit": "word", "words": ["light", "on", "off"]}))
    assert found.counts == {"unknown word": 1}
    assert found.facts.unknown_characters == set("amp")
    assert "'lamp' is not in the vocabulary" in found.problems[0].message
    assert (
        "add them to text.words, let those of the training transcripts be known (text.words: auto), or let letters "
        in (found.problems[0].message)
    )
    (found,) = check([manifest], config=configure(text={"unit": "word"}))
    assert found.problems == [] and found.facts.unknown_characters == set()


def test_other_words_than_those_of_the_grammar_are_left_out_or_spelt(tmp_path, make_speech, write_lines):
    grammar = tmp_path / "grammar.yaml"
    grammar.write_text("language: en\nintents: {Switch: {data: [{sentences: ['Lights (on|off)']}]}}")
    lines = [{"text": "lights on"}, {"text": "good morning lights"}]
    for number, line in enumerate(lines):
        line |= {"audio_filepath": f"{number}.wav", "duration": 1.0}
        soundfile.write(tmp_path / f"{number}.wav", make_speech(1.0, seed=number), RATE)
    manifest = write_lines(tmp_path / "said.jsonl", lines)
    data = {"grammar": str(grammar), "train": [str(manifest)]}
    text = {"unit": "word", "words": "grammar", "characters": "auto"}
    with pytest.raises(
        ConfigError, match=r"text\.words is grammar, but data\.grammar names none; set it to the grammar"
    ):
        make_vocabulary(configure(text=text), ())
    utterances = read_manifest(manifest)
    config = configure(data=data, text=text)
    vocabulary = make_vocabulary(config, utterances)
    assert vocabulary.entries == ("lights", "off", "on")
    usable, problems = examine(utterances, config=config, vocabulary=vocabulary)
    assert [problem.reason for problem in problems] == ["unknown word"]
    assert "add them to the grammar" in problems[0].message and "text.unknown_words: spell" in problems[0].message

    config = configure(data=data, text=text | {"unknown_words": "spell"})
    vocabulary = make_vocabulary(config, utterances)
    assert (vocabulary.words, vocabulary.letters) == (("lights", "off", "on"), "dfghilmnorst")
    usable, problems = examine(utterances, config=config, vocabulary=vocabulary)
    assert not problems and [one.labels for one in usable] == [(1, 3), (*vocabulary.encode("good morning"), 1)]
    (found,) = check([manifest], config=config)
    assert found.counts == {} and found.facts.as_record()["unknown_words"] == 2

    config = configure(data=data, text=text | {"unknown_words": "spell", "characters": "dgino"})
    vocabulary = make_vocabulary(config, utterances)
    assert vocabulary.letters == "dginofhlst", "those of the words in any case"
    usable, (problem,) = examine(utterances, config=config, vocabulary=vocabulary)
    assert problem.message.endswith(
        "cannot be spelt: text.characters lacks 'm', 'r'; add what is missing, or set text.characters to auto"
    )


def test_automatic_characters_are_those_of_the_training_manifest(tmp_path, make_speech, write_lines):
    soundfile.write(tmp_path / "a.wav", make_speech(1.0, seed=1), RATE)
    soundfile.write(tmp_path / "b.wav", make_speech(1.0, seed=2), RATE)
    test = write_lines(tmp_path / "test.jsonl", [{"audio_filepath": "b.wav", "duration": 1.0, "text": "\u00e4b"}])
    train = write_lines(tmp_path / "train.jsonl", [{"audio_filepath": "a.wav", "duration": 1.0, "text": "ab"}])
    config = configure(text={"characters": "auto"})
    found, _ = check([test, train], config=config)
    assert found.counts == {"unknown character": 1}
    assert "not in the vocabulary, which holds those of the training transcripts; spell" in found.problems[0].message
    (found,) = check([test], config=config)
    assert found.counts == {}


# A corpus is read once


def test_an_interrupted_check_resumes_where_it_stopped(planted, tmp_path, monkeypatch):
    manifests, _ = planted
    given = [manifests["train"], manifests["test"]]
    count = sum(len(read_manifest(manifest)) for manifest in given)
    plain = check(given, config=CONFIG)
    read = []
    monkeypatch.setattr(measurement, "read_recording", _spy(measurement.read_recording, read))

    def interrupt(stage, done, total, note=""):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(given, config=configure(data={"num_workers": 1}), report=tmp_path, progress=interrupt)
    log = tmp_path / "measurements.jsonl"
    kept = log.read_bytes()
    log.write_bytes(kept + b'{"key": ["/torn')  # as a crash would leave it
    assert not (tmp_path / "check.json").exists()
    num_kept, before = kept.count(b"\n"), len(read)
    assert 10 < num_kept < 20, "the first ones but for those that cannot be read"
    read.clear()
    resumed = check(given, config=CONFIG, report=tmp_path)
    unreadable = sum(found.counts.get("unreadable", 0) for found in plain)
    assert len(read) <= count - num_kept
    for one, other in zip(plain, resumed, strict=True):
        assert (one.usable, one.problems, one.suspicions) == (other.usable, other.problems, other.suspicions)
    assert before < count

    read.clear()
    check(given, config=CONFIG, report=tmp_path)
    assert len(read) <= unreadable, "all else is known"
    assert all(json.loads(line) for line in log.read_text(encoding="utf-8").splitlines())


def test_a_recording_that_changed_is_measured_anew(tmp_path, make_speech, write_lines):
    soundfile.write(tmp_path / "a.wav", make_speech(1.0), RATE)
    manifest = write_lines(tmp_path / "m.jsonl", [{"audio_filepath": "a.wav", "duration": 1.0, "text": "a"}])
    (found,) = check([manifest], config=CONFIG, report=tmp_path / "doctor")
    assert not found.problems
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    os.utime(tmp_path / "a.wav", ns=(1, 1))
    (found,) = check([manifest], config=CONFIG, report=tmp_path / "doctor")
    assert found.counts == {"silent": 1}
    (found,) = check([manifest], config=configure(data={"sample_rate": 8000}), report=tmp_path / "doctor")
    assert found.counts == {"silent": 1}
    assert len(MeasurementLog(tmp_path / "doctor" / "measurements.jsonl")) == 3


def test_a_log_cut_anywhere_gives_its_complete_lines_and_resumes(tmp_path, make_speech):
    soundfile.write(tmp_path / "a.wav", make_speech(0.3), RATE)
    path, keys = tmp_path / "log.jsonl", []
    with MeasurementLog(path) as log:
        for duration in (0.1, 0.2, 0.3):
            utterance = Utterance(str(tmp_path / "a.wav"), duration, "a")
            keys.append(measurement_key(utterance, sample_rate=RATE))
            log.add(keys[-1], measure(utterance, sample_rate=RATE))
        known = [log.find(key) for key in keys]
    whole = path.read_bytes()
    ends = [0, *(place + 1 for place, byte in enumerate(whole) if byte == ord("\n"))]
    for cut in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        num_whole = sum(end <= cut for end in ends[1:])
        with MeasurementLog(path) as log:
            assert [log.find(key) for key in keys] == known[:num_whole] + [None] * (3 - num_whole)
            for key, measured in list(zip(keys, known, strict=True))[num_whole:]:
                log.add(key, measured)
        assert path.read_bytes() == whole


def test_lines_of_another_version_are_passed_over(tmp_path):
    path = tmp_path / "log.jsonl"
    other = {"version": 0, "key": [1], "measurement": [0] * 12}
    lines = ["not json", "[]", json.dumps(other), json.dumps(other | {"version": 1, "measurement": 3}), "{}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert len(MeasurementLog(path)) == 0


def test_judging_is_the_same_with_any_number_of_workers(planted):
    manifests, _ = planted
    given = [manifests["train"], manifests["test"]]
    answers = [
        [
            (found.usable, found.problems, found.suspicions, found.shared, found.facts.as_record())
            for found in check(given, config=configure(data={"num_workers": workers}))
        ]
        for workers in (1, 4)
    ]
    assert answers[0] == answers[1]


def test_judging_is_pure(planted):
    manifests, _ = planted
    train = read_manifest(manifests["train"])
    cases = list(iterate_cases(train, config=CONFIG, vocabulary=make_vocabulary(CONFIG, train)))
    held_out = [HeldOut("other", cases[:3])]
    first, second = judge(cases, held_out=held_out), judge(cases, held_out=held_out)
    assert first == second
    assert [judgement.case for judgement in first] == cases
    assert all(isinstance(accusation, Problem) for judgement in first for accusation in judgement.accusations)


@pytest.mark.parametrize("text", ["yes", ""])
def test_where_only_the_length_is_known_nothing_is_suspected(text):
    config = configure(check={"leave_out": suspicions()})
    case = Case(Utterance("a.wav", 0.0, text), text, Measurement(num_samples=RATE), config, Vocabulary("yes"))
    assert judge([case, case])[1].accusations == ()
    short = Case(Utterance("a.wav", 0.0, text), text, Measurement(num_samples=100), config, Vocabulary("yes"))
    assert judge_alone(short).problem.reason == "too short"


def test_only_a_few_recordings_wait_at_a_time(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(
        measurement, "measure", lambda utterance, *, sample_rate: started.append(utterance) or utterance
    )
    answers = measurement.measure_all(range(10_000), sample_rate=RATE, num_workers=2)
    assert [next(answers) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(started) < 50
    assert [*answers] == list(range(5, 10_000))


# The report


def test_the_report_shows_what_was_found(planted, tmp_path):
    manifests, expected = planted
    given = [manifests["train"], manifests["test"]]
    train, _ = check(given, config=CONFIG, report=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["check.html", "check.json", "measurements.jsonl"]
    record = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    first, second = record["manifests"]
    assert (first["manifest"], second["manifest"]) == tuple(map(str, given))
    assert first["counts"] == train.counts and first["suspicion_counts"] == train.suspicion_counts
    reasons = {}
    for entry in first["accusations"]:
        reasons.setdefault(entry["line"], set()).add(entry["reason"])
        assert entry["left_out"] == (entry["line"] in {problem.utterance.line for problem in train.problems})
    assert reasons == expected["train"]
    for chart in record["histograms"].values():
        for counts, entry in zip(chart["counts"], (first, second), strict=True):
            assert len(counts) == len(chart["edges"]) - 1
            assert sum(counts) <= entry["readable"]
    assert [sum(counts) for counts in record["histograms"]["seconds"]["counts"]] == [
        first["readable"],
        second["readable"],
    ]
    assert sum(kind["utterances"] for kind in first["recordings"]) == first["readable"]
    assert {entry["character"] for entry in first["characters"] if not entry["known"]} == {"7", "\u00df"}

    html = (tmp_path / "check.html").read_text(encoding="utf-8")
    page = Page(html)
    for reason in {reason for reasons in expected["train"].values() for reason in reasons}:
        assert f"train.jsonl: {reason}, " in page.text
    assert len(page.all("svg")) == 5
    assert not page.all("script")
    assert 10 < len(page.all("audio")) <= 36
    assert "Not in the vocabulary, in red: 7 (U+0037" in page.text.replace("\u00df (U+00DF, 1\u00d7), ", "")
    assert len(html) < 8e6


def test_a_hostile_transcript_stays_text(tmp_path, make_speech, write_lines):
    hostile = "<script>alert(1)</script>\"><img src=x onerror='a'> {{x}} \u202e"
    name = "<b>.wav"
    soundfile.write(tmp_path / name, make_speech(1.0), RATE, format="WAV")
    line = {"audio_filepath": name, "duration": 1.0, "text": hostile, "speaker": hostile}
    check([write_lines(tmp_path / "<i>.jsonl", [line])], config=CONFIG, report=tmp_path / "doctor")
    page = Page((tmp_path / "doctor" / "check.html").read_text(encoding="utf-8"))
    assert not page.all("script") and not page.all("img") and not page.all("b") and not page.all("i")
    assert "<script>alert(1)</script>" in page.text


def test_a_corpus_without_anything_readable_has_a_page_too(tmp_path, write_lines):
    line = {"audio_filepath": "none.wav", "duration": 1.0, "text": ""}
    (found,) = check([write_lines(tmp_path / "m.jsonl", [line])], config=CONFIG, report=tmp_path / "doctor")
    assert found.counts == {"unreadable": 1}
    assert "m.jsonl: unreadable, 1 line, left out" in Page((tmp_path / "doctor" / "check.html").read_text()).text


def test_a_long_list_is_cut_and_said_so(tmp_path):
    accusation = {
        "line": 1, "audio_filepath": "/none.wav", "offset": 0.0, "duration": 0.0, "text": "a", "speaker": None,
        "reason": "clipped", "message": "/none.wav: loud", "left_out": False,
    }  # fmt: skip
    entry = {
        "manifest": "m.jsonl", "usable": 99, "left_out": 0, "counts": {}, "suspicion_counts": {"clipped": 99},
        "utterances": 99, "readable": 0, "files": 1, "seconds": 0.0, "recordings": [], "speakers": [],
        "distinct_texts": 1, "empty_texts": 0, "words": 1, "distinct_words": 1, "unknown_words": 0,
        "most_repeated_texts": [],
        "characters": [], "accusations": [accusation | {"line": line} for line in range(1, 100)], "shared": [],
    }  # fmt: skip
    empty = {"edges": [0.0, 1.0], "counts": [[0]]}
    histograms = dict.fromkeys(("seconds", "characters_per_second", "level_db", "peak_db"), empty)
    path = write_corpus_report(
        tmp_path / "c.html", {"sample_rate": 16000, "rules": {}, "manifests": [entry], "histograms": histograms}
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert "And 49 lines more, in check.json." in page.text
    assert "No player: the recording cannot be read." in page.text


def test_names_are_as_short_as_distinguishes_them():
    assert short_names(["/a/train.jsonl", "/a/test.jsonl"]) == ["train.jsonl", "test.jsonl"]
    assert short_names(["/a/m.jsonl", "/b/m.jsonl"]) == [os.path.join("a", "m.jsonl"), os.path.join("b", "m.jsonl")]
    assert short_names(["m.jsonl", "m.jsonl"]) == ["m.jsonl", "m.jsonl"]
    assert some(["a", "b", "c"], most=2) == "a, b and 1 more"


# Real and synthetic speech


def test_real_speech_is_accused_of_nothing_but_the_two_that_were_not_trimmed(shared_data, tmp_path, write_lines):
    """FSDD is trimmed to the word, but for two recordings with 1.7 s of silence after it."""
    lines = [
        {"audio_filepath": str(path), "duration": soundfile.info(path).duration, "text": DIGITS[int(path.name[0])]}
        for path in sorted((shared_data / "fsdd" / "recordings").glob("*.wav"))
    ]
    config = configure(data={"sample_rate": 8000}, check={"text_outlier_deviations": 5.0})
    (found,) = check([write_lines(tmp_path / "fsdd.jsonl", lines)], config=config)
    assert not found.problems
    assert {(os.path.basename(s.utterance.audio_filepath), s.reason) for s in found.suspicions} == {
        ("7_theo_36.wav", "text length"),
        ("9_theo_16.wav", "text length"),
    }


def test_the_synthetic_corpus_is_accused_of_nothing(tiny_corpus):
    for found in check(list(tiny_corpus.values())):
        assert not found.problems and not found.suspicions
