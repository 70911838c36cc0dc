"""The CTC loss and its gradient as machine code: the forward and the backward recursion of each utterance.

An utterance of n labels has 2n + 1 states, blanks at even places around the labels. With y a step's log-probabilities
and sums as log-sum-exp, the forward recursion is

    a_p' = y(p) + sum(a_p, a_(p-1), a_(p-2) where p is a label other than the one before)

and the backward recursion is the same one in reverse order, without the step's own y. Two tricks:

- Every step subtracts the greatest state (Rabiner 1989, section V.A, in logarithms), so that float32 is fine; the sum
  of what the forward recursion subtracts, in float64, is the loss.
- The posteriors of a step's states add up to 1, whatever both recursions subtracted: each step is normalised by itself.

Source: Graves et al. 2006, "Connectionist Temporal Classification", equations 6 to 16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float32, float64, int32, int64

from speechgru.jit import entry, exp, given, inner, log_1_to_3

#: The logarithm of no probability. Finite: the difference of two infinities would be NaN.
_NEVER = np.float32(-1e30)
_ZERO = np.float32(0.0)


@inner
def _advance(before: Any, skip: Any, after: Any, num_states: int) -> None:
    """`after[p]`: the sum of what leads to state p. The arrays have two places before the first state."""
    for p in range(num_states):
        stay, step, jump = before[p + 2], before[p + 1], before[p] + skip[p]
        largest = max(max(stay, step), jump)
        after[p + 2] = largest + log_1_to_3(exp(stay - largest) + exp(step - largest) + exp(jump - largest))


@inner
def _add_and_scale(states: Any, emitted: Any, num_states: int) -> Any:
    """Adds a step's log-probabilities, subtracts the greatest state, and gives that."""
    largest = _NEVER
    for p in range(num_states):
        states[p + 2] += emitted[p]
        largest = max(largest, states[p + 2])
    for p in range(num_states):
        states[p + 2] -= largest
    return largest


@inner
def _softmax(logits: Any, probs: Any, num_classes: int) -> Any:
    """Fills in the probabilities; gives the log-sum-exp of the logits."""
    largest = logits[0]
    for v in range(1, num_classes):
        largest = max(largest, logits[v])
    total = _ZERO
    for v in range(num_classes):
        probs[v] = exp(logits[v] - largest)
    for v in range(num_classes):
        total += probs[v]
    for v in range(num_classes):
        probs[v] /= total
    return largest + np.float32(np.log(total))


@entry(
    given(float32, 3),
    given(int32, 1),
    given(int32, 2),
    given(int32, 1),
    int64,
    int64,
    int64,
    float32[:, ::1],
    float32[:, ::1],
    float32[:, ::1],
    int64[::1],
    float64[::1],
    float32[:, :, ::1],
)
def loss_and_gradient(
    logits_BSV: np.ndarray,
    num_steps_B: np.ndarray,
    labels_BL: np.ndarray,
    num_labels_B: np.ndarray,
    blank: int,
    first: int,
    end: int,
    forward_SP: np.ndarray,
    emitted_SP: np.ndarray,
    space_3P: np.ndarray,
    classes_P: np.ndarray,
    loss_B: np.ndarray,
    gradient_BSV: np.ndarray,
) -> None:
    """Computes the rows `first` to `end` of a batch, each of which has steps enough for its labels, and one at least.

    Args:
        logits_BSV, num_steps_B, labels_BL, num_labels_B: as in `ctc.ctc_loss`.
        blank: its class.
        first, end: rows.
        forward_SP, emitted_SP, space_3P, classes_P: space for `2 L + 3` numbers a step, or three times, or once.
        loss_B: filled, nats.
        gradient_BSV: filled.
    """
    num_classes = logits_BSV.shape[2]
    skip, backward, posterior = space_3P[0], space_3P[1], space_3P[2]
    for b in range(first, end):
        num_steps, num_states = num_steps_B[b], 2 * num_labels_B[b] + 1
        for p in range(num_states):
            classes_P[p], skip[p] = blank, _NEVER
        for i in range(num_labels_B[b]):
            classes_P[2 * i + 1] = labels_BL[b, i]
            if i > 0 and labels_BL[b, i] != labels_BL[b, i - 1]:
                skip[2 * i + 1] = _ZERO
        for t in range(num_steps):
            normalizer = _softmax(logits_BSV[b, t], gradient_BSV[b, t], num_classes)
            for p in range(num_states):
                emitted_SP[t, p] = logits_BSV[b, t, classes_P[p]] - normalizer

        # Two states that cannot be reached stand before the first.
        for p in range(num_states + 2):
            forward_SP[0, p] = _NEVER
        forward_SP[0, 2] = _ZERO
        if num_states > 1:
            forward_SP[0, 3] = _ZERO
        subtracted = float64(_add_and_scale(forward_SP[0], emitted_SP[0], num_states))
        for t in range(1, num_steps):
            forward_SP[t, 0], forward_SP[t, 1] = _NEVER, _NEVER
            _advance(forward_SP[t - 1], skip, forward_SP[t], num_states)
            subtracted += _add_and_scale(forward_SP[t], emitted_SP[t], num_states)
        ends_in_blank = float64(forward_SP[num_steps - 1, num_states + 1])
        ends_in_label = float64(forward_SP[num_steps - 1, num_states]) if num_states > 1 else float64(_NEVER)
        largest = max(ends_in_blank, ends_in_label)
        total = np.exp(ends_in_blank - largest) + np.exp(ends_in_label - largest)
        loss_B[b] = -(subtracted + largest + np.log(total))

        # The backward recursion runs over the states in reverse order, so that it is the forward one: state p stands
        # at num_states - 1 - p. A label may be skipped to from the label after it.
        for p in range(num_states):
            skip[p] = _NEVER
        for i in range(num_labels_B[b] - 1):
            if labels_BL[b, i] != labels_BL[b, i + 1]:
                skip[num_states - 2 - 2 * i] = _ZERO
        for p in range(num_states + 2):
            backward[p] = _NEVER
        backward[2] = _ZERO
        if num_states > 1:
            backward[3] = _ZERO
        for t in range(num_steps - 1, -1, -1):
            largest = _NEVER
            for p in range(num_states):
                posterior[p] = forward_SP[t, p + 2] + backward[num_states + 1 - p]
                largest = max(largest, posterior[p])
            for p in range(num_states):
                posterior[p] = exp(posterior[p] - largest)
            total_posterior = _ZERO
            for p in range(num_states):
                total_posterior += posterior[p]
            for p in range(num_states):
                gradient_BSV[b, t, classes_P[p]] -= posterior[p] / total_posterior
            if t > 0:
                for p in range(num_states):
                    backward[p + 2] += emitted_SP[t, num_states - 1 - p]
                _advance(backward, skip, posterior, num_states)
                largest = _NEVER
                for p in range(num_states):
                    largest = max(largest, posterior[p + 2])
                for p in range(num_states):
                    backward[p + 2] = posterior[p + 2] - largest
        for t in range(num_steps, logits_BSV.shape[1]):
            for v in range(num_classes):
                gradient_BSV[b, t, v] = _ZERO
