"""What all forms are made of: a recording's words with their times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TimedLabel:
    """A label of a word, such as a letter.

    Args:
        text: as it is shown.
        start_seconds, end_seconds: of the recording.
        confidence: 0 to 1.
    """

    text: str
    start_seconds: float
    end_seconds: float
    confidence: float


@dataclass(frozen=True)
class TimedWord:
    """A word of a recording.

    Args:
        text: as it is shown, punctuation perhaps with it.
        start_seconds, end_seconds: of the recording.
        confidence: 0 to 1.
        labels: its labels, where they are known.
    """

    text: str
    start_seconds: float
    end_seconds: float
    confidence: float
    labels: tuple[TimedLabel, ...] = ()


@dataclass(frozen=True)
class TimedRecording:
    """A recording with its words.

    Args:
        audio_filepath: the recording.
        duration: its seconds.
        words: in order; none begins before the one before it ends.
        record: what its JSON says beside `audio_filepath`, `duration` and `words`.
        channel: the one that was meant; None for the average of all.
    """

    audio_filepath: str
    duration: float
    words: Sequence[TimedWord]
    record: Mapping[str, Any] = field(default_factory=dict)
    channel: int | None = None
