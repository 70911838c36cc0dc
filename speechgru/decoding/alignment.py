"""When was each label said? CTC forced alignment: the most probable path that spells known labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from speechgru.text import BLANK_ID


def align(log_probs_SV: np.ndarray, labels: Sequence[int], *, blank_id: int = BLANK_ID) -> list[tuple[int, int]]:
    """Finds the most probable path that spells `labels` and gives each label's run in it.

    Of equally probable paths the one with the lower label at the first difference is taken, as greedy decoding does:
    where the best path of all spells `labels`, the runs are greedy decoding's. Source: Viterbi over the states of
    Graves et al. 2006, "Connectionist Temporal Classification", section 4.1 (blank, label, blank, ..., blank).
    Memory: 32 bytes a step and label.

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
    emission_SZ = log_probs_SV[:, states_Z]
    # to_end[s, z]: the best of the paths through steps s to the last that are in state z at step s. From the end to
    # the start, so that the walk below meets equal paths at their first difference. Two columns more: no such state.
    to_end_SZ = np.full((num_steps, num_states + 2), -np.inf)
    to_end_SZ[-1, num_states - 2 : num_states] = emission_SZ[-1, -2:]
    skipped_Z = np.empty(num_states)
    for step in range(num_steps - 2, -1, -1):
        here_Z, after_Z = to_end_SZ[step, :num_states], to_end_SZ[step + 1]
        np.add(after_Z[2:], skip_Z, out=skipped_Z)
        np.maximum(after_Z[:-2], after_Z[1:-1], out=here_Z)
        np.maximum(here_Z, skipped_Z, out=here_Z)
        here_Z += emission_SZ[step]
    if max(to_end_SZ[0, 0], to_end_SZ[0, 1]) == -np.inf:
        raise ValueError(f"every path that spells the {len(labels)} labels has probability 0")

    allowed = (skip_Z == 0).tolist()
    of_state = states_Z.tolist()
    starts, ends = [0] * len(labels), [0] * len(labels)
    state, skip = 0, False  # before the first step: the first blank or, one further, the first label
    for step in range(num_steps):
        if step:
            skip = allowed[state]
        # The negated label prefers the lower one of equals, as argmax does in greedy decoding.
        *_, following = max(
            (to_end_SZ[step, other], -of_state[other], other)
            for other in range(state, min(state + 2 + skip, num_states))
        )
        index, is_label = divmod(following, 2)
        if is_label:
            if following != state:
                starts[index] = step
            ends[index] = step + 1
        state = following
    return list(zip(starts, ends, strict=True))
