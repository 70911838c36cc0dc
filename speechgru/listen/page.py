"""The page that plays and shows what training hears: each recording over its augmented copies.

Sound and pictures are files beside the page, named by relative links, so that the folder moves as one and opens from
a disk as well as from a server. The pictures' axes are drawn here, in the page's own theme and font.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechgru.files import write_text
from speechgru.report import html
from speechgru.report.charts import Axis
from speechgru.report.style import style_sheet

# No script can run, and nothing is fetched but from beside the page. A page opened from a disk has no origin that
# 'self' could mean, hence file:, which a served page cannot reach.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' file:; media-src 'self' file:"

_WIDTH, _HEIGHT = 400, 163
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 386, 12, 142
#: Ticks of the frequency axis stand at least so many pixels apart.
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
svg .mark { stroke: var(--muted); stroke-width: 1; }
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
class Heard:
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
    utterances: Sequence[Heard],
    hz_ticks: Sequence[tuple[str, float]],
) -> Path:
    """Writes the page.

    Args:
        path: the file to write, in the folder that holds its sounds and pictures.
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
    sections = [("settings", "What is done", html.definitions(settings, kind="facts") + _paragraphs(reading))]
    sections += [
        (f"utterance-{number}", heard.title, _utterance(heard, ticks)) for number, heard in enumerate(utterances, 1)
    ]
    links = "".join(f'<li><a href="#{name}">{html.text(heading)}</a></li>' for name, heading, _ in sections)
    body = "\n".join(html.section(name, heading, inner) for name, heading, inner in sections)
    path = Path(path)
    write_text(
        path,
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.text(title)}</title>\n<style>\n{style_sheet()}\n{_RULES.strip()}\n</style>\n</head>\n<body>\n"
        f'<header><h1>{html.text(title)}</h1><p class="lead">{html.text(lead)}</p>'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n<main>\n{body}\n</main>\n</body>\n</html>\n',
    )
    return path


def _paragraphs(texts: Sequence[str]) -> str:
    return "".join(f'<p class="quiet">{html.text(value)}</p>' for value in texts)


def _utterance(heard: Heard, ticks: Sequence[tuple[str, float]]) -> str:
    # Copies are slower or faster and have quiet around them: on one time axis that shows.
    longest = max(picture.duration for version in heard.versions for picture in version.pictures)
    facts = " · ".join(html.text(fact) for fact in heard.facts)
    quote = f'<p class="quote" dir="auto">“{html.text(heard.text)}”</p>' if heard.text else ""
    versions = "".join(_version(version, heard, ticks, longest) for version in heard.versions)
    return f'<p class="quiet">{facts}</p>{quote}{versions}'


def _version(version: Version, heard: Heard, ticks: Sequence[tuple[str, float]], longest: float) -> str:
    name = html.text(f"{version.name} of {heard.title}")
    facts = "".join(f"<li>{html.text(fact)}</li>" for fact in version.facts)
    figures = "".join(
        f"<figure>{_svg(picture, ticks, longest, label=f'{picture.caption}, {version.name} of {heard.title}')}"
        f"<figcaption>{html.text(picture.caption)}</figcaption></figure>"
        for picture in version.pictures
    )
    return (
        f'<article class="version"><div><h3>{html.text(version.name)}</h3>'
        f'<audio controls preload="metadata" aria-label="{name}" src="{html.text(version.audio)}"></audio>'
        f"{f'<ul>{facts}</ul>' if facts else ''}</div>{figures}</article>"
    )


def _svg(picture: Picture, ticks: Sequence[tuple[str, float]], longest: float, *, label: str) -> str:
    x, y = Axis(0.0, longest, _LEFT, _RIGHT), Axis(0.0, 1.0, _BOTTOM, _TOP)
    right = float(x(picture.duration))
    across = Axis(0.0, 1.0, _LEFT, right)
    # Few frames stand as the blocks they are; more frames than pixels are averaged by the browser.
    blocks = ' style="image-rendering: pixelated"' if picture.num_frames < right - _LEFT else ""
    parts = [
        f'<image x="{_LEFT}" y="{_TOP}" width="{right - _LEFT:.1f}" height="{_BOTTOM - _TOP}"{blocks} '
        f'preserveAspectRatio="none" href="{html.text(picture.image)}"/>'
    ]
    if picture.guide is not None and 0 <= picture.guide <= 1:
        height = f"{y(picture.guide):.1f}"
        parts.append(f'<line class="warp" x1="{_LEFT}" x2="{right:.1f}" y1="{height}" y2="{height}"/>')
    for band in picture.time_masks:
        start, end = float(across(band.start)), float(across(band.end))
        parts.append(_mark(band, x=start, y=_TOP - 7, width=end - start, height=5))
    for band in picture.frequency_masks:
        high, low = float(y(band.end)), float(y(band.start))
        parts.append(_mark(band, x=right + 3, y=high, width=5, height=low - high))
    for name, share in ticks:
        height = float(y(share))
        parts.append(
            f'<line class="mark" x1="{_LEFT - 4}" x2="{_LEFT}" y1="{height:.1f}" y2="{height:.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{_LEFT - 7}" y="{height + 4:.1f}">{html.text(name)}</text>'
        )
    parts.append(f'<text class="tick" text-anchor="end" x="{_LEFT - 7}" y="{_BOTTOM + 17}">Hz</text>')
    parts.append(f'<line class="mark" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>')
    seconds = x.ticks(5)
    for tick in seconds:
        place = float(x(tick))
        # Only the last one has the unit, and none goes past the edge.
        label_x, anchor, unit = (place, "middle", "") if tick < seconds[-1] else (min(place + 14, _WIDTH), "end", " s")
        parts.append(
            f'<line class="mark" x1="{place:.1f}" x2="{place:.1f}" y1="{_BOTTOM}" y2="{_BOTTOM + 4}"/>'
            f'<text class="tick" text-anchor="{anchor}" x="{label_x:.1f}" y="{_BOTTOM + 17}">{tick:.4g}{unit}</text>'
        )
    return (
        f'<svg role="img" aria-label="{html.text(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="100%">'
        f"{''.join(parts)}</svg>"
    )


def _mark(band: Band, *, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="mask" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
        f"<title>{html.text(band.name)}</title></rect>"
    )


def _that_fit(ticks: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """The ticks inside the axis that do not stand on one another, the first ones kept."""
    kept: list[tuple[str, float]] = []
    for name, share in ticks:
        far = all(abs(share - other) * (_BOTTOM - _TOP) >= _TICK_PIXELS for _, other in kept)
        if 0 <= share <= 1 and far:
            kept.append((name, share))
    return kept
