"""Makes one folder of shards of the parts that several machines packed.

The records of the parts follow each other as their utterances do, and are cut into files anew, where one machine would
have cut them. So the folder is, to the byte, what packing without parts writes; and every record is read and compared
with its checksum on the way.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from speechgru import jsonlines
from speechgru.config.differences import find_differences
from speechgru.errors import CorpusError
from speechgru.files import ANY_SIZE, held, open_file, room_for
from speechgru.process.locked_folder import locked_folder
from speechgru.progress import Progress, silent
from speechgru.shards.checked import read_index
from speechgru.shards.folder import read_summary, write_shard, write_summary
from speechgru.shards.job import PLAN_NAME, refuse_too_few
from speechgru.shards.pack import ShardSummary, summarize, work_folder
from speechgru.shards.parts import Part
from speechgru.shards.places import place_of
from speechgru.shards.records import SUMMARY_NAME, EncodedRecord, ShardFile
from speechgru.stores import Store, is_remote, joined
from speechgru.text import Vocabulary

#: What parts of one corpus have in common.
_COMMON = (
    *("form", "sample_rate", "num_features", "vocabulary", "settings"),
    *("shard_megabytes", "manifests", "held_out"),
)
_FOLDER = re.compile(r"part-(\d{5})-of-(\d{5})")


def merge(folder: str | Path, *, progress: Progress = silent) -> ShardSummary:
    """Merges the parts in a folder into finished shards beside them; the parts stay.

    Args:
        folder: where the parts are, on a disk or a store; the shards are written there.
        progress: called as records are copied.

    Returns:
        What the folder holds.

    Raises:
        CorpusError: a part is missing, unfinished, damaged, or of another corpus; names it.
        UserError: too many utterances cannot be used, or the folder cannot be written.
    """
    parts = find_parts(folder)
    summaries = {part: read_summary(_at(folder, part.folder)) for part in parts}
    _require_one_corpus(folder, summaries)
    places = [place_of(_at(folder, part.folder)) for part in parts]
    plans = [place.read(PLAN_NAME) for place in places]
    for part, place, plan in zip(parts, places, plans, strict=True):
        if hashlib.sha256(plan).hexdigest() != summaries[part]["plan_sha256"]:
            raise CorpusError(f"{place.name_of(PLAN_NAME)}: is damaged (its SHA-256 is wrong); copy the part again")
    first = summaries[parts[0]]
    skipped = [record for place in places for record in _read_lines(place.read("skipped.jsonl"))]
    num_records = sum(summary["num_records"] for summary in summaries.values())
    refuse_too_few(num_records, skipped, first["part"]["max_skipped_share"], where=folder)
    store = Store(folder) if isinstance(folder, str) and is_remote(folder) else None
    out = Path(folder) if store is None else work_folder(store.url)
    is_there = held(out, is_others=True) if store is None else contextlib.nullcontext()
    with is_there, room_for(out), locked_folder(out, activity="is merging shards here", advice="wait for it"):
        records = _records(folder, parts, summaries, progress, num_records)
        shards: list[ShardFile] = []
        done = 0
        while done < num_records:
            shards.append(write_shard(out, len(shards), records, max_bytes=first["shard_megabytes"] * 1e6))
            done += shards[-1].num_records
            if store is not None:
                store.put(out / shards[-1].index, shards[-1].index)
                store.put(out / shards[-1].file, shards[-1].file)
                (out / shards[-1].file).unlink()
        jsonlines.write_lines(out / "skipped.jsonl", skipped)
        summary = write_summary(
            out,
            shards,
            form=first["form"],
            sample_rate=first["sample_rate"],
            num_features=first["num_features"],
            vocabulary=Vocabulary.from_record(first["vocabulary"]),
            settings=first["settings"],
            sources={
                "num_skipped": len(skipped),
                "shard_megabytes": first["shard_megabytes"],
                "manifests": first["manifests"],
                "held_out": first["held_out"],
                "plan_sha256": hashlib.sha256(b"".join(plans)).hexdigest(),
            },
        )
        if store is not None:
            for name in ("skipped.jsonl", SUMMARY_NAME):
                store.put(out / name, name)
            for path in (*out.glob("shard-*"), out / "skipped.jsonl", out / SUMMARY_NAME):
                path.unlink()
    return summarize(folder if store is None else store.url, summary, num_kept=0)


def _at(folder: str | Path, name: str) -> str | Path:
    return joined(folder, name) if isinstance(folder, str) and is_remote(folder) else Path(folder) / name


def find_parts(folder: str | Path) -> list[Part]:
    """The parts of a folder, all that there must be.

    Args:
        folder: where they are, on a disk or a store.

    Raises:
        CorpusError: there is none, one is missing, or they are of two divisions.
    """
    if isinstance(folder, str) and is_remote(folder):
        names = Store(folder).names("part-*")
    else:
        names = [path.name for path in Path(folder).glob("part-*")] if Path(folder).is_dir() else []
    found = sorted((int(m[2]), int(m[1])) for name in names if (m := _FOLDER.fullmatch(name)))
    if not found:
        raise CorpusError(f"{folder}: holds no parts (part-00001-of-...); `speechgru shard --part 1/16` writes them")
    of = found[0][0]
    if found[-1][0] != of:
        raise CorpusError(f"{folder}: holds parts of {of} and of {found[-1][0]}; remove those of one division")
    missing = sorted(set(range(1, of + 1)) - {number for _, number in found})
    if missing:
        shown = ", ".join(f"{number}/{of}" for number in missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise CorpusError(f"{folder}: lacks {len(missing)} of {of} parts: {shown}; pack them with --part")
    return [Part(number, of) for _, number in found]


def _require_one_corpus(folder: str | Path, summaries: dict[Part, dict[str, Any]]) -> None:
    """Whether the parts are of one corpus, and hold each of its utterances once.

    Raises:
        CorpusError: they are not, or do not; names the part.
    """
    (_, first), *_ = summaries.items()
    place = 0
    for part, summary in summaries.items():
        where = _at(folder, part.folder)
        there, here = ({key: each.get(key) for key in _COMMON} for each in (first, summary))
        changed = find_differences(there, here)
        if changed:
            raise CorpusError(
                f"{where}: is a part of another corpus than part 1: {'; '.join(map(str, changed))}; pack it again"
            )
        stored = summary.get("part") or {}
        if (stored.get("number"), stored.get("of"), stored.get("first")) != (part.number, part.of, place):
            raise CorpusError(f"{where}: holds another part than its name says ({stored}); pack it again")
        if summary["num_records"] + summary["num_skipped"] != stored["count"]:
            raise CorpusError(
                f"{where}: has {summary['num_records']:,} records and {summary['num_skipped']:,} left out, of "
                f"{stored['count']:,} utterances; pack it again"
            )
        place += stored["count"]
    total = sum(manifest["num_utterances"] for manifest in first["manifests"])
    if place != total:
        raise CorpusError(
            f"{folder}: its parts have {place:,} utterances, and the manifests {total:,}; pack them again"
        )


def _records(
    folder: str | Path, parts: Sequence[Part], summaries: dict[Part, dict[str, Any]], progress: Progress, total: int
) -> Iterator[EncodedRecord]:
    """All records in order, each compared with its checksum."""
    done = 0
    for part in parts:
        place = place_of(_at(folder, part.folder))
        for fields in summaries[part]["shards"]:
            shard = ShardFile(**fields)
            name = place.name_of(shard.file)
            index = read_index(place.read(shard.index), shard, name=place.name_of(shard.index))
            with open_file(place.local(shard), most=ANY_SIZE) as stream:
                for entry in index:
                    stream.seek(entry["offset"])
                    payload = stream.read(int(entry["size"]))
                    if zlib.crc32(payload) != entry["crc32"]:
                        raise CorpusError(f"{name}: is damaged (a record's checksum is wrong); copy the part again")
                    done += 1
                    progress("merging", done, total, part.folder)
                    yield EncodedRecord(
                        payload, *(int(entry[key]) for key in ("num_samples", "num_labels", "min_steps"))
                    )


def _read_lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]
