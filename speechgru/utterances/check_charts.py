"""The figures of the corpus doctor's page, as SVG that follows the page's theme.

They need no matplotlib, which is not there where recordings are only checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from speechgru.report import html
from speechgru.report.charts import Axis
from speechgru.report.style import NUM_SERIES

Record = Mapping[str, Any]

_PANEL_WIDTH, _PANEL_HEIGHT = 460, 240
_MAX_CHARACTERS = 60
#: How a space is shown.
_OPEN_BOX = "\u2423"


def legend(names: Sequence[str]) -> str:
    """Which colour is which manifest's; empty for a single one."""
    if len(names) < 2:
        return ""
    entries = "".join(
        f'<span style="margin-right: 1.2rem"><span aria-hidden="true" style="color: {_colour(k)}">\u25a0</span> '
        f"{html.text(name)}</span>"
        for k, name in enumerate(names)
    )
    return f'<p class="quiet">{entries}</p>'


def histogram(chart: Record, *, title: str, unit: str, names: Sequence[str]) -> str:
    """How a number is spread, as SVG: counts for one manifest, shares of each where there are several to compare.

    Args:
        chart: `edges` and a list of `counts` a manifest.
        title: what the number is.
        unit: its unit, or empty.
        names: the manifests.
    """
    edges, counts = chart["edges"], chart["counts"]
    totals = [sum(entry) for entry in counts]
    if not any(totals):
        return ""
    compare = len(counts) > 1
    heights = [
        [count / total if compare else count for count in entry] if total else []
        for entry, total in zip(counts, totals, strict=True)
    ]
    highest = max(height for entry in heights for height in entry)
    x = Axis(edges[0], edges[-1], 56, _PANEL_WIDTH - 12)
    y = Axis(0.0, highest * 1.05, _PANEL_HEIGHT - 26, 12)
    describe: Callable[[float], str] = html.percent if compare else lambda value: f"{value:,.6g}"
    scale, sign = (100, "\u202f%") if compare else (1, "")
    parts = []
    for tick in round_ticks(0.0, highest, most=5):
        parts.append(
            f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{x.start - 7}" y="{y(tick) + 4:.1f}">'
            f"{scale * tick:,.6g}{sign}</text>"
        )
    for tick in round_ticks(edges[0], edges[-1], most=8):
        parts.append(
            f'<text class="tick" text-anchor="middle" x="{x(tick):.1f}" y="{y.start + 18:.1f}">{tick:g}</text>'
        )
    spoken = []
    for k, entry in enumerate(heights):
        if not entry:
            continue
        points = [f"{x(edges[0]):.1f},{y(0):.1f}"]
        for low, high, height in zip(edges, edges[1:], entry, strict=False):
            points += [f"{x(low):.1f},{y(height):.1f}", f"{x(high):.1f},{y(height):.1f}"]
        points.append(f"{x(edges[-1]):.1f},{y(0):.1f}")
        parts.append(
            f'<polygon class="area" style="stroke: {_colour(k)}; fill: {_colour(k)}" points="{" ".join(points)}"/>'
        )
        peak = max(range(len(entry)), key=entry.__getitem__)
        spoken.append(
            f"{names[k]}: most between {edges[peak]:g} and {edges[peak + 1]:g} {unit}".rstrip()
            + f" ({describe(entry[peak])} of {totals[k]:,})"
        )
    if not compare:  # with a single one every bin can tell its number
        parts += [
            f'<rect x="{x(low):.1f}" y="{y.end}" width="{x(high) - x(low):.1f}" height="{y.start - y.end}" '
            f'fill="transparent"><title>{low:g} to {high:g} {unit}: {count:,}</title></rect>'
            for low, high, count in zip(edges, edges[1:], counts[0], strict=False)
        ]
    return _svg(parts, width=_PANEL_WIDTH, height=_PANEL_HEIGHT, label=f"{title}: {'; '.join(spoken)}")


def round_ticks(low: float, high: float, *, most: int) -> list[float]:
    """At most about so many round values from `low` to `high`."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def character_chart(manifests: Sequence[Record]) -> str:
    """How often each character stands in the texts of all manifests, on a logarithmic axis."""
    counts: dict[str, int] = {}
    unknown = set()
    for entry in manifests:
        for found in entry["characters"]:
            counts[found["character"]] = counts.get(found["character"], 0) + found["count"]
            if not found["known"]:
                unknown.add(found["character"])
    if not counts:
        return ""
    ordered = sorted(counts, key=lambda character: (character in unknown, -counts[character]))
    shown = (
        ordered
        if len(ordered) <= _MAX_CHARACTERS
        else [*ordered[: _MAX_CHARACTERS // 2], *ordered[-_MAX_CHARACTERS // 2 :]]
    )
    pitch = 26
    width, height = 56 + pitch * len(shown) + 12, 230
    y = Axis(0.5, max(2.0, max(counts.values()) * 1.3), height - 34, 12, log=True)
    parts = []
    for tick in (10.0**power for power in range(int(math.log10(y.high)) + 1)):
        parts.append(
            f'<line class="grid" x1="56" x2="{width - 12}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text class="tick" text-anchor="end" x="49" y="{y(tick) + 4:.1f}">{tick:,.0f}</text>'
        )
    for k, character in enumerate(shown):
        left, top = 56 + pitch * k, float(y(counts[character]))
        colour = "var(--lost)" if character in unknown else "var(--series-1)"
        code = f"U+{ord(character):04X}"
        parts.append(
            f'<rect x="{left + 3}" y="{top:.1f}" width="{pitch - 6}" height="{y.start - top:.1f}" '
            f'style="fill: {colour}"><title>{html.text(character)} ({code}): {counts[character]:,}</title></rect>'
            f'<text text-anchor="middle" x="{left + pitch / 2}" y="{y.start + 18:.1f}">'
            f"{html.text(character.replace(' ', _OPEN_BOX))}</text>"
        )
    caption = f"{len(counts):,} characters by how often they stand in the texts, on a logarithmic axis"
    if len(shown) < len(ordered):
        caption += f"; the middle {len(ordered) - len(shown):,} are not drawn"
    if unknown:
        described = ", ".join(
            f"{character} (U+{ord(character):04X}, {counts[character]:,}\u00d7)"
            for character in ordered
            if character in unknown
        )
        caption += f". Not in the vocabulary, in red: {described}"
    label = ", ".join(f"{'space' if character == ' ' else character} {counts[character]:,}" for character in shown)
    svg = (
        f'<svg role="img" aria-label="{html.text(f"Characters: {label}")}" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">{"".join(parts)}</svg>'
    )
    return (
        f'<figure style="margin: 1rem 0">{html.scroll(svg, name="Characters", wide=True)}'
        f"<figcaption>{html.text(caption)}.</figcaption></figure>"
    )


def _colour(number: int) -> str:
    return f"var(--series-{number % NUM_SERIES + 1})"


def _svg(parts: Sequence[str], *, width: int, height: int, label: str) -> str:
    return (
        f'<svg role="img" aria-label="{html.text(label)}" viewBox="0 0 {width} {height}" width="100%">'
        f"{''.join(parts)}</svg>"
    )
