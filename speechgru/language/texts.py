"""Texts to train a language model on: lines of plain files, or the transcripts of manifests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechgru.errors import LanguageError
from speechgru.language.arpa import opened, reading
from speechgru.progress import Progress, silent

#: Lines between two reports of progress.
_LINES = 1 << 15


@dataclass
class TextFiles:
    """The sentences of some files, one a line; lines of which the rules leave nothing count as none.

    Args:
        paths: text files in UTF-8, plain or packed by gzip; of a manifest (`.jsonl`) the `text` of each line counts.
        normalize: the text rules, the recogniser's: a word that it writes otherwise could never be found.
        progress: reports the lines.

    Raises:
        LanguageError: while it is gone through: a file cannot be read, or a line is damaged; names both.

    Example:
        >>> _ = Path("rooms.txt").write_text("Kitchen light.\\n\\nLight ON\\n")
        >>> files = TextFiles(["rooms.txt"], str.lower)
        >>> list(files), files.num_sentences, files.num_words
        ([['kitchen', 'light.'], ['light', 'on']], 2, 4)
    """

    paths: Sequence[str | Path]
    normalize: Callable[[str], str]
    progress: Progress = silent
    num_sentences: int = field(default=0, init=False)
    num_words: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[list[str]]:
        number = 0
        for path in map(Path, self.paths):
            for _, text in numbered_texts(path):
                number += 1
                if number % _LINES == 0:
                    self.progress("reading texts", number, 0, path.name)
                words = self.normalize(text).split()
                if words:
                    self.num_sentences += 1
                    self.num_words += len(words)
                    yield words


def numbered_texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of a file, each with the number of its line, as it is written.

    Raises:
        LanguageError: see `TextFiles`.
    """
    with reading(path, "the text"), opened(path) as lines:
        yield from _texts_of(path, lines)


def _texts_of(path: Path, lines: Iterator[bytes]) -> Iterator[tuple[int, str]]:
    is_manifest = path.suffix == ".jsonl"
    for number, line in enumerate(lines, start=1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise LanguageError(
                f"{path}:{number}: the byte {line[error.start]:02X} is not UTF-8 text; save the file as UTF-8"
            ) from error
        if "\0" in text:
            raise LanguageError(f"{path}:{number}: holds a zero byte, so it is no text; give a text file, in UTF-8")
        if not is_manifest:
            yield number, text
        elif text.strip():
            yield number, _transcript(path, number, text)


def _transcript(path: Path, number: int, line: str) -> str:
    try:
        transcript = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError, RecursionError):
        transcript = None
    if not isinstance(transcript, str):
        raise LanguageError(f'{path}:{number}: a line of a manifest is an object with a "text"; mend the line')
    return transcript
