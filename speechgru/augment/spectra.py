"""Coloured noise, Fourier lengths and powers that rooms and noise share."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

#: Energy (sum of squares) up to which a signal counts as silent: no ratio to it means anything.
SILENT_ENERGY = 1e-20


def coloured_noise(
    num_samples: tf.Tensor, seed: tf.Tensor, *, sample_rate: int, gain: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Gaussian noise with `gain` of each frequency in Hz."""
    length = fft_length(num_samples)
    white_F = tf.signal.rfft(tf.random.stateless_normal([length], seed))
    frequencies_hz = tf.cast(tf.range(tf.size(white_F)), tf.float32) * (sample_rate / tf.cast(length, tf.float32))
    shaped_F = white_F * tf.cast(gain(frequencies_hz), tf.complex64)
    return tf.signal.irfft(shaped_F, [length])[:num_samples]


def fft_length(num_samples: tf.Tensor) -> tf.Tensor:
    """A length from `num_samples` on, at most an eighth longer, that a fast transform is fast at: 8 to 16 times 2^n."""
    exponent = tf.floor(tf.math.log(tf.cast(num_samples + 1, tf.float32)) / tf.math.log(2.0)) - 3.0
    unit = tf.cast(tf.pow(2.0, tf.maximum(1.0, exponent)), tf.int32)
    return tf.maximum(1, (num_samples + unit - 1) // unit) * unit


def powers_of_10(exponents: tf.Tensor) -> tf.Tensor:
    """10 to the power of many numbers: `tf.pow` takes four times as long.

    >>> powers_of_10(tf.constant([0.0])).numpy().tolist()
    [1.0]
    """
    return tf.exp(math.log(10.0) * exponents)


def at_unit_energy(samples_K: tf.Tensor) -> tf.Tensor:
    """Scales a response so that it changes no loudness."""
    return samples_K * tf.math.rsqrt(tf.maximum(tf.reduce_sum(tf.square(samples_K)), SILENT_ENERGY))
