"""One HTML file that says how good a recogniser is: it needs no network, no script and no other file.

`write_report` takes plain, JSON-like values, so that training, evaluation and export need not know this module. Every
text in them is escaped; what is missing in them is left out or shown as an en dash.

The page is a list of sections, each a function from those values to HTML, empty where it has nothing to show:
`pieces` holds what they are made of, `figures` draws, `utterances` aligns and embeds recordings, `style` dresses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechgru.files import write_text
from speechgru.report import pieces
from speechgru.report.figures import error_chart, loss_chart, num_undrawn, speech_picture
from speechgru.report.style import style_sheet
from speechgru.report.utterances import LEGEND_HTML, MAX_PLAYERS, players, utterance_card, worst_utterances

__all__ = ["write_report"]

Record = Mapping[str, Any]

#: Utterances shown of one evaluation.
_MAX_WORST = 10

# No script and nothing from elsewhere can run in the page, whatever a transcript holds.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"

_FOOTER = (
    "Error rates are all errors over all reference words or characters of a set. "
    "A real-time factor is seconds of computing per second of audio."
)

#: How to read a picture of what a model saw and said.
PICTURE_LEAD = (
    "Above the log-mel of a recording; below it, on the same time axis, the probability of every label at every step, "
    "each written at its peak; the blank, which stands for nothing, is dashed. A band marks a word from its first "
    "label to its last: CTC models answer late and briefly, so bands are shorter than the sound."
)

_MODEL_COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("form", "Model", pieces.plain),
    ("size_bytes", "Size", pieces.size),
    ("wer", "WER", pieces.percent),
    ("rtf", "Real-time factor", lambda value: _with_aside(pieces.real_time_factor(value), pieces.real_time(value))),
    ("parameters", "Parameters", pieces.count),
)


def write_report(
    path: str | Path,
    *,
    title: str,
    summary: Sequence[tuple[str, Any]] = (),
    evaluations: Sequence[Record] = (),
    history: Sequence[Record] = (),
    pictures: Sequence[Record] = (),
    models: Sequence[Record] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Writes the report of a run as one self-contained HTML file.

    Args:
        path: the file to write; its folder is made when missing, an older file is replaced atomically.
        title: the page's title.
        summary: facts as (label, value), in order.
        evaluations: scored sets, the one for the headline first. Keys: `name`, `num_utterances`, `audio_seconds`,
            `wer`, `wer_interval` (low and high of 95 %), `cer`, `sentence_error_rate`, `words`, `substitutions`,
            `insertions`, `deletions`, `rtf`, `num_skipped`, and `utterances`: records with `utterance_id`,
            `audio_filepath`, `offset`, `speaker`, `duration` (seconds), `reference`, `hypothesis`, `word_errors`,
            `words`, `confidence`. Rates are fractions.
        history: training records in order: `kind` "train" with `step`, `loss`, or `kind` "dev" with `step`, `loss`,
            `wer`, `cer`.
        pictures: records with `title`, `caption`, `log_mel_TM`, `log_probs_SV` (arrays), `vocabulary` (Vocabulary),
            `frame_seconds`, `step_seconds`, `reference`, `hypothesis`, and `words` (Word records; found by greedy
            decoding where missing).
        models: one record a model form: `form`, `size_bytes`, `wer`, `rtf`, `parameters`; any other key becomes a
            column.
        notes: what a reader should know, a paragraph each.

    Returns:
        The path of the file.

    Raises:
        UserError: the file cannot be written.
        ValueError: a picture's arrays do not fit each other or its vocabulary.
    """
    sections = [
        pieces.section("result", "Result", headline(evaluations), lead=_headline_lead(evaluations)),
        pieces.section("run", "The run", pieces.definitions(summary, kind="facts")),
        pieces.section("models", "Model forms", model_table(models)),
        pieces.section("training", "Training", training(history)),
        pieces.section("errors", "Errors", evaluation_table(evaluations)),
        pieces.section("worst", "Worst utterances", worst(evaluations)),
        pieces.section(
            "pictures",
            "What the model sees and says",
            picture_figures(pictures),
            lead=PICTURE_LEAD,
        ),
        pieces.section("notes", "Notes", "".join(f"<p>{pieces.text(note)}</p>" for note in notes)),
    ]
    path = Path(path)
    write_text(path, page(title, [part for part in sections if part]))
    return path


