"""Speed perturbation by resampling."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from speechgru.audio.resampling import resample


def change_speed(samples_N: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Plays speech faster or slower, so that tempo, pitch and formants change together.

    Args:
        samples_N: one utterance, float32.
        factor: above 1 is faster: what oscillated at f Hz oscillates at f * factor Hz.

    Returns:
        round(N / factor) samples.

    Source: Ko et al. 2015, "Audio Augmentation for Speech Recognition", section 2.

    >>> change_speed(tf.zeros([1000]), tf.constant(1.25)).shape
    TensorShape([800])
    """
    faster_N = tf.numpy_function(_change_speed, [samples_N, factor], tf.float32, stateful=False)
    faster_N.set_shape([None])
    return faster_N


def _change_speed(samples_N: np.ndarray, factor: np.floating) -> np.ndarray:
    if not len(samples_N):
        return samples_N
    return resample(samples_N, source_rate=float(factor), sample_rate=1.0)
