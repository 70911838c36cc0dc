"""The charts of a sweep's page, as SVG that follows the page's theme: a dot a trial, hollow where it is over a limit.

They need no matplotlib: the page is written anew after every trial, and should not wait for an import.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speechgru.report import html
from speechgru.report.charts import Axis, Box, place_label, svg_element
from speechgru.utterances.check_charts import round_ticks

Record = Mapping[str, Any]

#: Objectives that differ by more than this factor are drawn on a logarithmic axis.
_LOG_AXIS_RATIO = 10
_WIDE_WIDTH, _WIDE_HEIGHT = 720, 300
_PANEL_WIDTH, _PANEL_HEIGHT = 460, 300
_SMALL_WIDTH, _SMALL_HEIGHT = 320, 210
#: With more dots than this in a small chart they are smaller.
_MANY = 60
#: Letters of a category's name that are shown.
_MOST_LETTERS = 16
#: Multiples of the golden ratio lie apart modulo 1, however many there are.
_GOLDEN = 0.618034
#: About the width of a letter of a tick in pixels.
_LETTER = 6.6


@dataclass(frozen=True)
class Objective:
    """What a sweep makes small, and how its values are written.

    Args:
        metric: "wer" or "cer", fractions shown as percentages, or "loss".
    """

    metric: str

    @property
    def name(self) -> str:
        return "loss" if self.metric == "loss" else self.metric.upper()

    def describe(self, value: Any) -> str:
        """A value in words; missing gives an en dash."""
        return number(value) if self.metric == "loss" else html.percent(value)

    def tick(self, value: float) -> str:
        """A round value at an axis."""
        return f"{value:.4g}" if self.metric == "loss" else f"{100 * value:.4g}\u202f%"


@dataclass(frozen=True)
class Dot:
    """A completed trial whose objective is a finite number.

    Args:
        trial: its record.
        place: where it stands in the order of trials.
        value: its objective.
        is_over: whether it breaks a limit.
        is_best: whether it is the best within the limits.
    """

    trial: Record
    place: int
    value: float
    is_over: bool
    is_best: bool

    @property
    def name(self) -> str:
        return str(self.trial["trial"])


def number(value: Any) -> str:
    """A number to four digits; missing gives an en dash."""
    return f"{value:.4g}" if html.is_number(value) and not math.isnan(value) else html.MISSING


def finite(value: Any) -> float | None:
    """A finite number as it is, anything else as None."""
    return float(value) if html.is_number(value) and math.isfinite(value) else None


def value_text(value: Any) -> str:
    """A hyperparameter's value as YAML has it; a dash would mean that it was not searched."""
    if value is None or isinstance(value, bool) or value == "":
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    return html.plain(value)


def cut(name: str, most: int) -> str:
    """A text of at most so many letters, the last an ellipsis where some are missing."""
    return name if len(name) <= most else f"{name[: most - 1]}\u2026"


def places_of(trials: Sequence[Record]) -> list[int]:
    """The numbers that the trials are named by; without such names 1, 2, 3 and so on."""
    names = [str(trial["trial"]) for trial in trials]
    return list(map(int, names)) if all(map(str.isdecimal, names)) else list(range(1, len(names) + 1))


def dots_of(trials: Sequence[Record], *, best: str | None, objective: Objective) -> list[Dot]:
    """The trials that can be drawn, in their order; `best` names the best, which one over a limit never is."""
    dots = []
    for place, trial in zip(places_of(trials), trials, strict=True):
        value = finite(trial.get(objective.metric))
        if trial["status"] == "completed" and value is not None:
            is_over = trial.get("within_limits") is False
            dots.append(Dot(trial, place, value, is_over, not is_over and trial["trial"] == best))
    return dots


def spread_of(trial: Record) -> tuple[float, float] | None:
    """The lowest and the highest objective of a trial that trained several times; None of another."""
    values = [value for value in map(finite, trial.get("repeats") or ()) if value is not None]
    return (min(values), max(values)) if len(values) > 1 else None


