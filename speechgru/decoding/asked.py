"""A scorer's answers within one beam search, each asked for once."""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Iterable, Sequence

from speechgru.decoding.scorers import PrefixScorer, checked_finish, require_change

_NEVER = -math.inf


class Asked:
    """The answers of a scorer; its states are numbered in the order in which they come up.

    Args:
        scorer: the scorer.
    """

    def __init__(self, scorer: PrefixScorer):
        self._scorer, self._extend = scorer, scorer.extend
        self._most = min(scorer.max_change, sys.float_info.max)
        self._is_constraint = scorer.is_constraint
        self.prepares = scorer.prepares
        self._number: dict[Hashable, int] = {}
        self._states: list[Hashable] = []
        self.moves: list[dict[int, tuple[int, float]]] = []  # of a state: label -> state after it, change
        self.needs: list[tuple[int, int]] = []  # of a state what it needs to end; empty where all may end anywhere
        self.most_needed = 0  # the highest of `needs`
        self._number_of(scorer.start())  # number 0

    def _number_of(self, state: Hashable) -> int:
        number = self._number.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
            self.moves.append({})
            if self._is_constraint:
                needs = self._scorer.steps_needed(state)
                self.needs.append(needs)
                self.most_needed = max(self.most_needed, *needs)
        return number

    def extend(self, number: int, label: int) -> tuple[int, float]:
        """The number of the state after one more label (-1 where that is forbidden) and the change."""
        state, change = self._extend(self._states[number], label)
        if not _NEVER <= change <= self._most:
            require_change(self._scorer, change, label)
        following = -1 if change == _NEVER else self._number_of(state)
        move = self.moves[number][label] = following, change
        return move

    def follow(self, number: int, labels: Sequence[int], score: float) -> tuple[int, float]:
        """The number of the state after some labels (-1 where they are forbidden), and a score with their changes.

        What is on the way is not remembered.
        """
        state, score = self._scorer.follow(self._states[number], labels, score)
        if not score < math.inf:
            require_change(self._scorer, score, labels[0])
        return -1 if score == _NEVER else self._number_of(state), score

    def prepare(self, numbers: Iterable[int]) -> None:
        """Lets the scorer compute at once what it will be asked of these states, where it can."""
        fresh = [number for number in numbers if not self.moves[number]]  # the others were asked before
        if fresh:
            self._scorer.prepare([self._states[number] for number in fresh])

    def finish(self, number: int) -> float:
        """The change where a text ends in this state."""
        return checked_finish(self._scorer, self._states[number])
