"""The Free Spoken Digit Dataset: 3,000 recordings of "zero" to "nine" by six speakers, 8 kHz.

Public home: the GitHub repository Jakobovski/free-spoken-digit-dataset; licence CC BY-SA 4.0. Its official split is by
take: 0-4 are the test set. Of the training takes, 5-9 make the dev set here and 10-49 the training set. All speakers
are in all three splits: it measures recognition of known voices, not of new ones.

The split by speaker (`held_out_speaker`) measures recognition of new voices: all takes of one speaker are the test
set, and the dev and training takes of the others make the dev and training sets. Takes 0-4 of the others stay unused:
no recipe is ever trained on an official test recording. The figure to quote is the mean over all six speakers.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from speechgru.audio.reading import read_header
from speechgru.corpora import connected as joining
from speechgru.errors import AudioError, CorpusError
from speechgru.files import temporary_folder
from speechgru.progress import Progress, silent
from speechgru.utterances.manifest import Utterance, write_manifest

#: The archive of the release that is fetched without a source.
URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.tar.gz"

#: What `content_checksum` gives for the 3,000 recordings. It is a checksum of the recordings themselves, not of the
#: archive, whose bytes the server makes anew and may change.
CONTENT_SHA256 = "dbd573d7cafe79c4b49f65718115e1304e24e067fa39eff18a660dc6cb9c360f"

#: The sample rate of the recordings, Hz.
SAMPLE_RATE = 8000

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>[A-Za-z]+)_(?P<take>[0-9]+)\.wav")
_SPLITS = ("train", "dev", "test")
_MAX_DOWNLOAD_BYTES = 100_000_000
_MAX_UNPACKED_BYTES = 200_000_000
_MAX_MEMBERS = 10_000
_MAX_JOINED = 50
_SHOWN = 3
_ADVICE = "fetch and unpack it by other means and name its folder with --source"


@dataclass(frozen=True)
class _Recording:
    digit: int
    speaker: str
    take: int
    path: Path

    @property
    def split(self) -> str:
        """By take: the official split, with a dev set."""
        return "test" if self.take < 5 else "dev" if self.take < 10 else "train"

    def split_without(self, held_out_speaker: str | None) -> str | None:
        """By speaker where one is held out; None for the official test takes of the others, which stay unused."""
        if held_out_speaker is None:
            return self.split
        if self.speaker == held_out_speaker:
            return "test"
        return None if self.split == "test" else self.split


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    joined: int = 0,
    joined_tight: float = 0.0,
    joined_train: int = 4000,
    joined_dev: int = 200,
    joined_test: int = 300,
    held_out_speaker: str | None = None,
) -> dict[str, Path]:
    """Writes manifests of single digits and, on request, of connected digits.

    Single digits stay where they are, at their level, trimmed to the word as they came. Connected digits are joined
    from recordings of one speaker (see `speechgru.corpora.connected`) into `joined/<split>/*.flac`: `dev_joined` and
    `test_joined` hold exactly `joined` digits an utterance; `train_joined` holds 1 to `joined` of them, so that a
    model learns words and not a count.

    Args:
        out: the folder to write.
        source: the folder `recordings`, or the one that holds it; None downloads `URL` into `out/raw`.
        seed: for the joined digits. The same seed and sizes give the same list and the same bytes.
        progress: called as it downloads, reads and joins.
        joined: digits to join, 2 to 50; 0 joins none.
        joined_tight: share of the digits of `train_joined` that are cut tight, as yours may be
            (`connected.without_soft_ends`).
        joined_train: utterances of `train_joined`.
        joined_dev: utterances of `dev_joined`.
        joined_test: utterances of `test_joined`.
        held_out_speaker: the speaker who is the test set, with all takes, and stands in no other; none is the official
            split.

    Returns:
        The manifests: "train", "dev", "test", and with `joined` also "train_joined", "dev_joined", "test_joined",
        whose lines have `joins` ([start, end] of each word, seconds) and `recordings` (the files joined).

    Raises:
        CorpusError: no recordings in `source`, one that cannot be read, no network, a download that is not the
            known recordings, a speaker who is not there, or an argument out of range.
    """
    sizes = {"train": joined_train, "dev": joined_dev, "test": joined_test}
    _check_arguments(seed=seed, joined=joined, joined_tight=joined_tight, sizes=sizes)
    folder = _fetch(out, progress=progress) if source is None else _find_recordings(source)
    recordings = _list_recordings(folder)
    _check_speaker(held_out_speaker, recordings, folder)
    utterances = _read_all(recordings, progress=progress)
    splits: dict[str, list[Utterance]] = {split: [] for split in _SPLITS}
    for recording, utterance in zip(recordings, utterances, strict=True):
        if (split := recording.split_without(held_out_speaker)) is not None:
            splits[split].append(utterance)
    for split, chosen in splits.items():
        if not chosen:
            takes = "5-9 (dev) and 10-49 (train)" if held_out_speaker else "0-4 (test), 5-9 (dev) and 10-49 (train)"
            raise CorpusError(
                f"{folder}: has no recording for the {split} set; expected takes {takes}, as in 7_theo_12.wav"
            )
    manifests = {split: write_manifest(out / f"{split}.jsonl", chosen) for split, chosen in splits.items()}
    if joined:
        for position, split in enumerate(_SPLITS):
            lengths = range(1, joined + 1) if split == "train" else range(joined, joined + 1)
            manifest = out / f"{split}_joined.jsonl"
            manifest.unlink(missing_ok=True)  # its audio is about to change
            written = joining.join(
                splits[split], out / "joined" / split, num_utterances=sizes[split], num_words=lengths,
                sample_rate=SAMPLE_RATE, seed=(seed, position), tight_share=joined_tight if split == "train" else 0.0,
                stage=f"joining {split}", progress=progress,
            )  # fmt: skip
            manifests[f"{split}_joined"] = write_manifest(manifest, written)
    return manifests


def content_checksum(folder: Path) -> str:
    """The SHA-256 of the lines `name sha256-of-the-file` of all `.wav` files of a folder, sorted by name."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.wav"), key=lambda path: path.name):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _check_arguments(*, seed: int, joined: int, joined_tight: float, sizes: dict[str, int]) -> None:
    checks = [("seed", seed, 0, None), ("joined", joined, 0, _MAX_JOINED)]
    checks += [(f"joined_{split}", size, 1, 999_999) for split, size in sizes.items()]
    for name, value, least, most in checks:
        if isinstance(value, bool) or not isinstance(value, int) or value < least or (most and value > most):
            allowed = f"{least} to {most}" if most else f"{least} or more"
            raise CorpusError(f"fsdd: {name} must be a whole number, {allowed}, got {value!r}")
    if isinstance(joined_tight, bool) or not isinstance(joined_tight, (int, float)) or not 0 <= joined_tight <= 1:
        raise CorpusError(f"fsdd: joined_tight must be a share, 0 to 1, got {joined_tight!r}")
    if joined == 1:
        raise CorpusError("fsdd: joined must be 0 (off) or at least 2; one digit alone is in train, dev and test")


