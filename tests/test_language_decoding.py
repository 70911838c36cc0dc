"""A language model in the beam: scores of all texts against brute force, in letters, subwords and words."""

import dataclasses
import math

import numpy as np
import pytest
from languages import TOY, Definition, made_texts
from test_beam import WIDE, random_log_probs, texts_by_brute_force

from speechgru.decoding import DecoderStream, DecodingOptions, LanguageScorer, LanguageWeights, beam_decode, decode
from speechgru.errors import UserError
from speechgru.language import read_language_model
from speechgru.language.arpa import write_arpa
from speechgru.language.kneser_ney import train
from speechgru.text import Vocabulary

LETTERS = Vocabulary([" ", "a", "b"])


@pytest.fixture
def model(tmp_path):
    (tmp_path / "toy.arpa").write_text(TOY)
    return read_language_model(tmp_path / "toy.arpa")


def expected_score(log_prob, text, weights):
    definition, words = Definition(TOY), text.split()
    known = [word in ("a", "b", "ab") for word in words]
    score = log_prob + weights.weight * sum(definition.scores(text)) + weights.word_bonus * len(words)
    return score - weights.unknown_penalty * known.count(False) if False in known else score


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "weights",
    [LanguageWeights(0.7, 0.0, 0.0), LanguageWeights(1.3, 2.5, 4.0), LanguageWeights(0.0, -1.0, 1.0)],
    ids=["plain", "all", "none"],
)
def test_scores_are_those_of_all_paths_and_the_model(model, weights, seed):
    log_probs_SV = random_log_probs(seed)
    options = DecodingOptions(beam_width=WIDE, n_best=WIDE, language=LanguageScorer(model, weights))
    found = decode(log_probs_SV, vocabulary=LETTERS, step_seconds=0.04, options=options)
    texts = texts_by_brute_force(log_probs_SV)
    spelt = {labels: "".join(LETTERS.entries[label - 1] for label in labels) for labels in texts}
    expected = {labels: expected_score(each, spelt[labels], weights) for labels, each in texts.items()}
    assert {one.labels for one in found} == expected.keys()
    for one in found:
        assert one.score == pytest.approx(expected[one.labels], abs=1e-4)
    assert found[0].labels == max(expected, key=expected.get)


def test_known_words_alone_are_allowed_by_an_infinite_penalty(model):
    log_probs_SV = random_log_probs(3, steps=5)
    weights = LanguageWeights(0.5, 0.0, math.inf)
    options = DecodingOptions(beam_width=WIDE, n_best=WIDE, language=LanguageScorer(model, weights))
    found = decode(log_probs_SV, vocabulary=LETTERS, step_seconds=0.04, options=options)
    assert {word for one in found for word in one.text.split()} == {"a", "b", "ab"}
    assert options.constrains(LETTERS)


def test_a_vocabulary_of_words_scores_word_by_word(model):
    vocabulary = Vocabulary(["a", "ab", "none"], unit="word")
    log_probs_SV = random_log_probs(1, steps=4)
    weights = LanguageWeights(0.9, 0.3, 2.0)
    options = DecodingOptions(beam_width=WIDE, n_best=WIDE, language=LanguageScorer(model, weights))
    for one in decode(log_probs_SV, vocabulary=vocabulary, step_seconds=0.04, options=options):
        log_prob = texts_by_brute_force(log_probs_SV)[one.labels]
        assert one.score == pytest.approx(expected_score(log_prob, one.text, weights), abs=1e-4)


def test_scores_are_pyctcdecodes_with_the_same_file_and_no_text_of_its_is_better(tmp_path):
    """Both wide and without pruning; weights as there: alpha, beta, and 10 common logarithms for an unknown word.

    It adds up what differs in spaces alone. Where its search ends with another text, that one has a lower score.
    """
    pytest.importorskip("kenlm", reason="KenLM is not installed (extra kenlm)")
    peer = pytest.importorskip("pyctcdecode", reason="pyctcdecode is not installed (extra peers)")
    texts = made_texts(200)
    write_arpa(train((text.split() for text in texts), order=3).model, tmp_path / "lm.arpa")
    vocabulary = Vocabulary.from_texts([*texts, " "])
    decoder = peer.build_ctcdecoder(["", *vocabulary.characters], str(tmp_path / "lm.arpa"), alpha=0.6, beta=1.2)
    weights = LanguageWeights(0.6, 1.2, 0.6 * 10 * math.log(10))
    language = LanguageScorer(read_language_model(tmp_path / "lm.arpa"), weights)
    rng = np.random.default_rng(2)
    compared = 0
    for text in [text for text in texts[:24] if 0 < len(text) < 30]:
        path_S = np.array([label for each in vocabulary.encode(text) for label in (each, 0)])
        logits_SV = rng.normal(0, 1.5, (len(path_S), len(vocabulary)))
        logits_SV[range(len(path_S)), path_S] += 6
        logits_SV[range(len(path_S)), rng.integers(0, len(vocabulary), len(path_S))] += 5 * (
            rng.random(len(path_S)) < 0.1
        )
        log_probs_SV = (logits_SV - np.log(np.exp(logits_SV).sum(axis=1, keepdims=True))).astype(np.float32)
        options = DecodingOptions(beam_width=100, n_best=100, language=language)
        found = decode(log_probs_SV, vocabulary=vocabulary, step_seconds=0.04, options=options)
        theirs = decoder.decode_beams(log_probs_SV, beam_width=100, beam_prune_logp=-100.0, token_min_logp=-50.0)[0]
        same = [one.score for one in found if one.text == theirs[0]]
        if same:
            compared += 1
            assert np.logaddexp.reduce(same) == pytest.approx(theirs[-1], abs=0.1)  # beams lose some paths
            assert found[0].score >= max(same)
    assert compared >= 8


