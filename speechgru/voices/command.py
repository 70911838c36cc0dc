"""A command of the user's own as a voice engine: any program that writes a sentence into an audio file."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass

import numpy as np

from speechgru.errors import CorpusError
from speechgru.voices.engine import Sources
from speechgru.voices.people import cmu_person, draw_of, voices_of
from speechgru.voices.programs import run_for_speech

_FIELD = re.compile(r"\{(text|voice|out)\}")
_EXAMPLE = "--voice-command 'mytts --voice {voice} --out {out} {text}'"


@dataclass(frozen=True)
class Voice:
    """Which voice of the command speaks.

    Args:
        name: what stands in place of `{voice}`.
    """

    name: str

    @property
    def facts(self) -> dict[str, str]:
        """Nothing beside the name: a command's other settings are its own."""
        return {}


@dataclass(frozen=True)
class Command:
    """A user's command as a voice engine (`voices.Engine`).

    The line is split into arguments once, as a shell would. In each argument `{text}`, `{voice}` and `{out}` are then
    replaced, and the program is started without a shell: whatever a text contains, it is one argument.

    Args:
        line: such as `mytts --voice {voice} --out {out} {text}`; `{out}` is a `.wav` file to write.
        names: the voices; one where `{voice}` is not used.
    """

    line: str | None = None
    names: tuple[str, ...] = ("default",)

    name = "command"
    summary = "a program of your own: --voice-command, with {text}, {voice} and {out}, and --command-voices"
    licence = "that of your program and its voices"
    is_slow = True

    @property
    def cache_key(self) -> str:
        """The command line."""
        return self.line or ""

    def configured(self, sources: Sources) -> Command:
        return Command(sources.command, sources.command_voices or ("default",))

    def why_unavailable(self) -> str:
        if self.line is None:
            return f"no command was given; give one, such as {_EXAMPLE}"
        try:
            arguments = shlex.split(self.line)
        except ValueError as error:
            return f"the command {self.line!r} cannot be split into arguments ({error}); mend its quotes"
        missing = [field for field in ("{text}", "{out}") if not any(field in each for each in arguments[1:])]
        if missing:
            return f"the command {self.line!r} lacks {' and '.join(missing)}; write it such as {_EXAMPLE}"
        if len(self.names) > 1 and "{voice}" not in self.line:
            return f"the command {self.line!r} has no {{voice}} for the voices {', '.join(self.names)}"
        if shutil.which(arguments[0]) is None:
            return f"there is no program {arguments[0]!r}; install it, or give its full path"
        return ""

    def voices(self, split: str) -> tuple[str, ...]:
        return voices_of(split, self.names, self.person)

    def person(self, voice: str) -> str:
        return cmu_person(voice) or f"command/{voice}"

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool, is_wide: bool) -> Voice:
        return Voice(draw_of(split, self.names, self.person, rng))

    def speak(self, text: str, voice: Voice, *, seed: int = 0) -> tuple[np.ndarray, int]:
        arguments = shlex.split(self.line or "")
        if text.startswith("-") and any(argument.startswith("{text}") for argument in arguments):
            raise CorpusError(f"the command would read {text!r} as an option; remove the hyphen from the sentence")

        def filled(fields: dict[str, str]) -> list[str]:
            return [_FIELD.sub(lambda field: fields[field[1]], argument) for argument in arguments]

        samples_N, sample_rate = run_for_speech(
            lambda out: filled({"text": text, "voice": voice.name, "out": str(out)})
        )
        # What a cache of 16 bits keeps is then what was spoken.
        return np.round(np.clip(samples_N, -1, 1) * 32767).astype(np.float32) / 32768, sample_rate
