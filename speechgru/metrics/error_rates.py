"""How good a transcript is: errors, error rates, alignments, speed.

An error rate is total errors / total reference length over the corpus, a fraction, never an average of the
utterances' rates and never clamped: insertions can take it above 1. Texts are compared as they are given; normalise
both with `text.normalize_text` first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Operation = Literal["equal", "substitute", "insert", "delete"]

OPERATIONS: dict[str, Operation] = {
    "equal": "equal",
    "replace": "substitute",
    "insert": "insert",
    "delete": "delete",
}
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
    def rate(self) -> float | None:
        """Errors per reference token; None of an empty reference, whose errors have a number and no rate."""
        return self.errors / self.reference_length if self.reference_length else None

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
    require_utterances(counts)
    return sum(1 for count in counts if count.errors) / len(counts)


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


def require_utterances(counts: Sequence[ErrorCounts]) -> None:
    """Refuses to score nothing.

    Raises:
        ValueError: there is no utterance.
    """
    if not len(counts):
        raise ValueError("no utterance was scored; an error rate needs at least one")
