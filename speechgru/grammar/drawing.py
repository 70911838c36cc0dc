"""Sentences at random: even over intents, then over sentence templates, then over the values of each slot."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from speechgru.grammar.nodes import Choice, Node, Permutation, Series, Slot, SlotValue, Text
from speechgru.grammar.sentence import Intent, Sentence

_T = TypeVar("_T")

#: How often a sentence begins with one of the grammar's skip words, and how often it ends with one.
SKIP_WORD_SHARE = 0.1


class Drawing:
    """Draws from one grammar; the shares of its intents and templates are computed once.

    Args:
        nodes: its expression tree.
        intents: its intents.
        skip_words: what may stand before and after a sentence.
    """

    def __init__(self, nodes: Sequence[Node], intents: Sequence[Intent], skip_words: Sequence[str]):
        self._nodes = nodes
        self._intents = intents
        self._skip_words = skip_words
        self._intent_shares = _shares([intent.weight for intent in intents])
        self._block_shares = [_shares([block.weight for block in intent.blocks]) for intent in intents]

    def draw(self, rng: np.random.Generator) -> Sentence:
        """A sentence."""
        number = _pick(rng, self._intent_shares)
        intent = self._intents[number]
        block = intent.blocks[_pick(rng, self._block_shares[number])]
        slots = dict(block.slots)
        pieces: list[str] = []
        self._expand(_one_of(block.sentences, rng), rng, pieces, slots)
        text = " ".join("".join(pieces).split())
        skip_words = self._skip_words
        if skip_words:
            if rng.random() < SKIP_WORD_SHARE:
                text = f"{_one_of(skip_words, rng)} {text}"
            if rng.random() < SKIP_WORD_SHARE:
                text = f"{text} {_one_of(skip_words, rng)}"
        return Sentence(text, intent.name, MappingProxyType(slots))

    def write(self, place: int, rng: np.random.Generator) -> str:
        """One way to say a node."""
        pieces: list[str] = []
        self._expand(place, rng, pieces, {})
        return "".join(pieces)

    def _expand(self, place: int, rng: np.random.Generator, pieces: list[str], slots: dict[str, SlotValue]) -> None:
        node = self._nodes[place]
        if isinstance(node, Text):
            pieces.append(node.text)
        elif isinstance(node, Series):
            for item in node.items:
                self._expand(item, rng, pieces, slots)
        elif isinstance(node, Permutation):
            for number in rng.permutation(len(node.items)):
                self._expand(node.items[number], rng, pieces, slots)
        elif isinstance(node, Choice):
            if not node.optional or rng.random() < 0.5:
                self._expand(_one_of(node.items, rng), rng, pieces, slots)
        else:
            assert isinstance(node, Slot)
            before = len(pieces)
            self._expand(node.item, rng, pieces, slots)
            slots[node.name] = " ".join("".join(pieces[before:]).split()) if node.value is None else node.value


def _one_of(items: Sequence[_T], rng: np.random.Generator) -> _T:
    # `rng.integers` takes five times as long, and a sentence of ten words draws twenty numbers.
    return items[int(rng.random() * len(items))]


def _shares(weights: list[float]) -> np.ndarray:
    return np.cumsum(weights) / max(sum(weights), 1e-300)


def _pick(rng: np.random.Generator, shares: np.ndarray) -> int:
    return min(int(np.searchsorted(shares, rng.random(), side="right")), len(shares) - 1)
