"""Numbers as words, in the language of a grammar."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from speechgru.errors import GrammarError

#: More numbers than this in one range are refused.
MAX_RANGE = 20_000

# Of the ways to write a number that Unicode's rules know, those that count things; not ordinals, not years.
_COUNTING = re.compile(r"^spellout-(?:numbering|cardinal)(?!.*(?:year|ordinal))")
# Languages that the rules know by another name.
_OTHER_NAMES = {"nb": "no"}
_HUNDRED_AND = re.compile(r"\bhundred (?=\w)")


class NoWordsError(GrammarError):
    """A language whose rules for numbers are not known, or cannot write one."""


class NumberWords:
    """How numbers are said in one language, by Unicode's rules (RBNF) as hassil has them.

    Args:
        language: such as `en` or `pt-BR`.
        engine_of: gives the engine of a language, as `hassil.numbers.get_rbnf_engine` does.
    """

    def __init__(self, language: str, engine_of: Callable[[str], Any]):
        self._language = language
        self._engine_of = engine_of
        self._engine: Any = None
        self._known: dict[float, tuple[str, ...]] = {}

    def all(self, number: float, where: str) -> tuple[str, ...]:
        """All ways to say a number: `twenty one`; in German `ein`, `eine` and so on; the usual one first.

        Args:
            number: the number.
            where: the place that asks for it, for messages.

        Raises:
            NoWordsError: the language has no rules, or they cannot write this number.
        """
        if number not in self._known:
            self._known[number] = tuple(dict.fromkeys(self._ways(number, where)))
        return self._known[number]

    def first(self, number: float, where: str) -> str:
        """The usual way to say a number."""
        return self.all(number, where)[0]

    def _ways(self, number: float, where: str) -> list[str]:
        try:
            if self._engine is None:
                self._engine = self._engine_of(_OTHER_NAMES.get(self._language, self._language))
            by_rule = self._engine.format_number(number).text_by_ruleset
        except (ValueError, ArithmeticError, KeyError) as error:
            raise self._no_words(number, where) from error
        ways = []
        for rule, text in by_rule.items():
            if _COUNTING.match(rule):
                # A hyphen is not spoken; soft ones only show where a long word may be broken.
                text = " ".join(text.replace("\u00ad", "").replace("-", " ").split())
                ways.append(text)
                if self._language[:2] == "en":
                    ways.append(_HUNDRED_AND.sub("hundred and ", text))
        if not ways:
            raise self._no_words(number, where)
        return ways

    def _no_words(self, number: float, where: str) -> NoWordsError:
        return NoWordsError(
            f"{where}: nobody has written how to say numbers such as {number} in the language {self._language!r}; "
            "write a list of values in place of the number or range"
        )


def range_numbers(name: str, body: Any, where: str) -> list[int | float]:
    """The numbers of a list with the key `range`, in order.

    Raises:
        GrammarError: the range is not one; names its list and place.
    """
    keys = {"from", "to"}
    whole = isinstance(body, dict) and keys <= set(body)
    if not whole or not all(_is_int(body[key]) for key in [*keys, *(["step"] if "step" in body else [])]):
        raise GrammarError(f"{where}: the range of the list {name} must have whole numbers from and to, got {body!r}")
    start, stop, step = body["from"], body["to"], body.get("step", 1)
    if start > stop or step < 1:
        raise GrammarError(
            f"{where}: the range of the list {name} must rise, from {start} to {stop} by {step}; its step is 1 or more"
        )
    fractions = {None: [], "halves": [0.5], "tenths": [tenth / 10 for tenth in range(1, 10)]}
    if body.get("fractions") not in fractions:
        raise GrammarError(f"{where}: fractions of the list {name} must be halves or tenths, got {body['fractions']!r}")
    parts = fractions[body.get("fractions")]
    return [number for whole in range(start, stop + 1, step) for number in (whole, *(whole + part for part in parts))]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
