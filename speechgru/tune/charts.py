"""The charts of a sweep's page: a dot a trial, hollow where it is over a limit."""

from __future__ import annotations

import itertools
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from speechgru.report.axis import Axis, category_axis, linear_axis, log_axis
from speechgru.report.frame import PANEL_WIDTH, Frame
from speechgru.report.page import Record
from speechgru.report.shapes import Box, Point, around, label, place_label, polyline, shape, upright
from speechgru.tune.dots import Dot, Objective, cut, finite, number, places_of, spread_of, value_text
from speechgru.visible import counted

#: Objectives that differ by more than this factor are drawn on a logarithmic axis.
_LOG_AXIS_RATIO = 10
_WIDE_WIDTH, _WIDE_HEIGHT = 720, 300
_PANEL_HEIGHT = 300
_SMALL_WIDTH, _SMALL_HEIGHT = 320, 210
#: A small chart with more dots than this has smaller ones.
_MANY = 60
#: Letters of a category's name that are shown.
_MOST_LETTERS = 16
#: Multiples of the golden ratio are well apart modulo 1, however many there are.
_GOLDEN = 0.618034


def progress_chart(trials: Sequence[Record], dots: Sequence[Dot], *, objective: Objective) -> str:
    """The objective of each trial in order and the best so far as a step line, as SVG; empty without a dot.

    Trials over a limit are hollow and not in the line; failed and refused ones are crosses on the base line; the
    spread of several trainings is a vertical line.
    """
    if not dots:
        return ""
    places = places_of(trials)
    spreads = [spread_of(dot.trial) or (dot.value, dot.value) for dot in dots]
    frame = Frame(
        linear_axis(min(places) - 0.7, max(places) + 0.7, name="trial", most=12, describe="{:.0f}".format, whole=True),
        _objective_axis([dot.value for dot in dots] + [end for spread in spreads for end in spread], objective),
        width=_WIDE_WIDTH,
        height=_WIDE_HEIGHT,
        left=58,
    )
    for dot, (low, high) in zip(dots, spreads, strict=True):
        if high > low:
            frame.add(upright(frame.x(dot.place), frame.y(low), frame.y(high), kind="spread"))
    steps: list[tuple[int, float]] = []
    for dot in dots:
        if not dot.is_over and (not steps or dot.value < steps[-1][1]):
            steps.append((dot.place, dot.value))
    corners: list[Point] = []
    if steps:
        ends = [*((frame.x(place), frame.y(value)) for place, value in steps), (frame.right, frame.y(steps[-1][1]))]
        corners = _stairs(ends)
        frame.add(polyline(corners, kind="line best-so-far", colour="var(--series-2)"))
    for place, trial in zip(places, trials, strict=True):
        if trial["status"] in ("failed", "refused"):
            cross = f"M{frame.x(place) - 4:.1f},{frame.bottom - 4:.1f}l8,8m0,-8l-8,8"
            frame.add(shape("path", kind="cross", title=f"{trial['trial']}: {trial['status']}", d=cross))
    spots = [(dot, frame.x(dot.place), frame.y(dot.value)) for dot in dots]
    frame.add(*_circles(spots, [_described(dot, objective) for dot in dots], radius=4.5))
    taken = [around(left, top) for _, left, top in spots] + _along(corners)
    room = (frame.left, frame.top - 8, frame.right, frame.bottom - 2)
    for dot, left, top in spots:
        if dot.is_best:
            words = f"{dot.name}: {objective.describe(dot.value)}"
            frame.add(place_label(words, left, top, colour="var(--text)", taken=taken, room=room))
    spoken = f"{counted(len(dots), 'trial')}"
    if len(steps) > 1:
        spoken += f"; the best so far falls from {objective.describe(steps[0][1])} at trial {steps[0][0]} to "
        spoken += f"{objective.describe(steps[-1][1])} at trial {steps[-1][0]}"
    return frame.svg(f"{objective.name} of the trials in order", description=spoken)


