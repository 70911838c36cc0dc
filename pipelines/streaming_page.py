"""The page that compares model forms by how long they wait: error rate against latency, in every exported form."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.report import html
from speechgru.report.axis import linear_axis, log_axis
from speechgru.report.frame import Frame
from speechgru.report.html import interval as interval_text
from speechgru.report.html import is_number, percent, share_tick
from speechgru.report.page import Record, write_page
from speechgru.report.shapes import MARKS, Box, around, colour_of, marker, place_label, polyline, shape

_WIDTH, _HEIGHT = 640, 380


def tradeoff_chart(points: Sequence[Mapping[str, Any]]) -> str:
    """The word error rate against the latency, as SVG below its key; empty where there is no point.

    Args:
        points: records with `series`, which has a colour and a shape of its own, `label`, `latency_seconds` above 0 (on
            a logarithmic axis), `wer`, `wer_interval` (drawn as a vertical line), and `is_whole`: whether it waits for
            the complete utterance, which is drawn hollow. Those without a finite latency and rate have no point.
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
    frame = Frame(
        log_axis(min(latencies) / 1.5, max(latencies) * 1.5, name="latency, seconds of sound", most=8),
        linear_axis(0.0, 1.08 * highest or 0.01, name="WER", describe=share_tick),
        width=_WIDTH,
        height=_HEIGHT,
        left=58,
        grid="xy",
    )
    names = list(dict.fromkeys(str(point.get("series", "")) for point in points))
    taken: list[Box] = []
    labels = []
    for number, name in enumerate(names):
        colour = colour_of(number)
        line = sorted(
            (point for point in points if point.get("series", "") == name), key=lambda p: p["latency_seconds"]
        )
        places = [(frame.x(point["latency_seconds"]), frame.y(point["wer"])) for point in line]
        frame.add(polyline(places, kind="line dashed", colour=colour, style="stroke-width: 1.25"))
        for start, end in itertools.pairwise(places):
            along = np.linspace(start, end, max(2, round(math.dist(start, end) / 8)))
            taken += [around(left, top, reach=3) for left, top in along.tolist()]
        for point, (left, top) in zip(line, places, strict=True):
            low, high = (frame.y(end) for end in point.get("wer_interval") or [point["wer"]] * 2)
            bar = f"M{left - 4:.1f},{low:.1f}h8m-4,0V{high:.1f}m-4,0h8"
            frame.add(
                shape("path", kind="line", style=f"stroke: {colour}; stroke-width: 1.5", d=bar),
                marker(
                    number,
                    left,
                    top,
                    colour=colour,
                    hollow=bool(point.get("is_whole")),
                    title=_tradeoff_text(point),
                ),
            )
            taken += [(left - 5, high - 1, left + 5, low + 1), around(left, top, reach=8)]
            labels.append((str(point.get("label", "")), colour, left, top))
    room = (frame.left, frame.top - 10, frame.right, frame.bottom)
    for words, colour, left, top in labels:
        frame.add(place_label(words, left, top, colour=colour, taken=taken, room=room))
    key_html = html.key(
        (MARKS[number % len(MARKS)], colour_of(number), name) for number, name in enumerate(names) if name
    )
    spoken = "; ".join(map(_tradeoff_text, points))
    return key_html + frame.svg("Word error rate by latency", description=spoken)


def _tradeoff_text(point: Mapping[str, Any]) -> str:
    named = ", ".join(str(point[key]) for key in ("series", "label") if point.get(key))
    waits, spread = "", interval_text(point.get("wer_interval"))
    if point.get("is_whole"):
        waits = "the complete utterance, on average "
    rate = percent(point["wer"]) + (f" ({spread})" if spread else "")
    return f"{named}: WER {rate} at {waits}{point['latency_seconds']:.2f} s"


_FOOTER = (
    "Error rates are all errors over all words of the test set. A real-time factor (RTF) is seconds of computing per "
    "second of audio."
)


def report_streaming(rows: Sequence[Record], out: str | Path, *, shown: str, notes: Sequence[str] = ()) -> Path:
    """Writes the comparison as a self-contained HTML page.

    Args:
        rows: a model each: `corpus`, `label`, `latency_seconds` (of sound, the greatest; of a model that waits for the
            complete utterance its mean length, with `is_whole`), `scores`, by the form's name `wer`, `wer_interval`,
            `rtf` and `size_bytes`; and `streams`, empty where it does not stream: the same with `num_different`, how
            many texts differ from those of the complete recordings.
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
                "wer_interval": row["scores"].get(shown, {}).get("wer_interval"),
            }
            for row in rows
        ]
    )
    caption = (
        f"{shown}; vertical lines are 95 % intervals over the utterances of the test set, of models with at least one "
        "word wrong"
    )
    chart_html = html.scroll(f'<div style="min-width: 34rem; max-width: 52rem">{chart}</div>', name="The chart")
    sections = [
        html.section(
            "tradeoff",
            "Error rate against latency",
            f"<figure>{chart_html}<figcaption>{html.text(caption)}</figcaption></figure>" if chart else "",
            lead="Latency is the longest time from the first sound of a step to its result, computing left out. A "
            "hollow mark is a model that needs the complete utterance first; it is at their mean length.",
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
    return write_page(out, "Recognisers that stream", sections, footer=_FOOTER)


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
                html.seconds(row["latency_seconds"]) + ("\ncomplete, mean" if row["is_whole"] else ""),
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
        caption=f"{corpus}: word error rate of the streams; below it how many texts differ from those of complete "
        "recordings.",
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
        caption=f"{corpus}: size, and real-time factor on complete recordings one at a time, front end and decoding "
        "included; the SavedModel's in batches.",
    )


def _size(row: Record, form: str) -> Any:
    return row["scores"].get(form, {}).get("size_bytes")


def _forms(rows: Sequence[Record], key: str) -> list[str]:
    return list(dict.fromkeys(form for row in rows for form in row[key]))


def _rate(score: Record | None) -> str:
    if not score:
        return html.MISSING
    aside = html.interval(score.get("wer_interval"))
    return html.percent(score.get("wer")) + (f"\n{aside}" if aside else "")
