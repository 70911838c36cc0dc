"""Sections that pages of scores share: headline, tables, worst utterances, pictures."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from speechgru.report import html
from speechgru.report.page import Record, with_aside
from speechgru.report.speech_picture import speech_picture
from speechgru.report.utterances import LEGEND_HTML, utterance_card

#: Utterances shown of one evaluation, and how many of a page's have a player: it stays small enough to send by mail.
_MAX_WORST, MAX_PLAYERS = 10, 10

#: How to read a picture of a recording.
PICTURE_LEAD = (
    "Above the log-mel of a recording; below it, on the same time axis, the probability of every label at every step, "
    "each written at its peak; the blank, which is not a label, is dashed. A band marks a word from its first label to "
    "its last: CTC models emit labels late and briefly, so bands are shorter than the words' sound."
)

_MODEL_COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("form", "Model", html.plain),
    ("decoding", "Decoding", html.plain),
    ("size_bytes", "Size", html.size),
    ("wer", "WER", html.percent),
    ("rtf", "Real-time factor", lambda value: with_aside(html.real_time_factor(value), html.real_time(value))),
    ("parameters", "Parameters", html.count),
)


def headline(evaluations: Sequence[Record]) -> str:
    """The first evaluation in four large numbers."""
    if not evaluations:
        return ""
    first = evaluations[0]
    wer_interval = html.interval(first.get("wer_interval"))
    numbers = [("Word error rate", html.percent(first.get("wer")), wer_interval and f"95 % interval {wer_interval}")]
    if "cer" in first:
        numbers.append(("Character error rate", html.percent(first["cer"]), ""))
    if html.is_number(first.get("sentence_error_rate")):
        right = 1 - first["sentence_error_rate"]
        numbers.append(("Utterances without an error", html.percent(right), _of_all(first)))
    if html.is_number(first.get("rtf")):
        numbers.append(("Real-time factor", html.real_time_factor(first["rtf"]), html.real_time(first["rtf"])))
    return html.numbers(numbers)


def _of_all(evaluation: Record) -> str:
    number = evaluation.get("num_utterances")
    return f"of {html.count(number)}" if html.is_number(number) else ""


def evaluation_lead(evaluation: Record) -> str:
    """Which set was scored, and how much of it."""
    facts = [str(evaluation.get("name", ""))]
    if html.is_number(evaluation.get("num_utterances")):
        facts.append(f"{html.count(evaluation['num_utterances'])} utterances")
    if html.is_number(evaluation.get("audio_seconds")):
        facts.append(f"{html.seconds(evaluation['audio_seconds'])} of audio")
    return " \u00b7 ".join(fact for fact in facts if fact)


def model_table(models: Sequence[Record]) -> str:
    """One row a model form; columns that no model has are left out, keys that are not known become columns."""
    if not models:
        return ""
    known = {key for key, _, _ in _MODEL_COLUMNS}
    extra = dict.fromkeys(key for model in models for key in model if key not in known)
    columns = [
        column for column in _MODEL_COLUMNS if column[0] == "form" or any(column[0] in model for model in models)
    ] + [(key, html.heading_of(key), html.plain) for key in extra]
    return html.table(
        [heading for _, heading, _ in columns],
        [[describe(model.get(key)) for key, _, describe in columns] for model in models],
        caption="The same weights in each form that was exported or scored.",
    )


def evaluation_table(evaluations: Sequence[Record]) -> str:
    """One row an evaluation: how much was scored, the rates, the kinds of errors."""
    if not evaluations:
        return ""
    rows = [
        [
            html.plain(entry.get("name")),
            with_aside(html.percent(entry.get("wer")), html.interval(entry.get("wer_interval"))),
            html.percent(entry.get("cer")),
            html.percent(entry.get("sentence_error_rate")),
            *(html.count(entry.get(key)) for key in ("substitutions", "insertions", "deletions", "words")),
            with_aside(
                html.count(entry.get("num_utterances")),
                html.seconds(entry["audio_seconds"]) if html.is_number(entry.get("audio_seconds")) else "",
            ),
            html.real_time_factor(entry.get("rtf")),
        ]
        for entry in evaluations
    ]
    headings = [
        "Evaluation",
        "WER\n95 % interval",
        "CER",
        "Utterances\nwith an error",
        "Substituted",
        "Inserted",
        "Deleted",
        "Words",
        "Utterances\naudio",
        "RTF",
    ]
    table = html.table(headings, rows, caption="Substituted, inserted and deleted words add up to the errors of WER.")
    return table + "".join(map(_skipped, evaluations))


def _skipped(evaluation: Record) -> str:
    number = evaluation.get("num_skipped")
    if not number:
        return ""
    verb = "utterance could not be scored and is" if number == 1 else "utterances could not be scored and are"
    name = html.plain(evaluation.get("name"))
    return f'<p class="quiet">{html.text(f"{name}: {html.count(number)} {verb} not in its numbers.")}</p>'


def worst(evaluations: Sequence[Record], *, most: int = _MAX_WORST) -> str:
    """The `most` worst utterances of every evaluation, the first one open; the first few can be listened to."""
    parts: list[str] = []
    with_player = itertools.chain([True] * MAX_PLAYERS, itertools.repeat(False))
    shown: dict[tuple, str] = {}
    for evaluation in evaluations:
        utterances = evaluation.get("utterances")
        if not utterances:
            continue
        name = str(evaluation.get("name", "Evaluation"))
        chosen = worst_utterances(utterances, most=most)
        wrong = sum(1 for utterance in utterances if utterance.get("word_errors"))
        key = tuple((entry.get("utterance_id"), entry.get("reference"), entry.get("hypothesis")) for entry in chosen)
        title = f"{name}: {wrong:,} of {len(utterances):,} utterances with an error" + (
            f", the worst {len(chosen)}" if wrong > len(chosen) else ""
        )
        if not chosen:
            inner = '<p class="quiet">Nothing to show: every utterance was recognised without an error.</p>'
        elif key in shown:  # a converted model usually errs where its original does
            inner = f'<p class="quiet">The same utterances and errors as under {html.text(shown[key])}.</p>'
        else:
            shown[key] = name
            inner = "".join(utterance_card(entry, with_player=next(with_player)) for entry in chosen)
        opened = "" if parts else " open"
        parts.append(f"<details{opened}><summary>{html.text(title)}</summary>{inner}</details>")
    return LEGEND_HTML + "".join(parts) if parts else ""


def worst_utterances(utterances: Sequence[Mapping[str, Any]], *, most: int) -> list[Mapping[str, Any]]:
    """The utterances with word errors, most errors first; of equals the higher rate, then the more confident."""

    def badness(utterance: Mapping[str, Any]) -> tuple[float, float, float]:
        errors = utterance.get("word_errors") or 0
        confidence = utterance.get("confidence")
        return (
            -errors,
            -errors / max(1, utterance.get("words") or 0),
            -confidence if html.is_number(confidence) else 0.0,
        )

    wrong = [utterance for utterance in utterances if utterance.get("word_errors")]
    return sorted(wrong, key=badness)[:most]


def picture_figures(pictures: Sequence[Record]) -> str:
    """Every picture with its title, caption and texts."""
    return "".join(map(_picture_figure, pictures))


def _picture_figure(picture: Record) -> str:
    title = str(picture.get("title", "Recording"))
    reference, hypothesis = (str(picture.get(key, "")) for key in ("reference", "hypothesis"))
    svg = speech_picture(
        picture["log_mel_TM"],
        picture["log_probs_SV"],
        vocabulary=picture["vocabulary"],
        frame_seconds=picture["frame_seconds"],
        step_seconds=picture["step_seconds"],
        words=picture.get("words"),
        name=f"{title}: log-mel and label probabilities over time",
        description=f"Reference: {reference}. Recognised: {hypothesis}.",
    )
    caption = picture.get("caption")
    texts = [("reference", reference), ("recognised", hypothesis)]
    texts_html = "".join(
        f'<dt>{name}</dt><dd dir="auto">{html.text(value) or "(nothing)"}</dd>' for name, value in texts
    )
    return (
        f"<figure><figcaption><h3>{html.text(title)}</h3>"
        + (f"<p>{html.text(caption)}</p>" if caption else "")
        + f"</figcaption>{html.scroll(svg, name=title, wide=True)}"
        + f'<dl class="texts">{texts_html}</dl></figure>'
    )
