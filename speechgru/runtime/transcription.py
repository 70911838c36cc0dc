"""Audio files to text with a bundle alone, whole or as if somebody spoke just now."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.audio.band import BandMeter, missing_band
from speechgru.audio.finding import find_recordings
from speechgru.audio.mixing import CANCELLING, Mixing
from speechgru.audio.reading import Recording, read_blocks, read_header, read_recording
from speechgru.decoding import DecodingOptions, EndpointRule, Hypothesis
from speechgru.errors import AudioError
from speechgru.progress import Progress, silent
from speechgru.runtime import Recognizer, StreamResult

#: Seconds of sound that a live stream gets at a time: such as a sound card gives.
_PIECE_SECONDS = 0.05


def transcribe(
    bundle: str | Path | Recognizer,
    recordings: Sequence[str | os.PathLike[str]],
    *,
    form: str | None = None,
    decoding: DecodingOptions | None = None,
    channel: int | None = None,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Transcribes recordings of any format, rate, channel count and length, each read block by block.

    One that cannot be read does not keep the others from being transcribed: its record holds why.

    Args:
        bundle: the folder that `speechgru export` wrote, or a recogniser that is open.
        recordings: audio files, and folders, which stand for the recordings in and below them.
        form: which of the bundle's models to run; its default when None.
        decoding: beam, hotwords, phrases, a grammar; greedy when None.
        channel: of recordings with several, the one to transcribe, from 1 on; None averages them.
        progress: called after each recording.

    Returns:
        For each recording a JSON-ready record: `audio_filepath`, `text`, `intent` and `slots` (None and empty without a
        grammar), `confidence`, `margin` and `accepted` (of a `Hypothesis`; None where it has none), `duration` in
        seconds, `words` (`text`, `start_seconds`, `end_seconds`, `confidence`), `rtf`, how it was converted
        (`source_rate`, `num_channels`), `notes` (what of the sound will cost errors, a sentence each), `error` (None),
        and `window_seconds`: of the windows that it was computed in (`Recognizer`), None where in one. Where several
        hypotheses are asked for also `n_best`: of each, the best first, `text`, `intent`, `slots`, `confidence`,
        `posterior` and `score` (None where the phrases allow no text). Of a recording that cannot be read `error` is
        the reason, and all but `audio_filepath` is None or empty.

    Raises:
        BundleError: the bundle is missing or damaged.
        TextError: the bundle cannot write a hotword or phrase.
    """
    recognizer = _opened(bundle, form)
    recognizer.prepare(decoding)
    files = files_of(recordings)
    records = []
    for done, path in enumerate(files, start=1):
        try:
            records.append(transcribe_file(recognizer, path, decoding, channel=channel))
        except AudioError as error:
            records.append(failed_record(path, error))
        progress("transcribing", done, len(files), "")
    return records


def _opened(bundle: str | Path | Recognizer, form: str | None) -> Recognizer:
    return Recognizer(bundle, form=form) if isinstance(bundle, str | os.PathLike) else bundle


