"""What a voice engine offers: its speakers by split, and speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np


class Voice(Protocol):
    """How one sentence is spoken: drawn by an engine, and understood by it alone.

    >>> from speechgru.voices.espeak import Voice
    >>> Voice("en-US", "f3", rate=160).name
    'en-US+f3'
    """

    @property
    def name(self) -> str:
        """The speaker, as manifests name it."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """The further fields of its manifest line; JSON-ready."""
        ...


class Engine(Protocol):
    """A speech synthesiser that runs offline.

    An engine is sent to worker processes, so it must pickle. Its speech depends on its arguments alone, whatever was
    spoken before and in whichever process: a seed then gives the same corpus with any number of workers.

    >>> from speechgru.voices import ENGINES
    >>> ENGINES["espeak"].voices("dev")
    ('f4', 'm4', 'michel')
    """

    @property
    def name(self) -> str:
        """As the command line names it."""
        ...

    @property
    def summary(self) -> str:
        """One line for people."""
        ...

    def why_unavailable(self) -> str:
        """Why it cannot speak here, and how to install what it lacks; empty where it can."""
        ...

    def voices(self, split: str) -> Sequence[str]:
        """The speakers of a split, `train`, `dev` or `test`. None is in two splits, and each split has one."""
        ...

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool) -> Voice:
        """Draws a speaker of a split and a way to speak.

        Args:
            split: whose speakers to draw from.
            rng: the source of chance.
            is_digits: whether the sentence is a string of digits, which people speak with pauses between them.
        """
        ...

    def speak(self, text: str, voice: Any, *, seed: int) -> tuple[np.ndarray, int]:
        """Speaks a sentence.

        Args:
            text: what to speak.
            voice: what `draw_voice` gave.
            seed: for the engine's own chance.

        Returns:
            `samples_N`, float32 in [-1, 1], and their rate in Hz.

        Raises:
            CorpusError: the engine failed.
        """
        ...
