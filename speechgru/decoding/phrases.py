"""A phrase list as a constraint: the search may only write these texts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from speechgru.decoding.scorers import PrefixScorer, Scorer, Spelling, columns_of
from speechgru.decoding.subwords import SubwordScorer
from speechgru.errors import TextError
from speechgru.text import BLANK_ID, Vocabulary, quoted


@dataclass(frozen=True)
class Phrases(Scorer):
    """A small grammar: one of these texts, any sequence of them, or nothing.

    Args:
        texts: the allowed texts, normalised as the transcripts were. An empty one allows silence.
        repeat: False allows one of `texts`; True allows one or more, with single spaces between them, as in a string of
            digits.
        silence: whether nothing may be the answer too, as where nobody spoke. False where every recording is known to
            hold a phrase: digital silence then becomes one.

    Raises:
        TextError: there is no text, or `texts` is one string.

    Example:
        >>> Phrases(["yes", "no"])
        Phrases(texts=('yes', 'no'), repeat=False, silence=True)
    """

    texts: Sequence[str]
    repeat: bool = False
    silence: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.texts, str):
            raise TextError(f"phrases must be a list of texts, got the one text {self.texts!r}; put it in a list")
        texts = tuple(dict.fromkeys(" ".join(text.split()) for text in self.texts))
        if not any(texts):
            raise TextError(f"phrases must hold at least one text that is not empty, got {list(self.texts)!r}")
        object.__setattr__(self, "texts", texts)

    @property
    def description(self) -> str:
        number = f"{len(self.texts):,} phrase" + ("" if len(self.texts) == 1 else "s")
        what = f"any sequence of {number}" if self.repeat else f"one of {number}"
        return what if self.silence else f"{what}, never silence"

    def as_record(self) -> dict[str, Any]:
        return {"phrases": list(self.texts), "repeat_phrases": self.repeat, "silence": self.silence}

    def prepared(self, spelling: Spelling) -> Phrases:
        if self.repeat and spelling.vocabulary.unknown(" "):
            raise TextError("phrases cannot follow each other: this recogniser writes no space between them")
        texts = [spelling.spell("phrase", text) for text in self.texts]
        return dataclasses.replace(self, texts=texts)

    def compile(self, vocabulary: Vocabulary, *, blank_id: int = BLANK_ID) -> PrefixScorer:
        return _compile(self, vocabulary, blank_id)


class PhraseScorer(PrefixScorer):
    """Forbids every prefix that begins no allowed text, and every end that is not the end of one.

    A state is the set of places in a trie of the texts where the prefix may be. It is more than one place only where
    texts of several words may repeat: after "new " either "new york" continues or another text begins.

    Args:
        texts: the columns of each text; an empty one allows the empty text.
        repeat: whether several texts in a row are allowed.
        space: the column that parts two texts in a row; None where each label is a word.
    """

    max_change = 0.0
    is_constraint = True

    def __init__(self, texts: Sequence[tuple[int, ...]], *, repeat: bool, space: int | None):
        following: list[dict[int, int]] = [{}]
        arrived_by: list[int | None] = [None]
        last_nodes = []
        for columns in texts:
            node = 0
            for column in columns:
                if column not in following[node]:
                    following[node][column] = len(following)
                    following.append({})
                    arrived_by.append(column)
                node = following[node][column]
            last_nodes.append(node)
        self._following = following
        self._last_nodes = frozenset(last_nodes)
        self._repeat = repeat
        self._space = space
        # Children stand behind their parents, so from the last to the first every child is known. Only the end of a
        # text leads to the next, and there nothing more is needed. The last node is the root as a space reaches it.
        num_nodes = len(following)
        following.append(following[0])
        arrived_by.append(space)
        self._after_blank = [0] * len(following)
        self._after_label = [0] * len(following)
        for node in [*reversed(range(num_nodes)), num_nodes]:
            if node not in self._last_nodes:
                to_end = {column: 1 + self._after_label[child] for column, child in following[node].items()}
                self._after_blank[node] = min(to_end.values())
                self._after_label[node] = min(n + (column == arrived_by[node]) for column, n in to_end.items())

    def start(self) -> tuple[int, ...]:
        return (0,)

    def extend(self, state: tuple[int, ...], label: int) -> tuple[tuple[int, ...], float]:
        ended = self._repeat and any(node and node in self._last_nodes for node in state)
        nodes = {*state, 0} if ended and self._space is None else state
        after = {self._following[node][label] for node in nodes if label in self._following[node]}
        if ended and label == self._space:
            after.add(len(self._following) - 1)
        return tuple(sorted(after)), 0.0 if after else -math.inf

    def finish(self, state: tuple[int, ...]) -> float:
        return 0.0 if any(node in self._last_nodes for node in state) else -math.inf

    def steps_needed(self, state: tuple[int, ...]) -> tuple[int, int]:
        return min(self._after_blank[node] for node in state), min(self._after_label[node] for node in state)


@lru_cache(maxsize=16)
def _compile(phrases: Phrases, vocabulary: Vocabulary, blank_id: int) -> PrefixScorer:
    """The constraint of a phrase list for one vocabulary; kept, because the same list serves many utterances.

    Raises:
        TextError: a text holds a character or word that the vocabulary lacks, or texts shall repeat and a vocabulary of
            characters has no space.
    """
    if vocabulary.unit == "subword":
        return SubwordScorer(lambda characters: _compile(phrases, characters, BLANK_ID), vocabulary, blank_id=blank_id)
    texts = [
        columns_of(text, vocabulary=vocabulary, blank_id=blank_id, where=f"phrase {quoted(text)}")
        for text in phrases.texts
    ]
    if phrases.silence:
        texts.append(())
    space = None
    if phrases.repeat and vocabulary.unit == "character":
        (space,) = columns_of(" ", vocabulary=vocabulary, blank_id=blank_id, where="the space between repeated phrases")
    return PhraseScorer(texts, repeat=phrases.repeat, space=space)
