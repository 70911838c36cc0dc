"""The page of a run: scores, curves, what it did not learn from, what it recognises now, and where it comes from.

It reads the run folder at any time: of a run that has just begun, is still training, was killed or has ended.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.files import read_text
from speechgru.report import html
from speechgru.report.page import Record, write_page
from speechgru.scoring.sections import (
    PICTURE_LEAD,
    evaluation_lead,
    evaluation_table,
    headline,
    model_table,
    worst,
)
from speechgru.scoring.trained_run import TrainedRun, open_run
from speechgru.train.charts import curves
from speechgru.train.history import History, is_finite, read_lines, utterances_of
from speechgru.train.monitor import monitor_in
from speechgru.train.page_recordings import Recordings, recognise
from speechgru.train.page_tables import (
    configuration,
    dev_table,
    example_table,
    process_table,
    provenance_list,
    skipped_table,
    unlearnt_table,
)

_FOOTER = (
    "Error rates are all errors over all reference words or characters of a set. A real-time factor is seconds of "
    "computing per second of audio. A step is one update of the weights. The numbers of the training are those of "
    "history.jsonl in the run folder."
)


def report_run(
    run: str | Path | TrainedRun,
    out: str | Path | None = None,
    *,
    title: str | None = None,
    evaluations: Sequence[Record] = (),
    picture_manifest: str | Path | None = None,
    num_pictures: int = 3,
    notes: Sequence[str] = (),
) -> Path:
    """Writes the page of a run as one self-contained HTML file; sections with nothing to show are left out.

    Args:
        run: the run folder, or an open run; its training may be in progress, or have just begun.
        out: the HTML file to write; `report/training.html` in the run folder when None. Its folder is made when
            missing, an older file is replaced atomically.
        title: the page's title; by the run folder's name when None.
        evaluations: what `scoring.evaluation.evaluate` returned, the one for the headline first; the table of model
            forms shows those on the first one's manifest. Without any the headline is the training's own.
        picture_manifest: the recordings to play and draw; those of the dev set when None.
        num_pictures: how many of them, evenly through the manifest, as the best weights recognise them. Where there
            are no weights, no recordings or no TensorFlow, the page says so; 0 loads neither.
        notes: paragraphs for the end of the page.

    Returns:
        The path of the file.

    Raises:
        BundleError: `run` is not a run folder.
        ConfigError: its configuration cannot be read.
        UserError: the page cannot be written.
    """
    trained = open_run(run)
    folder = trained.folder
    config = load_config(folder.config, stored=True)
    records, history_notes = _read(folder.history)
    history = History(records)
    skipped, skipped_notes = _read(folder.skipped)
    provenance, provenance_notes = _read_object(folder.provenance)
    recordings = recognise(trained, picture_manifest or config.data.dev, most=num_pictures)
    notes = [*notes, *history.notes, *history_notes, *skipped_notes, *provenance_notes, *recordings.notes]
    progress_html, lead = _progress(history, config), _lead(history, config)
    facts_html = _facts(history, config, recordings.num_parameters)
    if evaluations:
        result_html, result_lead = headline(evaluations), evaluation_lead(evaluations[0])
        run_html, run_lead = f'{progress_html}<div class="part">{facts_html}</div>', lead
    else:
        result_html, result_lead, run_html, run_lead = progress_html, lead, facts_html, ""
    sections = [
        html.section("result", "Result", result_html, lead=result_lead),
        html.section("run", "The run", run_html, lead=run_lead),
        html.section("models", "Model forms", model_table(_models(evaluations, recordings))),
        html.section("errors", "Errors", evaluation_table(evaluations)),
        html.section("curves", "Curves", curves(history) + dev_table(history), lead=_curves_lead(history)),
        html.section(
            "example",
            "As it learnt",
            example_table(history),
            lead="One utterance of the dev set, as the model transcribed it at each evaluation.",
        ),
        html.section("worst", "Worst utterances", worst(evaluations)),
        html.section("recognised", "What it recognises", recordings.cards_html, lead=PICTURE_LEAD),
        html.section(
            "unlearnt",
            "Utterances it did not learn from",
            unlearnt_table(history),
            lead="A batch is dropped when its loss or gradient would harm the weights. All its utterances are named, "
            "so the one at fault is likely to be listed more often than the others. An utterance with fewer steps "
            "than its text needs has no loss.",
        ),
        html.section("skipped", "Left out before training", skipped_table(skipped)),
        html.section("processes", "Processes", process_table(history)),
        html.section("configuration", "Configuration", configuration(folder, config)),
        html.section("provenance", "Provenance", provenance_list(provenance)),
        html.section("notes", "Notes", html.paragraphs(notes)),
    ]
    out = folder.report / "training.html" if out is None else Path(out)
    title = title or f"Training of {folder.path.absolute().name}"
    return write_page(out, title, sections, footer=_FOOTER)


def _read(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of a JSON Lines file, and a note on what could not be read."""
    try:
        records, broken = read_lines(path)
    except OSError as error:
        return [], [f"{path.name} cannot be read ({error.strerror})."]
    if not broken:
        return records, []
    what = f"line {broken[0]} is not a record" if len(broken) == 1 else f"lines {html.first_of(broken)} are not records"
    return records, [f"{path.name}: {what}, and missing from this page."]


