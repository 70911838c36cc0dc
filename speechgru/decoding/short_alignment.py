"""The best path of an utterance of some seconds: all its states at once, a few operations of NumPy a step."""

from __future__ import annotations

import numpy as np

#: Pairs of a step and a state up to which this is faster than following what may still matter: 16 s of speech.
SHORT = 1 << 17


def best_states(log_probs_SV: np.ndarray, states_Z: np.ndarray, jumps_Z: np.ndarray) -> np.ndarray | None:
    """The state at each step of the most probable path; of equal ones that with the lower column where they part.

    Args:
        log_probs_SV: natural-log probabilities, float64.
        states_Z: the column of each state; a path begins in one of the first two and ends in one of the last two.
        jumps_Z: whether a state may be followed by the one after the next; any may by itself and by the next.

    Returns:
        The states; None where every path has probability 0.

    Example:
        >>> best_states(np.log([[0.2, 0.8], [0.9, 0.1]]), np.array([0, 1, 0]), np.zeros(3, bool))
        array([1, 2])
    """
    num_steps, num_states = len(log_probs_SV), len(states_Z)
    on_SZ = log_probs_SV[:, states_Z]
    # The log-probability of the best path from each state to the end; two places behind the last state.
    rest_SZ = np.full((num_steps, num_states + 2), -np.inf)
    first = max(0, num_states - 2)
    rest_SZ[-1, first:num_states] = on_SZ[-1, first:]
    jump_Z = np.where(jumps_Z, 0.0, -np.inf)
    # Views of each step's row: what stays, what goes on by one, what jumps.
    stay, go, jump = list(rest_SZ[:, :-2]), list(rest_SZ[:, 1:-1]), list(rest_SZ[:, 2:])
    for step in range(num_steps - 2, -1, -1):
        best_Z = stay[step]
        np.add(jump[step + 1], jump_Z, out=best_Z)
        np.maximum(best_Z, go[step + 1], out=best_Z)
        np.maximum(best_Z, stay[step + 1], out=best_Z)
        np.add(best_Z, on_SZ[step], out=best_Z)

    column_of, may_jump = states_Z.tolist(), jumps_Z.tolist()
    rest = rest_SZ.data
    path, state, last = [], 0, min(1, num_states - 1)
    for step in range(num_steps):
        best, following = rest[step, state], state
        for other in range(state + 1, last + 1):
            value = rest[step, other]
            # Of equals the lower column, as argmax has it in greedy decoding.
            if value > best or (value == best and column_of[other] < column_of[following]):
                best, following = value, other
        if best == -np.inf:
            return None
        path.append(following)
        state = following
        last = min(state + 1 + may_jump[state], num_states - 1)
    return np.array(path)
