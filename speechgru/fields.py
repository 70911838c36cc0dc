"""The types and ranges of a JSON record's fields, for records of strangers, and where pydantic is not installed.

A check is a function of a value and of its place, which raises a ValueError with both:

>>> check = record({"rate": whole(1000, 768_000)}, {"name": optional(text())})
>>> check({"rate": 8000, "name": None}, "bundle")
>>> check({"rate": 1e308}, "bundle")
Traceback (most recent call last):
ValueError: bundle.rate is a whole number from 1,000 to 768,000, got 1e+308
>>> check({"name": "one"}, "bundle")
Traceback (most recent call last):
ValueError: bundle.rate is missing
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

#: Raises a ValueError where the value is not what the place holds.
Check = Callable[[object, str], None]


def whole(least: int, most: int) -> Check:
    """A whole number in a range, both ends included."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _error(value, place, f"a whole number from {least:,} to {most:,}")

    return check


def number(least: float = -1e15, most: float = 1e15) -> Check:
    """A number in a range, both ends included; never infinite or not a number."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
            raise _error(value, place, f"a number from {least:,g} to {most:,g}")

    return check


def flag(value: object, place: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise _error(value, place, "true or false")


def text(*allowed: str) -> Check:
    """A text; one of those that are given, where any are."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, str) or (allowed and value not in allowed):
            raise _error(value, place, f"one of {', '.join(allowed)}" if allowed else "a text")

    return check


def optional(inner: Check) -> Check:
    """What another check holds, or null."""

    def check(value: object, place: str) -> None:
        if value is not None:
            inner(value, place)

    return check


def items(inner: Check) -> Check:
    """A list, each of whose items another check holds."""

    def check(value: object, place: str) -> None:
        if not isinstance(value, list):
            raise _error(value, place, "a list")
        for index, item in enumerate(value):
            inner(item, f"{place}[{index}]")

    return check


def table(inner: Check) -> Check:
    """An object with any keys, each of whose values another check holds."""

    def check(value: object, place: str) -> None:
        for key, item in _object(value, place).items():
            inner(item, _within(place, key))

    return check


def record(required: Mapping[str, Check], others: Mapping[str, Check] | None = None) -> Check:
    """An object with fields of its own each; fields that nobody knows may be there too.

    Args:
        required: fields that must be there.
        others: fields that may be missing.
    """
    fields = {**required, **(others or {})}

    def check(value: object, place: str) -> None:
        given = _object(value, place)
        for key, inner in fields.items():
            if key in given:
                inner(given[key], _within(place, key))
            elif key in required:
                raise ValueError(f"{_within(place, key)} is missing")

    return check


def _object(value: object, place: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _error(value, place, "an object")
    return value


def _within(place: str, key: str) -> str:
    shown = key if key.isascii() and key.isprintable() else ascii(key)[1:-1]
    return f"{place}.{shown:.40}" if place else f"{shown:.40}"


def _error(value: object, place: str, expected: str) -> ValueError:
    try:
        shown = ascii(value)
    except ValueError:  # a whole number of too many digits to print
        shown = "a number of thousands of digits"
    return ValueError(f"{place or 'it'} is {expected}, got {shown[:60]}")
