"""The best path of known labels where it differs little from the best path of all: searched only where they part."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from speechgru.decoding.greedy import label_runs

#: The labels of an anchor: enough that most stand in a sentence once, few enough that most stretches hold several.
_LABELS = 3
#: By how many labels more the one text may be ahead of the other at an anchor than at the one before.
_DRIFT = 4
#: How often anchors are left out and what was between is searched as one.
_ROUNDS = 4
#: What a path may lose between two anchors to be followed; the second where all lose more than the first.
_LIMITS = (8.0,)
_NEVER = -math.inf
#: What rounding may do to a sum of an utterance's log-probabilities.
_ROUNDING = 1e-5

#: The place of an anchor's first label among the labels, and that of its first run among the best path's.
_Anchor = tuple[int, int]


def sure_states(log_probs_SV: np.ndarray, states_Z: np.ndarray, jumps_Z: np.ndarray) -> np.ndarray | None:
    """The state at each step of the most probable path, as `short_alignment.best_states` finds it.

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
        states_Z, jumps_Z: as in `best_states`.

    Returns:
        The states; None where too few anchors are sure, which says nothing of whether there is a path.

    Example:
        >>> probs_SV = np.eye(5)[[1, 0, 2, 3, 0]] * 0.9 + 0.02  # the best path of all spells 1 2 3
        >>> probs_SV[4, [0, 4]] = 0.5, 0.44
        >>> states_Z, jumps_Z = np.array([0, 1, 0, 2, 0, 3, 0, 4, 0]), np.arange(9) % 2 * (np.arange(9) < 7) > 0
        >>> sure_states(np.log(probs_SV), states_Z, jumps_Z).tolist()  # 1 2 3 4
        [1, 2, 3, 5, 7]
    """
    if log_probs_SV.shape[1] < 2:
        return None
    columns_S = log_probs_SV.argmax(axis=1)
    runs = label_runs(columns_S, blank_id=int(states_Z[0]))
    labels, spelt = states_Z[1::2].tolist(), [label for label, _, _ in runs]
    anchors = _anchors_of(labels, spelt)
    if not anchors:
        return None
    stretch = _Stretch(log_probs_SV, columns_S, states_Z.tolist(), jumps_Z.tolist())
    begin, end = (-_LABELS, -_LABELS), (len(labels), len(runs))
    found: dict[tuple[_Anchor, _Anchor], tuple[int, list[int], float]] = {}
    for _ in range(_ROUNDS):
        losses = []
        pairs = list(pairwise([begin, *anchors, end]))
        for left, right in pairs:
            if labels[left[0] + _LABELS : right[0]] == spelt[left[1] + _LABELS : right[1]]:
                losses.append(0.0)
                continue
            if (left, right) not in found:
                # From the last step of the anchor before to the first of the one behind.
                first, state = (0, -1) if left == begin else (runs[left[1] + _LABELS - 1][2] - 1, 2 * left[0] + 5)
                last, after = (len(columns_S) - 1, -1) if right == end else (runs[right[1]][1], 2 * right[0] + 1)
                tries = (stretch.best_path(first, last, state, after, most=most) for most in _LIMITS)
                best = next((path for path in tries if path is not None), None)
                if best is None:
                    return None
                found[left, right] = first, *best
            losses.append(found[left, right][2])
        kept = [
            anchor
            for anchor, before, after in zip(anchors, losses[:-1], losses[1:], strict=True)
            if stretch.margin(runs[anchor[1]][1], runs[anchor[1] + _LABELS - 1][2]) > before + after + _ROUNDING
        ]
        if len(kept) == len(anchors):
            path_S = _spelt_states(columns_S, runs, anchors, blank_id=int(states_Z[0]))
            for pair in pairs:
                if pair in found:
                    first, path, _ = found[pair]
                    path_S[first : first + len(path)] = path
            return path_S
        if not kept:
            return None
        anchors = kept
    return None


class _Stretch:
    """Finds the best path between two states that are known, among those that lose little.

    Args:
        log_probs_SV: natural-log probabilities.
        columns_S: of each step its most probable column.
        column_of: the column of each state.
        jumps: of each state whether the one after the next may follow.
    """

    def __init__(self, log_probs_SV: np.ndarray, columns_S: np.ndarray, column_of: list[int], jumps: list[bool]):
        steps_S = np.arange(len(columns_S))
        others_SV = log_probs_SV.copy()
        others_SV[steps_S, columns_S] = _NEVER
        best_S = log_probs_SV[steps_S, columns_S].astype(np.float64)
        self._log_probs_SV, self._columns, self._best = log_probs_SV, columns_S.tolist(), best_S.tolist()
        self._margins = (best_S - others_SV.max(axis=1)).tolist()
        self._column_of, self._jumps = column_of, jumps

    def margin(self, first: int, end: int) -> float:
        """What a path at least loses that has another column than the most probable one at some of these steps."""
        return min(self._margins[first:end])

    def best_path(self, first: int, last: int, begin: int, end: int, *, most: float) -> tuple[list[int], float] | None:
        """The states from one step to another, and what they lose; of equal paths as in `best_states`.

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
        column_of, jumps = self._column_of, self._jumps
        num_states = len(column_of)
        # From the end to the start, so that the walk back meets equal paths at their first difference. A front holds
        # the states that a path may be in, each with what the best path from it to the end loses.
        front = {end: 0.0} if end >= 0 else dict.fromkeys(range(max(0, num_states - 2), num_states), 0.0)
        fronts: list[dict[int, float]] = []
        for step in range(last, first - 1, -1):
            column = self._columns[step]
            before: dict[int, float] = {}
            if min(front.values()) + self._margins[step] > most:
                for state, loss in front.items():
                    if column_of[state] != column:
                        if step == last or not state:
                            continue
                        if column_of[state - 1] == column:
                            state -= 1
                        elif state > 1 and jumps[state - 2] and column_of[state - 2] == column:
                            state -= 2
                        else:
                            continue
                    if loss < before.get(state, math.inf):
                        before[state] = loss
            else:
                best, row = self._best[step], self._log_probs_SV[step].tolist()
                for state, loss in front.items():
                    # From itself, from the state before, and from the one before that.
                    lowest = state if step == last else max(0, state - 2)
                    for other in range(state, lowest - 1, -1):
                        if other < state - 1 and not jumps[other]:
                            continue
                        lost = loss + (best - row[column_of[other]])
                        if lost <= most and lost < before.get(other, math.inf):
                            before[other] = lost
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
                followers = (state, state + 1, state + 2) if jumps[state] else (state, state + 1)
                state = min((front[other], column_of[other], other) for other in followers if other in front)[2]
            path.append(state)
        return path, loss


