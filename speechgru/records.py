"""Shards: a corpus in a few large checksummed files, read by random access without being held in memory.

A folder of shards holds `shards.json` and, for each shard, two files:

- `shard-00000.tfrecord`: `tf.train.Example` records in TFRecord framing, which any TensorFlow reader reads and whose
  own CRC32C it checks;
- `shard-00000.index.npy`: where each record's payload lies, its lengths and its CRC-32 (`INDEX_DTYPE`).

`shards.json` is written last: without it the folder is an unfinished job. The features of a record:

| feature | kind | what |
|---|---|---|
| `utterance_id`, `audio_filepath`, `text` | bytes | as in the manifest; `text` before normalisation |
| `offset`, `duration` | bytes | seconds in decimal, because a float of an Example has 32 bits |
| `speaker` | bytes | left out where it is not known |
| `labels` | int64 list | the labels |
| `samples` or `log_mel` | bytes | little-endian numbers, row by row |
| `dtype` | bytes | theirs: `int16` (samples times 32,768) or `float32` |
| `shape` | int64 list | theirs: [N], or [T, M] |

A manifest's further fields are not kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import operator
import os
import threading
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from speechgru import lengths
from speechgru.errors import AudioError, CorpusError, UserError
from speechgru.files import atomic_path, sha256_of, write_json
from speechgru.progress import Progress, silent
from speechgru.text import Vocabulary

Form = Literal["samples", "features"]

#: The file that says that a folder holds finished shards.
SUMMARY_NAME = "shards.json"

#: One record in an index: the place and size of its payload in bytes, its lengths, and the payload's CRC-32.
INDEX_DTYPE = np.dtype(
    [
        ("offset", "<i8"),
        ("size", "<i4"),
        ("num_samples", "<i4"),
        ("num_labels", "<i4"),
        ("min_steps", "<i4"),
        ("crc32", "<u4"),
    ]
)

#: Version 1 held the vocabulary as text, each character an entry; it is read as before.
_FORMAT, _VERSION = "speechgru-shards", 2

#: A record's framing: its length and that number's CRC before the payload, the payload's CRC behind it.
_BYTES_BEFORE, _BYTES_BEHIND = 12, 4

#: The largest payload: protobuf's limit, and what the index can say.
_MAX_PAYLOAD = 2**31 - 1

_SCALE = 32768.0

#: Shard files that are kept open at a time.
_OPEN_FILES = 64

_FIX = "copy it again, or run the same `speechgru shard` command, which writes damaged shards anew"


@dataclasses.dataclass(frozen=True)
class Record:
    """An utterance as a shard holds it.

    Args:
        utterance_id: a short name for messages.
        audio_filepath: the recording that it was read from.
        offset: seconds into the recording at which the segment starts.
        duration: seconds, as the manifest says.
        speaker: who speaks, where known.
        text: the transcript as written, before normalisation.
        labels_L: its labels, int32.
        values: `samples_N` or `log_mel_TM`, float32.
    """

    utterance_id: str
    audio_filepath: str
    offset: float
    duration: float
    speaker: str | None
    text: str
    labels_L: np.ndarray
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class EncodedRecord:
    """A record's payload with what the index says of it."""

    payload: bytes
    num_samples: int
    num_labels: int
    min_steps: int


@dataclasses.dataclass(frozen=True)
class ShardFile:
    """A finished shard: the names and checksums of its two files, as `shards.json` lists them."""

    file: str
    num_records: int
    size_bytes: int
    sha256: str
    index: str
    index_sha256: str


def compact_samples(samples_N: np.ndarray) -> np.ndarray:
    """The samples as int16 where that loses nothing, to the last bit; else as they are.

    Args:
        samples_N: float32.
    """
    whole_N = np.rint(np.clip(samples_N, -1, 1) * np.float32(_SCALE)).clip(None, _SCALE - 1).astype("<i2")
    # As bits: a negative zero, which integers do not have, is not a zero.
    if np.array_equal(_expand(whole_N).view(np.uint32), np.ascontiguousarray(samples_N, np.float32).view(np.uint32)):
        return whole_N
    return samples_N.astype("<f4")


def _expand(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) / np.float32(_SCALE) if values.dtype.kind == "i" else values.astype(np.float32)