def page(title: str, sections_html: Sequence[str], *, footer: str = _FOOTER) -> str:
    """The whole document around its sections."""
    links = "".join(
        f'<li><a href="#{identifier}">{heading}</a></li>' for identifier, heading in map(_name_of, sections_html)
    )
    nav = f'<nav aria-label="Sections"><ul>{links}</ul></nav>' if len(sections_html) > 1 else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{pieces.text(title)}</title>\n<style>\n{style_sheet()}\n</style>\n</head>\n<body>\n"
        f"<header><h1>{pieces.text(title)}</h1>{nav}</header>\n<main>\n"
        + "\n".join(sections_html)
        + f"\n</main>\n<footer><p>{pieces.text(footer)}</p></footer>\n</body>\n</html>\n"
    )


def _name_of(section_html: str) -> tuple[str, str]:
    """A section's id and its title, from what `pieces.section` wrote."""
    identifier = section_html.split('id="', 1)[1].split('"', 1)[0]
    return identifier, section_html.split("<h2", 1)[1].split(">", 1)[1].split("</h2>", 1)[0]


def headline(evaluations: Sequence[Record]) -> str:
    """The first evaluation in four large numbers."""
    if not evaluations:
        return ""
    first = evaluations[0]
    wer_interval = pieces.interval(first.get("wer_interval"))
    numbers = [("Word error rate", pieces.percent(first.get("wer")), wer_interval and f"95 % interval {wer_interval}")]
    if "cer" in first:
        numbers.append(("Character error rate", pieces.percent(first["cer"]), ""))
    if pieces.is_number(first.get("sentence_error_rate")):
        right = 1 - first["sentence_error_rate"]
        numbers.append(("Utterances without an error", pieces.percent(right), _of_all(first)))
    if pieces.is_number(first.get("rtf")):
        numbers.append(("Real-time factor", pieces.real_time_factor(first["rtf"]), pieces.real_time(first["rtf"])))
    return pieces.numbers(numbers)


def _of_all(evaluation: Record) -> str:
    number = evaluation.get("num_utterances")
    return f"of {pieces.count(number)}" if pieces.is_number(number) else ""


def _headline_lead(evaluations: Sequence[Record]) -> str:
    if not evaluations:
        return ""
    first = evaluations[0]
    facts = [str(first.get("name", ""))]
    if pieces.is_number(first.get("num_utterances")):
        facts.append(f"{pieces.count(first['num_utterances'])} utterances")
    if pieces.is_number(first.get("audio_seconds")):
        facts.append(f"{pieces.seconds(first['audio_seconds'])} of audio")
    return " \u00b7 ".join(fact for fact in facts if fact)


def model_table(models: Sequence[Record]) -> str:
    """One row a model form; columns that no model has are left out, keys that are not known become columns."""
    if not models:
        return ""
    known = {key for key, _, _ in _MODEL_COLUMNS}
    extra = dict.fromkeys(key for model in models for key in model if key not in known)
    columns = [
        column for column in _MODEL_COLUMNS if column[0] == "form" or any(column[0] in model for model in models)
    ] + [(key, pieces.heading_of(key), pieces.plain) for key in extra]
    return pieces.table(
        [heading for _, heading, _ in columns],
        [[describe(model.get(key)) for key, _, describe in columns] for model in models],
        caption="The same weights in each form that was exported or scored.",
    )


