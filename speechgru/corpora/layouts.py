"""A folder of recordings: where each one's transcript is, whichever way people lay them out."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speechgru.audio.finding import find_files, suffixes
from speechgru.corpora.tables import read_table
from speechgru.errors import CorpusError
from speechgru.files import describe_undecodable, read_text, split_lines

#: The tables that are looked for first, by their names without the suffix; of others there must be one alone.
_TABLES = ("transcripts", "metadata")
_TABLE_SUFFIXES = (".csv", ".tsv")
#: Texts that are no transcript.
_ABOUT = ("readme", "license", "licence", "changelog")
_SHOWN = 5
#: Characters of a name in a message; all of them together have twice as many.
_LONG_NAME = 80


@dataclass(frozen=True)
class Entry:
    """A recording with its transcript.

    Args:
        audio: the recording.
        text: what is said, as written.
        speaker: who speaks, where known.
        extra: further fields.
        channel: the one that is meant, from 1 on; None for the average of all.
        where: the row of the table that names it, for messages.
    """

    audio: Path
    text: str
    speaker: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    channel: int | None = None
    where: str = ""


@dataclass
class Found:
    """What a folder holds.

    Args:
        entries: the recordings with a transcript, by path.
        left_out: what was left out on request: why, for each file.
        notes: what a person should know about how the folder was read.
    """

    entries: list[Entry]
    left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_layout(
    source: Path,
    *,
    table: str | None = None,
    word_folders: bool = False,
    speaker_folders: bool = False,
    skip_missing: bool = False,
) -> Found:
    """Finds the recordings of a folder and their transcripts: in a table, beside them, or in their folders' names.

    Hidden files and folders, and what a Mac adds to archives (`__MACOSX`, `._name`), are passed over.

    Args:
        source: the folder, absolute.
        table: the name of the table in it; found when None.
        word_folders: whether a recording's text is the name of its folder.
        speaker_folders: whether the first folder below `source` is named after who speaks.
        skip_missing: whether to leave out a recording without a transcript, and a transcript without a recording.

    Raises:
        CorpusError: something is not as expected; names file, line and fix.
    """
    files = find_files(source)
    audio = [path for path in files if path.suffix.lower() in suffixes()]
    if not audio:
        raise CorpusError(
            f"{source}: holds no audio file; expected recordings (.wav, .flac, .ogg, .mp3, ...), each with a .txt of "
            "the same name beside it, or a transcripts.csv"
        )
    misnamed = [path for path in audio if not _is_text(str(path))]
    if misnamed:
        raise CorpusError(
            f"{source}: the name of {some(map(ascii, map(str, misnamed)))} is not UTF-8, so that no manifest can hold "
            "it; rename the file"
        )
    texts = {_key(path.with_suffix("")): path for path in files if path.suffix.lower() == ".txt"}
    has_texts = any(_key(path.with_suffix("")) in texts for path in audio)
    chosen = None if word_folders else _choose_table(source, files, table, has_texts=has_texts)
    if chosen is not None:
        found = _read_table(chosen, audio, files, skip_missing=skip_missing)
    elif word_folders or (not (has_texts or texts) and _are_words(source, audio)):
        found = _read_word_folders(source, audio)
    else:
        found = _read_sidecars(source, audio, texts, skip_missing=skip_missing)
    if speaker_folders:
        found.entries = [_with_speaker(entry, source) for entry in found.entries]
    return found


def _key(path: Path) -> str:
    """A path as it is compared: a Mac writes accented letters of names as two characters."""
    return unicodedata.normalize("NFC", str(path))


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _choose_table(source: Path, files: list[Path], name: str | None, *, has_texts: bool) -> Path | None:
    """The table to read; None where transcripts stand beside the recordings."""
    if name is not None:
        if not os.path.isfile(source / name):
            raise CorpusError(f"{source / name}: no such table; name a file in {source}")
        return source / name
    tables = [path for path in files if path.parent == source and path.suffix.lower() in _TABLE_SUFFIXES]
    known = [path for path in tables if path.stem.lower() in _TABLES]
    # A table of another name may be about anything, where transcripts stand beside the recordings.
    candidates = known or ([] if has_texts else tables)
    if len(candidates) > 1:
        raise CorpusError(
            f"{source}: holds {' and '.join(path.name for path in candidates[:_SHOWN])}; keep one of them, or name it: "
            f"--table {candidates[0].name}"
        )
    return candidates[0] if candidates else None


def _read_sidecars(source: Path, audio: list[Path], texts: dict[str, Path], *, skip_missing: bool) -> Found:
    found, stems = Found([]), dict[str, Path]()
    for path in audio:
        other = stems.setdefault(_key(path.with_suffix("")), path)
        if other is not path:
            raise CorpusError(f"{path}: shares its transcript with {other.name}; rename one of them")
    without = [path for key, path in stems.items() if key not in texts]
    orphans = [path for key, path in texts.items() if key not in stems and not path.stem.lower().startswith(_ABOUT)]
    if skip_missing:
        found.left_out |= {str(path): "no transcript" for path in without}
        found.left_out |= {str(path): "no recording" for path in orphans}
    elif without:
        raise CorpusError(
            f"{source}: {some(without, source)}: no transcript; write each as a .txt of the same name beside the "
            "recording, list all in transcripts.csv, or leave these out (--skip-missing). Where the folder's name is "
            "what is said: --word-folders"
        )
    elif orphans:
        raise CorpusError(
            f"{source}: {some(orphans, source)}: transcript without a recording; add the recording, remove the text, "
            "or leave these out (--skip-missing)"
        )
    for key, path in stems.items():
        if key not in texts:
            continue
        lines = [line.strip() for line in split_lines(_read_text(texts[key])) if line.strip()]
        if skip_missing and not lines:
            found.left_out[str(path)] = "an empty transcript"
            continue
        if len(lines) != 1:
            raise CorpusError(
                f"{texts[key]}: has {len(lines)} lines with text, expected one: what is said in {path.name}"
            )
        found.entries.append(Entry(path, lines[0]))
    return found


def _read_text(path: Path) -> str:
    try:
        return unicodedata.normalize("NFC", read_text(path))
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: {describe_undecodable(error)}; save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from error


def _are_words(source: Path, audio: list[Path]) -> bool:
    """Whether all recordings lie in folders, several ones, that are named by words and not by numbers."""
    folders = {path.parent for path in audio}
    named = all(
        folder != source and any(map(str.isalpha, folder.name)) and not any(map(str.isdigit, folder.name))
        for folder in folders
    )
    return named and len({folder.name for folder in folders}) > 1


def _read_word_folders(source: Path, audio: list[Path]) -> Found:
    top = [path for path in audio if path.parent == source]
    if top:
        raise CorpusError(f"{source}: {some(top, source)}: lies in no folder that could be its text; move it into one")
    # Google's Speech Commands have _background_noise_, which nobody says.
    spoken = [path for path in audio if not path.parent.name.startswith("_")]
    words = sorted({path.parent.name for path in spoken})
    found = Found([Entry(path, re.sub(r"_+", " ", unicodedata.normalize("NFC", path.parent.name))) for path in spoken])
    found.left_out = {str(path): "in a folder whose name begins with _" for path in audio if path not in set(spoken)}
    found.notes.append(
        f"texts are the names of the {len(words)} folders: {some(words)}; where they are not what is said, write "
        "transcripts (transcripts.csv)"
    )
    return found


def _with_speaker(entry: Entry, source: Path) -> Entry:
    first, *below = entry.audio.relative_to(source).parts
    if entry.speaker is not None:
        raise CorpusError(
            f"{source}: the table names the speaker {entry.speaker!r} of {first}, and --speaker-folders the folder; "
            "leave one out"
        )
    speaker = unicodedata.normalize("NFC", first) if below else None
    return replace(entry, speaker=speaker)


def _read_table(table: Path, audio: list[Path], files: list[Path], *, skip_missing: bool) -> Found:
    places = _Places(table.parent, audio, files)
    rows = read_table(table, is_recording=lambda name: places.find(name) is not None)
    found, entries = Found([]), dict[tuple[Path, int | None], Entry]()
    missing: list[str] = []
    for row in rows:
        where = f"{table}:{row.line}"
        path = places.find(row.file) if row.file else None
        if not row.file or not row.text:
            if not skip_missing:
                raise CorpusError(
                    f"{where}: the cell {'text' if row.file else 'file'} is empty; fill it in, or leave the recording "
                    "out (--skip-missing)"
                )
            found.left_out[str(path or where)] = "no transcript" if row.file else "no recording"
        elif path is None:
            if os.path.isfile(os.path.join(places.folder, os.path.expanduser(row.file))):
                raise CorpusError(f"{where}: {row.file} is not among the files below {places.folder}")
            missing.append(f"{row.file} (line {row.line})")
        elif (path, row.channel) in entries:
            raise CorpusError(f"{where}: {row.file} stands a second time; keep one row of it, or name its channels")
        else:
            entries[path, row.channel] = Entry(path, row.text, row.speaker, row.extra, row.channel, where)
    listed = {path for path, _ in entries}
    without = [path for path in audio if path not in listed and str(path) not in found.left_out]
    if skip_missing:
        found.left_out |= dict.fromkeys(missing, "no recording") | {str(path): "no transcript" for path in without}
    elif missing:
        raise CorpusError(
            f"{table}: {some(missing)}: no such recording; correct the name, remove the row, or leave these out "
            "(--skip-missing)"
        )
    elif without:
        raise CorpusError(
            f"{table}: {some(without, places.folder)}: recording without a row; add its row, remove the file, or "
            "leave these out (--skip-missing)"
        )
    places_of = {path: place for place, path in enumerate(files)}
    found.entries = sorted(entries.values(), key=lambda entry: (places_of[entry.audio], entry.channel or 0))
    return found


class _Places:
    """Which recording a cell of a table names.

    Args:
        folder: the table's.
        audio: the recordings that there are, by their names.
        files: all files: what a table names by its path is a recording, whatever its name ends in.
    """

    def __init__(self, folder: Path, audio: list[Path], files: list[Path]):
        self.folder = folder
        self._by_path = {_key(path): path for path in files}
        self._by_real: dict[str, Path] | None = None
        self._by_name: dict[str, list[Path]] = {}
        for path in audio:
            relative = path.relative_to(folder) if path.is_relative_to(folder) else path
            # Also without spaces around it, which no cell of a table keeps.
            for name in {path.name, path.name.strip(), path.stem, relative.with_suffix("").as_posix()}:
                self._by_name.setdefault(unicodedata.normalize("NFC", name), []).append(path)

    def find(self, name: str) -> Path | None:
        """The recording of this path, absolute or relative to the table; or of this name, where one alone has it."""
        written = os.path.join(self.folder, os.path.expanduser(name))
        for path in (written, written.replace("\\", "/")):
            found = self._by_path.get(_key(Path(os.path.normpath(path))))
            if found is not None:
                return found
        if os.path.lexists(written):  # by another way, such as a link
            if self._by_real is None:
                self._by_real = {os.path.realpath(path): path for path in self._by_path.values()}
            return self._by_real.get(os.path.realpath(written))
        named = self._by_name.get(unicodedata.normalize("NFC", name), [])
        return named[0] if len(named) == 1 else None


def some(items: Iterable[Path | str], folder: Path | None = None) -> str:
    """The first few names, and how many more there are; paths relative to a folder.

    A long name is shown by its two ends, and of long names fewer.
    """
    names = [item.relative_to(folder).as_posix() if folder and isinstance(item, Path) else str(item) for item in items]
    shown: list[str] = []
    for name in names[:_SHOWN]:
        name = name if len(name) <= _LONG_NAME else f"{name[: _LONG_NAME // 2]}...{name[3 - _LONG_NAME // 2 :]}"
        if shown and len(", ".join([*shown, name])) > 2 * _LONG_NAME:
            break
        shown.append(name)
    more = f" and {len(names) - len(shown):,} more ({len(names):,} in all)" if len(names) > len(shown) else ""
    return f"{', '.join(shown)}{more}"
