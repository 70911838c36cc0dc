"""Scorers of a beam: what changes a text's score beside its log-probability.

There are two interfaces. A `Scorer` is what a user asks for and what a field of `DecodingOptions` holds: hotwords, a
phrase list, a language model, written without regard to any recogniser. A `PrefixScorer` is the same made ready for one
vocabulary: the search asks it label by label. A new kind of scorer is a module with one class of each, and a field of
`DecodingOptions` that holds the `Scorer`; transcription, streams, `evaluate` and the records follow from these.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from speechgru.errors import TextError, UserError
from speechgru.text import BLANK_ID, Vocabulary, describe_characters, quoted


class PrefixScorer(ABC):
    """Adds to the score of a text while the search spells it, label by label.

    The search calls `start` once, `extend` for every label of a prefix and `finish` at the end of the utterance. A
    text's score is its log-probability, summed over all alignments, plus all changes on its way. So a language model
    returns weighted log-probabilities, a constraint 0 or minus infinity, a hotword list a boost. A word may be
    incomplete in any state but those that `finish` gets.

    States are hashable, and equal states score equal continuations equally: the search asks once for each pair of
    state and label and remembers the answer. One scorer serves many utterances, streams and threads at a time, so what
    it knows of an utterance is in the states and never in itself.

    Labels are columns of the log-probabilities.

    Example:
        >>> class EachLabel(PrefixScorer):
        ...     '''Makes long texts less probable.'''
        ...     max_change = 0.0
        ...     def start(self):
        ...         return 0
        ...     def extend(self, state, label):
        ...         return 0, -0.5
        ...     def finish(self, state):
        ...         return 0.0
        >>> EachLabel().extend(0, 3)
        (0, -0.5)
    """

    #: No call of `extend` may return a change above this. The tighter it is, the earlier the search can stop looking;
    #: infinity is always right. 0 for constraints and for language models.
    max_change: float = math.inf
    #: The same of each label by itself, where that is less for some: the search does not ask about a label that cannot
    #: enter the beam even with it. None: `max_change` for all.
    max_changes: Sequence[float] | None = None
    #: Whether it forbids texts. Such scorers are asked first, and no pruning may leave out labels that a text needs.
    is_constraint: bool = False
    #: Whether `prepare` does anything.
    prepares: bool = False

    @abstractmethod
    def start(self) -> Hashable:
        """The state of the empty prefix."""

    @abstractmethod
    def extend(self, state: Any, label: int) -> tuple[Hashable, float]:
        """The state after one more label, and the change of the score; minus infinity forbids the label."""

    @abstractmethod
    def finish(self, state: Any) -> float:
        """The change of the score where the text ends here; minus infinity forbids to end."""

    def follow(self, state: Any, labels: Sequence[int], score: float) -> tuple[Hashable, float]:
        """The state after some labels, and a score to which all changes on the way were added in turn.

        What `extend` says of each label; a scorer may know of a quicker way.
        """
        for label in labels:
            state, change = checked_extend(self, state, label)
            score += change
            if change == -math.inf:
                break
        return state, score

    def most_of(self, labels: Sequence[int]) -> float:
        """No change by all of these labels, one after the other from any state, is above this."""
        return len(labels) * self.max_change if labels else 0.0

    def prepare(self, states: Sequence[Any]) -> None:  # noqa: B027  (most have nothing to prepare)
        """Computes what `extend` and `finish` will soon be asked of these states; a hint, and no promise.

        The search calls it at every step, where `prepares` says so, with the states of all prefixes that it will go on
        with: for a neural network one product for all of them is several times faster than one each.
        """

    def steps_needed(self, state: Any) -> tuple[int, int]:
        """How many more steps the shortest text that may end needs: after a blank, and after the last label itself.

        The second is larger where the next label would repeat the last, which takes a blank between them. The search
        drops what cannot end in time. A scorer that forbids nothing needs none.
        """
        return 0, 0


class JointScorer(PrefixScorer):
    """Several scorers as one: their changes add up.

    Args:
        scorers: the scorers; they are asked in this order, those that forbid texts before the others.
    """

    def __init__(self, scorers: Sequence[PrefixScorer]):
        # What a constraint forbids no other scorer need be asked about, and a language model's answer is the dear one.
        self._scorers = tuple(sorted(scorers, key=lambda scorer: not scorer.is_constraint))
        self.max_change = sum(scorer.max_change for scorer in self._scorers)
        known = [scorer.max_changes for scorer in self._scorers if scorer.max_changes is not None]
        if known:
            others = sum(scorer.max_change for scorer in self._scorers if scorer.max_changes is None)
            self.max_changes = [others + sum(changes) for changes in zip(*known, strict=True)]
        self.is_constraint = any(scorer.is_constraint for scorer in self._scorers)
        self._preparing = [(place, scorer) for place, scorer in enumerate(self._scorers) if scorer.prepares]
        self.prepares = bool(self._preparing)

    def start(self) -> Hashable:
        return tuple(scorer.start() for scorer in self._scorers)

    def extend(self, state: tuple[Hashable, ...], label: int) -> tuple[Hashable, float]:
        states, changes = [], []
        for scorer, own in zip(self._scorers, state, strict=True):
            following, change = checked_extend(scorer, own, label)
            if change == -math.inf:
                return None, change  # forbidden: nobody else need be asked
            states.append(following)
            changes.append(change)
        return tuple(states), sum(changes)

    def finish(self, state: tuple[Hashable, ...]) -> float:
        return sum(checked_finish(scorer, own) for scorer, own in zip(self._scorers, state, strict=True))

    def prepare(self, states: Sequence[tuple[Hashable, ...]]) -> None:
        for place, scorer in self._preparing:
            scorer.prepare([state[place] for state in states])

    def steps_needed(self, state: tuple[Hashable, ...]) -> tuple[int, int]:
        needs = [scorer.steps_needed(own) for scorer, own in zip(self._scorers, state, strict=True)]
        return max(blank for blank, _ in needs), max(label for _, label in needs)


def checked_extend(scorer: PrefixScorer, state: Hashable, label: int) -> tuple[Hashable, float]:
    """`scorer.extend`, once the change is one that it may return (`require_change`)."""
    following, change = scorer.extend(state, label)
    require_change(scorer, change, label)
    return following, change


def require_change(scorer: PrefixScorer, change: float, label: int) -> None:
    """Makes sure that a scorer's change at a label is one that it may return.

    Raises:
        UserError: it is above `max_change`, infinite or NaN; the search would drop texts that it should find.
    """
    if not change <= scorer.max_change or change == math.inf:
        raise UserError(
            f"{type(scorer).__name__}.extend changed the score by {change} at label {label}; it must be a number of at "
            f"most its max_change, {scorer.max_change}, and not infinite"
        )


def checked_finish(scorer: PrefixScorer, state: Hashable) -> float:
    """`scorer.finish`, once the change is one that it may return.

    Raises:
        UserError: it is infinite or NaN.
    """
    change = scorer.finish(state)
    if not change < math.inf:
        raise UserError(f"{type(scorer).__name__}.finish must return a number below infinity, got {change}")
    return change


@dataclass(frozen=True)
class Spelling:
    """How one recogniser writes the texts that a user gives: by its text rules, in the entries of its vocabulary.

    Args:
        normalize: the text rules that its transcripts went through (`TextRules.normalize`).
        vocabulary: what it can write.
        origins: where a text was read, such as `list.txt:3`, for messages.
    """

    normalize: Callable[[str], str]
    vocabulary: Vocabulary
    origins: Mapping[str, str] = field(default_factory=dict)

    def where(self, text: str) -> str:
        """The beginning of a message about a text: the place where it was read, if one is known."""
        return f"{self.origins[text]}: " if text in self.origins else ""

    def spell(self, kind: str, text: str) -> str:
        """A text as the recogniser writes it.

        Args:
            kind: what the text is, for messages: `hotword`, `phrase`.
            text: as the user wrote it.

        Raises:
            TextError: the recogniser cannot write it, or the rules leave nothing of it; names it and where it was read.
        """
        normalized = self.normalize(text)
        if not normalized and text:
            raise TextError(
                f"{self.where(text)}{kind} {quoted(text)} holds no word: the text rules leave nothing of it; take it "
                "out"
            )
        unknown = self.vocabulary.unknown(normalized)
        if unknown:
            rewritten = f", {quoted(normalized)} by the text rules" if normalized != text else ""
            raise TextError(
                f"{self.where(text)}{kind} {quoted(text)}{rewritten}: {describe_characters(unknown)} not among the "
                f"{self.vocabulary.spelt_with}s that this recogniser writes; write it with those, or take it out"
            )
        return normalized


class Scorer(ABC):
    """Something that a user asks a beam to score by, for whatever recogniser: what `DecodingOptions` hold.

    One that is false, such as an empty list of hotwords, asks for nothing.
    """

    @property
    @abstractmethod
    def description(self) -> str:
        """What it is, in a few words for a table: `2 hotwords`."""

    def as_record(self) -> dict[str, Any]:
        """JSON-ready fields for `DecodingOptions.as_record`, for whoever wants to repeat what was done."""
        return {}

    def prepared(self, spelling: Spelling) -> Scorer:
        """The same for one recogniser: with its texts spelt as that one writes them (`Spelling.spell`).

        Raises:
            TextError: the recogniser cannot write one of them.
        """
        return self

    @abstractmethod
    def compile(self, vocabulary: Vocabulary, *, blank_id: int = BLANK_ID) -> PrefixScorer:
        """What the search asks, for the columns of one vocabulary.

        Called for every utterance, so whoever needs time for it keeps what came out.

        Raises:
            TextError: the vocabulary cannot write a text of it.
        """


def compile_together(
    scorers: Iterable[Scorer | PrefixScorer], vocabulary: Vocabulary, *, blank_id: int
) -> PrefixScorer | None:
    """The one scorer that all of these are together, or None where there is nothing to score by."""
    compiled = [
        scorer if isinstance(scorer, PrefixScorer) else scorer.compile(vocabulary, blank_id=blank_id)
        for scorer in scorers
    ]
    if len(compiled) > 1:
        return JointScorer(compiled)
    return compiled[0] if compiled else None


def columns_of(text: str, *, vocabulary: Vocabulary, blank_id: int, where: str) -> tuple[int, ...]:
    """A text's labels as columns of log-probabilities whose blank is `blank_id`."""
    return tuple(label - (label <= blank_id) for label in vocabulary.encode(text, where=where))
