"""Reading recordings with NumPy, soundfile and soxr alone: what a device runs, and what training runs too."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechgru.errors import AudioError

#: A WAV header's way of saying "until the end of the file": written by programs that stream.
_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0xFFFFFFFF, 0xFFFFFFFF - 36)


@dataclass(frozen=True)
class Recording:
    """A decoded recording.

    Args:
        samples_N: float32 in [-1, 1], one channel.
        sample_rate: Hz, after resampling.
        source_rate: Hz, as in the file.
        num_channels: channels in the file; more than one were averaged.
    """

    samples_N: np.ndarray
    sample_rate: int
    source_rate: int
    num_channels: int

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return len(self.samples_N) / self.sample_rate


def read_recording(
    path: str | os.PathLike[str], *, sample_rate: int | None = None, offset: float = 0.0, duration: float | None = None
) -> Recording:
    """Reads a recording, or a segment of one without reading the rest.

    Args:
        path: any format that libsndfile reads: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, ...
        sample_rate: Hz to resample to; None keeps the file's.
        offset: seconds at which to start.
        duration: seconds to read; None reads to the end. A segment that ends beyond the file is an error.

    Returns:
        The samples, channels averaged.

    Raises:
        AudioError: the file is missing, empty, damaged, truncated or no recording; names it, the reason and the fix.
    """
    import soundfile

    path = os.fspath(path)
    try:
        size = os.path.getsize(path)
    except OSError as error:
        raise AudioError(f"{path}: no such recording ({error.strerror})") from error
    if os.path.isdir(path):
        raise AudioError(f"{path}: is a folder, not a recording")
    if size == 0:
        raise AudioError(f"{path}: is empty (0 bytes); record or copy it again")
    try:
        with soundfile.SoundFile(path) as stream:
            _refuse_truncated(path, stream)
            source_rate, num_channels = stream.samplerate, stream.channels
            start = round(offset * source_rate)
            count = -1 if duration is None else round(duration * source_rate)
            # A hundredth of a second of slack: manifests round, and compressed formats pad.
            if start + max(count, 0) > stream.frames + source_rate // 100:
                raise AudioError(
                    f"{path}: is {stream.frames / source_rate:.3f} s long, "
                    f"shorter than the segment from {offset:g} s to {offset + (duration or 0):g} s"
                )
            stream.seek(min(start, stream.frames))
            left = stream.frames - stream.tell()
            expected = left if count < 0 else min(count, left)
            samples_NC = stream.read(count, dtype="float32", always_2d=True)
    except AudioError:
        raise
    except (soundfile.LibsndfileError, RuntimeError, UnicodeDecodeError) as error:
        reason = getattr(error, "error_string", None) or str(error)
        raise AudioError(
            f"{path}: cannot be decoded ({reason.strip().rstrip('.')}); "
            "it is not a recording in a known format, or is damaged"
        ) from error
    if len(samples_NC) < expected:
        raise AudioError(f"{path}: is truncated ({len(samples_NC)} of {expected} samples); copy it again")
    samples_N = samples_NC[:, 0] if num_channels == 1 else samples_NC.mean(axis=1, dtype=np.float32)
    if not np.isfinite(samples_N).all():
        raise AudioError(f"{path}: holds samples that are not finite numbers; write it again")
    samples_N = np.ascontiguousarray(samples_N)
    if sample_rate is not None and len(samples_N):
        samples_N = resample(samples_N, source_rate=source_rate, sample_rate=sample_rate)
    return Recording(samples_N, sample_rate or source_rate, source_rate, num_channels)


def resample(samples_N: np.ndarray, *, source_rate: int, sample_rate: int) -> np.ndarray:
    """Resamples one channel with soxr's high quality.

    Args:
        samples_N: float32 samples.
        source_rate: their rate in Hz.
        sample_rate: the wanted rate in Hz.

    Returns:
        float32 samples; the same array when the rates agree.
    """
    if source_rate == sample_rate:
        return samples_N
    import soxr

    return soxr.resample(samples_N, source_rate, sample_rate, quality="HQ")


def _refuse_truncated(path: str, stream: Any) -> None:
    """A WAV that ends before its header says: libsndfile reads what there is, and only its log tells."""
    found = re.search(r"^data *: (\d+) \(should be (\d+)\)", stream.extra_info, flags=re.MULTILINE)
    if found and int(found[1]) > int(found[2]) and int(found[1]) not in _UNKNOWN_SIZES:
        raise AudioError(
            f"{path}: is truncated: its header promises {found[1]} bytes of audio, {found[2]} are there; copy it again"
        )
