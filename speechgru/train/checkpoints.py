"""The checkpoints of a run: written atomically, verified when read, the oldest removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.errors import BundleError
from speechgru.files import atomic_path, room_for
from speechgru.runs import RunFolder, load_checkpoint, save_checkpoint

#: Beside `best.npz`, while that has the weights of an evaluation that only `stop_after` asked for.
BEST_BEFORE_STOP = "best_before_stop.npz"


class Checkpoints:
    """The checkpoints of a run folder.

    Args:
        folder: the run folder.
        keep_last: how many to keep.
    """

    def __init__(self, folder: RunFolder, *, keep_last: int):
        self._folder, self._keep_last = folder, keep_last

    def save(self, step: int, arrays: dict[str, np.ndarray], record: dict[str, Any]) -> None:
        """Writes the checkpoint of a step and removes the oldest.

        Args:
            step: steps done.
            arrays: all variables (`Learner.arrays`).
            record: the state beside them (`TrainingState.as_record`).

        Raises:
            UserError: the disk is full; the earlier checkpoints are intact.
        """
        save_checkpoint(self._folder.checkpoint(step), arrays, record)
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        """Removes all checkpoints but the newest that are kept."""
        with room_for(self._folder.checkpoints):
            for path in self._folder.list_checkpoints()[self._keep_last :]:
                path.unlink(missing_ok=True)

    def save_best(self, arrays: dict[str, np.ndarray], record: dict[str, Any], *, at_stop: bool = False) -> None:
        """Writes `best.npz`.

        Args:
            arrays: the weights.
            record: `step` and the best dev score.
            at_stop: the weights of an evaluation that only `stop_after` asked for: the ones that they replace are kept
                until `undo_stop` puts them back.

        Raises:
            UserError: the disk is full; the earlier weights are intact.
        """
        if at_stop and self._folder.best.exists() and not self._best_before_stop.exists():
            with atomic_path(self._best_before_stop) as temporary:
                temporary.write_bytes(self._folder.best.read_bytes())
        save_checkpoint(self._folder.best, arrays, record)

    def undo_stop(self) -> None:
        """Puts back the best weights that an evaluation at `stop_after` has replaced."""
        if self._best_before_stop.exists():
            with room_for(self._folder.best):
                self._best_before_stop.replace(self._folder.best)

    @property
    def _best_before_stop(self) -> Path:
        return self._folder.checkpoints / BEST_BEFORE_STOP

    def load_newest(self, report: Callable[[str], None]) -> tuple[dict[str, np.ndarray], dict[str, Any], Path] | None:
        """Reads the newest intact checkpoint; a damaged one is set aside as `*.damaged`.

        The oldest are removed that a killed process had no time for.

        Args:
            report: called with a message for each damaged one.

        Returns:
            Arrays, the state's record and the file; None where there never was a checkpoint.

        Raises:
            BundleError: all are damaged, or an earlier version wrote them.
        """
        damaged = []
        for path in self._folder.list_checkpoints():
            try:
                arrays, record = load_checkpoint(path)
            except BundleError as error:
                aside = path.with_suffix(".damaged")
                with room_for(aside):
                    path.replace(aside)
                damaged.append(aside.name)
                report(f"{error}; it is set aside as {aside.name}, trying the one before")
                continue
            self._remove_oldest()
            return arrays, record, path
        if damaged:
            raise BundleError(
                f"{self._folder.checkpoints}: no checkpoint is intact ({', '.join(damaged)}); to train from the start, "
                "give another --run or remove this one"
            )
        if (self._folder.checkpoints / "last.npz").exists():
            raise BundleError(
                f"{self._folder.path}: the run was trained by an earlier version, whose checkpoints this one cannot "
                "resume; the run can be evaluated and exported. Give another --run (train.start_from uses its weights)"
            )
        return None
