"""Kokoro, an optional extra: one small neural model with the voices of some fifty people, and any mix of two.

A voice is a table of style vectors, one for each number of phonemes. Half of the voices speak English; the others
learnt another language and speak English with its accent. eSpeak NG turns text into phonemes, which are written here as
the model was taught them: one letter a diphthong and an affricate, no lengths. The graph draws no noise, so the samples
depend on the arguments alone.

Source: the model is Kokoro-82M (hexgrad, 2025), a StyleTTS 2 (Li et al. 2023, arXiv 2306.07691) without diffusion.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.errors import CorpusError
from speechgru.voices.engine import Sources
from speechgru.voices.people import draw_of, voices_of
from speechgru.voices.phonemes import transcribe_phonemes

_SAMPLE_RATE = 24_000
_SPEEDS = {False: (0.85, 1.15), True: (0.7, 1.35)}  # by whether variety is wide
_MIX_PROBABILITY = 0.5  # where variety is wide: another voice of the same split is mixed in
_MIX_SHARES = (0.1, 0.5)

_STYLE_ROWS, _STYLE_UNITS = 510, 256
_MOST_PHONEMES = 500  # the model was taught 510 at most
_PAD = 0
#: The numbers of the phonemes, stresses and marks that English needs, as the model was trained with them.
_TOKENS = {
    ";": 1, ":": 2, ",": 3, ".": 4, "!": 5, "?": 6, " ": 16, "A": 24, "I": 25, "O": 31, "Q": 33, "W": 39, "Y": 41,
    "a": 43, "b": 44, "d": 46, "e": 47, "f": 48, "h": 50, "i": 51, "j": 52, "k": 53, "l": 54, "m": 55, "n": 56, "o": 57,
    "p": 58, "s": 61, "t": 62, "u": 63, "v": 64, "w": 65, "z": 68, "ɑ": 69, "ɒ": 71, "æ": 72, "ɔ": 76, "ð": 81, "ʤ": 82,
    "ə": 83, "ɛ": 86, "ɜ": 87, "ɡ": 92, "ɪ": 102, "ŋ": 112, "θ": 119, "ɹ": 123, "ɾ": 125, "ʃ": 131, "ʧ": 133, "ʊ": 135,
    "ʌ": 138, "ʒ": 147, "ʔ": 148, "ˈ": 156, "ˌ": 157, "ː": 158, "ᵻ": 177,
}  # fmt: skip
# What eSpeak NG writes, and how the model was taught it. British speech keeps its long vowels.
_REWRITTEN = (
    ("eɪ", "A"), ("aɪ", "I"), ("aʊ", "W"), ("ɔɪ", "Y"), ("tʃ", "ʧ"), ("dʒ", "ʤ"), ("r", "ɹ"), ("ɐ", "ə"), ("ɫ", "l"),
    ("x", "k"), ("ç", "k"), ("ɬ", "l"),
)  # fmt: skip
_REWRITTEN_AMERICAN = (("oʊ", "O"), ("ɜː", "ɜɹ"), ("ɚ", "əɹ"), ("ɹɹ", "ɹ"), ("ː", ""))
_REWRITTEN_BRITISH = (("əʊ", "Q"), ("oʊ", "Q"), ("ɚ", "ə"))
_MARKS = re.compile(r"\s*([;:,.!?]+)\s*")

_HOW_TO_GET = (
    "name a folder with kokoro*.onnx and its voices (voices*.bin or .npz, or one .bin a voice) with --voices; "
    "`python scripts/get_kokoro.py DIR` makes one"
)


@dataclass(frozen=True)
class Voice:
    """How Kokoro speaks a sentence.

    Args:
        voice: its name, such as "af_heart": language and sex, then who.
        speed: factor on the speed of speech.
        mixed_with: another voice, half of whose way to speak may be mixed in; empty for none.
        mix: the other's share, from 0 to 0.5.
    """

    voice: str
    speed: float = 1.0
    mixed_with: str = ""
    mix: float = 0.0

    @property
    def name(self) -> str:
        """The voice, such as "af_heart", whoever is mixed in."""
        return self.voice

    @property
    def facts(self) -> dict[str, float | str]:
        """What manifests keep: the speed, and who is mixed in with which share."""
        facts: dict[str, float | str] = {"speed": self.speed}
        return facts | {"mixed_with": self.mixed_with, "mix": self.mix} if self.mixed_with else facts


@dataclass(frozen=True)
class Kokoro:
    """Kokoro as a voice engine (`voices.Engine`).

    Args:
        folder: a folder with the model and its voices, at any depth; None for none.
    """

    folder: Path | None = None

    name = "kokoro"
    summary = "Kokoro: one neural model, some fifty people and their mixes, of --voices DIR"
    licence = "Kokoro-82M, model and voices: Apache-2.0"
    cache_key = ""
    is_slow = True

    def configured(self, sources: Sources) -> Kokoro:
        return Kokoro(sources.folder.absolute() if sources.folder else None)

    def why_unavailable(self) -> str:
        for module, package in (("onnxruntime", "onnxruntime"), ("espeakng_loader", "espeakng-loader")):
            if importlib.util.find_spec(module) is None:
                return f"{package} is not installed; install it with `pip install 'speechgru[kokoro]'`"
        if self.folder is None:
            return f"it has no model; {_HOW_TO_GET}"
        if not _model(self.folder) or not _styles(self.folder):
            return f"{self.folder} has not both its model and voices; {_HOW_TO_GET}"
        return ""

    def voices(self, split: str) -> tuple[str, ...]:
        return voices_of(split, self._names, self.person)

    def person(self, voice: str) -> str:
        """Sex and name: who speaks several languages has a voice in each."""
        return f"kokoro/{voice[1:]}"

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool, is_wide: bool) -> Voice:
        voice = draw_of(split, self._names, self.person, rng)
        speed = round(float(rng.uniform(*_SPEEDS[is_wide])), 3)
        others = [name for name in self.voices(split) if self.person(name) != self.person(voice)]
        if not (is_wide and others and rng.random() < _MIX_PROBABILITY):
            return Voice(voice, speed)
        other = others[rng.integers(len(others))]
        return Voice(voice, speed, other, round(float(rng.uniform(*_MIX_SHARES)), 3))

    def speak(self, text: str, voice: Voice, *, seed: int = 0) -> tuple[np.ndarray, int]:
        styles = _styles(self.folder) if self.folder else {}
        for name in filter(None, (voice.voice, voice.mixed_with)):
            if name not in styles:
                raise CorpusError(f"Kokoro has no voice {name!r}; it has {', '.join(styles) or 'none'}")
        style_RU = styles[voice.voice]
        if voice.mixed_with:
            style_RU = (1 - voice.mix) * style_RU + voice.mix * styles[voice.mixed_with]
        model = _model(self.folder) if self.folder else None
        if model is None:
            raise CorpusError(f"Kokoro has no model; {_HOW_TO_GET}")
        parts = [
            _run(model, part, style_RU, speed=voice.speed)
            for part in _parts(to_phonemes(text, is_british=voice.voice.startswith("b")))
        ]
        samples_N = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        # As a cache keeps it: then what is kept is what was spoken.
        return np.round(np.clip(samples_N, -1, 1) * 32767).astype(np.float32) / 32768, _SAMPLE_RATE

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(_styles(self.folder)) if self.folder else ()


def to_phonemes(text: str, *, is_british: bool) -> str:
    """Text in the letters that the model was taught; marks stay, since they make its pauses.

    Args:
        text: English.
        is_british: whether as in Britain, not as in America.

    >>> to_phonemes("turn left, please", is_british=False)
    'tˈɜɹn lˈɛft, plˈiz'
    """
    language = "en-GB" if is_british else "en-US"
    pieces = _MARKS.split(text.strip())
    spoken = transcribe_phonemes(pieces[::2], language=language)
    if spoken is None:
        raise CorpusError("eSpeak NG gives no phonemes; reinstall it with `pip install espeakng-loader`")
    written = []
    for place, piece in enumerate(spoken):
        for old, new in (*_REWRITTEN, *(_REWRITTEN_BRITISH if is_british else _REWRITTEN_AMERICAN)):
            piece = piece.replace(old, new)
        mark = f"{pieces[2 * place + 1][0]} " if 2 * place + 1 < len(pieces) else ""
        written.append("".join(each for each in piece if each in _TOKENS) + mark)
    return re.sub(r" +", " ", "".join(written)).strip()


def _parts(phonemes: str) -> list[str]:
    """Phonemes in pieces that the model can speak, cut between words.

    >>> [len(part) for part in _parts("a" * 300 + " " + "b" * 300)], _parts("")
    ([300, 300], [])
    """
    parts = []
    while len(phonemes) > _MOST_PHONEMES:
        cut = phonemes.rfind(" ", 1, _MOST_PHONEMES)
        cut = cut if cut > 0 else _MOST_PHONEMES
        parts.append(phonemes[:cut])
        phonemes = phonemes[cut:].strip()
    return [*parts, phonemes] if phonemes else parts


def _run(path: Path, phonemes: str, style_RU: np.ndarray, *, speed: float) -> np.ndarray:
    tokens = [_TOKENS[each] for each in phonemes]
    session, name = _load(path)
    given = {
        name: np.array([[_PAD, *tokens, _PAD]], np.int64),
        "style": style_RU[len(tokens)][None].astype(np.float32),
        "speed": np.array([speed], np.float32),
    }
    try:
        return session.run(None, given)[0].reshape(-1)
    except Exception as error:  # its classes are private
        raise CorpusError(f"{path}: {error}") from error


@functools.lru_cache(maxsize=1)
def _load(path: Path) -> tuple[Any, str]:
    """The model, ready to run, and the name of its input of tokens, which two exports of it call otherwise."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the workers use the other cores
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes are private
        raise CorpusError(f"{path}: cannot be loaded as Kokoro's model ({error}); fetch it again") from error
    names = {each.name for each in session.get_inputs()}
    tokens = names - {"style", "speed"}
    if len(names) != 3 or len(tokens) != 1:
        raise CorpusError(f"{path}: is not Kokoro's model: its inputs are {', '.join(sorted(names))}; fetch it again")
    return session, tokens.pop()


