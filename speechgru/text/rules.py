"""What every transcript goes through before it is learnt or compared."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from speechgru.errors import TextError
from speechgru.text.messages import INVISIBLE

Normalization = Literal["NFC", "NFKC"]

#: What was done before there was a key for it, where that is not the key's default.
RULES_BEFORE_KEYS = {"normalization": "NFKC"}

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u0060": "'", "\u00b4": "'"})

#: Marks that transcribers write for what is no word: <unk>, [laughter], {cough}, [background noise].
_MARK = re.compile(r"<[^<>\[\]{}]{1,40}>|\[[^<>\[\]{}]{1,40}\]|\{[^<>\[\]{}]{1,40}\}")
_NON_JOINER = "\u200c"
#: The invisible ones that spell words where letters join: zero-width non-joiner and joiner, Mongolian vowel separator.
_JOINERS = frozenset((_NON_JOINER, "\u200d", "\u180e"))
#: Scripts whose letters join: Arabic, Syriac, N'Ko, Mandaic, those of the Brahmic family, Mongolian and a few more.
_JOINING_SCRIPTS = re.compile(
    "[\u0600-\u077f\u07c0-\u07ff\u0840-\u0dff\u0f00-\u109f\u1780-\u18af\u1900-\u1c7f\u1cd0-\u1cff\ua840-\ua87f"
    "\ua8e0-\ua8ff\ua980-\ua9df\uaa60-\uaa7f\uabc0-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff"
    "\U0001e900-\U0001e95f]"
)


def normalize_text(
    text: str,
    *,
    lowercase: bool = True,
    remove_punctuation: bool = True,
    keep_punctuation: str = "",
    normalization: Normalization = "NFC",
) -> str:
    """Brings a transcript to the form that the model learns and that scoring compares.

    One way to write every character, one kind of apostrophe, nothing invisible (`invisible_characters`), optionally
    lower case and no punctuation (an apostrophe inside a word stays: "don't"; every other mark becomes a space, so
    "well-kept" is two words), single spaces. What stands in brackets is text like any other, whatever its writer meant:
    "<unk>" becomes the word "unk", or with punctuation kept a word of five characters (`words_of_marks` finds them).

    Args:
        text: the transcript as written.
        lowercase: whether to write capitals small.
        remove_punctuation: whether marks (Unicode categories P and S) become spaces.
        keep_punctuation: marks that stay nevertheless, wherever they stand, such as `-` or `%`.
        normalization: `NFC` joins letters with their accents; `NFKC` also takes apart ligatures, wide letters and
            fractions, which are other spellings to most readers: "\ufb01ne \uff21 \u00bd" gives "fine A 1 2".

    Returns:
        The normalised text; empty where nothing is left.

    Raises:
        ValueError: no such normalization.
    """
    if normalization not in ("NFC", "NFKC"):
        raise ValueError(f"normalization must be NFC or NFKC, got {normalization!r}")
    # Apostrophes before NFKC, which takes the acute accent for a space and a combining mark, and after it, for what it
    # takes apart.
    text = unicodedata.normalize(normalization, text.translate(_APOSTROPHES)).translate(_APOSTROPHES)
    if INVISIBLE.search(text):
        text = unicodedata.normalize(normalization, "".join(text[place] for place in _visible(text)))
    if lowercase:
        text = unicodedata.normalize(normalization, text.lower())
    if remove_punctuation:
        kept = set(unicodedata.normalize(normalization, keep_punctuation.translate(_APOSTROPHES)))
        text = "".join(
            character
            if unicodedata.category(character)[0] not in "PS"
            or character in kept
            or _is_inner_apostrophe(text, position)
            else " "
            for position, character in enumerate(text)
        )
    return " ".join(text.split())


def invisible_characters(text: str) -> list[str]:
    """The characters of a text that `normalize_text` drops because nobody sees or speaks them, each once, in order.

    They are those of Unicode's categories Cf and Cc that are no white space, and its other ignorable ones. A zero-width
    joiner or non-joiner stays where it spells a word: behind a letter of a script whose letters join, such as Arabic or
    Devanagari, and the non-joiner in front of one too. Source: Unicode Standard Annex 31, section 2.3.

    Example:
        >>> invisible_characters("turn\\u200b on\\ufeff")
        ['\\u200b', '\\ufeff']
        >>> invisible_characters("\\u0645\\u06cc\\u200c\\u0631\\u0648\\u062f")  # Persian: goes
        []
    """
    if not INVISIBLE.search(text):
        return []
    visible = set(_visible(text))
    return list(dict.fromkeys(character for place, character in enumerate(text) if place not in visible))


def words_of_marks(text: str, normalize: Callable[[str], str]) -> dict[str, str]:
    """What a text has in angle, square or curly brackets, which nobody says, and the words that it becomes.

    Args:
        text: the transcript as written.
        normalize: the rules; a mark of which they leave nothing does not count.

    Example:
        >>> words_of_marks("turn <unk> on [door slam] {...} (please)", normalize_text)
        {'<unk>': 'unk', '[door slam]': 'door slam'}
    """
    return {mark: words for mark in _MARK.findall(text) if (words := normalize(mark))}


def _visible(text: str) -> list[int]:
    """The places of the characters that stay."""
    places: list[int] = []
    for place, character in enumerate(text):
        if INVISIBLE.match(character):
            before = text[places[-1]] if places else ""
            if character not in _JOINERS or not _joins(before):
                continue
            following = (text[other] for other in range(place + 1, len(text)))
            after = next((other for other in following if not INVISIBLE.match(other)), "")
            if character == _NON_JOINER and not _joins(after):
                continue
        places.append(place)
    return places


def _joins(character: str) -> bool:
    """Whether a character is a letter, mark or digit of a script whose letters join."""
    return (
        bool(character and _JOINING_SCRIPTS.match(character))
        and not INVISIBLE.match(character)
        and unicodedata.category(character)[0] in "LMN"
    )


def _is_inner_apostrophe(text: str, position: int) -> bool:
    return (
        text[position] == "'"
        and 0 < position < len(text) - 1
        and text[position - 1].isalnum()
        and text[position + 1].isalnum()
    )


@dataclass(frozen=True)
class TextRules:
    """What every transcript, hotword and phrase goes through before it is compared (see `normalize_text`).

    Args:
        lowercase: whether to write capitals small.
        remove_punctuation: whether marks become spaces.
        keep_punctuation: marks that stay nevertheless.
        normalization: `NFC` or `NFKC`.

    Raises:
        TextError: a rule has a value of another type.
    """

    lowercase: bool = True
    remove_punctuation: bool = True
    keep_punctuation: str = ""
    normalization: Normalization = "NFC"

    def __post_init__(self) -> None:
        right = isinstance(self.lowercase, bool) and isinstance(self.remove_punctuation, bool)
        if not right or not isinstance(self.keep_punctuation, str) or self.normalization not in get_args(Normalization):
            raise TextError(f"these are no text rules: {self}")

    @classmethod
    def stored(cls, rules: Mapping[str, Any]) -> TextRules:
        """The rules that something was made with, perhaps before they all had a key (`RULES_BEFORE_KEYS`).

        Raises:
            TextError: a rule is unknown, or has a value of another type.
        """
        try:
            return cls(**{**RULES_BEFORE_KEYS, **rules})
        except TypeError as error:
            raise TextError(f"these are no text rules: {rules!r}") from error

    def normalize(self, text: str) -> str:
        """A text by these rules."""
        return normalize_text(text, **dataclasses.asdict(self))


def require_language(tag: str) -> str:
    """A language's tag as it is, once it looks like one (BCP 47: `en`, `pt-BR`, `zh-Hant-TW`).

    Raises:
        TextError: it does not.

    Example:
        >>> require_language("pt-BR")
        'pt-BR'
    """
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", tag):
        raise TextError(f"a language is written as a tag such as en, de or pt-BR, got {tag!r:.40}")
    return tag
