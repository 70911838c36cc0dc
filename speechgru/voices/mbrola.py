"""MBROLA, where it and the command espeak-ng are installed: diphones of a score of people, many with an accent.

eSpeak NG gives the sounds and their lengths, and MBROLA says them with a person's recordings. Of a voice that was
recorded in another language the sounds nearest to English are taken, which makes a foreigner's English.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru.errors import CorpusError
from speechgru.voices.people import draw_of, voices_of
from speechgru.voices.programs import run_for_speech

_PROGRAMS = ("espeak-ng", "mbrola")
_DATABASES = Path("/usr/share/mbrola")
# By whether variety is wide; both ends are drawn. As in `espeak`.
_RATES = {False: (135, 190), True: (110, 230)}  # words a minute
_PITCHES = {False: (40, 60), True: (20, 80)}
_WORD_GAPS = {False: (0, 1), True: (0, 4)}
_DIGIT_GAPS = {False: (0, 5), True: (0, 12)}


@dataclass(frozen=True)
class Voice:
    """How a sentence is spoken.

    Args:
        voice: as `espeak-ng --voices=mb` lists its file, without the folder, such as "mb-us1" or "mb-fr1-en".
        rate: words a minute.
        pitch: 0 to 100, 50 is the voice's own.
        word_gap: extra pause between words, in 10 ms at the default rate.
    """

    voice: str
    rate: int = 165
    pitch: int = 50
    word_gap: int = 0

    @property
    def name(self) -> str:
        """The voice, such as "mb-us1"."""
        return self.voice

    @property
    def facts(self) -> dict[str, int]:
        """What manifests keep: the rate in words a minute, and the pitch."""
        return {"rate": self.rate, "pitch": self.pitch}


class Mbrola:
    """eSpeak NG's command with MBROLA's voices as a voice engine (`voices.Engine`)."""

    name = "mbrola"
    summary = "MBROLA: diphones of a score of people, four of them native speakers of English"
    licence = "MBROLA: AGPL-3.0; voices: each its own, most not for commercial or military use (see their packages)"
    cache_key = ""
    is_slow = False

    def why_unavailable(self) -> str:
        missing = [program for program in _PROGRAMS if shutil.which(program) is None]
        if missing:
            return (
                f"the command {' and '.join(missing)} is not installed; install both with `apt install espeak-ng "
                "mbrola` (Debian's contrib) or your system's like"
            )
        if not _installed():
            return "no voice of MBROLA that speaks English is installed; install some, such as Debian's mbrola-us1"
        return ""

    def voices(self, split: str) -> tuple[str, ...]:
        return voices_of(split, _installed(), self.person)

    def person(self, voice: str) -> str:
        """The database: "mb-de4-en" speaks with what was recorded for German."""
        return f"mbrola/{_database_of(voice)}"

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool, is_wide: bool) -> Voice:
        gaps = (_DIGIT_GAPS if is_digits else _WORD_GAPS)[is_wide]
        return Voice(
            voice=draw_of(split, _installed(), self.person, rng),
            rate=int(rng.integers(*_RATES[is_wide], endpoint=True)),
            pitch=int(rng.integers(*_PITCHES[is_wide], endpoint=True)),
            word_gap=int(rng.integers(*gaps, endpoint=True)),
        )

    def speak(self, text: str, voice: Voice, *, seed: int = 0) -> tuple[np.ndarray, int]:
        if voice.voice not in _installed():
            raise CorpusError(f"MBROLA has no English voice {voice.voice!r}; it has {', '.join(_installed())}")
        settings = ["-s", str(voice.rate), "-p", str(voice.pitch), "-g", str(voice.word_gap)]
        return run_for_speech(
            lambda out: ["espeak-ng", "-v", voice.voice, *settings, "-w", str(out), "--stdin"], written=text
        )


@functools.cache
def _installed() -> tuple[str, ...]:
    """The voices that eSpeak NG lists for English and whose recordings are there."""
    try:
        done = subprocess.run(
            ["espeak-ng", "--voices=mb"], capture_output=True, text=True, errors="replace", timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CorpusError(f"espeak-ng cannot list its voices ({error}); reinstall it") from error
    listed = re.findall(r"^\s*\d+\s+en\S*\s.*?\bmb/(mb-\S+)", done.stdout, re.M)
    return tuple(sorted({voice for voice in listed if (_DATABASES / _database_of(voice)).exists()}))


def _database_of(voice: str) -> str:
    """The name of a voice's recordings.

    >>> _database_of("mb-fr1-en")
    'fr1'
    """
    return voice.split("-")[1]
