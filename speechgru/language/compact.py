"""The compact form of an n-gram model: a few bytes an n-gram, read in place, with a checksum.

    speechgru n-gram model\\n   24 bytes: MAGIC
    SHA-256                     32 bytes, of everything behind it
    number of the version, size of the header in bytes   4 bytes each, little-endian
    header                      JSON: the arrays, each with its type, length and place, and facts for people
    arrays                      little-endian, each at a multiple of 8 bytes from the file's beginning

An n-gram of the highest order takes 2 bytes for its last word (4 where there are more than 65,536 words) and 1 for its
log-probability, any other 5 more for its backoff and for where the longer ones begin. Logarithms are the numbers of 256
levels, which are chosen for each order.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.errors import LanguageError
from speechgru.fields import items, record, table, text, whole
from speechgru.files import ANY_SIZE, atomic_path, encode_json, open_file
from speechgru.language.ngram import NGramModel
from speechgru.language.tables import Order, Values
from speechgru.language.words import WordList

#: The first bytes of a file, and the version that is written and the newest that is read.
MAGIC = b"speechgru n-gram model\n\0"
VERSION = 1

_NUMBERS = struct.Struct("<II")
_DIGEST_BYTES = 32
_HEADER_START = len(MAGIC) + _DIGEST_BYTES + _NUMBERS.size
_ALIGNMENT = 8
_MOST_HEADER, _MOST_ORDER = 1 << 20, 20

#: The levels of quantised logarithms, bins that show how dense these are, and rounds of Lloyd's algorithm.
_NUM_LEVELS, _BINS, _ROUNDS = 256, 4096, 12

_TYPES = {"uint8": "<u1", "uint16": "<u2", "uint32": "<u4", "float32": "<f4"}
_HEADER = record(
    {
        "order": whole(1, _MOST_ORDER),
        "arrays": table(record({"type": text(*_TYPES), "length": whole(0, 1 << 40), "place": whole(0, 1 << 44)})),
    },
    {"facts": record({}), "kinds": items(text())},
)


def pack(model: NGramModel, *, exact: bool = False, facts: Mapping[str, Any] | None = None) -> bytes:
    """The file of a model.

    Args:
        model: it.
        exact: whether logarithms stay float32, which takes 3 bytes more for each.
        facts: JSON-ready facts about it for people.
    """
    arrays: dict[str, np.ndarray] = {
        "words": np.frombuffer(model.words.text, np.uint8),
        "word_ends": model.words.ends_W.astype(np.uint32),
    }
    for length, order in enumerate(model.orders, start=1):
        if length > 1:  # single words are in order
            arrays[f"{length}.words"] = order.words_N
        if order.first_N is not None:
            arrays[f"{length}.first"] = order.first_N
        for name, values in (("log_probs", order.log_probs), ("backoffs", order.backoffs)):
            if values is not None:
                stored = values if exact or values.levels is not None else quantized(values.values_N)
                arrays[f"{length}.{name}"] = stored.values_N if exact else stored.codes_N
                if not exact and stored.levels is not None:
                    arrays[f"{length}.{name}.levels"] = stored.levels.astype(np.float32)
    described: dict[str, dict[str, Any]] = {}
    content = io.BytesIO()
    for name, array in arrays.items():
        content.write(bytes(-content.tell() % _ALIGNMENT))
        described[name] = {"type": str(array.dtype), "length": len(array), "place": content.tell()}
        content.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())
    header = encode_json({"order": model.order, "arrays": described, "facts": dict(facts or {})})
    header += b" " * (-(_HEADER_START + len(header)) % _ALIGNMENT)
    hashed = _NUMBERS.pack(VERSION, len(header)) + header + content.getvalue()
    return MAGIC + hashlib.sha256(hashed).digest() + hashed


def write_compact(
    model: NGramModel, path: str | Path, *, exact: bool = False, facts: Mapping[str, Any] | None = None
) -> None:
    """Writes a model's file (`pack`).

    Raises:
        UserError: it cannot be written.
    """
    content = pack(model, exact=exact, facts=facts)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def quantized(values_N: np.ndarray) -> Values:
    """Numbers as those of 256 levels whose squared errors are about the least.

    Zero and the lowest number, such as that of the beginning of a sentence, which nothing predicts, stay as they are.
    """
    distinct, place_N, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    if len(distinct) <= _NUM_LEVELS:
        return Values(place_N.reshape(-1).astype(np.uint8), distinct)
    fixed = np.unique([distinct[0], *distinct[distinct == 0]])
    inner = ~np.isin(distinct, fixed)
    values, weights = distinct[inner].astype(np.float64), counts[inner].astype(np.float64)
    num_levels = _NUM_LEVELS - len(fixed)
    # The best levels lie as densely as the third root of the numbers' density (Panter and Dite 1951, "Quantization
    # distortion in pulse-count modulation", equation 20); from there each becomes the mean of the numbers nearest it.
    counts_B, edges_B = np.histogram(values, _BINS, weights=weights)
    shares_B = np.append(0, np.cumsum(np.cbrt(counts_B)))
    levels = np.interp((np.arange(num_levels) + 0.5) / num_levels, shares_B / shares_B[-1], edges_B)
    for _ in range(_ROUNDS):
        nearest = np.searchsorted((levels[1:] + levels[:-1]) / 2, values)
        sums = np.bincount(nearest, weights * values, len(levels))
        totals = np.bincount(nearest, weights, len(levels))
        levels = sums[totals > 0] / totals[totals > 0]
    levels = np.unique(np.append(levels, fixed).astype(np.float32))
    return Values(np.searchsorted((levels[1:] + levels[:-1]) / 2, values_N).astype(np.uint8), levels)


def is_compact(path: str | Path) -> bool:
    """Whether a file begins as one of this form.

    Raises:
        OSError: it cannot be read.
    """
    with open_file(path, most=ANY_SIZE) as stream:
        return stream.read(len(MAGIC)) == MAGIC


def read_compact(path: str | Path, *, verify: bool = True) -> tuple[NGramModel, dict[str, Any]]:
    """Opens a model's file in place: only what is asked for is read into memory, beside one look for the checksum.

    Args:
        path: the file.
        verify: whether its checksum must be the right one.

    Returns:
        The model, and the facts about it.

    Raises:
        LanguageError: damaged, cut short, or of a newer version.
        OSError: it cannot be read.
    """
    with open_file(path, most=ANY_SIZE) as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    return unpack(memoryview(mapped), name=str(path), verify=verify)


def unpack(content: memoryview | bytes, *, name: str, verify: bool = True) -> tuple[NGramModel, dict[str, Any]]:
    """A model in the bytes of its file, which stay where they are (`read_compact`).

    Args:
        content: the bytes.
        name: what messages name.
        verify: whether the checksum must be the right one.

    Raises:
        LanguageError: damaged, cut short, or of a newer version.
    """
    content = memoryview(content)
    try:
        if bytes(content[: len(MAGIC)]) != MAGIC or len(content) < _HEADER_START:
            raise LanguageError("it is cut short")
        version, size = _NUMBERS.unpack_from(content, _HEADER_START - _NUMBERS.size)
        if version > VERSION:
            raise LanguageError(f"it is of version {version}, this speechgru reads up to {VERSION}; update speechgru")
        digest = bytes(content[len(MAGIC) : len(MAGIC) + _DIGEST_BYTES])
        if verify and hashlib.sha256(content[len(MAGIC) + _DIGEST_BYTES :]).digest() != digest:
            raise LanguageError("its checksum is wrong")
        header = json.loads(bytes(content[_HEADER_START : _HEADER_START + min(size, _MOST_HEADER)]))
        _HEADER(header, "header")
        return _model_of(header, content[_HEADER_START + size :]), header.get("facts", {})
    except LanguageError as error:
        fix = "" if "update" in str(error) else "; copy it again, or make it anew"
        raise LanguageError(f"{name}: the language model cannot be used: {error}{fix}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise LanguageError(
            f"{name}: the language model is damaged ({reason}); copy it again, or make it anew"
        ) from error


def _model_of(header: dict[str, Any], data: memoryview) -> NGramModel:
    """The model over arrays that lie in the bytes, once they fit each other: no place leads out of them."""

    def array(name: str, *, length: int | None = None) -> np.ndarray:
        described = header["arrays"][name]
        dtype = np.dtype(_TYPES[described["type"]])
        found = np.frombuffer(data, dtype, described["length"], described["place"])
        if length is not None and len(found) != length:
            raise ValueError(f"{name} has {len(found):,} numbers in place of {length:,}")
        return found

    def values(name: str, length: int) -> Values:
        codes_N = array(name, length=length)
        if f"{name}.levels" not in header["arrays"]:
            if codes_N.dtype != np.float32:
                raise ValueError(f"{name} lacks its levels")
            return Values(codes_N)
        levels = array(f"{name}.levels")
        if codes_N.dtype != np.uint8 or (length and int(codes_N.max()) >= len(levels)):
            raise ValueError(f"{name} names levels that are none")
        return Values(codes_N, levels)

    ends_W = array("word_ends")
    letters = array("words")
    if not len(ends_W) or ends_W.dtype != np.uint32 or _falls(ends_W) or ends_W[-1] != len(letters):
        raise ValueError("its words do not fit their letters")
    words = WordList(letters.data, ends_W)
    orders: list[Order] = []
    num_grams = len(words)
    for length in range(1, header["order"] + 1):
        words_N = np.arange(len(words), dtype=np.uint32) if length == 1 else array(f"{length}.words", length=num_grams)
        if words_N.dtype.kind != "u" or (num_grams and int(words_N.max()) >= len(words)):
            raise ValueError(f"{length}.words names words that are none")
        log_probs = values(f"{length}.log_probs", num_grams)
        if length == header["order"]:
            orders.append(Order(words_N, log_probs, None, None))
            break
        first_N = array(f"{length}.first", length=num_grams + 1)
        if first_N.dtype != np.uint32 or first_N[0] != 0 or _falls(first_N):
            raise ValueError(f"{length}.first does not rise")
        orders.append(Order(words_N, log_probs, values(f"{length}.backoffs", num_grams), first_N))
        num_grams = int(first_N[-1])
    return NGramModel(words, orders)


def _falls(array: np.ndarray) -> bool:
    return bool((array[1:] < array[:-1]).any())
