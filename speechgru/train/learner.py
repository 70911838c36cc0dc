"""What a run trains: the model, its optimizer, the step over both, and the weights that are kept."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.model.build import build_model
from speechgru.runs import restore_variables
from speechgru.train.optimizers import make_optimizer
from speechgru.train.step import TrainStep
from speechgru.train.transfer import freeze


class Learner:
    """All variables of a run, and what changes them.

    Args:
        config: the run's configuration.
        num_labels: entries of the vocabulary.
        form: the corpus's, `samples` or `features`.
        strategy: how batches are shared.

    Attributes:
        model: the recogniser that is trained, in the precision of the configuration.
        optimizer: built on the model's trainable variables.
        step: one step of training, `TrainStep`.
        shipped: the recogniser that is scored and kept: the trained weights or their running average, in full
            precision. `ship` fills it.
    """

    def __init__(self, config: RunConfig, num_labels: int, *, form: str, strategy: tf.distribute.Strategy):
        settings = config.train
        with strategy.scope():
            self.model = build_model(config, num_labels, precision=settings.precision)
            freeze(self.model, settings.freeze)
            self.optimizer = make_optimizer(settings)
            self.optimizer.build(self.model.trainable_variables)
        self.step = TrainStep(self.model, self.optimizer, config=config, form=form, strategy=strategy)
        self.shipped = build_model(config, num_labels)

    def start_averages(self) -> None:
        """Sets the running average to the weights as they stand: an average of one."""
        for average, variable in zip(self.step.averages, self.model.trainable_variables, strict=False):
            average.assign(variable.value)

    def ship(self) -> None:
        """Copies the trained weights, or where there is one their running average, to `shipped`."""
        trained = self.model.trainable_variables
        averaged = {id(variable): average for variable, average in zip(trained, self.step.averages, strict=False)}
        for shipped, variable in zip(self.shipped.variables, self.model.variables, strict=True):
            shipped.assign(averaged.get(id(variable), variable).numpy())

    def arrays(self) -> dict[str, np.ndarray]:
        """The variables that a checkpoint holds: `model/k`, `optimizer/k` and `average/k`."""
        parts = {"model": self.model.variables, "optimizer": self.optimizer.variables, "average": self.step.averages}
        return {f"{part}/{k}": variable.numpy() for part, held in parts.items() for k, variable in enumerate(held)}

    def shipped_arrays(self) -> dict[str, np.ndarray]:
        """The variables that `best.npz` holds: `model/k` of `shipped`."""
        return {f"model/{k}": variable.numpy() for k, variable in enumerate(self.shipped.variables)}

    def restore(self, arrays: dict[str, np.ndarray], *, where: object) -> None:
        """Puts a checkpoint's arrays back.

        Args:
            arrays: what `arrays` returned.
            where: the checkpoint, for messages.

        Raises:
            BundleError: their number or shapes differ from this model's.
        """
        restore_variables(self.model.variables, arrays, "model", where=where)
        restore_variables(self.optimizer.variables, arrays, "optimizer", where=where)
        restore_variables(self.step.averages, arrays, "average", where=where)
