"""What a language model over words offers, however it computes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from typing import Any

from speechgru.language.words import WordList


class LanguageModel(ABC):
    """Gives the probability of each next word of a sentence, and of the sentence's end.

    All logarithms are natural ones. States are hashable, and equal states score equal continuations equally. A model
    is never changed by being asked, so that many utterances, streams and threads may share one.
    """

    #: Its words, sorted, among them the marks of a sentence's borders and of unknown words; None where it cannot list
    #: them.
    words: WordList | None = None

    @property
    @abstractmethod
    def description(self) -> str:
        """What it is, in a few words: `3-gram of 1,204 words`."""

    @abstractmethod
    def start(self) -> Hashable:
        """The state at the beginning of a sentence."""

    @abstractmethod
    def knows(self, word: str) -> bool:
        """Whether a word is one of its own; any other is scored as the unknown one."""

    @abstractmethod
    def score(self, state: Any, word: str) -> tuple[Hashable, float]:
        """The state after one more word, and the word's log-probability."""

    @abstractmethod
    def finish(self, state: Any) -> float:
        """The log-probability of the sentence's end."""

    def scores(self, text: str) -> Iterator[tuple[str, float, bool]]:
        """Each word of a text with its log-probability and whether it is known, then the end as the word `</s>`."""
        state = self.start()
        for word in text.split():
            state, log_prob = self.score(state, word)
            yield word, log_prob, self.knows(word)
        yield "</s>", self.finish(state), True

    def log_prob(self, text: str) -> float:
        """The log-probability of a sentence and its end."""
        return sum(log_prob for _, log_prob, _ in self.scores(text))


#: Answers that a model remembers, at most.
_REMEMBERED = 1 << 17


class NumberedModel(LanguageModel):
    """A model whose words have numbers; it remembers its answers, because a beam asks the same again and again.

    Args:
        unknown: the number of an unknown word.
        end: the number of the sentence's end.
    """

    words: WordList

    def __init__(self, *, unknown: int, end: int):
        self._unknown, self._end = unknown, end
        self._numbers: dict[str, int] = {}
        self._moves: dict[tuple[Hashable, int], tuple[Hashable, float]] = {}

    @abstractmethod
    def _number(self, word: str) -> int:
        """A word's number; that of the unknown one where it is none of the model's own, or a mark."""

    @abstractmethod
    def _look_up(self, state: Any, number: int) -> tuple[Hashable, float]:
        """The state after one more word, and the word's log-probability."""

    def knows(self, word: str) -> bool:
        return self._number_of(word) != self._unknown

    def score(self, state: Any, word: str) -> tuple[Hashable, float]:
        return self._move(state, self._number_of(word))

    def finish(self, state: Any) -> float:
        return self._move(state, self._end)[1]

    def _number_of(self, word: str) -> int:
        number = self._numbers.get(word)
        if number is None:
            number = self._number(word)
            if len(self._numbers) >= _REMEMBERED:
                self._numbers.clear()
            self._numbers[word] = number
        return number

    def _move(self, state: Hashable, number: int) -> tuple[Hashable, float]:
        move = self._moves.get((state, number))
        if move is None:
            move = self._look_up(state, number)
            if len(self._moves) >= _REMEMBERED:
                self._moves.clear()
            self._moves[state, number] = move
        return move
