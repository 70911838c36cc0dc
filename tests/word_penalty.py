"""A kind of scorer that speechgru lacks: each word costs something. What CONTRIBUTING shows, and tests really add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from speechgru.decoding import PrefixScorer, Scorer
from speechgru.text import BLANK_ID, Vocabulary


@dataclass(frozen=True)
class WordPenalty(Scorer):
    """Takes `weight` from a text's score for each of its words: of two texts as probable the one with fewer wins."""

    weight: float

    @property
    def description(self) -> str:
        return f"{self.weight:g} off a word"

    def as_record(self) -> dict[str, Any]:
        return {"word_penalty": self.weight}

    def compile(self, vocabulary: Vocabulary, *, blank_id: int = BLANK_ID) -> PrefixScorer:
        return make(vocabulary, self.weight)


class CompiledWordPenalty(PrefixScorer):
    """The same for one vocabulary; a state is whether the prefix ends inside a word."""

    def __init__(self, weight: float, *, space: int | None):
        self._weight, self._space = weight, space
        self.max_change = max(0.0, -weight)

    def start(self) -> bool:
        return False

    def extend(self, state: bool, label: int) -> tuple[bool, float]:
        if label == self._space:
            return False, 0.0
        return self._space is not None, 0.0 if state else -self._weight

    def finish(self, state: bool) -> float:
        return 0.0


def make(vocabulary: Vocabulary, weight: str | float = 2.0) -> PrefixScorer:
    """The scorer of a vocabulary: what `--scorer word_penalty.py:make=3` calls."""
    space = None if vocabulary.unit == "word" else vocabulary.encode(" ")[0]
    return CompiledWordPenalty(float(weight), space=space)
