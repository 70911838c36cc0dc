"""What spoken corpora are given: engines with weights, and files of sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speechgru.errors import CorpusError
from speechgru.files import describe_undecodable, read_text, split_lines
from speechgru.text import normalize_text, quoted, words_of_marks
from speechgru.utterances.manifest import read_manifest
from speechgru.visible import counted


def texts_of(path: Path, *, option: str) -> list[str]:
    """The sentences of a manifest or of a text file, each as often as it stands there.

    Args:
        path: a manifest (`.jsonl`), or a text of a sentence a line.
        option: which option named it, such as "--others"; for messages.

    Raises:
        CorpusError: it cannot be read, holds no sentence, or one with a mark that no voice should read aloud.
        ManifestError: it is a damaged manifest.
    """
    if path.suffix in (".jsonl", ".json"):
        texts = [utterance.text for utterance in read_manifest(path)]
    else:
        try:
            texts = split_lines(read_text(path))
        except UnicodeDecodeError as error:
            raise CorpusError(f"{path}: {describe_undecodable(error)}; save it as UTF-8") from None
        except OSError as error:
            raise CorpusError(
                f"{path}: cannot be read ({error.strerror}); name a manifest or a text file with {option}"
            ) from None
    texts = [" ".join(text.split()) for text in texts if text.strip()]
    if not texts:
        raise CorpusError(f"{path}: holds no sentence; {option} takes a manifest, or a text of a sentence a line")
    marked = [(text, mark) for text in texts for mark in words_of_marks(text, normalize_text)]
    if marked:
        text, mark = marked[0]
        raise CorpusError(
            f"{path}: {quoted(text)} has the mark {mark}, which a voice would read aloud; take marks out of "
            f"{counted(len({text for text, _ in marked}), 'sentence')}, or leave the sentences out"
        )
    return texts


def parse_weights(corpus: str, engines: Sequence[str] | None) -> dict[str, float | None] | None:
    """Weights by engine: `espeak=3` -> 3.0; `espeak` alone -> None, its usual weight.

    Args:
        corpus: whose option it is; for messages.
        engines: as given; None stands for every engine that is here.

    Raises:
        CorpusError: an entry is not of that form, or an engine is named twice, or none is.

    >>> parse_weights("commands", ["espeak=3", "flite"])
    {'espeak': 3.0, 'flite': None}
    """
    if engines is None:
        return None
    weights: dict[str, float | None] = {}
    for entry in engines:
        name, separator, text = entry.partition("=")
        if name in weights:
            raise CorpusError(f"{corpus}: the voice engine {name} is given twice; give it once")
        try:
            weights[name] = float(text) if separator else None
        except ValueError:
            raise CorpusError(f"{corpus}: expected ENGINE=WEIGHT such as espeak=3, got {entry!r}") from None
    if not weights:
        raise CorpusError(f"{corpus}: engines is empty; name some, such as espeak=3,flite=1, or leave it out")
    return weights
