"""The shapes of a chart as SVG: lines, dots, texts, and labels that find a free place.

SVG is written here because what matplotlib draws has its colours and glyphs built in: it would be white on a dark page,
and its text neither searchable nor shaped for every script. Colours come from the style sheet, by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from speechgru.report.html import text
from speechgru.report.style import NUM_SERIES

#: Left, top, right, bottom, in pixels.
Box = tuple[float, float, float, float]
#: Pixels to the right and down.
Point = tuple[float, float]

#: About the width in pixels of one letter of a label.
LETTER_WIDTH = 7.0
#: The marks of a chart's series in text, by the shape that `marker` draws.
MARKS = "\u25cf\u25a0\u25c6"


def shape(tag: str, *, kind: str = "", style: str = "", title: str = "", **attributes: float | str) -> str:
    """One SVG element.

    Args:
        tag: its name, such as "line" or "circle".
        kind: its class in the style sheet.
        style: what it has of its own, in CSS.
        title: what it shows, for a reader who points at it.
        attributes: its geometry by name; numbers are rounded to a tenth of a pixel, an underscore is a hyphen, and an
            empty text leaves the attribute out.

    >>> shape("circle", kind="dot", title="trial 3", cx=10, cy=2.345, r=4)
    '<circle class="dot" cx="10" cy="2.3" r="4"><title>trial 3</title></circle>'
    """
    given = {"class": kind, "style": style} | {
        name.replace("_", "-"): _short(each) for name, each in attributes.items()
    }
    start = "".join(f' {name}="{text(value)}"' for name, value in given.items() if value != "")
    return f"<{tag}{start}><title>{text(title)}</title></{tag}>" if title else f"<{tag}{start}/>"


def _short(value: float | str) -> str:
    # The sum makes a negative zero positive.
    return value if isinstance(value, str) else f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def label(
    x: float,
    y: float,
    words: str,
    *,
    kind: str = "",
    anchor: str = "middle",
    style: str = "",
    title: str = "",
    turned: float = 0.0,
) -> str:
    """A text whose base line is at `y`.

    Args:
        x: where it is anchored.
        y: its base line.
        words: the text.
        kind: its class in the style sheet.
        anchor: whether `x` is its "start", "middle" or "end".
        style: what it has of its own, in CSS.
        title: what it means, for a reader who points at it.
        turned: degrees clockwise around its anchor.

    >>> label(10, 20, "a < b", kind="tick")
    '<text class="tick" text-anchor="middle" x="10" y="20">a &lt; b</text>'
    """
    turn = f"rotate({turned:g} {_short(x)} {_short(y)})" if turned else ""
    start = shape("text", kind=kind, style=style, text_anchor=anchor, x=x, y=y, transform=turn).removesuffix("/>")
    title_html = f"<title>{text(title)}</title>" if title else ""
    return f"{start}>{text(words)}{title_html}</text>"


def polyline(points: Iterable[Point], *, kind: str = "line", colour: str = "", style: str = "") -> str:
    """A line through points; one of the kind "area" is filled.

    >>> polyline([(0, 1), (2.25, 3)], colour="var(--series-1)")
    '<polyline class="line" style="stroke: var(--series-1)" points="0,1 2.2,3"/>'
    """
    path = " ".join(f"{_short(x)},{_short(y)}" for x, y in points)
    parts = [f"stroke: {colour}" if colour else "", f"fill: {colour}" if colour and "area" in kind else "", style]
    return shape("polyline", kind=kind, style="; ".join(part for part in parts if part), points=path)


def upright(x: float, low: float, high: float, *, kind: str, style: str = "", title: str = "") -> str:
    """A vertical line."""
    return shape("line", kind=kind, style=style, title=title, x1=x, x2=x, y1=low, y2=high)


def marker(number: int, x: float, y: float, *, colour: str, hollow: bool = False, title: str = "") -> str:
    """The mark of a series: each has a shape of its own beside its colour."""
    style = f"fill: {'var(--card)' if hollow else colour}; stroke: {colour}; stroke-width: 2"
    kind = number % len(MARKS)
    if kind == 0:
        return shape("circle", style=style, title=title, cx=x, cy=y, r=5)
    reach = 4.6 if kind == 1 else 5.0
    turn = f"rotate(45 {_short(x)} {_short(y)})" if kind == 2 else ""
    left, top, side = x - reach, y - reach, 2 * reach
    return shape("rect", style=style, title=title, x=left, y=top, width=side, height=side, transform=turn)


def place_label(words: str, x: float, y: float, *, colour: str, taken: list[Box], room: Box) -> str:
    """A point's label where it covers the least: beside the point if it can, else above, below or further off.

    Args:
        words: the label.
        x: where the point is.
        y: likewise.
        colour: of the text.
        taken: boxes that it should not cover; its own is added.
        room: the box that it should stay inside.
    """
    half, height = LETTER_WIDTH / 2 * len(words), 16.0
    places = [(side * (half + 10), shift) for shift in (0.0, -13.0, 13.0, -24.0, 24.0) for side in (1, -1)]
    places += [(0.0, shift) for shift in (-19.0, 19.0, -32.0, 32.0)]
    boxes = [
        (x + across - half, y + down - height / 2, x + across + half, y + down + height / 2) for across, down in places
    ]
    # Most of what is drawn is out of reach of every place: a sweep has a thousand dots.
    reach: Box = (x - 2 * half - 10, y - 40, x + 2 * half + 10, y + 40)
    near = [box for box in taken if _shared_area(box, reach) > 0]

    def badness(box: Box) -> float:
        outside = sum(max(0.0, room[k] - box[k]) + max(0.0, box[k + 2] - room[k + 2]) for k in (0, 1))
        return 1000 * outside + sum(_shared_area(box, other) for other in near)

    box = min(boxes, key=badness)
    taken.append(box)
    style = f"fill: {colour}; paint-order: stroke; stroke: var(--card); stroke-width: 3"
    return label((box[0] + box[2]) / 2, box[3] - 4, words, style=style)


def _shared_area(one: Box, other: Box) -> float:
    width, height = (min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1))
    return max(0.0, width) * max(0.0, height)


def around(x: float, y: float, *, reach: float = 7.0) -> Box:
    """The box around a mark."""
    return x - reach, y - reach, x + reach, y + reach


def colour_of(number: int) -> str:
    """The colour of a series, from the style sheet; after the last the first one comes again.

    >>> colour_of(0), colour_of(7)
    ('var(--series-1)', 'var(--series-2)')
    """
    return f"var(--series-{number % NUM_SERIES + 1})"


def svg_element(
    parts: Sequence[str], *, width: float, height: float, name: str, description: str = "", fixed: bool = False
) -> str:
    """The SVG around its parts.

    Its name is an `aria-label` rather than a `title`, which a browser would show wherever a reader points.

    Args:
        parts: its elements, the lowest first.
        width: of the drawing, in pixels.
        height: likewise.
        name: what it is, for a reader who cannot see it.
        description: what it shows, likewise.
        fixed: whether it is `width` pixels wide; else as wide as its place.
    """
    size = f'width="{_short(width)}" height="{_short(height)}"' if fixed else 'width="100%"'
    box = f'viewBox="0 0 {_short(width)} {_short(height)}"'
    inner = "".join([f"<desc>{text(description)}</desc>" if description else "", *parts])
    return f'<svg role="img" aria-label="{text(name)}" {box} {size}>{inner}</svg>'
