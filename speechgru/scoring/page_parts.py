"""Parts of an evaluation's page with a table of their own: rates by a field, rejection, confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechgru.report import html
from speechgru.report.page import Record
from speechgru.scoring.charts import detection_chart, rate_bar, reliability_chart
from speechgru.visible import counted

#: Groups of a slice and rows of a table of confusions in the page; the record has more.
_MAX_GROUPS, MAX_CONFUSIONS = 20, 12
#: Words below which a curve of their confidence would be drawn by chance.
_FEWEST_WORDS = 50


def slice_part(entry: Record, record: Record) -> str:
    """Word error rates by one field of the manifest, beside the overall one."""
    field, groups = str(entry.get("field", "")), entry.get("groups") or []
    heading_html = f"<h3>By {html.text(field)}</h3>"
    if not any("value" in group or "low" in group for group in groups):
        return f'<div class="part">{heading_html}<p class="quiet">No utterance has a {html.text(field)}.</p></div>'
    shown, left = groups[:_MAX_GROUPS], groups[_MAX_GROUPS:]
    caption = f"Word error rate by {field}" + (
        ", the highest first."
        if entry.get("kind") != "number"
        else ", in bins of about equally many utterances."
        if any(group.get("low") != group.get("high") for group in groups)
        else "."
    )
    if left:
        caption += f" {len(left):,} more groups are in the record."
    highest = _highest(shown)
    table_html = html.table(
        [
            html.heading_of(field) if field in ("speaker", "duration", "offset") else field,
            "WER",
            "95 % interval",
            "Errors",
            "Words",
            "Utterances",
        ],
        [
            [
                _group_name(group, field),
                html.percent(group.get("wer")),
                html.interval(group.get("wer_interval")) or html.MISSING,
                *(html.count(group.get(key)) for key in ("errors", "words", "num_utterances")),
            ]
            for group in shown
        ],
        caption=caption,
        drawings_html=[
            rate_bar(group.get("wer"), interval=group.get("wer_interval"), overall=record.get("wer"), highest=highest)
            for group in shown
        ],
    )
    return f'<div class="part">{heading_html}{table_html}</div>'


def _highest(groups: Sequence[Record]) -> float:
    """Where the bars' axis ends: at the highest interval, unless that of a few words would dwarf all rates."""

    def finite(values: Sequence[Any]) -> list[float]:
        return [value for value in values if html.is_number(value) and math.isfinite(value)]

    rates = finite([group.get("wer") for group in groups])
    ends = finite([end for group in groups for end in (group.get("wer_interval") or [])])
    highest = max(rates, default=0.0)
    return min(max(ends, default=highest), 2.5 * highest) if highest else 1.0


def _group_name(group: Record, field: str) -> str:
    if "value" in group:
        return str(group["value"])
    if "low" not in group:
        return "(not given)"
    describe = html.seconds if field in ("duration", "offset") else html.plain
    low, high = describe(group["low"]), describe(group["high"])
    if low == high:
        return low
    seconds = "\u202fs"  # 0.31 to 0.42 s
    return f"{low.removesuffix(seconds) if 'min' not in high and high.endswith(seconds) else low} to {high}"


def rejection_part(rejection: Record) -> str:
    """The curve, the thresholds by what they do, and the negatives that came closest."""
    if not rejection:
        return ""
    points = [("Asked for", rejection.get("chosen")), ("In use", rejection.get("in_use"))]
    points += [(f"{html.percent(point['misses'])} missed", point) for point in rejection.get("at_misses") or ()]
    table_html = html.table(
        ["Threshold", "Margin", "False accepts\nan hour", "95 % interval", "Misses", "95 % interval"],
        [
            [
                name,
                f"{point['threshold']:.3f}",
                f"{point['false_accepts_per_hour']:.2f}",
                "{:.2f} to {:.2f}".format(*point["false_accepts_interval"]),
                html.percent(point["miss_rate"]),
                html.interval(point["miss_interval"]),
            ]
            for name, point in points
            if point
        ],
        caption=f"{counted(rejection['num_commands'], 'command')}, {html.count(rejection['num_wrong'])} of them "
        f"recognised wrongly (by {rejection['judged_by']}); {html.seconds(rejection['negative_seconds'])} of "
        "negatives.",
    )
    chart = detection_chart(rejection)
    figure_html = f"<figure>{chart}<figcaption>Misses against false accepts</figcaption></figure>" if chart else ""
    closest = (rejection.get("false_accepts") or [])[:MAX_CONFUSIONS]
    closest_html = html.table(
        ["Negative", "At", "Recognised", "Margin", "Accepted"],
        [
            [
                Path(entry["audio_filepath"]).name,
                html.seconds(entry["offset"]),
                entry["hypothesis"],
                f"{entry['margin']:.3f}",
                html.plain(entry["accepted"]),
            ]
            for entry in closest
        ],
        caption="Negatives with the highest margins, and whether they are accepted at the threshold asked for.",
    )
    return f'<div class="panels">{figure_html}<div>{table_html}</div></div>' + (closest_html if closest else "")


def confidence_part(confidence: Record) -> str:
    """Whether a word's confidence predicts that it is right: in words, by bins, and as a curve."""
    bins = confidence.get("bins") or []
    if not bins:
        return ""
    auc, error = confidence.get("auc"), confidence.get("calibration_error")
    sentences = []
    if html.is_number(auc):
        sentences.append(
            f"Of a right and a wrong word, both drawn at random, the right one has the higher confidence in "
            f"{html.percent(auc)} of all cases (area under the ROC curve {auc:.3f}; chance gives 0.5)."
        )
    else:
        sentences.append("All recognised words are right, or all are wrong, so there is nothing to distinguish.")
    if html.is_number(error):
        sentences.append(
            f"Confidence is {html.percent(error)} away from the share of right words, on average over the words "
            "(expected calibration error). On the dashed line a confidence is the share of right words; below the line "
            "it is too high."
        )
    table_html = html.table(
        ["Confidence", "Words", "Mean", "Right", "95 % interval"],
        [
            [
                f"{entry['low']:g} to {entry['high']:g}",
                html.count(entry["num_words"]),
                f"{entry['mean_confidence']:.3f}",
                html.percent(entry["share_right"]),
                html.interval(entry.get("right_interval")) or html.MISSING,
            ]
            for entry in bins
        ],
        caption="Words by their confidence, and how many of them were right.",
    )
    num_words = sum(entry["num_words"] for entry in bins)
    if num_words < _FEWEST_WORDS:
        sentences.append(f"Of {counted(num_words, 'word')} no curve is drawn: it would show chance.")
        return f"<p>{html.text(' '.join(sentences))}</p>{table_html}"
    return (
        f"<p>{html.text(' '.join(sentences))}</p>"
        f'<div class="panels"><figure>{reliability_chart(bins)}<figcaption>Share of right words by confidence, with '
        f"its 95 % interval; a dot is as large as its words are many</figcaption></figure><div>{table_html}</div></div>"
    )
