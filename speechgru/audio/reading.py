"""Reading recordings with NumPy, soundfile and soxr alone: what a device runs, and what training runs too."""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from speechgru.audio import containers, foreign
from speechgru.audio.mixing import Mixing, mix
from speechgru.audio.samples import HIGHEST_RATE, LOWEST_RATE, fault_of
from speechgru.errors import AudioError
from speechgru.files import for_soundfile
from speechgru.visible import counted

#: A WAV header's way of saying "until the end of the file": written by programs that stream.
#: SoX writes 0x7FFFF000, arecord 0x80000000, ffmpeg 0xFFFFFFFF, others something less.
_UNKNOWN_SIZE = 0x7FFFF000
#: Bytes of sound behind what a header counts that are no writer's slip: 8 ms of 16 kHz in 16 bits.
_LEAST_BEHIND = 256
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


@dataclass(frozen=True)
class Header:
    """What a recording's header says.

    Args:
        path: the file.
        container: libsndfile's name of the file's form: `WAV`, `FLAC`, `OGG`, `MP3`, ...
        encoding: its name of the samples' form: `PCM_16`, `ALAW`, `VORBIS`, ...
        sample_rate: Hz.
        num_channels: channels.
        num_samples: samples a channel.
    """

    path: str
    container: str
    encoding: str
    sample_rate: int
    num_channels: int
    num_samples: int

    @property
    def is_counted(self) -> bool:
        """Whether the samples were counted. In layer II, or in MP3 inside WAV, a few frames too many are guessed."""
        return not self.encoding.startswith("MPEG") or (self.container, self.encoding) == ("MP3", "MPEG_LAYER_III")

    def require_channel(self, channel: int | None) -> None:
        """Refuses a channel that is not there.

        Args:
            channel: its number, from 1 on; None for the average of all.

        Raises:
            AudioError: names the channels that there are.
        """
        if channel is None or 1 <= channel <= self.num_channels:
            return
        if self.num_channels == 1:
            choice = "it has one alone, so leave the choice out"
        else:
            choice = f"choose one from 1 to {self.num_channels}, or none to average them"
        raise AudioError(
            f"{self.path}: has {counted(self.num_channels, 'channel')}, and number {channel} was asked for; {choice}"
        )

    def segment(self, offset: float, duration: float | None) -> tuple[int, int]:
        """The first sample and the number of samples of a segment.

        Args:
            offset: seconds at which to start.
            duration: seconds; None for the rest.

        Raises:
            AudioError: these are no seconds, or the recording ends before the segment.
        """
        if not 0 <= offset < math.inf or not (duration is None or 0 <= duration < math.inf):
            raise AudioError(
                f"{self.path}: a segment's offset and duration are seconds, 0 or more, got {offset} and {duration}"
            )
        seconds = self.num_samples / self.sample_rate
        # A hundredth of a second of slack: manifests round, and compressed formats pad.
        if self.num_samples and offset + (duration or 0.0) > seconds + 0.01:
            raise AudioError(
                f"{self.path}: is {seconds:.3f} s long, "
                f"shorter than the segment from {offset:g} s to {offset + (duration or 0):g} s; "
                "correct the segment, or copy the recording again"
            )
        start = min(round(offset * self.sample_rate), self.num_samples)
        count = self.num_samples - start
        return start, count if duration is None else min(round(duration * self.sample_rate), count)


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
    with _opened(path) as (stream, header):
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
    with _opened(path) as (stream, header):
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


def resample_blocks(blocks: Iterable[np.ndarray], *, source_rate: float, sample_rate: float) -> Iterator[np.ndarray]:
    """Resamples one channel that comes block by block: together what `resample` gives.

    Args:
        blocks: float32 samples, `samples_N` each.
        source_rate, sample_rate: as in `resample`.

    Raises:
        ValueError: a rate is not a number above 0, or samples are not one channel.
    """
    _check_rates(source_rate, sample_rate)
    if source_rate == sample_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="HQ")
    for samples_N in blocks:
        _require_one_channel(samples_N)
        yield stream.resample_chunk(samples_N, last=False)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def read_header(path: str | os.PathLike[str]) -> Header:
    """Reads a recording's header alone.

    Raises:
        AudioError: as `read_recording`, as far as the header shows.
    """
    with _opened(os.fsdecode(path)) as (_, header):
        return header


def require_sound(samples_N: np.ndarray, *, path: str) -> None:
    """Refuses samples that no recorder makes (`samples.fault_of`).

    Raises:
        AudioError: some are not finite, or they are far outside [-1, 1].
    """
    fault = fault_of(samples_N, advice="they are 16-bit numbers stored as floats, to be divided by 32768")
    if fault is not None:
        raise AudioError(f"{path}: its samples {fault}; write it again")


