"""Mini LibriSpeech: five hours of LibriSpeech to train on and two to choose by, for trying things out.

Public home: OpenSLR 31; CC BY 4.0. It has no test set of its own: LibriSpeech's `test-clean` is one.
"""

from __future__ import annotations

from pathlib import Path

from speechgru.corpora.public.librispeech import Part, prepare_parts
from speechgru.corpora.public.source import openslr
from speechgru.progress import Progress, silent

_PARTS = {
    "train-clean-5": Part(
        "train",
        openslr(31, "train-clean-5.tar.gz", num_bytes=332_954_390, checksum="md5:5df7d4e78065366204ca6845bb08f490"),
    ),
    "dev-clean-2": Part(
        "dev",
        openslr(31, "dev-clean-2.tar.gz", num_bytes=126_046_265, checksum="md5:6d7ab67ac6a1d2c993d050e16d61080d"),
    ),
}


def prepare(
    out: Path, *, source: Path | None = None, seed: int = 0, progress: Progress = silent, skip_missing: bool = False
) -> dict[str, Path]:
    """Writes manifests of the two parts; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder that holds `train-clean-5` and `dev-clean-2`, at most three folders down; None downloads
            them into `out/raw`.
        seed: not used: the splits are official.
        progress: called as it downloads and measures.
        skip_missing: whether to leave out what lacks its transcript or recording, stands twice, or cannot be read.

    Returns:
        The manifests "train" and "dev", as LibriSpeech's.

    Raises:
        CorpusError: as for LibriSpeech.
    """
    return prepare_parts(
        "mini_librispeech", _PARTS, tuple(_PARTS), out, source, None, skip_missing=skip_missing, progress=progress
    )
