"""Voices whose program takes rate and pitch in percent of the voice's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PercentVoice:
    """How such a voice speaks a sentence.

    Args:
        voice: its name in the program.
        rate_percent: of the voice's own rate.
        pitch_percent: of the voice's own pitch.
    """

    voice: str
    rate_percent: int = 100
    pitch_percent: int = 100

    @classmethod
    def draw(
        cls, voice: str, rng: np.random.Generator, *, rates: tuple[int, int], pitches: tuple[int, int]
    ) -> PercentVoice:
        """A voice at a rate and a pitch within these bounds, both included."""
        return cls(voice, int(rng.integers(*rates, endpoint=True)), int(rng.integers(*pitches, endpoint=True)))

    @property
    def name(self) -> str:
        """The voice, such as "alan"."""
        return self.voice

    @property
    def facts(self) -> dict[str, float]:
        """What manifests keep: the factor on durations, and that on the pitch."""
        return {"stretch": round(100 / self.rate_percent, 2), "pitch_factor": self.pitch_percent / 100}
