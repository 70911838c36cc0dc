"""The one front end: samples -> log-mel, and its normalisation, in training, in the exported graph and on a device."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru import lengths

#: Weights of so many numbers and more are what TFLite's converter quantises.
_QUANTIZED_FROM = 1024

_SLANEY_BREAK_HZ = 1000.0
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_LOG_STEP = np.log(6.4) / 27.0


def hz_to_mel(frequencies_hz: Any) -> np.ndarray:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above. Source: Slaney 1998, "Auditory Toolbox"."""
    frequencies_hz = np.asarray(frequencies_hz, np.float64)
    logarithmic = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL + (
        np.log(np.maximum(frequencies_hz, _SLANEY_BREAK_HZ) / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP
    )
    return np.where(frequencies_hz < _SLANEY_BREAK_HZ, frequencies_hz / _SLANEY_HZ_PER_MEL, logarithmic)


def mel_to_hz(mels: Any) -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    mels = np.asarray(mels, np.float64)
    break_mel = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
    logarithmic = _SLANEY_BREAK_HZ * np.exp(_SLANEY_LOG_STEP * (np.maximum(mels, break_mel) - break_mel))
    return np.where(mels < break_mel, mels * _SLANEY_HZ_PER_MEL, logarithmic)


def mel_filters(*, sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    """Triangular filters of equal area on Slaney's mel scale, as librosa's `filters.mel` makes by default.

    Args:
        sample_rate: Hz.
        n_fft: samples under one transform.
        n_mels: number of filters.
        f_min: lower edge of the first filter, Hz.
        f_max: upper edge of the last filter, Hz.

    Returns:
        `filters_FM`, float32 [n_fft // 2 + 1, n_mels].

    Raises:
        ValueError: a filter is narrower than the transform's resolution and holds no bin at all.
    """
    bins_F = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    edges = mel_to_hz(np.linspace(hz_to_mel(f_min), hz_to_mel(f_max), n_mels + 2))
    rising_FM = (bins_F[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling_FM = (edges[2:] - bins_F[:, None]) / (edges[2:] - edges[1:-1])
    filters_FM = np.maximum(0.0, np.minimum(rising_FM, falling_FM)) * (2.0 / (edges[2:] - edges[:-2]))
    empty = np.flatnonzero(filters_FM.max(axis=0) == 0)
    if len(empty):
        raise ValueError(
            f"{len(empty)} of {n_mels} mel filters hold no frequency bin (the first one around "
            f"{edges[empty[0] + 1]:.0f} Hz); use fewer features.n_mels or a longer features.frame_length_ms "
            f"(n_fft is {n_fft})"
        )
    return filters_FM.astype(np.float32)


def _cut_into_bands(filters_FM: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Cuts the filters into runs of neighbours: for each run its first bin and its part of the matrix.

    Most of the matrix is zeros, so this is less to multiply. Above all each part stays below the 1,024 numbers from
    which TFLite's quantisation stores a matrix in 8 bits: mel power spans nine decades, and no 8-bit product of it
    leaves the quiet ones standing.
    """
    bands: list[tuple[int, np.ndarray]] = []
    start, num_mels = 0, filters_FM.shape[1]
    while start < num_mels:
        end = start + 1
        part = _trim(filters_FM[:, start:end])
        while end < num_mels and (wider := _trim(filters_FM[:, start : end + 1]))[1].size < _QUANTIZED_FROM:
            part, end = wider, end + 1
        bands.append(part)
        start = end
    return bands


def _trim(filters_FM: np.ndarray) -> tuple[int, np.ndarray]:
    bins = np.flatnonzero(filters_FM.any(axis=1))
    return int(bins[0]), filters_FM[bins[0] : bins[-1] + 1]


@keras.saving.register_keras_serializable(package="speechgru")
class LogMel(keras.layers.Layer):
    """Samples to log-mel: natural log of floored mel power, each utterance on its own, always in float32.

    ``log_mel[t, m] = log(max(sum_f filters[f, m] |FFT(window * samples_t)[f]|^2, log_floor))`` with a periodic Hann
    window. Samples beyond an utterance's length count as zeros whatever they hold, and frames beyond its length are
    zeros, so that padding and batch mates change nothing.

    Args:
        sample_rate: Hz.
        frame_length: samples under a window.
        hop_length: samples from one frame to the next.
        n_fft: samples under one transform, at least `frame_length`; the window stands in its middle.
        n_mels: number of mel filters.
        f_min: lower edge of the first filter, Hz.
        f_max: upper edge of the last filter, Hz.
        center: whether frame t is centred on sample t * hop_length (zeros beyond the ends) or starts there.
        log_floor: the least mel power, before the log.
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
        center: bool = True,
        log_floor: float = 1e-8,
        **kwargs: Any,
    ):
        # Statistics and filters are not learnt, and log-mel needs float32's range under every policy.
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        if n_fft < frame_length:
            raise ValueError(f"n_fft ({n_fft}) must be at least frame_length ({frame_length})")
        self.sample_rate, self.frame_length, self.hop_length, self.n_fft = sample_rate, frame_length, hop_length, n_fft
        self.n_mels, self.f_min, self.f_max = n_mels, float(f_min), float(f_max)
        self.center, self.log_floor = center, float(log_floor)
        self._window_N = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame_length) / frame_length)).astype(np.float32)
        self._bands = _cut_into_bands(
            mel_filters(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, f_min=self.f_min, f_max=self.f_max)
        )

    def num_frames(self, num_samples: lengths.Lengths) -> lengths.Lengths:
        """Frames made of so many samples, by `lengths.num_frames`."""
        return lengths.num_frames(num_samples, n_fft=self.n_fft, hop_length=self.hop_length, center=self.center)

    def call(self, samples: tf.Tensor, num_samples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes log-mel.

        Args:
            samples: `samples_BN`, floats in [-1, 1].
            num_samples: `num_samples_B`, integers.

        Returns:
            `log_mel_BTM` float32 and `num_frames_B` int32.
        """
        samples_BN, num_samples_B = tf.cast(samples, tf.float32), tf.cast(num_samples, tf.int32)
        padded = tf.shape(samples_BN)[1]
        samples_BN = tf.where(tf.sequence_mask(num_samples_B, padded), samples_BN, 0.0)
        num_frames_B = self.num_frames(num_samples_B)
        # A window shorter than the transform stands in its middle; cutting only the part under the window and
        # appending the zeros shifts the phase, which the power does not see.
        skipped = (self.n_fft - self.frame_length) // 2
        if self.center:
            before = self.n_fft // 2 - skipped
            samples_BN = tf.pad(samples_BN, [[0, 0], [before, self.n_fft // 2]])
        else:
            samples_BN = samples_BN[:, skipped:]
        frames_BTN = tf.signal.frame(samples_BN, self.frame_length, self.hop_length)[:, : self.num_frames(padded)]
        frames_BTN = tf.pad(frames_BTN * self._window_N, [[0, 0], [0, 0], [0, self.n_fft - self.frame_length]])
        spectrum_BTF = tf.signal.rfft(frames_BTN, [self.n_fft])
        power_BTF = tf.square(tf.math.real(spectrum_BTF)) + tf.square(tf.math.imag(spectrum_BTF))
        mel_BTM = tf.concat(
            [tf.matmul(power_BTF[:, :, first : first + len(band)], band) for first, band in self._bands], axis=2
        )
        log_mel_BTM = tf.math.log(tf.maximum(mel_BTM, self.log_floor))
        return mask_time(log_mel_BTM, num_frames_B), num_frames_B

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
            "center",
            "log_floor",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="speechgru")
class GlobalNormalization(keras.layers.Layer):
    """Mean 0 and deviation 1 for each mel filter over the training corpus; frames beyond a length stay zeros.

    The statistics are weights that training never changes: they travel with the run and into the exported graph,
    and a frame needs no other frame, so that a stream is normalised as training was.

    Args:
        n_mels: number of mel filters.
    """

    def __init__(self, *, n_mels: int, **kwargs: Any):
        # Statistics and filters are not learnt, and log-mel needs float32's range under every policy.
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.n_mels = n_mels
        self.mean_M = self.add_weight(name="mean", shape=(n_mels,), initializer="zeros", trainable=False)
        self.deviation_M = self.add_weight(name="deviation", shape=(n_mels,), initializer="ones", trainable=False)
        self.built = True

    def set_statistics(self, mean_M: np.ndarray, deviation_M: np.ndarray) -> None:
        """Takes the corpus's statistics, each [n_mels].

        Raises:
            ValueError: a deviation is not above 0: a filter never changed over the corpus.
        """
        if not (np.isfinite(mean_M).all() and np.isfinite(deviation_M).all() and (deviation_M > 0).all()):
            raise ValueError("the normalisation statistics must be finite, with deviations above 0")
        self.mean_M.assign(mean_M)
        self.deviation_M.assign(deviation_M)

    def call(self, log_mel: tf.Tensor, num_frames: tf.Tensor) -> tf.Tensor:
        """Normalises `log_mel_BTM` where frames are real, by `num_frames_B`."""
        return mask_time((log_mel - self.mean_M) / self.deviation_M, num_frames)

    def compute_output_shape(self, log_mel_shape: Any, num_frames_shape: Any) -> Any:
        return tuple(log_mel_shape)

    def compute_output_spec(self, log_mel: Any, num_frames: Any) -> Any:
        return keras.KerasTensor(log_mel.shape, "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "n_mels": self.n_mels}


def mask_time(values_BTD: tf.Tensor, num_frames_B: tf.Tensor) -> tf.Tensor:
    """Zeros beyond each row's length: `values_BTD`, `num_frames_B` -> `values_BTD`."""
    mask_BT = tf.sequence_mask(num_frames_B, tf.shape(values_BTD)[1])
    return tf.where(mask_BT[:, :, None], values_BTD, tf.zeros((), values_BTD.dtype))
