"""What a decoder gives back, and how labels with their steps become words with times and confidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from speechgru.grammar.nodes import SlotValue
from speechgru.text import Vocabulary

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
        score: natural logarithm of what the search maximised: for greedy decoding the probability of the one best
            path, a sum over all steps; for a beam see `beam_decode`.
        words: the words in order.
        confidence: 0 to 1, the geometric mean over all labels, spaces included, of their highest probability; for a
            hypothesis without labels, of the blank over all steps (0 when there is no step at all). The same formula
            for every decoder. 0 where a phrase list allowed no text at all.
        labels: the labels as found, repeats merged, blanks dropped.
        spans: for each label its first step and the step after its last, counted from the first of the utterance;
            for a beam those of the most probable path of the labels (`align`).
        posterior: 0 to 1, this hypothesis's share of the exponentiated scores of all hypotheses that the beam held
            at the end: how sure the choice between the texts is, given that one of them is right. None for greedy
            decoding, which compares no texts.
        intent: what is meant, where a grammar was asked for and the utterance has ended; None where there is none or
            nothing was recognised. Of several readings it is the first (`Grammar.parse`).
        slots: what it is about, numbers as numbers; empty where there is no intent.
        margin: at most 0, how far the text is behind everything else that the model might have written (`margin_of`):
            a sentence that is none of a list of phrases becomes one of them, and falls far behind. None where nothing
            constrains the search, where nothing was recognised, and until an utterance has ended.
        accepted: whether the margin reaches the threshold (`DecodingOptions.threshold`): whether to act on the text.
            False where nothing was recognised; None where no threshold is known or nothing constrains the search.
    """

    text: str = ""
    score: float = 0.0
    words: tuple[Word, ...] = ()
    confidence: float = 0.0
    labels: tuple[int, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    posterior: float | None = None
    intent: str | None = None
    slots: Mapping[str, SlotValue] = field(default_factory=dict, hash=False)
    margin: float | None = None
    accepted: bool | None = None


#: What is given back where a phrase list allowed no text at all.
NOTHING_ALLOWED = Hypothesis(score=-math.inf, confidence=0.0, posterior=0.0)


def dress_labels(
    labels: Sequence[int],
    *,
    spans: Sequence[tuple[int, int]],
    peaks: Sequence[float],
    blank_mean: float,
    score: float,
    vocabulary: Vocabulary,
    step_seconds: float,
    blank_id: int,
    start_seconds: float = 0.0,
    posterior: float | None = None,
) -> Hypothesis:
    """Dresses labels and their spans, from whatever search, with words, times and confidence.

    Args:
        labels: columns, repeats merged, blanks dropped.
        spans: the first step and the step after the last of each.
        peaks: the highest log-probability of each in its span (`peaks_of`).
        blank_mean: the mean of the blank's log-probabilities over all steps; minus infinity where there is no step.
        score: what the search maximised.
        vocabulary: the characters or words of the columns.
        step_seconds: seconds from one step to the next.
        blank_id: the blank's column.
        start_seconds: when the first step begins.
        posterior: see `Hypothesis`.
    """
    of_vocabulary = [label + (label < blank_id) for label in labels]  # as where the blank is 0
    words = [
        Word(
            text=vocabulary.decode(of_vocabulary[first:after]),
            start_seconds=start_seconds + spans[first][0] * step_seconds,
            end_seconds=start_seconds + spans[after - 1][1] * step_seconds,
            confidence=_probability(_mean(peaks[first:after])),
        )
        for first, after in vocabulary.word_spans(of_vocabulary)
    ]
    return Hypothesis(
        text=" ".join(word.text for word in words),
        score=score,
        words=tuple(words),
        confidence=_probability(_mean(peaks) if len(peaks) else blank_mean),
        labels=tuple(labels),
        spans=tuple(spans),
        posterior=posterior,
    )


def peaks_of(log_probs_SV: np.ndarray, labels: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[float]:
    """The highest log-probability of each label in its span."""
    if not len(labels):
        return []
    peaks: list[float] = log_probs_SV[[start for start, _ in spans], list(labels)].tolist()
    for place, (label, (start, end)) in enumerate(zip(labels, spans, strict=True)):
        if end > start + 1:
            peaks[place] = float(log_probs_SV[start:end, label].max())
    return peaks


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _probability(log_value: float) -> float:
    """A probability given as its logarithm. Rounding above 1 is taken off."""
    return min(1.0, math.exp(log_value))


def check_log_probs(
    log_probs_SV: np.ndarray, *, vocabulary: Vocabulary, step_seconds: float, blank_id: int
) -> np.ndarray:
    """The log-probabilities as an array, once everything that a decoder needs of them is true."""
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
    if not 0 < step_seconds < math.inf:
        raise ValueError(f"step_seconds must be a positive number of seconds, got {step_seconds}")
    if log_probs_SV.size:
        highest = float(log_probs_SV.max())  # NaN where any entry is
        if math.isnan(highest):
            raise ValueError("log_probs hold NaN; the model's weights or its input are broken")
        if highest > _MAX_LOG_PROB:
            raise ValueError(
                f"log_probs reach {highest:.3g}, but a log-probability is at most 0; apply log_softmax to logits first"
            )
    return log_probs_SV
