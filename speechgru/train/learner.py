"""What a run trains: the model, its optimizer, the step over both, and the weights that are kept."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.model.build import AcousticModel, build_model
from speechgru.runs import restore_variables
from speechgru.text import Vocabulary
from speechgru.train.optimizers import make_optimizer
from speechgru.train.phases import PhasedStep
from speechgru.train.spelling import Spelling
from speechgru.train.step import TrainStep, trained_variables
from speechgru.train.transfer import freeze


class Variables:
    """All variables of a run, and the step that changes them.

    Attributes:
        model: what is trained, in the precision of the configuration.
        optimizer: built on all that is trained.
        step: one step of training.
        shipped: what is scored and kept: the trained weights or their running average, in full precision. `ship` fills
            it.
    """

    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    step: PhasedStep
    shipped: keras.Model

    def start_averages(self) -> None:
        """Sets the running average to the weights as they stand: an average of one."""
        for average, variable in zip(self.step.averages, self.step.trained, strict=False):
            average.assign(variable.value)

    def ship(self) -> None:
        """Copies the trained weights, or where there is one their running average, to `shipped`."""
        for shipped, variable in zip(self.shipped.variables, self._as_shipped(self.model.variables), strict=True):
            shipped.assign(variable.numpy())

    def arrays(self) -> dict[str, np.ndarray]:
        """The variables that a checkpoint holds: `model/k`, `optimizer/k`, `average/k` and the second head's,
        `spelling/k`."""
        parts = {"model": self.model.variables, "optimizer": self.optimizer.variables, "average": self.step.averages}
        parts["spelling"] = self._spelling_variables
        return {f"{part}/{k}": variable.numpy() for part, held in parts.items() for k, variable in enumerate(held)}

    def shipped_arrays(self) -> dict[str, np.ndarray]:
        """The variables that `best.npz` holds: `model/k` of `shipped`, and `spelling/k` as they are beside it."""
        parts = {"model": self.shipped.variables, "spelling": self._as_shipped(self._spelling_variables)}
        return {f"{part}/{k}": variable.numpy() for part, held in parts.items() for k, variable in enumerate(held)}

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
        restore_variables(self._spelling_variables, arrays, "spelling", where=where)

    @property
    def _spelling_variables(self) -> list[keras.Variable]:
        """Those of a second head, where there is one."""
        return []

    def _as_shipped(self, variables: list[keras.Variable]) -> list[Any]:
        """Of each variable its running average, where there is one, or itself."""
        averaged = {
            id(variable): average for variable, average in zip(self.step.trained, self.step.averages, strict=False)
        }
        return [averaged.get(id(variable), variable) for variable in variables]


class Learner(Variables):
    """All variables of a recogniser's run, and what changes them.

    Args:
        config: the run's configuration.
        vocabulary: the labels.
        form: the corpus's, `samples` or `features`.
        strategy: how batches are shared.

    Attributes:
        spelling: the second head, where the vocabulary has letters beside words; else None.
    """

    model: AcousticModel
    step: TrainStep
    shipped: AcousticModel

    def __init__(self, config: RunConfig, vocabulary: Vocabulary, *, form: str, strategy: tf.distribute.Strategy):
        settings = config.train
        with strategy.scope():
            self.model = build_model(config, len(vocabulary), precision=settings.precision)
            freeze(self.model, settings.freeze)
            spells = vocabulary.unknown_label is not None
            self.spelling = Spelling(self.model, vocabulary, settings) if spells else None
            self.optimizer = make_optimizer(settings)
            self.optimizer.build(trained_variables(self.model, self.spelling))
        self.step = TrainStep(
            self.model, self.optimizer, config=config, form=form, spelling=self.spelling, strategy=strategy
        )
        self.shipped = build_model(config, len(vocabulary))

    @property
    def _spelling_variables(self) -> list[keras.Variable]:
        return [] if self.spelling is None else self.spelling.layer.variables