def progress_chart(trials: Sequence[Record], dots: Sequence[Dot], *, objective: Objective) -> str:
    """The objective of each trial in order and the best so far as a step line, as SVG; empty without a dot.

    Trials over a limit are hollow and not in the line; failed and refused ones are crosses on the base line; the
    spread of several trainings is an upright line.
    """
    if not dots:
        return ""
    places = places_of(trials)
    x = Axis(min(places) - 0.7, max(places) + 0.7, 58, _WIDE_WIDTH - 14)
    spreads = [spread_of(dot.trial) or (dot.value, dot.value) for dot in dots]
    y = _objective_axis(
        [dot.value for dot in dots] + [end for spread in spreads for end in spread], _WIDE_HEIGHT - 40, 26
    )
    parts = _frame(x, y, objective)
    whole = [tick for tick in round_ticks(min(places), max(places), most=12) if tick == int(tick)]
    parts += _bottom_labels([(float(x(tick)), f"{tick:.0f}") for tick in whole], x, y)
    parts.append(f'<text class="tick" text-anchor="end" x="{x.end}" y="{_WIDE_HEIGHT - 5}">trial</text>')
    for dot, (low, high) in zip(dots, spreads, strict=True):
        if high > low:
            parts.append(
                f'<line class="range" style="stroke: var(--series-1); stroke-width: 1.25" x1="{x(dot.place):.1f}" '
                f'x2="{x(dot.place):.1f}" y1="{y(low):.1f}" y2="{y(high):.1f}"/>'
            )
    steps = []
    for dot in dots:
        if not dot.is_over and (not steps or dot.value < steps[-1][1]):
            steps.append((dot.place, dot.value))
    if steps:
        corners = _stairs([*((float(x(place)), float(y(value))) for place, value in steps), (x.end, y(steps[-1][1]))])
        parts.append(_line(corners, kind="best-so-far", colour="var(--series-2)"))
    for place, trial in zip(places, trials, strict=True):
        if trial["status"] in ("failed", "refused"):
            parts.append(
                f'<path class="cross" d="M{x(place) - 4:.1f},{y.start - 4:.1f}l8,8m0,-8l-8,8">'
                f"<title>{html.text(trial['trial'])}: {html.text(trial['status'])}</title></path>"
            )
    spots = [(dot, float(x(dot.place)), float(y(dot.value))) for dot in dots]
    parts += _circles(spots, [_said(dot, objective) for dot in dots], radius=4.5)
    best = [(dot, left, top) for dot, left, top in spots if dot.is_best]
    taken = [_around(left, top) for _, left, top in spots] + (_along(corners) if steps else [])
    named = [(f"{dot.name}: {objective.describe(dot.value)}", left, top) for dot, left, top in best]
    parts += _labels(named, taken, room=(x.start, y.end - 8, x.end, y.start - 2))
    spoken = f"{objective.name} of {len(dots):,} trials in order"
    if len(steps) > 1:
        spoken += f"; the best so far falls from {objective.describe(steps[0][1])} at trial {steps[0][0]} to "
        spoken += f"{objective.describe(steps[-1][1])} at trial {steps[-1][0]}"
    return svg_element(parts, width=_WIDE_WIDTH, height=_WIDE_HEIGHT, label=spoken)