def resample(samples_N: np.ndarray, *, source_rate: float, sample_rate: float) -> np.ndarray:
    """Resamples one channel with soxr's high quality.

    Args:
        samples_N: float32 samples.
        source_rate: their rate in Hz. It need not be whole: at `0.9 * sample_rate` speech becomes slower by a ninth.
        sample_rate: the wanted rate in Hz.

    Returns:
        float32 samples, `len(samples_N) * sample_rate / source_rate` rounded; the same array when the rates agree.

    Raises:
        ValueError: a rate is not a number above 0, or the samples are not one channel.
    """
    _check_rates(source_rate, sample_rate)
    _require_one_channel(samples_N)
    if source_rate == sample_rate:
        return samples_N
    import soxr

    return soxr.resample(samples_N, source_rate, sample_rate, quality="HQ")


def _check_rates(source_rate: float, sample_rate: float) -> None:
    if not (0 < source_rate < math.inf and 0 < sample_rate < math.inf):
        raise ValueError(f"rates are numbers of Hz above 0, got source_rate={source_rate}, sample_rate={sample_rate}")


def _require_one_channel(samples_N: np.ndarray) -> None:
    """Refuses what ends the process in soxr: it takes a row of samples for as many channels."""
    if samples_N.ndim != 1:
        raise ValueError(f"resampling works on one channel [num_samples], got the shape {samples_N.shape}")


@contextlib.contextmanager
def _opened(path: str) -> Iterator[tuple[Any, Header]]:
    """An open `soundfile.SoundFile` and its header; whatever fails meanwhile becomes an `AudioError` with the name."""
    import soundfile

    head = _read_head(path)
    known = containers.what_it_is(head)
    try:
        with contextlib.ExitStack() as stack:
            if known is not None:
                stream, header = _open_foreign(path, known, stack)
            else:
                stream, header = _open_native(path, head, stack)
            yield stream, header
    except AudioError:
        raise
    except (soundfile.LibsndfileError, RuntimeError, UnicodeDecodeError, OSError) as error:
        reason = getattr(error, "error_string", None) or str(error)
        if "does not exist" in reason:  # libsndfile's answer to a text file named .mp3
            reason = "Format not recognised"
        raise AudioError(
            f"{path}: cannot be decoded ({reason.strip().rstrip('.')}); "
            "it is not a recording in a known format, or is damaged: convert it to WAV or FLAC, or copy it again"
        ) from error


def _open_native(path: str, head: bytes, stack: contextlib.ExitStack) -> tuple[Any, Header]:
    """A file that libsndfile reads, mended where its counts do not hold."""
    import soundfile

    unended = _mended_by(containers.mend_ogg, path) if head.startswith(b"OggS") else None
    given = for_soundfile(path) if unended is None else io.BytesIO(unended)
    stream = stack.enter_context(soundfile.SoundFile(given))
    mended = _mend(path, stream)
    if mended is not None:
        stream = stack.enter_context(soundfile.SoundFile(io.BytesIO(mended)))
    header = Header(path, stream.format, stream.subtype, stream.samplerate, stream.channels, max(0, stream.frames))
    _refuse(header, stream)
    return stream, header


def _open_foreign(path: str, known: tuple[str, str | None], stack: contextlib.ExitStack) -> tuple[Any, Header]:
    """A file of a well-known form that libsndfile does not read, decoded by another program where there is one."""
    import soundfile

    name, fix = known
    if fix is not None:
        raise AudioError(f"{path}: is {name}, not a recording; {fix}")
    decode = foreign.decoder()
    if decode is None:
        raise AudioError(f"{path}: is {name}; {foreign.advice(path)}")
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    decoded = Path(folder, "decoded.w64")
    try:
        decode(path, decoded)
    except foreign.ForeignError as error:
        raise AudioError(
            f"{path}: is {name}, and cannot be decoded ({error}); it is damaged or cut: copy it again"
        ) from error
    stream = stack.enter_context(soundfile.SoundFile(decoded))
    container = name.removeprefix("an ").removeprefix("a ").removesuffix(" file")
    header = Header(path, container, "decoded", stream.samplerate, stream.channels, max(0, stream.frames))
    _refuse_rate(header)
    return stream, header


