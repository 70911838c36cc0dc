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

import dataclasses
from typing import Literal

import numpy as np
import tensorflow as tf

from speechgru import lengths
from speechgru.config.corpus_files import SUMMARY_NAME as SUMMARY_NAME
from speechgru.errors import AudioError

Form = Literal["samples", "features"]

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
FORMAT, VERSION = "speechgru-shards", 2

#: A record's framing: its length and that number's CRC before the payload, the payload's CRC behind it.
BYTES_BEFORE, BYTES_BEHIND = 12, 4

#: The largest payload: protobuf's limit, and what the index can hold.
_MAX_PAYLOAD = 2**31 - 1

_SCALE = 32768.0

#: Shard files that are kept open at a time.
OPEN_FILES = 64

FIX = "copy it again, or run the same `speechgru shard` command, which writes damaged shards anew"


@dataclasses.dataclass(frozen=True)
class Record:
    """An utterance as a shard holds it.

    Args:
        utterance_id: a short name for messages.
        audio_filepath: the recording that it was read from.
        offset: seconds into the recording at which the segment starts.
        duration: seconds, from the manifest.
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
    """A record's payload with its fields of the index."""

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