def parameter_chart(dimension: Record, dots: Sequence[Dot], *, objective: Objective) -> str:
    """The objective against one hyperparameter, as SVG; empty where no trial has it.

    Numbers of a range have an axis, logarithmic where they are searched so; other values stand side by side, with a
    bar at the median. Dots of the same value lie a little apart, so that none hides another.

    Args:
        dimension: `key`, `kind` and `log`.
        dots: all trials, so that every chart of a sweep has the same upright axis.
        objective: what is made small.
    """
    key = dimension["key"]
    shown = [dot for dot in dots if key in dot.trial["values"]]
    if not shown:
        return ""
    values = [dot.trial["values"][key] for dot in shown]
    identities = list(map(_identity, values))
    y = _objective_axis([dot.value for dot in dots], _SMALL_HEIGHT - 28, 24)
    label, height, medians = f"{objective.name} against {key} of {len(shown):,} trials", _SMALL_HEIGHT, []
    if dimension["kind"] in ("int", "float") and all(finite(value) is not None for value in values):
        x = _value_axis(values, log=bool(dimension["log"]))
        centres = {identity: float(x(float(value))) for identity, value in zip(identities, values, strict=True)}
        ticks = [(float(x(tick)), f"{tick:,.6g}") for tick in _value_ticks(x, values, dimension)]
        bottom = _bottom_labels(ticks, x, y)
    else:
        names = _categories(values)
        x = Axis(-0.5, len(names) - 0.5, 48, _SMALL_WIDTH - 10)
        centres = {identity: float(x(k)) for k, identity in enumerate(names)}
        pitch, longest = (x.end - x.start) / len(names), max(map(len, names.values()))
        slanted = longest * _LETTER > pitch - 6
        height += round(4.2 * longest) if slanted else 0
        bottom = _bottom_labels([(centres[identity], name) for identity, name in names.items()], x, y, slanted=slanted)
        reach = min(0.35 * pitch, 26)
        for identity, name in names.items():
            column = [dot.value for dot, one in zip(shown, identities, strict=True) if one == identity]
            middle = statistics.median(column)
            spoken = f"{name} {objective.describe(middle)} (median of {len(column):,})"
            label += f"; {spoken}"
            medians.append(
                f'<path class="edge median" d="M{centres[identity] - reach:.1f},{y(middle):.1f}h{2 * reach:.1f}">'
                f"<title>{html.text(spoken)}</title></path>"
            )
    across = _apart(identities, centres, most=min(40.0, 2 * (min(centres.values()) - x.start) - 6))
    spots = [(dot, left, float(y(dot.value))) for dot, left in zip(shown, across, strict=True)]
    said = [f"{_said(dot, objective)}, {key} {value_text(value)}" for dot, value in zip(shown, values, strict=True)]
    radius = 3.75 if len(shown) <= _MANY else 3.0
    parts = [*_frame(x, y, objective, ticks=4), *bottom, *_circles(spots, said, radius=radius), *medians]
    return svg_element(parts, width=_SMALL_WIDTH, height=height, label=label)


def cost_chart(dots: Sequence[Dot], *, cost: str, name: str, limit: float | None, objective: Objective) -> str:
    """The objective against a cost on a logarithmic axis, with the front as a step line, as SVG; empty without a dot.

    Args:
        dots: the trials; those without a positive cost are left out.
        cost: its key in a trial, which is in `on_front` of those that no other beats in both.
        name: the cost with its unit.
        limit: what is allowed, an upright line; beyond it is shaded. None or not positive: no limit is drawn.
        objective: what is made small.
    """
    shown = [dot for dot in dots if (finite(dot.trial.get(cost)) or 0) > 0]
    if not shown:
        return ""
    costs = [float(dot.trial[cost]) for dot in shown]
    limits = [float(limit)] if (finite(limit) or 0) > 0 else []
    x = Axis(min(costs + limits) / 1.25, max(costs + limits) * 1.25, 58, _PANEL_WIDTH - 14, log=True)
    y = _objective_axis([dot.value for dot in shown], _PANEL_HEIGHT - 42, 26)
    edges = [float(x(most)) for most in limits]
    parts = [
        f'<rect class="forbidden" x="{left:.1f}" y="{y.end}" width="{x.end - left:.1f}" height="{y.start - y.end}"/>'
        for left in edges
    ]
    ticks = [(float(x(tick)), f"{tick:,.6g}") for tick in _log_ticks(x.low, x.high, most=8)]
    parts += _frame(x, y, objective) + _bottom_labels(ticks, x, y)
    parts.append(f'<text class="tick" text-anchor="end" x="{x.end}" y="{_PANEL_HEIGHT - 6}">{html.text(name)}</text>')
    spots = [(dot, float(x(value)), float(y(dot.value))) for dot, value in zip(shown, costs, strict=True)]
    front = sorted(
        (spot for spot in spots if cost in (spot[0].trial.get("on_front") or ()) and not spot[0].is_over),
        key=lambda spot: (spot[1], -spot[2]),
    )
    taken = [_around(left, top) for _, left, top in spots]
    for left in edges:
        parts.append(
            f'<line class="limit" x1="{left:.1f}" x2="{left:.1f}" y1="{y.start}" y2="{y.end}"/>'
            f'<text class="tick" text-anchor="middle" x="{min(left, _PANEL_WIDTH - 40):.1f}" y="{y.end - 6}">'
            f"limit {limit:,.6g}</text>"
        )
        taken.append((left - 3, y.end, left + 3, y.start))
    if front:
        end = min([x.end, *edges])
        corners = _stairs([*((left, top) for _, left, top in front), (max(end, front[-1][1]), front[-1][2])])
        parts.append(_line(corners, kind="front", colour="var(--series-3)"))
        taken += _along(corners)
    said = [f"{_said(dot, objective)}, {name} {number(value)}" for dot, value in zip(shown, costs, strict=True)]
    parts += _circles(spots, said, radius=4.5)
    named = [(dot.name, left, top) for dot, left, top in front]
    parts += _labels(named, taken, room=(x.start, y.end - 2, x.end, y.start - 2))
    spoken = "; ".join(
        f"trial {dot.name} {objective.describe(dot.value)} at {dot.trial[cost]:.4g}" for dot, *_ in front
    )
    label = f"{objective.name} against {name}{f', the front: {spoken}' if spoken else ''}"
    return svg_element(parts, width=_PANEL_WIDTH, height=_PANEL_HEIGHT, label=label)


