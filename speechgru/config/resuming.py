"""Whether the run in a folder resumes with a configuration; loads no TensorFlow.

A folder is claimed by its first checkpoint. Before it nothing is lost by another configuration, so a start that failed
stands in nobody's way. From then on only those keys may change that change none of the run's steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.config.base_model import BASE
from speechgru.config.corpus_files import digest_of, files_of
from speechgru.config.differences import Difference, find_differences
from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.config.sizing import SIZED_KEYS, is_set
from speechgru.config.strict_yaml import read_yaml
from speechgru.errors import ConfigError
from speechgru.runs import RunFolder

#: Keys that change nothing about a step.
_NEVER_COUNT = (
    "data.num_workers",
    "data.cache_folder",
    "data.cache_gigabytes",
    "data.service",
    "data.max_skipped_share",
    "train.max_dropped_in_a_row",
    "train.checkpoint_every_steps",
    "train.keep_last",
    "train.show_examples",
)
#: And those that change rounding alone, or only say when a run ends, or what travels with it.
_MAY_CHANGE = (
    *_NEVER_COUNT,
    "data.grammar",
    "text.language",
    "train.deterministic",
    "train.ctc",
    "train.max_minutes",
    "train.patience",
)
#: What may change between the trials of a sweep.
MAY_CHANGE_IN_A_SWEEP = (*_NEVER_COUNT, "train.accumulate")
#: The length of a run.
_LENGTHS = ("train.max_steps", "train.max_epochs")


@dataclass(frozen=True)
class Resumption:
    """What a run goes on with, or begins with.

    Args:
        config: the given configuration, completed by what the run in the folder has chosen before.
        kept: the keys that the run has given, with their values: another process of the same training needs them.
        notes: what a person should know of it, a sentence each.
    """

    config: RunConfig
    kept: Mapping[str, Any]
    notes: Sequence[str]


def resume(folder: RunFolder, config: RunConfig) -> Resumption:
    """Completes a configuration from the run in a folder, and refuses one that this run cannot go on with.

    Nothing is written. A key that the run's version did not know keeps what was done before there was a choice, unless
    the configuration sets it. A corpus may lie elsewhere, where its manifests hold the same utterances.

    Args:
        folder: the run folder; may be missing.
        config: the given configuration.

    Raises:
        ConfigError: the folder holds a run of another configuration, or files that are no run's; or a run of another
            length, whose learning rates would have been others.
    """
    if not folder.is_claimed:
        _require_free(folder)
        return Resumption(config, {}, ())
    stored = load_config(folder.config, stored=True)
    kept = _kept(folder, stored, config)
    config = with_keys(config, kept)
    changed = find_differences(stored.model_dump(), config.model_dump(), may_differ=_may_change(config))
    changed, moved = _sort_moved(folder, stored, config, changed)
    notes = [f"{key} lies elsewhere now, and holds the same utterances" for key in moved]
    notes += _describe_other_content(folder, stored, config)
    lengths = [difference for difference in changed if difference.key in _LENGTHS]
    others = [difference for difference in changed if difference not in lengths]
    if others:
        refused = changed if config.train.schedule == "cosine" else others
        raise ConfigError(
            f"{folder.path}: holds a run of another configuration: {'; '.join(map(str, refused))}; "
            f"give the same values to resume it, or another --run{_way_out(folder, config, others)}"
        )
    if lengths:
        notes.append(_describe_length(folder, stored, config, lengths))
    return Resumption(config, kept, tuple(notes))


def with_keys(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """A configuration with other values of some keys.

    >>> with_keys(RunConfig(), {"train.max_steps": 7}).train.max_steps
    7
    """
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, name = key.split(".")
        sections.setdefault(section, {})[name] = value
    return config.model_copy(
        update={section: getattr(config, section).model_copy(update=keys) for section, keys in sections.items()}
    )


def _require_free(folder: RunFolder) -> None:
    """Whether no file of somebody else's would be overwritten.

    `provenance.json` or a checkpoint shows that they are a run's.

    Raises:
        ConfigError: one would be.
    """
    own = (folder.config, folder.vocabulary, folder.grammar, folder.skipped, folder.history)
    found = [path.name for path in own if path.exists()]
    if found and not folder.provenance.exists() and not any(folder.checkpoints.glob("*.npz")):
        raise ConfigError(
            f"{folder.path}: holds {', '.join(found)}, and no run that wrote it; training would overwrite it, so give "
            "another --run"
        )


def _kept(folder: RunFolder, stored: RunConfig, config: RunConfig) -> dict[str, Any]:
    """The keys that nobody sets here and that the run has values for: it was sized, or its version did not know them.

    A run that was not sized keeps what it has too, so that it is not sized when it resumes.
    """
    document, _ = read_yaml(folder.config, missing="the run's configuration is gone")
    sized = folder.read_provenance().get("sized")
    sized = sized if isinstance(sized, list) else []
    kept = {}
    for key in sorted(SIZED_KEYS):
        section, name = key.split(".")
        value = getattr(getattr(stored, section), name)
        if not is_set(config, key) and (key in sized or value == getattr(getattr(config, section), name)):
            kept[key] = value
    for section in RunConfig.model_fields:
        there, here = getattr(stored, section), getattr(config, section)
        for name in type(here).model_fields.keys() - here.model_fields_set - (document.get(section) or {}).keys():
            if getattr(there, name) != getattr(here, name):
                kept[f"{section}.{name}"] = getattr(there, name)
    return kept


def _may_change(config: RunConfig) -> tuple[str, ...]:
    # Statistics over a batch are those over its parts where it is computed in parts.
    is_by_batch = config.model.normalization == "batch"
    return _MAY_CHANGE if is_by_batch else (*_MAY_CHANGE, "train.accumulate")


def _sort_moved(
    folder: RunFolder, stored: RunConfig, config: RunConfig, changed: Sequence[Difference]
) -> tuple[list[Difference], list[str]]:
    """Parts the differences that are none, because the same files lie elsewhere, from the others.

    Returns:
        The others, and the keys of what was moved.
    """
    keys = {difference.key.partition("[")[0] for difference in changed}
    there, here, known = files_of(stored), files_of(config), _known_digests(folder)
    moved = []
    for key in sorted(keys & there.keys() & here.keys()):
        digests = known.get(key) or [None] * len(there[key])
        digests = [digest or digest_of(path) for digest, path in zip(digests, there[key], strict=False)]
        if None not in digests and digests == [digest_of(path) for path in here[key]]:
            moved.append(key)
    # Once the run has begun, the weights that it started from are in its own checkpoints.
    before, now = stored.train.start_from, config.train.start_from
    is_gone = before not in (None, BASE) and now not in (None, BASE) and not Path(str(before)).exists()
    silent = {*moved, "train.start_from"} if is_gone else set(moved)
    return [difference for difference in changed if difference.key.partition("[")[0] not in silent], moved


def _describe_other_content(folder: RunFolder, stored: RunConfig, config: RunConfig) -> list[str]:
    """A note for each key whose files lie where they lay, and hold other utterances than when the run began."""
    there, here, known = files_of(stored), files_of(config), _known_digests(folder)
    same = [key for key in here if key in known and there.get(key) == here[key]]
    changed = [key for key in same if known[key] != [digest_of(path) for path in here[key]]]
    return [f"{key} holds other utterances than when the run began, which it resumes with" for key in changed]


def _known_digests(folder: RunFolder) -> dict[str, Any]:
    found = folder.read_provenance().get("corpus")
    return found if isinstance(found, dict) else {}


def _describe_length(folder: RunFolder, stored: RunConfig, config: RunConfig, lengths: Sequence[Difference]) -> str:
    """What another length does to a run.

    Raises:
        ConfigError: its schedule depends on it, or the run is longer already.
    """
    settings, step = config.train, folder.last_step
    other = f"{folder.path}: holds a run of another length: {'; '.join(map(str, lengths))}"
    if settings.schedule == "cosine":
        raise ConfigError(
            f"{other}. With train.schedule cosine every learning rate depends on the length, so that this run cannot "
            "have another. Give the same values to resume it; or, to train on from its weights, another --run with "
            f"train.start_from={folder.path}"
        )
    if settings.max_epochs is None and settings.max_steps <= step:
        raise ConfigError(f"{other}, and has done {step:,} steps already; give more, or another --run")
    note = f"the run has another length: {'; '.join(map(str, lengths))}"
    if stored.train.max_epochs is None and stored.train.max_steps <= settings.warmup_steps:
        return f"{note}; train.warmup_steps ({settings.warmup_steps:,}) was cut short to the former one"
    note += f"; with train.schedule {settings.schedule} its steps are those that it would have had from the start"
    if config.data.dev is not None and step % settings.evaluate_every_steps:
        note += f", but the dev score at step {step:,} counts for train.patience and plateaus too"
    return note


def _way_out(folder: RunFolder, config: RunConfig, changed: Sequence[Difference]) -> str:
    """What to do where files lie elsewhere, and nothing shows that they are the same."""
    moved = sorted({difference.key.partition("[")[0] for difference in changed} & files_of(config).keys())
    if not moved:
        return ""
    return (
        f". What {' and '.join(moved)} named does not hold the same utterances in the same order, or cannot be found "
        f"any more. If it is the same corpus, put a link to it where it was, or correct its path in {folder.config}"
    )
