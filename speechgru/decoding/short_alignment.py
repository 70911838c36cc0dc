"""The best path of an utterance of some seconds: all its states at once, a few operations of NumPy a step."""

from __future__ import annotations

import numpy as np

#: Pairs of a step and a state up to which this is faster than following what may still matter: 16 s of speech.
SHORT = 1 << 17


def best_states(log_probs_SV: np.ndarray, states_Z: np.ndarray, jumps_Z: np.ndarray) -> np.ndarray | None:
    """The state at each step of the most probable path; of equal ones that with the lower column where they part.

    Labels that no blank may be left out between get one as a label of their own between them. Then every label may be
    followed by the next, and of what is before a label only the better one matters, it or the blank before it:

        label(t, k) = on(t, k) + max(label(t+1, k), either(t+1, k+1))
        either(t, k) = max(label(t, k), on(t, blank) + either(t+1, k))

    are the log-probabilities of the best paths from there to the end.

    Args:
        log_probs_SV: natural-log probabilities.
        states_Z: the column of each state, the blank's and a label's in turn; a path begins in one of the first two
            and ends in one of the last two.
        jumps_Z: whether a state may be followed by the one after the next; any may by itself and by the next.

    Returns:
        The states; None where every path has probability 0.

    Example:
        >>> best_states(np.log([[0.2, 0.8], [0.9, 0.1]]), np.array([0, 1, 0]), np.zeros(3, bool))
        array([1, 2])
    """
    num_steps = len(log_probs_SV)
    blank_id = int(states_Z[0])
    columns: list[int] = []
    states: list[int] = []  # of each label with the blanks among them
    for label, jumps in zip(range(1, len(states_Z), 2), jumps_Z[1::2].tolist(), strict=True):
        columns.append(int(states_Z[label]))
        states.append(label)
        if not jumps and label + 2 < len(states_Z):
            columns.append(blank_id)
            states.append(label + 1)
    num_labels = len(columns)
    # A step behind the last: there a path is at its end, behind all labels.
    labels_SK = np.full((num_steps + 1, num_labels), -np.inf)
    either_SK = np.full((num_steps + 1, num_labels + 1), -np.inf)
    either_SK[-1, -1] = 0.0
    on_SK = log_probs_SV[:, columns].astype(np.float64, copy=False)
    on_blank = log_probs_SV[:, blank_id].tolist()
    label_rows, either_rows, on_rows = list(labels_SK), list(either_SK), list(on_SK)
    own_rows, next_rows = list(either_SK[:, :-1]), list(either_SK[:, 1:])
    add, maximum = np.add, np.maximum
    for step in range(num_steps - 1, -1, -1):
        label_K = label_rows[step]
        maximum(label_rows[step + 1], next_rows[step + 1], label_K)
        add(label_K, on_rows[step], label_K)
        add(either_rows[step + 1], on_blank[step], either_rows[step])
        maximum(own_rows[step], label_K, own_rows[step])

    label_at, either_at = labels_SK.data, either_SK.data
    path = []
    number, is_label = -1, False  # of the label that the path is at or behind; before the first
    for step in range(num_steps):
        on_next, column = on_blank[step] + either_at[step + 1, number + 1], blank_id
        best, chosen = on_next, number
        stays = False
        if number + 1 < num_labels:
            value = label_at[step, number + 1]
            # Of equals the lower column, as argmax has it in greedy decoding.
            if value > best or (value == best and columns[number + 1] <= column):
                best, chosen, column = value, number + 1, columns[number + 1]
        if is_label:
            value = label_at[step, number]
            if value > best or (value == best and columns[number] < column):
                best, chosen, stays = value, number, True
        if best == -np.inf:
            return None
        is_label = stays or chosen > number
        number = chosen
        path.append(
            states[number] if is_label else (states[number] + (columns[number] != blank_id) if number >= 0 else 0)
        )
    return np.array(path)
