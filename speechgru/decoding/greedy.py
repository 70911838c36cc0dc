"""Greedy decoding: the best path."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from speechgru.decoding.hypothesis import Hypothesis, check_log_probs, dress_labels
from speechgru.text import BLANK_ID, Vocabulary


def greedy_decode(
    log_probs_SV: np.ndarray, *, vocabulary: Vocabulary, step_seconds: float, blank_id: int = BLANK_ID
) -> Hypothesis:
    """Takes the most probable label at every step, merges repeats and drops blanks.

    This is the best *path*, not always the best *text*: a text's probability is the sum over all of its paths.
    Equal probabilities go to the lowest label, so the blank wins over a character. Source: Graves et al. 2006,
    "Connectionist Temporal Classification", section 3.2 (best path decoding).

    Args:
        log_probs_SV: natural-log probabilities, one row a step, one column a label; the steps of the utterance only,
            no padding. No step at all gives an empty hypothesis.
        vocabulary: the characters or words of the columns.
        step_seconds: seconds from one step to the next.
        blank_id: the blank's column; the entries fill the others in order.

    Returns:
        The hypothesis; its labels count columns.

    Raises:
        ValueError: the array's shape does not fit the vocabulary, it holds NaN or logits, or `step_seconds` is not a
            positive number.

    Example:
        >>> log_probs_SV = np.log([[0.1, 0.9], [0.6, 0.4], [0.3, 0.7]])
        >>> greedy_decode(log_probs_SV, vocabulary=Vocabulary(["a"]), step_seconds=0.04).text
        'aa'
    """
    log_probs_SV = check_log_probs(log_probs_SV, vocabulary=vocabulary, step_seconds=step_seconds, blank_id=blank_id)
    best_path = BestPath(blank_id=blank_id)
    best_path.feed(log_probs_SV)
    return best_path.hypothesis(vocabulary=vocabulary, step_seconds=step_seconds)


class BestPath:
    """The best path through steps that may come in pieces: its runs, and no more of the log-probabilities.

    Its memory grows with the labels found, not with the steps.

    Args:
        blank_id: the blank's column.
    """

    def __init__(self, *, blank_id: int = BLANK_ID):
        self.blank_id = blank_id
        self.num_steps = 0
        self.score = 0.0
        self.spans: list[tuple[int, int]] = []  # of each label its first step and the step after its last
        self.peaks: list[float] = []  # of each label its highest log-probability
        self._labels: list[int] = []
        self._last = blank_id  # the last step's column
        self._blank_sum = 0.0

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels, repeats merged, blanks dropped."""
        return tuple(self._labels)

    @property
    def blank_mean(self) -> float:
        """The mean of the blank's log-probabilities over all steps; minus infinity without any."""
        return self._blank_sum / self.num_steps if self.num_steps else -math.inf

    def feed(self, log_probs_SV: np.ndarray) -> np.ndarray:
        """Decodes some more steps.

        Args:
            log_probs_SV: natural-log probabilities of the next steps.

        Returns:
            The most probable label of each, `path_S`; equal ones go to the lowest.
        """
        if not len(log_probs_SV):
            return np.zeros(0, np.int64)
        path_S = log_probs_SV.argmax(axis=1)
        best_S = log_probs_SV[np.arange(len(path_S)), path_S].astype(np.float64)
        labels, spans, peaks, last, blank_id = self._labels, self.spans, self.peaks, self._last, self.blank_id
        for step, (column, on_column) in enumerate(zip(path_S.tolist(), best_S.tolist(), strict=True), self.num_steps):
            if column != blank_id:
                if column != last:
                    labels.append(column)
                    spans.append((step, step + 1))
                    peaks.append(on_column)
                else:
                    spans[-1] = spans[-1][0], step + 1
                    if on_column > peaks[-1]:
                        peaks[-1] = on_column
            last = column
        self._last = last
        self.num_steps += len(path_S)
        self.score += float(best_S.sum())
        self._blank_sum += float(log_probs_SV[:, self.blank_id].astype(np.float64).sum())
        return path_S

    def hypothesis(self, *, vocabulary: Vocabulary, step_seconds: float, start_seconds: float = 0.0) -> Hypothesis:
        """What the path spells; see `greedy_decode`."""
        return dress_labels(
            self._labels,
            spans=self.spans,
            peaks=self.peaks,
            blank_mean=self.blank_mean,
            score=self.score,
            vocabulary=vocabulary,
            step_seconds=step_seconds,
            start_seconds=start_seconds,
            blank_id=self.blank_id,
        )


def collapse(labels_S: Sequence[int] | np.ndarray, *, blank_id: int = BLANK_ID) -> tuple[int, ...]:
    """The labels that a path spells: equal neighbours merged first, then blanks dropped.

    Args:
        labels_S: one label a step.
        blank_id: the blank's label.

    Returns:
        The labels; `(1, 1, 0, 1)` gives `(1, 1)`.

    Raises:
        ValueError: `labels_S` is not one row of integers.
    """
    path_S = np.asarray(labels_S)
    if path_S.ndim != 1 or (path_S.size and not np.issubdtype(path_S.dtype, np.integer)):
        raise ValueError(f"a path is one row of integer labels, got shape {path_S.shape} of {path_S.dtype}")
    return tuple(label for label, _, _ in label_runs(path_S, blank_id=blank_id))


def label_runs(path_S: np.ndarray, *, blank_id: int) -> list[tuple[int, int, int]]:
    """The label, first step and step after the last of every run that is not blank."""
    starts = [0, *((path_S[1:] != path_S[:-1]).nonzero()[0] + 1).tolist()] if len(path_S) else []
    ends = [*starts[1:], len(path_S)] if starts else []
    return [
        (label, start, end)
        for label, start, end in zip(path_S[starts].tolist(), starts, ends, strict=True)
        if label != blank_id
    ]
