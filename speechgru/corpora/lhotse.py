"""lhotse: cuts, recordings with supervisions, and Shar folders; an utterance for each supervision.

```
cuts_train.jsonl.gz                              a cut each line, with its recording and its supervisions
corpus_recordings_train.jsonl.gz and corpus_supervisions_train.jsonl.gz
train/cuts.000000.jsonl.gz and recording.000000.tar                         Shar: the sound of each cut in a tar
```

A supervision's start counts from its cut's, a cut's from its recording's. Channels count from 0 there, from 1 here.
Mixed cuts, and recordings that a command makes or lhotse would change on reading, are refused.
Layout: lhotse `supervision.py`, `audio/recording.py`, `cut/mono.py`, `shar/writers`; read from what lhotse 1.33 writes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechgru.corpora.described import Described, Faults, Places, further_fields, speaker_name
from speechgru.corpora.extracting import Extraction, plain_name, suffix_of, tar_members
from speechgru.corpora.records import objects_of, read_records, seconds_of, text_of
from speechgru.corpora.sets import Layout
from speechgru.errors import CorpusError

_SUFFIXES = (".jsonl.gz", ".jsonl")
#: Fields of a supervision that say where it lies.
_PLACES = ("id", "recording_id", "start")
#: Seconds by which a cut may miss the whole of its recording and still be all of it: less than a sample.
_EXACT = 1e-5


def _usual_sets(folder: Path, name: str) -> Sequence[Path]:
    if not name:
        names = [f"{kind}{suffix}" for kind in ("cuts", "supervisions") for suffix in _SUFFIXES]
        alone = [path for name in names if (path := folder / name).is_file()]
        return [folder] if folder.is_file() or _shar_files(folder) else alone[:1]
    if _shar_files(folder / name):
        return [folder / name]
    for kind in ("cuts", "supervisions"):
        found = sorted(path for path in folder.glob(f"*{kind}_{name}.jsonl*") if path.name.endswith(_SUFFIXES))
        if len(found) > 1:
            listed = ", ".join(path.name for path in found)
            raise CorpusError(f"{folder}: has several files of {kind} for {name} ({listed}); name the one to read")
        if found:
            return found
    return []


def _shar_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("cuts.*.jsonl*") if path.name.endswith(_SUFFIXES))


def _read_set(path: Path, split: str, faults: Faults, extraction: Extraction) -> Iterator[Described]:
    if path.is_dir():
        yield from _read_shar(path, split, faults, extraction)
        return
    reader = _Recordings(Places(path.parent), f"{split}/{path.name.partition('.')[0]}", extraction)
    if "supervisions" in path.name:
        yield from _read_supervisions(path, reader, faults)
        return
    for number, cut in read_records(path):
        where = f"{path}:{number}"
        if cut.get("type") == "PaddingCut":
            continue
        _refuse_cut(cut, where)
        if not isinstance(cut.get("recording"), dict):
            raise CorpusError(
                f"{where}: the cut {cut.get('id')!s:.100} has no recording; cuts of features alone hold no sound"
            )
        yield from _of_cut(cut, where, reader, faults)


def _refuse_cut(cut: Mapping[str, Any], where: str) -> None:
    if cut.get("type") == "MixedCut" or "tracks" in cut:
        raise CorpusError(
            f"{where}: the cut {cut.get('id')!s:.100} is mixed of several, which no manifest holds; name the cuts "
            "before mixing, or save the sound (CutSet.save_audios)"
        )
    if cut.get("type") not in (None, "MonoCut", "MultiCut", "Cut", "DataCut"):
        raise CorpusError(f"{where}: is a {cut['type']!r:.40}, and not a cut")


def _of_cut(
    cut: Mapping[str, Any], where: str, reader: _Recordings, faults: Faults, *, audio: Path | None = None
) -> Iterator[Described]:
    """The utterances of a cut; those of Shar have its sound as a file of their own."""
    start = 0.0 if audio is not None else seconds_of(dict(cut), "start", where) or 0.0
    supervisions = objects_of(cut, "supervisions", where)
    if not supervisions:
        faults.add(where, f"(the cut {cut.get('id')!s:.100}) has no supervision, and so no transcript")
    for supervision in supervisions:
        yield from _of_supervision(supervision, cut["recording"], where, reader, faults, begin=start, audio=audio)


def _of_supervision(
    supervision: dict[str, Any],
    recording: dict[str, Any],
    where: str,
    reader: _Recordings,
    faults: Faults,
    *,
    begin: float = 0.0,
    audio: Path | None = None,
) -> Iterator[Described]:
    where = f"{where}: {supervision.get('id')!s:.100}"
    begin += _start_of(supervision, where)
    if begin < -_EXACT:
        faults.add(where, f"begins {-begin:.3f} s before its sound")
        return
    begin = max(0.0, begin)
    duration, whole = seconds_of(supervision, "duration", where), seconds_of(recording, "duration", where)
    found = reader.find(recording, supervision.get("channel"), where, faults, audio=audio)
    if found is None:
        return
    path, channel = found
    is_whole = begin < _EXACT and (duration is None or (whole is not None and duration >= whole - _EXACT))
    custom = supervision.get("custom")
    yield Described(
        where,
        path,
        text_of(supervision, "text", where),
        speaker_name(supervision.get("speaker")),
        None if is_whole else begin,
        duration,
        channel,
        further_fields({**supervision, **(custom if isinstance(custom, dict) else {})}, without=_PLACES),
    )


def _read_supervisions(path: Path, reader: _Recordings, faults: Faults) -> Iterator[Described]:
    beside = path.with_name(path.name.replace("supervisions", "recordings"))
    recordings = {str(record.get("id")): record for _, record in read_records(beside)}
    for number, supervision in read_records(path):
        recording = recordings.get(str(supervision.get("recording_id")))
        if recording is None:
            faults.add(f"{path}:{number}", f"is of {supervision.get('recording_id')}, which is not in {beside.name}")
        else:
            yield from _of_supervision(supervision, recording, f"{path}:{number}", reader, faults)


def _read_shar(folder: Path, split: str, faults: Faults, extraction: Extraction) -> Iterator[Described]:
    files = _shar_files(folder)
    tars = [folder / re.sub(r"^cuts\.(\d+)\.jsonl.*$", r"recording.\1.tar", path.name) for path in files]
    extraction.announce(tars)
    reader = _Recordings(Places(folder), split, extraction)
    for path, tar in zip(files, tars, strict=True):
        copied = {}
        for name, content in tar_members(tar):
            if not name.endswith((".json", ".nodata", ".nometa")):
                target = f"{split}/{folder.name}/{tar.stem.rpartition('.')[2]}/{name}"
                copied[name.rpartition(".")[0]] = extraction.put(target, content)
        for number, cut in read_records(path):
            where = f"{path}:{number}"
            _refuse_cut(cut, where)
            name = str(cut.get("id"))
            if name not in copied:
                faults.add(where, f"(the cut {name:.100}) has no recording in {tar}")
            elif isinstance(cut.get("recording"), dict):
                yield from _of_cut(cut, where, reader, faults, audio=copied[name])
            else:
                faults.add(where, f"(the cut {cut.get('id')!s:.100}) does not describe its recording")


def _start_of(supervision: dict[str, Any], where: str) -> float:
    """Where a supervision starts in its cut, in seconds: below 0 where the cut begins inside it."""
    start = supervision.get("start")
    if isinstance(start, int | float) and not isinstance(start, bool) and -1e9 < start < 0:
        return float(start)
    return seconds_of(supervision, "start", where) or 0.0


def _numbers(channels: Any, where: str) -> list[int]:
    """Numbers of channels, in their order in a file; the first one where none is given.

    Raises:
        CorpusError: they are something else.
    """
    numbers = channels if isinstance(channels, list) and channels else [0 if channels in (None, []) else channels]
    if not all(isinstance(each, int) and not isinstance(each, bool) and 0 <= each < 65_535 for each in numbers):
        raise CorpusError(f"{where}: channels must be numbers from 0 on, got {channels!r:.40}")
    return numbers


class _Recordings:
    """Finds the file of a recording, and the number of a channel in it."""

    def __init__(self, places: Places, folder: str, extraction: Extraction):
        self._places, self._folder, self._extraction = places, folder, extraction
        self._in_memory: dict[str, Path] = {}

    def find(
        self, recording: dict[str, Any], channel: Any, where: str, faults: Faults, *, audio: Path | None
    ) -> tuple[Path, int | None] | None:
        """The file and the channel (None for all); None where a fault was noted.

        Raises:
            CorpusError: the recording is made by a command, lies on a network, or is changed on reading.
        """
        name = recording.get("id")
        if recording.get("transforms") and audio is None:
            raise CorpusError(
                f"{where}: the recording {name} is changed on reading (transforms, such as another speed); name the "
                "recordings as they are: training here changes speed and loudness itself"
            )
        sources = objects_of(recording, "sources", where)
        if not sources:
            raise CorpusError(f"{where}: the recording {name!s:.100} has no sources")
        channels = _numbers(channel, where)
        fitting = [each for each in sources if set(channels) <= set(_numbers(each.get("channels"), where))]
        if not fitting:
            faults.add(
                where, f"is channel {channel} of {name}, whose files have {[s.get('channels') for s in sources]}"
            )
            return None
        there = _numbers(fitting[0].get("channels"), where)
        if len(channels) > 1 and len(channels) != len(there):
            faults.add(where, f"is several channels of {name}, and not all; a manifest names one, or all")
            return None
        number = None if len(there) == len(channels) else there.index(channels[0]) + 1
        return audio or self._file(fitting[0], str(name), where), number

    def _file(self, source: Mapping[str, Any], name: str, where: str) -> Path:
        kind, value = source.get("type"), source.get("source")
        if not isinstance(value, str):
            raise CorpusError(f"{where}: the recording {name} has a source of {value!r:.40}, and not a path")
        if kind == "file":
            return self._places.find(value)
        if kind == "memory":
            if name not in self._in_memory:
                self._in_memory[name] = self._put(name, value, where)
            return self._in_memory[name]
        what = {
            "command": "is what a command prints; commands of a corpus are not run",
            "url": "lies on a network; fetch it first",
            "shar": "lies in a tar of Shar; name the Shar folder, and not the file of its cuts",
        }.get(str(kind), f"is of the kind {kind!r:.40}, which is not read here")
        raise CorpusError(f"{where}: the recording {name} {what} ({value!r:.80})")

    def _put(self, name: str, value: str, where: str) -> Path:
        try:
            content = base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise CorpusError(f"{where}: the recording {name} in memory is not base64 ({error})") from error
        return self._extraction.put(f"{self._folder}/{plain_name(name)}{suffix_of(content)}", content)


prepare = Layout(
    "lhotse",
    kind="a file of lhotse's cuts or supervisions, or a Shar folder",
    usual=_usual_sets,
    read=_read_set,
    within=(".", "manifests", "data/manifests"),
).prepare
