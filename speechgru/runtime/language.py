"""The language model that a bundle carries: a file beside the models, and the same bytes within each of them."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speechgru.decoding import GRULanguageScorer, LanguageScorer, LanguageWeights, Scorer
from speechgru.errors import BundleError, UserError
from speechgru.files import ANY_SIZE, open_file, sha256_of
from speechgru.language import GRULanguageModel
from speechgru.language.compact import unpack
from speechgru.runtime.tflite import read_metadata

#: The entry of a TFLite file's own metadata that holds the language model's file.
LANGUAGE_ENTRY = "speechgru_language_model"


def _ngram(content: memoryview, name: str, weights: LanguageWeights) -> Scorer:
    # The bundle's own checksum has been looked at.
    return LanguageScorer(unpack(content, name=name, verify=False)[0], weights, name)


def _gru(content: memoryview, name: str, weights: LanguageWeights) -> Scorer:
    return GRULanguageScorer(GRULanguageModel.unpack(bytes(content), name=name), weights, name)


#: What reads each kind of language model: a function of the file's bytes, its name for messages, and the weights.
KINDS: dict[str, Callable[[memoryview, str, LanguageWeights], Scorer]] = {"ngram": _ngram, "gru": _gru}


def language_of(bundle: Path, metadata: dict[str, Any], *, verify: bool = True) -> Scorer | None:
    """The scorer of the language model that a bundle carries; None where it carries none.

    Args:
        bundle: the folder, or one `.tflite` file of it.
        metadata: from `read_bundle`.
        verify: whether the file must have the checksum that it was exported with. (That of a `.tflite` file has been
            looked at when its metadata were read.)

    Raises:
        BundleError: it is missing, damaged, or of a kind that a newer version knows.
    """
    record = metadata.get("language_model")
    if record is None:
        return None
    kind = record["kind"]
    if kind not in KINDS:
        raise BundleError(
            f"{bundle}: carries a language model of the kind {kind!r:.40}, this speechgru reads {', '.join(KINDS)}; "
            "update speechgru"
        )
    try:
        weights = LanguageWeights.from_record(record["weights"])
    except UserError as error:
        raise BundleError(f"{bundle}: {error}; copy the bundle again") from error
    try:
        name, content = _content_of(bundle, record, verify=verify)
        return KINDS[kind](content, name, weights)
    except BundleError:
        raise
    except UserError as error:
        raise BundleError(f"{error}") from error
    except (OSError, ValueError) as error:
        raise BundleError(f"{bundle}: its language model cannot be read ({error}); copy the bundle again") from error


def _content_of(bundle: Path, record: dict[str, Any], *, verify: bool) -> tuple[str, memoryview]:
    """What messages name, and the bytes of the model's file: in place where it is a file of its own."""
    if bundle.is_file():
        content = read_metadata(bundle).get(LANGUAGE_ENTRY)
        if content is None:
            raise BundleError(f"{bundle}: its language model is gone from the file; copy it again, or export it again")
        return str(bundle), memoryview(content)
    path = bundle / record["file"]
    if not path.is_file():
        raise BundleError(f"{path}: is missing from the bundle; copy the folder whole")
    if verify and sha256_of(path, most=ANY_SIZE) != record["sha256"]:
        raise BundleError(f"{path}: is damaged (its checksum is wrong); copy the bundle again, or export it again")
    with open_file(path, most=ANY_SIZE) as stream:
        return str(path), memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def describe_language(record: dict[str, Any]) -> str:
    """What a bundle's metadata say of its language model, in a few words."""
    return f"{record.get('description', record['kind'])}, {record.get('size_bytes', 0) / 1000:,.0f} kB"
