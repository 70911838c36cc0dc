"""Decoding while somebody speaks: any cut gives what all steps at once give, and ends an utterance at the same step."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest
import word_penalty
from hypothesis import given, settings
from hypothesis import strategies as st
from word_penalty import WordPenalty

from speechgru.decoding import (
    DecoderStream,
    DecodingOptions,
    EndpointRule,
    Phrases,
    PrefixScorer,
    Pruning,
    align,
    decode,
)
from speechgru.decoding import stream as stream_module
from speechgru.decoding.search import BeamSearch
from speechgru.errors import TextError, UserError
from speechgru.text import Vocabulary

CHARACTERS = Vocabulary([" ", "a", "b"])
SPACE, A, B = 1, 2, 3
WORDS = Vocabulary(["lights", "off", "on"], unit="word")
NO_SPACE = Vocabulary("abc")
STEP_SECONDS = 0.04


class WholePairs(PrefixScorer):
    """Allows texts of an even number of labels alone, and each pair changes the score; the last one at the end."""

    max_change, is_constraint = 0.25, True

    def start(self):
        return (0, 0)

    def extend(self, state, label):
        number, before = state
        return ((number + 1) % 2, label), 0.25 if number and before < label else -0.5

    def finish(self, state):
        return -math.inf if state[0] else -0.125 * state[1]

    def steps_needed(self, state):
        return (1, 1) if state[0] else (0, 0)


CASES = {
    "greedy": (CHARACTERS, {}),
    "greedy, words": (WORDS, {}),
    "beam": (CHARACTERS, {"beam_width": 8, "n_best": 8}),
    "narrow beam": (CHARACTERS, {"beam_width": 2}),
    "beam, words": (WORDS, {"beam_width": 4, "n_best": 2}),
    "hotwords": (CHARACTERS, {"beam_width": 6, "n_best": 3, "hotwords": {"ab": 3.0, "b a": 2.0, "aa": -2.0}}),
    "hotwords, no space": (NO_SPACE, {"beam_width": 6, "n_best": 3, "hotwords": ["abc", "ca"]}),
    "hotwords, words": (WORDS, {"beam_width": 4, "n_best": 4, "hotwords": {"lights on": 3.0}}),
    "phrases": (CHARACTERS, {"beam_width": 6, "n_best": 6, "phrases": Phrases(["a", "abba", "bb a", "baab ba"])}),
    "narrow phrases": (CHARACTERS, {"beam_width": 2, "phrases": Phrases(["a", "abba", "baab ba"])}),
    "phrases or silence": (CHARACTERS, {"beam_width": 3, "n_best": 2, "phrases": Phrases(["", "abab", "bb"])}),
    "phrases, never silence": (CHARACTERS, {"beam_width": 3, "phrases": Phrases(["ab", "baab ba"], silence=False)}),
    "phrases in a row": (CHARACTERS, {"beam_width": 4, "n_best": 4, "phrases": Phrases(["aab", "b", "b a"], True)}),
    "phrases, words": (WORDS, {"beam_width": 3, "n_best": 3, "phrases": Phrases(["lights on", "off off off"])}),
    "phrases in a row, words": (WORDS, {"beam_width": 3, "phrases": Phrases(["lights on", "off off"], True)}),
    "hotwords and phrases": (
        CHARACTERS,
        {"beam_width": 4, "n_best": 4, "hotwords": {"ab": 2.0}, "phrases": Phrases(["ab ab", "aab", "b"], True)},
    ),
    "pruning": (
        CHARACTERS,
        {
            "beam_width": 8,
            "n_best": 8,
            "pruning": Pruning(token_log_prob=-2.0, beam_log_prob=-4.0, blank_log_prob=math.log(0.9)),
        },
    ),
    "phrases, pruned": (
        CHARACTERS,
        {"beam_width": 8, "n_best": 2, "phrases": Phrases(["ab", "baa"]), "pruning": Pruning(beam_log_prob=-3.0)},
    ),
    "scorer": (CHARACTERS, {"beam_width": 6, "n_best": 6, "scorers": [WordPenalty(1.0)]}),
    "scorer that forbids": (CHARACTERS, {"beam_width": 3, "n_best": 3, "scorers": [WholePairs()]}),
    "scorers, words": (WORDS, {"beam_width": 4, "n_best": 4, "scorers": [WholePairs(), word_penalty.make]}),
    "scorers, hotwords, phrases": (
        CHARACTERS,
        {
            "beam_width": 5,
            "n_best": 5,
            "hotwords": {"ab": 2.0},
            "phrases": Phrases(["ab", "b", "ba a"], True),
            "scorers": [WholePairs(), WordPenalty(0.5)],
        },
    ),
}
seeds = st.integers(0, 2**32 - 1)
cases = st.sampled_from(list(CASES))


def random_log_probs(seed, *, most_steps=24, num_labels=4):
    """Log-probabilities as float32, peaky or flat, with or without long blanks; none to `most_steps` steps."""
    rng = np.random.default_rng(seed)
    steps = int(rng.choice([0, 1, rng.integers(2, most_steps + 1)], p=[0.05, 0.1, 0.85]))
    logits_SV = rng.normal(0, rng.uniform(0.3, 5), (steps, num_labels))
    logits_SV[:, 0] += rng.choice([0.0, 3.0])
    if steps and rng.random() < 0.3:
        logits_SV[rng.integers(0, steps) :, 0] += 8
    if rng.random() < 0.3:
        logits_SV = np.repeat(logits_SV, 2, axis=0)[: max(steps, 1)]
    return (logits_SV - np.log(np.exp(logits_SV).sum(axis=1, keepdims=True))).astype(np.float32)


def log_probs_of(path, *, peak=0.97, num_labels=4):
    probabilities = np.full((len(path), num_labels), (1 - peak) / (num_labels - 1))
    probabilities[range(len(path)), path] = peak
    return np.log(probabilities).astype(np.float32)


def pieces_of(log_probs_SV, seed):
    """The steps cut at random: into single ones, into a few, with empty pieces between."""
    rng = np.random.default_rng([seed, 1])
    cuts = np.sort(rng.integers(0, len(log_probs_SV) + 1, rng.choice([0, 1, 3, len(log_probs_SV)])))
    return np.split(log_probs_SV, cuts)


def stream_of(vocabulary=CHARACTERS, *, start_seconds=0.0, step_seconds=STEP_SECONDS, **options):
    return DecoderStream(
        vocabulary=vocabulary,
        step_seconds=step_seconds,
        options=DecodingOptions(**options),
        start_seconds=start_seconds,
    )


def at_once(log_probs_SV, vocabulary=CHARACTERS, **options):
    return decode(log_probs_SV, vocabulary=vocabulary, step_seconds=STEP_SECONDS, options=DecodingOptions(**options))


def assert_equal(found, expected, *, start_seconds=0.0):
    """Field by field; scores, the empty text's confidence and posteriors to rounding."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.text, one.labels, one.spans) == (other.text, other.labels, other.spans)
        assert one.score == pytest.approx(other.score, abs=1e-9)
        assert one.posterior == pytest.approx(other.posterior, abs=1e-9)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-12)
        assert [(word.text, word.start_seconds, word.end_seconds, word.confidence) for word in one.words] == [
            (word.text, start_seconds + word.start_seconds, start_seconds + word.end_seconds, word.confidence)
            for word in other.words
        ]


