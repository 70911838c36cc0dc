"""Tables of recordings and texts, as spreadsheets, Hugging Face and Common Voice write them."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from speechgru.errors import CorpusError
from speechgru.files import describe_undecodable, open_file, read_text, split_lines
from speechgru.utterances.manifest import fault_of_channel

#: What the columns are called elsewhere, in small letters and with `_` between words; the first that is there counts.
_NAMES = {
    "file": (
        *("file", "file_name", "filename", "file_path", "filepath", "audio_filepath", "audio_file", "audio_path"),
        *("audio", "path", "wav", "wav_file", "wav_filename", "recording", "clip"),
    ),
    "text": ("text", "transcription", "transcript", "sentence", "normalized_text", "label"),
    "speaker": ("speaker", "speaker_id", "client_id", "spk", "spk_id"),
}
_DELIMITERS = ",;\t|"
#: Columns that are measured anew, and those that a row of a recording cannot have.
_MEASURED, _REFUSED = ("duration", "length"), ("offset", "slots")
#: The column of the channel's number.
_CHANNEL = "channel"
#: A number as JSON writes it: `7` and `0.5`, but not `007`, which is a name.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d+)?")


@dataclass(frozen=True)
class Row:
    """One recording of a table.

    Args:
        line: 1-based, where the row begins.
        file: what the table calls the recording; may be empty.
        text: its transcript; may be empty.
        speaker: who speaks, where the table has it.
        extra: its further columns, by their names in small letters; empty cells are left out.
        channel: of a recording with several the one that is meant, from 1 on.
    """

    line: int
    file: str
    text: str
    speaker: str | None = None
    extra: dict[str, str | int | float] = field(default_factory=dict)
    channel: int | None = None


def read_table(path: Path, *, is_recording: Callable[[str], bool] = lambda name: False) -> list[Row]:
    """Reads a table with a row for each recording.

    The first row names the columns; which character stands between them (comma, semicolon, tab, bar) shows there. A
    table of two columns may lack it, where its first cell is a recording. Cells in quotes are read as CSV has them.
    Tables with tabs have no such rule, and Common Voice's have texts with a single quote: there a cell is taken
    literally that is not in quotes from end to end.

    Args:
        path: the table, in UTF-8, or UTF-16 as Excel writes it.
        is_recording: whether a cell names a recording that there is.

    Returns:
        The rows in order, empty ones passed over. Further columns whose cells are all numbers hold numbers; a column
        `duration` is left out, because durations are measured. A column `channel` numbers channels.

    Raises:
        CorpusError: it is no such table; names file, line and fix.

    Example:
        >>> _ = Path("metadata.csv").write_text("file_name;transcription;room\\na.wav;yes;3\\n")
        >>> read_table(Path("metadata.csv"))
        [Row(line=2, file='a.wav', text='yes', speaker=None, extra={'room': 3}, channel=None)]
    """
    try:
        with open_file(path) as stream:
            if stream.read(4) == b"PK\x03\x04":
                raise CorpusError(f"{path}: is a spreadsheet's own file, not a table of text; save it as CSV in UTF-8")
        text = unicodedata.normalize("NFC", read_text(path))
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: {describe_undecodable(error)}; save it as UTF-8") from error
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror})") from error
    delimiter = _delimiter(path, text)
    lines = list(_split(path, text, delimiter))
    first = lines[0][1] if lines else []
    names = [_key(cell) for cell in first]
    if all(any(name in names for name in _NAMES[role]) for role in ("file", "text")):
        del lines[0]
    elif len(first) == 2 and is_recording(first[0]):
        names = ["file", "text"]
    else:
        raise CorpusError(
            f"{path}:1: the first row must name the columns file, text and, if you like, speaker; "
            f"got {', '.join(first)[:80] or 'nothing'}"
        )
    _require_columns(path, names)
    return _rows(path, lines, names)


def _key(cell: str) -> str:
    return re.sub(r"[\s-]+", "_", cell.strip().strip('"').lower())


def _delimiter(path: Path, text: str) -> str:
    """The character between cells: the one by which the first row names what is needed."""
    head = next((line for line in split_lines(text) if line.strip() and not _is_excels(line)), "")
    for delimiter in _DELIMITERS:
        names = {_key(cell) for cell in head.split(delimiter)}
        if names & set(_NAMES["file"]) and names & set(_NAMES["text"]):
            return delimiter
    usual = "\t" if path.suffix.lower() == ".tsv" else ","
    # Of a table without names: the only one that there is.
    there = [delimiter for delimiter in _DELIMITERS if head.count(delimiter) == 1]
    return usual if usual in there or len(there) != 1 else there[0]


def _is_excels(line: str) -> bool:
    """Whether a line is Excel's note of the delimiter, `sep=;`, and no row."""
    return line.strip().lower().startswith("sep=") and len(line.strip()) <= 5


