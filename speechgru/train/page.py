"""The report of a run's training: how far it came, how it went, what it did not learn from, and what it hears now.

It reads the run folder alone, at any time: of a run that has just begun, goes on, was killed or has ended.
"""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechgru import metrics
from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.decoding import greedy_decode
from speechgru.errors import UserError
from speechgru.files import write_text
from speechgru.report import html
from speechgru.report.line_chart import Course, error_chart, line_chart, loss_chart, training_series
from speechgru.report.page import Record, chart_panels, page
from speechgru.report.speech_picture import speech_picture
from speechgru.report.utterances import LEGEND_HTML, utterance_card
from speechgru.runs import RunFolder
from speechgru.scoring.predictions import load_run
from speechgru.scoring.probe import Ear, ear_of_run
from speechgru.scoring.sections import PICTURE_LEAD
from speechgru.train.history import History, is_finite, read_lines, utterances_of
from speechgru.utterances.check_page import MEANINGS, short_names
from speechgru.utterances.examination import read_utterance
from speechgru.utterances.manifest import Utterance, read_manifest

#: Rows of a table, steps named of one utterance, and messages of skipped lines; the run folder's files hold all.
_MAX_ROWS, _MAX_STEPS, _MAX_MESSAGES = 40, 4, 20
_FOOTER = (
    "Error rates are all errors over all reference words or characters of the dev set. A step is one update of the "
    "weights. The numbers are those of history.jsonl in the run folder."
)


def report_training(run: str | Path, out: str | Path | None = None, *, num_pictures: int = 3) -> Path:
    """Writes the page of a run's training: results, curves, what was left out, recordings, configuration, provenance.

    Args:
        run: the run folder; its training may still go on, or have just begun.
        out: the HTML file to write; `report/training.html` in the run folder when None. Its folder is made when
            missing, an older file is replaced atomically.
        num_pictures: how many dev utterances to play and draw as the best weights hear them, evenly through the
            manifest. Where there are no weights, no recordings or no TensorFlow, the page says so; 0 loads neither.

    Returns:
        The path of the file.

    Raises:
        BundleError: `run` is no run folder.
        ConfigError: its configuration cannot be read.
        UserError: the page cannot be written.
    """
    folder = RunFolder(Path(run)).require()
    config = load_config(folder.config, stored=True)
    records, notes = _read(folder.history)
    history = History(records)
    skipped, skipped_notes = _read(folder.skipped)
    provenance, provenance_notes = _read_object(folder.provenance)
    heard_html, parameters, heard_notes = _hear(folder, config, most=num_pictures)
    notes += skipped_notes + provenance_notes + heard_notes
    sections = [
        html.section("result", "Result", _headline(history, config), lead=_lead(history, config)),
        html.section("run", "The run", _facts(history, config, parameters)),
        html.section("curves", "Curves", _curves(history) + _evaluations(history), lead=_curves_lead(history)),
        html.section("heard", "What it hears", heard_html, lead=PICTURE_LEAD),
        html.section(
            "unlearnt",
            "Met, but not learnt from",
            _unlearnt(history),
            lead="A batch is dropped when its loss or gradient would harm the weights; all its utterances are named, "
            "so the one at fault is likely to stand here more often than the others. An utterance with fewer steps "
            "than its text needs has no loss.",
        ),
        html.section("skipped", "Left out beforehand", _skipped(skipped)),
        html.section("processes", "Processes", _processes(history)),
        html.section("configuration", "Configuration", _configuration(folder, config)),
        html.section("provenance", "Where it comes from", _provenance(provenance)),
        html.section("notes", "Notes", "".join(f"<p>{html.text(note)}</p>" for note in notes)),
    ]
    out = folder.report / "training.html" if out is None else Path(out)
    title = f"Training of {folder.path.absolute().name}"
    write_text(out, page(title, [part for part in sections if part], footer=_FOOTER))
    return out