def files_of(recordings: Sequence[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    """Recordings, each folder replaced by those in and below it; one without any stays, and is an error."""
    files: list[str | os.PathLike[str]] = []
    for path in recordings:
        files += (find_recordings(path) or [path]) if os.path.isdir(path) else [path]
    return files


def failed_record(path: str | os.PathLike[str], error: AudioError) -> dict[str, Any]:
    """The record of a recording that cannot be read, with the fields of the others."""
    nothing = ("text", "intent", "confidence", "margin", "accepted", "duration", "rtf", "source_rate", "num_channels")
    return {
        "audio_filepath": os.fspath(path),
        **dict.fromkeys(nothing),
        "slots": {},
        "words": [],
        "notes": [],
        "window_seconds": None,
        "error": str(error),
    }


def transcribe_file(
    recognizer: Recognizer,
    path: str | os.PathLike[str],
    decoding: DecodingOptions | None = None,
    *,
    channel: int | None = None,
    max_seconds: float = math.inf,
) -> dict[str, Any]:
    """Transcribes one recording with a recogniser that is loaded.

    Args:
        recognizer: the recogniser.
        path: the audio file.
        decoding, channel: as in `transcribe`.
        max_seconds: refuse a longer one.

    Returns:
        The record of `transcribe`.

    Raises:
        AudioError: the file cannot be read, or is longer.
    """
    if max_seconds < math.inf:
        header = read_header(path)
        if header.num_samples > max_seconds * header.sample_rate:
            raise AudioError(f"{path}: is longer than {max_seconds:g} s; cut it")
    reading = _Reading(path, channel, max_seconds)
    started = time.perf_counter()
    hypotheses = recognizer.transcribe_blocks(reading.blocks(), reading.source_rate, decoding)
    seconds = time.perf_counter() - started - reading.seconds
    notes = _notes(recognizer, reading.band, reading.mixing, duration=reading.duration)
    record = _record(path, reading, hypotheses[0], seconds, notes=notes)
    record["window_seconds"] = recognizer.window_for(round(reading.duration * recognizer.sample_rate))
    if decoding is not None and decoding.n_best > 1:
        record["n_best"] = [
            {
                "text": hypothesis.text,
                "intent": hypothesis.intent,
                "slots": dict(hypothesis.slots),
                "confidence": hypothesis.confidence,
                "posterior": hypothesis.posterior,
                "score": hypothesis.score if math.isfinite(hypothesis.score) else None,
            }
            for hypothesis in hypotheses
        ]
    return record


def transcribe_live(
    bundle: str | Path | Recognizer,
    path: str | os.PathLike[str],
    *,
    listener: Callable[[float, StreamResult], None],
    form: str | None = None,
    decoding: DecodingOptions | None = None,
    endpoint: EndpointRule | None = None,
    channel: int | None = None,
    real_time: bool = True,
) -> dict[str, Any]:
    """Transcribes a recording as if it were spoken just now: a piece at a time, at the pace of speaking.

    Args:
        bundle: the folder that `speechgru export` wrote, or a recogniser that is open, of a model that streams.
        path: the audio file.
        listener: called after each piece with the seconds spoken and what is recognised by then.
        form: which of the bundle's models to run; its default when None.
        decoding: beam, hotwords, phrases; greedy when None.
        endpoint: when an utterance is over; None takes all as one.
        channel: as in `transcribe`.
        real_time: whether to wait until a piece would have been spoken; False continues at once.

    Returns:
        A JSON-ready record: what `transcribe` records, with all utterances' words and texts together (`intent` and
        `slots` are the last utterance's), accepted where all are, `utterances` (the text, meaning, words, margin and
        acceptance of each) and `busiest_seconds`, the longest that a piece was computed on. Where that is above 0.05 s
        for long, a device falls behind.

    Raises:
        UserError: the bundle's model transcribes whole recordings only.
        BundleError, TextError, AudioError: as `transcribe`.
    """
    recognizer = _opened(bundle, form)
    recording = read_recording(path, channel=channel)
    stream = recognizer.stream(recording.sample_rate, decoding, endpoint=endpoint)
    size = max(1, round(_PIECE_SECONDS * recording.sample_rate))
    ended: list[Hypothesis] = []
    busy, busiest = 0.0, 0.0
    began = time.perf_counter()
    for start in range(0, len(recording.samples_N), size):
        spoken = min(start + size, len(recording.samples_N)) / recording.sample_rate
        if real_time:
            time.sleep(max(0.0, began + spoken - time.perf_counter()))
        started = time.perf_counter()
        result = stream.feed(recording.samples_N[start : start + size])
        seconds = time.perf_counter() - started
        busy, busiest = busy + seconds, max(busiest, seconds)
        ended += result.ended
        listener(spoken, result)
    started = time.perf_counter()
    last = stream.finish()
    busy += time.perf_counter() - started
    ended += [last] if last.words or not ended else []
    words = tuple(word for hypothesis in ended for word in hypothesis.words)
    together = dataclasses.replace(
        last,
        text=" ".join(hypothesis.text for hypothesis in ended),
        words=words,
        confidence=min(hypothesis.confidence for hypothesis in ended),
        margin=min((hypothesis.margin for hypothesis in ended if hypothesis.margin is not None), default=None),
        accepted=None if last.accepted is None else all(hypothesis.accepted for hypothesis in ended),
    )
    utterances = [
        {
            "text": hypothesis.text,
            "intent": hypothesis.intent,
            "slots": dict(hypothesis.slots),
            "margin": hypothesis.margin,
            "accepted": hypothesis.accepted,
            "words": [dataclasses.asdict(word) for word in hypothesis.words],
        }
        for hypothesis in ended
    ]
    band = BandMeter(recording.source_rate)
    band.feed(recording.samples_N)
    notes = _notes(recognizer, band, recording.mixing, duration=recording.duration)
    record = _record(path, recording, together, busy, notes=notes)
    return record | {"utterances": utterances, "busiest_seconds": busiest}


class _Reading:
    """A recording on its way from its file, and what became known of it.

    Args:
        path: the audio file.
        channel: the one to read; None averages them.
        max_seconds: of a recording that holds more, whatever its header says, `blocks` raises an `AudioError`.

    Raises:
        AudioError: its beginning cannot be read; `blocks` raises it for the rest.
    """

    def __init__(self, path: str | os.PathLike[str], channel: int | None = None, max_seconds: float = math.inf):
        self._path, self._max_seconds = path, max_seconds
        self._recordings = read_blocks(path, channel=channel)
        self._first = next(self._recordings)
        self.source_rate, self.num_channels = self._first.source_rate, self._first.num_channels
        self.band, self.mixing = BandMeter(self.source_rate), Mixing()
        #: Seconds of sound that were read.
        self.duration = 0.0
        #: Seconds that reading took.
        self.seconds = 0.0

    def blocks(self) -> Iterator[np.ndarray]:
        """`samples_N`, block by block; once."""
        num_samples, started = 0, time.perf_counter()
        for block in itertools.chain([self._first], self._recordings):
            num_samples += len(block.samples_N)
            self.band.feed(block.samples_N)
            self.mixing += block.mixing
            self.duration = num_samples / self.source_rate
            if self.duration > self._max_seconds:
                raise AudioError(f"{self._path}: is longer than {self._max_seconds:g} s; cut it")
            self.seconds += time.perf_counter() - started
            yield block.samples_N
            started = time.perf_counter()


def _notes(recognizer: Recognizer, band: BandMeter, mixing: Mixing, *, duration: float) -> list[str]:
    """What of a recording's sound will cost errors, a sentence without its subject each."""
    if not duration:
        return ["holds no samples; record it again"]
    if mixing.cancels:
        return [f"{CANCELLING}; transcribe one of them (--channel 1)"]
    f_max_hz = (recognizer.metadata.get("features") or {}).get("f_max_hz") or recognizer.sample_rate / 2
    highest_hz = band.highest_hz()
    missing = missing_band(highest_hz, f_max_hz=f_max_hz)
    if missing is None:
        return []
    return [f"{missing}; expect errors, or train with data.sample_rate: {round(2 * highest_hz)} for such recordings"]


def hypothesis_record(hypothesis: Hypothesis) -> dict[str, Any]:
    """What was recognised, JSON-ready: `text`, `intent`, `slots`, `confidence`, `margin`, `accepted`, `words`."""
    return {
        "text": hypothesis.text,
        "intent": hypothesis.intent,
        "slots": dict(hypothesis.slots),
        "confidence": hypothesis.confidence,
        "margin": hypothesis.margin,
        "accepted": hypothesis.accepted,
        "words": [dataclasses.asdict(word) for word in hypothesis.words],
    }


def _record(
    path: str | os.PathLike[str],
    recording: Recording | _Reading,
    hypothesis: Hypothesis,
    seconds: float,
    *,
    notes: list[str],
) -> dict[str, Any]:
    return {
        "audio_filepath": os.fspath(path),
        **hypothesis_record(hypothesis),
        "duration": recording.duration,
        "rtf": seconds / recording.duration if recording.duration else 0.0,
        "source_rate": recording.source_rate,
        "num_channels": recording.num_channels,
        "notes": notes,
        "error": None,
    }
