"""Hugging Face data sets on disk: an audiofolder, parquet files with the sound inside, and `save_to_disk`.

```
train/metadata.csv (or .jsonl): file_name,transcription     recordings beside it
data/train-00000-of-00002.parquet                           column audio: struct<bytes: binary, path: string>
dataset_dict.json, train/data-00000-of-00001.arrow          save_to_disk
```

Parquet and arrow are read with pyarrow (extra `parquet`); neither `datasets` nor what it downloads is needed. A data
set that is a program (`NAME.py`) is not run. Layout: the documentation of `datasets`, "Load audio data".
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from speechgru.corpora.described import Described, Faults, Places, further_fields, speaker_name
from speechgru.corpora.extracting import Extraction, plain_name, suffix_of
from speechgru.corpora.records import read_records
from speechgru.corpora.sets import prepare_sets
from speechgru.corpora.tables import read_table
from speechgru.errors import CorpusError, UserError
from speechgru.progress import Progress, silent

_TEXTS = ("text", "transcription", "transcript", "sentence", "normalized_text", "raw_transcription")
_SPEAKERS = ("speaker", "speaker_id", "client_id", "spk_id")
_PACKED = (".parquet", ".arrow")
_METADATA = ("metadata.csv", "metadata.jsonl")
#: Rows of a packed file that are in memory at a time.
_ROWS = 32


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    train: list[str] | None = None,
    dev: list[str] | None = None,
    test: list[str] | None = None,
    text: str | None = None,
    audio: str | None = None,
    dev_share: float = 0.0,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests of a data set in Hugging Face's forms; sound inside parquet or arrow is copied out.

    Args:
        out: the folder to write; `audio` in it has what is copied.
        source: the data set's folder, with its splits; of several configurations the folder of one.
        seed: not used: nothing is drawn by chance.
        progress: called as it reads.
        train: the file or folder for train below the source, or several (a,b); none looks for those with usual names.
        dev: that for dev.
        test: that for test.
        text: the column of transcripts; none looks for text, transcription, sentence and their like.
        audio: the column of sound in parquet; none looks for one of bytes and path.
        dev_share: of the people of train that make dev, 0 to 0.5, where there is nothing for it.
        skip_missing: whether to leave out what lacks its transcript or recording, or cannot be read.

    Returns:
        The manifests by split; further columns of plain values are kept.

    Raises:
        CorpusError: there are no such files, one is damaged, or columns are not found.
        UserError: pyarrow is not installed, and is needed.
    """

    def read(path: Path, split: str, faults: Faults, extraction: Extraction) -> Iterator[Described]:
        if path.suffix in _PACKED:
            return _read_packed(path, split, faults, extraction, text=text, audio=audio)
        return _read_folder(path, text=text)

    return prepare_sets(
        "huggingface",
        out,
        source=source,
        given={"train": train, "dev": dev, "test": test},
        usual=_usual_sets,
        read=read,
        kind="a folder with metadata.csv, metadata.jsonl, parquet or arrow files",
        within=(".", "data"),
        dev_share=dev_share,
        skip_missing=skip_missing,
        progress=progress,
    )


def _usual_sets(folder: Path, name: str) -> Sequence[Path]:
    """Packed files or a folder with metadata; by its name a split has files, a folder of them, or of recordings."""
    if not name:
        if folder.is_file():
            return [folder] if folder.suffix in _PACKED else []
        packed = sorted(path for suffix in _PACKED for path in folder.glob(f"*{suffix}"))
        return packed or ([folder] if _metadata(folder) else [])
    named = re.compile(rf"{re.escape(name)}(-\d+-of-\d+|[-_.]\d+|)({'|'.join(map(re.escape, _PACKED))})")
    there = folder.glob(f"{glob.escape(name)}*")
    files = sorted(path for path in there if named.fullmatch(path.name) and path.is_file())
    _require_all(folder, files)
    return files or (_usual_sets(folder / name, "") if (folder / name).is_dir() else [])


def _require_all(folder: Path, files: Sequence[Path]) -> None:
    """Refuses `train-00000-of-00003` without its two others."""
    for path in files:
        found = re.search(r"-of-(\d+)\.", path.name)
        if found and len(files) != int(found[1]):
            raise CorpusError(
                f"{folder}: has {len(files)} of the {int(found[1])} files of {path.name}; copy the others"
            )


def _metadata(folder: Path) -> Path | None:
    return next((folder / name for name in _METADATA if (folder / name).is_file()), None)


