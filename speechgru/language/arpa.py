"""ARPA files: a model's n-grams as text, plain or packed by gzip, read and written."""

from __future__ import annotations

import contextlib
import gzip
import math
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from speechgru.errors import LanguageError
from speechgru.files import ANY_SIZE, atomic_path, open_file
from speechgru.language.ngram import BEGIN, MISSING_UNKNOWN, UNKNOWN, NGramModel
from speechgru.language.tables import Grams
from speechgru.progress import Progress, silent

#: What the first line of an ARPA file that is not empty says.
FIRST_LINE = b"\\data\\"
GZIP_MARK = b"\x1f\x8b"

_LN_10 = math.log(10)
_COUNT = re.compile(rb"ngram\s+(\d+)\s*=\s*(\d+)")
#: Words of an n-gram at most: a slip of the keyboard would make a table of each order.
_MOST_ORDER = 20
#: Of a line: a whole book in one has less.
_MOST_BYTES = 1 << 24
#: Lines between two reports of progress.
_LINES = 1 << 17


def read_arpa(path: str | Path, *, progress: Progress = silent) -> NGramModel:
    """Reads an ARPA file.

    Where it lacks `<unk>`, an unknown word has the probability 1e-100, as in KenLM. N-grams whose beginnings or ends
    are missing, as pruning by SRILM leaves them, score as there.

    Args:
        path: the file; packed by gzip where its name ends in `.gz` or its bytes say so.
        progress: reports the n-grams that were read.

    Raises:
        LanguageError: missing, cut short, or damaged; names the line.
    """
    path = Path(path)
    with reading(path), opened(path) as lines:
        return _Reader(lines, path, progress).read()


@contextlib.contextmanager
def reading(path: Path, what: str = "the language model") -> Iterator[None]:
    """Whatever keeps a file from being read as one error that names it."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise LanguageError(
            f"{path}: is cut short or damaged ({' '.join(str(error).split())}); copy the file again"
        ) from error
    except OSError as error:
        raise LanguageError(f"{path}: {what} cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise LanguageError(f"{path}: {what} does not fit this machine's memory; give a smaller one") from error


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a file, plain or packed by gzip."""
    with open_file(path, most=ANY_SIZE) as raw:
        packed = raw.read(2) == GZIP_MARK
        raw.seek(0)
        if not packed:
            yield _lines_of(raw, path)
            return
        with gzip.GzipFile(fileobj=raw) as stream:
            yield _lines_of(stream, path)


def _lines_of(stream: BinaryIO | gzip.GzipFile, path: Path) -> Iterator[bytes]:
    """Lines that are no longer than any text's: a packed file of a megabyte may hold one of gigabytes."""
    number = 0
    while line := stream.readline(_MOST_BYTES + 1):
        number += 1
        if len(line) > _MOST_BYTES:
            raise LanguageError(
                f"{path}:{number}: the line has more than {_MOST_BYTES:,} bytes; give a file with a sentence a line"
            )
        yield line


