"""The figures of a report, as SVG that follows the page's theme and font.

The SVG is written here, because what matplotlib draws has its colours and glyphs built in: it would be white on a
dark page, and text would be neither searchable nor shaped for every script. matplotlib gives what it does best,
axis ticks, the colour map and the PNG of the log-mel; only functions without global state are used.
"""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechgru.decoding import Hypothesis, Word, greedy_decode
from speechgru.report.pieces import interval as interval_text
from speechgru.report.pieces import is_number, percent, text
from speechgru.report.style import NUM_SERIES
from speechgru.text import BLANK_ID, Vocabulary

#: A loss that falls by more than this factor is drawn on a logarithmic axis.
_LOG_AXIS_RATIO = 30
#: More points than this on one line say nothing more; neighbours are averaged.
_MAX_POINTS = 400
#: A label is drawn where it has at least this probability at some step.
_VISIBLE = 0.02

_PANEL_WIDTH, _PANEL_HEIGHT = 460, 290
_WIDE_WIDTH, _WIDE_HEIGHT = 640, 400

#: Left, top, right, bottom, in pixels.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Axis:
    """Maps values between `low` and `high` to pixels between `start` and `end`, linearly or logarithmically."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, values: Any) -> Any:
        low, high, values = (
            (math.log10(self.low), math.log10(self.high), np.log10(values))
            if self.log
            else (self.low, self.high, np.asarray(values, float))
        )
        return self.start + (values - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """At most about so many round values inside the axis."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        if self.log:
            for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
                ticks = LogLocator(base=10, subs=steps, numticks=50).tick_values(self.low, self.high)
                inside = [float(tick) for tick in ticks if self.low <= tick <= self.high]
                if len(inside) <= most:
                    break
            return inside
        ticks = MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        slack = 1e-9 * (self.high - self.low)
        return [float(tick) for tick in ticks if self.low - slack <= tick <= self.high + slack]


