"""Why a trial is refused before it is trained: its values, its parameters, or the size of its file."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechgru.config.beginning import require_beginning
from speechgru.config.load import save_config
from speechgru.config.sections import RunConfig
from speechgru.errors import BundleError, ConfigError, TextError, UserError
from speechgru.runs import RunFolder, save_checkpoint
from speechgru.tune.sweep_file import LoadedSweep, dev_manifest
from speechgru.utterances.examination import make_vocabulary
from speechgru.utterances.manifest import read_manifest, write_manifest

#: Bytes of a weight in the TFLite forms, at the least.
_WEIGHT_BYTES = {"none": 4, "float16": 2, "dynamic": 1, "int8": 1}
#: Megabytes of a file beside its weights, at the most; and by how much its metadata may grow in training.
_MAX_FIXED_MB, _METADATA_MB = 0.2, 0.002
#: Recordings that an untrained model is exported with.
_FEW = 4


class Refusals:
    """What the chief can see of a trial before anybody works on it.

    Args:
        loaded: the sweep.
    """

    def __init__(self, loaded: LoadedSweep):
        self._loaded = loaded
        self._num_labels: dict[str, int] = {}
        #: Why trials of a model are refused, None where they are not: what decides it is in few of a trial's keys.
        self._found: dict[str, str | None] = {}

    def reason(self, values: Mapping[str, Any]) -> str | None:
        """Why a trial need not be trained; None where it may keep the limits.

        Args:
            values: what the search chose, by dotted key.
        """
        try:
            config = self._loaded.configure(values)
        except ConfigError as error:
            return str(error)
        key = _key_of(config)
        if key not in self._found:
            self._found[key] = (
                _reason_not_to_begin(config) or self._reason_by_labels(config) or self._reason_by_parameters(config)
            )
        return self._found[key]

    def remember(self, values: Mapping[str, Any], reason: str) -> None:
        """Refuses all trials of a model of which one was refused when its file's size was known.

        Args:
            values: those of the trial.
            reason: why.
        """
        self._found[_key_of(self._loaded.configure(values))] = reason

    def _reason_by_parameters(self, config: RunConfig) -> str | None:
        limits = self._loaded.sweep.limits
        if limits is None or (limits.max_parameters is None and limits.max_size_mb is None):
            return None
        if not _is_of_manifests(config):
            return None
        parameters = self._count_parameters(config)
        if limits.max_parameters is not None and parameters > limits.max_parameters:
            return f"{parameters:,} parameters are more than max_parameters ({limits.max_parameters:,})"
        least_mb = parameters * _WEIGHT_BYTES[limits.form] / 1e6
        if limits.max_size_mb is not None and least_mb > limits.max_size_mb:
            return (
                f"{parameters:,} parameters need at least {least_mb:.3f} MB as {limits.form}, more than max_size_mb "
                f"({limits.max_size_mb:g})"
            )
        return None

    def _count_parameters(self, config: RunConfig) -> int:
        import keras

        from speechgru.model.build import build_model

        count = int(build_model(config, self._count_labels(config)).count_params())
        keras.backend.clear_session()
        return count

    def _reason_by_labels(self, config: RunConfig) -> str | None:
        """Why the transcripts do not give the labels, such as too many subwords; None where they may."""
        if config.text.unit != "subword" or not _is_of_manifests(config):
            return None
        try:
            self._count_labels(config)
        except TextError as error:
            return str(error)
        return None

    def _count_labels(self, config: RunConfig) -> int:
        key = json.dumps([config.text.model_dump(mode="json"), config.data.train, config.data.grammar])
        if key not in self._num_labels:
            lines = [line for path in config.data.train for line in read_manifest(path)]
            self._num_labels[key] = len(make_vocabulary(config, lines))
        return self._num_labels[key]


def _is_of_manifests(config: RunConfig) -> bool:
    """Whether it trains on manifests alone: shards hold a vocabulary of their own."""
    return all(Path(path).is_file() for path in config.data.train)


def _key_of(config: RunConfig) -> str:
    """What decides whether a trial is refused, and the size of its file."""
    data, train = config.data, config.train
    sections = [part.model_dump(mode="json") for part in (config.model, config.features, config.text)]
    return json.dumps([*sections, data.sample_rate, data.train, data.grammar, train.start_from, train.freeze])


def _reason_not_to_begin(config: RunConfig) -> str | None:
    """Why a trial could not begin; None where it can."""
    try:
        require_beginning(config)
        if config.train.freeze:
            from speechgru.train.transfer import require_layers

            require_layers(config)
    except UserError as error:
        return str(error)
    return None


def reason_by_size(folder: Path, config: RunConfig, *, form: str, max_size_mb: float) -> str | None:
    """Why a trial need not be trained, where its file would be too large; None where it may fit.

    An untrained model of the same shape is exported: a file's size does not depend on the values of its weights, but
    for a few digits in its metadata.

    Args:
        folder: the trial's run folder.
        config: the trial's configuration.
        form: the TFLite form whose size is limited.
        max_size_mb: the limit.
    """
    from speechgru.export import export
    from speechgru.model.build import build_model

    manifests = [Path(path) for path in config.data.train]
    # A run that has begun was found to fit; and shards hold a vocabulary of their own.
    if RunFolder(folder).config.exists() or not all(path.is_file() for path in manifests):
        return None
    for left_behind in folder.glob(".size.*"):  # by a process that was killed
        shutil.rmtree(left_behind)
    vocabulary = make_vocabulary(config, [line for path in manifests for line in read_manifest(path)])
    model = build_model(config, len(vocabulary))
    if 4e-6 * model.count_params() + _MAX_FIXED_MB < max_size_mb:
        return None
    with tempfile.TemporaryDirectory(prefix=".size.", dir=folder) as temporary:
        untrained, few = RunFolder(Path(temporary) / "run"), Path(temporary) / "few.jsonl"
        arrays = {f"model/{k}": variable.numpy() for k, variable in enumerate(model.variables)}
        save_checkpoint(untrained.best, arrays, {"step": 0, "best_wer": None})
        save_config(untrained.config, config)
        vocabulary.save(untrained.vocabulary)
        write_manifest(few, read_manifest(dev_manifest(config))[:_FEW])
        try:
            metadata = export(
                untrained.path,
                Path(temporary) / "bundle",
                quantize=[form],
                manifest=few,
                max_wer_change=1.0,
                golden_speech=False,
            )
        except BundleError:  # every rounding may change an untrained model's text; training will show the size
            return None
    size_mb = metadata["models"][form]["size_bytes"] / 1e6
    if size_mb - _METADATA_MB <= max_size_mb:
        return None
    return f"its file has {size_mb:.3f} MB as {form}, more than max_size_mb ({max_size_mb:g})"
