"""The figures of a report, as SVG that follows the page's theme and font.

The SVG is written here, because what matplotlib draws has its colours and glyphs built in: it would be white on a
dark page, and text would be neither searchable nor shaped for every script. matplotlib gives what it does best,
axis ticks, the colour map and the PNG of the log-mel; only functions without global state are used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechgru.report.html import text
from speechgru.report.style import NUM_SERIES

PANEL_WIDTH, PANEL_HEIGHT = 460, 290
WIDE_WIDTH, WIDE_HEIGHT = 640, 400

#: Left, top, right, bottom, in pixels.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Axis:
    """Maps values between `low` and `high` to pixels between `start` and `end`, linearly or logarithmically."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, values: Any) -> Any:
        low, high, values = (
            (math.log10(self.low), math.log10(self.high), np.log10(values))
            if self.log
            else (self.low, self.high, np.asarray(values, float))
        )
        return self.start + (values - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """At most about so many round values inside the axis."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        if self.log:
            for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
                ticks = LogLocator(base=10, subs=steps, numticks=50).tick_values(self.low, self.high)
                inside = [float(tick) for tick in ticks if self.low <= tick <= self.high]
                if len(inside) <= most:
                    break
            return inside
        ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        slack = 1e-9 * (self.high - self.low)
        return [float(tick) for tick in ticks if self.low - slack <= tick <= self.high + slack]


def short(value: float) -> str:
    """A number in three digits."""
    return f"{value:.3g}"


def marker(number: int, x: float, y: float, *, colour: str, hollow: bool, title: str = "") -> str:
    """A series' mark, told from others by its shape too."""
    style = f'style="fill: {"var(--card)" if hollow else colour}; stroke: {colour}; stroke-width: 2"'
    inner = f"<title>{text(title)}</title>" if title else ""
    if number % 3 == 0:
        return f'<circle {style} cx="{x:.1f}" cy="{y:.1f}" r="5">{inner}</circle>'
    reach = 4.6 if number % 3 == 1 else 5.0
    turned = f' transform="rotate(45 {x:.1f} {y:.1f})"' if number % 3 == 2 else ""
    box = f'x="{x - reach:.1f}" y="{y - reach:.1f}" width="{2 * reach}" height="{2 * reach}"'
    return f"<rect {style} {box}{turned}>{inner}</rect>"


def place_label(label: str, x: float, y: float, *, colour: str, taken: list[Box], room: Box) -> str:
    """A point's label where it covers the least: beside the point if it can, else above, below or further off.

    `taken` are boxes that it should not cover, and `room` the one it should stay inside: left, top, right, bottom.
    """
    half, height = 3.5 * len(label), 16.0
    places = [(side * (half + 10), shift) for shift in (0.0, -13.0, 13.0, -24.0, 24.0) for side in (1, -1)]
    places += [(0.0, shift) for shift in (-19.0, 19.0, -32.0, 32.0)]
    boxes = [
        (x + across - half, y + down - height / 2, x + across + half, y + down + height / 2) for across, down in places
    ]

    def badness(box: Box) -> float:
        outside = sum(max(0.0, room[k] - box[k]) + max(0.0, box[k + 2] - room[k + 2]) for k in (0, 1))
        return 1000 * outside + sum(_shared_area(box, other) for other in taken)

    box = min(boxes, key=badness)
    taken.append(box)
    style = f"text-anchor: middle; fill: {colour}; paint-order: stroke; stroke: var(--card); stroke-width: 3"
    return f'<text style="{style}" x="{(box[0] + box[2]) / 2:.1f}" y="{box[3] - 4:.1f}">{text(label)}</text>'


def _shared_area(one: Box, other: Box) -> float:
    width, height = (min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1))
    return max(0.0, width) * max(0.0, height)


def colour_of(label: int) -> str:
    """The colour of a series, from the style sheet."""
    return f"var(--series-{label % NUM_SERIES + 1})"


def svg_element(parts: Sequence[str], *, width: int, height: int, label: str, fixed: bool = False) -> str:
    """The SVG around its parts, spoken as `label`: as wide as its place, or `fixed` at `width` pixels."""
    size = f'width="{width}" height="{height}"' if fixed else 'width="100%"'
    return f'<svg role="img" aria-label="{text(label)}" viewBox="0 0 {width} {height}" {size}>{"".join(parts)}</svg>'
