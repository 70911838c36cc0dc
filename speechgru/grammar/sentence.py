"""What can be said and what it means: a sentence, and intents with their sentence templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from speechgru.grammar.nodes import SlotValue


@dataclass(frozen=True)
class Sentence:
    """Something that can be said, and what it means.

    Args:
        text: the words, with single spaces between them, written as in the grammar's file.
        intent: the name of what is meant.
        slots: what it is about, numbers as numbers.

    Example:
        >>> Sentence("wait two minutes", "Wait", {"minutes": 2}).slots["minutes"]
        2
    """

    text: str
    intent: str
    slots: Mapping[str, SlotValue]


@dataclass(frozen=True)
class Block:
    """Sentence templates of an intent that share fixed slot values.

    Args:
        sentences: each template's place in the table of nodes.
        slots: what the intent's slots hold whenever one of them is said.
        weight: how often the block is drawn, compared with the intent's others.
    """

    sentences: tuple[int, ...]
    slots: Mapping[str, SlotValue]
    weight: float


@dataclass(frozen=True)
class Intent:
    """What can be meant, with all ways to say it.

    Args:
        name: its name.
        blocks: its sentence templates.
        weight: how often it is drawn, compared with other intents.
    """

    name: str
    blocks: tuple[Block, ...]
    weight: float = 1.0
