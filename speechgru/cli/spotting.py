"""The command that listens for keywords: spot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from speechgru.cli.console import JsonFlag, app, err, print_beginning, print_error, print_json, print_next, terminal
from speechgru.errors import AudioError, UserError


@app.command()
def spot(
    bundle: Annotated[Path, typer.Argument(help="The bundle folder.")],
    audio: Annotated[
        list[Path] | None, typer.Argument(help="Recordings, or folders of them: any format, rate, length.")
    ] = None,
    keyword: Annotated[
        list[str] | None,
        typer.Option("--keyword", metavar="TEXT[=SCORE]", help="Listen for this, from this score on; may be repeated."),
    ] = None,
    form: Annotated[str | None, typer.Option(help="Which of the bundle's models to run.")] = None,
    microphone: Annotated[bool, typer.Option("--microphone", help="Listen to a microphone, until Ctrl-C.")] = False,
    device: Annotated[str | None, typer.Option(help="The microphone: a number or a part of its name.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Listen for keywords, and print each with its time and score once when it is said.

    Without --keyword all that the bundle was made for (pipelines/keywords.py), from its own scores on. From a
    microphone (extra `microphone`) each is a line, with --json a JSON object a line.
    Example: `speechgru spot build/keywords/bundle radio.flac --keyword computer=4`
    """
    if microphone == bool(audio):
        raise UserError(
            "recordings and --microphone exclude each other"
            if microphone
            else "Missing argument 'AUDIO...': give recordings, or listen to a --microphone"
        )
    if device is not None and not microphone:
        raise UserError("--device belongs to --microphone; add it")
    print_beginning(f"loading {bundle}")
    from speechgru.runtime import Recognizer
    from speechgru.runtime.transcription import files_of

    recognizer = Recognizer(bundle, form=form)
    wanted = _wanted(keyword)
    recognizer.keyword_stream(keywords=wanted)  # a mistake shows before the first sound
    if microphone:
        for found in _from_microphone(recognizer, wanted, device):
            _print(found, as_json=as_json)
        return
    records: list[dict[str, Any]] = []
    failed: list[AudioError] = []
    for path in files_of(audio or []):
        before = len(records)
        try:
            for found in _from_file(recognizer, wanted, path):
                records.append({"audio_filepath": str(path), **found})
                if not as_json:
                    _print(records[-1], as_json=False)
            if len(records) == before and not as_json:
                err.print(escape(f"{path}: none of the keywords"), highlight=False, soft_wrap=True)
        except AudioError as error:
            failed.append(error)
    if as_json:
        print_json(records)
    for mistake in failed:
        print_error(str(mistake))
    if failed:
        raise typer.Exit(2)
    asked = [word for each in keyword or [] for word in ("--keyword", each)]
    print_next("spot", bundle, "--microphone", *asked, *(["--form", form] if form else []))


def _wanted(given: list[str] | None) -> dict[str, float | None] | None:
    """The keywords with their scores, None for the bundle's; None for all of the bundle's own."""
    if not given:
        return None
    wanted: dict[str, float | None] = {}
    for entry in given:
        text, separator, score = entry.rpartition("=") if "=" in entry else (entry, "", "")
        try:
            wanted[text] = float(score) if separator else None
        except ValueError:
            raise UserError(f"expected --keyword TEXT=SCORE such as computer=4, got {entry!r}") from None
    return wanted


def _from_file(recognizer: Any, wanted: dict[str, float | None] | None, path: Any) -> Iterator[dict[str, Any]]:
    import dataclasses
    import itertools

    from speechgru.audio.reading import read_blocks

    blocks = read_blocks(path)
    first = next(blocks)
    stream = recognizer.keyword_stream(first.sample_rate, wanted)
    for block in itertools.chain([first], blocks):
        yield from map(dataclasses.asdict, stream.feed(block.samples_N))
    yield from map(dataclasses.asdict, stream.finish())


def _from_microphone(
    recognizer: Any, wanted: dict[str, float | None] | None, device: str | None
) -> Iterator[dict[str, Any]]:
    import dataclasses

    from speechgru.recording import LiveMicrophone
    from speechgru.recording.dictation import PATIENCE_SECONDS
    from speechgru.recording.microphone import MicrophoneLostError

    chosen = int(device) if device is not None and device.isdecimal() else device
    source = LiveMicrophone(sample_rate=recognizer.sample_rate, device=chosen)
    try:
        while True:
            stream = recognizer.keyword_stream(source.sample_rate, wanted)
            err.print(f"listening for {escape(', '.join(stream.keywords))}; Ctrl-C ends", highlight=False)
            try:
                for samples_N in source.blocks():
                    yield from map(dataclasses.asdict, stream.feed(samples_N))
            except MicrophoneLostError as error:
                err.print(escape(f"{error} Waiting for it (Ctrl-C ends)"), highlight=False)
                source.reopen(patience_seconds=PATIENCE_SECONDS)
    finally:
        source.close()


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found, ensure_ascii=False), flush=True)
        return
    where = f"{found['audio_filepath']}  " if "audio_filepath" in found else ""
    line = f"{where}{found['seconds']:8.2f} s  {found['keyword']}  {found['score']:.1f}"
    terminal.print(line, highlight=False, soft_wrap=True)
