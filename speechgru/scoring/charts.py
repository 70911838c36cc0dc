"""Bars of error rates and the reliability chart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from speechgru.report.charts import PANEL_HEIGHT, PANEL_WIDTH, Axis, svg_element
from speechgru.report.html import is_number, percent


def rate_bar(rate: Any, *, interval: Any = None, whole: Any = None, highest: float) -> str:
    """A rate as a bar for a row of a table, with its interval as a line and the whole set's rate as a dashed one.

    Args:
        rate: a fraction; without a finite one there is no bar.
        interval: low and high.
        whole: the rate of everything together.
        highest: the rate at the right end; every row of a table has the same. An interval that goes on is cut there.
    """

    def finite(value: Any) -> bool:
        return is_number(value) and math.isfinite(value)

    x = Axis(0.0, highest if highest > 0 else 1.0, 1, 259)
    parts = []
    if finite(rate):
        parts.append(f'<rect class="bar" x="{x.start}" y="4" width="{x(rate) - x.start:.1f}" height="12"/>')
    if isinstance(interval, Sequence) and len(interval) == 2 and all(map(is_number, interval)) and finite(interval[0]):
        low, high = x(interval[0]), min(x(min(interval[1], 1e9)), x.end)
        parts.append(f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="10" y2="10"/>')
        parts.extend(
            f'<line class="range" x1="{end:.1f}" x2="{end:.1f}" y1="6.5" y2="13.5"/>'
            for end in ([low] if high == x.end and interval[1] > highest else [low, high])
        )
    if finite(whole) and whole <= highest:
        parts.append(f'<line class="whole" x1="{x(whole):.1f}" x2="{x(whole):.1f}" y1="0" y2="20"/>')
    box = 'viewBox="0 0 260 20" preserveAspectRatio="none"'  # as wide as its column
    return f'<svg aria-hidden="true" {box} width="100%" height="20">{"".join(parts)}</svg>'


def reliability_chart(bins: Sequence[Mapping[str, Any]]) -> str:
    """The share of right words against their mean confidence, as SVG; empty where there is no bin.

    Args:
        bins: records with `num_words`, `mean_confidence`, `share_right` and `right_interval`, drawn as an upright
            line; a bin's dot is as large as its words are many.
    """
    if not bins:
        return ""
    x = Axis(0.0, 1.0, 52, PANEL_WIDTH - 24)
    y = Axis(0.0, 1.0, PANEL_HEIGHT - 44, 14)
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        share = f"{100 * tick:.0f}\u202f%"
        parts.append(
            f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{x.start - 7}" y="{y(tick) + 4:.1f}">{share}</text>'
            f'<text class="tick" text-anchor="middle" x="{x(tick):.1f}" y="{y.start + 18:.1f}">{tick:g}</text>'
        )
    parts.append(
        f'<line class="whole" x1="{x.start}" y1="{y.start}" x2="{x.end}" y2="{y.end}"/>'
        f'<text class="tick" text-anchor="end" x="{x.end}" y="{PANEL_HEIGHT - 6}">mean confidence of a bin</text>'
    )
    most = max(entry["num_words"] for entry in bins)
    path = " ".join(f"{x(entry['mean_confidence']):.1f},{y(entry['share_right']):.1f}" for entry in bins)
    parts.append(f'<polyline class="line" style="stroke: var(--series-1)" points="{path}"/>')
    for entry in bins:
        low, high = entry.get("right_interval") or [entry["share_right"]] * 2
        middle = f"{x(entry['mean_confidence']):.1f}"
        parts.append(f'<line class="range" x1="{middle}" x2="{middle}" y1="{y(low):.1f}" y2="{y(high):.1f}"/>')
    parts.extend(
        f'<circle cx="{x(entry["mean_confidence"]):.1f}" cy="{y(entry["share_right"]):.1f}" '
        f'r="{3 + 6 * math.sqrt(entry["num_words"] / most):.1f}" style="fill: var(--series-1)">'
        f"<title>{entry['num_words']:,} words of confidence {entry['mean_confidence']:.2f}: "
        f"{percent(entry['share_right'])} right</title></circle>"
        for entry in bins
    )
    spoken = "; ".join(
        f"{percent(entry['share_right'])} right at {entry['mean_confidence']:.2f} ({entry['num_words']:,} words)"
        for entry in bins
    )
    return svg_element(
        parts, width=PANEL_WIDTH, height=PANEL_HEIGHT, label=f"Share of right words by confidence: {spoken}"
    )
