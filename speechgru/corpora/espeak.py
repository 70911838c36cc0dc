"""Speech from eSpeak NG, offline: the library of the `espeakng-loader` wheel through ctypes.

eSpeak NG keeps state from one sentence to the next (flutter, echo, random numbers), and neither setting every
parameter again nor `espeak_Terminate` clears it: the same words would sound different after other words. A fresh copy
of the library's memory does clear it, so every call loads the library and unloads it again (about 4 ms, voice and
dictionary included). The samples then depend on the arguments alone.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgru.errors import CorpusError

#: The accents of English that the wheel has and that read Latin letters, as eSpeak NG names their files.
ACCENTS = (
    "en", "en-US", "en-GB-x-rp", "en-GB-scotland", "en-GB-x-gbclan", "en-GB-x-gbcwmd", "en-029", "en-US-nyc",
)  # fmt: skip

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
        accent: one of `ACCENTS`.
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


def require() -> None:
    """Makes sure that eSpeak NG can be loaded.

    Raises:
        CorpusError: the wheel is not installed; says what to install.
    """
    _paths()


def speak(text: str, voice: Voice, *, seed: int = 0) -> tuple[np.ndarray, int]:
    """Speaks a sentence.

    Args:
        text: what to say.
        voice: how to say it.
        seed: for eSpeak NG's own random numbers (breath, flutter).

    Returns:
        int16 samples and their sample rate in Hz. The same arguments give the same samples, whatever was
        spoken before and in whichever process.

    Raises:
        CorpusError: eSpeak NG is not installed, lacks the voice or fails.
    """
    library_path, data_path = _paths()
    if not Path(data_path, "voices", "!v", voice.variant).is_file():  # the library would speak without the variant
        raise CorpusError(f"eSpeak NG has no voice {voice.name!r}; reinstall espeakng-loader")
    try:
        library = ctypes.CDLL(library_path)
    except OSError as error:
        raise CorpusError(f"{library_path}: eSpeak NG cannot be loaded ({error}); reinstall espeakng-loader") from error
    try:
        return _speak_with(library, data_path, text, voice, seed)
    finally:
        library.espeak_Terminate()
        _unload(library)


def _speak_with(library: ctypes.CDLL, data_path: str, text: str, voice: Voice, seed: int) -> tuple[np.ndarray, int]:
    blocks: list[np.ndarray] = []

    def receive(samples, num_samples, _events):
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


def _paths() -> tuple[str, str]:
    try:
        import espeakng_loader
    except ImportError as error:
        raise CorpusError(
            "the synthetic corpus is spoken by eSpeak NG, and espeakng_loader is not installed; "
            "install it with `pip install 'speechgru[train]'`"
        ) from error
    return espeakng_loader.get_library_path(), espeakng_loader.get_data_path()


def _unload(library: ctypes.CDLL) -> None:
    if sys.platform == "win32":
        free = ctypes.windll.kernel32.FreeLibrary
    else:
        free = ctypes.CDLL(None).dlclose
    free.argtypes = [ctypes.c_void_p]
    free(library._handle)
