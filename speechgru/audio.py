"""Recordings as TensorFlow sees them: a path in the graph becomes samples in the graph."""

from __future__ import annotations

import functools
import importlib.util
from typing import Literal

import numpy as np
import tensorflow as tf

from speechgru.errors import AudioError, UserError
from speechgru.recordings import read_recording

Engine = Literal["auto", "soundfile", "tensorflow_io"]


def load_samples(
    path: tf.Tensor,
    offset: tf.Tensor,
    duration: tf.Tensor,
    *,
    sample_rate: int,
    engine: Engine = "auto",
) -> tf.Tensor:
    """Reads one recording, or a segment of it, inside a graph.

    `auto` is soundfile: on FLAC and WAV it decodes and resamples several times as fast as tensorflow-io, and it
    tells a truncated file from a whole one. It is also what the device runs.

    Args:
        path: string scalar.
        offset: float scalar, seconds at which to start.
        duration: float scalar, seconds to read; below 0 reads to the end.
        sample_rate: Hz of the result.
        engine: `soundfile`, or `tensorflow_io` for graph ops alone.

    Returns:
        `samples_N`, float32 in [-1, 1], channels averaged.

    Raises:
        tf.errors.OpError: the recording cannot be read; the message holds `recordings.read_recording`'s.
        UserError: tensorflow-io was asked for and is not installed.
    """
    if engine == "tensorflow_io":
        samples_N = _load_with_tensorflow_io(path, offset, duration, sample_rate=sample_rate)
    else:
        read = functools.partial(_read_with_soundfile, sample_rate=sample_rate)
        samples_N = tf.numpy_function(read, [path, offset, duration], tf.float32)
    samples_N.set_shape([None])
    return samples_N


def has_tensorflow_io() -> bool:
    """Whether tensorflow-io is installed (it has no release for TensorFlow 2.18 and later)."""
    return importlib.util.find_spec("tensorflow_io") is not None


def error_of(error: tf.errors.OpError) -> str | None:
    """The reader's own message inside a graph's error, without the graph's wrapping; None where there is none."""
    _, found, tail = str(error).partition(f"{AudioError.__name__}: ")
    return tail.split("\n", 1)[0].strip() if found else None


def _read_with_soundfile(path: bytes, offset: np.floating, duration: np.floating, *, sample_rate: int) -> np.ndarray:
    name = np.asarray(path).item().decode()  # eager code hands over an array, a graph bytes
    seconds = None if duration < 0 else float(duration)
    return read_recording(name, sample_rate=sample_rate, offset=float(offset), duration=seconds).samples_N


def _load_with_tensorflow_io(path: tf.Tensor, offset: tf.Tensor, duration: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    try:
        import tensorflow_io as tfio
    except ImportError as error:
        raise UserError(
            "the engine tensorflow_io is not installed here (it needs Python 3.10 to 3.12 and TensorFlow 2.17); "
            "use the engine soundfile"
        ) from error
    # In a graph the samples' type must be known beforehand: 16-bit recordings, the only ones it is asked for.
    recording = tfio.audio.AudioIOTensor(path, dtype=None if tf.executing_eagerly() else tf.int16)
    samples_NC = recording.to_tensor()
    if samples_NC.dtype.is_integer:
        samples_NC = tf.cast(samples_NC, tf.float32) / float(samples_NC.dtype.max + 1)
    source_rate = tf.cast(recording.rate, tf.int64)
    start, count = (
        tf.cast(tf.round(tf.cast(seconds, tf.float64) * tf.cast(source_rate, tf.float64)), tf.int64)
        for seconds in (offset, duration)
    )
    samples_NC = samples_NC[start:] if duration < 0 else samples_NC[start : start + count]
    samples_N = tf.reduce_mean(samples_NC, axis=1)
    if source_rate == sample_rate:
        return samples_N
    # Its filter answers late, by 32 samples of the slower rate: so much is added at the end and taken off the front.
    rate = tf.constant(sample_rate, tf.int64)
    slower = tf.minimum(source_rate, rate)
    padded_N = tf.pad(samples_N, [[0, 32 * source_rate // slower]])
    late_N = tfio.audio.resample(padded_N, source_rate, rate)
    return late_N[32 * rate // slower :]