@functools.cache
def _model(folder: Path) -> Path | None:
    """The model of a folder."""
    found = [path for path in sorted(folder.rglob("*.onnx")) if path.name.lower().startswith("kokoro")]
    if len(found) > 1:
        raise CorpusError(f"{folder}: has several of Kokoro's models, {found[0].name} and {found[1].name}; keep one")
    return found[0] if found else None


@functools.cache
def _styles(folder: Path) -> Mapping[str, np.ndarray]:
    """The voices of a folder by name, each float32 of 510 rows and 256 units."""
    styles: dict[str, np.ndarray] = {}
    for path in sorted(path for suffix in ("*.bin", "*.npz") for path in folder.rglob(suffix)):
        for name, table in _read_styles(path).items():
            if table.size != _STYLE_ROWS * _STYLE_UNITS or table.dtype != np.float32 or not np.isfinite(table).all():
                raise CorpusError(
                    f"{path}: {name} is no voice of Kokoro's: {table.size} numbers of {table.dtype}, not "
                    f"{_STYLE_ROWS} x {_STYLE_UNITS} finite ones of float32; fetch it again"
                )
            if name in styles:
                raise CorpusError(f"{path}: has the voice {name} once more; keep one of the two files")
            styles[name] = table.reshape(_STYLE_ROWS, _STYLE_UNITS)
    return dict(sorted(styles.items()))


def _read_styles(path: Path) -> dict[str, np.ndarray]:
    try:
        if not zipfile.is_zipfile(path):
            content = path.read_bytes()
            return {path.stem: np.frombuffer(content[: len(content) // 4 * 4], np.float32)}
        with np.load(path, allow_pickle=False) as tables:
            return {name: tables[name] for name in tables.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise CorpusError(f"{path}: cannot be read as voices of Kokoro ({error}); fetch it again") from error
