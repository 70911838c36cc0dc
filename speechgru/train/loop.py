"""The step loop of training: batches, weights, dev evaluations, checkpoints, and when it ends."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from speechgru.audio.in_graph import error_of
from speechgru.errors import Interrupted, UserError
from speechgru.process.signals import Interruption, exit_code
from speechgru.train.ahead import Ahead
from speechgru.train.checkpoints import Checkpoints
from speechgru.train.job import Job
from speechgru.train.learner import Variables
from speechgru.train.log import TrainingLog
from speechgru.train.optimizers import learning_rate_at
from speechgru.train.phases import Batch, Outcome
from speechgru.train.state import TrainingState

#: Steps between two lines of the training curve.
_HISTORY_EVERY = 10

#: Utterances that a message names at most; the history names all.
_NAMED = 8

#: What a process requests of the others with a step: to end now, because of a signal, a callback, or the time. They
#: get the sum over all replicas, of which there are fewer than a thousand, so that the digits do not mix.
_STOP, _CALLBACK, _TIME_OVER = 1, 1_000, 1_000_000


class TrainingLoop(ABC):
    """Takes a run from its state to its end; what is trained gives the batches and the scores.

    Args:
        job: what is trained on, and where.
        learner: the weights, as `begin` left them.
        state: the run's state, as `begin` returned it; kept up to date.
        log: gets the records.
        checkpoints: those of the run folder.
        interruption: knows of signals.
        stop_step: the step after which to stop, None for the end of the run (`train`'s `stop_after`).
        callbacks: Keras callbacks; an evaluation is their epoch.
    """

    def __init__(
        self,
        job: Job,
        learner: Variables,
        state: TrainingState,
        *,
        log: TrainingLog,
        checkpoints: Checkpoints,
        interruption: Interruption,
        stop_step: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ):
        self.state = state
        self._job, self._learner, self._log = job, learner, log
        self._checkpoints, self._interruption, self._stop_step = checkpoints, interruption, stop_step
        self._callbacks = keras.callbacks.CallbackList(list(callbacks), model=learner.model)
        self._seconds_before, self._started = state.seconds, time.monotonic()
        self._is_compiled = False

    def run(self) -> None:
        """Does the steps that are left.

        Raises:
            UserError: too many steps in a row had no finite loss or gradient.
            Interrupted: a signal came; the state is kept.
        """
        if self.state.ended is not None:
            return
        self._log.open()
        self._callbacks.on_train_begin()
        self._seconds_before, self._started = self.state.seconds, time.monotonic()
        local_replicas = () if self._is_stop() else self._job.workers.local_replicas
        batches = [self._batches_of(replica) for replica in local_replicas]
        ahead = Ahead(lambda: self._fetch(batches))
        self._interruption.renew()
        self._interruption.awaited = True
        try:
            while self.state.ended is None:
                if self._is_stop():
                    self._stop()
                else:
                    self._do_step(ahead)
        finally:
            ahead.close()
            self._interruption.awaited = False
            self._log.close()
        self._callbacks.on_train_end()

    # -- what is trained ---------------------------------------------------------------------------------------------

    #: The dev scores that callbacks get, as `val_NAME`; the first is kept with the best weights.
    _watched: ClassVar[tuple[str, ...]]

    @abstractmethod
    def _batches_of(self, replica: int) -> Iterator[Batch]:
        """The batches of a replica without end, from the next step's on."""

    @abstractmethod
    def _drawn_for(self, step: int) -> list[int]:
        """The utterances of a step on all replicas: a pure function of the step."""

    @abstractmethod
    def _name(self, index: int) -> str:
        """What an utterance is called in messages."""

    @abstractmethod
    def _count_frames(self, batch: Batch) -> float:
        """Counts a batch's padding; returns its seconds of audio."""

    @abstractmethod
    def _score(self) -> dict[str, Any]:
        """The scores of the dev set, JSON-ready; those that are watched among them. The chief alone is asked."""

    @abstractmethod
    def _record_score(self, scores: dict[str, Any]) -> bool:
        """Records the scores in the state; returns whether they are the best so far."""

    @abstractmethod
    def _show_examples(self) -> None:
        """Shows what the weights that were just scored make of a few examples."""

    def _names(self, indices: Sequence[int]) -> list[str]:
        return [self._name(index) for index in indices]

    # -- one step ----------------------------------------------------------------------------------------------------

    def _do_step(self, ahead: Ahead[list[list[Batch]]]) -> None:
        state, settings = self.state, self._job.settings
        began, audio_seconds, faults = time.monotonic(), 0.0, _Faults()
        parts = self._take(ahead)
        waited = time.monotonic() - began
        for part in parts:
            rows = self._learner.step.gather(part, loss_scale=state.loss_scale)
            for batch, (loss_B, feasible_B) in zip(part, rows, strict=True):
                faults.add(batch, loss_B, feasible_B)
                audio_seconds += self._count_frames(batch)
        outcome = self._learner.step.reduce(asked=self._requests(), loss_scale=state.loss_scale)
        state.step += 1
        state.epoch = float(parts[0][0]["epoch_B"][0])
        self._apply(outcome, faults)
        if self._is_compiled:  # the first step compiles and fills the pipeline: its time says nothing
            state.waited += waited
            state.trained += time.monotonic() - began
            state.timed_steps += 1
            state.timed_audio_seconds += audio_seconds
        self._is_compiled = True
        state.seconds = self._seconds()
        is_interrupted = outcome.asked % _CALLBACK > 0
        ended = "callback" if outcome.asked % _TIME_OVER >= _CALLBACK else None
        ended = "max_minutes" if outcome.asked >= _TIME_OVER else ended
        if state.step >= self._job.num_steps:
            ended = "max_steps" if settings.max_epochs is None else "max_epochs"
        if state.step % _HISTORY_EVERY == 0 or ended:
            self._record_training()
        self._callbacks.on_train_batch_end(state.step - 1, {"loss": outcome.loss})
        if self._job.has_dev and (self._is_evaluation_due() or ended):
            ended = self._evaluate() or ended
            if ended and state.losses:
                self._record_training()
        self._log.report_step(state, outcome)
        if ended:
            self._end(ended)
        elif state.step % settings.checkpoint_every_steps == 0 or is_interrupted:
            self._save()
        if is_interrupted and not ended:
            self._log.record(state, "end", reason="interrupted", seconds=state.seconds)
            raise Interrupted(
                f"{self._job.folder.path}: stopped after step {state.step:,} of {self._job.num_steps:,}; the state is "
                "kept, and the same command resumes the run",
                code=exit_code(self._interruption.received),
            )

    def _fetch(self, batches: Sequence[Iterator[Batch]]) -> list[list[Batch]]:
        """The parts of the next step, each with a batch for every replica here; all before the first is computed."""
        parts: list[list[Batch]] = []
        parts_left = 1
        while parts_left:
            parts.append([next(iterator) for iterator in batches])
            parts_left = int(parts[-1][0]["parts_left_B"][0])
        return [self._learner.step.prepare(part) for part in parts]

    def _take(self, ahead: Ahead[list[list[Batch]]]) -> list[list[Batch]]:
        """What `_fetch` gives for this step; the next one's is fetched meanwhile, where the run has another."""
        following = self.state.step + 1
        try:
            return ahead.take(more=following < self._job.num_steps and following != self._stop_step)
        except tf.errors.OpError as error:
            # A recording cannot be read, but the weights are good: nothing of this step has changed them.
            is_kept = self._job.folder.checkpoint(self.state.step).exists()
            if error_of(error) is not None and self._job.workers.count == 1 and self.state.step and not is_kept:
                self._save()
            raise

    def _requests(self) -> int:
        """What this process requests of all, as a sum of `_STOP`, `_CALLBACK` and `_TIME_OVER`."""
        max_minutes = self._job.settings.max_minutes
        requests = _STOP if self._interruption.received is not None else 0
        if getattr(self._learner.model, "stop_training", False):
            requests += _CALLBACK
        if max_minutes is not None and self._job.workers.is_chief and self._seconds() >= 60.0 * max_minutes:
            requests += _TIME_OVER
        return requests

    def _apply(self, outcome: Outcome, faults: _Faults) -> None:
        """Applies a step's gradient to the weights; one that is not finite is dropped, and recorded with its reason."""
        state, settings = self.state, self._job.settings
        if faults.infeasible:
            self._log.record(state, "infeasible", utterances=self._names(faults.infeasible))
        if outcome.is_finite:
            self._learner.step.apply(
                outcome,
                learning_rate=self._learning_rate(state.step - 1),
                loss_scale=state.loss_scale,
            )
            state.record_finite_step(settings)
            state.losses.append(outcome.loss)
            state.gradient_norms.append(outcome.gradient_norm)
            return
        self._learner.step.drop()
        if not outcome.num_utterances:
            return  # all were infeasible: recorded above, and no fault of the weights
        if np.isfinite(outcome.loss) and state.handle_overflow():
            self._log.record(state, "rescaled", loss_scale=state.loss_scale)
            return
        state.num_dropped += 1
        state.dropped_in_a_row += 1
        reason = "gradient" if np.isfinite(outcome.loss) else "loss"
        names = self._names(faults.not_finite or self._drawn_for(state.step - 1))
        self._log.record(state, "dropped", reason=reason, utterances=names)
        if state.dropped_in_a_row >= settings.max_dropped_in_a_row:
            raise UserError(self._diagnose(reason, names))

    def _diagnose(self, reason: str, names: Sequence[str]) -> str:
        settings = self._job.settings
        what = {"loss": "the loss", "gradient": "the gradient (the loss is finite)"}[reason]
        # With a checkpoint the folder is this configuration's.
        where = " in another --run" if self._job.folder.is_claimed else ""
        advice = [f"lower train.learning_rate (now {settings.learning_rate:g}) or lengthen train.warmup_steps{where}"]
        if settings.precision == "mixed_float16":
            advice.append(f"set train.precision to mixed_bfloat16 or float32{where}")
        advice.append(f"look at the recordings of the last such batch: {', '.join(names[:_NAMED])}")
        return (
            f"{self._job.folder.path}: {what} of {settings.max_dropped_in_a_row} steps in a row, up to step "
            f"{self.state.step}, is not a finite number; none of them changed the weights, and history.jsonl names "
            f"their utterances. Either {'; or '.join(advice)}. (train.max_dropped_in_a_row sets how many are allowed)"
        )

    def _learning_rate(self, step: int) -> float:
        return learning_rate_at(
            step,
            settings=self._job.settings,
            num_steps=self._job.num_steps,
            plateau_scale=self.state.plateau_scale,
        )

    def _seconds(self) -> float:
        """Seconds of training so far, earlier sessions included."""
        return self._seconds_before + time.monotonic() - self._started

    # -- between steps -----------------------------------------------------------------------------------------------

    def _is_evaluation_due(self) -> bool:
        return self.state.step % self._job.settings.evaluate_every_steps == 0

    def _evaluate(self, *, at_stop: bool = False) -> str | None:
        """Scores the dev set and keeps the weights where they are the best so far.

        Args:
            at_stop: the configuration has no evaluation at this step; a resumed run undoes this one.

        Returns:
            Why the run ends, where the score or a callback ends it.
        """
        state, settings = self.state, self._job.settings
        scores = self._job.workers.share_json(self._score() if self._job.workers.is_chief else None)
        is_best = self._record_score(scores)
        state.seconds = self._seconds()
        if self._job.workers.is_chief:
            marks = {"at_stop": True} if at_stop else {}
            self._log.record(state, "dev", **scores, best=is_best, seconds=state.seconds, **marks)
            self._show_examples()
            if is_best:
                self._save_best(at_stop=at_stop)
        logs = {f"val_{name}": scores[name] for name in self._watched}
        self._callbacks.on_epoch_end(state.step // settings.evaluate_every_steps, logs)
        if self._job.workers.share_json(bool(getattr(self._learner.model, "stop_training", False))):
            return "callback"
        is_over = settings.patience is not None and state.evaluations_since_best >= settings.patience
        return "patience" if is_over else None

    def _record_training(self) -> None:
        self._log.record_training(self.state, learning_rate=self._learning_rate(self.state.step - 1))

    def _end(self, reason: str) -> None:
        self.state.ended = reason
        if not self._job.has_dev:
            self._keep_last_weights()
        self._log.record(self.state, "end", reason=reason, seconds=self.state.seconds)
        self._save()

    def _is_stop(self) -> bool:
        return self._stop_step is not None and self.state.step >= self._stop_step

    def _stop(self) -> None:
        """Ends at `stop_step`, without leaving a mark on the run that resumes from there.

        The checkpoint is written first, so that it holds the state of a run that never stopped. Only then the weights
        are scored, where the configuration has no evaluation at this step.
        """
        state = self.state
        if not self._job.folder.checkpoint(state.step).exists():
            self._save()
        if not self._job.has_dev:
            self._keep_last_weights()
        elif not self._is_evaluation_due():
            self._evaluate(at_stop=True)
        state.ended = "stop_after"
        self._log.record(state, "end", reason=state.ended, seconds=state.seconds)

    def _keep_last_weights(self) -> None:
        """Without a dev set there is nothing to choose by: the last weights are the run's."""
        if self._job.workers.is_chief:
            self._learner.ship()
            self._save_best()

    def _save(self) -> None:
        if self._job.workers.is_chief:
            self._checkpoints.save(self.state.step, self._learner.arrays(), self.state.as_record())

    def _save_best(self, *, at_stop: bool = False) -> None:
        best = f"best_{self._watched[0]}"
        record = {"step": self.state.step, best: getattr(self.state, best)}
        self._checkpoints.save_best(self._learner.shipped_arrays(), record, at_stop=at_stop)


class _Faults:
    """The faulty utterances of a step, by their places in the corpus."""

    def __init__(self) -> None:
        self.infeasible: list[int] = []
        self.not_finite: list[int] = []

    def add(self, batch: Batch, loss_B: np.ndarray, feasible_B: np.ndarray) -> None:
        """Looks through one batch.

        Args:
            batch: with `index_B` and `weight_B`; rows of weight 0 only fill up and are not counted.
            loss_B: nats.
            feasible_B: whether a row's steps can spell its labels.
        """
        if feasible_B.all() and np.isfinite(loss_B).all():
            return
        index_B, counted_B = batch["index_B"].numpy(), batch["weight_B"].numpy() > 0
        self.infeasible += index_B[~feasible_B & counted_B].tolist()
        self.not_finite += index_B[feasible_B & counted_B & ~np.isfinite(loss_B)].tolist()
