"""What `shards.json` and the indices of a stranger's shards may hold: names inside the folder, and numbers in range."""

from __future__ import annotations

import hashlib
import io
import re
from typing import Any

import numpy as np

from speechgru.config.sections import TextConfig
from speechgru.errors import CorpusError
from speechgru.fields import Check, items, number, optional, record, table, text, whole
from speechgru.shards.records import FIX, INDEX_DTYPE, ShardFile
from speechgru.text import Vocabulary

_COUNT = whole(0, 1 << 53)
#: Of a record, with its framing and the names of its fields.
_LEAST_BYTES = 64
#: Of all shards: more than one machine reads.
_MOST_BYTES = 1 << 46


def _matching(pattern: str, what: str) -> Check:
    """A text of some form: a path would name any file of this machine."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise ValueError(f"{place} is {what}, got {value!a:.60}")

    return check


_SHA256 = _matching("[0-9a-f]{64}", "a SHA-256")
_SHARD = {
    "file": _matching(r"shard-\d{1,9}\.tfrecord", "the name of a shard"),
    "index": _matching(r"shard-\d{1,9}\.index\.npy", "the name of an index"),
    **dict.fromkeys(("num_records", "size_bytes"), whole(0, _MOST_BYTES)),
    **dict.fromkeys(("sha256", "index_sha256"), _SHA256),
}
_MANIFEST = {"path": text(), "sha256": _SHA256, "num_utterances": _COUNT}
_SOURCES = {
    "num_skipped": _COUNT,
    "shard_megabytes": number(0),
    "manifests": items(record(_MANIFEST)),
    "held_out": optional(record({"path": text(), "sha256": _SHA256})),
    "plan_sha256": _SHA256,
}
_PART = {**dict.fromkeys(("number", "of", "first", "count"), _COUNT), "max_skipped_share": number(0, 1)}
_PART_SUMMARY = record({**_SOURCES, "part": record(_PART)})
_SUMMARY = record(
    {
        "form": text("samples", "features"),
        "sample_rate": whole(1, 1 << 24),
        "num_features": optional(whole(1, 1 << 20)),
        "seconds": number(0),
        **dict.fromkeys(("num_records", "size_bytes"), _COUNT),
        "settings": table(record({})),
        "shards": items(record(_SHARD)),
    },
    _SOURCES,
)


def require_fields(summary: dict[str, Any]) -> None:
    """Checks the fields of `shards.json` that are read.

    Raises:
        ValueError: one is missing, of another type, or says what cannot be; names it.
    """
    _SUMMARY(summary, "")
    if "part" in summary:
        _PART_SUMMARY(summary, "")
    known = set(ShardFile.__dataclass_fields__)
    for fields in summary["shards"]:
        if fields["num_records"] * _LEAST_BYTES > fields["size_bytes"]:
            raise ValueError(f"{fields['num_records']:,} records are said to be in {fields['size_bytes']:,} bytes")
        if unknown := sorted(fields.keys() - known):
            raise ValueError(f"shards have no field {unknown[0]!a:.60}")
    if sum(fields["size_bytes"] for fields in summary["shards"]) > _MOST_BYTES:
        raise ValueError(f"the shards are said to have more than {_MOST_BYTES:,} bytes")
    if sum(fields["num_records"] for fields in summary["shards"]) != summary["num_records"]:
        raise ValueError("the shards' records are not as many as it says")
    try:
        Vocabulary.from_record(summary["vocabulary"])
        TextConfig.stored(summary["settings"].get("text", {}))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its vocabulary or its text rules are none ({error!a:.60})") from error


def read_index(content: bytes, shard: ShardFile, *, name: str) -> np.ndarray:
    """A shard's index, once it is the right one and names nothing beyond the shard.

    Args:
        content: of its file.
        shard: whose it is.
        name: of the file, for messages.

    Raises:
        CorpusError: it is damaged, or of other records.
    """
    if hashlib.sha256(content).hexdigest() != shard.index_sha256:
        raise CorpusError(f"{name}: is damaged (its SHA-256 is wrong); {FIX}")
    try:
        index = np.load(io.BytesIO(content), allow_pickle=False)
        if index.dtype != INDEX_DTYPE or index.shape != (shard.num_records,):
            raise ValueError(f"of {index.shape} {index.dtype}")
        starts, sizes = index["offset"], index["size"].astype(np.int64)
        if (starts < 0).any() or (sizes < 0).any() or (starts > shard.size_bytes - sizes).any():
            raise ValueError("names bytes beyond the shard")
    except (ValueError, TypeError, AttributeError, EOFError, MemoryError) as error:
        raise CorpusError(f"{name}: is no index of {shard.num_records:,} records ({error!s:.80}); {FIX}") from error
    return index
