"""One step of a recogniser's training: the features of a batch, its CTC loss, and what is learnt beside it."""

from __future__ import annotations

import keras
import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.ctc import ctc_loss, is_feasible, quiet_start_loss
from speechgru.dataset import Augmentation
from speechgru.features.compiled import without_gradient
from speechgru.model.build import AcousticModel
from speechgru.model.normalization import RealStepsNormalization
from speechgru.train.phases import Batch, PhasedStep, num_towers
from speechgru.train.spelling import Spelling

#: What a batch holds of each utterance, by the corpus's form.
INPUTS = {"samples": ("samples_BN", "num_samples_B"), "features": ("log_mel_BTM", "num_frames_B")}


class TrainStep(PhasedStep):
    """The phases of a recogniser's step, traced once each.

    Args:
        model: the recogniser (`model.build_model`), made under the strategy's scope.
        optimizer: built on `trained_variables`, made under the scope too.
        config: augmentation, clipping, the average's decay.
        form: the corpus's, `samples` or `features`.
        spelling: the head that learns letters beside the model's words; None without one.
        strategy: how many replicas there are; the current one when None.
    """

    def __init__(
        self,
        model: AcousticModel,
        optimizer: keras.optimizers.Optimizer,
        *,
        config: RunConfig,
        form: str,
        spelling: Spelling | None = None,
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.model, self._config, self._form = model, config, form
        self._front_end = model.front_end.from_log_mel if form == "features" else without_gradient(model.front_end)
        self._encoder, self._spelling = model.encoder.model, spelling
        self._augmentation = Augmentation(config)
        self._quiet_steps = round(config.quiet_start_ms / 1000 / config.step_seconds)
        strategy = strategy or tf.distribute.get_strategy()
        super().__init__(
            optimizer,
            settings=config.train,
            trained=trained_variables(model, spelling),
            lengths="num_frames_B",
            num_towers=_num_towers(model, config, is_alone=strategy.num_replicas_in_sync == 1),
            strategy=strategy,
        )

    def _signature(self) -> dict[str, tf.TensorSpec]:
        values, counts = INPUTS[self._form]
        width = [] if self._form == "samples" else [self._config.features.n_mels]
        return {
            values: tf.TensorSpec([None, None, *width], tf.float32),
            counts: tf.TensorSpec([None], tf.int32),
            "labels_BL": tf.TensorSpec([None, None], tf.int32),
            "num_labels_B": tf.TensorSpec([None], tf.int32),
            "index_B": tf.TensorSpec([None], tf.int32),
            "weight_B": tf.TensorSpec([None], tf.float32),
            "parts_left_B": tf.TensorSpec([None], tf.int32),
            "epoch_B": tf.TensorSpec([None], tf.float32),
            "seed_B2": tf.TensorSpec([None, 2], tf.int32),
        }

    def _prepared_signature(self) -> dict[str, tf.TensorSpec]:
        values, _ = INPUTS[self._form]
        others = {name: spec for name, spec in self._signature().items() if name != values}
        width = self._encoder.inputs[0].shape[-1]
        return others | {
            _FEATURES: tf.TensorSpec([None, None, width], tf.float32),
            "num_frames_B": tf.TensorSpec([None], tf.int32),
        }

    def _is_prepared(self, batch: Batch) -> bool:
        return _FEATURES in batch

    def _prepare_one(self, batch: Batch) -> Batch:
        values, counts = INPUTS[self._form]
        features_BTD, num_frames_B = self._front_end(batch[values], batch[counts])
        strength = self._augmentation.strength(batch["epoch_B"][0])
        features_BTD = self._augmentation.augment_features(
            features_BTD, num_frames_B, batch["seed_B2"], strength=strength
        )
        others = {name: part for name, part in batch.items() if name != values}
        return others | {_FEATURES: features_BTD, "num_frames_B": num_frames_B}

    def _losses(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        features_BTD, num_frames_B = batch[_FEATURES], batch["num_frames_B"]
        labels_BL, num_labels_B, others_loss_B = batch["labels_BL"], batch["num_labels_B"], None
        if self._spelling is None:
            logits_BSV, num_steps_B = self._encoder([features_BTD, num_frames_B], training=True)
        else:
            outputs_BSD, logits_BSV, num_steps_B = self._spelling.encoder([features_BTD, num_frames_B], training=True)
            others_loss_B = self._spelling.loss(
                outputs_BSD, num_steps_B, labels_BL, num_labels_B, quiet_steps=self._quiet_steps
            )
            labels_BL, num_labels_B = self._spelling.words(labels_BL, num_labels_B)
        feasible_B = is_feasible(num_steps_B, labels_BL, num_labels_B)
        loss_B = ctc_loss(logits_BSV, num_steps_B, labels_BL, num_labels_B, implementation=self._config.train.ctc)
        if self._quiet_steps:
            loss_B += quiet_start_loss(logits_BSV, num_steps_B, quiet_steps=self._quiet_steps)
        if others_loss_B is not None:
            loss_B += others_loss_B
        return loss_B, feasible_B


def trained_variables(model: AcousticModel, spelling: Spelling | None) -> list[keras.Variable]:
    """What training changes: the model's trainable variables, then those of the second head, if there is one."""
    return [*model.trainable_variables, *([] if spelling is None else spelling.layer.trainable_variables)]


def _num_towers(model: AcousticModel, config: RunConfig, *, is_alone: bool) -> int:
    """Shares of a part's rows that are computed beside each other, from features to gradients.

    Within one, what is between the GRU layers would wait for one operation after the other, and processors for it.
    """
    rows = 0 if config.train.batch_frames is not None else config.train.batch_size // config.train.accumulate
    # Rows that are normalised together stay together.
    is_apart = not any(isinstance(layer, RealStepsNormalization) for layer in model.encoder.model.layers)
    return num_towers(rows) if is_alone and is_apart else 1


#: What a prepared batch has and another has not.
_FEATURES = "features_BTD"
