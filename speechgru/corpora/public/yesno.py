"""yesno: 60 recordings of eight words each, "yes" and "no" in Hebrew, by one man, 8 kHz: the smallest corpus of all.

Public home: OpenSLR 1; free to use. A recording's name is its text: `0_1_1_0_1_0_1_1.wav`. It has no official split.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from speechgru.corpora.public.copies import Clip, Copy, files_below, write
from speechgru.corpora.public.source import fetch, find_roots, openslr, require_folder
from speechgru.errors import CorpusError
from speechgru.progress import Progress, silent

_ARCHIVE = openslr(
    1,
    "waves_yesno.tar.gz",
    num_bytes=4_703_754,
    checksum="sha256:30301975fd8c5cac4040c261c0852f57cfa8adbbad2ce78e77e4986957445f27",
)
_NAME = re.compile(r"[01](_[01])*\.wav")
_WORDS = {"0": "no", "1": "yes"}


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    dev_share: float = 0.1,
    test_share: float = 0.3,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests; the recordings stay where they are. The one speaker is in all of them.

    Args:
        out: the folder to write.
        source: the folder `waves_yesno`, or one above it; None downloads it into `out/raw`.
        seed: another seed, another split.
        progress: called as it downloads and measures.
        dev_share: of the recordings, for dev.
        test_share: of the recordings, for test.
        skip_missing: whether to leave out what cannot be read.

    Returns:
        The manifests "train", "dev" and "test".

    Raises:
        CorpusError: the copy is not whole, or it cannot be fetched.
    """
    if source is None:
        source = fetch("yesno", [_ARCHIVE], out, progress=progress)
    source = require_folder("yesno", source)
    folder = next(iter(find_roots(source, "waves_yesno")), source)
    paths = [path for path in files_below(folder, ".wav") if _NAME.fullmatch(os.path.basename(path))]
    if not paths:
        raise CorpusError(
            f"{source}: holds no recording named as 0_1_1_0_1_0_1_1.wav; name the folder waves_yesno with --source"
        )
    copy = Copy("yesno", folder)
    clips = [
        Clip(path, " ".join(_WORDS[digit] for digit in os.path.basename(path) if digit in _WORDS), "yesno")
        for path in paths
    ]
    copy.deal(clips, lambda clip: os.path.basename(clip.audio), {"dev": dev_share, "test": test_share}, seed=seed)
    return write(copy, out, skip_missing=skip_missing, progress=progress)
