"""Scorers of characters, asked by a search whose labels are pieces of words."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from speechgru.decoding.scorers import PrefixScorer, checked_extend, checked_finish
from speechgru.text import BLANK_ID, Vocabulary

#: Steps to an end that there is none of.
_NEVER_ENDS = 10**9
#: Of the trie of pieces: the key of the label of the piece that ends at a node; characters are the others.
_LABEL = 0

# A state: the label before (None at the start), and the state of the characters' scorer after all that was written.
_State = tuple[int | None, Hashable]


class SubwordScorer(PrefixScorer):
    """Scores pieces of words by what they write, character by character.

    A text can be put together from pieces in several ways. A model learns one of them, `Vocabulary.encode`'s, but
    writes others too, most of all of words that it never saw. Whoever asks for a hotword, a phrase or a sentence means
    the text. So every way counts: a piece is one step of the search, and the characters that it writes are so many of
    the scorer within. The first piece's space is before the first word, and not written.

    Args:
        make: makes the scorer within, for the columns of a vocabulary of characters whose blank is `BLANK_ID`.
        vocabulary: the pieces.
        blank_id: the blank's column.

    Example:
        >>> from speechgru.decoding.phrases import Phrases
        >>> from speechgru.text import Subwords
        >>> pieces = Vocabulary.of_subwords(Subwords(["\u2581", "o", "n", "\u2581o", "\u2581on"], [-1.0] * 5))
        >>> scorer = Phrases(["on"], silence=False).compile(pieces)
        >>> state, change = scorer.extend(scorer.start(), 4)  # "\u2581o"
        >>> change, scorer.finish(state), scorer.finish(scorer.extend(state, 3)[0])
        (0.0, -inf, 0.0)
        >>> scorer.steps_needed(scorer.start())  # "\u2581on"
        (1, 1)
    """

    def __init__(self, make: Callable[[Vocabulary], PrefixScorer], vocabulary: Vocabulary, *, blank_id: int):
        written = {label - (label <= blank_id): vocabulary.writes(label) for label in range(1, len(vocabulary))}
        characters = Vocabulary(sorted({" "}.union(*written.values())))
        column_of = {character: column for column, character in enumerate(characters.entries, start=BLANK_ID + 1)}
        self._space = column_of[" "]
        self._columns = {label: tuple(column_of[one] for one in text) for label, text in written.items()}
        self._scorer = make(characters)
        self.is_constraint = self._scorer.is_constraint
        self.max_change = max(map(self._scorer.most_of, self._columns.values()), default=0.0)
        # The pieces by what they write, so that what begins alike is asked once.
        self._trie: dict[int, Any] = {}
        for label, columns in self._columns.items():
            node = self._trie
            for column in columns:
                node = node.setdefault(-column, {})
            node[_LABEL] = label
        # Of a constraint, by the state within: the fewest steps to an end, and the labels that such ends begin with.
        self._needs: dict[Hashable, tuple[int, frozenset[int]]] = {}

    def start(self) -> _State:
        return None, self._scorer.start()

    def extend(self, state: _State, label: int) -> tuple[_State | None, float]:
        before, within = state
        columns, change = self._columns[label], 0.0
        if before is None and columns[0] == self._space:
            columns = columns[1:]
        elif before is None and self.is_constraint:
            return None, -math.inf
        for column in columns:
            within, more = checked_extend(self._scorer, within, column)
            change += more
            if change == -math.inf:
                return None, change
        return (label, within), change

    def finish(self, state: _State) -> float:
        return checked_finish(self._scorer, state[1])

    def steps_needed(self, state: _State) -> tuple[int, int]:
        if not self.is_constraint:
            return 0, 0
        label, within = state
        if self._ends(within):
            return 0, 0
        if label is None:
            found = self._need_after(self._following(within, self._trie.get(-self._space, {})))
        else:
            found = self._need(within)
        return found[0], found[0] + (found[1] == {label})

    def _ends(self, within: Hashable) -> bool:
        return checked_finish(self._scorer, within) > -math.inf

    def _following(self, within: Hashable, node: dict[int, Any]) -> Iterator[tuple[int, Hashable]]:
        """The labels that may come next of those below a node of the trie, each with the state within after it."""
        nodes = [(within, node)]
        while nodes:
            within, node = nodes.pop()
            for key, below in node.items():
                if key == _LABEL:
                    yield below, within
                    continue
                after, change = checked_extend(self._scorer, within, -key)
                if change > -math.inf:
                    nodes.append((after, below))

    def _need_after(self, following: Iterator[tuple[int, Hashable]]) -> tuple[int, frozenset[int]]:
        """The fewest steps through one of these labels to an end, and the labels of such ways."""
        steps: dict[int, int] = {}
        for label, after in following:
            rest, firsts = self._need(after)
            steps[label] = 1 + rest + (firsts == {label})
        least = min(steps.values(), default=_NEVER_ENDS)
        return least, frozenset(label for label, each in steps.items() if each == least)

    def _need(self, within: Hashable) -> tuple[int, frozenset[int]]:
        """The fewest steps to an end behind a piece, and the labels that such ends begin with; none where it is one.

        Texts that may not end here yet only grow until they may, so there is no circle. What a state's answer waits
        for is answered before it, without recursion: a text may have thousands of characters.
        """
        waiting = [within]
        while waiting:
            state = waiting[-1]
            if state in self._needs:
                waiting.pop()
            elif self._ends(state):
                self._needs[waiting.pop()] = 0, frozenset()
            else:
                unknown = [after for _, after in self._following(state, self._trie) if after not in self._needs]
                waiting += unknown
                if not unknown:
                    self._needs[waiting.pop()] = self._need_after(self._following(state, self._trie))
        return self._needs[within]
