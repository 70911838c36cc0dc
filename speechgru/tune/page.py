"""The page of a hyperparameter search: the best trial, what each hyperparameter does, what less would cost, all trials.

It is written after every trial, so it shows a search that has only begun as well as one that has ended.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from speechgru.report import html
from speechgru.report.page import Record, write_page
from speechgru.tune.charts import cost_chart, parameter_chart, progress_chart
from speechgru.tune.dots import Dot, Objective, cut, dots_of, finite, number, spread_of, value_text
from speechgru.visible import counted

_FOOTER = (
    "Error rates are all errors over all words or characters of the evaluation set; of a trial that trained "
    "several times rates and loss are means. A real-time factor (RTF) is seconds of computing per second of audio."
)
_RULES = """
#trials td.text small { white-space: normal; min-width: 13rem; max-width: 18rem; }
svg .spread { stroke: var(--series-1); stroke-width: 1.25; }
svg .dot { fill: var(--series-1); stroke: var(--card); stroke-width: 1; }
svg .dot.over { fill: var(--card); stroke: var(--series-1); stroke-width: 1.5; }
svg .dot.best { fill: var(--series-2); stroke: var(--text); stroke-width: 1.5; }
svg .cross { fill: none; stroke: var(--lost); stroke-width: 1.75; }
svg .limit { stroke: var(--lost); stroke-width: 1.5; stroke-dasharray: 3 3; }
svg .forbidden { fill: var(--lost); fill-opacity: .08; }
.commands { background: var(--page); border: 1px solid var(--rule); border-radius: .5rem; padding: .6rem .8rem;
  margin: .5rem 0 0; overflow-x: auto; font-size: .88rem; line-height: 1.6; }
