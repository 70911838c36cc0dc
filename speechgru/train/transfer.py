"""Training that starts from another run: its weights, a last layer for other words, layers that stay as they are.

For the person with ten minutes of recordings: a model that has seen hours of somebody else knows most of what there
is to learn, whatever the words are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.config.base_model import start_folder
from speechgru.config.beginning import known_vocabulary, new_entries, require_same_model, with_start_model
from speechgru.config.sections import RunConfig
from speechgru.errors import BundleError, ConfigError
from speechgru.model.build import AcousticModel, build_model
from speechgru.runs import RunFolder, load_checkpoint
from speechgru.scoring.predictions import load_run
from speechgru.text import BLANK_ID, Vocabulary
from speechgru.train.spelling import Spelling


@dataclass(frozen=True)
class Transferred:
    """What a model has taken over.

    Args:
        source: the run folder that it started from.
        num_kept: entries of the vocabulary whose weights were carried over; the blank, which always is, not counted.
        num_new: entries whose weights are new: `len(entries_new)`.
        entries_new: those, in the vocabulary's order.
    """

    source: Path
    num_kept: int
    num_new: int
    entries_new: tuple[str, ...]


def start_from(
    source: str | Path,
    model: AcousticModel,
    *,
    config: RunConfig,
    vocabulary: Vocabulary,
    spelling: Spelling | None = None,
) -> Transferred:
    """Gives a model the best weights of another run.

    Every layer's weights are taken over, the corpus statistics of the front end (which the other weights expect, so
    they must not be computed anew) and moving averages included. The last layer keeps those of the entries that both
    vocabularies have, and of the blank; the other entries stay as the model was made. Whole words and characters have
    nothing in common, but a run of characters may know words beside them, as the base does. The head that learns
    letters beside words takes over that of the other run, or its characters.

    Args:
        source: the other run's folder, or `base` for the one that is kept with the package.
        model: the recogniser that `build_model` made for `config` and `vocabulary`, in any precision.
        config: its configuration. `data.sample_rate`, all of `features` and all of `model` but `dropout` must be the
            other run's; and a chunked model takes a bidirectional one's weights, or the other way.
        vocabulary: what it shall write.
        spelling: the head that shall learn letters beside it; None without one.

    Returns:
        What was taken over, and what is new.

    Raises:
        ConfigError: the configurations do not fit; names every key with both values.
        UserError: the folder holds no run, or a damaged one (`load_run`).
    """
    source = start_folder(source)
    config_there, vocabulary_there, model_there = load_run(source)
    require_same_model(RunFolder(source), config_there, config)
    last, last_there = (part.encoder.logits.layer for part in (model, model_there))
    apart = {id(weight) for layer in (last, last_there) for weight in layer.weights}
    weights, weights_there = (
        [weight for weight in part.weights if id(weight) not in apart] for part in (model, model_there)
    )
    for weight, weight_there in zip(weights, weights_there, strict=True):
        weight.assign(weight_there.numpy())
    known = known_vocabulary(RunFolder(source), vocabulary.unit)
    labels = _labels(vocabulary)
    labels_there = _labels(known) if vocabulary.unit == known.unit else {}
    entries_new = tuple(new_entries(vocabulary, known))
    pairs = [(label, labels_there[entry]) for entry, label in labels.items() if entry in labels_there]
    columns, columns_there = zip((BLANK_ID, BLANK_ID), *pairs, strict=True)
    values_there = last_there.get_weights() if known.unit == vocabulary_there.unit else _word_weights(source, known)
    for weight, value_there in zip(last.weights, values_there, strict=True):
        values = weight.numpy()
        values[..., list(columns)] = value_there[..., list(columns_there)]
        weight.assign(values)
    if spelling is not None:
        _take_over_letters(spelling, source, vocabulary_there, last_there)
    return Transferred(source, num_kept=len(pairs), num_new=len(entries_new), entries_new=entries_new)


def require_layers(config: RunConfig) -> None:
    """Whether `train.freeze` names layers of the model that know something, and leaves one to train.

    Before the corpus is read.

    Raises:
        ConfigError: it does not.
    """
    names = config.train.freeze
    if not names:
        return
    freeze(build_model(with_start_model(config), num_classes=2), names)
    if config.train.start_from is None:
        raise ConfigError(
            f"train.freeze keeps {', '.join(names)} as they are, and without train.start_from they are as chance made "
            "them; set train.freeze=[], or name a run to start from"
        )


def freeze(model: AcousticModel, names: Sequence[str]) -> None:
    """Keeps layers of the encoder as they are: training changes neither their weights nor their moving averages.

    Call it before the optimizer is built and the step is traced.

    Args:
        model: the recogniser.
        names: layers with weights: `subsampling`, `norm_0`, `gru_0`, ..., `logits`.

    Raises:
        ConfigError: there is no such layer, or none is left to train.
    """
    layers = model.encoder.layers_with_weights
    known = ", ".join(layers)
    unknown = [name for name in names if name not in layers]
    if unknown:
        raise ConfigError(
            f"train.freeze: the model has no layer {', '.join(map(repr, unknown))} with weights; it has {known}"
        )
    if all(name in names or not layer.trainable for name, layer in layers.items()):
        raise ConfigError(f"train.freeze: nothing is left to train; leave at least one layer out of {known}")
    for name in names:
        layers[name].trainable = False


def _word_weights(source: Path, words: Vocabulary) -> list[np.ndarray]:
    """Kernel and bias of the words that a run of characters knows beside them.

    Raises:
        BundleError: there are none, or they are of another number of words.
    """
    folder = RunFolder(source)
    file = folder.require_weights()
    arrays, _ = load_checkpoint(file)
    try:
        weights = [arrays[f"words/{k}"] for k in range(2)]
    except KeyError as error:
        raise BundleError(f"{file}: the weights of the words in {folder.words.name} are missing") from error
    for weight in weights:
        if weight.shape[-1] != len(words):
            raise BundleError(
                f"{folder.words}: has {len(words) - 1} entries, and the weights in {file.name} are of "
                f"{weight.shape[-1] - 1}; one of the two was changed, so copy the folder anew"
            )
    return weights


def _take_over_letters(spelling: Spelling, source: Path, vocabulary_there: Vocabulary, last_there: Any) -> None:
    """Gives the second head what the other run knows of letters, if it knows any."""
    if vocabulary_there.unit == "character":
        kernel_DV, bias_V = last_there.get_weights()
        spelling.take_over(kernel_DV, bias_V, vocabulary_there.entries)
    elif vocabulary_there.unknown_label is not None:
        arrays, _ = load_checkpoint(RunFolder(source).require_weights())
        spelling.take_over(arrays["spelling/0"], arrays["spelling/1"], (" ", *vocabulary_there.letters))


def _labels(vocabulary: Vocabulary) -> dict[str, int]:
    """The labels of a model's classes, by entry, without the blank."""
    return {entry: label for label, entry in enumerate(vocabulary.written.entries, start=BLANK_ID + 1)}
