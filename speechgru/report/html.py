"""The parts of a page: escaped text, numbers as people write them, tables, lists, keys, sections.

Every function takes plain values, which it escapes, and returns HTML that is safe to join; only parameters named
`*_html` are HTML.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

from speechgru.visible import visible

#: What is shown where a value is missing.
MISSING = "\u2013"
_NARROW_SPACE = "\u202f"
_RAISED = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")


def text(value: Any) -> str:
    r"""Any value as text that shows itself and nothing else, inside an element or a quoted attribute.

    What HTML may not hold, and what would turn the lines around, is an escape.

    >>> text("<b> & 'c'\x1b")
    '&lt;b&gt; &amp; &#x27;c&#x27;\\x1b'
    """
    return html.escape(visible(str(value)), quote=True)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a real number, finite or not; True and False are not.

    >>> is_number(0.5), is_number("0.5"), is_number(True)
    (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool)


def percent(value: Any) -> str:
    """A fraction as a percentage with one decimal, below one per cent with two; missing gives an en dash.

    >>> percent(0.0314), percent(0.00314)
    ('3.1\u202f%', '0.31\u202f%')
    """
    if not is_number(value) or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return ("-" if value < 0 else "") + "\u221e"
    hundredths = 100 * value
    digits = 0 if hundredths == 0 else 1 if abs(hundredths) >= 0.995 else 2
    return f"{hundredths:.{digits}f}{_NARROW_SPACE}%"


def interval(low_and_high: Any) -> str:
    """Two fractions as a range; empty where there is none.

    >>> interval([0.024, 0.039])
    '2.4 to 3.9\u202f%'
    """
    if not isinstance(low_and_high, Sequence) or isinstance(low_and_high, str) or len(low_and_high) != 2:
        return ""
    low, high = (percent(value) for value in low_and_high)
    return "" if MISSING in (low, high) else f"{low.removesuffix(f'{_NARROW_SPACE}%')} to {high}"


def count(value: Any) -> str:
    """A whole number with its thousands separated.

    >>> count(525312)
    '525,312'
    """
    return f"{value:,.0f}" if is_number(value) and math.isfinite(value) else MISSING


def size(value: Any) -> str:
    """Bytes in the decimal units that file managers show.

    >>> size(2_100_000)
    '2.1\u202fMB'
    """
    if not is_number(value) or not math.isfinite(value) or value < 0:
        return MISSING
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= 0.9995 * scale:
            return f"{value / scale:.3g}{_NARROW_SPACE}{unit}"
    return f"{value:.0f}{_NARROW_SPACE}bytes"


def seconds(value: Any) -> str:
    """A length of time, in two units from a minute on.

    >>> seconds(0.42), seconds(125), seconds(3725)
    ('0.42\u202fs', '2\u202fmin 05\u202fs', '1\u202fh 02\u202fmin')
    """
    if not is_number(value) or not math.isfinite(value) or value < 0:
        return MISSING
    if value < 10:
        return f"{value:.2f}{_NARROW_SPACE}s"
    rounded = round(value)
    if rounded < 60:
        return f"{value:.1f}{_NARROW_SPACE}s"
    if rounded < 3600:
        return f"{rounded // 60}{_NARROW_SPACE}min {rounded % 60:02d}{_NARROW_SPACE}s"
    return f"{rounded // 3600}{_NARROW_SPACE}h {rounded % 3600 // 60:02d}{_NARROW_SPACE}min"


def rough_time(value: Any) -> str:
    """A length of time in one unit, for large letters.

    >>> rough_time(42), rough_time(740)
    ('42\u202fs', '12.3\u202fmin')
    """
    if not is_number(value) or not math.isfinite(value) or value < 0:
        return MISSING
    if value < 59.5:
        return f"{value:.0f}{_NARROW_SPACE}s"
    if value < 3600:
        return f"{value / 60:.1f}{_NARROW_SPACE}min"
    return f"{value / 3600:.1f}{_NARROW_SPACE}h"


def real_time(value: Any) -> str:
    """A real-time factor in words; empty where it is missing or not positive.

    >>> real_time(0.012)
    '83 times faster than speech'
    """
    if not is_number(value) or not math.isfinite(value) or value <= 0:
        return ""
    faster = value <= 1
    return f"{1 / value if faster else value:,.{0 if min(value, 1 / value) < 0.1 else 1}f} times " + (
        "faster than speech" if faster else "slower than speech"
    )


def real_time_factor(value: Any) -> str:
    """A real-time factor to two digits; further ones differ from one measurement to the next."""
    return f"{value:.2g}" if is_number(value) else MISSING


def plain(value: Any) -> str:
    """Any JSON value for a cell: numbers short, yes and no, lists with commas, missing as an en dash.

    >>> plain([True, 1200, 0.25])
    'yes, 1,200, 0.25'
    """
    if value is None or value == "":
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else MISSING if math.isnan(value) else str(value)
    if isinstance(value, list | tuple):
        return ", ".join(plain(entry) for entry in value)
    return str(value)


def first_of(values: Sequence[str], *, most: int = 8) -> str:
    """The first of a list, and how many more there are.

    >>> first_of(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    return ", ".join(values[:most]) + (f" and {len(values) - most:,} more" if len(values) > most else "")


def heading_of(key: str) -> str:
    """A record's key as a column heading.

    >>> heading_of("size_bytes")
    'Size bytes'
    """
    words = str(key).replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def short(value: float, *, digits: int = 4) -> str:
    """A number for a chart's tick or a sentence, in a few digits; one far from 1 by its power of ten.

    >>> short(0.025), short(12000), short(1e-5), short(2.5e9)
    ('0.025', '12,000', '10⁻⁵', '2.5·10⁹')
    """
    if not math.isfinite(value) or value == 0 or 1e-4 <= abs(value) < 1e7:
        return f"{value:,.6g}" if abs(value) >= 1000 else f"{value:.{digits}g}"
    factor, power = f"{value:.1e}".split("e")
    factor = factor.removesuffix(".0")
    raised = f"10{str(int(power)).translate(_RAISED)}"
    return raised if factor == "1" else f"{factor}\u00b7{raised}"


def share_tick(value: float) -> str:
    """A fraction as a round percentage, for a chart's tick.

    >>> share_tick(0.25)
    '25\u202f%'
    """
    return f"{100 * value:.4g}{_NARROW_SPACE}%"


def section(identifier: str, title: str, body_html: str, *, lead: str = "") -> str:
    """A titled part of the page that the navigation can point to; empty where its body is.

    >>> section("result", "Result", "<p>3.1 %</p>")
    '<section id="result" aria-labelledby="result-title"><h2 id="result-title">Result</h2><p>3.1 %</p></section>'
    """
    if not body_html:
        return ""
    lead_html = f'<p class="lead">{text(lead)}</p>' if lead else ""
    return (
        f'<section id="{identifier}" aria-labelledby="{identifier}-title">'
        f'<h2 id="{identifier}-title">{text(title)}</h2>{lead_html}{body_html}</section>'
    )


def paragraphs(texts: Iterable[str], *, kind: str = "") -> str:
    """Texts, a paragraph each, of one `kind` of the style sheet's where it is given."""
    start = f'<p class="{kind}">' if kind else "<p>"
    return "".join(f"{start}{text(value)}</p>" for value in texts)


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str,
    text_columns: int = 1,
    drawings_html: Sequence[str] | None = None,
) -> str:
    """A table whose first column names the rows, scrolling sideways by itself on a narrow screen.

    Args:
        headings: one a column.
        rows: the cells as text; a line break puts what follows in small print.
        caption: what the table shows, below it and for screen readers.
        text_columns: how many columns at the left are text rather than numbers.
        drawings_html: for each row the contents of one more column at its end, such as a bar; it shows nothing that
            the cells do not.

    >>> scores = table(["Set", "WER"], [["test", "3.1 %\\nof 5,072"]], caption="Scores.")
    >>> "<td>3.1 %<small>of 5,072</small></td>" in scores
    True
    """

    def cell(value: str, column: int, *, of_head: bool = False) -> str:
        name = "th" if of_head or column == 0 else "td"
        scope = ' scope="col"' if of_head else ' scope="row"' if column == 0 else ""
        kind = ' class="text"' if column < text_columns else ""
        first, _, small = str(value).partition("\n")
        return f"<{name}{scope}{kind}>{text(first)}{f'<small>{text(small)}</small>' if small else ''}</{name}>"

    head_html = "".join(cell(heading, column, of_head=True) for column, heading in enumerate(headings))
    rows_html = ["".join(cell(value, column) for column, value in enumerate(row)) for row in rows]
    if drawings_html is not None:
        head_html += '<td aria-hidden="true"></td>'
        rows_html = [
            f'{row_html}<td class="drawing" aria-hidden="true">{drawing_html}</td>'
            for row_html, drawing_html in zip(rows_html, drawings_html, strict=True)
        ]
    body_html = "".join(f"<tr>{row_html}</tr>" for row_html in rows_html)
    return scroll(
        f"<table><caption><span>{text(caption)}</span></caption><thead><tr>{head_html}</tr></thead><tbody>{body_html}</tbody></table>",
        name=caption,
    )