def parameter_chart(dimension: Record, dots: Sequence[Dot], *, objective: Objective) -> str:
    """The objective against one hyperparameter, as SVG; empty where no trial has it.

    Numbers of a range have an axis, logarithmic where they are searched so; other values are side by side, with a
    bar at the median. Dots of the same value are drawn a little apart, so that none hides another.

    Args:
        dimension: `key`, `kind` and `log`.
        dots: all trials, so that every chart of a sweep has the same vertical axis.
        objective: what is minimised.
    """
    key = dimension["key"]
    shown = [dot for dot in dots if key in dot.trial["values"]]
    if not shown:
        return ""
    values = [dot.trial["values"][key] for dot in shown]
    identities = list(map(_identity, values))
    is_number = dimension["kind"] in ("int", "float") and all(finite(value) is not None for value in values)
    names = {} if is_number else _categories(values)
    frame = Frame(
        _number_axis(values, dimension) if is_number else category_axis(list(names.values())),
        _objective_axis([dot.value for dot in dots], objective, most=4),
        width=_SMALL_WIDTH,
        height=_SMALL_HEIGHT,
        left=48,
        right=10,
    )
    if is_number:
        centres = {identity: frame.x(float(value)) for identity, value in zip(identities, values, strict=True)}
    else:
        centres = {identity: frame.x(k) for k, identity in enumerate(names)}
    across = _apart(identities, centres, most=min(40.0, 2 * (min(centres.values()) - frame.left) - 6))
    spots = [(dot, left, frame.y(dot.value)) for dot, left in zip(shown, across, strict=True)]
    titles = [
        f"{_described(dot, objective)}, {key} {value_text(value)}" for dot, value in zip(shown, values, strict=True)
    ]
    frame.add(*_circles(spots, titles, radius=3.75 if len(shown) <= _MANY else 3.0))
    spoken = [counted(len(shown), "trial")]
    for identity, name in names.items():
        column = [dot.value for dot, one in zip(shown, identities, strict=True) if one == identity]
        median, reach = statistics.median(column), min(0.35 * (frame.right - frame.left) / len(names), 26)
        spoken.append(f"{name} {objective.describe(median)} (median of {len(column):,})")
        bar = f"M{centres[identity] - reach:.1f},{frame.y(median):.1f}h{2 * reach:.1f}"
        frame.add(shape("path", kind="edge median", title=spoken[-1], d=bar))
    return frame.svg(f"{objective.name} against {key}", description="; ".join(spoken))


def cost_chart(dots: Sequence[Dot], *, cost: str, name: str, limit: float | None, objective: Objective) -> str:
    """The objective against a cost on a logarithmic axis, with the front as a step line, as SVG; empty without a dot.

    Args:
        dots: the trials; those without a positive cost are left out.
        cost: its key in a trial, which is in `on_front` of those that no other beats in both.
        name: the cost with its unit.
        limit: what is allowed, a vertical line; beyond it is shaded. None or not positive: no limit is drawn.
        objective: what is minimised.
    """
    shown = [dot for dot in dots if (finite(dot.trial.get(cost)) or 0) > 0]
    if not shown:
        return ""
    costs = [float(dot.trial[cost]) for dot in shown]
    limits = [float(limit)] if limit is not None and (finite(limit) or 0) > 0 else []
    frame = Frame(
        log_axis(min(costs + limits) / 1.25, max(costs + limits) * 1.25, name=name, most=8),
        _objective_axis([dot.value for dot in shown], objective),
        width=PANEL_WIDTH,
        height=_PANEL_HEIGHT,
        left=58,
    )
    spots = [(dot, frame.x(value), frame.y(dot.value)) for dot, value in zip(shown, costs, strict=True)]
    taken = [around(left, top) for _, left, top in spots]
    for most in limits:
        edge, height = frame.x(most), frame.bottom - frame.top
        frame.add(
            shape("rect", kind="forbidden", x=edge, y=frame.top, width=frame.right - edge, height=height),
            upright(edge, frame.bottom, frame.top, kind="limit"),
            label(min(edge, PANEL_WIDTH - 40), frame.top - 6, f"limit {most:,.6g}", kind="tick"),
        )
        taken.append((edge - 3, frame.top, edge + 3, frame.bottom))
    front = sorted(
        (spot for spot in spots if cost in (spot[0].trial.get("on_front") or ()) and not spot[0].is_over),
        key=lambda spot: (spot[1], -spot[2]),
    )
    if front:
        end = min([frame.right, *map(frame.x, limits)])
        corners = _stairs([*((left, top) for _, left, top in front), (max(end, front[-1][1]), front[-1][2])])
        frame.add(polyline(corners, kind="line front", colour="var(--series-3)"))
        taken += _along(corners)
    titles = [f"{_described(dot, objective)}, {name} {number(value)}" for dot, value in zip(shown, costs, strict=True)]
    frame.add(*_circles(spots, titles, radius=4.5))
    room = (frame.left, frame.top - 2, frame.right, frame.bottom - 2)
    for dot, left, top in front:
        frame.add(place_label(dot.name, left, top, colour="var(--text)", taken=taken, room=room))
    spoken = "; ".join(
        f"trial {dot.name} {objective.describe(dot.value)} at {dot.trial[cost]:.4g}" for dot, *_ in front
    )
    description = f"the front: {spoken}" if spoken else counted(len(shown), "trial")
    return frame.svg(f"{objective.name} against {name}", description=description)


