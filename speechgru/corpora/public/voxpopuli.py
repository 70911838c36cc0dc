"""VoxPopuli: speeches in the European Parliament, 1,800 transcribed hours in 16 languages, 16 kHz, Ogg Vorbis.

Public home: the GitHub repository facebookresearch/voxpopuli; CC0 (the sound is the Parliament's, with its own terms).
Wang et al. 2021, "VoxPopuli: A Large-Scale Multilingual Speech Corpus" (arXiv 2101.00390). Recordings are sessions of
hours, whose segments a table names:

    raw_audios/original/YEAR/SESSION_original.ogg
    asr_LANGUAGE.tsv.gz: a row a segment, cells between `|`

or they were cut by the corpus's own program (`transcribed_data/LANGUAGE/asr_{train,dev,test}.tsv`). Where they were not
cut, a segment is read from its start to its end; that program leaves out the pauses inside.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from pathlib import Path

from speechgru.corpora.public.copies import Clip, Copy, files_below, require_one_of, write
from speechgru.corpora.public.lines import read_cells
from speechgru.corpora.public.source import Archive, fetch, find_root, find_roots, require_folder
from speechgru.corpora.splits import SPLITS
from speechgru.errors import CorpusError
from speechgru.files import temporary_folder
from speechgru.progress import Progress, silent

_HOME = "https://dl.fbaipublicfiles.com/voxpopuli"
_YEARS = range(2009, 2021)
_LANGUAGES = ("en", "de", "fr", "es", "pl", "it", "ro", "hu", "cs", "nl", "fi", "hr", "sk", "sl", "et", "lt")
_CUT = tuple(f"asr_{split}.tsv" for split in SPLITS)
_ENDS = re.compile(r"_original$|_[a-z]{2}$")


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    language: str = "en",
    text: str = "normalized",
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests of one language; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: a folder with asr_LANGUAGE.tsv.gz and the sessions, or with what the corpus's own program cut; None
            downloads every session of every language and year, which takes hundreds of gigabytes, into `out/raw`.
        seed: not used: the splits are official.
        progress: called as it downloads and measures.
        language: of en, de, fr, es, pl, it, ro, hu, cs, nl, fi, hr, sk, sl, et, lt.
        text: normalized, in small letters, numbers as words; or original, as it was written down.
        skip_missing: whether to leave out segments without a text or without their recording.

    Returns:
        The manifests "train", "dev" and "test"; every line has the `gender` where it is known, and the `speaker`.

    Raises:
        CorpusError: the copy is not whole, or it cannot be fetched.
    """
    require_one_of("voxpopuli", "language", language, _LANGUAGES)
    require_one_of("voxpopuli", "text", text, ("normalized", "original"))
    if source is None:
        source = fetch("voxpopuli", _archives(language), out, progress=progress)
    require_folder("voxpopuli", source)
    cut = [root for root in find_roots(source, *_CUT) if root.name == language or root == source]
    copy = Copy("voxpopuli", source)
    if cut:
        _read_cut(copy, cut[0], text)
    else:
        _read_sessions(copy, source, language, text, out)
    return write(copy, out, skip_missing=skip_missing, progress=progress)


def _archives(language: str) -> list[Archive]:
    name = f"asr_{language}.tsv.gz"
    sounds = [Archive(f"original_{year}.tar", (f"{_HOME}/audios/original_{year}.tar",)) for year in _YEARS]
    return [Archive(name, (f"{_HOME}/annotations/asr/{name}",)), *sounds]


def _read_cut(copy: Copy, folder: Path, text: str) -> None:
    """Segments that the corpus's own program has cut into files."""
    audio = {os.path.splitext(os.path.basename(path))[0]: path for path in files_below(folder, ".ogg", ".wav", ".flac")}
    column = "normalized_text" if text == "normalized" else "raw_text"
    for split, table in zip(SPLITS, _CUT, strict=True):
        for _, row in read_cells(folder / table, needed=("id", column, "speaker_id")):
            path = audio.get(row["id"], os.path.join(folder, f"{row['id']}.ogg"))
            copy.add(split, Clip(path, row[column], _known(row["speaker_id"]), _extra(row)))


def _read_sessions(copy: Copy, source: Path, language: str, text: str, out: Path) -> None:
    """Segments of whole sessions."""
    table = f"asr_{language}.tsv"
    packed = [root / f"{table}.gz" for root in find_roots(source, f"{table}.gz")]
    path = packed[0] if packed else find_root("voxpopuli", source, table) / table
    with temporary_folder(out, "voxpopuli") as work:
        if packed:
            path = _unzipped(packed[0], work / table)
        rows = list(read_cells(path, separator="|", needed=("session_id", "split", "start_time", "end_time")))
    audio = {
        _ENDS.sub("", os.path.splitext(os.path.basename(sound))[0]): sound for sound in files_below(source, ".ogg")
    }
    for number, row in rows:
        if row["split"] not in SPLITS:
            copy.passed_over[f"in no split ({row['split'] or 'empty'})"] += 1
            continue
        try:
            start, end = float(row["start_time"]), float(row["end_time"])
        except ValueError:
            raise CorpusError(f"{path}:{number}: start and end are no seconds; fetch the table anew") from None
        sound = audio.get(row["session_id"], os.path.join(source, f"{row['session_id']}_original.ogg"))
        said = row.get("original_text" if text == "original" else "normalized_text") or row.get("normed_text", "")
        copy.add(
            row["split"],
            Clip(
                sound,
                said,
                _known(row.get("speaker_id", "")),
                _extra(row),
                offset=start,
                duration=round(end - start, 3),
            ),
        )


def _unzipped(packed: Path, path: Path) -> Path:
    try:
        path.write_bytes(gzip.decompress(packed.read_bytes()))
    except (OSError, EOFError, zlib.error) as error:
        raise CorpusError(f"{packed}: is not a whole .gz ({error}); fetch it again") from error
    return path


def _known(value: str) -> str | None:
    return None if value.lower() in ("", "none", "null") else value


def _extra(row: dict[str, str]) -> dict[str, object]:
    return {key: row[key] for key in ("gender", "accent") if _known(row.get(key, ""))}
