"""Layer normalisation, and batch normalisation over real steps only, never over padding."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from speechgru import native
from speechgru.features import mask_time
from speechgru.model import compiled


@keras.saving.register_keras_serializable(package="speechgru")
class StepNormalization(keras.layers.LayerNormalization):
    """Each step by itself has mean 0 and deviation 1 over its numbers, then a learnt scale and shift.

    `keras.layers.LayerNormalization` over the last axis in float32, which training computes in compiled code where that
    can run; all else sees Keras' operations.

    >>> StepNormalization()(tf.constant([[1.0, 3.0]])).numpy().round(2).tolist()
    [[-1.0, 1.0]]
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "axis": -1, "dtype": "float32"})

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not training or native.obstacle():
            return super().call(inputs)
        gamma_D, beta_D = (tf.convert_to_tensor(weight) for weight in (self.gamma, self.beta))
        return compiled.layer_norm(inputs, gamma_D, beta_D, epsilon=self.epsilon)


@keras.saving.register_keras_serializable(package="speechgru")
class RealStepsNormalization(keras.layers.BatchNormalization):
    """Batch normalisation over the real steps of a batch: padding has no part in its statistics.

    Training takes mean and variance of each number over all real steps of the batch, on all replicas together where
    there are several, so that they share a batch as one would have it. Outside training, and where the layer is frozen
    (`trainable = False`), the moving averages stand for them, and no utterance depends on its mates. A batch without
    a real step, or with one that is not finite, leaves the averages as they are: a bad step must not spoil a run.

    Keras' own layer takes a mask, but then lets each replica have statistics and moving averages of its own.

    Args:
        momentum: what is left of a moving average at each step. Keras' default, 0.99, is still 8 % start values after
            250 steps, which is a whole run on a few minutes of recordings.
        **kwargs: others of `keras.layers.BatchNormalization`; not `axis`, `synchronized` and `renorm`.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1.
    """

    def __init__(self, *, momentum: float = 0.9, **kwargs: Any):
        if kwargs.get("synchronized") or kwargs.get("renorm") or kwargs.get("axis", -1) != -1:
            raise ValueError("synchronized and renorm must be False (replicas share statistics anyway), and axis -1")
        super().__init__(momentum=momentum, **kwargs)

    def call(self, inputs: tf.Tensor, num_steps: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalises `inputs_BSD`; `num_steps_B` says which steps are real. What stands beyond them is arbitrary."""
        if not (training and self.trainable):
            # TensorFlow 2.21's converter takes a scale into the weights of the product behind it, for streams but not
            # for whole recordings, so that 8 bits would round them otherwise there. It lets a maximum be.
            outputs = super().call(inputs, training=False)
            return tf.maximum(outputs, outputs.dtype.min)
        values_BSD = mask_time(tf.cast(inputs, self.variable_dtype), num_steps)
        count = tf.cast(tf.reduce_sum(num_steps), values_BSD.dtype)
        count, total_D = _over_replicas([count, tf.reduce_sum(values_BSD, axis=[0, 1])])
        mean_D = total_D / tf.maximum(count, 1.0)
        squares_BSD = mask_time(tf.square(values_BSD - mean_D), num_steps)
        (squares_D,) = _over_replicas([tf.reduce_sum(squares_BSD, axis=[0, 1])])
        variance_D = squares_D / tf.maximum(count, 1.0)
        usable = (count > 0) & tf.reduce_all(tf.math.is_finite(mean_D) & tf.math.is_finite(variance_D))
        for average, now_D in ((self.moving_mean, mean_D), (self.moving_variance, variance_D)):
            moved_D = average + (1.0 - self.momentum) * (now_D - average)
            average.assign(tf.where(usable, moved_D, average))
        outputs_BSD = tf.nn.batch_normalization(
            values_BSD, mean_D, variance_D, self.beta, self.gamma, variance_epsilon=self.epsilon
        )
        return tf.cast(outputs_BSD, self.compute_dtype)


def _over_replicas(parts: list[tf.Tensor]) -> list[tf.Tensor]:
    """The sums over all replicas; a sum's gradient reaches each of them."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return parts
    return context.all_reduce(tf.distribute.ReduceOp.SUM, parts)
