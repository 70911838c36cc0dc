"""The command that scores: evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from speechgru.cli.console import (
    JsonFlag,
    Table,
    app,
    import_module,
    needs_training_packages,
    print_beginning,
    print_json,
    print_next,
    show_progress,
    terminal,
)
from speechgru.cli.decoding import (
    DecodingFlags,
    FalseAccepts,
    Misses,
    Negatives,
    WindowSeconds,
    describe_interval,
    rejection_table,
    with_decoding,
)
from speechgru.files import require_page_place, require_unread


@app.command()
@with_decoding()
def evaluate(
    run_or_bundle: Annotated[Path, typer.Argument(help="A run folder or an exported bundle.")],
    manifest: Annotated[Path, typer.Option(help="What to score on.")],
    form: Annotated[str | None, typer.Option(help="Which of a bundle's models to run; see `export`.")] = None,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst utterances to show.")] = 5,
    slices: Annotated[
        list[str] | None,
        typer.Option("--slice", metavar="FIELD", help="Score by this field; may be repeated. Else speaker, duration."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="HTML file to write: slices, confusions, the worst with sound.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Utterances that a run computes at once.")] = 32,
    *,
    flags: DecodingFlags,
    negatives: Negatives = None,
    false_accepts_per_hour: FalseAccepts = None,
    misses: Misses = None,
    window_seconds: WindowSeconds = None,
    as_json: JsonFlag = False,
) -> None:
    """Score a run or a bundle: WER, CER, every utterance's errors, and on negatives what it accepts falsely.

    A command is missed when it is not accepted or recognised wrongly.
    Example: `speechgru evaluate runs/first --manifest data/mine/test.jsonl --slice speaker --report errors.html`
    """
    print_beginning(f"scoring {run_or_bundle} on {manifest}")

    if report is not None:
        require_unread([report], [run_or_bundle, manifest, *flags.files])
        require_page_place(report)
    decoding = flags.options()
    from speechgru.runtime import is_bundle
    from speechgru.scoring.evaluation import evaluate as verb

    with show_progress(quiet=as_json) as progress:
        record = needs_training_packages(  # of a run; and only once all is there
            lambda: verb(
                run_or_bundle,
                manifest,
                form=form,
                slices=slices or ("speaker", "duration"),
                batch_size=batch_size,
                decoding=decoding,
                negatives=negatives or (),
                false_accepts_per_hour=false_accepts_per_hour,
                misses=None if misses is None else misses / 100,
                window_seconds=window_seconds,
                progress=progress,
            )
        )
    if report is not None:
        import_module("speechgru.scoring.page").report_evaluation(record, report)
    if as_json:
        print_json(record)
        return
    for note in record["notes"]:
        terminal.print(note, style="yellow", soft_wrap=True)
    table = Table("measure", "value", title=record["name"])
    interval = describe_interval(record["wer_interval"])
    for name, value in {
        "decoding": record["decoding"]["description"],
        "WER": _describe_rate(record["wer"]) + (f"  (95 % interval {interval})" if interval else ""),
        "CER": _describe_rate(record["cer"]),
        "sentences with errors": f"{record['sentence_error_rate']:.2%}",
        **_commands_row(record["commands"]),
        "substitutions, insertions, deletions": "{substitutions}, {insertions}, {deletions}".format(**record),
        "words, utterances": f"{record['words']:,}, {record['num_utterances']:,}",
        "real-time factor": f"{record['rtf']:.4f}",
        "could not be read": str(record["num_skipped"]),
        **_describe_silence(record["silence"]),
    }.items():
        table.add_row(name, value)
    terminal.print(table)
    if "rejection" in record:
        terminal.print(rejection_table(record["rejection"]))
    for entry in record["slices"] if slices else ():
        table = Table(entry["field"], "WER", "95 % interval", "words", "utterances", title=f"by {entry['field']}")
        for group in entry["groups"]:
            interval = describe_interval(group["wer_interval"])
            table.add_row(
                _describe_group(group),
                _describe_rate(group["wer"]),
                interval or "–",
                f"{group['words']:,}",
                f"{group['num_utterances']:,}",
            )
        terminal.print(table)
    bad = sorted((u for u in record["utterances"] if u["word_errors"]), key=lambda u: -u["word_errors"])[:worst]
    if bad:
        table = Table("utterance", "reference", "hypothesis", "errors", title="the worst")
        for utterance in bad:
            table.add_row(
                utterance["utterance_id"],
                utterance["reference"],
                utterance["hypothesis"],
                str(utterance["word_errors"]),
            )
        terminal.print(table)
    if report is not None:
        terminal.print(f"{report} shows it all", soft_wrap=True)
    if is_bundle(run_or_bundle):
        print_next("transcribe", run_or_bundle, *(["--grammar"] if flags.grammar else []), "HELLO.wav")
    else:
        print_next("export", run_or_bundle, "--out", "bundle")


def _describe_rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.2%}"


def _describe_silence(silence: dict[str, Any] | None) -> dict[str, str]:
    """False words where nothing was said, as a row; none where something was said everywhere."""
    if silence is None:
        return {}
    number = f"{silence['false_words']:,} in {silence['audio_seconds'] / 3600:.3g} h without a word"
    return {"false words": f"{number}, {silence['false_words_per_hour']:,.1f} an hour"}


def _commands_row(commands: dict[str, Any] | None) -> dict[str, str]:
    """How many commands were accepted, where a grammar gives texts a meaning and the manifest knows it."""
    if commands is None:
        return {}
    low, high = commands["acceptance_interval"]
    return {"commands with intent and slots right": f"{commands['acceptance']:.2%}  ({low:.2%} to {high:.2%})"}


def _describe_group(group: dict[str, Any]) -> str:
    """A slice's group: its value, its range, or that it has none."""
    if "value" in group:
        return str(group["value"])
    if "low" not in group:
        return "(not given)"
    low, high = f"{group['low']:g}", f"{group['high']:g}"
    return low if low == high else f"{low} to {high}"
