"""What a sweep ends in, and what it shows while it runs: the best configuration, a table, a page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechgru.config.load import save_config
from speechgru.config.sections import RunConfig
from speechgru.errors import BundleError
from speechgru.files import write_text
from speechgru.tune.folder import SweepFolder, read_json
from speechgru.tune.sweep_file import LoadedSweep
from speechgru.visible import visible_cell

_SCORES = ("wer", "cer", "loss", "trained_wer")
_COSTS = ("parameters", "size_mb", "rtf", "latency_ms")
_TIMES = ("training_seconds", "measuring_seconds", "total_seconds", "overhead_seconds", "ended_after_seconds")


def rows_of(folder: SweepFolder, loaded: LoadedSweep, events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A record for each trial that was begun, in the order of their numbers.

    Args:
        folder: the sweep's folder.
        loaded: the sweep.
        events: the journal's.
    """
    rows: dict[str, dict[str, Any]] = {}
    for event in events:
        if event["event"] == "began":
            rows[event["trial"]] = {
                "trial": event["trial"],
                "status": "running",
                "is_best": False,
                "on_front": [],
                "within_limits": None,
                "reason": None,
                "values": event["values"],
                "repeats": [],
                "epochs": event.get("epochs"),
                "worker": event["worker"],
                "began_after_seconds": event["seconds"],
                "run": _shown(folder.trial(event["trial"]).path),
                **dict.fromkeys((*_SCORES, *_COSTS, *_TIMES)),
            }
        elif event["event"] == "moved":
            rows[event["trial"]]["worker"] = event["worker"]
        else:
            rows[event["trial"]] |= _ended(folder, event, rows[event["trial"]])
    done = [row for row in rows.values() if row["status"] == "completed"]
    within = [row for row in done if row["within_limits"]]
    metric = loaded.sweep.objective.metric
    if within:
        best_of(within, metric)["is_best"] = True
    for cost in loaded.sweep.front:
        for row in front_of(within, cost, metric):
            row["on_front"].append(cost)
    return list(rows.values())


def _ended(folder: SweepFolder, event: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    outcome = folder.trial(event["trial"]).read_outcome()
    if outcome is None:
        raise BundleError(
            f"{folder.trial(event['trial']).outcome}: is gone, and the journal says that the trial has ended; put the "
            "file back, or give another --run"
        )
    total = event["seconds"] - row["began_after_seconds"]
    ended = {"status": outcome["status"], "reason": outcome["reason"], "ended_after_seconds": event["seconds"]}
    if outcome["status"] != "completed":
        return {**ended, "total_seconds": total}
    broken = outcome["broken_limits"]
    if broken:
        ended["reason"] = "; ".join(f"breaks {limit}: {value:.4g}" for limit, value in broken.items())
    return {
        **ended,
        **{key: outcome.get(key) for key in (*_SCORES, *_COSTS)},
        "within_limits": not broken,
        "repeats": outcome["repeats"],
        "training_seconds": outcome["training_seconds"],
        "measuring_seconds": outcome["measuring_seconds"],
        "total_seconds": total,
        "overhead_seconds": total - outcome["training_seconds"] - outcome["measuring_seconds"],
    }


def best_of(rows: Sequence[dict[str, Any]], metric: str) -> dict[str, Any]:
    """The row with the lowest metric; of several the smallest model's, then the first."""
    return min(rows, key=lambda row: (row[metric], row["size_mb"] or 0.0, row["parameters"], row["trial"]))


def front_of(rows: Sequence[dict[str, Any]], cost: str, metric: str) -> list[dict[str, Any]]:
    """The rows that no other beats in both the cost and the metric, the cheapest first; of equals the first."""
    front: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row[cost], row[metric], row["trial"])):
        if not front or row[metric] < front[-1][metric]:
            front.append(row)
    return front


def write_results(
    folder: SweepFolder,
    loaded: LoadedSweep,
    rows: Sequence[dict[str, Any]],
    *,
    seconds: float,
    ended: str | None,
    workers: int,
    notes: Sequence[str],
) -> None:
    """Writes `best.yaml`, `trials.csv` and the page, each whole or not at all.

    Args:
        folder: where.
        loaded: the sweep.
        rows: the trials, see `rows_of`.
        seconds: the sweep's so far.
        ended: why it ended; None while it runs.
        workers: how many there are.
        notes: what a reader should know.
    """
    from speechgru.tune.page import report_sweep

    best = next((row for row in rows if row["is_best"]), None)
    if best is not None:
        plan = read_json(folder.trial(best["trial"]).plan)
        save_config(folder.best, RunConfig.model_validate(plan["config"]))
    write_text(folder.table, _csv(loaded, rows))
    sweep = loaded.sweep
    report_sweep(
        {
            "title": loaded.name,
            "tuner": sweep.tuner.kind,
            "seed": sweep.seed,
            "repeats": sweep.repeats,
            "workers": workers,
            "objective": sweep.objective.model_dump(),
            "limits": sweep.limits.given if sweep.limits is not None else {},
            "form": sweep.measured_form,
            "front_against": list(sweep.front),
            "space": [
                {
                    "key": key,
                    "kind": dimension.type,
                    "log": dimension.log,
                    "range": dimension.describe(),
                    "when": " and ".join(
                        f"{parent} is {' or '.join(map(str, wanted))}"
                        for parent, wanted in (dimension.when or {}).items()
                    ),
                }
                for key, dimension in loaded.dimensions.items()
            ],
            "trials": rows,
            "seconds": seconds,
            "ended": ended,
            "best": None if best is None else best["trial"],
            "commands": []
            if best is None
            else [
                f"speechgru train {_shown(folder.best)} --run runs/best",
                f"speechgru export {_shown(folder.trial(best['trial']).path)} --out bundle",
            ],
            "notes": list(notes),
        },
        folder.report,
    )


def _shown(path: Path) -> str:
    """A path as somebody in the current folder would write it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _csv(loaded: LoadedSweep, rows: Sequence[dict[str, Any]]) -> str:
    stream = io.StringIO()
    plain = ("trial", "status", "is_best", "on_front", "within_limits")
    columns = [*plain, *_SCORES, "repeats", "epochs", *_COSTS, *_TIMES, "worker", "reason", "run"]
    writer = csv.DictWriter(stream, [*columns, *loaded.dimensions], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        several = {"on_front": " ".join(row["on_front"]), "repeats": " ".join(map(str, row["repeats"]))}
        values = {k: json.dumps(v) if isinstance(v, list | bool) or v is None else v for k, v in row["values"].items()}
        writer.writerow({key: visible_cell(cell) for key, cell in {**row, **several, **values}.items()})
    return stream.getvalue()