def encode_record(record: Record, *, num_samples: int) -> EncodedRecord:
    """Packs a record into an Example; the same record gives the same bytes.

    Args:
        record: what to pack.
        num_samples: its samples; what the values were made from, where they are features.

    Raises:
        AudioError: it is too long for a record.
    """
    is_samples = record.values.ndim == 1
    values = compact_samples(record.values) if is_samples else record.values.astype("<f4")
    if values.nbytes > _MAX_PAYLOAD - (1 << 24):  # room for the rest of the record
        raise AudioError(
            f"{record.audio_filepath}: {values.nbytes:,} bytes are too many for a record (2 GiB); "
            "cut it into segments (offset, duration)"
        )
    example = tf.train.Example()
    features = example.features.feature
    for name, text in (
        ("utterance_id", record.utterance_id),
        ("audio_filepath", record.audio_filepath),
        ("offset", repr(float(record.offset))),
        ("duration", repr(float(record.duration))),
        ("speaker", record.speaker),
        ("text", record.text),
        ("dtype", values.dtype.name),
    ):
        if text is not None:
            # A file's name need not be UTF-8.
            features[name].bytes_list.value.append(text.encode("utf-8", "surrogateescape"))
    features["samples" if is_samples else "log_mel"].bytes_list.value.append(values.tobytes())
    features["shape"].int64_list.value.extend(values.shape)
    labels = [int(label) for label in record.labels_L]
    features["labels"].int64_list.value.extend(labels)
    payload = example.SerializeToString(deterministic=True)
    return EncodedRecord(payload, int(num_samples), len(labels), lengths.min_steps(labels))


def decode_record(payload: bytes) -> Record:
    """Unpacks what `encode_record` packed."""
    features = tf.train.Example.FromString(payload).features.feature

    def text(name: str) -> str:
        return features[name].bytes_list.value[0].decode("utf-8", "surrogateescape")

    name = "samples" if "samples" in features else "log_mel"
    values = np.frombuffer(features[name].bytes_list.value[0], np.dtype(text("dtype")).newbyteorder("<"))
    return Record(
        utterance_id=text("utterance_id"),
        audio_filepath=text("audio_filepath"),
        offset=float(text("offset")),
        duration=float(text("duration")),
        speaker=text("speaker") if "speaker" in features else None,
        text=text("text"),
        labels_L=np.array(features["labels"].int64_list.value, np.int32),
        values=_expand(values).reshape(tuple(features["shape"].int64_list.value)),
    )


@contextlib.contextmanager
def naming_write_errors(path: str | Path) -> Iterator[None]:
    """Turns what a full or broken disk answers into an error that names the file and what is kept.

    Raises:
        UserError: in place of an OSError from the body.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); what was finished before is kept: "
            "mend that and run the same command again"
        ) from error


def write_shard(folder: str | Path, number: int, records: Iterator[EncodedRecord], *, max_bytes: float) -> ShardFile:
    """Writes one shard and its index, each atomically.

    A shard is closed by the record with which it reaches `max_bytes`, so that where it ends depends on nothing but
    its records: a shard can be written anew without the others.

    Args:
        folder: where.
        number: the shard's number, from 0.
        records: at least one; only those that go into this shard are taken.
        max_bytes: the size from which a shard is closed.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    path = Path(folder) / f"shard-{number:05d}.tfrecord"
    index_path = path.with_suffix(".index.npy")
    index: list[tuple[int, ...]] = []
    with naming_write_errors(path):
        with atomic_path(path) as temporary:
            _fill_shard(temporary, records, index, max_bytes=max_bytes)
            size_bytes, sha256 = temporary.stat().st_size, sha256_of(temporary)
        with atomic_path(index_path) as temporary:
            with open(temporary, "wb") as stream:
                np.save(stream, np.array(index, INDEX_DTYPE), allow_pickle=False)
            index_sha256 = sha256_of(temporary)
    return ShardFile(path.name, len(index), size_bytes, sha256, index_path.name, index_sha256)


def _fill_shard(
    path: Path, records: Iterator[EncodedRecord], index: list[tuple[int, ...]], *, max_bytes: float
) -> None:
    end = 0
    try:
        writer = tf.io.TFRecordWriter(os.fspath(path))
    except tf.errors.OpError as error:
        raise OSError(_reason(error)) from error
    try:
        while end < max_bytes and (record := next(records, None)) is not None:
            size = len(record.payload)
            try:
                writer.write(record.payload)
            except tf.errors.OpError as error:
                raise OSError(_reason(error)) from error
            crc32 = zlib.crc32(record.payload)
            index.append((end + _BYTES_BEFORE, size, record.num_samples, record.num_labels, record.min_steps, crc32))
            end += _BYTES_BEFORE + size + _BYTES_BEHIND
    except BaseException:
        with contextlib.suppress(tf.errors.OpError):  # it would hide the first error
            writer.close()
        raise
    try:
        writer.close()
    except tf.errors.OpError as error:
        raise OSError(_reason(error)) from error


