"""What commands share that give words with times: --format and --out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import err, shorten
from speechgru.errors import UserError

if TYPE_CHECKING:
    from speechgru.timed import TimedFormat, TimedRecording

FormatOption = Annotated[
    str | None,
    typer.Option("--format", help="textgrid, ctm, srt, vtt, json or audacity; else the one that --out ends in."),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="The file to write, or a folder for a file a recording; else it is printed."),
]


def asked_format(form: str | None, out: Path | None) -> TimedFormat | None:
    """The form that --format and --out ask for, before anything is computed; None where neither is given.

    Raises:
        UserError: there is no such form, --out does not say which, or is a place that cannot be written.
    """
    from speechgru.files import require_file_place, require_folder_place
    from speechgru.timed import FORMATS, format_of

    if form is None and out is None:
        return None
    is_folder = out is not None and (out.is_dir() or not out.suffix)
    found = format_of(None if is_folder else out, form)
    if found is None:
        raise UserError(f"{out}: is a folder's name, which does not say the form; add --format {'|'.join(FORMATS)}")
    if out is not None:
        (require_folder_place if is_folder else require_file_place)(out)
    return found


def deliver(
    recordings: Sequence[TimedRecording], form: TimedFormat, out: Path | None, *, names: Sequence[str] | None = None
) -> None:
    """Prints recordings in a form, or writes them.

    Args:
        recordings: one or more.
        form: what `asked_format` gave.
        out: a file; or a folder, which gets a file a recording; None prints.
        names: of the files in a folder, without suffix; else the recordings' own.

    Raises:
        UserError: the form holds one recording a file and there are several, or two files would have one name.
    """
    from speechgru.files import make_folder, write_text
    from speechgru.timed import timed_text

    if out is None or (out.suffix and not out.is_dir()):
        if len(recordings) > 1 and not form.holds_several:
            what = "--out names a file" if out else "they would be printed one behind the other"
            raise UserError(
                f"{form.name} holds one recording a file, and these are {len(recordings):,} where {what}; "
                "name a folder: --out FOLDER"
            )
        text = timed_text(recordings, form.name)
        if out is None:
            sys.stdout.write(text)
        else:
            write_text(out, text)
            err.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)
        return
    names = names or [Path(recording.audio_filepath).stem for recording in recordings]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise UserError(f"{out}: {len(twice):,} names would be two files', such as {shorten(twice[0])}; rename one")
    make_folder(out)
    for name, recording in zip(names, recordings, strict=True):
        write_text(out / f"{name}{form.suffix}", timed_text([recording], form.name))
    err.print(f"wrote {len(names):,} files into {out}", markup=False, highlight=False, soft_wrap=True)
