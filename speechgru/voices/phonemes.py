"""How words sound: eSpeak NG's phonemes for them."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Sequence

from speechgru.voices.espeak import unload

# From speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_IPA = 0x02
_IPA_WITH_SEPARATORS = _IPA | ord("_") << 8
_EE_OK = 0

# Stress, length and what a clause adds are not what tells words apart in noise.
_NOT_A_SOUND = re.compile(r"[ˈˌː\u0361\u200d]|\([^)]*\)")
# Changes of language, and joins within a sound.
_NOT_WRITTEN = re.compile(r"[\u0361\u200d]|\([^)]*\)")


def phonemes_of(texts: Sequence[str], *, language: str) -> list[tuple[str, ...]] | None:
    """The phonemes of texts, by eSpeak NG's rules.

    Args:
        texts: words.
        language: such as `en` or `pt-BR`.

    Returns:
        The phonemes of each text in the international alphabet, without stress and length; None where eSpeak NG
        (`espeakng_loader`) is not installed or has no such language.
    """
    written = _transcribe(texts, language=language, mode=_IPA_WITH_SEPARATORS)
    if written is None:
        return None
    return [tuple(filter(None, re.split(r"[_\s]+", _NOT_A_SOUND.sub("", each)))) for each in written]


def transcribe_phonemes(texts: Sequence[str], *, language: str) -> list[str] | None:
    """As `phonemes_of`, each text in one string, words apart, with stress and length.

    >>> transcribe_phonemes(["turn left"], language="en-US")
    ['tˈɜːn lˈɛft']
    """
    written = _transcribe(texts, language=language, mode=_IPA)
    return None if written is None else [_NOT_WRITTEN.sub("", each) for each in written]


def _transcribe(texts: Sequence[str], *, language: str, mode: int) -> list[str] | None:
    try:
        import espeakng_loader

        library = ctypes.CDLL(espeakng_loader.get_library_path())
    except (ImportError, OSError):
        return None
    try:
        library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        data_path = os.fsencode(espeakng_loader.get_data_path())
        if library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, _INITIALIZE_DONT_EXIT) <= 0:
            return None
        names = dict.fromkeys((language.lower(), language.split("-")[0].lower()))
        if not any(library.espeak_SetVoiceByName(name.encode()) == _EE_OK for name in names):
            return None
        return [_clauses(library, text, mode) for text in texts]
    finally:
        library.espeak_Terminate()
        unload(library)


def _clauses(library: ctypes.CDLL, text: str, mode: int) -> str:
    buffer = ctypes.create_string_buffer(text.encode())
    rest = ctypes.c_void_p(ctypes.addressof(buffer))
    found = []
    while rest.value:  # one clause a call
        clause = library.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, mode)
        found.append((clause or b"").decode())
    return " ".join(filter(None, found))
