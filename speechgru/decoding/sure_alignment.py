"""The best path of known labels where the model is sure at most steps: there a path has no choice."""

from __future__ import annotations

import math

import numpy as np

#: Shares of the steps: those left open at first, and at most; where more are, following all states at once is faster.
_FIRST_SHARE, _MOST_SHARE = 1 / 6, 0.6
_NEVER = -math.inf
#: What rounding may do to a sum of an utterance's log-probabilities.
_ROUNDING = 1e-5


def sure_states(log_probs_SV: np.ndarray, states_Z: np.ndarray, jumps_Z: np.ndarray) -> list[int] | None:
    """The state at each step of the most probable path, as `short_alignment.best_states` finds it.

    What a path loses is how far its log-probability is below that of the best path of all, which has the most probable
    label at every step. A path that has another label at a step loses at least that step's margin: what the second
    label is below the first. So once some path that spells the labels is known, with a loss of l, the best one has the
    most probable label at every step whose margin is above l: only the other steps are open. One is looked for first
    with few steps open, and once more with those open that its own loss leaves open, where it was too great.

    At a step that is not open no two states that follow a state have its label, since a label and the next differ or
    have a blank between them: so a path into it comes from one state alone, and the search is a walk.

    Args:
        log_probs_SV: natural-log probabilities.
        states_Z, jumps_Z: as in `best_states`.

    Returns:
        The states; None where too many steps are open, or no path was found so, which says nothing of whether there is
        one.

    Example:
        >>> log_probs_SV = np.log([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1], [0.9, 0.1]])
        >>> sure_states(log_probs_SV, np.array([0, 1, 0]), np.zeros(3, bool))
        [0, 1, 2, 2]
    """
    num_steps, num_columns = log_probs_SV.shape
    best_S = log_probs_SV.max(axis=1)
    if num_columns < 2 or best_S.min() == _NEVER:
        return None
    first, most_open = (int(share * num_steps) for share in (_FIRST_SHARE, _MOST_SHARE))
    margins_S = best_S - np.partition(log_probs_SV, num_columns - 2, axis=1)[:, num_columns - 2]
    limit = float(np.partition(margins_S, first)[first])
    if limit == math.inf:  # every step allows one label alone
        limit = 0.0
    columns_S = log_probs_SV.argmax(axis=1)
    for _ in range(2):
        open_S = ~(margins_S > limit)
        if np.count_nonzero(open_S) > most_open:
            return None
        found = _best_through(log_probs_SV, states_Z.tolist(), jumps_Z.tolist(), columns_S=columns_S, open_S=open_S)
        if found is None:
            return None
        loss = float(best_S[open_S].sum(dtype=np.float64)) - found[0] + _ROUNDING
        if loss < margins_S[~open_S].min(initial=math.inf):
            return found[1]
        limit = loss
    return None


def _best_through(
    log_probs_SV: np.ndarray, column_of: list[int], jumps: list[bool], *, columns_S: np.ndarray, open_S: np.ndarray
) -> tuple[float, list[int]] | None:
    """The best path that has the given column where a step is not open.

    What the other steps add to its log-probability is the same for all such paths and left out, so that of neighbours
    with one column among them no more than the first matters: no path changes its state there.

    Args:
        log_probs_SV: as in `sure_states`.
        column_of: the column of each state.
        jumps: of each state whether the one after the next may follow.
        columns_S: of each step its most probable column.
        open_S: of each step whether a path may have any column.

    Returns:
        Its log-probability at the open steps, and its states; None where there is none.
    """
    num_steps, num_states = len(columns_S), len(column_of)
    ends = (open_S[1:] | open_S[:-1] | (columns_S[1:] != columns_S[:-1])).nonzero()[0] + 1
    starts = [0, *ends.tolist()]
    is_open, columns = open_S[starts].tolist(), columns_S[starts].tolist()
    rows = iter(log_probs_SV[open_S][::-1].tolist())
    # From the end to the start, so that the walk back meets equal paths at their first difference. A front holds the
    # states that a path may be in, each with what the best path from it to the end has.
    front = dict.fromkeys(range(max(0, num_states - 2), num_states), 0.0)
    fronts: list[dict[int, float]] = []
    for place in range(len(starts) - 1, -1, -1):
        is_last = not fronts
        before: dict[int, float] = {}
        if is_open[place]:
            row = next(rows)
            if is_last:
                before = front
            else:
                for state, value in front.items():
                    if value > before.get(state, _NEVER):
                        before[state] = value
                    if state and value > before.get(state - 1, _NEVER):
                        before[state - 1] = value
                    if state > 1 and jumps[state - 2] and value > before.get(state - 2, _NEVER):
                        before[state - 2] = value
            before = {state: value + row[column_of[state]] for state, value in before.items()}
        else:
            column = columns[place]
            for state, value in front.items():
                # A label and the blank before it differ, and so do two labels of which one may follow the other at
                # once: a path that goes on to the state comes from one alone.
                if column_of[state] != column:
                    if is_last or not state:
                        continue
                    if column_of[state - 1] == column:
                        state -= 1
                    elif state > 1 and jumps[state - 2] and column_of[state - 2] == column:
                        state -= 2
                    else:
                        continue
                if value > before.get(state, _NEVER):
                    before[state] = value
        if not before:
            return None
        fronts.append(before)
        front = before

    # A path begins in the first blank or in the first label. Of equals the lower column, as argmax has it.
    begins = [(value, -column_of[state], state) for state, value in front.items() if state < 2]
    value, _, state = max(begins, default=(_NEVER, 0, 0))
    if value == _NEVER:
        return None
    path: list[int] = []
    for front, start, end in zip(reversed(fronts), starts, [*starts[1:], num_steps], strict=True):
        if len(front) == 1:
            (state,) = front
        elif start:
            followers = (state, state + 1, state + 2) if jumps[state] else (state, state + 1)
            state = max(
                (other for other in followers if other in front), key=lambda other: (front[other], -column_of[other])
            )
        path += [state] * (end - start)
    return value, path
