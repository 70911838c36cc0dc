"""The page of an evaluation: where the errors are, which they are, and whether confidence predicts them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechgru.audio.reading import read_recording
from speechgru.decoding import Word
from speechgru.errors import UserError
from speechgru.grammar import describe_slots
from speechgru.report import html
from speechgru.report.page import Record, write_page
from speechgru.scoring.charts import rate_bar
from speechgru.scoring.page_parts import MAX_CONFUSIONS, confidence_part, rejection_part, slice_part
from speechgru.scoring.probe import Probe, open_probe
from speechgru.scoring.sections import (
    PICTURE_LEAD,
    evaluation_lead,
    evaluation_table,
    headline,
    picture_figures,
    worst,
    worst_utterances,
)

#: Utterances that could not be scored, named in the page.
_MAX_SKIPPED = 10


#: How to read the section of false accepts.
_REJECTION_LEAD = (
    "A text is accepted where its margin reaches a threshold. A command is missed where its text is not accepted or is "
    "wrong; a text that is accepted in a negative, where no command was given, is a false accept. Intervals are of "
    "95 %: Poisson's for false accepts an hour, Wilson's for misses."
)


def report_evaluation(
    record: Record,
    out: str | Path,
    *,
    title: str | None = None,
    num_pictures: int = 3,
    num_worst: int = 10,
    probe: Probe | None = None,
) -> Path:
    """Writes one evaluation as a self-contained HTML page: rates, slices, confusions, confidence, worst utterances.

    Args:
        record: what `evaluate` returned, or read back from JSON. Parts that it lacks are left out of the page.
        out: the HTML file to write; its folder is made when missing, an older file is replaced atomically.
        title: the page's title; by the evaluation's name when None.
        num_pictures: how many of the worst utterances to draw, with the probability of every label over time, from
            the recogniser at `record["path"]`. Where it or a recording is gone, the page says so.
        num_worst: how many of the worst utterances to show.
        probe: what draws the pictures, such as `TrainedRun.probe`; that of the recogniser at `record["path"]`, loaded
            anew, when None.

    Returns:
        `out`.

    Raises:
        UserError: the file cannot be written.
    """
    pictures, notes = _pictures(record, most=num_pictures, probe=probe)
    sections = [
        html.section("result", "Result", headline([record]), lead=_lead(record)),
        html.section("about", "What was scored", _facts(record) + _errors(record)),
        html.section(
            "rejection", "What was not said", rejection_part(record.get("rejection") or {}), lead=_REJECTION_LEAD
        ),
        html.section(
            "slices",
            "Where the errors are",
            "".join(slice_part(entry, record) for entry in record.get("slices") or ()),
            lead="A bar is the word error rate of a group of utterances, the line on it its 95 % interval, the dashed "
            "line the rate of all utterances. Where an interval does not reach the dashed line, chance alone is a poor "
            "explanation; with many groups, one in twenty differs that much by chance.",
        ),
        html.section("confusions", "Words confused", _confusions(record.get("confusions") or {})),
        html.section("confidence", "Confidence", confidence_part(record.get("confidence") or {})),
        html.section("worst", "Worst utterances", worst([record], most=num_worst)),
        html.section(
            "pictures",
            "Pictures of the worst utterances",
            picture_figures(pictures),
            lead=PICTURE_LEAD,
        ),
        html.section("notes", "Notes", html.paragraphs(notes + list(record.get("notes") or ()) + _skipped(record))),
    ]
    return write_page(out, title or _title(record), sections)


def report_evaluations(records: Sequence[Record], out: str | Path, *, title: str, notes: Sequence[str] = ()) -> Path:
    """Writes several evaluations side by side as a self-contained HTML page.

    Args:
        records: what `evaluate` returned, the one for the headline first.
        out: the HTML file to write; its folder is made when missing, an older file is replaced atomically.
        title: the page's title.
        notes: paragraphs for the end of the page.

    Returns:
        `out`.

    Raises:
        UserError: the file cannot be written.
    """
    lead = evaluation_lead(records[0]) if records else ""
    sections = [
        html.section("result", "Result", headline(records), lead=lead),
        html.section("errors", "Errors", evaluation_table(records)),
        html.section("worst", "Worst utterances", worst(records)),
        html.section("notes", "Notes", html.paragraphs(notes)),
    ]
    return write_page(out, title, sections)


def _title(record: Record) -> str:
    """The evaluation's name, and the run or bundle that was scored, with the folder that it lies in."""
    name = str(record.get("name") or "Evaluation")
    scored = "/".join(Path(str(record["path"])).parts[-2:]) if record.get("path") else ""
    return f"{name}: {scored}" if scored and scored not in name else name


def _lead(record: Record) -> str:
    facts = [Path(str(record["manifest"])).name] if record.get("manifest") else []
    if html.is_number(record.get("num_utterances")):
        facts.append(f"{html.count(record['num_utterances'])} utterances")
    if html.is_number(record.get("audio_seconds")):
        facts.append(f"{html.seconds(record['audio_seconds'])} of audio")
    return " \u00b7 ".join(facts)


def _commands(record: Record) -> str | None:
    commands = record.get("commands")
    if not commands:
        return None
    low, high = commands["acceptance_interval"]
    wrong = describe_slots(commands["wrong_slots"])
    share = f"{commands['acceptance']:.2%} of {commands['num_commands']:,} ({low:.2%} to {high:.2%})"
    return f"{share}, intent and every slot; wrong slots: {wrong}"


