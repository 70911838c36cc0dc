"""The log-mel for training on a CPU as machine code: `kernels`, called from a TensorFlow graph.

The same values as `LogMel` gives by operations, to float rounding, without a gradient. TensorFlow's operations are some
fifteen passes over spectra of a batch, in one thread each; here a few frames stay in the cache from the samples to the
logarithm, and padding costs nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from speechgru import lengths, native
from speechgru.features.frames import GlobalNormalization
from speechgru.features.front_end import FrontEnd
from speechgru.features.log_mel import LogMel
from speechgru.processors import num_threads

#: The shortest transform that the code can compute.
_LEAST_N_FFT = 4


def without_gradient(front_end: FrontEnd) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """The fastest form of a front end here, for callers that do not differentiate by samples.

    Returns:
        A function as `FrontEnd.whole`: that itself where the compiled code cannot run (`obstacle`); else the log-mel is
        compiled, with a global normalisation where that is the next stage, and the other stages follow.
    """
    if obstacle(front_end.log_mel):
        return front_end.whole
    log_mel, stages = _Compiled(front_end.log_mel), list(front_end.stages)
    normalization = stages.pop(0) if stages and isinstance(stages[0], GlobalNormalization) else None

    def whole(samples: tf.Tensor, num_samples: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features_BTD, num_frames_B = log_mel(samples, num_samples, normalization=normalization)
        for stage in stages:
            features_BTD = stage(features_BTD, num_frames_B)
        return features_BTD, num_frames_B

    return whole


def obstacle(log_mel: LogMel) -> str | None:
    """Why the compiled code cannot run a layer here, as a sentence; None if it can."""
    if log_mel.n_fft < _LEAST_N_FFT or log_mel.n_fft & (log_mel.n_fft - 1):
        return f"it has powers of two alone, and n_fft is {log_mel.n_fft}"
    return native.obstacle()


class _Compiled:
    """A log-mel as one operation of the graph, with what its code reads."""

    def __init__(self, log_mel: LogMel) -> None:
        from speechgru.features.kernels import make_turns
        from speechgru.jit import LANES

        self._log_mel = log_mel
        # A shift of the samples under a transform changes no magnitude: here the window begins it.
        before = (log_mel.n_fft - log_mel.frame_length) // 2
        self._first_sample = before + lengths.first_sample(
            0, n_fft=log_mel.n_fft, hop_length=log_mel.hop_length, center=log_mel.center
        )
        self._window = np.zeros(-(-log_mel.frame_length // LANES) * LANES, np.float32)
        self._window[: log_mel.frame_length] = log_mel.window_N[before : before + log_mel.frame_length]
        self._turns = make_turns(log_mel.n_fft // 2)
        turns = np.exp(-2j * np.pi * np.arange(log_mel.n_fft // 4 + 1) / log_mel.n_fft)
        self._last_turns = np.stack([turns.real, turns.imag], axis=1).ravel().astype(np.float32)
        is_held_FM = log_mel.filters_FM != 0
        first_M, counts_M = is_held_FM.argmax(axis=0), is_held_FM.sum(axis=0)
        self._filters_M3 = np.stack([first_M, counts_M, np.cumsum(counts_M) - counts_M], axis=1).astype(np.int64)
        self._weights = log_mel.filters_FM.T[is_held_FM.T]

    def __call__(
        self, samples: tf.Tensor, num_samples: tf.Tensor, *, normalization: GlobalNormalization | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`samples_BN`, `num_samples_B` -> `log_mel_BTM`, normalised where asked, and `num_frames_B`."""
        samples_BN, num_samples_B = tf.cast(samples, tf.float32), tf.cast(num_samples, tf.int32)
        num_frames_B = self._log_mel.num_frames(num_samples_B)
        if normalization is None:
            mean_M, deviation_M = tf.zeros([self._log_mel.n_mels]), tf.ones([self._log_mel.n_mels])
        else:
            mean_M, deviation_M = (tf.convert_to_tensor(w) for w in (normalization.mean_D, normalization.deviation_D))
        operands = [samples_BN, num_samples_B, num_frames_B, mean_M, deviation_M]
        log_mel_BTM = tf.numpy_function(self._run, operands, tf.float32, stateful=False)
        log_mel_BTM.set_shape([samples_BN.shape[0], None, self._log_mel.n_mels])
        return log_mel_BTM, num_frames_B

    def _run(
        self,
        samples_BN: np.ndarray,
        num_samples_B: np.ndarray,
        num_frames_B: np.ndarray,
        mean_M: np.ndarray,
        deviation_M: np.ndarray,
    ) -> np.ndarray:
        from speechgru.features.kernels import log_mel
        from speechgru.jit import LANES, empty, run_beside

        settings = self._log_mel
        batch, num_samples = samples_BN.shape
        log_mel_BTM = empty((batch, int(settings.num_frames(num_samples)), settings.n_mels))
        num_samples_B, num_frames_B = num_samples_B.astype(np.int64), num_frames_B.astype(np.int64)
        threads = num_threads()

        covered = len(self._window)
        rows = max(settings.n_fft + 2, covered)

        def run(first: int) -> None:
            space = [
                (LANES - 1) * settings.hop_length + covered,
                LANES * rows,
                LANES * rows,
                LANES * settings.n_mels,
            ]
            log_mel(
                samples_BN,
                num_samples_B,
                num_frames_B,
                settings.n_fft,
                settings.hop_length,
                self._first_sample,
                np.float32(settings.preemphasis),
                self._window,
                self._turns,
                self._last_turns,
                self._filters_M3,
                self._weights,
                settings.spectrum == "power",
                np.float32(settings.log_floor),
                mean_M,
                deviation_M,
                first,
                threads,
                *(empty((size,)) for size in space),
                log_mel_BTM,
            )

        run_beside([functools.partial(run, first) for first in range(threads)], num_threads=threads)
        return log_mel_BTM
