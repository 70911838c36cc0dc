"""The synthetic corpus: fair splits, exact transcripts, the same bytes for the same seed."""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechgru.corpora import CORPORA, grammar, prepare, synthetic
from speechgru.errors import CorpusError
from speechgru.process import workers as processes
from speechgru.utterances.manifest import read_manifest
from speechgru.voices import ENGINES, espeak

needs_espeak = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None,
    reason="espeakng_loader (extra train) is not installed",
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> dict[str, list]:
    pytest.importorskip("espeakng_loader")
    out = tmp_path_factory.mktemp("synthetic")
    return {split: read_manifest(path) for split, path in prepare("synthetic", out, utterances=200, workers=1).items()}


def digests(out: Path) -> dict[str, str]:
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "zero"), (10, "ten"), (13, "thirteen"), (20, "twenty"), (21, "twenty one"), (99, "ninety nine"),
     (100, "one hundred")],
)  # fmt: skip
def test_numbers_are_words(number, words):
    assert grammar.number_words(number) == words


@pytest.mark.parametrize("number", [-1, 101])
def test_number_outside_the_range_is_refused(number):
    with pytest.raises(ValueError, match="0 to 100"):
        grammar.number_words(number)


@given(st.integers(0, 2**63))
def test_sentences_are_plain_words_and_of_one_split(seed):
    sentence = grammar.draw_sentence(np.random.default_rng(seed))
    assert re.fullmatch(r"[a-z']+( [a-z']+)*", sentence)
    assert grammar.split_of(sentence) in grammar.SPLITS
    assert grammar.split_of(grammar.draw_sentence_of("dev", np.random.default_rng(seed))) == "dev"


def test_splits_share_no_variant():
    variants = [v for split in grammar.SPLITS for v in ENGINES["espeak"].voices(split)]
    assert len(variants) == len(set(variants)) >= 48


def test_every_split_has_both_sexes():
    assert all(sexes["female"] and sexes["male"] for sexes in espeak.VARIANTS.values())


def test_plan_of_the_default_size_is_fair():
    size = CORPORA["synthetic"].options["utterances"].default
    jobs = synthetic._plan(Path("audio"), engine=ENGINES["espeak"], seed=0, utterances=size)
    sentences = {split: [job.text for job in jobs if job.split == split] for split in grammar.SPLITS}
    words = {split: {word for text in texts for word in text.split()} for split, texts in sentences.items()}
    assert len(jobs) >= 3000
    assert words["dev"] <= words["train"]
    assert words["test"] <= words["train"]
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not set(sentences[one]) & set(sentences[other])
    for split in ("dev", "test"):
        assert len(sentences[split]) == len(set(sentences[split]))
        assert any(grammar.is_digit_string(text) for text in sentences[split])
    lengths = {len(text.split()) for text in sentences["train"] if grammar.is_digit_string(text)}
    assert lengths == set(range(1, 9))


@needs_espeak
def test_manifests_share_no_voice_and_no_sentence(corpus):
    assert sum(len(utterances) for utterances in corpus.values()) == 200
    for one, other in (("train", "dev"), ("train", "test"), ("dev", "test")):
        assert not {u.speaker for u in corpus[one]} & {u.speaker for u in corpus[other]}
        assert not {u.text for u in corpus[one]} & {u.text for u in corpus[other]}
    known = {word for u in corpus["train"] for word in u.text.split()}
    assert all(known.issuperset(u.text.split()) for split in ("dev", "test") for u in corpus[split])
    assert all(set(u.extra) == {"rate", "pitch", "snr_db"} for us in corpus.values() for u in us)


@needs_espeak
def test_recordings_are_sound(corpus):
    durations = []
    for utterance in (u for utterances in corpus.values() for u in utterances):
        info = soundfile.info(utterance.audio_filepath)
        assert (info.samplerate, info.channels, info.format, info.subtype) == (16000, 1, "FLAC", "PCM_16")
        assert info.frames / 16000 == pytest.approx(utterance.duration, abs=1e-6)
        samples, _ = soundfile.read(utterance.audio_filepath)
        peak = np.abs(samples).max()
        assert 10 ** (-12.1 / 20) < peak < 10 ** (-0.4 / 20)  # neither silent nor clipped
        frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
        levels = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
        assert np.percentile(levels, 95) - levels[:4].mean() > 6  # speech stands out of the noise before it
        characters = len(utterance.text)
        assert characters / 25 < utterance.duration < characters / 3 + 1.5
        durations.append(utterance.duration)
    assert 1.5 < np.mean(durations) < 3