@dataclass(frozen=True)
class Series:
    """One line of a chart: finite points in drawing order, its name, its colour number and whether it is dashed."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    dashed: bool = False
    markers: bool = False


@dataclass(frozen=True)
class Course:
    """What all charts of one training share.

    Args:
        last_step: where the axis of steps ends; None ends each chart's at its own last point.
        resumed: steps at which another process went on; upright dashed lines.
        dropped: steps whose batch was dropped; ticks on the axis.
        best_step: the best evaluation's step; a ring around its point on the first line of dev values.
    """

    last_step: float | None = None
    resumed: Sequence[float] = ()
    dropped: Sequence[float] = ()
    best_step: float | None = None


_WHOLE_COURSE = Course()


def loss_chart(history: Sequence[Mapping[str, Any]], *, course: Course = _WHOLE_COURSE) -> str:
    """The training loss and the dev loss against the steps, as SVG; empty where there is none."""
    series = [
        training_series(history, "loss", name="training"),
        Series("dev", points_of(history, kind="dev", key="loss"), 2, dashed=True, markers=True),
    ]
    return line_chart(series, title="Loss", describe=_short, course=course)


def error_chart(history: Sequence[Mapping[str, Any]], *, course: Course = _WHOLE_COURSE) -> str:
    """The dev WER and CER against the steps, as SVG; empty where there is none."""
    series = [
        Series("WER", points_of(history, kind="dev", key="wer"), 1, markers=True),
        Series("CER", points_of(history, kind="dev", key="cer"), 2, dashed=True, markers=True),
    ]
    return line_chart(series, title="Dev error rates", describe=percent, percentages=True, course=course)


def training_series(
    history: Sequence[Mapping[str, Any]], key: str, *, name: str, colour: int = 1, dashed: bool = False
) -> Series:
    """One value of the training records as a line of a chart, averaged where there are too many."""
    points, every = thinned(points_of(history, kind="train", key=key))
    return Series(f"{name}, mean of {every}" if every > 1 else name, points, colour, dashed=dashed)


def _short(value: float) -> str:
    return f"{value:.3g}"


def num_undrawn(history: Sequence[Mapping[str, Any]], *, keys: Sequence[str]) -> int:
    """How many values of these keys are in the records but not finite numbers, and so not in a chart."""
    return sum(
        1
        for record in history
        for key in keys
        if key in record and not (is_number(record[key]) and math.isfinite(record[key]))
    )


def points_of(history: Sequence[Mapping[str, Any]], *, kind: str, key: str) -> list[tuple[float, float]]:
    """The steps and values of one kind of record; records without a finite value have no point."""
    return [
        (float(record["step"]), float(record[key]))
        for record in history
        if record.get("kind") == kind
        and all(is_number(record.get(name)) and math.isfinite(record[name]) for name in ("step", key))
    ]


def thinned(points: Sequence[tuple[float, float]], *, most: int = _MAX_POINTS) -> tuple[list[tuple[float, float]], int]:
    """Averages so many neighbours into one that at most `most` points are left; gives the points and that number."""
    every = -(-len(points) // most) if points else 1
    groups = [np.mean(points[start : start + every], axis=0) for start in range(0, len(points), every)]
    return [(float(step), float(value)) for step, value in groups], every


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    describe: Callable[[float], str] = _short,
    percentages: bool = False,
    course: Course = _WHOLE_COURSE,
) -> str:
    """Lines against the steps, as SVG; empty where no line has a point.

    Args:
        series: the lines; their names stand above, each with its last value.
        title: what they show, for those who cannot see it.
        describe: a value in words.
        percentages: whether the values are fractions to show as percentages; else the axis is logarithmic where they
            are far apart.
        course: where the steps end, and what is marked on them.
    """
    series = [line for line in series if line.points]
    if not series:
        return ""
    steps, values = np.array([point for line in series for point in line.points]).T
    log = not percentages and values.min() > 0 and values.max() > _LOG_AXIS_RATIO * values.min()
    low, high = (values.min() / 1.15, values.max() * 1.15) if log else (min(0.0, values.min()), values.max() * 1.05)
    x = Axis(min(0.0, steps.min()), max(1.0, steps.max(), course.last_step or 0.0), 52, _PANEL_WIDTH - 24)
    y = Axis(float(low), float(high) if high > low else float(low) + 1, _PANEL_HEIGHT - 40, 34, log=bool(log))

    parts = []
    for tick in y.ticks(6):
        label = f"{100 * tick:.4g}\u202f%" if percentages else f"{tick:.4g}"
        parts.append(
            f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{x.start - 7}" y="{y(tick) + 4:.1f}">{label}</text>'
        )
    for tick in x.ticks(5):
        parts.append(
            f'<text class="tick" text-anchor="middle" x="{x(tick):.1f}" y="{y.start + 18:.1f}">{tick:,.6g}</text>'
        )
    parts.append(f'<text class="tick" text-anchor="end" x="{x.end}" y="{_PANEL_HEIGHT - 5}">step</text>')
    parts.extend(
        f'<line class="blank" x1="{x(step):.1f}" x2="{x(step):.1f}" y1="{y.start}" y2="{y.end}">'
        f"<title>resumed at step {step:,.0f}</title></line>"
        for step in course.resumed
    )
    parts.extend(  # of those that fall on one pixel only one
        f'<line x1="{place}" x2="{place}" y1="{y.start}" y2="{y.start - 8}" style="stroke: var(--lost)"/>'
        for place in sorted({round(float(x(step))) for step in course.dropped})
    )

    legend = x.start
    for line in series:
        stroke = f'style="stroke: var(--series-{line.colour})"'
        dashes = " dashed" if line.dashed else ""
        path = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in line.points)
        parts.append(f'<polyline class="line{dashes}" {stroke} points="{path}"/>')
        if line.markers or len(line.points) == 1:
            parts.extend(
                f'<circle cx="{x(step):.1f}" cy="{y(value):.1f}" r="3" style="fill: var(--series-{line.colour})">'
                f"<title>{text(line.name)} at step {step:,.0f}: {describe(value)}</title></circle>"
                for step, value in line.points
            )
        name = f"{line.name} (last {describe(line.points[-1][1])})"
        parts.append(
            f'<line class="line{dashes}" {stroke} x1="{legend}" x2="{legend + 22}" y1="14" y2="14"/>'
            f'<text x="{legend + 28}" y="18">{text(name)}</text>'
        )
        legend += 28 + 7 * len(name) + 22
    parts.extend(
        f'<circle cx="{x(step):.1f}" cy="{y(value):.1f}" r="7" style="fill: none; stroke: var(--text); '
        f'stroke-width: 1.5"><title>best at step {step:,.0f}: {describe(value)}</title></circle>'
        for step, value in next((line.points for line in series if line.markers), ())
        if step == course.best_step
    )
    spoken = "; ".join(
        f"{line.name} from {describe(line.points[0][1])} at step {line.points[0][0]:,.0f} "
        f"to {describe(line.points[-1][1])} at step {line.points[-1][0]:,.0f}"
        for line in series
    )
    if course.resumed:
        spoken += f"; resumed at step {', '.join(f'{step:,.0f}' for step in course.resumed)}"
    return svg_element(parts, width=_PANEL_WIDTH, height=_PANEL_HEIGHT, label=f"{title}: {spoken}")


def rate_bar(rate: Any, *, interval: Any = None, whole: Any = None, highest: float) -> str:
    """A rate as a bar for a row of a table, with its interval as a line and the whole set's rate as a dashed one.

    Args:
        rate: a fraction; without a finite one there is no bar.
        interval: low and high.
        whole: the rate of everything together.
        highest: the rate at the right end; every row of a table has the same. An interval that goes on is cut there.
    """

    def finite(value: Any) -> bool:
        return is_number(value) and math.isfinite(value)

    x = Axis(0.0, highest if highest > 0 else 1.0, 1, 259)
    parts = []
    if finite(rate):
        parts.append(f'<rect class="bar" x="{x.start}" y="4" width="{x(rate) - x.start:.1f}" height="12"/>')
    if isinstance(interval, Sequence) and len(interval) == 2 and all(map(is_number, interval)) and finite(interval[0]):
        low, high = x(interval[0]), min(x(min(interval[1], 1e9)), x.end)
        parts.append(f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="10" y2="10"/>')
        parts.extend(
            f'<line class="range" x1="{end:.1f}" x2="{end:.1f}" y1="6.5" y2="13.5"/>'
            for end in ([low] if high == x.end and interval[1] > highest else [low, high])
        )
    if finite(whole) and whole <= highest:
        parts.append(f'<line class="whole" x1="{x(whole):.1f}" x2="{x(whole):.1f}" y1="0" y2="20"/>')
    box = 'viewBox="0 0 260 20" preserveAspectRatio="none"'  # as wide as its column
    return f'<svg aria-hidden="true" {box} width="100%" height="20">{"".join(parts)}</svg>'


def reliability_chart(bins: Sequence[Mapping[str, Any]]) -> str:
    """The share of right words against their mean confidence, as SVG; empty where there is no bin.

    Args:
        bins: records with `num_words`, `mean_confidence`, `share_right` and `right_interval`, drawn as an upright
            line; a bin's dot is as large as its words are many.
    """
    if not bins:
        return ""
    x = Axis(0.0, 1.0, 52, _PANEL_WIDTH - 24)
    y = Axis(0.0, 1.0, _PANEL_HEIGHT - 44, 14)
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        share = f"{100 * tick:.0f}\u202f%"
        parts.append(
            f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{x.start - 7}" y="{y(tick) + 4:.1f}">{share}</text>'
            f'<text class="tick" text-anchor="middle" x="{x(tick):.1f}" y="{y.start + 18:.1f}">{tick:g}</text>'
        )
    parts.append(
        f'<line class="whole" x1="{x.start}" y1="{y.start}" x2="{x.end}" y2="{y.end}"/>'
        f'<text class="tick" text-anchor="end" x="{x.end}" y="{_PANEL_HEIGHT - 6}">mean confidence of a bin</text>'
    )
    most = max(entry["num_words"] for entry in bins)
    path = " ".join(f"{x(entry['mean_confidence']):.1f},{y(entry['share_right']):.1f}" for entry in bins)
    parts.append(f'<polyline class="line" style="stroke: var(--series-1)" points="{path}"/>')
    for entry in bins:
        low, high = entry.get("right_interval") or [entry["share_right"]] * 2
        middle = f"{x(entry['mean_confidence']):.1f}"
        parts.append(f'<line class="range" x1="{middle}" x2="{middle}" y1="{y(low):.1f}" y2="{y(high):.1f}"/>')
    parts.extend(
        f'<circle cx="{x(entry["mean_confidence"]):.1f}" cy="{y(entry["share_right"]):.1f}" '
        f'r="{3 + 6 * math.sqrt(entry["num_words"] / most):.1f}" style="fill: var(--series-1)">'
        f"<title>{entry['num_words']:,} words of confidence {entry['mean_confidence']:.2f}: "
        f"{percent(entry['share_right'])} right</title></circle>"
        for entry in bins
    )
    spoken = "; ".join(
        f"{percent(entry['share_right'])} right at {entry['mean_confidence']:.2f} ({entry['num_words']:,} words)"
        for entry in bins
    )
    return svg_element(
        parts, width=_PANEL_WIDTH, height=_PANEL_HEIGHT, label=f"Share of right words by confidence: {spoken}"
    )


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
    x = Axis(min(latencies) / 1.5, max(latencies) * 1.5, 58, _WIDE_WIDTH - 16, log=True)
    y = Axis(0.0, 1.08 * highest or 0.01, _WIDE_HEIGHT - 46, 34)
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
        f'<text class="tick" text-anchor="end" x="{x.end}" y="{_WIDE_HEIGHT - 8}">latency, seconds of sound</text>'
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
                + _marker(number, left, top, colour=colour, hollow=bool(point.get("is_whole")), title=what)
            )
            taken += [(left - 5, high - 1, left + 5, low + 1), (left - 8, top - 8, left + 8, top + 8)]
            labels.append((str(point.get("label", "")), colour, left, top))
        if any(names):
            parts.append(
                _marker(number, legend + 6, 14, colour=colour, hollow=False)
                + f'<text x="{legend + 18}" y="18">{text(name)}</text>'
            )
            legend += 18 + 7.5 * len(name) + 22
    room = (x.start, y.end - 10, x.end, y.start)
    parts.extend(
        place_label(label, left, top, colour=colour, taken=taken, room=room) for label, colour, left, top in labels
    )
    spoken = "; ".join(map(_tradeoff_text, points))
    return svg_element(parts, width=_WIDE_WIDTH, height=_WIDE_HEIGHT, label=f"Word error rate by latency: {spoken}")


def _tradeoff_text(point: Mapping[str, Any]) -> str:
    named = ", ".join(str(point[key]) for key in ("series", "label") if point.get(key))
    latency = f"{'the whole utterance, on average ' if point.get('is_whole') else ''}{point['latency_seconds']:.2f} s"
    spread = interval_text(point.get("wer_interval"))
    return f"{named}: WER {percent(point['wer'])}{f' ({spread})' if spread else ''} at {latency}"


def _marker(number: int, x: float, y: float, *, colour: str, hollow: bool, title: str = "") -> str:
    """A series' mark, told from others by its shape too."""
    style = f'style="fill: {"var(--card)" if hollow else colour}; stroke: {colour}; stroke-width: 2"'
    inner = f"<title>{text(title)}</title>" if title else ""
    if number % 3 == 0:
        return f'<circle {style} cx="{x:.1f}" cy="{y:.1f}" r="5">{inner}</circle>'
    reach = 4.6 if number % 3 == 1 else 5.0
    turned = f' transform="rotate(45 {x:.1f} {y:.1f})"' if number % 3 == 2 else ""
    box = f'x="{x - reach:.1f}" y="{y - reach:.1f}" width="{2 * reach}" height="{2 * reach}"'
    return f"<rect {style} {box}{turned}>{inner}</rect>"


