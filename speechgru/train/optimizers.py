"""The optimizers, and how fast they learn at each step."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from speechgru.config.sections import TrainConfig


class _OneOperation:
    """Adam's change of a variable as one operation of TensorFlow in place of Keras' twelve: the same to rounding."""

    def update_step(self: Any, gradient: tf.Tensor, variable: tf.Variable, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class AdamW(_OneOperation, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW`, faster."""


class Adam(_OneOperation, keras.optimizers.Adam):
    """`keras.optimizers.Adam`, faster."""


def make_optimizer(settings: TrainConfig) -> keras.optimizers.Optimizer:
    """The configured optimizer; its biases do not decay, and its learning rate is set at each step.

    Clipping is not its business: `TrainStep` clips the gradient of the whole batch.
    """
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        optimizer = AdamW(rate, weight_decay=decay, beta_2=0.98)
    elif settings.optimizer == "adam":
        return Adam(rate, beta_2=0.98)
    elif settings.optimizer == "lion":
        optimizer = keras.optimizers.Lion(rate, weight_decay=decay)
    else:
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def learning_rate_at(step: int, *, settings: TrainConfig, num_steps: int, plateau_scale: float = 1.0) -> float:
    """The learning rate of a step: a linear warm-up to the peak, then the schedule.

    A pure function, so that a resumed run has what it would have had.

    Args:
        step: 0-based.
        settings: peak, warm-up and schedule.
        num_steps: steps of the whole run, where a cosine reaches 0.
        plateau_scale: what a plateau of the dev WER has brought the peak down to, a fraction.

    Source: cosine: Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts; Noam: Vaswani et al. 2017,
        "Attention is all you need", equation 3, scaled to its peak.
    """
    peak, warmup = settings.learning_rate, min(settings.warmup_steps, num_steps - 1)
    if step < warmup:
        return peak * (step + 1) / warmup
    if settings.schedule == "cosine":
        return peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / (num_steps - warmup))))
    if settings.schedule == "noam":
        return peak * math.sqrt(warmup / (step + 1)) if warmup else peak / math.sqrt(step + 1)
    return peak * plateau_scale
