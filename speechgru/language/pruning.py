"""Entropy pruning: dropping the n-grams that a model predicts nearly as well without."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speechgru.errors import LanguageError
from speechgru.language.ngram import BEGIN, END, NGramModel
from speechgru.language.tables import Order, Values

#: Of a context: the least probability that must be left for words that do not follow it in the model. With less,
#: rounding decides what backing off gives, and nothing of the context is dropped.
_LEAST_FREE = 1e-6


def prune(model: NGramModel, threshold: float, *, counts: Sequence[np.ndarray] | None = None) -> NGramModel:
    """A model without the n-grams that change its perplexity, each by itself, by less than a share.

    From the longest n-grams on; what a longer one begins with stays. What is left keeps its probability, and backing
    off is normalised anew. Source: Stolcke 1998, "Entropy-based pruning of backoff language models".

    Args:
        model: any with an n-gram longer than a word.
        threshold: the share, above 0: 1e-7 drops little, 1e-5 much.
        counts: see `perplexity_changes`.

    Raises:
        LanguageError: the threshold is not a number above 0 and below infinity.
    """
    if not 0 < threshold < np.inf:
        raise LanguageError(f"what n-grams may change the perplexity by is a share above 0, got {threshold}")
    kept: list[np.ndarray] = []
    needed_N = np.zeros(len(model.orders[-1].words_N), bool)  # what a longer one that stays begins with
    for order, changes_N in zip(model.orders[-2::-1], reversed(perplexity_changes(model, counts=counts)), strict=True):
        kept_N = needed_N | ~(changes_N < threshold)
        kept.insert(0, kept_N)
        needed_N = np.bincount(order.parents_N[kept_N], minlength=len(order.words_N)) > 0
    return NGramModel(model.words, _normalised(_without(model.orders, kept)))


def perplexity_changes(model: NGramModel, *, counts: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
    """Of each n-gram from pairs of words on: by which share the perplexity rises without it alone.

    With h the words before w, h' these without the oldest, B backing off from h, and B' the same without the n-gram:

        D = -p(h) (p(w | h) (log p(w | h') + log B' - log p(w | h)) + (log B' - log B) r)
        r = 1 - sum_v p(v | h), B = r / s, B' = (r + p(w | h)) / (s + p(w | h')), s = 1 - sum_v p(v | h')

    the sums over all v that follow h in the model, and p(h) how often h stands in the texts, or where nobody knows by
    the chain rule; a sentence begins as often as one ends. The share is e^D - 1. Kneser-Ney's probabilities of short
    n-grams say after how many words they stand rather than how often, so that the chain rule tells little of p(h)
    (Chelba et al. 2010, "Study on interaction between entropy pruning and Kneser-Ney smoothing").

    Args:
        model: as in `prune`.
        counts: for each order how often its n-grams stand in the texts (`kneser_ney.Trained.counts`).
    """
    orders = model.orders
    on_context_N = orders[0].log_probs.values_N.astype(np.float64)  # log p(h)
    begin, end = model.words.place(BEGIN), model.words.place(END)
    on_context_N[begin] = on_context_N[end]
    total = 1.0
    if counts is not None:
        words_N = counts[0].copy()
        words_N[begin] = 0
        total = float(words_N.sum())
        words_N[begin] = words_N[end]
        counts = [words_N, *counts[1:]]
    changes = []
    for depth, lower_log_probs_N in enumerate(_lower_log_probs(orders), start=1):
        parents_N, log_probs_N = orders[depth - 1].parents_N, orders[depth].log_probs.values_N.astype(np.float64)
        if counts is not None:
            on_context_N = np.log(np.maximum(counts[depth - 1], 1) / total)
        probs_N, lower_N = np.exp(log_probs_N), np.exp(lower_log_probs_N)
        free_N, below_N = (
            (1 - np.bincount(parents_N, each_N, len(on_context_N)))[parents_N] for each_N in (probs_N, lower_N)
        )
        is_sure_N = (free_N > _LEAST_FREE) & (below_N > _LEAST_FREE)
        free_N, below_N = np.where(is_sure_N, free_N, 1.0), np.where(is_sure_N, below_N, 1.0)
        without_N = np.log((free_N + probs_N) / (below_N + lower_N))
        change_N = probs_N * (lower_log_probs_N + without_N - log_probs_N)
        change_N += (without_N - np.log(free_N / below_N)) * free_N
        change_N = np.expm1(-np.exp(on_context_N[parents_N]) * change_N)
        changes.append(np.where(is_sure_N, change_N, np.inf))
        on_context_N = on_context_N[parents_N] + log_probs_N
    return changes


def _lower_log_probs(orders: Sequence[Order]) -> list[np.ndarray]:
    """Of each n-gram from pairs of words on: the log-probability of its last word without its oldest one.

    The n-gram without its oldest word is looked for, then without the two oldest, and so on; what is passed on the way
    pays what backing off costs.
    """
    num_words = len(orders[0].words_N)
    keys = [np.zeros(0, np.int64)]  # of each order its n-grams' keys, as in `build_orders`
    # Of each n-gram the longest other one that it ends with: how many words, and its place.
    lengths_N, places_N = np.zeros(num_words, np.int64), np.zeros(num_words, np.int64)
    found: list[np.ndarray] = []
    below: list[tuple[np.ndarray, np.ndarray]] = []
    for depth in range(1, len(orders)):
        parents_N, words_N = orders[depth - 1].parents_N, orders[depth].words_N.astype(np.int64)
        length_N, place_N = lengths_N[parents_N], places_N[parents_N]
        log_probs_N = np.zeros(len(words_N))
        lengths_of, places_of = np.zeros((2, len(words_N)), np.int64)
        open_N = np.ones(len(words_N), bool)
        # Of the contexts that are passed: what they are without their own oldest word.
        below.append((lengths_N, places_N))
        for length in range(depth - 1, -1, -1):
            here = np.flatnonzero(open_N & (length_N == length))
            places = words_N[here]
            is_found = np.ones(len(here), bool)
            if length:
                wanted = place_N[here] * num_words + words_N[here]
                places = np.searchsorted(keys[length], wanted)
                places[places == len(keys[length])] = 0
                is_found = keys[length][places] == wanted if len(keys[length]) else np.zeros(len(here), bool)
            done = here[is_found]
            log_probs_N[done] += orders[length].log_probs.values_N[places[is_found]]
            lengths_of[done], places_of[done], open_N[done] = length + 1, places[is_found], False
            passed = here[~is_found]
            if len(passed):
                backoffs = orders[length - 1].backoffs
                assert backoffs is not None
                log_probs_N[passed] += backoffs.values_N[place_N[passed]]
                shorter_lengths_N, shorter_places_N = below[length - 1]
                length_N[passed], place_N[passed] = (
                    shorter_lengths_N[place_N[passed]],
                    shorter_places_N[place_N[passed]],
                )
        found.append(log_probs_N)
        keys.append(parents_N * num_words + words_N)
        lengths_N, places_N = lengths_of, places_of
    return found


def _without(orders: Sequence[Order], kept: Sequence[np.ndarray]) -> list[Order]:
    """The n-grams from pairs of words on that are kept, and all words; without the longest orders where none is.

    Args:
        orders: those of a model.
        kept: of each n-gram from pairs of words on whether it stays; one stays only with what it begins with.
    """
    parents = [order.parents_N[kept_N] for order, kept_N in zip(orders, kept, strict=False)]
    masks = [np.ones(len(orders[0].words_N), bool), *kept]
    while not masks[-1].any():
        masks.pop()
    made = []
    for depth, (order, kept_N) in enumerate(zip(orders, masks, strict=False)):
        backoffs = first_N = None
        if depth + 1 < len(masks):
            assert order.backoffs is not None
            backoffs = Values(order.backoffs.values_N[kept_N])
            place_of_N = np.cumsum(kept_N) - 1
            first_N = np.searchsorted(place_of_N[parents[depth]], np.arange(kept_N.sum() + 1)).astype(np.uint32)
        made.append(Order(order.words_N[kept_N], Values(order.log_probs.values_N[kept_N]), backoffs, first_N))
    return made


def _normalised(orders: list[Order]) -> list[Order]:
    """The same with what backing off costs computed anew, from the shortest contexts on: longer ones build on it."""
    for depth in range(len(orders) - 1):
        order = orders[depth]
        assert order.first_N is not None
        parents_N, num_contexts = order.parents_N, len(order.words_N)
        own_N, lower_N = orders[depth + 1].log_probs.values_N, _lower_log_probs(orders[: depth + 2])[depth]
        free_N, below_N = (
            1 - np.bincount(parents_N, np.exp(each_N.astype(np.float64)), num_contexts) for each_N in (own_N, lower_N)
        )
        leads_N = np.diff(order.first_N.astype(np.int64)) > 0
        assert order.backoffs is not None
        is_sure_N = (free_N > _LEAST_FREE) & (below_N > _LEAST_FREE)
        with np.errstate(divide="ignore", invalid="ignore"):
            anew_N = np.where(is_sure_N, np.log(free_N / below_N), order.backoffs.values_N)
        backoffs = Values(np.where(leads_N, anew_N, 0.0).astype(np.float32))
        orders[depth] = Order(order.words_N, order.log_probs, backoffs, order.first_N)
    return orders
