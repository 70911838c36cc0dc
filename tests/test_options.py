"""Decoding options: what contradicts itself is refused, what is asked for is done, and messages name their line."""

import json

import numpy as np
import pytest
import word_penalty

from speechgru.config.sections import TextConfig
from speechgru.decoding import DecodingOptions, Phrases, Pruning, beam_decode, decode, greedy_decode, options_from_lists
from speechgru.errors import TextError, UserError
from speechgru.text import Vocabulary

VOCABULARY = Vocabulary(" ab")
RULES = TextConfig()


def make_log_probs(seed=0, steps=12):
    rng = np.random.default_rng(seed)
    logits_SV = 2 * rng.standard_normal((steps, len(VOCABULARY)))
    return logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)


def run(log_probs_SV, **options):
    return decode(log_probs_SV, vocabulary=VOCABULARY, step_seconds=0.02, options=DecodingOptions(**options))


@pytest.mark.parametrize("seed", range(5))
def test_decode_is_the_search_that_the_options_name(seed):
    log_probs_SV = make_log_probs(seed)
    common = {"vocabulary": VOCABULARY, "step_seconds": 0.02}
    assert run(log_probs_SV) == [greedy_decode(log_probs_SV, **common)]
    for options in (
        {"beam_width": 2},
        {"beam_width": 8, "n_best": 3},
        {"beam_width": 8, "hotwords": {"ab": 3.0}},
        {"beam_width": 8, "hotwords": ["ab"], "hotword_boost": 3.0},
        {"beam_width": 8, "phrases": Phrases(["a", "b b"], repeat=True)},
        {"beam_width": 8, "pruning": Pruning(beam_log_prob=-4.0)},
    ):
        assert run(log_probs_SV, **options) == beam_decode(log_probs_SV, **common, **options)


def test_the_defaults_are_greedy_and_descriptions_are_short():
    assert DecodingOptions().description == "greedy"
    options = DecodingOptions(
        beam_width=8, hotwords=["a", "b"], phrases=Phrases(["a"]), pruning=Pruning(beam_log_prob=-9.0)
    )
    assert options.description == "beam of 8, 2 hotwords, one of 1 phrase, pruned"
    assert DecodingOptions(beam_width=8, phrases=Phrases(["a", "b"], repeat=True)).description == (
        "beam of 8, any sequence of 2 phrases"
    )
    record = json.loads(json.dumps(options.as_record(), allow_nan=False))
    assert (record["hotwords"], record["phrases"], record["beam_width"]) == ({"a": 6.0, "b": 6.0}, ["a"], 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_width": 0}, "the beam width must be at least 1, got 0"),
        ({"beam_width": 10**8}, "the beam width must be at most 10,000, got 100,000,000; 16 is usual"),
        ({"n_best": 2}, "2 hypotheses of a beam of 1"),
        ({"beam_width": 4, "n_best": 0}, "0 hypotheses of a beam of 4"),
        ({"hotwords": ["a"]}, "a beam width of 1 is greedy decoding"),
        ({"phrases": Phrases(["a"])}, "a beam width of 1 is greedy decoding"),
        ({"pruning": Pruning()}, "a beam width of 1 is greedy decoding"),
        (
            {"scorers": [word_penalty.make]},
            "a beam width of 1 is greedy decoding, which applies no hotwords, phrases, grammar, scorers",
        ),
        ({"beam_width": 4, "scorers": word_penalty.make}, "scorers must be a list of scorers, got <function"),
        ({"beam_width": 4, "scorers": [0.5]}, "a function that makes one of a vocabulary, got 0.5"),
        ({"beam_width": 4, "hotwords": {"a": float("nan")}}, "the boost must be a finite number"),
        ({"beam_width": 4, "hotwords": "a"}, "hotwords must be a list of phrases"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        DecodingOptions(**options)


def prepared(**options):
    return DecodingOptions(beam_width=4, **options).prepared(normalize=RULES.normalize, vocabulary=VOCABULARY)


def test_texts_are_prepared_by_the_rules():
    options = prepared(hotwords={"A, b!": 2.0, "b": 1.0}, phrases=Phrases(["  A ", "a", "B-b", ""]))
    assert options.hotwords == {"a b": 2.0, "b": 1.0}
    assert options.phrases == Phrases(["a", "b b", ""])
    again = options.prepared(normalize=RULES.normalize, vocabulary=VOCABULARY)
    assert again == options


def test_two_spellings_of_a_hotword_with_two_boosts_are_refused():
    assert prepared(hotwords={"A": 2.0, "a": 2.0}).hotwords == {"a": 2.0}
    with pytest.raises(
        TextError, match=r"hotword 'a' has the boost 3, and another that is also 'a' .* has 2; keep one"
    ):
        prepared(hotwords={"A": 2.0, "a": 3.0})


def test_phrases_cannot_repeat_without_a_space():
    options = DecodingOptions(beam_width=4, phrases=Phrases(["a"], repeat=True))
    with pytest.raises(TextError, match="phrases cannot follow each other: this recogniser writes no space"):
        options.prepared(normalize=RULES.normalize, vocabulary=Vocabulary("ab"))
    words = options.prepared(normalize=RULES.normalize, vocabulary=Vocabulary(["a"], unit="word"))
    assert words.phrases.repeat, "words need none"


def test_a_beam_is_taken_only_where_one_is_needed(tmp_path):
    (tmp_path / "p.txt").write_text("a\nb  b\na\n")
    assert options_from_lists().beam_width == 1
    assert options_from_lists(beam_width=5).beam_width == 5
    assert options_from_lists(hotwords=["a"]).beam_width == 16
    assert options_from_lists(n_best=40).beam_width == 40
    options = options_from_lists(phrase_file=tmp_path / "p.txt", hotwords=["a b=2.5", "b"])
    assert options.phrases == Phrases(["a", "b b"]) and options.hotwords == {"a b": 2.5, "b": 6.0}
    assert options.origins["b b"] == f"{tmp_path / 'p.txt'}:2"


def test_a_text_may_hold_the_sign_that_parts_it_from_its_boost(tmp_path):
    (tmp_path / "h.txt").write_text("a=b\t2\na=b=c\n")
    assert options_from_lists(hotwords=["a=b=2"]).hotwords == {"a=b": 2.0}
    assert options_from_lists(hotword_file=tmp_path / "h.txt").hotwords == {"a=b": 2.0, "a=b=c": 6.0}