.reasons { margin: 0; }
.reasons div { border-top: 1px solid var(--rule); padding: .6rem 0; }
.reasons div:last-child { padding-bottom: 0; }
.reasons dt { font-weight: 600; font-size: .93rem; }
.reasons dd { margin: .15rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .93rem; }
"""
#: Letters of a reason in the table of trials; the complete one is among the failures.
_MOST_LETTERS = 60

#: The costs of a trial by key: name, unit, and how a value is written.
_COSTS: dict[str, tuple[str, str, Callable[[Any], str]]] = {
    "size_mb": ("Size", "MB", number),
    "rtf": ("RTF", "", html.real_time_factor),
    "latency_ms": ("Latency", "ms", number),
    "parameters": ("Parameters", "", html.count),
}
_TIMES = {"training_seconds": "Training", "total_seconds": "In all"}


def report_sweep(record: Record, out: str | Path) -> Path:
    """Writes a hyperparameter search as a self-contained HTML page.

    Args:
        record: the sweep. `title`; `tuner`, `seed`, `repeats` (trainings a trial) and `workers`; `objective`, whose
            `metric` is "wer", "cer" or "loss", minimised; `limits`, any of `max_size_mb`, `max_rtf`,
            `max_latency_ms`, `max_parameters`; `form`, the TFLite form that is measured, or None; `front_against`, any
            of "size_mb" and "rtf"; `space`, a record a dimension: `key`, `kind` ("choice", "int", "float" or
            "boolean"), `log`, `range` and `when` in words; `trials`, see below; `seconds` so far; `ended`, why, or None
            while it is in progress; `best`, a trial's name or None; `commands` for the next steps; `notes`, a paragraph
            each.

            A trial has `trial` (its name), `status` ("completed", "failed", "refused" or "running"), `on_front` (of
            `front_against`), `within_limits` (None where unknown), `reason` (why it failed or was refused, or the
            limits that it breaks), `values` by key (only those that were searched), `wer` and `cer` (fractions),
            `loss`, `repeats` (the objective of each training), `parameters`, `size_mb`, `rtf`, `latency_ms`,
            `training_seconds`, `total_seconds`, `overhead_seconds` and `run` (its folder). Any of the numbers may be
            missing or None. A trial over the limits is never shown as the best, or as on a front.
        out: the HTML file to write; its folder is made when missing, an older file is replaced atomically.

    Returns:
        `out`.

    Raises:
        UserError: the file cannot be written.
    """
    objective = Objective(record["objective"]["metric"])
    dots = dots_of(record["trials"], best=record["best"], objective=objective)
    best = next((dot for dot in dots if dot.is_best), None)
    sections = [
        html.section("result", "Result", _headline(record, best, objective), lead=_lead(record, objective)),
        html.section("best", f"The best trial, {best.name}" if best else "Next steps", _best(record, best)),
        html.section("progress", "Best so far", _progress(record, dots, objective)),
        html.section(
            "hyperparameters",
            "Each hyperparameter",
            _parameters(record, dots, objective),
            lead=f"{_sentence(objective.name)} against one hyperparameter at a time, whatever the others are; a bar is "
            "the median of a value's trials, and dots of the same value are drawn a little apart. All charts have the "
            "same vertical axis.",
        ),
        html.section(
            "cost",
            f"{_sentence(objective.name)} against cost",
            _fronts(record, dots, objective),
            lead="The line is the front: no trial within the limits is both cheaper and better than one on it.",
        ),
        html.section("trials", "All trials", _trials(record, best, objective)),
        html.section("failures", "Failures", _failures(record["trials"])),
        html.section("space", "The space", _space(record["space"])),
        html.section("notes", "Notes", html.paragraphs(record["notes"])),
    ]
    return write_page(out, record["title"], sections, footer=_FOOTER, rules=_RULES)


def _lead(record: Record, objective: Objective) -> str:
    facts = [f"{_sentence(record['tuner'])} search for the lowest {objective.name}", f"seed {record['seed']}"]
    if record["repeats"] > 1:
        facts.append(f"{record['repeats']} trainings a trial")
    facts.append(counted(record["workers"], "worker"))
    facts += [f"{name} at most {most}" for name, most in map(_limit_text, record["limits"].items())]
    if record["form"]:
        facts.append(f"measured on the TFLite file of form {record['form']}")
    return " \u00b7 ".join(facts)


def _limit_text(limit: tuple[str, Any]) -> tuple[str, str]:
    key, most = limit
    name, unit, _ = _COSTS[key.removeprefix("max_")]
    return _inside(name), f"{most:,.6g} {unit}".rstrip()


def _headline(record: Record, best: Dot | None, objective: Objective) -> str:
    trials = record["trials"]
    completed = [trial for trial in trials if trial["status"] == "completed"]
    over = sum(trial.get("within_limits") is False for trial in completed)
    if best:
        aside = f"trial {best.name}{_spread_text(best.trial, objective, before=', trainings ')}"
    elif len(completed) == over:
        aside = "no completed trial is within the limits" if over else "no trial has completed"
    else:
        aside = ""
    counts = {status: sum(trial["status"] == status for trial in trials) for status in ("failed", "refused", "running")}
    done = [f"{len(completed):,} completed{f' ({over:,} over the limits)' if over else ''}"] if trials else []
    done += [f"{number:,} {status}" for status, number in counts.items() if number]
    overheads = [value for value in (finite(trial.get("overhead_seconds")) for trial in trials) if value is not None]
    numbers = [
        (f"Best {objective.name}", objective.describe(best.value) if best else html.MISSING, aside),
        ("Trials", html.count(len(trials)), ", ".join(done)),
        ("Time", html.rough_time(record["seconds"]), f"ended: {record['ended']}" if record["ended"] else "in progress"),
    ]
    if overheads:
        numbers.append(
            ("Overhead a trial", html.seconds(statistics.fmean(overheads)), "mean, besides training and measuring")
        )
    return html.numbers(numbers)


def _best(record: Record, best: Dot | None) -> str:
    """The best trial's hyperparameters, its cost, and commands for it."""
    parts = []
    if best:
        trial = best.trial
        values = [(key, value_text(value)) for key, value in trial["values"].items()]
        costs = [
            (name, f"{describe(trial[key])} {unit}".rstrip())
            for key, (name, unit, describe) in _COSTS.items()
            if finite(trial.get(key)) is not None
        ]
        if finite(trial.get("training_seconds")) is not None:
            costs.append(("Training", html.seconds(trial["training_seconds"])))
        parts += [
            ("Hyperparameters", html.definitions(values, kind="facts")),
            ("Its cost", html.definitions([*costs, ("Run folder", trial.get("run"))], kind="facts")),
        ]
    if record["commands"]:
        lines = html.text("\n".join(record["commands"]))
        parts.append(("Next steps" if best else "", f'<pre class="commands"><code>{lines}</code></pre>'))
    return "".join(
        f'<div class="part">{f"<h3>{title}</h3>" if title else ""}{body_html}</div>'
        for title, body_html in parts
        if body_html
    )


