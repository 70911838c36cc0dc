"""How often each n-gram stands in texts, and after how many words: what smoothing is computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from speechgru.errors import LanguageError
from speechgru.language.ngram import BEGIN, END, UNKNOWN
from speechgru.language.words import WordList
from speechgru.text import quoted

#: Of the arrays that hold a corpus: this many words, in 32 bits each with room for n-grams.
_MOST_WORDS = 1 << 30


@dataclass(frozen=True)
class Counts:
    """All n-grams of one order in the texts, sorted as a model's are (`tables.Order`).

    Args:
        parents_N: the place of each without its last word; zeros for single words.
        words_N: the last word.
        suffixes_N: the place of each without its first word; zeros for single words.
        counts_N: how often it stands there.
        adjusted_N: after how many different words it stands; its count where it is of the highest order or begins a
            sentence, where no other word can stand before it (Chen and Goodman 1999; Heafield et al. 2013, section 3).
    """

    parents_N: np.ndarray
    words_N: np.ndarray
    suffixes_N: np.ndarray
    counts_N: np.ndarray
    adjusted_N: np.ndarray


def count_ngrams(texts: Iterable[Sequence[str]], *, order: int) -> tuple[WordList, list[Counts]]:
    """Counts n-grams of all orders up to one, each sentence between its marks.

    Single words are numbered as the words of the list, which holds the marks too: `<s>` and `<unk>` with no count.

    Args:
        texts: the sentences, each a list of words.
        order: of the longest n-grams.

    Raises:
        LanguageError: there is no word at all, too many, or one of the marks among them.

    Example:
        >>> words, counts = count_ngrams([["on", "on"], ["off"]], order=2)
        >>> [words[place] for place in range(len(words))]
        [b'</s>', b'<s>', b'<unk>', b'off', b'on']
        >>> counts[1].counts_N.tolist()  # <s> off, <s> on, off </s>, on </s>, on on
        [1, 1, 1, 1, 1]
        >>> counts[0].adjusted_N.tolist()  # </s> stands after two words, "on" after "<s>" and "on"
        [2, 0, 0, 1, 2]
    """
    number_of: dict[str, int] = {BEGIN: 0, END: 1, UNKNOWN: 2}
    blocks: list[np.ndarray] = []
    block: list[int] = []
    for text in texts:
        block.append(0)
        for word in text:
            number = number_of.setdefault(word, len(number_of))
            if number < 3:
                raise LanguageError(
                    f"the word {word} is a mark of language models, and stands in the text "
                    f"{quoted(' '.join(text))}; take it out, or let the text rules remove punctuation"
                )
            block.append(number)
        block.append(1)
        if len(block) > 1 << 20:
            blocks.append(np.array(block, np.int32))
            block = []
    numbers_T = np.concatenate([*blocks, np.array(block, np.int32)])
    if len(number_of) == 3:
        raise LanguageError("the texts hold no word; give some in which something is said")
    if len(numbers_T) > _MOST_WORDS:
        raise LanguageError(f"the texts hold {len(numbers_T):,} words; give at most {_MOST_WORDS:,}")
    words = WordList.of(number_of)
    place_of_W = np.array([words.place(word) for word in number_of], np.int32)
    is_begin_T = numbers_T == 0
    # How many words of its sentence stand before each.
    before_T = np.arange(len(numbers_T)) - np.maximum.accumulate(np.where(is_begin_T, np.arange(len(numbers_T)), 0))
    return words, _count(place_of_W[numbers_T], before_T, num_words=len(words), order=order)


def _count(places_T: np.ndarray, before_T: np.ndarray, *, num_words: int, order: int) -> list[Counts]:
    node_T = places_T.astype(np.int64)  # of the n-gram of the order at hand that ends there
    single_N = np.bincount(places_T[before_T > 0], minlength=num_words)
    nothing_N = np.zeros(num_words, np.int64)
    found = [(nothing_N, np.arange(num_words), nothing_N, single_N, np.zeros(num_words, bool))]
    for length in range(2, order + 1):
        ends_E = np.flatnonzero(before_T >= length - 1)
        keys_E = node_T[ends_E - 1] * num_words + places_T[ends_E]
        keys_N, firsts_N, nodes_E, counts_N = np.unique(
            keys_E, return_index=True, return_inverse=True, return_counts=True
        )
        firsts_N = ends_E[firsts_N]
        suffixes_N = node_T[firsts_N]
        parents_N, words_N = np.divmod(keys_N, num_words)
        found.append((parents_N, words_N, suffixes_N, counts_N, before_T[firsts_N] == length - 1))
        node_T = np.full(len(places_T), -1, np.int64)
        node_T[ends_E] = nodes_E.reshape(-1)
    counts: list[Counts] = []
    for length, (parents_N, words_N, suffixes_N, counts_N, begins_N) in enumerate(found, start=1):
        adjusted_N = counts_N
        if length < order:
            after_N = np.bincount(found[length][2], minlength=len(counts_N))
            adjusted_N = np.where(begins_N, counts_N, after_N)
        counts.append(Counts(parents_N, words_N, suffixes_N, counts_N, adjusted_N))
    return counts
