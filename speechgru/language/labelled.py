"""Texts to learn a language from, and the labels that spell them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru.errors import LanguageError
from speechgru.language.texts import numbered_texts
from speechgru.text import UNKNOWN_WORD, TextRules, Vocabulary, describe_characters, quoted

_NO_TEXT = "{}: holds no text; write an utterance a line"


@dataclass(frozen=True)
class LabelledTexts:
    """Texts as labels, in two arrays: millions of them fit into memory.

    Args:
        labels: of all texts, one behind the other.
        ends: where each text ends in them.
        origins: where each text was read, such as `texts.txt:3`.
        num_words: words of each.
        num_characters: characters of each, normalised.
    """

    labels: np.ndarray
    ends: np.ndarray
    origins: Sequence[str]
    num_words: np.ndarray
    num_characters: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> np.ndarray:
        """The labels of a text."""
        return self.labels[self.ends[index - 1] if index else 0 : self.ends[index]]

    @property
    def num_labels(self) -> np.ndarray:
        """Labels of each."""
        return np.diff(self.ends, prepend=0)

    def chosen(self, places: np.ndarray) -> LabelledTexts:
        """Some of the texts."""
        parts = [self[index] for index in places.tolist()]
        return dataclasses.replace(
            self,
            labels=np.concatenate([np.zeros(0, np.int32), *parts]),
            ends=np.cumsum([len(part) for part in parts], dtype=np.int64),
            origins=[self.origins[index] for index in places.tolist()],
            num_words=self.num_words[places],
            num_characters=self.num_characters[places],
        )


@dataclass(frozen=True)
class LeftOut:
    """A text that is not learnt from.

    Args:
        origin: where it was read.
        reason: why, as the end of a sentence about it.
    """

    origin: str
    reason: str


def read_texts(path: str | Path) -> list[tuple[str, str]]:
    """The texts of a file that are not empty, each with where it stands (`texts.numbered_texts`).

    Raises:
        LanguageError: the file cannot be read, is not UTF-8, or holds no text.
    """
    texts = [(f"{path}:{number}", text) for number, text in numbered_texts(Path(path)) if text.strip()]
    if not texts:
        raise LanguageError(_NO_TEXT.format(path))
    return texts


def require_texts(paths: Sequence[str | Path]) -> None:
    """Refuses files without a text by their first one, to be asked before anything long is done.

    Raises:
        LanguageError: none is named, or one cannot be read or holds none.
    """
    if not paths:
        raise LanguageError("no texts are named; give files of a line an utterance, or manifests")
    for path in paths:
        if not any(text.strip() for _, text in numbered_texts(Path(path))):
            raise LanguageError(_NO_TEXT.format(path))


def label_texts(
    texts: Iterable[tuple[str, str]], *, rules: TextRules, vocabulary: Vocabulary, max_labels: int
) -> tuple[LabelledTexts, list[LeftOut]]:
    """Spells texts as a recogniser writes them.

    Args:
        texts: as `read_texts` gives them.
        rules: the recogniser's text rules.
        vocabulary: its labels. Where it has one for unknown words, they have this label.
        max_labels: longer texts are left out.

    Returns:
        The texts with labels, and those that were left out because they cannot be written or are too long. A text of
        which the rules leave nothing is neither.
    """
    written, is_open = vocabulary.written, vocabulary.unknown_label is not None
    labels, ends, origins, words, characters = [np.zeros(0, np.int32)], [], [], [], []
    left_out: list[LeftOut] = []
    end = 0
    for origin, text in texts:
        normalized = rules.normalize(text)
        if not normalized:
            continue
        unknown = written.unknown(normalized)
        if unknown and is_open:
            missing = set(unknown)
            normalized = " ".join(UNKNOWN_WORD if word in missing else word for word in normalized.split())
        elif unknown:
            left_out.append(LeftOut(origin, f"{describe_characters(unknown)} no label of the recogniser's"))
            continue
        spelt = np.array(written.encode(normalized), np.int32)
        if len(spelt) > max_labels:
            left_out.append(LeftOut(origin, f"{quoted(normalized)} has {len(spelt):,} labels"))
            continue
        end += len(spelt)
        labels.append(spelt)
        ends.append(end)
        origins.append(origin)
        words.append(len(normalized.split()))
        characters.append(len(normalized))
    return (
        LabelledTexts(
            np.concatenate(labels), np.array(ends, np.int64), origins, np.array(words, int), np.array(characters, int)
        ),
        left_out,
    )
