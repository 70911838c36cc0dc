"""The vocabulary: what a model can write, from texts to labels and back."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from speechgru.errors import TextError
from speechgru.files import read_file, read_text, write_text
from speechgru.text.messages import describe_characters
from speechgru.text.subwords import WORD_BEGINNING, Method, Subwords

Unit = Literal["character", "subword", "word"]

#: The label of the CTC blank.
BLANK_ID = 0

#: The entry that a vocabulary of words with letters (`Vocabulary.with_letters`) writes for any word that it lacks.
UNKNOWN_WORD = "<unk>"

#: What begins the entries of a vocabulary of words that spell the words that it lacks: a word's first letter (as in
#: SentencePiece's pieces) and each further one (as in WordPiece's).
FIRST_LETTER, FURTHER_LETTER = WORD_BEGINNING, "##"

_BLANK_LINE = "<blank>"
#: A vocabulary's file is no larger.
_MOST_BYTES = 1 << 26
_BLANK_LINE_OF_WORDS = "<blank> (one word a line)"
#: A piece and its score a line, with a tab between; the last word is how words are spelt with them.
_BLANK_LINES_OF_SUBWORDS: dict[str, Method] = {
    f"<blank> (one subword and its score a line: {method})": method for method in get_args(Method)
}
_SPACE_LINE = "<space>"


class Vocabulary:
    """What a model can write, each entry with its label.

    Args:
        entries: characters, words or pieces of words in label order, from label 1; each a different one.
        unit: `character`: every entry is one character, and a space between words is one too. `subword`: every entry
            is a piece of a word, `WORD_BEGINNING` in front of the first of a word. `word`: every entry is a word
            without white space, for commands and other small, closed sets; texts are split at spaces. Entries of a
            letter behind `FIRST_LETTER` or `FURTHER_LETTER` spell any other word in the labels that training learns
            from (`with_letters`). They come last, behind `UNKNOWN_WORD`, which is all that a model writes of such a
            word: it has no class for letters, and `len` does not count them.
        subwords: what spells words with the entries of unit `subword` (`of_subwords`); None for the others.

    Raises:
        TextError: an entry is not one character or word, stands twice, or is a letter in front of `UNKNOWN_WORD`.

    Example:
        >>> Vocabulary(["lights", "off", "on"], unit="word").encode("lights on")
        [1, 3]
        >>> with_letters = Vocabulary.with_letters(["lights"], "ade")
        >>> with_letters.encode("lights dead"), with_letters.decode([1, 4, 8, 6, 7])
        ([1, 4, 8, 6, 7], 'lights dead')
        >>> len(with_letters), with_letters.decode([1, 2])
        (3, 'lights <unk>')
    """

    def __init__(self, entries: Sequence[str], *, unit: Unit = "character", subwords: Subwords | None = None):
        self.entries = tuple(entries)
        self.unit = unit
        self.subwords = subwords
        if unit not in get_args(Unit):
            raise TextError(f"a vocabulary's unit must be character, subword or word, got {unit!r}")
        if (unit == "subword") != (subwords is not None) or (subwords and subwords.pieces != self.entries):
            raise TextError("a vocabulary of subwords, and no other, has their scores (Vocabulary.of_subwords)")
        for position, entry in enumerate(self.entries, start=1):
            if unit == "word" and entry.split() != [entry]:
                raise TextError(f"vocabulary entry {position} must be one word without white space, got {entry!r}")
            if unit == "character" and len(entry) != 1:
                raise TextError(f"vocabulary entry {position} must be one character, got {entry!r}")
            if unit == "character" and entry.isspace() and entry != " ":
                raise TextError(f"vocabulary entry {position} must be a space or no white space, got {entry!r}")
        if len(set(self.entries)) != len(self.entries):
            twice = sorted({entry for entry in self.entries if self.entries.count(entry) > 1})
            raise TextError(f"the vocabulary holds {', '.join(map(repr, twice))} more than once")
        self._labels = {entry: label for label, entry in enumerate(self.entries, start=1)}
        self._first_letters, self._further_letters = (
            {entry[-1]: label for entry, label in self._labels.items() if _is_letter(entry, mark, unit)}
            for mark in (FIRST_LETTER, FURTHER_LETTER)
        )
        spelling = {*self._first_letters.values(), *self._further_letters.values()}
        #: The label of `UNKNOWN_WORD` where letters spell words; None where every entry is a model's to write.
        self.unknown_label = self._labels.get(UNKNOWN_WORD) if spelling else None
        if self.unknown_label is not None and spelling != set(range(self.unknown_label + 1, len(self.entries) + 1)):
            raise TextError(f"the entries that spell other words must be the last, and come behind {UNKNOWN_WORD}")

    @property
    def characters(self) -> tuple[str, ...]:
        """The entries, by the name that they have in a vocabulary of characters."""
        return self.entries

    @property
    def spelt_with(self) -> Literal["character", "word"]:
        """What a text is missing that cannot be written: characters, also of subwords, or words."""
        return "word" if self.unit == "word" else "character"

    @property
    def space_label(self) -> int | None:
        """The label that writes a space and nothing else; None where there is none."""
        return None if self.unit == "word" else self._labels.get(WORD_BEGINNING if self.subwords else " ")

    def writes(self, label: int) -> str:
        """What a label adds to a text: an entry, of subwords with a space for `WORD_BEGINNING`."""
        entry = self.entries[label - 1]
        return entry.replace(WORD_BEGINNING, " ") if self.subwords else entry

    def drawn(self, label: int) -> str:
        """What a label adds as pictures show it, with a visible space."""
        return self.writes(label).replace(" ", "\u2423")

    def __len__(self) -> int:
        """The number of a model's classes, blank included."""
        return 1 + (len(self.entries) if self.unknown_label is None else self.unknown_label)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vocabulary)
            and (self.unit, self.entries) == (other.unit, other.entries)
            and self.subwords == other.subwords
        )

    def __hash__(self) -> int:
        return hash((self.unit, self.entries))

    @classmethod
    def of_subwords(cls, subwords: Subwords) -> Vocabulary:
        """The vocabulary of pieces of words.

        Example:
            >>> pieces = Subwords(["\u2581", "a", "b", "\u2581ab"], [-3.0, -3.0, -3.0, -2.0])
            >>> vocabulary = Vocabulary.of_subwords(pieces)
            >>> vocabulary.encode("ab ba"), vocabulary.decode([4, 1, 3, 2])
            ([4, 1, 3, 2], 'ab ba')
        """
        return cls(subwords.pieces, unit="subword", subwords=subwords)

    @classmethod
    def of_subword_file(cls, path: str | Path) -> Vocabulary:
        """The pieces of a SentencePiece model (`Subwords.read`), or those that `save` wrote.

        Raises:
            TextError: the file is missing, or neither.
        """
        try:
            is_saved = read_file(path, most=_MOST_BYTES).startswith(_BLANK_LINE.encode())
        except OSError as error:
            raise TextError(f"{path}: the subword model cannot be read ({error.strerror or error})") from error
        if not is_saved:
            return cls.of_subwords(Subwords.read(path))
        vocabulary = cls.load(path)
        if vocabulary.unit != "subword":
            raise TextError(f"{path}: is a vocabulary of {vocabulary.unit}s; give one of subwords")
        return vocabulary

    @classmethod
    def from_texts(cls, texts: Iterable[str], *, unit: Unit = "character") -> Vocabulary:
        """The vocabulary of all characters or words in normalised texts, in code point order (space first).

        Raises:
            TextError: the texts hold none at all.
        """
        entries = sorted({entry for text in texts for entry in _entries_of(text, unit)})
        if not entries:
            raise TextError(
                f"no transcript holds a {unit}; a vocabulary needs at least one: give data.train recordings in which "
                f"something is said, or name the {unit}s (text.{unit}s)"
            )
        return cls(entries, unit=unit)

    def unknown(self, text: str) -> list[str]:
        """The characters or words of a normalised text that are no entry, each once, in order of appearance.

        Of subwords it is the characters that no piece spells; a space is none of them.
        """
        if self.subwords is not None:
            return [*dict.fromkeys(one for word in text.split() for one in self.subwords.spell(word)[1])]
        return [entry for entry in dict.fromkeys(_entries_of(text, self.unit)) if entry not in self._labels]

    @classmethod
    def with_letters(cls, words: Iterable[str], letters: Iterable[str]) -> Vocabulary:
        """A vocabulary of words, and of letters that spell any other word for training, both in the given order.

        Where there are no letters it is one of words alone.
        """
        each = tuple(dict.fromkeys(letters))
        spelling = [mark + letter for mark in (FIRST_LETTER, FURTHER_LETTER) for letter in each]
        words = [word for word in words if word != UNKNOWN_WORD or not spelling]
        return cls([*words, *([UNKNOWN_WORD, *spelling] if spelling else [])], unit="word")

    @property
    def written(self) -> Vocabulary:
        """What a model writes: the vocabulary without the letters that training alone knows."""
        return self if self.unknown_label is None else Vocabulary(self.entries[: self.unknown_label], unit=self.unit)

    @property
    def words(self) -> tuple[str, ...]:
        """The entries that are words, `UNKNOWN_WORD` and what spells others left out; none of another unit."""
        if self.unit != "word":
            return ()
        if self.unknown_label is not None:
            return self.entries[: self.unknown_label - 1]
        return tuple(entry for entry in self.entries if self.letter_of(entry) is None)

    @property
    def letters(self) -> str:
        """The letters that other words are spelt with; empty where there are none."""
        return "".join(self._first_letters)

    def letter_of(self, entry: str) -> str | None:
        """The letter that an entry of a vocabulary of words spells other words with; None for a word."""
        is_one = any(_is_letter(entry, mark, self.unit) for mark in (FIRST_LETTER, FURTHER_LETTER))
        return entry[-1] if is_one else None

    def unwritable(self, text: str) -> list[str]:
        """The entries of a normalised text that have no label, and that cannot be spelt either; in order, each once."""
        return [entry for entry in self.unknown(text) if self._spell(entry) is None]

    def _spell(self, word: str) -> list[int] | None:
        """The labels of a word that is no entry, letter by letter; None where a letter is missing."""
        if word[0] not in self._first_letters or not self._further_letters.keys() >= set(word[1:]):
            return None
        return [self._first_letters[word[0]], *(self._further_letters[letter] for letter in word[1:])]

    def encode(self, text: str, *, where: str = "transcript") -> list[int]:
        """Turns a normalised text into labels.

        Args:
            text: normalised text.
            where: the utterance's name, for the message.

        Raises:
            TextError: a character or word is not in the vocabulary, and cannot be spelt; names it and `where`.
        """
        unwritable = self.unwritable(text)
        if unwritable:
            raise TextError(
                f"{where}: {describe_characters(unwritable)} not in the vocabulary; "
                f"spell the transcript with known {self.spelt_with}s or train with a vocabulary that has them"
            )
        if self.subwords is not None:
            return [place + 1 for word in text.split() for place in self.subwords.spell(word)[0]]
        labels: list[int] = []
        for entry in _entries_of(text, self.unit):
            labels += [self._labels[entry]] if entry in self._labels else self._spell(entry) or []
        return labels

    def decode(self, labels: Iterable[int]) -> str:
        """Turns labels (no blanks, repeats already merged) into text: characters joined, or words with spaces."""
        entries_of = self.entries
        if self.unit == "character":
            return "".join([entries_of[label - 1] for label in labels])
        labels = list(labels)
        entries = [entries_of[label - 1] for label in labels]
        if self.unit == "subword":
            return " ".join("".join(map(self.writes, labels)).split())
        letters = [self.letter_of(entry) for entry in entries]
        spans = self.word_spans(labels)
        return " ".join("".join(letters[k] or entries[k] for k in range(*span)) for span in spans)

    def word_spans(self, labels: Sequence[int]) -> list[tuple[int, int]]:
        """Where the words of a label sequence are: for each the place of its first label and the one after its last.

        A word entry is a word of its own; letters are one together, from the first of a word up to the next entry that
        is no further letter; characters are words between spaces; subwords are one from each that begins a word up to
        the next, where they write more than `WORD_BEGINNING`.

        Example:
            >>> Vocabulary(" abc").word_spans([2, 3, 1, 1, 4])
            [(0, 2), (4, 5)]
        """
        if self.unit == "word":
            further, spelling = set(self._further_letters.values()), set(self._first_letters.values())
            spelling |= further
            begins = [
                place
                for place, label in enumerate(labels)
                if label not in further or not place or labels[place - 1] not in spelling
            ]
            return list(itertools.pairwise([*begins, len(labels)]))
        if self.unit == "subword":
            entries = [self.entries[label - 1] for label in labels]
            begins = [place for place, entry in enumerate(entries) if not place or entry.startswith(WORD_BEGINNING)]
            spans = itertools.pairwise([*begins, len(labels)])
            return [(first, after) for first, after in spans if entries[first:after] != [WORD_BEGINNING]]
        space = self.space_label
        gaps = [place for place, label in enumerate(labels) if label == space]
        edges = zip([-1, *gaps], [*gaps, len(labels)], strict=True)
        return [(before + 1, after) for before, after in edges if after > before + 1]

    def as_record(self) -> dict[str, Any]:
        """The vocabulary as JSON-ready fields: `unit` and `entries`, and of subwords their scores."""
        record: dict[str, Any] = {"unit": self.unit, "entries": list(self.entries)}
        if self.subwords is not None:
            scores = [float(_digits(score)) for score in self.subwords.scores]
            record["subwords"] = {"method": self.subwords.method, "scores": scores}
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | str) -> Vocabulary:
        """What `as_record` gave; or text, each character an entry, as was written before there were words."""
        if isinstance(record, str):
            return cls(record)
        if record["unit"] == "subword":
            more = record["subwords"]
            return cls.of_subwords(Subwords(record["entries"], more["scores"], more["method"]))
        return cls(record["entries"], unit=record["unit"])

    def save(self, path: str | Path) -> None:
        """Writes one entry a line in label order, from `<blank>`; a space is written `<space>`.

        Behind a subword stand a tab and its score: the file is all that spelling with them needs.
        """
        if self.subwords is not None:
            first = next(line for line, method in _BLANK_LINES_OF_SUBWORDS.items() if method == self.subwords.method)
            scored = zip(self.entries, self.subwords.scores, strict=True)
            lines = [first, *(f"{piece}\t{_digits(score)}" for piece, score in scored)]
        elif self.unit == "word":
            lines = [_BLANK_LINE_OF_WORDS, *self.entries]
        else:
            lines = [_BLANK_LINE, *(_SPACE_LINE if entry == " " else entry for entry in self.entries)]
        write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Reads what `save` wrote.

        Raises:
            TextError: the file is missing, its first line is not `<blank>`, or a line holds no entry.
        """
        try:
            lines = read_text(path, most=_MOST_BYTES).split("\n")
        except OSError as error:
            raise TextError(f"{path}: the vocabulary cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise TextError(f"{path}: the vocabulary is not UTF-8 text") from error
        if lines and not lines[-1]:
            lines.pop()
        if not lines or lines[0] not in (_BLANK_LINE, _BLANK_LINE_OF_WORDS, *_BLANK_LINES_OF_SUBWORDS):
            raise TextError(
                f"{path}: a vocabulary begins with the line {_BLANK_LINE} (label 0), or one of whole words with "
                f"{_BLANK_LINE_OF_WORDS}, or one of subwords with {' or '.join(_BLANK_LINES_OF_SUBWORDS)}"
            )
        try:
            if lines[0] in _BLANK_LINES_OF_SUBWORDS:
                pieces, scores = _read_scored(lines[1:])
                return cls.of_subwords(Subwords(pieces, scores, _BLANK_LINES_OF_SUBWORDS[lines[0]]))
            if lines[0] == _BLANK_LINE_OF_WORDS:
                return cls(lines[1:], unit="word")
            return cls([" " if line == _SPACE_LINE else line for line in lines[1:]])
        except TextError as error:
            raise TextError(f"{path}: {error}") from error


def _digits(score: float) -> str:
    """A float32 as text that gives it back."""
    return f"{score:.9g}"


def _read_scored(lines: Sequence[str]) -> tuple[list[str], list[float]]:
    """The pieces and scores of lines `piece<tab>score`.

    Raises:
        TextError: a line is none.
    """
    pieces, scores = [], []
    for number, line in enumerate(lines, start=2):
        piece, _, score = line.partition("\t")
        try:
            scores.append(float(score))
        except ValueError:
            raise TextError(f"line {number} must be a subword, a tab and its score, got {line!r:.80}") from None
        pieces.append(piece)
    return pieces, scores


def _is_letter(entry: str, mark: str, unit: Unit) -> bool:
    return unit == "word" and len(entry) == len(mark) + 1 and entry.startswith(mark)


def _entries_of(text: str, unit: Unit) -> Sequence[str]:
    return text.split() if unit == "word" else text
