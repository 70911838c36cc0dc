"""KenLM's binary files: hash tables are asked in place, tries are read into a model of ours.

Version 5 of the format, as KenLM writes it on little-endian machines: a header, a table of the words' hashes, the
n-grams, and the words. Words are numbered; 0 is the unknown one. Probabilities are common logarithms. (Sources:
lm/binary_format.cc, lm/search_hashed.hh, lm/trie.cc and lm/vocab.cc of KenLM.)
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru.errors import LanguageError
from speechgru.files import ANY_SIZE, open_file
from speechgru.language.model import LanguageModel, NumberedModel
from speechgru.language.ngram import BEGIN, END, UNKNOWN, NGramModel
from speechgru.language.tables import Grams
from speechgru.language.words import WordList

#: What every binary file of KenLM begins with, whatever its version.
MARK = b"mmap lm http://kheafield.com/code"

_LN_10 = math.log(10)
_MAGIC = b"mmap lm http://kheafield.com/code format version 5\n\0\0"
_MAGIC += bytes(-len(_MAGIC) % 8)
# What tells that numbers are written as here: 0, 1 and -0.5, 1, the highest index of a word, padding, 1.
_SANITY = _MAGIC + struct.pack("<fffIIIQ", 0.0, 1.0, -0.5, 1, 0xFFFFFFFF, 0, 1)
# Order, multiplier of the hash tables, kind, whether the words are in the file, version of the kind; with padding.
_FIXED = struct.Struct("<B3xfI?3xI")
_KINDS = (
    "a hash table",
    "a hash table with rest costs",
    "a trie",
    "a quantised trie",
    "a trie with compressed pointers",
    "a quantised trie with compressed pointers",
)
_PROBING, _TRIE = 0, 2
_VERSION_OF = {_PROBING: 0, _TRIE: 1}
_MOST_ORDER, _MOST_ENTRIES = 20, 1 << 40

_KEY_AND_BOTH, _KEY_AND_PROB, _BOTH = struct.Struct("<Qff"), struct.Struct("<Qf"), struct.Struct("<ff")
_OF_HASH, _OF_WORD, _MASK = 8978948897894561157, 17894857484156487943, (1 << 64) - 1
_PROB_BITS, _BACKOFF_BITS = 31, 32


def read_kenlm(path: Path) -> LanguageModel:
    """Opens a binary file of KenLM.

    Raises:
        LanguageError: damaged, cut short, or of a kind or version that is not read; says how to get one that is.
        OSError: it cannot be read.
    """
    with open_file(path, most=ANY_SIZE) as stream:
        content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        header = _Header.read(content)
        return ProbingModel(content, header) if header.kind == _PROBING else _read_trie(content, header, str(path))
    except (struct.error, IndexError, KeyError, ValueError) as error:
        if isinstance(error, LanguageError):
            raise LanguageError(f"{path}: {error}") from error
        raise LanguageError(f"{path}: KenLM's file is damaged or cut short; copy it again, or make it anew") from error


@dataclass(frozen=True)
class _Header:
    """What stands at a file's beginning.

    Args:
        kind: of the n-grams' table.
        multiplier: buckets for each n-gram of hash tables.
        counts: n-grams of each order, the unknown word among the first.
        end: where the table of words begins.
    """

    kind: int
    multiplier: float
    counts: tuple[int, ...]
    end: int

    @classmethod
    def read(cls, content: memoryview) -> _Header:
        if bytes(content[: len(_SANITY)]) != _SANITY:
            raise LanguageError(
                "is of another version of KenLM, of another kind of machine, or was not finished; give the ARPA file "
                "that it was made of, or make it anew with a KenLM of since 2012"
            )
        order, multiplier, kind, has_words, version = _FIXED.unpack_from(content, len(_SANITY))
        if kind not in _VERSION_OF or version != _VERSION_OF[kind]:
            name = _KINDS[kind] if kind < len(_KINDS) else f"a table of kind {kind}"
            raise LanguageError(
                f"is {name} of KenLM, version {version}, which is not read here; give the ARPA file that it was made "
                "of, or make it with `build_binary trie` or `build_binary probing` without further options"
            )
        if not has_words:
            raise LanguageError("holds no words, only their hashes (build_binary -w); give the ARPA file")
        start = len(_SANITY) + _FIXED.size
        counts = struct.unpack_from(f"<{order}Q", content, start)
        if not 2 <= order <= _MOST_ORDER or not 1 <= multiplier < 1e3 or max(counts) > _MOST_ENTRIES:
            raise ValueError("the header is damaged")
        return cls(kind, multiplier, counts, -(-(start + 8 * order) // 8) * 8)


def _words_behind(content: memoryview, start: int, count: int) -> list[str]:
    """The words by their numbers, which stand behind everything else."""
    words = bytes(content[start:]).split(b"\0")
    if len(words) < count or words[0] != UNKNOWN.encode():
        raise ValueError("the words are not where they should be")
    return [word.decode() for word in words[:count]]


class ProbingModel(NumberedModel):
    """KenLM's hash tables: an n-gram is found by a hash of its words, from the last to the first.

    The tables hold no n-gram's words, so such a model cannot be listed, nor written in another form.

    Args:
        content: the file.
        header: what stands at its beginning.
    """

    def __init__(self, content: memoryview, header: _Header):
        self._content, self.order = content, len(header.counts)
        buckets = _num_buckets(header.counts[0], header.multiplier)
        self._unigrams = header.end + 8 + buckets * 12
        start = self._unigrams + 8 * (header.counts[0] + 1)
        self._tables: list[tuple[int, int, struct.Struct]] = []
        for length in range(2, self.order + 1):
            layout = _KEY_AND_BOTH if length < self.order else _KEY_AND_PROB
            buckets = _num_buckets(header.counts[length - 1], header.multiplier)
            self._tables.append((start, buckets, layout))
            start += buckets * layout.size
        # The number of the words is the table's: an unknown word that the ARPA file lacked is counted there alone.
        num_words = struct.unpack_from("<II", content, header.end)[1]
        words = _words_behind(content, start, num_words)
        self.words = WordList.of(words)
        number_of = {word: number for number, word in enumerate(words)}
        self._number_of_place = [number_of[word.decode()] for word in self.words]
        self._begin = number_of[BEGIN]
        super().__init__(unknown=0, end=number_of[END])

    @property
    def description(self) -> str:
        return f"{self.order}-gram model of {len(self.words) - 3:,} words (KenLM's hash tables)"

    def start(self) -> tuple:
        return ((self._begin, _BOTH.unpack_from(self._content, self._unigrams + 8 * self._begin)[1]),)

    def _number(self, word: str) -> int:
        place = -1 if word in (BEGIN, END) else self.words.place(word)
        return 0 if place < 0 else self._number_of_place[place]

    def _look_up(self, state: tuple, word: int) -> tuple[tuple, float]:
        """A state holds the words before, the last one first, each with the backoff of the n-gram up to there."""
        log_prob, backoff = _BOTH.unpack_from(self._content, self._unigrams + 8 * word)
        backoffs, node = [backoff], word
        matched = 0
        for (before, _), table in zip(state, self._tables, strict=False):
            node = ((node * _OF_HASH) ^ ((1 + before) * _OF_WORD)) & _MASK
            found = self._find(table, node)
            if found is None:
                break
            log_prob, matched = found[1], matched + 1
            backoffs += found[2:]
        # The sign says whether a longer n-gram ends so; every logarithm is at most 0.
        total = -abs(log_prob) + math.fsum(backoff for _, backoff in state[matched:])
        backoffs = backoffs[: self.order - 1]
        while backoffs and backoffs[-1] == 0 and math.copysign(1, backoffs[-1]) < 0:  # -0: nothing follows
            backoffs.pop()
        numbers = (word, *(before for before, _ in state))
        return tuple(zip(numbers, backoffs, strict=False)), total * _LN_10

    def _find(self, table: tuple[int, int, struct.Struct], key: int) -> tuple | None:
        start, buckets, layout = table
        place = key % buckets
        for _ in range(buckets):
            entry = layout.unpack_from(self._content, start + place * layout.size)
            if entry[0] == key:
                return entry
            if not entry[0]:
                return None
            place = (place + 1) % buckets
        return None


def _num_buckets(entries: int, multiplier: float) -> int:
    return max(entries + 1, int(np.float32(multiplier) * np.float32(entries)))


def _read_trie(content: memoryview, header: _Header, name: str) -> NGramModel:
    """A trie's n-grams: each below the one without its first word, from the last word to the first."""
    counts, order = header.counts, len(header.counts)
    data = np.frombuffer(content, np.uint8)
    start = header.end + 8 + 8 * counts[0]
    ones = np.frombuffer(content, np.dtype("<f4, <f4, <u8"), counts[0] + 1, start)
    firsts_N = ones["f2"].astype(np.int64)
    given = [_grams(np.arange(counts[0])[:, None], ones["f0"][:-1], ones["f1"][:-1])]
    reversed_NK = given[0].ids_NK
    start += 16 * (counts[0] + 2)
    word_bits = counts[0].bit_length()
    for length in range(2, order + 1):
        is_last = length == order
        next_bits = 0 if is_last else counts[length].bit_length()
        bits = word_bits + _PROB_BITS + (0 if is_last else _BACKOFF_BITS + next_bits)
        # One entry more than n-grams ends the last one's range.
        offsets = np.arange(counts[length - 1] + (not is_last), dtype=np.int64) * bits + 8 * start
        num_grams = counts[length - 1]
        words_N = _field(data, offsets[:num_grams], word_bits)
        prob_bits = _field(data, offsets[:num_grams] + word_bits, _PROB_BITS).astype(np.uint32) | np.uint32(1 << 31)
        backoffs_N = np.zeros(num_grams, np.float32)
        sizes_N = np.diff(firsts_N)
        if firsts_N[0] != 0 or (sizes_N < 0).any() or firsts_N[-1] != num_grams:
            raise ValueError("the ranges are damaged")
        reversed_NK = np.column_stack([np.repeat(reversed_NK, sizes_N, axis=0), words_N])
        if not is_last:
            offsets += word_bits + _PROB_BITS
            backoffs_N = _field(data, offsets[:num_grams], _BACKOFF_BITS).astype(np.uint32).view(np.float32)
            firsts_N = _field(data, offsets + _BACKOFF_BITS, next_bits)
        given.append(_grams(reversed_NK[:, ::-1], prob_bits.view(np.float32), backoffs_N))
        start += ((1 + counts[length - 1]) * bits + 7) // 8 + 8
    words = _words_behind(content, start, counts[0])
    if max(int(grams.ids_NK.max(initial=0)) for grams in given) >= len(words):
        raise ValueError("an n-gram names a word that is none")
    return NGramModel.build(words, given, name=name)


