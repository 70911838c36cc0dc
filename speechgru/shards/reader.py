"""Reads utterances from a folder of shards, in any order."""

from __future__ import annotations

import contextlib
import functools
import operator
import os
import threading
import weakref
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.errors import AudioError, CorpusError, UserError
from speechgru.shards.checked import read_index
from speechgru.shards.folder import read_summary
from speechgru.shards.places import Place, place_of
from speechgru.shards.records import BYTES_BEFORE, FIX, INDEX_DTYPE, Form, Record, ShardFile, decode_record
from speechgru.stores import is_remote
from speechgru.text import Vocabulary

#: A cache that is smaller than the shards read together removes them as fast as they come.
_ATTEMPTS = 3


class Shards:
    """A folder of shards, open for reading; `Shards.open` makes one.

    The recordings stay on disk: 30 bytes a record are held in memory, and at most 64 files are open. Any number of
    threads may read at once. Shards of a store are fetched as they are needed, into a bounded cache.
    """

    def __init__(self, place: Place, folder: str | Path, summary: Mapping[str, Any], index: np.ndarray):
        self._place, self.folder, self.summary, self._index = place, folder, summary, index
        self._files = [ShardFile(**fields) for fields in summary["shards"]]
        counts = [shard.num_records for shard in self._files]
        self._first = np.cumsum([0, *counts])
        #: The shard that each record is in.
        self.shard_of = np.repeat(np.arange(len(counts), dtype=np.min_scalar_type(len(counts))), counts)
        self.vocabulary = Vocabulary.from_record(summary["vocabulary"])
        # Evicted files close when the last thread that reads from them lets go.
        self._open_file = functools.lru_cache(maxsize=place.most_open)(self._opened)

    @classmethod
    def open(cls, path: str | Path, *, cache: str | Path | None = None, cache_gigabytes: float = 20.0) -> Shards:
        """Opens a folder of shards: reads the indices, and looks at the shards' names and sizes.

        Args:
            path: the folder, or its address on a store.
            cache: of a store, where its shards are kept on the disk; None for the user's folder of caches.
            cache_gigabytes: 10^9 bytes that they may have there.

        Raises:
            CorpusError: it holds no finished shards, one is missing or changed in size, or an index is damaged.
            UserError: the store does not answer.
        """
        folder = path if is_remote(path) else Path(path)
        place = place_of(folder, cache=cache, cache_gigabytes=cache_gigabytes)
        summary = read_summary(folder)
        index = np.empty(summary["num_records"], INDEX_DTYPE)
        end = 0
        for fields in summary["shards"]:
            shard = ShardFile(**fields)
            try:
                size = place.size(shard.file)
                content = place.read(shard.index)
            except OSError as error:
                raise CorpusError(f"{error.filename}: cannot be read ({error.strerror}); {FIX}") from error
            if size != shard.size_bytes:
                raise CorpusError(f"{place.name_of(shard.file)}: has {size:,} bytes, not {shard.size_bytes:,}; {FIX}")
            index[end : end + shard.num_records] = read_index(content, shard, name=place.name_of(shard.index))
            end += shard.num_records
        return cls(place, folder, summary, index)

    def __len__(self) -> int:
        """The number of records."""
        return len(self._index)

    @property
    def form(self) -> Form:
        """What the records hold: `samples`, or `features` (log-mel that is not normalised)."""
        return self.summary["form"]

    @property
    def settings(self) -> dict[str, Any]:
        """What of the configuration the records depend on, by section."""
        return self.summary["settings"]

    @property
    def sample_rate(self) -> int:
        """Hz of the samples, or of those that the features were made from."""
        return self.summary["sample_rate"]

    @property
    def num_features(self) -> int | None:
        """Numbers a frame; None for samples."""
        return self.summary["num_features"]

    @property
    def seconds(self) -> float:
        """Seconds of audio in all."""
        return self.summary["seconds"]

    @property
    def num_samples(self) -> np.ndarray:
        """Samples of each record, int32; those that its features were made from, in the form `features`."""
        return self._index["num_samples"]

    @property
    def num_labels(self) -> np.ndarray:
        """Labels of each record, int32."""
        return self._index["num_labels"]

    @property
    def min_steps(self) -> np.ndarray:
        """The fewest steps in which CTC can spell each record's labels, int32."""
        return self._index["min_steps"]

    def read(self, index: int) -> Record:
        """Reads one record and checks its checksum.

        Args:
            index: 0 to len - 1, in the order of the manifests.

        Raises:
            AudioError: the shard is damaged or no longer there; names the shard, the record and the fix.
            IndexError: `index` is out of range.
        """
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"{self.folder}: has {len(self):,} records, from 0; got {index}")
        number, entry = int(self.shard_of[index]), self._index[index]
        shard = self._files[number]
        where = f"{self._place.name_of(shard.file)}: record {index - self._first[number] + 1} of {shard.num_records}"
        try:
            payload = self._open_file(number).read(int(entry["size"]), int(entry["offset"]))
        except OSError as error:
            raise AudioError(f"{where} cannot be read ({error.strerror}); {FIX}") from error
        except UserError as error:  # what a store answers
            raise AudioError(f"{where} cannot be read ({error})") from error
        if zlib.crc32(payload) != entry["crc32"]:
            raise AudioError(f"{where} is damaged (its checksum is wrong); {FIX}")
        return decode_record(payload)

    def _opened(self, number: int) -> _File:
        """A shard's file; one that makes room for another between its fetching and opening is fetched again."""
        for _ in range(_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                return _File(self._place.local(self._files[number]))
        return _File(self._place.local(self._files[number]))

    def utterance_id(self, index: int) -> str:
        """The short name of a record's utterance."""
        return self.read(index).utterance_id

    def places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where records lie, for readers of TFRecord files.

        Args:
            indices: of the records, of shards on a disk.

        Returns:
            The paths of their files, and the bytes at which the records with their framing begin, int64.
        """
        names = np.array([os.path.abspath(self._place.name_of(shard.file)) for shard in self._files], object)
        return names[self.shard_of[indices]], self._index["offset"][indices].astype(np.int64) - BYTES_BEFORE

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads one record inside a graph.

        Args:
            index: integer scalar.

        Returns:
            `samples_N` or `log_mel_TM` by the form, float32, and `labels_L`, int32.

        Raises:
            tf.errors.OpError: the record cannot be read; `audio.error_of` finds `read`'s message in it.
        """
        values, labels_L = tf.numpy_function(self._load, [index], [tf.float32, tf.int32])
        values.set_shape([None] if self.form == "samples" else [None, self.num_features])
        labels_L.set_shape([None])
        return values, labels_L

    def _load(self, index: np.integer) -> tuple[np.ndarray, np.ndarray]:
        record = self.read(int(index))
        return record.values, record.labels_L


class _File:
    """A file that many threads read at once; closed when nobody holds it."""

    def __init__(self, path: str):
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, self._descriptor)

    def read(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer where the file ends."""
        parts = []
        while size > 0 and (part := self._read_part(size, offset)):
            parts.append(part)
            size, offset = size - len(part), offset + len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_part(self, size: int, offset: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, size, offset)
        with self._lock:  # Windows: the place is the file's, not the call's
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, size)
