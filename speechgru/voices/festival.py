"""Festival, where its command is installed: the English voices that it has, spoken by one process.

Starting Festival takes longer than a sentence, so a process of it waits for sentences. A voice is chosen anew for each,
which resets what the last one has set. One of some 480 renderings by Festival 2.5 had 0.1 s of noise in it: each
sentence is spoken until two renderings in a row are equal.
"""

from __future__ import annotations

import atexit
import functools
import re
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru.errors import CorpusError
from speechgru.voices.people import cmu_person, draw_of, voices_of
from speechgru.voices.programs import TIMEOUT_SECONDS, last_lines, read_speech

_MOST_ATTEMPTS = 5
_DONE = "speechgru-done"
_STRETCHES = {False: (0.9, 1.3), True: (0.7, 1.6)}  # of durations, by whether variety is wide
_PITCH_FACTORS = {False: (0.9, 1.12), True: (0.75, 1.4)}
_DEVIATIONS_HZ = {False: (8.0, 20.0), True: (3.0, 32.0)}
_DIPHONE_PITCH_HZ = 105.0


@dataclass(frozen=True)
class Voice:
    """How Festival speaks a sentence.

    Args:
        voice: as `(voice.list)` names it, such as "kal_diphone".
        stretch: factor on all durations.
        pitch_hz: the mean pitch; only diphone voices follow it.
        deviation_hz: its standard deviation.
    """

    voice: str
    stretch: float = 1.0
    pitch_hz: float = _DIPHONE_PITCH_HZ
    deviation_hz: float = 14.0

    @property
    def name(self) -> str:
        """The voice, such as "kal_diphone"."""
        return self.voice

    @property
    def facts(self) -> dict[str, float]:
        """What manifests keep: the factor on durations, and of a diphone voice the mean pitch in Hz."""
        pitch = {"pitch_hz": self.pitch_hz} if self.has_pitch else {}
        return {"stretch": self.stretch, **pitch}

    @property
    def has_pitch(self) -> bool:
        """Whether the voice follows `pitch_hz`."""
        return self.voice.endswith("_diphone")


class Festival:
    """Festival as a voice engine (`voices.Engine`)."""

    name = "festival"
    summary = "Festival: whichever of its English voices are installed"
    licence = "Festival: MIT-like, University of Edinburgh; voices: each its own, those of Debian's main are free"
    cache_key = ""
    is_slow = False

    def why_unavailable(self) -> str:
        if shutil.which("festival") is None:
            return "the command festival is not installed; install it with `apt install festival` or your system's like"
        if not _installed():
            return "Festival has no English voice; install one, such as Debian's festvox-us-slt-hts"
        return ""

    def voices(self, split: str) -> tuple[str, ...]:
        return voices_of(split, _installed(), self.person)

    def person(self, voice: str) -> str:
        return cmu_person(voice) or f"festival/{voice}"

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool, is_wide: bool) -> Voice:
        return Voice(
            voice=draw_of(split, _installed(), self.person, rng),
            stretch=round(float(rng.uniform(*_STRETCHES[is_wide])), 2),
            pitch_hz=round(_DIPHONE_PITCH_HZ * float(rng.uniform(*_PITCH_FACTORS[is_wide])), 1),
            deviation_hz=round(float(rng.uniform(*_DEVIATIONS_HZ[is_wide])), 1),
        )

    def speak(self, text: str, voice: Voice, *, seed: int = 0) -> tuple[np.ndarray, int]:
        if voice.voice not in _installed():
            raise CorpusError(f"Festival has no English voice {voice.voice!r}; it has {', '.join(_installed())}")
        last_N, sample_rate = _process().speak(text, voice)
        for _ in range(_MOST_ATTEMPTS):
            samples_N, sample_rate = _process().speak(text, voice)
            if np.array_equal(samples_N, last_N):
                return samples_N, sample_rate
            last_N = samples_N
        raise CorpusError(f"Festival spoke {_MOST_ATTEMPTS + 1} times, never twice alike; reinstall it")