def _split(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the line at which it begins."""
    if delimiter == "\t":
        for number, line in enumerate(io.StringIO(text), start=1):
            cells = [_unquoted(cell.strip()) for cell in line.rstrip("\r\n").split("\t")]
            if any(cells):
                yield number, cells
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any("\n" in cell or "\r" in cell for cell in cells):
                raise CorpusError(
                    f"{path}:{start}: a cell of this row ends in line {reader.line_num}; close its quote, or write the "
                    "text on one line"
                )
            if any(cells) and not (reader.line_num == 1 and _is_excels(delimiter.join(row))):
                yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(
            f"{path}:{start}: is not a proper table ({error}); a text that begins with a quote must end with one, and "
            "those inside it are doubled"
        ) from error


def _unquoted(cell: str) -> str:
    """A cell of a table with tabs without its quotes, where it is in quotes from end to end."""
    inner = cell[1:-1]
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"').strip() if is_quoted else cell


def _require_columns(path: Path, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise CorpusError(f"{path}:1: names the column {twice[0]} twice; give each a name of its own")
    for name in _REFUSED:
        if name in names:
            raise CorpusError(
                f"{path}:1: has the column {name}, which only a manifest can have: a row here is one whole recording; "
                "write a manifest (JSON Lines), or remove the column"
            )


def _rows(path: Path, lines: list[tuple[int, list[str]]], names: list[str]) -> list[Row]:
    file, text, speaker = (next((name for name in known if name in names), None) for known in _NAMES.values())
    entries = []
    for line, cells in lines:
        while len(cells) > len(names) and not cells[-1]:
            del cells[-1]  # a spreadsheet ends rows with empty cells
        if len(cells) > len(names):
            raise CorpusError(
                f"{path}:{line}: has {len(cells)} cells, the first row {len(names)}; a text with the separator in it "
                'must stand in "quotes"'
            )
        entries.append((line, dict(zip(names, cells + [""] * (len(names) - len(cells)), strict=True))))
    further = [name for name in names if name and name not in (file, text, speaker, _CHANNEL, *_MEASURED)]
    numeric = {name for name in further if all(_NUMBER.fullmatch(cells[name] or "0") for _, cells in entries)}
    return [
        Row(
            line,
            cells[file or "file"],
            cells[text or "text"],
            cells[speaker] or None if speaker else None,
            {name: _number(cells[name]) if name in numeric else cells[name] for name in further if cells[name]},
            _channel(cells.get(_CHANNEL), where=f"{path}:{line}"),
        )
        for line, cells in entries
    ]


def _channel(cell: str | None, *, where: str) -> int | None:
    if not cell:
        return None
    number = int(cell) if _NUMBER.fullmatch(cell) and "." not in cell else cell
    fault = fault_of_channel(number)
    if fault is not None:
        raise CorpusError(f"{where}: {fault}")
    return int(number)


def _number(cell: str) -> int | float:
    return float(cell) if "." in cell else int(cell)
