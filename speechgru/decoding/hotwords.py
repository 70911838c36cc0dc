"""Hotwords: phrases that a beam search prefers, by a boost each."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from speechgru.decoding.scorers import PrefixScorer, Scorer, Spelling, columns_of
from speechgru.decoding.subwords import SubwordScorer
from speechgru.errors import TextError
from speechgru.text import BLANK_ID, Vocabulary, quoted

#: What one occurrence of a hotword adds to a text's score where nothing else is said: e^6 is a factor of some 400.
HOTWORD_BOOST = 6.0

#: Stands for the space in a vocabulary of characters that has none: then only the ends of the text are word borders.
_ENDS_ONLY = -1


class HotwordScorer(PrefixScorer):
    """Adds a phrase's boost for every place where the phrase stands in the text as whole words.

    What it adds in all is exactly the sum of boost(h) * count(h) over the hotwords h, where count(h) is the number of
    positions i with words[i : i + len(h)] == h, `words` being the text's words. Overlapping matches all count: with
    "york" and "new york" the text "new york" earns both. A fragment ("new yo", "yorkshire", "concatenate" for "cat")
    earns nothing.

    While a match is under way, the search already gets a share of its boost in proportion to the letters spelt, so
    that the beam does not lose it; the share is taken back when the match breaks and settled when it is complete.
    This is a potential: phi(state) is the sum, over all places where a match may have begun, of the largest
    boost * spelt / length there; a change is phi(after) - phi(before) + the boosts of the matches just completed, and
    phi is 0 at both ends. The states are those of Aho and Corasick 1975, "Efficient string matching", over the
    hotwords with a space on both sides; one space ends a match and begins the next. Where labels are whole words, no
    spaces are needed.

    Args:
        boosts: the columns of each hotword, with its boost.
        border: the column that parts words, the space's; None where each label is a word.
    """

    def __init__(self, boosts: Mapping[tuple[int, ...], float], *, border: int | None):
        self._border = border
        following: list[dict[int, int]] = [{}]  # the trie
        in_border = [False]
        completed = [0.0]
        share: list[float | None] = [0.0]  # the largest share of the hotwords through this node, None: none continues
        for columns, boost in boosts.items():
            node = 0
            path = columns if border is None else (border, *columns, border)
            for position, column in enumerate(path):
                if column not in following[node]:
                    following[node][column] = len(following)
                    following.append({})
                    in_border.append(column == border)
                    completed.append(0.0)
                    share.append(None)
                node = following[node][column]
                if position < len(path) - 1:
                    value = boost * (position + (border is None)) / len(columns)
                    shared = share[node]
                    share[node] = value if shared is None else max(shared, value)
            completed[node] += boost

        # Breadth first: `fallback`, the state of the longest proper suffix, is finished before it is needed.
        fallback = [0] * len(following)
        self._potential = [0.0] * len(following)
        self._next: list[dict[int, int]] = [{} for _ in following]
        self._next[0] = dict(following[0])
        queue = deque([0])
        while queue:
            node = queue.popleft()
            for column, child in following[node].items():
                fallback[child] = self._next[fallback[node]].get(column, 0) if node else 0
                completed[child] += completed[fallback[child]]
                self._potential[child] = (share[child] or 0.0) + self._potential[fallback[child]]
                self._next[child] = {**self._next[fallback[child]], **following[child]}
                queue.append(child)
        self._in_border = in_border
        self._completed = completed
        # A column that no state knows leads to the root, whose potential is 0.
        self.max_change = max(
            max([-self._potential[node], *(self._change(node, after) for after in self._next[node].values())])
            for node in range(len(following))
        )

    def _change(self, state: int, after: int) -> float:
        return self._potential[after] - self._potential[state] + self._completed[after]

    def most_of(self, labels: Sequence[int]) -> float:
        if self._border is None:
            return super().most_of(labels)
        # Between two borders no match is completed, so that the potential alone rises, once.
        rise = max(self._potential) - min(self._potential)
        completed = max(self._change(state, following[self._border]) for state, following in enumerate(self._next))
        parts = itertools.groupby(labels, key=lambda label: label == self._border)
        return sum(
            max(0.0, completed) if is_border else min(rise, len([*part]) * self.max_change) for is_border, part in parts
        )

    def start(self) -> int:
        return 0 if self._border is None else self._next[0][self._border]

    def extend(self, state: int, label: int) -> tuple[int, float]:
        if self._in_border[state] and label == self._border:
            return state, 0.0  # a space too many, or before the first word: words are what counts
        after = self._next[state].get(label, 0)
        return after, self._change(state, after)

    def finish(self, state: int) -> float:
        if self._border is None or self._in_border[state]:
            return -self._potential[state]
        return self._completed[self._next[state][self._border]] - self._potential[state]


class Hotwords(Scorer, Mapping[str, float]):
    """Phrases to prefer, each with its boost: a mapping that a beam can score by.

    Args:
        hotwords: phrases with a boost each, or phrases alone; a boost of None is that of phrases alone.
        boost: the boost of phrases alone.

    Raises:
        TextError: `hotwords` is not a list; a phrase is empty or stands twice with different boosts; a boost is not a
            finite number.

    Example:
        >>> Hotwords(["kitchen", "living  room"], boost=4.0)
        Hotwords({'kitchen': 4.0, 'living room': 4.0})
    """

    def __init__(
        self,
        hotwords: Mapping[str, float] | Mapping[str, float | None] | Sequence[str] = (),
        *,
        boost: float = HOTWORD_BOOST,
    ):
        if isinstance(hotwords, str) or not isinstance(hotwords, Mapping | Sequence):
            raise TextError(f"hotwords must be a list of phrases or a mapping from phrase to boost, got {hotwords!r}")
        pairs = hotwords.items() if isinstance(hotwords, Mapping) else ((text, None) for text in hotwords)
        self._boosts: dict[str, float] = {}
        self._alone: set[str] = set()
        for text, given in pairs:
            value = boost if given is None else given
            phrase = " ".join(text.split())
            if not phrase:
                raise TextError(f"a hotword must have at least one character other than a space, got {quoted(text)}")
            if not math.isfinite(value):
                raise TextError(f"hotword {phrase!r}: the boost must be a finite number, got {value}")
            if self._boosts.setdefault(phrase, float(value)) != value:
                raise TextError(f"hotword {phrase!r} stands twice, with the boosts {self._boosts[phrase]} and {value}")
            if given is None:
                self._alone.add(phrase)

    def __getitem__(self, phrase: str) -> float:
        return self._boosts[phrase]

    def __iter__(self) -> Iterator[str]:
        return iter(self._boosts)

    def __len__(self) -> int:
        return len(self._boosts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._boosts})"

    @property
    def description(self) -> str:
        return f"{len(self):,} hotword" + ("" if len(self) == 1 else "s")

    def as_record(self) -> dict[str, Any]:
        return {"hotwords": dict(self)}

    @property
    def alone(self) -> frozenset[str]:
        """The phrases that were given without a boost of their own."""
        return frozenset(self._alone)

    def with_boost(self, boost: float) -> Hotwords:
        """The same with another boost of the phrases alone.

        >>> Hotwords({"kitchen": None, "attic": 2.0}).with_boost(7.5)
        Hotwords({'kitchen': 7.5, 'attic': 2.0})
        """
        return Hotwords({text: None if text in self._alone else own for text, own in self.items()}, boost=boost)

    def prepared(self, spelling: Spelling) -> Hotwords:
        boosts: dict[str, float] = {}
        for text, boost in self.items():
            normalized = spelling.spell("hotword", text)
            if boosts.setdefault(normalized, boost) != boost:
                raise TextError(
                    f"{spelling.where(text)}hotword {quoted(text)} has the boost {boost:g}, and another that is also "
                    f"{normalized!r} by the text rules has {boosts[normalized]:g}; keep one"
                )
        return Hotwords(boosts)

    def compile(self, vocabulary: Vocabulary, *, blank_id: int = BLANK_ID) -> PrefixScorer:
        return _compile(tuple(self.items()), vocabulary, blank_id)


@lru_cache(maxsize=16)
def _compile(boosts: tuple[tuple[str, float], ...], vocabulary: Vocabulary, blank_id: int) -> PrefixScorer:
    """The scorer of hotwords for one vocabulary; kept, because the same list serves many utterances.

    Raises:
        TextError: a hotword holds a character or word that the vocabulary lacks.
    """
    if vocabulary.unit == "subword":
        return SubwordScorer(lambda characters: _compile(boosts, characters, BLANK_ID), vocabulary, blank_id=blank_id)
    columns = {
        columns_of(text, vocabulary=vocabulary, blank_id=blank_id, where=f"hotword {quoted(text)}"): boost
        for text, boost in boosts
    }
    border = None
    if vocabulary.unit == "character":
        border = _ENDS_ONLY
        if " " in vocabulary.characters:
            (border,) = columns_of(" ", vocabulary=vocabulary, blank_id=blank_id, where="the space")
    return HotwordScorer(columns, border=border)
