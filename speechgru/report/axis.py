"""The axes of a chart: the values that each spans, and its ticks. Linear, logarithmic, of time, and of categories.

They need no matplotlib: a sweep's page is written after every trial, and recordings are checked where it is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from speechgru.report.html import short


@dataclass(frozen=True)
class Tick:
    """A value of an axis and how it is written."""

    value: float
    label: str


@dataclass(frozen=True)
class Axis:
    """The values from `low` to `high`, the lower at the left or the bottom.

    Args:
        low: the lowest value.
        high: the highest value, greater than `low`.
        ticks: what is written along it.
        name: what it measures, with its unit; empty writes none.
        log: whether equal ratios are equally long; `low` is above 0 then.
        is_categorical: whether its ticks are names, which are slanted where they would touch.
    """

    low: float
    high: float
    ticks: Sequence[Tick] = ()
    name: str = ""
    log: bool = False
    is_categorical: bool = False

    def pixel(self, value: float, start: float, end: float) -> float:
        """Where a value is on an axis that is drawn from pixel `start` to pixel `end`.

        >>> Axis(0, 4).pixel(1, 100, 200), Axis(1, 100, log=True).pixel(10, 0, 50)
        (125.0, 25.0)
        """
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return start + (value - low) / (high - low) * (end - start)


def linear_axis(
    low: float,
    high: float,
    *,
    name: str = "",
    most: int = 6,
    describe: Callable[[float], str] = short,
    whole: bool = False,
    at: Sequence[float] | None = None,
) -> Axis:
    """An axis of numbers.

    Args:
        low: the lowest value.
        high: the highest value.
        name: what it measures.
        most: how many ticks it has at most, one more or less.
        describe: how a tick is written.
        whole: whether its values are whole numbers, and so its ticks.
        at: the ticks; round values when None.

    >>> [tick.label for tick in linear_axis(0, 1200, most=4).ticks]
    ['0', '500', '1,000']
    """
    values = round_ticks(low, high, most=most) if at is None else at
    ticks = [Tick(value, describe(value)) for value in values if not whole or value == int(value)]
    return Axis(low, high, ticks, name)


def log_axis(
    low: float,
    high: float,
    *,
    name: str = "",
    most: int = 6,
    describe: Callable[[float], str] = short,
    whole: bool = False,
    at: Sequence[float] | None = None,
) -> Axis:
    """A logarithmic axis; its arguments are those of `linear_axis`.

    >>> [tick.label for tick in log_axis(0.7, 70).ticks]
    ['1', '2', '5', '10', '20', '50']
    """
    values = log_ticks(low, high, most=most) if at is None else at
    ticks = [Tick(value, describe(value)) for value in values if not whole or value == int(value)]
    return Axis(low, high, ticks, name, log=True)


def time_axis(seconds: float, *, most: int = 5) -> Axis:
    """Time from 0, in seconds; the last tick has the unit.

    >>> [tick.label for tick in time_axis(2.3).ticks]
    ['0', '0.5', '1', '1.5', '2 s']
    """
    values = round_ticks(0.0, seconds, most=most)
    labels = [f"{value:.4g}" for value in values]
    labels[-1] += " s"
    return Axis(0.0, seconds, [Tick(value, label) for value, label in zip(values, labels, strict=True)])


def category_axis(names: Sequence[str]) -> Axis:
    """Names side by side: that of index k is at the value k."""
    return Axis(-0.5, len(names) - 0.5, [Tick(k, name) for k, name in enumerate(names)], is_categorical=True)


def round_ticks(low: float, high: float, *, most: int) -> list[float]:
    """About `most` round values from `low` to `high`: 1, 2 or 5 times a power of ten apart.

    >>> round_ticks(0, 1.2, most=6)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2]
    """
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most * (1 + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Rounded relative to the step: its multiples have binary dust, and may be far below 1.
    digits = 2 - math.floor(math.log10(step))
    return [round(k * step, digits) + 0.0 for k in range(first, last + 1)]


def log_ticks(low: float, high: float, *, most: int) -> list[float]:
    """About `most` round values from `low` to `high` for a logarithmic axis.

    They are 1, 2 and 5, or 1 and 3, or 1 times powers of ten. Within less than a decade there are fewer than three of
    those; ticks are evenly apart there.

    >>> log_ticks(1e-3, 1e4, most=8)
    [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors in ((1, 2, 5), (1, 3), (1,)):
        every = [float(f"{factor}e{power}") for power in powers for factor in factors]
        ticks = [tick for tick in every if low <= tick <= high]
        if len(ticks) <= most:
            break
    return ticks[:: -(-len(ticks) // most)] if len(ticks) > 2 else round_ticks(low, high, most=most)
