"""Recordings that libsndfile does not read (M4A, WebM, WMA, AMR, ...), decoded where PyAV or ffmpeg is installed.

Either is the user's own: this package needs neither. What they decode is a file of samples for a moment, so that all
else reads it as any other recording. It is decoded anew each time that it is read: convert what is read often.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

#: What ffmpeg prints of a file that was cut, though it decodes what there is and ends well.
_SIGNS_OF_A_CUT = ("prematurely", "partial file", "truncated", "moov atom not found")
#: How much less sound than its header says a whole file may hold: encoders pad, and count what they pad.
_MISSING_SECONDS = 0.25


class ForeignError(Exception):
    """Why a decoder could not read a file, in a few words."""


def advice(path: str) -> str:
    """How to make a file of such a form readable, as the end of a sentence: the one command for it."""
    converted = os.path.splitext(path)[0] + ".wav"
    return (
        "to read such files install PyAV (`pip install av`) or ffmpeg; "
        f"or convert it: ffmpeg -i {shlex.quote(path)} {shlex.quote(converted)}"
    )


@functools.cache
def decoder() -> Callable[[str, Path], None] | None:
    """What decodes a file to another one, as W64 in its own rate and channels; None where nothing is installed.

    The function raises `ForeignError`.
    """
    if importlib.util.find_spec("av") is not None:
        return _decode_with_pyav
    program = shutil.which("ffmpeg") or _program_of_a_package()
    return None if program is None else functools.partial(_decode_with_ffmpeg, program)


def _program_of_a_package() -> str | None:
    """The ffmpeg that the package imageio-ffmpeg brings."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return None


def _decode_with_ffmpeg(program: str, path: str, out: Path) -> None:
    # A name that begins with a dash or holds a colon is no option and no protocol behind "file:".
    arguments = ["-nostdin", "-v", "error", "-y", "-i", b"file:" + os.fsencode(path), "-map", "0:a:0", "-vn"]
    command: list[Any] = [program, *arguments, "-c:a", "pcm_f32le", "-f", "w64", str(out)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError as error:
        raise ForeignError(f"ffmpeg does not run: {error.strerror}") from error
    printed = done.stderr.decode("utf-8", "replace")
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    if any(sign in printed for sign in _SIGNS_OF_A_CUT):
        raise ForeignError("is truncated")
    if done.returncode or not out.is_file():
        if "matches no streams" in printed:
            raise ForeignError("no sound in it")
        raise ForeignError(f"ffmpeg: {lines[-1][:120] if lines else 'no reason given'}")


def _decode_with_pyav(path: str, out: Path) -> None:
    import av
    import soundfile

    try:
        with av.open("file:" + path) as container:
            if not container.streams.audio:
                raise ForeignError("no sound in it")
            source = container.streams.audio[0]
            num_channels, rate = source.codec_context.layout.nb_channels, source.codec_context.sample_rate
            resampler = av.AudioResampler(format="flt", layout=source.codec_context.layout, rate=rate)
            with soundfile.SoundFile(out, "w", rate, num_channels, "FLOAT", format="W64") as written:
                for frame in container.decode(source):
                    for packed in resampler.resample(frame):
                        written.write(np.asarray(packed.to_ndarray()).reshape(-1, num_channels))
                seconds = written.frames / rate
            # Where the header knows its length: PyAV says nothing of a file that was cut.
            is_known = container.format.name.startswith(("mov", "matroska", "asf")) and container.duration
            if is_known and seconds < container.duration / av.time_base - _MISSING_SECONDS:
                raise ForeignError("is truncated")
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ForeignError(f"PyAV: {reason[:120]}") from error