def _progress(record: Record, dots: Sequence[Dot], objective: Objective) -> str:
    trials = record["trials"]
    chart = progress_chart(trials, dots, objective=objective)
    if not chart:
        return ""
    caption = f"{_sentence(objective.name)} of the trials in their order"
    if any(spread_of(dot.trial) for dot in dots):
        caption += "; vertical lines span the lowest to the highest training of a trial"
    undrawn = sum(trial["status"] == "completed" for trial in trials) - len(dots)
    if undrawn:
        caption += f"; {counted(undrawn, 'trial')} without a finite {objective.name} not drawn"
    is_lost = any(trial["status"] in ("failed", "refused") for trial in trials)
    marks_html = _key(dots, lost=is_lost, line=("--series-2", "best so far") if _any_within(dots) else None)
    chart_html = html.scroll(f'<div style="min-width: 34rem; max-width: 52rem">{chart}</div>', name="The chart")
    return f"{marks_html}<figure>{chart_html}<figcaption>{html.text(caption)}.</figcaption></figure>"


def _parameters(record: Record, dots: Sequence[Dot], objective: Objective) -> str:
    figures = []
    for dimension in record["space"]:
        chart = parameter_chart(dimension, dots, objective=objective)
        if not chart:
            continue
        facts = ["logarithmic axis"] if dimension["log"] else []
        facts += [f"where {dimension['when']}"] if dimension["when"] else []
        small = f"<p>{html.text('; '.join(facts))}</p>" if facts else ""
        figures.append(
            f"<figure><figcaption><h3>{html.text(dimension['key'])}</h3></figcaption>{chart}"
            f"<figcaption>{small}</figcaption></figure>"
        )
    return f'{_key(dots)}<div class="multiples">{"".join(figures)}</div>' if figures else ""


def _fronts(record: Record, dots: Sequence[Dot], objective: Objective) -> str:
    figures = []
    for cost in record["front_against"]:
        name, unit, _ = _COSTS[cost]
        name = f"{_inside(name)} ({unit})" if unit else name
        limit = record["limits"].get(f"max_{cost}")
        chart = cost_chart(dots, cost=cost, name=name, limit=limit, objective=objective)
        if not chart:
            continue
        caption = f"{_sentence(objective.name)} against {name}, on a logarithmic axis"
        if limit is not None:
            caption += "; the shaded side is over the limit"
        undrawn = sum((finite(dot.trial.get(cost)) or 0) <= 0 for dot in dots)
        if undrawn:
            caption += f"; {counted(undrawn, 'trial')} without it not drawn"
        figures.append(f"<figure>{chart}<figcaption>{html.text(caption)}.</figcaption></figure>")
    if not figures:
        return ""
    marks_html = _key(dots, line=("--series-3", "front") if _any_within(dots) else None)
    narrow = ' style="max-width: 36rem"' if len(figures) == 1 else ""
    return f'{marks_html}<div class="panels"{narrow}>{"".join(figures)}</div>'


def _key(dots: Sequence[Dot], *, lost: bool = False, line: tuple[str, str] | None = None) -> str:
    """What the marks of a chart mean; only those that are in it."""
    marks = [
        ("\u25cf", "--series-1", "trial", any(not dot.is_over and not dot.is_best for dot in dots)),
        ("\u25cf", "--series-2", "best trial", any(dot.is_best for dot in dots)),
        ("\u25cb", "--series-1", "over a limit", any(dot.is_over for dot in dots)),
        ("\u00d7", "--lost", "failed or refused", lost),
    ]
    if line:
        marks.append(("line", line[0], line[1], True))
    return html.key((mark, f"var({colour})", name) for mark, colour, name, is_there in marks if is_there)


def _any_within(dots: Iterable[Dot]) -> bool:
    return any(not dot.is_over for dot in dots)


def _trials(record: Record, best: Dot | None, objective: Objective) -> str:
    trials = record["trials"]
    if not trials:
        return ""
    varied, fixed = _split_keys(record)
    others = [Objective(metric) for metric in ("wer", "cer", "loss") if metric != objective.metric]
    columns: list[tuple[str, Callable[[Record], str]]] = [
        ("Trial", lambda trial: str(trial["trial"])),
        ("Status", lambda trial: _status(trial, best)),
        (objective.name, lambda trial: _score(trial, objective)),
    ]
    for key in varied:
        section, _, name = key.rpartition(".")
        columns.append((f"{name}\n{section}", functools.partial(_searched, key=key)))
    optional: list[tuple[str, str, Callable[[Any], str]]] = [
        *((other.metric, other.name, other.describe) for other in others),
        *((key, f"{name}\n{unit}".rstrip(), describe) for key, (name, unit, describe) in _COSTS.items()),
        *((key, name, html.seconds) for key, name in _TIMES.items()),
    ]
    for key, heading, describe in optional:
        if any(finite(trial.get(key)) is not None for trial in trials):
            columns.append((heading, functools.partial(_optional, key=key, describe=describe)))
    caption = "The best first; then those over the limits, those that failed or were refused, and those in progress."
    if any(_searched(trial, key) == html.MISSING for trial in trials for key in varied):
        caption += " A dash: not searched in this trial."
    if fixed:
        caption += f" The same in all: {', '.join(f'{key} {value}' for key, value in fixed.items())}."
    return html.table(
        [heading for heading, _ in columns],
        [[cell(trial) for _, cell in columns] for trial in _best_first(trials, best, objective)],
        caption=caption,
        text_columns=2,
    )


