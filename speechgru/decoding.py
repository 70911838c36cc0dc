"""From frame-wise log-probabilities to text, with the time and the confidence of every word.

NumPy only: the same code scores a training run and runs beside the model on a device. A decoder is a function
`(log_probs_SV, ...) -> Hypothesis`; whatever search found the labels, `Hypothesis` is what it gives back.

Time. Step s stands for the span [s * step_seconds, (s + 1) * step_seconds) of the recording. A label is on from its
first step to the end of the last step of its run; CTC models put labels as short spikes, usually late in the sound, so
a label's run is shorter than the sound that it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechgru.text import BLANK_ID, Vocabulary

#: Log-probabilities above this are no rounding error: somebody passed logits.
_MAX_LOG_PROB = 1e-2


@dataclass(frozen=True)
class Word:
    """One word of a hypothesis.

    Args:
        text: the word as written, without spaces.
        start_seconds: where the first step of its first label begins.
        end_seconds: where the last step of its last label's run ends.
        confidence: 0 to 1, the geometric mean over the word's labels of each label's highest probability in its run.
            One doubtful letter lowers it, and long words are not punished for being long.
    """

    text: str
    start_seconds: float
    end_seconds: float
    confidence: float


@dataclass(frozen=True)
class Hypothesis:
    """What a decoder believes was said.

    Args:
        text: the words with single spaces between them. Spaces that the model wrote at an end or twice in a row are
            in `labels` only.
        score: natural logarithm of the probability that the search maximised; for greedy decoding that of the one
            best path, a sum over all steps.
        words: the words in order.
        confidence: 0 to 1, the geometric mean over all labels, spaces included, of their highest probability; for a
            hypothesis without labels, of the blank over all steps (1 when there is no step at all).
        labels: the labels as found, repeats merged, blanks dropped.
        spans: for each label its first step and the step after its last.
    """

    text: str = ""
    score: float = 0.0
    words: tuple[Word, ...] = ()
    confidence: float = 1.0
    labels: tuple[int, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()


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
        vocabulary: the characters of the columns.
        step_seconds: seconds from one step to the next.
        blank_id: the blank's column; the characters fill the others in order.

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
    log_probs_SV = _checked(log_probs_SV, vocabulary=vocabulary, step_seconds=step_seconds, blank_id=blank_id)
    path_S = log_probs_SV.argmax(axis=1) if len(log_probs_SV) else np.zeros(0, np.int64)
    score = float(np.take_along_axis(log_probs_SV, path_S[:, None], axis=1).sum(dtype=np.float64))
    runs = _runs(path_S, blank_id=blank_id)
    return _hypothesis(
        log_probs_SV,
        labels=[label for label, _, _ in runs],
        spans=[(start, end) for _, start, end in runs],
        score=score,
        vocabulary=vocabulary,
        step_seconds=step_seconds,
        blank_id=blank_id,
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
    return tuple(label for label, _, _ in _runs(path_S, blank_id=blank_id))


def _runs(path_S: np.ndarray, *, blank_id: int) -> list[tuple[int, int, int]]:
    """The label, first step and step after the last of every run that is not blank."""
    starts = np.flatnonzero(np.diff(path_S, prepend=path_S[:1] - 1))  # the step before the first is never equal to it
    ends = np.append(starts, len(path_S))[1:]
    return [
        (label, start, end)
        for label, start, end in zip(path_S[starts].tolist(), starts.tolist(), ends.tolist(), strict=True)
        if label != blank_id
    ]


def _hypothesis(
    log_probs_SV: np.ndarray,
    *,
    labels: Sequence[int],
    spans: Sequence[tuple[int, int]],
    score: float,
    vocabulary: Vocabulary,
    step_seconds: float,
    blank_id: int,
) -> Hypothesis:
    """Dresses labels and their spans, from whatever search, with words, times and confidence."""
    peaks = [float(log_probs_SV[start:end, label].max()) for label, (start, end) in zip(labels, spans, strict=True)]
    words = []
    first = 0
    characters = [vocabulary.characters[label - (label > blank_id)] for label in labels]
    for position, character in enumerate([*characters, " "]):  # the closing space ends the last word
        if character != " ":
            continue
        if position > first:
            words.append(
                Word(
                    text="".join(characters[first:position]),
                    start_seconds=spans[first][0] * step_seconds,
                    end_seconds=spans[position - 1][1] * step_seconds,
                    confidence=_geometric_mean(peaks[first:position]),
                )
            )
        first = position + 1
    return Hypothesis(
        text=" ".join(word.text for word in words),
        score=score,
        words=tuple(words),
        confidence=_geometric_mean(peaks or log_probs_SV[:, blank_id].tolist()),
        labels=tuple(labels),
        spans=tuple(spans),
    )


def _geometric_mean(log_values: Sequence[float]) -> float:
    """The geometric mean of probabilities given as logarithms; 1 of none. Rounding above 1 is taken off."""
    return min(1.0, float(np.exp(np.mean(log_values)))) if len(log_values) else 1.0


def _checked(log_probs_SV: np.ndarray, *, vocabulary: Vocabulary, step_seconds: float, blank_id: int) -> np.ndarray:
    log_probs_SV = np.asarray(log_probs_SV)
    if log_probs_SV.ndim != 2:
        raise ValueError(
            f"log_probs must have the two axes (steps, labels), got shape {log_probs_SV.shape}; "
            "decode one utterance at a time"
        )
    if log_probs_SV.shape[1] != len(vocabulary):
        raise ValueError(
            f"log_probs have {log_probs_SV.shape[1]} columns and the vocabulary {len(vocabulary)} labels, blank "
            "included; decode with the vocabulary that the model was trained with"
        )
    if not 0 <= blank_id < len(vocabulary):
        raise ValueError(f"blank_id must be one of the {len(vocabulary)} columns, 0 or more, got {blank_id}")
    if not (np.isfinite(step_seconds) and step_seconds > 0):
        raise ValueError(f"step_seconds must be a positive number of seconds, got {step_seconds}")
    if log_probs_SV.size:
        highest = log_probs_SV.max()  # NaN where any entry is
        if np.isnan(highest):
            raise ValueError("log_probs hold NaN; the model's weights or its input are broken")
        if highest > _MAX_LOG_PROB:
            raise ValueError(
                f"log_probs reach {highest:.3g}, but a log-probability is at most 0; apply log_softmax to logits first"
            )
    return log_probs_SV
