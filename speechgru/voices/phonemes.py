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
_IPA_WITH_SEPARATORS = 0x02 | ord("_") << 8
_EE_OK = 0

# Stress, length and what a clause adds are not what tells words apart in noise.
_NOT_A_SOUND = re.compile(r"[ˈˌː\u0361\u200d]|\([^)]*\)")


def phonemes_of(texts: Sequence[str], *, language: str) -> list[tuple[str, ...]] | None:
    """The phonemes of texts, by eSpeak NG's rules.

    Args:
        texts: words.
        language: such as `en` or `pt-BR`.

    Returns:
        The phonemes of each text in the international alphabet, without stress and length; None where eSpeak NG
        (`espeakng_loader`) is not installed or has no such language.
    """
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
        return [_phonemes(library, text) for text in texts]
    finally:
        library.espeak_Terminate()
        unload(library)


def _phonemes(library: ctypes.CDLL, text: str) -> tuple[str, ...]:
    buffer = ctypes.create_string_buffer(text.encode())
    rest = ctypes.c_void_p(ctypes.addressof(buffer))
    found = []
    while rest.value:  # one clause a call
        clause = library.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _IPA_WITH_SEPARATORS)
        found += re.split(r"[_\s]+", _NOT_A_SOUND.sub("", (clause or b"").decode()))
    return tuple(filter(None, found))
