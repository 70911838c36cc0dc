"""From transcripts to labels and back: the normaliser and the vocabulary.

Label 0 is the CTC blank (`BLANK_ID`) and stands for nothing; the entries follow from 1. An entry is one character, with
`unit="subword"` a piece of a word, or with `unit="word"` one whole word or command.
>>> rules = TextRules(keep_punctuation="%")
>>> rules.normalize("Dim  THE lamp, to 5%!") == normalize_text("Dim the lamp to 5%", keep_punctuation="%")
True
>>> describe_characters(Vocabulary("abc").unknown("baß"))
"'ß' (U+00DF) is"
"""

from speechgru.text.messages import describe_characters, quoted, shown
from speechgru.text.rules import (
    RULES_BEFORE_KEYS,
    Normalization,
    TextRules,
    invisible_characters,
    normalize_text,
    require_language,
    words_of_marks,
)
from speechgru.text.subwords import WORD_BEGINNING, Subwords
from speechgru.text.vocabulary import BLANK_ID, FIRST_LETTER, FURTHER_LETTER, UNKNOWN_WORD, Unit, Vocabulary

__all__ = [
    "BLANK_ID",
    "FIRST_LETTER",
    "FURTHER_LETTER",
    "RULES_BEFORE_KEYS",
    "UNKNOWN_WORD",
    "WORD_BEGINNING",
    "Normalization",
    "Subwords",
    "TextRules",
    "Unit",
    "Vocabulary",
    "describe_characters",
    "invisible_characters",
    "normalize_text",
    "quoted",
    "require_language",
    "shown",
    "words_of_marks",
]
