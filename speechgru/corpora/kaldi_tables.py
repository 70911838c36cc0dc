"""Kaldi's tables: a key, white space, and the rest of the line."""

from __future__ import annotations

from pathlib import Path

from speechgru.errors import CorpusError
from speechgru.files import read_text, split_lines

_ADVICE = "unpack the corpus anew"


def read_table(path: Path, *, optional: bool = False, may_be_empty: bool = False) -> dict[str, str]:
    """Reads a table.

    Args:
        path: the file.
        optional: whether a missing one is an empty one.
        may_be_empty: whether a key may stand alone, as an utterance without a word does in `text`.

    Returns:
        The values by key, in the file's order.

    Raises:
        CorpusError: it is missing, cannot be read, or has a line without a value or a key twice; names file and line.

    Example:
        >>> _ = Path("utt2spk").write_text("0011 0001\\n0021 0002\\n")
        >>> read_table(Path("utt2spk"))
        {'0011': '0001', '0021': '0002'}
    """
    try:
        lines = split_lines(read_text(path))
    except FileNotFoundError:
        if optional:
            return {}
        raise CorpusError(f"{path}: no such file; name the folder that holds train/ and test/ with --source") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}: cannot be read ({error}); {_ADVICE}") from error
    rows: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        key, *rest = line.split(maxsplit=1)[:2] or [""]
        if not key or not (rest or may_be_empty):
            raise CorpusError(f"{path}:{number}: expected a name and a value, got {line!r:.80}; {_ADVICE}")
        if key in rows:
            raise CorpusError(
                f"{path}:{number}: names {key} a second time; each stands in one line (`sort -u` where the lines are "
                "the same)"
            )
        rows[key] = rest[0].strip() if rest else ""
    return rows
