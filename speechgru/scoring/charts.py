"""Bars of error rates, the reliability chart, and misses against false accepts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from speechgru.report.axis import Axis, linear_axis, log_axis
from speechgru.report.frame import PANEL_HEIGHT, PANEL_WIDTH, Frame
from speechgru.report.html import is_number, percent, share_tick
from speechgru.report.shapes import colour_of, marker, polyline, shape, upright
from speechgru.visible import counted


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


def detection_chart(rejection: Mapping[str, Any]) -> str:
    """Misses against false accepts an hour over all thresholds, as SVG; empty where there is no curve.

    Both axes are logarithmic. A rate of 0 is drawn at half of the least that could have been counted.

    Args:
        rejection: a record of `score_rejection`.
    """
    curve = rejection.get("curve") or []
    if len(curve) < 2:
        return ""
    least_accepts, least_misses = 1800 / rejection["negative_seconds"], 0.5 / rejection["num_commands"]
    most_accepts = max(2 * least_accepts, *(point["false_accepts_per_hour"] for point in curve))
    frame = Frame(
        log_axis(least_accepts, most_accepts, name="false accepts an hour of negatives", most=5),
        log_axis(least_misses, 1.0, name="misses", describe=percent, most=5),
        width=PANEL_WIDTH,
        height=PANEL_HEIGHT,
        left=60,
        grid="xy",
    )

    def place(point: Mapping[str, Any]) -> tuple[float, float]:
        accepts, misses = point["false_accepts_per_hour"], point["miss_rate"]
        return frame.x(max(accepts, least_accepts)), frame.y(max(misses, least_misses))

    corners = [place(point) for point in curve]
    # Between two points nothing was measured: the curve goes along their worse sides.
    steps = [corners[0]]
    for (before, _), (after, height) in itertools.pairwise(corners):
        steps += [(before, height), (after, height)]
    frame.add(polyline(steps, colour="var(--series-1)"))
    marked = []
    for number, (key, name) in enumerate((("chosen", "asked"), ("in_use", "in use"))):
        point = rejection.get(key)
        if point:
            words = (
                f"{name}: {percent(point['miss_rate'])} misses at {point['false_accepts_per_hour']:.2f} false accepts "
                f"an hour, threshold {point['threshold']:.3f}"
            )
            frame.add(marker(number, *place(point), colour=colour_of(number), title=words))
            marked.append(words)
    return frame.svg("Misses against false accepts an hour", description="; ".join(marked))


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
        what = f"{counted(entry['num_words'], 'word')} of confidence {entry['mean_confidence']:.2f}"
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
        f"{percent(entry['share_right'])} right at {entry['mean_confidence']:.2f} "
        f"({counted(entry['num_words'], 'word')})"
        for entry in bins
    )
    return frame.svg("Share of right words by confidence", description=spoken)