def _facts(record: Record) -> str:
    size = record.get("size_bytes")
    facts = [
        ("Recogniser", record.get("path")),
        ("Form", record.get("form")),
        ("Decoding", (record.get("decoding") or {}).get("description")),
        ("Commands right", _commands(record)),
        ("Size", html.size(size) if size is not None else None),
        ("Manifest", record.get("manifest")),
        ("Negatives", ", ".join(record.get("negatives") or ())),
        ("False words", _false_words(record.get("silence") or {})),
    ]
    return html.definitions([(name, value) for name, value in facts if value], kind="facts")


def _false_words(silence: Record) -> str:
    """What was recognised where no word was said."""
    if not silence:
        return ""
    return (
        f"{html.count(silence['false_words'])} in {html.seconds(silence['audio_seconds'])} without a word: "
        f"{silence['false_words_per_hour']:,.1f} an hour"
    )


def _errors(record: Record) -> str:
    """The kinds of errors and what each adds to the rate."""
    words = record.get("words")
    if not html.is_number(words):
        return ""
    kinds = [
        (name, record[key])
        for key, name in (("substitutions", "Substituted"), ("deletions", "Deleted"), ("insertions", "Inserted"))
        if html.is_number(record.get(key))
    ]
    kinds.append(("All errors", sum(number for _, number in kinds)))
    shares = [number / words if words else math.nan for _, number in kinds]
    highest = max((share for share in shares if math.isfinite(share)), default=0.0)
    table_html = html.table(
        ["Kind of error", "Words", "Share"],
        [[name, html.count(number), html.percent(share)] for (name, number), share in zip(kinds, shares, strict=True)],
        caption=f"Shares are of the {html.count(words)} words of the references. Inserted words are not among those: "
        "all errors together can exceed 100 %.",
        drawings_html=[rate_bar(share, highest=highest) for share in shares],
    )
    return f'<div class="part">{table_html}</div>'


def _confusions(confusions: Record) -> str:
    """The words recognised as others, beside those that were missed and those that were added."""
    substituted = _words(
        "Substituted",
        confusions.get("substitutions"),
        {"reference": "Reference", "hypothesis": "Recognised", "count": "Times", "spoken": "In references"},
    )
    others = _words(
        "Deleted", confusions.get("deletions"), {"word": "Reference", "count": "Times", "spoken": "In references"}
    ) + _words("Inserted", confusions.get("insertions"), {"word": "Recognised", "count": "Times"})
    inner = "".join(f"<div>{column_html}</div>" for column_html in (substituted, others) if column_html)
    return f'<div class="panels">{inner}</div>' if inner else ""


def _words(title: str, entries: Sequence[Record] | None, columns: Mapping[str, str]) -> str:
    if not entries:
        return ""
    shown = entries[:MAX_CONFUSIONS]
    table_html = html.table(
        list(columns.values()),
        [[html.plain(entry.get(key)) for key in columns] for entry in shown],
        caption="The most frequent first."
        + (f" {len(entries) - len(shown):,} more are in the record." if len(entries) > len(shown) else ""),
        text_columns=sum(1 for key in columns if key not in ("count", "spoken")),
    )
    return f'<div class="part"><h3>{html.text(title)}</h3>{table_html}</div>'


def _skipped(record: Record) -> list[str]:
    """What could not be scored, by name."""
    skipped = record.get("skipped") or []
    if not skipped:
        return []
    verb = "utterance could not be scored and is" if len(skipped) == 1 else "utterances could not be scored and are"
    notes = [f"{html.count(len(skipped))} {verb} not in the numbers:"]
    notes += [str(entry.get("message", "")) for entry in skipped[:_MAX_SKIPPED]]
    if len(skipped) > _MAX_SKIPPED:
        notes.append(f"and {len(skipped) - _MAX_SKIPPED:,} more.")
    return notes


def _pictures(record: Record, *, most: int, probe: Probe | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Pictures of the worst utterances, and what kept others from being drawn."""
    chosen = worst_utterances(record.get("utterances") or (), most=most)
    path = record.get("path")
    if not chosen or not path:
        return [], []
    try:
        probe = probe or open_probe(Path(str(path)), form=str(record.get("form", "")))
    except (UserError, ImportError) as error:
        return [], [f"The worst utterances are not drawn: {error}"]
    pictures, notes = [], []
    for utterance in chosen:
        try:
            recording = read_recording(
                utterance["audio_filepath"],
                sample_rate=probe.sample_rate,
                offset=utterance.get("offset") or 0.0,
                duration=utterance.get("duration"),
                channel=utterance.get("channel"),
            )
        except UserError as error:
            notes.append(f"Not drawn: {error}")
            continue
        pictures.append(probe.draw(recording.samples_N) | _described(utterance))
    return pictures, notes


def _meaning(utterance: Mapping[str, Any]) -> str:
    """What was understood, where a grammar gave the text a meaning."""
    intent = utterance.get("intent")
    return f" Understood: {intent}, {describe_slots(utterance.get('slots') or {})}." if intent else ""


def _described(utterance: Mapping[str, Any]) -> dict[str, Any]:
    errors, words = utterance.get("word_errors"), utterance.get("words")
    words_found: Sequence[Mapping[str, Any]] = utterance.get("hypothesis_words") or ()
    return {
        "title": str(utterance.get("utterance_id", "utterance")),
        "caption": f"{errors} {'error' if errors == 1 else 'errors'} in {words} {'word' if words == 1 else 'words'}."
        + (f" Speaker {utterance['speaker']}." if utterance.get("speaker") else "")
        + _meaning(utterance),
        "reference": utterance.get("reference", ""),
        "hypothesis": utterance.get("hypothesis", ""),
        "words": [Word(**word) for word in words_found],
    }
