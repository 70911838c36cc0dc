"""Bars of error rates and the reliability chart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from speechgru.report.axis import Axis, linear_axis
from speechgru.report.frame import PANEL_HEIGHT, PANEL_WIDTH, Frame
from speechgru.report.html import is_number, percent, share_tick
from speechgru.report.shapes import polyline, shape, upright


def rate_bar(rate: Any, *, interval: Any = None, overall: Any = None, highest: float) -> str:
    """A rate as a bar for a row of a table, with its interval as a line and the overall rate as a dashed one.

    Args:
        rate: a fraction; without a finite one there is no bar.
        interval: low and high.
        overall: the rate of the complete set.
        highest: the rate at the right end; every row of a table has the same. A longer interval is cut there.
    """

    def finite(value: Any) -> bool:
        return is_number(value) and math.isfinite(value)

    axis, start, end = Axis(0.0, highest if highest > 0 else 1.0), 1.0, 259.0

    def x(value: float) -> float:
        return axis.pixel(value, start, end)

    parts = []
    if finite(rate):
        parts.append(shape("rect", kind="bar", x=start, y=4, width=x(rate) - start, height=12))
    if isinstance(interval, Sequence) and len(interval) == 2 and all(map(is_number, interval)) and finite(interval[0]):
        is_cut = interval[1] > highest
        low, high = x(interval[0]), end if is_cut else x(interval[1])
        parts.append(shape("line", kind="range", x1=low, x2=high, y1=10, y2=10))
        parts.extend(upright(place, 6.5, 13.5, kind="range") for place in ([low] if is_cut else [low, high]))
    if finite(overall) and overall <= highest:
        parts.append(upright(x(overall), 0, 20, kind="overall"))
    box = 'viewBox="0 0 260 20" preserveAspectRatio="none"'  # as wide as its column
    return f'<svg aria-hidden="true" {box} width="100%" height="20">{"".join(parts)}</svg>'


def reliability_chart(bins: Sequence[Mapping[str, Any]]) -> str:
    """The share of right words against their mean confidence, as SVG; empty where there is no bin.

    Args:
        bins: records with `num_words`, `mean_confidence`, `share_right` and `right_interval`, drawn as a vertical
            line; a bin's dot is as large as its words are many.
    """
    if not bins:
        return ""
    ticks = (0.0, 0.25, 0.5, 0.75, 1.0)
    frame = Frame(
        linear_axis(0.0, 1.0, at=ticks, name="mean confidence of a bin"),
        linear_axis(0.0, 1.0, at=ticks, describe=share_tick),
        width=PANEL_WIDTH,
        height=PANEL_HEIGHT,
        right=24,
    )
    places = [(frame.x(entry["mean_confidence"]), frame.y(entry["share_right"])) for entry in bins]
    frame.add(
        shape("line", kind="overall", x1=frame.left, y1=frame.bottom, x2=frame.right, y2=frame.top),
        polyline(places, colour="var(--series-1)"),
    )
    for entry, (middle, _) in zip(bins, places, strict=True):
        low, high = entry.get("right_interval") or [entry["share_right"]] * 2
        frame.add(upright(middle, frame.y(low), frame.y(high), kind="range"))
    most = max(entry["num_words"] for entry in bins)
    for entry, (middle, top) in zip(bins, places, strict=True):
        what = f"{entry['num_words']:,} words of confidence {entry['mean_confidence']:.2f}"
        frame.add(
            shape(
                "circle",
                style="fill: var(--series-1)",
                title=f"{what}: {percent(entry['share_right'])} right",
                cx=middle,
                cy=top,
                r=3 + 6 * math.sqrt(entry["num_words"] / most),
            )
        )
    spoken = "; ".join(
        f"{percent(entry['share_right'])} right at {entry['mean_confidence']:.2f} ({entry['num_words']:,} words)"
        for entry in bins
    )
    return frame.svg("Share of right words by confidence", description=spoken)
