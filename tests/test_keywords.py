"""Keyword spotting: scores by brute force, reports once, a stream as the whole, words that sound alike."""

import dataclasses
import itertools
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechgru.cli import console as cli
from speechgru.corpora import prepare
from speechgru.corpora.keywords import require_keywords
from speechgru.corpora.near_words import near_words, parts_of
from speechgru.decoding import KeywordScorer, KeywordSpotter
from speechgru.decoding.keywords import peaks_above
from speechgru.errors import BundleError, CorpusError, TextError, UserError
from speechgru.export.calibration import calibrate_keywords
from speechgru.metrics import DetectionCurve
from speechgru.runtime import Recognizer
from speechgru.scoring.keyword_page import report_keywords
from speechgru.scoring.keywords import (
    Listened,
    Passage,
    evaluate_keywords,
    extrapolated_threshold,
    keyword_curves,
)
from speechgru.text import Vocabulary
from speechgru.utterances.keywords import join_neighbours, keep_keywords, parts_in, tell_all, write_parts
from speechgru.utterances.manifest import read_manifest

LETTERS = Vocabulary("ab")
WORDS = Vocabulary(["hey", "jarvis", "<unk>"], unit="word")


def random_steps(rng, num_steps, num_labels):
    probs_SV = rng.dirichlet(np.full(num_labels, 0.6), size=num_steps)
    return np.log(probs_SV)


def enumerated(log_probs_SV, labels, *, window_steps):
    """The probability that the text so far ends in `labels`, begun within the window: over all paths, one by one."""
    num_steps, num_labels = log_probs_SV.shape
    said_S = np.zeros(num_steps)
    for last in range(num_steps):
        for path in itertools.product(range(num_labels), repeat=last + 1):
            runs = [
                (label, step)
                for step, label in enumerate(path)
                if label and (step == 0 or path[step - 1] != label)  # where each label begins
            ]
            tail = runs[-len(labels) :]
            if tuple(label for label, _ in tail) == labels and last - tail[0][1] < window_steps:
                said_S[last] += math.exp(sum(log_probs_SV[step, label] for step, label in enumerate(path)))
    return said_S


@pytest.mark.parametrize("keyword", ["a", "ab", "aa", "aba"])
@pytest.mark.parametrize("window_steps", [3, 6])
def test_a_score_is_what_all_paths_sum_to(keyword, window_steps):
    log_probs_SV = random_steps(np.random.default_rng(window_steps), 6, 3)
    scorer = KeywordScorer([keyword], vocabulary=LETTERS, step_seconds=0.04, window_seconds=0.04 * window_steps)
    said_S = enumerated(log_probs_SV, tuple(LETTERS.encode(keyword)), window_steps=max(window_steps, len(keyword)))
    scores_S = scorer.feed(log_probs_SV)[:, 0]
    assert 1 / (1 + np.exp(-scores_S)) == pytest.approx(said_S, abs=1e-12)


def test_keywords_of_different_lengths_and_cuts_score_as_each_alone_and_whole():
    log_probs_SV = random_steps(np.random.default_rng(1), 60, 3)
    how = {"vocabulary": LETTERS, "step_seconds": 0.04, "window_seconds": 0.5}
    keywords = ["a", "bab", "bb"]
    together, pieces = KeywordScorer(keywords, **how), KeywordScorer(keywords, **how)
    scores_SK = together.feed(log_probs_SV)
    for place, keyword in enumerate(keywords):
        np.testing.assert_allclose(scores_SK[:, place], KeywordScorer([keyword], **how).feed(log_probs_SV)[:, 0])
    cut = [pieces.feed(log_probs_SV[start : start + 7]) for start in range(0, 60, 7)]
    np.testing.assert_array_equal(np.concatenate(cut), scores_SK)


def spoken(*words, quiet=10):
    """Log-probabilities of words of `WORDS`, each a step long, with blanks between and behind."""
    steps = []
    for word in words:
        steps += [0] * quiet + ([] if word is None else [WORDS.encode(word)[0]])
    probs_SV = np.full((len(steps) + quiet, len(WORDS)), 1e-4)
    probs_SV[np.arange(len(probs_SV)), [*steps, *[0] * quiet]] = 1 - 3e-4
    return np.log(probs_SV)


