"""A language model over words as a scorer of the beam: each word counts when it is complete."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from speechgru.decoding.scorers import PrefixScorer, Scorer, Spelling
from speechgru.errors import TextError, UserError
from speechgru.language import LanguageModel, read_language_model
from speechgru.language.ngram import UNKNOWN
from speechgru.language.words import WordList
from speechgru.text import BLANK_ID, Vocabulary, quoted

#: What a word's log-probability counts beside the recogniser's, and what each word is given back, where nobody has
#: tuned them (`speechgru tune --decoding`).
USUAL_WEIGHT, USUAL_WORD_BONUS, USUAL_UNKNOWN_PENALTY = 0.5, 1.0, 10.0

#: Words of a model that are looked at to see how it writes them.
_SAMPLE = 500
#: Beginnings of words that are remembered, at most.
_REMEMBERED = 1 << 18

# What is spelt of a word: its letters, or None once it can become no known word and was counted.
_Word = str | None
_State = tuple[Hashable, _Word]


@dataclass(frozen=True)
class LanguageWeights:
    """What a language model counts beside a recogniser; None stands for what travels with it, or the usual.

    Args:
        weight: of a word's log-probability beside the recogniser's; at 0 the bonus and the penalties are left.
        word_bonus: natural logarithm that each word is given: a language model makes every longer text less probable.
        unknown_penalty: natural logarithm that is taken off for each word that the model does not know, beside what
            the model itself gives to unknown words; infinite to allow known words alone.
        blank_penalty: natural logarithm that is taken off the blank at every step of the search. A recogniser is surest
            of the blank, and where a language model says what was said, it should be less so.

    Raises:
        UserError: one is out of range.

    Example:
        >>> LanguageWeights(weight=0.8).over(LanguageWeights(0.3, 0.5)).word_bonus
        0.5
    """

    weight: float | None = None
    word_bonus: float | None = None
    unknown_penalty: float | None = None
    blank_penalty: float | None = None

    def __post_init__(self) -> None:
        for name, least, most in (
            ("weight", 0.0, 1e3),
            ("word_bonus", -1e3, 1e3),
            ("unknown_penalty", 0.0, math.inf),
            ("blank_penalty", 0.0, 1e2),
        ):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                words = name.replace("_", " ")
                raise UserError(f"the {words} of a language model is a number from {least:g} to {most:g}, got {value}")

    def over(self, other: LanguageWeights) -> LanguageWeights:
        """These, and those of another where there are none."""
        own = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return dataclasses.replace(other, **own)

    def as_record(self) -> dict[str, float | bool | None]:
        """JSON-ready fields: an infinite penalty is None, and `known_words_only` is true."""
        only = self.unknown_penalty == math.inf
        penalty = None if only else self.unknown_penalty
        return {**dataclasses.asdict(self), "unknown_penalty": penalty, "known_words_only": only}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> LanguageWeights:
        """What `as_record` gave.

        >>> LanguageWeights.from_record(LanguageWeights(0.5, unknown_penalty=math.inf).as_record())
        LanguageWeights(weight=0.5, word_bonus=None, unknown_penalty=inf, blank_penalty=None)
        """
        penalty = math.inf if record.get("known_words_only") else record.get("unknown_penalty")
        return cls(record.get("weight"), record.get("word_bonus"), penalty, record.get("blank_penalty"))


#: What counts where neither the user nor the recogniser says anything.
USUAL_WEIGHTS = LanguageWeights(USUAL_WEIGHT, USUAL_WORD_BONUS, USUAL_UNKNOWN_PENALTY, blank_penalty=0.0)


class WeightedScorer(Scorer):
    """A language model with what it counts."""

    weights: LanguageWeights

    @property
    @abstractmethod
    def complete_weights(self) -> LanguageWeights:
        """What it counts, the usual where nothing is said; None of what it has no use for."""

    @abstractmethod
    def weighted(self, weights: LanguageWeights) -> Scorer:
        """The same with these weights, and its own where there are none."""


def describe_blank_penalty(weights: LanguageWeights) -> str:
    """What stands behind the other weights where there is one.

    >>> describe_blank_penalty(LanguageWeights(blank_penalty=2.0))
    ', 2 off each blank'
    """
    return f", {weights.blank_penalty:g} off each blank" if weights.blank_penalty else ""


@dataclass(frozen=True)
class LanguageScorer(WeightedScorer):
    """A language model over words; what it adds to a text's score is

        weight * (log p(words and the sentence's end)) + word_bonus * words - unknown_penalty * unknown words

    Args:
        model: the language model; None stands for the one that the recogniser carries.
        weights: what it counts.
        name: its file's, for messages.

    Example:
        >>> LanguageScorer(None).description
        "the recogniser's own language model"
    """

    model: LanguageModel | None
    weights: LanguageWeights = LanguageWeights()
    name: str = field(default="the language model", compare=False)

    @cached_property
    def complete_weights(self) -> LanguageWeights:
        return self.weights.over(USUAL_WEIGHTS)

    @property
    def description(self) -> str:
        if self.model is None:
            return "the recogniser's own language model"
        weights = self.complete_weights
        closed = ", known words only" if weights.unknown_penalty == math.inf else ""
        return (
            f"{self.model.description} (weight {weights.weight:g}, bonus {weights.word_bonus:g} a word{closed}"
            f"{describe_blank_penalty(weights)})"
        )

    def as_record(self) -> dict[str, Any]:
        model = None if self.model is None else self.model.description
        return {"language_model": {"model": model, **self.complete_weights.as_record()}}

    def weighted(self, weights: LanguageWeights) -> LanguageScorer:
        return dataclasses.replace(self, weights=weights.over(self.weights))

    def instead_of_own(self, found: Scorer) -> Scorer:
        """What a recogniser carries, with the weights that were asked for, where it has such weights."""
        return found.weighted(self.weights) if isinstance(found, WeightedScorer) else found

    def prepared(self, spelling: Spelling) -> LanguageScorer:
        if self.model is None:
            raise UserError(
                "this recogniser carries no language model; give one (--language-model FILE), or export it with one"
            )
        _require_spelling(self.model, spelling, self.name)
        return self

    def compile(self, vocabulary: Vocabulary, *, blank_id: int = BLANK_ID) -> PrefixScorer:
        if self.model is None:
            raise UserError(
                "the recogniser's own language model was asked for, and none was given; prepare the options"
            )
        return _compile(self.model, self.complete_weights, vocabulary, blank_id)


def _require_spelling(model: LanguageModel, spelling: Spelling, name: str) -> None:
    """Makes sure that a model's words are written as the recogniser writes them: others could never be found.

    Raises:
        TextError: less than half of them are.
    """
    words = model.words
    if words is None:
        return
    sample = [words[place].decode() for place in range(0, len(words), max(1, len(words) // _SAMPLE))]
    sample = [word for word in sample if not (word.startswith("<") and word.endswith(">"))]
    changed = [word for word in sample if spelling.normalize(word) != word]
    if len(changed) > len(sample) / 2:
        raise TextError(
            f"{name}: writes {quoted(changed[0])} where this recogniser writes "
            f"{quoted(spelling.normalize(changed[0]))}, and so most of its words; train it by the recogniser's "
            "text rules (`speechgru language train --rules`), or rewrite it (`speechgru language convert --rules`)"
        )


def as_language(given: LanguageModel | Scorer | bool | None) -> Scorer | None:
    """What stands in `DecodingOptions.language` as a `Scorer`.

    Raises:
        UserError: it is no language model.
    """
    if given is None or isinstance(given, Scorer):
        return given
    if isinstance(given, bool):
        return LanguageScorer(None) if given else None
    if isinstance(given, LanguageModel):
        return LanguageScorer(given)
    raise UserError(f"language must be a LanguageModel, or True for the recogniser's own, got {given!r:.60}")


def language_from(is_own: bool, path: str | Path | None, weights: LanguageWeights) -> LanguageScorer | None:
    """The scorer that command-line options ask for; None where they ask for none.

    Args:
        is_own: whether the recogniser's own model is asked for.
        path: another model's file.
        weights: what it counts.

    Raises:
        UserError: the file cannot be read, or weights are given and no model.
    """
    if path is not None:
        return LanguageScorer(read_language_model(path), weights, str(path))
    if is_own:
        return LanguageScorer(None, weights)
    if weights != LanguageWeights():
        raise UserError(
            "the weights of a language model are given, and no model; name its file (--language-model FILE), or use "
            "the recogniser's own (--lm)"
        )
    return None


@lru_cache(maxsize=16)
def _compile(
    model: LanguageModel, weights: LanguageWeights, vocabulary: Vocabulary, blank_id: int
) -> WholeWordScorer | SpeltWordScorer:
    """The scorer for one vocabulary; kept, because the same model serves many utterances."""
    texts = [vocabulary.writes(label) for label in range(BLANK_ID + 1, len(vocabulary))]
    texts.insert(blank_id, "")
    if vocabulary.unit == "word":
        return WholeWordScorer(model, weights, texts)
    return SpeltWordScorer(model, weights, texts)


class _WordScorer(PrefixScorer):
    """What a word counts."""

    def __init__(self, model: LanguageModel, weights: LanguageWeights):
        assert weights.weight is not None and weights.word_bonus is not None and weights.unknown_penalty is not None
        self._model, self._weight, self._bonus = model, weights.weight, weights.word_bonus
        self._penalty = weights.unknown_penalty
        self.max_change = max(0.0, self._bonus)
        self.is_constraint = self._penalty == math.inf

    def _after_word(self, state: Any, word: str) -> tuple[Hashable, float]:
        """The model's state after one more word, and the change of the score."""
        following, log_prob = self._model.score(state, word)
        # No probability is above 1, whatever the rounding of a model's file made of it.
        change = self._weight * min(0.0, log_prob) + self._bonus
        return following, change if self._model.knows(word) else change - self._penalty

    def _at_end(self, state: Any) -> float:
        return self._weight * min(0.0, self._model.finish(state))


class WholeWordScorer(_WordScorer):
    """Scores a vocabulary whose labels are words.

    Args:
        model: the language model.
        weights: what it counts, none of them None.
        words: of each column its word; empty for the blank.
    """

    def __init__(self, model: LanguageModel, weights: LanguageWeights, words: list[str]):
        super().__init__(model, weights)
        self._words = words

    def start(self) -> Hashable:
        return self._model.start()

    def extend(self, state: Hashable, label: int) -> tuple[Hashable, float]:
        return self._after_word(state, self._words[label])

    def finish(self, state: Hashable) -> float:
        return self._at_end(state)


class SpeltWordScorer(_WordScorer):
    """Scores a vocabulary whose labels spell words, letter by letter or in pieces.

    A word counts when the space behind it, or the end, shows that it is complete; but one that can become no known
    word counts as unknown at once, so that the beam need not follow it to its end. (pyctcdecode takes off a part of its
    penalty there. What a complete text adds is the same.)

    Args:
        model: the language model.
        weights: what it counts, none of them None.
        texts: what each column writes, with a space where a word begins or ends; empty for the blank.
    """

    def __init__(self, model: LanguageModel, weights: LanguageWeights, texts: list[str]):
        super().__init__(model, weights)
        self._texts, self._has_space = texts, [" " in text for text in texts]
        self._beginnings = None if model.words is None else _Beginnings(model.words)
        self._unknown: dict[Hashable, tuple[_State, float]] = {}
        #: Of the letters of a word and a label without space: all of them; None where they begin no known word.
        self._longer: dict[tuple[_Word, int], _Word] = {}
        # A label gives the bonus of each word that it ends, and of one that it makes an unknown one, less the penalty.
        self.max_changes = [
            max(0.0, text.count(" ") * self._bonus, (text.count(" ") + 1) * self._bonus - self._penalty)
            for text in texts
        ]
        self.max_change = max(self.max_changes)

    def start(self) -> _State:
        return self._model.start(), ""

    def extend(self, state: _State, label: int) -> tuple[_State, float]:
        before, word = state
        if not self._has_space[label]:  # by far the most: a letter more of a word
            if word is None:
                return state, 0.0
            longer = self._longer.get((word, label), "")
            if longer:
                return (before, longer), 0.0
            if longer is None:
                return self._unknown.get(before) or self._spelt_unknown(before)
            found = self._spelt(before, word + self._texts[label])
            if len(self._longer) >= _REMEMBERED:
                self._longer.clear()
            self._longer[word, label] = found[0][1]
            return found
        text = self._texts[label]
        if text == " ":
            before, change = self._completed(before, word)
            return (before, ""), change
        change = 0.0
        for position, part in enumerate(text.split(" ")):
            if position:
                before, more = self._completed(before, word)
                word, change = "", change + more
            if part and word is not None:
                (before, word), more = self._spelt(before, word + part)
                change += more
        return (before, word), change

    def follow(self, state: _State, labels: Sequence[int], score: float) -> tuple[_State, float]:
        before, word = state
        texts = self._texts
        *complete, rest = "".join([texts[label] for label in labels]).split(" ")
        for part in complete:  # looked up once, not letter by letter: an unknown word counts once, wherever it shows
            if word is not None:
                word += part
                if word and not self._model.knows(word):
                    (before, word), change = self._spelt(before, word)
                    score += change
                before, change = self._completed(before, word)
                score += change
            word = ""
        if word is not None and rest:
            (before, word), change = self._spelt(before, word + rest)
            score += change
        return (before, word), score

    def finish(self, state: _State) -> float:
        before, change = self._completed(*state)
        return change + self._at_end(before)

    def steps_needed(self, state: _State) -> tuple[int, int]:
        word = state[1]
        if not self.is_constraint or not word or self._model.knows(word):
            return 0, 0
        return 1, 1

    def _spelt(self, before: Hashable, word: str) -> tuple[_State, float]:
        """The state with some letters of a word, and the change of the score where they begin no known one."""
        if self._beginnings is None or word in self._beginnings:
            return (before, word), 0.0
        return self._unknown.get(before) or self._spelt_unknown(before)

    def _spelt_unknown(self, before: Hashable) -> tuple[_State, float]:
        """What `_spelt` gives where the letters begin no known word."""
        after, change = self._after_word(before, UNKNOWN)
        if len(self._unknown) >= _REMEMBERED:
            self._unknown.clear()
        found = self._unknown[before] = (after, None), change
        return found

    def _completed(self, before: Hashable, word: _Word) -> tuple[Hashable, float]:
        """The model's state where a word ends, and the change of the score."""
        return self._after_word(before, word) if word else (before, 0.0)


class _Beginnings:
    """Which letters begin a word of a list; remembers, because the search asks for the same ones again and again."""

    def __init__(self, words: WordList):
        self._words = words
        self._known: dict[str, bool] = {}

    def __contains__(self, letters: str) -> bool:
        known = self._known.get(letters)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[letters] = self._words.has_beginning(letters)
        return known
