"""From transcripts to labels and back: the normaliser and the vocabulary.

Label 0 is the CTC blank (`BLANK_ID`) and stands for no character; the characters follow from 1.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from speechgru.errors import TextError
from speechgru.files import write_text

#: The label of the CTC blank.
BLANK_ID = 0

_BLANK_LINE = "<blank>"
_SPACE_LINE = "<space>"
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u0060": "'", "\u00b4": "'"})


def normalize_text(text: str, *, lowercase: bool = True, remove_punctuation: bool = True) -> str:
    """Brings a transcript to the form that the model learns and that scoring compares.

    Unicode NFKC, one kind of apostrophe, optionally lower case and no punctuation (an apostrophe inside a word
    stays: "don't"; every other mark becomes a space, so "well-kept" is two words), single spaces.

    Args:
        text: the transcript as written.
        lowercase: whether to fold case.
        remove_punctuation: whether marks (Unicode categories P and S) become spaces.

    Returns:
        The normalised text; empty where nothing is left.
    """
    # Before NFKC, which takes the acute accent for a space and a combining mark; after it, for what it takes apart.
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).translate(_APOSTROPHES)
    if lowercase:
        text = text.lower()
    if remove_punctuation:
        text = "".join(
            character if unicodedata.category(character)[0] not in "PS" or _is_inner_apostrophe(text, position) else " "
            for position, character in enumerate(text)
        )
    return " ".join(text.split())


def _is_inner_apostrophe(text: str, position: int) -> bool:
    return (
        text[position] == "'"
        and 0 < position < len(text) - 1
        and text[position - 1].isalnum()
        and text[position + 1].isalnum()
    )


class Vocabulary:
    """The characters a model can write, each with its label.

    Args:
        characters: the characters in label order, from label 1; each a single, different character.

    Raises:
        TextError: an entry is not one character, or stands twice.
    """

    def __init__(self, characters: Sequence[str]):
        self.characters = tuple(characters)
        for position, character in enumerate(self.characters):
            if len(character) != 1:
                raise TextError(f"vocabulary entry {position + 1} must be one character, got {character!r}")
            if character.isspace() and character != " ":
                raise TextError(f"vocabulary entry {position + 1} must be a space or no white space, got {character!r}")
        if len(set(self.characters)) != len(self.characters):
            twice = sorted({c for c in self.characters if self.characters.count(c) > 1})
            raise TextError(f"the vocabulary holds {', '.join(map(repr, twice))} more than once")
        self._labels = {character: label for label, character in enumerate(self.characters, start=1)}

    def __len__(self) -> int:
        """The number of classes, blank included."""
        return len(self.characters) + 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Vocabulary:
        """The vocabulary of all characters in normalised texts, in code point order (space first).

        Raises:
            TextError: the texts hold no character at all.
        """
        characters = sorted(set().union(*(set(text) for text in texts)))
        if not characters:
            raise TextError("no transcript holds a character; a vocabulary needs at least one")
        return cls(characters)

    def unknown(self, text: str) -> list[str]:
        """The characters of a normalised text that the vocabulary lacks, each once, in order of appearance."""
        return [character for character in dict.fromkeys(text) if character not in self._labels]

    def encode(self, text: str, *, where: str = "transcript") -> list[int]:
        """Turns a normalised text into labels.

        Args:
            text: normalised text.
            where: the utterance's name, for the message.

        Raises:
            TextError: a character is not in the vocabulary; names it and `where`.
        """
        unknown = self.unknown(text)
        if unknown:
            raise TextError(
                f"{where}: {describe_characters(unknown)} not in the vocabulary; "
                "spell the transcript with known characters or train with a vocabulary that has them"
            )
        return [self._labels[character] for character in text]

    def decode(self, labels: Iterable[int]) -> str:
        """Turns labels (no blanks, repeats already merged) into text."""
        return "".join(self.characters[label - 1] for label in labels)

    def save(self, path: str | Path) -> None:
        """Writes one entry a line in label order, from `<blank>`; a space is written `<space>`."""
        lines = [_BLANK_LINE, *(_SPACE_LINE if c == " " else c for c in self.characters)]
        write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Reads what `save` wrote.

        Raises:
            TextError: the file is missing, or its first line is not `<blank>`.
        """
        try:
            lines = Path(path).read_text(encoding="utf-8").split("\n")
        except OSError as error:
            raise TextError(f"{path}: the vocabulary cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise TextError(f"{path}: the vocabulary is not UTF-8 text") from error
        if lines and not lines[-1]:
            lines.pop()
        if not lines or lines[0] != _BLANK_LINE:
            raise TextError(f"{path}: a vocabulary begins with the line {_BLANK_LINE} (label 0)")
        try:
            return cls([" " if line == _SPACE_LINE else line for line in lines[1:]])
        except TextError as error:
            raise TextError(f"{path}: {error}") from error


def describe_characters(characters: Sequence[str]) -> str:
    """Names characters for a message: `'ß' (U+00DF) is` or `'ß' (U+00DF), '7' (U+0037) are`."""
    named = ", ".join(f"{character!r} (U+{ord(character):04X})" for character in characters)
    return f"{named} {'is' if len(characters) == 1 else 'are'}"