def _read(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of a JSON Lines file, and a note on what could not be read."""
    try:
        records, broken = read_lines(path)
    except OSError as error:
        return [], [f"{path.name} cannot be read ({error.strerror})."]
    if not broken:
        return records, []
    what = f"line {broken[0]} is" if len(broken) == 1 else f"lines {_first(broken)} are"
    return records, [f"{path.name}: {what} no record, and not in this page."]


def _read_object(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        value = None
    return (value, []) if isinstance(value, dict) else ({}, [f"{path.name} is missing or cannot be read."])


def _headline(history: History, config: RunConfig) -> str:
    best, most = history.best, config.train.max_steps
    if best is not None:
        at = f"at step {html.count(best['step'])}"
        if is_finite(best.get("cer")):
            at += f", CER {html.percent(best['cer'])}"
        numbers = [("Best dev WER", html.percent(best["wer"]), at)]
    else:
        numbers = [("Best dev WER", html.MISSING, "not scored yet" if config.data.dev else "no dev manifest")]
    of_all = f"of {html.count(most)}" if html.is_number(most) else ""
    numbers.append(("Steps", html.count(history.last_step), of_all))
    taken, memory = history.last("seconds"), history.values("memory_mb")
    if taken is not None:
        numbers.append(("Time", html.rough_time(taken), "of training, all processes"))
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
    facts = [f"trained on {_first(names)}" if names else "", history.end(max_steps=config.train.max_steps)]
    return " \u00b7 ".join(fact for fact in facts if fact)


def _facts(history: History, config: RunConfig, parameters: int | None) -> str:
    model, sessions, resumed = config.model, history.of_kind("session"), len(history.resumptions)
    dropped, rescaled = history.of_kind("dropped"), history.of_kind("rescaled")
    infeasible = {name for record in history.of_kind("infeasible") for name in utterances_of(record)}
    workers, epoch = sessions[-1].get("workers") if sessions else None, history.last("epoch")
    facts: list[tuple[str, Any]] = [
        (
            "Model",
            f"{model.num_layers} x {model.units} GRU, {model.direction}, {model.subsampling_factor} frames a step",
        ),
        ("Parameters", parameters),
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


def _curves(history: History) -> str:
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
    return chart_panels(
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


def _curves_lead(history: History) -> str:
    lead = []
    if history.course.resumed:
        lead.append("A dashed upright line: here another process went on.")
    if history.of_kind("dropped"):
        lead.append("A red tick on the axis: a batch was dropped.")
    return " ".join(lead)


def _evaluations(history: History) -> str:
    evaluations, best = history.of_kind("dev"), history.best
    if not evaluations:
        return ""
    shown = evaluations[-_MAX_ROWS:]
    table_html = html.table(
        ["Step", "Epoch", "WER", "CER", "Time"],
        [
            [
                html.count(record.get("step")) + ("\nthe best" if record is best else ""),
                f"{record['epoch']:.1f}" if is_finite(record.get("epoch")) else html.MISSING,
                html.percent(record.get("wer")),
                html.percent(record.get("cer")),
                html.seconds(record.get("seconds")),
            ]
            for record in shown
        ],
        caption="Scores on the dev set"
        + (f", the last {len(shown)} of {len(evaluations):,}." if len(shown) < len(evaluations) else "."),
    )
    return f"<details><summary>The evaluations in numbers</summary>{table_html}</details>"


def _unlearnt(history: History) -> str:
    """The utterances that training met and did not learn from, those met most often first."""
    met = history.unlearnt()
    if not met:
        return ""
    ordered = sorted(met.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    caption = "One line an utterance and reason, those met most often first."
    if len(ordered) > _MAX_ROWS:
        caption += f" {len(ordered) - _MAX_ROWS:,} more are in history.jsonl."
    return html.table(
        ["Utterance", "Why", "At step", "Times"],
        [
            [name, why, _first(steps, most=_MAX_STEPS), html.count(len(steps))]
            for (name, why), steps in ordered[:_MAX_ROWS]
        ],
        caption=caption,
        text_columns=3,
    )


def _first(values: Sequence[str], *, most: int = 8) -> str:
    """The first of a list, and how many more there are."""
    return ", ".join(values[:most]) + (f" and {len(values) - most:,} more" if len(values) > most else "")


def _skipped(skipped: Sequence[Record]) -> str:
    """What was left out before training, counted by reason and manifest."""
    if not skipped:
        return ""
    manifests = list(dict.fromkeys(_manifest(record) for record in skipped))
    counts: dict[str, list[int]] = {}
    for record in skipped:
        row = counts.setdefault(str(record.get("reason", "unknown")), [0] * len(manifests))
        row[manifests.index(_manifest(record))] += 1
    table_html = html.table(
        ["Reason", *short_names(manifests)],
        [
            [
                f"{reason}\n{MEANINGS.get(reason, '')}",
                *(html.count(number) if number else html.MISSING for number in row),
            ]
            for reason, row in sorted(counts.items(), key=lambda entry: -sum(entry[1]))
        ],
        caption=f"{len(skipped):,} {'utterance was' if len(skipped) == 1 else 'utterances were'} left out; "
        "skipped.jsonl says which and why.",
    )
    messages = "".join(
        f'<p class="quiet" style="overflow-wrap: anywhere">{html.text(record.get("message", ""))}</p>'
        for record in skipped[:_MAX_MESSAGES]
    )
    more = f", the first {_MAX_MESSAGES}" if len(skipped) > _MAX_MESSAGES else ""
    return f"{table_html}<details><summary>What is wrong with each{more}</summary>{messages}</details>"


def _manifest(record: Record) -> str:
    return str(record.get("manifest") or "Utterances")


def _processes(history: History) -> str:
    """The processes that trained, one after another."""
    sessions = history.of_kind("session")
    if not sessions:
        return ""
    known = ("kind", "step", "epoch", "seconds", "resumed", "workers")
    extra = list(dict.fromkeys(key for record in sessions for key in record if key not in known))
    return html.table(
        ["Process", "From step", "After", "Replicas", *map(html.heading_of, extra)],
        [
            [
                f"{number}\n{'resumed' if record.get('resumed') else 'begun'}",
                html.count(record.get("step")),
                html.seconds(record.get("seconds")),
                html.plain(record.get("workers")),
                *(_in_words(record.get(key)) for key in extra),
            ]
            for number, record in enumerate(sessions, start=1)
        ],
        caption="The processes that trained, with the seconds of training before each.",
    )


def _configuration(folder: RunFolder, config: RunConfig) -> str:
    """The keys that differ from the defaults, then the whole file in a fold."""
    given, defaults = config.model_dump(mode="json"), RunConfig().model_dump(mode="json")
    changed = [
        (f"{section}.{key}", _as_yaml(value) + _default(defaults[section][key]))
        for section, values in given.items()
        for key, value in values.items()
        if value != defaults[section][key]
    ]
    changed_html = html.definitions(changed, kind="facts")
    if not changed:
        changed_html = '<p class="quiet">Every key has its default.</p>'
    whole = folder.config.read_text(encoding="utf-8")
    pre_html = f'<pre style="margin: .5rem 0 0; font-size: .85rem">{html.text(whole)}</pre>'
    return (
        f"{changed_html}<details><summary>Every key, as in config.yaml</summary>"
        f"{html.scroll(pre_html, name='Configuration')}</details>"
    )


def _default(value: Any) -> str:
    return "" if value in (None, []) else f" (default {_as_yaml(value)})"


def _as_yaml(value: Any) -> str:
    """A value as it could stand in the file."""
    return json.dumps(value, ensure_ascii=False)


def _provenance(provenance: Record) -> str:
    facts = []
    for key, value in provenance.items():
        is_command = key == "command" and isinstance(value, list)
        shown = shlex.join(map(str, value)) if is_command else _in_words(value)
        facts.append((html.heading_of(key), str(value) if key == "seed" else shown))
    return html.definitions(facts, kind="facts")


def _in_words(value: Any) -> str:
    """A value of a JSON file; an object's keys each before their value."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(entry)}" for key, entry in value.items())
    return html.plain(value)


def _hear(folder: RunFolder, config: RunConfig, *, most: int) -> tuple[str, int | None, list[str]]:
    """Dev utterances as the best weights hear them, how many parameters there are, and what kept others away."""
    if most < 1:
        return "", None, []
    try:
        config, vocabulary, model = load_run(folder.path)
    except (UserError, ImportError) as error:
        return "", None, [f"No recording is drawn: {error}"]
    parameters = int(model.count_params())
    if config.data.dev is None:
        return "", parameters, []
    try:
        utterances = read_manifest(config.data.dev)
    except UserError as error:
        return "", parameters, [f"No recording is drawn: {error}"]
    ear, cards, notes = ear_of_run(config, vocabulary, model), [], []
    for utterance in utterances[:: -(-len(utterances) // most)]:
        try:
            cards.append(_card(utterance, ear, config))
        except UserError as error:
            notes.append(f"Not drawn: {error}")
    return (LEGEND_HTML + "".join(cards) if cards else ""), parameters, notes


def _card(utterance: Utterance, ear: Ear, config: RunConfig) -> str:
    """An utterance with its errors marked, its player and its picture."""
    recording = read_utterance(utterance, sample_rate=ear.sample_rate)
    heard = ear.hear(recording.samples_N)
    hypothesis = greedy_decode(heard["log_probs_SV"], vocabulary=ear.vocabulary, step_seconds=ear.step_seconds)
    reference = config.text.normalize(utterance.text)
    errors = metrics.word_errors(reference, hypothesis.text)
    card_html = utterance_card(
        {
            "utterance_id": utterance.utterance_id,
            "audio_filepath": utterance.audio_filepath,
            "offset": utterance.offset,
            "duration": recording.duration,
            "speaker": utterance.speaker,
            "reference": reference,
            "hypothesis": hypothesis.text,
            "word_errors": errors.errors,
            "words": errors.reference_length,
            "confidence": hypothesis.confidence,
        },
        with_player=True,
    )
    svg = speech_picture(
        **heard,
        words=hypothesis.words,
        label=f"{utterance.utterance_id}: log-mel and label probabilities over time. Said: {reference}. "
        f"Heard: {hypothesis.text}.",
    )
    svg_html = html.scroll(svg, name=utterance.utterance_id, wide=True)
    return f'{card_html}<figure style="margin: .9rem 0">{svg_html}</figure>'
