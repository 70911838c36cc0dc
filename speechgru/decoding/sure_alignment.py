"""The best path of known labels where it differs little from the best path of all: searched only where they part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from operator import add
from typing import NamedTuple

import numpy as np

#: The labels of an anchor: enough that most stand in a sentence once, few enough that most stretches hold several.
_LABELS = 3
#: By how many labels more the one text may be ahead of the other at an anchor than at the one before.
_DRIFT = 4
#: How often anchors are left out and what was between is searched as one.
_ROUNDS = 6
#: What a path may lose between two anchors to be followed; the second where all lose more than the first.
_LIMITS = (8.0, 20.0)
#: The share of steps with a margin below half of that from which on too few anchors would be sure to try.
_UNSURE = 0.25
_NEVER = -math.inf
#: What rounding may do to a sum of an utterance's log-probabilities.
_ROUNDING = 1e-5

_Span = tuple[int, int]
#: The place of an anchor's first label among the labels, that of its first run among the best path's, and what any
#: other path through its steps loses there.
_Anchor = tuple[int, int, float]


class _Link(NamedTuple):
    """What is between two anchors, and what a path loses there at least.

    Args:
        loss: of the best path through both; `past_right` of one that passes by the right one, `past_left` by the left
            one, `past_both` by both, beside what it loses at the anchors.
        spans: of the labels of the best path, from the last of the anchor before to the first of the one behind; None
            where it is the best path of all.
    """

    loss: float
    spans: list[_Span] | None
    past_right: float = 0.0
    past_left: float = 0.0
    past_both: float = 0.0

    @property
    def saved_left(self) -> float:
        """What a path may save here that passes by the left anchor; half of it where it passes by both."""
        return max(self.loss - self.past_left, (self.loss - self.past_both) / 2)

    @property
    def saved_right(self) -> float:
        """The same of the right one."""
        return max(self.loss - self.past_right, (self.loss - self.past_both) / 2)

    def joined(self, margin: float, other: _Link) -> _Link:
        """This and the link behind it as one, where the anchor between them is left out.

        Its loss is that of the best path through all three anchors, and it has no spans.

        Args:
            margin: what a path loses that passes by the anchor between.
            other: the link behind.
        """
        return _Link(
            self.loss + other.loss,
            None,
            min(self.loss + other.past_right, self.past_right + margin + other.past_both),
            min(self.past_left + other.loss, self.past_both + margin + other.past_left),
            min(self.past_left + other.past_right, self.past_both + margin + other.past_both),
        )


#: Between two anchors there is what the best path of all has there.
_SAME = _Link(0.0, None)


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

    There a path may save less than u if it passes by an anchor: it either passes by the one that was left out too, and
    loses its margin, or goes through it, and loses what is between it and the other anchor (`_Link.joined`). What a
    path that passes by both anchors of a link may save there is counted as half to each.

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
        >>> probs_SV = np.eye(5)[[1, 0, 2, 3, 0]] * 0.99 + 0.002  # the best path of all spells 1 2 3
        >>> probs_SV[4, [0, 4]] = 0.5, 0.494
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
    if text.unsure > _UNSURE:
        return None
    begin, end = (-_LABELS, -_LABELS, math.inf), (len(labels), len(runs), math.inf)  # where every path is
    anchors: list[_Anchor] = [begin, *((*each, text.margin(each[1])) for each in places), end]
    links: list[_Link] = []
    for left, right in pairwise(anchors):
        link = text.link(left, right)
        if link is None:
            return None
        links.append(link)
    for _ in range(_ROUNDS):
        saved_left = [link.saved_left if link.spans else 0.0 for link in links]
        saved_right = [link.saved_right if link.spans else 0.0 for link in links]
        saved = map(add, [0.0, *saved_right], [*saved_left, 0.0])
        kept = [place for place, most in enumerate(saved) if anchors[place][2] > most + _ROUNDING]
        if len(kept) == len(anchors):
            return _joined(anchors, links, runs)
        if len(kept) == 2:
            return None
        links_before, links = links, []
        for first, second in pairwise(kept):
            link = links_before[first]
            for place in range(first + 1, second):
                link = link.joined(anchors[place][2], links_before[place])
            if second > first + 1:
                best = text.link(anchors[first], anchors[second], most=link.loss + _ROUNDING)
                if best is None:
                    return None
                link = link._replace(loss=best.loss, spans=best.spans)
            links.append(link)
        anchors = [anchors[place] for place in kept]
    return None


def _joined(anchors: list[_Anchor], links: list[_Link], runs: Sequence[_Span]) -> list[_Span]:
    """The spans of all labels.

    Args:
        anchors: all of them, with the text's begin and end.
        links: of each and the next what is between.
        runs: the spans of the best path's labels.
    """
    spans: list[_Span] = []
    for (_, run, _), (_, next_run, _), link in zip(anchors, anchors[1:], links, strict=False):
        between = link.spans
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
        self.unsure = np.count_nonzero(margins_S < _LIMITS[0] / 2) / len(margins_S)
        self._labels, self._spelt, self._runs = labels, spelt, runs
        self._column_of = [blank_id] * (2 * len(labels) + 1)
        self._column_of[1::2] = labels

    def margin(self, run: int) -> float:
        """What a path loses at least that has other columns at the steps of an anchor, which begins with this run."""
        return min(self._margins[self._runs[run][0] : self._runs[run + _LABELS - 1][1]])

    def link(self, left: _Anchor, right: _Anchor, *, most: float | None = None) -> _Link | None:
        """What is between two anchors; None where every path loses more than `most`, the limits where that is None."""
        (place, run, _), (next_place, next_run, _) = left, right
        if self._labels[place + _LABELS : next_place] == self._spelt[run + _LABELS : next_run]:
            return _SAME
        # From the last step of the anchor before to the first of the one behind.
        first, state = 0, -1
        if run >= 0:
            first, state = self._runs[run + _LABELS - 1][1] - 1, 2 * (place + _LABELS) - 1
        last, after = len(self._columns) - 1, -1
        if next_run < len(self._runs):
            last, after = self._runs[next_run][0], 2 * next_place + 1
        for limit in _LIMITS if most is None else (most,):
            link = self.best_path(first, last, state, after, most=limit)
            if link is not None:
                return link
        return None

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
        return _Link(loss, _spans_of(path, first))


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
