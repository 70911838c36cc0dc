"""RHVoice, where its command is installed: statistical voices of real people, English ones here."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import numpy as np

from speechgru.errors import CorpusError
from speechgru.voices.people import cmu_person, draw_of, voices_of
from speechgru.voices.percent import PercentVoice
from speechgru.voices.programs import run_for_speech

_PROGRAM = "RHVoice-test"
#: Where its packages put voices; the variable is RHVoice's own.
_DATA_FOLDERS = ("/usr/share/RHVoice", "/usr/local/share/RHVoice")
_DATA_VARIABLE = "RHVOICEDATAPATH"
# By whether variety is wide. RHVoice goes no further than half and twice the rate.
_RATES = {False: (80, 125), True: (60, 170)}
_PITCHES = {False: (90, 112), True: (75, 135)}


class RHVoice:
    """RHVoice as a voice engine (`voices.Engine`)."""

    name = "rhvoice"
    summary = "RHVoice: statistical voices of some six real people"
    licence = "RHVoice: LGPL-2.1; voices: each its own, some for non-commercial use only (see its package)"
    cache_key = ""
    is_slow = False

    def why_unavailable(self) -> str:
        if shutil.which(_PROGRAM) is None:
            return (
                f"the command {_PROGRAM} is not installed; install it with `apt install rhvoice rhvoice-english` "
                "(Debian's contrib and non-free) or your system's like"
            )
        if not _installed():
            return "RHVoice has no English voice; install them, such as Debian's rhvoice-english"
        return ""

    def voices(self, split: str) -> tuple[str, ...]:
        return voices_of(split, _installed(), self.person)

    def person(self, voice: str) -> str:
        return cmu_person(voice) or f"rhvoice/{voice}"

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool, is_wide: bool) -> PercentVoice:
        return PercentVoice.draw(
            draw_of(split, _installed(), self.person, rng), rng, rates=_RATES[is_wide], pitches=_PITCHES[is_wide]
        )

    def speak(self, text: str, voice: PercentVoice, *, seed: int = 0) -> tuple[np.ndarray, int]:
        if voice.voice not in _installed():
            raise CorpusError(f"RHVoice has no English voice {voice.voice!r}; it has {', '.join(_installed())}")
        settings = ["-p", voice.voice, "-r", str(voice.rate_percent), "-t", str(voice.pitch_percent)]
        return run_for_speech(lambda out: [_PROGRAM, *settings, "-o", str(out)], written=text)


@functools.cache
def _installed() -> tuple[str, ...]:
    """The English voices, by the `voice.info` in their folders: RHVoice has no option that lists them."""
    roots = (os.environ[_DATA_VARIABLE],) if os.environ.get(_DATA_VARIABLE) else _DATA_FOLDERS
    return tuple(
        sorted(
            path.parent.name
            for root in roots
            for path in Path(root, "voices").glob("*/voice.info")
            if "language=English" in path.read_text(encoding="utf-8", errors="replace").split()
        )
    )