@needs_espeak
def test_same_seed_gives_the_same_bytes_whatever_the_workers(tmp_path):
    prepare("synthetic", tmp_path / "one", utterances=60, workers=1)
    prepare("synthetic", tmp_path / "two", utterances=60, workers=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    prepare("synthetic", tmp_path / "two", utterances=60, workers=1, seed=1)
    assert digests(tmp_path / "one") != digests(tmp_path / "two")
    prepare("synthetic", tmp_path / "two", utterances=60, workers=1, seed=0)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


@needs_espeak
def test_rerun_with_fewer_utterances_leaves_no_other_audio_but_keeps_foreign_files(tmp_path):
    prepare("synthetic", tmp_path, utterances=30, workers=1)
    (tmp_path / "audio" / "mine.wav").write_bytes(b"mine")
    manifests = prepare("synthetic", tmp_path, utterances=12, workers=1)
    named = {Path(u.audio_filepath).name for path in manifests.values() for u in read_manifest(path)}
    assert {path.name for path in (tmp_path / "audio").iterdir()} == named | {"mine.wav"}
    assert all(read_manifest(path) for path in manifests.values())


@needs_espeak
def test_speech_does_not_depend_on_what_was_spoken_before():
    variants = [v for split in grammar.SPLITS for v in ENGINES["espeak"].voices(split)]
    voices = [espeak.Voice(accent="en-US", variant=variant, rate=190) for variant in variants]
    voices += [espeak.Voice(accent=accent, variant="m1") for accent in espeak.ACCENT_SHARES]
    forward = [ENGINES["espeak"].speak("seven lights", voice, seed=3)[0] for voice in voices]
    backward = [ENGINES["espeak"].speak("seven lights", voice, seed=3)[0] for voice in reversed(voices)][::-1]
    for voice, first, second in zip(voices, forward, backward, strict=True):
        np.testing.assert_array_equal(first, second, err_msg=voice.name)
    assert len({first.tobytes() for first in forward}) == len(voices)  # no voice is another's copy


@needs_espeak
@pytest.mark.parametrize("how", ["script", "standard input"])
def test_script_without_a_main_guard_can_use_workers(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(
        "from speechgru.corpora import prepare\n"
        f"print(len(prepare('synthetic', {str(tmp_path / 'out')!r}, utterances=20, workers=2)))\n"
    )
    finished = subprocess.run(
        [sys.executable, script if how == "script" else "-"],
        input=None if how == "script" else script.read_text(),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (finished.stdout, finished.stderr) == ("3\n", "")


def test_error_in_a_worker_is_raised_here(tmp_path):
    jobs = [
        synthetic._Job((0, 0, 0), split="train", text="", path=str(tmp_path / "a.flac"), engine=ENGINES["espeak"])
    ] * 4
    with pytest.raises(CorpusError, match="the voice engine espeak spoke '' in silence"):
        list(processes.run(synthetic._speak, jobs, workers=2))


def test_worker_that_ends_early_is_reported():
    with pytest.raises(CorpusError, match="a worker process ended before its work"):
        list(processes.run(os._exit, [3, 3, 3], workers=2))


@needs_espeak
def test_unknown_voice_is_named():
    with pytest.raises(CorpusError, match=r"no voice 'en\+nobody'"):
        ENGINES["espeak"].speak("one", espeak.Voice(accent="en", variant="nobody"))


@needs_espeak
def test_progress_reaches_the_total(tmp_path):
    calls = []
    prepare("synthetic", tmp_path, utterances=30, workers=1, progress=lambda *call: calls.append(call))
    assert calls[0][:3] == ("speaking", 0, 30)
    assert calls[-1][:3] == ("speaking", 30, 30)


def test_missing_wheel_is_an_error_that_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "espeakng_loader":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CorpusError, match=r"espeakng_loader is not installed.*speechgru\[train\]"):
        prepare("synthetic", tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"utterances": 3}, "utterances must be a whole number, 12 or more, got 3"),
        ({"utterances": 60.0}, "utterances must be a whole number"),
        ({"workers": 0}, "workers must be a whole number, 1 or more"),
        ({"seed": -1}, "seed must be a whole number, 0 or more, got -1"),
        ({"source": "/somewhere"}, "takes no source"),
        (
            {"utterance": 60},
            r"no option 'utterance' \(did you mean utterances\?\); its options are utter",
        ),
    ],
)
def test_wrong_arguments_are_named(tmp_path, options, message):
    with pytest.raises(CorpusError, match=message):
        prepare("synthetic", tmp_path, **options)


def test_unknown_corpus_lists_the_known_and_the_nearest(tmp_path):
    with pytest.raises(CorpusError, match=r"'sinthetic'; did you mean 'synthetic'\? known are synthetic, fsdd, folder"):
        prepare("sinthetic", tmp_path)
    assert all(corpus.summary for corpus in CORPORA.values())


@needs_espeak
def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="cannot be written"):
        prepare("synthetic", tmp_path / "file", utterances=12)