@functools.cache
def _installed() -> tuple[str, ...]:
    """The English voices that Festival lists."""
    program = (
        '(mapcar (lambda (v) (format t "voice %s %s\\n" v (cadr (assoc \'language (cadr (voice.description v))))))'
        " (voice.list))"
    )
    try:
        done = subprocess.run(
            ["festival", "--batch", program], capture_output=True, text=True, errors="replace", timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CorpusError(f"Festival cannot list its voices ({error}); reinstall it") from error
    return tuple(sorted(re.findall(r"^voice (\w+) (?:\w*english\w*)$", done.stdout, re.M)))


@functools.cache
def _process() -> _Process:
    """The process of Festival that speaks for this one, started with the first sentence."""
    process = _Process()
    atexit.register(process.close)
    return process


class _Process:
    """Festival, waiting for sentences on its standard input."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="speechgru-festival-")
        self._running: subprocess.Popen[str] | None = None

    def speak(self, text: str, voice: Voice) -> tuple[np.ndarray, int]:
        with self._lock:
            path = Path(self._folder.name, "speech.wav")
            path.unlink(missing_ok=True)
            printed = self._evaluate(_program(text, voice, path))
            if not path.is_file():
                raise CorpusError(f"Festival wrote no speech{last_lines(printed)}")
            return read_speech(path)

    def _evaluate(self, program: str) -> str:
        """Runs a program of Scheme; gives what Festival printed meanwhile."""
        running = self._started()
        if running.stdin is None or running.stdout is None:
            raise TypeError("Festival needs pipes as its standard input and output")
        alarm = threading.Timer(TIMEOUT_SECONDS, running.kill)
        alarm.start()
        printed: list[str] = []
        try:
            running.stdin.write(program)
            running.stdin.flush()
            for line in running.stdout:
                if line.rstrip().endswith(_DONE):
                    return "".join(printed)
                printed.append(line)
        except OSError as error:
            printed.append(str(error))
        finally:
            alarm.cancel()
        self._running = None  # the next sentence starts another
        running.kill()
        running.wait()
        raise CorpusError(f"Festival ended{last_lines(''.join(printed))}")

    def _started(self) -> subprocess.Popen[str]:
        if self._running is None:
            try:
                self._running = subprocess.Popen(
                    ["festival", "--pipe"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                )
            except OSError as error:
                raise CorpusError(f"Festival cannot be started ({error}); reinstall it") from error
        return self._running

    def close(self) -> None:
        if self._running is not None:
            self._running.kill()
            self._running.wait()
            for pipe in (self._running.stdin, self._running.stdout):
                if pipe is not None:
                    pipe.close()
        self._folder.cleanup()


def _program(text: str, voice: Voice, path: Path) -> str:
    """Scheme that speaks a sentence into a file, on one line: Festival answers each line."""
    # Another list in `int_lr_params` makes Festival 2.5 crash; its values may change.
    pitch = "".join(
        f"(set-cdr! (assoc '{name} int_lr_params) (list {value})) "
        for name, value in (("target_f0_mean", voice.pitch_hz), ("target_f0_std", voice.deviation_hz))
        if voice.has_pitch
    )
    return (
        f"(begin (voice_{voice.voice}) (Param.set 'Duration_Stretch {voice.stretch}) {pitch}"
        f"(set! speechgru_utt (utt.synth (eval (list 'Utterance 'Text {_quoted(text)})))) "
        f"(utt.save.wave speechgru_utt {_quoted(str(path))} 'riff))\n"
        f'(begin (format t "{_DONE}\\n") (fflush nil))\n'  # its pipe is buffered
    )


def _quoted(text: str) -> str:
    """A string of Scheme: nothing in it is evaluated, and a line stays a line.

    >>> print(_quoted('say "hi" \\\\ now'))
    "say \\"hi\\" \\\\ now"
    """
    plain = " ".join(text.split())
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
