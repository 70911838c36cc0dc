"""The frame of every chart: two axes with their grid, ticks and names, below what is drawn between them."""

from __future__ import annotations

import math

from speechgru.report.axis import Axis, Tick
from speechgru.report.shapes import label, shape, svg_element, upright

#: The size of a chart that has another beside it, in pixels.
PANEL_WIDTH, PANEL_HEIGHT = 460, 270

#: About the width in pixels of one letter of a tick, and of one that is slanted.
_LETTER, _SLANTED_LETTER = 6.6, 5.4
_SLANT = -35.0


class Frame:
    """The frame of a chart.

    A chart `add`s its shapes at the pixels that `x` and `y` give, and ends with `svg`, which draws the axes below them.

    Args:
        x: the axis at the bottom.
        y: the axis at the left.
        width: of the drawing, in pixels.
        height: likewise; slanted names at the bottom make it higher.
        left: the margin at the left, in pixels, for the ticks of `y`.
        right: the margin at the right.
        top: the margin at the top; by whether `y` has a name when None.
        bottom: the margin at the bottom, for the ticks of `x`; by whether it has a name when None.
        grid: the axes whose ticks have lines through the frame: "y", "xy", or "" for short marks outside of it.

    >>> from speechgru.report.axis import linear_axis
    >>> from speechgru.report.shapes import polyline
    >>> frame = Frame(linear_axis(0, 10, name="step"), linear_axis(0, 1), width=460, height=270)
    >>> frame.add(polyline([(frame.x(0), frame.y(1)), (frame.x(10), frame.y(0.5))]))
    >>> frame.svg("Loss", description="from 1 at step 0 to 0.5 at step 10").startswith("<svg")
    True
    """

    def __init__(
        self,
        x: Axis,
        y: Axis,
        *,
        width: float,
        height: float,
        left: float = 52.0,
        right: float = 14.0,
        top: float | None = None,
        bottom: float | None = None,
        grid: str = "y",
    ):
        self.x_axis, self.y_axis, self.width, self.height = x, y, width, height
        self.left, self.right = left, width - right
        self.top = (26.0 if y.name else 12.0) if top is None else top
        self.bottom = height - ((40.0 if x.name else 26.0) if bottom is None else bottom)
        longest = max((len(tick.label) for tick in x.ticks), default=0)
        self._is_slanted = x.is_categorical and longest * _LETTER > (self.right - left) / max(1, len(x.ticks)) - 6
        if self._is_slanted:
            self.height += round(3.4 * longest)
        self._grid = grid
        self._parts: list[str] = []

    def x(self, value: float) -> float:
        """The pixel of a value, from the left."""
        return self.x_axis.pixel(value, self.left, self.right)

    def y(self, value: float) -> float:
        """The pixel of a value, from the top."""
        return self.y_axis.pixel(value, self.bottom, self.top)

    def add(self, *shapes: str) -> None:
        """Draws shapes over those before."""
        self._parts.extend(shapes)

    def svg(self, name: str, *, description: str = "", fixed: bool = False) -> str:
        """The chart.

        Args:
            name: what it is, for a reader who cannot see it.
            description: what it shows, likewise.
            fixed: whether it is as wide as it was drawn; else as wide as its place.
        """
        parts = [*self._y_axis(), *self._x_axis(), *self._parts]
        return svg_element(parts, width=self.width, height=self.height, name=name, description=description, fixed=fixed)

    def _y_axis(self) -> list[str]:
        """The grid and ticks of the left axis, and its name above them."""
        parts = []
        kind, end = ("grid", self.right) if "y" in self._grid else ("mark", self.left - 4)
        for tick in self.y_axis.ticks:
            height = self.y(tick.value)
            parts.append(shape("line", kind=kind, x1=self.left, x2=end, y1=height, y2=height))
            parts.append(label(self.left - 7, height + 4, tick.label, kind="tick", anchor="end"))
        if self.y_axis.name:
            parts.append(label(2, 12, self.y_axis.name, kind="tick", anchor="start"))
        return parts

    def _x_axis(self) -> list[str]:
        """The base line, the ticks below it, and the axis' name below their end."""
        kind = "grid" if self._grid else "mark"
        parts = [shape("line", kind=kind, x1=self.left, x2=self.right, y1=self.bottom, y2=self.bottom)]
        free = -math.inf
        for tick in self.x_axis.ticks:
            place = self.x(tick.value)
            if "x" in self._grid:
                parts.append(upright(place, self.bottom, self.top, kind="grid"))
            elif not self._grid:
                parts.append(upright(place, self.bottom, self.bottom + 4, kind="mark"))
            reach = 7.0 if self._is_slanted else len(tick.label) * _LETTER / 2 + 3
            if place - reach >= free:  # else it would touch the one before
                parts.append(self._x_label(tick, place, reach))
                free = place + reach
        if self.x_axis.name:
            parts.append(label(self.right, self.height - 6, self.x_axis.name, kind="tick", anchor="end"))
        return parts

    def _x_label(self, tick: Tick, place: float, reach: float) -> str:
        if not self._is_slanted:
            # None goes past the edge of the drawing.
            return label(min(place, self.width + 2 - reach), self.bottom + 18, tick.label, kind="tick")
        most = int(place / _SLANTED_LETTER) - 1
        name = tick.label if len(tick.label) <= most else f"{tick.label[: max(0, most - 1)]}\u2026"
        return label(place, self.bottom + 14, name, kind="tick", anchor="end", turned=_SLANT)
