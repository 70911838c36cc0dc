"""Multilingual LibriSpeech: audiobooks in eight languages, from 100 hours of Polish to 44,000 of English, 16 kHz.

Public home: OpenSLR 94; CC BY 4.0. Pratap et al. 2020, "MLS: A Large-Scale Multilingual Dataset for Speech Research"
(arXiv 2012.03411). The splits are official and by speaker. It comes as FLAC and, a quarter as large, as Opus.
"""

from __future__ import annotations

import os
from pathlib import Path

from speechgru.corpora.public.copies import Clip, Copy, files_below, require_one_of, write
from speechgru.corpora.public.lines import read_lines, read_pairs
from speechgru.corpora.public.source import Archive, fetch, find_root
from speechgru.corpora.splits import SPLITS
from speechgru.errors import CorpusError
from speechgru.progress import Progress, silent

_HOME = "https://dl.fbaipublicfiles.com/mls"
#: What the Opus archives take, as the home says, in bytes; English has 651 GB.
_OPUS_BYTES = {
    "dutch": 24_700_000_000,
    "english": 699_000_000_000,
    "french": 17_200_000_000,
    "german": 31_100_000_000,
    "italian": 4_080_000_000,
    "polish": 1_720_000_000,
    "portuguese": 2_680_000_000,
    "spanish": 15_000_000_000,
}


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    language: str | None = None,
    hours: str = "all",
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests of one language; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder `mls_LANGUAGE` or `mls_LANGUAGE_opus`, or one above it; None downloads the Opus form into
            `out/raw`.
        seed: not used: the splits are official.
        progress: called as it downloads and measures.
        language: of a download: dutch, english, french, german, italian, polish, portuguese or spanish.
        hours: how much of train: all, or the official small sets, 9hr and 1hr.
        skip_missing: whether to leave out what lacks its transcript or recording, stands twice, or cannot be read.

    Returns:
        The manifests "train", "dev" and "test"; every line has the `speaker` and the `book`.

    Raises:
        CorpusError: no such language, the copy is not whole, or it cannot be fetched.
    """
    require_one_of("mls", "hours", hours, ("all", "9hr", "1hr"))
    if source is None:
        require_one_of("mls", "language", language, _OPUS_BYTES)
        name = f"mls_{language}_opus.tar.gz"
        source = fetch("mls", [Archive(name, (f"{_HOME}/{name}",), _OPUS_BYTES[str(language)])], out, progress=progress)
    elif language is not None:
        raise CorpusError("mls: language is for a download; of a copy, name the folder of one language with --source")
    root = find_root("mls", source, *(f"{split}/transcripts.txt" for split in SPLITS))
    copy = Copy("mls", root)
    for split in SPLITS:
        chosen = None if split != "train" or hours == "all" else _limited(root / "train", hours)
        audio = {os.path.splitext(os.path.basename(path))[0]: path for path in _sounds(root / split)}
        texts = read_pairs(root / split / "transcripts.txt", separator="\t")
        expected = os.path.join(root, split, "audio", "{}.flac").format
        for name, path, text in copy.match(audio, texts, expected=expected):
            speaker, book, _ = name.split("_") if name.count("_") == 2 else (None, "", "")
            if chosen is None or name in chosen:
                copy.add(split, Clip(path, text, speaker, {"book": book} if book else {}))
            else:
                copy.passed_over[f"not in the set of {hours}"] += 1
    return write(copy, out, skip_missing=skip_missing, progress=progress)


def _sounds(folder: Path) -> list[str]:
    return list(files_below(folder / "audio", ".flac", ".opus", ".ogg", ".wav"))


def _limited(folder: Path, hours: str) -> set[str]:
    """The identifiers of a small set: that of nine hours, or the six of ten minutes that make an hour."""
    place = folder / "limited_supervision" / hours
    lists = sorted(place.glob("handles.txt")) or sorted(place.glob("*/handles.txt"))
    if not lists:
        raise CorpusError(f"{place}: holds no handles.txt; unpack the corpus anew, or take hours=all")
    return {line.strip() for path in lists for _, line in read_lines(path)}
