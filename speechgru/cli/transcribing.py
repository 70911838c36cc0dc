"""The command that transcribes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from speechgru.cli.console import (
    JsonFlag,
    Table,
    app,
    err,
    print_error,
    print_json,
    show_progress,
    terminal,
    whole_column,
)
from speechgru.cli.decoding import (
    BeamWidth,
    GrammarFile,
    GrammarFlag,
    Hotword,
    Hotwords,
    Phrases,
    RepeatPhrases,
    Scorer,
    Silence,
    Threshold,
)
from speechgru.errors import AudioError, UserError
from speechgru.grammar import describe_slots


@app.command()
def transcribe(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder.")],
    audio: Annotated[list[Path], typer.Argument(help="Recordings, or folders of them: any format, rate, length.")],
    form: Annotated[str | None, typer.Option(help="Which of the bundle's models to run.")] = None,
    beam_width: BeamWidth = None,
    n_best: Annotated[int, typer.Option(min=1, help="Other readings to print too, with --json.")] = 1,
    hotword: Hotword = None,
    hotwords: Hotwords = None,
    phrases: Phrases = None,
    repeat_phrases: RepeatPhrases = False,
    grammar: GrammarFlag = False,
    grammar_file: GrammarFile = None,
    silence: Silence = True,
    scorer: Scorer = None,
    threshold: Threshold = None,
    words: Annotated[bool, typer.Option("--words", help="Show when each word was said.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Show the text while it is spoken, at the pace of speaking.")
    ] = False,
    channel: Annotated[
        int | None, typer.Option(min=1, help="Of recordings with several, the one to transcribe; else their average.")
    ] = None,
    endpoint: Annotated[
        float | None, typer.Option(help="With --stream: an utterance ends after this many seconds of silence.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Turn recordings into text with the bundle alone (no TensorFlow).

    One that cannot be read is named after the others' texts, and the command ends with status 2.
    Example: `speechgru transcribe bundle hello.wav --hotword kitchen --json`
    """
    from speechgru.decoding import EndpointRule, options_from_lists
    from speechgru.runtime.transcription import files_of
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
        grammar=grammar,
        grammar_file=grammar_file,
        silence=silence,
        scorers=scorer or (),
        threshold=threshold,
    )
    if stream:
        rule = None if endpoint is None else EndpointRule(trailing_seconds=endpoint)
        records = [
            _transcribe_live(bundle, path, form, decoding, rule, channel, quiet=as_json) for path in files_of(audio)
        ]
    else:
        with show_progress(quiet=as_json) as progress:
            records = verb(bundle, audio, form=form, decoding=decoding, channel=channel, progress=progress)
    failed = [record for record in records if record["error"] is not None]
    if as_json:
        print_json(records)
    elif len(failed) < len(records):
        _print_table([record for record in records if record["error"] is None], decoding=decoding, words=words)
    for line in _notes_of(records):
        err.print(escape(line), soft_wrap=True, highlight=False)
    for record in failed:
        print_error(record["error"])
    if failed:
        raise typer.Exit(2)


def _notes_of(records: list[dict[str, Any]]) -> list[str]:
    """A line for each note, however many recordings it is of."""
    named: dict[str, list[str]] = {}
    for record in records:
        for note in record["notes"]:
            named.setdefault(note, []).append(record["audio_filepath"])
    return [
        f"{paths[0]}{f' and {len(paths) - 1:,} more' if len(paths) > 1 else ''}: {note}"
        for note, paths in named.items()
    ]


def _print_table(records: list[dict[str, Any]], *, decoding: Any, words: bool) -> None:
    is_judged = any(record["accepted"] is not None for record in records)
    meanings = ["intent", "slots"] if decoding.grammar else []
    judgement = ["accepted"] if is_judged else []
    columns = [*meanings, "confidence", *judgement, *(["from", "to"] if words else [])]
    table = Table(whole_column("recording"), "text", *columns)
    for record in records:
        meaning = [record["intent"] or "–", describe_slots(record["slots"])] if meanings else []
        accepted = [{True: "yes", False: "no", None: ""}[record["accepted"]]] if is_judged else []
        table.add_row(record["audio_filepath"], record["text"], *meaning, f"{record['confidence']:.2f}", *accepted)
        for word in record["words"] if words else ():
            times = (f"{word[key]:.2f} s" for key in ("start_seconds", "end_seconds"))
            empty = [""] * len(meaning)
            table.add_row("", word["text"], *empty, f"{word['confidence']:.2f}", *[""] * len(accepted), *times)
    terminal.print(table)


def _transcribe_live(
    bundle: Path,
    path: str | os.PathLike[str],
    form: str | None,
    decoding: Any,
    endpoint: Any,
    channel: int | None,
    *,
    quiet: bool,
) -> dict[str, Any]:
    """One recording at the pace of speaking: on a terminal its text grows in a line, elsewhere a change is a line."""
    from rich.live import Live

    from speechgru.runtime.transcription import failed_record, transcribe_live

    shown = ""

    def listener(seconds: float, result: Any) -> None:
        nonlocal shown
        for hypothesis in result.ended:
            meaning = f"  {hypothesis.intent} {describe_slots(hypothesis.slots)}" if hypothesis.intent else ""
            note = meaning + ("  (not accepted)" if hypothesis.accepted is False else "")
            err.print(f"{seconds:6.2f} s  {escape(hypothesis.text + note)}", highlight=False, soft_wrap=True)
        if result.text != shown:
            shown = result.text
            if live is not None:
                live.update(escape(shown))
            elif shown:
                err.print(f"{seconds:6.2f} s  {escape(shown)} ...", highlight=False, soft_wrap=True)

    live = Live("", console=err, transient=True) if err.is_terminal and not quiet else None
    with live or contextlib.nullcontext():
        try:
            return transcribe_live(
                bundle,
                path,
                listener=(lambda seconds, result: None) if quiet else listener,
                form=form,
                decoding=decoding,
                endpoint=endpoint,
                channel=channel,
            )
        except AudioError as error:
            return failed_record(path, error)
