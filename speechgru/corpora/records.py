"""Files of JSON records, a line each, as other tools write them: also compressed, also without a last newline."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from speechgru.errors import CorpusError
from speechgru.files import describe_undecodable, open_file

#: Characters of a line; lhotse's cuts of hours with word times have some hundred thousand.
_MOST_CHARACTERS = 64_000_000


def read_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines (`.jsonl`, `.json`, each also with `.gz`), with the number of their line.

    Raises:
        CorpusError: it is missing, damaged, cut, or has a line that is no object; names file and line.

    Example:
        >>> _ = Path("cuts.jsonl").write_text('{"id": "a"}\\n\\n{"id": "b"}')
        >>> list(read_records(Path("cuts.jsonl")))
        [(1, {'id': 'a'}), (3, {'id': 'b'})]
    """
    number = 0
    try:
        with open_file(path) as stream:
            content: Any = gzip.GzipFile(fileobj=stream) if path.suffix == ".gz" else stream
            for number, line in enumerate(iter(lambda: content.readline(_MOST_CHARACTERS), b""), start=1):
                if line.strip():
                    yield number, _parse(line, f"{path}:{number}")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}: {describe_undecodable(error)}; save it as UTF-8") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path}: is cut or damaged behind line {number} ({error}); copy it again") from error
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error})") from error


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{where}: is not JSON ({error}): {line[:60]!r}; expected an object a line") from error
    if b"\\ud" in line.lower():
        try:
            json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise CorpusError(f"{where}: holds half of a character, which UTF-8 cannot hold; correct it") from error
    if not isinstance(record, dict):
        raise CorpusError(f"{where}: expected a JSON object, got {type(record).__name__}")
    return record


def _shown(value: Any) -> str:
    """A value for a message; Python writes no integer of more than 4,300 digits."""
    try:
        return repr(value)[:40]
    except ValueError:
        return "a number of thousands of digits"


def seconds_of(record: dict[str, Any], key: str, where: str) -> float | None:
    """A number of seconds, 0 or more; None where there is none.

    Raises:
        CorpusError: the field is something else.
    """
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise CorpusError(f"{where}: {key} must be a number of seconds, 0 or more, got {_shown(value)}")
    return float(value)


def objects_of(record: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    """A list of objects; empty where there is none.

    Raises:
        CorpusError: the field is something else.
    """
    value = record.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise CorpusError(f"{where}: {key} must be a list of objects, got {value!r:.40}")
    return value


def text_of(record: dict[str, Any], key: str, where: str) -> str | None:
    """A text; None where there is none.

    Raises:
        CorpusError: the field is something else.
    """
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise CorpusError(f"{where}: {key} must be text in quotes, got {_shown(value)}")
    return value
