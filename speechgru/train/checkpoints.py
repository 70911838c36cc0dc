"""The states that a run can go on from: written whole, read only when every byte is right, the oldest removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.errors import BundleError
from speechgru.files import room_for
from speechgru.runs import RunFolder, load_checkpoint, save_checkpoint


class Checkpoints:
    """The checkpoints of a run folder.

    Args:
        folder: the run folder.
        keep_last: how many to keep.
    """

    def __init__(self, folder: RunFolder, *, keep_last: int):
        self._folder, self._keep_last = folder, keep_last

    def save(self, step: int, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> None:
        """Writes the state after a step and removes the oldest.

        Raises:
            UserError: the disk is full; the earlier checkpoints are intact.
        """
        save_checkpoint(self._folder.checkpoint(step), arrays, state)
        with room_for(self._folder.checkpoints):
            for path in self._folder.list_checkpoints()[self._keep_last :]:
                path.unlink(missing_ok=True)

    def load_newest(self, tell: Callable[[str], None]) -> tuple[dict[str, np.ndarray], dict[str, Any], Path] | None:
        """The newest state whose bytes are right; a damaged one is set aside as `*.damaged`.

        Args:
            tell: gets a message for each damaged one.

        Returns:
            Arrays, state and file; None where there never was a checkpoint.

        Raises:
            BundleError: all are damaged, or the run is older than this kind of checkpoint.
        """
        damaged = []
        for path in self._folder.list_checkpoints():
            try:
                return *load_checkpoint(path), path
            except BundleError as error:
                aside = path.with_suffix(".damaged")
                with room_for(aside):
                    path.replace(aside)
                damaged.append(aside.name)
                tell(f"{error}; it is set aside as {aside.name}, trying the one before")
        if damaged:
            raise BundleError(
                f"{self._folder.checkpoints}: no checkpoint is whole ({', '.join(damaged)}); to train from the start, "
                "give another --run or remove this one"
            )
        if (self._folder.checkpoints / "last.npz").exists():
            raise BundleError(
                f"{self._folder.path}: was trained by an earlier version, whose state this one cannot go on from; it "
                "can be evaluated and exported. Give another --run (train.start_from takes its weights)"
            )
        return None