def _read_object(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        value = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        value = None
    return (value, []) if isinstance(value, dict) else ({}, [f"{path.name} is missing or cannot be read."])


def _models(evaluations: Sequence[Record], recordings: Recordings) -> list[dict[str, Any]]:
    """The model forms that were scored on the headline's manifest; with how they were decoded, where that differs."""
    known = {} if recordings.num_parameters is None else {"parameters": recordings.num_parameters}
    same = [record for record in evaluations if record.get("manifest") == evaluations[0].get("manifest")]
    ways = [_decoding_of(record) for record in same]
    return [
        {key: record[key] for key in ("form", "size_bytes", "wer", "rtf") if key in record}
        | ({"decoding": way} if len({*ways}) > 1 else {})
        | known
        for record, way in zip(same, ways, strict=True)
    ]


def _decoding_of(record: Record) -> str | None:
    decoding = record.get("decoding")
    description = decoding.get("description") if isinstance(decoding, dict) else None
    return None if description is None else str(description)


def _progress(history: History, config: RunConfig) -> str:
    """How far the training came, in large numbers."""
    best, most = history.best, config.train.max_steps
    if best is not None:
        at, monitor = f"at step {html.count(best['step'])}", monitor_in(history.records)
        if not is_finite(best.get(monitor)):
            monitor = "wer"
        other = "cer" if monitor == "wer" else "wer"
        if is_finite(best.get(other)):
            at += f", {other.upper()} {html.percent(best[other])}"
        interval = best.get(f"{monitor}_interval")
        if isinstance(interval, list) and len(interval) == 2 and all(map(is_finite, interval)):
            at += f"; 95 % interval {html.percent(interval[0])} to {html.percent(interval[1])}"
        numbers = [(f"Best dev {monitor.upper()}", html.percent(best[monitor]), at)]
    else:
        numbers = [("Best dev WER", html.MISSING, "not scored yet" if config.data.dev else "no dev manifest")]
    of_all = f"of {html.count(most)}" if html.is_number(most) else ""
    numbers.append(("Steps", html.count(history.last_step), of_all))
    seconds, memory = history.last("seconds"), history.values("memory_mb")
    if seconds is not None:
        numbers.append(("Time", html.rough_time(seconds), "of training, all processes"))
    speed, audio_speed = history.values("steps_per_second"), history.values("audio_hours_per_hour")
    steps = f"{statistics.median(speed):.3g} steps a second" if speed else ""
    if audio_speed:
        hours = statistics.median(audio_speed)
        numbers.append(("Audio an hour", f"{hours:,.{0 if hours >= 100 else 1}f}\u202fh", steps))
    elif steps:
        numbers.append(("Steps a second", f"{statistics.median(speed):.3g}", ""))
    if memory:
        numbers.append(("Peak memory", html.size(max(memory) * 1e6), ""))
    return html.numbers(numbers)


def _lead(history: History, config: RunConfig) -> str:
    names = [Path(manifest).name for manifest in config.data.train]
    facts = [f"trained on {html.first_of(names)}" if names else "", history.end(max_steps=config.train.max_steps)]
    return " \u00b7 ".join(fact for fact in facts if fact)


def _facts(history: History, config: RunConfig, num_parameters: int | None) -> str:
    model, sessions, resumed = config.model, history.of_kind("session"), len(history.resumptions)
    dropped, rescaled = history.of_kind("dropped"), history.of_kind("rescaled")
    infeasible = {name for record in history.of_kind("infeasible") for name in utterances_of(record)}
    workers, epoch = sessions[-1].get("workers") if sessions else None, history.last("epoch")
    facts: list[tuple[str, Any]] = [
        (
            "Model",
            f"{model.num_layers} x {model.units} GRU, {model.direction}, {model.subsampling_factor} frames a step",
        ),
        ("Parameters", num_parameters),
        ("Front end", f"{config.features.n_mels} mel filters at {config.data.sample_rate:,} Hz"),
        ("End", history.end(max_steps=config.train.max_steps)),
        ("Resumed", (_times(resumed) if resumed else "never") if sessions else None),
        ("Epochs", f"{epoch:.1f}" if epoch is not None else None),
        ("Replicas", workers),
        ("Padding in batches", _share(history.last("padding_share"))),
        ("Waited for batches", _share(history.last("wait_share"))),
        ("Dropped batches", len(dropped) or None),
        ("Utterances with too few steps", len(infeasible) or None),
        ("Loss scale", _rescaled(rescaled)),
        ("Seed", str(config.train.seed)),
    ]
    return html.definitions([(name, value) for name, value in facts if value is not None], kind="facts")


def _share(value: Any) -> str | None:
    return None if value is None else html.percent(value)


def _rescaled(rescaled: Sequence[Record]) -> str | None:
    if not rescaled:
        return None
    return f"{html.count(rescaled[-1].get('loss_scale'))}, changed {_times(len(rescaled))}"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")


def _curves_lead(history: History) -> str:
    lead = []
    if history.course.resumed:
        lead.append("A dashed upright line marks where another process resumed the training.")
    if history.of_kind("dropped"):
        lead.append("A red tick on the axis marks a dropped batch.")
    return " ".join(lead)