class _Reader:
    """Reads the sections of one file, line by line."""

    def __init__(self, lines: Iterator[bytes], path: Path, progress: Progress):
        self._lines = lines
        self._path, self._progress = path, progress
        self._number, self._line = 0, b""
        self._done = self._total = 0
        self._words: dict[bytes, int] = {}

    def _fail(self, message: str) -> LanguageError:
        return LanguageError(f"{self._path}:{self._number}: {message}")

    def _next(self, wanted: str) -> bytes:
        """The next line that is not empty."""
        for line in self._lines:
            self._number += 1
            self._line = line.strip()
            if self._line:
                return self._line
        raise self._fail(f"the file ends where {wanted} should stand; it is cut short, so copy it again")

    def read(self) -> NGramModel:
        line = self._next("\\data\\")
        while line != FIRST_LINE:  # tools write remarks before it
            if self._number > 1000:
                raise self._fail("no line \\data\\ so far; an ARPA file begins with one, so give such a file")
            line = self._next("\\data\\")
        counts = self._read_counts()
        self._total = sum(counts)
        given = [
            self._read_section(order, count, is_last=order == len(counts)) for order, count in enumerate(counts, 1)
        ]
        if self._line != b"\\end\\":
            raise self._fail(f"\\end\\ should stand here, got {_shown(self._line)}")
        self._progress("reading n-grams", self._total, self._total, "")
        words = [word.decode() for word in self._words]
        if UNKNOWN not in words:
            words.append(UNKNOWN)
            ones = given[0]
            given[0] = Grams(
                np.append(ones.ids_NK, [[len(words) - 1]], axis=0),
                np.append(ones.log_probs_N, np.float32(MISSING_UNKNOWN)),
                np.append(ones.backoffs_N, np.float32(0)),
            )
        return NGramModel.build(words, given, name=str(self._path))

    def _read_counts(self) -> list[int]:
        counts: list[int] = []
        while not (line := self._next("\\1-grams:")).startswith(b"\\"):
            found = _COUNT.fullmatch(line)
            if found is None or int(found[1]) != len(counts) + 1:
                raise self._fail(f"ngram {len(counts) + 1}=NUMBER should stand here, got {_shown(line)}")
            counts.append(int(found[2]))
            if len(counts) > _MOST_ORDER:
                raise self._fail(f"n-grams of more than {_MOST_ORDER} words; give a model of a lower order")
        if not counts or not counts[0]:
            raise self._fail("the header names no words (ngram 1=NUMBER); make the model anew")
        return counts

    def _read_section(self, order: int, count: int, *, is_last: bool) -> Grams:
        heading = f"\\{order}-grams:"
        if self._line != heading.encode():
            raise self._fail(f"{heading} should stand here, got {_shown(self._line)}")
        ids, log_probs, backoffs = array("i"), array("f"), array("f")
        words, number = self._words, 0
        for line in self._lines:
            self._number += 1
            fields = line.split()
            if not fields:
                continue
            if fields[0][:1] == b"\\" and len(fields) == 1:
                self._line = fields[0]
                break
            number += 1
            if not order < len(fields) <= order + 1 + (not is_last):
                raise self._fail(
                    f"a {order}-gram has a logarithm, {order} word{'s' if order > 1 else ''}"
                    f"{'' if is_last else ' and perhaps a backoff'}, got {_shown(line.strip())}"
                )
            try:
                log_prob = float(fields[0])
                backoff = float(fields[order + 1]) if len(fields) > order + 1 else 0.0
            except ValueError:
                raise self._fail(f"a logarithm should be a number, got {_shown(line.strip())}") from None
            if not -math.inf < log_prob <= 0 or not math.isfinite(backoff):
                raise self._fail(
                    f"the logarithm of a probability is a number of at most 0, and a backoff is finite, got "
                    f"{_shown(line.strip())}"
                )
            if order == 1:
                word = _one_name(fields[1])
                if word in words:
                    raise self._fail(f"the word {_shown(word)} stands twice")
                self._require_text(word)
                ids.append(len(words))
                words[word] = len(words)
            else:
                for field in fields[1 : order + 1]:
                    place = words.get(field)
                    if place is None:
                        place = words.get(_one_name(field))
                    if place is None:
                        raise self._fail(f"the word {_shown(field)} is none of the \\1-grams:; make the model anew")
                    ids.append(place)
            log_probs.append(log_prob * _LN_10)
            backoffs.append(backoff * _LN_10)
            if number % _LINES == 0:
                self._progress("reading n-grams", self._done + number, self._total, "")
        else:
            raise self._fail("the file ends before \\end\\; it is cut short, so copy it again")
        if number != count:
            raise self._fail(
                f"{number:,} {order}-grams stand before this line, and the header says {count:,}; the file is damaged, "
                "so copy it again or make it anew"
            )
        self._done += number
        return Grams(
            np.frombuffer(ids, np.int32).reshape(number, order) if number else np.zeros((0, order), np.int32),
            np.frombuffer(log_probs, np.float32) if number else np.zeros(0, np.float32),
            np.frombuffer(backoffs, np.float32) if number else np.zeros(0, np.float32),
        )

    def _require_text(self, word: bytes) -> None:
        try:
            word.decode()
        except UnicodeDecodeError:
            raise self._fail(f"the word {_shown(word)} is not UTF-8 text; save the model as UTF-8") from None


def _one_name(word: bytes) -> bytes:
    """The mark of unknown words by one name: some tools write it large."""
    return b"<unk>" if word == b"<UNK>" else word


def _shown(line: bytes) -> str:
    text = line[:80].decode("utf-8", "backslashreplace")
    return repr(text if len(line) <= 80 else f"{text}...")


def write_arpa(model: NGramModel, path: str | Path, *, progress: Progress = silent) -> None:
    """Writes a model as an ARPA file, packed where the name ends in `.gz`.

    Raises:
        UserError: it cannot be written.
    """
    path = Path(path)
    with atomic_path(path) as temporary, open(temporary, "wb") as raw, contextlib.ExitStack() as stack:
        stream: BinaryIO = raw
        if path.suffix == ".gz":
            stream = stack.enter_context(gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6))  # type: ignore[assignment]
        stream.writelines(_arpa_lines(model, progress))


def _arpa_lines(model: NGramModel, progress: Progress) -> Iterable[bytes]:
    total = sum(len(order.words_N) for order in model.orders)
    counts = "".join(f"ngram {k}={len(order.words_N)}\n" for k, order in enumerate(model.orders, 1))
    yield b"\\data\\\n" + counts.encode()
    words = list(model.words)
    texts: list[bytes] = []
    begin = BEGIN.encode()
    done = 0
    for k, order in enumerate(model.orders, 1):
        yield b"\n\\%d-grams:\n" % k
        if k == 1:
            texts = words
        else:
            parents = model.orders[k - 2].parents_N.tolist()
            texts = [
                texts[parent] + b" " + words[word] for parent, word in zip(parents, order.words_N.tolist(), strict=True)
            ]
        log_probs = (order.log_probs.values_N / np.float32(_LN_10)).tolist()
        # Where there may be a backoff each has one, as lmplz writes it: pyctcdecode overlooks words that have none.
        tails = [b""] * len(texts)
        if order.backoffs is not None:
            tails = [b"\t%.7g" % each for each in (order.backoffs.values_N / np.float32(_LN_10)).tolist()]
        for text, log_prob, tail in zip(texts, log_probs, tails, strict=True):
            # The beginning of a sentence is never predicted.
            yield b"%.7g\t%b%b\n" % (-99.0 if text == begin else min(0.0, log_prob), text, tail)
        done += len(texts)
        progress("writing n-grams", done, total, "")
    yield b"\n\\end\\\n"