def test_a_keyword_is_reported_once_with_the_time_of_its_last_label():
    spotter = KeywordSpotter({"jarvis": 2.0, "hey jarvis": 2.0}, vocabulary=WORDS, step_seconds=0.04)
    found = spotter.feed(spoken("hey", "<unk>", "jarvis", "<unk>"))
    assert [(each.keyword, each.seconds) for each in found] == [("jarvis", 1.32)]
    found = spotter.feed(spoken(None, None, "hey", "jarvis", quiet=15))
    assert [each.keyword for each in found] == ["jarvis", "hey jarvis"]
    assert all(each.score >= 2.0 and math.isfinite(each.score) for each in found)


def test_a_keyword_said_again_is_reported_again_after_a_while():
    how = {"vocabulary": WORDS, "step_seconds": 0.04}
    said = spoken("jarvis", None, None, "jarvis", "jarvis", quiet=12)
    assert len(KeywordSpotter({"jarvis": 0.0}, refractory_seconds=0.3, window_seconds=0.2, **how).feed(said)) == 3
    assert len(KeywordSpotter({"jarvis": 0.0}, refractory_seconds=1.0, window_seconds=0.2, **how).feed(said)) == 2


def test_what_a_spotter_cannot_listen_for_is_named():
    with pytest.raises(TextError, match="'alexa'"):
        KeywordSpotter({"alexa": 0.0}, vocabulary=WORDS, step_seconds=0.04)
    with pytest.raises(UserError, match="no keyword is given"):
        KeywordSpotter({}, vocabulary=WORDS, step_seconds=0.04)
    with pytest.raises(UserError, match="'jarvis' is given twice"):
        KeywordScorer(["jarvis", "jarvis"], vocabulary=WORDS, step_seconds=0.04)
    with pytest.raises(UserError, match="threshold of the keyword 'jarvis' must be a number, got 'high'"):
        KeywordSpotter({"jarvis": "high"}, vocabulary=WORDS, step_seconds=0.04)
    with pytest.raises(UserError, match="refractory_seconds must be a positive number of seconds, got 0"):
        KeywordSpotter({"jarvis": 0.0}, vocabulary=WORDS, step_seconds=0.04, refractory_seconds=0)


def test_peaks_are_the_highest_scores_of_their_surroundings():
    scores_S = np.array([0.0, 1.0, 5.0, 4.0, 0.0, 3.0, -9.0])
    assert peaks_above(scores_S, pause_steps=1, least=0.5) == [1, 2, 3, 5]
    assert peaks_above(scores_S, pause_steps=3, least=0.5) == [2, 5]
    assert peaks_above(scores_S, pause_steps=4, least=0.5) == [2]
    assert peaks_above(scores_S[:0], pause_steps=4, least=0.5) == []


@pytest.fixture
def bundle(tmp_path):
    """A copy of a stored bundle that streams and writes the characters a and b."""
    return Path(shutil.copytree(Path(__file__).parent / "data" / "bundles" / "v3", tmp_path / "bundle"))


@pytest.fixture
def sound(bundle):
    """A second and a half in which the bundle writes b, at its rate."""
    samples_N = np.fromfile(bundle / "golden" / "speech.samples.f32", "<f4")
    return np.concatenate([np.zeros(4000, np.float32), samples_N, np.zeros(4000, np.float32)])


def test_a_stream_reports_what_the_whole_recording_does_however_it_is_cut(bundle, sound):
    recognizer = Recognizer(bundle)
    how = {"vocabulary": recognizer.vocabulary, "step_seconds": recognizer.metadata["step_seconds"]}
    expected = KeywordSpotter({"b": -1.0, "ab": -9.0}, **how).feed(recognizer.log_probs(sound))
    assert any(found.keyword == "b" for found in expected)
    for piece in (1, 333, len(sound)):
        stream = recognizer.keyword_stream(keywords={"B!": -1.0, "ab": -9.0})
        assert stream.keywords == ("b", "ab"), "by the bundle's text rules"
        found = [one for start in range(0, len(sound), piece) for one in stream.feed(sound[start : start + piece])]
        found += [*stream.finish(), *stream.finish()]
        assert [(one.keyword, one.seconds) for one in found] == [(one.keyword, one.seconds) for one in expected]
        np.testing.assert_allclose([one.score for one in found], [one.score for one in expected], atol=1e-3)
    with pytest.raises(ValueError, match="has been finished"):
        stream.feed(sound)


def test_a_bundle_of_characters_listens_for_what_it_is_asked_for(bundle, sound):
    recognizer = Recognizer(bundle)
    with pytest.raises(UserError, match=r"knows no keyword; name those to listen for \(--keyword TEXT"):
        recognizer.keyword_stream()
    with pytest.raises(TextError, match="'c'"):
        recognizer.keyword_stream(keywords=["cab"])
    found = recognizer.keyword_stream(16_000, ["b"])
    assert [one.keyword for one in found.feed(np.repeat(sound, 2))] == ["b"], "at even odds, resampled"


