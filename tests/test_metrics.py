"""Error rates against a distance matrix written from the definition, and the properties that every distance has."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.metrics import (
    ErrorCounts,
    align,
    bootstrap_interval,
    character_errors,
    count_errors,
    real_time_factor,
    sentence_error_rate,
    total,
    word_errors,
)

TOKENS = st.lists(st.sampled_from("abcd"), max_size=8)
SENTENCES = st.lists(st.sampled_from(["one", "two", "three", "four"]), max_size=7).map(" ".join)


def slow_distance(reference, hypothesis):
    """Wagner and Fischer 1974, the whole matrix."""
    distance = np.zeros((len(reference) + 1, len(hypothesis) + 1), int)
    distance[:, 0] = range(len(reference) + 1)
    distance[0, :] = range(len(hypothesis) + 1)
    for i, token in enumerate(reference, start=1):
        for j, other in enumerate(hypothesis, start=1):
            distance[i, j] = min(
                distance[i - 1, j] + 1, distance[i, j - 1] + 1, distance[i - 1, j - 1] + (token != other)
            )
    return distance[-1, -1]


@settings(max_examples=200, deadline=None)
@given(TOKENS, TOKENS)
def test_errors_are_the_edit_distance(reference, hypothesis):
    counts = count_errors(reference, hypothesis)
    assert counts.errors == slow_distance(reference, hypothesis)
    assert counts.reference_length == len(reference)
    assert counts.insertions - counts.deletions == len(hypothesis) - len(reference)


@settings(max_examples=200, deadline=None)
@given(TOKENS, TOKENS)
def test_an_alignment_spells_both_sides_and_marks_them_right(reference, hypothesis):
    pairs = align(reference, hypothesis)
    assert [pair.reference for pair in pairs if pair.operation != "insert"] == reference
    assert [pair.hypothesis for pair in pairs if pair.operation != "delete"] == hypothesis
    for operation, token, other in pairs:
        assert {
            "equal": token == other is not None,
            "substitute": None not in (token, other) and token != other,
            "insert": token is None and other is not None,
            "delete": token is not None and other is None,
        }[operation]
    assert pairs == align(reference, hypothesis)


@settings(max_examples=100, deadline=None)
@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_the_distance_is_a_metric_and_grows_no_faster_than_its_parts(first, second, third, fourth):
    def distance(one, other):
        return count_errors(one, other).errors

    assert distance(first, first) == 0
    assert distance(first, second) == distance(second, first)
    assert distance(first, third) <= distance(first, second) + distance(second, third)
    assert distance(first + third, second + fourth) <= distance(first, second) + distance(third, fourth)
    assert distance(first + third, second + third) == distance(first, second)
    assert abs(len(first) - len(second)) <= distance(first, second) <= max(len(first), len(second))


def test_tokens_whose_hashes_are_equal_are_still_different():
    assert hash(-1) == hash(-2)
    assert count_errors([-1], [-2]).substitutions == 1
    assert count_errors([-1, 5], [-1, 5]).errors == 0


def test_each_kind_of_error_is_counted():
    counts = word_errors("turn on the kitchen light", "turn the kitten light please")
    assert counts == ErrorCounts(substitutions=1, insertions=1, deletions=1, reference_length=5)
    assert (counts.errors, counts.rate) == (3, 0.6)


def test_word_errors_ignore_white_space():
    assert word_errors(" turn  on\n", "turn on").errors == 0


def test_a_space_is_a_character_but_layout_is_not():
    assert character_errors("one two", "onetwo") == ErrorCounts(deletions=1, reference_length=7)
    assert character_errors(" one  two ", "one two") == ErrorCounts(reference_length=7)


@pytest.mark.parametrize(("hypothesis", "rate"), [("", 0.0), ("one", math.inf)])
def test_the_rate_of_an_empty_reference(hypothesis, rate):
    assert word_errors("", hypothesis).rate == rate


def test_a_rate_is_never_clamped():
    assert word_errors("one", "one two three four").rate == 3.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=6))
def test_counts_add_up_and_the_corpus_rate_is_errors_over_words(pairs):
    counts = [word_errors(*pair) for pair in pairs]
    whole = total(counts)
    assert whole.errors == sum(count.errors for count in counts)
    assert whole.reference_length == sum(len(reference.split()) for reference, _ in pairs)
    if whole.reference_length:
        assert whole.rate == whole.errors / whole.reference_length
    assert total(reversed(counts)) == whole
    assert sentence_error_rate(counts) == np.mean([reference != hypothesis for reference, hypothesis in pairs])


def test_nothing_adds_up_to_nothing():
    assert total([]) == ErrorCounts()


def test_counts_add_to_counts_only():
    with pytest.raises(TypeError):
        ErrorCounts() + 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(SENTENCES.filter(bool), SENTENCES), min_size=1, max_size=5))
def test_jiwer_agrees(pairs):
    jiwer = pytest.importorskip("jiwer")
    references, hypotheses = map(list, zip(*pairs, strict=True))
    words = total(word_errors(*pair) for pair in pairs)
    theirs = jiwer.process_words(references, hypotheses)
    assert words.rate == pytest.approx(theirs.wer)
    assert (words.substitutions, words.insertions, words.deletions) == (
        theirs.substitutions,
        theirs.insertions,
        theirs.deletions,
    )
    assert total(character_errors(*pair) for pair in pairs).rate == pytest.approx(jiwer.cer(references, hypotheses))


def test_the_interval_holds_the_rate_and_repeats_itself():
    generator = np.random.default_rng(7)
    counts = [ErrorCounts(substitutions=int(errors), reference_length=8) for errors in generator.binomial(8, 0.1, 300)]
    low, high = bootstrap_interval(counts)
    assert low < total(counts).rate < high
    assert (low, high) == bootstrap_interval(counts)
    assert (low, high) != bootstrap_interval(counts, seed=1)
    narrow_low, narrow_high = bootstrap_interval(counts, confidence=0.5)
    assert low < narrow_low < narrow_high < high


def test_the_interval_is_as_wide_as_the_normal_approximation():
    # one-word utterances: the rate is a proportion, whose standard error is sqrt(p (1 - p) / n)
    counts = [ErrorCounts(substitutions=int(index < 100), reference_length=1) for index in range(1000)]
    low, high = bootstrap_interval(counts, num_samples=4000)
    half = 1.96 * math.sqrt(0.1 * 0.9 / 1000)
    assert (low, high) == pytest.approx((0.1 - half, 0.1 + half), abs=0.1 * half)


def test_the_interval_does_not_depend_on_the_memory_it_may_use(monkeypatch):
    counts = [word_errors("one two three", text) for text in ("one two three", "one", "", "one two four")] * 5
    whole = bootstrap_interval(counts, num_samples=100)
    monkeypatch.setattr("speechgru.metrics._BOOTSTRAP_BLOCK", 60)
    assert bootstrap_interval(counts, num_samples=100) == whole


def test_the_interval_of_one_utterance_of_no_errors_and_of_no_words():
    assert bootstrap_interval([word_errors("one two", "one")]) == (0.5, 0.5)
    assert bootstrap_interval([word_errors("one", "one")] * 9) == (0.0, 0.0)
    assert bootstrap_interval([word_errors("", "")] * 3) == (0.0, 0.0)
    low, high = bootstrap_interval([word_errors("", "one"), word_errors("two", "two")])
    assert (low, high) == (0.0, math.inf)


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ([], {}, "no utterance was scored"),
        ([ErrorCounts()], {"confidence": 95}, "confidence must lie between 0 and 1, such as 0.95, got 95"),
        ([ErrorCounts()], {"num_samples": 0}, "num_samples must be 1 or more"),
    ],
)
def test_what_gives_no_interval_is_said(counts, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(counts, **options)


def test_a_sentence_error_rate_needs_sentences():
    with pytest.raises(ValueError, match="no utterance"):
        sentence_error_rate([])


def test_the_real_time_factor_is_processing_over_audio():
    assert real_time_factor(2.0, 40.0) == 0.05
    for processing, audio in ((1.0, 0.0), (1.0, -1.0), (-1.0, 1.0), (1.0, math.nan)):
        with pytest.raises(ValueError, match="real-time factor"):
            real_time_factor(processing, audio)
