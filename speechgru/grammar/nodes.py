"""The expression tree of a grammar: five kinds of nodes in one table.

A node names its children by their places in the table, and a child stands before whoever names it. So what is said
twice (a list of rooms, a rule such as `<the>`) is stored once, the tree is as large as the file that it was written in
however many sentences it allows, and whatever is computed from it is one pass over the table.

White space in a text is a gap between words: any number of gaps in a row is one space, and no space at an end of a
sentence. Texts without white space between them are one word: `light` and an optional `s`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Union

from speechgru.errors import GrammarError

#: What a slot may hold.
SlotValue = Union[str, int, float]  # noqa: UP007 - evaluated at run time, on Python 3.10 too


@dataclass(frozen=True)
class Text:
    """These characters, as they were written."""

    text: str


@dataclass(frozen=True)
class Series:
    """One after the other, with nothing between them."""

    items: tuple[int, ...]


@dataclass(frozen=True)
class Choice:
    """One of several. None at all allows no sentence, not even an empty one.

    Args:
        items: the alternatives; one that stands twice is drawn twice as often.
        optional: nothing is allowed too.
    """

    items: tuple[int, ...]
    optional: bool = False


@dataclass(frozen=True)
class Permutation:
    """All of several, in any order."""

    items: tuple[int, ...]


@dataclass(frozen=True)
class Slot:
    """What is said here is the value of a slot.

    Args:
        name: the slot.
        item: what is said.
        value: what the slot then holds; None for the words themselves.
    """

    name: str
    item: int
    value: SlotValue | None = None


Node = Union[Text, Series, Choice, Permutation, Slot]  # noqa: UP007


def children_of(node: Node) -> tuple[int, ...]:
    """The places of a node's children, in the order in which they are written."""
    if isinstance(node, Slot):
        return (node.item,)
    return () if isinstance(node, Text) else node.items


#: Characters of a sentence, and levels of parts in parts: rules that double each other would fill any memory.
MOST_CHARACTERS, MOST_LEVELS = 10_000, 100


class TooLargeError(GrammarError):
    """A part of a grammar allows sentences that nobody can say; its words complete the name of the part."""


@dataclass
class Extents:
    """How long what a table's nodes say can be, and how deep they are, node by node in the table's order."""

    characters: list[int] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)

    def add(self, node: Node) -> None:
        """Measures the next node.

        Raises:
            TooLargeError: it is too long or too deep; it was not added.
        """
        children = children_of(node)
        if isinstance(node, Text):
            characters = len(node.text)
        elif isinstance(node, Choice):
            characters = max((self.characters[item] for item in children), default=0)
        else:
            characters = sum(self.characters[item] for item in children)
        levels = 1 + max((self.levels[item] for item in children), default=0)
        if characters > MOST_CHARACTERS:
            raise TooLargeError(
                f"can be a sentence of {characters:.6g} characters, more than {MOST_CHARACTERS:,}; shorten it, or the "
                "rules that it names"
            )
        if levels > MOST_LEVELS:
            raise TooLargeError(f"is nested more than {MOST_LEVELS} levels deep; write out some of its rules")
        self.characters.append(characters)
        self.levels.append(levels)