def training(history: Sequence[Record]) -> str:
    """The loss and the dev error rates against the steps, side by side."""
    return chart_panels(
        [
            (loss_chart(history), "CTC loss", ("loss",)),
            (error_chart(history), "Error rates on the dev set", ("wer", "cer")),
        ],
        history,
    )


def chart_panels(charts: Sequence[tuple[str, str, Sequence[str]]], history: Sequence[Record]) -> str:
    """Charts of a history side by side: each its SVG, empty where it has nothing to show, its caption, and its keys."""
    inner = ""
    for svg, caption, keys in charts:
        if not svg:
            continue
        undrawn = num_undrawn(history, keys=keys)
        if undrawn:
            caption += f"; {undrawn:,} {'value is' if undrawn == 1 else 'values are'} not finite and not drawn"
        inner += f"<figure>{svg}<figcaption>{pieces.text(caption)}</figcaption></figure>"
    return f'<div class="panels">{inner}</div>' if inner else ""


def evaluation_table(evaluations: Sequence[Record]) -> str:
    """One row an evaluation: how much was scored, the rates, the kinds of errors."""
    if not evaluations:
        return ""
    rows = [
        [
            pieces.plain(entry.get("name")),
            _with_aside(pieces.percent(entry.get("wer")), pieces.interval(entry.get("wer_interval"))),
            pieces.percent(entry.get("cer")),
            pieces.percent(entry.get("sentence_error_rate")),
            *(pieces.count(entry.get(key)) for key in ("substitutions", "insertions", "deletions", "words")),
            _with_aside(
                pieces.count(entry.get("num_utterances")),
                pieces.seconds(entry["audio_seconds"]) if pieces.is_number(entry.get("audio_seconds")) else "",
            ),
            pieces.real_time_factor(entry.get("rtf")),
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
    table = pieces.table(headings, rows, caption="Substituted, inserted and deleted words add up to the errors of WER.")
    return table + "".join(map(_skipped, evaluations))


def _skipped(evaluation: Record) -> str:
    number = evaluation.get("num_skipped")
    if not number:
        return ""
    verb = "utterance could not be scored and is" if number == 1 else "utterances could not be scored and are"
    name = pieces.plain(evaluation.get("name"))
    return f'<p class="quiet">{pieces.text(f"{name}: {pieces.count(number)} {verb} not in its numbers.")}</p>'


def worst(evaluations: Sequence[Record], *, most: int = _MAX_WORST) -> str:
    """The `most` worst utterances of every evaluation, the first one open; the first few can be listened to."""
    parts = []
    with_player = players(MAX_PLAYERS)
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
            inner = '<p class="quiet">Nothing to show: every utterance was heard right.</p>'
        elif key in shown:  # a converted model usually errs where its original does
            inner = f'<p class="quiet">The same utterances and errors as under {pieces.text(shown[key])}.</p>'
        else:
            shown[key] = name
            inner = "".join(utterance_card(entry, with_player=next(with_player)) for entry in chosen)
        opened = "" if parts else " open"
        parts.append(f"<details{opened}><summary>{pieces.text(title)}</summary>{inner}</details>")
    return LEGEND_HTML + "".join(parts) if parts else ""


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
        label=f"{title}: log-mel and label probabilities over time. Said: {reference}. Heard: {hypothesis}.",
    )
    caption = picture.get("caption")
    texts = [("said", reference), ("heard", hypothesis)]
    texts_html = "".join(
        f'<dt>{name}</dt><dd dir="auto">{pieces.text(value) or "(nothing)"}</dd>' for name, value in texts
    )
    return (
        f"<figure><figcaption><h3>{pieces.text(title)}</h3>"
        + (f"<p>{pieces.text(caption)}</p>" if caption else "")
        + f"</figcaption>{pieces.scroll(svg, name=title, wide=True)}"
        + f'<dl class="said">{texts_html}</dl></figure>'
    )


def _with_aside(value: str, aside: str) -> str:
    return f"{value}\n{aside}" if aside else value
