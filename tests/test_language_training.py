"""Training n-gram models: equal to lmplz's, to the equations one by one, and sums of one."""

from __future__ import annotations

import collections
import math
from pathlib import Path

import numpy as np
import pytest
from languages import made_texts

from speechgru.errors import LanguageError
from speechgru.language.arpa import read_arpa
from speechgru.language.kneser_ney import FALLBACK_DISCOUNTS, estimate_discounts, train

DATA = Path(__file__).parent / "data" / "language"


def by_the_equations(texts, order, discounts):
    """p(word | context) by Chen and Goodman's equations, with dictionaries: a function."""
    raw = collections.Counter()
    for text in texts:
        words = ("<s>", *text.split(), "</s>")
        raw.update(words[end - k : end] for k in range(1, order + 1) for end in range(k, len(words) + 1))
    vocabulary = {word for (word,) in (gram for gram in raw if len(gram) == 1)} - {"<s>"} | {"<unk>"}
    adjusted = {
        gram: count
        if len(gram) == order or (gram[0] == "<s>" and len(gram) > 1)
        else len({other[0] for other in raw if len(other) == len(gram) + 1 and other[1:] == gram})
        for gram, count in raw.items()
        if gram != ("<s>",)
    }

    def probability(context, word):
        if context is None:
            return 1 / len(vocabulary)
        shorter = context[1:] if context else None
        after = {gram[-1]: count for gram, count in adjusted.items() if gram[:-1] == context and gram[-1] != "<s>"}
        if not after:
            return probability(shorter, word)
        taken = (0, *discounts[len(context)])
        total = sum(after.values())
        gamma = sum(taken[min(count, 3)] for count in after.values()) / total
        count = after.get(word, 0)
        return max(count - taken[min(count, 3)], 0) / total + gamma * probability(shorter, word)

    return probability, vocabulary


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_are_those_of_the_equations_and_sum_to_one(order):
    texts = made_texts(12)
    trained = train((text.split() for text in texts), order=order)
    probability, vocabulary = by_the_equations(texts, order, trained.discounts)
    model = trained.model
    contexts = [(), ("<s>",)] + [tuple(text.split())[: order - 1] for text in texts[:6]] + [("none",)]
    for context in contexts:
        state = model.start() if context == ("<s>",) else ()
        for word in context if context != ("<s>",) else ():
            state, _ = model.score(state, word)
        found = {word: model.score(state, word)[1] for word in vocabulary - {"</s>"}} | {"</s>": model.finish(state)}
        assert math.fsum(map(math.exp, found.values())) == pytest.approx(1, abs=1e-6)
        if order == 1:
            context = ()
        for word, log_prob in found.items():
            assert math.exp(log_prob) == pytest.approx(probability(context, word), rel=1e-5), (context, word)


@pytest.mark.parametrize(("name", "order", "prune"), [("lmplz_3", 3, (0,)), ("lmplz_4_pruned", 4, (0, 0, 1))])
def test_a_model_is_lmplzs(name, order, prune):
    """The files were made of `made_texts()` by KenLM's lmplz: -o 3, and -o 4 --prune 0 0 1."""
    model = train((text.split() for text in made_texts()), order=order, prune=prune).model
    peer = read_arpa(DATA / f"{name}.arpa.gz")
    assert list(model.words) == list(peer.words)
    for ours, theirs in zip(model.orders, peer.orders, strict=True):
        np.testing.assert_array_equal(ours.words_N, theirs.words_N)
        is_begin_N = (np.arange(len(ours.words_N)) == model.words.place("<s>")) & (
            len(ours.words_N) == len(model.words)
        )
        np.testing.assert_allclose(
            ours.log_probs.values_N[~is_begin_N], theirs.log_probs.values_N[~is_begin_N], atol=1e-5
        )
        if theirs.backoffs is not None:
            np.testing.assert_array_equal(ours.first_N, theirs.first_N)
            np.testing.assert_allclose(ours.backoffs.values_N, theirs.backoffs.values_N, atol=1e-5)


@pytest.mark.parametrize("prune", [(0, 1), (0, 0, 2), (0, 1, 3)])
def test_a_pruned_model_sums_to_one_too(prune):
    model = train((text.split() for text in made_texts(60)), order=3, prune=prune).model
    words = [word.decode() for word in model.words if not word.startswith(b"<")]
    state = model.start()
    for word in made_texts(60)[1].split():
        total = math.fsum(math.exp(model.score(state, each)[1]) for each in [*words, "none"])
        assert total + math.exp(model.finish(state)) == pytest.approx(1, abs=1e-5)
        state, _ = model.score(state, word)


def test_discounts_that_the_counts_do_not_show_are_said():
    assert estimate_discounts(np.array([1, 1, 1, 2, 2, 3, 4, 9])) == pytest.approx((3 / 7, 2 - 9 / 14, 3 - 12 / 7))
    assert estimate_discounts(np.array([1, 1, 3, 4])) is None
    trained = train([["a", "b"], ["a"]], order=2)
    assert trained.discounts == [FALLBACK_DISCOUNTS] * 2 and len(trained.notes) == 2
    assert trained.notes[0].startswith("too few 1-grams stand once, twice, three and four times")


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "the texts hold no word"),
        ([[]], {}, "the texts hold no word"),
        ([["a"]], {"order": 0}, "the order is 1 to 10, got 0; 3 is usual"),
        (
            [["a"]],
            {"prune": (1,)},
            "the counts to prune are one an order from 0 on that do not fall, such as 0,0,1, got 1",
        ),
        ([["a"]], {"prune": (0, 2, 1)}, "that do not fall"),
        ([["a"]], {"order": 2, "prune": (0, 0, 1)}, "got 0,0,1 for the order 2"),
        ([["a", "<s>"]], {}, "the word <s> is a mark of language models, and stands in the text 'a <s>'"),
    ],
)
def test_what_no_model_can_be_made_of_is_refused(texts, options, message):
    with pytest.raises(LanguageError, match=message):
        train(texts, **options)
