"""AudioMNIST: the digits zero to nine, 50 times each by 60 people, 30,000 recordings, 48 kHz.

Public home: the GitHub repository soerenab/AudioMNIST; MIT. Becker et al. 2018, "AudioMNIST: Exploring Explainable
Artificial Intelligence for Audio Analysis on a Simple Benchmark". It has no official split: whole speakers are dealt
here, so that test measures new voices, which the six people of the Free Spoken Digit Dataset hardly allow.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from speechgru.corpora.public.copies import Clip, Copy, files_below, write
from speechgru.corpora.public.source import find_root, require_folder
from speechgru.errors import CorpusError
from speechgru.files import read_text
from speechgru.progress import Progress, silent

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>\d\d)_(?P<take>\d+)\.wav")
_TABLE = "audioMNIST_meta.txt"
_KEPT = {"accent": "accent", "age": "age", "gender": "gender", "native speaker": "native_speaker", "origin": "origin"}


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    dev_share: float = 0.1,
    test_share: float = 0.2,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests in which no speaker is in two; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the repository's folder, or `data` in it.
        seed: another seed, another split.
        progress: called as it measures.
        dev_share: of the recordings, for dev, as far as whole speakers allow.
        test_share: of the recordings, for test.
        skip_missing: whether to leave out what cannot be read.

    Returns:
        The manifests "train", "dev" and "test"; every line has the `speaker`, and `accent`, `age`, `gender`,
        `native_speaker` and `origin` where the corpus's table gives them.

    Raises:
        CorpusError: there is no source, or the copy is not whole.
    """
    advice = "it is had by `git clone https://github.com/soerenab/AudioMNIST`, some 2 GB"
    folder = find_root("audiomnist", require_folder("audiomnist", source, advice), _TABLE)
    people = _read_people(folder / _TABLE)
    copy = Copy("audiomnist", folder)
    clips = []
    for path in files_below(folder, ".wav"):
        match = _NAME.fullmatch(os.path.basename(path))
        if match is None:
            copy.faults[path] = "is not named digit_speaker_take.wav"
        else:
            speaker = match["speaker"]
            clips.append(Clip(path, _WORDS[int(match["digit"])], speaker, people.get(speaker, {})))
    copy.deal(clips, lambda clip: str(clip.speaker), {"dev": dev_share, "test": test_share}, seed=seed)
    return write(copy, out, skip_missing=skip_missing, progress=progress)


def _read_people(path: Path) -> dict[str, dict[str, Any]]:
    """What is known of each speaker.

    Raises:
        CorpusError: the table is not JSON.
    """
    try:
        table = json.loads(read_text(path))
        people = {
            speaker: {_KEPT[key]: value for key, value in row.items() if key in _KEPT} for speaker, row in table.items()
        }
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise CorpusError(f"{path}: is not the corpus's table of speakers ({error}); clone it anew") from error
    for row in people.values():
        if str(row.get("age", "")).isdecimal():  # some ages stand in quotes
            row["age"] = int(row["age"])
    return people
