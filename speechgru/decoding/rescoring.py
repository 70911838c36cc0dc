"""Scores texts that a search has found by what it did not know: a second pass over an n-best list.

A model that is too slow to be asked at every step of a beam is quick enough for the few texts with which the beam ends.
What it costs is that the texts which the search has dropped by then do not come back: ask for a wide beam.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterable, Sequence

from speechgru.decoding.hypothesis import Hypothesis
from speechgru.decoding.scorers import PrefixScorer, Scorer, checked_extend, checked_finish, compile_together
from speechgru.text import BLANK_ID, Vocabulary

#: Labels of one text.
Labels = tuple[int, ...]


def rescore(
    hypotheses: Sequence[Hypothesis],
    scorers: Sequence[Scorer | PrefixScorer],
    *,
    vocabulary: Vocabulary,
    blank_id: int = BLANK_ID,
) -> list[Hypothesis]:
    """Adds to each hypothesis's score what scorers say of its text, and puts the best first.

    Args:
        hypotheses: of one utterance, from a beam; the order of equals is kept.
        scorers: what to score by, such as a language model with its weight and its bonus for each label.
        vocabulary: what the labels stand for.
        blank_id: the blank's column.

    Returns:
        The same hypotheses with new scores, and posteriors over these scores; those that a scorer forbids are left out.

    Example:
        >>> from speechgru.decoding import Hotwords
        >>> one, other = Hypothesis("a", score=-1.0, labels=(1,)), Hypothesis("b", score=-2.0, labels=(2,))
        >>> [each.text for each in rescore([one, other], [Hotwords({"b": 3.0})], vocabulary=Vocabulary("ab"))]
        ['b', 'a']
    """
    scorer = compile_together(scorers, vocabulary, blank_id=blank_id)
    if scorer is None:
        return list(hypotheses)
    changes = changes_of(scorer, [hypothesis.labels for hypothesis in hypotheses])
    rescored = [
        dataclasses.replace(hypothesis, score=hypothesis.score + changes[hypothesis.labels])
        for hypothesis in hypotheses
        if changes[hypothesis.labels] > -math.inf
    ]
    rescored.sort(key=lambda hypothesis: -hypothesis.score)
    if not rescored or rescored[0].score == -math.inf:
        return rescored
    total = math.fsum(math.exp(hypothesis.score - rescored[0].score) for hypothesis in rescored)
    return [
        dataclasses.replace(hypothesis, posterior=math.exp(hypothesis.score - rescored[0].score) / total)
        for hypothesis in rescored
    ]


def rescored_ends(ends: Sequence[tuple[float, Labels]], scorer: PrefixScorer) -> list[tuple[float, Labels]]:
    """What a search ended with (`BeamSearch.ends`), by the sum of its scores and a scorer's changes, the best first."""
    changes = changes_of(scorer, [labels for _, labels in ends])
    found = [(score + changes[labels], labels) for score, labels in ends]
    return sorted((end for end in found if end[0] > -math.inf), key=lambda end: (-end[0], end[1]))


def changes_of(scorer: PrefixScorer, texts: Iterable[Labels]) -> dict[Labels, float]:
    """What a scorer changes a text's score by, from its first label to its end; minus infinity where it forbids it.

    Label by label in all texts at once: a beginning that several have is asked of once, and what the scorer can compute
    together it does (`PrefixScorer.prepare`).

    Raises:
        UserError: the scorer breaks its promises.
    """
    changes: dict[Labels, float] = {}
    known: dict[Labels, tuple[Hashable, float]] = {(): (scorer.start(), 0.0)}
    left = dict.fromkeys(texts)
    length = 0
    while left:
        scorer.prepare([state for state, _ in known.values()])
        following: dict[Labels, tuple[Hashable, float]] = {}
        for labels in list(left):
            beginning = known.get(labels[:length])
            if beginning is None:
                changes[labels] = -math.inf
            elif len(labels) == length:
                changes[labels] = beginning[1] + checked_finish(scorer, beginning[0])
            else:
                longer = labels[: length + 1]
                if longer not in following:
                    state, change = checked_extend(scorer, beginning[0], labels[length])
                    if change > -math.inf:
                        following[longer] = (state, beginning[1] + change)
                continue
            del left[labels]
        known, length = following, length + 1
    return changes