@pytest.mark.parametrize("seed", range(4))
def test_a_blank_penalty_is_taken_off_every_blank_of_a_path_and_changes_no_confidence(model, seed):
    log_probs_SV = random_log_probs(seed, steps=5)
    weights = LanguageWeights(0.7, 0.5, 1.0, blank_penalty=1.25)
    options = DecodingOptions(beam_width=WIDE, n_best=WIDE, language=LanguageScorer(model, weights))
    found = decode(log_probs_SV, vocabulary=LETTERS, step_seconds=0.04, options=options)
    without = dataclasses.replace(options, language=LanguageScorer(model, LanguageWeights(0.7, 0.5, 1.0)))
    plain = {one.labels: one for one in decode(log_probs_SV, vocabulary=LETTERS, step_seconds=0.04, options=without)}
    texts = texts_by_brute_force(log_probs_SV - 1.25 * (np.arange(4) == 0))
    assert {one.labels for one in found} == plain.keys() == texts.keys()
    for one in found:
        assert one.score == pytest.approx(expected_score(texts[one.labels], one.text, weights), abs=1e-4)
        same = plain[one.labels]
        assert (one.words, one.confidence, one.labels) == (same.words, same.confidence, same.labels)
    assert options.description.endswith("(weight 0.7, bonus 0.5 a word, 1.25 off each blank)")


def test_a_blank_penalty_travels_as_a_record_and_is_a_number_from_0_on():
    weights = LanguageWeights(0.7, blank_penalty=2.0)
    assert LanguageWeights.from_record(weights.as_record()) == weights
    of_before = {"weight": 0.7, "word_bonus": None, "unknown_penalty": None, "known_words_only": False}
    assert LanguageWeights.from_record(of_before) == LanguageWeights(0.7)
    for wrong in (-0.1, math.inf, math.nan):
        with pytest.raises(UserError, match="the blank penalty of a language model is a number from 0 to 100, got"):
            LanguageWeights(blank_penalty=wrong)
        with pytest.raises(ValueError, match="blank_penalty must be 0 or more, and finite, got"):
            beam_decode(random_log_probs(0), vocabulary=LETTERS, step_seconds=0.04, blank_penalty=wrong)


@pytest.mark.parametrize("blank_penalty", [0.0, 1.5])
@pytest.mark.parametrize("cut", range(6))
def test_a_stream_ends_with_the_same(model, cut, blank_penalty):
    log_probs_SV = random_log_probs(2, steps=5)
    language = LanguageScorer(model, LanguageWeights(blank_penalty=blank_penalty))
    options = DecodingOptions(beam_width=8, n_best=3, language=language)
    whole = decode(log_probs_SV, vocabulary=LETTERS, step_seconds=0.04, options=options)
    stream = DecoderStream(vocabulary=LETTERS, step_seconds=0.04, options=options)
    stream.feed(log_probs_SV[:cut])
    stream.partial()
    stream.feed(log_probs_SV[cut:])
    assert [one.text for one in stream.finish()] == [one.text for one in whole]
    np.testing.assert_allclose([one.score for one in stream.finish()], [one.score for one in whole], atol=1e-6)


def test_the_options_say_what_counted(model):
    options = DecodingOptions(
        beam_width=4, language=LanguageScorer(model, LanguageWeights(0.25, unknown_penalty=math.inf))
    )
    assert options.description == "beam of 4, 3-gram model of 3 words (weight 0.25, bonus 1 a word, known words only)"
    assert options.as_record()["language_model"] == {
        "model": "3-gram model of 3 words", "weight": 0.25, "word_bonus": 1.0, "unknown_penalty": None,
        "known_words_only": True, "blank_penalty": 0.0,
    }  # fmt: skip
    assert DecodingOptions().as_record()["language_model"] is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LanguageWeights(weight=-1), "the weight of a language model is a number from 0 to 1000, got -1"),
        (lambda: LanguageWeights(word_bonus=math.nan), "the word bonus of a language model"),
        (lambda: DecodingOptions(beam_width=4, language="lm.arpa"), "language must be a LanguageModel"),
        (lambda: DecodingOptions(language=True), "a beam width of 1 is greedy decoding"),
        (
            lambda: DecodingOptions(beam_width=4, language=True).prepared(normalize=str, vocabulary=LETTERS),
            "this recogniser carries no language model",
        ),
    ],
)
def test_what_cannot_count_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
