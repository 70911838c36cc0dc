"""The run folder: where things lie in it, its checkpoints, its history, and where it came from."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru import jsonlines
from speechgru.errors import BundleError
from speechgru.files import atomic_path, open_file, read_text
from speechgru.visible import counted

_VERSIONS_OF = ("speechgru", "tensorflow", "tensorflow-cpu", "tensorflow-io", "keras", "numpy", "soundfile", "soxr")


@dataclass(frozen=True)
class RunFolder:
    """A run's files by name.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def vocabulary(self) -> Path:
        """The labels' characters."""
        return self.path / "vocabulary.txt"

    @property
    def words(self) -> Path:
        """Words that a run of characters knows beside them, as the base does: the vocabulary of a second head."""
        return self.path / "words.txt"

    @property
    def grammar(self) -> Path:
        """The grammar of the sentences, where `data.grammar` names one: a copy, as a record."""
        return self.path / "grammar.json"

    @property
    def provenance(self) -> Path:
        """Versions, commit, seed, command, host."""
        return self.path / "provenance.json"

    @property
    def skipped(self) -> Path:
        """JSON Lines: the utterances that were left out, with reasons."""
        return self.path / "skipped.jsonl"

    @property
    def history(self) -> Path:
        """JSON Lines: losses and dev scores by step."""
        return self.path / "history.jsonl"

    @property
    def damaged_history(self) -> Path:
        """The history as it was before its damaged lines were left out."""
        return self.path / "history_damaged.jsonl"

    @property
    def logs(self) -> Path:
        """TensorBoard's folder."""
        return self.path / "logs"

    @property
    def report(self) -> Path:
        """Scores and pages."""
        return self.path / "report"

    @property
    def rejection(self) -> Path:
        """The threshold below which texts are not accepted, and what it was chosen on; `speechgru calibrate`."""
        return self.path / "rejection.json"

    @property
    def not_better(self) -> Path:
        """Why an adapted run is no better than the one it started from; `export` refuses a run that has it."""
        return self.path / "not_better.txt"

    @property
    def best(self) -> Path:
        """The weights with the best dev score so far."""
        return self.checkpoints / "best.npz"

    @property
    def checkpoints(self) -> Path:
        """The folder of the best weights and of the states to resume from."""
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """The state after a step: weights, optimizer and position."""
        return self.checkpoints / f"step_{step:08d}.npz"

    def list_checkpoints(self) -> list[Path]:
        """The states to resume from, the newest first."""
        return sorted(self.checkpoints.glob("step_" + "[0-9]" * 8 + ".npz"), reverse=True)

    @property
    def is_claimed(self) -> bool:
        """Whether the folder holds a run with a checkpoint, be it damaged: one that another run must not overwrite."""
        kept = (*self.checkpoints.glob("[!.]*.npz"), *self.checkpoints.glob("[!.]*.damaged"))
        return self.config.exists() and bool(kept)

    @property
    def last_step(self) -> int:
        """Steps done at the newest checkpoint; 0 where there is none."""
        return max((int(path.stem.removeprefix("step_")) for path in self.list_checkpoints()), default=0)

    def require(self) -> RunFolder:
        """This folder, when it holds a run.

        Raises:
            BundleError: it does not.
        """
        if not self.config.is_file():
            if (self.path / "bundle.json").is_file():
                raise BundleError(f"{self.path}: is a bundle; name the folder of the run that it was exported from")
            raise BundleError(
                f"{self.path}: not a run folder ({self.config.name} is missing); `speechgru train` makes one"
            )
        return self

    def require_weights(self, *, newest: bool = False) -> Path:
        """The file of the weights that are used: the best ones.

        Args:
            newest: whether the newest checkpoint will do where no dev score has chosen weights yet.

        Raises:
            BundleError: there are none.
        """
        if self.best.exists():
            return self.best
        checkpoints = self.list_checkpoints()
        if not checkpoints:
            raise BundleError(f"{self.best}: no such checkpoint; train the run first")
        if newest:
            return checkpoints[0]
        raise BundleError(
            f"{self.path}: has a checkpoint after {counted(self.last_step, 'step')}, and no dev score has chosen "
            "weights yet; resume the training with the same command (`speechgru evaluate` scores that checkpoint)"
        )

    def append_history(self, record: dict[str, Any]) -> None:
        """Adds one line to the history.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        jsonlines.append(self.history, record)

    def read_history(self) -> list[dict[str, Any]]:
        """The history's records; damaged lines are left out."""
        return [record for record in jsonlines.read_records(self.history) if _has_step(record)]

    def read_rejection(self) -> dict[str, Any] | None:
        """What `rejection` holds; None where the run was not calibrated.

        Raises:
            BundleError: the file is damaged.
        """
        try:
            record = json.loads(read_text(self.rejection))
            record["threshold"] = float(record["threshold"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"{self.rejection}: is damaged ({error}); calibrate the run again") from error
        return record

    def read_provenance(self) -> dict[str, Any]:
        """What `provenance` holds; empty where it is missing or damaged."""
        try:
            record = json.loads(read_text(self.provenance))
        except (OSError, ValueError, RecursionError):
            return {}
        return record if isinstance(record, dict) else {}

    def read_training_seconds(self) -> dict[str, float] | None:
        """How long what the run heard is (`dataset.heard_seconds`); None of runs before December 2026."""
        record = self.read_provenance().get("training_seconds")
        try:
            return {name: float(record[name]) for name in ("typical", "longest")}  # type: ignore[index]
        except (KeyError, TypeError, ValueError):
            return None

    def cut_history(self, step: int) -> int:
        """Drops what a resumed run writes again: what came after `step`, and the evaluation of a stop (`at_stop`).

        Returns:
            How many whole lines were damaged; the history as it was is then kept in `damaged_history`.
        """
        lines = list(jsonlines.read_lines(self.history))
        records = [line.record for line in lines if line.record is not None and _has_step(line.record)]
        if len(records) < len(lines):
            with atomic_path(self.damaged_history) as temporary:
                shutil.copyfile(self.history, temporary)
        kept = [record for record in records if record["step"] <= step and not record.get("at_stop")]
        jsonlines.write_lines(self.history, kept)
        return len(lines) - len(records)


def _has_step(record: Mapping[str, Any]) -> bool:
    step = record.get("step")
    return isinstance(step, int) and not isinstance(step, bool)


def save_checkpoint(path: Path, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
    """Writes arrays and a JSON-ready state into one file, atomically; the file's own checksums cover every byte."""
    # In memory first: NumPy's archive, cut short by a full disk, complains on its own when it is thrown away.
    content = io.BytesIO()
    np.savez(content, **arrays, **{"state.json": np.frombuffer(json.dumps(state).encode(), np.uint8)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads what `save_checkpoint` wrote.

    Raises:
        BundleError: the file is missing or damaged.
    """
    try:
        with open_file(path) as stream, zipfile.ZipFile(stream) as archive:
            names = archive.namelist()
            damaged = archive.testzip()  # NumPy alone does not compare a checksum when a header asks for less
            if damaged is None and len(set(names)) < len(names):
                damaged = "the index"
        if damaged is not None:
            raise BundleError(f"{path}: the checkpoint is damaged (the checksum of {damaged} is wrong)")
        with open_file(path) as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return arrays, json.loads(arrays.pop("state.json").tobytes())
    except FileNotFoundError:
        raise BundleError(f"{path}: no such checkpoint; train the run first") from None
    except BundleError:
        raise
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path}: the checkpoint is damaged ({error})") from error


def restore_variables(variables: Sequence[Any], arrays: dict[str, np.ndarray], part: str, *, where: object) -> None:
    """Puts a checkpoint's arrays back into variables.

    Raises:
        BundleError: their number or shapes differ.
    """
    names = [f"{part}/{k}" for k in range(len(variables))]
    stored = sum(name.startswith(f"{part}/") for name in arrays)
    if stored != len(names) or any(arrays[n].shape != tuple(v.shape) for n, v in zip(names, variables, strict=True)):
        raise BundleError(f"{where}: the checkpoint's weights do not fit the run's configuration")
    for name, variable in zip(names, variables, strict=True):
        variable.assign(arrays[name])


def make_provenance(*, seed: int, command: Sequence[str] | None = None) -> dict[str, Any]:
    """Where an artefact came from: versions, commit, seed, command, host, time (UTC)."""
    import importlib.metadata  # reads e-mail headers: slow to import

    versions = {"python": platform.python_version()}
    for name in _VERSIONS_OF:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": list(sys.argv if command is None else command),
        "seed": seed,
        "commit": git_commit(),
        "versions": versions,
        "host": {"system": platform.platform(), "processor": platform.machine(), "cpus": os.cpu_count()},
    }


def git_commit() -> str | None:
    """The commit of the checkout that this package runs from; None where it is installed without one.

    Example:
        >>> len(git_commit() or 40 * "0")
        40
    """
    package = Path(__file__).resolve().parent
    command = ["git", "-C", str(package), "rev-parse", "--show-toplevel", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    checkout, _, commit = done.stdout.strip().rpartition("\n")
    # An environment inside somebody's own repository is not a checkout of this one.
    return commit if done.returncode == 0 and Path(checkout).resolve() == package.parent else None
