"""The synthetic corpus: fair splits, exact transcripts, the same bytes for the same seed."""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import os
import pickle
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechgru.config.sections import RunConfig
from speechgru.corpora import CORPORA, grammar, prepare, spoken, synthetic, variety
from speechgru.errors import CorpusError, UserError
from speechgru.process import workers as processes
from speechgru.utterances import measurement
from speechgru.utterances.check import check
from speechgru.utterances.examination import examine, make_vocabulary, read_utterance
from speechgru.utterances.manifest import read_manifest
from speechgru.utterances.measurement import (
    MEASUREMENTS_NAME,
    MeasurementLog,
    measure,
    measurement_files,
    measurement_key,
)
from speechgru.voices import ENGINES, Cast, espeak
from speechgru.voices.cast import Member

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
    """The bytes of a corpus, without its measurements: those have the files' times."""
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != MEASUREMENTS_NAME
    }


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
    plan = synthetic._plan(seed=0, utterances=size)
    sentences = {split: [each.text for each in plan if each.split == split] for split in grammar.SPLITS}
    words = {split: {word for text in texts for word in text.split()} for split, texts in sentences.items()}
    assert len(plan) >= 3000
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
        assert (info.samplerate, info.channels, info.format, info.subtype) == (16000, 1, "WAV", "PCM_16")
        samples = read_utterance(utterance, sample_rate=16000).samples_N
        assert len(samples) / 16000 == pytest.approx(utterance.duration, abs=1e-6)
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
def test_recordings_fill_their_files_one_after_another(corpus):
    by_file = {}
    for utterances in corpus.values():
        for utterance in utterances:
            by_file.setdefault(utterance.audio_filepath, []).append(utterance)
    assert sorted(map(len, by_file.values())) == [10, 16, 74, 100]
    for path, utterances in by_file.items():
        lengths = [round(utterance.duration * 16000) for utterance in utterances]
        starts = [round(utterance.offset * 16000) for utterance in utterances]
        assert starts == [0, *np.cumsum(lengths)[:-1]] and sum(lengths) == soundfile.info(path).frames


@needs_espeak
def test_what_was_measured_before_writing_is_what_reading_would_measure(corpus):
    utterances = [utterance for split in corpus.values() for utterance in split]
    folder = Path(utterances[0].audio_filepath).parents[1]
    log = MeasurementLog(None, known=measurement_files([folder / "train.jsonl"]))
    assert len(log) == len(utterances)
    for utterance in utterances:
        known = log.find(measurement_key(utterance, sample_rate=16000))
        assert known == measure(utterance, sample_rate=16000) and known.num_samples


@needs_espeak
def test_a_corpus_is_without_fault_and_neither_check_nor_training_reads_it_first(corpus, monkeypatch):
    folder = Path(corpus["test"][0].audio_filepath).parents[1]
    manifests = [folder / f"{split}.jsonl" for split in grammar.SPLITS]
    monkeypatch.setattr(measurement, "read_header", lambda path: pytest.fail(f"{path} was read"))
    for found in check(manifests):
        assert not found.problems and not found.suspicions, found.manifest
    usable, problems = examine(
        corpus["train"],
        config=RunConfig(),
        vocabulary=make_vocabulary(RunConfig(), corpus["train"]),
        log=MeasurementLog(None, known=measurement_files(manifests)),
    )
    assert len(usable) == len(corpus["train"]) and not problems


@needs_espeak
def test_same_seed_gives_the_same_bytes_whatever_the_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(spoken, "_PER_FILE", 20)
    prepare("synthetic", tmp_path / "one", utterances=60, workers=1)
    prepare("synthetic", tmp_path / "two", utterances=60, workers=2)
    assert len(list((tmp_path / "two" / "audio").iterdir())) == 5
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    prepare("synthetic", tmp_path / "two", utterances=60, workers=1, seed=1)
    assert digests(tmp_path / "one") != digests(tmp_path / "two")
    prepare("synthetic", tmp_path / "two", utterances=60, workers=1, seed=0)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


@needs_espeak
def test_rerun_with_fewer_utterances_leaves_no_other_audio_but_keeps_foreign_files(tmp_path):
    prepare("synthetic", tmp_path, utterances=30, workers=1)
    (tmp_path / "audio" / "mine.wav").write_bytes(b"mine")
    (tmp_path / "audio" / "train-000029.flac").write_bytes(b"of a release that wrote a file an utterance")
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
    silence = spoken.Sentence((0, 0, 0), split="train", text="")
    jobs = [spoken._Job(str(tmp_path / "a.wav"), [silence], Cast((Member(ENGINES["espeak"]),)))] * 4
    with pytest.raises(CorpusError, match="the voice engine espeak spoke '' in silence"):
        list(processes.run(spoken._speak_file, jobs, workers=2))


