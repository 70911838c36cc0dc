"""Home Assistant's grammar files, parsed by the library hassil and turned at once into our own tree."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from speechgru.errors import GrammarError
from speechgru.grammar.brackets import fault_of_brackets
from speechgru.grammar.located import read_grammar_files, where_of
from speechgru.grammar.nodes import (
    MAX_PERMUTED,
    Node,
    NodeTable,
    SlotValue,
    TooLargeError,
    can_be_nothing,
    nodes_in_use,
)
from speechgru.grammar.numbers import MAX_RANGE, NoWordsError, NumberWords, range_numbers
from speechgru.grammar.sentence import Block, Intent
from speechgru.text import quoted, shown
from speechgru.visible import counted

#: Lists that Home Assistant fills with its user's things when it runs.
RUN_TIME_LISTS = ("area", "floor", "name")

_TOP_KEYS = ("expansion_rules", "intents", "language", "lists", "responses", "settings", "skip_words")
_BLOCK_KEYS = (
    "excludes_context", "expansion_rules", "inferred_domain", "lists", "metadata", "name_domains",
    "required_keywords", "requires_context", "response", "sentences", "settings", "slots", "weight",
)  # fmt: skip
_INLINE_RANGE = re.compile(r"^(\d+)\.\.(\d+)(?:,(\d+))?$")
# Signs that are spoken by a word of their own: a template that needs one is a written form.
_SIGNS = frozenset("%°#&+=@/*^~_")
#: Characters of a template that a message shows.
_SHOWN = 120
#: Said of a template that is too deep for Python's stack.
_NESTED = "is nested too deeply, in brackets or in rules; write some of it out"
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True)
class GrammarParts:
    """What a file says, as the arguments of `Grammar`."""

    language: str
    nodes: tuple[Node, ...]
    intents: tuple[Intent, ...]
    skip_words: tuple[str, ...]
    notes: tuple[str, ...]


def read_file(path: Path) -> GrammarParts:
    """Reads a grammar's file or folder. `Grammar.load` documents it.

    Raises:
        GrammarError: it cannot be used, or hassil is not installed.
    """
    document = read_grammar_files(path)
    try:
        import hassil
        import hassil.numbers
        import hassil.parser
    except ImportError:
        raise GrammarError(
            f"{path}: reading a grammar's file takes the library hassil; install it with "
            "`pip install 'speechgru[train]'`, or give a grammar.json"
        ) from None
    return _Reader(hassil, str(path)).read(document)


@dataclass
class _Scope:
    """The rules and lists that a block of sentences sees, and what became of them."""

    rules: Mapping[str, Any]
    lists: Mapping[str, Any]
    known_rules: dict[str, int] = field(default_factory=dict)
    known_lists: dict[tuple[str, str], int] = field(default_factory=dict)
    open_rules: list[str] = field(default_factory=list)


class _Reader:
    """Reads one document; collects notes on what it leaves out."""

    def __init__(self, hassil: Any, name: str):
        self._hassil = hassil
        self._name = name
        self._table = NodeTable()
        self._where = name  # the place of what is being read
        self._reasons: set[str] = set()  # why parts of the template that is being read can never be said
        self._places: dict[int, str] = {}  # of a template's root, for messages
        self._left_out: dict[str, list[str]] = {}
        self._partly: dict[str, int] = {}
        self._numbers = self._number_words("en")
        self._no_words: dict[tuple[str, str], str] = {}  # lists whose numbers cannot be said, and why

    def read(self, document: Mapping[str, Any]) -> GrammarParts:
        notes = []
        unknown = [key for key in document if key not in (*_TOP_KEYS, "include")]
        for key in unknown:
            notes.append(f"{where_of(key, self._name)}: the key {key} is not used")
        language = document.get("language")
        if not isinstance(language, str) or not language:
            raise GrammarError(f"{self._name}: the key language is missing; write, for example, language: en")
        self._numbers = self._number_words(language)
        lists, rules = self._mapping(document, "lists"), self._mapping(document, "expansion_rules")
        top = _Scope(rules, lists)
        intents = []
        context = 0
        for name, body in self._mapping(document, "intents").items():
            self._where = where_of(name, self._name)
            blocks = []
            for block in self._blocks(name, body):
                for key in set(block) - set(_BLOCK_KEYS):
                    notes.append(f"{where_of(key, self._where)}: the key {key} of intent {name} is not used")
                context += "requires_context" in block or "excludes_context" in block
                read = self._block(str(name), block, top)
                if read:
                    blocks.append(read)
            if blocks:
                intents.append(Intent(str(name), tuple(blocks), self._weight(body, 1.0)))
        if not intents:
            reasons = "; ".join(self._notes_of_left_out()) or "the key intents is missing or empty"
            raise GrammarError(f"{self._name}: the grammar allows no sentence ({reasons})")
        if context:
            notes.append(
                f"{counted(context, 'block of sentences depends', 'blocks of sentences depend')} on Home Assistant's "
                "state (requires_context, excludes_context), which a recogniser does not know: they are always allowed"
            )
        skip_words = document.get("skip_words") or []
        if not isinstance(skip_words, list) or not all(isinstance(word, str) for word in skip_words):
            raise GrammarError(f"{self._name}: skip_words must be a list of words, got {skip_words!r}")
        roots = [root for intent in intents for block in intent.blocks for root in block.sentences]
        silent = can_be_nothing(self._table.nodes)
        for root in roots:
            if silent[root]:
                raise GrammarError(f"{self._places[root]} can be said without a word; make one part of it required")
        nodes, moved = nodes_in_use(self._table.nodes, roots)
        return GrammarParts(
            language=language,
            nodes=nodes,
            intents=tuple(_moved(intent, moved) for intent in intents),
            skip_words=tuple(dict.fromkeys(" ".join(word.split()) for word in skip_words if word.strip())),
            notes=(*self._notes_of_left_out(), *notes),
        )

    def _number_words(self, language: str) -> NumberWords:
        return NumberWords(language, self._hassil.numbers.get_rbnf_engine)

    def _notes_of_left_out(self) -> list[str]:
        notes = []
        for reason, templates in self._left_out.items():
            several = f"{len(templates):,} templates, such as" if len(templates) > 1 else "one template,"
            notes.append(f"left out: {several} {templates[0]}: {reason}")
        for reason, number in self._partly.items():
            notes.append(f"{counted(number, 'template')} without an alternative or optional part: {reason}")
        return notes

    def _mapping(self, holder: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        found = holder.get(key)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise GrammarError(f"{self._name}: {key} must hold names with something below each, got {found!r:.60}")
        return found

    def _blocks(self, name: str, body: Any) -> list[Mapping[str, Any]]:
        data = body.get("data") if isinstance(body, dict) else None
        if not isinstance(data, list) or not all(isinstance(block, dict) and "sentences" in block for block in data):
            raise GrammarError(
                f"{self._where}: the intent {name} must have the key data with a list of blocks, each with a list of "
                "sentences"
            )
        for key in body:
            if key not in ("data", "weight"):
                raise GrammarError(f"{where_of(key, self._where)}: an intent has the keys data and weight, not {key}")
        return data

    def _weight(self, holder: Mapping[str, Any], otherwise: float) -> float:
        weight = holder.get("weight", otherwise)
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < float("inf"):
            raise GrammarError(f"{self._where}: weight must be a number above 0, got {weight!r}")
        return float(weight)

    def _block(self, intent: str, block: Mapping[str, Any], top: _Scope) -> Block | None:
        scope = top
        rules, lists = self._mapping(block, "expansion_rules"), self._mapping(block, "lists")
        if rules or lists:
            scope = _Scope({**top.rules, **rules}, {**top.lists, **lists})
        templates = block["sentences"]
        if not isinstance(templates, list) or not templates:
            raise GrammarError(f"{self._where}: the sentences of intent {intent} must be a list of templates")
        sentences = []
        for template in templates:
            if not isinstance(template, str):
                raise GrammarError(
                    f"{self._where}: a sentence of intent {intent} must be text, got {shown(template)}; put it in "
                    "quotes"
                )
            self._where = where_of(template, f"{self._name}: intent {intent}")
            self._reasons = set()
            root = self._template(template, scope)
            if root == self._table.nothing:
                for reason in sorted(self._reasons):
                    self._left_out.setdefault(reason, []).append(f"{self._where}: {quoted(template, most=_SHOWN)}")
                continue
            for reason in self._reasons:
                self._partly[reason] = self._partly.get(reason, 0) + 1
            self._places[root] = f"{self._where}: the template {quoted(str(template), most=_SHOWN)}"
            sentences.append(root)
        if not sentences:
            return None
        slots = {str(name): self._value(value) for name, value in self._mapping(block, "slots").items()}
        return Block(tuple(sentences), MappingProxyType(slots), self._weight(block, len(sentences)))

    def _value(self, value: Any) -> SlotValue:
        """A slot's value: text or a number; several are text with commas between them."""
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, list):
            return ", ".join(str(self._value(each)) for each in value)
        if not isinstance(value, (str, int, float)):
            raise GrammarError(f"{self._where}: a slot holds text or a number, got {value!r}")
        return str(value) if isinstance(value, str) else value

    def _template(self, template: str, scope: _Scope) -> int:
        hassil = self._hassil
        text = quoted(str(template), most=_SHOWN)
        try:
            parsed = hassil.parse_sentence(str(template))
        except (hassil.parser.ParseError, AssertionError, IndexError) as error:
            raise GrammarError(
                f"{self._where}: the template {text} cannot be read ({fault_of_brackets(str(template))}); "
                "every ( [ { < needs its end, and something in it"
            ) from error
        except RecursionError:
            raise GrammarError(f"{self._where}: the template {text} {_NESTED}") from None
        try:
            return self._expression(parsed.expression, scope)
        except TooLargeError as error:
            raise GrammarError(f"{self._where}: the template {text} {error}") from None
        except RecursionError:
            raise GrammarError(f"{self._where}: the template {text} {_NESTED}") from None

    def _expression(self, expression: Any, scope: _Scope) -> int:
        hassil, table = self._hassil, self._table
        if isinstance(expression, hassil.TextChunk):
            return self._literal(expression.original_text)
        if isinstance(expression, hassil.ListReference):
            return self._list(expression, scope)
        if isinstance(expression, hassil.RuleReference):
            return self._rule(expression.rule_name, scope)
        if isinstance(expression, hassil.Permutation):
            if len(expression.items) > MAX_PERMUTED:
                raise GrammarError(
                    f"{self._where}: {len(expression.items)} parts in any order are more than {MAX_PERMUTED}; write "
                    "some of them in a fixed order"
                )
            return table.permutation(self._expression(item, scope) for item in expression.items)
        if isinstance(expression, hassil.Alternative):
            items = expression.items[:-1] if expression.is_optional else expression.items
            if expression.is_optional and len(items) == 1 and isinstance(items[0], hassil.TextChunk):
                return table.choice([self._literal(items[0].original_text)], optional=True)
            return table.choice([self._expression(item, scope) for item in items], optional=expression.is_optional)
        return table.series([self._expression(item, scope) for item in expression.items])

    def _literal(self, text: str) -> int:
        sign = next((character for character in text if character in _SIGNS), None)
        if sign:
            self._reasons.add(f"{sign} is a written sign; write the word that is said")
            return self._table.nothing
        try:
            return self._table.text(_DIGITS.sub(lambda digits: self._numbers.first(int(digits[0]), self._where), text))
        except NoWordsError as error:
            self._reasons.add(str(error))
            return self._table.nothing

    def _rule(self, name: str, scope: _Scope) -> int:
        if name in scope.open_rules:
            raise GrammarError(
                f"{self._where}: the rule <{name}> contains itself ({' -> '.join([*scope.open_rules, name])}); "
                "write it out as often as it may be said"
            )
        known = scope.known_rules.get(name)
        if known is not None:
            if known == self._table.nothing:
                self._reasons.add(f"<{name}> can never be said")
            return known
        if name not in scope.rules:
            raise GrammarError(f"{self._where}: there is no rule <{name}>{_similar(name, scope.rules)}")
        body = scope.rules[name]
        if not isinstance(body, str):
            raise GrammarError(
                f"{self._where}: the rule {name} must be a template, got {shown(body)}; put it in quotes"
            )
        before, self._where = self._where, where_of(body, f"{self._name}: rule {name}")
        scope.open_rules.append(name)
        found = scope.known_rules[name] = self._template(body, scope)
        scope.open_rules.pop()
        self._where = before
        return found

    def _list(self, reference: Any, scope: _Scope) -> int:
        name, slot = reference.list_name, reference.slot_name
        known = scope.known_lists.get((name, slot))
        if known is None:
            inline = _INLINE_RANGE.match(name)
            if inline:
                start, stop, step = (int(group or 1) for group in inline.groups())
                known = self._range(name, {"from": start, "to": stop, "step": step}, slot)
            elif name in scope.lists:
                known = self._values(name, scope.lists[name], slot, scope)
            elif name in RUN_TIME_LISTS:
                known = self._table.nothing
            else:
                raise GrammarError(f"{self._where}: there is no list {{{name}}}{_similar(name, scope.lists)}")
            scope.known_lists[name, slot] = known
        if known == self._table.nothing:
            no_values = f"the list {{{name}}} has no values; write some below lists, {name}, values"
            self._reasons.add(self._no_words.get((name, slot), no_values))
        return known

    def _values(self, name: str, body: Any, slot: str, scope: _Scope) -> int:
        before = self._where
        key = next((key for key in scope.lists if key == name), name)
        self._where = where_of(key, f"{self._name}: list {name}")
        if not isinstance(body, dict):
            raise GrammarError(f"{self._where}: the list {name} needs the key values or range, got {body!r:.60}")
        if "range" in body:
            found = self._range(name, body["range"], slot)
        elif "values" in body:
            if not isinstance(body["values"], list):
                raise GrammarError(
                    f"{self._where}: the values of the list {name} must be a list, got {body['values']!r}"
                )
            items = [self._item(name, value, slot, scope) for value in body["values"]]
            found = self._table.choice(items)
        elif body.get("wildcard"):
            found = self._table.nothing
        else:
            raise GrammarError(f"{self._where}: the list {name} must have the key values or range")
        self._where = before
        return found

    def _item(self, name: str, value: Any, slot: str, scope: _Scope) -> int:
        if isinstance(value, dict):
            if "in" not in value:
                raise GrammarError(f"{self._where}: a value of the list {name} lacks the key in: {value!r}")
            spoken, meant = value["in"], value.get("out")
        else:
            spoken, meant = value, value
        if isinstance(spoken, bool) or not isinstance(spoken, (str, int, float)):
            raise GrammarError(f"{self._where}: a value of the list {name} must be text, got {spoken!r}; quote it")
        if isinstance(spoken, float):
            item = self._table.text(self._numbers.first(spoken, self._where))
        else:
            before, self._where = self._where, where_of(spoken, self._where)
            item = self._template(str(spoken), scope)
            # A template's value is what is said, a plain text's value the text.
            if meant is spoken and isinstance(spoken, str) and re.search(r"[(){}<>\[\]|]", spoken):
                meant = None
            self._where = before
        if item == self._table.empty:
            raise GrammarError(f"{self._where}: a value of the list {name} is empty; take it out")
        return self._table.slot(slot, item, None if meant is None else self._value(meant))

    def _range(self, name: str, body: Any, slot: str) -> int:
        numbers = range_numbers(name, body, self._where)
        if len(numbers) > MAX_RANGE:
            raise GrammarError(
                f"{self._where}: the list {name} has {len(numbers):,} numbers, more than {MAX_RANGE:,}; take larger "
                "steps, or let the number be said digit by digit"
            )
        table = self._table
        words = self._numbers if not body.get("words_language") else self._number_words(str(body["words_language"]))
        multiplier = body.get("multiplier")
        items = []
        for number in numbers:
            value = number if multiplier is None else number * multiplier
            try:
                ways = words.all(number, self._where)
            except NoWordsError as error:
                self._no_words.setdefault((name, slot), str(error))
                return table.nothing
            item = table.choice([table.text(text) for text in ways])
            items.append(table.slot(slot, item, int(value) if value == int(value) else value))
        return table.choice(items)


def _similar(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, [str(each) for each in names], n=1)
    return f"; is {close[0]} meant?" if close else "; write it below the others"


def _moved(intent: Intent, moved: Mapping[int, int]) -> Intent:
    blocks = tuple(
        Block(tuple(moved[root] for root in block.sentences), block.slots, block.weight) for block in intent.blocks
    )
    return Intent(intent.name, blocks, intent.weight)
