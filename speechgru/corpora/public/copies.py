"""What was read of somebody's copy of a corpus, and its way into manifests."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechgru.audio.finding import is_hidden
from speechgru.audio.reading import read_header
from speechgru.corpora.folder import NOTES_NAME
from speechgru.corpora.splits import SPLITS, divide
from speechgru.errors import AudioError, CorpusError
from speechgru.files import write_json
from speechgru.process.workers import run
from speechgru.processors import num_processors
from speechgru.progress import Progress
from speechgru.utterances.manifest import Utterance, write_manifest
from speechgru.visible import counted

#: Recordings that one worker measures at a time: about a second's work.
_BLOCK = 1000
#: Fewer recordings are not worth starting processes, which takes a second.
_WORTH_WORKERS = 4000
#: How far a segment may reach beyond its recording, seconds, as the reader allows.
_SLACK_SECONDS = 0.01
_SHOWN = 3
#: What is wrong with a recording that a corpus names twice. Of the first kind none is kept, of the second the first.
_DIFFERENT, _SAME = "is named twice, with different texts", "is named twice, with one text, and kept once"


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording, or a segment of one, as a corpus names it.

    Args:
        audio: the recording.
        text: what is said.
        speaker: who speaks, where known.
        extra: further fields of its line.
        offset: where a segment begins, seconds; None is a whole recording.
        duration: how long a segment is, seconds; a whole recording is measured.
        channel: the one that is meant, from 1 on; None for the average of all.
    """

    audio: str
    text: str
    speaker: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    offset: float | None = None
    duration: float | None = None
    channel: int | None = None

    @property
    def name(self) -> str:
        """The recording, and a segment's place in it."""
        return self.audio if self.offset is None else f"{self.audio}@{self.offset:.2f}"

    @property
    def place(self) -> tuple[str, float | None, int | None]:
        """What no two clips of a corpus have in common."""
        return self.audio, self.offset, self.channel


