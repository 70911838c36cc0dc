"""Margins and acceptance: against a count of every path, in silence of any length, in streams as at once."""

import itertools
import math

import numpy as np
import pytest

from speechgru.decoding import DecoderStream, DecodingOptions, Phrases, PrefixScorer, Pruning, align, collapse, decode
from speechgru.decoding.margin import margin_of
from speechgru.errors import UserError
from speechgru.text import Vocabulary

VOCABULARY = Vocabulary(" ab")
SPACE, A, B = 1, 2, 3


def log_probs_of(path, *, peak=0.9):
    probabilities = np.full((len(path), 4), (1 - peak) / 3)
    probabilities[range(len(path)), path] = peak
    return np.log(probabilities).astype(np.float32)


def run(log_probs_SV, **options):
    options = DecodingOptions(beam_width=8, **options)
    return decode(log_probs_SV, vocabulary=VOCABULARY, step_seconds=0.02, options=options)[0]


@pytest.mark.parametrize("seed", range(20))
def test_the_margin_is_that_of_the_best_path_of_all_that_spell_the_text(seed):
    rng = np.random.default_rng(seed)
    logits_SV = rng.normal(0, 2, (5, 4))
    log_probs_SV = logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)
    found = run(log_probs_SV, phrases=Phrases(["ab", "b"], silence=False))
    paths = [path for path in itertools.product(range(4), repeat=5) if collapse(path) == found.labels]
    best = max(paths, key=lambda path: sum(log_probs_SV[range(5), path]))
    live = [step for step in range(5) if best[step] or log_probs_SV[step].argmax()]
    expected = sum(log_probs_SV[step, best[step]] for step in live) / len(found.labels)
    assert found.margin == pytest.approx(expected) and found.margin <= 0


def test_what_was_said_is_close_to_0_and_what_was_not_is_far_behind():
    said = run(log_probs_of([A, 0, B, 0]), phrases=Phrases(["ab", "ba"]))
    other = run(log_probs_of([B, B, SPACE, A, B, A]), phrases=Phrases(["ab"]))
    beside = run(log_probs_of([A, B, SPACE, B, A, B, A]), phrases=Phrases(["ab"]))
    assert (said.text, said.margin) == ("ab", pytest.approx(math.log(0.9), rel=1e-5))
    assert other.text == beside.text == "ab"
    assert other.margin < beside.margin < 10 * said.margin, "what was said beside it counts too"


def test_silence_of_any_length_changes_no_margin():
    phrases = Phrases(["ab"])
    short = run(log_probs_of([A, B]), phrases=phrases)
    long = run(log_probs_of([0] * 200 + [A, B] + [0] * 300), phrases=phrases)
    assert long.text == "ab" and long.margin == pytest.approx(short.margin)


def test_an_impossible_path_has_a_finite_margin():
    log_probs_SV = log_probs_of([A, B])
    log_probs_SV[1, B] = -np.inf
    assert margin_of(log_probs_SV, [A, B], [(0, 1), (1, 2)], blank_id=0) == pytest.approx(-50, abs=0.1)


def test_a_text_is_accepted_from_the_threshold_on():
    log_probs_SV, phrases = log_probs_of([A, B]), Phrases(["ab", "b"])
    margin = run(log_probs_SV, phrases=phrases).margin
    accepted = [
        run(log_probs_SV, phrases=phrases, threshold=threshold).accepted
        for threshold in (-math.inf, margin, np.nextafter(margin, 1), 0.0, None)
    ]
    assert accepted == [True, True, False, False, None]
    assert run(log_probs_SV, phrases=phrases, threshold=0.0).text == "ab", "the text is there all the same"


def test_nothing_is_never_accepted():
    silent = run(log_probs_of([0] * 5), phrases=Phrases(["ab"]), threshold=-math.inf)
    assert (silent.text, silent.margin, silent.accepted) == ("", None, False)
    unfit = run(log_probs_of([A]), phrases=Phrases(["ab"], silence=False), threshold=-1.0)
    assert (unfit.text, unfit.margin, unfit.accepted) == ("", None, False)


def test_without_a_constraint_there_is_nothing_to_accept():
    log_probs_SV = log_probs_of([A, B])
    greedy = decode(log_probs_SV, vocabulary=VOCABULARY, step_seconds=0.02, options=DecodingOptions(threshold=-1.0))[0]
    free = run(log_probs_SV, hotwords=["ab"], threshold=-1.0)
    for found in (greedy, free):
        assert (found.text, found.margin, found.accepted) == ("ab", None, None)


class OnlyB(PrefixScorer):
    """A constraint of a user's own."""

    max_change = 0.0
    is_constraint = True

    def start(self):
        return 0

    def extend(self, state, label):
        return 0, 0.0 if label == B else -math.inf

    def finish(self, state):
        return 0.0


def test_any_constraint_has_a_margin_and_any_of_several_readings():
    log_probs_SV = log_probs_of([A, 0, B])
    options = DecodingOptions(beam_width=8, n_best=3, scorers=[OnlyB()], threshold=-1.0)
    assert options.constrains(VOCABULARY) and not DecodingOptions(beam_width=8, hotwords=["a"]).constrains(VOCABULARY)
    best, second, third = decode(log_probs_SV, vocabulary=VOCABULARY, step_seconds=0.02, options=options)
    assert {best.text, second.text, third.text} == {"b", "bb", ""}
    for found in (best, second, third):
        assert (found.margin is None) == (not found.text)
        assert found.accepted == (bool(found.text) and found.margin >= -1.0)


@pytest.mark.parametrize("seed", range(10))
def test_a_stream_accepts_what_is_accepted_at_once(seed):
    rng = np.random.default_rng(seed)
    logits_SV = rng.normal(0, 3, (12, 4))
    log_probs_SV = (logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)).astype(np.float32)
    options = DecodingOptions(beam_width=4, phrases=Phrases(["ab", "a b", "ba"]), threshold=-1.5)
    stream = DecoderStream(vocabulary=VOCABULARY, step_seconds=0.02, options=options)
    for log_probs_1V in log_probs_SV:
        stream.feed(log_probs_1V[None])
        assert (stream.partial().margin, stream.partial().accepted) == (None, None), "nothing is over yet"
    at_once = decode(log_probs_SV, vocabulary=VOCABULARY, step_seconds=0.02, options=options)[0]
    ended = stream.finish()[0]
    assert (ended.text, ended.accepted) == (at_once.text, at_once.accepted) and ended.accepted is not None
    assert ended.margin == pytest.approx(at_once.margin)
    spelt = align(log_probs_SV, ended.labels)
    assert ended.margin == pytest.approx(margin_of(log_probs_SV, ended.labels, spelt, blank_id=0))


def test_options_with_a_threshold():
    with pytest.raises(UserError, match="a threshold is a margin, a number of at most 0, got NaN"):
        DecodingOptions(threshold=math.nan)
    assert DecodingOptions(threshold=-1.5).as_record()["threshold"] == -1.5
    assert DecodingOptions(threshold=-math.inf).as_record()["threshold"] is None, "JSON knows no infinity"
    assert DecodingOptions(beam_width=4, pruning=Pruning(beam_log_prob=-3.0)).as_record()["threshold"] is None
