"""What is asked before a sweep begins or goes on: can its trials start, and is the folder its own?"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from speechgru.config.beginning import require_beginning as require_beginning_of_run
from speechgru.config.corpus_files import SUMMARY_NAME
from speechgru.config.differences import find_differences
from speechgru.config.resuming import MAY_CHANGE_IN_A_SWEEP
from speechgru.config.sections import RunConfig
from speechgru.errors import ConfigError, UserError
from speechgru.files import room_for, sha256_of, write_json
from speechgru.tune.folder import SweepFolder, TrialFolder, read_json
from speechgru.tune.sweep_file import LoadedSweep
from speechgru.utterances.manifest import read_manifest

#: Keys that name files, which may be searched, and those that decide whether the weights of a start fit.
_FILES = (
    "data.train",
    "data.negatives",
    "data.grammar",
    "text.subword_model",
    "train.start_from",
    "augment.noise_manifest",
    "augment.reverb_manifest",
)
_START_FITS = ("model.", "features.", "data.sample_rate", "text.")


def require_same_values(trial: TrialFolder, values: dict[str, Any]) -> None:
    """Refuses a folder that holds the result of other values: the journal that knew them is gone.

    Raises:
        UserError: it does.
    """
    if trial.plan.exists() and (trial.outcome.exists() or trial.is_claimed) and trial.read_plan()["values"] != values:
        raise UserError(
            f"{trial.path}: holds a trial of other values, of which the journal does not know; move the folder away, "
            "or give another --run"
        )


def require_beginning(loaded: LoadedSweep) -> None:
    """Refuses what every trial would fail for, before there is a folder or a trial.

    A start that does not fit some values of the space alone is refused trial by trial (`Refusals`).

    Raises:
        ConfigError: no trial can start from the run that `train.start_from` names, or the grammar is missing.
        GrammarError: the grammar cannot be read.
        ManifestError: a manifest is missing, or is none.
    """
    for config in _begun(loaded):
        spoken = [path for path in (*config.data.train, config.data.dev) if path is not None]
        for path in spoken:
            if not (Path(path) / SUMMARY_NAME).is_file():  # not a folder of shards
                read_manifest(path)
        for path in (*config.data.negatives, *(path for path, _ in config.augment.manifests.values())):
            read_manifest(path, needs_text=False)
        if not any(key.startswith(_START_FITS) for key in loaded.dimensions):
            require_beginning_of_run(config)
            if config.train.freeze:
                from speechgru.train.transfer import require_layers

                require_layers(config)


def _begun(loaded: LoadedSweep) -> Iterator[RunConfig]:
    """Configurations in which each searched file has its turn."""
    searched = {key: each.listed() for key, each in loaded.dimensions.items() if key in _FILES and each.is_listed}
    first = {key: values[0] for key, values in searched.items()}
    others = [first | {key: value} for key, values in searched.items() for value in values[1:]]
    for values in (first, *others):
        with contextlib.suppress(ConfigError):  # values that do not go together are no trial's
            yield loaded.configure(values)


def require_same_sweep(folder: SweepFolder, loaded: LoadedSweep) -> bool:
    """Whether the folder is new, or holds this very sweep on this very evaluation set.

    A folder is claimed by its first trial that reached a checkpoint. One whose trials all failed before is begun anew,
    with another definition, or with the same one once the sweep had ended: what was amiss may lie in the corpus.

    Returns:
        Whether such a sweep was removed.

    Raises:
        ConfigError: it holds another sweep, or something else.
    """
    given = loaded.definition()
    given["evaluation_sha256"] = sha256_of(given["configuration"]["data"]["dev"])
    stored = read_json(folder.definition)
    if stored is None:
        written = (folder.journal, folder.status, folder.table, folder.workers, folder.trials, folder.report)
        found = [path for path in (*written, *sorted(folder.path.glob("*.yaml"))) if os.path.lexists(path)]
        if found:
            raise ConfigError(
                f"{folder.path}: holds something else than a sweep ({found[0].name}), which would be overwritten; give "
                "another --run"
            )
        write_json(folder.definition, given)
        return False
    there, here = ({**sweep, **sweep["configuration"], "configuration": None} for sweep in (stored, given))
    # Keys that were not known when the sweep began, and are not set now, mean what was done then.
    unknown = [
        f"{section}.{key}"
        for section, defaults in RunConfig().model_dump(mode="json").items()
        for key, default in defaults.items()
        if key not in there[section] and here[section][key] == default
    ]
    changed = find_differences(there, here, may_differ=(*MAY_CHANGE_IN_A_SWEEP, *unknown))
    if not folder.is_claimed and (changed or (read_json(folder.status) or {}).get("ended") is not None):
        with room_for(folder.path):
            for trial in folder.list_trials():
                shutil.rmtree(trial.path, ignore_errors=True)
            with contextlib.suppress(OSError):  # there is none, or somebody keeps something there
                folder.trials.rmdir()
            folder.journal.unlink(missing_ok=True)
        write_json(folder.definition, given)
        return True
    if changed:
        moved = any(difference.key.startswith("data.") for difference in changed)
        raise ConfigError(
            f"{folder.path}: holds another sweep: {'; '.join(map(str, changed))}. budget.trials and budget.minutes may "
            "change, all else must be the same to resume it. Give the sweep as it was, or another --run"
            + (". If the corpus has moved, put a link to it where it was, and name it as before" if moved else "")
        )
    return False
