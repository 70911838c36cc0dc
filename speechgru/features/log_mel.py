"""Samples to log-mel, and the faint noise that training may add to samples before."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru import lengths
from speechgru.features.frames import mask_time
from speechgru.mel import cut_into_bands, mel_filters

#: What filters can sum.
SPECTRA = ("power", "magnitude")

#: The shortest pieces of samples that are worth joining to frames one by one.
_SHORTEST_PIECE = 8

#: What `dither` folds into a seed to have its own; any number does.
_DITHER = 0xD17

#: Stands in for a power of 0 under the square root, whose slope there is infinite; far below any floor.
_LEAST_POWER = 1e-30


def dither(samples_N: tf.Tensor, seed: tf.Tensor, *, deviation: float) -> tf.Tensor:
    """Adds the faint noise that training may add: a recording's digital silence is then no longer exact zeros.

    Args:
        samples_N: one utterance, float32.
        seed: int32 [2], as `tf.random.stateless_normal` takes. It may be the seed that the utterance is augmented
            with: the noise is none of those that augmentation draws from it.
        deviation: of the Gaussian noise, in samples' units: 1 is full scale, 2**-15 a step of 16 bits.

    Returns:
        `samples_N` with noise, the same for the same seed; as it was where `deviation` is 0.
    """
    if not deviation:
        return samples_N
    own_seed = tf.random.fold_in(seed, _DITHER)
    return samples_N + deviation * tf.random.stateless_normal(tf.shape(samples_N), own_seed)


@keras.saving.register_keras_serializable(package="speechgru")
class LogMel(keras.layers.Layer):
    """Samples to log-mel: natural log of floored mel power, each utterance on its own, always in float32.

    ``log_mel[t, m] = log(max(sum_f filters[f, m] |FFT(window * samples_t)[f]|^2, log_floor))`` with a periodic Hann
    window; for the magnitude without the square. Samples beyond an utterance's length count as zeros whatever they
    hold, and frames beyond its length are zeros, so that padding and batch mates change nothing.

    The transform is float32's: a value 60 dB and more below the loudest of its frame may be off by more than 1e-4.

    Args:
        sample_rate: Hz.
        frame_length: samples under a window, 2 or more.
        hop_length: samples from one frame to the next.
        n_fft: samples under one transform, at least `frame_length`; the window stands in its middle.
        n_mels: number of mel filters.
        f_min: lower edge of the first filter, Hz.
        f_max: upper edge of the last filter, Hz.
        mel_scale: one of `MEL_SCALES`.
        spectrum: one of `SPECTRA`: what the filters sum.
        preemphasis: share of the sample before that is taken off each: y[n] = x[n] - preemphasis * x[n-1], x[-1] = 0.
        center: whether frame t is centred on sample t * hop_length (zeros beyond the ends) or starts there.
        log_floor: the least mel value, before the log.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        frame_length: int,
        hop_length: int,
        n_fft: int,
        n_mels: int,
        f_min: float,
        f_max: float,
        mel_scale: str = "slaney",
        spectrum: str = "power",
        preemphasis: float = 0.0,
        center: bool = True,
        log_floor: float = 1e-8,
        **kwargs: Any,
    ):
        # Statistics and filters are not learnt, and log-mel needs float32's range under every policy.
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        if frame_length < 2:
            raise ValueError(f"frame_length ({frame_length}) must be at least 2: a window begins with a zero")
        if n_fft < frame_length:
            raise ValueError(f"n_fft ({n_fft}) must be at least frame_length ({frame_length})")
        if spectrum not in SPECTRA:
            raise ValueError(f"unknown spectrum {spectrum!r}; choose from {', '.join(SPECTRA)}")
        self.sample_rate, self.frame_length, self.hop_length, self.n_fft = sample_rate, frame_length, hop_length, n_fft
        self.n_mels, self.f_min, self.f_max = n_mels, float(f_min), float(f_max)
        self.mel_scale, self.spectrum, self.preemphasis = mel_scale, spectrum, float(preemphasis)
        self.center, self.log_floor = center, float(log_floor)
        # Zeros on either side of the window, and not of what it has cut: one pass over the frames less.
        before = (n_fft - frame_length) // 2
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame_length) / frame_length)
        self.window_N = np.pad(window, (before, n_fft - frame_length - before)).astype(np.float32)
        self.filters_FM = mel_filters(
            sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, f_min=self.f_min, f_max=self.f_max, mel_scale=mel_scale
        )
        self._bands = cut_into_bands(self.filters_FM)
        self.input_spec = keras.layers.InputSpec(ndim=2)

    def num_frames(self, num_samples: lengths.Lengths) -> lengths.Lengths:
        """Frames made of `num_samples` samples, by `lengths.num_frames`."""
        return lengths.num_frames(num_samples, n_fft=self.n_fft, hop_length=self.hop_length, center=self.center)

    def call(self, samples: tf.Tensor, num_samples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes log-mel.

        Args:
            samples: `samples_BN`, floats in [-1, 1], or integers of 8, 16 or 32 bits, which are scaled by their type
                (unsigned ones lie around its middle), as everywhere.
            num_samples: `num_samples_B`, integers, 0 <= num_samples <= N; checked where they are known (eagerly).

        Returns:
            `log_mel_BTM` float32 and `num_frames_B` int32.

        Raises:
            ValueError: the samples are of another type, or there are not as many numbers of samples as rows, or one is
                below 0 or above N.
        """
        samples_BN = _scaled(tf.convert_to_tensor(samples), name=self.name)
        num_samples_B = tf.cast(num_samples, tf.int32)
        _check_num_samples(num_samples_B, samples_BN, name=self.name)
        padded = tf.shape(samples_BN)[1]
        num_frames_B = self.num_frames(num_samples_B)
        if self.preemphasis:
            samples_BN = self.emphasize(tf.pad(samples_BN, [[0, 0], [1, 0]]))
        samples_BN = tf.where(tf.sequence_mask(num_samples_B, padded), samples_BN, 0.0)
        if self.center:
            before = -lengths.first_sample(0, n_fft=self.n_fft, hop_length=self.hop_length, center=True)
            # None after no samples at all: then there is not one whole transform, and no frame.
            after = (self.n_fft - before) * tf.minimum(padded, 1)
            samples_BN = tf.pad(samples_BN, [[0, 0], [before, after]])
        return mask_time(self.of_frames(self.cut(samples_BN)), num_frames_B), num_frames_B

    def emphasize(self, samples_BN: Any) -> Any:
        """Pre-emphasis of an array or tensor that begins with the sample before; the answer is one sample shorter."""
        return samples_BN[:, 1:] - self.preemphasis * samples_BN[:, :-1]

    def cut(self, samples_BN: tf.Tensor) -> tf.Tensor:
        """Cuts out what each transform covers, as often as a whole one fits.

        Args:
            samples_BN: samples from the first one of the first frame on, zeros before and after included.

        Returns:
            `frames_BTN`, [B, T, n_fft].
        """
        if math.gcd(self.n_fft, self.hop_length) >= _SHORTEST_PIECE:
            return tf.signal.frame(samples_BN, self.n_fft, self.hop_length)
        # tf.signal.frame joins frames from pieces of the greatest common divisor: at 44.1 kHz, of single samples.
        # Here row r holds the samples from r * hop_length on, and a frame is a row with those that follow.
        full, rest = divmod(self.n_fft, self.hop_length)
        num_samples = tf.shape(samples_BN)[1]
        num_frames = lengths.num_frames(num_samples, n_fft=self.n_fft, hop_length=self.hop_length, center=False)
        num_rows = num_frames + full
        needed = num_rows * self.hop_length
        samples_BN = tf.pad(samples_BN, [[0, 0], [0, tf.maximum(0, needed - num_samples)]])[:, :needed]
        batch = samples_BN.shape[0] or tf.shape(samples_BN)[0]
        rows_BTN = tf.reshape(samples_BN, [batch, num_rows, self.hop_length])
        parts = [rows_BTN[:, row : row + num_frames] for row in range(full)]
        return tf.concat([*parts, rows_BTN[:, full : full + num_frames, :rest]], axis=2)

    def of_frames(self, frames_BTN: tf.Tensor) -> tf.Tensor:
        """Log-mel of frames, each on its own: the computation that whole utterances and streams share.

        Args:
            frames_BTN: float32 [B, T, n_fft], as `cut` gives; what stands outside the window does not matter.

        Returns:
            `log_mel_BTM`.
        """
        spectrum_BTF = tf.signal.rfft(frames_BTN * self.window_N, [self.n_fft])
        values_BTF = tf.square(tf.math.real(spectrum_BTF)) + tf.square(tf.math.imag(spectrum_BTF))
        if self.spectrum == "magnitude":
            values_BTF = tf.sqrt(tf.maximum(values_BTF, _LEAST_POWER))
        mel_BTM = tf.concat(
            [tf.matmul(values_BTF[:, :, first : first + len(band)], band) for first, band in self._bands], axis=2
        )
        return tf.math.log(tf.maximum(mel_BTM, self.log_floor))

    def compute_output_shape(self, samples_shape: Any, num_samples_shape: Any) -> tuple[Any, Any]:
        frames = None if samples_shape[1] is None else int(self.num_frames(samples_shape[1]))
        return (samples_shape[0], frames, self.n_mels), tuple(num_samples_shape)

    def compute_output_spec(self, samples: Any, num_samples: Any) -> tuple[Any, Any]:
        log_mel, num_frames = self.compute_output_shape(samples.shape, num_samples.shape)
        return keras.KerasTensor(log_mel, "float32"), keras.KerasTensor(num_frames, "int32")

    def get_config(self) -> dict[str, Any]:
        names = (
            "sample_rate",
            "frame_length",
            "hop_length",
            "n_fft",
            "n_mels",
            "f_min",
            "f_max",
            "mel_scale",
            "spectrum",
            "preemphasis",
            "center",
            "log_floor",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _scaled(samples_BN: tf.Tensor, *, name: str) -> tf.Tensor:
    """Samples as float32, integers scaled by their type as `audio.samples` scales those of files and arrays."""
    dtype = samples_BN.dtype
    if dtype.is_floating:
        return tf.cast(samples_BN, tf.float32)
    if not dtype.is_integer or dtype.size > 4:
        raise ValueError(
            f"{name}: samples are {dtype.name}; expected floats in [-1, 1], or integers of 8, 16 or 32 bits"
        )
    full_scale = 2.0 ** (8 * dtype.size - 1)
    # float32 holds 24 bits: what has more is scaled before it is rounded.
    exact_BN = tf.cast(samples_BN, tf.float32 if dtype.size < 4 else tf.float64)
    return tf.cast((exact_BN - (full_scale if dtype.is_unsigned else 0.0)) / full_scale, tf.float32)


def _check_num_samples(num_samples_B: tf.Tensor, samples_BN: tf.Tensor, *, name: str) -> None:
    if not num_samples_B.shape.is_compatible_with([samples_BN.shape[0]]):
        raise ValueError(
            f"{name}: num_samples of shape {tuple(num_samples_B.shape)} beside samples of shape "
            f"{tuple(samples_BN.shape)}; expected ({samples_BN.shape[0]},), one number for each row."
        )
    if tf.executing_eagerly() and tf.size(num_samples_B) > 0:
        low, high, padded = int(tf.reduce_min(num_samples_B)), int(tf.reduce_max(num_samples_B)), samples_BN.shape[1]
        if low < 0 or high > padded:
            raise ValueError(
                f"{name}: num_samples from {low} to {high} for rows of {padded} samples; expected 0 to {padded}."
            )
