"""What each step of an utterance leaves a search to choose from: one column, or several in their order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

_NEVER = -math.inf
_FEW_LABELS = 4  # possible ones a step, up to which sorting each step's few is faster than sorting all


@dataclass(frozen=True)
class Pruning:
    """What a beam search may leave out beside all but the `beam_width` best prefixes; by default nothing.

    Args:
        token_log_prob: at a step, labels whose log-probability is lower count as impossible, the blank like the
            others, but never the step's best.
        beam_log_prob: prefixes whose score is lower than the best one's by more than this (a number below 0) are
            dropped.
        blank_log_prob: steps whose blank has at least this log-probability count as blank alone. That takes at most
            the sum of 1 - p(blank) over these steps from any text's probability; with log(0.9999) at most 0.0001 a
            step.
    """

    token_log_prob: float | None = None
    beam_log_prob: float | None = None
    blank_log_prob: float | None = None

    def __post_init__(self) -> None:
        for name in ("token_log_prob", "beam_log_prob", "blank_log_prob"):
            value = getattr(self, name)
            if value is not None and not value <= 0:
                raise ValueError(f"{name} must be a natural logarithm of at most 0, or None for no limit, got {value}")

    @property
    def drops_labels(self) -> bool:
        """Whether a label can count as impossible; a beam that drops prefixes alone still finds allowed texts."""
        return self.token_log_prob is not None or self.blank_log_prob is not None


def choices_of(
    log_probs_SV: np.ndarray, pruning: Pruning, *, blank_id: int, walks: bool
) -> tuple[list[int], list[float], Iterator[tuple[list[float], list[int]]]]:
    """What the steps leave to choose from.

    Args:
        log_probs_SV: natural-log probabilities.
        pruning: what counts as impossible.
        blank_id: the blank's column.
        walks: whether a step with one possible label needs no search; one with the blank alone never does.

    Returns:
        Of each step the one column that it allows (the blank where it allows none), -1 where it needs a search, and
        the log-probability of that column. And of each step that needs a search, in turn, its log-probabilities, and
        its possible labels without the blank, the most probable first, equal ones by label.
    """
    steps_S = np.arange(len(log_probs_SV))
    best_S = log_probs_SV.argmax(axis=1)
    on_best_S = on_only_S = log_probs_SV[steps_S, best_S]
    lowest = on_best_S.min(initial=0.0)
    if pruning.token_log_prob is None:
        possible_SV = log_probs_SV > _NEVER
    else:
        possible_SV = log_probs_SV >= pruning.token_log_prob
        if lowest < pruning.token_log_prob:
            possible_SV |= (log_probs_SV == on_best_S[:, None]) & (log_probs_SV > _NEVER)
    is_only_S = possible_SV @ np.ones(log_probs_SV.shape[1], np.float32) == 1  # several times as fast as their sum
    if not walks:
        is_only_S &= best_S == blank_id
    only_S = np.where(is_only_S, best_S, -1)
    if lowest == _NEVER:
        only_S[on_best_S == _NEVER] = blank_id
    if pruning.blank_log_prob is not None:
        only_S[log_probs_SV[:, blank_id] >= pruning.blank_log_prob] = blank_id
        on_only_S = log_probs_SV[steps_S, only_S]
    open_S = (only_S < 0).nonzero()[0]
    open_SV = np.where(possible_SV.take(open_S, axis=0), log_probs_SV.take(open_S, axis=0), _NEVER)
    rows = open_SV.tolist()
    orders = _labels_by_probability(open_SV, rows, blank_id=blank_id)
    return only_S.tolist(), on_only_S.tolist(), iter(zip(rows, orders, strict=True))


def _labels_by_probability(
    log_probs_SV: np.ndarray, rows: Sequence[Sequence[float]], *, blank_id: int
) -> list[list[int]]:
    """For every step the possible labels without the blank, the most probable first, equal ones by label.

    Args:
        log_probs_SV: log-probabilities.
        rows: the same as lists.
        blank_id: the blank's column.
    """
    possible_SV = log_probs_SV > _NEVER
    possible_SV[:, blank_id] = False
    if np.count_nonzero(possible_SV) < _FEW_LABELS * len(rows):
        orders: list[list[int]] = [[] for _ in rows]
        for step, label in zip(*(each.tolist() for each in possible_SV.nonzero()), strict=True):
            orders[step].append(label)
        for row, order in zip(rows, orders, strict=True):
            if len(order) > 1:
                order.sort(key=row.__getitem__, reverse=True)  # stable, so that equal ones stay in their order
        return orders
    negated_SV = -log_probs_SV
    negated_SV[:, blank_id] = np.inf
    order_SV = negated_SV.argsort(axis=1, kind="stable")
    counts = (negated_SV < np.inf).sum(axis=1).tolist()
    return [order[:count] for order, count in zip(order_SV.tolist(), counts, strict=True)]
