"""How well was it heard: error rates, alignments, confusions, slices, intervals, confidence, speed.

An error rate is total errors / total reference length over the corpus, a fraction, never an average of the
utterances' rates and never clamped: insertions can take it above 1. Texts are compared as they are given; normalise
both with `text.normalize_text` first.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

Operation = Literal["equal", "substitute", "insert", "delete"]

_OPERATIONS: dict[str, Operation] = {
    "equal": "equal",
    "replace": "substitute",
    "insert": "insert",
    "delete": "delete",
}
#: Resampled utterances held in memory at once by the bootstrap.
_BOOTSTRAP_BLOCK = 4_000_000
#: Where the bins of a reliability table begin and end; most words of a good model have a confidence near 1.
_CONFIDENCE_EDGES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class AlignedPair(NamedTuple):
    """One column of an alignment; the reference is None of an insertion, the hypothesis None of a deletion."""

    operation: Operation
    reference: Any
    hypothesis: Any


@dataclass(frozen=True)
class ErrorCounts:
    """The errors of one utterance, or, added up with `+` or `total`, of many.

    Args:
        substitutions: reference tokens heard as another.
        insertions: tokens heard that the reference does not have.
        deletions: reference tokens not heard.
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
        """Errors per reference token; of an empty reference 0 where nothing was heard, else infinite."""
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
        hypothesis: what was heard.

    Returns:
        The columns from left to right; the references that are not None spell `reference`, likewise `hypothesis`.

    Example:
        >>> [pair.operation for pair in align("turn on the light".split(), "turn the lights".split())]
        ['equal', 'delete', 'equal', 'substitute']
    """
    from rapidfuzz.distance import Levenshtein

    # Ids, because rapidfuzz compares hashes of tokens, and two different tokens may share one (-1 and -2 do).
    ids: dict[Hashable, int] = {}
    reference_ids = [ids.setdefault(token, len(ids)) for token in reference]
    hypothesis_ids = [ids.setdefault(token, len(ids)) for token in hypothesis]
    pairs = []
    for tag, start, end, other_start, other_end in Levenshtein.opcodes(reference_ids, hypothesis_ids):
        operation = _OPERATIONS[tag]
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
    """Counts the errors of `align(reference, hypothesis)`."""
    return count_pairs(align(reference, hypothesis))


def count_pairs(pairs: Iterable[AlignedPair]) -> ErrorCounts:
    """Counts the errors of an alignment that is there already."""
    counts = Counter(pair.operation for pair in pairs)
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
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, such as 0.95, got {confidence}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be 1 or more, got {num_samples}")
    errors = np.array([count.errors for count in counts], np.int64)
    lengths = np.array([count.reference_length for count in counts], np.int64)
    generator = np.random.default_rng(seed)
    rates = np.empty(num_samples)
    block = max(1, _BOOTSTRAP_BLOCK // len(counts))
    for start in range(0, num_samples, block):
        drawn = generator.integers(len(counts), size=(min(block, num_samples - start), len(counts)))
        drawn_errors, drawn_lengths = errors[drawn].sum(axis=1), lengths[drawn].sum(axis=1)
        rates[start : start + block] = np.where(
            drawn_lengths > 0,
            drawn_errors / np.maximum(drawn_lengths, 1),
            np.where(drawn_errors > 0, np.inf, 0.0),
        )
    # Whole samples, outwards: interpolating between a finite and an infinite rate would give NaN.
    tail = (1 - confidence) / 2
    return (
        float(np.quantile(rates, tail, method="lower")),
        float(np.quantile(rates, 1 - tail, method="higher")),
    )


@dataclass(frozen=True)
class Confusions:
    """Which words were taken for which, each most frequent first.

    Args:
        substitutions: what was said, what was heard instead, how often.
        insertions: words heard that nobody said, how often.
        deletions: words not heard, how often.
        spoken: how often each word was said in all.
    """

    substitutions: list[tuple[str, str, int]]
    insertions: list[tuple[str, int]]
    deletions: list[tuple[str, int]]
    spoken: Counter[str]


def confusions(alignments: Iterable[Iterable[AlignedPair]]) -> Confusions:
    """Gathers the errors of many alignments by word; of equally frequent ones the first in the alphabet comes first."""
    counts: dict[Operation, Counter] = {operation: Counter() for operation in _OPERATIONS.values()}
    spoken: Counter[str] = Counter()
    for pairs in alignments:
        for operation, reference, hypothesis in pairs:
            counts[operation][reference, hypothesis] += 1
            if operation != "insert":
                spoken[reference] += 1

    def ordered(operation: Operation) -> list[tuple[tuple[Any, Any], int]]:
        return sorted(counts[operation].items(), key=lambda item: (-item[1], tuple(map(str, item[0]))))

    return Confusions(
        substitutions=[(said, heard, count) for (said, heard), count in ordered("substitute")],
        insertions=[(heard, count) for (_, heard), count in ordered("insert")],
        deletions=[(said, count) for (said, _), count in ordered("delete")],
        spoken=spoken,
    )


@dataclass(frozen=True)
class Slice:
    """Some of a corpus' utterances: those with one value of a field, or with a number in one range of it.

    Args:
        indices: the utterances' places, in order.
        value: the text that they share; None of a range, and of utterances that lack the field.
        low: the least of their numbers; None of texts.
        high: the greatest of their numbers; None of texts.
    """

    indices: tuple[int, ...]
    value: str | None = None
    low: float | None = None
    high: float | None = None


def slice_by(values: Sequence[Any], *, num_bins: int = 4) -> list[Slice]:
    """Sorts utterances by a field: numbers into bins of about equally many, anything else by value.

    Args:
        values: each utterance's value: a number, a text, True or False, or None where it has none.
        num_bins: bins of numbers, at most; so few different numbers, or fewer, get a slice each.

    Returns:
        The slices that hold an utterance, numbers in order, texts in the order of the alphabet, and last those
        without a value. Every utterance is in one.
    """
    present = {index: value for index, value in enumerate(values) if value is not None}
    missing = tuple(index for index, value in enumerate(values) if value is None)
    slices = []
    if present and all(_is_number(value) for value in present.values()):
        numbers = np.array(list(present.values()), float)
        different = np.unique(numbers)
        if len(different) > num_bins:
            # The first and the last edge are the ends; a number on an edge belongs to the upper bin.
            edges = np.unique(np.quantile(numbers, np.linspace(0, 1, num_bins + 1), method="higher")[1:-1])
        else:
            edges = different[1:]
        bins = np.searchsorted(edges, numbers, side="right")
        for number in np.unique(bins):
            inside = numbers[bins == number]
            indices = np.array(list(present))[bins == number]
            slices.append(Slice(tuple(indices.tolist()), None, float(inside.min()), float(inside.max())))
    else:
        by_text: dict[str, list[int]] = {}
        for index, value in present.items():
            by_text.setdefault(("no", "yes")[value] if isinstance(value, bool) else str(value), []).append(index)
        slices = [Slice(tuple(by_text[text]), text) for text in sorted(by_text)]
    return slices + ([Slice(missing)] if missing else [])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def heard_right(pairs: Iterable[AlignedPair]) -> list[bool]:
    """For each token of an alignment's hypothesis whether the reference has it there."""
    return [pair.operation == "equal" for pair in pairs if pair.operation != "delete"]


