"""VCTK 0.92: some 400 English sentences each by 110 people of many accents, 48 kHz, two microphones.

Public home: datashare.ed.ac.uk/handle/10283/3443; CC BY 4.0. Yamagishi, Veaux, MacDonald 2019. It was made for speech
synthesis and has no official split: whole speakers are dealt here. All read the same first 24 sentences (the rainbow
passage), so that a text of test may also be in train.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from speechgru.corpora.public.copies import Clip, Copy, files_below, require_one_of, write
from speechgru.corpora.public.lines import read_lines
from speechgru.corpora.public.source import Archive, fetch, find_root
from speechgru.progress import Progress, silent

_ARCHIVE = Archive(
    "VCTK-Corpus-0.92.zip",
    ("https://datashare.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip",),
    11_747_302_977,
    "sha256:f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c",
)
_AUDIO, _TEXT = "wav48_silence_trimmed", "txt"
#: Who has sentences that no microphone has, in the corpus as it is published.
_INCOMPLETE = frozenset({"p362"})
_NAME = re.compile(r"(?P<name>(?P<speaker>[ps]\d+)_\d+)_mic(?P<mic>[12])\.(flac|wav)")


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    mic: int = 1,
    dev_share: float = 0.1,
    test_share: float = 0.1,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests in which no speaker is in two; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder with `wav48_silence_trimmed` and `txt`, or one above it; None downloads it into `out/raw`.
        seed: another seed, another split.
        progress: called as it downloads and measures.
        mic: the microphone: 1, or 2, which two speakers lack.
        dev_share: of the recordings, for dev, as far as whole speakers allow.
        test_share: of the recordings, for test.
        skip_missing: whether to leave out a recording without a text, a text without a recording, and what cannot be
            read.

    Returns:
        The manifests "train", "dev" and "test"; every line has the `speaker`, and `age`, `gender` and `accent` where
        `speaker-info.txt` gives them.

    Raises:
        CorpusError: the copy is not whole, or it cannot be fetched.
    """
    require_one_of("vctk", "mic", mic, (1, 2))
    if source is None:
        source = fetch("vctk", [_ARCHIVE], out, progress=progress)
    folder = find_root("vctk", source, _AUDIO, _TEXT)
    copy = Copy("vctk", folder)
    people = _read_people(folder / "speaker-info.txt")
    texts = {os.path.basename(path)[:-4]: Path(path) for path in files_below(folder / _TEXT, ".txt")}
    with_texts = {name.partition("_")[0] for name in texts}
    audio: dict[str, str] = {}
    for path in files_below(folder / _AUDIO, ".flac", ".wav"):
        match = _NAME.fullmatch(os.path.basename(path))
        if match is None or int(match["mic"]) != mic:
            continue
        if match["speaker"] in with_texts:
            audio[match["name"]] = path
        else:  # p315, whose texts were lost
            copy.passed_over[f"of {match['speaker']}, who has no texts"] += 1
    heard = {name.partition("_")[0] for name in audio}
    silent_people = sorted(with_texts - heard)
    if silent_people:
        copy.notes.append(f"microphone {mic} has no recordings of {', '.join(silent_people)}")
    pairs = []
    for name, table in sorted(texts.items()):
        speaker = name.partition("_")[0]
        if speaker in _INCOMPLETE and speaker in heard and name not in audio:
            copy.passed_over[f"of {speaker}, some of whose sentences the corpus has no recordings of"] += 1
        elif speaker in heard:
            pairs.append((name, _read_text(table)))
    clips = []
    for name, path, text in copy.match(audio, pairs, expected=lambda name: f"{_AUDIO}/{name}_mic{mic}.flac"):
        speaker = name.partition("_")[0]
        clips.append(Clip(path, text, speaker, people.get(speaker, {})))
    copy.deal(clips, lambda clip: str(clip.speaker), {"dev": dev_share, "test": test_share}, seed=seed)
    return write(copy, out, skip_missing=skip_missing, progress=progress)


def _read_text(path: Path) -> str:
    return " ".join(line.strip() for _, line in read_lines(path))


def _read_people(path: Path) -> dict[str, dict[str, object]]:
    """Age, gender and accent by speaker: cells between spaces, whatever follows them."""
    people: dict[str, dict[str, object]] = {}
    for _, line in read_lines(path) if path.is_file() else ():
        cells = line.split()
        if len(cells) >= 4 and cells[1].isdecimal():
            people[cells[0]] = {"age": int(cells[1]), "gender": cells[2].lower(), "accent": cells[3]}
    return people
