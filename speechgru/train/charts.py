"""The charts of a run's training: losses, error rates and speed against the steps."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from speechgru.report import html
from speechgru.report.axis import Axis, linear_axis, log_axis
from speechgru.report.frame import PANEL_HEIGHT, PANEL_WIDTH, Frame
from speechgru.report.html import is_number, percent, share_tick, short
from speechgru.report.shapes import polyline, shape, upright
from speechgru.train.history import Course, History, Record, points_of

#: A loss that falls by more than this factor is drawn on a logarithmic axis.
_LOG_AXIS_RATIO = 30
#: A line with more points than this shows no more; neighbours are averaged.
_MAX_POINTS = 400
_WHOLE_COURSE = Course()
_in_three_digits = functools.partial(short, digits=3)


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
                line_chart(shares, name="Waste", describe=html.percent, percentages=True, course=course),
                "The share of the batches that is padding, and of the time that steps waited for their batch",
                ("padding_share", "wait_share"),
            ),
        ],
        history.records,
    )


def _curve(history: History, key: str, name: str, course: Course) -> str:
    return line_chart([training_series(history.records, key, name=name)], name=name.capitalize(), course=course)


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
    return line_chart(series, name="Loss", course=course)


def error_chart(history: Sequence[Record], *, course: Course = _WHOLE_COURSE) -> str:
    """The dev WER and CER against the steps, as SVG; empty where there is none."""
    series = [
        Series("WER", points_of(history, kind="dev", key="wer"), 1, markers=True),
        Series("CER", points_of(history, kind="dev", key="cer"), 2, dashed=True, markers=True),
    ]
    return line_chart(series, name="Dev error rates", describe=percent, percentages=True, course=course)


def training_series(history: Sequence[Record], key: str, *, name: str, colour: int = 1, dashed: bool = False) -> Series:
    """One value of the training records as a line of a chart, averaged where there are too many."""
    points, every = thinned(points_of(history, kind="train", key=key))
    return Series(f"{name}, mean of {every}" if every > 1 else name, points, colour, dashed=dashed)


def thinned(points: Sequence[tuple[float, float]], *, most: int = _MAX_POINTS) -> tuple[list[tuple[float, float]], int]:
    """Averages as many neighbours into one as leave at most `most` points; returns the points and that number."""
    every = -(-len(points) // most) if points else 1
    groups = [np.mean(points[start : start + every], axis=0) for start in range(0, len(points), every)]
    return [(float(step), float(value)) for step, value in groups], every


def line_chart(
    series: Sequence[Series],
    *,
    name: str,
    describe: Callable[[float], str] = _in_three_digits,
    percentages: bool = False,
    course: Course = _WHOLE_COURSE,
) -> str:
    """Lines against the steps, as SVG below the key of its lines; empty where no line has a point.

    Args:
        series: the lines; the key names each with its last value.
        name: what they show, for a reader who cannot see it.
        describe: a value in words.
        percentages: whether the values are fractions to show as percentages; else the axis is logarithmic where they
            are far apart.
        course: where the steps end, and what is marked on them.
    """
    series = [line for line in series if line.points]
    if not series:
        return ""
    steps, values = np.array([point for line in series for point in line.points]).T
    first, last = min(0.0, steps.min()), max(1.0, steps.max(), course.last_step or 0.0)
    x = linear_axis(float(first), float(last), name="step", most=5)
    frame = Frame(x, _value_axis(values, percentages=percentages), width=PANEL_WIDTH, height=PANEL_HEIGHT, right=24)
    frame.add(
        *(
            upright(frame.x(step), frame.bottom, frame.top, kind="blank", title=f"resumed at step {step:,.0f}")
            for step in course.resumed
        ),
        *(  # of those that fall on one pixel only one
            upright(place, frame.bottom, frame.bottom - 8, kind="lost-tick")
            for place in sorted({round(frame.x(step)) for step in course.dropped})
        ),
    )
    for line in series:
        colour = f"var(--series-{line.colour})"
        points = [(frame.x(step), frame.y(value)) for step, value in line.points]
        frame.add(polyline(points, kind="line dashed" if line.dashed else "line", colour=colour))
        if line.markers or len(line.points) == 1:
            titles = [f"{line.name} at step {step:,.0f}: {describe(value)}" for step, value in line.points]
            frame.add(
                *(
                    shape("circle", style=f"fill: {colour}", title=each, cx=left, cy=top, r=3)
                    for (left, top), each in zip(points, titles, strict=True)
                )
            )
    marked = next((line.points for line in series if line.markers), ())
    for step, value in marked:
        if step == course.best_step:
            title = f"best at step {step:,.0f}: {describe(value)}"
            frame.add(shape("circle", kind="ring", title=title, cx=frame.x(step), cy=frame.y(value), r=7))
    spoken = "; ".join(
        f"{line.name} from {describe(line.points[0][1])} at step {line.points[0][0]:,.0f} "
        f"to {describe(line.points[-1][1])} at step {line.points[-1][0]:,.0f}"
        for line in series
    )
    if course.resumed:
        spoken += f"; resumed at step {', '.join(f'{step:,.0f}' for step in course.resumed)}"
    key_html = html.key(
        (
            "dashed" if line.dashed else "line",
            f"var(--series-{line.colour})",
            f"{line.name} (last {describe(line.points[-1][1])})",
        )
        for line in series
    )
    return key_html + frame.svg(name, description=spoken)


def _value_axis(values: np.ndarray, *, percentages: bool) -> Axis:
    """From zero, or logarithmic where the values are far apart."""
    lowest, highest = float(values.min()), float(values.max())
    if not percentages and lowest > 0 and highest > _LOG_AXIS_RATIO * lowest:
        return log_axis(lowest / 1.15, highest * 1.15)
    low, high = min(0.0, lowest), highest * 1.05
    return linear_axis(low, high if high > low else low + 1, describe=share_tick if percentages else short)
