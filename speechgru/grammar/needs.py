"""How many steps a grammar's graph needs: ways through a node, and the fewest from a place to a sentence's end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Pass(NamedTuple):
    """A way through a node: its first and last characters (None where it writes none), mode after it, steps."""

    first: str | None
    last: str | None
    mode: int
    steps: int


class Need(NamedTuple):
    """The fewest steps from a place to the end of a sentence.

    Args:
        steps: labels, and blanks between equal ones.
        first: the first character of such an end; None where it is none.
        other: whether another end as short begins differently.
    """

    steps: int
    first: str | None
    other: bool

    def after(self, last: str | None) -> int:
        """The steps where the character before was `last`, which takes a blank if the first repeats it."""
        return self.steps + (last is not None and last == self.first and not self.other)


def joined(one: Pass, then: Pass) -> Pass:
    """One way, then another: equal characters where they meet take a blank between them."""
    if one.first is None:
        return then
    if then.first is None:
        return one._replace(mode=then.mode)
    return Pass(one.first, then.last, then.mode, one.steps + then.steps + (one.last == then.first))


def least(needs: Iterable[Need]) -> Need:
    """The least of several needs, together."""
    needs = list(needs)
    steps = min(need.steps for need in needs)
    fewest = [need for need in needs if need.steps == steps]
    first = fewest[0].first
    return Need(steps, first, any(need.other or need.first != first for need in fewest))


def needed(ways: Iterable[Pass]) -> tuple[Pass, ...]:
    """The ways of which some is the shortest for every pair of characters before and after the node.

    A way costs its steps, one more if it begins as the text before ends, and one more if it ends as the text after
    begins. So a way is not needed if another never costs more; or if two do not where one alone would.
    """
    kept: list[Pass] = []
    for way in sorted(set(ways), key=lambda way: (way.steps, way.first or "", way.last or "")):
        others = [other for other in kept if other.mode == way.mode]
        befores = {way.first, "", *(other.first for other in others)} - {None}
        afters = {way.last, "", *(other.last for other in others)} - {None}
        if not all(
            any(_cost(other, before, after) <= _cost(way, before, after) for other in others)
            for before in befores
            for after in afters
        ):
            kept.append(way)
    return tuple(kept)


def _cost(way: Pass, before: str | None, after: str | None) -> int:
    return way.steps + (way.first == before) + (way.last == after)
