"""The tables of a run's page: evaluations, utterances not learnt from, processes, configuration, provenance."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from speechgru.config.sections import RunConfig
from speechgru.report import html
from speechgru.report.page import Record
from speechgru.runs import RunFolder
from speechgru.train.history import History, is_finite
from speechgru.utterances.check_page import short_names
from speechgru.utterances.rules import meanings

#: Rows of a table, steps named of one utterance, and messages of skipped lines; the run folder's files have all.
_MAX_ROWS, _MAX_STEPS, _MAX_MESSAGES = 40, 4, 20
#: Transcripts of one utterance, evenly through the evaluations.
_MAX_EXAMPLES = 12


def dev_table(history: History) -> str:
    """The scores on the dev set, one row an evaluation; empty where there is none."""
    evaluations, best = history.of_kind("dev"), history.best
    if not evaluations:
        return ""
    shown = evaluations[-_MAX_ROWS:]
    has_negatives = any(is_finite(record.get("misses")) for record in shown)
    table_html = html.table(
        ["Step", "Epoch", "WER", "CER", *(["Misses"] if has_negatives else []), "Time"],
        [
            [
                html.count(record.get("step")) + ("\nthe best" if record is best else ""),
                f"{record['epoch']:.1f}" if is_finite(record.get("epoch")) else html.MISSING,
                html.percent(record.get("wer")),
                html.percent(record.get("cer")),
                *([html.percent(record.get("misses"))] if has_negatives else []),
                html.seconds(record.get("seconds")),
            ]
            for record in shown
        ],
        caption="Scores on the dev set"
        + (f", the last {len(shown)} of {len(evaluations):,}." if len(shown) < len(evaluations) else "."),
    )
    return f"<details><summary>The evaluations in numbers</summary>{table_html}</details>"


def example_table(history: History) -> str:
    """How one dev utterance was transcribed as training went on; empty where the history has no such texts."""
    evaluations = [record for record in history.of_kind("dev") if isinstance(record.get("example"), Mapping)]
    if not evaluations:
        return ""
    every = -(-len(evaluations) // _MAX_EXAMPLES)
    shown = [*evaluations[:-1:every], evaluations[-1]]
    return html.table(
        ["Step", "Transcript", "Dev WER"],
        [
            [
                html.count(record.get("step")),
                str(record["example"].get("hypothesis") or html.MISSING),
                html.percent(record.get("wer")),
            ]
            for record in shown
        ],
        caption=f"What was said: {shown[-1]['example'].get('reference', '')}",
        text_columns=2,
    )


def unlearnt_table(history: History) -> str:
    """The utterances that training read and did not learn from, the most frequent first."""
    unlearnt = history.unlearnt()
    if not unlearnt:
        return ""
    ordered = sorted(unlearnt.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    caption = "One line an utterance and reason, the most frequent first."
    if len(ordered) > _MAX_ROWS:
        caption += f" {len(ordered) - _MAX_ROWS:,} more are in history.jsonl."
    return html.table(
        ["Utterance", "Why", "At step", "Times"],
        [
            [name, why, html.first_of(steps, most=_MAX_STEPS), html.count(len(steps))]
            for (name, why), steps in ordered[:_MAX_ROWS]
        ],
        caption=caption,
        text_columns=3,
    )


def skipped_table(skipped: Sequence[Record]) -> str:
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
                f"{reason}\n{meanings().get(reason, '')}",
                *(html.count(number) if number else html.MISSING for number in row),
            ]
            for reason, row in sorted(counts.items(), key=lambda entry: -sum(entry[1]))
        ],
        caption=f"{len(skipped):,} {'utterance was' if len(skipped) == 1 else 'utterances were'} left out; "
        "skipped.jsonl names each with its reason.",
    )
    messages = "".join(
        f'<p class="quiet" style="overflow-wrap: anywhere">{html.text(record.get("message", ""))}</p>'
        for record in skipped[:_MAX_MESSAGES]
    )
    more = f", the first {_MAX_MESSAGES}" if len(skipped) > _MAX_MESSAGES else ""
    return f"{table_html}<details><summary>What is wrong with each{more}</summary>{messages}</details>"


def _manifest(record: Record) -> str:
    return str(record.get("manifest") or "Utterances")


def process_table(history: History) -> str:
    """The processes that trained, one after another."""
    sessions = history.of_kind("session")
    if not sessions:
        return ""
    known = ("kind", "step", "epoch", "seconds", "resumed", "workers", "notes")
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


def configuration(folder: RunFolder, config: RunConfig) -> str:
    """The keys that differ from the defaults, then the complete file in a fold."""
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
    complete = folder.config.read_text(encoding="utf-8")
    pre_html = f'<pre style="margin: .5rem 0 0; font-size: .85rem">{html.text(complete)}</pre>'
    return (
        f"{changed_html}<details><summary>Every key, as in config.yaml</summary>"
        f"{html.scroll(pre_html, name='Configuration')}</details>"
    )


def _default(value: Any) -> str:
    return "" if value in (None, []) else f" (default {_as_yaml(value)})"


def _as_yaml(value: Any) -> str:
    """A value as it could be written in the file."""
    return json.dumps(value, ensure_ascii=False)


def provenance_list(provenance: Record) -> str:
    """The command, seed, commit, versions and host of a run."""
    facts = []
    for key, value in provenance.items():
        if key == "corpus":  # digests, for programs
            continue
        is_command = key == "command" and isinstance(value, list)
        shown = shlex.join(map(str, value)) if is_command else _in_words(value)
        facts.append((html.heading_of(key), str(value) if key == "seed" else shown))
    return html.definitions(facts, kind="facts")


def _in_words(value: Any) -> str:
    """A value of a JSON file; an object's keys each before their value."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(entry)}" for key, entry in value.items())
    return html.plain(value)
