"""Your own recordings: a folder of audio files with transcripts.

A transcript is a text file beside the recording with the same stem (`kitchen/0001.wav`, `kitchen/0001.txt`), or a row
of a table at the top of the folder (`transcripts.csv`, `metadata.csv`, ...) with the columns `file`, `text` and, where
known, `speaker`; or it is the name of the recording's folder, where there is nothing else. The audio stays where it is;
the manifests name it.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechgru.audio.reading import read_header
from speechgru.corpora.layouts import Found, read_layout, some
from speechgru.corpora.splits import SPLITS, deal_folds, divide
from speechgru.errors import AudioError, CorpusError, ManifestError
from speechgru.files import read_text, write_json
from speechgru.progress import Progress, silent
from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest
from speechgru.visible import counted

#: What was done, beside the manifests: settings, notes, and what was left out.
NOTES_NAME = "prepared.json"

_MIN_SPEAKERS = 3  # fewer cannot fill three splits
#: A split whose share differs by more from the one that was asked for is reported.
_SHARE_TOLERANCE = 0.05


def prepare(
    out: Path,
    *,
    source: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    dev_share: float = 0.1,
    test_share: float = 0.1,
    table: str | None = None,
    speaker_folders: bool = False,
    word_folders: bool = False,
    skip_missing: bool = False,
    folds: int = 0,
) -> dict[str, Path]:
    """Writes manifests of the recordings in a folder, split at random but always alike.

    When every recording has a speaker and there are at least three, whole speakers are dealt to the splits, so that
    test measures new voices; otherwise recordings are. Which goes where follows from a hash of its name and the seed
    (`splits.divide`). Into the same folder with the same seed and shares, what was dealt before stays where it is when
    recordings are added.

    Args:
        out: the folder to write.
        source: the folder of recordings; any format that soundfile reads, at any depth.
        seed: another seed, another split.
        progress: called as recordings are read.
        dev_share: the fraction of the recordings for dev, as far as whole speakers allow; at least one.
        test_share: the fraction for test, at least one; both together are below 1.
        table: the name of the table of transcripts, where there are several.
        speaker_folders: whether the first folders below the source are named after who speaks in them.
        word_folders: whether a recording's text is the name of the folder that it lies in.
        skip_missing: whether to leave out what lacks its transcript or recording, or cannot be read.
        folds: for few recordings: as many pairs of train and dev in fold1, fold2, ...; each recording but test's is in
            dev once.

    Returns:
        The manifests by split; each holds at least one utterance. Beside them `prepared.json` has the settings,
        `notes` for people, and what was `left_out`.

    Raises:
        CorpusError: no folder, fewer than three recordings, a recording without a transcript or the other way round,
            an unreadable file, or a table that is not as expected; names file, line and fix.
    """
    if source is None:
        raise CorpusError("folder: needs --source, the folder of your recordings and their transcripts")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise CorpusError(f"folder: seed must be a whole number, got {seed!r}")
    shares = {"dev": dev_share, "test": test_share}
    for split, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise CorpusError(f"folder: {split}_share must be a fraction between 0 and 1, got {share!r}")
    if dev_share + test_share >= 1:
        raise CorpusError(f"folder: dev_share {dev_share} and test_share {test_share} leave nothing for train")
    if isinstance(folds, bool) or not isinstance(folds, int) or folds < 0 or folds == 1:
        raise CorpusError(f"folder: folds must be a number from 2 on, such as 5, or 0 for none, got {folds!r}")
    source = _require_folder(source)
    found = read_layout(
        source,
        table=table,
        speaker_folders=speaker_folders,
        word_folders=word_folders,
        skip_missing=skip_missing,
    )
    utterances = _measure(found, source, skip_broken=skip_missing, progress=progress)
    if len(utterances) < len(SPLITS):
        raise CorpusError(
            f"{source}: holds {counted(len(utterances), 'recording')} with a transcript; at least 3 are needed, one "
            "each for train, dev and test"
        )
    settings = {"seed": seed, "dev_share": dev_share, "test_share": test_share}
    before = _read_before(out, settings)
    splits, notes = _split(utterances, source, shares, seed=seed, before=before)
    if found.left_out:
        notes.append(f"left out: {_count_reasons(found.left_out)}; {NOTES_NAME} names them")
    if folds:
        notes.append(_write_folds(out, utterances, splits["test"], source, folds, seed=seed))
    manifests = {split: write_manifest(out / f"{split}.jsonl", splits[split]) for split in SPLITS}
    write_json(out / NOTES_NAME, settings | {"notes": [*found.notes, *notes], "left_out": found.left_out})
    return manifests


def read_folder(source: Path, *, progress: Progress = silent) -> list[Utterance]:
    """The recordings of a folder with their transcripts, by path, not split.

    Args:
        source: the folder of recordings.
        progress: called as recordings are read.

    Raises:
        CorpusError: as `prepare` raises it.
    """
    source = _require_folder(source)
    return _measure(read_layout(source), source, skip_broken=False, progress=progress)


def _require_folder(source: Path) -> Path:
    source = source.expanduser().absolute()
    if not source.is_dir():
        what = "is a file" if source.exists() else "no such folder"
        raise CorpusError(f"{source}: {what}; name the folder of your recordings")
    return source


def _measure(found: Found, source: Path, *, skip_broken: bool, progress: Progress) -> list[Utterance]:
    """The recordings with their durations, by the reader that check and training use."""
    utterances, broken = [], dict[Path, str]()
    for number, entry in enumerate(found.entries):
        if number % 100 == 0:
            progress("reading", number, len(found.entries), "")
        try:
            header = read_header(entry.audio)
        except AudioError as error:
            broken[entry.audio] = str(error).removeprefix(f"{entry.audio}: ")
            continue
        try:
            header.require_channel(entry.channel)
        except AudioError as error:
            if not skip_broken:
                raise CorpusError(f"{entry.where}: {error}") from error
            broken[entry.audio] = str(error).removeprefix(f"{entry.audio}: ")
            continue
        if not header.num_samples:
            broken[entry.audio] = "holds no samples"
            continue
        duration = header.num_samples / header.sample_rate
        utterances.append(
            Utterance(str(entry.audio), duration, entry.text, entry.speaker, extra=entry.extra, channel=entry.channel)
        )
    if broken and not skip_broken:
        path, reason = next(iter(broken.items()))
        raise CorpusError(
            f"{source}: {some(broken, source)}: not audio that can be read, or no sound in it ({path.name} "
            f"{reason}); repair or remove, or leave these out (--skip-missing)"
        )
    found.left_out |= {str(path): reason for path, reason in broken.items()}
    progress("reading", len(found.entries), len(found.entries), "")
    return utterances


def _read_before(out: Path, settings: dict[str, Any]) -> dict[str, str]:
    """The split of each recording by an earlier call with the same settings into the same folder; else nothing."""
    try:
        earlier = json.loads(read_text(out / NOTES_NAME))
        if {key: earlier[key] for key in settings} != settings:
            return {}
        lines = {split: read_manifest(out / f"{split}.jsonl") for split in SPLITS}
    except (OSError, ValueError, KeyError, TypeError, ManifestError):
        return {}
    return {utterance.audio_filepath: split for split, entries in lines.items() for utterance in entries}


def _split(
    utterances: Sequence[Utterance], source: Path, shares: dict[str, float], *, seed: int, before: dict[str, str]
) -> tuple[dict[str, list[Utterance]], list[str]]:
    """The utterances by split, and what there is to be reported about it."""
    units, by_speaker = _units(utterances, source)
    speakers = {utterance.speaker for utterance in utterances}
    notes = []
    dealt: dict[str, set[str]] = {}
    for utterance, unit in zip(utterances, units, strict=True):
        if os.path.normpath(utterance.audio_filepath) in before:
            dealt.setdefault(unit, set()).add(before[os.path.normpath(utterance.audio_filepath)])
    torn = sorted(unit for unit, places in dealt.items() if len(places) > 1)
    if torn:
        notes.append(f"dealt anew, because {some(torn)} spoke in several splits before")
        dealt = {}
    elif dealt:
        num_new = sum(1 for unit in set(units) if unit not in dealt)
        what = "speakers" if by_speaker else "recordings"
        notes.append(f"dealt {num_new:,} new {what}; all others stay where they were")
    kept = {unit: next(iter(places)) for unit, places in dealt.items()}
    split_of = divide(Counter(units), shares, seed=seed, kept=kept)
    splits: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    for utterance, unit in zip(utterances, units, strict=True):
        splits[split_of[unit]].append(utterance)
    what = counted(len(speakers), "speaker") if by_speaker else "so few recordings"
    asked = {"train": 1 - math.fsum(shares.values())} | shares
    actual = {split: len(splits[split]) / len(utterances) for split in SPLITS}
    if any(abs(actual[split] - asked[split]) > _SHARE_TOLERANCE for split in SPLITS):
        notes.append(
            f"asked for {_percentages(asked)} of the recordings in train, dev and test; {what} allow "
            f"{_percentages(actual)}"
        )
    if by_speaker:
        people = {split: len({utterance.speaker for utterance in splits[split]}) for split in SPLITS}
        notes.append("split by speaker: " + ", ".join(f"{split} {count}" for split, count in people.items()))
    elif None in speakers:
        notes.append("split by recording, because speakers are unknown: a voice of train may also be in dev and test")
    else:
        notes.append(f"split by recording, because {counted(len(speakers), 'speaker')} cannot fill three splits")
    return splits, notes


def _units(utterances: Sequence[Utterance], source: Path) -> tuple[list[str], bool]:
    """What is dealt as one, of each utterance: its speaker where all are known and enough, else its file."""
    speakers = {utterance.speaker for utterance in utterances}
    by_speaker = None not in speakers and len(speakers) >= _MIN_SPEAKERS
    units = [
        utterance.speaker
        if by_speaker and utterance.speaker is not None
        else Path(utterance.audio_filepath).relative_to(source).as_posix()
        for utterance in utterances
    ]
    return units, by_speaker


def _write_folds(
    out: Path, utterances: Sequence[Utterance], test: Sequence[Utterance], source: Path, num_folds: int, *, seed: int
) -> str:
    """Writes a folder a fold, with its train and its dev; returns what there is to be reported about it.

    Raises:
        CorpusError: there is less to deal than folds.
    """
    all_units, by_speaker = _units(utterances, source)
    apart = {each.audio_filepath for each in test}
    kept = [pair for pair in zip(utterances, all_units, strict=True) if pair[0].audio_filepath not in apart]
    sizes = Counter(unit for _, unit in kept)
    what = "speakers" if by_speaker else "recordings"
    if len(sizes) < num_folds:
        raise CorpusError(f"folder: folds is {num_folds}, and there are {len(sizes)} {what} beside test; ask for fewer")
    fold_of = deal_folds(sizes, num_folds, seed=seed)
    for fold in range(1, num_folds + 1):
        for split, is_dev in (("train", False), ("dev", True)):
            lines = [each for each, unit in kept if (fold_of[unit] == fold) == is_dev]
            write_manifest(out / f"fold{fold}" / f"{split}.jsonl", lines)
    return (
        f"fold1 to fold{num_folds} each have a train and a dev of their own, by {what}; train once with each, and the "
        "mean of the dev scores is of all recordings but test's"
    )


def _percentages(shares: dict[str, float]) -> str:
    return ", ".join(f"{shares[split]:.0%}" for split in SPLITS)


def _count_reasons(left_out: dict[str, str]) -> str:
    return ", ".join(f"{count:,} ({reason})" for reason, count in Counter(left_out.values()).most_common(3))
