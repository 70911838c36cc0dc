"""AN4 (CMU's alphanumeric corpus): 1,078 recordings of names, addresses and spelled words by 84 people, 16 kHz.

Public home: speech.cs.cmu.edu/databases/an4, free to use. It comes twice: as samples without a header, 16 bits,
big-endian (`an4_raw.bigendian.tar.gz`), and as SPHERE files (`an4_sphere.tar.gz`), which is what is fetched. Its
official test set has 130 recordings of other people; a tenth of the 74 people of its training set makes the dev set.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from speechgru.corpora.public.copies import Clip, Copy, write
from speechgru.corpora.public.lines import read_lines
from speechgru.corpora.public.source import Archive, fetch, find_root
from speechgru.corpora.splits import choose_by_name
from speechgru.errors import CorpusError
from speechgru.files import atomic_folder, make_folder
from speechgru.progress import Progress, silent

_SPHERE = Archive(
    "an4_sphere.tar.gz",
    (
        "https://dldata-public.s3.us-east-2.amazonaws.com/an4_sphere.tar.gz",
        "https://www.speech.cs.cmu.edu/databases/an4/an4_sphere.tar.gz",
    ),
    64_000_000,
    "sha256:a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12",
)
_SAMPLE_RATE = 16000
_TABLES = {"train": "an4_train", "test": "an4_test"}
#: `<s> GO NORTH </s> (cen1-fash-b)`
_LINE = re.compile(r"(?:<s>)?(?P<text>[^()]*?)(?:</s>)?\s*\((?P<name>[^()]+)\)\s*")


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    dev_share: float = 0.1,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests of the official split and a dev set; samples without a header are written as FLAC.

    Args:
        out: the folder to write.
        source: the folder `an4`, or one above it; None downloads it into `out/raw`.
        seed: not used: which speakers are the dev set is decided by their names.
        progress: called as it downloads, writes and measures.
        dev_share: of the speakers of the training set that make the dev set, 0 to 0.5.
        skip_missing: whether to leave out what lacks its transcript or recording, stands twice, or cannot be read.

    Returns:
        The manifests "train", "dev" and "test"; every line has the `speaker` and `gender` (`m`, `f`).

    Raises:
        CorpusError: the copy is not whole, or it cannot be fetched.
    """
    if isinstance(dev_share, bool) or not 0 <= dev_share <= 0.5:
        raise CorpusError(f"an4: dev_share must be a share from 0 to 0.5, got {dev_share!r}")
    if source is None:
        source = fetch("an4", [_SPHERE], out, progress=progress)
    tables = [f"etc/{table}.{kind}" for table in _TABLES.values() for kind in ("fileids", "transcription")]
    folder = find_root("an4", source, *tables)
    copy = Copy("an4", folder)
    clips = {split: _read_table(copy, folder, table) for split, table in _TABLES.items()}
    raw = [clip.audio for group in clips.values() for clip in group if clip.audio.endswith(".raw")]
    if raw:
        written = _write_flac(copy, folder, raw, out / "audio", progress=progress)
        for split, group in clips.items():
            moved = [replace(clip, audio=written.get(clip.audio, clip.audio)) for clip in group]
            clips[split] = [clip for clip in moved if not clip.audio.endswith(".raw")]
    dev = choose_by_name({str(clip.speaker) for clip in clips["train"]}, dev_share)
    for split, group in clips.items():
        for clip in group:
            copy.add("dev" if split == "train" and clip.speaker in dev else split, clip)
    needed = ("train", "dev", "test") if dev_share else ("train", "test")
    return write(copy, out, needed=needed, skip_missing=skip_missing, progress=progress)


def _read_table(copy: Copy, folder: Path, table: str) -> list[Clip]:
    audio, missing = {}, {}
    for _, line in read_lines(folder / "etc" / f"{table}.fileids"):
        path = folder / "wav" / line.strip()
        kinds = [path.with_name(f"{path.name}.{kind}") for kind in ("sph", "raw", "wav")]
        found = next((kind for kind in kinds if kind.is_file()), None)
        if found is None:
            missing[path.name] = str(path)
            copy.faults[str(path)] = "no such recording (.sph, .raw, .wav), but the corpus lists it"
        else:
            audio[path.name] = str(found)
    transcription = folder / "etc" / f"{table}.transcription"
    texts = []
    for number, line in read_lines(transcription):
        match = _LINE.fullmatch(line)
        if match is None:
            raise CorpusError(
                f"{transcription}:{number}: expected a text and a name in brackets, got {line[:60]!r}; unpack it anew"
            )
        if match["name"] not in missing:
            texts.append((match["name"], match["text"].strip().lower()))
    return [
        Clip(
            path, text, os.path.basename(os.path.dirname(path)), {"gender": os.path.basename(os.path.dirname(path))[0]}
        )
        for _, path, text in copy.match(audio, texts, expected=lambda name: f"{transcription}: {name}")
    ]


def _write_flac(copy: Copy, folder: Path, paths: list[str], place: Path, *, progress: Progress) -> dict[str, str]:
    """Writes samples without a header, 16 bits, the high byte first, as FLAC; those that are cut are faults.

    Returns:
        Where each is now.
    """
    import soundfile

    written = {}
    with atomic_folder(place) as made:
        for number, path in enumerate(dict.fromkeys(paths)):
            if number % 100 == 0:
                progress("writing", number, len(paths), "")
            content = Path(path).read_bytes()
            if len(content) % 2 or not content:
                copy.faults[path] = f"has {len(content)} bytes, and samples have two each; it is cut"
                continue
            inside = Path(path).relative_to(folder / "wav").with_suffix(".flac")
            make_folder((made / inside).parent)
            soundfile.write(made / inside, np.frombuffer(content, ">i2").astype(np.int16), _SAMPLE_RATE)
            written[path] = str(place / inside)
    progress("writing", len(paths), len(paths), "")
    return written
