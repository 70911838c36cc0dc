"""The graph of a grammar: which characters may follow a beginning of a sentence, and how many its shortest end takes.

The expression tree becomes a second one of four kinds of nodes, whose alternatives begin differently wherever that is
possible: `turn on` and `turn off` share `turn o`. What is used in many places (a list, a rule) stays one node, so the
graph is as large as the grammar's text. A place in a sentence is a node and what follows it, which may be a long chain
of such: places are made when a text first reaches them, as in a recursive transition network. A state is the set of
places where a text may be. White space and apostrophes are decided by what stands on both sides, so a place has a mode
too.

Sources: Antimirov 1996, "Partial Derivatives of Regular Expressions and Finite Automaton Constructions", for places as
what may follow; Woods 1970, "Transition Network Grammars for Natural Language Analysis", for nodes used in many places.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from speechgru.grammar.needs import Need, Pass, joined, least, needed
from speechgru.grammar.nodes import Choice, Node, Permutation, Series, Slot, Text
from speechgru.grammar.parsing import APOSTROPHE, FRESH, GAP, WORD, drops_outer_apostrophes, piece

_MODES = 4

#: Ways on from a place that are looked at, at most, where all of a graph is gone through: some seconds. A thousand
#: optional words in a row have more than a million, and hundreds of the same word many more.
MAX_LOOKS = 2_000_000

# Answers about more states than this are forgotten at once, so that a stream of months does not fill the memory.
_MAX_KNOWN = 50_000


class _Letter(NamedTuple):
    """One character, then `after`. A space is a gap between words."""

    character: str
    after: int


class _Either(NamedTuple):
    """One of several nodes."""

    items: tuple[int, ...]


class _Both(NamedTuple):
    """One node, then another."""

    first: int
    second: int


class _End(NamedTuple):
    """Nothing."""


_GraphNode = _Letter | _Either | _Both | _End
_EMPTY = 0  # the place of the one `_End`

#: The places where a text may be, each a chain's number times the modes plus its mode.
Places = tuple[int, ...]


class SentenceGraph:
    """What may be said, character by character, by certain text rules.

    Args:
        nodes: the expression tree of a grammar.
        roots: its sentence templates.
        skip_words: what may stand before and after a sentence.
        normalize: the text rules that texts go through.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        roots: Iterable[int],
        skip_words: Sequence[str],
        normalize: Callable[[str], str],
    ):
        self._nodes: list[_GraphNode] = [_End()]
        self._number: dict[_GraphNode, int] = {self._nodes[0]: _EMPTY}
        self._apostrophe = "'" if drops_outer_apostrophes(normalize) else ""
        top = self._either(self._templates(nodes, roots, normalize))
        words = [self._letters(f"{normalize(word)} ", _EMPTY) for word in skip_words if normalize(word)]
        afters = [self._letters(f" {normalize(word)}", _EMPTY) for word in skip_words if normalize(word)]
        if words:
            top = self._both(self._either([*words, _EMPTY]), self._both(top, self._either([*afters, _EMPTY])))
        # A chain is a node and the chain that follows it; number 0 is the end.
        self._chains: list[tuple[int, int]] = [(_EMPTY, 0)]
        self._chain_numbers: dict[tuple[int, int], int] = {}
        self._passes: dict[tuple[int, int], tuple[Pass, ...]] = {}
        self._needs: dict[int, Need] = {}
        self._arcs: dict[int, tuple[tuple[tuple[str, int], ...], bool]] = {}
        self._moves: dict[Places, dict[str, Places]] = {}
        self._lock = threading.RLock()
        #: Ways on from a place that were looked at so far, and places on the way to them.
        self.num_looks = 0
        for number, graph_node in enumerate(self._nodes):  # from their ends on, so that no recursion gets deep
            if isinstance(graph_node, _Letter):
                self._passes_of(number, WORD)
        self._top = top
        self.start: Places = (self._chain(top, 0) * _MODES + FRESH,)

    def as_record(self) -> dict[str, Any]:
        """The graph as JSON-ready fields, for ports that walk it as this class does.

        `nodes` in which a node names earlier ones by their places: 0 for nothing, `[character, after]`, `[[item, ...]]`
        for one of several, `[first, second, 0]` for one node and then another. `top`, the place of the whole. And
        `apostrophe`: `'` where one stays only between letters, else empty.
        """

        def record(node: _GraphNode) -> Any:
            if isinstance(node, _End):
                return 0
            if isinstance(node, _Either):
                return [list(node.items)]
            return list(node) if isinstance(node, _Letter) else [*node, 0]

        return {"nodes": [record(node) for node in self._nodes], "top": self._top, "apostrophe": self._apostrophe}

    @property
    def num_nodes(self) -> int:
        """The size of the graph."""
        return len(self._nodes)

    def moves(self, places: Places) -> dict[str, Places]:
        """The characters that may come next, each with the places that it leads to."""
        found = self._moves.get(places)
        if found is None:
            with self._lock:
                if len(self._moves) >= _MAX_KNOWN:
                    self._moves.clear()
                    self._arcs.clear()
                reached: dict[str, set[int]] = {}
                for place in places:
                    arcs = self._arcs_of(place)[0]
                    self.num_looks += len(arcs)
                    for character, after in arcs:
                        reached.setdefault(character, set()).add(after)
                found = self._moves[places] = {
                    character: tuple(sorted(afters)) for character, afters in sorted(reached.items())
                }
        return found

    def ends(self, places: Places) -> bool:
        """Whether a sentence may end here."""
        with self._lock:
            return any(self._arcs_of(place)[1] for place in places)

    def need(self, places: Places) -> Need:
        """The fewest steps to an end."""
        with self._lock:
            return least([self._need_of(place) for place in places])

    def count(self, *, max_states: int = 200_000, max_looks: int = MAX_LOOKS) -> int | None:
        """How many different texts can be said.

        Args:
            max_states: how many sets of places may be counted from.
            max_looks: how many ways on from a place may be looked at.

        Returns:
            The number; None where counting takes more states or looks.
        """
        counts: dict[Places, int] = {}
        most = self.num_looks + max_looks
        waiting = [self.start]
        while waiting:
            places = waiting[-1]
            if places in counts:
                waiting.pop()
                continue
            following = self.moves(places).values()
            if self.num_looks > most:
                return None
            missing = [each for each in following if each not in counts]
            if missing:
                waiting += missing
                continue
            counts[places] = self.ends(places) + sum(counts[each] for each in following)
            if len(counts) > max_states:
                return None
        return counts[self.start]

    # --- the second tree, alternatives joined where they begin alike ---

    def _node(self, node: _GraphNode) -> int:
        number = self._number.setdefault(node, len(self._nodes))
        if number == len(self._nodes):
            self._nodes.append(node)
        return number

    def _letters(self, characters: Sequence[str], after: int) -> int:
        for character in reversed(characters):
            after = self._node(_Letter(character, after))
        return after

    def _either(self, items: Iterable[int]) -> int:
        waiting = list(dict.fromkeys(items))[::-1]
        if len(waiting) == 1:
            return waiting[0]
        letters: dict[str, list[int]] = {}
        pairs: dict[int, list[int]] = {}
        others: dict[int, None] = {}
        while waiting:
            item = waiting.pop()
            node = self._nodes[item]
            if isinstance(node, _Either):
                waiting += node.items[::-1]
            elif isinstance(node, _Letter):
                letters.setdefault(node.character, []).append(node.after)
            elif isinstance(node, _Both):
                pairs.setdefault(node.first, []).append(node.second)
            else:
                others[item] = None
        joined = [self._behind_common_letters(character, afters) for character, afters in letters.items()]
        joined += [self._both(first, self._either(seconds)) for first, seconds in pairs.items()]
        joined += others
        joined = list(dict.fromkeys(joined))
        return joined[0] if len(joined) == 1 else self._node(_Either(tuple(sorted(joined))))

    def _behind_common_letters(self, character: str, afters: list[int]) -> int:
        """A letter that several nodes follow, and whatever letters all of those begin with."""
        common = [character]
        while len(set(afters)) > 1:
            nodes = [self._nodes[after] for after in afters]
            following = [node.character for node in nodes if isinstance(node, _Letter)]
            if len(following) < len(nodes) or len(set(following)) > 1:
                break
            common.append(following[0])
            afters = [node.after for node in nodes if isinstance(node, _Letter)]
        return self._letters(common, self._either(afters))

    def _both(self, first: int, second: int) -> int:
        if first == _EMPTY or second == _EMPTY:
            return first + second  # _EMPTY is 0
        node = self._nodes[first]
        if isinstance(node, _Both):
            return self._both(node.first, self._both(node.second, second))
        # A text takes what follows it along, so that templates that begin with the same words are joined there.
        letters = []
        while isinstance(node, _Letter):
            letters.append(node.character)
            first, node = node.after, self._nodes[node.after]
        if letters:
            return self._letters(letters, self._both(first, second))
        return self._node(_Both(first, second))

    def _templates(self, nodes: Sequence[Node], roots: Iterable[int], normalize: Callable[[str], str]) -> list[int]:
        """The graph's nodes of sentence templates."""
        built: list[int] = []
        for node in nodes:
            if isinstance(node, Text):
                built.append(self._letters(piece(node.text, normalize), _EMPTY))
            elif isinstance(node, Slot):
                built.append(built[node.item])
            else:
                built.append(self._joined(node, [built[item] for item in node.items]))
        return [built[root] for root in roots]

    def _joined(self, node: Choice | Series | Permutation, items: list[int]) -> int:
        """A node of what its items have become."""
        if isinstance(node, Choice):
            return self._either([*items, *([_EMPTY] if node.optional else [])])
        if isinstance(node, Permutation):
            return self._orders(tuple(items), {})
        after = _EMPTY
        for item in reversed(items):
            after = self._both(item, after)
        return after

    def _orders(self, items: tuple[int, ...], known: dict[tuple[int, ...], int]) -> int:
        if not items:
            return _EMPTY
        if items not in known:
            known[items] = self._either(
                self._both(item, self._orders(items[:number] + items[number + 1 :], known))
                for number, item in enumerate(items)
            )
        return known[items]

    # --- places, made when they are reached ---

    def _chain(self, node: int, after: int) -> int:
        if node == _EMPTY:
            return after
        number = self._chain_numbers.setdefault((node, after), len(self._chains))
        if number == len(self._chains):
            self._chains.append((node, after))
        return number

    def _arcs_of(self, place: int) -> tuple[tuple[tuple[str, int], ...], bool]:
        """The characters that lead on from a place, each with the place after it; and whether a sentence ends there."""
        known = self._arcs.get(place)
        if known is not None:
            return known
        arcs: dict[tuple[str, int], None] = {}
        ends = False
        seen = {place}
        waiting = [place]
        while waiting:
            chain, mode = divmod(waiting.pop(), _MODES)
            if chain == 0:
                ends = True
                continue
            number, after = self._chains[chain]
            node = self._nodes[number]
            if isinstance(node, _Letter):
                character = node.character
                if character in (" ", self._apostrophe):
                    following = [self._chain(node.after, after) * _MODES + self._mode_after(character, mode)]
                else:
                    if mode in (FRESH, WORD):
                        arcs[character, self._chain(node.after, after) * _MODES + WORD] = None
                    elif mode == APOSTROPHE and character[0].isalnum():
                        arcs["'", chain * _MODES + WORD] = None
                    else:
                        arcs[" ", chain * _MODES + FRESH] = None
                    continue
            elif isinstance(node, _Either):
                following = [self._chain(item, after) * _MODES + mode for item in node.items]
            else:
                assert isinstance(node, _Both)
                following = [self._chain(node.first, self._chain(node.second, after)) * _MODES + mode]
            for each in following:
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
        self.num_looks += len(seen)
        self._arcs[place] = found = (tuple(arcs), ends)
        return found

    def _mode_after(self, character: str, mode: int) -> int:
        """The mode after a gap or an apostrophe of a template; two apostrophes in a row are no inner ones."""
        if character == " ":
            return FRESH if mode == FRESH else GAP
        return {WORD: APOSTROPHE, APOSTROPHE: GAP}.get(mode, mode)

    # --- the shortest ends ---

    def _need_of(self, place: int) -> Need:
        chains = [place]
        while chains:  # what follows first, without recursion
            current = chains[-1]
            if current in self._needs:
                chains.pop()
                continue
            chain, mode = divmod(current, _MODES)
            if chain == 0:
                self._needs[current] = Need(0, None, False)
                continue
            node, after = self._chains[chain]
            passes = self._passes_of(node, mode)
            missing = [after * _MODES + each.mode for each in passes if after * _MODES + each.mode not in self._needs]
            if missing:
                chains += missing
                continue
            needs = []
            for each in passes:
                rest = self._needs[after * _MODES + each.mode]
                if each.first is None:
                    needs.append(rest)
                else:
                    needs.append(Need(each.steps + rest.after(each.last), each.first, False))
            self._needs[current] = least(needs)
        return self._needs[place]

    def _passes_of(self, number: int, mode: int) -> tuple[Pass, ...]:
        """The ways through a node that may begin or end a shortest text, whatever stands before and after it."""
        key = (number, mode)
        found = self._passes.get(key)
        if found is None:
            node = self._nodes[number]
            ways: Iterable[Pass]
            if isinstance(node, _Letter):
                ways = self._through_letter(number, node, mode)
            elif isinstance(node, _Either):
                ways = [each for item in node.items for each in self._passes_of(item, mode)]
            elif isinstance(node, _Both):
                ways = [
                    joined(each, then)
                    for each in self._passes_of(node.first, mode)
                    for then in self._passes_of(node.second, each.mode)
                ]
            else:
                ways = [Pass(None, None, mode, 0)]
            found = self._passes[key] = needed(ways)
        return found

    def _through_letter(self, number: int, node: _Letter, mode: int) -> Iterable[Pass]:
        character = node.character
        if character in (" ", self._apostrophe):
            return self._passes_of(node.after, self._mode_after(character, mode))
        if mode == WORD:
            letter = Pass(character, character, WORD, 1)
            return [joined(letter, then) for then in self._passes_of(node.after, WORD)]
        rest = self._passes_of(number, WORD)
        if mode == FRESH:
            return rest
        before = "'" if mode == APOSTROPHE and character[0].isalnum() else " "
        return [joined(Pass(before, before, WORD, 1), then) for then in rest]