def place_label(label: str, x: float, y: float, *, colour: str, taken: list[Box], room: Box) -> str:
    """A point's label where it covers the least: beside the point if it can, else above, below or further off.

    `taken` are boxes that it should not cover, and `room` the one it should stay inside: left, top, right, bottom.
    """
    half, height = 3.5 * len(label), 16.0
    places = [(side * (half + 10), shift) for shift in (0.0, -13.0, 13.0, -24.0, 24.0) for side in (1, -1)]
    places += [(0.0, shift) for shift in (-19.0, 19.0, -32.0, 32.0)]
    boxes = [
        (x + across - half, y + down - height / 2, x + across + half, y + down + height / 2) for across, down in places
    ]

    def badness(box: Box) -> float:
        outside = sum(max(0.0, room[k] - box[k]) + max(0.0, box[k + 2] - room[k + 2]) for k in (0, 1))
        return 1000 * outside + sum(_shared_area(box, other) for other in taken)

    box = min(boxes, key=badness)
    taken.append(box)
    style = f"text-anchor: middle; fill: {colour}; paint-order: stroke; stroke: var(--card); stroke-width: 3"
    return f'<text style="{style}" x="{(box[0] + box[2]) / 2:.1f}" y="{box[3] - 4:.1f}">{text(label)}</text>'


