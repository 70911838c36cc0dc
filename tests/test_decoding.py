"""Greedy decoding: law 4 against all paths, and what its times and confidences mean."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.decoding import Hypothesis, collapse, greedy_decode
from speechgru.text import BLANK_ID, Vocabulary

VOCABULARY = Vocabulary([" ", "a", "b"])
SPACE, A, B = 1, 2, 3


def log_probs_of(path, *, peak=0.7, num_labels=4):
    """Log-probabilities whose best path is `path`: `peak` on it (one value, or one a step), the rest shared out."""
    probabilities = np.empty((len(path), num_labels))
    for step, label in enumerate(path):
        top = peak if np.isscalar(peak) else peak[step]
        probabilities[step] = (1 - top) / (num_labels - 1)
        probabilities[step, label] = top
    return np.log(probabilities).reshape(len(path), num_labels)


def decode(log_probs_SV, **options):
    return greedy_decode(log_probs_SV, **{"vocabulary": VOCABULARY, "step_seconds": 0.04, **options})


def slow_collapse(path, blank_id=BLANK_ID):
    """Written from the paper's definition of B: merge repeats, then remove blanks."""
    return tuple(label for label, _ in itertools.groupby(path) if label != blank_id)


@st.composite
def log_probs(draw):
    """One to five steps of four labels, with ties on purpose: the scores come from few values."""
    steps = draw(st.integers(1, 5))
    logits = np.array(
        draw(st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=steps, max_size=steps)), float
    )
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@settings(max_examples=60, deadline=None)
@given(log_probs())
def test_the_greedy_path_is_the_best_of_all_paths(log_probs_SV):
    steps, num_labels = log_probs_SV.shape
    # product() lists paths in lexicographic order and max() keeps the first of equals: ties to the lowest label
    paths = itertools.product(range(num_labels), repeat=steps)
    best = max(paths, key=lambda path: round(sum(log_probs_SV[range(steps), path]), 9))
    hypothesis = decode(log_probs_SV)
    assert hypothesis.labels == slow_collapse(best)
    assert hypothesis.score == pytest.approx(log_probs_SV[range(steps), best].sum(), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=20), st.integers(0, 3))
def test_collapse_is_merge_then_drop(path, blank_id):
    assert collapse(path, blank_id=blank_id) == slow_collapse(path, blank_id)
    assert collapse(np.array(path, np.uint8), blank_id=blank_id) == slow_collapse(path, blank_id)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.floats(0.3, 1.0, exclude_max=True))
def test_spans_and_times_are_those_of_the_runs(path, peak):
    hypothesis = decode(log_probs_of(path, peak=peak), step_seconds=0.5)
    assert hypothesis.labels == slow_collapse(path)
    runs, step = [], 0
    for label, run in itertools.groupby(path):
        length = len(list(run))
        if label != BLANK_ID:
            runs.append((step, step + length))
        step += length
    assert list(hypothesis.spans) == runs
    assert hypothesis.text == " ".join(VOCABULARY.decode(hypothesis.labels).split())
    assert [word.text for word in hypothesis.words] == hypothesis.text.split()
    ends = [0.0]
    for word in hypothesis.words:
        assert ends[-1] <= word.start_seconds < word.end_seconds <= len(path) * 0.5
        assert word.confidence == pytest.approx(peak)
        ends.append(word.end_seconds)


def test_a_word_lasts_from_its_first_step_to_the_end_of_its_last_run():
    hypothesis = decode(log_probs_of([0, A, A, 0, B, SPACE, 0, A, 0, 0]), step_seconds=0.1)
    assert hypothesis.text == "ab a"
    first, second = hypothesis.words
    assert (first.start_seconds, first.end_seconds) == pytest.approx((0.1, 0.5))
    assert (second.start_seconds, second.end_seconds) == pytest.approx((0.7, 0.8))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([A, A, A], "a"),
        ([A, 0, A], "aa"),
        ([A, 0, 0, A, A], "aa"),
        ([A, B, A], "aba"),
        ([0, 0, 0], ""),
        ([A], "a"),
        ([0], ""),
        ([SPACE, A, SPACE, 0, SPACE, B, SPACE], "a b"),
        ([SPACE, 0, SPACE], ""),
    ],
)
def test_texts_of_paths(path, text):
    assert decode(log_probs_of(path)).text == text


def test_spaces_at_the_ends_stay_in_the_labels():
    assert decode(log_probs_of([SPACE, A, SPACE, 0, SPACE])).labels == (SPACE, A, SPACE, SPACE)