# --- the end ---


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=50, deadline=None)
@given(seed=seeds)
def test_any_cut_gives_what_all_steps_at_once_give(case, seed):
    vocabulary, options = CASES[case]
    log_probs_SV = random_log_probs(seed)
    stream = stream_of(vocabulary, start_seconds=12.5, **options)
    for piece_SV in pieces_of(log_probs_SV, seed):
        stream.feed(piece_SV)
        if seed % 2:
            stream.partial()  # looking changes nothing
    assert stream.num_steps == len(log_probs_SV)
    assert_equal(stream.finish(), at_once(log_probs_SV, vocabulary, **options), start_seconds=12.5)
    assert stream.finish() == stream.finish(), "asked twice"
    assert stream.partial() == stream.finish()[0]


@pytest.mark.parametrize("options", [{}, {"beam_width": 4, "n_best": 4}, {"beam_width": 4, "phrases": Phrases(["ab"])}])
def test_no_step_at_all(options):
    stream = stream_of(**options)
    stream.feed(np.zeros((0, 4), np.float32))
    assert (stream.partial().text, stream.num_steps, stream.trailing_blank_steps) == ("", 0, 0)
    assert stream.finish() == at_once(np.zeros((0, 4)), **options)


def test_a_phrase_list_finds_nothing_in_silence():
    """It made a phrase of every silence once: a stream of two seconds had four."""
    rule = EndpointRule(trailing_seconds=0.1, start_seconds=0.2)
    silent_SV = log_probs_of([0] * 40)
    stream = stream_of(beam_width=4, phrases=Phrases(["ab", "b"]))
    assert stream.feed_until(silent_SV, rule) is not None, "the utterance ends where nobody spoke"
    assert (stream.partial().text, stream.finish()[0].text) == ("", "")
    forced = stream_of(beam_width=4, phrases=Phrases(["ab", "b"], silence=False))
    forced.feed(silent_SV)
    assert forced.finish()[0].text == "b"


