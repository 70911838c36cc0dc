"""One self-contained HTML page around its sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from speechgru.report import html
from speechgru.report.line_chart import num_undrawn
from speechgru.report.style import style_sheet

Record = Mapping[str, Any]

# No script and nothing from elsewhere can run in the page, whatever a transcript holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"

_FOOTER = (
    "Error rates are all errors over all reference words or characters of a set. "
    "A real-time factor is seconds of computing per second of audio."
)


def page(title: str, sections_html: Sequence[str], *, footer: str = _FOOTER) -> str:
    """The whole document around its sections."""
    links = "".join(
        f'<li><a href="#{identifier}">{heading}</a></li>' for identifier, heading in map(_name_of, sections_html)
    )
    nav = f'<nav aria-label="Sections"><ul>{links}</ul></nav>' if len(sections_html) > 1 else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.text(title)}</title>\n<style>\n{style_sheet()}\n</style>\n</head>\n<body>\n"
        f"<header><h1>{html.text(title)}</h1>{nav}</header>\n<main>\n"
        + "\n".join(sections_html)
        + f"\n</main>\n<footer><p>{html.text(footer)}</p></footer>\n</body>\n</html>\n"
    )


def _name_of(section_html: str) -> tuple[str, str]:
    """A section's id and its title, from what `html.section` wrote."""
    identifier = section_html.split('id="', 1)[1].split('"', 1)[0]
    return identifier, section_html.split("<h2", 1)[1].split(">", 1)[1].split("</h2>", 1)[0]


def chart_panels(charts: Sequence[tuple[str, str, Sequence[str]]], history: Sequence[Record]) -> str:
    """Charts of a history side by side: each its SVG, empty where it has nothing to show, its caption, and its keys."""
    inner = ""
    for svg, caption, keys in charts:
        if not svg:
            continue
        undrawn = num_undrawn(history, keys=keys)
        if undrawn:
            caption += f"; {undrawn:,} {'value is' if undrawn == 1 else 'values are'} not finite and not drawn"
        inner += f"<figure>{svg}<figcaption>{html.text(caption)}</figcaption></figure>"
    return f'<div class="panels">{inner}</div>' if inner else ""


def with_aside(value: str, aside: str) -> str:
    """A value with a second line below it, where there is one."""
    return f"{value}\n{aside}" if aside else value
