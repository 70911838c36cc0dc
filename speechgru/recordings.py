"""Reading recordings with NumPy, soundfile and soxr alone: what a device runs, and what training runs too."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechgru.errors import AudioError

#: A WAV header's way of saying "until the end of the file": written by programs that stream.
#: SoX writes 0x7FFFF000, arecord 0x80000000, ffmpeg 0xFFFFFFFF, others something less.
_UNKNOWN_SIZE = 0x7FFFF000


#: Samples a channel that are read at once: about a minute at 16 kHz.
_BLOCK = 1 << 20


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

    path = os.fsdecode(path)
    if not 0 <= offset < math.inf or not (duration is None or 0 <= duration < math.inf):
        raise AudioError(f"{path}: a segment's offset and duration are seconds, 0 or more, got {offset} and {duration}")
    try:
        size = os.path.getsize(path)
    except (OSError, ValueError) as error:  # ValueError: no file's name holds a null character
        raise AudioError(f"{path}: no such recording ({getattr(error, 'strerror', None) or error})") from error
    if os.path.isdir(path):
        raise AudioError(f"{path}: is a folder, not a recording")
    if size == 0:
        raise AudioError(f"{path}: is empty (0 bytes); record or copy it again")
    if path.lower().endswith(".raw"):
        raise AudioError(f"{path}: is raw audio, which does not say its rate and form; convert it to WAV or FLAC")
    try:
        # As bytes, because soundfile does not take every name that a POSIX system allows.
        with soundfile.SoundFile(path if os.name == "nt" else os.fsencode(path)) as stream:
            _refuse_truncated(path, stream)
            source_rate, num_channels = stream.samplerate, stream.channels
            # A hundredth of a second of slack: manifests round, and compressed formats pad.
            if stream.frames and offset + (duration or 0.0) > stream.frames / source_rate + 0.01:
                raise AudioError(
                    f"{path}: is {stream.frames / source_rate:.3f} s long, "
                    f"shorter than the segment from {offset:g} s to {offset + (duration or 0):g} s"
                )
            start = min(round(offset * source_rate), stream.frames)
            expected = stream.frames - start
            if duration is not None:
                expected = min(round(duration * source_rate), expected)
            if stream.seekable():
                stream.seek(start)
            else:  # some telephone codecs in WAV
                stream.read(start)
            samples_NC = _read_blocks(stream, expected)
    except AudioError:
        raise
    except (soundfile.LibsndfileError, RuntimeError, UnicodeDecodeError) as error:
        reason = getattr(error, "error_string", None) or str(error)
        if "does not exist" in reason:  # libsndfile's answer to a text file named .mp3
            reason = "Format not recognised"
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


def _read_blocks(stream: Any, count: int) -> np.ndarray:
    """Reads up to `count` samples a channel; a damaged header that promises billions must not take the memory."""
    blocks = [stream.read(min(count, _BLOCK), dtype="float32", always_2d=True)]
    while len(blocks[-1]) == _BLOCK and (left := count - _BLOCK * len(blocks)) > 0:
        blocks.append(stream.read(min(left, _BLOCK), dtype="float32", always_2d=True))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _refuse_truncated(path: str, stream: Any) -> None:
    """A file that ends before its header says: libsndfile reads what there is, and only its log tells.

    The chunks are those of WAV and CAF (`data`), W64 (`riff`), RF64 (`Riff size`), AIFF (`SSND`) and AU (`Data Size`).
    """
    chunk = r"^ *(?:data|riff|Riff size|SSND|Data Size) *: (\d+) \(should be (\d+)\)"
    found = re.search(chunk, stream.extra_info, flags=re.MULTILINE)
    if found and int(found[2]) < int(found[1]) < _UNKNOWN_SIZE:
        raise AudioError(
            f"{path}: is truncated: its header promises {found[1]} bytes, {found[2]} are there; copy it again"
        )
