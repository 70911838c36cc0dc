"""Stages that forget the channel as time goes by: a running mean, and PCEN; both over an exponential smoother.

The smoother is a weighted mean of all frames so far: a frame weighs ``keep`` times as much as the one after it,

    s[t] = keep s[t-1] + (1 - keep) x[t],  w[t] = keep w[t-1] + (1 - keep),  m[t] = s[t] / w[t],  s[-1] = w[-1] = 0,

with keep = exp(-hop / time constant). So the mean of the first frame is that frame, and no start has to be assumed.
s and w are what a stream carries from call to call.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru.features.frames import Stage, mask_time

#: Frames of a block, at most: within it the sum is one running sum of numbers that grow by 1 / keep a frame.
_MOST_BLOCK_FRAMES = 128
#: Logarithm of the most that they may grow by in a block: float32 has digits to spare.
_MOST_GROWTH = 4.0
#: Weights below this of a frame long gone count as nothing.
_LEAST_WEIGHT = 1e-9


def smooth(values_BTM: tf.Tensor, keep: float, *, before_BM: tf.Tensor | None = None) -> tf.Tensor:
    """``s[t] = keep s[t-1] + (1 - keep) x[t]`` along the frames, without a loop over them.

    Blocks of frames are summed side by side: inside a block, ``s[i] = keep^i sum_j<=i keep^-j (1 - keep) x[j]`` is a
    running sum. What earlier blocks leave behind is summed over the blocks' ends by doubling: after the pass p an end
    knows the 2^(p+1) blocks up to its own, and what lies farther back than the last pass reaches weighs nothing.

    Args:
        values_BTM: frames; those beyond a length change none before them.
        keep: in (0, 1).
        before_BM: s[-1]; zeros when None.

    Returns:
        `s_BTM`.
    """
    block = max(1, min(_MOST_BLOCK_FRAMES, int(_MOST_GROWTH / -math.log(keep))))
    powers_K = np.power(keep, np.arange(block + 1))
    batch, num_frames, width = tf.shape(values_BTM)[0], tf.shape(values_BTM)[1], values_BTM.shape[2]
    num_blocks = (num_frames + block - 1) // block
    padded_BTM = tf.pad(values_BTM, [[0, 0], [0, num_blocks * block - num_frames], [0, 0]])
    blocks_BLKM = tf.reshape(padded_BTM, [batch, num_blocks, block, width])
    growing_BLKM = blocks_BLKM * tf.constant((1.0 - keep) / powers_K[:-1, None], tf.float32)
    inside_BLKM = tf.cumsum(growing_BLKM, axis=2) * tf.constant(powers_K[:-1, None], tf.float32)
    # What each block begins with: the ends of all blocks before it, and the start.
    start_B1M = tf.zeros([batch, 1, width]) if before_BM is None else before_BM[:, None]
    carried_BLM = tf.concat([start_B1M, inside_BLKM[:, :, -1]], axis=1)[:, :-1]
    reach = 1
    while powers_K[-1] ** reach > _LEAST_WEIGHT:
        earlier_BLM = tf.pad(carried_BLM, [[0, 0], [reach, 0], [0, 0]])[:, :num_blocks]
        carried_BLM += float(powers_K[-1] ** reach) * earlier_BLM
        reach *= 2
    s_BLKM = inside_BLKM + carried_BLM[:, :, None] * tf.constant(powers_K[1:, None], tf.float32)
    return tf.reshape(s_BLKM, [batch, num_blocks * block, width])[:, :num_frames]


class SmoothingStage(Stage):
    """A stage that compares each frame with the mean of those so far, the recent ones weighing most.

    Args:
        num_features: numbers a frame.
        seconds: time constant of the mean: a frame this old weighs 1 / e of the newest.
        hop_seconds: from one frame to the next.
    """

    def __init__(self, *, num_features: int, seconds: float, hop_seconds: float, **kwargs: Any):
        super().__init__(**kwargs)
        if not (seconds > 0 and hop_seconds > 0):
            raise ValueError(f"seconds and hop_seconds must be above 0, got {seconds} and {hop_seconds}")
        self.num_features, self.seconds, self.hop_seconds = num_features, float(seconds), float(hop_seconds)

    @property
    def keep(self) -> float:
        """What a frame weighs, that of the next being 1."""
        return math.exp(-self.hop_seconds / self.seconds)

    @property
    def state_shape(self) -> list[int]:
        """s and, last, w."""
        return [1, self.num_features + 1]

    def smoothed(self, values_BTM: tf.Tensor) -> tf.Tensor:
        """What is averaged, of the stage's inputs."""
        raise NotImplementedError

    def compare(self, values_BTM: tf.Tensor, mean_BTM: tf.Tensor) -> tf.Tensor:
        """The stage's outputs, of its inputs and the mean at each frame."""
        raise NotImplementedError

    def call(self, log_mel: tf.Tensor, num_frames: tf.Tensor) -> tf.Tensor:
        """Whole utterances (`Stage.call`)."""
        values_BTM = tf.ensure_shape(log_mel, [None, None, self.num_features])
        counts_T1 = tf.cast(tf.range(1, tf.shape(values_BTM)[1] + 1), tf.float32)[:, None]
        weights_T1 = -tf.math.expm1(math.log(self.keep) * counts_T1)
        mean_BTM = smooth(self.smoothed(values_BTM), self.keep) / weights_T1
        return mask_time(self.compare(values_BTM, mean_BTM), num_frames)

    def chunk_from(
        self,
        values_1TD: tf.Tensor,
        state: tf.Tensor,
        *,
        first_frame: tf.Tensor,
        end_frame: tf.Tensor,
        chunk_frames: int,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A window of a stream (`Stage.chunk_from`)."""
        del end_frame  # later frames change none before them
        ones_1T1 = tf.ones_like(values_1TD[:, :, :1])
        is_real_T = tf.range(values_1TD.shape[1]) >= first_frame
        counted_1TM = tf.concat([self.smoothed(values_1TD), ones_1T1], axis=2)
        counted_1TM = tf.where(is_real_T[None, :, None], counted_1TM, 0.0)
        sums_1TM = smooth(counted_1TM, self.keep, before_BM=state)
        # Before the recording there is no weight; those frames do not matter.
        weights_1T1 = tf.maximum(sums_1TM[:, :, -1:], 0.5 * (1.0 - self.keep))
        mean_1TM = sums_1TM[:, :, :-1] / weights_1T1
        return self.compare(values_1TD, mean_1TM), sums_1TM[:, chunk_frames - 1]

    def get_config(self) -> dict[str, Any]:
        names = ("num_features", "seconds", "hop_seconds")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="speechgru")
class RunningMean(SmoothingStage):
    """Takes the mean of the frames so far off each: a microphone's and a room's colour goes, as it can in a stream.

    Arguments are those of `SmoothingStage`.

    Source: Rosenberg et al. 1994, "Cepstral Channel Normalization Techniques for HMM-Based Speaker Verification",
    section 2, with an exponential window of the past; here of log-mel, which is the same linear operation.
    """

    @classmethod
    def from_settings(cls, settings: Any, *, num_features: int, name: str) -> RunningMean | None:
        """The running mean that the section `features` asks for (`features.STAGES`)."""
        if settings.normalization != "running":
            return None
        return cls(
            num_features=num_features,
            seconds=settings.running_seconds,
            hop_seconds=settings.hop_length_ms / 1000,
            name=name,
        )

    def smoothed(self, values_BTM: tf.Tensor) -> tf.Tensor:
        return values_BTM

    def compare(self, values_BTM: tf.Tensor, mean_BTM: tf.Tensor) -> tf.Tensor:
        return values_BTM - mean_BTM


@keras.saving.register_keras_serializable(package="speechgru")
class PCEN(SmoothingStage):
    """Per-channel energy normalisation in place of the logarithm: an automatic gain for each filter, then a root.

    With E the mel energy and M its smoother, here ``m[t]`` of this module,

        PCEN = (E / (epsilon + M)^gain + bias)^root - bias^root.

    A steady sound, such as a fan's, and a channel's gain come out nearly the same at any level.

    Args:
        num_features, seconds, hop_seconds: as in `SmoothingStage`.
        gain: the share of the level, in decibels, that is taken out (alpha).
        bias: what soft sounds are drowned in (delta).
        root: the exponent of the compression (r).
        epsilon: energy from which on the gain acts; full scale is 1.

    Source: Wang et al. 2017, "Trainable Frontend for Robust and Far-Field Keyword Spotting", equations 1 and 2, with
    fixed parameters.
    """

    def __init__(
        self,
        *,
        gain: float = 0.98,
        bias: float = 2.0,
        root: float = 0.5,
        epsilon: float = 1e-6,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.gain, self.bias, self.root, self.epsilon = float(gain), float(bias), float(root), float(epsilon)

    @classmethod
    def from_settings(cls, settings: Any, *, num_features: int, name: str) -> PCEN | None:
        """The PCEN that the section `features` asks for (`features.STAGES`)."""
        if settings.compression != "pcen":
            return None
        return cls(
            num_features=num_features,
            seconds=settings.pcen_seconds,
            hop_seconds=settings.hop_length_ms / 1000,
            gain=settings.pcen_gain,
            bias=settings.pcen_bias,
            root=settings.pcen_root,
            name=name,
        )

    def least_deviations(self, least_D: np.ndarray) -> np.ndarray:
        """A root changes less than a logarithm: of a steady sound it gives some 0.3."""
        return least_D / 10

    def smoothed(self, values_BTM: tf.Tensor) -> tf.Tensor:
        return tf.exp(values_BTM)

    def compare(self, values_BTM: tf.Tensor, mean_BTM: tf.Tensor) -> tf.Tensor:
        # As a difference of logarithms: E and M span more decades than their quotient.
        levelled_BTM = tf.exp(values_BTM - self.gain * tf.math.log(self.epsilon + tf.maximum(mean_BTM, 0.0)))
        return tf.pow(levelled_BTM + self.bias, self.root) - self.bias**self.root

    def get_config(self) -> dict[str, Any]:
        names = ("gain", "bias", "root", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
