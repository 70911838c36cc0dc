"""eSpeak NG, offline: the library of the `espeakng-loader` wheel through ctypes.

eSpeak NG keeps state from one sentence to the next (flutter, echo, random numbers), and neither setting every
parameter again nor `espeak_Terminate` clears it: the same words would sound different after other words. A fresh copy
of the library's memory does clear it, so every call loads the library and unloads it again (about 1 ms, voice and
dictionary included, where `_linked_data` spares it the search for the voice). The samples then depend on the arguments
alone.

The speakers are 51 of the wheel's 104 variants. Left out are whispering, croaking and strongly echoing ones, robots, a
child at 390 Hz, two that eSpeak NG renders differently from process to process (Reed, caleb), a copy of a test voice
(belinda, of linda), and most in which another recogniser, PocketSphinx with a small grammar, missed over 60 % of words.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.errors import CorpusError
from speechgru.files import make_folder
from speechgru.voices.engine import ALL

#: The variants of each split, by sex. No variant, and so no voice, is in two splits.
VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "train": {
        "female": ("f1", "f2", "f5", "steph", "steph2", "steph3", "anika", "aunty"),
        "male": (
            "m1", "m3", "m6", "m7", "m8", "max", "fast", "john", "Alex", "Denis", "Diogo", "Henrique", "Hugo", "Gene",
            "Gene2", "ed", "edward", "edward2", "klatt", "klatt3", "klatt6", "adam", "benjamin", "mike2", "Mike",
            "Nguyen", "grandpa", "iven", "iven2", "iven4", "pablo", "pedro", "paul", "sandro",
        ),
    },
    "dev": {"female": ("f4",), "male": ("m4", "michel")},
    "test": {"female": ("f3", "linda"), "male": ("m2", "m5", "victor", "miguel")},
}  # fmt: skip

_SEXES = ("female", "male")
_FEMALE_SHARE = 0.4
#: The accents of English that the wheel has and that read Latin letters, as eSpeak NG names their files, and how often
#: each is drawn.
ACCENT_SHARES = {
    "en": 0.20, "en-US": 0.28, "en-GB-x-rp": 0.14, "en-GB-scotland": 0.10, "en-GB-x-gbclan": 0.08,
    "en-GB-x-gbcwmd": 0.06, "en-029": 0.06, "en-US-nyc": 0.08,
}  # fmt: skip
# By whether variety is wide; both ends are drawn.
_RATES = {False: (135, 195), True: (110, 260)}  # words a minute
_PITCHES = {False: (35, 65), True: (15, 85)}
_PITCH_RANGES = {False: (30, 70), True: (10, 100)}
_WORD_GAPS = {False: (0, 1), True: (0, 4)}
_DIGIT_GAPS = {False: (0, 5), True: (0, 12)}

# From speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_RATE, _PITCH, _RANGE, _WORDGAP = 1, 3, 4, 7
_EE_OK = 0


@dataclass(frozen=True)
class Voice:
    """How a sentence is spoken.

    Args:
        accent: an accent of English, such as "en-US".
        variant: a file of eSpeak NG's `voices/!v`, such as "f3".
        rate: words a minute, 80 to 450.
        pitch: 0 to 100, 50 is the variant's own.
        pitch_range: 0 to 100, 0 is monotone, 50 is the variant's own.
        word_gap: extra pause between words, in 10 ms at the default rate.
    """

    accent: str
    variant: str
    rate: int = 175
    pitch: int = 50
    pitch_range: int = 50
    word_gap: int = 0

    @property
    def name(self) -> str:
        """The speaker: accent and variant, such as "en-US+f3"."""
        return f"{self.accent}+{self.variant}"

    @property
    def facts(self) -> dict[str, int]:
        """What manifests keep: the rate in words a minute, and the pitch."""
        return {"rate": self.rate, "pitch": self.pitch}


class Espeak:
    """eSpeak NG as a voice engine (`voices.Engine`)."""

    name = "espeak"
    summary = "eSpeak NG: formant synthesis, eight accents of English"
    licence = "eSpeak NG: GPL-3.0-or-later, a library beside this program; voices alike"
    cache_key = ""
    is_slow = False

    def why_unavailable(self) -> str:
        try:
            import espeakng_loader  # noqa: F401
        except ImportError:
            return "espeakng_loader is not installed; install it with `pip install 'speechgru[train]'`"
        return ""

    def voices(self, split: str) -> tuple[str, ...]:
        return tuple(variant for sex in _SEXES for variant in _variants(split, sex))

    def person(self, voice: str) -> str:
        """The variant: an accent changes how it speaks, not who."""
        return f"espeak/{voice}"

    def draw_voice(self, split: str, rng: np.random.Generator, *, is_digits: bool, is_wide: bool) -> Voice:
        variants = _variants(split, "female" if rng.random() < _FEMALE_SHARE else "male")
        accents = list(ACCENT_SHARES)
        gaps = (_DIGIT_GAPS if is_digits else _WORD_GAPS)[is_wide]
        return Voice(
            accent=accents[rng.choice(len(accents), p=list(ACCENT_SHARES.values()))],
            variant=variants[rng.integers(len(variants))],
            rate=int(rng.integers(_RATES[is_wide][0], _RATES[is_wide][1] + 1)),
            pitch=int(rng.integers(_PITCHES[is_wide][0], _PITCHES[is_wide][1] + 1)),
            pitch_range=int(rng.integers(_PITCH_RANGES[is_wide][0], _PITCH_RANGES[is_wide][1] + 1)),
            word_gap=int(rng.integers(gaps[0], gaps[1] + 1)),
        )

    def speak(self, text: str, voice: Voice, *, seed: int = 0) -> tuple[np.ndarray, int]:
        samples_N, sample_rate = _speak(text, voice, seed)
        return samples_N.astype(np.float32) / 32768, sample_rate


def _variants(split: str, sex: str) -> tuple[str, ...]:
    splits = VARIANTS if split == ALL else (split,)
    return tuple(variant for one in splits for variant in VARIANTS[one][sex])


def _speak(text: str, voice: Voice, seed: int) -> tuple[np.ndarray, int]:
    """int16 samples by a fresh copy of the library, and their rate in Hz."""
    import espeakng_loader

    library_path, data_path = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()
    if not Path(data_path, "voices", "!v", voice.variant).is_file():  # the library would speak without the variant
        raise CorpusError(f"eSpeak NG has no voice {voice.name!r}; reinstall espeakng-loader")
    try:
        library = ctypes.CDLL(library_path)
    except OSError as error:
        raise CorpusError(f"{library_path}: eSpeak NG cannot be loaded ({error}); reinstall espeakng-loader") from error
    linked = _linked_data(data_path)
    try:
        return _speak_with(library, linked.name if linked else data_path, text, voice, seed)
    finally:
        library.espeak_Terminate()
        unload(library)


@functools.cache  # the folder lives as long as the process
def _linked_data(data_path: str) -> tempfile.TemporaryDirectory[str] | None:
    """A folder of links to eSpeak NG's data in which each accent's file has a name in lower case too.

    eSpeak NG looks for a voice's file by its name in lower case. Where there is none, as for `en-US`, it reads the 200
    files of all voices, each time that the library is loaded, which takes longer than the speech itself.

    Returns:
        The folder, removed at the end of the process; None where links cannot be made: the data itself serves, slower.
    """
    data, family = Path(data_path), Path("lang", "gmw")
    with contextlib.suppress(OSError, NotImplementedError):
        folder = tempfile.TemporaryDirectory(prefix="speechgru-espeak-")
        links = Path(folder.name)
        make_folder(links / family)
        for entry in (*data.iterdir(), *(data / family.parent).iterdir()):
            link = links / entry.relative_to(data)
            if not link.exists():  # but the folders above
                link.symlink_to(entry.absolute())
        for accent in (data / family).iterdir():
            for name in {accent.name, accent.name.lower()}:
                (links / family / name).symlink_to(accent.absolute())
        return folder
    return None


def _speak_with(library: ctypes.CDLL, data_path: str, text: str, voice: Voice, seed: int) -> tuple[np.ndarray, int]:
    blocks: list[np.ndarray] = []

    def receive(samples: Any, num_samples: int, _events: Any) -> int:
        if samples and num_samples > 0:
            blocks.append(np.ctypeslib.as_array(samples, shape=(num_samples,)).copy())
        return 0

    callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    callback = callback_type(receive)  # held here: the library keeps no reference
    library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
        ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    sample_rate = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, os.fsencode(data_path), _INITIALIZE_DONT_EXIT)
    if sample_rate <= 0:
        raise CorpusError(f"{data_path}: eSpeak NG cannot start with this data; reinstall espeakng-loader")
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(f"gmw/{voice.name}".encode()) != _EE_OK:
        raise CorpusError(f"eSpeak NG has no voice {voice.name!r}; reinstall espeakng-loader")
    for parameter, value in (
        (_RATE, voice.rate),
        (_PITCH, voice.pitch),
        (_RANGE, voice.pitch_range),
        (_WORDGAP, voice.word_gap),
    ):
        library.espeak_SetParameter(parameter, value, 0)
    library.espeak_ng_SetRandSeed(seed)
    encoded = text.encode()
    status = library.espeak_Synth(encoded, len(encoded) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    if status != _EE_OK or not blocks:
        raise CorpusError(f"eSpeak NG did not speak {text!r} with the voice {voice.name} (status {status})")
    return np.concatenate(blocks), sample_rate


def unload(library: ctypes.CDLL) -> None:
    """Unloads a library that `ctypes.CDLL` loaded, and with it the memory in which it keeps its state."""
    if sys.platform == "win32":
        free = ctypes.windll.kernel32.FreeLibrary
    else:
        free = ctypes.CDLL(None).dlclose
    free.argtypes = [ctypes.c_void_p]
    free(library._handle)