def area_under_curve(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """How well confidence tells right words from wrong ones: the chance that a right word has the higher one.

    0.5 is a coin, 1 a threshold without a mistake; equal confidences count half. This is the area under the receiver
    operating characteristic, by ranks. Source: Hanley and McNeil 1982, "The meaning and use of the area under a
    receiver operating characteristic (ROC) curve".

    Args:
        confidences: one a word.
        right: whether it was right.

    Returns:
        The chance; None where all words are right or all are wrong, for there is nothing to tell apart.
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


def share_interval(count: int, total: int) -> tuple[float, float]:
    """Where a share may lie at 95 %, when `count` of `total` independent cases had it; also for none and for all.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Raises:
        ValueError: there is no case, or more cases had it than there are.
    """
    if not 0 <= count <= total or not total:
        raise ValueError(f"a share needs 1 case or more, and no more that have it, got {count} of {total}")
    z, share = 1.959964, count / total  # the normal distribution's 97.5 %
    middle = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))  # rounding passes 0 and 1


def reliability(confidences: Sequence[float], right: Sequence[bool]) -> list[ReliabilityBin]:
    """Whether a confidence of 0.9 means nine right words in ten: mean confidence beside the share that was right.

    Args:
        confidences: one a word, 0 to 1.
        right: whether it was right.

    Returns:
        The bins that hold a word, low first; a confidence on an edge belongs to the upper bin, 1 to the last.
    """
    values, right_W = np.asarray(confidences, float), np.asarray(right, bool)
    bins = np.searchsorted(_CONFIDENCE_EDGES[1:-1], values, side="right")
    return [
        ReliabilityBin(
            low=_CONFIDENCE_EDGES[number],
            high=_CONFIDENCE_EDGES[number + 1],
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
