"""Audio files to text with a bundle alone."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechgru.decoding import DecodingOptions, Hypothesis
from speechgru.progress import Progress, silent
from speechgru.recordings import Recording, read_recording
from speechgru.runtime import Recognizer


def transcribe(
    bundle: str | Path,
    recordings: Sequence[str | os.PathLike[str]],
    *,
    form: str | None = None,
    decoding: DecodingOptions | None = None,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Transcribes recordings of any format, rate and channel count.

    Args:
        bundle: the folder that `speechgru export` wrote.
        recordings: audio files.
        form: which of the bundle's models to run; its default when None.
        decoding: beam, hotwords, phrases; greedy when None.
        progress: told after each recording.

    Returns:
        For each recording a JSON-ready record: `audio_filepath`, `text`, `confidence`, `duration` in seconds, `words`
        (`text`, `start_seconds`, `end_seconds`, `confidence`), `rtf`, and how it was converted (`source_rate`,
        `num_channels`). Where several hypotheses are asked for also `n_best`: of each, the best first, `text`,
        `confidence`, `posterior` and `score` (None where the phrases allow no text).

    Raises:
        BundleError: the bundle is missing or damaged.
        TextError: the bundle cannot write a hotword or phrase.
        AudioError: a recording cannot be read; all are read before the first is transcribed, so nothing is lost.
    """
    recognizer = Recognizer(bundle, form=form)
    recognizer.prepare(decoding)
    for path in recordings:
        read_recording(path)
    records = []
    for done, path in enumerate(recordings, start=1):
        recording = read_recording(path)
        started = time.perf_counter()
        hypotheses = recognizer.transcribe_n_best(recording.samples_N, recording.sample_rate, decoding)
        records.append(_record(path, recording, hypotheses[0], time.perf_counter() - started))
        if decoding is not None and decoding.n_best > 1:
            records[-1]["n_best"] = [
                {
                    "text": hypothesis.text,
                    "confidence": hypothesis.confidence,
                    "posterior": hypothesis.posterior,
                    "score": hypothesis.score if math.isfinite(hypothesis.score) else None,
                }
                for hypothesis in hypotheses
            ]
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
        "words": [dataclasses.asdict(word) for word in hypothesis.words],
        "rtf": seconds / recording.duration if recording.duration else 0.0,
        "source_rate": recording.source_rate,
        "num_channels": recording.num_channels,
    }
