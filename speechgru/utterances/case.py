"""What a check rule sees and is made of: a `Case`, the recordings `HeldOut`, and the `Rule` that judges them."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from speechgru.config.sections import RunConfig
from speechgru.text import Vocabulary
from speechgru.utterances.manifest import Utterance
from speechgru.utterances.measurement import Measurement

#: Segments that meet may overlap by their rounding.
_ROUNDING_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Case:
    """All that a rule looks at: one line, what its recording is, and the configuration.

    Args:
        utterance: the line.
        text: the normalised transcript.
        measurement: what was measured of the recording.
        config: the run that it is meant for.
        vocabulary: the characters or words that a transcript may hold.
    """

    utterance: Utterance
    text: str
    measurement: Measurement
    config: RunConfig
    vocabulary: Vocabulary

    @property
    def name(self) -> str:
        """What messages begin with."""
        return self.utterance.audio_filepath

    @property
    def seconds(self) -> float:
        """Seconds of audio that will be used."""
        return self.measurement.num_samples / self.config.data.sample_rate

    @property
    def peak_db(self) -> float:
        """The level of the loudest sample, dB of full scale; -inf where all are the same, NaN where it is not known."""
        return math.nan if self.measurement.peak is None else decibels(self.measurement.peak)

    @property
    def is_silent(self) -> bool:
        """Whether the recording is known to be silent: its level is below `check.silent_below_db`."""
        return self.peak_db < self.config.check.silent_below_db


class HeldOut:
    """The recordings of a manifest that others must not hold: where each is, by its sound and by its place in a file.

    Args:
        name: the manifest's, for messages.
        cases: its lines.
    """

    def __init__(self, name: str, cases: Sequence[Case]):
        self.name = name
        self._by_digest: dict[str, Utterance] = {}
        self._by_file: dict[str, list[tuple[float, float, Utterance]]] = defaultdict(list)
        for case in cases:
            if case.measurement.digest and not case.is_silent:
                self._by_digest.setdefault(case.measurement.digest, case.utterance)
                self._by_file[_file(case)].append((*_span(case), case.utterance))

    def find(self, case: Case) -> Utterance | None:
        """The line that holds some of the sound of `case`, or None."""
        same = self._by_digest.get(case.measurement.digest)
        if same is not None:
            return same
        start, end = _span(case)
        spans = self._by_file.get(_file(case), ())
        return next(
            (
                there
                for low, high, there in spans
                if min(end, high) - max(start, low) > _ROUNDING_SECONDS and _same_channel(there, case.utterance)
            ),
            None,
        )

    def shares_file(self, case: Case) -> bool:
        """Whether it holds another part or channel of the file of `case`."""
        return _file(case) in self._by_file


def _file(case: Case) -> str:
    return os.path.normpath(case.name)


def _same_channel(one: Utterance, other: Utterance) -> bool:
    """Whether they may hold the same sound: an average holds that of all channels."""
    return one.channel is None or other.channel is None or one.channel == other.channel


def _span(case: Case) -> tuple[float, float]:
    return case.utterance.offset, case.utterance.offset + case.seconds


def decibels(value: float) -> float:
    """An amplitude in dB of full scale; -inf for 0."""
    return 20 * math.log10(value) if value > 0 else -math.inf


#: Judges one line: gives a message where something is wrong, or None.
Judge = Callable[[Case], "str | None"]
#: Judges lines by one another: gives the places of the accused among them, and messages.
Compare = Callable[[Sequence[Case], Sequence[HeldOut]], "Iterator[tuple[int, str]]"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong with an utterance; it has either `judge` or `compare`.

    Args:
        name: the reason, as reports and `check.leave_out` name it.
        level: `problem` where the utterance cannot be used; `suspicion` where it can, but should be looked at.
            `check.leave_out` names the suspicions that count as problems. What compares is a suspicion.
        meaning: a few words for the tables of the pages.
        judge: looks at a line by itself.
        compare: looks at the lines of a manifest together, without those that are left out by then.
    """

    name: str
    level: Literal["problem", "suspicion"]
    meaning: str
    judge: Judge | None = None
    compare: Compare | None = None
