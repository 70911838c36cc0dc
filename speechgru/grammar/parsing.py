"""From words to an intent and its slots: the first reading of a text that a grammar has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from speechgru.grammar.nodes import Choice, Node, Permutation, Series, Slot, SlotValue, Text
from speechgru.grammar.sentence import Intent, Sentence

_SPACES = re.compile("( )")
_SPACES_AND_APOSTROPHES = re.compile("([ '])")

#: Where a match stands between words: at the beginning of the text, inside a word, after white space of a template,
#: after an apostrophe, which counts only where a letter follows.
FRESH, WORD, GAP, APOSTROPHE = range(4)

# (place in the text, FRESH ... APOSTROPHE, slots filled on the way, what the grammar writes there)
_Match = tuple[int, int, tuple[tuple[str, SlotValue], ...], str]


def piece(text: str, normalize: Callable[[str], str]) -> str:
    """A part of a sentence by the text rules, which are written for whole sentences.

    White space at its ends stays, and so does an apostrophe there: it is an inner one if a letter stands beside it.
    """
    return normalize(f"a{text}a")[1:-1] if text else ""


def drops_outer_apostrophes(normalize: Callable[[str], str]) -> bool:
    """Whether an apostrophe stays only between letters."""
    return normalize("a' a") == "a a"


class Parser:
    """Reads texts that went through certain text rules.

    Args:
        nodes: the expression tree of a grammar.
        intents: its intents.
        skip_words: what may stand before and after a sentence.
        normalize: the text rules; the grammar's own texts go through them too.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        intents: Sequence[Intent],
        skip_words: Sequence[str],
        normalize: Callable[[str], str],
    ):
        self._nodes = nodes
        self._intents = intents
        self._normalize = normalize
        self._pieces = [piece(node.text, normalize) if isinstance(node, Text) else "" for node in nodes]
        self._apostrophe = "'" if drops_outer_apostrophes(normalize) else ""
        self._skip_words = [*dict.fromkeys(filter(None, map(normalize, skip_words)))]

    def as_record(self) -> dict[str, Any]:
        """What a port needs beside the grammar: `pieces`, each text node by the text rules and None for the others, and
        the `skip_words` by them."""
        pieces = [
            piece if isinstance(node, Text) else None for node, piece in zip(self._nodes, self._pieces, strict=True)
        ]
        return {"pieces": pieces, "skip_words": self._skip_words}

    def first(self, text: str) -> Sentence | None:
        """The preferred reading of a text (see `Grammar.parse`), or None where it has none."""
        return next(self.readings(text), None)

    def readings(self, text: str, *, every: bool = False) -> Iterator[Sentence]:
        """The readings of a text, the preferred one first.

        Args:
            text: the text.
            every: all that differ in their slots; else for each sentence template the first that it has.

        Yields:
            Sentences whose texts are as the grammar writes them.
        """

        text = self._normalize(text)
        if not text:
            return
        matching = _Matching(self._nodes, self._pieces, text, apostrophe=self._apostrophe, every=every)
        befores = ["", *(f"{word} " for word in self._skip_words if text.startswith(f"{word} "))]
        afters = ["", *(f" {word}" for word in self._skip_words if text.endswith(f" {word}"))]
        for intent in self._intents:
            for block in intent.blocks:
                for root in block.sentences:
                    for before, after in ((before, after) for before in befores for after in afters):
                        end = len(text) - len(after)
                        found = [match for match in matching.of(root, len(before), FRESH) if match[0] == end]
                        found = found if end > len(before) else []
                        for _, _, slots, part in found if every else found[:1]:
                            written = " ".join(f"{before}{part}{after}".split())
                            yield Sentence(written, intent.name, {**block.slots, **dict(slots)})
                        if found and not every:
                            break


class _Matching:
    """Where each node can match in one text; every answer is computed once.

    The matches of a node from one place are kept in the order in which a reader who tries alternatives from left to
    right finds them, the first for each end: so the first match to the end of the text is the first of all readings.
    (`every` keeps those that fill slots otherwise, too.)
    """

    def __init__(self, nodes: Sequence[Node], pieces: list[str], text: str, *, apostrophe: str, every: bool):
        self._nodes = nodes
        self._apostrophe = apostrophe
        self._every = every
        self._pieces = pieces
        self._text = text
        self._known: dict[tuple[int, int, int], list[_Match]] = {}

    def of(self, place: int, start: int, mode: int) -> list[_Match]:
        """The matches of a node from a place in the text."""
        key = (place, start, mode)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = list(self._first_to_each_end(place, start, mode))
        return found

    def _first_to_each_end(self, place: int, start: int, mode: int) -> Iterator[_Match]:
        ends = set()
        for match in self._all(place, start, mode):
            key = match[:3] if self._every else match[:2]
            if key not in ends:
                ends.add(key)
                yield match

    def _all(self, place: int, start: int, mode: int) -> Iterator[_Match]:
        node = self._nodes[place]
        if isinstance(node, Text):
            yield from self._literal(place, node.text, start, mode)
        elif isinstance(node, Slot):
            for end, after, slots, written in self.of(node.item, start, mode):
                value = " ".join(written.split()) if node.value is None else node.value
                yield end, after, (*slots, (node.name, value)), written
        elif isinstance(node, Choice):
            for item in dict.fromkeys(node.items):
                yield from self.of(item, start, mode)
            if node.optional:
                yield start, mode, (), ""
        elif isinstance(node, Series):
            yield from self._series(node.items, (start, mode, (), ""))
        else:
            yield from self._permuted(node, frozenset(range(len(node.items))), (start, mode, (), ""))

    def _literal(self, place: int, written: str, start: int, mode: int) -> Iterator[_Match]:
        text = self._text
        for part in self._parts(self._pieces[place]):
            if part == " ":
                mode = mode if mode == FRESH else GAP
            elif part == self._apostrophe:
                # Two in a row are no inner ones; where no letter stands before, it is none either.
                mode = {WORD: APOSTROPHE, APOSTROPHE: GAP}.get(mode, mode)
            else:
                if mode == GAP:
                    part = " " + part
                elif mode == APOSTROPHE:
                    part = ("'" if part[0].isalnum() else " ") + part
                if not text.startswith(part, start):
                    return
                start += len(part)
                mode = WORD
        yield start, mode, (), written

    def _parts(self, spelt: str) -> list[str]:
        """A piece as white space, apostrophes at which it must be asked what follows, and what stands between these."""
        if not self._apostrophe:
            return [part for part in _SPACES.split(spelt) if part]
        return [part for part in _SPACES_AND_APOSTROPHES.split(spelt) if part]

    def _series(self, items: tuple[int, ...], so_far: _Match) -> Iterator[_Match]:
        # Level by level, not branch by branch: two ways to the same place go on together, the earlier one's slots kept.
        reached: dict[tuple, _Match] = {so_far[:2]: so_far}
        for item in items:
            following: dict[tuple, _Match] = {}
            for start, mode, slots, written in reached.values():
                for end, after, more, rest in self.of(item, start, mode):
                    key = (end, after, slots + more) if self._every else (end, after)
                    following.setdefault(key, (end, after, slots + more, written + rest))
            reached = following
        yield from reached.values()

    def _permuted(self, node: Permutation, left: frozenset[int], so_far: _Match) -> Iterator[_Match]:
        if not left:
            yield so_far
        for number in sorted(left):
            for start, mode, slots, written in self._series((node.items[number],), (*so_far[:2], (), "")):
                together = (start, mode, so_far[2] + slots, so_far[3] + written)
                yield from self._permuted(node, left - {number}, together)
