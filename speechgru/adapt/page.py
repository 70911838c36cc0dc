"""The page of an adaptation: before and after, the length, what is still wrong, what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechgru.report import html
from speechgru.report.axis import category_axis, linear_axis
from speechgru.report.frame import PANEL_HEIGHT, PANEL_WIDTH, Frame
from speechgru.report.page import Record, write_page
from speechgru.report.shapes import polyline, shape, upright
from speechgru.scoring.sections import evaluation_table, worst
from speechgru.visible import counted

_FOOTER = (
    "Error rates are all errors over all reference words of a set. Every recording of the person was recognised by a "
    "training that it was held out from, before any number of this page was computed; the run that is kept has learnt "
    "from all of them. Intervals are at 95 %, by resampling the utterances, and Wilson's where there is no error."
)


def report_adaptation(record: Record, out: str | Path, *, title: str) -> Path:
    """Writes the page of an adaptation as one self-contained HTML file.

    Args:
        record: what `adapt` keeps in `report/adaptation.json`.
        out: the HTML file to write.
        title: the page's title.

    Raises:
        UserError: the page cannot be written.
    """
    person, general = record["person"], record["general"]
    evaluations = [
        each for each in (person["before"], person["after"], general["before"], general["after"]) if each is not None
    ]
    still = [each for each in (person["after"], general["after"]) if each is not None]
    sections = [
        html.section("result", "Result", _result(record), lead=_lead(record)),
        html.section("comparison", "Before and after", _changes(record) + evaluation_table(evaluations)),
        html.section("length", "How long to train", _lengths(record), lead=_length_lead(record)),
        html.section("worst", "What is still wrong", worst(still)),
        html.section("left-out", "Recordings left out", html.paragraphs(record["left_out"])),
        html.section("about", "What was done", _facts(record)),
    ]
    return write_page(out, title, sections, footer=_FOOTER)


def _lead(record: Record) -> str:
    if record["verdict"] == "better":
        return "Better: the adapted run is ready to export."
    return f"Not better, and not to be shipped: {'; '.join(record['reasons'])}."


def _result(record: Record) -> str:
    numbers = []
    for name, comparison in (("WER, the person", record["person"]), ("WER, general set", record["general"])):
        before, after = comparison["before"], comparison["after"]
        interval = html.interval((after or before).get("wer_interval"))
        if after is None:
            numbers.append((name, html.percent(before["wer"]), f"nothing was trained; 95 % interval {interval}"))
        else:
            aside = f"{html.percent(before['wer'])} before; 95 % interval {interval}"
            numbers.append((name, html.percent(after["wer"]), aside))
    numbers.append(("Steps", html.count(record["steps"]), "chosen by cross-validation"))
    numbers.append(("Time", html.rough_time(record["seconds"]), "from recordings to this page"))
    return html.numbers(numbers)


def _changes(record: Record) -> str:
    rows = []
    for name, comparison in (("Recordings held out", record["person"]), ("General set", record["general"])):
        before, after, change = (comparison[key] for key in ("before", "after", "change_interval"))
        rows.append(
            [
                name,
                f"{html.percent(before['wer'])}\n{html.interval(before['wer_interval'])}",
                f"{html.percent(after['wer'])}\n{html.interval(after['wer_interval'])}" if after else html.MISSING,
                f"{_points(after['wer'] - before['wer'])}\n{_points(change[0])} to {_points(change[1])}"
                if after
                else html.MISSING,
                html.count(before["num_utterances"]),
            ]
        )
    return html.table(
        [
            "Set",
            "Before\n95 % interval",
            "After\n95 % interval",
            "Change in points\n95 % interval",
            "Utterances",
        ],
        rows,
        caption="Word error rates. The interval of the change compares the same utterances, so it is narrower.",
    )


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _length_lead(record: Record) -> str:
    folds = record["steps_of_folds"]
    return (
        f"Each of {len(folds)} folds of the recordings was held out from one training and recognised by it at every "
        "length. Of the lengths that the general set allows (of all, where it allows none) "
        f"the one of {counted(record['steps'], 'step')} makes the fewest errors, and of equals is surest of the right "
        "texts. The error after adaptation is not that minimum: for each fold it is read at the length that the others "
        f"chose ({', '.join(map(str, folds))})."
    )


def _lengths(record: Record) -> str:
    lengths: Sequence[Mapping[str, Any]] = record["lengths"]
    table_html = html.table(
        ["Length", "WER", "95 % interval", "CER", "Utterances with an error", "WER, general set"],
        [
            [
                str(entry["name"]),
                html.percent(entry["wer"]),
                html.interval(entry["wer_interval"]),
                html.percent(entry["cer"]),
                html.percent(entry["sentence_error_rate"]),
                html.MISSING if entry["general_wer"] is None else html.percent(entry["general_wer"]),
            ]
            for entry in lengths
        ],
        caption="The recordings, each recognised by the training that it was held out from; and where they have fewer "
        "errors, the general set after a training on all of them.",
    )
    return (
        f'<div class="panels"><figure>{_chart(lengths)}<figcaption>WER on recordings held out by the length of the '
        f"training, with its 95 % interval</figcaption></figure><div>{table_html}</div></div>"
    )


def _chart(lengths: Sequence[Mapping[str, Any]]) -> str:
    highest = max([0.01, *(end for entry in lengths for end in (entry["wer"], *entry["wer_interval"]))])
    names = [str(entry["name"]).removesuffix(" steps") for entry in lengths]
    frame = Frame(
        category_axis(names),
        linear_axis(0.0, min(highest, 1.5), describe=html.share_tick),
        width=PANEL_WIDTH,
        height=PANEL_HEIGHT,
    )
    places = [(frame.x(k), frame.y(min(entry["wer"], highest))) for k, entry in enumerate(lengths)]
    frame.add(polyline(places, colour="var(--series-1)"))
    for (middle, top), entry in zip(places, lengths, strict=True):
        low, high = (frame.y(min(end, 1.5)) for end in entry["wer_interval"])
        title = f"{entry['name']}: {html.percent(entry['wer'])}"
        frame.add(upright(middle, low, high, kind="range"))
        frame.add(shape("circle", style="fill: var(--series-1)", title=title, cx=middle, cy=top, r=4))
    spoken = "; ".join(f"{html.percent(entry['wer'])} after {entry['name']}" for entry in lengths)
    return frame.svg("Word error rate by the length of the training", description=spoken)


def _facts(record: Record) -> str:
    before = record["person"]["before"]
    facts = [
        ("Started from", record["source"]),
        ("Recordings", record["recordings"]),
        ("Learnt from", f"{html.count(before['num_utterances'])}, {html.seconds(before['audio_seconds'])}"),
        ("Share of a batch", html.percent(record["share"])),
        ("Strings", f"of 2 to {record['join']} recordings of single words" if record["join"] else None),
        ("Rise of the general WER allowed", f"{100 * record['max_forgetting']:g} points"),
    ]
    return html.definitions([(name, value) for name, value in facts if value is not None], kind="facts")
