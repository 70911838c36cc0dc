"""Corpora: one module each, from a raw folder, a download or nothing to manifests of train, dev and test."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.corpora import folder, fsdd, synthetic
from speechgru.errors import CorpusError
from speechgru.progress import Progress, silent

__all__ = ["CORPORA", "Corpus", "prepare"]

_COMMON = ("out", "source", "seed", "progress")


@dataclass(frozen=True)
class Corpus:
    """A corpus that can be prepared.

    Args:
        name: as given on the command line.
        summary: one line for people.
        prepare: the module's function, see `prepare` for what all of them take.
    """

    name: str
    summary: str
    prepare: Callable[..., dict[str, Path]]

    @property
    def options(self) -> dict[str, Any]:
        """The options that this corpus alone takes, each with its default."""
        parameters = inspect.signature(self.prepare).parameters
        return {name: parameter.default for name, parameter in parameters.items() if name not in _COMMON}


#: The corpora by name.
CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus("synthetic", "household commands and digits, spoken offline by eSpeak NG", synthetic.prepare),
        Corpus("fsdd", "Free Spoken Digit Dataset: 3,000 recordings of digits, and connected digits", fsdd.prepare),
        Corpus("folder", "your own recordings, with .txt files beside them or a transcripts.csv", folder.prepare),
    )
}


def prepare(
    corpus: str,
    out: str | Path,
    *,
    source: str | Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    **options: Any,
) -> dict[str, Path]:
    """Prepares a corpus: writes `train.jsonl`, `dev.jsonl`, `test.jsonl` and what audio they need into a folder.

    Args:
        corpus: a name of `CORPORA`.
        out: the folder to write; made when it is missing.
        source: the raw corpus, for those that have one.
        seed: for whatever is drawn by chance.
        progress: told how far it is.
        **options: what `CORPORA[corpus].options` lists.

    Returns:
        The manifests by split: "train", "dev", "test" and what else the corpus writes.

    Raises:
        CorpusError: the corpus or an option is not known, or the corpus cannot be prepared.
    """
    if corpus not in CORPORA:
        near = difflib.get_close_matches(corpus, CORPORA, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise CorpusError(f"no corpus is named {corpus!r}; {hint}known are {', '.join(CORPORA)}")
    known = CORPORA[corpus].options
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            takes = ", ".join(known) if known else "no option"
            raise CorpusError(f"{corpus}: takes no option {option!r}{hint}; it takes {takes}")
    out = Path(out).absolute()
    source = None if source is None else Path(source).absolute()
    return CORPORA[corpus].prepare(out, source=source, seed=seed, progress=progress, **options)