def _anchors_of(labels: list[int], spelt: list[int]) -> list[_Anchor]:
    """Three labels in a row that stand in a text once, where the best path of all has them too; none overlap.

    Args:
        labels: the text's.
        spelt: the best path's.
    """
    place_of: dict[tuple[int, ...], int] = {}
    for place, three in enumerate(zip(labels, labels[1:], labels[2:], strict=False)):
        place_of[three] = -1 if three in place_of else place
    anchors: list[_Anchor] = []
    least, run, ahead = 0, 0, 0
    threes = list(zip(spelt, spelt[1:], spelt[2:], strict=False))
    while run < len(threes):
        place = place_of.get(threes[run], -1)
        if place >= least and abs(place - run - ahead) <= _DRIFT:
            anchors.append((place, run))
            least, ahead = place + _LABELS, place - run
            run += _LABELS
        else:
            run += 1
    return anchors


def _spelt_states(
    columns_S: np.ndarray, runs: list[tuple[int, int, int]], anchors: list[_Anchor], *, blank_id: int
) -> np.ndarray:
    """The states of the best path of all, where it spells the text.

    Args:
        columns_S: its columns.
        runs: its runs.
        anchors: where it spells the text; between two that the text is ahead of as much it does so too.
        blank_id: the blank's column.
    """
    is_label_S = columns_S != blank_id
    begins_S = is_label_S.copy()
    begins_S[1:] &= columns_S[1:] != columns_S[:-1]
    path_S = 2 * begins_S.cumsum() - is_label_S  # as if its labels were the text's
    ahead = 0
    for place, run in anchors:
        if place - run != ahead:
            path_S[runs[run][1] :] += 2 * (place - run - ahead)
            ahead = place - run
    return path_S
