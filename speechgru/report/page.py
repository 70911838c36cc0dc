"""One self-contained HTML page around its sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechgru.files import write_text
from speechgru.report import html
from speechgru.report.style import style_sheet

Record = Mapping[str, Any]

_FOOTER = (
    "Error rates are all errors over all reference words or characters of a set. "
    "A real-time factor is seconds of computing per second of audio."
)


def write_page(
    path: str | Path,
    title: str,
    sections_html: Sequence[str],
    *,
    lead: str = "",
    footer: str = _FOOTER,
    rules: str = "",
    beside: bool = False,
) -> Path:
    """Writes a page as one HTML file; its folder is made when missing, an older file is replaced atomically.

    Args:
        path: the file to write; the others are those of `page`.

    Returns:
        `path`.

    Raises:
        UserError: the file cannot be written.
    """
    path = Path(path)
    write_text(path, page(title, sections_html, lead=lead, footer=footer, rules=rules, beside=beside))
    return path


def page(
    title: str,
    sections_html: Sequence[str],
    *,
    lead: str = "",
    footer: str = _FOOTER,
    rules: str = "",
    beside: bool = False,
) -> str:
    """The complete document around its sections; nothing in it can run a script, whatever a transcript contains.

    Args:
        title: the page's title and main heading.
        sections_html: what `html.section` wrote, in order; empty ones are left out.
        lead: what the page is, below its title.
        footer: how to read it, at its end; empty leaves it out.
        rules: style rules of this page alone, after those of all pages.
        beside: whether sounds and pictures are files in the page's own folder; else they are within the page, which
            can load nothing.

    >>> from speechgru.report import html
    >>> document = page("One run", [html.section("result", "Result", "<p>All is well.</p>"), ""])
    >>> "<h1>One run</h1>" in document, "<script" in document
    (True, False)
    """
    sections = [section for section in sections_html if section]
    links = "".join(
        f'<li><a href="#{identifier}">{heading}</a></li>' for identifier, heading in map(_name_of, sections)
    )
    nav_html = f'<nav aria-label="Sections"><ul>{links}</ul></nav>' if len(sections) > 1 else ""
    lead_html = f'<p class="lead">{html.text(lead)}</p>' if lead else ""
    footer_html = f"<footer><p>{html.text(footer)}</p></footer>\n" if footer else ""
    # A page opened from a disk has no origin that 'self' could mean, hence file:, which a served page cannot reach.
    sources = "'self' file:" if beside else "data:"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src {sources}; media-src {sources}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.text(title)}</title>\n<style>\n{style_sheet()}\n{rules.strip()}\n</style>\n</head>\n<body>\n"
        f"<header><h1>{html.text(title)}</h1>{lead_html}{nav_html}</header>\n<main>\n"
        + "\n".join(sections)
        + f"\n</main>\n{footer_html}</body>\n</html>\n"
    )


def _name_of(section_html: str) -> tuple[str, str]:
    """A section's id and its title, from what `html.section` wrote."""
    identifier = section_html.split('id="', 1)[1].split('"', 1)[0]
    return identifier, section_html.split("<h2", 1)[1].split(">", 1)[1].split("</h2>", 1)[0]


def with_aside(value: str, aside: str) -> str:
    """A value with a second line below it, where there is one."""
    return f"{value}\n{aside}" if aside else value
