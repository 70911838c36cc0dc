"""Tables of DeepSpeech and Coqui STT: `wav_filename,wav_filesize,transcript`, as CSV or TSV, one for each split.

A path is relative to the table. The size in bytes shows a recording that was cut in copying. Further columns are
kept. Layout: DeepSpeech `doc/TRAINING.rst`, Coqui STT `bin/import_*.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from speechgru.corpora.described import Described, Faults, Places, further_fields
from speechgru.corpora.extracting import Extraction
from speechgru.corpora.sets import Layout
from speechgru.corpora.tables import read_table

_SIZE = "wav_filesize"
_SUFFIXES = (".csv", ".tsv")


def _usual_tables(folder: Path, name: str) -> Sequence[Path]:
    if not name:
        return [folder] if folder.is_file() else []
    return [path for suffix in _SUFFIXES if (path := folder / f"{name}{suffix}").is_file()][:1]


def _read_set(path: Path, split: str, faults: Faults, extraction: Extraction) -> Iterator[Described]:
    places = Places(path.parent)
    for row in read_table(path):
        where = f"{path}:{row.line}"
        audio = places.find(row.file)
        size = row.extra.get(_SIZE)
        if not row.file:
            faults.add(where, "names no recording")
        elif size is not None and audio.is_file() and audio.stat().st_size != size:
            faults.add(where, f"says {size} bytes, and {audio} has {audio.stat().st_size}")
        else:
            extra = further_fields(row.extra, without=[_SIZE])
            yield Described(where, audio, row.text or None, row.speaker, channel=row.channel, extra=extra)


prepare = Layout(
    "deepspeech",
    kind="a table (wav_filename,wav_filesize,transcript)",
    usual=_usual_tables,
    read=_read_set,
).prepare