def write_corpus(folder, sound):
    """Recordings of b, and of a hiss, as a manifest."""
    soundfile.write(folder / "said.wav", sound, 8000)
    soundfile.write(folder / "hiss.wav", np.random.default_rng(0).normal(0, 0.01, 16_000), 8000)
    lines = [{"audio_filepath": "said.wav", "duration": len(sound) / 8000, "text": "b"}] * 3
    lines += [{"audio_filepath": "hiss.wav", "duration": 2.0, "text": ""}] * 5
    (folder / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "corpus.jsonl"


def test_recordings_in_one_stream_are_counted_and_the_threshold_is_kept(bundle, sound, tmp_path, capsys, monkeypatch):
    corpus = write_corpus(tmp_path, sound)
    record = calibrate_keywords(bundle, [corpus], ["b"], false_accepts_per_hour=0.1, names={"b": "Bee"})
    (found,) = record["keywords"]
    assert (found["num_commands"], found["negative_seconds"]) == (3, pytest.approx(10.0, abs=0.1))
    assert found["chosen"]["num_misses"] == 0 and found["chosen"]["num_false_accepts"] == 0
    recognizer = Recognizer(bundle)
    assert (
        recognizer.keyword_thresholds == record["thresholds"] == Recognizer(bundle / "model.tflite").keyword_thresholds
    )
    after = evaluate_keywords(bundle, [corpus], name="again")
    assert after["keywords"][0]["in_use"]["threshold"] == record["thresholds"]["b"]
    page = report_keywords([after], tmp_path / "page.html", title="Keywords: b", calibration=record).read_text()
    assert "Keywords: b" in page and "extrapolated" in page

    arguments = ["speechgru", "spot", str(bundle), str(tmp_path / "said.wav"), "--keyword", "bee"]
    for further in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", [*arguments, *further])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert not caught.value.code
        printed = capsys.readouterr()
        if not further:
            assert printed.err.endswith(f"\nnext: speechgru spot {bundle} --microphone --keyword bee\n"), (
                "a line that works"
            )
    (reported,) = json.loads(printed.out)
    assert reported["keyword"] == "Bee" and reported["score"] >= record["thresholds"]["b"]
    for asked in (None, ["b"], {"Bee": 0.0}):  # by its name, or as it is written
        assert recognizer.keyword_stream(keywords=asked).keywords == ("Bee",)
    with pytest.raises(UserError, match="keyword 'a' is said in 0 of 8 recordings"):
        evaluate_keywords(bundle, [corpus], ["a"])


def test_what_a_score_keeps_of_a_keyword_is_no_false_accept_of_what_follows():
    scores_SK = np.full((100, 1), -9.0)
    scores_SK[18:40] = 5.0  # the keyword, said at the end of the first recording, and its echo in the second
    scores_SK[80] = 1.0
    passages = (Passage("on", 0, 20), Passage("", 20, 100))
    stream = Listened(("on",), scores_SK, passages, step_seconds=0.05, audio_seconds=5.0, seconds=0.1)
    curve = keyword_curves([stream], refractory_seconds=1.0)["on"]
    assert curve.false_margins.tolist() == [1.0] and curve.num_commands == 1
    assert curve.hours * 3600 == pytest.approx(5.0 - 1.0 - 0.25 - 1.0)
    assert curve.at(2.0)[1:] == (0, 0)
    with pytest.raises(UserError, match="'on' is said in 0 of 1 recordings"):
        keyword_curves([dataclasses.replace(stream, passages=passages[1:])])


def test_damaged_thresholds_are_named(bundle):
    path = bundle / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"keywords": {"thresholds": [1.0]}}))
    with pytest.raises(BundleError, match="thresholds of keywords are damaged"):
        Recognizer(bundle).keyword_stream()
    record = {"thresholds": {"b": 1.0}, "names": {"b": ["Bee"]}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"keywords": record}))
    with pytest.raises(BundleError, match="names of keywords are damaged"):
        Recognizer(bundle).keyword_stream()


def test_a_rate_that_cannot_be_counted_is_extrapolated():
    rng = np.random.default_rng(0)
    curve = DetectionCurve([9.0], [True], false_margins=rng.exponential(1.0, 3600), hours=1.0)
    assert extrapolated_threshold(curve, 10.0) == curve.at_false_accepts(10.0).threshold, "counted"
    # An hour has 3600 e^-t of t and more: 0.1 of 10.5 and more.
    assert extrapolated_threshold(curve, 0.1) == pytest.approx(math.log(36_000), abs=1.5)


