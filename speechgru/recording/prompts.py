"""Which sentences a person reads: few, that between them hold every word of the grammar as early as possible."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

#: Sentences drawn to choose from. Words that none of them holds are looked for in as many draws again.
_POOL = 3000


class SentenceSource(Protocol):
    """What prompts are drawn from: a `speechgru.grammar.Grammar`."""

    def draw(self, rng: np.random.Generator) -> Any:
        """A sentence, evenly over intents and slot values; its `text` is what is spoken."""

    def words(self) -> Sequence[str]:
        """Every word that a sentence can hold."""


def choose_prompts(grammar: SentenceSource, count: int, *, seed: int = 0) -> list[str]:
    """Chooses the sentences that a person is asked to read.

    Args:
        grammar: the sentences.
        count: how many; more than are needed for every word say every word again, in other sentences.
        seed: another seed, other sentences.

    Returns:
        `count` texts. The first of them hold as many words as so few sentences can (greedily); a text stands twice only
        where the grammar has no other.
    """
    rng = np.random.default_rng([seed, 13])
    pool = _draw_pool(grammar, rng)
    chosen: list[str] = []
    while len(chosen) < count:
        left = [text for text in pool if text not in chosen] or pool
        chosen += cover(left, most=count - len(chosen))
    return chosen


def _draw_pool(grammar: SentenceSource, rng: np.random.Generator) -> list[str]:
    """Different sentences, in the order drawn."""
    pool = dict.fromkeys(str(grammar.draw(rng).text) for _ in range(_POOL))
    missing = set(grammar.words()) - set(itertools.chain.from_iterable(text.split() for text in pool))
    for _ in range(_POOL):
        if not missing:
            break
        text = str(grammar.draw(rng).text)
        if not missing.isdisjoint(text.split()):
            pool[text] = None
            missing.difference_update(text.split())
    return list(pool)


def cover(texts: Sequence[str], *, most: int) -> list[str]:
    """Chooses texts until every word of all of them was chosen, each time the one with the most words not chosen yet.

    This greedy choice needs at most ln(words) + 1 times as many texts as the best one. Source: Chvátal 1979, "A greedy
    heuristic for the set-covering problem".

    Args:
        texts: to choose from; of equals the shorter one is chosen, and then the earlier.
        most: how many to choose at most.

    >>> cover(["turn on", "turn off", "turn off the light", "the light"], most=9)
    ['turn off the light', 'turn on']
    """
    words_of = [frozenset(text.split()) for text in texts]
    missing = set().union(*words_of)
    chosen: list[str] = []
    while missing and len(chosen) < most:
        best = max(range(len(texts)), key=lambda place: (len(words_of[place] & missing), -len(texts[place]), -place))
        chosen.append(texts[best])
        missing -= words_of[best]
    return chosen


def words_left(texts: Iterable[str], recorded: Iterable[str]) -> list[str]:
    """The words of texts that no recorded one holds, in order of appearance.

    >>> words_left(["turn on", "turn off"], ["turn on"])
    ['off']
    """
    known = {word for text in recorded for word in text.split()}
    found = Counter(word for text in texts for word in text.split() if word not in known)
    return list(found)
