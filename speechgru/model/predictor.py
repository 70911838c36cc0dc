"""A Keras recogniser as a `decoding.Predictor`."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf


class KerasPredictor:
    """A trained model as a `decoding.Predictor`, traced once for all shapes; it follows the model's weights.

    Args:
        model: the recogniser (`build_model`).
    """

    def __init__(self, model: keras.Model):
        @tf.function(
            autograph=False,
            input_signature=[tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.int32)],
        )
        def predict(samples_BN: tf.Tensor, num_samples_B: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            logits_BSV, num_steps_B = model([samples_BN, num_samples_B], training=False)
            return tf.nn.log_softmax(logits_BSV), num_steps_B

        self._predict = predict

    @cached_property
    def _traced(self) -> Any:
        # Calls of this function count for no other one; `tf.function` counts those of all predictors, and warns a
        # process that trains or loads one model after another of retracing.
        return self._predict.get_concrete_function()

    def log_probs(self, samples_N: np.ndarray) -> np.ndarray:
        """One recording: `samples_N` at the model's sample rate -> `log_probs_SV`."""
        return self.batch_log_probs(samples_N[None], np.array([len(samples_N)], np.int32))[0][0]

    def batch_log_probs(self, samples_BN: np.ndarray, num_samples_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Several recordings: `samples_BN`, `num_samples_B` -> `log_probs_BSV`, `num_steps_B`."""
        log_probs_BSV, num_steps_B = self._traced(
            tf.convert_to_tensor(samples_BN, tf.float32), tf.convert_to_tensor(num_samples_B, tf.int32)
        )
        return log_probs_BSV.numpy(), num_steps_B.numpy()
