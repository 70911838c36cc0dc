"""flite, where its command is installed: small American, Scottish and, as `.flitevox` files, further voices."""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru.errors import CorpusError
from speechgru.voices.engine import Sources
from speechgru.voices.people import cmu_person, draw_of, voices_of
from speechgru.voices.programs import run_for_speech

#: The mean pitch of the built-in voices, Hz, as measured on their own defaults.
_PITCHES_HZ = {"kal": 95.0, "awb": 130.0, "rms": 97.0, "slt": 174.0}
_USUAL_PITCH_HZ = 130.0
_STRETCHES = {False: (0.85, 1.25), True: (0.65, 1.55)}  # of durations, by whether variety is wide
_PITCH_FACTORS = {False: (0.9, 1.12), True: (0.75, 1.35)}
_DEVIATIONS_HZ = {False: (8.0, 20.0), True: (3.0, 32.0)}


@dataclass(frozen=True)
class Voice:
    """How flite speaks a sentence.

    Args:
        voice: a built-in voice, such as "slt", or the name of a `.flitevox` file without its suffix.
        stretch: factor on all durations.
        pitch_hz: the mean pitch; a few voices (rms) keep their own.
        deviation_hz: its standard deviation.
    """

    voice: str
    stretch: float = 1.0
    pitch_hz: float = 110.0
    deviation_hz: float = 12.0

    @property
    def name(self) -> str:
        """The voice, such as "slt"."""
        return self.voice

    @property
    def facts(self) -> dict[str, float]:
        """What manifests keep: the factor on durations, and the mean pitch in Hz."""
        return {"stretch": self.stretch, "pitch_hz": self.pitch_hz}


@dataclass(frozen=True)
class Flite:
    """flite as a voice engine (`voices.Engine`).

    Args:
        folder: a folder with further voices, `.flitevox` files.
    """

    folder: Path | None = None

    name = "flite"
    summary = "flite: unit selection and statistical voices of a few real people; .flitevox files in --voices too"
    licence = "flite: BSD-like, Carnegie Mellon University; voices alike"
    cache_key = ""
    is_slow = False

    def configured(self, sources: Sources) -> Flite:
        return Flite(sources.folder)

    def why_unavailable(self) -> str:
        if shutil.which("flite") is None:
            return "the command flite is not installed; install it with `apt install flite` or your system's like"
        return ""

    def voices(self, split: str) -> tuple[str, ...]:
        return voices_of(split, tuple(self._paths()), self.person)

    def person(self, voice: str) -> str:
        return cmu_person(voice) or f"flite/{voice}"

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool, is_wide: bool) -> Voice:
        voice = draw_of(split, tuple(self._paths()), self.person, rng)
        usual = _PITCHES_HZ.get(self.person(voice), _USUAL_PITCH_HZ)
        return Voice(
            voice=voice,
            stretch=round(float(rng.uniform(*_STRETCHES[is_wide])), 2),
            pitch_hz=round(usual * float(rng.uniform(*_PITCH_FACTORS[is_wide])), 1),
            deviation_hz=round(float(rng.uniform(*_DEVIATIONS_HZ[is_wide])), 1),
        )

    def speak(self, text: str, voice: Voice, *, seed: int = 0) -> tuple[np.ndarray, int]:
        paths = self._paths()
        if voice.voice not in paths:
            raise CorpusError(f"flite has no voice {voice.voice!r}; it has {', '.join(paths)}")
        features = {
            "duration_stretch": voice.stretch,
            "int_f0_target_mean": voice.pitch_hz,
            "int_f0_target_stddev": voice.deviation_hz,
        }
        settings = [part for name, value in features.items() for part in ("--setf", f"{name}={value}")]
        return run_for_speech(
            lambda out: ["flite", "-voice", paths[voice.voice], *settings, "-t", text, "-o", str(out)]
        )

    def _paths(self) -> dict[str, str]:
        """What `-voice` is given for each voice, by the voice's name."""
        paths = {voice: voice for voice in _built_in()}
        for path in sorted(self.folder.rglob("*.flitevox")) if self.folder else ():
            paths[path.stem] = str(path.absolute())
        return paths


@functools.cache
def _built_in() -> tuple[str, ...]:
    """The voices that are compiled in, but those that can only read the time, and a narrower copy of another."""
    try:
        listed = subprocess.run(["flite", "-lv"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise CorpusError(f"flite cannot list its voices ({error}); reinstall it") from error
    voices = [voice for voice in listed.partition(":")[2].split() if not voice.endswith("_time")]
    # kal at 8 kHz, beside the same voice at 16.
    return tuple(voice for voice in voices if f"{voice}16" not in voices)
