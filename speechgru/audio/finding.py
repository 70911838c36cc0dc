"""Which files a folder holds, and which of them are recordings, by their names."""

from __future__ import annotations

import functools
import os
from pathlib import Path

#: Suffixes of recordings that libsndfile does not list: other names of what it reads, and what is converted first.
_OTHERS = (
    *(".aif", ".aifc", ".opus", ".oga", ".mp2", ".sf", ".snd", ".sph", ".wave"),
    *(".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".3g2", ".aac", ".webm", ".weba", ".mka", ".mkv", ".wma", ".asf"),
    *(".amr", ".awb", ".wv", ".ape", ".tta", ".spx"),
)


@functools.cache
def suffixes() -> frozenset[str]:
    """The suffixes of recordings, in small letters, those of forms that need another decoder among them."""
    import soundfile

    return frozenset({f".{name.lower()}" for name in soundfile.available_formats()} | set(_OTHERS))


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is passed over: hidden, or what a Mac packs beside the files of a ZIP."""
    return name.startswith(".") or name == "__MACOSX"


def find_recordings(folder: str | os.PathLike[str]) -> list[Path]:
    """The recordings in a folder and those below it, by path: those of `find_files` with a recording's suffix."""
    return [path for path in find_files(folder) if path.suffix.lower() in suffixes()]


def find_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The files in a folder and those below it, by path.

    Hidden files and folders are passed over, and what a Mac packs beside them (`._a.wav`, `__MACOSX`). Symbolic links
    are followed, each folder once.
    """
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not is_hidden(name)]
        # A folder before links to it, so that its files have their own names.
        folders.sort(key=lambda name: (os.path.islink(os.path.join(place, name)), name))
        found += [Path(place, name) for name in names if not is_hidden(name)]
    return sorted(path for path in found if path.is_file())