def _read_head(path: str) -> bytes:
    """The first bytes of a file that can be opened and read, is not a folder, not a device and not empty."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(f"{path}: is a folder, not a recording; name the file")
        if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
            raise AudioError(f"{path}: is a pipe, a socket or a device, not a file; write a file first")
        with open(path, "rb") as stream:
            head = stream.read(64)
    except AudioError:
        raise
    except FileNotFoundError as error:
        raise AudioError(f"{path}: no such recording ({error.strerror}); correct the path") from error
    except PermissionError as error:
        raise AudioError(f"{path}: may not be read ({error.strerror}); change the file's or folder's rights") from error
    except OSError as error:
        raise AudioError(f"{path}: no such recording ({error.strerror}); correct the path") from error
    except ValueError as error:  # no file's name holds a null character
        raise AudioError(f"{path}: no such recording ({error}); correct the path") from error
    if not head:
        raise AudioError(f"{path}: is empty (0 bytes); record or copy it again")
    if path.lower().endswith(".raw"):
        raise AudioError(f"{path}: is raw audio, which does not say its rate and form; convert it to WAV or FLAC")
    return head


def _mend(path: str, stream: Any) -> bytes | None:
    """The content with a count of its samples, where the file has none; None where it needs no mending."""
    if stream.format == "MP3" and stream.subtype == "MPEG_LAYER_III":
        return _mended_by(containers.mend_mp3, path)
    if stream.format == "FLAC" and not _counts(stream.frames):
        return _mended_by(containers.mend_flac, path)
    return None


def _mended_by(mend: Callable[[BinaryIO], bytes | None], path: str) -> bytes | None:
    with open(path, "rb") as content:
        return mend(content)


def _counts(frames: int) -> bool:
    """Whether it is a number of samples, and not libsndfile's word for "unknown" (the greatest 64-bit number)."""
    return frames < 1 << 62


def _refuse(header: Header, stream: Any) -> None:
    """Ends in an error for what libsndfile opens but should not be believed."""
    path = header.path
    # By the name alone: a text file called a.au or a.gsm would become noise.
    if header.container == "RAW":
        raise AudioError(f"{path}: has no header, and its name alone does not say what it holds; convert it to WAV")
    _refuse_rate(header)
    if not _counts(header.num_samples):
        raise AudioError(f"{path}: states no duration, and has no sound that shows it; convert it again")
    _refuse_truncated(path, stream)
    with open(path, "rb") as content:
        if header.container == "OGG" and containers.ogg_is_cut(content):
            raise AudioError(
                f"{path}: is truncated: its last page does not end the stream; copy it again, or where this is all of "
                "it, write it again (`ffmpeg -i in.ogg -c copy out.ogg`)"
            )
        if header.container == "NIST" and (promised := containers.sphere_count(content)) > header.num_samples:
            raise AudioError(f"{path}: is truncated ({header.num_samples} of {promised} samples); copy it again")
        if header.container in ("WAV", "WAVEX") and not header.num_samples and containers.wav_is_unfinished(content):
            raise AudioError(
                f"{path}: its header counts no samples, but bytes follow: the recorder did not end it; mend the header "
                "(`sox --ignore-length in.wav out.wav`), or record it again"
            )
        if header.container in ("WAV", "WAVEX", "AIFF") and header.num_samples:
            behind = containers.bytes_behind_data(content)
            if behind >= _LEAST_BEHIND:
                raise AudioError(
                    f"{path}: its header counts {header.num_samples} samples, but {behind} bytes of sound follow them; "
                    "mend the header (`sox --ignore-length in.wav out.wav`), or record it again"
                )


def _refuse_rate(header: Header) -> None:
    if not LOWEST_RATE <= header.sample_rate <= HIGHEST_RATE:
        raise AudioError(
            f"{header.path}: its header says {header.sample_rate} samples a second, expected {LOWEST_RATE} to "
            f"{HIGHEST_RATE}; it is damaged, or was written with a wrong rate: write it again"
        )


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
            if not containers.mp3_is_cut(content):
                return
    raise AudioError(f"{header.path}: is truncated ({found} of {promised} samples); copy it again")


def _refuse_truncated(path: str, stream: Any) -> None:
    """A file that ends before its header says: libsndfile reads what there is, and only its log shows it.

    The chunks are those of WAV and CAF (`data`), W64 (`riff`), RF64 (`Riff size`), AIFF (`SSND`) and AU (`Data Size`).
    """
    chunk = r"^ *(?:data|riff|Riff size|SSND|Data Size) *: (\d+) \(should be (\d+)\)"
    found = re.search(chunk, stream.extra_info, flags=re.MULTILINE)
    if found and int(found[2]) < int(found[1]) < _UNKNOWN_SIZE:
        raise AudioError(
            f"{path}: is truncated: its header promises {found[1]} bytes, {found[2]} are there; copy it again"
        )
