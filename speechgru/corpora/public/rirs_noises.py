"""RIRS_NOISES: impulse responses of 325 real places and 60,000 made-up rooms, and noise, 16 kHz.

Public home: OpenSLR 28; Apache 2.0. Ko et al. 2017, "A Study on Data Augmentation of Reverberant Speech for Robust
Speech Recognition". `rooms.jsonl` and `real_rooms.jsonl` are for `augment.reverb_manifest`, `noise.jsonl` for
`augment.noise_manifest`. Real rooms were recorded by arrays of microphones: a line each, as the mean of several is no
place's response.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from speechgru.audio.reading import read_header
from speechgru.corpora.public.copies import Clip, Copy, files_below, write
from speechgru.corpora.public.lines import read_lines
from speechgru.corpora.public.source import fetch, find_root, openslr
from speechgru.errors import AudioError, CorpusError
from speechgru.progress import Progress, silent

_ARCHIVE = openslr(28, "rirs_noises.zip", num_bytes=1_311_166_223, checksum="md5:e6f48e257286e05de56413b4779d8ffb")
_REAL, _POINTS, _MADE = "real_rirs_isotropic_noises", "pointsource_noises", "simulated_rirs"
_ROOM = re.compile(r"--room-id (\S+)")


def prepare(
    out: Path, *, source: Path | None = None, seed: int = 0, progress: Progress = silent, skip_missing: bool = False
) -> dict[str, Path]:
    """Writes manifests of rooms and of noise, without texts; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder `RIRS_NOISES`, or one above it; None downloads it into `out/raw`.
        seed: not used: nothing is drawn.
        progress: called as it downloads and measures.
        skip_missing: whether to leave out what a list names and is not there, or cannot be read.

    Returns:
        The manifests "rooms" (made up), "real_rooms" and "noise"; a room's line has the `room` where it is known, and a
        `channel` where there are several.

    Raises:
        CorpusError: the copy is not whole, or it cannot be fetched.
    """
    if source is None:
        source = fetch("rirs_noises", [_ARCHIVE], out, progress=progress)
    folder = find_root("rirs_noises", source, _REAL, _POINTS, _MADE)
    copy = Copy("rirs_noises", folder)
    for path in files_below(folder / _MADE, ".wav"):
        extra = {"room": os.path.relpath(os.path.dirname(path), folder / _MADE).replace(os.sep, "-")}
        copy.add("rooms", Clip(path, "", None, extra), is_speech=False)
    for path, line in _listed(folder, f"{_REAL}/rir_list"):
        room = _ROOM.search(line)
        _add_channels(copy, "real_rooms", path, {"room": room[1]} if room else {})
    for path, _ in [*_listed(folder, f"{_POINTS}/noise_list"), *_listed(folder, f"{_REAL}/noise_list")]:
        _add_channels(copy, "noise", path, {})
    return write(copy, out, needed=("rooms", "real_rooms", "noise"), skip_missing=skip_missing, progress=progress)


def _listed(folder: Path, name: str) -> list[tuple[str, str]]:
    """The recordings of one of the corpus's lists, each with its line; paths there begin with the corpus's folder.

    Raises:
        CorpusError: a line names no recording.
    """
    found = []
    for number, line in read_lines(folder / name):
        path = line.split()[-1]
        if not path.lower().endswith(".wav"):
            raise CorpusError(f"{folder / name}:{number}: ends in no .wav, but in {path[:60]!r}; unpack it anew")
        found.append((os.path.join(folder, *Path(path).parts[1:]), line))
    return found


def _add_channels(copy: Copy, split: str, path: str, extra: dict[str, object]) -> None:
    """A line for each microphone; what cannot be read is a fault that measuring reports."""
    try:
        count = read_header(path).num_channels
    except AudioError:
        count = 1
    for channel in range(1, count + 1):
        copy.add(split, Clip(path, "", None, extra, channel=channel if count > 1 else None), is_speech=False)