def test_what_fits_no_phrase_is_told_as_at_once():
    options = {"beam_width": 4, "phrases": Phrases(["abba"], silence=False)}
    log_probs_SV = log_probs_of([A, B, 0])
    stream = stream_of(**options)
    stream.feed(log_probs_SV)
    assert stream.partial().text == "ab", "it may still become a phrase"
    (nothing,) = stream.finish()
    assert [nothing] == at_once(log_probs_SV, **options)
    assert (nothing.text, nothing.score, nothing.confidence) == ("", -math.inf, 0.0)

    impossible_SV = np.full((1, 4), -np.inf, np.float32)
    impossible_SV[:, SPACE] = 0.0
    stream = stream_of(**options)
    stream.feed(impossible_SV)
    assert (stream.partial().score, stream.partial().posterior) == (-math.inf, 0.0)
    assert stream.finish() == at_once(impossible_SV, **options)


def test_higher_precision_is_kept_whenever_it_comes():
    log_probs_SV = np.log(np.random.default_rng(0).dirichlet(np.full(4, 0.3), 30))
    options = {"beam_width": 4, "n_best": 4}
    for first in (0, 7):  # steps in float32 before those in float64
        mixed_SV = log_probs_SV.copy()
        mixed_SV[:first] = mixed_SV[:first].astype(np.float32)
        stream = stream_of(**options)
        stream.feed(mixed_SV[:first].astype(np.float32))
        stream.feed(mixed_SV[first:])
        assert_equal(stream.finish(), at_once(mixed_SV, **options))


def test_only_the_last_steps_are_searched_again_for_phrases(monkeypatch):
    fed = []
    feed = BeamSearch.feed

    def counting(self, log_probs_SV, *, steps_after):
        fed.append((len(log_probs_SV), steps_after))
        feed(self, log_probs_SV, steps_after=steps_after)

    monkeypatch.setattr(BeamSearch, "feed", counting)
    log_probs_SV = log_probs_of([A, 0, B, SPACE, 0, B, 0, A] + [0] * 192, peak=0.9)
    phrases = Phrases(["ab ba", "b"])  # from a text's beginning one step, after "a" four
    stream = stream_of(beam_width=4, phrases=phrases)
    stream.feed(log_probs_SV)
    assert stream.finish()[0].text == "ab ba"
    assert fed == [(200, math.inf), (4, 0)]
    # nothing is searched again where nothing forbids to end
    fed.clear()
    stream = stream_of(beam_width=4, hotwords=["ab"])
    stream.feed(log_probs_SV)
    stream.finish()
    assert fed == [(200, math.inf), (0, 0)]


# --- on the way ---


@settings(max_examples=80, deadline=None)
@given(seeds, st.sampled_from(["greedy", "greedy, words", "beam", "narrow beam", "beam, words", "pruning"]))
def test_a_partial_result_is_what_the_end_would_be_without_scorers(seed, case):
    vocabulary, options = CASES[case]
    log_probs_SV = random_log_probs(seed)
    stream = stream_of(vocabulary, **options)
    num_steps = 0
    for piece_SV in pieces_of(log_probs_SV, seed):
        stream.feed(piece_SV)
        num_steps += len(piece_SV)
        partial, (end, *_) = stream.partial(), at_once(log_probs_SV[:num_steps], vocabulary, **options)
        assert (partial.text, partial.labels) == (end.text, end.labels)
        assert partial.score == pytest.approx(end.score, abs=1e-9)
        assert partial.posterior == pytest.approx(end.posterior, abs=1e-9)
        assert 0 <= partial.confidence <= 1
        if not options:
            assert_equal([partial], [end])


