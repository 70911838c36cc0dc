"""Training: interpolated modified Kneser-Ney smoothing of counted n-grams."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from speechgru.errors import LanguageError
from speechgru.language.counting import count_ngrams
from speechgru.language.ngram import BEGIN, NGramModel
from speechgru.language.tables import Order, Values
from speechgru.progress import Progress, silent

#: The order that small corpora usually carry, and the highest that anybody needs.
USUAL_ORDER, MOST_ORDER = 3, 10

#: What is taken off counts of 1, 2 and more where too few n-grams show how much it should be, as in lmplz.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Trained:
    """A trained model, and what came up on the way.

    Args:
        model: it.
        discounts: for each order what was taken off counts of 1, 2 and more.
        notes: what a user should know: orders whose discounts could not be computed.
        counts: for each order how often each of the model's n-grams stands in the texts.
    """

    model: NGramModel
    discounts: list[tuple[float, float, float]]
    notes: list[str]
    counts: list[np.ndarray]


def train(
    texts: Iterable[Sequence[str]],
    *,
    order: int = USUAL_ORDER,
    prune: Sequence[int] = (0,),
    progress: Progress = silent,
) -> Trained:
    """Trains a model of sentences.

    With a(g) the adjusted count of the n-gram g (`counting.Counts`), D the discount of its order, w the last word, c
    the words before it, c' these without the oldest, and N_i(c) the number of words after c whose adjusted count is i
    (N_3: 3 or more):

        p(w | c) = max(a(c w) - D(a(c w)), 0) / sum_v a(c v) + gamma(c) p(w | c')
        gamma(c) = (D_1 N_1(c) + D_2 N_2(c) + D_3 N_3(c)) / sum_v a(c v)
        D_i = i - (i + 1) n_1 / (n_1 + 2 n_2) n_{i+1} / n_i

    n_i is the number of n-grams of the order whose adjusted count is i. Below single words stands the uniform
    distribution over all words, the end and the unknown word. What pruning drops goes to gamma. Sources: Chen and
    Goodman 1999, "An empirical study of smoothing techniques for language modeling", equation 26; Heafield et al. 2013,
    "Scalable modified Kneser-Ney language model estimation".

    Args:
        texts: the sentences, each a list of words.
        order: of the longest n-grams, 1 to 10.
        prune: for each order from 1 on the count up to which n-grams are dropped; the last one counts for higher
            orders too. They do not fall, and the first is 0: no word is dropped.
        progress: reports the orders.

    Raises:
        LanguageError: the texts hold no word, or the order or the counts to prune are out of range.
    """
    if not 1 <= order <= MOST_ORDER:
        raise LanguageError(f"the order is 1 to {MOST_ORDER}, got {order}; {USUAL_ORDER} is usual")
    least = [*prune, *[prune[-1]] * order][:order] if len(prune) else [0] * order
    if len(prune) > order or least[0] != 0 or sorted(least) != least:
        raise LanguageError(
            f"the counts to prune are one an order from 0 on that do not fall, such as 0,0,1, got "
            f"{','.join(map(str, prune))} for the order {order}"
        )
    progress("training", 0, order + 1, "counting")
    words, counted = count_ngrams(texts, order=order)
    notes: list[str] = []
    discounts: list[tuple[float, float, float]] = []
    for length, counts in enumerate(counted, start=1):
        estimated = estimate_discounts(counts.adjusted_N)
        if estimated is None:
            notes.append(
                f"too few {length}-grams stand once, twice, three and four times to compute what is taken off their "
                f"counts; {', '.join(map(str, FALLBACK_DISCOUNTS))} are taken off counts of 1, 2 and more"
            )
        discounts.append(estimated or FALLBACK_DISCOUNTS)

    begin = words.place(BEGIN)
    lower_N = np.full(len(words), 1 / (len(words) - 1))  # of the word or n-gram without its first word
    place_of_N = np.arange(1)  # of what was kept of the order before, in the new arrays
    kept_before_N = np.ones(1, bool)
    built: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    kept_counts: list[np.ndarray] = []
    for length, counts in enumerate(counted, start=1):
        progress("training", length, order + 1, f"{length}-grams")
        kept_N = counts.counts_N > least[length - 1] if length > 1 else np.ones(len(counts.words_N), bool)
        taken_N = _taken(counts.adjusted_N, discounts[length - 1])
        num_parents = len(kept_before_N)
        totals_P = np.bincount(counts.parents_N, counts.adjusted_N, num_parents)
        free_P = np.bincount(counts.parents_N, np.where(kept_N, taken_N, counts.adjusted_N), num_parents)
        with np.errstate(divide="ignore", invalid="ignore"):
            gamma_P = np.where(totals_P > 0, free_P / totals_P, 1.0)
        own_N = (counts.adjusted_N - taken_N) / np.maximum(totals_P[counts.parents_N], 1)
        probs_N = own_N + gamma_P[counts.parents_N] * lower_N[counts.suffixes_N if length > 1 else counts.words_N]
        if built:
            built[-1] = (*built[-1][:3], gamma_P[kept_before_N])
        parents_N = place_of_N[counts.parents_N[kept_N]]
        kept_counts.append(counts.counts_N[kept_N])
        built.append((parents_N, counts.words_N[kept_N], probs_N[kept_N], np.ones(0)))
        lower_N, kept_before_N, place_of_N = probs_N, kept_N, np.cumsum(kept_N) - 1
    while len(built) > 1 and not len(built[-1][1]):  # nothing is left of the highest orders
        built.pop()
    progress("training", order + 1, order + 1, "")
    model = NGramModel(words, _orders(built, begin, len(words)))
    return Trained(model, discounts, notes, kept_counts[: len(built)])


def _taken(adjusted_N: np.ndarray, discounts: tuple[float, float, float]) -> np.ndarray:
    return np.array([0.0, *discounts])[np.minimum(adjusted_N, 3)]


def estimate_discounts(adjusted_N: np.ndarray) -> tuple[float, float, float] | None:
    """What is taken off counts of 1, 2 and more of one order; None where its counts do not show it."""
    n = np.bincount(np.minimum(adjusted_N, 5), minlength=6).astype(float)
    if not n[1:4].all():
        return None
    y = n[1] / (n[1] + 2 * n[2])
    found = tuple(float(i - (i + 1) * y * n[i + 1] / n[i]) for i in (1, 2, 3))
    if not all(0 <= discount <= i for i, discount in enumerate(found, start=1)):
        return None
    return found  # type: ignore[return-value]


def _orders(
    built: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], begin: int, num_words: int
) -> list[Order]:
    """The arrays of a model: logarithms, and where the longer n-grams of each begin."""
    small = np.uint16 if num_words <= 1 << 16 else np.uint32
    orders = []
    for length, (_, words_N, probs_N, gamma_N) in enumerate(built, start=1):
        with np.errstate(divide="ignore"):
            log_probs_N = np.log(probs_N).astype(np.float32)
        if length == 1:
            log_probs_N[begin] = -99 * np.log(10)  # nobody predicts the beginning of a sentence
        backoffs = first_N = None
        if length < len(built):
            first_N = np.searchsorted(built[length][0], np.arange(len(words_N) + 1)).astype(np.uint32)
            leads_N = np.diff(first_N.astype(np.int64)) > 0
            backoffs = Values(np.where(leads_N, np.log(gamma_N), 0.0).astype(np.float32))
        orders.append(Order(words_N.astype(small), Values(log_probs_N), backoffs, first_N))
    return orders
