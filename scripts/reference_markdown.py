"""Docstrings, sentences and tables as Markdown, for the pages that `make_reference.py` writes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence

#: Names of sections in docstrings, as they are written there.
_SECTIONS = ("Args", "Returns", "Raises", "Yields", "Example", "Examples")
_ITEM = re.compile(r"^(\*{0,2}[A-Za-z_][\w.]*(?:, \*{0,2}[A-Za-z_][\w.]*)*): (.*)$")


def docstring(text: str) -> str:
    """A docstring in the project's style as Markdown.

    Sections become bold lines with lists, indented text and examples become blocks of code.
    """
    parts: list[str] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        match = re.fullmatch(r"(\w+):", lines[at])
        if match is None or match[1] not in _SECTIONS:
            end = next((i for i in range(at + 1, len(lines)) if lines[i].rstrip(":") in _SECTIONS), len(lines))
            parts += _blocks(lines[at:end])
            at = end
            continue
        end = at + 1
        while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" ")):
            end += 1
        body = inspect.cleandoc("\n".join(["", *lines[at + 1 : end]])).splitlines()
        parts.append(f"**{match[1]}**")
        parts += _blocks(body) if match[1] in ("Example", "Examples") else [_items(body)]
        at = end
    return "\n\n".join(parts)


def _items(lines: Sequence[str]) -> str:
    """A section's entries, `name: meaning`, as a list; other text as it is."""
    entries: list[str] = []
    for line in lines:
        if (match := _ITEM.match(line)) is not None:
            entries.append(f"- `{match[1]}`: {match[2]}")
        elif entries and line.strip():
            entries[-1] += f" {line.strip()}"
        elif line.strip():
            entries.append(line.strip())
    return "\n".join(markdown(entry) for entry in entries)


def _blocks(lines: Sequence[str]) -> list[str]:
    """Paragraphs, lists, and what is indented or an example as code."""
    blocks: list[str] = []
    for paragraph in paragraphs("\n".join(lines)):
        first = paragraph.splitlines()[0]
        if first.lstrip().startswith(">>>"):
            blocks.append(f"```pycon\n{inspect.cleandoc(paragraph)}\n```")
        elif first.startswith("    "):
            blocks.append(f"```text\n{inspect.cleandoc(paragraph)}\n```")
        elif first.lstrip().startswith(("- ", "* ")):
            blocks.append(markdown(paragraph))
        else:
            blocks.append(markdown(" ".join(paragraph.split())))
    return blocks


def paragraphs(text: str) -> list[str]:
    """The parts of a text between empty lines."""
    return [part.strip("\n") for part in re.split(r"\n[ \t]*\n", text.strip("\n")) if part.strip()] or [""]


def markdown(text: str) -> str:
    """Text with code in backticks as Markdown: what else would be read as markup is escaped."""
    parts = re.split(r"(``[^`]+``|`[^`]+`)", text)
    for place, part in enumerate(parts):
        if place % 2:
            parts[place] = f"`{part.strip('`')}`"
        else:
            parts[place] = re.sub(r"[<{|\\]|\*(?=\S)", lambda match: f"\\{match[0]}", part)
    return "".join(parts)


def sentence(text: str) -> str:
    """The same, with a capital first letter and a full stop."""
    said = markdown(text[:1].upper() + text[1:])
    return said if said.endswith((".", "?")) else f"{said}."


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a bar in a cell is escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", " ".join(cell.split())) for cell in cells) + " |"

    return "\n".join([line(header), "|" + "---|" * len(header), *map(line, rows)])