def _check_speaker(speaker: str | None, recordings: list[_Recording], folder: Path) -> None:
    speakers = sorted({recording.speaker for recording in recordings})
    if speaker is not None and speaker not in speakers:
        raise CorpusError(
            f"fsdd: held_out_speaker must be one of the speakers in {folder}, {', '.join(speakers)}, got {speaker!r}"
        )


def _fetch(out: Path, *, progress: Progress) -> Path:
    """Downloads, unpacks and verifies the recordings, unless they stand in `out/raw` already.

    All of it happens in a new folder of its own, which takes its place when it is whole; nothing of the user's goes.
    """
    # They load what speaks to networks, which few commands need.
    from speechgru.corpora import archive
    from speechgru.corpora.download import download

    raw = out / "raw"
    if (raw / "recordings").is_dir():
        _verify(raw / "recordings", f"{raw} (remove it to download anew)")
        return raw / "recordings"
    if os.path.lexists(raw):
        raise CorpusError(
            f"{raw}: is where the recordings would go, and is not theirs; move it away, or name another folder"
        )
    with temporary_folder(out, "fsdd") as work:
        packed, unpacked = work / "fsdd.tar.gz", work / "unpacked"
        download(URL, packed, max_bytes=_MAX_DOWNLOAD_BYTES, advice=_ADVICE, progress=progress)
        archive.unpack(packed, unpacked, max_members=_MAX_MEMBERS, max_bytes=_MAX_UNPACKED_BYTES)
        found = [path for path in unpacked.glob("*/recordings") if path.is_dir()]
        if len(found) != 1:
            raise CorpusError(f"{URL}: holds {len(found)} folders named recordings, expected 1; {_ADVICE}")
        _verify(found[0], URL)
        found[0].parent.rename(raw)
    return raw / "recordings"


