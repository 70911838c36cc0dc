"""The charts of a run's training: losses, error rates and speed against the steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from speechgru.report import html
from speechgru.report.charts import PANEL_HEIGHT, PANEL_WIDTH, Axis, short, svg_element
from speechgru.report.html import is_number, percent, text
from speechgru.train.history import Course, History, Record, points_of

#: A loss that falls by more than this factor is drawn on a logarithmic axis.
_LOG_AXIS_RATIO = 30
#: A line with more points than this shows no more; neighbours are averaged.
_MAX_POINTS = 400
_WHOLE_COURSE = Course()


@dataclass(frozen=True)
class Series:
    """One line of a chart: finite points in drawing order, its name, its colour number and whether it is dashed."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    dashed: bool = False
    markers: bool = False


def curves(history: History) -> str:
    """All charts of a training side by side; empty where there is nothing to draw."""
    best, course = history.best, history.course
    marked = f"; the ring marks the best, at step {html.count(best['step'])}" if best is not None else ""
    rate, norm = "learning_rate", "gradient_norm"
    speed, speed_caption = "audio_hours_per_hour", "Hours of audio trained on in an hour"
    if not history.values(speed):
        speed, speed_caption = "steps_per_second", "Steps a second"
    shares = [
        training_series(history.records, "padding_share", name="padding"),
        training_series(history.records, "wait_share", name="waiting", colour=2, dashed=True),
    ]
    return _panels(
        [
            (loss_chart(history.records, course=course), "CTC loss", ("loss",)),
            (error_chart(history.records, course=course), f"Error rates on the dev set{marked}", ("wer", "cer")),
            (_curve(history, rate, "learning rate", course), "Learning rate", (rate,)),
            (_curve(history, norm, "gradient norm", course), "Norm of the gradient", (norm,)),
            (_curve(history, speed, "speed", course), speed_caption, (speed,)),
            (
                line_chart(shares, title="Waste", describe=html.percent, percentages=True, course=course),
                "The share of the batches that is padding, and of the time that steps waited for their batch",
                ("padding_share", "wait_share"),
            ),
        ],
        history.records,
    )


def _curve(history: History, key: str, name: str, course: Course) -> str:
    return line_chart([training_series(history.records, key, name=name)], title=name.capitalize(), course=course)


def num_undrawn(history: Sequence[Record], *, keys: Sequence[str]) -> int:
    """How many values of these keys are in the records but not finite numbers, and so not in a chart."""
    return sum(
        1
        for record in history
        for key in keys
        if key in record and not (is_number(record[key]) and math.isfinite(record[key]))
    )


def _panels(charts: Sequence[tuple[str, str, Sequence[str]]], history: Sequence[Record]) -> str:
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


def loss_chart(history: Sequence[Record], *, course: Course = _WHOLE_COURSE) -> str:
    """The training loss and the dev loss against the steps, as SVG; empty where there is none."""
    series = [
        training_series(history, "loss", name="training"),
        Series("dev", points_of(history, kind="dev", key="loss"), 2, dashed=True, markers=True),
    ]
    return line_chart(series, title="Loss", describe=short, course=course)


def error_chart(history: Sequence[Record], *, course: Course = _WHOLE_COURSE) -> str:
    """The dev WER and CER against the steps, as SVG; empty where there is none."""
    series = [
        Series("WER", points_of(history, kind="dev", key="wer"), 1, markers=True),
        Series("CER", points_of(history, kind="dev", key="cer"), 2, dashed=True, markers=True),
    ]
    return line_chart(series, title="Dev error rates", describe=percent, percentages=True, course=course)


def training_series(history: Sequence[Record], key: str, *, name: str, colour: int = 1, dashed: bool = False) -> Series:
    """One value of the training records as a line of a chart, averaged where there are too many."""
    points, every = thinned(points_of(history, kind="train", key=key))
    return Series(f"{name}, mean of {every}" if every > 1 else name, points, colour, dashed=dashed)


def thinned(points: Sequence[tuple[float, float]], *, most: int = _MAX_POINTS) -> tuple[list[tuple[float, float]], int]:
    """Averages so many neighbours into one that at most `most` points are left; gives the points and that number."""
    every = -(-len(points) // most) if points else 1
    groups = [np.mean(points[start : start + every], axis=0) for start in range(0, len(points), every)]
    return [(float(step), float(value)) for step, value in groups], every


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    describe: Callable[[float], str] = short,
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
    x = Axis(min(0.0, steps.min()), max(1.0, steps.max(), course.last_step or 0.0), 52, PANEL_WIDTH - 24)
    y = Axis(float(low), float(high) if high > low else float(low) + 1, PANEL_HEIGHT - 40, 34, log=bool(log))

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
    parts.append(f'<text class="tick" text-anchor="end" x="{x.end}" y="{PANEL_HEIGHT - 5}">step</text>')
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
    return svg_element(parts, width=PANEL_WIDTH, height=PANEL_HEIGHT, label=f"{title}: {spoken}")
