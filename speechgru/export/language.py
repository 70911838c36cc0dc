"""The language model that an export takes along: its file, once the recogniser can use it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.decoding import GRULanguageScorer, LanguageScorer, LanguageWeights, Spelling
from speechgru.files import read_file
from speechgru.language import GRULanguageModel, read_language_model
from speechgru.language.compact import is_compact, pack
from speechgru.language.gru import is_gru
from speechgru.language.kenlm import require_listed


@dataclass(frozen=True)
class Carried:
    """A language model on its way into a bundle.

    Args:
        kind: what reads it (`runtime.language.KINDS`).
        content: the bytes of its file.
        description: what it is, for people.
        weights: what it counts beside this recogniser where nothing else is said.
    """

    kind: str
    content: bytes
    description: str
    weights: LanguageWeights

    @property
    def file(self) -> str:
        """The name of its file in the bundle."""
        return f"language.{self.kind}"

    def as_record(self) -> dict[str, Any]:
        """What the bundle's metadata say of it."""
        return {
            "kind": self.kind,
            "file": self.file,
            "size_bytes": len(self.content),
            "sha256": hashlib.sha256(self.content).hexdigest(),
            "description": self.description,
            "weights": self.weights.as_record(),
        }


def open_carried(path: str | Path, weights: LanguageWeights, spelling: Spelling) -> Carried:
    """The language model of a file, for one recogniser; n-grams in any but a compact file become one.

    Args:
        path: an ARPA file, a trie of KenLM, a compact file (`.ngram`), or a GRU language model.
        weights: what it counts.
        spelling: how the recogniser writes.

    Raises:
        LanguageError: the file cannot be read, or its n-grams are not known one by one.
        TextError: its words are not written as the recogniser writes them.
    """
    if is_gru(path):
        content = read_file(path)
        gru = GRULanguageModel.unpack(content, name=str(path))
        GRULanguageScorer(gru, name=str(path)).prepared(spelling)
        return Carried("gru", content, gru.description, weights)
    model = require_listed(read_language_model(path), path)
    LanguageScorer(model, name=str(path)).prepared(spelling)
    content = read_file(path) if is_compact(path) else pack(model, facts={"made of": Path(path).name})
    return Carried("ngram", content, model.description, weights)
