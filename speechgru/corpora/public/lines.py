"""Tables as corpora have them: an identifier and a text a line, cells between tabs, segments (STM)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.errors import CorpusError
from speechgru.files import describe_undecodable, read_text, split_lines


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text that are not empty, with their numbers.

    Raises:
        CorpusError: it is missing or cannot be read.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; unpack the corpus anew") from None
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: {describe_undecodable(error)}; unpack the corpus anew") from error
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); unpack the corpus anew") from error
    return [(number, line) for number, line in enumerate(split_lines(text), start=1) if line.strip()]


def read_pairs(path: Path, *, separator: str | None = None) -> Iterator[tuple[str, str]]:
    """An identifier and a text a line, as in LibriSpeech's `.trans.txt`; the text may be empty.

    Args:
        path: the file.
        separator: what stands between them; None is white space.

    Raises:
        CorpusError: as for `read_lines`.
    """
    for _, line in read_lines(path):
        name, *text = line.strip().split(separator, maxsplit=1)
        yield name.strip(), text[0].strip() if text else ""


def read_cells(
    path: Path, *, separator: str = "\t", columns: Sequence[str] | None = None, needed: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table in which quotes are letters like others, by the names of its columns.

    Args:
        path: the file.
        separator: what stands between cells.
        columns: their names; None: the first line has them.
        needed: columns that there must be.

    Yields:
        The line's number and its cells.

    Raises:
        CorpusError: as for `read_lines`; a needed column is missing, or a row has more or fewer cells than columns.
    """
    lines = read_lines(path)
    if columns is None:
        if not lines:
            raise CorpusError(f"{path}: is empty; unpack the corpus anew")
        columns, lines = [cell.strip() for cell in lines[0][1].split(separator)], lines[1:]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise CorpusError(
            f"{path}:1: has no column {' and no '.join(missing)}, but {', '.join(columns)[:120]}; this is another table"
        )
    for number, line in lines:
        cells = line.split(separator)
        if len(cells) != len(columns):
            raise CorpusError(
                f"{path}:{number}: has {len(cells)} cells, expected {len(columns)}; the file is cut or was edited: "
                "unpack the corpus anew"
            )
        yield number, dict(zip(columns, (cell.strip() for cell in cells), strict=True))


@dataclass(frozen=True)
class StmLine:
    """A segment of a recording.

    Args:
        recording: its name without a suffix.
        channel: as written, such as `1` or `A`.
        speaker: who speaks.
        start: seconds.
        end: seconds.
        labels: what stands in `<...>`, such as `o,f0,male`; empty where nothing does.
        text: what is said, with the corpus's own marks.
        line: the line's number.
    """

    recording: str
    channel: str
    speaker: str
    start: float
    end: float
    labels: str
    text: str
    line: int


def read_stm(path: Path) -> Iterator[StmLine]:
    """The segments of a file in NIST's form STM; its comments (`;;`) are passed over.

    Raises:
        CorpusError: as for `read_lines`; a line is no segment.
    """
    for number, line in read_lines(path):
        if line.startswith(";;"):
            continue
        cells = line.split(maxsplit=5)
        try:
            recording, channel, speaker, start, end = cells[:5]
            times = float(start), float(end)
        except ValueError:
            raise CorpusError(
                f"{path}:{number}: expected a recording, a channel, a speaker, a start and an end, got "
                f"{line[:60]!r}; unpack the corpus anew"
            ) from None
        rest = cells[5] if len(cells) > 5 else ""
        labels, closing, text = rest.removeprefix("<").partition(">") if rest.startswith("<") else ("", "", rest)
        if rest.startswith("<") and not closing:
            labels, text = "", rest
        yield StmLine(recording, channel, speaker, *times, labels, text.strip(), number)
