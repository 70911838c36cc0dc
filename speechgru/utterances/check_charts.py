"""The charts of the corpus doctor's page: how recordings are spread, and which characters the texts have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from speechgru.report import html
from speechgru.report.axis import category_axis, linear_axis, log_axis
from speechgru.report.frame import PANEL_WIDTH, Frame
from speechgru.report.page import Record
from speechgru.report.shapes import colour_of, polyline, shape
from speechgru.visible import counted

#: Characters that are drawn, and pixels from one to the next.
_MAX_CHARACTERS, _PITCH = 60, 26
#: How a space is shown.
_OPEN_BOX = "\u2423"


def manifest_key(names: Sequence[str]) -> str:
    """Which colour is which manifest's; empty for a single one."""
    return html.key(("\u25a0", colour_of(k), name) for k, name in enumerate(names)) if len(names) > 1 else ""


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
    describe: Callable[[float], str] = html.percent if compare else html.short
    frame = Frame(
        linear_axis(edges[0], edges[-1], most=8),
        linear_axis(0.0, highest * 1.05, most=5, describe=html.share_tick if compare else html.short),
        width=PANEL_WIDTH,
        height=240,
        left=56,
    )
    spoken = []
    for k, entry in enumerate(heights):
        if not entry:
            continue
        outline = [(frame.x(edges[0]), frame.bottom)]
        for low, high, height in zip(edges, edges[1:], entry, strict=False):
            outline += [(frame.x(low), frame.y(height)), (frame.x(high), frame.y(height))]
        outline.append((frame.x(edges[-1]), frame.bottom))
        frame.add(polyline(outline, kind="area", colour=colour_of(k)))
        peak = max(range(len(entry)), key=entry.__getitem__)
        spoken.append(
            f"{names[k]}: most between {edges[peak]:g} and {edges[peak + 1]:g} {unit}".rstrip()
            + f" ({describe(entry[peak])} of {totals[k]:,})"
        )
    if not compare:  # every bin of a single manifest shows its number when pointed at
        for low, high, count in zip(edges, edges[1:], counts[0], strict=False):
            frame.add(
                shape(
                    "rect",
                    title=f"{low:g} to {high:g} {unit}: {count:,}",
                    fill="transparent",
                    x=frame.x(low),
                    y=frame.top,
                    width=frame.x(high) - frame.x(low),
                    height=frame.bottom - frame.top,
                )
            )
    return frame.svg(title, description="; ".join(spoken))


def character_chart(manifests: Sequence[Record]) -> str:
    """How often each character is in the texts of all manifests, on a logarithmic axis."""
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
    names = [character.replace(" ", _OPEN_BOX) for character in shown]
    highest = max(2.0, max(counts.values()) * 1.3)
    powers = [10.0**power for power in range(int(math.log10(highest)) + 1)]
    frame = Frame(
        category_axis(names),
        log_axis(0.5, highest, at=powers, describe=html.count),
        width=56 + _PITCH * len(shown) + 12,
        height=230,
        left=56,
        right=12,
    )
    for k, character in enumerate(shown):
        top, colour = frame.y(counts[character]), "var(--lost)" if character in unknown else "var(--series-1)"
        frame.add(
            shape(
                "rect",
                style=f"fill: {colour}",
                title=f"{character} (U+{ord(character):04X}): {counts[character]:,}",
                x=frame.x(k) - _PITCH / 2 + 3,
                y=top,
                width=_PITCH - 6,
                height=frame.bottom - top,
            )
        )
    caption = f"{counted(len(counts), 'character')} by how often each is in the texts, on a logarithmic axis"
    if len(shown) < len(ordered):
        caption += f"; the middle {len(ordered) - len(shown):,} are not drawn"
    if unknown:
        described = ", ".join(
            f"{character} (U+{ord(character):04X}, {counts[character]:,}\u00d7)"
            for character in ordered
            if character in unknown
        )
        caption += f". Not in the vocabulary, in red: {described}"
    spoken = ", ".join(f"{'space' if character == ' ' else character} {counts[character]:,}" for character in shown)
    svg = frame.svg("Characters by how often they are in the texts", description=spoken, fixed=True)
    return (
        f'<figure style="margin: 1rem 0">{html.scroll(svg, name="Characters", wide=True)}'
        f"<figcaption>{html.text(caption)}.</figcaption></figure>"
    )
