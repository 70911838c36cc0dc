"""The combinations of values in a space: the order of its keys, their number, and a sample that shows each value."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

from speechgru.errors import ConfigError
from speechgru.tune.space import Dimension

#: Combinations drawn to see whether every value fits some others.
_DRAWS = 400
#: Combinations of a grid that are looked at one by one.
_MOST_LISTED = 20_000


def in_order(space: Mapping[str, Dimension]) -> dict[str, Dimension]:
    """The space with every key after those of its conditions.

    Raises:
        ConfigError: conditions wait for each other.
    """
    ordered: dict[str, Dimension] = {}
    left = dict(space)
    while left:
        ready = [key for key, d in left.items() if not set(d.when or {}) & set(left)]
        if not ready:
            raise ConfigError(f"the conditions of {', '.join(left)} wait for each other; take one away")
        for key in ready:
            ordered[key] = left.pop(key)
    return ordered


def count_combinations(dimensions: Mapping[str, Dimension]) -> int | None:
    """How many combinations a space has whose values are all listed; None where there are ranges or very many."""
    if not all(dimension.is_listed for dimension in dimensions.values()):
        return None
    combinations: list[dict[str, Any]] = [{}]
    for key, dimension in dimensions.items():
        combinations = [
            {**values, **more}
            for values in combinations
            for more in ([{key: value} for value in dimension.listed()] if dimension.is_active(values) else [{}])
        ]
        if len(combinations) > _MOST_LISTED:
            return None
    return len(combinations)


def sampled_combinations(dimensions: Mapping[str, Dimension]) -> list[dict[str, Any]]:
    """Combinations that show every extreme value with many others."""
    generator = random.Random(0)
    combinations = []
    for key, dimension in dimensions.items():
        for value in dimension.extremes():
            combinations += [_draw(dimensions, generator, {key: value}) for _ in range(20)]
    return combinations + [_draw(dimensions, generator, {}) for _ in range(_DRAWS)]


def _draw(dimensions: Mapping[str, Dimension], generator: random.Random, given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    wanted = dict(given)
    for key in list(given):  # what must hold for it to be there at all
        for parent, allowed in (dimensions[key].when or {}).items():
            wanted[parent] = generator.choice(allowed)
    for key, dimension in dimensions.items():
        if dimension.is_active(values):
            values[key] = wanted[key] if key in wanted else generator.choice(dimension.extremes())
    return values


def first_round_size(epochs: float, factor: int) -> int:
    """The trials that hyperband begins its largest bracket with.

    >>> first_round_size(9, 3)
    9
    """
    num_brackets = 1
    while epochs / factor**num_brackets >= 1:
        num_brackets += 1
    last_round = math.ceil(1 + math.log(epochs, factor)) / num_brackets
    return math.ceil(last_round * factor ** (num_brackets - 1))
