"""Writing a language model in the form that its file's name asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechgru.errors import LanguageError
from speechgru.files import require_file_place
from speechgru.language.arpa import write_arpa
from speechgru.language.compact import write_compact
from speechgru.language.ngram import NGramModel
from speechgru.progress import Progress, silent

#: What the name of a compact file, and of an ARPA file, ends in.
COMPACT_SUFFIX, ARPA_SUFFIXES = ".ngram", (".arpa", ".arpa.gz", ".lm", ".lm.gz")


def require_form(path: str | Path) -> None:
    """Refuses a file's name that says no form, or a place that cannot be written, before anything long is done.

    Raises:
        UserError: it is neither `.ngram` nor `.arpa`, or no file can be there.
    """
    if not str(path).lower().endswith((COMPACT_SUFFIX, *ARPA_SUFFIXES)):
        raise LanguageError(
            f"{path}: the name says the form of a language model; end it in {COMPACT_SUFFIX} (small, with a checksum), "
            ".arpa or .arpa.gz (text that other tools read)"
        )
    require_file_place(path)


def write_language_model(
    model: NGramModel,
    path: str | Path,
    *,
    exact: bool = False,
    facts: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> None:
    """Writes a model as its file's name says: `.ngram`, or `.arpa`, which may be packed (`.arpa.gz`).

    Args:
        model: it.
        path: the file.
        exact: of `.ngram`, whether logarithms stay float32 in place of one of 256 levels.
        facts: JSON-ready facts for people, which `.ngram` keeps.
        progress: reports the n-grams.

    Raises:
        UserError: the name says no form, or the file cannot be written.
    """
    require_form(path)
    if str(path).lower().endswith(COMPACT_SUFFIX):
        write_compact(model, path, exact=exact, facts=facts)
    else:
        write_arpa(model, path, progress=progress)
