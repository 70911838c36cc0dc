"""Commands for recordings whose text is known: align, segment and splice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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
    print_beginning,
    print_error,
    print_json,
    print_next,
    shorten,
    show_progress,
    terminal,
)
from speechgru.cli.timed import FormatOption, OutOption, ReplaceOption, asked_format, deliver, require_deliverable
from speechgru.cli.transcribing import open_recognizer
from speechgru.errors import UserError
from speechgru.visible import counted

_MANIFEST = ".jsonl"


@app.command()
def align(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder, or one .tflite file of it; or a run folder.")],
    audio: Annotated[Path, typer.Argument(help="A recording of any format, rate, length; or a manifest (.jsonl).")],
    text: Annotated[
        Path | None, typer.Argument(help="A file with what is said in it. A manifest has its texts itself.")
    ] = None,
    form: Annotated[str | None, typer.Option("--form", help="Which of the bundle's models to run.")] = None,
    timed: FormatOption = None,
    out: OutOption = None,
    replace: ReplaceOption = False,
    channel: Annotated[
        int | None, typer.Option(min=1, help="Of several, the one to align; else their average.")
    ] = None,
    leave_out_unknown: Annotated[
        bool, typer.Option("--leave-out-unknown", help="Leave out words that the model cannot write, and say which.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Find when each word of a known text was said: times of words and letters, with confidences.

    Recordings may be hours long. Times are seconds of the recording.
    Example: `speechgru align bundle talk.mp3 talk.txt --out talk.srt`
    """
    is_manifest = audio.suffix.lower() == _MANIFEST
    if not is_manifest and text is None:
        raise UserError(
            f"Missing argument 'TEXT': a file with what is said in {audio}; or give a manifest in place of both"
        )
    if is_manifest and text is not None:
        raise UserError(f"{audio}: a manifest has its texts itself; leave {text} out")
    if is_manifest and channel is not None:
        raise UserError("--channel is for one recording; a manifest's lines have a field `channel`")
    if as_json and (timed or out):
        raise UserError("--json prints all of it; leave out --format and --out, or take --format json --out FILE")
    print_beginning(f"loading {bundle}")
    from speechgru.utterances.manifest import read_manifest

    asked = asked_format(timed, out)
    if asked is not None:
        utterances = read_manifest(audio) if is_manifest else []
        read = [audio, text, *(utterance.audio_filepath for utterance in utterances)]
        require_deliverable(asked, out, [*map(_name_of, utterances)] or [audio.stem], reads=read, replace=replace)
    recognizer = open_recognizer(bundle, form)
    room = import_module("speechgru.align")
    failed: Sequence[UserError] = ()
    names = None
    if is_manifest:
        with show_progress(quiet=as_json) as progress:
            done, failed = room.align_manifest(
                recognizer, audio, leave_out_unknown=leave_out_unknown, progress=progress
            )
        recordings = [recording for _, recording in done]
        names = [_name_of(utterance) for utterance, _ in done]
    else:
        recordings = [room.align(recognizer, audio, text, channel=channel, leave_out_unknown=leave_out_unknown)]
    if as_json or asked is None:
        _print(recordings, as_json=as_json)
    elif recordings:
        deliver(recordings, asked, out, names=names)
    _print_notes(recordings)
    for error in failed:
        print_error(str(error))
    if failed:
        raise typer.Exit(2)
    if asked is None:
        print_next("align", bundle, audio, *([text] if text else []), "--out", f"{audio.stem}.TextGrid")


def _name_of(utterance: Any) -> str:
    """A file's name without suffix for an utterance: its recording's, with the offset of a segment."""
    name = Path(utterance.audio_filepath).stem + (f"#{utterance.channel}" if utterance.channel else "")
    return f"{name}@{utterance.offset:.3f}" if utterance.segment else name


def _print(recordings: Sequence[Any], *, as_json: bool) -> None:
    from speechgru.timed import as_record

    if as_json:
        print_json([as_record(recording) for recording in recordings])
        return
    table = Table("recording", "word", "from", "to", "confidence")
    for recording in recordings:
        name = Path(recording.audio_filepath).name
        for word in recording.words:
            table.add_row(
                name, word.text, f"{word.start_seconds:.2f} s", f"{word.end_seconds:.2f} s", f"{word.confidence:.2f}"
            )
            name = ""
    terminal.print(table)


def _print_notes(recordings: Sequence[Any]) -> None:
    for recording in recordings:
        for note in recording.record["notes"]:
            err.print(escape(f"{recording.audio_filepath}: {note}"), style="yellow", soft_wrap=True, highlight=False)


