"""What commands share that give words with times: --format and --out."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgru.cli.console import err, shorten
from speechgru.errors import UserError
from speechgru.visible import counted

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
ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="With --out FOLDER: write over files of these names that are there.")
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
    is_folder = out is not None and _is_folder(out)
    found = format_of(None if is_folder else out, form)
    if found is None:
        raise UserError(f"{out}: is a folder's name, which does not say the form; add --format {'|'.join(FORMATS)}")
    if out is not None:
        (require_folder_place if is_folder else require_file_place)(out)
    return found


def require_deliverable(
    form: TimedFormat,
    out: Path | None,
    names: Sequence[str],
    *,
    reads: Iterable[str | os.PathLike[str] | None] = (),
    replace: bool = False,
) -> None:
    """Refuses what could not be delivered, before anything is computed.

    Args:
        form: what `asked_format` gave.
        out: as for `deliver`.
        names: of the recordings, without suffix.
        reads: what the command reads, which it shall not replace.
        replace: whether files in a folder may be written over, whose names nobody has typed: beside recordings there
            may be transcripts.

    Raises:
        UserError: the form holds one recording a file and there are several, two files would have one name, or one
            would replace what is read, or in a folder what is there.
    """
    from speechgru.files import require_unread

    if out is None or not _is_folder(out):
        if len(names) > 1 and not form.holds_several:
            what = "--out names a file" if out else "they would be printed one behind the other"
            raise UserError(
                f"{form.name} holds one recording a file, and these are {len(names):,} where {what}; "
                "name a folder: --out FOLDER"
            )
        if out is not None:
            require_unread([out], reads)
        return
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise UserError(f"{out}: two recordings would be written as {shorten(twice + form.suffix)}; rename one")
    paths = [out / f"{name}{form.suffix}" for name in names]
    require_unread(paths, reads)
    there = [path for path in paths if os.path.lexists(path)]
    if there and not replace:
        more = f", and {len(there) - 1:,} more would be replaced too" if len(there) > 1 else ""
        raise UserError(f"{there[0]}: is there already{more}; name another folder, or add --replace")


def _is_folder(out: Path) -> bool:
    return out.is_dir() or not out.suffix


def deliver(
    recordings: Sequence[TimedRecording], form: TimedFormat, out: Path | None, *, names: Sequence[str] | None = None
) -> None:
    """Prints recordings in a form, or writes them.

    Args:
        recordings: one or more, which `require_deliverable` let pass.
        form: what `asked_format` gave.
        out: a file; or a folder, which gets a file a recording; None prints.
        names: of the files in a folder, without suffix; else the recordings' own.
    """
    from speechgru.files import make_folder, write_text
    from speechgru.timed import timed_text

    if out is None:
        sys.stdout.write(timed_text(recordings, form.name))
        return
    if not _is_folder(out):
        write_text(out, timed_text(recordings, form.name))
        err.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)
        return
    names = names or [Path(recording.audio_filepath).stem for recording in recordings]
    make_folder(out)
    for name, recording in zip(names, recordings, strict=True):
        write_text(out / f"{name}{form.suffix}", timed_text([recording], form.name))
    files = counted(len(names), "file")
    err.print(f"wrote {files} into {out}", markup=False, highlight=False, soft_wrap=True)
