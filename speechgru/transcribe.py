"""Audio files to text with a bundle alone."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechgru.decoding import Hypothesis
from speechgru.progress import Progress, silent
from speechgru.recordings import Recording, read_recording
from speechgru.runtime import Recognizer


def transcribe(
    bundle: str | Path,
    recordings: Sequence[str | os.PathLike[str]],
    *,
    form: str | None = None,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Transcribes recordings of any format, rate and channel count.

    Args:
        bundle: the folder that `speechgru export` wrote.
        recordings: audio files.
        form: which of the bundle's models to run; its default when None.
        progress: told after each recording.

    Returns:
        For each recording a JSON-ready record: `audio_filepath`, `text`, `confidence`, `duration` in seconds, `words`
        (`text`, `start_seconds`, `end_seconds`, `confidence`), `rtf`, and how it was converted (`source_rate`,
        `num_channels`).

    Raises:
        BundleError: the bundle is missing or damaged.
        AudioError: a recording cannot be read; all are read before the first is transcribed, so nothing is lost.
    """
    recognizer = Recognizer(bundle, form=form)
    for path in recordings:
        read_recording(path)
    records = []
    for done, path in enumerate(recordings, start=1):
        recording = read_recording(path)
        started = time.perf_counter()
        hypothesis = recognizer.transcribe(recording.samples_N, recording.sample_rate)
        records.append(_record(path, recording, hypothesis, time.perf_counter() - started))
        progress("transcribing", done, len(recordings), "")
    return records


def _record(
    path: str | os.PathLike[str], recording: Recording, hypothesis: Hypothesis, seconds: float
) -> dict[str, Any]:
    return {
        "audio_filepath": os.fspath(path),
        "text": hypothesis.text,
        "confidence": hypothesis.confidence,
        "duration": recording.duration,
        "words": [
            {
                "text": word.text,
                "start_seconds": word.start_seconds,
                "end_seconds": word.end_seconds,
                "confidence": word.confidence,
            }
            for word in hypothesis.words
        ],
        "rtf": seconds / recording.duration if recording.duration else 0.0,
        "source_rate": recording.source_rate,
        "num_channels": recording.num_channels,
    }