def _read_folder(folder: Path, *, text: str | None) -> Iterator[Described]:
    """The rows of an audiofolder's metadata."""
    metadata = _metadata(folder)
    if metadata is None:
        raise CorpusError(f"{folder}: has neither {' nor '.join(_METADATA)}")
    if metadata.suffix == ".csv" and text is None:
        rows: Iterator[tuple[int, Mapping[str, Any]]] = (
            (row.line, {"file_name": row.file, "text": row.text or None, "speaker": row.speaker, **row.extra})
            for row in read_table(metadata)
        )
    elif metadata.suffix == ".csv":
        raise CorpusError(f"{metadata}: text= names a column of parquet or jsonl; rename the column of a CSV to text")
    else:
        rows = read_records(metadata)
    places = Places(folder)
    for line, row in rows:
        where = f"{metadata}:{line}"
        file = row.get("file_name")
        if not isinstance(file, str) or not file:
            raise CorpusError(
                f"{where}: lacks file_name, the recording's path; got {', '.join(row)[:100] or 'nothing'}"
            )
        yield _described(row, where, places.find(file), text_column=_column(row, text, _TEXTS, where))


def _described(row: Mapping[str, Any], where: str, audio: Path, *, text_column: str) -> Described:
    speaker = next((name for name in _SPEAKERS if row.get(name) is not None), None)
    value = row.get(text_column)
    return Described(
        where,
        audio,
        value if isinstance(value, str) else None,
        speaker_name(row[speaker]) if speaker else None,
        extra=further_fields(row, without=[text_column, "file_name", *([speaker] if speaker else [])]),
    )


def _column(columns: Mapping[str, Any] | Sequence[str], asked: str | None, known: Sequence[str], where: str) -> str:
    """The name of a column.

    Raises:
        CorpusError: there is none; lists those that there are.
    """
    name = asked if asked is not None else next((name for name in known if name in columns), None)
    if name is None or name not in columns:
        what = f"the column {asked!r}" if asked else f"a column of texts ({', '.join(known)})"
        raise CorpusError(f"{where}: lacks {what}; it has {', '.join(columns)[:200]}: name one, text=COLUMN")
    return name


def _read_packed(
    path: Path, split: str, faults: Faults, extraction: Extraction, *, text: str | None, audio: str | None
) -> Iterator[Described]:
    """The rows of a parquet or arrow file, a few at a time; their sound is copied out."""
    extraction.announce([path])
    for number, row, (text_column, audio_column) in _rows(path, text, audio):
        where = f"{path}: row {number}"
        sound = row.pop(audio_column) or {}
        content, name = sound.get("bytes"), PurePosixPath((sound.get("path") or "").replace("\\", "/")).name
        if content:
            stem = plain_name(PurePosixPath(name).stem)[:80]
            suffix = PurePosixPath(name).suffix or suffix_of(content)
            folder = f"{split}/{path.parent.name}-{path.stem}"
            file = extraction.put(f"{folder}/{number:07d}{'-' if stem else ''}{stem}{suffix}", content)
        elif sound.get("path"):
            file = Places(path.parent).find(sound["path"])
        else:
            faults.add(where, "has no sound")
            continue
        yield _described(row, where, file, text_column=text_column)


def _rows(path: Path, text: str | None, audio: str | None) -> Iterator[tuple[int, dict[str, Any], tuple[str, str]]]:
    """Number from 1, values, and the columns of text and sound."""
    pyarrow = _pyarrow()
    try:
        batches, schema = _batches(path)
        sounds = [field.name for field in schema if _is_sound(field.type)]
        if audio is not None and audio not in sounds:
            raise CorpusError(f"{path}: the column {audio!r} is not one of bytes and path; such are {sounds or 'none'}")
        if not sounds:
            raise CorpusError(f"{path}: has no column of sound (struct<bytes, path>); it has {', '.join(schema.names)}")
        columns = (_column(schema.names, text, _TEXTS, str(path)), audio or sounds[0])
        plain = [field.name for field in schema if not pyarrow.types.is_nested(field.type)]
        number = 0
        for batch in batches:
            for row in batch.select([*plain, columns[1]]).to_pylist():
                number += 1
                yield number, row, columns
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{path}: is damaged or cut ({error!s:.200}); copy it again") from error


def _batches(path: Path) -> tuple[Iterator[Any], Any]:
    pyarrow = _pyarrow()
    if path.suffix == ".parquet":
        file = pyarrow.parquet.ParquetFile(path)
        return file.iter_batches(batch_size=_ROWS), file.schema_arrow
    stream = pyarrow.memory_map(str(path))
    reader = pyarrow.ipc.open_stream(stream)
    return (part for batch in reader for part in _parts(batch)), reader.schema


def _pyarrow() -> Any:
    """The library that reads parquet and arrow.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise UserError(f"parquet and arrow need {error.name}: pip install 'speechgru[parquet]'") from error
    return pyarrow


def _parts(batch: Any) -> Iterator[Any]:
    for start in range(0, batch.num_rows, _ROWS):
        yield batch.slice(start, _ROWS)


def _is_sound(kind: Any) -> bool:
    return _pyarrow().types.is_struct(kind) and {field.name for field in kind} >= {"bytes", "path"}