def test_worker_that_ends_early_is_reported():
    with pytest.raises(CorpusError, match="a worker process ended before its work"):
        list(processes.run(os._exit, [3, 3, 3], workers=2))


def test_a_job_that_cannot_be_sent_is_an_error():
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError), match=r"lambda|pickle"):
        list(processes.run(abs, [lambda: None] * 4, workers=2))


def test_results_have_their_places_whichever_worker_is_faster():
    jobs = [0.2, *([0.0] * 9)]
    done = list(processes.run(time.sleep, jobs, workers=2))
    assert sorted(position for position, _ in done) == list(range(10))
    assert done[-1][0] == 0, "the other worker did all the rest meanwhile"


@needs_espeak
def test_the_links_to_the_voices_change_no_sample_and_are_removed(tmp_path):
    import espeakng_loader

    if espeak._linked_data(str(Path(espeakng_loader.get_data_path()))) is None:
        pytest.skip("no links can be made here")
    script = (
        "import sys; from speechgru.voices import espeak\n"
        "if sys.argv[1:]: espeak._linked_data = lambda path: None\n"
        "for accent in espeak.ACCENT_SHARES:\n"
        "    voice = espeak.Voice(accent, 'f3')\n"
        "    sys.stdout.buffer.write(espeak.Espeak().speak('dim the lights', voice, seed=3)[0].tobytes())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "TMPDIR": str(tmp_path)}
    linked, plain = (
        subprocess.run([sys.executable, "-c", script, *more], env=environment, check=True, stdout=subprocess.PIPE)
        for more in ([], ["plain"])
    )
    assert linked.stdout == plain.stdout and len(linked.stdout) > 8 * 4 * 10_000
    assert not list(tmp_path.iterdir())


@given(st.integers(1, 200_000))
def test_noise_has_the_next_length_that_transforms_fast(least):
    length = variety._fast_length(least)
    rest = length
    for factor in (2, 3, 5):
        while rest % factor == 0:
            rest //= factor
    assert length >= least and length % 2 == 0 and rest == 1 and length < 1.1 * least + 8


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_noise_has_power_1_and_the_colour_that_was_asked_for(slope):
    noise_N = variety._coloured_noise(200_001, slope=slope, rng=np.random.default_rng(3))
    assert len(noise_N) == 200_001 and np.mean(noise_N**2) == pytest.approx(1.0)
    power_TF = np.abs(np.fft.rfft(noise_N[:199_680].reshape(-1, 1024) * np.hanning(1024))) ** 2
    frequencies = np.fft.rfftfreq(1024, 1 / variety.SAMPLE_RATE)
    bands = [power_TF[:, (frequencies > low) & (frequencies < 2 * low)].mean() for low in (400, 800, 1600, 3200)]
    steps_db = 10 * np.diff(np.log10(bands))
    np.testing.assert_allclose(steps_db, -20 * slope * np.log10(2), atol=0.4)


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
    known = ", ".join(CORPORA)
    with pytest.raises(CorpusError, match=rf"'sinthetic'; did you mean 'synthetic'\? known are {known}"):
        prepare("sinthetic", tmp_path)
    assert all(corpus.summary for corpus in CORPORA.values())


@needs_espeak
def test_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: is a file; name a folder to write"):
        prepare("synthetic", tmp_path / "file", utterances=12)


def test_a_folder_of_the_grammars_name_is_not_taken_for_it(tmp_path, monkeypatch):
    (tmp_path / "household").mkdir()
    monkeypatch.chdir(tmp_path)
    grammar.household.cache_clear()
    assert grammar.household().split_of(grammar.draw_sentence_of("dev", np.random.default_rng(0))) == "dev"


@needs_espeak
@pytest.mark.parametrize("split", ["dev", "test"])
def test_who_is_held_out_here_is_held_out_from_the_base_too(split, corpus):
    """The base is trained on voices of train alone, as the engine deals them: a quickstart that starts from it is
    scored on voices that neither met."""
    variants = {utterance.speaker.split("+")[1] for utterance in corpus[split]}
    assert variants <= set(ENGINES["espeak"].voices(split))
    assert not variants & set(ENGINES["espeak"].voices("train"))
