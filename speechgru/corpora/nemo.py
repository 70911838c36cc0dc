"""NeMo manifests: JSON lines, and tarred data sets, whose recordings lie in `audio_0.tar`, `audio_1.tar`, ...

```
{"audio_filepath": "wavs/0001.wav", "duration": 2.31, "text": "turn on the lights"}
tarred_audio_manifest.json: {"audio_filepath": "wavs_0001.wav", "duration": 2.31, "text": "...", "shard_id": 3}
```

A plain manifest is nearly one of ours: speakers may be numbers there, and paths are relative to it or to the working
folder. In a tarred one, `a-sub1.wav` is a further segment of `a.wav`. Further fields of plain values are kept.
Layout: NeMo `scripts/speech_recognition/convert_to_tarred_audio_dataset.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from speechgru.corpora.described import Described, Faults, Places, further_fields, speaker_name
from speechgru.corpora.extracting import Extraction, tar_members
from speechgru.corpora.records import read_records, seconds_of, text_of
from speechgru.corpora.sets import Layout
from speechgru.errors import CorpusError

_TARRED = "tarred_audio_manifest.json"
_SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
#: Fields that say where a recording lies, and nothing about it.
_PLACES = ("shard_id", "audio_file", "num_samples")


def _usual_manifests(folder: Path, name: str) -> Sequence[Path]:
    if not name:
        is_set = (folder / _TARRED).is_file() or folder.is_file()
        return [folder] if is_set else []
    if (folder / name / _TARRED).is_file():
        return [folder / name]
    stems = (f"{name}_manifest", name, f"manifest_{name}")
    return [path for stem in stems for suffix in _SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()][:1]


def _read_set(path: Path, split: str, faults: Faults, extraction: Extraction) -> Iterator[Described]:
    manifest = path / _TARRED if path.is_dir() else path
    records = [(f"{manifest}:{number}", record) for number, record in read_records(manifest)]
    for where, record in records:
        if not isinstance(record.get("audio_filepath"), str) or not record["audio_filepath"]:
            given = repr(record.get("audio_filepath"))[:40]
            raise CorpusError(f"{where}: audio_filepath must be the recording's path in quotes, got {given}")
    if any("shard_id" in record for _, record in records):
        folder = f"{split}/{manifest.parent.name}"
        audio_of = _copied_out(manifest, records, folder, faults, extraction)
    else:
        places = Places(manifest.parent)
        audio_of = {where: places.find(record["audio_filepath"]) for where, record in records}
    for where, record in records:
        if where in audio_of:
            yield Described(
                where,
                audio_of[where],
                text_of(record, "text", where),
                speaker_name(record.get("speaker")),
                seconds_of(record, "offset", where),
                seconds_of(record, "duration", where),
                extra=further_fields(record, without=_PLACES),
            )


def _copied_out(
    manifest: Path, records: list[tuple[str, dict[str, Any]]], folder: str, faults: Faults, extraction: Extraction
) -> dict[str, Path]:
    """The recordings of a tarred manifest's lines, by line."""
    tars = {}
    for where, record in records:
        number = record.get("shard_id")
        if isinstance(number, bool) or not isinstance(number, int):
            raise CorpusError(f"{where}: shard_id must be the number of a tar, got {number!r:.40}")
        tars[number] = manifest.parent / f"audio_{number}.tar"
    extraction.announce(tars.values())
    copied: dict[tuple[int, str], Path] = {}
    wanted = {(record["shard_id"], name) for _, record in records for name in _names(record["audio_filepath"])}
    for number, tar in sorted(tars.items()):
        for name, content in tar_members(tar):
            if (number, name) in wanted:
                copied[number, name] = extraction.put(f"{folder}/{tar.stem}/{name}", content)
    found = {}
    for where, record in records:
        number = record["shard_id"]
        known = [name for name in _names(record["audio_filepath"]) if (number, name) in copied]
        if not known:
            faults.add(where, f"names {record['audio_filepath']}, which is not in {tars[number]}")
        else:
            found[where] = copied[number, known[0]]
    return found


def _names(name: str) -> list[str]:
    """What a recording may be called in a tar: as written, or without what marks a further segment of it.

    >>> _names("talk-sub12.wav")
    ['talk-sub12.wav', 'talk.wav']
    """
    return list(dict.fromkeys((name, re.sub(r"-sub\d+(?=(\.\w+)?$)", "", name))))


prepare = Layout(
    "nemo",
    kind="a NeMo manifest, or a folder with tarred_audio_manifest.json",
    usual=_usual_manifests,
    read=_read_set,
    within=(".", "manifests"),
).prepare
