"""LJSpeech 1.1: 13,100 sentences from seven books by one woman, 24 hours, 22.05 kHz.

Public home: keithito.com/LJ-Speech-Dataset; public domain. It was made for speech synthesis and has no official split:
whole chapters (`LJ001` to `LJ050`) are dealt here, so that no passage is in two splits. The one speaker is in all.
"""

from __future__ import annotations

import os
from pathlib import Path

from speechgru.corpora.public.copies import Clip, Copy, files_below, require_one_of, write
from speechgru.corpora.public.lines import read_cells
from speechgru.corpora.public.source import Archive, fetch, find_root
from speechgru.progress import Progress, silent

_ARCHIVE = Archive(
    "LJSpeech-1.1.tar.bz2",
    ("https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",),
    2_748_572_632,
    "sha256:be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
)


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    text: str = "normalized",
    dev_share: float = 0.05,
    test_share: float = 0.05,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests in which no chapter is in two; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder `LJSpeech-1.1`, or one above it; None downloads it into `out/raw`.
        seed: another seed, another split.
        progress: called as it downloads and measures.
        text: normalized, with numbers and abbreviations as words; or raw, as printed.
        dev_share: of the recordings, for dev, as far as whole chapters allow.
        test_share: of the recordings, for test.
        skip_missing: whether to leave out what lacks its transcript or recording, stands twice, or cannot be read.

    Returns:
        The manifests "train", "dev" and "test".

    Raises:
        CorpusError: the copy is not whole, or it cannot be fetched.
    """
    require_one_of("ljspeech", "text", text, ("normalized", "raw"))
    if source is None:
        source = fetch("ljspeech", [_ARCHIVE], out, progress=progress)
    folder = find_root("ljspeech", source, "metadata.csv", "wavs")
    copy = Copy("ljspeech", folder)
    rows = read_cells(folder / "metadata.csv", separator="|", columns=("id", "raw", "normalized"))
    texts = [(row["id"], row[text]) for _, row in rows]
    audio = {os.path.basename(path)[:-4]: path for path in files_below(folder / "wavs", ".wav")}
    expected = os.path.join(folder, "wavs", "{}.wav").format
    clips = [Clip(path, said, "lj") for _, path, said in copy.match(audio, texts, expected=expected)]
    copy.deal(clips, _chapter, {"dev": dev_share, "test": test_share}, seed=seed)
    return write(copy, out, skip_missing=skip_missing, progress=progress)


def _chapter(clip: Clip) -> str:
    return os.path.basename(clip.audio).partition("-")[0]
