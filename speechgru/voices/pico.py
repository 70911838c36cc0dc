"""SVOX Pico, where its command is installed: one American and one British woman."""

from __future__ import annotations

import shutil
from html import escape

import numpy as np

from speechgru.errors import CorpusError
from speechgru.voices.people import draw_of, voices_of
from speechgru.voices.percent import PercentVoice
from speechgru.voices.programs import run_for_speech

_PROGRAM = "pico2wave"
_VOICES = ("en-US", "en-GB")
# By whether variety is wide; percent of the voice's own.
_SPEEDS = {False: (80, 120), True: (60, 165)}
_PITCHES = {False: (90, 112), True: (75, 140)}


class Pico:
    """SVOX Pico as a voice engine (`voices.Engine`)."""

    name = "pico"
    summary = "SVOX Pico: unit selection, one American and one British woman"
    licence = "SVOX Pico: Apache-2.0; its voices too, whose sources are not public"
    cache_key = ""
    is_slow = False

    def why_unavailable(self) -> str:
        if shutil.which(_PROGRAM) is None:
            return (
                f"the command {_PROGRAM} is not installed; install it with `apt install libttspico-utils` (Debian's "
                "non-free) or your system's like"
            )
        return ""

    def voices(self, split: str) -> tuple[str, ...]:
        return voices_of(split, _VOICES, self.person)

    def person(self, voice: str) -> str:
        return f"pico/{voice}"

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool, is_wide: bool) -> PercentVoice:
        return PercentVoice.draw(
            draw_of(split, _VOICES, self.person, rng), rng, rates=_SPEEDS[is_wide], pitches=_PITCHES[is_wide]
        )

    def speak(self, text: str, voice: PercentVoice, *, seed: int = 0) -> tuple[np.ndarray, int]:
        if voice.voice not in _VOICES:
            raise CorpusError(f"Pico has no English voice {voice.voice!r}; it has {', '.join(_VOICES)}")
        said = escape(text, quote=False)
        marked = f'<speed level="{voice.rate_percent}"><pitch level="{voice.pitch_percent}">{said}</pitch></speed>'
        return run_for_speech(lambda out: [_PROGRAM, "-l", voice.voice, "-w", str(out), marked])
