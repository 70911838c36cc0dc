"""The page that plays and shows what training reads: each recording over its augmented copies.

Sound and pictures are files beside the page, named by relative links, so that the folder moves as one and opens from
a disk as well as from a server. The pictures' axes are drawn in the page, in its own theme and font.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechgru.report import html
from speechgru.report.axis import Axis, Tick, time_axis
from speechgru.report.frame import Frame
from speechgru.report.page import write_page
from speechgru.report.shapes import label, shape

#: The size of a picture and its margins, in pixels.
_WIDTH, _HEIGHT = 400, 163
_LEFT, _TOP, _BOTTOM = 46, 12, 21
#: Ticks of the frequency axis are at least this many pixels apart.
_TICK_PIXELS = 15

_RULES = """
.version { display: grid; grid-template-columns: minmax(14rem, 1fr) minmax(0, 25rem) minmax(0, 25rem);
  gap: .4rem 1.2rem; border-top: 1px solid var(--rule); padding: .9rem 0; align-items: start; }
.version:last-child { padding-bottom: 0; }
.version figure + figure { margin-top: 0; }
.version ul { margin: .45rem 0 0; padding: 0 0 0 1.1rem; font-size: .9rem; }
.version figcaption { padding-left: .2rem; min-height: 1.5em; }
.quote { font-size: 1.05rem; margin: 0 0 .7rem; }
main, header, footer { max-width: 76rem; }
.version header { padding: 0; margin: 0; }
svg .warp { stroke: #fff; stroke-width: 1.25; stroke-dasharray: 2 4; stroke-opacity: .85; }
svg .mask { fill: var(--series-2); }
@media (max-width: 62rem) { .version { grid-template-columns: minmax(0, 1fr); } }
"""


@dataclass(frozen=True)
class Band:
    """A hidden band: from where to where along its axis, as shares of it, and what to call it."""

    start: float
    end: float
    name: str


@dataclass(frozen=True)
class Picture:
    """A log-mel as an image file with what its axes say.

    Args:
        image: the file, relative to the page.
        caption: what it shows.
        duration: seconds that the image spans.
        num_frames: the image's width in frames.
        guide: the height of the dotted line as a share of the frequency axis, from below; None draws none.
        time_masks: hidden stretches of time, as shares of the image.
        frequency_masks: hidden stretches of frequency, as shares of the axis.
    """

    image: str
    caption: str
    duration: float
    num_frames: int
    guide: float | None = None
    time_masks: Sequence[Band] = ()
    frequency_masks: Sequence[Band] = ()


@dataclass(frozen=True)
class Version:
    """The recording, or one of its copies: its sound, what was done to it, and its pictures."""

    name: str
    audio: str
    facts: Sequence[str]
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Example:
    """One utterance of the page.

    Args:
        title: its name.
        text: its transcript.
        facts: speaker, length and the like.
        versions: the recording and its copies.
    """

    title: str
    text: str
    facts: Sequence[str]
    versions: Sequence[Version] = field(default_factory=tuple)


def write_listening_page(
    path: str | Path,
    *,
    title: str,
    lead: str,
    settings: Sequence[tuple[str, Any]],
    reading: Sequence[str],
    utterances: Sequence[Example],
    hz_ticks: Sequence[tuple[str, float]],
) -> Path:
    """Writes the page.

    Args:
        path: the file to write, in the folder of its sounds and pictures.
        title: the page's title.
        lead: what it is, in a sentence or two.
        settings: what is done and how strongly, as (label, value).
        reading: how to read it, a paragraph each.
        utterances: what to play and show.
        hz_ticks: the frequency axis of all pictures: labels, most important first, and their heights as shares from
            below.

    Returns:
        `path`.

    Raises:
        UserError: the file cannot be written.
    """
    ticks = _that_fit(hz_ticks)
    sections = [
        html.section(
            "settings",
            "What is done",
            html.definitions(settings, kind="facts") + html.paragraphs(reading, kind="quiet"),
        ),
        *(
            html.section(f"utterance-{number}", example.title, _utterance(example, ticks))
            for number, example in enumerate(utterances, 1)
        ),
    ]
    return write_page(path, title, sections, lead=lead, footer="", rules=_RULES, beside=True)


def _utterance(example: Example, ticks: Sequence[Tick]) -> str:
    # Copies are slower or faster and have silence around them, which one time axis makes visible.
    longest = max(picture.duration for version in example.versions for picture in version.pictures)
    facts = " · ".join(html.text(fact) for fact in example.facts)
    quote = f'<p class="quote" dir="auto">“{html.text(example.text)}”</p>' if example.text else ""
    versions = "".join(_version(version, example, ticks, longest) for version in example.versions)
    return f'<p class="quiet">{facts}</p>{quote}{versions}'


def _version(version: Version, example: Example, ticks: Sequence[Tick], longest: float) -> str:
    name = html.text(f"{version.name} of {example.title}")
    facts = "".join(f"<li>{html.text(fact)}</li>" for fact in version.facts)
    figures = "".join(
        f"<figure>{_svg(picture, ticks, longest, name=f'{picture.caption}, {version.name} of {example.title}')}"
        f"<figcaption>{html.text(picture.caption)}</figcaption></figure>"
        for picture in version.pictures
    )
    return (
        f'<article class="version"><div><h3>{html.text(version.name)}</h3>'
        f'<audio controls preload="metadata" aria-label="{name}" src="{html.text(version.audio)}"></audio>'
        f"{f'<ul>{facts}</ul>' if facts else ''}</div>{figures}</article>"
    )


def _svg(picture: Picture, ticks: Sequence[Tick], longest: float, *, name: str) -> str:
    frame = Frame(
        time_axis(longest),
        Axis(0.0, 1.0, ticks),
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        top=_TOP,
        bottom=_BOTTOM,
        grid="",
    )
    right, height = frame.x(picture.duration), frame.bottom - frame.top
    # Few frames are shown as blocks; more frames than pixels are averaged by the browser.
    blocks = "image-rendering: pixelated" if picture.num_frames < right - frame.left else ""
    frame.add(
        shape(
            "image",
            style=blocks,
            x=frame.left,
            y=frame.top,
            width=right - frame.left,
            height=height,
            preserveAspectRatio="none",
            href=picture.image,
        )
    )
    if picture.guide is not None and 0 <= picture.guide <= 1:
        level = frame.y(picture.guide)
        frame.add(shape("line", kind="warp", x1=frame.left, x2=right, y1=level, y2=level))
    across = Axis(0.0, 1.0)
    for band in picture.time_masks:
        start, end = (across.pixel(edge, frame.left, right) for edge in (band.start, band.end))
        frame.add(shape("rect", kind="mask", title=band.name, x=start, y=_TOP - 7, width=end - start, height=5))
    for band in picture.frequency_masks:
        high, low = frame.y(band.end), frame.y(band.start)
        frame.add(shape("rect", kind="mask", title=band.name, x=right + 3, y=high, width=5, height=low - high))
    frame.add(label(frame.left - 7, frame.bottom + 18, "Hz", kind="tick", anchor="end"))
    return frame.svg(name)


def _that_fit(ticks: Sequence[tuple[str, float]]) -> list[Tick]:
    """The ticks inside the axis that do not cover one another, the first ones kept."""
    kept: list[Tick] = []
    for name, share in ticks:
        far = all(abs(share - other.value) * (_HEIGHT - _TOP - _BOTTOM) >= _TICK_PIXELS for other in kept)
        if 0 <= share <= 1 and far:
            kept.append(Tick(share, name))
    return kept