@settings(max_examples=80, deadline=None)
@given(seeds, cases)
def test_the_labels_of_a_partial_result_have_spans_in_order(seed, case):
    vocabulary, options = CASES[case]
    stream = stream_of(vocabulary, start_seconds=3.0, **options)
    for piece_SV in pieces_of(random_log_probs(seed), seed):
        stream.feed(piece_SV)
        partial = stream.partial()
        assert partial.text == " ".join(word.text for word in partial.words)
        assert len(partial.spans) == len(partial.labels)
        before, end = None, 0
        for label, (start, after) in zip(partial.labels, partial.spans, strict=True):
            assert end + (label == before) <= start < after <= stream.num_steps
            before, end = label, after
        for word in partial.words:
            assert 3.0 <= word.start_seconds < word.end_seconds <= 3.0 + stream.num_steps * STEP_SECONDS + 1e-9


def test_a_partial_result_may_be_the_beginning_of_a_phrase_and_hold_half_a_word():
    stream = stream_of(beam_width=8, phrases=Phrases(["ab ba", "b"]))
    stream.feed(log_probs_of([A, 0, B, SPACE, B]))
    assert stream.partial().text == "ab b"
    stream.feed(log_probs_of([0, A]))
    assert stream.partial().text == stream.finish()[0].text == "ab ba"


def test_only_what_is_new_in_a_partial_result_is_aligned(monkeypatch):
    aligned = []

    def counting(log_probs_SV, labels, **options):
        aligned.append((len(log_probs_SV), len(labels)))
        return align(log_probs_SV, labels, **options)

    monkeypatch.setattr(stream_module, "align", counting)
    path = np.zeros(400, int)
    path[2::4] = np.arange(100) % 3 + 1
    log_probs_SV = log_probs_of(path, peak=0.9)
    log_probs_SV[2, [0, path[2]]] = np.log([0.47, 0.46])  # the best path lacks the first label, the best text has it
    stream = stream_of(beam_width=4)
    for piece_SV in np.split(log_probs_SV, 80):
        stream.feed(piece_SV)
        partial = stream.partial()
    assert len(aligned) == 80, "the best path's labels are others, so each partial result is aligned"
    assert max(steps for steps, _ in aligned) <= 16
    assert max(labels for _, labels in aligned) <= 4
    assert partial.labels == tuple(path[2::4])
    assert partial.spans == stream.finish()[0].spans


@pytest.mark.parametrize("beam_width", [1, 8])
def test_a_partial_result_is_made_once_for_the_steps_that_came(beam_width):
    stream, log_probs_SV = stream_of(beam_width=beam_width), log_probs_of([A, 0, B, SPACE, B])
    stream.feed(log_probs_SV[:3])
    partial = stream.partial()
    stream.feed(log_probs_SV[:0])
    assert stream.partial() is partial and partial.text == "ab"
    stream.feed(log_probs_SV[3:])
    assert stream.partial().text == "ab b"


# --- silence ---


def test_silence_is_what_came_since_the_last_label():
    stream = stream_of()
    reported = []
    for label in [0, SPACE, 0, A, A, 0, B, SPACE, 0, SPACE, SPACE]:
        stream.feed(log_probs_of([label]))
        reported.append((stream.trailing_blank_steps, stream.has_label))
    assert reported == [(1, False), (2, False), (3, False), *[(0, True)] * 2, (1, True), (0, True)] + [
        (steps, True) for steps in range(1, 5)
    ]


def test_the_first_entry_of_a_vocabulary_without_a_space_is_heard():
    for vocabulary in (WORDS, NO_SPACE):
        stream = stream_of(vocabulary)
        stream.feed(log_probs_of([0, 1]))
        assert (stream.trailing_blank_steps, stream.has_label) == (0, True)


