"""When was each label said? CTC forced alignment: the most probable path that spells known labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from speechgru.decoding.short_alignment import SHORT, best_states
from speechgru.text import BLANK_ID

#: Pairs of a step and a state up to which all are followed: 32 MiB, some five minutes of speech.
_FOLLOWED = 1 << 22

#: Beyond: how much less probable than the best one of its step, as a natural logarithm, a pair may be to be followed.
_MARGIN = 300.0


def align(log_probs_SV: np.ndarray, labels: Sequence[int], *, blank_id: int = BLANK_ID) -> list[tuple[int, int]]:
    """Finds the most probable path that spells `labels` and gives each label's run in it.

    Of equally probable paths the one with the lower label at the first difference is taken, as greedy decoding does:
    where the best path of all spells `labels`, the runs are greedy decoding's. Source: Viterbi over the states of
    Graves et al. 2006, "Connectionist Temporal Classification", section 4.1 (blank, label, blank, ..., blank).

    Where steps and labels are many (an hour of speech), only what may still matter is followed, so that time and memory
    are linear: at each step, states from which the rest is at least e^-300 times as probable as from the best one. The
    path is then the most probable one unless that one is for a moment so far behind.

    Args:
        log_probs_SV: natural-log probabilities, one row a step, one column a label.
        labels: columns of `log_probs_SV`, without blanks; equal neighbours are two labels with a blank between them.
        blank_id: the blank's column.

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
    log_probs_SV = np.asarray(log_probs_SV, np.float64)
    if log_probs_SV.ndim != 2:
        raise ValueError(f"log_probs must have the two axes (steps, labels), got shape {log_probs_SV.shape}")
    num_steps, num_columns = log_probs_SV.shape
    labels = [int(label) for label in labels]
    wrong = [label for label in labels if label == blank_id or not 0 <= label < num_columns]
    if wrong:
        raise ValueError(f"labels must be columns 0 to {num_columns - 1} other than the blank {blank_id}, got {wrong}")
    repeats = sum(first == second for first, second in pairwise(labels))
    if len(labels) + repeats > num_steps:
        raise ValueError(
            f"{len(labels)} labels with {repeats} equal neighbours need {len(labels) + repeats} steps, "
            f"but there are {num_steps}"
        )
    if not labels:
        return []

    # State 2i + 1 is label i, the even states are the blanks between; a label may follow a different label directly.
    states_Z = np.full(2 * len(labels) + 1, blank_id)
    states_Z[1::2] = labels
    num_states = len(states_Z)
    skip_Z = np.full(num_states, -np.inf)
    skip_Z[1:-2:2] = np.where(states_Z[3::2] != states_Z[1:-2:2], 0.0, -np.inf)
    # Only label states have a skip: a blank reached by skipping a label would drop that label from the text. Equal
    # labels have none, because CTC merges them unless a blank lies between.
    if num_steps * num_states <= SHORT:
        path_S = best_states(log_probs_SV, states_Z, skip_Z == 0)
        if path_S is None:
            raise ValueError(f"every path that spells the {len(labels)} labels has probability 0")
        # A path visits every label's state, and never returns.
        label_states_L = np.arange(1, num_states, 2)
        starts_L, ends_L = (np.searchsorted(path_S, label_states_L, side=side) for side in ("left", "right"))
        return list(zip(starts_L.tolist(), ends_L.tolist(), strict=True))
    margin = math.inf if num_steps * num_states <= _FOLLOWED else _MARGIN
    bands = _to_end(log_probs_SV, states_Z, skip_Z, margin=margin)
    while not bands and margin < math.inf:  # what was left out had been the only way
        margin = 10 * margin if margin < 10**4 * _MARGIN else math.inf
        bands = _to_end(log_probs_SV, states_Z, skip_Z, margin=margin)
    if not bands:
        raise ValueError(f"every path that spells the {len(labels)} labels has probability 0")

    allowed = (skip_Z == 0).tolist()
    of_state = states_Z.tolist()
    starts, ends = [0] * len(labels), [0] * len(labels)
    state, skip = 0, False  # before the first step: the first blank or, one further, the first label
    for step in range(num_steps):
        if step:
            skip = allowed[state]
        # The negated label prefers the lower one of equals, as argmax does in greedy decoding.
        band = bands[step]
        *_, following = max(
            (band.values_Z[other - band.first], -of_state[other], other)
            for other in range(max(state, band.first), min(state + 2 + skip, band.first + len(band.values_Z)))
        )
        index, is_label = divmod(following, 2)
        if is_label:
            if following != state:
                starts[index] = step
            ends[index] = step + 1
        state = following
    return list(zip(starts, ends, strict=True))


class _Band(NamedTuple):
    """States in a row at one step, from `first` on, with the log-probability of the best path from each to the end."""

    first: int
    values_Z: np.ndarray


def _to_end(log_probs_SV: np.ndarray, states_Z: np.ndarray, skip_Z: np.ndarray, *, margin: float) -> list[_Band]:
    """The best of the paths through steps s to the last that are in state z at step s, for each s.

    From the end to the start, so that the walk over them meets equal paths at their first difference.

    Args:
        log_probs_SV, states_Z: as in `align`.
        skip_Z: 0 where a state may be followed by the one after the next, else minus infinity.
        margin: what is this much below the best of its step is left out.

    Returns:
        A band for each step; none at all where no path reaches the first step.
    """
    num_steps, num_states = len(log_probs_SV), len(states_Z)
    first = max(0, num_states - 2)
    band = _Band(first, log_probs_SV[-1, states_Z[first:]])
    bands = [band]
    for step in range(num_steps - 2, -1, -1):
        # A path is in one of the first two states at the first step and advances by two a step at most.
        first, end = max(0, band.first - 2), min(band.first + len(band.values_Z), 2 * step + 2)
        if end <= first:
            return []
        after_Z = np.full(end - first + 2, -np.inf)
        known = band.values_Z[: end + 2 - band.first]
        after_Z[band.first - first : band.first - first + len(known)] = known
        values_Z = after_Z[2:] + skip_Z[first:end]
        np.maximum(values_Z, after_Z[:-2], out=values_Z)
        np.maximum(values_Z, after_Z[1:-1], out=values_Z)
        values_Z += log_probs_SV[step, states_Z[first:end]]
        best = values_Z.max()
        if best == -np.inf:
            return []
        if margin < math.inf:
            kept = np.flatnonzero(values_Z >= best - margin)
            first, values_Z = first + int(kept[0]), values_Z[kept[0] : kept[-1] + 1]
        band = _Band(first, values_Z)
        bands.append(band)
    return bands[::-1] if band.first < 2 and band.values_Z[: 2 - band.first].max() > -np.inf else []
