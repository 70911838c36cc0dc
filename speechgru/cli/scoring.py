"""Commands that transcribe: evaluate and transcribe."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from speechgru.cli.console import (
    JsonFlag,
    app,
    err,
    import_module,
    needs_training_packages,
    print_json,
    show_progress,
    terminal,
    whole_column,
)
from speechgru.errors import UserError

#: How to decode, alike in `evaluate` and `transcribe`.
_BeamWidth = Annotated[
    int | None,
    typer.Option(min=1, help="Texts that a beam search follows; 1 is greedy. 16 where the options below need one."),
]
_Hotword = Annotated[
    list[str] | None, typer.Option("--hotword", metavar="TEXT[=BOOST]", help="A phrase to prefer; may be repeated.")
]
_Hotwords = Annotated[
    Path | None, typer.Option("--hotwords", help="File with such a phrase a line, its boost after a tab or none.")
]
_Phrases = Annotated[Path | None, typer.Option("--phrases", help="File with the only texts allowed, one a line.")]
_RepeatPhrases = Annotated[bool, typer.Option("--repeat-phrases", help="Allow any sequence of the phrases.")]
_Silence = Annotated[
    bool, typer.Option("--silence/--no-silence", help="With --phrases: whether nothing may be the answer too.")
]
_Scorer = Annotated[
    list[str] | None,
    typer.Option(
        "--scorer",
        metavar="FILE.py:FUNCTION[=ARGUMENT]",
        help="Python code of yours, which is run, that scores texts; may be repeated.",
    ),
]


@app.command()
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
    beam_width: _BeamWidth = None,
    hotword: _Hotword = None,
    hotwords: _Hotwords = None,
    phrases: _Phrases = None,
    repeat_phrases: _RepeatPhrases = False,
    silence: _Silence = True,
    scorer: _Scorer = None,
    as_json: JsonFlag = False,
) -> None:
    """Score a run or a bundle: WER, CER, and every utterance's errors.

    Example: `speechgru evaluate runs/first --manifest data/mine/test.jsonl --slice speaker --report errors.html`
    """
    from speechgru.decoding import options_from_lists

    decoding = options_from_lists(
        beam_width=beam_width,
        hotwords=hotword or (),
        hotword_file=hotwords,
        phrase_file=phrases,
        repeat_phrases=repeat_phrases,
        silence=silence,
        scorers=scorer or (),
    )
    from speechgru.runtime import is_bundle

    if not is_bundle(run_or_bundle):
        needs_training_packages(lambda: import_module("tensorflow"))
    from speechgru.scoring.evaluation import evaluate as verb

    with show_progress(quiet=as_json) as progress:
        record = verb(
            run_or_bundle,
            manifest,
            form=form,
            slices=slices or ("speaker", "duration"),
            batch_size=batch_size,
            decoding=decoding,
            progress=progress,
        )
    if report is not None:
        import_module("speechgru.scoring.page").report_evaluation(record, report)
    if as_json:
        print_json(record)
        return
    low, high = record["wer_interval"]
    table = Table("measure", "value", title=record["name"])
    for name, value in {
        "decoding": record["decoding"]["description"],
        "WER": f"{record['wer']:.2%}  (95 % interval {low:.2%} to {high:.2%})",
        "CER": f"{record['cer']:.2%}",
        "sentences with errors": f"{record['sentence_error_rate']:.2%}",
        "substitutions, insertions, deletions": "{substitutions}, {insertions}, {deletions}".format(**record),
        "words, utterances": f"{record['words']:,}, {record['num_utterances']:,}",
        "real-time factor": f"{record['rtf']:.4f}",
        "could not be read": str(record["num_skipped"]),
    }.items():
        table.add_row(name, value)
    terminal.print(table)
    for entry in record["slices"] if slices else ():
        table = Table(entry["field"], "WER", "95 % interval", "words", "utterances", title=f"by {entry['field']}")
        for group in entry["groups"]:
            low, high = group["wer_interval"]
            table.add_row(
                _describe_group(group),
                f"{group['wer']:.2%}",
                f"{low:.2%} to {high:.2%}" if group["errors"] else "–",  # resampling no error would look like certainty
                f"{group['words']:,}",
                f"{group['num_utterances']:,}",
            )
        terminal.print(table)
    bad = sorted((u for u in record["utterances"] if u["word_errors"]), key=lambda u: -u["word_errors"])[:worst]
    if bad:
        table = Table(whole_column("utterance"), "reference", "hypothesis", "errors", title="the worst")
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


def _describe_group(group: dict[str, Any]) -> str:
    """A slice's group: its value, its range, or that it has none."""
    if "value" in group:
        return str(group["value"])
    if "low" not in group:
        return "(not given)"
    low, high = f"{group['low']:g}", f"{group['high']:g}"
    return low if low == high else f"{low} to {high}"


