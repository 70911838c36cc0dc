"""An n-gram model with backing off, over sorted arrays in memory or in a file."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechgru.errors import LanguageError
from speechgru.language.model import NumberedModel
from speechgru.language.tables import Grams, Order, Values, build_orders
from speechgru.language.words import WordList
from speechgru.text import quoted
from speechgru.visible import counted

#: The marks of a sentence's borders and of words that a model lacks, as ARPA files have them.
BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
_MARKS = frozenset((BEGIN, END, UNKNOWN))

#: The log-probability of unknown words where a model has no mark for them, as in KenLM.
MISSING_UNKNOWN = -100 * math.log(10)

# The state after some words: of each of its ends, from the last word alone on, the place among the n-grams of that
# order, or -1 where it is none.
_State = tuple[int, ...]


class NGramModel(NumberedModel):
    """p(w | c), of the longest n-gram (c, w) that the model has, and a backoff for each word of c dropped before.

        p(w | c) = P(c w) where the model has c w, else B(c) p(w | c without its oldest word)

    with B(c) = 1 for a context that the model lacks (Katz 1987; ARPA's format). No context that cannot change a score
    is kept in a state, so that texts whose ends score alike meet.

    Args:
        words: all its words with the marks, sorted.
        orders: its n-grams, from single words on; their words are places in `words`.

    Raises:
        LanguageError: a mark is missing.
    """

    def __init__(self, words: WordList, orders: Sequence[Order]):
        self.words, self.orders = words, tuple(orders)
        self._begin, end, unknown = (words.place(mark) for mark in (BEGIN, END, UNKNOWN))
        for mark, place in ((BEGIN, self._begin), (END, end), (UNKNOWN, unknown)):
            if place < 0:
                raise LanguageError(f"the model lacks the word {mark}; make it with a tool that marks sentences")
        super().__init__(unknown=unknown, end=end)
        self._log_probs = [_Looked.up(each.log_probs) for each in self.orders]
        self._backoffs = [_Looked.up(each.backoffs) for each in self.orders if each.backoffs is not None]
        self._words = [each.words_N.data for each in self.orders]
        self._first = [each.first_N.data for each in self.orders if each.first_N is not None]

    @classmethod
    def build(cls, words: Sequence[str], given: Sequence[Grams], *, name: str = "the model") -> NGramModel:
        """A model of n-grams as a file lists them.

        Args:
            words: the words that the n-grams' indices mean.
            given: of each order its n-grams; of the first every word once, in any order.
            name: what messages name.

        Raises:
            LanguageError: an n-gram stands twice, or a mark of a sentence's borders is missing.
        """
        sorted_words = WordList.of(words)
        place_of_W = np.array([sorted_words.place(word) for word in words], np.int64)
        placed = [Grams(place_of_W[grams.ids_NK], grams.log_probs_N, grams.backoffs_N) for grams in given]
        by_place_N = np.argsort(placed[0].ids_NK[:, 0])
        ones = placed[0]
        placed[0] = Grams(ones.ids_NK[by_place_N], ones.log_probs_N[by_place_N], ones.backoffs_N[by_place_N])
        orders = build_orders(placed, num_words=len(words), name=name)
        try:
            model = cls(sorted_words, orders)
        except LanguageError as error:
            raise LanguageError(f"{name}: {error}") from error
        model._fill_missing()
        return model

    @property
    def order(self) -> int:
        """The words of its longest n-grams."""
        return len(self.orders)

    @property
    def num_words(self) -> int:
        """How many words it knows, without the marks."""
        return len(self.words) - len(_MARKS)

    @property
    def description(self) -> str:
        return f"{self.order}-gram model of {counted(self.num_words, 'word')}"

    def start(self) -> _State:
        return self._trimmed([self._begin])

    def _number(self, word: str) -> int:
        place = -1 if word in _MARKS else self.words.place(word)
        return self._unknown if place < 0 else place

    def _look_up(self, state: _State, word: int) -> tuple[_State, float]:
        log_prob = self._log_probs[0][word]
        following = [word]
        # From the shortest context to the longest: each either has the n-gram, or pays its backoff for not having it.
        for depth, node in enumerate(state):
            found = -1
            if node >= 0:
                first, words = self._first[depth], self._words[depth + 1]
                end = first[node + 1]
                place = bisect_left(words, word, first[node], end)
                if place < end and words[place] == word:
                    found = place
                    log_prob = self._log_probs[depth + 1][place]
                else:
                    log_prob += self._backoffs[depth][node]
            following.append(found)
        return self._trimmed(following[: self.order - 1]), log_prob

    def _trimmed(self, nodes: list[int]) -> _State:
        """A state without the longest contexts, as long as they change no score: nothing follows, and they are free."""
        while nodes:
            depth, node = len(nodes) - 1, nodes[-1]
            if depth < len(self._first) and node >= 0:
                first = self._first[depth]
                if first[node] != first[node + 1] or self._backoffs[depth][node] != 0:
                    break
            nodes.pop()
        return tuple(nodes)

    def grams(self) -> list[Grams]:
        """All n-grams of each order as a file lists them: their words are places in `words`."""
        listed: list[Grams] = []
        for depth, order in enumerate(self.orders):
            ids_NK = order.words_N.astype(np.int64)[:, None]
            if depth:
                ids_NK = np.column_stack([listed[-1].ids_NK[self.orders[depth - 1].parents_N], ids_NK])
            backoffs = np.zeros(len(ids_NK), np.float32) if order.backoffs is None else order.backoffs.values_N
            listed.append(Grams(ids_NK, order.log_probs.values_N, backoffs))
        return listed

    def rewritten(self, rewrite: Callable[[str], str], *, name: str = "the model") -> NGramModel:
        """The same with other spellings of its words, such as by a recogniser's text rules.

        Args:
            rewrite: a word's new spelling; marks stay.
            name: what messages name.

        Raises:
            LanguageError: two words become one, or a word none or several; counts them and names one.
        """
        old = [word.decode() for word in self.words]
        new = [word if word in _MARKS else rewrite(word) for word in old]
        first: dict[str, str] = {}
        lost = [
            (word, written)
            for word, written in zip(old, new, strict=True)
            if len(written.split()) != 1 or first.setdefault(written, word) != word
        ]
        if lost:
            word, written = lost[0]
            raise LanguageError(
                f"{name}: the rules make no word of its own of {len(lost):,} of {self.num_words:,} words, such as "
                f"{quoted(written)} of {quoted(word)}; train a model on texts that went through the rules"
            )
        return NGramModel.build(new, self.grams(), name=name)

    def words_of(self, depth: int, node: int) -> list[int]:
        """The words of one n-gram, as places in `words`, oldest first.

        Args:
            depth: its order, counted from 0.
            node: its place among those of its order.
        """
        words: list[int] = []
        while depth >= 0:
            words.append(int(self.orders[depth].words_N[node]))
            depth -= 1
            if depth >= 0:
                node = self.orders[depth].parent_of(node)
        return words[::-1]

    def _fill_missing(self) -> None:
        """Gives the n-grams that stand for nothing but longer ones the probability that backing off gives."""
        for depth in range(1, self.order):
            log_probs_N = self.orders[depth].log_probs.codes_N
            for node in np.flatnonzero(np.isnan(log_probs_N)).tolist():
                *context, word = self.words_of(depth, node)
                state: _State = ()
                for each in context[1:]:
                    state = self._look_up(state, each)[0]
                parent = self.orders[depth - 1].parent_of(node)
                log_probs_N[node] = self._look_up(state, word)[1] + self._backoffs[depth - 1][parent]
        self._moves.clear()


@dataclass(frozen=True)
class _Looked:
    """Numbers that are looked up one at a time, through their levels."""

    codes: Any
    levels: list[float]

    @classmethod
    def up(cls, values: Values) -> Any:
        """What gives a value for a place, as fast as there is a way."""
        codes = values.codes_N.data
        return codes if values.levels is None else cls(codes, values.levels.tolist())

    def __getitem__(self, place: int) -> float:
        return self.levels[self.codes[place]]