def _shared_area(one: Box, other: Box) -> float:
    width, height = (min(one[k + 2], other[k + 2]) - max(one[k], other[k]) for k in (0, 1))
    return max(0.0, width) * max(0.0, height)


def speech_picture(
    log_mel_TM: np.ndarray,
    log_probs_SV: np.ndarray,
    *,
    vocabulary: Vocabulary,
    frame_seconds: float,
    step_seconds: float,
    words: Sequence[Word] | None = None,
    label: str = "",
) -> str:
    """A log-mel, the words found in it, and the probability of every label, one below the other on one time axis.

    Args:
        log_mel_TM: natural log of mel power, one row a frame.
        log_probs_SV: natural-log probabilities, one row a step, blank first.
        vocabulary: the characters of the columns.
        frame_seconds: seconds from one frame to the next.
        step_seconds: seconds from one step to the next.
        words: the words to mark; without, those of greedy decoding.
        label: what the picture shows, for those who cannot see it.

    Returns:
        An SVG element, as wide as the recording needs.

    Raises:
        ValueError: an array has not two axes, or the columns do not fit the vocabulary.
    """
    log_mel_TM, log_probs_SV = np.asarray(log_mel_TM), np.asarray(log_probs_SV)
    if log_mel_TM.ndim != 2:
        raise ValueError(f"a picture's log_mel must have the axes (frames, mels), got shape {log_mel_TM.shape}")
    greedy = greedy_decode(log_probs_SV, vocabulary=vocabulary, step_seconds=step_seconds)
    words = greedy.words if words is None else words
    duration = max(len(log_mel_TM) * frame_seconds, len(log_probs_SV) * step_seconds, 1e-3)
    width = round(min(max(230 * duration, 1000), 4000))
    x = Axis(0.0, duration, 46, width - 14)
    mel_top, mel_bottom, lanes_top, lane_height = 6, 156, 162, 21
    lanes = _lanes(words, x)
    chart_top = lanes_top + lane_height * max(lanes, default=0) + lane_height + 24
    y = Axis(0.0, 1.0, chart_top + 130, chart_top)
    height = round(y.start + 40)

    parts = []
    if log_mel_TM.size:
        image = base64.b64encode(log_mel_png(log_mel_TM)).decode()
        parts.append(
            f'<image x="{x.start}" y="{mel_top}" width="{x(len(log_mel_TM) * frame_seconds) - x.start:.1f}" '
            f'height="{mel_bottom - mel_top}" preserveAspectRatio="none" href="data:image/png;base64,{image}"/>'
        )
    middle = (mel_top + mel_bottom) / 2
    parts.append(
        f'<text class="tick" text-anchor="middle" transform="translate(30 {middle}) rotate(-90)">mel bands</text>'
    )
    for value in (0.0, 0.5, 1.0):
        parts.append(
            f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{x.start - 7}" y="{y(value) + 4:.1f}">{value:g}</text>'
        )
    for tick in x.ticks(max(4, width // 110)):
        parts.append(
            f'<text class="tick" text-anchor="middle" x="{x(tick):.1f}" y="{y.start + 18:.1f}">{tick:g}</text>'
        )
    parts.append(f'<text class="tick" text-anchor="end" x="{x.end}" y="{height - 4}">seconds</text>')
    for word, lane in zip(words, lanes, strict=True):
        parts.append(_word_mark(word, x, top=lanes_top, y=lanes_top + lane_height * lane, bottom=y.start))
    parts.extend(_label_lines(np.exp(log_probs_SV.astype(float)), x, y, step_seconds=step_seconds))
    for found, peak in label_peaks(greedy, log_probs_SV):
        character = vocabulary.decode([found])
        parts.append(
            f'<text class="peak" style="fill: {_colour(found)}" x="{x((peak + 0.5) * step_seconds):.1f}" '
            f'y="{y(np.exp(log_probs_SV[peak, found])) - 6:.1f}">{"␣" if character == " " else text(character)}</text>'
        )
    return svg_element(parts, width=width, height=height, label=label or "Log-mel and label probabilities", fixed=True)


def log_mel_png(log_mel_TM: np.ndarray) -> bytes:
    """A log-mel as a PNG, time to the right, low bands below."""
    from matplotlib.image import imsave

    stream = io.BytesIO()
    imsave(stream, log_mel_pixels(log_mel_TM), format="png")
    return stream.getvalue()


def log_mel_pixels(log_mel_TM: np.ndarray) -> np.ndarray:
    """A log-mel as 8-bit RGB of shape (mels, frames, 3), high bands first; the darkest 2 % and brightest 0.5 % are cut
    off."""
    import matplotlib

    values = np.where(np.isfinite(log_mel_TM), log_mel_TM, np.nan)
    low, high = np.nanpercentile(values, [2, 99.5]) if np.isfinite(values).any() else (0.0, 1.0)
    scaled = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-6), 0, 1)
    colours = matplotlib.colormaps["magma"](scaled.T[::-1], bytes=True)
    return np.ascontiguousarray(colours[..., :3])