def test_near_words_sound_alike_and_hold_no_keyword():
    words = ["commuter", "window", "computers", "service", "harvest", "jar", "jarvis"]
    near = near_words(["computer", "jarvis"], words)
    assert near["computer"] == ["commuter"]
    assert set(near["jarvis"]) <= {"service", "harvest", "jar"} and "service" in near["jarvis"]
    assert parts_of("hey jarvis")[:2] == ["hey", "jarvis"] and "vis" in parts_of("hey jarvis")


def test_recordings_that_follow_each_other_in_a_file_make_stretches(tmp_path):
    soundfile.write(tmp_path / "all.wav", np.zeros(16_000 * 8), 16_000)
    lines = [(0.0, 3.0, "computer"), (3.0, 2.0, "the computer is on"), (5.0, 2.0, ""), (7.5, 0.5, "hey jarvis")]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text(
        "".join(
            json.dumps({"audio_filepath": "all.wav", "offset": offset, "duration": duration, "text": text}) + "\n"
            for offset, duration, text in lines
        )
    )
    kept = keep_keywords(manifest, tmp_path / "kept.jsonl", ["computer", "jarvis", "hey jarvis"])
    assert [each.text for each in read_manifest(kept)] == ["computer", "computer", "", "hey jarvis"]
    assert read_manifest(kept)[1].extra["said"] == "the computer is on"
    told = read_manifest(tell_all(kept, tmp_path / "told.jsonl"))
    assert [each.text for each in told] == ["computer", "the computer is on", "", "hey jarvis"]
    assert "said" not in told[1].extra
    stretches = read_manifest(join_neighbours(kept, tmp_path / "stretches.jsonl", seconds=5.0))
    assert [(each.offset, each.duration, each.text) for each in stretches] == [
        (0.0, 5.0, "computer computer"), (5.0, 2.0, ""), (7.5, 0.5, "hey jarvis"),
    ]  # fmt: skip


def test_keywords_are_written_in_the_parts_that_they_are_given_with(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    manifest = tmp_path / "manifest.jsonl"
    texts = ["Computer!", "the computers compared", "hey jarvis, jarvis", ""]
    manifest.write_text(
        "".join(json.dumps({"audio_filepath": "a.wav", "duration": 1.0, "text": text}) + "\n" for text in texts)
    )
    parts = dict(map(parts_in, ("com-pu-ter", "jar-vis", "hey jar-vis")))
    assert parts == {"computer": "com pu ter", "jarvis": "jar vis", "hey jarvis": "hey jar vis"}
    (tmp_path / "deeper").mkdir()
    written = read_manifest(write_parts(manifest, tmp_path / "deeper" / "parts.jsonl", parts), needs_text=False)
    assert [each.text for each in written] == ["com pu ter", "the computers compared", "hey jar vis jar vis", ""]
    assert all(Path(each.audio_filepath).exists() for each in written)


def test_keywords_that_cannot_be_spotted_are_named():
    assert require_keywords(["Hey, Jarvis!", "computer"]) == ["hey jarvis", "computer"]
    for keywords, message in (
        ([], "one to 10 are spotted, got 0"),
        (["one", "One!"], "'one' is given twice"),
        (["..."], "'...' has no letter"),
        ([f"word{number}" for number in range(11)], "got 11"),
        (["one", "com-pu-ter"], "'com-pu-ter' has a hyphen; write it as it is spoken, as one word or with spaces"),
    ):
        with pytest.raises(CorpusError, match=message):
            require_keywords(keywords)


def test_a_spoken_corpus_holds_keywords_near_words_and_the_rest(tmp_path):
    pytest.importorskip("espeakng_loader", reason="the corpus is spoken by eSpeak NG")
    others = tmp_path / "others.txt"
    others.write_text("the commuter went home\na service for everybody\njarvis says this\n")
    manifests = prepare(
        "keywords", tmp_path / "out", keywords=["computer", "jarvis"], utterances=40, others=others,
        engines=["espeak"], workers=1,
    )  # fmt: skip
    lines = [json.loads(line) for line in manifests["train"].read_text().splitlines()]
    assert {line["text"] for line in lines} == {"computer", "jarvis", ""}, "the keywords and nothing else"
    assert all(line["text"] in line["said"] for line in lines if line["text"] and "said" in line)
    assert any(line.get("said") in ("puter", "compu", "commuter", "service", "jar", "vis") for line in lines)
    assert not any("jarvis says" in line.get("said", "") for line in lines), "what holds a keyword is nothing else"
