"""Opening a recording: what its first bytes show, who decodes it, and what of it should not be believed."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from speechgru.audio import containers, flac, foreign, mpeg, ogg
from speechgru.audio.header import Header
from speechgru.audio.samples import HIGHEST_RATE, LOWEST_RATE
from speechgru.errors import AudioError
from speechgru.files import for_soundfile

#: A WAV header's way of saying "until the end of the file": written by programs that stream.
#: SoX writes 0x7FFFF000, arecord 0x80000000, ffmpeg 0xFFFFFFFF, others something less.
_UNKNOWN_SIZE = 0x7FFFF000
#: Bytes of sound behind what a header counts that are no writer's slip: 8 ms of 16 kHz in 16 bits.
_LEAST_BEHIND = 256


@contextlib.contextmanager
def opened(path: str) -> Iterator[tuple[Any, Header]]:
    """An open `soundfile.SoundFile` and its header; whatever fails meanwhile becomes an `AudioError` with the name.

    Raises:
        AudioError: the file is missing, empty, damaged, truncated or no recording.
    """
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

    unended = _mended_by(ogg.mend_ogg, path) if head.startswith(b"OggS") else None
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
        return _mended_by(mpeg.mend_mp3, path)
    if stream.format == "FLAC" and not _counts(stream.frames):
        return _mended_by(flac.mend_flac, path)
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
        if header.container == "OGG" and ogg.ogg_is_cut(content):
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
