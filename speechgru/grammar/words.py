"""The words of a grammar, some of which are written in pieces: `light` and an optional `s`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from speechgru.grammar.nodes import Choice, Node, Slot, Text


@dataclass(frozen=True)
class _Pieces:
    """What one node writes, split at its gaps.

    Args:
        words: complete words, with a gap on either side.
        whole: texts without a gap.
        firsts: what stands before the first gap of a text that has one, perhaps nothing.
        lasts: what stands after the last gap, perhaps nothing.
    """

    words: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    firsts: frozenset[str] = frozenset()
    lasts: frozenset[str] = frozenset()

    def __or__(self, other: _Pieces) -> _Pieces:
        return _Pieces(
            self.words | other.words, self.whole | other.whole, self.firsts | other.firsts, self.lasts | other.lasts
        )

    def __add__(self, other: _Pieces) -> _Pieces:
        return _Pieces(
            self.words | other.words | _joined(self.lasts, other.firsts),
            _joined(self.whole, other.whole),
            self.firsts | _joined(self.whole, other.firsts),
            other.lasts | _joined(self.lasts, other.whole),
        )


def _joined(lefts: Iterable[str], rights: Iterable[str]) -> frozenset[str]:
    return frozenset(left + right for left in lefts for right in rights)


_EMPTY = _Pieces(whole=frozenset({""}))


def _pieces_of(text: str) -> _Pieces:
    """The pieces of a literal text."""
    if not any(character.isspace() for character in text):
        return _Pieces(whole=frozenset({text}))
    # A letter at either end shows whether white space is there.
    first, *between, last = f"a{text}a".split()
    return _Pieces(frozenset(between), frozenset(), frozenset({first[1:]}), frozenset({last[:-1]}))


def words_of(nodes: Iterable[Node], roots: Iterable[int], skip_words: Sequence[str]) -> tuple[str, ...]:
    """All words that sentences of a grammar hold, sorted.

    Args:
        nodes: the expression tree.
        roots: the places of its sentence templates.
        skip_words: what may stand before and after them.
    """
    found: list[_Pieces] = []
    for node in nodes:
        if isinstance(node, Text):
            found.append(_pieces_of(node.text))
        elif isinstance(node, Slot):
            found.append(found[node.item])
        elif isinstance(node, Choice):
            pieces = _EMPTY if node.optional else _Pieces()
            for item in node.items:
                pieces |= found[item]
            found.append(pieces)
        else:
            # In a permutation each part has white space around it, so the order changes no word.
            pieces = _EMPTY
            for item in node.items:
                pieces += found[item]
            found.append(pieces)
    words = {word for text in skip_words for word in text.split()}
    for root in roots:
        pieces = found[root]
        words |= pieces.words | pieces.whole | pieces.firsts | pieces.lasts
    return tuple(sorted(words - {""}))
