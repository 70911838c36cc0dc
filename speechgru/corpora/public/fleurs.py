"""FLEURS: some ten hours in each of 102 languages, sentences of Wikipedia read by three people each, 16 kHz.

Public home: the data set google/fleurs on Hugging Face; CC BY 4.0. Conneau et al. 2022, "FLEURS: Few-shot Learning
Evaluation of Universal Representations of Speech" (arXiv 2205.12446). Its layout, of one language:

    data/LANGUAGE/{train,dev,test}.tsv
    data/LANGUAGE/audio/{train,dev,test}/*.wav (or audio/{train,dev,test}.tar.gz)

The splits are official; who speaks is not said.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from speechgru.corpora.public.copies import Clip, Copy, files_below, require_one_of, write
from speechgru.corpora.public.lines import read_cells
from speechgru.corpora.public.source import Archive, fetch, find_language, require_folder
from speechgru.corpora.splits import SPLITS
from speechgru.errors import CorpusError
from speechgru.progress import Progress, silent

_HOME = "https://huggingface.co/datasets/google/fleurs/resolve/main/data"
_COLUMNS = ("id", "file", "raw", "transcription", "characters", "num_samples", "gender")
_TABLES = tuple(f"{split}.tsv" for split in SPLITS)


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    language: str | None = None,
    text: str = "transcription",
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests of one language; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder of a language, or one above it, with the archives of its recordings unpacked; None downloads
            the language into `out/raw`.
        seed: not used: the splits are official.
        progress: called as it downloads and measures.
        language: the language's folder, such as de_de or cmn_hans_cn.
        text: transcription, in small letters without punctuation; or raw, as it was read.
        skip_missing: whether to leave out what has no recording, stands twice, or cannot be read.

    Returns:
        The manifests "train", "dev" and "test"; every line has the `sentence` (its number) and the `gender` (`m`, `f`).

    Raises:
        CorpusError: no such language, the copy is not whole, or it cannot be fetched.
    """
    require_one_of("fleurs", "text", text, ("transcription", "raw"))
    if source is None:
        if language is None or not re.fullmatch(r"[a-z0-9_]+", language):
            raise CorpusError(f"fleurs: name a language to download, such as language=de_de, got {language!r}")
        tables, sounds = _archives(language)
        folder = fetch("fleurs", [*tables, *sounds], out, progress=progress)
        copy = Copy("fleurs", folder)
        rows = {split: folder / tables[place].place for place, split in enumerate(SPLITS)}
        audio = {split: folder / sounds[place].place for place, split in enumerate(SPLITS)}
    else:
        folder = find_language("fleurs", require_folder("fleurs", source), language, *_TABLES)
        copy = Copy("fleurs", folder)
        rows = {split: folder / f"{split}.tsv" for split in SPLITS}
        audio = {split: _audio_of(folder, split) for split in SPLITS}
    for split in SPLITS:
        there = {os.path.basename(path): path for path in files_below(audio[split], ".wav")}
        for _, row in read_cells(rows[split], columns=_COLUMNS):
            extra = {"sentence": row["id"], "gender": row["gender"][:1].lower()}
            path = there.get(row["file"], os.path.join(audio[split], row["file"]))
            copy.add(split, Clip(path, row[text], None, extra))
    return write(copy, out, skip_missing=skip_missing, progress=progress)


def _archives(language: str) -> tuple[list[Archive], list[Archive]]:
    """The tables and the archives of a language, in the order of the splits."""
    tables = [Archive(f"{language}_{split}.tsv", (f"{_HOME}/{language}/{split}.tsv",)) for split in SPLITS]
    sounds = [Archive(f"{language}_{split}.tar.gz", (f"{_HOME}/{language}/audio/{split}.tar.gz",)) for split in SPLITS]
    return tables, sounds


def _audio_of(folder: Path, split: str) -> Path:
    """Where the recordings of a split are.

    Raises:
        CorpusError: their archive was not unpacked.
    """
    packed = folder / "audio" / f"{split}.tar.gz"
    place = folder / "audio" / split
    if packed.is_file() and not place.is_dir():
        raise CorpusError(f"{packed}: unpack it where it is first (`tar -xf`)")
    return place if place.is_dir() else folder / "audio"
