"""Error rates against a distance matrix written from the definition, and the properties that every distance has."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.metrics.breakdown import confusions, slice_by
from speechgru.metrics.confidence import area_under_curve, calibration_error, reliability, words_right
from speechgru.metrics.error_rates import (
    ErrorCounts,
    align,
    character_errors,
    count_errors,
    count_pairs,
    real_time_factor,
    sentence_error_rate,
    total,
    word_errors,
)
from speechgru.metrics.intervals import bootstrap_interval, error_interval, paired_interval, share_interval

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
    assert count_pairs(pairs) == count_errors(reference, hypothesis)


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


@pytest.mark.parametrize("hypothesis", ["", "one", "one two"])
def test_an_empty_reference_has_errors_and_no_rate(hypothesis):
    counts = word_errors("", hypothesis)
    assert (counts.rate, counts.errors) == (None, len(hypothesis.split()))


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
    monkeypatch.setattr("speechgru.metrics.intervals._BOOTSTRAP_BLOCK", 60)
    assert bootstrap_interval(counts, num_samples=100) == whole


def test_the_interval_of_one_utterance_of_no_errors_and_of_no_words():
    assert bootstrap_interval([word_errors("one two", "one")]) == (0.5, 0.5)
    assert bootstrap_interval([word_errors("one", "one")] * 9) == (0.0, 0.0)
    assert bootstrap_interval([word_errors("", "one")] * 3) is None, "there is no rate"
    mixed = [word_errors("", "one"), word_errors("two", "two")]
    assert bootstrap_interval(mixed) == (0.0, 1.0), "draws without a word have no rate and do not count"
    assert paired_interval(mixed, mixed) == (0.0, 0.0)
    assert paired_interval(mixed[:1], mixed[:1]) is None


def test_the_interval_of_few_words_is_that_of_their_number():
    no_error = [word_errors("one two", "one two")] * 11
    assert error_interval(no_error) == pytest.approx((0.0, 0.1487), abs=1e-4), "Wilson's of 0 of 22"
    assert error_interval([word_errors("one two", "one")]) == pytest.approx((0.0945, 0.9055), abs=1e-4), "of 1 of 2"
    low, high = error_interval([word_errors("one", "two three four")])
    assert (low, high) == pytest.approx((0.6187, 8.7673), abs=1e-3), "Garwood's of 3 events: more than there are words"
    assert error_interval([word_errors("", "one")]) is None


def test_errors_that_come_together_widen_the_interval_beyond_that_of_their_number():
    together = [ErrorCounts(substitutions=10 * (index < 10), reference_length=10) for index in range(100)]
    assert error_interval(together) == bootstrap_interval(together)
    low, high = share_interval(100, 1000)
    assert error_interval(together)[0] < low and error_interval(together)[1] > high


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


# --- Confusions and slices ----------------------------------------------------------------------------------------


def test_confusions_are_gathered_by_word_the_most_frequent_first():
    pairs = [
        ("turn on the light", "turn in the light"),
        ("on and on", "in and in"),
        ("yes", "yes now"),
        ("the end", "end"),
        ("off", "of"),
    ]
    found = confusions(align(reference.split(), hypothesis.split()) for reference, hypothesis in pairs)
    assert found.substitutions == [("on", "in", 3), ("off", "of", 1)]
    assert found.insertions == [("now", 1)]
    assert found.deletions == [("the", 1)]
    assert (found.spoken["on"], found.spoken["the"], found.spoken["in"]) == (3, 2, 0)


@settings(max_examples=50)
@given(st.lists(st.tuples(SENTENCES, SENTENCES), max_size=6))
def test_confusions_add_up_to_the_errors(pairs):
    counts = total(word_errors(*pair) for pair in pairs)
    found = confusions(align(reference.split(), hypothesis.split()) for reference, hypothesis in pairs)
    assert counts == ErrorCounts(
        substitutions=sum(count for *_, count in found.substitutions),
        insertions=sum(count for _, count in found.insertions),
        deletions=sum(count for _, count in found.deletions),
        reference_length=sum(found.spoken.values()),
    )


@given(
    st.lists(st.none() | st.integers(-5, 5) | st.floats(-5, 5), max_size=40)
    | st.lists(st.none() | st.booleans() | st.sampled_from(["a", "b", "1"]) | st.integers(0, 2), max_size=40),
    st.integers(1, 6),
)
def test_every_utterance_is_in_one_slice_and_its_value_is_the_slices(values, num_bins):
    slices = slice_by(values, num_bins=num_bins)
    assert sorted(index for part in slices for index in part.indices) == list(range(len(values)))
    for part in slices:
        assert part.indices == tuple(sorted(part.indices)) != ()
        for index in part.indices:
            value = values[index]
            if part.low is not None:
                assert part.low <= value <= part.high
            elif part.value is not None:
                assert part.value == {True: "yes", False: "no"}.get(
                    value if isinstance(value, bool) else None, str(value)
                )
            else:
                assert value is None
    numbers = [part for part in slices if part.low is not None]
    assert len(numbers) <= num_bins
    assert all(one.high < other.low for one, other in itertools.pairwise(numbers))


def test_numbers_fall_into_bins_of_equally_many_and_few_different_ones_get_their_own():
    parts = slice_by([float(number) for number in range(100)])
    assert [len(part.indices) for part in parts] == [25, 25, 25, 25]
    assert (parts[0].low, parts[0].high, parts[3].high) == (0.0, 24.0, 99.0)
    own = slice_by([10, 0, 20, 0, None])
    assert [(part.low, part.high, part.indices) for part in own] == [
        (0.0, 0.0, (1, 3)), (10.0, 10.0, (0,)), (20.0, 20.0, (2,)), (None, None, (4,))
    ]  # fmt: skip
    assert [part.value for part in slice_by([10**400, 1])] == ["1", str(10**400)]
    mixed = slice_by([1, "quiet", True])
    assert [part.value for part in mixed] == ["1", "quiet", "yes"]


# --- Confidence ---------------------------------------------------------------------------------------------------

CONFIDENCES = st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 0.97, 0.99, 1.0]), st.booleans()), max_size=30)


def test_each_word_heard_is_right_or_not():
    pairs = align(["turn", "on", "the", "light"], ["turn", "the", "lights"])
    assert words_right(pairs) == [True, True, False]


@given(CONFIDENCES)
def test_the_area_is_the_share_of_pairs_in_the_right_order(words):
    right = [confidence for confidence, is_right in words if is_right]
    wrong = [confidence for confidence, is_right in words if not is_right]
    area = area_under_curve([confidence for confidence, _ in words], [is_right for _, is_right in words])
    if not right or not wrong:
        assert area is None
    else:
        pairs = [(one > other) + 0.5 * (one == other) for one in right for other in wrong]
        assert area == pytest.approx(np.mean(pairs))


@given(CONFIDENCES)
def test_a_reliability_table_holds_every_word_once(words):
    confidences, right = [confidence for confidence, _ in words], [is_right for _, is_right in words]
    bins = reliability(confidences, right)
    assert sum(entry.num_words for entry in bins) == len(words)
    assert sum(entry.num_words * entry.share_right for entry in bins) == pytest.approx(sum(right))
    assert sum(entry.num_words * entry.mean_confidence for entry in bins) == pytest.approx(sum(confidences))
    for entry in bins:
        assert entry.low <= entry.mean_confidence <= entry.high
        assert entry.right_interval[0] <= entry.share_right <= entry.right_interval[1]
    error = calibration_error(bins)
    assert error is None if not words else 0 <= error <= 1


def test_calibration_is_perfect_where_confidence_is_the_share_of_right_words():
    assert calibration_error(reliability([0.75] * 4, [True, True, True, False])) == 0.0
    assert calibration_error(reliability([1.0] * 4, [True, True, True, False])) == 0.25


def test_a_shares_interval_is_wilsons():
    assert share_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # Newcombe 1998's formula, by hand
    assert share_interval(0, 5)[0] == 0.0 and share_interval(5, 5)[1] == 1.0
    assert 0 < share_interval(0, 5)[1] < 1
    for count, of in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="a share needs 1 case or more"):
            share_interval(count, of)
