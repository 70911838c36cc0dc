"""What a voice engine offers: its voices by split, and speech."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from speechgru.errors import CorpusError

#: In place of a split: the voices of every split, of an engine that is kept for one split alone.
ALL = "all"


class Voice(Protocol):
    """How one sentence is spoken: drawn by an engine, and understood by it alone. Its `repr` shows every setting.

    >>> from speechgru.voices.espeak import Voice
    >>> Voice("en-US", "f3", rate=160).name
    'en-US+f3'
    """

    @property
    def name(self) -> str:
        """The voice, as manifests name it."""
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
        """As the command line names it: letters, digits and underscores."""
        ...

    @property
    def summary(self) -> str:
        """One line for people."""
        ...

    @property
    def licence(self) -> str:
        """The licence of the program and, where it is another, of its voices; a corpus keeps it."""
        ...

    @property
    def is_slow(self) -> bool:
        """Whether a sentence takes longer to speak than to read from a disk: then its speech is cached."""
        ...

    @property
    def cache_key(self) -> str:
        """What its speech depends on beside voice, text and seed, such as a command line; empty for nothing."""
        ...

    def why_unavailable(self) -> str:
        """Why it cannot speak here, and how to install what it lacks; empty where it can."""
        ...

    def voices(self, split: str) -> Sequence[str]:
        """The voices of a split, `train`, `dev` or `test`, or `ALL` of them.

        No person is in two splits. An engine of one or two people has them all in train.
        """
        ...

    def person(self, voice: str) -> str:
        """Who speaks: one name for all voices that were recorded from one person, in whichever engine."""
        ...

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool, is_wide: bool) -> Voice:
        """Draws a voice of a split and a way to speak.

        Args:
            split: whose voices to draw from; may be `ALL`.
            rng: the source of chance.
            is_digits: whether the sentence is a string of digits, which people speak with pauses between them.
            is_wide: whether rates, pitches and the like vary as far as speech stays intelligible, not as usual.
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


@dataclass(frozen=True)
class Sources:
    """Where engines find voices and programs that are not installed with them.

    Args:
        folder: a folder of voice files: `.onnx` with `.onnx.json` (Piper), `.flitevox` (flite),
            `kokoro*.onnx` with its voices (Kokoro).
        command: a command line of the user's own (`command.Command`).
        command_voices: the voices of that command.

    Raises:
        CorpusError: there is no such folder.

    >>> Sources(command="mytts --voice {voice} --out {out} {text}", command_voices=("ann", "bob")).folder is None
    True
    """

    folder: Path | None = None
    command: str | None = None
    command_voices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.folder is not None and not self.folder.is_dir():
            raise CorpusError(f"{self.folder}: no such folder; name a folder of .onnx or .flitevox files with --voices")


@runtime_checkable
class Configurable(Protocol):
    """An engine that uses `Sources`."""

    def configured(self, sources: Sources) -> Engine:
        """The engine with these sources."""
        ...