def _best_first(trials: Sequence[Record], best: Dot | None, objective: Objective) -> list[Record]:
    def order(trial: Record) -> tuple[int, bool, float, bool]:
        rank = {"completed": 0, "failed": 2, "refused": 2}.get(trial["status"], 3)
        if rank == 0 and trial.get("within_limits") is False:
            rank = 1
        value = finite(trial.get(objective.metric)) if rank < 2 else None
        return rank, value is None, value or 0.0, not _is_best(trial, best)

    return sorted(trials, key=order)


def _is_best(trial: Record, best: Dot | None) -> bool:
    return best is not None and trial["trial"] == best.trial["trial"]


def _split_keys(record: Record) -> tuple[list[str], dict[str, str]]:
    """The hyperparameters that differ between the trials, and the values of those that do not."""
    trials = record["trials"]
    varied, fixed = [], {}
    for key in (dimension["key"] for dimension in record["space"]):
        values = list(dict.fromkeys(_searched(trial, key) for trial in trials))
        if len(values) > 1:
            varied.append(key)
        elif values[0] != html.MISSING:
            fixed[key] = values[0]
    return varied, fixed


def _searched(trial: Record, key: str) -> str:
    return value_text(trial["values"][key]) if key in trial["values"] else html.MISSING


def _optional(trial: Record, *, key: str, describe: Callable[[Any], str]) -> str:
    return describe(trial.get(key))


def _status(trial: Record, best: Dot | None) -> str:
    status = trial["status"]
    if status != "completed":
        return f"{status}\n{cut(_on_one_line(trial.get('reason')), _MOST_LETTERS)}"
    if trial.get("within_limits") is False:
        return f"over the limits\n{_on_one_line(trial.get('reason'))}"
    fronts = " and ".join(_inside(_COSTS[cost][0]) for cost in trial.get("on_front") or ())
    return f"{'best' if _is_best(trial, best) else status}\n{fronts and f'on the front of {fronts}'}"


def _on_one_line(reason: Any) -> str:
    return " ".join(str(reason or "").split())


def _score(trial: Record, objective: Objective) -> str:
    return objective.describe(trial.get(objective.metric)) + _spread_text(trial, objective, before="\n")


def _spread_text(trial: Record, objective: Objective, *, before: str) -> str:
    spread = spread_of(trial)
    if not spread:
        return ""
    if objective.metric != "loss":
        return f"{before}{html.interval(spread)}"
    return f"{before}{number(spread[0])} to {number(spread[1])}"


def _failures(trials: Sequence[Record]) -> str:
    """The trials that failed or were refused, those for the same reason together."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for trial in trials:
        if trial["status"] in ("failed", "refused"):
            reason = str(trial.get("reason") or "no reason was recorded")
            reasons.setdefault((trial["status"], reason), []).append(str(trial["trial"]))
    pairs = [(f"{', '.join(names)}: {status}", reason) for (status, reason), names in reasons.items()]
    return html.definitions(pairs, kind="reasons")


def _space(space: Sequence[Record]) -> str:
    if not space:
        return ""
    return html.table(
        ["Hyperparameter", "Kind", "Values", "Searched"],
        [
            [
                dimension["key"],
                f"{dimension['kind']}{', logarithmic' if dimension['log'] else ''}",
                dimension["range"],
                f"where {dimension['when']}" if dimension["when"] else "always",
            ]
            for dimension in space
        ],
        caption="Where a hyperparameter is not searched, it has the base configuration's value.",
        text_columns=4,
    )


def _inside(name: str) -> str:
    """A name inside a sentence: size, but RTF."""
    return name if name.isupper() else name.lower()


def _sentence(name: str) -> str:
    """A name at the beginning of a sentence."""
    return name[:1].upper() + name[1:]
