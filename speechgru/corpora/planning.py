"""What a corpus says, before anything is spoken: sentences of train, dev and test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from speechgru.corpora import grammar
from speechgru.errors import CorpusError

_DEV_SHARE, _TEST_SHARE = 0.05, 0.08
_MAX_REDRAWS = 500


@dataclass(frozen=True)
class Sentence:
    """One utterance to speak: all that its samples depend on but the cast and the variety.

    Args:
        seed: the source of all that is drawn for it, different for each utterance.
        split: its manifest.
        text: what is spoken, and the transcript.
        extra: further fields of its manifest line; JSON-ready.
    """

    seed: tuple[int, ...]
    split: str
    text: str
    extra: Mapping[str, Any] = field(default_factory=dict)


def plan(
    draw: Callable[[str, np.random.Generator], tuple[str, Mapping[str, Any]]],
    *,
    seed: int,
    utterances: int,
    is_split: bool = True,
) -> list[Sentence]:
    """What is spoken, before anything is.

    A dev or test sentence occurs once, where there are enough, and has only words of training sentences (a corpus of a
    few dozen utterances may lack such a sentence; then the next one is used as it is). A training sentence may recur in
    another voice.

    Args:
        draw: draws a sentence of a split: its text, and further fields of its manifest line.
        seed: 0 or more.
        utterances: how many in all; 5 % of them, at least 2, are dev's, and 8 %, at least 4, test's.
        is_split: whether sentences of different splits differ. Else any may recur, of training too.
    """
    sizes = sizes_of(utterances)
    sentences: list[Sentence] = []
    known: set[str] = set()
    for position, split in enumerate(grammar.SPLITS):
        taken: set[str] = set()
        may_recur = split == "train" or not is_split
        for index in range(sizes[split]):
            rng = np.random.default_rng([seed, position, index, 0])
            text, extra = draw(split, rng)
            if split != "train":
                drawn = {text}
                for _ in range(_MAX_REDRAWS):
                    if (may_recur or text not in taken) and known.issuperset(text.split()):
                        break
                    text, extra = draw(split, rng)
                    drawn.add(text)
                else:
                    may_recur = may_recur or drawn <= taken  # all were spoken: the search for more would take long
            taken.add(text)
            sentences.append(Sentence(seed=(seed, position, index), split=split, text=text, extra=extra))
        if split == "train":
            known = {word for text in taken for word in text.split()}
    return sentences


def sizes_of(utterances: int) -> dict[str, int]:
    """How many of a corpus's utterances are dev's, test's and train's.

    >>> sizes_of(1000)
    {'dev': 50, 'test': 80, 'train': 870}
    """
    sizes = {"dev": max(2, round(utterances * _DEV_SHARE)), "test": max(4, round(utterances * _TEST_SHARE))}
    return {**sizes, "train": utterances - sum(sizes.values())}


def check_whole(**values: tuple[Any, int]) -> None:
    """Refuses what is not a whole number of at least so much: `seed=(value, least)`; `workers` may be None."""
    for name, (value, least) in values.items():
        if value is None and name == "workers":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise CorpusError(f"{name} must be a whole number, {least} or more, got {value!r}")
