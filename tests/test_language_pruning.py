"""Entropy pruning of n-gram models: the definition by brute force, and what is left is a model."""

import itertools
import json
import math

import numpy as np
import pytest

from speechgru.errors import LanguageError
from speechgru.language import read_language_model
from speechgru.language.kneser_ney import train
from speechgru.language.ngram import BEGIN, END, UNKNOWN
from speechgru.language.pruning import perplexity_changes, prune

TEXTS = ["a b c a b", "a b d", "c a b c", "d c a", "b b a c d", "a c", "a b c d", "c c a b", "d a b c", "b d c a b a"]


SAID = [text.split() for text in TEXTS * 2 + [text[::-1] for text in TEXTS]]


def small_model(order):
    return train(SAID, order=order).model


def predicted(model, context, *, without=()):
    """p(v | context) of all words and the end, by the definition; without an n-gram, and normalised anew."""
    vocabulary = ["a", "b", "c", "d", UNKNOWN, END]
    listed = grams_of(model)
    if not context:
        return {word: math.exp(listed[(word,)]) for word in vocabulary}
    shorter = predicted(model, context[1:])
    own = {word: math.exp(listed[(*context, word)]) for word in vocabulary if (*context, word) in listed}
    own = {word: prob for word, prob in own.items() if (*context, word) not in without}
    free, below = 1 - sum(own.values()), 1 - sum(shorter[word] for word in own)
    return {word: own.get(word, shorter[word] * free / below) for word in vocabulary}


def grams_of(model):
    words = [word.decode() for word in model.words]
    return {
        tuple(words[place] for place in row): float(log_prob)
        for grams in model.grams()
        for row, log_prob in zip(grams.ids_NK.tolist(), grams.log_probs_N.tolist(), strict=True)
    }


def log_prob_of_context(model, context):
    """By the chain rule; a sentence begins as often as one ends."""
    first = math.log(predicted(model, ())[END if context[0] == BEGIN else context[0]])
    return first + sum(math.log(predicted(model, context[:end])[context[end]]) for end in range(1, len(context)))


def log_share_of_context(context):
    """How often it stands in the texts, as a share of all words and ends."""
    sentences = [[BEGIN, *words, END] for words in SAID]
    windows = [tuple(words[place : place + len(context)]) for words in sentences for place in range(len(words))]
    return math.log(windows.count(context) / sum(len(words) - 1 for words in sentences))


@pytest.mark.parametrize(("order", "counted"), [(2, False), (3, False), (3, True)])
def test_what_an_ngram_changes_is_the_relative_entropy_of_the_model_without_it(order, counted):
    trained = train(SAID, order=order)
    model, counts = trained.model, trained.counts if counted else None
    words = [word.decode() for word in model.words]
    for grams, changes_N in zip(model.grams()[1:], perplexity_changes(model, counts=counts), strict=True):
        assert len(changes_N) > 10
        for row, change in zip(grams.ids_NK.tolist(), changes_N.tolist(), strict=True):
            *context, word = (words[place] for place in row)
            whole = predicted(model, tuple(context))
            without = predicted(model, tuple(context), without={(*context, word)})
            divergence = sum(prob * math.log(prob / without[each]) for each, prob in whole.items())
            of_context = log_share_of_context(tuple(context)) if counted else log_prob_of_context(model, tuple(context))
            expected = math.expm1(math.exp(of_context) * divergence)
            assert change == pytest.approx(expected, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("threshold", [1e-3, 3e-3, 1e-2])
def test_what_is_left_is_normalised_and_begins_with_what_is_left(threshold):
    model = small_model(3)
    pruned = prune(model, threshold)
    left = grams_of(pruned)
    assert 0 < len(left) < len(grams_of(model)) and left.items() <= grams_of(model).items()
    assert all(gram[:-1] in left for gram in left if len(gram) > 1)
    for length in (0, 1, 2):
        for context in itertools.product("abcd", repeat=length):
            state = pruned.start()
            for word in context:
                state = pruned.score(state, word)[0]
            total = sum(math.exp(pruned.score(state, word)[1]) for word in ["a", "b", "c", "d", "none"])
            assert total + math.exp(pruned.finish(state)) == pytest.approx(1.0, abs=1e-5)


def test_the_least_are_dropped_first_and_in_the_end_words_alone_are_left():
    model = small_model(3)
    sizes = [sum(len(order.words_N) for order in prune(model, share).orders) for share in (1e-9, 1e-3, 1e-2, 1.0)]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4
    assert prune(model, 1.0).order == 1 and len(prune(model, 1.0).words) == len(model.words)
    changes_N = perplexity_changes(model)[-1]
    kept = set(grams_of(prune(model, float(np.median(changes_N)))))
    longest = [gram for gram in grams_of(model) if len(gram) == 3]
    assert [gram in kept for gram in longest] == (changes_N >= np.median(changes_N)).tolist()


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan, math.inf])
def test_a_threshold_that_is_none_is_refused(threshold):
    with pytest.raises(LanguageError, match="is a share above 0, got"):
        prune(small_model(2), threshold)


def test_the_commands_prune_what_they_train_and_convert(run_command, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS * 3))
    pruned = ["--prune-entropy", "1e-3", "--json"]
    code, out, _ = run_command("language", "train", tmp_path / "texts.txt", "--out", tmp_path / "small.ngram", *pruned)
    assert code == 0 and run_command("language", "train", tmp_path / "texts.txt", "--out", tmp_path / "a.arpa")[0] == 0
    trained = train([text.split() for text in TEXTS * 3])
    kept = prune(trained.model, 1e-3, counts=trained.counts).orders
    assert json.loads(out)["ngrams"] == [len(order.words_N) for order in kept]
    code, out, _ = run_command("language", "convert", tmp_path / "a.arpa", tmp_path / "b.ngram", *pruned)
    kept = prune(read_language_model(tmp_path / "a.arpa"), 1e-3).orders
    assert code == 0 and json.loads(out)["ngrams"] == [len(order.words_N) for order in kept]
    code, _, message = run_command(
        "language", "convert", tmp_path / "a.arpa", tmp_path / "c.ngram", "--prune-entropy", "0"
    )
    assert code == 2 and "is a share above 0, got 0.0" in message and not (tmp_path / "c.ngram").exists()
