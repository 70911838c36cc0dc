"""The page that compares model forms by how long they wait: error rate against latency, in every exported form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from speechgru.files import write_text
from speechgru.report import Record, page, pieces
from speechgru.report.figures import tradeoff_chart

_FOOTER = (
    "Error rates are all errors over all words of the test set. A real-time factor (RTF) is seconds of computing per "
    "second of audio."
)


def report_streaming(rows: Sequence[Record], out: str | Path, *, shown: str, notes: Sequence[str] = ()) -> Path:
    """Writes the comparison as a self-contained HTML page.

    Args:
        rows: a model each: `corpus`, `label`, `latency_seconds` (of sound, the greatest; of a model that waits for the
            whole utterance its mean length, with `is_whole`), `scores`, by the form's name `wer`, `wer_interval`,
            `rtf` and `size_bytes`; and `streams`, empty where it does not stream: the same with `num_different`, how
            many texts are not those of the whole recordings.
        out: the HTML file to write; its folder is made when missing, an older file is replaced atomically.
        shown: the form whose rates are drawn.
        notes: what a reader should know, a paragraph each.

    Returns:
        `out`.

    Raises:
        UserError: the file cannot be written.
    """
    chart = tradeoff_chart(
        [
            {
                "series": row["corpus"],
                **{key: row[key] for key in ("label", "latency_seconds", "is_whole")},
                "wer": row["scores"].get(shown, {}).get("wer"),
                "wer_interval": _interval(row["scores"].get(shown, {})),
            }
            for row in rows
        ]
    )
    caption = (
        f"{shown}; upright lines are 95 % intervals over the utterances of the test set, none where no word is wrong"
    )
    chart_html = pieces.scroll(f'<div style="min-width: 34rem; max-width: 52rem">{chart}</div>', name="The chart")
    sections = [
        pieces.section(
            "tradeoff",
            "Error rate against latency",
            f"<figure>{chart_html}<figcaption>{pieces.text(caption)}</figcaption></figure>" if chart else "",
            lead="Latency is the longest time from the first sound of a step to its answer, computing left out. A "
            "hollow mark hears the whole utterance first, and stands at the mean length of the test's utterances.",
        ),
        pieces.section("forms", "Every form", _each_corpus(rows, _error_table)),
        pieces.section(
            "streams",
            "As streams",
            _each_corpus([row for row in rows if row["streams"]], _stream_table),
            lead="Each recording once more, fed in small pieces that cut its chunks anywhere.",
        ),
        pieces.section("cost", "Size and speed", _each_corpus(rows, _cost_table)),
        pieces.section("notes", "Notes", "".join(f"<p>{pieces.text(note)}</p>" for note in notes)),
    ]
    out = Path(out)
    write_text(out, page("Recognisers that stream", [part for part in sections if part], footer=_FOOTER))
    return out


def _each_corpus(rows: Sequence[Record], table: Callable[[Sequence[Record], str], str]) -> str:
    parts = []
    for corpus in dict.fromkeys(row["corpus"] for row in rows):
        table_html = table([row for row in rows if row["corpus"] == corpus], corpus)
        parts.append(f'<div class="part"><h3>{pieces.text(corpus)}</h3>{table_html}</div>')
    return "".join(parts)


def _error_table(rows: Sequence[Record], corpus: str) -> str:
    forms = _forms(rows, "scores")
    return pieces.table(
        ["Model", "Latency", *forms],
        [
            [
                row["label"],
                pieces.seconds(row["latency_seconds"]) + ("\nwhole, mean" if row["is_whole"] else ""),
                *(_rate(row["scores"].get(form)) for form in forms),
            ]
            for row in rows
        ],
        caption=f"{corpus}: word error rate on the test set, with its 95 % interval.",
    )


def _stream_table(rows: Sequence[Record], corpus: str) -> str:
    forms = _forms(rows, "streams")
    return pieces.table(
        ["Model", *forms],
        [[row["label"], *(_stream_cell(row["streams"].get(form)) for form in forms)] for row in rows],
        caption=f"{corpus}: word error rate of the streams; below it how many texts are not the whole recording's.",
    )


def _stream_cell(score: Record | None) -> str:
    if not score:
        return pieces.MISSING
    different = score["num_different"]
    aside = f"{different:,} {'differs' if different == 1 else 'differ'}" if different else "same texts"
    return f"{pieces.percent(score.get('wer'))}\n{aside}"


def _cost_table(rows: Sequence[Record], corpus: str) -> str:
    forms = [form for form in _forms(rows, "scores") if any(_size(row, form) is not None for row in rows)]
    return pieces.table(
        ["Model", *forms],
        [
            [
                row["label"],
                *(
                    f"{pieces.size(_size(row, form))}\nRTF {pieces.real_time_factor(row['scores'][form].get('rtf'))}"
                    if form in row["scores"]
                    else pieces.MISSING
                    for form in forms
                ),
            ]
            for row in rows
        ],
        caption=f"{corpus}: size, and real-time factor on whole recordings one at a time, front end and decoding "
        "included; the SavedModel's in batches.",
    )


def _size(row: Record, form: str) -> Any:
    return row["scores"].get(form, {}).get("size_bytes")


def _forms(rows: Sequence[Record], key: str) -> list[str]:
    return list(dict.fromkeys(form for row in rows for form in row[key]))


def _rate(score: Record | None) -> str:
    if not score:
        return pieces.MISSING
    aside = pieces.interval(_interval(score))
    return pieces.percent(score.get("wer")) + (f"\n{aside}" if aside else "")


def _interval(score: Record) -> Any:
    """The interval, none without an error: resampling gives 0 to 0, which would look like certainty."""
    return score.get("wer_interval") if score.get("wer") else None
