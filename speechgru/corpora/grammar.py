"""What the synthetic corpus says: the household grammar (`configs/grammars/household.yaml`)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from speechgru.grammar import Grammar
from speechgru.grammar.definition import own_grammars
from speechgru.grammar.splits import SPLITS, split_of

__all__ = ["SPLITS", "draw_sentence", "draw_sentence_of", "household", "is_digit_string", "split_of"]


@lru_cache(maxsize=1)
def household() -> Grammar:
    """The grammar, read once."""
    return Grammar.load(own_grammars()["household"])  # by its path: a folder of that name may lie where the user is


def draw_sentence(rng: np.random.Generator) -> str:
    """Draws a command (three of four) or a string of 1 to 8 digits.

    Args:
        rng: the source of chance; it moves on.

    Returns:
        Lower-case words of a-z and the apostrophe, single spaces: exactly what is spoken.

    >>> household().parse(draw_sentence(np.random.default_rng(0))) is not None
    True
    """
    return household().draw(rng).text


def draw_sentence_of(split: str, rng: np.random.Generator) -> str:
    """Draws a sentence that belongs to `split`.

    >>> household().split_of(draw_sentence_of("dev", np.random.default_rng(0)))
    'dev'
    """
    return household().draw(rng, split).text


def is_digit_string(sentence: str) -> bool:
    """Whether a sentence is nothing but digits.

    >>> is_digit_string("seven two"), is_digit_string("turn two on")
    (True, False)
    """
    return all(word in _DIGITS for word in sentence.split())


_DIGITS = frozenset(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