def _reason(error: tf.errors.OpError) -> str:
    """`File too large` from `/a/b.tfrecord; File too large`."""
    return error.message.rpartition("; ")[2]


def write_summary(
    folder: str | Path,
    shards: Sequence[ShardFile],
    *,
    form: Form,
    sample_rate: int,
    num_features: int | None,
    vocabulary: Vocabulary,
    settings: Mapping[str, Any],
    sources: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes `shards.json`, which makes the folder a finished one.

    Args:
        folder: where the shards are.
        shards: all of them, in order.
        form: what the records hold.
        sample_rate: Hz of the samples, or of those that the features were made from.
        num_features: numbers a frame; None for samples.
        vocabulary: what the labels stand for.
        settings: what of the configuration the records depend on; JSON-ready.
        sources: where they came from; JSON-ready, kept under its own names.

    Returns:
        What was written.
    """
    folder = Path(folder)
    num_samples = sum(int(np.load(folder / shard.index)["num_samples"].sum(dtype=np.int64)) for shard in shards)
    summary = {
        "format": _FORMAT,
        "version": _VERSION,
        "form": form,
        "sample_rate": sample_rate,
        "num_features": num_features,
        "vocabulary": vocabulary.as_record(),
        "num_records": sum(shard.num_records for shard in shards),
        "size_bytes": sum(shard.size_bytes for shard in shards),
        "seconds": num_samples / sample_rate,
        **sources,
        "settings": dict(settings),
        "shards": [dataclasses.asdict(shard) for shard in shards],
    }
    summary = {**summary, "checksum": _checksum(summary)}
    with naming_write_errors(folder / SUMMARY_NAME):
        write_json(folder / SUMMARY_NAME, summary)
    return summary


def read_summary(path: str | Path) -> dict[str, Any]:
    """Reads the `shards.json` of a folder.

    Raises:
        CorpusError: the folder holds no finished shards, or the file is damaged or of another version.
    """
    folder = Path(path)
    file = folder / SUMMARY_NAME
    try:
        summary = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(summary, dict) or summary.get("format") != _FORMAT:
            raise CorpusError(f"{file}: does not describe shards; `speechgru shard` writes such folders")
        if summary.get("version") not in range(1, _VERSION + 1):
            raise CorpusError(
                f"{file}: is of version {summary.get('version')!r}, this program reads versions 1 to {_VERSION}; "
                "pack the shards again or install the program that wrote them"
            )
        if summary.pop("checksum", None) != _checksum(summary):
            raise CorpusError(f"{file}: is damaged (its checksum is wrong); copy it again or pack the shards again")
    except FileNotFoundError:
        if any(folder.glob("shard-*.tfrecord")):
            raise CorpusError(
                f"{folder}: the shards are not finished (no {SUMMARY_NAME}); run the same `speechgru shard` command "
                "again to go on"
            ) from None
        raise CorpusError(f"{folder}: holds no shards (no {SUMMARY_NAME}); `speechgru shard` writes them") from None
    except OSError as error:
        raise CorpusError(f"{file}: cannot be read ({error.strerror}); name a folder of shards") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CorpusError(f"{file}: is damaged ({error}); copy it again or pack the shards again") from error
    return summary


def _checksum(summary: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(summary, sort_keys=True).encode()).hexdigest()


def damage_of(folder: str | Path, shard: ShardFile) -> str | None:
    """What is wrong with a shard's files by their sizes and SHA-256; None where they are whole.

    Where the index is whole it also tells which records are damaged.
    """
    folder = Path(folder)
    index_path, path = folder / shard.index, folder / shard.file
    try:
        if sha256_of(index_path) != shard.index_sha256:
            return f"{index_path}: is damaged (its SHA-256 is wrong)"
        size = path.stat().st_size
        if size != shard.size_bytes:
            return f"{path}: has {size:,} bytes, not {shard.size_bytes:,}"
        if sha256_of(path) == shard.sha256:
            return None
        index = np.load(index_path)
        with open(path, "rb") as stream:
            damaged = [row for row, entry in enumerate(index, start=1) if not _payload_is_whole(stream, entry)]
    except OSError as error:
        return f"{error.filename or path}: cannot be read ({error.strerror})"
    where = f"record {', '.join(map(str, damaged))} of {len(index)}" if damaged else "between the records"
    return f"{path}: is damaged (its SHA-256 is wrong: {where})"


def _payload_is_whole(stream: io.BufferedReader, entry: np.void) -> bool:
    stream.seek(entry["offset"])
    return zlib.crc32(stream.read(int(entry["size"]))) == entry["crc32"]


def verify(path: str | Path, *, progress: Progress = silent) -> list[str]:
    """Reads every byte of a folder of shards and compares all checksums.

    Args:
        path: the folder.
        progress: told after each shard.

    Returns:
        A message for each damaged or missing file, none where all is whole.

    Raises:
        CorpusError: the folder holds no finished shards.
    """
    folder, damages = Path(path), []
    shards = [ShardFile(**fields) for fields in read_summary(folder)["shards"]]
    for done, shard in enumerate(shards, start=1):
        damage = damage_of(folder, shard)
        if damage is not None:
            damages.append(f"{damage}; {_FIX}")
        progress("verifying shards", done, len(shards), f"{len(damages)} damaged" if damages else "")
    return damages


class Shards:
    """A folder of shards, open for reading; `Shards.open` makes one.

    The recordings stay on disk: 30 bytes a record are held in memory, and at most 64 files are open. Any number of
    threads may read at once.
    """

    def __init__(self, folder: Path, summary: Mapping[str, Any], index: np.ndarray):
        self.folder, self.summary, self._index = folder, summary, index
        self._files = [ShardFile(**fields) for fields in summary["shards"]]
        counts = [shard.num_records for shard in self._files]
        self._first = np.cumsum([0, *counts])
        #: The shard that each record is in.
        self.shard_of = np.repeat(np.arange(len(counts), dtype=np.min_scalar_type(len(counts))), counts)
        self.vocabulary = Vocabulary.from_record(summary["vocabulary"])
        # Evicted files close when the last thread that reads from them lets go.
        self._open_file = functools.lru_cache(maxsize=_OPEN_FILES)(_File)

    @classmethod
    def open(cls, path: str | Path) -> Shards:
        """Opens a folder of shards: reads the indices, and looks at the shards' names and sizes.

        Raises:
            CorpusError: it holds no finished shards, one is missing or changed in size, or an index is damaged.
        """
        folder = Path(path)
        summary = read_summary(folder)
        index = np.empty(summary["num_records"], INDEX_DTYPE)
        end = 0
        for fields in summary["shards"]:
            shard = ShardFile(**fields)
            try:
                size = (folder / shard.file).stat().st_size
                content = (folder / shard.index).read_bytes()
            except OSError as error:
                raise CorpusError(f"{error.filename}: cannot be read ({error.strerror}); {_FIX}") from error
            if size != shard.size_bytes:
                raise CorpusError(f"{folder / shard.file}: has {size:,} bytes, not {shard.size_bytes:,}; {_FIX}")
            if hashlib.sha256(content).hexdigest() != shard.index_sha256:
                raise CorpusError(f"{folder / shard.index}: is damaged (its SHA-256 is wrong); {_FIX}")
            index[end : end + shard.num_records] = np.load(io.BytesIO(content), allow_pickle=False)
            end += shard.num_records
        return cls(folder, summary, index)

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
            IndexError: there is no such record.
        """
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"{self.folder}: has {len(self):,} records, from 0; got {index}")
        number, entry = int(self.shard_of[index]), self._index[index]
        shard = self._files[number]
        path = os.path.join(self.folder, shard.file)
        where = f"{path}: record {index - self._first[number] + 1} of {shard.num_records}"
        try:
            payload = self._open_file(path).read(int(entry["size"]), int(entry["offset"]))
        except OSError as error:
            raise AudioError(f"{where} cannot be read ({error.strerror}); {_FIX}") from error
        if zlib.crc32(payload) != entry["crc32"]:
            raise AudioError(f"{where} is damaged (its checksum is wrong); {_FIX}")
        return decode_record(payload)

    def utterance_id(self, index: int) -> str:
        """The short name of a record's utterance."""
        return self.read(index).utterance_id

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