@dataclass
class Copy:
    """What a copy of a corpus holds, and what is wrong with it.

    Args:
        corpus: the corpus's name.
        source: where the copy is.
        clips: by the manifest that they go into.
        faults: what a whole copy would not have: why, by the name of the recording or file. They are refused, or left
            out on request.
        passed_over: how many clips are left out by the corpus's own rules: by reason.
        notes: what else a person should know.
    """

    corpus: str
    source: Path
    clips: dict[str, list[Clip]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    passed_over: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def add(self, split: str, clip: Clip, *, is_speech: bool = True) -> None:
        """Adds a clip to a manifest; speech without a text is a fault."""
        if clip.text or not is_speech:
            self.clips.setdefault(split, []).append(clip)
        else:
            self.faults[clip.name] = "has an empty transcript"

    def match(
        self, audio: Mapping[str, str], texts: Iterable[tuple[str, str]], *, expected: Callable[[str], str]
    ) -> Iterator[tuple[str, str, str]]:
        """Brings recordings and their texts together by their identifiers; what has no counterpart is a fault.

        Args:
            audio: the recordings that there are.
            texts: identifiers and texts; one that stands twice comes twice.
            expected: the path that a recording should have.

        Yields:
            Identifier, recording and text.
        """
        left = dict(audio)
        for name, text in texts:
            if name in audio:
                left.pop(name, None)
                yield name, audio[name], text
            else:
                self.faults[expected(name)] = "no such recording, but a transcript"
        self.faults |= dict.fromkeys(left.values(), "has no transcript")

    def deal(
        self, clips: Sequence[Clip], unit_of: Callable[[Clip], str], shares: Mapping[str, float], *, seed: int
    ) -> None:
        """Deals clips to train, dev and test by units that stay together (`splits.divide`).

        Args:
            clips: what to deal.
            unit_of: what a clip belongs to, such as its speaker.
            shares: of all clips, for `dev` and `test`.
            seed: another seed, another order.

        Raises:
            CorpusError: the shares leave nothing, or there are fewer than three units.
        """
        require_shares(self.corpus, shares)
        sizes = Counter(map(unit_of, clips))
        if len(sizes) < len(SPLITS):
            raise CorpusError(
                f"{self.source}: holds {', '.join(sizes) or 'nothing'} alone, and train, dev and test need three to "
                "divide among them; unpack the corpus anew"
            )
        split_of = divide(sizes, shares, seed=seed, kept={})
        for clip in clips:
            self.add(split_of[unit_of(clip)], clip)


def require_shares(corpus: str, shares: Mapping[str, float]) -> None:
    """Refuses shares of a split that are none.

    Raises:
        CorpusError: one is not a fraction between 0 and 1, or they leave nothing for train.
    """
    for split, share in shares.items():
        if isinstance(share, bool) or not 0 < share < 1:
            raise CorpusError(f"{corpus}: {split}_share must be a fraction between 0 and 1, got {share!r}")
    if sum(shares.values()) >= 1:
        raise CorpusError(f"{corpus}: {' and '.join(f'{split}_share' for split in shares)} leave nothing for train")


def require_one_of(corpus: str, option: str, value: Any, known: Iterable[Any]) -> None:
    """Refuses a value of an option that is none of those that there are.

    Raises:
        CorpusError: names them.
    """
    if value not in known:
        raise CorpusError(f"{corpus}: {option} must be one of {', '.join(map(str, known))}, got {value!r}")


def write(
    copy: Copy, out: Path, *, needed: Sequence[str] = SPLITS, skip_missing: bool, progress: Progress
) -> dict[str, Path]:
    """Measures the clips of a copy and writes its manifests, and what there is to say about it beside them.

    Args:
        copy: what was read.
        out: the folder to write.
        needed: the manifests that must not be empty.
        skip_missing: whether what is wrong with the copy is left out; else it is refused.
        progress: called as recordings are measured.

    Returns:
        The manifests.

    Raises:
        CorpusError: something is wrong with the copy, or nothing is left for a manifest.
    """
    if not any(copy.clips.values()) and not copy.faults:
        raise CorpusError(
            f"{copy.source}: holds nothing of {copy.corpus}; name the folder of the unpacked corpus with --source"
        )
    utterances = _measure(copy, progress=progress)
    if copy.faults and not skip_missing:
        shown = "; ".join(f"{name}: {reason}" for name, reason in list(copy.faults.items())[:_SHOWN])
        more = f"; and {len(copy.faults) - _SHOWN:,} more" if len(copy.faults) > _SHOWN else ""
        raise CorpusError(
            f"{copy.source}: {counted(len(copy.faults), 'fault')} of this copy of {copy.corpus}: {shown}{more}; unpack "
            "the corpus anew, or leave these out (--skip-missing)"
        )
    for split in needed:
        if not utterances.get(split):
            raise CorpusError(f"{copy.source}: nothing is left for {split}; unpack the corpus anew")
    notes = list(copy.notes)
    if copy.passed_over:
        reasons = ", ".join(f"{count:,} ({reason})" for reason, count in copy.passed_over.most_common())
        notes.append(f"left out by rule: {reasons}")
    if copy.faults:
        notes.append(f"left out, because of faults of this copy: {len(copy.faults):,}; {NOTES_NAME} names them")
    order = [*needed, *(split for split in utterances if split not in needed and utterances[split])]
    manifests = {split: write_manifest(out / f"{split}.jsonl", utterances[split]) for split in order}
    write_json(out / NOTES_NAME, {"corpus": copy.corpus, "notes": notes, "left_out": copy.faults})
    return manifests


def _measure(copy: Copy, *, progress: Progress) -> dict[str, list[Utterance]]:
    """The clips of a copy as utterances; what cannot be read, or stands twice, becomes a fault."""
    clips = [clip for group in copy.clips.values() for clip in group]
    seconds = measure_seconds({clip.audio: None for clip in clips}, progress=progress)
    twice = _doubled(clips)
    kept: dict[str, list[Utterance]] = {split: [] for split in copy.clips}
    first = set()
    for split, group in copy.clips.items():
        for clip in group:
            if fault := _fault_of(clip, seconds[clip.audio]):
                copy.faults[clip.name] = fault
                continue
            if clip.place in twice:
                copy.faults[clip.name] = twice[clip.place]
                if twice[clip.place] == _DIFFERENT or clip.place in first:
                    continue
                first.add(clip.place)
            kept[split].append(_as_utterance(clip, seconds[clip.audio]))
    return kept


def _doubled(clips: Iterable[Clip]) -> dict[tuple[str, float | None, int | None], str]:
    """What is wrong with each place that is named more than once."""
    texts: dict[tuple[str, float | None, int | None], str] = {}
    twice: dict[tuple[str, float | None, int | None], str] = {}
    for clip in clips:
        if clip.place not in texts:
            texts[clip.place] = clip.text
        elif texts[clip.place] != clip.text:
            twice[clip.place] = _DIFFERENT
        else:
            twice.setdefault(clip.place, _SAME)
    return twice


def _fault_of(clip: Clip, measured: float | str) -> str:
    if isinstance(measured, str):
        return measured
    if measured == 0:
        return "holds no samples"
    if clip.offset is not None and clip.duration is not None:
        if not (math.isfinite(clip.offset) and math.isfinite(clip.duration)):
            return "begins or ends at no number of seconds"
        if clip.offset < 0:
            return f"begins at {clip.offset:.2f} s, before its recording"
        if clip.duration <= 0:
            return "ends before it begins"
        if clip.offset + clip.duration > measured + _SLACK_SECONDS:
            return f"ends at {clip.offset + clip.duration:.2f} s, behind the recording's end at {measured:.2f} s"
    return ""


def _as_utterance(clip: Clip, seconds: float | str) -> Utterance:
    return Utterance(
        clip.audio,
        float(seconds) if clip.duration is None else clip.duration,
        clip.text,
        speaker=clip.speaker,
        offset=clip.offset or 0.0,
        extra=clip.extra,
        segment=clip.offset is not None,
        channel=clip.channel,
    )


def measure_seconds(paths: Iterable[str], *, progress: Progress) -> dict[str, float | str]:
    """How long recordings are by their headers, seconds, or why one cannot be read; by several processes if many.

    Args:
        paths: the recordings, each once.
        progress: called as they are measured.
    """
    paths = list(paths)
    blocks = [paths[start : start + _BLOCK] for start in range(0, len(paths), _BLOCK)]
    found: dict[int, list[float | str]] = {}
    done = 0
    progress("measuring", 0, len(paths), "")
    for number, block in run(_seconds_of, blocks, workers=num_processors() if len(paths) >= _WORTH_WORKERS else 1):
        found[number] = block
        done += len(block)
        progress("measuring", done, len(paths), "")
    return dict(zip(paths, (each for number in sorted(found) for each in found[number]), strict=True))


def _seconds_of(paths: Sequence[str]) -> list[float | str]:
    """The work of one process."""
    return [_seconds(path) for path in paths]


def _seconds(path: str) -> float | str:
    try:
        header = read_header(path)
    except AudioError as error:
        return str(error).removeprefix(f"{path}: ")
    return header.num_samples / header.sample_rate


def files_below(folder: Path, *ends: str) -> Iterator[str]:
    """The files below a folder whose names have one of some ends, in small letters, folder by folder.

    Hidden ones are passed over. Symbolic links are followed, each folder once.
    """
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(name for name in folders if not is_hidden(name))
        if real not in seen:
            seen.add(real)
            for name in sorted(names):
                if name.lower().endswith(ends) and not is_hidden(name):
                    yield os.path.join(place, name)
