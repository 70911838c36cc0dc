"""Whether two configurations are the same, and the names of the keys that differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

#: What compares with a section as one without keys.
_NOTHING: tuple[Any, ...] = (None, {}, [], ())


@dataclass(frozen=True, slots=True)
class Difference:
    """A key with two values.

    Args:
        key: with its sections, as the command line has it: `model.units`, `manifests[0].path`.
        there: the stored value; None where there is none.
        here: the given value; None where there is none.
    """

    key: str
    there: Any
    here: Any

    def __str__(self) -> str:
        return self.describe()

    def describe(self, *, there: str = "there", here: str = "now") -> str:
        """Both values in words.

        >>> Difference("model.units", 16, 8).describe()
        'model.units (16 there, 8 now)'
        """
        return f"{self.key} ({self.there!r} {there}, {self.here!r} {here})"


def find_differences(
    there: Mapping[str, Any], here: Mapping[str, Any], *, may_differ: Collection[str] = ()
) -> list[Difference]:
    """Compares two nested records key by key.

    Lists of records are compared entry by entry, other lists as one value. A key that one side lacks counts as None.

    Args:
        there: the stored one.
        here: the given one.
        may_differ: full keys that are not compared; a section's name stands for all its keys.

    Returns:
        A difference for each key, the given record's keys first.

    >>> stored, given = {"model": {"units": 16}, "seed": 1}, {"model": {"units": 8}, "seed": 2}
    >>> [str(found) for found in find_differences(stored, given, may_differ={"seed"})]
    ['model.units (16 there, 8 now)']
    """
    return _compare("", there, here, frozenset(may_differ))


def _compare(key: str, there: Any, here: Any, may_differ: frozenset[str]) -> list[Difference]:
    if key in may_differ:
        return []
    old, new = _entries(key, there), _entries(key, here)
    if (old or there in _NOTHING) and (new or here in _NOTHING) and (old or new):
        names = dict.fromkeys([*new, *old])
        return [found for name in names for found in _compare(name, old.get(name), new.get(name), may_differ)]
    return [] if there == here else [Difference(key, there, here)]


def _entries(key: str, value: Any) -> dict[str, Any]:
    """A section's or list's entries by their full keys; none of a plain value."""
    if isinstance(value, Mapping):
        return {f"{key}.{name}" if key else name: item for name, item in value.items()}
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return {f"{key}[{number}]": item for number, item in enumerate(value)}
    return {}
