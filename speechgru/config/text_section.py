"""The section `text` of a configuration: how transcripts become labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from speechgru.config.section import Section
from speechgru.ranges import Count
from speechgru.text import (
    FIRST_LETTER,
    FURTHER_LETTER,
    RULES_BEFORE_KEYS,
    UNKNOWN_WORD,
    TextRules,
    require_language,
)

#: The keys of `text` that say how subwords are found.
SUBWORD_KEYS = ("subwords", "subword_method")


class TextConfig(Section):
    """How transcripts become labels."""

    unit: Literal["character", "subword", "word"] = "character"
    characters: str = "auto"
    subwords: Count = 200
    subword_method: Literal["unigram", "bpe"] = "unigram"
    subword_model: str | None = None
    words: Literal["auto", "grammar"] | tuple[str, ...] = "auto"
    unknown_words: Literal["refuse", "spell"] = "refuse"
    normalization: Literal["NFC", "NFKC"] = "NFC"
    lowercase: bool = True
    remove_punctuation: bool = True
    keep_punctuation: str = ""
    language: str | None = None

    @pydantic.field_validator("language")
    @classmethod
    def _a_language(cls, value: str | None) -> str | None:
        return None if value is None else require_language(value)

    @pydantic.field_validator("characters")
    @classmethod
    def _each_once(cls, value: str) -> str:
        for character in value:
            if value.count(character) > 1:
                raise ValueError(f"holds {character!r} more than once; each character has one label")
            if character.isspace() and character != " ":
                raise ValueError(f"holds {character!r}; a transcript's only white space is the space")
        return value

    @pydantic.field_validator("words", mode="before")
    @classmethod
    def _auto_or_words(cls, value: Any) -> Any:
        if value in ("auto", "grammar"):
            return value
        if not isinstance(value, list | tuple) or not value:
            raise ValueError(f"must be auto, grammar or a list of words, got {value!r}")
        for word in value:
            if isinstance(word, bool):
                raise ValueError(
                    f"holds the YAML boolean {str(word).lower()}; put words such as yes, no, on and off in quotes"
                )
            if not isinstance(word, str):
                raise ValueError(f"holds {word!r}, which is not text; put it in quotes, or write the word for it")
        return tuple(value)

    @pydantic.model_validator(mode="after")
    def _of_one_unit(self) -> TextConfig:
        if self.subword_model is not None and self.unit != "subword":
            raise ValueError(f"subword_model is given, but unit is {self.unit}; set unit to subword, or leave it out")
        if self.unit != "subword":
            for key in SUBWORD_KEYS:
                value = getattr(self, key)
                if value != TextConfig.model_fields[key].default:
                    raise ValueError(
                        f"{key} is {value}, but unit is {self.unit}, which has no subwords; set unit to subword, or "
                        f"leave {key} out"
                    )
        if self.unit == "subword" and self.characters != "auto":
            raise ValueError(
                "characters are given, but unit is subword, whose pieces hold the characters of what they were trained "
                "on; set characters to auto, or unit to character"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _words_that_transcripts_can_hold(self) -> TextConfig:
        if self.words == "auto":
            if self.unknown_words == "spell":
                raise ValueError(
                    "unknown_words is spell, but with words: auto every word of the training transcripts is known; "
                    "set words to grammar or to a list, with unit: word"
                )
            return self
        if self.unit != "word":
            raise ValueError(f"words are given, but unit is {self.unit}; set unit to word, or words to auto")
        if self.words == "grammar":
            return self
        for word in self.words:
            normalized = self.normalize(word)
            if normalized != word or " " in word:
                raise ValueError(
                    f"words holds {word!r}, which no transcript holds as one word after these rules: they make it "
                    f"{normalized!r}; write each word as the rules leave it"
                )
            if self.words.count(word) > 1:
                raise ValueError(f"words holds {word!r} more than once; each word has one label")
            if self.unknown_words == "spell" and word.startswith((UNKNOWN_WORD, FIRST_LETTER, FURTHER_LETTER)):
                raise ValueError(
                    f"words holds {word!r}, but with unknown_words: spell {UNKNOWN_WORD}, {FIRST_LETTER} and "
                    f"{FURTHER_LETTER} mark what is no word of the list; leave it out"
                )
        return self

    @property
    def follows_transcripts(self) -> bool:
        """Whether the labels are those of the training transcripts, and not named here or in a file."""
        if self.unit == "subword":
            return self.subword_model is None
        if (self.words if self.unit == "word" else self.characters) == "auto":
            return True
        return self.unknown_words == "spell" and self.characters == "auto"

    def normalize(self, text: str) -> str:
        """A text by these rules."""
        return self.rules.normalize(text)

    @property
    def rules(self) -> TextRules:
        """The rules alone, without the vocabulary."""
        return TextRules(**self.model_dump(include={field.name for field in dataclasses.fields(TextRules)}))

    @classmethod
    def stored(cls, rules: Mapping[str, Any]) -> TextConfig:
        """The rules that a run, bundle or shards were made with, also from before they all had a key."""
        return cls.model_validate(RULES_BEFORE_KEYS | dict(rules))
