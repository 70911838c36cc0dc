"""Reading recordings with NumPy, soundfile and soxr alone: what a device runs, and what training runs too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from speechgru.audio import mpeg
from speechgru.audio.header import Header
from speechgru.audio.mixing import Mixing, mix
from speechgru.audio.opening import opened
from speechgru.audio.resampling import resample as resample  # who reads may import both from here
from speechgru.audio.resampling import resample_blocks as resample_blocks
from speechgru.audio.samples import fault_of
from speechgru.errors import AudioError

#: Samples, of all channels together, that are read at once: about a minute at 16 kHz.
_BLOCK = 1 << 20
#: Samples of one channel that are read at once, at most: 1 GB, which a small file of silence can ask for.
_MOST_SAMPLES = 1 << 28
#: Samples a byte of MPEG audio at most (layer III, 8 kbit/s at 24 kHz).
_MPEG_SAMPLES_PER_BYTE = 24
#: Samples that an MP3 is decoded before a segment. A frame borrows up to 511 bytes from those before it; at the lowest
#: bit rate that is 24 frames of 576 samples, at the others fewer.
_MP3_PREROLL = 24 * 576
#: Samples that an MP3's first frame may count too many: some encoders count that frame too, and decoders differ about
#: the first one of sound. Two frames are 48 ms at 48 kHz.
_MP3_MISCOUNT = 2 * 1152


@dataclass(frozen=True)
class Recording:
    """A decoded recording.

    Args:
        samples_N: float32 in [-1, 1], one channel.
        sample_rate: Hz, after resampling.
        source_rate: Hz, as in the file.
        num_channels: channels in the file; more than one were averaged, where none was chosen.
        mixing: what averaging left of their power.
    """

    samples_N: np.ndarray
    sample_rate: int
    source_rate: int
    num_channels: int
    mixing: Mixing = field(default_factory=Mixing)

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return len(self.samples_N) / self.sample_rate


def read_recording(
    path: str | os.PathLike[str],
    *,
    sample_rate: int | None = None,
    offset: float = 0.0,
    duration: float | None = None,
    channel: int | None = None,
) -> Recording:
    """Reads a recording, or a segment of one without decoding the rest.

    A segment is, to the sample, a part of the whole, in MP3, Vorbis and Opus too.

    Args:
        path: any format that libsndfile reads: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF, ...
        sample_rate: Hz to resample to; None keeps the file's.
        offset: seconds at which to start.
        duration: seconds to read; None reads to the end. A segment that ends beyond the file is an error.
        channel: the one to read, from 1 on; None averages them.

    Returns:
        The samples, channels averaged or the one that was asked for.

    Raises:
        AudioError: the file is missing, empty, damaged, truncated or no recording; names it, the reason and the fix.
    """
    path = os.fsdecode(path)
    with opened(path) as (stream, header):
        header.require_channel(channel)
        start, count = header.segment(offset, duration)
        samples_N, mixing = _read(stream, header, start, count, channel)
    if len(samples_N) < count:
        _refuse_missing(header, found=len(samples_N), promised=count)
    require_sound(samples_N, path=path)
    if sample_rate is not None and len(samples_N):
        samples_N = resample(samples_N, source_rate=header.sample_rate, sample_rate=sample_rate)
    return Recording(samples_N, sample_rate or header.sample_rate, header.sample_rate, header.num_channels, mixing)


def read_blocks(path: str | os.PathLike[str], *, channel: int | None = None) -> Iterator[Recording]:
    """Reads a recording block by block, so that hours of it take the memory of a minute.

    The blocks, one after the other, are the samples that `read_recording` gives at the file's own rate. There is one
    at least: a recording without samples has one without any. Some forms are not read so and are one block: MPEG audio
    whose frames are not counted (layer II, MP3 inside WAV). An MP3 or a FLAC file without a count is in memory as the
    file has it, compressed.

    Args:
        path, channel: as in `read_recording`.

    Yields:
        Recordings of a million samples of all channels together, the last one of the rest.

    Raises:
        AudioError: as `read_recording`; a truncated or damaged file may have given its first blocks before.
    """
    path = os.fsdecode(path)
    with opened(path) as (stream, header):
        header.require_channel(channel)
        size, done = max(1, _BLOCK // header.num_channels), 0
        if not header.is_counted:
            size = header.num_samples  # what a seek finds there is a guess
        while True:
            count = min(size, header.num_samples - done)
            # Where a stream cannot seek it stands behind the block before.
            samples_N, mixing = _read(stream, header, done if stream.seekable() else 0, count, channel)
            if len(samples_N) < count:
                _refuse_missing(header, found=done + len(samples_N), promised=header.num_samples)
            require_sound(samples_N, path=path)
            yield Recording(samples_N, header.sample_rate, header.sample_rate, header.num_channels, mixing)
            done += len(samples_N)
            if len(samples_N) < count or done >= header.num_samples:
                return


def read_header(path: str | os.PathLike[str]) -> Header:
    """Reads a recording's header alone.

    Raises:
        AudioError: as `read_recording`, as far as the header shows.
    """
    with opened(os.fsdecode(path)) as (_, header):
        return header


def require_sound(samples_N: np.ndarray, *, path: str) -> None:
    """Refuses samples that no recorder makes (`samples.fault_of`).

    Raises:
        AudioError: some are not finite, or they are far outside [-1, 1].
    """
    fault = fault_of(samples_N, advice="they are 16-bit numbers stored as floats, to be divided by 32768")
    if fault is not None:
        raise AudioError(f"{path}: its samples {fault}; write it again")


def _read(stream: Any, header: Header, start: int, count: int, channel: int | None = None) -> tuple[np.ndarray, Mixing]:
    """Reads samples and averages the channels, or chooses one: block by block, as a header may promise billions."""
    skip, block = 0, max(1, _BLOCK // header.num_channels)
    if header.encoding.startswith("MPEG"):
        # soundfile seeks after each read, and after a seek an MP3's first frame comes without what it borrows from
        # those before it. So it is one read, with those frames before it; the file's size keeps it in bounds.
        skip = min(start, _MP3_PREROLL)
        block = skip + _MPEG_SAMPLES_PER_BYTE * os.path.getsize(header.path)
    if stream.seekable():
        stream.seek(start - skip)
    else:  # some telephone codecs in WAV
        skip = start
    left, done, mixing = skip + count, 0, Mixing()
    samples_N = np.zeros(0, np.float32)
    while True:
        samples_NC = stream.read(min(block, left), dtype="float32", always_2d=True)
        mixed_N, of_block = mix(samples_NC if channel is None else samples_NC[:, channel - 1 : channel])
        mixing += of_block
        left -= len(samples_NC)
        is_last = left <= 0 or len(samples_NC) < block
        if is_last and not done:
            samples_N = mixed_N
            break
        if done > _MOST_SAMPLES:  # what a header promises is believed once it is there
            hours = header.num_samples / header.sample_rate / 3600
            raise AudioError(
                f"{header.path}: {hours:.1f} hours at {header.sample_rate:,} Hz are more than is read at once "
                f"({_MOST_SAMPLES:,} samples); cut it into utterances, or let `transcribe` read it, block by block"
            )
        if done + len(mixed_N) > len(samples_N):  # in place where it can be: all blocks beside their sum would be twice
            samples_N.resize(min(skip + count, 2 * (done + len(mixed_N))), refcheck=False)
        samples_N[done : done + len(mixed_N)] = mixed_N
        done += len(mixed_N)
        if is_last:
            samples_N = samples_N[:done]
            break
    return np.ascontiguousarray(samples_N[skip:]), mixing


def _refuse_missing(header: Header, *, found: int, promised: int) -> None:
    """Refuses a file that gives fewer samples than its header counts, but for an MP3 whose count is a little off."""
    if not header.is_counted:
        return
    if header.container == "MP3" and promised - found <= _MP3_MISCOUNT:
        with open(header.path, "rb") as content:
            if not mpeg.mp3_is_cut(content):
                return
    raise AudioError(f"{header.path}: is truncated ({found} of {promised} samples); copy it again")