def _objective_axis(values: Sequence[float], objective: Objective, *, most: int = 6) -> Axis:
    low, high = min(values), max(values)
    if low > 0 and high > _LOG_AXIS_RATIO * low:
        return log_axis(low / 1.2, high * 1.2, name=objective.name, most=most, describe=objective.tick)
    if 0 <= low <= high / 2:  # from zero where that costs little room
        low, high = 0.0, 1.08 * high or 0.01
    else:
        room = max(0.12 * (high - low), 0.02 * abs(high))  # a difference in the last digit is none
        low, high = low - room, high + room
    return linear_axis(low, high, name=objective.name, most=most, describe=objective.tick)


def _number_axis(values: Sequence[float], dimension: Record) -> Axis:
    """An axis of a hyperparameter's values; a few whole numbers are its ticks themselves."""
    low, high, distinct, whole = min(values), max(values), sorted(set(values)), dimension["kind"] == "int"
    at = distinct if len(distinct) == 1 or (whole and len(distinct) <= 6) else None
    if dimension["log"] and low > 0:
        room = max((high / low) ** 0.06, 1.1)
        return log_axis(low / room, high * room, most=5, whole=whole, at=at)
    room = max(0.06 * (high - low), 0.01 * abs(high)) or 0.5
    return linear_axis(low - room, high + room, most=5, whole=whole, at=at)


def _identity(value: Any) -> str:
    return json.dumps(value, default=str)


def _categories(values: Sequence[Any]) -> dict[str, str]:
    """The names of the distinct values by what distinguishes them: booleans first, then numbers, then the others."""

    def order(value: Any) -> tuple[int, float, str]:
        rank = 0 if isinstance(value, bool) else 1 if finite(value) is not None else 2
        return rank, float(value) if rank < 2 else 0.0, value_text(value)

    return {_identity(value): cut(value_text(value), _MOST_LETTERS) for value in sorted(values, key=order)}


def _apart(identities: Sequence[str], centres: Mapping[str, float], *, most: float) -> list[float]:
    """Where dots are across: the first of a value at its centre, the others beside it, at most `most` pixels apart."""
    gaps = [other - one for one, other in itertools.pairwise(sorted(set(centres.values())))]
    width = min([0.55 * gap for gap in gaps] + [most])
    seen: dict[str, int] = {}
    across = []
    for identity in identities:
        seen[identity] = seen.get(identity, -1) + 1
        across.append(centres[identity] + width * ((seen[identity] * _GOLDEN + 0.5) % 1 - 0.5))
    return across


def _described(dot: Dot, objective: Objective) -> str:
    kind = ", the best" if dot.is_best else f", over a limit ({dot.trial.get('reason') or '-'})" if dot.is_over else ""
    return f"{dot.name}{kind}: {objective.name} {objective.describe(dot.value)}"


def _circles(spots: Sequence[tuple[Dot, float, float]], titles: Sequence[str], *, radius: float) -> list[str]:
    """The dots, hollow ones below, the best on top."""
    drawn = sorted(zip(spots, titles, strict=True), key=lambda entry: entry[0][0].is_best - entry[0][0].is_over)
    return [
        shape(
            "circle",
            kind="dot over" if dot.is_over else "dot best" if dot.is_best else "dot",
            title=title,
            cx=left,
            cy=top,
            r=radius + 1.5 * dot.is_best,
        )
        for (dot, left, top), title in drawn
    ]


def _stairs(points: Sequence[Point]) -> list[Point]:
    """The corners of a line that goes right, then up or down, from each point to the next."""
    corners = [points[0]]
    for (_, before), (left, top) in itertools.pairwise(points):
        corners += [(left, before), (left, top)]
    return corners


def _along(corners: Sequence[Point]) -> list[Box]:
    """The boxes that a line of upright and level pieces covers."""
    return [
        (min(one[0], other[0]) - 2, min(one[1], other[1]) - 2, max(one[0], other[0]) + 2, max(one[1], other[1]) + 2)
        for one, other in itertools.pairwise(corners)
    ]
