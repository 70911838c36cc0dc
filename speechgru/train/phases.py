"""The phases of a step: the gradient of a batch, in parts and on replicas where asked, and the change of the weights.

A step has three phases, so that a batch may come in parts and be judged before it reaches the weights, and one before
them that needs no weights, so that it may be done while the step before is computed:

    prepare   for each part: its features, as the encoder gets them
    gather    for each part: forward, loss, backward; the gradient of the summed loss is added up on each replica
    reduce    once: sums over the replicas; the loss, the norm of the gradient
    apply     clip, change the weights, and their running average; or `drop`, and nothing has happened

On a CPU a part's rows are computed in two towers beside each other, whose gradients are added: between two layers each
operation waits for the one before, and processors for both.

All run under `strategy.run`, so that one CPU, several GPUs and several machines are the same code. The loss is the
mean over all utterances of the batch, wherever they were computed: k parts on n replicas give what one part on one
replica gives, to float rounding (with batch normalisation each part is normalised by itself).

What is learnt, a recogniser (`step`) or a language model (`language.step`), gives the losses of a part's rows.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from speechgru import native
from speechgru.config.sections import TrainConfig
from speechgru.processors import shared_by

Batch = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Outcome:
    """What the gradient of a step looks like, before it is applied.

    Args:
        loss: mean over the utterances that have one, nats; NaN where there is none.
        gradient_norm: the norm of all gradients of that mean together, before clipping.
        num_utterances: utterances in that mean, on all replicas.
        asked: sum of what the processes gave `reduce` as `asked`, times their replicas.
    """

    loss: float
    gradient_norm: float
    num_utterances: int
    asked: int

    @property
    def is_finite(self) -> bool:
        """Whether the weights may be changed by it."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


