"""MUSAN: 109 hours of noise, music and speech to mix with, 16 kHz.

Public home: OpenSLR 17; CC BY 4.0 and freer, a file each. Snyder, Chen, Povey 2015, "MUSAN: A Music, Speech, and Noise
Corpus" (arXiv 1510.08484). `noise.jsonl` and `music.jsonl` are for `augment.noise_manifest`; all three are negatives
for a recogniser of commands.
"""

from __future__ import annotations

import os
from pathlib import Path

from speechgru.corpora.public.copies import Clip, Copy, files_below, write
from speechgru.corpora.public.source import fetch, find_root, openslr
from speechgru.progress import Progress, silent

_ARCHIVE = openslr(17, "musan.tar.gz", num_bytes=11_086_114_085, checksum="md5:0c472d4fc0c5141eca47ad1ffeb2a7df")
_KINDS = ("noise", "music", "speech")


def prepare(
    out: Path, *, source: Path | None = None, seed: int = 0, progress: Progress = silent, skip_missing: bool = False
) -> dict[str, Path]:
    """Writes a manifest of each kind, without texts; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder `musan`, or one above it; None downloads it into `out/raw`.
        seed: not used: nothing is drawn.
        progress: called as it downloads and measures.
        skip_missing: whether to leave out what cannot be read.

    Returns:
        The manifests "noise", "music" and "speech"; every line has the `collection` that it comes from.

    Raises:
        CorpusError: the copy is not whole, or it cannot be fetched.
    """
    if source is None:
        source = fetch("musan", [_ARCHIVE], out, progress=progress)
    folder = find_root("musan", source, *_KINDS)
    copy = Copy("musan", folder)
    for kind in _KINDS:
        for path in files_below(folder / kind, ".wav"):
            extra = {"collection": os.path.basename(os.path.dirname(path))}
            copy.add(kind, Clip(path, "", None, extra), is_speech=False)
    return write(copy, out, needed=_KINDS, skip_missing=skip_missing, progress=progress)
