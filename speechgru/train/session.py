"""One process's part of a run: the model, the optimizer and where they stand, from the first step or the last state."""

from __future__ import annotations

import io
import itertools
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru.audio.in_graph import error_of
from speechgru.config.sections import RunConfig
from speechgru.dataset import Corpus, make_sampler, training_batches
from speechgru.errors import ConfigError, Interrupted, UserError
from speechgru.model.build import build_model
from speechgru.model.predictor import KerasPredictor
from speechgru.process.signals import Interruption, exit_code
from speechgru.progress import Progress
from speechgru.runs import RunFolder, restore_variables, save_checkpoint
from speechgru.scoring.evaluation import error_rates
from speechgru.scoring.predictions import decode_examples
from speechgru.text import Vocabulary
from speechgru.train.checkpoints import Checkpoints
from speechgru.train.corpus_statistics import corpus_statistics
from speechgru.train.optimizers import learning_rate_at, make_optimizer
from speechgru.train.state import Standing
from speechgru.train.step import INPUTS, Batch, Outcome, TrainStep
from speechgru.train.strategies import Workers
from speechgru.train.tensorboard import Watch
from speechgru.train.transfer import freeze, start_from
from speechgru.utterances.examination import Examined

#: Steps between two lines of the training curve.
_HISTORY_EVERY = 10

#: Utterances that a message names at most; the history names all.
_NAMED = 8

#: What a process asks the others for with a step: to end now, because of a signal, a callback, or the time. They learn
#: of it as a sum over all replicas, of which there are fewer than a thousand.
_STOP, _CALLBACK, _TIME_OVER = 1, 1_000, 1_000_000


