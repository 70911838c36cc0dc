"""Many words as one text, sorted: found by halving, whether they lie in memory or in a file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np

#: Words that are kept as a list to search in first: half a megabyte.
_MOST_MARKS = 1 << 13


class WordList(Sequence[bytes]):
    """Words in the order of their UTF-8 bytes, which is that of their code points; each is numbered by its place.

    Args:
        text: the UTF-8 of all words, one after the other.
        ends_W: where each word ends in it.

    Example:
        >>> words = WordList.of(["on", "off", "of"])
        >>> len(words), words[0], words.place("off"), words.place("none")
        (3, b'of', 1, -1)
        >>> words.has_beginning("o"), words.has_beginning("f")
        (True, False)
    """

    def __init__(self, text: memoryview | bytes, ends_W: np.ndarray):
        self.text, self.ends_W = memoryview(text), ends_W
        self._ends = ends_W.data

    @classmethod
    def of(cls, words: Iterable[str]) -> WordList:
        """The list of some words, each once."""
        encoded = sorted({word.encode("utf-8") for word in words})
        return cls(b"".join(encoded), np.cumsum([len(word) for word in encoded], dtype=np.uint32))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, place: int) -> bytes:  # type: ignore[override]
        return bytes(self.text[self._ends[place - 1] if place else 0 : self._ends[place]])

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        for end in self.ends_W.tolist():
            yield bytes(self.text[start:end])
            start = end

    def place(self, word: str) -> int:
        """The place of a word; -1 where it is none of these."""
        wanted = word.encode("utf-8", "surrogatepass")
        place = self._first_from(wanted)
        return place if place < len(self) and self[place] == wanted else -1

    def has_beginning(self, beginning: str) -> bool:
        """Whether any of the words begins so."""
        wanted = beginning.encode("utf-8", "surrogatepass")
        place = self._first_from(wanted)
        return place < len(self._ends) and self[place].startswith(wanted)

    @cached_property
    def _marks(self) -> list[bytes]:
        """Every so many words, at most `_MOST_MARKS`: what is searched first, since a list is several times quicker."""
        return [self[place] for place in range(0, len(self), self._stride)]

    @cached_property
    def _stride(self) -> int:
        return max(1, -(-len(self) // _MOST_MARKS))

    def _first_from(self, wanted: bytes) -> int:
        """The place of the first word that is not below `wanted`."""
        mark, stride = bisect_left(self._marks, wanted), self._stride
        if stride == 1 or not mark:
            return mark
        return bisect_left(self, wanted, (mark - 1) * stride + 1, min(mark * stride, len(self)))
