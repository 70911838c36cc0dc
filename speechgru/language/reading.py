"""A language model's file, whatever its form: its first bytes say which."""

from __future__ import annotations

from pathlib import Path

from speechgru.errors import LanguageError
from speechgru.files import ANY_SIZE, open_file
from speechgru.language.arpa import read_arpa, reading
from speechgru.language.compact import MAGIC, read_compact
from speechgru.language.gru import MAGIC as GRU_MARK
from speechgru.language.kenlm import MARK, read_kenlm
from speechgru.language.model import LanguageModel
from speechgru.progress import Progress, silent

_MOST_MARK = 64


def read_language_model(path: str | Path, *, progress: Progress = silent) -> LanguageModel:
    """Reads a language model over words.

    Args:
        path: an ARPA file (plain, or packed by gzip), a binary file of KenLM (`probing` or `trie`), or the compact form
            that `speechgru language convert` writes, which is opened in place.
        progress: reports what takes seconds.

    Raises:
        LanguageError: the file is missing, damaged, or of no form that can be read; says what can.
    """
    path = Path(path)
    with reading(path):
        with open_file(path, most=ANY_SIZE) as stream:
            mark = stream.read(_MOST_MARK)
        if mark.startswith(MAGIC):
            return read_compact(path)[0]
        if mark.startswith(MARK):
            return read_kenlm(path)
        if mark.startswith(GRU_MARK):
            raise LanguageError(
                f"{path}: a GRU language model, which predicts labels and lists no words; the recogniser that it was "
                "trained for takes it (--gru-language-model), and its run's history.jsonl says how well it predicts"
            )
    if not mark.strip():
        raise LanguageError(f"{path}: is empty; give a language model (ARPA, KenLM's, or .ngram)")
    return read_arpa(path, progress=progress)