def _objective_axis(values: Sequence[float], start: float, end: float) -> Axis:
    low, high = min(values), max(values)
    if low > 0 and high > _LOG_AXIS_RATIO * low:
        return Axis(low / 1.2, high * 1.2, start, end, log=True)
    if 0 <= low <= high / 2:  # from zero where that costs little room
        return Axis(0.0, 1.08 * high or 0.01, start, end)
    room = max(0.12 * (high - low), 0.02 * abs(high))  # a difference in the last digit is none
    return Axis(low - room, high + room, start, end)


def _value_axis(values: Sequence[float], *, log: bool) -> Axis:
    low, high = min(values), max(values)
    if log and low > 0:
        room = max((high / low) ** 0.06, 1.1)
        return Axis(low / room, high * room, 48, _SMALL_WIDTH - 10, log=True)
    room = max(0.06 * (high - low), 0.01 * abs(high)) or 0.5
    return Axis(low - room, high + room, 48, _SMALL_WIDTH - 10)


def _value_ticks(x: Axis, values: Sequence[float], dimension: Record) -> list[float]:
    """A few whole numbers themselves; else round values between the lowest and the highest."""
    distinct = sorted(set(values))
    if len(distinct) == 1 or (dimension["kind"] == "int" and len(distinct) <= 6):
        return distinct
    ticks = _log_ticks(x.low, x.high, most=5) if x.log else round_ticks(distinct[0], distinct[-1], most=5)
    return [tick for tick in ticks if dimension["kind"] == "float" or tick == int(tick)]


