"""The n-grams of a model as sorted arrays, each order's below the one before: a tree of words from first to last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechgru.errors import LanguageError


@dataclass(frozen=True)
class Grams:
    """N-grams of one order as a file lists them.

    Args:
        ids_NK: their words, each an index, oldest first.
        log_probs_N: of the last word after the others, natural.
        backoffs_N: what it costs to go on without the oldest word, natural logarithms; 0 where nothing follows.
    """

    ids_NK: np.ndarray
    log_probs_N: np.ndarray
    backoffs_N: np.ndarray


@dataclass(frozen=True)
class Values:
    """Numbers, perhaps each as the number of its level.

    Args:
        codes_N: float32 values, or the places of levels.
        levels: the levels in rising order; None where `codes_N` are the values.
    """

    codes_N: np.ndarray
    levels: np.ndarray | None = None

    @property
    def values_N(self) -> np.ndarray:
        """The numbers themselves, float32."""
        return self.codes_N if self.levels is None else self.levels[self.codes_N]


@dataclass(frozen=True)
class Order:
    """All n-grams of one order, sorted by the place of the n-gram without its last word, then by the last word.

    Args:
        words_N: the last word of each.
        log_probs: of each.
        backoffs: of each; None of the highest order.
        first_N: where the n-grams that are one word longer begin in the next order, and after the last where they end;
            None of the highest order.
    """

    words_N: np.ndarray
    log_probs: Values
    backoffs: Values | None
    first_N: np.ndarray | None

    def parent_of(self, longer: int) -> int:
        """The place of the n-gram that one of the next order is without its last word."""
        assert self.first_N is not None
        return int(np.searchsorted(self.first_N, longer, side="right")) - 1

    @property
    def parents_N(self) -> np.ndarray:
        """`parent_of` of all n-grams of the next order."""
        assert self.first_N is not None
        return np.repeat(np.arange(len(self.first_N) - 1), np.diff(self.first_N.astype(np.int64)))


def build_orders(given: Sequence[Grams], *, num_words: int, name: str = "the model") -> list[Order]:
    """The tree of n-grams as a file lists them.

    An n-gram whose beginning is no n-gram gets that beginning, with NaN for its log-probability: whoever has the model
    fills it with what backing off gives, which changes no score (`NGramModel`).

    Args:
        given: of each order its n-grams; the first order's are words 0 to `num_words` - 1 in order.
        num_words: how many words there are.
        name: what messages name.

    Raises:
        LanguageError: an n-gram stands twice.
    """
    orders: list[Order] = []
    nodes = [grams.ids_NK[:, 0].astype(np.int64) for grams in given]
    words_N, log_probs_N, backoffs_N = np.arange(num_words), given[0].log_probs_N, given[0].backoffs_N
    for depth in range(1, len(given)):
        # An n-gram's key is the place of the one without its last word, then that word: their order is the tree's.
        keys = [nodes[k] * num_words + given[k].ids_NK[:, depth] for k in range(depth, len(given))]
        own = np.sort(keys[0])
        twice = np.flatnonzero(own[1:] == own[:-1])
        if len(twice):
            row = given[depth].ids_NK[np.flatnonzero(keys[0] == own[twice[0]])[1]]
            raise LanguageError(f"{name}: the {depth + 1}-gram of the words {row.tolist()} stands twice")
        sorted_N = np.unique(np.concatenate(keys))
        first_N = np.searchsorted(sorted_N // num_words, np.arange(len(words_N) + 1)).astype(np.uint32)
        orders.append(Order(words_N, Values(log_probs_N), Values(backoffs_N), first_N))
        words_N = sorted_N % num_words
        places = [np.searchsorted(sorted_N, each) for each in keys]
        log_probs_N = np.full(len(sorted_N), np.nan, np.float32)
        backoffs_N = np.zeros(len(sorted_N), np.float32)
        log_probs_N[places[0]] = given[depth].log_probs_N
        backoffs_N[places[0]] = given[depth].backoffs_N
        nodes[depth:] = places
    orders.append(Order(words_N, Values(log_probs_N), None, None))
    small = np.uint16 if num_words <= 1 << 16 else np.uint32
    return [Order(each.words_N.astype(small), each.log_probs, each.backoffs, each.first_N) for each in orders]
