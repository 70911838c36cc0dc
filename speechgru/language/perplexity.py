"""How well a language model predicts texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from speechgru.language.labelled import LabelledTexts

#: Texts whose losses are computed together.
_SCORED_TOGETHER = 128


@dataclass
class Perplexity:
    """How well a language model predicts texts: sums, and what is made of them.

    Args:
        nats: the negative log-probability of all labels and ends.
        labels: labels, and an end for each text.
        words: words, and an end for each text.
        characters: characters of the normalised texts, and an end for each.
    """

    nats: float = 0.0
    labels: int = 0
    words: int = 0
    characters: int = 0

    @classmethod
    def of(cls, texts: LabelledTexts, score: Callable[[Sequence[np.ndarray]], np.ndarray]) -> Perplexity:
        """The perplexity of texts.

        Args:
            texts: with their labels.
            score: gives the natural-log probabilities of texts of labels, their ends included.
        """
        lengths = texts.num_labels
        order = np.argsort(lengths, kind="stable")  # texts of one length are computed together
        nats = 0.0
        for start in range(0, len(order), _SCORED_TOGETHER):
            rows = [texts[index] for index in order[start : start + _SCORED_TOGETHER].tolist()]
            nats -= float(np.sum(score(rows), dtype=np.float64))
        return cls(
            nats,
            labels=int(lengths.sum()) + len(texts),
            words=int(texts.num_words.sum()) + len(texts),
            characters=int(texts.num_characters.sum()) + len(texts),
        )

    def as_record(self) -> dict[str, float]:
        """Perplexity per label and per word, and bits per character.

        >>> perplexity = Perplexity(4 * math.log(2), labels=4, words=2, characters=4)
        >>> {name: round(value, 6) for name, value in perplexity.as_record().items()}
        {'perplexity': 2.0, 'word_perplexity': 4.0, 'bits_per_character': 1.0}
        """
        return {
            "perplexity": _exp(self.nats / max(1, self.labels)),
            "word_perplexity": _exp(self.nats / max(1, self.words)),
            "bits_per_character": self.nats / math.log(2) / max(1, self.characters),
        }


def _exp(value: float) -> float:
    """The exponential, of what it can be taken of: a perplexity beyond all numbers is the largest one."""
    return math.exp(min(value, 700.0))