def _log_ticks(low: float, high: float, *, most: int) -> list[float]:
    """At most about so many round values; within less than a decade evenly apart, where two of 1, 2, 5 are not."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        every = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [tick for tick in every if low <= tick <= high]
        if len(ticks) <= most:
            break
    return ticks[:: -(-len(ticks) // most)] if len(ticks) > 2 else round_ticks(low, high, most=most)


def _frame(x: Axis, y: Axis, objective: Objective, *, ticks: int = 6) -> list[str]:
    """The grid and names of the upright axis, and the base line."""
    parts = []
    values = _log_ticks(y.low, y.high, most=ticks) if y.log else round_ticks(y.low, y.high, most=ticks)
    for tick in values:
        parts.append(
            f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{x.start - 7}" y="{y(tick) + 4:.1f}">'
            f"{objective.tick(tick)}</text>"
        )
    parts.append(f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y.start}" y2="{y.start}"/>')
    parts.append(f'<text class="tick" x="2" y="12">{html.text(objective.name)}</text>')
    return parts


def _bottom_labels(labels: Sequence[tuple[float, str]], x: Axis, y: Axis, *, slanted: bool = False) -> list[str]:
    """Names below the base line, those left out that would touch the one before; slanted ones are cut where they do
    not fit."""
    parts, free = [], -math.inf
    for left, name in labels:
        reach = 7 if slanted else len(name) * _LETTER / 2 + 3
        if left - reach < free:
            continue
        free = left + reach
        if slanted:
            name, middle = cut(name, int(left / _LETTER / 0.82) - 1), f"{left:.1f} {y.start + 14:.1f}"
            place = f'text-anchor="end" x="{left:.1f}" y="{y.start + 14:.1f}" transform="rotate(-35 {middle})"'
        else:
            place = f'text-anchor="middle" x="{min(left, x.end + 12 - reach):.1f}" y="{y.start + 18:.1f}"'
        parts.append(f'<text class="tick" {place}>{html.text(name)}</text>')
    return parts


def _identity(value: Any) -> str:
    return json.dumps(value, default=str)


def _categories(values: Sequence[Any]) -> dict[str, str]:
    """The names of the distinct values by what tells them apart: booleans first, then numbers, then the others."""

    def order(value: Any) -> tuple[int, float, str]:
        rank = 0 if isinstance(value, bool) else 1 if finite(value) is not None else 2
        return rank, float(value) if rank < 2 else 0.0, value_text(value)

    return {_identity(value): cut(value_text(value), _MOST_LETTERS) for value in sorted(values, key=order)}


def _apart(identities: Sequence[str], centres: Mapping[str, float], *, most: float) -> list[float]:
    """Where dots lie across: the first of a value at its centre, the others beside it, at most `most` pixels apart."""
    gaps = [other - one for one, other in itertools.pairwise(sorted(set(centres.values())))]
    width = min([0.55 * gap for gap in gaps] + [most])
    seen: dict[str, int] = {}
    across = []
    for identity in identities:
        seen[identity] = seen.get(identity, -1) + 1
        across.append(centres[identity] + width * ((seen[identity] * _GOLDEN + 0.5) % 1 - 0.5))
    return across


def _said(dot: Dot, objective: Objective) -> str:
    kind = ", the best" if dot.is_best else f", over a limit ({dot.trial.get('reason') or '-'})" if dot.is_over else ""
    return f"{dot.name}{kind}: {objective.name} {objective.describe(dot.value)}"


def _circles(spots: Sequence[tuple[Dot, float, float]], said: Sequence[str], *, radius: float) -> list[str]:
    """The dots, hollow ones below, the best on top."""
    drawn = sorted(zip(spots, said, strict=True), key=lambda entry: entry[0][0].is_best - entry[0][0].is_over)
    return [
        f'<circle class="dot{" over" if dot.is_over else " best" if dot.is_best else ""}" cx="{left:.1f}" '
        f'cy="{top:.1f}" r="{radius + 1.5 * dot.is_best}"><title>{html.text(what)}</title></circle>'
        for (dot, left, top), what in drawn
    ]


def _stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of a line that goes right, then up or down, from each point to the next."""
    corners = [points[0]]
    for (_, before), (left, top) in itertools.pairwise(points):
        corners += [(left, before), (left, top)]
    return corners


def _line(corners: Sequence[tuple[float, float]], *, kind: str, colour: str) -> str:
    points = " ".join(f"{left:.1f},{top:.1f}" for left, top in corners)
    return f'<polyline class="line {kind}" style="stroke: {colour}" points="{points}"/>'


def _around(left: float, top: float) -> Box:
    return left - 7, top - 7, left + 7, top + 7


def _along(corners: Sequence[tuple[float, float]]) -> list[Box]:
    """The boxes that a line of upright and level pieces covers."""
    return [
        (min(one[0], other[0]) - 2, min(one[1], other[1]) - 2, max(one[0], other[0]) + 2, max(one[1], other[1]) + 2)
        for one, other in itertools.pairwise(corners)
    ]


def _labels(named: Sequence[tuple[str, float, float]], taken: Sequence[Box], *, room: Box) -> list[str]:
    """Names beside their points; each looks only at what is near, for most of the many trials is not."""
    parts, placed = [], []
    for name, left, top in named:
        reach = 7.0 * len(name) + 20
        near = [
            box
            for box in (*taken, *placed)
            if box[0] < left + reach and box[2] > left - reach and box[1] < top + 45 and box[3] > top - 45
        ]
        parts.append(place_label(name, left, top, colour="var(--text)", taken=near, room=room))
        placed.append(near[-1])
    return parts