class Session:
    """A run from where it stands to its end.

    Args:
        folder: the run folder.
        config: the run's configuration.
        vocabulary: its labels.
        corpus: what to train on.
        dev_examples: what to score; empty where there is no dev set, and in processes that do not score.
        workers: the processes that train together.
        interruption: tells of signals.
        progress: told after each step.
        callbacks: Keras callbacks; an evaluation is their epoch.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        *,
        vocabulary: Vocabulary,
        corpus: Corpus,
        dev_examples: Sequence[Examined],
        workers: Workers,
        interruption: Interruption,
        progress: Progress,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ):
        self.folder, self.config, self.vocabulary, self.progress = folder, config, vocabulary, progress
        self.corpus, self.dev_examples, self.workers = corpus, list(dev_examples), workers
        self._interruption, settings = interruption, config.train
        with workers.strategy.scope():
            self.model = build_model(config, len(vocabulary), precision=settings.precision)
            freeze(self.model, settings.freeze)
            self.optimizer = make_optimizer(settings)
            self.optimizer.build(self.model.trainable_variables)
        self.step = TrainStep(self.model, self.optimizer, config=config, form=corpus.form, strategy=workers.strategy)
        #: What is scored and kept: the weights, or their running average, in full precision.
        self.shipped = build_model(config, len(vocabulary))
        self.standing = Standing.at_start(settings)
        self.num_steps = _count_steps(corpus, config=config)
        self._checkpoints = Checkpoints(folder, keep_last=settings.keep_last)
        self._predictor = KerasPredictor(self.shipped)
        self._callbacks = keras.callbacks.CallbackList(list(callbacks), model=self.model)
        self._watch: Watch | None = None

    # -- where it begins ---------------------------------------------------------------------------------------------

    def restore_or_start(self) -> None:
        """Takes up the newest whole checkpoint, or makes the first weights; all processes take the chief's."""
        arrays, state, where = {}, {}, None
        if self.workers.is_chief:
            found = self._checkpoints.load_newest(lambda message: self.progress("resuming", 0, 1, message))
            if found is not None:
                arrays, state, where = found
            else:
                self._make_first_weights()
                arrays, state = self._arrays(), self.standing.as_state()
        resumed = self.workers.share_json(where is not None)
        if self.workers.count > 1:
            arrays, state = self._share_state(arrays, state)
        if resumed or self.workers.count > 1:
            self._put(arrays, where=where or "the chief's state")
            self.standing = Standing.from_state(state, where=where)
        limit = self.config.train.max_minutes
        if self.standing.ended == "max_minutes" and (limit is None or limit > self.standing.seconds / 60.0):
            self.standing.ended = None  # more time was given
        if self.workers.is_chief:
            self.folder.cut_history(self.standing.step if resumed else -1)
        if self.standing.ended is None:
            self._record("session", resumed=resumed, replicas=self.workers.num_replicas, seconds=self.standing.seconds)

    def _make_first_weights(self) -> None:
        source = self.config.train.start_from
        if source is not None:
            transferred = start_from(source, self.model, config=self.config, vocabulary=self.vocabulary)
            if transferred.num_new and "logits" in self.config.train.freeze:
                raise ConfigError(
                    f"train.freeze holds logits, but {transferred.num_new} labels are new to {transferred.source} and "
                    f"could not be learnt ({', '.join(map(repr, transferred.entries_new[:_NAMED]))}); leave logits out"
                )
            note = f"weights of {transferred.source}"
            if transferred.num_new:
                num_labels = transferred.num_new + transferred.num_kept
                note += f"; {transferred.num_new} of {num_labels} labels are new to them"
            self.progress("starting from another run", 1, 1, note)
        elif self.config.features.normalization == "global":
            front_end = self.model.get_layer("front_end")
            statistics = corpus_statistics(front_end, self.corpus, config=self.config, progress=self.progress)
            front_end.get_layer("normalization").set_statistics(*statistics)
        for average, variable in zip(self.step.averages, self.model.trainable_variables, strict=False):
            average.assign(variable.value)

    def _share_state(self, arrays: dict[str, np.ndarray], state: dict[str, Any]) -> tuple[dict[str, np.ndarray], Any]:
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        with np.load(io.BytesIO(self.workers.share(stream.getvalue()))) as stored:
            return {name: stored[name] for name in stored.files}, self.workers.share_json(state)

    def _arrays(self) -> dict[str, np.ndarray]:
        """All that a checkpoint holds of variables."""
        parts = {"model": self.model.variables, "optimizer": self.optimizer.variables, "average": self.step.averages}
        return {f"{part}/{k}": variable.numpy() for part, held in parts.items() for k, variable in enumerate(held)}

    def _put(self, arrays: dict[str, np.ndarray], *, where: Any) -> None:
        restore_variables(self.model.variables, arrays, "model", where=where)
        restore_variables(self.optimizer.variables, arrays, "optimizer", where=where)
        restore_variables(self.step.averages, arrays, "average", where=where)

    # -- the steps ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Does the steps that are left.

        Raises:
            UserError: too many steps in a row had no finite loss or gradient.
            Interrupted: a signal came; the state is kept.
        """
        if self.standing.ended is not None:
            return
        if self.workers.is_chief:
            shown = self.dev_examples[: self.config.train.show_examples]
            self._watch = Watch(self.folder.logs, config=self.config, vocabulary=self.vocabulary, examples=shown)
        self._callbacks.on_train_begin()
        self._before, self._started = self.standing.seconds, time.monotonic()
        batches = [self._batches_of(replica) for replica in self.workers.local_replicas]
        self._interruption.renew()
        self._interruption.awaited = True
        try:
            is_first = True
            while self.standing.ended is None:
                self._do_step(batches, is_first=is_first)
                is_first = False
        finally:
            self._interruption.awaited = False
            if self._watch is not None:
                self._watch.close()
        self._callbacks.on_train_end()

    def _batches_of(self, replica: int) -> Iterator[Batch]:
        return iter(
            training_batches(
                self.corpus,
                config=self.config,
                start_step=self.standing.step,
                replica=replica,
                num_replicas=self.workers.num_replicas,
            )
        )

    def _do_step(self, batches: Sequence[Iterator[Batch]], *, is_first: bool) -> None:
        standing, settings = self.standing, self.config.train
        began, heard, faults = time.monotonic(), 0.0, _Faults()
        parts = self._fetch(batches)
        waited = time.monotonic() - began
        for given in parts:
            rows = self.step.gather(given, loss_scale=standing.loss_scale)
            for batch, (loss_B, feasible_B) in zip(given, rows, strict=True):
                faults.take(batch, loss_B, feasible_B)
                heard += self._count_frames(batch)
        outcome = self.step.reduce(asked=self._ask(), loss_scale=standing.loss_scale)
        standing.step += 1
        standing.epoch = float(parts[0][0]["epoch_B"][0])
        self._take(outcome, faults)
        if not is_first:  # that one compiles and fills the pipeline
            standing.waited += waited
            standing.trained += time.monotonic() - began
            standing.timed_steps += 1
            standing.timed_audio_seconds += heard
        standing.seconds = self._before + time.monotonic() - self._started
        interrupted = outcome.asked % _CALLBACK > 0
        ended = "callback" if outcome.asked % _TIME_OVER >= _CALLBACK else None
        ended = "max_minutes" if outcome.asked >= _TIME_OVER else ended
        if standing.step >= self.num_steps:
            ended = "max_steps" if settings.max_epochs is None else "max_epochs"
        if standing.step % _HISTORY_EVERY == 0 or ended:
            self._record_training()
        self._callbacks.on_train_batch_end(standing.step - 1, {"loss": outcome.loss})
        if self.config.data.dev is not None and (standing.step % settings.evaluate_every_steps == 0 or ended):
            ended = self._evaluate() or ended
            if ended and standing.losses:
                self._record_training()
        self._tell(outcome)
        if ended:
            self._end(ended)
        elif standing.step % settings.checkpoint_every_steps == 0 or interrupted:
            self._save()
        if interrupted and not ended:
            if self.workers.is_chief:
                self._record("end", reason="interrupted", seconds=standing.seconds)
            raise Interrupted(
                f"{self.folder.path}: stopped after step {standing.step:,} of {self.num_steps:,}, whose state is kept; "
                "the same command goes on from there",
                code=exit_code(self._interruption.received),
            )

    def _fetch(self, batches: Sequence[Iterator[Batch]]) -> list[list[Batch]]:
        """The parts of the next step, each with a batch for every replica here; all before the first is computed."""
        parts, parts_left = [], 1
        try:
            while parts_left:
                parts.append([next(iterator) for iterator in batches])
                parts_left = int(parts[-1][0]["parts_left_B"][0])
        except tf.errors.OpError as error:
            # Whatever became of a recording, the weights are good and nothing of this step has touched them.
            is_kept = self.folder.checkpoint(self.standing.step).exists()
            if error_of(error) is not None and self.workers.count == 1 and self.standing.step and not is_kept:
                self._save()
            raise
        return parts

    def _ask(self) -> int:
        limit = self.config.train.max_minutes
        asked = _STOP if self._interruption.received is not None else 0
        if getattr(self.model, "stop_training", False):
            asked += _CALLBACK
        if limit is not None and self.workers.is_chief:
            is_over = self._before + time.monotonic() - self._started >= 60.0 * limit
            asked += _TIME_OVER if is_over else 0
        return asked

    def _take(self, outcome: Outcome, faults: _Faults) -> None:
        """Lets a step reach the weights, or says why it does not."""
        standing, settings = self.standing, self.config.train
        if faults.infeasible:
            self._record("infeasible", utterances=[self.corpus.name(index) for index in faults.infeasible])
        if outcome.is_finite:
            self.step.apply(
                outcome,
                learning_rate=self._learning_rate(standing.step - 1),
                loss_scale=standing.loss_scale,
            )
            standing.take_finite(settings)
            standing.losses.append(outcome.loss)
            standing.gradient_norms.append(outcome.gradient_norm)
            return
        self.step.drop()
        if not outcome.num_utterances:
            return  # none could be spelled: told above, and no fault of the weights
        if np.isfinite(outcome.loss) and standing.take_overflow():
            self._record("rescaled", loss_scale=standing.loss_scale)
            return
        standing.num_dropped += 1
        standing.dropped_in_a_row += 1
        reason = "gradient" if np.isfinite(outcome.loss) else "loss"
        blamed = faults.not_finite or self._drawn_for(standing.step - 1)
        names = [self.corpus.name(index) for index in blamed]
        self._record("dropped", reason=reason, utterances=names)
        if standing.dropped_in_a_row >= settings.max_dropped_in_a_row:
            raise UserError(self._diagnose(reason, names))

    def _drawn_for(self, step: int) -> list[int]:
        """The utterances of a step on all replicas: a pure function of the step."""
        _, batch = next(make_sampler(self.corpus, config=self.config).batches_from(step))
        return batch.indices.tolist()

    def _diagnose(self, reason: str, names: Sequence[str]) -> str:
        settings = self.config.train
        what = {"loss": "the loss", "gradient": "the gradient (the loss is finite)"}[reason]
        advice = [f"lower train.learning_rate (now {settings.learning_rate:g}) or lengthen train.warmup_steps"]
        if settings.precision == "mixed_float16":
            advice.append("set train.precision to mixed_bfloat16 or float32")
        advice.append(f"look at the recordings of the last such batch: {', '.join(names[:_NAMED])}")
        return (
            f"{self.folder.path}: {what} of {settings.max_dropped_in_a_row} steps in a row, up to step "
            f"{self.standing.step}, is not a finite number; none of them reached the weights, and history.jsonl names "
            f"their utterances. Either {'; or '.join(advice)}. (train.max_dropped_in_a_row sets how many are borne)"
        )

    def _learning_rate(self, step: int) -> float:
        return learning_rate_at(
            step, settings=self.config.train, num_steps=self.num_steps, plateau_scale=self.standing.plateau_scale
        )

    def _count_frames(self, batch: Batch) -> float:
        """Counts a batch's padding; gives its seconds of speech."""
        lengths_B = batch[INPUTS[self.corpus.form][1]].numpy()
        self.standing.real_frames += int(lengths_B.sum(dtype=np.int64))
        self.standing.padded_frames += int(len(lengths_B) * lengths_B.max())
        unit = 1 if self.corpus.form == "samples" else self.config.hop_length
        return float(lengths_B.sum(dtype=np.int64)) * unit / self.config.data.sample_rate

    # -- what is told and kept ---------------------------------------------------------------------------------------

    def _evaluate(self) -> str | None:
        """Scores the dev set; gives the reason to end, where the score is one."""
        standing, scores = self.standing, None
        if self.workers.is_chief:
            self._fill_shipped()
            decoded = decode_examples(
                self._predictor, self.dev_examples, config=self.config, vocabulary=self.vocabulary
            )
            scores = error_rates(decoded)
        scores = self.workers.share_json(scores)
        is_best = standing.take_score(scores["wer"], settings=self.config.train)
        standing.seconds = self._before + time.monotonic() - self._started
        if self.workers.is_chief:
            self._record("dev", **scores, best=is_best, seconds=standing.seconds)
            if self._watch is not None:
                self._watch.show(self.shipped, standing.step)
            if is_best:
                self._save_best()
        logs = {"val_wer": scores["wer"], "val_cer": scores["cer"]}
        self._callbacks.on_epoch_end(standing.step // self.config.train.evaluate_every_steps, logs)
        if self.workers.share_json(bool(getattr(self.model, "stop_training", False))):
            return "callback"
        patience = self.config.train.patience
        return "patience" if patience is not None and standing.evaluations_since_best >= patience else None

    def _fill_shipped(self) -> None:
        trained = self.model.trainable_variables
        averaged = {id(variable): average for variable, average in zip(trained, self.step.averages, strict=False)}
        for shipped, variable in zip(self.shipped.variables, self.model.variables, strict=True):
            shipped.assign(averaged.get(id(variable), variable).numpy())

    def _record_training(self) -> None:
        standing = self.standing
        if self.workers.is_chief:
            self._record(
                "train",
                loss=float(np.mean(standing.losses)) if standing.losses else None,
                learning_rate=self._learning_rate(standing.step - 1),
                gradient_norm=float(np.mean(standing.gradient_norms)) if standing.gradient_norms else None,
                padding_share=standing.padding_share,
                wait_share=standing.wait_share,
                steps_per_second=standing.steps_per_second,
                audio_hours_per_hour=standing.audio_hours_per_hour,
                memory_mb=peak_memory_mb(),
                seconds=standing.seconds,
            )
        standing.losses, standing.gradient_norms = [], []

    def _record(self, kind: str, **values: Any) -> None:
        if not self.workers.is_chief:
            return
        record = {"kind": kind, "step": self.standing.step, "epoch": self.standing.epoch, **values}
        self.folder.append_history(record)
        if self._watch is not None:
            self._watch.record(record)

    def _tell(self, outcome: Outcome) -> None:
        standing = self.standing
        notes = [f"loss {outcome.loss:.2f}"]
        if standing.best_wer is not None:
            notes.append(f"best dev WER {standing.best_wer:.1%}")
        if standing.timed_steps:
            notes.append(f"{standing.steps_per_second:.1f} steps/s")
            notes.append(f"{standing.audio_hours_per_hour:,.0f} h of audio/h")
        notes.append(f"{peak_memory_mb():,.0f} MB")
        if standing.num_dropped:
            notes.append(f"{standing.num_dropped} steps dropped")
        self.progress("training", standing.step, self.num_steps, ", ".join(notes))

    def _end(self, reason: str) -> None:
        self.standing.ended = reason
        if self.config.data.dev is None and self.workers.is_chief:
            self._fill_shipped()  # nothing to choose by: the last weights are the run's
            self._save_best()
        self._record("end", reason=reason, seconds=self.standing.seconds)
        self._save()

    def _save(self) -> None:
        if self.workers.is_chief:
            self._checkpoints.save(self.standing.step, self._arrays(), self.standing.as_state())

    def _save_best(self) -> None:
        arrays = {f"model/{k}": variable.numpy() for k, variable in enumerate(self.shipped.variables)}
        save_checkpoint(self.folder.best, arrays, {"step": self.standing.step, "best_wer": self.standing.best_wer})


class _Faults:
    """Which utterances of a step something is wrong with, by their places in the corpus."""

    def __init__(self) -> None:
        self.infeasible: list[int] = []
        self.not_finite: list[int] = []

    def take(self, batch: Batch, loss_B: np.ndarray, feasible_B: np.ndarray) -> None:
        if feasible_B.all() and np.isfinite(loss_B).all():
            return
        index_B, counted_B = batch["index_B"].numpy(), batch["weight_B"].numpy() > 0
        self.infeasible += index_B[~feasible_B & counted_B].tolist()
        self.not_finite += index_B[feasible_B & counted_B & ~np.isfinite(loss_B)].tolist()


def peak_memory_mb() -> float:
    """The most memory that this process has held so far, megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _count_steps(corpus: Corpus, *, config: RunConfig) -> int:
    """The steps of the whole run."""
    settings = config.train
    if settings.max_epochs is None:
        return settings.max_steps
    if settings.batch_frames is None:
        return max(1, round(settings.max_epochs * -(-len(corpus) // settings.batch_size)))
    steps = make_sampler(corpus, config=config).batches_from(0)
    return max(1, sum(1 for _ in itertools.takewhile(lambda planned: planned[0] < settings.max_epochs, steps)))
