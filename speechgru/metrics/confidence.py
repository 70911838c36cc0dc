"""Whether confidence knows what is right: calibration and area under the curve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from speechgru.metrics.error_rates import CONFIDENCE_EDGES, AlignedPair
from speechgru.metrics.intervals import share_interval


def words_right(pairs: Iterable[AlignedPair]) -> list[bool]:
    """For each token of an alignment's hypothesis whether the reference has it there."""
    return [pair.operation == "equal" for pair in pairs if pair.operation != "delete"]


def area_under_curve(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """How well confidence separates right words from wrong ones: the chance that a right word has the higher one.

    0.5 is a coin, 1 a threshold without a mistake; equal confidences count half. This is the area under the receiver
    operating characteristic, by ranks. Source: Hanley and McNeil 1982, "The meaning and use of the area under a
    receiver operating characteristic (ROC) curve".

    Args:
        confidences: one a word.
        right: whether it was right.

    Returns:
        The chance; None where all words are right or all are wrong, for there is nothing to separate.
    """
    right_W = np.asarray(right, bool)
    num_right = int(right_W.sum())
    num_wrong = len(right_W) - num_right
    if not num_right or not num_wrong:
        return None
    _, place_W, counts = np.unique(np.asarray(confidences, float), return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2  # from 1; equals share the mean of theirs
    return float((mean_ranks[place_W][right_W].sum() - num_right * (num_right + 1) / 2) / (num_right * num_wrong))


class ReliabilityBin(NamedTuple):
    """Words whose confidence lies in one range: how many, their mean confidence, and the share that was right.

    `right_interval` is where that share may lie at 95 %, words taken for independent.
    """

    low: float
    high: float
    num_words: int
    mean_confidence: float
    share_right: float
    right_interval: tuple[float, float]


def reliability(confidences: Sequence[float], right: Sequence[bool]) -> list[ReliabilityBin]:
    """Whether a confidence of 0.9 means nine right words in ten: mean confidence beside the share that was right.

    Args:
        confidences: one a word, 0 to 1.
        right: whether it was right.

    Returns:
        The bins that hold a word, low first; a confidence on an edge belongs to the upper bin, 1 to the last.
    """
    values, right_W = np.asarray(confidences, float), np.asarray(right, bool)
    bins = np.searchsorted(CONFIDENCE_EDGES[1:-1], values, side="right")
    return [
        ReliabilityBin(
            low=CONFIDENCE_EDGES[number],
            high=CONFIDENCE_EDGES[number + 1],
            num_words=int((bins == number).sum()),
            mean_confidence=float(values[bins == number].mean()),
            share_right=float(right_W[bins == number].mean()),
            right_interval=share_interval(int(right_W[bins == number].sum()), int((bins == number).sum())),
        )
        for number in np.unique(bins)
    ]


def calibration_error(bins: Sequence[ReliabilityBin]) -> float | None:
    """How far confidence lies from the share of right words, on average over the words; None without a word.

    Source: Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning"
    (expected calibration error).
    """
    num_words = sum(entry.num_words for entry in bins)
    if not num_words:
        return None
    return sum(entry.num_words * abs(entry.mean_confidence - entry.share_right) for entry in bins) / num_words
