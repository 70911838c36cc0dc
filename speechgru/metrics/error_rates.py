"""How good a transcript is: error rates, alignments, confusions, slices, intervals, confidence, speed.

An error rate is total errors / total reference length over the corpus, a fraction, never an average of the
utterances' rates and never clamped: insertions can take it above 1. Texts are compared as they are given; normalise
both with `text.normalize_text` first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

Operation = Literal["equal", "substitute", "insert", "delete"]

OPERATIONS: dict[str, Operation] = {
    "equal": "equal",
    "replace": "substitute",
    "insert": "insert",
    "delete": "delete",
}
#: Resampled utterances held in memory at once by the bootstrap.
_BOOTSTRAP_BLOCK = 4_000_000
#: Where the bins of a reliability table begin and end; most words of a good model have a confidence near 1.
CONFIDENCE_EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class AlignedPair(NamedTuple):
    """One column of an alignment; the reference is None of an insertion, the hypothesis None of a deletion."""

    operation: Operation
    reference: Any
    hypothesis: Any


@dataclass(frozen=True)
class ErrorCounts:
    """The errors of one utterance, or, added up with `+` or `total`, of many.

    Args:
        substitutions: reference tokens recognised as another.
        insertions: tokens that the reference does not have.
        deletions: reference tokens that the hypothesis does not have.
        reference_length: tokens in the reference.
    """

    substitutions: int = 0
    insertions: int = 0
    deletions: int = 0
    reference_length: int = 0

    @property
    def errors(self) -> int:
        """All errors together: the edit distance."""
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """Errors per reference token; of an empty reference 0 where nothing was recognised, else infinite."""
        if self.reference_length:
            return self.errors / self.reference_length
        return math.inf if self.errors else 0.0

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        if not isinstance(other, ErrorCounts):
            return NotImplemented
        return ErrorCounts(
            self.substitutions + other.substitutions,
            self.insertions + other.insertions,
            self.deletions + other.deletions,
            self.reference_length + other.reference_length,
        )


def align(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> list[AlignedPair]:
    """Lays two token sequences side by side with as few errors as possible (Levenshtein, all errors cost 1).

    Where several alignments have the fewest errors, one of them is chosen, always the same for the same input.

    Args:
        reference: what was said, as words, characters or any hashable tokens.
        hypothesis: what was recognised.

    Returns:
        The columns from left to right; the references that are not None spell `reference`, likewise `hypothesis`.

    Example:
        >>> [pair.operation for pair in align("turn on the light".split(), "turn the lights".split())]
        ['equal', 'delete', 'equal', 'substitute']
    """
    pairs = []
    for operation, start, end, other_start, other_end in _spans(reference, hypothesis):
        for offset in range(max(end - start, other_end - other_start)):
            pairs.append(
                AlignedPair(
                    operation,
                    None if operation == "insert" else reference[start + offset],
                    None if operation == "delete" else hypothesis[other_start + offset],
                )
            )
    return pairs


def count_errors(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> ErrorCounts:
    """Counts the errors of `align(reference, hypothesis)`, without building its columns."""
    counts: Counter[Operation] = Counter()
    for operation, start, end, other_start, other_end in _spans(reference, hypothesis):
        counts[operation] += max(end - start, other_end - other_start)
    return _from_counter(counts)


def count_pairs(pairs: Iterable[AlignedPair]) -> ErrorCounts:
    """Counts the errors of an alignment that is there already."""
    return _from_counter(Counter(pair.operation for pair in pairs))


def _spans(
    reference: Sequence[Hashable], hypothesis: Sequence[Hashable]
) -> Iterator[tuple[Operation, int, int, int, int]]:
    """Runs of one operation: it, the span of the reference and the span of the hypothesis."""
    from rapidfuzz.distance import Levenshtein

    # Ids, because rapidfuzz compares hashes of tokens, and two different tokens may share one (-1 and -2 do).
    ids: dict[Hashable, int] = {}
    reference_ids = [ids.setdefault(token, len(ids)) for token in reference]
    hypothesis_ids = [ids.setdefault(token, len(ids)) for token in hypothesis]
    edits: Any = Levenshtein.opcodes(reference_ids, hypothesis_ids)  # its types do not know that they unpack
    for tag, start, end, other_start, other_end in edits:
        yield OPERATIONS[tag], start, end, other_start, other_end


def _from_counter(counts: Counter[Operation]) -> ErrorCounts:
    return ErrorCounts(
        substitutions=counts["substitute"],
        insertions=counts["insert"],
        deletions=counts["delete"],
        reference_length=counts["equal"] + counts["substitute"] + counts["delete"],
    )


def word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """The errors in words; a word is what stands between white space."""
    return count_errors(reference.split(), hypothesis.split())


def character_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """The errors in characters (code points).

    The single space between two words counts as a character, so that joined and split words cost something; white
    space at the ends and repeated white space do not count.
    """
    return count_errors(" ".join(reference.split()), " ".join(hypothesis.split()))


def total(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """The errors of a corpus: the sum over its utterances, whose `rate` is the corpus WER or CER."""
    return sum(counts, ErrorCounts())


def sentence_error_rate(counts: Sequence[ErrorCounts]) -> float:
    """The fraction of utterances with at least one error.

    Raises:
        ValueError: there is no utterance.
    """
    _require_utterances(counts)
    return sum(1 for count in counts if count.errors) / len(counts)


def bootstrap_interval(
    counts: Sequence[ErrorCounts], *, confidence: float = 0.95, num_samples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """How far the corpus error rate might have fallen with other utterances of the same kind.

    Draws as many utterances as there are, with replacement, `num_samples` times, and takes the percentiles of the
    corpus rates. Utterances count as independent: with few speakers the truth is wider. A corpus without any error
    gives (0, 0), which says that it is too small or too easy, not that the model never errs. Source: Bisani and Ney
    2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation".

    Args:
        counts: one entry an utterance.
        confidence: the share of resampled rates inside the interval, between 0 and 1.
        num_samples: resampled corpora.
        seed: the same seed gives the same interval.

    Returns:
        The lower and the upper end, as fractions.

    Raises:
        ValueError: there is no utterance, or a setting is out of range.
    """
    _require_utterances(counts)
    errors_U, words_U = _errors_and_lengths(counts)
    rates = [_rates(errors_U, words_U, drawn) for drawn in _resamples(len(counts), confidence, num_samples, seed)]
    return _percentiles(np.concatenate(rates), confidence)


def paired_interval(
    before: Sequence[ErrorCounts],
    after: Sequence[ErrorCounts],
    *,
    confidence: float = 0.95,
    num_samples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """How far the change of the corpus error rate between two recognisers might have been another, on other utterances.

    The same drawn utterances are counted for both, so that what is hard for both cancels out: the interval is
    narrower than those of the two rates suggest. One that does not reach 0 is a change that chance alone explains
    poorly. Source: Bisani and Ney 2004, section 4 ("probability of improvement").

    Args:
        before: one entry an utterance.
        after: the other recogniser's, of the same utterances in the same order.
        confidence: the share of resampled changes inside the interval, between 0 and 1.
        num_samples: resampled corpora.
        seed: the same seed gives the same interval.

    Returns:
        The lower and the upper end of the rate after less the rate before, as fractions: below 0 is better.

    Raises:
        ValueError: there is no utterance, the two differ in their references' lengths, or a setting is out of range.
    """
    _require_utterances(before)
    (errors_U, words_U), (errors_after_U, words_after_U) = map(_errors_and_lengths, (before, after))
    if not np.array_equal(words_U, words_after_U):
        raise ValueError("a paired interval compares the same utterances in the same order, and these differ in length")
    changes = [
        _rates(errors_after_U, words_U, drawn) - _rates(errors_U, words_U, drawn)
        for drawn in _resamples(len(before), confidence, num_samples, seed)
    ]
    # Nothing said and something recognised in both is infinite in both: no change that could be counted.
    return _percentiles(np.nan_to_num(np.concatenate(changes), nan=0.0, posinf=np.inf, neginf=-np.inf), confidence)


def _errors_and_lengths(counts: Sequence[ErrorCounts]) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.array([count.errors for count in counts], np.int64),
        np.array([count.reference_length for count in counts], np.int64),
    )


def _resamples(num_utterances: int, confidence: float, num_samples: int, seed: int) -> Iterator[np.ndarray]:
    """Places of utterances drawn with replacement, a row a resampled corpus, in blocks that memory holds.

    Raises:
        ValueError: a setting is out of range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95, got {confidence}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be 1 or more, got {num_samples}")
    generator = np.random.default_rng(seed)
    block = max(1, _BOOTSTRAP_BLOCK // num_utterances)
    for start in range(0, num_samples, block):
        yield generator.integers(num_utterances, size=(min(block, num_samples - start), num_utterances))


def _rates(errors_U: np.ndarray, words_U: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The error rate of each resampled corpus."""
    errors, words = errors_U[drawn].sum(axis=1), words_U[drawn].sum(axis=1)
    return np.where(words > 0, errors / np.maximum(words, 1), np.where(errors > 0, np.inf, 0.0))


def _percentiles(values: np.ndarray, confidence: float) -> tuple[float, float]:
    # Whole samples, outwards: interpolating between a finite and an infinite rate would give NaN.
    tail = (1 - confidence) / 2
    return (
        float(np.quantile(values, tail, method="lower")),
        float(np.quantile(values, 1 - tail, method="higher")),
    )


def real_time_factor(processing_seconds: float, audio_seconds: float) -> float:
    """Processing seconds per second of audio; below 1 is faster than speech.

    Raises:
        ValueError: the audio has no length, or a time is negative.
    """
    if not audio_seconds > 0 or not processing_seconds >= 0:
        raise ValueError(
            f"a real-time factor needs audio of more than 0 s and a time of 0 s or more, got {audio_seconds} s of "
            f"audio in {processing_seconds} s"
        )
    return processing_seconds / audio_seconds


def _require_utterances(counts: Sequence[ErrorCounts]) -> None:
    if not len(counts):
        raise ValueError("no utterance was scored; an error rate needs at least one")