def _grams(ids_NK: np.ndarray, log_probs_N: np.ndarray, backoffs_N: np.ndarray) -> Grams:
    scale = np.float32(_LN_10)
    return Grams(ids_NK, (log_probs_N * scale).astype(np.float32), (backoffs_N * scale).astype(np.float32))


def _field(data: np.ndarray, offsets_N: np.ndarray, bits: int) -> np.ndarray:
    """Numbers of at most 57 bits that begin at any bit, the lowest bit first."""
    if not len(offsets_N):
        return np.zeros(0, np.int64)
    bytes_N8 = data[(offsets_N >> 3)[:, None] + np.arange(8)]
    numbers = np.ascontiguousarray(bytes_N8).view("<u8")[:, 0]
    return ((numbers >> (offsets_N & 7).astype(np.uint64)) & np.uint64((1 << bits) - 1)).astype(np.int64)


def require_listed(model: LanguageModel, path: str | Path) -> NGramModel:
    """A model whose n-grams are known one by one, to write it in another form.

    Raises:
        LanguageError: KenLM's hash tables do not hold them.
    """
    if isinstance(model, NGramModel):
        return model
    raise LanguageError(
        f"{path}: KenLM's hash tables hold no n-gram's words, so they cannot be written in another form; give the ARPA "
        "file that they were made of, or a trie (`build_binary trie`)"
    )