def _verify(folder: Path, what: str) -> None:
    checksum = content_checksum(folder)
    if checksum != CONTENT_SHA256:
        count = sum(1 for _ in folder.glob("*.wav"))
        raise CorpusError(
            f"{what}: its {count:,} recordings have the checksum {checksum}, expected the 3,000 recordings with "
            f"{CONTENT_SHA256}; they are damaged or of another release. If you trust them, name them with --source"
        )


def _find_recordings(source: Path) -> Path:
    if not source.is_dir():
        what = "is a file" if source.exists() else "no such folder"
        raise CorpusError(
            f"{source}: {what}; name the folder that holds recordings/, or leave --source out to download"
        )
    folder = source / "recordings"
    folder = folder if folder.is_dir() else source
    if not any(_NAME.fullmatch(path.name) for path in folder.iterdir()):
        raise CorpusError(
            f"{source}: holds no recordings of the Free Spoken Digit Dataset; expected files such as "
            f"recordings/7_theo_12.wav (digit, speaker, take)"
        )
    return folder


def _list_recordings(folder: Path) -> list[_Recording]:
    recordings, strange = [], []
    for path in sorted(folder.glob("*.wav"), key=lambda path: path.name):
        match = _NAME.fullmatch(path.name)
        if match:
            recordings.append(_Recording(int(match["digit"]), match["speaker"], int(match["take"]), path))
        else:
            strange.append(path.name)
    if strange:
        raise CorpusError(f"{folder}: {_some(strange)} not named digit_speaker_take.wav; rename or remove")
    return sorted(recordings, key=lambda recording: (recording.digit, recording.speaker, recording.take))


def _read_all(recordings: list[_Recording], *, progress: Progress) -> list[Utterance]:
    utterances, broken = [], []
    for number, recording in enumerate(recordings):
        if number % 100 == 0:
            progress("reading", number, len(recordings), "")
        try:
            header = read_header(recording.path)
        except AudioError as error:
            reason = str(error).removeprefix(f"{recording.path}: ").partition(";")[0]
            broken.append(f"{recording.path.name} ({reason})")
            continue
        if header.sample_rate != SAMPLE_RATE or header.num_channels != 1 or header.num_samples == 0:
            broken.append(
                f"{recording.path.name} ({header.num_samples} samples, {header.sample_rate} Hz, "
                f"{header.num_channels} channels)"
            )
        utterances.append(
            Utterance(
                audio_filepath=str(recording.path),
                duration=header.num_samples / header.sample_rate,
                text=_WORDS[recording.digit],
                speaker=recording.speaker,
            )
        )
    if broken:
        raise CorpusError(
            f"{recordings[0].path.parent}: {_some(broken)} unusable, expected mono WAV of {SAMPLE_RATE} Hz with sound "
            f"in it; fetch the recordings again"
        )
    progress("reading", len(recordings), len(recordings), "")
    return utterances


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more} {'is' if len(names) == 1 else 'are'}"