@pytest.mark.parametrize("options", [{}, {"beam_width": 4}])
def test_with_a_beam_silence_is_the_best_paths_too(options):
    # the best text is "a" and the best path empty
    log_probs_SV = np.log([[0.6, 1e-9, 0.4, 1e-9]] * 2)
    stream = stream_of(**options)
    stream.feed(log_probs_SV)
    assert (stream.trailing_blank_steps, stream.has_label) == (2, False)


def slow_endpoint(path, rule, *, silent=(0, SPACE), steps=round):
    """Written from the definition: the number of steps after which the utterance is over, or None."""
    trailing, start, longest = (
        math.inf if seconds is None else steps(seconds / STEP_SECONDS)
        for seconds in (rule.trailing_seconds, rule.start_seconds, rule.max_seconds)
    )
    for count in range(1, len(path) + 1):
        silence = len(list(itertools.takewhile(lambda label: label in silent, reversed(path[:count]))))
        if count >= longest or silence >= (start if silence == count else trailing):
            return count
    return None


limits = st.integers(1, 12).map(lambda steps: steps * STEP_SECONDS)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([0, 0, 0, 0, SPACE, A, B]), max_size=40),
    st.builds(EndpointRule, limits, st.none() | limits, st.none() | limits),
    seeds,
    st.sampled_from(["greedy", "narrow beam"]),
)
def test_the_endpoint_does_not_depend_on_the_cut(path, rule, seed, case):
    expected = slow_endpoint(path, rule)
    log_probs_SV = log_probs_of(path)
    for pieces in (pieces_of(log_probs_SV, seed), [log_probs_SV], np.split(log_probs_SV, range(1, len(path)))):
        stream = stream_of(**CASES[case][1])
        found = None
        for piece_SV in pieces:
            before = stream.num_steps
            taken = stream.feed_until(piece_SV, rule)
            assert stream.num_steps == before + (len(piece_SV) if taken is None else taken)
            if taken is not None:
                assert taken >= 1
                found = stream.num_steps
                break
        assert found == expected
        assert_equal(stream.finish(), at_once(log_probs_SV[:found], **CASES[case][1]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 0, 0, SPACE, A]), max_size=30), st.builds(EndpointRule, limits, limits, limits))
def test_asking_after_every_step_ends_at_the_same_one(path, rule):
    stream = stream_of()
    found = None
    for row_SV in log_probs_of(path)[:, None]:
        stream.feed(row_SV)
        if rule.is_over(
            num_steps=stream.num_steps,
            trailing_blank_steps=stream.trailing_blank_steps,
            has_label=stream.has_label,
            step_seconds=STEP_SECONDS,
        ):
            found = stream.num_steps
            break
    assert found == slow_endpoint(path, rule)


def test_seconds_that_are_whole_steps_are_those_and_others_round_up():
    def steps_until_over(rule, step_seconds, has_label):
        return next(
            steps
            for steps in itertools.count(1)
            if rule.is_over(num_steps=steps, trailing_blank_steps=steps, has_label=has_label, step_seconds=step_seconds)
        )

    for steps in range(1, 60):
        for step_seconds in (0.01, 0.02, 0.03, 0.04, 0.06, 256 / 22050):
            rule = EndpointRule(trailing_seconds=steps * step_seconds, start_seconds=None, max_seconds=None)
            assert steps_until_over(rule, step_seconds, True) == steps
    rule = EndpointRule(trailing_seconds=0.81, start_seconds=0.001, max_seconds=None)
    assert steps_until_over(rule, 0.04, True) == 21
    assert steps_until_over(rule, 0.04, False) == 1
    assert steps_until_over(EndpointRule(max_seconds=0.4), 0.04, False) == 10
    assert steps_until_over(EndpointRule(), 0.04, False) == 125


def test_without_limits_silence_never_ends():
    rule = EndpointRule(start_seconds=None, max_seconds=None)
    stream = stream_of()
    assert stream.feed_until(log_probs_of([0] * 100_000), rule) is None
    assert stream.feed_until(log_probs_of([]), rule) is None
    assert stream.feed_until(log_probs_of([A] + [0] * 30), rule) == 21


