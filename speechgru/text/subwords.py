"""Subwords: pieces of words with their scores, as SentencePiece's models have them, and words in them."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from speechgru.errors import TextError
from speechgru.files import read_file
from speechgru.text.messages import quoted

Method = Literal["unigram", "bpe"]

#: What a piece begins with that begins a word; by itself it is a space.
WORD_BEGINNING = "\u2581"

#: What SentencePiece takes off the least score for a character that no piece is.
_UNKNOWN_PENALTY = 10.0
#: Words whose pieces are remembered: texts repeat them.
_REMEMBERED = 1 << 17
#: A model's file is no larger.
_MOST_BYTES = 1 << 26
#: Fields of SentencePiece's ModelProto, and of the messages in it (sentencepiece_model.proto).
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_MODEL_TYPE, _SPACE_AS_SUFFIX, _DUMMY_PREFIX = 3, 24, 3
_NORMAL, _USER_DEFINED, _UNUSED = 1, 4, 5
_METHODS: dict[int, Method] = {1: "unigram", 2: "bpe"}


@dataclass(frozen=True)
class Subwords:
    """Pieces of words, and how words are put together from them.

    A word is spelt as SentencePiece spells it, behind `WORD_BEGINNING`: by the pieces whose scores, natural logarithms
    of probabilities, have the highest sum (`unigram`: Kudo 2018, "Subword Regularization", section 3.2), or by joining
    the neighbours of the highest score, the first of equal ones, until none can be joined (`bpe`: Sennrich et al. 2016,
    "Neural Machine Translation of Rare Words with Subword Units"). Sums are rounded to float32 after each piece, as
    there. It is spelt the same wherever it stands: SentencePiece's sums run through the whole text, so that rounding
    may choose another of two equal spellings there.

    Args:
        pieces: each a different one; `WORD_BEGINNING` stands at the beginning of a piece or nowhere in it.
        scores: of each, a float32.
        method: `unigram` or `bpe`.

    Raises:
        TextError: a piece or score is none.

    Example:
        >>> subwords = Subwords(["\u2581", "a", "b", "ab", "\u2581a"], [-3.0, -2.0, -2.0, -2.5, -3.5])
        >>> subwords.spell("abab")  # "\u2581", "ab", "ab"
        ([0, 3, 3], ())
        >>> subwords.spell("ac")
        ([4], ('c',))
    """

    pieces: Sequence[str]
    scores: Sequence[float]
    method: Method = "unigram"

    def __post_init__(self) -> None:
        object.__setattr__(self, "pieces", tuple(self.pieces))
        if self.method not in get_args(Method):
            raise TextError(f"subwords are spelt by unigram or bpe, got {self.method!r:.40}")
        for place, piece in enumerate(self.pieces, start=1):
            if not piece or WORD_BEGINNING in piece[1:] or any(map(str.isspace, piece)):
                raise TextError(
                    f"vocabulary entry {place} must be a piece of one word, {WORD_BEGINNING} only at its beginning, "
                    f"got {piece!r:.80}"
                )
        if len(self.scores) != len(self.pieces):
            raise TextError(f"there are {len(self.pieces):,} subwords and {len(self.scores):,} scores; each has one")
        for piece, score in zip(self.pieces, self.scores, strict=True):
            is_number = isinstance(score, (int, float)) and not isinstance(score, bool)
            if not is_number or not abs(score) < 1e30:  # what float32 can hold, and sums of it
                raise TextError(f"the score of the subword {piece!r:.80} must be a number, got {score!r:.40}")
        object.__setattr__(self, "scores", tuple(map(_float32, self.scores)))

    @classmethod
    def read(cls, path: str | Path) -> Subwords:
        """Reads a SentencePiece model (`.model`), without that package.

        Its control, byte and unknown pieces are left out: a text with characters that no piece has cannot be written.
        Texts go through this project's rules, not through the normaliser that such a model may carry.

        Raises:
            TextError: the file is missing, is no such model, or one whose spelling is another.
        """
        try:
            content = read_file(path, most=_MOST_BYTES)
        except OSError as error:
            raise TextError(f"{path}: the subword model cannot be read ({error.strerror or error})") from error
        try:
            return cls.parse(content)
        except TextError as error:
            raise TextError(f"{path}: {error}") from error

    @classmethod
    def parse(cls, content: bytes) -> Subwords:
        """What `read` reads, from the content of the file.

        Raises: as `read`.
        """
        try:
            fields = _fields(content)
            trainer = dict(_fields(_last(fields, _TRAINER)))
            normalizer = dict(_fields(_last(fields, _NORMALIZER)))
            pieces = [dict(_fields(value)) for number, value in fields if number == _PIECES]
            read = [
                (piece[_TEXT].decode(), struct.unpack("<f", piece[_SCORE])[0], piece.get(_KIND, _NORMAL))
                for piece in pieces
            ]
        except (ValueError, IndexError, KeyError, AttributeError, TypeError, struct.error):
            raise TextError(
                "is not a SentencePiece model, or a damaged one; give the file that ends in .model"
            ) from None
        if not read:
            raise TextError("holds no piece, so it is not a SentencePiece model; give the file that ends in .model")
        method = _METHODS.get(trainer.get(_MODEL_TYPE, 1))
        if method is None:
            raise TextError("is a model of words or characters; train one of the type unigram or bpe")
        if trainer.get(_SPACE_AS_SUFFIX) or not normalizer.get(_DUMMY_PREFIX, 1):
            raise TextError(
                f"marks words otherwise than by {WORD_BEGINNING} at the beginning of each; train it with "
                "--add_dummy_prefix=true and --treat_whitespace_as_suffix=false"
            )
        kinds = {kind for _, _, kind in read}
        if _USER_DEFINED in kinds or (method == "bpe" and _UNUSED in kinds):
            raise TextError("has user-defined or unused pieces, which other rules spell with; train it without them")
        kept = [(text, score) for text, score, kind in read if kind == _NORMAL]
        joined = [text for text, _ in kept if WORD_BEGINNING in text[1:]]
        if joined:
            raise TextError(
                f"its piece {quoted(joined[0])} is of several words; train it with --split_by_whitespace=true"
            )
        return cls([text for text, _ in kept], [score for _, score in kept], method)

    def spell(self, word: str) -> tuple[list[int], tuple[str, ...]]:
        """The places of a word's pieces among `pieces`, and the characters that no piece spells, which are left out.

        Args:
            word: without white space.
        """
        found = self._known.get(word)
        if found is None:
            if WORD_BEGINNING in word:  # as a character it could not be told from the border of a word
                return [], (WORD_BEGINNING,)
            text = WORD_BEGINNING + word
            spelt = self._join(text) if self.method == "bpe" else self._best_path(text)
            places = [self._place[piece] for piece in spelt if piece in self._place]
            found = places, tuple(dict.fromkeys(piece for piece in spelt if piece not in self._place))
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[word] = found
        return list(found[0]), found[1]

    @cached_property
    def _known(self) -> dict[str, tuple[list[int], tuple[str, ...]]]:
        return {}

    @cached_property
    def _place(self) -> dict[str, int]:
        return {piece: place for place, piece in enumerate(self.pieces)}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.pieces), default=0)

    def _best_path(self, text: str) -> list[str]:
        """The pieces of the highest sum; of equal ones the longer last piece. A character that is none is its own."""
        unknown = _float32(min(self.scores, default=0.0) - _UNKNOWN_PENALTY)
        # Of the best spelling up to each place: its sum, and where its last piece begins.
        best = [(0.0, 0), *[(-math.inf, -1)] * len(text)]
        for start in range(len(text)):
            before = best[start][0]
            for end in range(start + 1, min(len(text), start + self._longest) + 1):
                place = self._place.get(text[start:end])
                if place is None and end > start + 1:
                    continue
                total = _float32(before + (unknown if place is None else self.scores[place]))
                if best[end][1] < 0 or total > best[end][0]:
                    best[end] = total, start
        spelt, end = [], len(text)
        while end:
            start = best[end][1]
            spelt.append(text[start:end])
            end = start
        return spelt[::-1]

    def _join(self, text: str) -> list[str]:
        """The characters, and neighbours joined, the pair of the highest score first, then the one further left."""
        spelt = [*text]
        while True:
            pairs = [
                (-self.scores[place], left)
                for left in range(len(spelt) - 1)
                if (place := self._place.get(spelt[left] + spelt[left + 1])) is not None
            ]
            if not pairs:
                return spelt
            _, left = min(pairs)
            spelt[left : left + 2] = [spelt[left] + spelt[left + 1]]


def _float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def _last(fields: Sequence[tuple[int, bytes]], number: int) -> bytes:
    return next((value for found, value in reversed(fields) if found == number), b"")


def _fields(content: bytes) -> list:
    """The fields of a protocol buffer's message, in order: (number, an integer or bytes).

    Raises:
        ValueError, IndexError: it is none.
    """
    found: list = []
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(content, place)
            found.append((number, value))
            continue
        size = {1: 8, 5: 4}.get(wire)
        if wire == 2:
            size, place = _varint(content, place)
        if size is None or place + size > len(content):
            raise ValueError("no field begins here")
        found.append((number, content[place : place + size]))
        place += size
    return found


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and the place behind it."""
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("no number ends here")
