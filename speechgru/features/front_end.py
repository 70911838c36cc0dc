"""The front end as one object: whole utterances, and windows of a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru.features.frames import GlobalNormalization, Stage, UtteranceNormalization
from speechgru.features.log_mel import LogMel
from speechgru.lengths import StreamGeometry


class FrontEnd:
    """Samples to features: the log-mel, then stages over frames, in training, in exported graphs and in a stream.

    Args:
        log_mel: the first layer.
        stages: what follows it, in order (`features.STAGES`).

    Example:
        >>> import numpy as np
        >>> from speechgru.features import Deltas, FrontEnd, LogMel
        >>> log_mel = LogMel(
        ...     sample_rate=8000, frame_length=200, hop_length=80, n_fft=256, n_mels=20, f_min=20.0, f_max=4000.0)
        >>> front_end = FrontEnd(log_mel, [Deltas(order=1)])
        >>> features_BTD, num_frames_B = front_end.whole(np.zeros([1, 800], np.float32), np.array([800]))
        >>> features_BTD.shape, front_end.num_features, front_end.reach_frames
        (TensorShape([1, 11, 40]), 40, 2)
    """

    def __init__(self, log_mel: LogMel, stages: Sequence[Stage] = ()):
        self.log_mel, self.stages = log_mel, tuple(stages)
        samples = keras.Input((None,), name="samples", dtype="float32")
        num_samples = keras.Input((), name="num_samples", dtype="int32")
        outputs = list(self.whole(samples, num_samples))
        #: The same as a Keras model, `front_end`, for a model that contains it.
        self.model = keras.Model([samples, num_samples], outputs, name="front_end")
        #: Numbers in a frame of features.
        self.num_features: int = outputs[0].shape[2]

    @property
    def normalization(self) -> GlobalNormalization | UtteranceNormalization | None:
        """The stage that normalises, where there is one."""
        found = (stage for stage in self.stages if isinstance(stage, (GlobalNormalization, UtteranceNormalization)))
        return next(found, None)

    def set_statistics(self, mean_D: np.ndarray, deviation_D: np.ndarray) -> None:
        """Puts a corpus's mean and deviation of each feature into the normalisation.

        Raises:
            ValueError: there is no global normalisation, or a deviation is not above 0.
        """
        if not isinstance(self.normalization, GlobalNormalization):
            raise ValueError("only a front end whose normalisation is global has statistics of a corpus")
        self.normalization.set_statistics(mean_D, deviation_D)

    @property
    def reach_frames(self) -> int:
        """Frames on either side that a frame of features depends on."""
        return sum(stage.reach_frames for stage in self.stages)

    @property
    def stream_obstacle(self) -> str | None:
        """Why it cannot stream, and which key to change; None where it can."""
        return next((stage.stream_obstacle for stage in self.stages if stage.stream_obstacle is not None), None)

    def whole(self, samples: Any, num_samples: Any, *, normalized: bool = True) -> tuple[Any, Any]:
        """Computes whole utterances.

        Args:
            samples: `samples_BN`, floats in [-1, 1].
            num_samples: `num_samples_B`, integers.
            normalized: whether to include the normalisation and what follows it.

        Returns:
            `features_BTD` float32, zeros beyond each row's frames, and `num_frames_B` int32.
        """
        return self.from_log_mel(*self.log_mel(samples, num_samples), normalized=normalized)

    def from_log_mel(self, log_mel: Any, num_frames: Any, *, normalized: bool = True) -> tuple[Any, Any]:
        """The rest of `whole` behind the log-mel: `log_mel_BTM`, `num_frames_B` -> `features_BTD`, `num_frames_B`."""
        features = log_mel
        for stage in self.stages:
            if stage is self.normalization and not normalized:
                break
            features = stage(features, num_frames)
        return features, num_frames

    def state_shapes(self) -> dict[str, list[int]]:
        """The shapes of what its stages carry from call to call of a stream, by their names."""
        return {stage.name: stage.state_shape for stage in self.stages if stage.state_shape is not None}

    def chunk(
        self, window_1N: tf.Tensor, bounds: tf.Tensor, states: Mapping[str, tf.Tensor], *, geometry: StreamGeometry
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Computes one window of a stream.

        Args:
            window_1N: `geometry.window_samples` samples.
            bounds: int32 [4], which samples and frames of the window are the recording's (`StreamGeometry.bounds`).
            states: the state before the window, by the names of `state_shapes`; others may be among them.
            geometry: what a window covers.

        Returns:
            `features_1TD` without `reach_frames` at either end, zeros where a frame is not the recording's; and the
            state before the next window.
        """
        places_N = tf.range(geometry.window_samples)
        if geometry.leading_samples:
            window_1N, places_N = self.log_mel.emphasize(window_1N), places_N[geometry.leading_samples :]
        window_1N = tf.where((places_N >= bounds[0]) & (places_N < bounds[1]), window_1N, 0.0)
        # The last transform may reach beyond its window, where its window function is zero.
        covered = (geometry.window_frames - 1) * geometry.hop_length + geometry.n_fft
        missing = covered - (geometry.window_samples - geometry.leading_samples)
        features_1TD = self.log_mel.of_frames(self.log_mel.cut(tf.pad(window_1N, [[0, 0], [0, missing]])))
        features_1TD.set_shape([1, geometry.window_frames, self.log_mel.n_mels])
        after: dict[str, tf.Tensor] = {}
        real = {"first_frame": bounds[2], "end_frame": bounds[3]}
        for stage in self.stages:
            if stage.state_shape is None:
                features_1TD = stage.chunk(features_1TD, **real)
            else:
                features_1TD, after[stage.name] = stage.chunk_from(
                    features_1TD, states[stage.name], **real, chunk_frames=geometry.chunk_frames
                )
        frames_T = tf.range(geometry.window_frames)
        is_real_T = (frames_T >= bounds[2]) & (frames_T < bounds[3])
        features_1TD = tf.where(is_real_T[None, :, None], features_1TD, 0.0)
        # Stages' outputs near the window's ends lack neighbours; these frames were computed for their neighbours' sake.
        return features_1TD[:, self.reach_frames : geometry.window_frames - self.reach_frames], after
