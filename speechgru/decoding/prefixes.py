"""The tree of all prefixes that a beam search ever kept: what each goes on from, and what its scorer says of it."""

from __future__ import annotations

from collections.abc import Sequence

from speechgru.decoding.asked import Asked


class PrefixTree:
    """Prefixes are the numbers of nodes; number 0 is the empty one.

    Args:
        num_columns: the number of labels, blank included.
        asked: what the scorer answers, or None.
    """

    def __init__(self, *, num_columns: int, asked: Asked | None):
        self._num_columns = num_columns
        self._asked = asked
        self.mother: list[int] = [-1]  # what a prefix goes on from
        self.label_of: list[int] = [-1]  # its last label
        self.state_of: list[int] = [0]  # the number of the scorer's state
        self.bonus: list[float] = [0.0]  # what the scorer gave it
        #: Of node * num_columns + label the node of the two together.
        self.edge: dict[int, int] = {}
        # Some are several labels longer than their mother: then those before the last one.
        self._between: dict[int, list[int]] = {}

    def add(self, above: int, label: int) -> int:
        """The number of a prefix that is another one and one label more; a new one if need be."""
        key = above * self._num_columns + label
        node = self.edge.get(key)
        if node is None:
            state, bonus, asked = self.state_of[above], self.bonus[above], self._asked
            if asked is not None:
                state, change = asked.moves[state].get(label) or asked.extend(state, label)
                bonus += change
            node = self.edge[key] = self._append(above, label, state, bonus)
        return node

    def follow(self, above: int, labels: Sequence[int]) -> int:
        """The number of a new prefix that is another one and some labels more, which no edge leads to.

        Args:
            above: the other one.
            labels: the labels, at least one.
        """
        state, bonus = self.state_of[above], self.bonus[above]
        if self._asked:
            state, bonus = self._asked.follow(state, labels, bonus)
        *between, label = labels
        if between:
            self._between[len(self.mother)] = between
        return self._append(above, label, state, bonus)

    def _append(self, above: int, label: int, state: int, bonus: float) -> int:
        node = len(self.mother)
        self.mother.append(above)
        self.label_of.append(label)
        self.state_of.append(state)
        self.bonus.append(bonus)
        return node

    def labels(self, node: int) -> tuple[int, ...]:
        """The labels of a prefix."""
        mother, label_of, between, labels = self.mother, self.label_of, self._between, []
        while node:
            labels.append(label_of[node])
            if node in between:
                labels += reversed(between[node])
            node = mother[node]
        labels.reverse()
        return tuple(labels)
