"""Utterances as another tool's files describe them, held against the recordings that are there."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechgru.audio.header import Header
from speechgru.audio.reading import read_header
from speechgru.corpora.layouts import some
from speechgru.errors import AudioError, CorpusError
from speechgru.progress import Progress, silent
from speechgru.utterances.manifest import Utterance
from speechgru.visible import counted

#: Seconds by which a stated duration may differ from the recording's, as `check` has it.
_TOLERANCE_SECONDS = 0.1
#: Seconds that a segment may reach beyond its recording, and is cut there: Kaldi's own limit (`extract-segments`).
_OVERSHOOT_SECONDS = 0.5
#: Folders above that of a table below which its relative paths are looked for.
_LEVELS = 4
#: Keys of a manifest that a further field cannot have.
_TAKEN = frozenset({"audio_filepath", "duration", "text", "speaker", "offset", "channel", "slots"})


@dataclass(frozen=True, slots=True)
class Described:
    """An utterance as a file of another tool describes it.

    Args:
        where: the file and the line or the name, for messages.
        audio: the recording.
        text: the transcript as written; None where there is none.
        speaker: who speaks, where known.
        start: seconds into the recording at which the segment starts; None for a whole recording.
        duration: seconds as stated; None where they are not, or for the rest of the recording.
        channel: of a recording with several the one that is meant, from 1 on.
        extra: further fields of its line.
    """

    where: str
    audio: Path
    text: str | None
    speaker: str | None = None
    start: float | None = None
    duration: float | None = None
    channel: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Faults:
    """What of a corpus cannot be used, and why; all of it is collected before it is refused or left out."""

    def __init__(self) -> None:
        #: The reason by what it is about.
        self.reasons: dict[str, str] = {}
        #: What was done about lesser faults, a sentence each.
        self.notes: list[str] = []

    def add(self, where: str, reason: str) -> None:
        """Notes a fault.

        Args:
            where: the file and line or name; unique.
            reason: what is wrong, as the rest of a sentence about it.
        """
        self.reasons.setdefault(where, reason)

    def refuse(self) -> None:
        """Ends in an error where there is a fault.

        Raises:
            CorpusError: names the first ones, their number, and the ways out.
        """
        if self.reasons:
            (where, reason), *others = self.reasons.items()
            more = f", and of {len(others):,} more the first is {others[0][0]}" if others else ""
            raise CorpusError(
                f"{where} {reason}{more}; copy or repair them, or leave such utterances out (--skip-missing)"
            )


def further_fields(record: Mapping[str, Any], *, without: Iterable[str] = ()) -> dict[str, Any]:
    """What of a foreign record a manifest's line can keep: plain values under names that are not the manifest's own.

    >>> further_fields({"text": "yes", "lang": "en", "embedding": [0.1], "age": None, "id": 7}, without=["id"])
    {'lang': 'en'}
    """
    left_out = _TAKEN | set(without)
    return {
        key: value
        for key, value in record.items()
        if key not in left_out and (isinstance(value, str) or _is_number(value))
    }


def _is_number(value: Any) -> bool:
    """Whether a value is a number (or true, or false) that JSON can write."""
    return isinstance(value, int | float) and -1e300 < value < 1e300


def speaker_name(value: Any) -> str | None:
    """Who speaks, as a manifest has it: some tools number speakers.

    >>> speaker_name(17), speaker_name(""), speaker_name(None)
    ('17', None, None)
    """
    return None if value is None or value == "" else str(value)


class Places:
    """Where relative paths of a table lead to: its own folder, one above it, or the working folder.

    Tools disagree about that, and a corpus that was copied still has the paths of the recipe's folder.

    Args:
        folder: the table's.
    """

    def __init__(self, folder: Path):
        folder = folder.absolute()
        self._bases = [folder, *list(folder.parents)[:_LEVELS], Path.cwd()]

    def find(self, name: str) -> Path:
        """The file of a path, be it absolute; where there is none, the place at which it was to be expected."""
        path = Path(os.path.expanduser(name))
        if path.is_absolute():
            return path
        for place, base in enumerate(self._bases):
            if os.path.exists(base / path):  # False of a name that no file can have
                if place:  # most others lie there too
                    self._bases.insert(0, self._bases.pop(place))
                return base / path
        return self._bases[0] / path


def measure(described: Iterable[Described], faults: Faults, *, progress: Progress = silent) -> list[Utterance]:
    """The utterances with the durations of their recordings.

    Args:
        described: what the files say.
        faults: takes what cannot be used: a missing or broken recording, one shorter than stated, no transcript.
        progress: called as headers are read.

    Returns:
        The utterances in their order, without the faulty ones.
    """
    header_of = functools.lru_cache(maxsize=1024)(read_header)  # segments of a recording follow each other
    utterances: list[Utterance] = []
    cut: list[str] = []
    for number, each in enumerate(described):
        if number % 100 == 0:
            progress("reading recordings", number, 0, "")
        if each.text is None:
            faults.add(each.where, "has no transcript")
            continue
        try:
            header = header_of(each.audio)
            header.require_channel(each.channel)
        except AudioError as error:
            faults.add(each.where, f"({error})")
            continue
        utterance = _measured(each, each.text, header, faults, cut)
        if utterance is not None:
            utterances.append(utterance)
    if cut:
        faults.notes.append(
            f"{counted(len(cut), 'segment ends', 'segments end')} up to "
            f"{_OVERSHOOT_SECONDS:g} s behind their recording, and are cut there: "
            f"{some(cut)}"
        )
    return utterances


def _measured(each: Described, text: str, header: Header, faults: Faults, cut: list[str]) -> Utterance | None:
    whole = header.num_samples / header.sample_rate
    if not whole:
        faults.add(each.where, f"({each.audio}: holds no samples)")
        return None
    if each.start is None:
        if each.duration is not None and abs(each.duration - whole) > _TOLERANCE_SECONDS:
            faults.add(
                each.where, f"says {each.duration:.3f} s, and the recording has {whole:.3f} s ({each.audio}: cut?)"
            )
            return None
        start, duration = 0.0, whole
    else:
        start = each.start
        duration = whole - start if each.duration is None else each.duration
        beyond = start + duration - whole
        if start < 0 or duration <= 0 or start >= whole or beyond > _OVERSHOOT_SECONDS:
            faults.add(
                each.where,
                f"is the segment from {start:g} s to {start + duration:g} s of a recording of {whole:.3f} s "
                f"({each.audio})",
            )
            return None
        if beyond > 0:
            duration -= beyond
            if beyond > 0.01:  # what reading allows, too
                cut.append(each.where)
    return Utterance(
        str(each.audio),
        duration,
        text,
        speaker=each.speaker,
        offset=start,
        extra=each.extra,
        segment=each.start is not None,
        channel=each.channel,
    )