class NodeTable:
    """Builds a table of nodes in which equal ones share one place.

    It simplifies on the way: a series in a series is one, what can never be said is left out where something else can
    be, and takes with it whatever needs it.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._places: dict[Node, int] = {}
        self._extents = Extents()
        self.nothing = self._add(Choice(()))  # allows no sentence
        self.empty = self._add(Text(""))

    def _add(self, node: Node) -> int:
        place = self._places.get(node)
        if place is None:
            self._extents.add(node)
            place = self._places[node] = len(self.nodes)
            self.nodes.append(node)
        return place

    def text(self, text: str) -> int:
        """A literal text."""
        return self._add(Text(text))

    def series(self, items: Iterable[int]) -> int:
        """One after the other."""
        flat: list[int] = []
        for item in items:
            node = self.nodes[item]
            flat += node.items if isinstance(node, Series) else [item] * (item != self.empty)
        if self.nothing in flat:
            return self.nothing
        if len(flat) == 1:
            return flat[0]
        return self._add(Series(tuple(flat))) if flat else self.empty

    def choice(self, items: Iterable[int], *, optional: bool = False) -> int:
        """One of several, or nothing where that is allowed."""
        kept = tuple(item for item in items if item != self.nothing)
        if not optional:
            return kept[0] if len(kept) == 1 else self._add(Choice(kept))
        return self._add(Choice(kept, optional=True)) if kept else self.empty

    def permutation(self, items: Iterable[int]) -> int:
        """All of several, in any order."""
        kept = tuple(items)
        return self.nothing if self.nothing in kept else self._add(Permutation(kept))

    def slot(self, name: str, item: int, value: SlotValue | None = None) -> int:
        """What fills a slot."""
        return self.nothing if item == self.nothing else self._add(Slot(name, item, value))


def nodes_in_use(nodes: list[Node], roots: Iterable[int]) -> tuple[tuple[Node, ...], dict[int, int]]:
    """The nodes that `roots` need, in a table of their own, and for each old place the new one."""
    needed: set[int] = set()
    waiting = list(roots)
    while waiting:
        place = waiting.pop()
        if place not in needed:
            needed.add(place)
            waiting += children_of(nodes[place])
    moved = {old: new for new, old in enumerate(sorted(needed))}
    return tuple(_moved(nodes[old], moved) for old in moved), moved


def _moved(node: Node, moved: dict[int, int]) -> Node:
    if isinstance(node, Text):
        return node
    if isinstance(node, Slot):
        return Slot(node.name, moved[node.item], node.value)
    items = tuple(moved[item] for item in node.items)
    return Choice(items, node.optional) if isinstance(node, Choice) else type(node)(items)


def node_as_record(node: Node) -> Any:
    """A node as JSON: a text is a string, any other a list of its kind and its parts."""
    if isinstance(node, Text):
        return node.text
    if isinstance(node, Slot):
        return ["slot", node.name, node.item] + ([] if node.value is None else [node.value])
    kind = {Series: "series", Permutation: "permutation"}.get(type(node))
    if isinstance(node, Choice):
        kind = "optional" if node.optional else "choice"
    return [kind, *node.items]


def nodes_from_records(records: Iterable[Any]) -> tuple[Node, ...]:
    """The nodes of which `node_as_record` gave the records.

    Raises:
        GrammarError: one is no node of this version, or allows sentences that nobody can say.
    """
    nodes: list[Node] = []
    extents = Extents()
    for place, record in enumerate(records):
        nodes.append(node_from_record(record, place))
        try:
            extents.add(nodes[-1])
        except TooLargeError as error:
            raise GrammarError(f"node {place} of the grammar {error}") from None
    return tuple(nodes)


def node_from_record(record: Any, place: int) -> Node:
    """What `node_as_record` gave.

    Args:
        record: the JSON.
        place: the node's place in its table; its children must stand before it.

    Raises:
        GrammarError: it is no node of this version.
    """
    node: Node | None = None
    if isinstance(record, str):
        node = Text(record)
    elif isinstance(record, list) and record:
        kind, *rest = record
        whole = all(isinstance(item, int) and not isinstance(item, bool) for item in rest)
        if kind == "slot" and len(rest) in (2, 3) and isinstance(rest[0], str) and isinstance(rest[1], int):
            node = Slot(*rest)
        elif kind in ("choice", "optional") and whole and rest:
            node = Choice(tuple(rest), kind == "optional")
        elif kind == "series" and whole:
            node = Series(tuple(rest))
        elif kind == "permutation" and whole and len(rest) <= MAX_PERMUTED:
            node = Permutation(tuple(rest))
    if node is None or any(not 0 <= child < place for child in children_of(node)):
        raise GrammarError(
            f"node {place} of the grammar is damaged: {record!r:.200}; export the grammar's file once more"
        )
    return node


def can_be_nothing(nodes: Iterable[Node]) -> list[bool]:
    """For each node whether it can be said without a word."""
    found: list[bool] = []
    for node in nodes:
        if isinstance(node, Text):
            found.append(not any(character.isalnum() for character in node.text))
        elif isinstance(node, Slot):
            found.append(found[node.item])
        elif isinstance(node, Choice):
            found.append(node.optional or any(found[item] for item in node.items))
        else:
            found.append(all(found[item] for item in node.items))
    return found


#: More parts in any order than this are refused: 8 of them have 40,320 orders, and graphs of 256 places each.
MAX_PERMUTED = 8


def ways(nodes: Iterable[Node]) -> list[int]:
    """For each node in how many ways it can be said, alternatives that stand twice counted once.

    Two ways may give the same words, so this is a bound from above on the number of texts.
    """
    counts: list[int] = []
    for node in nodes:
        if isinstance(node, Text):
            counts.append(1)
        elif isinstance(node, Slot):
            counts.append(counts[node.item])
        elif isinstance(node, Choice):
            counts.append(sum(counts[item] for item in set(node.items)) + node.optional)
        else:
            count = 1
            for number, item in enumerate(node.items, start=1):
                count *= counts[item] * (number if isinstance(node, Permutation) else 1)
            counts.append(count)
    return counts
