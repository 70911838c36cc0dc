"""Line charts of a run's history, thinned to what can be seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechgru.report.charts import (
    LOG_AXIS_RATIO,
    MAX_POINTS,
    PANEL_HEIGHT,
    PANEL_WIDTH,
    Axis,
    Series,
    short,
    svg_element,
)
from speechgru.report.html import is_number, percent, text


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
    return line_chart(series, title="Loss", describe=short, course=course)


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


def thinned(points: Sequence[tuple[float, float]], *, most: int = MAX_POINTS) -> tuple[list[tuple[float, float]], int]:
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
    log = not percentages and values.min() > 0 and values.max() > LOG_AXIS_RATIO * values.min()
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
