"""Where errors are: confused words, and slices by any field."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechgru.metrics.error_rates import OPERATIONS, AlignedPair, Operation


@dataclass(frozen=True)
class Confusions:
    """Which words were taken for which, each most frequent first.

    Args:
        substitutions: the reference's word, the hypothesis's word, how often.
        insertions: words of hypotheses alone, how often.
        deletions: words of references alone, how often.
        spoken: how often each word was said in all.
    """

    substitutions: list[tuple[str, str, int]]
    insertions: list[tuple[str, int]]
    deletions: list[tuple[str, int]]
    spoken: Counter[str]


def confusions(alignments: Iterable[Iterable[AlignedPair]]) -> Confusions:
    """Gathers the errors of many alignments by word; of equally frequent ones the first in the alphabet comes first."""
    counts: dict[Operation, Counter] = {operation: Counter() for operation in OPERATIONS.values()}
    spoken: Counter[str] = Counter()
    for pairs in alignments:
        for operation, reference, hypothesis in pairs:
            counts[operation][reference, hypothesis] += 1
            if operation != "insert":
                spoken[reference] += 1

    def ordered(operation: Operation) -> list[tuple[tuple[Any, Any], int]]:
        return sorted(counts[operation].items(), key=lambda item: (-item[1], tuple(map(str, item[0]))))

    return Confusions(
        substitutions=[(reference, hypothesis, count) for (reference, hypothesis), count in ordered("substitute")],
        insertions=[(hypothesis, count) for (_, hypothesis), count in ordered("insert")],
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
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of more digits than a float holds
        return False
