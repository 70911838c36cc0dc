"""A grammar as a constraint: the search may only write its sentences, and what it writes has a meaning."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from speechgru.decoding.hypothesis import Hypothesis
from speechgru.decoding.scorers import PrefixScorer, Scorer, Spelling
from speechgru.decoding.subwords import SubwordScorer
from speechgru.errors import TextError, UserError
from speechgru.grammar import Grammar
from speechgru.grammar.graph import Places, SentenceGraph
from speechgru.grammar.nodes import Text
from speechgru.grammar.parsing import Parser, piece
from speechgru.text import BLANK_ID, Vocabulary, describe_characters, normalize_text

# A state: the label before (None at the start) and the places of the graph.
_State = tuple[int | None, Places]


@dataclass(frozen=True)
class GrammarConstraint(Scorer):
    """The sentences of a grammar, or nothing.

    Args:
        grammar: whose sentences are allowed; None stands for the grammar that the recogniser carries.
        silence: whether nothing may be the answer too, as where nobody spoke. False where every recording is known to
            hold a sentence: digital silence then becomes one.
        normalize: the text rules that the recogniser's transcripts went through; `prepared` sets it.

    Example:
        >>> GrammarConstraint(None).description
        "the recogniser's own grammar"
    """

    grammar: Grammar | None
    silence: bool = True
    normalize: Callable[[str], str] = normalize_text

    @property
    def description(self) -> str:
        if self.grammar is None:
            return "the recogniser's own grammar"
        number = f"{self.grammar.num_sentences:,}" if self.grammar.is_counted else f"{self.grammar.num_sentences:.0e}"
        what = f"a grammar of {number} sentence" + ("" if number == "1" else "s")
        return what if self.silence else f"{what}, never silence"

    def as_record(self) -> dict[str, Any]:
        digest = None if self.grammar is None else self.grammar.digest
        return {"grammar": digest, "silence": self.silence}

    def prepared(self, spelling: Spelling) -> GrammarConstraint:
        if self.grammar is None:
            raise UserError(
                "this recogniser carries no grammar; give one (--grammar-file FILE), or train it with data.grammar"
            )
        prepared = dataclasses.replace(self, normalize=spelling.normalize)
        _check_spelling(self.grammar, spelling)
        return prepared

    def compile(self, vocabulary: Vocabulary, *, blank_id: int = BLANK_ID) -> PrefixScorer:
        return _compile(self, vocabulary, blank_id)

    def holds(self, text: str) -> bool:
        """Whether a text, by the text rules, is one of the sentences."""
        assert self.grammar is not None
        return _parser(self.grammar, self.normalize).first(self.normalize(text)) is not None

    def understood(self, hypothesis: Hypothesis) -> Hypothesis:
        """A hypothesis with the intent and the slots of its text; as it is where the text has no meaning."""
        assert self.grammar is not None
        sentence = _parser(self.grammar, self.normalize).first(hypothesis.text)
        if sentence is None:
            return hypothesis
        return dataclasses.replace(hypothesis, intent=sentence.intent, slots=dict(sentence.slots))


class GrammarScorer(PrefixScorer):
    """Forbids every prefix that begins no sentence, and every end that is not the end of one.

    Args:
        graph: the sentences, character by character.
        entries: what each column writes, None for the blank.
        are_words: whether an entry is a whole word; a space then stands before each but the first.
        silence: whether the empty text is allowed.
    """

    max_change = 0.0
    is_constraint = True

    def __init__(self, graph: SentenceGraph, *, entries: list[str | None], are_words: bool, silence: bool):
        self._graph = graph
        self._entries = entries
        self._are_words = are_words
        self._silence = silence
        # Of a vocabulary of words: what may follow (the places by label), and the fewest steps to an end.
        self._following: dict[Places, dict[int, Places]] = {}
        self._word_needs: dict[Places, tuple[int, frozenset[int]]] = {}

    def start(self) -> _State:
        return None, self._graph.start

    def extend(self, state: _State, label: int) -> tuple[_State | None, float]:
        _, places = state
        if self._are_words:
            after = self._words_after(places).get(label)
        else:
            after = self._graph.moves(places).get(self._entries[label] or "")
        return (None, -math.inf) if after is None else ((label, after), 0.0)

    def finish(self, state: _State) -> float:
        label, places = state
        if label is None:
            return 0.0 if self._silence else -math.inf
        return 0.0 if self._graph.ends(places) else -math.inf

    def steps_needed(self, state: _State) -> tuple[int, int]:
        label, places = state
        if label is None and self._silence:
            return 0, 0
        if self._are_words:
            steps, firsts = self._need_of_words(places, is_start=label is None)
            return steps, steps + (firsts == {label})
        need = self._graph.need(places)
        return need.steps, need.after(None if label is None else self._entries[label])

    def _words_after(self, places: Places) -> dict[int, Places]:
        """The labels of words that may come next, each with the places after it, at which the word is over."""
        found = self._following.get(places)
        if found is None:
            before = places if places == self._graph.start else self._graph.moves(places).get(" ", ())
            found = {}
            if before:
                for label, word in enumerate(self._entries):
                    after = self._spelt(before, word) if word is not None else ()
                    if after and (self._graph.ends(after) or " " in self._graph.moves(after)):
                        found[label] = after
            self._following[places] = found
        return found

    def _spelt(self, places: Places, word: str) -> Places:
        for character in word:
            places = self._graph.moves(places).get(character, ())
            if not places:
                break
        return places

    def _need_of_words(self, places: Places, *, is_start: bool = False) -> tuple[int, frozenset[int]]:
        """The fewest steps to an end, and the labels that such ends begin with; none where it is none.

        The graph has no circle, and a vocabulary of words belongs to a small one, so every place is asked once.
        """
        if not is_start and self._graph.ends(places):
            return 0, frozenset()
        found = self._word_needs.get(places)
        if found is None:
            firsts: dict[int, int] = {}
            for label, after in self._words_after(places).items():
                steps, following = self._need_of_words(after)
                firsts[label] = 1 + steps + (following == {label})
            steps = min(firsts.values(), default=10**9)  # what ends with no word of the vocabulary never ends
            found = steps, frozenset(label for label, each in firsts.items() if each == steps)
            self._word_needs[places] = found
        return found


@lru_cache(maxsize=8)
def _parser(grammar: Grammar, normalize: Callable[[str], str]) -> Parser:
    return grammar.parser(normalize)


@lru_cache(maxsize=8)
def _graph(grammar: Grammar, normalize: Callable[[str], str]) -> SentenceGraph:
    return grammar.graph(normalize)


@lru_cache(maxsize=8)
def _compile(constraint: GrammarConstraint, vocabulary: Vocabulary, blank_id: int) -> PrefixScorer:
    """The constraint for one vocabulary; kept, because the same grammar serves many utterances."""
    if constraint.grammar is None:
        raise UserError("the grammar of the recogniser itself was asked for, and none was given; prepare the options")
    _check_spelling(constraint.grammar, Spelling(constraint.normalize, vocabulary))
    if vocabulary.unit == "subword":
        return SubwordScorer(lambda characters: _scorer(constraint, characters), vocabulary, blank_id=blank_id)
    return _scorer(constraint, vocabulary, blank_id=blank_id)


def _scorer(constraint: GrammarConstraint, vocabulary: Vocabulary, *, blank_id: int = BLANK_ID) -> GrammarScorer:
    assert constraint.grammar is not None
    entries: list[str | None] = [*vocabulary.entries]
    entries.insert(blank_id, None)
    return GrammarScorer(
        _graph(constraint.grammar, constraint.normalize),
        entries=entries,
        are_words=vocabulary.unit == "word",
        silence=constraint.silence,
    )


def _check_spelling(grammar: Grammar, spelling: Spelling) -> None:
    """Makes sure that a recogniser can write every sentence of a grammar.

    Raises:
        TextError: it lacks a character or word; names it, and a text of the grammar that needs it.
    """
    vocabulary = spelling.vocabulary
    if vocabulary.unit == "word":
        texts = [spelling.normalize(word) for word in grammar.words()]
    else:
        texts = [piece(node.text, spelling.normalize) for node in grammar.nodes if isinstance(node, Text)]
        texts += map(spelling.normalize, grammar.skip_words)
    for text in texts:
        unknown = vocabulary.unknown(text)
        if unknown:
            raise TextError(
                f"the grammar's text {text.strip()!r}: {describe_characters(unknown)} not among the "
                f"{vocabulary.spelt_with}s that this recogniser writes; train one on sentences of this grammar, or "
                "write the grammar without it"
            )