def label_peaks(hypothesis: Hypothesis, log_probs_SV: np.ndarray) -> list[tuple[int, int]]:
    """Each label that was found, with the step at which it is most probable."""
    return [
        (label, start + int(log_probs_SV[start:end, label].argmax()))
        for label, (start, end) in zip(hypothesis.labels, hypothesis.spans, strict=True)
    ]


def label_areas(probs_SV: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Where a label other than the blank is more than nothing: label, first step, step after the last.

    One step more at both sides, so that an area rises from the ground.
    """
    for label in range(probs_SV.shape[1]):
        if label == BLANK_ID:
            continue
        seen_S = probs_SV[:, label] >= _VISIBLE
        wide_S = seen_S | np.append(seen_S[1:], False) | np.insert(seen_S[:-1], 0, False)
        edges = np.flatnonzero(np.diff(wide_S.astype(int), prepend=0, append=0))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            yield label, int(start), int(end)


def _label_lines(probs_SV: np.ndarray, x: Axis, y: Axis, *, step_seconds: float) -> list[str]:
    """The blank as a grey line, every other label as an area where it is more than nothing."""
    centres_S = (np.arange(len(probs_SV)) + 0.5) * step_seconds

    def path(steps: np.ndarray, label: int) -> str:
        return " ".join(f"{x(centres_S[step]):.1f},{y(probs_SV[step, label]):.1f}" for step in steps)

    parts = []
    if len(probs_SV):
        parts.append(f'<polyline class="blank" points="{path(np.arange(len(probs_SV)), BLANK_ID)}"/>')
    parts.extend(
        f'<polyline class="area" style="stroke: {_colour(label)}; fill: {_colour(label)}" '
        f'points="{path(np.arange(start, end), label)}"/>'
        for label, start, end in label_areas(probs_SV)
    )
    return parts


def _lanes(words: Sequence[Word], x: Axis) -> list[int]:
    """For each word the first line of text on which it does not touch the one before it."""
    free_from: list[float] = []
    lanes = []
    for word in words:
        middle = float(x((word.start_seconds + word.end_seconds) / 2))
        half = 4.2 * len(word.text) + 4
        lane = next((lane for lane, free in enumerate(free_from) if free <= middle - half), len(free_from))
        free_from[lane : lane + 1] = [middle + half]
        lanes.append(lane)
    return lanes


def _word_mark(word: Word, x: Axis, *, top: float, y: float, bottom: float) -> str:
    left, right = float(x(word.start_seconds)), float(x(word.end_seconds))
    return (
        f'<rect class="band" x="{left:.1f}" y="{top}" width="{right - left:.1f}" height="{bottom - top:.1f}"/>'
        f'<line class="edge" x1="{left:.1f}" x2="{right:.1f}" y1="{top}" y2="{top}"/>'
        f'<text class="word" x="{(left + right) / 2:.1f}" y="{y + 17}">{text(word.text)}'
        f"<title>{text(word.text)}: {word.start_seconds:.2f} to {word.end_seconds:.2f} s, "
        f"confidence {word.confidence:.2f}</title></text>"
    )


def _colour(label: int) -> str:
    return f"var(--series-{label % NUM_SERIES + 1})"


def svg_element(parts: Sequence[str], *, width: int, height: int, label: str, fixed: bool = False) -> str:
    """The SVG around its parts, spoken as `label`: as wide as its place, or `fixed` at `width` pixels."""
    size = f'width="{width}" height="{height}"' if fixed else 'width="100%"'
    return f'<svg role="img" aria-label="{text(label)}" viewBox="0 0 {width} {height}" {size}>{"".join(parts)}</svg>'
