"""What a recogniser writes, and by which text rules, without opening its model."""

from __future__ import annotations

from pathlib import Path

from speechgru.runs import RunFolder
from speechgru.runtime.bundle import is_bundle, read_bundle
from speechgru.text import TextRules, Vocabulary


def labels_of(recogniser: str | Path) -> tuple[Vocabulary, TextRules]:
    """The labels and text rules of a bundle, one file of it, or a run folder; loads no TensorFlow.

    Raises:
        BundleError, ConfigError, TextError: it is neither, or damaged; names it.
    """
    folder = RunFolder(Path(recogniser))
    if is_bundle(recogniser) or not folder.config.is_file():
        metadata = read_bundle(recogniser)
        return Vocabulary.from_record(metadata), TextRules.stored(metadata["text"])
    from speechgru.config.load import load_config

    return Vocabulary.load(folder.vocabulary), load_config(folder.config, stored=True).text.rules
