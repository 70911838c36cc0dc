"""What a run reports while it trains: its history, TensorBoard, progress."""

from __future__ import annotations

import sys
import time
from typing import Any

import keras
import numpy as np

from speechgru.decoding import Predictor
from speechgru.progress import Progress
from speechgru.train.job import Job
from speechgru.train.phases import Outcome
from speechgru.train.state import TrainingState
from speechgru.train.tensorboard import CurveWriter, TensorBoardWriter
from speechgru.visible import counted


class TrainingLog:
    """Writes a run's records, in the chief; the other processes only report progress.

    Args:
        job: what is trained on, and where.
        progress: called after each step.
    """

    def __init__(self, job: Job, *, progress: Progress):
        self._job, self._progress = job, progress
        self._tensorboard: CurveWriter | None = None

    def open(self) -> None:
        """Begins TensorBoard's event file; until then records go to the history alone."""
        if self._job.workers.is_chief:
            self._tensorboard = self._job.open_curves()

    def close(self) -> None:
        """Ends the event file."""
        if self._tensorboard is not None:
            self._tensorboard.close()

    def record(self, state: TrainingState, kind: str, **values: Any) -> None:
        """Adds a record to `history.jsonl`, and its numbers to TensorBoard's curves.

        Args:
            state: gives the record its step and epoch.
            kind: `session`, `train`, `dev`, `dropped`, `rescaled`, `infeasible` or `end`.
            **values: its other fields, JSON-ready.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        if not self._job.workers.is_chief:
            return
        record = {"kind": kind, "step": state.step, "epoch": state.epoch, **values}
        self._job.folder.append_history(record)
        if self._tensorboard is not None:
            self._tensorboard.write_record(record)

    def record_training(self, state: TrainingState, *, learning_rate: float) -> None:
        """Records the mean loss and the speed since the last such record, and begins to collect anew.

        Args:
            state: has collected them.
            learning_rate: of its last step.
        """
        if self._job.workers.is_chief:
            self.record(
                state,
                "train",
                loss=float(np.mean(state.losses)) if state.losses else None,
                learning_rate=learning_rate,
                gradient_norm=float(np.mean(state.gradient_norms)) if state.gradient_norms else None,
                padding_share=state.padding_share,
                wait_share=state.wait_share,
                steps_per_second=state.steps_per_second,
                audio_hours_per_hour=state.audio_hours_per_hour,
                memory_mb=peak_memory_mb(),
                seconds=state.seconds,
            )
        state.losses, state.gradient_norms = [], []

    def show_examples(self, model: keras.Model, predictor: Predictor, state: TrainingState) -> None:
        """Shows in TensorBoard how a model transcribes a few dev utterances.

        Args:
            model: with the weights of `state`.
            predictor: computes what `model` computes.
            state: gives the step.

        Raises:
            AudioError: a recording can no longer be read.
        """
        if isinstance(self._tensorboard, TensorBoardWriter):
            self._tensorboard.write_examples(model, state.step, predictor=predictor)

    def report_step(self, state: TrainingState, outcome: Outcome) -> None:
        """Reports a step as progress, with its loss and the speed so far."""
        notes = [f"loss {outcome.loss:.2f}", *self._job.describe_best(state)]
        if state.timed_steps:
            notes.append(f"{state.steps_per_second:.1f} steps/s")
        if state.timed_audio_seconds:
            notes.append(f"{state.audio_hours_per_hour:,.0f} h of audio/h")
        memory_mb = peak_memory_mb()
        if memory_mb is not None:
            notes.append(f"{memory_mb:,.0f} MB")
        if state.num_dropped:
            notes.append(f"{counted(state.num_dropped, 'step')} dropped")
        self._progress("training", state.step, self._job.num_steps, ", ".join(notes))

    def scoring(self) -> Progress:
        """What reports a scoring that begins now, once it takes long enough to look like standing still."""
        began = time.monotonic()

        def report(stage: str, done: int, total: int, note: str) -> None:
            if time.monotonic() - began >= _LONG_SCORING_SECONDS:
                self._progress("scoring dev", done, total, note)

        return report


#: Seconds after which scoring is reported as a stage of its own; a shorter one does not look like standing still.
_LONG_SCORING_SECONDS = 2.0


def peak_memory_mb() -> float | None:
    """The most memory that this process has held so far, megabytes; None on Windows, which does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
