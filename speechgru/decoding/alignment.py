"""When was each label said? CTC forced alignment: the most probable path that spells known labels."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from operator import eq
from typing import Any

import numpy as np

from speechgru.decoding.greedy import BestPath
from speechgru.decoding.short_alignment import SHORT, best_states
from speechgru.decoding.sure_alignment import sure_spans
from speechgru.text import BLANK_ID

#: Pairs of a step and a state up to which all are followed: 4 MiB, some five minutes of speech.
_FOLLOWED = 1 << 22
#: Pairs from which on compiled code is worth loading, which takes half a second.
_COMPILED_FROM = 1 << 20
#: Steps that are followed at a time; their moves are kept in as many bytes as there were states.
_BLOCK = 1024

#: Beyond: how much less probable than the best one of its step, as a natural logarithm, a pair may be to be followed.
_MARGIN = 300.0


def align(
    log_probs_SV: np.ndarray,
    labels: Sequence[int],
    *,
    blank_id: int = BLANK_ID,
    most_pairs: int | None = None,
    best_path: BestPath | None = None,
) -> list[tuple[int, int]]:
    """Finds the most probable path that spells `labels` and gives each label's run in it.

    Of equally probable paths the one with the lower label at the first difference is taken, as greedy decoding does:
    where the best path of all spells `labels`, the runs are greedy decoding's. Source: Viterbi over the states of
    Graves et al. 2006, "Connectionist Temporal Classification", section 4.1 (blank, label, blank, ..., blank).

    Where steps and labels are many (an hour of speech), only what may still matter is followed, so that time and memory
    are linear: at each step, states from which the rest is at least e^-300 times as probable as from the best one. The
    path is then the most probable one unless that one is for a moment so far behind. A byte is kept of each pair
    of a step and a state, the move to the next step. Where Numba is installed, long ones are aligned by machine code,
    which gives the same.

    Args:
        log_probs_SV: natural-log probabilities, one row a step, one column a label.
        labels: columns of `log_probs_SV`, without blanks; equal neighbours are two labels with a blank between them.
        blank_id: the blank's column.
        most_pairs: pairs of a step and a state up to which all are followed, a byte each; some five minutes of speech
            when None.
        best_path: the best path of all through these steps, where that is known.

    Returns:
        For each label its first step and the step after its last.

    Raises:
        ValueError: the labels need more steps than there are, or every path that spells them has probability 0; a
            label is the blank or no column.

    Example:
        >>> log_probs_SV = np.log([[0.1, 0.9], [0.6, 0.4], [0.3, 0.7]])
        >>> align(log_probs_SV, [1, 1])
        [(0, 1), (2, 3)]
    """
    log_probs_SV = np.asarray(log_probs_SV)
    if log_probs_SV.ndim != 2:
        raise ValueError(f"log_probs must have the two axes (steps, labels), got shape {log_probs_SV.shape}")
    num_steps, num_columns = log_probs_SV.shape
    labels = list(map(int, labels))
    used = set(labels)
    if used and (blank_id in used or min(used) < 0 or max(used) >= num_columns):
        wrong = [label for label in labels if label == blank_id or not 0 <= label < num_columns]
        raise ValueError(f"labels must be columns 0 to {num_columns - 1} other than the blank {blank_id}, got {wrong}")
    repeats = sum(map(eq, labels, labels[1:]))
    if len(labels) + repeats > num_steps:
        raise ValueError(
            f"{len(labels)} labels with {repeats} equal neighbours need {len(labels) + repeats} steps, "
            f"but there are {num_steps}"
        )
    if not labels:
        return []
    if num_steps * (2 * len(labels) + 1) <= SHORT:
        if best_path is None:
            best_path = BestPath(blank_id=blank_id)
            best_path.feed(log_probs_SV)
        spans = sure_spans(log_probs_SV, labels, spelt=best_path.labels, runs=best_path.spans, blank_id=blank_id)
        if spans is not None:
            return spans

    # State 2i + 1 is label i, the even states are the blanks between; a label may follow a different label directly.
    states_Z = np.full(2 * len(labels) + 1, blank_id)
    states_Z[1::2] = labels
    # Only label states have a jump: a blank reached by leaving out a label would drop that label from the text. Equal
    # labels have none, because CTC merges them unless a blank lies between.
    jumps_Z = np.zeros(len(states_Z), bool)
    jumps_Z[1:-2:2] = states_Z[3::2] != states_Z[1:-2:2]
    path_S = _path(log_probs_SV, states_Z, jumps_Z, most_pairs=_FOLLOWED if most_pairs is None else most_pairs)
    if path_S is None:
        raise ValueError(f"every path that spells the {len(labels)} labels has probability 0")
    # A path visits every label state, and never returns.
    label_states_L = np.arange(1, len(states_Z), 2)
    starts_L, ends_L = np.searchsorted(path_S, label_states_L), np.searchsorted(path_S, label_states_L, side="right")
    return list(zip(starts_L.tolist(), ends_L.tolist(), strict=True))


def _path(log_probs_SV: np.ndarray, states_Z: np.ndarray, jumps_Z: np.ndarray, *, most_pairs: int) -> np.ndarray | None:
    """The state at each step of the most probable path; None where there is none. Few pairs are followed at once."""
    num_pairs = len(log_probs_SV) * len(states_Z)
    if num_pairs <= SHORT:
        return best_states(log_probs_SV, states_Z, jumps_Z)
    follow = _follow_function(num_pairs)
    margin = math.inf if num_pairs <= most_pairs else _MARGIN
    path_S = _best_path(log_probs_SV, states_Z, jumps_Z, margin=margin, follow=follow)
    while path_S is None and margin < math.inf:  # what was left out had been the only way
        margin = 10 * margin if margin < 10**4 * _MARGIN else math.inf
        path_S = _best_path(log_probs_SV, states_Z, jumps_Z, margin=margin, follow=follow)
    return path_S


def _best_path(
    log_probs_SV: np.ndarray, states_Z: np.ndarray, jumps_Z: np.ndarray, *, margin: float, follow: Any
) -> np.ndarray | None:
    """The state at each step of the most probable path; None where none that was followed is possible.

    From the end to the start, so that the walk over the moves meets equal paths at their first difference.

    Args:
        log_probs_SV: as in `align`.
        states_Z: the column of each state.
        jumps_Z: whether the state after the next may follow too.
        margin: what is this much below the best of its step is left out.
        follow: `_follow`, or the same as machine code.
    """
    num_steps, num_states = len(log_probs_SV), len(states_Z)
    # Of each state the log-probability of the best path from it to the end; two places behind the last state.
    values_Z = np.full(num_states + 2, -np.inf)
    first, end = max(0, num_states - 2), min(num_states, 2 * num_steps)
    values_Z[first:end] = log_probs_SV[-1, states_Z[first:end]]
    if not values_Z[first:end].max(initial=-np.inf) > -np.inf:
        return None
    blocks = []
    for after in range(num_steps - 1, 0, -_BLOCK):
        begin = max(0, after - _BLOCK)
        rows_SV = np.ascontiguousarray(log_probs_SV[begin:after])
        firsts_S = np.zeros(len(rows_SV), np.int64)
        # A band grows by two states a step at most.
        moves = np.empty(len(rows_SV) * min(num_states, end - first + 2 * len(rows_SV)), np.uint8)
        offsets_S = np.zeros(len(rows_SV), np.int64)
        first, end = follow(rows_SV, states_Z, jumps_Z, values_Z, first, end, begin, margin, firsts_S, offsets_S, moves)
        if end <= first:
            return None
        used = int(offsets_S[0]) + end - first
        blocks.append((firsts_S, offsets_S, moves[:used].copy()))
    # A path begins in the first blank or in the first label; of equals the lower column, as argmax has it.
    starts = [(values_Z[state], -int(states_Z[state]), state) for state in (0, 1) if first <= state < end]
    value, _, state = max(starts, default=(-np.inf, 0, 0))
    if value == -np.inf:
        return None
    path_S = np.empty(num_steps, np.int64)
    path_S[0], step = state, 1
    for firsts_S, offsets_S, moves in reversed(blocks):
        for place in (offsets_S - firsts_S).tolist():
            state += int(moves[place + state])
            path_S[step] = state
            step += 1
    return path_S


def _follow(
    log_probs_SV: np.ndarray,
    states_Z: np.ndarray,
    jumps_Z: np.ndarray,
    values_Z: np.ndarray,
    first: int,
    end: int,
    begin: int,
    margin: float,
    firsts_S: np.ndarray,
    offsets_S: np.ndarray,
    moves: np.ndarray,
) -> tuple[int, int]:
    """Follows all paths through a block of steps, from its last to its first.

    Args:
        log_probs_SV: of the block.
        states_Z, jumps_Z, margin: as in `_best_path`.
        values_Z: at the step after the block; filled with those of its first. Minus infinity outside the band.
        first, end: the states of the band at the step after the block.
        begin: the step that the block begins with.
        firsts_S: filled: the first state of the band at each step.
        offsets_S: filled: where in `moves` its band begins.
        moves: filled: by how many states the best path from each state of a band advances to the next step.

    Returns:
        The band at the block's first step; an empty one where no path reaches it.
    """
    used = 0
    for step in range(len(log_probs_SV) - 1, -1, -1):
        # A path is in one of the first two states at the first step and advances by two a step at most.
        before, first = end, max(0, first - 2)
        end = max(first, min(end, 2 * (begin + step) + 2))
        columns_Z = states_Z[first : end + 2]
        columns_Z = np.pad(columns_Z, (0, end + 2 - first - len(columns_Z)))
        after_Z = values_Z[first : end + 2].copy()
        best_Z, best_column_Z = after_Z[:-2].copy(), columns_Z[:-2].copy()
        moves_Z = np.zeros(end - first, np.uint8)
        for move, other_Z in ((1, after_Z[1:-1]), (2, np.where(jumps_Z[first:end], after_Z[2:], -np.inf))):
            column_Z = columns_Z[move : move + end - first]
            # Of equals the lower column, as argmax has it in greedy decoding.
            is_better_Z = (other_Z > best_Z) | ((other_Z == best_Z) & (column_Z < best_column_Z))
            moves_Z[is_better_Z] = move
            best_Z, best_column_Z = (
                np.where(is_better_Z, other_Z, best_Z),
                np.where(is_better_Z, column_Z, best_column_Z),
            )
        best_Z += log_probs_SV[step, states_Z[first:end]]
        best = best_Z.max(initial=-np.inf)
        if best == -np.inf:
            return 0, 0
        values_Z[end:before] = -np.inf
        kept = np.flatnonzero(best_Z >= best - margin) if margin < np.inf else np.array([0, end - first - 1])
        best_Z[: kept[0]] = best_Z[kept[-1] + 1 :] = -np.inf
        values_Z[first:end] = best_Z
        first, end = first + int(kept[0]), first + int(kept[-1]) + 1
        firsts_S[step], offsets_S[step] = first, used
        moves[used : used + end - first] = moves_Z[kept[0] : kept[-1] + 1]
        used += end - first
    return first, end


def _follow_function(num_pairs: int) -> Any:
    """`_follow`, as machine code where that is installed and worth loading."""
    if num_pairs < _COMPILED_FROM or importlib.util.find_spec("numba") is None:
        return _follow
    from speechgru.decoding.alignment_kernel import follow

    return follow
