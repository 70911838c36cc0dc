"""A grammar: what can be said, what it means, and sentences drawn from it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from speechgru.errors import GrammarError
from speechgru.files import read_text, write_text
from speechgru.grammar.drawing import Drawing
from speechgru.grammar.graph import SentenceGraph
from speechgru.grammar.nodes import Node, Slot, SlotValue, node_as_record, nodes_from_records, ways
from speechgru.grammar.parsing import Parser
from speechgru.grammar.sentence import Block, Intent, Sentence
from speechgru.grammar.splits import SPLITS, split_of
from speechgru.grammar.words import words_of
from speechgru.packaged import CONFIGS, own_file, own_files
from speechgru.text import normalize_text

_FORMAT = 1

_GRAMMARS = CONFIGS / "grammars"

#: A grammar of fewer sentences than this is said whole in every split: what training never heard it would not learn.
MIN_SENTENCES_TO_SPLIT = 1000

# A draw for a split that finds none of it this often finds none: the rarest split holds 7 % of all sentences.
_MAX_DRAWS = 10_000
#: A grammar's JSON is no larger.
_MOST_BYTES = 1 << 26


@dataclass(frozen=True, eq=False)
class Grammar:
    """Sentence templates with intents and slots: what can be said and what it means.

    `load` and `from_record` make one. Two grammars with the same record are equal.

    Args:
        language: its language, such as `en`.
        nodes: the expression tree (`speechgru.grammar.nodes`).
        intents: what can be meant, in the order of the file.
        skip_words: words that may stand before and after any sentence and mean nothing.
        notes: what of the file was left out or not used, each a sentence for people; not part of the record.

    Example:
        >>> from speechgru.grammar.nodes import Series, Slot, Text
        >>> nodes = (Text("wait "), Text("two"), Slot("minutes", 1, 2), Text(" minutes"), Series((0, 2, 3)))
        >>> grammar = Grammar("en", nodes, (Intent("Wait", (Block((4,), {}, 1.0),)),))
        >>> grammar.parse("Wait two minutes!").slots
        {'minutes': 2}
        >>> grammar.draw(np.random.default_rng(0)).text
        'wait two minutes'
        >>> Grammar.from_record(grammar.as_record()) == grammar
        True
    """

    language: str
    nodes: tuple[Node, ...]
    intents: tuple[Intent, ...]
    skip_words: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def load(cls, path: str | Path) -> Grammar:
        """Reads a grammar.

        Args:
            path: a YAML or JSON file in Home Assistant's syntax, a folder of such files, which are read as one, or what
                `save` wrote; or the name of a grammar that comes with the package, such as `household`. All but what
                `save` wrote need the library hassil (the extra `train`).

        Raises:
            GrammarError: there is no such file, or it is not a grammar; names the file, the line where it has one, and
                what to do.
        """
        path = own_file(str(path), _GRAMMARS) or Path(path)
        if path.suffix == ".json":
            record = _read_json(path)
            if isinstance(record, dict) and "nodes" in record:
                try:
                    return cls.from_record(record)
                except GrammarError as error:
                    raise GrammarError(f"{path}: {error}") from error
        from speechgru.grammar.file import read_file

        return cls(**vars(read_file(path)))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Grammar:
        """What `as_record` gave.

        Raises:
            GrammarError: it is damaged, or of a later version of this package.
        """
        if record.get("format") != _FORMAT:
            raise GrammarError(
                f"the grammar has format {record.get('format')!r}, and this version of speechgru reads {_FORMAT}; "
                "install the version that wrote it, or write it once more from its YAML file"
            )
        try:
            nodes = nodes_from_records(record["nodes"])
            intents = tuple(_intent_from_record(name, intent) for name, intent in record["intents"].items())
            grammar = cls(str(record["language"]), nodes, intents, tuple(map(str, record["skip_words"])))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, GrammarError):
                raise
            raise GrammarError(f"the grammar is damaged ({error!r}); write it once more from its YAML file") from error
        if not intents or any(type(root) is not int or not 0 <= root < len(nodes) for root in grammar.roots):
            raise GrammarError("the grammar is damaged (a sentence is missing); write it once more from its YAML file")
        return grammar

    def as_record(self) -> dict[str, Any]:
        """The grammar as JSON-ready fields, which `from_record` reads without any library but NumPy."""
        return {
            "format": _FORMAT,
            "language": self.language,
            "skip_words": list(self.skip_words),
            "intents": {
                intent.name: {
                    "weight": intent.weight,
                    "data": [
                        {"weight": block.weight, "slots": dict(block.slots), "sentences": list(block.sentences)}
                        for block in intent.blocks
                    ],
                }
                for intent in self.intents
            },
            "nodes": [node_as_record(node) for node in self.nodes],
        }

    def save(self, path: str | Path) -> None:
        """Writes the record as a JSON file."""
        write_text(path, self.to_json())

    def to_json(self) -> str:
        """The record as the text of a JSON file."""
        return json.dumps(self.as_record(), ensure_ascii=False, separators=(",", ":")) + "\n"

    @cached_property
    def digest(self) -> str:
        """A hash of the record: what equality compares."""
        return hashlib.sha256(json.dumps(self.as_record(), sort_keys=True).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grammar) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def roots(self) -> tuple[int, ...]:
        """The places of all sentence templates, in the order of the file."""
        return tuple(root for intent in self.intents for block in intent.blocks for root in block.sentences)

    @cached_property
    def ways(self) -> Mapping[str, int]:
        """For each intent the number of ways to say it, skip words left out: an upper bound of its texts."""
        counts = ways(self.nodes)
        return MappingProxyType(
            {
                intent.name: sum(counts[root] for block in intent.blocks for root in set(block.sentences))
                for intent in self.intents
            }
        )

    @cached_property
    def num_sentences(self) -> int:
        """How many different texts can be said, skip words left out, by the usual text rules.

        Exact unless the graph of all beginnings of sentences has more than 200,000 states; then it is the number of
        ways to say something (`ways`), an upper bound (`is_counted` is False).
        """
        return sum(self.ways.values()) if self._exact_count is None else self._exact_count

    @property
    def is_counted(self) -> bool:
        """Whether `num_sentences` is exact."""
        return self._exact_count is not None

    @cached_property
    def _exact_count(self) -> int | None:
        return SentenceGraph(self.nodes, self.roots, (), normalize_text).count()

    @cached_property
    def slot_names(self) -> tuple[str, ...]:
        """The names of all slots, those with fixed values too, sorted."""
        spoken = {node.name for node in self.nodes if isinstance(node, Slot)}
        fixed = {name for intent in self.intents for block in intent.blocks for name in block.slots}
        return tuple(sorted(spoken | fixed))

    def summary(self) -> dict[str, Any]:
        """Its size, JSON-ready: `language`, `num_intents`, `num_sentences`, `is_counted`, the names of its `slots`."""
        return {
            "language": self.language,
            "num_intents": len(self.intents),
            "num_sentences": self.num_sentences,
            "is_counted": self.is_counted,
            "slots": list(self.slot_names),
        }

    def words(self) -> tuple[str, ...]:
        """All words that occur in a sentence, as written, sorted; skip words too."""
        return words_of(self.nodes, self.roots, self.skip_words)

    @property
    def is_split(self) -> bool:
        """Whether `draw` keeps sentences of different splits apart: not in a grammar of fewer than 1000.

        There a fifth of all commands would never be trained; voices are what such a corpus is split by.
        """
        return self.num_sentences >= MIN_SENTENCES_TO_SPLIT

    def split_of(self, text: str) -> str:
        """The one split that a sentence belongs to: `train`, `dev` or `test`, by its hash, about 80 : 7 : 13."""
        return split_of(text)

    def draw(self, rng: np.random.Generator, split: str | None = None) -> Sentence:
        """Draws a sentence.

        First an intent: each equally often, or by the key `weight` of the intents. Then one of its sentence templates:
        each equally often, or by the key `weight` of its blocks. Then, from left to right, one of the alternatives:
        each equally often, so each value of a list or range; an optional part half the time. What stands twice is drawn
        twice as often. A skip word stands before a tenth of all sentences, and after a tenth.

        Args:
            rng: the source of chance; it moves on.
            split: draw until the sentence belongs to this split; in a grammar that is not split (`is_split`) any
                sentence does.

        Raises:
            GrammarError: no sentence of that split was found.
        """
        if split is not None and split not in SPLITS:
            raise ValueError(f"split must be train, dev, test or None, got {split!r}")
        for _ in range(_MAX_DRAWS):
            sentence = self._drawing.draw(rng)
            if split is None or not self.is_split or split_of(sentence.text) == split:
                return sentence
        raise GrammarError(
            f"{_MAX_DRAWS:,} draws gave no sentence"
            + (f" of the split {split}" if split else "")
            + "; write more sentences into the grammar"
        )

    def parse(self, text: str) -> Sentence | None:
        """What a text means, or None where the grammar does not allow it.

        Case, punctuation and white space do not matter. Where a text has several readings, the first one counts: of the
        first intent, block and template of the file that allow it; in a template, of the leftmost alternatives, an
        optional part read as said where it can be; a slot that is filled twice keeps the last value, and a spoken one
        wins over a fixed one. In a template a skip word is one only where
        nothing else fits.
        """
        return self._parser.first(text)

    def parser(self, normalize: Callable[[str], str]) -> Parser:
        """What reads texts by other text rules than `normalize_text`'s usual ones."""
        return Parser(self.nodes, self.intents, self.skip_words, normalize)

    def graph(self, normalize: Callable[[str], str]) -> SentenceGraph:
        """What may be said by certain text rules, character by character, skip words too."""
        return SentenceGraph(self.nodes, self.roots, self.skip_words, normalize)

    @cached_property
    def _drawing(self) -> Drawing:
        return Drawing(self.nodes, self.intents, self.skip_words)

    @cached_property
    def _parser(self) -> Parser:
        return self.parser(normalize_text)


