"""What a recording is, in a few numbers: each is read once, whatever is judged of it afterwards (`examination`)."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.audio.band import BandMeter
from speechgru.audio.reading import read_header, read_recording
from speechgru.audio.resampling import resample, resample_blocks
from speechgru.errors import AudioError
from speechgru.jsonlines import Appender, read_records, write_lines
from speechgru.process.ordered import map_in_order
from speechgru.utterances.manifest import MEASUREMENTS_NAME, Utterance

#: Raised with every change of `Measurement` or of how it is made: those of another version are made anew.
_VERSION = 2

#: Samples that are copied at a time.
_BLOCK = 1 << 20
#: How close to the extreme a sample is cut off, as a share of it: the plateau of an analogue stage is not quite flat.
_PLATEAU = 0.002
#: Fewer neighbours than this at the extreme are a peak.
_PLATEAU_SAMPLES = 3
#: How much steeper than a smooth wave's the edges of a plateau are. A parabola that stays within one step of its top
#: for three samples falls by at most four steps to the next.
_PLATEAU_EDGE = 4.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured of an utterance.

    Args:
        num_samples: samples at the rate that was asked for, after resampling.
        source_rate: Hz, as in the file.
        num_channels: channels of the file; more than one were averaged, where the line names none.
        format: the file's form and that of its samples, such as `WAV PCM_16`.
        file_seconds: seconds of the whole file; None where only reading it all would show it.
        mean: the mean sample: 0 but for a fault of the device (DC offset).
        peak: the largest distance of a sample from the mean, 1 at full scale; None where only the length is known.
        rms: the root mean square distance from the mean.
        clipped_share: the share of samples that were cut off (`clipped_share`).
        digest: a hash of the samples at the file's rate: equal for equal sound, whatever the lossless format.
        error: why it cannot be read; empty where it can. Then all else may be missing.
        ends_early: the file can be read, but ends before the end of the named segment.
        highest_hz: the frequency above which there is nothing (`audio.band`); 0 where only the length is known.
        channels_cancel: averaging the channels left hardly any sound (`audio.mixing`).
    """

    num_samples: int = 0
    source_rate: int = 0
    num_channels: int = 0
    format: str = ""
    file_seconds: float | None = None
    mean: float = 0.0
    peak: float | None = None
    rms: float = 0.0
    clipped_share: float = 0.0
    digest: str = ""
    error: str = ""
    ends_early: bool = False
    highest_hz: float = 0.0
    channels_cancel: bool = False


def measure(utterance: Utterance, *, sample_rate: int) -> Measurement:
    """Reads what a manifest's line names and measures it.

    Args:
        utterance: the line; its segment alone is measured.
        sample_rate: Hz that it will be used at; only the number of samples depends on it.
    """
    path, offset, duration = utterance.audio_filepath, utterance.offset, utterance.duration or None
    try:
        header = read_header(path)
    except AudioError as error:
        return Measurement(error=str(error))
    found = Measurement(
        source_rate=header.sample_rate,
        num_channels=header.num_channels,
        format=f"{header.container} {header.encoding}",
        file_seconds=header.num_samples / header.sample_rate if header.is_counted else None,
    )
    try:
        header.segment(offset, duration)
    except AudioError as error:
        return dataclasses.replace(found, error=str(error), ends_early=True)
    try:
        recording = read_recording(path, offset=offset, duration=duration, channel=utterance.channel)
    except AudioError as error:
        return dataclasses.replace(found, error=str(error))
    found = dataclasses.replace(found, channels_cancel=recording.mixing.cancels)
    return measure_samples(recording.samples_N, found, sample_rate=sample_rate)