def test_a_rule_that_holds_already_ends_after_the_next_step():
    stream = stream_of()
    stream.feed(log_probs_of([A] + [0] * 50))
    assert stream.feed_until(log_probs_of([]), EndpointRule()) is None
    assert stream.feed_until(log_probs_of([0, 0]), EndpointRule()) == 1
    assert stream.feed_until(log_probs_of([A, A]), EndpointRule()) is None


# --- cost ---


def test_a_greedy_streams_memory_does_not_grow_with_silence():
    stream = stream_of()
    silence_SV = log_probs_of([0] * 50)
    stream.feed(log_probs_of([A, 0, B]))
    stream.feed(silence_SV)
    stream.partial()
    tracemalloc.start()
    for _ in range(2000):
        stream.feed(silence_SV)
    stream.partial()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert stream.trailing_blank_steps == 100_050
    assert grown < 5000, f"{grown} bytes after 100,000 steps"


# --- mistakes ---


@pytest.mark.parametrize("options", [{}, {"beam_width": 4}])
@pytest.mark.parametrize(
    ("log_probs_SV", "message"),
    [
        (np.zeros(4), r"two axes \(steps, labels\), got shape \(4,\)"),
        (np.zeros((3, 5)), "5 columns and the vocabulary 4 labels"),
        (np.zeros((0, 5)), "5 columns and the vocabulary 4 labels"),
        (np.full((3, 4), np.nan), "hold NaN"),
        (np.full((3, 4), 2.0), "reach 2, .* apply log_softmax"),
    ],
)
def test_steps_that_do_not_fit_are_refused_and_none_is_taken(options, log_probs_SV, message):
    right_SV = log_probs_of([A, 0])
    stream = stream_of(**options)
    stream.feed(right_SV)
    with pytest.raises(ValueError, match=message):
        stream.feed(log_probs_SV)
    with pytest.raises(ValueError, match=message):
        stream.feed_until(log_probs_SV, EndpointRule())
    stream.feed(right_SV)
    assert stream.num_steps == 4
    assert_equal(stream.finish(), at_once(np.concatenate([right_SV, right_SV]), **options))


@pytest.mark.parametrize("options", [{}, {"beam_width": 4}])
def test_a_finished_stream_takes_no_more(options):
    stream = stream_of(**options)
    stream.feed(log_probs_of([A, 0, 0]))
    stream.finish()
    with pytest.raises(ValueError, match="was finished after 3 steps; begin a new one for the next utterance"):
        stream.feed(log_probs_of([A]))
    with pytest.raises(ValueError, match="was finished after 3 steps"):
        stream.feed_until(log_probs_of([]), EndpointRule())


def test_streams_that_cannot_be():
    with pytest.raises(ValueError, match=r"step_seconds must be a positive number of seconds, got 0\.0"):
        stream_of(step_seconds=0.0)
    with pytest.raises(ValueError, match="start_seconds must be a finite number of seconds, got nan"):
        stream_of(start_seconds=math.nan)
    with pytest.raises(TextError, match=r"hotword 'x': 'x' \(U\+0078\) is not in the vocabulary"):
        stream_of(beam_width=4, hotwords=["x"])
    with pytest.raises(ValueError, match="would leave out labels that an allowed text needs"):
        stream_of(beam_width=4, phrases=Phrases(["a"]), pruning=Pruning(token_log_prob=-5.0))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, "1", True])
@pytest.mark.parametrize("name", ["trailing_seconds", "start_seconds", "max_seconds"])
def test_limits_are_positive_seconds(name, value):
    with pytest.raises(UserError, match=rf"^{name} must be a positive number of seconds.*, got {value!r}$"):
        EndpointRule(**{name: value})


def test_silence_after_speech_always_ends():
    with pytest.raises(UserError, match=r"^trailing_seconds must be a positive number of seconds, got None$"):
        EndpointRule(trailing_seconds=None)
    assert EndpointRule(np.float32(0.5), start_seconds=None, max_seconds=None).trailing_seconds == 0.5


def test_all_steps_at_once_know_their_end(monkeypatch):
    """`decode` drops what cannot end in time as it goes, and never searches a step twice."""
    monkeypatch.setattr(BeamSearch, "rewind", None)
    log_probs_SV = log_probs_of([A, B, 0, 0])
    assert at_once(log_probs_SV, beam_width=2, phrases=Phrases(["abaab", "b"]))[0].text == "b"
