"""A GRU language model that scores the texts of a beam, label by label."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from speechgru.decoding.language import LanguageWeights, WeightedScorer, describe_blank_penalty
from speechgru.decoding.scorers import PrefixScorer, Scorer, Spelling
from speechgru.errors import UserError
from speechgru.language.gru import BORDER, GRULanguageModel
from speechgru.text import BLANK_ID, Vocabulary, describe_characters

#: What counts where neither the user nor the recogniser says anything.
USUAL_GRU_WEIGHTS = LanguageWeights(weight=0.5, word_bonus=0.5, blank_penalty=0.0)
#: What begins a subword that begins a word.
_WORD_BEGINNING = "\u2581"


@dataclass(frozen=True)
class GRULanguageScorer(WeightedScorer):
    """A GRU language model over labels; what it adds to a text's score is

        weight * (log p(labels and the end)) + word_bonus * words

    No word is unknown to it, so that no penalty for unknown words counts.

    Args:
        model: the language model.
        weights: what it counts.
        name: its file's, for messages.

    Example:
        >>> from speechgru.language import GRULayer
        >>> from speechgru.text import TextRules
        >>> model = GRULanguageModel(  # nothing learnt: a, b and the end have a third each
        ...     Vocabulary("ab"),
        ...     TextRules(),
        ...     embedding_VE=np.zeros([3, 2]),
        ...     layers=[GRULayer(np.zeros([2, 12]), np.zeros([4, 12]), np.zeros([2, 12]))],
        ...     kernel_UV=np.zeros([4, 3]),
        ...     bias_V=np.zeros(3),
        ... )
        >>> scorer = GRULanguageScorer(model, LanguageWeights(weight=1.0, word_bonus=0.0)).compile(Vocabulary("ab"))
        >>> state, change = scorer.extend(scorer.start(), 1)
        >>> round(change, 3)
        -1.099
    """

    model: GRULanguageModel
    weights: LanguageWeights = field(default_factory=LanguageWeights)
    name: str = field(default="the GRU language model", compare=False)

    @property
    def complete_weights(self) -> LanguageWeights:
        return dataclasses.replace(self.weights.over(USUAL_GRU_WEIGHTS), unknown_penalty=None)

    @property
    def _numbers(self) -> tuple[float, float]:
        weights = self.complete_weights
        return cast("tuple[float, float]", (weights.weight, weights.word_bonus))

    @property
    def description(self) -> str:
        weight, bonus = self._numbers
        off = describe_blank_penalty(self.complete_weights)
        return f"{self.model.description} (weight {weight:g}, bonus {bonus:g} a word{off})"

    def as_record(self) -> dict[str, Any]:
        weight, bonus = self._numbers
        return {
            "gru_language_model": {
                "model": self.model.description,
                "weight": weight,
                "word_bonus": bonus,
                "blank_penalty": self.complete_weights.blank_penalty,
            }
        }

    def weighted(self, weights: LanguageWeights) -> GRULanguageScorer:
        return dataclasses.replace(self, weights=weights.over(self.weights))

    def prepared(self, spelling: Spelling) -> GRULanguageScorer:
        _require_labels(self.model, spelling.vocabulary, self.name)
        return self

    def compile(self, vocabulary: Vocabulary, *, blank_id: int = BLANK_ID) -> PrefixScorer:
        _require_labels(self.model, vocabulary, self.name)
        return _compile(self.model, *self._numbers, vocabulary, blank_id)


def as_gru_language(given: GRULanguageModel | Scorer | None) -> Scorer | None:
    """What stands in `DecodingOptions.gru_language` as a `Scorer`.

    Raises:
        UserError: it is no GRU language model.
    """
    if isinstance(given, GRULanguageModel):
        return GRULanguageScorer(given)
    if given is None or isinstance(given, Scorer):
        return given
    raise UserError(f"gru_language must be a GRULanguageModel, such as GRULanguageModel.load(FILE), got {given!r:.60}")


def gru_language_from(path: str | Path | None, weights: LanguageWeights) -> GRULanguageScorer | None:
    """The scorer that command-line options ask for; None where they ask for none.

    Args:
        path: a GRU language model's file.
        weights: what it counts.

    Raises:
        UserError: the file cannot be read, or weights are given and no model.
    """
    if path is not None:
        return GRULanguageScorer(GRULanguageModel.load(path), weights, str(path))
    if weights != LanguageWeights():
        raise UserError(
            "the weights of a GRU language model are given, and no model; name its file (--gru-language-model FILE)"
        )
    return None


@lru_cache(maxsize=16)
def _compile(
    model: GRULanguageModel, weight: float, bonus: float, vocabulary: Vocabulary, blank_id: int
) -> GRUPrefixScorer:
    """Kept, because the same model serves many utterances."""
    own = {entry: label for label, entry in enumerate(model.vocabulary.entries, start=1)}
    written = [own[entry] for entry in vocabulary.written.entries]
    label_of_V = [*written[:blank_id], BORDER, *written[blank_id:]]
    opens_KV = _openings(model.vocabulary)[:, label_of_V]
    return GRUPrefixScorer(model, weight=weight, bonus_KV=np.float32(bonus) * opens_KV, label_of_V=label_of_V)


def _openings(vocabulary: Vocabulary) -> np.ndarray:
    """Which labels begin a word, [2, V]: within a text where no word has just ended, and where one has."""
    texts = np.array(["", *vocabulary.entries])
    is_any_V, is_space_V = texts != "", texts == " "
    if vocabulary.unit == "word":
        return np.stack([is_any_V, is_any_V])
    is_first_V = np.char.startswith(texts, _WORD_BEGINNING) & (vocabulary.unit != "character")
    return np.stack([is_first_V, is_any_V & ~is_space_V])


def _require_labels(model: GRULanguageModel, vocabulary: Vocabulary, name: str) -> None:
    """Whether a model knows every label of a recogniser.

    Raises:
        UserError: it does not.
    """
    advice = "train one for this recogniser (`speechgru language train-gru --recogniser`)"
    if model.vocabulary.unit != vocabulary.unit:
        raise UserError(
            f"{name}: predicts {model.vocabulary.unit}s, and this recogniser writes {vocabulary.unit}s; {advice}"
        )
    known = set(model.vocabulary.entries)
    missing = [entry for entry in vocabulary.written.entries if entry not in known]
    if missing:
        raise UserError(
            f"{name}: {describe_characters(missing)} among the {vocabulary.unit}s that this recogniser writes, and not "
            f"among those that it predicts; {advice}"
        )


class _State:
    """A beginning of a text. No other is equal to it: a GRU remembers all of it.

    Args:
        before_KU: the state before its last label.
        label: its last label, of the model.
    """

    __slots__ = ("before_KU", "label", "read")

    def __init__(self, before_KU: np.ndarray, label: int):
        self.before_KU, self.label = before_KU, label
        #: Once its last label is read, the state after it and the change of the score for each column that may follow;
        #: for the end in place of the blank.
        self.read: tuple[np.ndarray, np.ndarray] | None = None


class GRUPrefixScorer(PrefixScorer):
    """A GRU language model for the columns of one vocabulary: `GRULanguageScorer.compile` makes one.

    A label costs nothing until something follows it: only then the model reads it, together with the last labels of all
    other prefixes that the search will go on with (`prepare`).

    Args:
        model: the language model.
        weight: of its log-probabilities.
        bonus_KV: what each column is given beside: within a word, and where one has just ended or none has begun.
        label_of_V: the model's label of each column, `BORDER` of the blank's.
    """

    prepares = True

    def __init__(self, model: GRULanguageModel, *, weight: float, bonus_KV: np.ndarray, label_of_V: Sequence[int]):
        self._model, self._weight, self._bonus_KV = model, np.float32(weight), bonus_KV
        self._label_of_V = list(label_of_V)
        self._end = self._label_of_V.index(BORDER)
        self._in_order = self._label_of_V == list(range(len(model.vocabulary)))
        #: Of each label of the model the row of `bonus_KV` that counts behind it.
        self._row_of_V = np.array([entry in ("", " ") for entry in ("", *model.vocabulary.entries)], int)
        self.max_changes = np.maximum(bonus_KV.max(axis=0), 0.0).tolist()
        self.max_change = max(self.max_changes)
        self._start = _State(model.first_states()[0], BORDER)
        self.prepare([self._start])

    def start(self) -> _State:
        return self._start

    def prepare(self, states: Sequence[_State]) -> None:
        fresh = [state for state in states if state.read is None]
        if not fresh:
            return
        before_BKU = np.stack([state.before_KU for state in fresh])
        labels_B = np.array([state.label for state in fresh])
        after_BKU, log_probs_BV = self._model.step(before_BKU, labels_B)
        if not self._in_order:
            log_probs_BV = log_probs_BV[:, self._label_of_V]
        changes_BV = self._weight * log_probs_BV + self._bonus_KV[self._row_of_V[labels_B]]
        for state, *read in zip(fresh, after_BKU, changes_BV, strict=True):
            state.read = (read[0], read[1])

    def extend(self, state: _State, label: int) -> tuple[_State, float]:
        state_KU, changes_V = self._read(state)
        return _State(state_KU, self._label_of_V[label]), changes_V.item(label)

    def finish(self, state: _State) -> float:
        return self._read(state)[1].item(self._end)

    def _read(self, state: _State) -> tuple[np.ndarray, np.ndarray]:
        if state.read is None:
            self.prepare([state])
        return cast("tuple[np.ndarray, np.ndarray]", state.read)
