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
#: What a path may lose between two anchors to be followed; the next where all lose more than the one before.
_LIMITS = (8.0,)
_NEVER = -math.inf
#: What rounding may do to a sum of an utterance's log-probabilities.
_ROUNDING = 1e-5

_Span = tuple[int, int]
#: The place of an anchor's first label among the labels, that of its first run among the best path's, and what any
#: other path through its steps loses there.
_Anchor = tuple[int, int, float]


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
    labels, spelt = list(labels), list(spelt)
    stretch = _Stretch(log_probs_SV, labels, blank_id=blank_id)
    begin, end = (-_LABELS, -_LABELS, math.inf), (len(labels), len(runs), math.inf)
    anchors = [(place, run, stretch.margin(runs[run][0], runs[run + _LABELS - 1][1])) for place, run in places]
    found: dict[tuple[_Anchor, _Anchor], tuple[list[_Span], float]] = {}
    for _ in range(_ROUNDS):
        pairs = list(pairwise([begin, *anchors, end]))
        losses = []
        for pair in pairs:
            left, right = pair
            if labels[left[0] + _LABELS : right[0]] == spelt[left[1] + _LABELS : right[1]]:
                losses.append(0.0)
                continue
            if pair not in found:
                # From the last step of the anchor before to the first of the one behind.
                first, state = (0, -1) if left is begin else (runs[left[1] + _LABELS - 1][1] - 1, 2 * left[0] + 5)
                last, after = (len(log_probs_SV) - 1, -1) if right is end else (runs[right[1]][0], 2 * right[0] + 1)
                tries = (stretch.best_path(first, last, state, after, most=most) for most in _LIMITS)
                best = next((path for path in tries if path is not None), None)
                if best is None:
                    return None
                found[pair] = best
            losses.append(found[pair][1])
        kept = [
            anchor
            for anchor, before, after in zip(anchors, losses, losses[1:], strict=False)
            if anchor[2] > before + after + _ROUNDING
        ]
        if len(kept) == len(anchors):
            break
        if not kept:
            return None
        anchors = kept
    else:
        return None

    spans: list[_Span] = []
    for pair in pairs:
        left, right = pair
        if pair not in found:
            spans += runs[left[1] + _LABELS : right[1] + _LABELS]
            continue
        between = found[pair][0]
        if left is not begin:  # the anchor's last label may go on
            spans[-1] = spans[-1][0], between[0][1]
            between = between[1:]
        spans += between
        if right is not end:  # and the next one's first label may have begun before
            spans[-1] = spans[-1][0], runs[right[1]][1]
            spans += runs[right[1] + 1 : right[1] + _LABELS]
    return spans


class _Stretch:
    """Finds the best path between two states that are known, among those that lose little.

    State 2i + 1 is label i, the even states are the blanks between. A path stays in a state or goes to the next one, or
    leaves out a blank between two labels that differ.

    Args:
        log_probs_SV: natural-log probabilities.
        labels: the text's.
        blank_id: the blank's column.
    """

    def __init__(self, log_probs_SV: np.ndarray, labels: list[int], *, blank_id: int):
        columns_S = log_probs_SV.argmax(axis=1)
        steps_S = np.arange(len(columns_S))
        others_SV = log_probs_SV.copy()
        others_SV[steps_S, columns_S] = _NEVER
        best_S = log_probs_SV[steps_S, columns_S].astype(np.float64)
        self._log_probs_SV, self._columns = log_probs_SV, columns_S.tolist()
        self._margins = (best_S - others_SV.max(axis=1)).tolist()
        self._column_of = [blank_id] * (2 * len(labels) + 1)
        self._column_of[1::2] = labels

    def margin(self, first: int, end: int) -> float:
        """What a path at least loses that has another column than the most probable one at some of these steps."""
        return min(self._margins[first:end])

    def best_path(
        self, first: int, last: int, begin: int, end: int, *, most: float
    ) -> tuple[list[_Span], float] | None:
        """The spans of the labels from one step to another, and what the path loses; of equal ones as `align` has it.

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
            if not before:
                return None
            fronts.append(before)
            front = before
            lowest = min(front.values())

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
        return _spans_of(path, first), loss


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