class PhasedStep(ABC):
    """The phases of a step, traced once each.

    Args:
        optimizer: built on `trained`, made under the strategy's scope.
        settings: clipping, the average's decay.
        trained: the variables that a step changes, in the optimizer's order.
        lengths: what a prepared batch calls the lengths of its rows, by which towers share them.
        num_towers: shares of a part's rows that are computed beside each other.
        strategy: how many replicas there are; the current one when None.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        *,
        settings: TrainConfig,
        trained: Sequence[keras.Variable],
        lengths: str,
        num_towers: int,
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.optimizer, self._settings, self._lengths = optimizer, settings, lengths
        self.strategy = strategy or tf.distribute.get_strategy()
        #: Shares of a part's rows that are computed beside each other.
        self.num_towers = num_towers
        #: The variables that a step changes, in the optimizer's order.
        self.trained = list(trained)
        self._weights = [variable.value for variable in self.trained]
        self._sizes = [math.prod(weight.shape) for weight in self._weights]
        with self.strategy.scope():
            # The sums over the parts: of the gradient, one weight after the other in one row, so that a few operations
            # do for all of them, then of the loss and the utterances. Each replica has its own; nothing travels before
            # `reduce`.
            self._sums = _local(tf.zeros([sum(self._sizes) + 2]))
            #: The running average of `trained`, in their order; empty without `train.ema`.
            self.averages = [_local(weight.read_value()) for weight in self._weights] if settings.ema else []
        self._num_local = len(self.strategy.experimental_local_results(self.strategy.run(lambda: tf.constant(0))))
        prepared = self._signature() if self._is_replicated else self._prepared_signature()
        # Without AutoGraph, which parses and rewrites each function below before it is traced.
        traced = functools.partial(tf.function, autograph=False)
        self._prepare = traced(self._prepare_one, input_signature=[self._signature()])
        self._gather = traced(self._gather_all, input_signature=[[prepared] * self._num_local, _SCALAR, _FLAG])
        self._reduce = traced(self._reduce_all, input_signature=[_SCALAR])
        self._apply = traced(self._apply_all, input_signature=[_SCALAR, _SCALAR])
        #: Loss, utterances and norm of what the first replica here has gathered; None before the first part.
        self._gathered: np.ndarray | None = None

    @property
    def _is_replicated(self) -> bool:
        return self.strategy.num_replicas_in_sync > 1

    def prepare(self, batches: Sequence[Batch]) -> list[Batch]:
        """One part of the batch with its features, which depend on no weight; any thread may call it.

        Where there are several replicas each computes those of its own batch, in `gather`, and nothing is done here.

        Args:
            batches: a batch for each replica of this process (`dataset.training_batches`).
        """
        return list(batches) if self._is_replicated else [self._prepare(batch) for batch in batches]

    def gather(self, batches: Sequence[Batch], *, loss_scale: float = 1.0) -> list[tuple[np.ndarray, np.ndarray]]:
        """Adds the gradient of one part of the batch.

        Args:
            batches: a batch for each replica of this process, prepared or not.
            loss_scale: what the loss is multiplied with for the backward pass (mixed float16).

        Returns:
            For each of them `loss_B` and `feasible_B`: whether the row's steps can spell its labels. A row whose steps
            cannot has no part in the loss: there is nothing to learn from it, and the others must not suffer.
        """
        if not all(self._is_prepared(batch) for batch in batches):
            batches = self.prepare(batches)
        results = self._gather(list(batches), tf.constant(loss_scale, tf.float32), tf.constant(self._gathered is None))
        self._gathered = results[0][-1].numpy()
        return [(loss_B.numpy(), feasible_B.numpy()) for loss_B, feasible_B, _ in results]

    def reduce(self, *, asked: int = 0, loss_scale: float = 1.0) -> Outcome:
        """Sums what was gathered over all replicas.

        Args:
            asked: a number of this process that all get to know the sum of.
            loss_scale: what `gather` got.
        """
        if self._is_replicated:
            *numbers, total = (float(part) for part in self._reduce(tf.constant(asked, tf.float32)))
        else:
            numbers, total = [0.0] * 3 if self._gathered is None else self._gathered.tolist(), asked
        loss, utterances, norm = numbers
        count = max(1.0, utterances)
        return Outcome(
            loss=loss / count if utterances else math.nan,
            gradient_norm=norm / (count * loss_scale),
            num_utterances=round(utterances),
            asked=round(total),
        )

    def apply(self, outcome: Outcome, *, learning_rate: float, loss_scale: float = 1.0) -> None:
        """Changes the weights by the gathered gradient, clipped, and forgets it.

        Args:
            outcome: what `reduce` gave.
            learning_rate: of this step.
            loss_scale: what `gather` got.
        """
        clip = min(1.0, self._settings.clip_norm / max(outcome.gradient_norm, 1e-30))
        factor = clip / (max(1, outcome.num_utterances) * loss_scale)
        self._apply(tf.constant(factor, tf.float32), tf.constant(learning_rate, tf.float32))
        self.drop()

    def drop(self) -> None:
        """Forgets the gathered gradient: the next part is the first one. The weights stay as they are."""
        self._gathered = None

    # -- what is learnt ----------------------------------------------------------------------------------------------

    @abstractmethod
    def _signature(self) -> dict[str, tf.TensorSpec]:
        """What a batch holds."""

    @abstractmethod
    def _prepared_signature(self) -> dict[str, tf.TensorSpec]:
        """What a prepared one holds."""

    @abstractmethod
    def _is_prepared(self, batch: Batch) -> bool:
        """Whether a batch has been prepared."""

    @abstractmethod
    def _prepare_one(self, batch: Batch) -> Batch:
        """A batch with all that needs no weights done; traced."""

    @abstractmethod
    def _losses(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """Of a prepared batch `loss_B`, nats, and `feasible_B`, whether a row can be learnt from; traced."""

    # -- the phases, traced ------------------------------------------------------------------------------------------

    def _gather_all(
        self, batches: list[Batch], loss_scale: tf.Tensor, is_first: tf.Tensor
    ) -> list[tuple[tf.Tensor, ...]]:
        def on_replica() -> tuple[tf.Tensor, ...]:
            # Known while tracing: each replica's part of the graph is its own.
            number = tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)
            return self._gather_one(batches[number % self._num_local], loss_scale, is_first)

        parts = [self.strategy.experimental_local_results(part) for part in self.strategy.run(on_replica)]
        return list(zip(*parts, strict=True))

    def _gather_one(self, batch: Batch, loss_scale: tf.Tensor, is_first: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if self._is_replicated:
            batch = self._prepare_one(batch)
        part, loss_B, feasible_B = self._gradient_beside(batch, loss_scale)
        sums = tf.cond(is_first, lambda: part, lambda: self._sums.read_value() + part)
        self._sums.assign(sums)
        return loss_B, feasible_B, _loss_utterances_norm(sums)

    def _gradient_beside(self, batch: Batch, loss_scale: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """What `_gradient` gives, of `num_towers` shares of the rows beside each other."""
        if self.num_towers == 1:
            return self._gradient(batch, loss_scale)
        num_rows = tf.shape(batch[self._lengths])[0]
        # Long rows and short ones for each. A tower without a row gets the first once more, which counts for nothing.
        order_B = tf.argsort(batch[self._lengths], direction="DESCENDING", stable=True)
        order_B = tf.pad(order_B, [[0, tf.maximum(0, self.num_towers - num_rows)]])
        counts_B = tf.cast(tf.range(tf.size(order_B)) < num_rows, tf.float32)
        places, results = [], []
        with shared_by(self.num_towers):
            for tower in range(self.num_towers):
                rows_R = order_B[tower :: self.num_towers]
                share = {name: tf.gather(values, rows_R) for name, values in batch.items()}
                share["weight_B"] *= counts_B[tower :: self.num_towers]
                places.append(rows_R)
                results.append(self._gradient(share, loss_scale))
        gradients, *others = zip(*results, strict=True)
        places_B = tf.argsort(tf.concat(places, axis=0), stable=True)[:num_rows]
        return tf.add_n(gradients), *(tf.gather(tf.concat(each, axis=0), places_B) for each in others)

    def _gradient(self, batch: Batch, loss_scale: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The gradient of the summed loss in one row, as `_sums` has it; `loss_B` and `feasible_B`."""
        with tf.GradientTape() as tape:
            loss_B, feasible_B = self._losses(batch)
            counted_B = feasible_B & (batch["weight_B"] > 0.0)
            loss = tf.reduce_sum(tf.where(counted_B, loss_B, 0.0))
            scaled = loss * loss_scale
        gradients = tape.gradient(scaled, self._weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        numbers = tf.stack([loss, tf.math.count_nonzero(counted_B, dtype=tf.float32)])
        rows = [tf.reshape(tf.convert_to_tensor(gradient), [-1]) for gradient in gradients]  # an embedding's is sparse
        part = tf.concat([*rows, numbers], axis=0)
        return part, loss_B, feasible_B

    def _reduce_all(self, asked: tf.Tensor) -> Sequence[tf.Tensor]:
        def on_replica() -> tuple[tf.Tensor, ...]:
            context = tf.distribute.get_replica_context()
            local = tf.concat([self._sums.read_value(), [asked]], axis=0)
            sums = context.all_reduce(tf.distribute.ReduceOp.SUM, local)
            self._sums.assign(sums[:-1])
            return (*tf.unstack(_loss_utterances_norm(sums[:-1])), sums[-1])

        return [self.strategy.experimental_local_results(part)[0] for part in self.strategy.run(on_replica)]

    def _apply_all(self, factor: tf.Tensor, learning_rate: tf.Tensor) -> None:
        self.optimizer.learning_rate.assign(learning_rate)

        def on_replica() -> None:
            # Keras sums over the replicas itself, and each has the whole sum already.
            share = factor / self.strategy.num_replicas_in_sync
            scaled = self._sums.read_value() * share
            parts = tf.split(scaled, [*self._sizes, 2])[:-1]
            gradients = [tf.reshape(part, weight.shape) for part, weight in zip(parts, self._weights, strict=True)]
            self.optimizer.apply(gradients, self.trained)
            if self.averages:
                # Early on the average follows more closely: the first weights are noise that it should forget.
                done = tf.cast(self.optimizer.iterations.value, tf.float32)
                keep = tf.minimum(self._settings.ema, done / (9.0 + done))
                for average, weight in zip(self.averages, self._weights, strict=True):
                    average.assign_add((1.0 - keep) * (weight.read_value() - average.read_value()))

        self.strategy.run(on_replica)


def _loss_utterances_norm(sums: tf.Tensor) -> tf.Tensor:
    """What `Outcome` is made of, [3], from a gradient that loss and utterances follow."""
    return tf.concat([sums[-2:], [tf.linalg.global_norm([sums[:-2]])]], axis=0)


def num_towers(rows: int) -> int:
    """Shares of so many rows of a part that are computed beside each other; products of fewer than eight are slower.

    The number of processors does not decide: dropout's masks are drawn in each tower, and would depend on the machine.
    """
    return TOWERS if rows >= _ROWS_OF_TOWERS and not native.obstacle() else 1


#: Towers where there are several, and rows of a part from which on.
TOWERS, _ROWS_OF_TOWERS = 2, 16
_SCALAR, _FLAG = tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.bool)


def _local(value: tf.Tensor) -> tf.Variable:
    """A variable that each replica changes by itself."""
    return tf.Variable(
        value,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )
