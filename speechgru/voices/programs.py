"""Running another program that speaks: its output as samples, its faults as errors."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from speechgru.errors import CorpusError

#: A program that has not spoken a sentence after this time hangs.
TIMEOUT_SECONDS = 120


def run_for_speech(arguments_for: Callable[[Path], Sequence[str]], *, written: str = "") -> tuple[np.ndarray, int]:
    """Runs a program that writes one sentence into a file, and reads the file.

    Args:
        arguments_for: the program and its arguments, no shell between, for the WAV file that it is to write.
        written: what the program is given on its standard input, UTF-8.

    Returns:
        `samples_N`, float32, mono, and their rate in Hz.

    Raises:
        CorpusError: the program is missing, fails, hangs, or writes no speech; has the end of what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="speechgru-voice-") as folder:
        path = Path(folder, "speech.wav")
        arguments = list(arguments_for(path))
        try:
            done = subprocess.run(
                arguments,
                input=written.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise CorpusError(f"{arguments[0]} was stopped after {TIMEOUT_SECONDS} s without an answer") from None
        except (OSError, ValueError) as error:  # ValueError: a zero byte in an argument
            raise CorpusError(f"{arguments[0]} cannot be started ({error})") from error
        printed = last_lines(done.stdout.decode(errors="replace"))
        if done.returncode:
            raise CorpusError(f"{arguments[0]} ended with code {done.returncode}{printed}")
        if not path.is_file():
            raise CorpusError(f"{arguments[0]} wrote no file {path.name}{printed}")
        return read_speech(path)


def read_speech(path: Path) -> tuple[np.ndarray, int]:
    """The samples of a file that a program wrote: float32, channels averaged, and their rate in Hz."""
    import soundfile

    try:
        samples_NC, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise CorpusError(f"the file that it wrote is not audio ({error})") from error
    return samples_NC.mean(axis=1), int(sample_rate)


def last_lines(printed: str, *, most: int = 300) -> str:
    """The end of what a program printed, to be appended to a message; empty where it printed nothing."""
    text = " ".join(printed.split())
    return f": {text[-most:]}" if text else ""