@app.command()
def transcribe(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder.")],
    audio: Annotated[list[Path], typer.Argument(help="Recordings: any format, rate, channel count, length.")],
    form: Annotated[str | None, typer.Option(help="Which of the bundle's models to run.")] = None,
    beam_width: _BeamWidth = None,
    n_best: Annotated[int, typer.Option(min=1, help="Other readings to print too, with --json.")] = 1,
    hotword: _Hotword = None,
    hotwords: _Hotwords = None,
    phrases: _Phrases = None,
    repeat_phrases: _RepeatPhrases = False,
    silence: _Silence = True,
    scorer: _Scorer = None,
    words: Annotated[bool, typer.Option("--words", help="Show when each word was said.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Show the text while it is spoken, at the pace of speaking.")
    ] = False,
    endpoint: Annotated[
        float | None, typer.Option(help="With --stream: an utterance ends after this many seconds of silence.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Turn recordings into text with the bundle alone (no TensorFlow).

    Example: `speechgru transcribe bundle hello.wav --hotword kitchen --json`
    """
    from speechgru.decoding import EndpointRule, options_from_lists
    from speechgru.runtime.transcription import transcribe as verb

    if endpoint is not None and not stream:
        raise UserError("--endpoint cuts a stream into utterances; add --stream")
    if n_best > 1 and not as_json:
        raise UserError("--n-best prints several texts a recording, which a table has no place for; add --json")
    decoding = options_from_lists(
        beam_width=beam_width,
        n_best=n_best,
        hotwords=hotword or (),
        hotword_file=hotwords,
        phrase_file=phrases,
        repeat_phrases=repeat_phrases,
        silence=silence,
        scorers=scorer or (),
    )
    if stream:
        rule = None if endpoint is None else EndpointRule(trailing_seconds=endpoint)
        records = [_transcribe_live(bundle, path, form, decoding, rule, quiet=as_json) for path in audio]
    else:
        with show_progress(quiet=as_json) as progress:
            records = verb(bundle, audio, form=form, decoding=decoding, progress=progress)
    if as_json:
        print_json(records)
        return
    table = Table(whole_column("recording"), "text", "confidence", *(["from", "to"] if words else []))
    for record in records:
        table.add_row(record["audio_filepath"], record["text"], f"{record['confidence']:.2f}")
        for word in record["words"] if words else ():
            times = (f"{word[key]:.2f} s" for key in ("start_seconds", "end_seconds"))
            table.add_row("", word["text"], f"{word['confidence']:.2f}", *times)
    terminal.print(table)


def _transcribe_live(
    bundle: Path, path: Path, form: str | None, decoding: Any, endpoint: Any, *, quiet: bool
) -> dict[str, Any]:
    """One recording at the pace of speaking: on a terminal its text grows in a line, elsewhere a change is a line."""
    from rich.live import Live

    from speechgru.runtime.transcription import transcribe_live

    shown = ""

    def listener(seconds: float, result: Any) -> None:
        nonlocal shown
        for hypothesis in result.ended:
            err.print(f"{seconds:6.2f} s  {escape(hypothesis.text)}", highlight=False, soft_wrap=True)
        if result.text != shown:
            shown = result.text
            if live is not None:
                live.update(escape(shown))
            elif shown:
                err.print(f"{seconds:6.2f} s  {escape(shown)} ...", highlight=False, soft_wrap=True)

    live = Live("", console=err, transient=True) if err.is_terminal and not quiet else None
    with live or contextlib.nullcontext():
        return transcribe_live(
            bundle,
            path,
            listener=(lambda seconds, result: None) if quiet else listener,
            form=form,
            decoding=decoding,
            endpoint=endpoint,
        )