def measure_samples(samples_N: np.ndarray, found: Measurement, *, sample_rate: int) -> Measurement:
    """Measures samples that were read, or that whoever has just made them holds.

    Args:
        samples_N: float32 samples at `found.source_rate`, as `read_recording` gives them.
        found: what is known of their file.
        sample_rate: Hz that they will be used at.
    """
    if len(samples_N) == 0:
        return found
    mean = float(samples_N.mean(dtype=np.float64))
    low, high = float(samples_N.min()), float(samples_N.max())
    power = float(np.dot(samples_N, samples_N)) / len(samples_N)
    band = BandMeter(found.source_rate)
    band.feed(samples_N)
    return dataclasses.replace(
        found,
        num_samples=_num_resampled(samples_N, source_rate=found.source_rate, sample_rate=sample_rate),
        mean=mean,
        peak=max(high - mean, mean - low),
        rms=float(np.sqrt(max(0.0, power - mean**2))),
        clipped_share=clipped_share(samples_N),
        digest=_digest_of(samples_N, found.source_rate),
        highest_hz=band.highest_hz(),
    )


def _blocks(samples_N: np.ndarray) -> Iterator[np.ndarray]:
    """A recording in pieces: a copy of one of hours would be as large as it is."""
    for start in range(0, len(samples_N), _BLOCK):
        yield samples_N[start : start + _BLOCK]


def _num_resampled(samples_N: np.ndarray, *, source_rate: int, sample_rate: int) -> int:
    if len(samples_N) <= _BLOCK:
        return len(resample(samples_N, source_rate=source_rate, sample_rate=sample_rate))
    resampled = resample_blocks(_blocks(samples_N), source_rate=source_rate, sample_rate=sample_rate)
    return sum(map(len, resampled))


def _digest_of(samples_N: np.ndarray, source_rate: int) -> str:
    digest = hashlib.blake2b(digest_size=16, person=str(source_rate).encode())
    for block_N in _blocks(samples_N):
        digest.update((block_N + np.float32(0)).tobytes())  # the addition makes -0 to 0
    return digest.hexdigest()


def clipped_share(samples_N: np.ndarray) -> float:
    """The share of samples that were cut off because they would not fit.

    Cut-off speech has plateaus at its highest or lowest value that begin and end steeply. So this counts runs of
    three or more samples within 0.2 % of the extreme, whose neighbours on both sides are further below it than a
    smooth wave of the same resolution allows. Turning the level down afterwards hides nothing, as the extreme is the
    recording's own. Loud speech that was not cut has peaks, coarse quantisation (8 bits, mu-law) has plateaus with
    flat shoulders, and a square wave has nothing between its values: none of them counts. What resampling or a lossy
    format did to the plateaus afterwards cannot be seen.

    Args:
        samples_N: samples at the rate of the file, any scale.
    """
    if len(samples_N) == 0:
        return 0.0
    reach = max(float(samples_N.max()), -float(samples_N.min()))
    return (_cut_off(samples_N, side=1, reach=reach) + _cut_off(samples_N, side=-1, reach=reach)) / len(samples_N)


def _cut_off(samples_N: np.ndarray, *, side: int, reach: float) -> int:
    """How many samples were cut off at the top (`side` 1) or at the bottom (-1), without a copy of the samples."""
    top = float(samples_N.max()) if side > 0 else -float(samples_N.min())
    if top <= reach / 4:  # the zeros of a recording that lies on one side are no ceiling
        return 0
    near_N = samples_N >= (1 - _PLATEAU) * top if side > 0 else samples_N <= (1 - _PLATEAU) * -top
    if not _PLATEAU_SAMPLES <= np.count_nonzero(near_N) < len(samples_N):
        return 0
    places = np.flatnonzero(near_N)
    breaks = np.flatnonzero(np.diff(places) > 1)
    starts, ends = places[np.append(0, breaks + 1)], places[np.append(breaks, len(places) - 1)] + 1
    long = ends - starts >= _PLATEAU_SAMPLES
    if not long.any():
        return 0
    starts, ends = starts[long], ends[long]
    next_to = samples_N.max if side > 0 else samples_N.min
    step = top - side * float(next_to(where=~near_N, initial=-side * np.inf))
    last = len(samples_N) - 1
    # The recording's own ends are steep.
    before = np.where(starts > 0, side * samples_N[np.maximum(starts - 1, 0)], -np.inf)
    after = np.where(ends <= last, side * samples_N[np.minimum(ends, last)], -np.inf)
    shoulder = np.maximum(before, after)
    return int((ends - starts)[top - shoulder > _PLATEAU_EDGE * step].sum())


