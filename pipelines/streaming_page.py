"""The page that compares model forms by how long they wait: error rate against latency, in every exported form."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.files import write_text
from speechgru.report import html
from speechgru.report.charts import WIDE_HEIGHT, WIDE_WIDTH, Axis, Box, marker, place_label, svg_element
from speechgru.report.html import interval as interval_text
from speechgru.report.html import is_number, percent, text
from speechgru.report.page import Record, page
from speechgru.report.style import NUM_SERIES


def tradeoff_chart(points: Sequence[Mapping[str, Any]]) -> str:
    """The word error rate against the latency, as SVG; empty where there is no point.

    Args:
        points: records with `series`, which has a colour and a shape of its own, `label`, `latency_seconds` above 0 (on
            a logarithmic axis), `wer`, `wer_interval` (drawn as an upright line), and `is_whole`: whether it waits for
            the whole utterance, which is drawn hollow. Those without a finite latency and rate have no point.
    """
    points = [
        point
        for point in points
        if all(is_number(point.get(key)) and math.isfinite(point[key]) for key in ("latency_seconds", "wer"))
        and point["latency_seconds"] > 0
    ]
    if not points:
        return ""
    latencies = [point["latency_seconds"] for point in points]
    highest = max(max([point["wer"], *(point.get("wer_interval") or [])]) for point in points)
    x = Axis(min(latencies) / 1.5, max(latencies) * 1.5, 58, WIDE_WIDTH - 16, log=True)
    y = Axis(0.0, 1.08 * highest or 0.01, WIDE_HEIGHT - 46, 34)
    parts = []
    for tick in y.ticks(6):
        rate = f"{100 * tick:.4g}\u202f%"
        parts.append(
            f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{x.start - 7}" y="{y(tick) + 4:.1f}">{rate}</text>'
        )
    for tick in x.ticks(8):
        parts.append(
            f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{y.start}" y2="{y.end}"/>'
            f'<text class="tick" text-anchor="middle" x="{x(tick):.1f}" y="{y.start + 18:.1f}">{tick:g}</text>'
        )
    parts.append(
        f'<text class="tick" text-anchor="end" x="{x.end}" y="{WIDE_HEIGHT - 8}">latency, seconds of sound</text>'
        f'<text class="tick" text-anchor="end" x="{x.start - 7}" y="18">WER</text>'
    )
    names = list(dict.fromkeys(str(point.get("series", "")) for point in points))
    taken: list[Box] = []
    labels, legend = [], x.start + 14
    for number, name in enumerate(names):
        colour = f"var(--series-{number % NUM_SERIES + 1})"
        line = sorted(
            (point for point in points if point.get("series", "") == name), key=lambda p: p["latency_seconds"]
        )
        places = [(float(x(point["latency_seconds"])), float(y(point["wer"]))) for point in line]
        path = " ".join(f"{left:.1f},{top:.1f}" for left, top in places)
        parts.append(f'<polyline class="line dashed" style="stroke: {colour}; stroke-width: 1.25" points="{path}"/>')
        for start, end in itertools.pairwise(places):
            along = np.linspace(start, end, max(2, round(math.dist(start, end) / 8)))
            taken += [(left - 3, top - 3, left + 3, top + 3) for left, top in along.tolist()]
        for point, (left, top) in zip(line, places, strict=True):
            low, high = (float(y(end)) for end in point.get("wer_interval") or [point["wer"]] * 2)
            what = _tradeoff_text(point)
            bar = f"M{left - 4:.1f},{low:.1f}h8m-4,0V{high:.1f}m-4,0h8"
            parts.append(
                f'<path class="line" style="stroke: {colour}; stroke-width: 1.5" d="{bar}"/>'
                + marker(number, left, top, colour=colour, hollow=bool(point.get("is_whole")), title=what)
            )
            taken += [(left - 5, high - 1, left + 5, low + 1), (left - 8, top - 8, left + 8, top + 8)]
            labels.append((str(point.get("label", "")), colour, left, top))
        if any(names):
            parts.append(
                marker(number, legend + 6, 14, colour=colour, hollow=False)
                + f'<text x="{legend + 18}" y="18">{text(name)}</text>'
            )
            legend += 18 + 7.5 * len(name) + 22
    room = (x.start, y.end - 10, x.end, y.start)
    parts.extend(
        place_label(label, left, top, colour=colour, taken=taken, room=room) for label, colour, left, top in labels
    )
    spoken = "; ".join(map(_tradeoff_text, points))
    return svg_element(parts, width=WIDE_WIDTH, height=WIDE_HEIGHT, label=f"Word error rate by latency: {spoken}")


def _tradeoff_text(point: Mapping[str, Any]) -> str:
    named = ", ".join(str(point[key]) for key in ("series", "label") if point.get(key))
    latency = f"{'the whole utterance, on average ' if point.get('is_whole') else ''}{point['latency_seconds']:.2f} s"
    spread = interval_text(point.get("wer_interval"))
    return f"{named}: WER {percent(point['wer'])}{f' ({spread})' if spread else ''} at {latency}"


_FOOTER = (
    "Error rates are all errors over all words of the test set. A real-time factor (RTF) is seconds of computing per "
    "second of audio."
)


def report_streaming(rows: Sequence[Record], out: str | Path, *, shown: str, notes: Sequence[str] = ()) -> Path:
    """Writes the comparison as a self-contained HTML page.

    Args:
        rows: a model each: `corpus`, `label`, `latency_seconds` (of sound, the greatest; of a model that waits for the
            whole utterance its mean length, with `is_whole`), `scores`, by the form's name `wer`, `wer_interval`,
            `rtf` and `size_bytes`; and `streams`, empty where it does not stream: the same with `num_different`, how
            many texts are not those of the whole recordings.
        out: the HTML file to write; its folder is made when missing, an older file is replaced atomically.
        shown: the form whose rates are drawn.
        notes: what a reader should know, a paragraph each.

    Returns:
        `out`.

    Raises:
        UserError: the file cannot be written.
    """
    chart = tradeoff_chart(
        [
            {
                "series": row["corpus"],
                **{key: row[key] for key in ("label", "latency_seconds", "is_whole")},
                "wer": row["scores"].get(shown, {}).get("wer"),
                "wer_interval": _interval(row["scores"].get(shown, {})),
            }
            for row in rows
        ]
    )
    caption = (
        f"{shown}; upright lines are 95 % intervals over the utterances of the test set, none where no word is wrong"
    )
    chart_html = html.scroll(f'<div style="min-width: 34rem; max-width: 52rem">{chart}</div>', name="The chart")
    sections = [
        html.section(
            "tradeoff",
            "Error rate against latency",
            f"<figure>{chart_html}<figcaption>{html.text(caption)}</figcaption></figure>" if chart else "",
            lead="Latency is the longest time from the first sound of a step to its answer, computing left out. A "
            "hollow mark reads the whole utterance first, and stands at the mean length of the test's utterances.",
        ),
        html.section("forms", "Every form", _each_corpus(rows, _error_table)),
        html.section(
            "streams",
            "As streams",
            _each_corpus([row for row in rows if row["streams"]], _stream_table),
            lead="Each recording once more, fed in small pieces that cut its chunks anywhere.",
        ),
        html.section("cost", "Size and speed", _each_corpus(rows, _cost_table)),
        html.section("notes", "Notes", html.paragraphs(notes)),
    ]
    out = Path(out)
    write_text(out, page("Recognisers that stream", sections, footer=_FOOTER))
    return out


def _each_corpus(rows: Sequence[Record], table: Callable[[Sequence[Record], str], str]) -> str:
    parts = []
    for corpus in dict.fromkeys(row["corpus"] for row in rows):
        table_html = table([row for row in rows if row["corpus"] == corpus], corpus)
        parts.append(f'<div class="part"><h3>{html.text(corpus)}</h3>{table_html}</div>')
    return "".join(parts)


def _error_table(rows: Sequence[Record], corpus: str) -> str:
    forms = _forms(rows, "scores")
    return html.table(
        ["Model", "Latency", *forms],
        [
            [
                row["label"],
                html.seconds(row["latency_seconds"]) + ("\nwhole, mean" if row["is_whole"] else ""),
                *(_rate(row["scores"].get(form)) for form in forms),
            ]
            for row in rows
        ],
        caption=f"{corpus}: word error rate on the test set, with its 95 % interval.",
    )


def _stream_table(rows: Sequence[Record], corpus: str) -> str:
    forms = _forms(rows, "streams")
    return html.table(
        ["Model", *forms],
        [[row["label"], *(_stream_cell(row["streams"].get(form)) for form in forms)] for row in rows],
        caption=f"{corpus}: word error rate of the streams; below it how many texts are not the whole recording's.",
    )


def _stream_cell(score: Record | None) -> str:
    if not score:
        return html.MISSING
    different = score["num_different"]
    aside = f"{different:,} {'differs' if different == 1 else 'differ'}" if different else "same texts"
    return f"{html.percent(score.get('wer'))}\n{aside}"


def _cost_table(rows: Sequence[Record], corpus: str) -> str:
    forms = [form for form in _forms(rows, "scores") if any(_size(row, form) is not None for row in rows)]
    return html.table(
        ["Model", *forms],
        [
            [
                row["label"],
                *(
                    f"{html.size(_size(row, form))}\nRTF {html.real_time_factor(row['scores'][form].get('rtf'))}"
                    if form in row["scores"]
                    else html.MISSING
                    for form in forms
                ),
            ]
            for row in rows
        ],
        caption=f"{corpus}: size, and real-time factor on whole recordings one at a time, front end and decoding "
        "included; the SavedModel's in batches.",
    )


def _size(row: Record, form: str) -> Any:
    return row["scores"].get(form, {}).get("size_bytes")


def _forms(rows: Sequence[Record], key: str) -> list[str]:
    return list(dict.fromkeys(form for row in rows for form in row[key]))


def _rate(score: Record | None) -> str:
    if not score:
        return html.MISSING
    aside = html.interval(_interval(score))
    return html.percent(score.get("wer")) + (f"\n{aside}" if aside else "")


def _interval(score: Record) -> Any:
    """The interval, none without an error: resampling gives 0 to 0, which would look like certainty."""
    return score.get("wer_interval") if score.get("wer") else None
