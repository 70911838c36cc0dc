"""Speech Commands V2: 105,829 recordings of a second, one of 35 English words each, by 2,618 people, 16 kHz.

Public home: download.tensorflow.org; CC BY 4.0. Warden 2018, "Speech Commands: A Dataset for Limited-Vocabulary Speech
Recognition" (arXiv 1804.03209). The official splits are by speaker: two lists name dev and test, the rest is train. Two
conventions are in use:

- 35 classes: all words, the splits of the lists.
- 12 classes: ten words, `unknown` for a tenth as many of the other words, and silence, a tenth as many seconds of the
  background noise. Its test set is an archive of its own, of some 400 recordings a class.

Silence has an empty text here, as a recogniser should answer it: the class stands in the field `class`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from speechgru.audio.reading import read_header
from speechgru.corpora.public.copies import Clip, Copy, files_below, require_one_of, write
from speechgru.corpora.public.lines import read_lines
from speechgru.corpora.public.source import Archive, fetch, find_root, find_roots
from speechgru.corpora.splits import SPLITS
from speechgru.errors import AudioError, CorpusError
from speechgru.progress import Progress, silent

_HOME = "https://storage.googleapis.com/download.tensorflow.org/data"
_TRAIN = Archive(
    "speech_commands_v0.02.tar.gz",
    (f"{_HOME}/speech_commands_v0.02.tar.gz",),
    2_428_923_189,
    "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
)
_TEST = Archive(
    "speech_commands_test_set_v0.02.tar.gz",
    (f"{_HOME}/speech_commands_test_set_v0.02.tar.gz",),
    112_563_277,
    "sha256:cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
)
_LISTS = {"dev": "validation_list.txt", "test": "testing_list.txt"}
_NOISE = "_background_noise_"
_SILENCE, _UNKNOWN = "_silence_", "_unknown_"
#: The words of the convention of twelve classes.
_TEN = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
_SHARE = 0.1
#: The parts of each recording of noise, in hundredths, that the silence of the splits is cut from.
_PARTS = {"train": (0.0, 0.8), "dev": (0.8, 0.9), "test": (0.9, 1.0)}
_STEP_SECONDS = 0.01


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    classes: int = 35,
    skip_missing: bool = False,
) -> dict[str, Path]:
    """Writes manifests of the official splits, and one of the background noise; the recordings stay where they are.

    Args:
        out: the folder to write.
        source: the folder with the words' folders, or one above it, which may hold the test archive's folder, too;
            None downloads both into `out/raw`.
        seed: with 12 classes, for which other words and which seconds of noise are drawn.
        progress: called as it downloads and measures.
        classes: 35, every word; or 12, ten words, unknown and silence.
        skip_missing: whether to leave out what a list names and is not there, or cannot be read.

    Returns:
        The manifests "train", "dev", "test" and "noise" (for `augment.noise_manifest`). Every line of the first three
        has the `class`, and the `speaker` where one speaks.

    Raises:
        CorpusError: the copy is not whole, or it cannot be fetched.
    """
    require_one_of("speech_commands", "classes", classes, (35, 12))
    if source is None:
        source = fetch("speech_commands", [_TRAIN, _TEST][: 1 if classes == 35 else 2], out, progress=progress)
    folder = find_root("speech_commands", source, *_LISTS.values(), _NOISE)
    if any((folder / name).exists() for name in (_SILENCE, _UNKNOWN)):
        raise CorpusError(
            f"{folder}: holds {_SILENCE} or {_UNKNOWN} of the test archive, beside the words; unpack {_TEST.name} "
            "into a folder of its own"
        )
    copy = Copy("speech_commands", folder)
    words = _read_words(copy, folder)
    noise = list(files_below(folder / _NOISE, ".wav"))
    if classes == 35:
        for split in SPLITS:
            for clip in words[split]:
                copy.add(split, clip)
    else:
        official = [root for root in find_roots(source, _SILENCE, _UNKNOWN) if root != folder]
        for number, split in enumerate(SPLITS):
            if split == "test" and official:
                _read_test(copy, official[0])
            else:
                rng = np.random.default_rng((seed, number))
                _add_twelve(copy, split, words[split], noise, rng)
        if not official:
            copy.notes.append(
                "test is made of testing_list.txt as dev is made: the official test set of 12 classes is the archive "
                f"{_TEST.name}, which is not below {source}"
            )
    for path in noise:
        copy.add("noise", Clip(path, ""), is_speech=False)
    return write(copy, out, skip_missing=skip_missing, progress=progress)


def _read_words(copy: Copy, folder: Path) -> dict[str, list[Clip]]:
    """All words by the split that the lists put them into."""
    split_of: dict[str, str] = {}
    for split, name in _LISTS.items():
        for number, line in read_lines(folder / name):
            if split_of.setdefault(line.strip(), split) != split:
                raise CorpusError(f"{folder / name}:{number}: {line.strip()} is in both lists; unpack the corpus anew")
    words: dict[str, list[Clip]] = {split: [] for split in SPLITS}
    for path in files_below(folder, ".wav"):
        name = os.path.relpath(path, folder).replace(os.sep, "/")
        word = name.partition("/")[0]
        if word.startswith("_") or "/" not in name:
            continue
        words[split_of.pop(name, "train")].append(_spoken(path, word, word))
    copy.faults |= {os.path.join(folder, name): "no such recording, but a list names it" for name in split_of}
    return words


def _spoken(path: str, word: str, kind: str) -> Clip:
    speaker = os.path.basename(path).partition("_nohash_")[0]
    return Clip(path, word, speaker, {"class": kind})


def _read_test(copy: Copy, folder: Path) -> None:
    """The official test set of twelve classes."""
    for path in files_below(folder, ".wav"):
        kind = os.path.basename(os.path.dirname(path))
        if kind == _SILENCE:
            copy.add("test", Clip(path, "", extra={"class": kind}), is_speech=False)
        elif kind == _UNKNOWN:
            word, _, name = os.path.basename(path).partition("_")
            copy.add("test", Clip(path, "unknown", name.partition("_nohash_")[0], {"class": kind, "word": word}))
        else:
            copy.add("test", _spoken(path, kind, kind))


def _add_twelve(copy: Copy, split: str, words: list[Clip], noise: list[str], rng: np.random.Generator) -> None:
    """The ten words of a split, and a tenth as many unknown ones and seconds of silence."""
    wanted = [clip for clip in words if clip.text in _TEN]
    others = [clip for clip in words if clip.text not in _TEN]
    size = math.ceil(_SHARE * len(wanted))
    for clip in wanted:
        copy.add(split, clip)
    for place in sorted(rng.permutation(len(others))[:size]):
        clip = others[place]
        copy.add(split, Clip(clip.audio, "unknown", clip.speaker, {"class": _UNKNOWN, "word": clip.text}))
    places = [(path, start) for path, (begin, end) in _spans(noise, split).items() for start in _starts(begin, end)]
    for place in sorted(rng.permutation(len(places))[:size]):
        path, start = places[place]
        copy.add(split, Clip(path, "", None, {"class": _SILENCE}, offset=start, duration=1.0), is_speech=False)


def _spans(noise: list[str], split: str) -> Mapping[str, tuple[float, float]]:
    """The part of each recording of noise that is a split's: no second of it is in two."""
    first, last = _PARTS[split]
    spans = {}
    for path in noise:
        try:
            header = read_header(path)
        except AudioError:  # a fault that measuring reports
            continue
        seconds = header.num_samples / header.sample_rate
        spans[path] = first * seconds, last * seconds
    return spans


def _starts(begin: float, end: float) -> list[float]:
    """Where a second may begin."""
    return [round(begin + _STEP_SECONDS * step, 2) for step in range(int((end - begin - 1.0) / _STEP_SECONDS))]