class MeasurementLog:
    """Measurements in a file, so that a large corpus is read once though the reading was interrupted.

    Each is a line, written as soon as it is made. A measurement counts while the file's size and time of change are
    what they were. What could not be read is not kept: it may be mended by then. A last line that a crash has cut
    is dropped.

    Args:
        path: the file; made with its folder when it is missing. None keeps no new measurement.
        known: further files of measurements, which are read alone; missing ones have none.

    Raises:
        UserError: the file cannot be read or written.
    """

    def __init__(self, path: str | Path | None, *, known: Iterable[str | Path] = ()):
        self._known: dict[bytes, Measurement] = {}
        self._lines = Appender(path, ascii_only=False, compact=True) if path is not None else None
        for file in (*known, *([] if path is None else [path])):
            for record in read_records(file):
                with contextlib.suppress(KeyError, TypeError):  # no measurement: made again
                    if record["version"] == _VERSION:
                        self._known[_short(record["key"])] = Measurement(*record["measurement"])

    def __len__(self) -> int:
        return len(self._known)

    def __enter__(self) -> MeasurementLog:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._lines is not None:
            self._lines.close()

    def find(self, key: list[Any]) -> Measurement | None:
        """The measurement of this key (`measurement_key`), where it is known."""
        return self._known.get(_short(key))

    def add(self, key: list[Any], measurement: Measurement) -> None:
        """Writes a measurement; one of a recording that cannot be read is not kept."""
        if measurement.error or self._lines is None:
            return
        self._known[_short(key)] = measurement
        self._lines.append(_as_record(key, measurement))


def measurement_files(manifests: Iterable[str | Path]) -> list[Path]:
    """Where measurements of the recordings of manifests are, if any are known: in the manifests' own folders."""
    return list({Path(manifest).absolute().parent / MEASUREMENTS_NAME: None for manifest in manifests})


def write_measurements(path: str | Path, measurements: Iterable[tuple[list[Any], Measurement]]) -> None:
    """Writes measurements with their keys (`measurement_key`) as a file that `MeasurementLog` reads, atomically."""
    write_lines(path, (_as_record(key, measurement) for key, measurement in measurements), ascii_only=False)


def _as_record(key: list[Any], measurement: Measurement) -> dict[str, Any]:
    return {"version": _VERSION, "key": key, "measurement": dataclasses.astuple(measurement)}


def measurement_key(utterance: Utterance, *, sample_rate: int) -> list[Any]:
    """What a measurement depends on: the segment, the channel, the rate, and the file's size and time of change."""
    try:
        status = os.stat(utterance.audio_filepath)
        size, changed = status.st_size, status.st_mtime_ns
    except (OSError, ValueError):
        size, changed = -1, -1
    key = [utterance.audio_filepath, utterance.offset, utterance.duration, sample_rate, size, changed]
    return key if utterance.channel is None else [*key, utterance.channel]


def _short(key: list[Any]) -> bytes:
    return hashlib.blake2b(json.dumps(key).encode(), digest_size=16).digest()


def measure_all(
    utterances: Iterable[Utterance], *, sample_rate: int, num_workers: int, log: MeasurementLog | None = None
) -> Iterator[Measurement]:
    """Measures utterances in threads, in their order; only a few wait at a time, however many there are.

    Args:
        utterances: what to measure.
        sample_rate: Hz that they will be used at.
        num_workers: threads.
        log: gives the measurements known already, and stores the new ones.
    """

    def one(utterance: Utterance) -> tuple[list[Any], Measurement, bool]:
        key = measurement_key(utterance, sample_rate=sample_rate) if log is not None else []
        known = log.find(key) if log is not None else None
        return key, known or measure(utterance, sample_rate=sample_rate), known is None

    # One long recording must not let the others wait.
    for key, measurement, is_new in map_in_order(one, utterances, workers=num_workers, lookahead=16):
        if log is not None and is_new:
            log.add(key, measurement)
        yield measurement
