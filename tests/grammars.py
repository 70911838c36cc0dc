"""Small grammars at random, and all their sentences with their readings by brute force, for tests to compare with."""

import itertools

import numpy as np

from speechgru.grammar import Block, Grammar, Intent
from speechgru.grammar.nodes import Choice, NodeTable, Permutation, Series, Slot, Text, nodes_in_use
from speechgru.text import normalize_text

_PIECES = ("a", "b", "aa", " ", "a ", " b", "b a", " a b ", "'", "a'", "'b", "", "c  a")


def random_grammar(rng: np.random.Generator, *, apostrophes: bool = True) -> Grammar:
    """A grammar of a few sentences over the letters a, b, c; parts are shared and cut in the middle of words."""
    table = NodeTable()
    pieces = [piece for piece in _PIECES if apostrophes or "'" not in piece]
    places = [table.text(pieces[rng.integers(len(pieces))]) for _ in range(4)]

    def some(most: int) -> list[int]:
        return [places[rng.integers(len(places))] for _ in range(rng.integers(1, most + 1))]

    for _ in range(rng.integers(1, 7)):
        kind = rng.integers(5)
        if kind == 0:
            place = table.series(some(3))
        elif kind == 1:
            place = table.choice(some(3), optional=bool(rng.integers(2)))
        elif kind == 2:
            gap = table.text(" ")
            place = table.permutation([table.series([gap, item, gap]) for item in some(3)])
        elif kind == 3:
            value = [None, "x", int(rng.integers(3)), 0.5][rng.integers(4)]
            place = table.slot("st"[rng.integers(2)], places[-1], value)
        else:
            place = table.text(pieces[rng.integers(len(pieces))])
        places.append(place)
    # What is neither empty nor too large.
    roots = [place for place in places[4:] if 0 < len(texts_of(table.nodes, place)) <= 60]
    roots = [root for root in roots if all(normalize_text(text) for text, _ in texts_of(table.nodes, root))][-3:]
    roots = roots or [table.text("c")]
    nodes, moved = nodes_in_use(table.nodes, roots)
    blocks = [Block((moved[root],), {"fixed": number}, 1.0) for number, root in enumerate(roots)]
    intents = [Intent(f"I{number}", (block,)) for number, block in enumerate(blocks)]
    return Grammar("en", nodes, tuple(intents), ("please", "c b") if rng.random() < 0.2 else ())


def texts_of(nodes, place) -> list[tuple[str, tuple]]:
    """What a node can write, and the slots that it fills, in the order in which a reader tries alternatives."""
    node = nodes[place]
    if isinstance(node, Text):
        return [(node.text, ())]
    if isinstance(node, Slot):
        return [
            (text, (*slots, (node.name, " ".join(text.split()) if node.value is None else node.value)))
            for text, slots in texts_of(nodes, node.item)
        ]
    if isinstance(node, Choice):
        found = [each for item in dict.fromkeys(node.items) for each in texts_of(nodes, item)]
        return [*found, ("", ())] if node.optional else found
    parts = [texts_of(nodes, item) for item in node.items]
    orders = itertools.permutations(parts) if isinstance(node, Permutation) else [parts]
    assert isinstance(node, (Series, Permutation))
    return [
        ("".join(text for text, _ in each), tuple(slot for _, slots in each for slot in slots))
        for order in orders
        for each in itertools.product(*order)
    ]


def readings_of(grammar: Grammar, normalize) -> dict[str, list[tuple[str, dict]]]:
    """All normalised texts of a grammar without skip words, each with the intent and slots of all its readings."""
    found: dict[str, list[tuple[str, dict]]] = {}
    for intent in grammar.intents:
        for block in intent.blocks:
            for root in block.sentences:
                for text, slots in texts_of(grammar.nodes, root):
                    if normalize(text):
                        found.setdefault(normalize(text), []).append((intent.name, {**block.slots, **dict(slots)}))
    return found