@app.command()
def segment(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder, or one .tflite file of it; or a run folder.")],
    audio: Annotated[Path, typer.Argument(help="A long recording, such as a chapter of an audiobook.")],
    text: Annotated[Path, typer.Argument(help="A file with its text, perhaps with more or less than is spoken.")],
    out: Annotated[Path, typer.Option(help="The folder to write the manifest and what was left out to.")],
    form: Annotated[str | None, typer.Option("--form", help="Which of the bundle's models to run.")] = None,
    channel: Annotated[int | None, typer.Option(min=1, help="Of several, the one to cut.")] = None,
    speaker: Annotated[str | None, typer.Option(help="Who speaks, for the manifest.")] = None,
    least_seconds: Annotated[float, typer.Option(help="An utterance is no shorter.")] = 1.0,
    most_seconds: Annotated[float, typer.Option(help="An utterance is no longer.")] = 20.0,
    as_json: JsonFlag = False,
) -> None:
    """Cut a long recording with its text into a corpus: a manifest of short utterances that training reads.

    Text that is not spoken, speech that is not in the text, and what the model does not find for sure are left out,
    and listed in NAME_left_out.json. The recording stays as it is.
    Example: `speechgru segment bundle chapter_01.mp3 chapter_01.txt --out corpus --speaker ada`
    """
    print_beginning(f"loading {bundle}")
    from speechgru.files import held, require_own_folder, require_unread
    from speechgru.utterances.manifest import require_storable

    require_own_folder(out, kind="the segments")
    require_unread([out / f"{audio.stem}.jsonl", out / f"{audio.stem}_left_out.json"], [audio, text])
    require_storable(str(audio))
    recognizer = open_recognizer(bundle, form)
    room = import_module("speechgru.align")
    with show_progress(quiet=as_json) as progress:
        done = room.segment(
            recognizer,
            audio,
            text,
            channel=channel,
            least_seconds=least_seconds,
            most_seconds=most_seconds,
            progress=progress,
        )
    if not done.segments:
        raise UserError(f"{audio}: no sentence of {text} was found for sure; is it the recording's text?")
    with held(out):
        manifest = room.write_corpus(done, audio, out, speaker=speaker, channel=channel)
    kept = sum(one.duration for one in done.segments)
    texts = [one for one in done.left_out if one["kind"] == "text"]
    sounds = [one for one in done.left_out if one["kind"] == "sound"]
    if as_json:
        print_json(
            {
                "manifest": str(manifest),
                "segments": len(done.segments),
                "seconds": round(kept, 3),
                "duration": done.duration,
                "left_out": done.left_out,
            }
        )
        return
    table = Table("", "count", "minutes", title=str(manifest), title_justify="left")
    table.add_row("utterances", f"{len(done.segments):,}", f"{kept / 60:.1f} of {done.duration / 60:.1f}")
    table.add_row("left out: text", f"{len(texts):,}", "")
    table.add_row("left out: speech", f"{len(sounds):,}", f"{sum(one['duration'] for one in sounds) / 60:.1f}")
    terminal.print(table)
    print_next("check", manifest)


@app.command()
def splice(
    manifests: Annotated[list[Path], typer.Argument(help="Recordings of people, with what they say; several may be.")],
    grammar: Annotated[Path, typer.Option(help="Sentence templates, a YAML file, whose words are looked for.")],
    out: Annotated[Path, typer.Option(help="The folder to write the recordings and the manifest to.")],
    utterances: Annotated[int, typer.Option(min=1, help="How many sentences.")] = 900,
    model: Annotated[
        str, typer.Option(help="Who finds the words: base, or a bundle, a run or a .tflite file that writes letters.")
    ] = "base",
    least_confidence: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="What is found with less is left out.")
    ] = 0.3,
    tight_share: Annotated[
        float,
        typer.Option(
            "--tight", min=0.0, max=1.0, help="Share of the words without their soft ends, as voice switches cut them."
        ),
    ] = 0.0,
    sample_rate: Annotated[int, typer.Option(min=4000, help="Of what is written, Hz.")] = 16000,
    seed: Annotated[int, typer.Option(min=0, help="The same gives the same recordings.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Let people say a grammar's sentences who never did: their words, cut out and joined anew.

    Words are found where people said something else; those of one speaker stay together, as far as they go. Recordings
    of one word each, such as voices' digits, can be joined too.
    Example: `speechgru splice people/train.jsonl --grammar configs/grammars/digits.yaml --out data/spliced`
    """
    print_beginning(f"reading {first_of(manifests)}")
    from speechgru.config.base_model import start_folder
    from speechgru.files import held_alone, require_own_folder, require_unread
    from speechgru.grammar import Grammar
    from speechgru.utterances.manifest import read_manifest

    require_own_folder(out, kind="the spliced sentences")
    room = import_module("speechgru.align.splicing")
    require_unread([out / room.NAME], [grammar, *manifests])
    templates = Grammar.load(grammar)
    for manifest in manifests:
        read_manifest(manifest)  # a mistake in it is told before the model is loaded
    recognizer = open_recognizer(start_folder(model), None)
    words = templates.words()
    alone = held_alone(out, activity="is splicing sentences here", advice="wait for it, or name another folder")
    with alone, show_progress(quiet=as_json) as progress:
        pieces, failed = room.find_pieces(
            recognizer, manifests, words, least_confidence=least_confidence, progress=progress
        )
        for error in failed:
            print_error(str(error))
        if failed:
            raise typer.Exit(2)
        spliced = room.splice(
            pieces,
            lambda rng: recognizer.text_rules.normalize(templates.draw(rng).text),
            out,
            num_utterances=utterances,
            sample_rate=sample_rate,
            tight_share=tight_share,
            seed=seed,
            progress=progress,
        )
    said = Counter(piece.word for piece in pieces)
    missing = sorted(
        {spoken for word in words for spoken in recognizer.text_rules.normalize(word).split()} - said.keys()
    )
    speakers = len({piece.speaker for piece in pieces})
    if as_json:
        record = {"manifest": str(spliced), "utterances": utterances, "speakers": speakers, "words": dict(said)}
        record["missing"] = missing
        print_json(record)
        return
    terminal.print(
        f"{utterances:,} sentences of the words of {counted(speakers, 'speaker')}: {spliced}", soft_wrap=True
    )
    table = Table("word", "found")
    for word, count in sorted(said.items(), key=lambda item: (item[1], item[0])):
        table.add_row(word, f"{count:,}")
    terminal.print(table)
    if missing:
        what = f"nobody says {shorten(', '.join(missing))}: no sentence has {'it' if len(missing) == 1 else 'them'}"
        err.print(escape(what), style="yellow", soft_wrap=True, highlight=False)
    print_next("check", spliced)
