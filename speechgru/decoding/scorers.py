"""What can change a prefix's score during a beam search: the interface, and several scorers as one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence

from speechgru.text import Vocabulary


class PrefixScorer(ABC):
    """Adds to the score of a text while the search spells it, label by label.

    The search calls `start` once, `extend` for every label of a prefix and `finish` at the end of the utterance. A
    text's score is its log-probability, summed over all alignments, plus all changes on its way. So a language model
    returns weighted log-probabilities, a constraint 0 or minus infinity, a hotword list a boost.

    States are hashable, and equal states score equal continuations equally: the search asks once for each pair of
    state and label and remembers the answer. For `decode_many` in several processes a scorer must pickle.

    Labels are columns of the log-probabilities.
    """

    #: No call of `extend` may return a change above this. The tighter it is, the earlier the search can stop looking;
    #: infinity is always right. 0 for constraints and for language models.
    max_change: float = math.inf

    @abstractmethod
    def start(self) -> Hashable:
        """The state of the empty prefix."""

    @abstractmethod
    def extend(self, state: Hashable, label: int) -> tuple[Hashable, float]:
        """The state after one more label, and the change of the score; minus infinity forbids the label."""

    @abstractmethod
    def finish(self, state: Hashable) -> float:
        """The change of the score where the text ends here; minus infinity forbids to end."""

    def steps_needed(self, state: Hashable) -> tuple[int, int]:
        """How many more steps the shortest text that may end needs: after a blank, and after the last label itself.

        The second is larger where the next label would repeat the last, which takes a blank between them. The search
        drops what cannot end in time. A scorer that forbids nothing needs none.
        """
        return 0, 0


class JointScorer(PrefixScorer):
    """Several scorers as one: their changes add up.

    Args:
        scorers: the scorers, in the order in which they are asked.
    """

    def __init__(self, scorers: Sequence[PrefixScorer]):
        self._scorers = tuple(scorers)
        self.max_change = sum(scorer.max_change for scorer in self._scorers)

    def start(self) -> Hashable:
        return tuple(scorer.start() for scorer in self._scorers)

    def extend(self, state: Hashable, label: int) -> tuple[Hashable, float]:
        states, changes = [], []
        for scorer, own in zip(self._scorers, state, strict=True):
            following, change = scorer.extend(own, label)
            if change == -math.inf:
                return None, change  # forbidden: nobody else need be asked
            states.append(following)
            changes.append(change)
        return tuple(states), sum(changes)

    def finish(self, state: Hashable) -> float:
        return sum(scorer.finish(own) for scorer, own in zip(self._scorers, state, strict=True))

    def steps_needed(self, state: Hashable) -> tuple[int, int]:
        needs = [scorer.steps_needed(own) for scorer, own in zip(self._scorers, state, strict=True)]
        return max(blank for blank, _ in needs), max(label for _, label in needs)


def columns_of(text: str, *, vocabulary: Vocabulary, blank_id: int, where: str) -> tuple[int, ...]:
    """A text's labels as columns of log-probabilities whose blank is `blank_id`."""
    return tuple(label - (label <= blank_id) for label in vocabulary.encode(text, where=where))