def scroll(inner_html: str, *, name: str, wide: bool = False) -> str:
    """A box that scrolls sideways instead of the page, with the keyboard too."""
    kind = "scroll wide" if wide else "scroll"
    return f'<div class="{kind}" role="region" tabindex="0" aria-label="{text(name)}">{inner_html}</div>'


def numbers(entries: Iterable[tuple[str, str, str]]) -> str:
    """A few numbers in large letters, the most important first.

    Args:
        entries: a name each, the number as text, and an aside below it, which may be empty.
    """
    inner = "".join(
        f'<div><dt>{text(name)}</dt><dd><span class="value">{text(value)}</span>'
        + (f'<br><span class="aside">{text(aside)}</span>' if aside else "")
        + "</dd></div>"
        for name, value, aside in entries
    )
    return f'<dl class="numbers">{inner}</dl>' if inner else ""


def key(entries: Iterable[tuple[str, str, str]]) -> str:
    """What the marks and colours of a chart mean, above it; empty where there is none.

    Args:
        entries: a mark each, its colour and its name. A mark is one character, or "line" or "dashed" for a line.
    """
    parts = []
    for mark, colour, name in entries:
        sample = f'<span class="{mark} sample"></span>' if mark in ("line", "dashed") else text(mark)
        parts.append(
            f'<span class="key"><span aria-hidden="true" style="color: {colour}">{sample}</span> {text(name)}</span> '
        )
    return f'<p class="quiet keys">{"".join(parts)}</p>' if parts else ""


def definitions(pairs: Iterable[tuple[str, Any]], *, kind: str) -> str:
    """A list of names with their values, of a `kind` of the style sheet's; empty where there is none.

    >>> definitions([("Seed", 7)], kind="facts")
    '<dl class="facts"><div><dt>Seed</dt><dd>7</dd></div></dl>'
    """
    inner = "".join(f"<div><dt>{text(name)}</dt><dd>{text(plain(value))}</dd></div>" for name, value in pairs)
    return f'<dl class="{kind}">{inner}</dl>' if inner else ""