def own_grammars() -> dict[str, Path]:
    """The grammars that come with the package, by name.

    Example:
        >>> "household" in own_grammars()
        True
    """
    return own_files(_GRAMMARS)


def _intent_from_record(name: str, record: Mapping[str, Any]) -> Intent:
    blocks = tuple(
        Block(tuple(block["sentences"]), MappingProxyType(dict(block["slots"])), float(block["weight"]))
        for block in record["data"]
    )
    intent = Intent(name, blocks, float(record["weight"]))
    if not blocks or not all(block.sentences for block in blocks):
        raise ValueError(f"the intent {name} has no sentence")
    if not all(0 < weight < math.inf for weight in (intent.weight, *(block.weight for block in blocks))):
        raise ValueError(f"a weight of the intent {name} is no number above 0")
    return intent


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path, most=_MOST_BYTES))
    except FileNotFoundError:
        raise GrammarError(f"{path}: there is no such grammar; give a YAML file of sentence templates") from None
    except (OSError, ValueError) as error:
        raise GrammarError(f"{path}: cannot be read as JSON ({error})") from error


def describe_grammar(summary: Mapping[str, Any]) -> str:
    """`Grammar.summary` in words.

    Example:
        >>> describe_grammar({"num_intents": 1, "num_sentences": 1200, "is_counted": True, "slots": ["area"]})
        '1 intent, 1,200 sentences, 1 slot: area'
    """

    def several(number: int, what: str) -> str:
        return f"{number:,} {what}{'' if number == 1 else 's'}"

    sentences = several(summary["num_sentences"], "sentence")
    slots = several(len(summary["slots"]), "slot") + (f": {', '.join(summary['slots'])}" if summary["slots"] else "")
    bound = "" if summary["is_counted"] else "at most "
    return f"{several(summary['num_intents'], 'intent')}, {bound}{sentences}, {slots}"


def describe_slots(slots: Mapping[str, SlotValue]) -> str:
    """Slots on one line; a dash where there are none.

    Example:
        >>> describe_slots({"area": "kitchen", "brightness": 20})
        'area=kitchen, brightness=20'
    """
    return ", ".join(f"{name}={value}" for name, value in slots.items()) or "-"
