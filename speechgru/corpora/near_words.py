"""What sounds nearly like a keyword: its parts, and words of a list that share most of its sounds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rapidfuzz.distance import Levenshtein

from speechgru.text import normalize_text
from speechgru.voices.phonemes import phonemes_of

#: Parts of a keyword have this many letters at least, and a vowel, so that a voice says them and does not spell them.
_LEAST_LETTERS = 3
_VOWEL = re.compile("[aeiouyäöüáéíóúàèìòùâêîôûåæøœ]")
#: A word is near where at most this share of the sounds of the longer one differs.
_NEAR_SHARE = 0.6


def parts_of(keyword: str) -> list[str]:
    """Beginnings and ends of a keyword, which people say as parts of other words; of several words each one too.

    >>> parts_of("jarvis")
    ['jar', 'vis', 'jarv', 'rvis', 'jarvi', 'arvis']
    """
    words = keyword.split()
    parts = [word for word in words if len(words) > 1]
    parts += [" ".join(words[:place]) for place in range(2, len(words))]
    for word in words:
        for length in range(_LEAST_LETTERS, len(word)):
            parts += [word[:length], word[-length:]]
    return [part for part in dict.fromkeys(parts) if len(part) >= _LEAST_LETTERS and _VOWEL.search(part)]


def near_words(
    keywords: Sequence[str], candidates: Iterable[str], *, language: str = "en", most: int = 40
) -> dict[str, list[str]]:
    """The words of a list that sound most like each keyword, by eSpeak NG's phonemes or, without it, by their letters.

    A word that holds a keyword, in letters or in sound ("computers", "jervis" for some), is none of them: to accept it
    would be right.

    Args:
        keywords: one or more.
        candidates: words to choose from.
        language: such as `en`.
        most: words for each keyword.

    Returns:
        By keyword the nearest ones first, of equally near ones in the order of `candidates`.

    >>> near_words(["computer"], ["commuter", "window", "compute", "computers"])
    {'computer': ['commuter', 'compute']}
    """
    words = [word for word in dict.fromkeys(map(normalize_text, candidates)) if word]
    words = [word for word in words if not any(_holds(word, keyword) for keyword in keywords)]
    sounds = phonemes_of([*keywords, *words], language=language) or [tuple(text) for text in (*keywords, *words)]
    of_keyword = dict(zip(keywords, sounds, strict=False))
    of_word = dict(zip(words, sounds[len(keywords) :], strict=True))
    of_word = {
        word: spoken
        for word, spoken in of_word.items()
        if spoken and not any(_holds_sounds(spoken, keyword) for keyword in of_keyword.values())
    }
    near: dict[str, list[str]] = {}
    for keyword, spoken in of_keyword.items():
        distances = {
            word: Levenshtein.distance(spoken, other) / max(len(spoken), len(other)) for word, other in of_word.items()
        }
        close = [word for word, distance in distances.items() if distance <= _NEAR_SHARE]
        near[keyword] = sorted(close, key=distances.__getitem__)[:most]
    return near


def _holds(text: str, keyword: str) -> bool:
    return keyword.replace(" ", "") in text.replace(" ", "")


def _holds_sounds(spoken: tuple[str, ...], keyword: tuple[str, ...]) -> bool:
    length = len(keyword)
    return any(spoken[start : start + length] == keyword for start in range(len(spoken) - length + 1))
