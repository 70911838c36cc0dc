"""The page of keywords: what is missed and accepted falsely while a device listens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechgru.report import html
from speechgru.report.page import Record, write_page
from speechgru.scoring.charts import detection_chart

_LEAD = (
    "The recordings of each evaluation were joined and listened to as one stream. A keyword is missed where its score "
    "does not reach the threshold while it is said; a peak above the threshold anywhere else is a false accept. "
    "Intervals are of 95 %: Poisson's for false accepts an hour, Wilson's for misses."
)


def report_keywords(
    records: Sequence[Record], out: str | Path, *, title: str, calibration: Record | None = None
) -> Path:
    """Writes evaluations of keywords as a self-contained HTML page: rates, and misses against false accepts.

    Args:
        records: what `evaluate_keywords` returned.
        out: the HTML file to write; its folder is made when missing, an older file is replaced atomically.
        title: the page's title.
        calibration: what `calibrate_keywords` returned.

    Returns:
        `out`.

    Raises:
        UserError: the file cannot be written.
    """
    sections = [
        html.section("result", "Result", "".join(map(_table, records)), lead=_LEAD),
        html.section("curves", "Misses against false accepts", "".join(map(_charts, records))),
        html.section("notes", "Notes", html.paragraphs([*map(_speed, records), *_chosen(calibration)])),
    ]
    return write_page(out, title, sections)


def _table(record: Record) -> str:
    rows = []
    for found in record["keywords"]:
        in_use, chosen = found["in_use"], found["chosen"]
        rows.append(
            [
                found["keyword"],
                html.count(found["num_commands"]),
                _hours(found["negative_seconds"]),
                f"{html.percent(in_use['miss_rate'])}\n{html.interval(in_use['miss_interval'])}",
                _rate(in_use),
                f"{html.percent(chosen['miss_rate'])}\n{html.interval(chosen['miss_interval'])}",
                f"{in_use['threshold']:.2f}",
            ]
        )
    asked = record["keywords"][0]["asked"]["false_accepts_per_hour"]
    headings = ["keyword", "said", "hours without", "missed", "false accepts an hour", f"missed at {asked:g} an hour"]
    return html.table([*headings, "threshold"], rows, caption=f"{record['name']}: at the bundle's own thresholds")


def _rate(point: dict[str, Any]) -> str:
    low, high = point["false_accepts_interval"]
    return f"{point['false_accepts_per_hour']:.2f}\n{low:.2f} to {high:.2f}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f}"


def _charts(record: Record) -> str:
    figures = []
    for found in record["keywords"]:
        chart = detection_chart(found)
        if chart:
            words = f"{record['name']}: {found['keyword']}"
            figures.append(f"<figure>{chart}<figcaption>{html.text(words)}</figcaption></figure>")
    return f'<div class="panels">{"".join(figures)}</div>' if figures else ""


def _speed(record: Record) -> str:
    return (
        f"{record['name']}: {_hours(record['audio_seconds'])} h, TFLite {record['form']}, "
        f"{html.size(record['size_bytes'])}, real-time factor {record['rtf']:.4f}."
    )


def _chosen(calibration: Record | None) -> list[str]:
    if calibration is None:
        return []
    notes = []
    for found in calibration["keywords"]:
        hours = found["negative_seconds"] / 3600
        rate = found["asked"]["false_accepts_per_hour"]
        how = "counted" if rate * hours >= 1 else "extrapolated from the highest scores"
        notes.append(
            f"The threshold of {found['keyword']} is for {rate:g} false accepts an hour, {how} in {hours:.2f} h "
            f"without it; the one that was counted missed {found['chosen']['num_misses']} of {found['num_commands']}."
        )
    return notes