def test_no_step_is_an_empty_hypothesis():
    assert decode(np.zeros((0, 4), np.float32)) == Hypothesis()
    assert Hypothesis().confidence == 0.0, "nobody can be sure of what was not there"


def test_blanks_alone_have_no_words_and_the_confidence_of_the_blank():
    hypothesis = decode(log_probs_of([0, 0], peak=[0.9, 0.4]))
    assert (hypothesis.text, hypothesis.words, hypothesis.labels) == ("", (), ())
    assert hypothesis.confidence == pytest.approx(math.sqrt(0.9 * 0.4))


def test_confidence_is_the_geometric_mean_of_the_labels_peaks():
    hypothesis = decode(log_probs_of([A, A, B, SPACE, B, 0], peak=[0.5, 0.8, 0.6, 0.9, 0.4, 0.99]))
    first, second = hypothesis.words
    assert first.confidence == pytest.approx(math.sqrt(0.8 * 0.6))
    assert second.confidence == pytest.approx(0.4)
    assert hypothesis.confidence == pytest.approx((0.8 * 0.6 * 0.9 * 0.4) ** 0.25)
    assert hypothesis.score == pytest.approx(math.log(0.5 * 0.8 * 0.6 * 0.9 * 0.4 * 0.99))


def test_certainty_is_one_and_impossible_labels_are_allowed():
    log_probs_SV = np.full((2, 4), -np.inf, np.float32)
    log_probs_SV[:, A] = 0.0
    hypothesis = decode(log_probs_SV)
    assert (hypothesis.text, hypothesis.score, hypothesis.confidence) == ("a", 0.0, 1.0)


def test_rounding_above_zero_never_gives_a_confidence_above_one():
    log_probs_SV = np.full((1, 4), -9.0, np.float32)
    log_probs_SV[0, A] = 1e-6
    assert decode(log_probs_SV).confidence == 1.0


def test_equal_probabilities_go_to_the_lowest_label():
    even = np.full((3, 4), math.log(0.25))
    assert decode(even).labels == ()
    even[1, BLANK_ID] = -np.inf
    assert decode(even).labels == (SPACE,)


def test_the_blank_is_column_zero_and_may_be_told_to_be_another():
    assert BLANK_ID == 0
    # characters fill the other columns in order: " " 0, "a" 1, blank 2, "b" 3
    hypothesis = decode(log_probs_of([1, 2, 1, 0, 3]), blank_id=2)
    assert (hypothesis.text, hypothesis.labels) == ("aa b", (1, 1, 0, 3))
    blank_last = decode(log_probs_of([3, 1, 3, 3]), blank_id=3)
    assert blank_last.text == "a"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_score_is_summed_in_double_precision(dtype):
    log_probs_SV = np.full((5000, 4), -4.0, dtype)
    log_probs_SV[:, A] = -0.1
    assert decode(log_probs_SV).score == pytest.approx(5000 * float(dtype(-0.1)), rel=1e-12)


@pytest.mark.parametrize(
    ("log_probs_SV", "options", "message"),
    [
        (np.zeros((1, 3, 4)), {}, r"two axes \(steps, labels\), got shape \(1, 3, 4\)"),
        (np.zeros(4), {}, "one utterance at a time"),
        (np.zeros((3, 5)), {}, "5 columns and the vocabulary 4 labels"),
        (np.zeros((0, 5)), {}, "5 columns and the vocabulary 4 labels"),
        (np.full((3, 4), np.nan), {}, "hold NaN"),
        (np.full((3, 4), 2.0), {}, "reach 2, .* apply log_softmax"),
        (np.zeros((3, 4)), {"step_seconds": 0.0}, "step_seconds must be a positive number of seconds, got 0.0"),
        (np.zeros((3, 4)), {"step_seconds": math.nan}, "step_seconds must be a positive"),
        (np.zeros((3, 4)), {"blank_id": 4}, "one of the 4 columns"),
        (np.zeros((3, 4)), {"blank_id": -1}, "one of the 4 columns"),
    ],
)
def test_what_cannot_be_decoded_is_said(log_probs_SV, options, message):
    with pytest.raises(ValueError, match=message):
        decode(log_probs_SV, **options)


@pytest.mark.parametrize("path", [[[1, 2]], [0.5, 1.0], ["a"]])
def test_collapse_refuses_what_is_no_path(path):
    with pytest.raises(ValueError, match="one row of integer labels"):
        collapse(path)


def test_importing_loads_nothing_heavy():
    heavy = {"tensorflow", "keras", "matplotlib", "librosa", "pandas", "scipy"}
    code = "import sys, speechgru.decoding, speechgru.metrics; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not heavy & set(loaded)
