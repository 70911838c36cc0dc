"""The best path of known labels where it differs little from the best path of all: searched only where they part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

#: The labels of an anchor: enough that most stand in a sentence once, few enough that most stretches hold several.
_LABELS = 3
#: By how many labels more the one text may be ahead of the other at an anchor than at the one before.
_DRIFT = 4
#: How often anchors are left out and what was between is searched as one.
_ROUNDS = 4
#: What a path may lose between two anchors to be followed.
_MOST = 8.0
_NEVER = -math.inf
#: What rounding may do to a sum of an utterance's log-probabilities.
_ROUNDING = 1e-5

_Span = tuple[int, int]
#: The place of an anchor's first label among the labels, that of its first run among the best path's, and what any
#: other path through its steps loses there.
_Anchor = tuple[int, int, float]
#: What the best path between two anchors loses, and the spans of its labels, from the last of the one before to the
#: first of the one behind; None where they are the best path's of all.
_Link = tuple[float, list[_Span] | None]


def sure_spans(
    log_probs_SV: np.ndarray, labels: Sequence[int], *, spelt: Sequence[int], runs: Sequence[_Span], blank_id: int
) -> list[_Span] | None:
    """The spans of labels in the most probable path, as `align` finds them.

    What a path loses is how far its log-probability is below that of the best path of all, which has the most probable
    label at every step. An anchor is three labels that stand in the text once and that the best path of all spells
    too, at some steps. A path with the best path's columns at all of these steps spells the three there, so it is in
    their states; any other loses at least the least margin of these steps: what the second label is below the first.

    Between two anchors the best path through both is searched for by itself; it loses u, which is 0 where the best
    path of all spells what is between. A path that passes by some anchors may save no more than the u beside them, and
    loses their margins. So where the margin of every anchor is above the two u beside it, no path is better than the
    one through all of them. Anchors whose margin is not are left out, and what was between is searched as one.

    Args:
        log_probs_SV: natural-log probabilities.
        labels: columns, without blanks.
        spelt: the labels of the best path of all.
        runs: their spans in it.
        blank_id: the blank's column.

    Returns:
        Of each label its first step and the step after its last; None where too few anchors are sure, which says
        nothing of whether there is a path.

    Example:
        >>> probs_SV = np.eye(5)[[1, 0, 2, 3, 0]] * 0.9 + 0.02  # the best path of all spells 1 2 3
        >>> probs_SV[4, [0, 4]] = 0.5, 0.44
        >>> runs = [(0, 1), (2, 3), (3, 4)]
        >>> sure_spans(np.log(probs_SV), [1, 2, 3, 4], spelt=[1, 2, 3], runs=runs, blank_id=0)
        [(0, 1), (2, 3), (3, 4), (4, 5)]
    """
    if log_probs_SV.shape[1] < 2:
        return None
    places = _anchors_of(labels, spelt)
    if not places:
        return None
    text = _Text(log_probs_SV, list(labels), list(spelt), runs, blank_id=blank_id)
    begin, end = (-_LABELS, -_LABELS, math.inf), (len(labels), len(runs), math.inf)  # where every path is
    anchors: list[_Anchor] = [begin, *((*each, text.margin(each[1])) for each in places), end]
    links: list[_Link] = []
    kept = list(range(len(anchors)))
    for _ in range(_ROUNDS):
        links_before, links = links, []
        for first, second in pairwise(kept):
            is_known = len(links_before) > 0 and second == first + 1
            link = links_before[first] if is_known else text.link(anchors[first], anchors[second])
            if link is None:
                return None
            links.append(link)
        anchors = [anchors[place] for place in kept]
        losses = [0.0, *(loss for loss, _ in links), 0.0]
        kept = [
            place
            for place, (_, _, margin) in enumerate(anchors)
            if margin > losses[place] + losses[place + 1] + _ROUNDING
        ]
        if len(kept) == len(anchors):
            return _joined(anchors, links, runs)
        if len(kept) == 2:
            return None
    return None


def _joined(anchors: list[_Anchor], links: list[_Link], runs: Sequence[_Span]) -> list[_Span]:
    """The spans of all labels.

    Args:
        anchors: all of them, with the text's begin and end.
        links: of each and the next what is between.
        runs: the spans of the best path's labels.
    """
    spans: list[_Span] = []
    for (_, run, _), (_, next_run, _), (_, between) in zip(anchors, anchors[1:], links, strict=False):
        if between is None:
            spans += runs[run + _LABELS : next_run + _LABELS]
            continue
        if spans:  # the anchor's last label may go on
            spans[-1] = spans[-1][0], between[0][1]
            between = between[1:]
        spans += between
        if next_run < len(runs):  # and the next one's first label may have begun before
            spans[-1] = spans[-1][0], runs[next_run][1]
            spans += runs[next_run + 1 : next_run + _LABELS]
    return spans


class _Text:
    """Known labels, and the best path between two states that it is known to be in, among those that lose little.

    State 2i + 1 is label i, the even states are the blanks between. A path stays in a state or goes to the next one, or
    leaves out a blank between two labels that differ.

    Args:
        log_probs_SV: natural-log probabilities.
        labels: the labels.
        spelt: those of the best path of all.
        runs: their spans in it.
        blank_id: the blank's column.
    """

    def __init__(
        self, log_probs_SV: np.ndarray, labels: list[int], spelt: list[int], runs: Sequence[_Span], *, blank_id: int
    ):
        columns_S = log_probs_SV.argmax(axis=1)
        steps_S = np.arange(len(columns_S))
        others_SV = log_probs_SV.copy()
        others_SV[steps_S, columns_S] = _NEVER
        margins_S = log_probs_SV[steps_S, columns_S].astype(np.float64) - others_SV.max(axis=1)
        self._log_probs_SV, self._columns, self._margins = log_probs_SV, columns_S.tolist(), margins_S.tolist()
        self._labels, self._spelt, self._runs = labels, spelt, runs
        self._column_of = [blank_id] * (2 * len(labels) + 1)
        self._column_of[1::2] = labels

    def margin(self, run: int) -> float:
        """What a path loses at least that has other columns at the steps of an anchor, which begins with this run."""
        return min(self._margins[self._runs[run][0] : self._runs[run + _LABELS - 1][1]])

    def link(self, left: _Anchor, right: _Anchor) -> _Link | None:
        """What is between two anchors; None where it loses too much."""
        (place, run, _), (next_place, next_run, _) = left, right
        if self._labels[place + _LABELS : next_place] == self._spelt[run + _LABELS : next_run]:
            return 0.0, None
        # From the last step of the anchor before to the first of the one behind.
        first, state = 0, -1
        if run >= 0:
            first, state = self._runs[run + _LABELS - 1][1] - 1, 2 * (place + _LABELS) - 1
        last, after = len(self._columns) - 1, -1
        if next_run < len(self._runs):
            last, after = self._runs[next_run][0], 2 * next_place + 1
        return self.best_path(first, last, state, after, most=_MOST)

    def best_path(self, first: int, last: int, begin: int, end: int, *, most: float) -> _Link | None:
        """What the best path from one step to another loses, and its spans; of equal ones as `align` has it.

        At a step where another column would lose too much no two states that follow a state have the same column,
        since a label and the next differ or have a blank between them: so a path into it comes from one state alone.

        Args:
            first, last: the steps.
            begin: the state at the first, below 0 where a text begins there.
            end: the state at the last, below 0 where a text ends there.
            most: what a path may lose to be followed.

        Returns:
            None where every path loses more.
        """
        column_of, columns, margins = self._column_of, self._columns, self._margins
        # From the end to the start, so that the walk back meets equal paths at their first difference. A front holds
        # the states that a path may be in, each with what the best path from it to the end loses.
        front = {end: 0.0}
        if end < 0:
            row = self._log_probs_SV[last].tolist()
            ends = ((state, max(row) - row[column_of[state]]) for state in range(len(column_of))[-2:])
            front = {state: loss for state, loss in ends if loss <= most}
            if not front:
                return None
        lowest = min(front.values())
        fronts = [front]
        for step in range(last - 1, first - 1, -1):
            column = columns[step]
            before: dict[int, float] = {}
            if lowest + margins[step] > most:
                for state, loss in front.items():
                    if column_of[state] != column:
                        if state and column_of[state - 1] == column:
                            state -= 1
                        elif state > 1 and column_of[state - 2] == column:
                            state -= 2
                        else:
                            continue
                    if loss < before.get(state, math.inf):
                        before[state] = loss
                if len(front) > 1:
                    lowest = min(before.values(), default=_NEVER)
            else:
                row = self._log_probs_SV[step].tolist()
                best = row[column]
                for state, loss in front.items():
                    # From itself, from the state before, and from the one before that.
                    for other in range(state, max(-1, state - 3), -1):
                        lost = loss + (best - row[column_of[other]])
                        if lost <= most and lost < before.get(other, math.inf):
                            if other < state - 1 and column_of[other] == column_of[state]:
                                continue
                            before[other] = lost
                lowest = min(before.values(), default=_NEVER)
            if not before:
                return None
            fronts.append(before)
            front = before

        # A text begins in the first blank or in the first label. Of equals the lower column, as argmax has it.
        begins = [
            (front[state], column_of[state], state) for state in ((begin,) if begin >= 0 else (0, 1)) if state in front
        ]
        if not begins:
            return None
        loss, _, state = min(begins)
        path = [state]
        for front in fronts[-2::-1]:
            if len(front) == 1:
                (state,) = front
            else:
                state = min(
                    (front[other], column_of[other], other)
                    for other in (state, state + 1, state + 2)
                    if other in front and (other < state + 2 or column_of[other] != column_of[state])
                )[2]
            path.append(state)
        return loss, _spans_of(path, first)


def _spans_of(path: list[int], first: int) -> list[_Span]:
    """The spans of the labels that a path goes through.

    Args:
        path: its state at each step.
        first: the first of these steps.
    """
    spans: list[_Span] = []
    before = -1
    for step, state in enumerate(path, first):
        if state % 2:
            if state == before:
                spans[-1] = spans[-1][0], step + 1
            else:
                spans.append((step, step + 1))
        before = state
    return spans


def _anchors_of(labels: Sequence[int], spelt: Sequence[int]) -> list[tuple[int, int]]:
    """Three labels in a row that stand in a text once, where the best path of all has them too; none overlap.

    Args:
        labels: the text's.
        spelt: the best path's.

    Returns:
        Of each anchor its place among both.
    """
    text, of_path = "".join(map(chr, labels)), "".join(map(chr, spelt))  # three of them are found at once
    anchors: list[tuple[int, int]] = []
    least, run, ahead = 0, 0, 0
    while run <= len(of_path) - _LABELS:
        three = of_path[run : run + _LABELS]
        place = text.find(three)
        if place >= least and abs(place - run - ahead) <= _DRIFT and text.find(three, place + 1) < 0:
            anchors.append((place, run))
            least, ahead = place + _LABELS, place - run
            run += _LABELS
        else:
            run += 1
    return anchors
