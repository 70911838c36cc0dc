"""Texts that mean two things: found by walking through two readings at a time, not by listing sentences."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from speechgru.grammar.definition import Grammar
from speechgru.grammar.graph import MAX_LOOKS, Places, SentenceGraph
from speechgru.grammar.nodes import Node, Slot, Text
from speechgru.grammar.parsing import piece
from speechgru.grammar.sentence import Intent, Sentence

# Parts a character from what it means; no text holds it.
_MARK = "\0"

#: Pairs of states that are looked at, at most.
MAX_PAIRS = 20_000
#: Texts of one kind that are looked at, until one is found that means two things.
_MAX_CANDIDATES = 20


@dataclass(frozen=True)
class Ambiguity:
    """A text that means two things.

    Args:
        text: the shortest that was found.
        used: the reading that `Grammar.parse` gives.
        other: another one.
    """

    text: str
    used: Sentence
    other: Sentence


class _MarkedGraph(SentenceGraph):
    """A graph whose characters say which slots they fill, so that two readings of a text are two paths.

    Characters in no slot bear the mark of the fixed slots of their block.
    """

    def __init__(self, nodes: Sequence[Node], intent: Intent, normalize: Callable[[str], str]):
        self._intent = intent
        super().__init__(nodes, (), (), normalize)

    def _templates(self, nodes: Sequence[Node], roots: Iterable[int], normalize: Callable[[str], str]) -> list[int]:
        marks: dict[tuple, int] = {}
        known: dict[tuple[int, tuple], int] = {}

        def build(place: int, slots: tuple) -> int:
            found = known.get((place, slots))
            if found is None:
                node = nodes[place]
                if isinstance(node, Text):
                    mark = _MARK + str(marks.setdefault(slots, len(marks)))
                    spelt = piece(node.text, normalize)
                    letters = [c if c in (" ", self._apostrophe) else c + mark for c in spelt]
                    found = self._letters(letters, 0)
                elif isinstance(node, Slot):
                    found = build(node.item, (*slots, (node.name, node.value)))
                else:
                    found = self._joined(node, [build(item, slots) for item in node.items])
                known[place, slots] = found
            return found

        return [
            build(root, (tuple(sorted(block.slots.items())),))
            for block in self._intent.blocks
            for root in block.sentences
        ]


def find_ambiguities(grammar: Grammar, normalize: Callable[[str], str]) -> tuple[list[Ambiguity], bool]:
    """Texts with two intents (one for each pair of intents that share any), and with two slot readings (one an intent).

    Args:
        grammar: the grammar; its skip words are left out.
        normalize: the text rules.

    Returns:
        The ambiguities, and whether all were looked for: False where that would have taken more than `MAX_PAIRS` steps,
        or `MAX_LOOKS` at what may follow.
    """
    parser = grammar.parser(normalize)
    found: list[Ambiguity] = []
    texts, complete = _texts_of_two_intents(grammar, normalize)
    for one, other, text in texts:
        readings = list(parser.readings(text, every=True))
        used, *rest = (reading for reading in readings if reading.intent in (one, other))
        against = next(reading for reading in rest if reading.intent != used.intent)
        found.append(Ambiguity(text, used, against))
    for intent in grammar.intents:
        graph = _MarkedGraph(grammar.nodes, intent, normalize)
        candidates, searched = _texts_of_two_paths(graph)
        complete &= searched
        for text in candidates:
            readings = [each for each in parser.readings(text, every=True) if each.intent == intent.name]
            others = [each for each in readings if dict(each.slots) != dict(readings[0].slots)]
            if others:
                found.append(Ambiguity(text, readings[0], others[0]))
                break
    return found, complete


def _texts_of_two_intents(grammar: Grammar, normalize: Callable[[str], str]) -> tuple[list[tuple[str, str, str]], bool]:
    """For each pair of intents with a text in common: their names, and the shortest."""
    graphs = [
        SentenceGraph(grammar.nodes, [root for block in intent.blocks for root in block.sentences], (), normalize)
        for intent in grammar.intents
    ]
    start = tuple((number, graph.start) for number, graph in enumerate(graphs))
    found: dict[tuple[int, int], str] = {}
    seen = {start}
    waiting = deque([(start, "")])
    while waiting:
        state, text = waiting.popleft()
        ending = [number for number, places in state if graphs[number].ends(places)]
        for position, one in enumerate(ending):
            for other in ending[position + 1 :]:
                found.setdefault((one, other), text)
        following: dict[str, list[tuple[int, Places]]] = {}
        for number, places in state:
            for character, after in graphs[number].moves(places).items():
                following.setdefault(character, []).append((number, after))
        for character, after_all in following.items():
            after_state = tuple(after_all)
            if len(after_state) > 1 and after_state not in seen:  # one intent alone shares no text
                seen.add(after_state)
                waiting.append((after_state, text + character))
        if len(seen) > MAX_PAIRS or sum(graph.num_looks for graph in graphs) > MAX_LOOKS:
            break
    names = [intent.name for intent in grammar.intents]
    return [(names[one], names[other], text) for (one, other), text in found.items()], not waiting


def _texts_of_two_paths(graph: SentenceGraph) -> tuple[list[str], bool]:
    """Texts that two paths with other marks spell, the shortest first, one for each pair of states; a few of them."""
    texts: list[str] = []
    start = (graph.start, graph.start, False)
    seen = {start}
    waiting = deque([(start, "")])
    while waiting and len(seen) <= MAX_PAIRS and graph.num_looks <= MAX_LOOKS:
        (one, other, differ), text = waiting.popleft()
        if differ and graph.ends(one) and graph.ends(other):
            texts.append(text)
            if len(texts) == _MAX_CANDIDATES:
                return texts, True
        for character, pairs in _pairs(graph, one, other, differ):
            for state in pairs:
                if state not in seen:
                    seen.add(state)
                    waiting.append((state, text + character))
    return texts, not waiting


def _pairs(
    graph: SentenceGraph, one: Places, other: Places, differ: bool
) -> Iterator[tuple[str, list[tuple[Places, Places, bool]]]]:
    """The characters that both paths can take, with the pairs that they lead to. Equal paths part by their marks."""
    ways = _by_character(graph, one)
    others = ways if other == one else _by_character(graph, other)
    for character, marked in ways.items():
        pairs = []
        for mark, after in marked.items():
            for other_mark, other_after in others.get(character, {}).items():
                differs = differ or mark != other_mark
                if not differs or after <= other_after:
                    pairs.append((after, other_after, differs))
                else:
                    pairs.append((other_after, after, differs))
        yield character, pairs


def _by_character(graph: SentenceGraph, places: Places) -> dict[str, dict[str, Places]]:
    found: dict[str, dict[str, Places]] = {}
    for marked, after in graph.moves(places).items():
        character, _, mark = marked.partition(_MARK)
        found.setdefault(character, {})[mark] = after
    return found
