"""The command that transcribes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from speechgru.cli.console import (
    JsonFlag,
    Table,
    app,
    err,
    first_of,
    import_module,
    needs_training_packages,
    print_beginning,
    print_error,
    print_json,
    print_next,
    show_progress,
    terminal,
)
from speechgru.cli.decoding import DecodingFlags, WindowSeconds, with_decoding
from speechgru.cli.timed import FormatOption, OutOption, ReplaceOption, asked_format, deliver, require_deliverable
from speechgru.errors import AudioError, UserError
from speechgru.visible import visible_json


def _list_microphones(asked: bool) -> None:
    """Prints the microphones and ends."""
    if not asked:
        return
    from speechgru.recording import list_microphones

    table = Table("--device", "name", "channels", "Hz")
    for record in list_microphones():
        number = f"{record['number']}{' (default)' if record['is_default'] else ''}"
        table.add_row(number, record["name"], str(record["num_channels"]), f"{record['sample_rate']:,}")
    terminal.print(table if table.row_count else "no microphone is connected")
    raise typer.Exit


@app.command()
@with_decoding()
def transcribe(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder, or one .tflite file of it; or a run folder.")],
    audio: Annotated[
        list[Path] | None, typer.Argument(help="Recordings, or folders of them: any format, rate, length.")
    ] = None,
    form: Annotated[str | None, typer.Option(help="Which of the bundle's models to run.")] = None,
    *,
    flags: DecodingFlags,
    n_best: Annotated[int, typer.Option(min=1, help="Other readings to print too, with --json.")] = 1,
    words: Annotated[bool, typer.Option("--words", help="Show when each word was said.")] = False,
    stream: Annotated[
        bool, typer.Option("--stream", help="Show the text while it is spoken, at the pace of speaking.")
    ] = False,
    channel: Annotated[
        int | None, typer.Option(min=1, help="Of recordings with several, the one to transcribe; else their average.")
    ] = None,
    endpoint: Annotated[
        float | None,
        typer.Option(help="With --stream: an utterance ends after this many seconds of silence. --microphone: 0.8."),
    ] = None,
    microphone: Annotated[
        bool, typer.Option("--microphone", help="Transcribe what is said into a microphone, until Ctrl-C.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="The microphone: a number or a part of its name.")] = None,
    once: Annotated[bool, typer.Option("--once", help="With --microphone: end after the first utterance.")] = False,
    list_microphones: Annotated[
        bool,
        typer.Option("--list-microphones", help="List the microphones.", is_eager=True, callback=_list_microphones),
    ] = False,
    timed: FormatOption = None,
    out: OutOption = None,
    isolated: Annotated[
        bool, typer.Option("--isolated", help="Run a stranger's bundle in a process of its own, which may die.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Refuse a bundle that differs from its checksums.")
    ] = True,
    replace: ReplaceOption = False,
    window_seconds: WindowSeconds = None,
    as_json: JsonFlag = False,
) -> None:
    """Turn recordings into text with a bundle alone (no TensorFlow), or with a run that was not exported yet.

    One that cannot be read is named after the others' texts, and the command ends with status 2. From a microphone
    (extra `microphone`) each utterance is a line, with --json a JSON object a line.
    With --format or --out subtitles and other words with times: `speechgru transcribe bundle talk.mp3 --out talk.srt`.
    Example: `speechgru transcribe bundle hello.wav --hotword kitchen --json`
    """
    if microphone == bool(audio):
        raise UserError(
            "recordings and --microphone exclude each other"
            if microphone
            else "Missing argument 'AUDIO...': give recordings, or speak into --microphone"
        )
    if (device is not None or once) and not microphone:
        raise UserError(f"{'--once' if once else '--device'} belongs to --microphone; add it")
    if microphone and (stream or words or channel is not None or n_best > 1):
        raise UserError(
            "--stream, --words, --channel and --n-best are for recordings; leave them out with --microphone"
        )
    if endpoint is not None and not (stream or microphone):
        raise UserError("--endpoint cuts a stream into utterances; add --stream")
    if window_seconds is not None and (stream or microphone):
        raise UserError("--window-seconds is for whole recordings; leave it out with --stream and --microphone")
    if (timed or out) and (stream or microphone or words or as_json):
        raise UserError(
            "--format and --out give whole recordings as files; leave out --stream, --microphone, --words, --json"
        )
    if n_best > 1 and not as_json:
        raise UserError("--n-best prints several texts a recording, which a table has no place for; add --json")
    print_beginning(f"loading {bundle}")
    from speechgru.decoding import EndpointRule
    from speechgru.runtime.transcription import files_of
    from speechgru.runtime.transcription import transcribe as verb

    decoding = flags.options(n_best=n_best)
    asked = asked_format(timed, out)
    if asked is not None:
        files = files_of(audio or ())
        require_deliverable(asked, out, [Path(path).stem for path in files], reads=files, replace=replace)
    rule = None if endpoint is None else EndpointRule(trailing_seconds=endpoint)
    recognizer = open_recognizer(bundle, form, isolated=isolated, verify=verify, window_seconds=window_seconds)
    if microphone:
        _transcribe_microphone(recognizer, decoding, rule, device, once=once, as_json=as_json)
        return
    audio = audio or []
    if stream:
        records = [
            _transcribe_live(recognizer, path, decoding, rule, channel, quiet=as_json) for path in files_of(audio)
        ]
    else:
        with show_progress(quiet=as_json) as progress:
            records = verb(recognizer, audio, decoding=decoding, channel=channel, progress=progress)
    failed = [record for record in records if record["error"] is not None]
    if as_json:
        print_json(records)
    elif asked is not None and len(failed) < len(records):
        deliver([_timed_recording(record, channel) for record in records if record["error"] is None], asked, out)
    elif len(failed) < len(records):
        _print_table([record for record in records if record["error"] is None], decoding=decoding, words=words)
    for line in _notes_of(records):
        err.print(escape(line), soft_wrap=True, highlight=False)
    for record in failed:
        print_error(record["error"])
    if len(failed) < len(records):
        _print_after(recognizer, bundle, grammar=flags.grammar)
    if failed:
        raise typer.Exit(2)


def _timed_recording(record: dict[str, Any], channel: int | None) -> Any:
    from speechgru.timed import TimedRecording, TimedWord

    rest = {key: value for key, value in record.items() if key not in ("audio_filepath", "duration", "words")}
    words = [TimedWord(**word) for word in record["words"]]
    return TimedRecording(record["audio_filepath"], record["duration"], words, rest, channel)


def _print_after(recognizer: Any, path: Path, *, grammar: bool) -> None:
    """What a bundle is for, or how a run becomes one."""
    from speechgru.runtime import is_bundle

    if not is_bundle(path):
        print_next("export", path, "--out", "bundle")
    elif recognizer.grammar is not None and not grammar:
        print_next("transcribe", path, "HELLO.wav", "--grammar", "--json")
    else:
        print_next("transcribe", path, "--microphone", *(["--grammar"] if grammar else []))


def open_recognizer(
    path: Path,
    form: str | None,
    *,
    isolated: bool = False,
    verify: bool = True,
    window_seconds: float | None = None,
) -> Any:
    """The recogniser of a bundle, or of a run that was not exported yet, which needs TensorFlow.

    Args:
        path: the bundle or run.
        form: which of a bundle's models.
        isolated, verify: as for `Recognizer`, of a bundle.
        window_seconds: as for `Recognizer`.

    Raises:
        UserError: it is neither, or a run of which what a bundle has is asked for.
    """
    from speechgru.runs import RunFolder
    from speechgru.runtime import Recognizer, is_bundle

    run = RunFolder(path)
    if is_bundle(path) or not run.config.is_file():
        return Recognizer(path, form=form, isolated=isolated, verify=verify, window_seconds=window_seconds)
    if isolated or not verify:
        flag = "--isolated" if isolated else "--no-verify"
        raise UserError(f"{path}: {flag} is for a bundle, and this is a run, which is trusted; leave it out")
    if form is not None:
        raise UserError(f"{path}: form {form!r} names a bundle's model, and this is a run; leave --form out")
    from speechgru.scoring.trained_run import TrainedRun

    note = TrainedRun(path, newest=True).note  # before TensorFlow is loaded, which takes seconds
    if note is not None:
        err.print(escape(f"{path}: {note}"), style="yellow", soft_wrap=True, highlight=False)
    return needs_training_packages(
        lambda: import_module("speechgru.export.running").open_recognizer(path, window_seconds=window_seconds)
    )


def _notes_of(records: list[dict[str, Any]]) -> list[str]:
    """A line for each note, however many recordings it is of."""
    named: dict[str, list[str]] = {}
    for record in records:
        for note in record["notes"]:
            named.setdefault(note, []).append(record["audio_filepath"])
    return [f"{first_of(paths)}: {note}" for note, paths in named.items()]


def _print_table(records: list[dict[str, Any]], *, decoding: Any, words: bool) -> None:
    from speechgru.grammar import describe_slots

    is_judged = any(record["accepted"] is not None for record in records)
    meanings = ["intent", "slots"] if decoding.grammar else []
    judgement = ["accepted"] if is_judged else []
    columns = [*meanings, "confidence", *judgement, *(["from", "to"] if words else [])]
    table = Table("recording", "text", *columns)
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
    recognizer: Any,
    path: str | os.PathLike[str],
    decoding: Any,
    endpoint: Any,
    channel: int | None,
    *,
    quiet: bool,
) -> dict[str, Any]:
    """One recording at the pace of speaking: on a terminal its text grows in a line, elsewhere a change is a line."""
    from rich.live import Live

    from speechgru.grammar import describe_slots
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
                recognizer,
                path,
                listener=(lambda seconds, result: None) if quiet else listener,
                decoding=decoding,
                endpoint=endpoint,
                channel=channel,
            )
        except AudioError as error:
            return failed_record(path, error)


def _transcribe_microphone(
    recognizer: Any, decoding: Any, rule: Any, device: str | None, *, once: bool, as_json: bool
) -> None:
    """Prints each utterance on a line; on a terminal the present one grows below."""
    from rich.live import Live

    from speechgru.grammar import describe_slots
    from speechgru.recording import LiveMicrophone, SoundDeviceMicrophone, dictate
    from speechgru.runtime.transcription import hypothesis_record

    recognizer.prepare(decoding)
    chosen = int(device) if device is not None and device.isdecimal() else device

    def tell(line: str) -> None:
        err.print(escape(line), highlight=False, soft_wrap=True)

    def say(hypothesis: Any) -> None:
        if as_json:
            print(visible_json(json.dumps(hypothesis_record(hypothesis), ensure_ascii=False)), flush=True)
            return
        meaning = f"  {hypothesis.intent} {describe_slots(hypothesis.slots)}" if hypothesis.intent else ""
        note = "  (not accepted)" if hypothesis.accepted is False else ""
        terminal.print(hypothesis.text + meaning + note, highlight=False, soft_wrap=True)

    if not recognizer.streams:
        if rule is not None:
            raise UserError(
                f"{recognizer.bundle}: transcribes whole recordings only; leave --endpoint out and press Enter"
            )
        held = SoundDeviceMicrophone(sample_rate=recognizer.sample_rate, device=chosen, for_corpus=False)
        for samples_N in _pushed_to_talk(held, tell):
            say(recognizer.transcribe(samples_N, held.sample_rate, decoding))
            if once:
                return
        return
    microphone = LiveMicrophone(sample_rate=recognizer.sample_rate, device=chosen)
    live = Live("", console=err, transient=True) if err.is_terminal and not as_json else None
    with live or contextlib.nullcontext():
        show = (lambda text: None) if live is None else (lambda text: live.update(escape(text)))
        if live is None:
            tell("speak; Ctrl-C ends")
        for hypothesis in dictate(recognizer, microphone, decoding=decoding, endpoint=rule, show=show, tell=tell):
            say(hypothesis)
            if once:
                return


def _pushed_to_talk(microphone: Any, tell: Callable[[str], None]) -> Iterator[Any]:
    """`samples_N` of what is said from one Enter to the next, until there is no more input."""
    with contextlib.suppress(EOFError):
        while True:
            tell("press Enter and speak (Ctrl-C ends)")
            input()
            microphone.start()
            try:
                tell("recording; press Enter at the end")
                input()
            finally:
                samples_N = microphone.stop()
            yield samples_N
