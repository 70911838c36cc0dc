"""Tables of DeepSpeech and Coqui STT: `wav_filename,wav_filesize,transcript`, as CSV or TSV, one for each split.

A path is relative to the table. The size in bytes shows a recording that was cut in copying. Layout: DeepSpeech
`doc/TRAINING.rst`, Coqui STT `bin/import_*.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from speechgru.corpora.described import Described, Faults, Places, further_fields
from speechgru.corpora.extracting import Extraction
from speechgru.corpora.sets import prepare_sets
from speechgru.corpora.tables import read_table
from speechgru.progress import Progress, silent

_SIZE = "wav_filesize"
_SUFFIXES = (".csv", ".tsv")


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    train: list[str] | None = None,
    dev: list[str] | None = None,
    test: list[str] | None = None,
    dev_share: float = 0.0,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests of DeepSpeech's or Coqui's tables; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: a table, or the folder that holds one for each split.
        seed: not used: nothing is drawn by chance.
        progress: called as it reads.
        train: the table for train below the source, or several (a,b); none looks for train.csv and its like.
        dev: the table for dev.
        test: the table for test.
        dev_share: of the recordings of train that make dev, 0 to 0.5, where there is no table for it.
        skip_missing: whether to leave out what lacks its transcript or recording, or cannot be read.

    Returns:
        The manifests by split; further columns are kept.

    Raises:
        CorpusError: there are no such tables, one is faulty, or a recording is missing or not as large as stated.
    """
    return prepare_sets(
        "deepspeech",
        out,
        source=source,
        given={"train": train, "dev": dev, "test": test},
        usual=_usual_tables,
        read=_read_set,
        kind="a table (wav_filename,wav_filesize,transcript)",
        dev_share=dev_share,
        skip_missing=skip_missing,
        progress=progress,
    )


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
