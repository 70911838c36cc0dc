"""One step of a language model's training, and the variables that it changes."""

from __future__ import annotations

import tensorflow as tf

from speechgru.config.language import LanguageConfig
from speechgru.train.language.model import build_language_model, text_losses
from speechgru.train.learner import Variables
from speechgru.train.optimizers import make_optimizer
from speechgru.train.phases import Batch, PhasedStep, num_towers


class LanguageStep(PhasedStep):
    """The phases of a language model's step: the loss of a text is the negative log-probability of its labels and end.

    Args:
        variables: the model and its optimizer.
        config: the run's configuration.
    """

    def __init__(self, variables: LanguageLearner, config: LanguageConfig):
        self._model = variables.model
        settings = config.train
        rows = 0 if settings.batch_frames is not None else settings.batch_size // settings.accumulate
        super().__init__(
            variables.optimizer,
            settings=settings,
            trained=self._model.trainable_variables,
            lengths="num_labels_B",
            num_towers=num_towers(rows),
        )

    def _signature(self) -> dict[str, tf.TensorSpec]:
        return {
            "labels_BL": tf.TensorSpec([None, None], tf.int32),
            "num_labels_B": tf.TensorSpec([None], tf.int32),
            "index_B": tf.TensorSpec([None], tf.int32),
            "weight_B": tf.TensorSpec([None], tf.float32),
            "parts_left_B": tf.TensorSpec([None], tf.int32),
            "epoch_B": tf.TensorSpec([None], tf.float32),
        }

    def _prepared_signature(self) -> dict[str, tf.TensorSpec]:
        return self._signature()

    def _is_prepared(self, batch: Batch) -> bool:
        return True

    def _prepare_one(self, batch: Batch) -> Batch:
        return batch

    def _losses(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        loss_B = text_losses(self._model, batch["labels_BL"], batch["num_labels_B"], training=True)
        return loss_B, tf.ones_like(loss_B, tf.bool)


class LanguageLearner(Variables):
    """All variables of a language model's run, and what changes them.

    Args:
        config: the run's configuration.
        num_labels: labels, `BORDER` included.
    """

    def __init__(self, config: LanguageConfig, num_labels: int):
        self.model = build_language_model(config, num_labels)
        self.optimizer = make_optimizer(config.train)
        self.optimizer.build(self.model.trainable_variables)
        self.step = LanguageStep(self, config)
        self.shipped = build_language_model(config, num_labels)
