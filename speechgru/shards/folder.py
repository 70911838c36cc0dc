"""A folder of shards: files written whole, their summary, what is damaged."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tensorflow as tf

from speechgru.errors import CorpusError
from speechgru.files import ANY_SIZE, atomic_path, open_file, room_for, sha256_of, write_json
from speechgru.progress import Progress, silent
from speechgru.shards.checked import read_index, require_fields
from speechgru.shards.places import place_of
from speechgru.shards.records import (
    BYTES_BEFORE,
    BYTES_BEHIND,
    FIX,
    FORMAT,
    INDEX_DTYPE,
    SUMMARY_NAME,
    VERSION,
    EncodedRecord,
    Form,
    ShardFile,
)
from speechgru.stores import is_remote
from speechgru.text import Vocabulary


def write_shard(folder: str | Path, number: int, records: Iterator[EncodedRecord], *, max_bytes: float) -> ShardFile:
    """Writes one shard and its index, each atomically.

    A shard is closed by the record with which it reaches `max_bytes`, so that where it ends depends on nothing but
    its records: a shard can be written anew without the others.

    Args:
        folder: where.
        number: the shard's number, from 0.
        records: at least one; only those that go into this shard are consumed.
        max_bytes: the size from which a shard is closed.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    path = Path(folder) / f"shard-{number:05d}.tfrecord"
    index_path = path.with_suffix(".index.npy")
    index: list[tuple[int, ...]] = []
    with room_for(path):
        with atomic_path(path) as temporary:
            _fill_shard(temporary, records, index, max_bytes=max_bytes)
            size_bytes, sha256 = temporary.stat().st_size, sha256_of(temporary, most=ANY_SIZE)
        with atomic_path(index_path) as temporary:
            with open(temporary, "wb") as stream:
                np.save(stream, np.array(index, INDEX_DTYPE), allow_pickle=False)
            index_sha256 = sha256_of(temporary, most=ANY_SIZE)
    return ShardFile(path.name, len(index), size_bytes, sha256, index_path.name, index_sha256)


def _fill_shard(
    path: Path, records: Iterator[EncodedRecord], index: list[tuple[int, ...]], *, max_bytes: float
) -> None:
    end = 0
    try:
        writer = tf.io.TFRecordWriter(os.fsencode(path))  # a name need not be UTF-8
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
            index.append((end + BYTES_BEFORE, size, record.num_samples, record.num_labels, record.min_steps, crc32))
            end += BYTES_BEFORE + size + BYTES_BEHIND
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
        "format": FORMAT,
        "version": VERSION,
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
    with room_for(folder / SUMMARY_NAME):
        write_json(folder / SUMMARY_NAME, summary)
    return summary


def read_summary(path: str | Path) -> dict[str, Any]:
    """Reads the `shards.json` of a folder.

    Raises:
        CorpusError: the folder holds no finished shards, or the file is damaged or of another version.
    """
    place = place_of(path)
    file = place.name_of(SUMMARY_NAME)
    try:
        summary = json.loads(place.read(SUMMARY_NAME))
        if not isinstance(summary, dict) or summary.get("format") != FORMAT:
            raise CorpusError(f"{file}: does not describe shards; `speechgru shard` writes such folders")
        if summary.get("version") not in range(1, VERSION + 1):
            raise CorpusError(
                f"{file}: is of version {summary.get('version')!r}, this program reads versions 1 to {VERSION}; "
                "pack the shards again or install the program that wrote them"
            )
        if summary.pop("checksum", None) != _checksum(summary):
            raise CorpusError(f"{file}: is damaged (its checksum is wrong); copy it again or pack the shards again")
        require_fields(summary)
    except FileNotFoundError:
        if place.has_parts():
            raise CorpusError(
                f"{path}: holds parts that are not merged; `speechgru shard --merge {path}` makes shards of them"
            ) from None
        if place.has_shards():
            raise CorpusError(
                f"{path}: the shards are not finished (no {SUMMARY_NAME}); run the same `speechgru shard` command "
                "again to resume it"
            ) from None
        raise CorpusError(f"{path}: holds no shards (no {SUMMARY_NAME}); `speechgru shard` writes them") from None
    except OSError as error:
        raise CorpusError(f"{file}: cannot be read ({error.strerror}); name a folder of shards") from error
    except CorpusError:
        raise
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{file}: is damaged ({error}); copy it again or pack the shards again") from error
    return summary


def _checksum(summary: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(summary, sort_keys=True).encode()).hexdigest()


def damage_of(folder: str | Path, shard: ShardFile) -> str | None:
    """What is wrong with a shard's files by their sizes and SHA-256; None where they are intact.

    Where the index is intact it also lists which records are damaged.
    """
    place = place_of(folder)
    path = place.name_of(shard.file)
    try:
        content = place.read(shard.index)
        if hashlib.sha256(content).hexdigest() != shard.index_sha256:
            return f"{place.name_of(shard.index)}: is damaged (its SHA-256 is wrong)"
        index = read_index(content, shard, name=place.name_of(shard.index))
        size = place.size(shard.file)
        if size != shard.size_bytes:
            return f"{path}: has {size:,} bytes, not {shard.size_bytes:,}"
        if place.sha256(shard.file) == shard.sha256:
            return None
        if is_remote(path):
            return f"{path}: is damaged (its SHA-256 is wrong)"
        with open_file(path, most=ANY_SIZE) as stream:
            damaged = [row for row, entry in enumerate(index, start=1) if not _payload_is_whole(stream, entry)]
    except CorpusError as error:
        return str(error)
    except OSError as error:
        return f"{error.filename or path}: cannot be read ({error.strerror})"
    where = f"record {', '.join(map(str, damaged))} of {len(index)}" if damaged else "between the records"
    return f"{path}: is damaged (its SHA-256 is wrong: {where})"


def _payload_is_whole(stream: BinaryIO, entry: np.void) -> bool:
    stream.seek(entry["offset"])
    return zlib.crc32(stream.read(int(entry["size"]))) == entry["crc32"]


def verify(path: str | Path, *, progress: Progress = silent) -> list[str]:
    """Reads every byte of a folder of shards and compares all checksums.

    Args:
        path: the folder.
        progress: called after each shard.

    Returns:
        A message for each damaged or missing file, none where all is intact.

    Raises:
        CorpusError: the folder holds no finished shards.
    """
    damages = []
    shards = [ShardFile(**fields) for fields in read_summary(path)["shards"]]
    for done, shard in enumerate(shards, start=1):
        damage = damage_of(path, shard)
        if damage is not None:
            damages.append(f"{damage}; {FIX}")
        progress("verifying shards", done, len(shards), f"{len(damages)} damaged" if damages else "")
    return damages
