"""The front end of a whole utterance in parts, and of one that is still being spoken."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru import lengths
from speechgru.errors import UserError
from speechgru.features.frames import SLOPE_REACH, Deltas, GlobalNormalization, UtteranceNormalization, slopes
from speechgru.features.log_mel import LogMel


def part_of_front_end(front_end: keras.Model, *, from_log_mel: bool = False, normalized: bool = True) -> keras.Model:
    """A part of a front end, with the same layers.

    Args:
        front_end: with the layers `log_mel`, `deltas` and `normalization`, the last two where there are such.
        from_log_mel: begins behind the layer `log_mel`, for features that were computed beforehand.
        normalized: whether to end with the normalisation; what it is measured on stands before it.

    Returns:
        `samples_BN`, `num_samples_B` (or `log_mel_BTM`, `num_frames_B`) -> `log_mel_BTD`, `num_frames_B`.
    """
    layers = _layers_of(front_end)
    if from_log_mel:
        # Keras cannot begin a model at a tensor that it does not end at too, which the lengths are: new inputs.
        outputs, num_frames = (keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in layers["log_mel"].output)
        inputs = [outputs, num_frames]
        for name in ("deltas", "normalization")[: 2 if normalized else 1]:
            outputs = layers[name](outputs, num_frames) if name in layers else outputs
        return keras.Model(inputs, [outputs, num_frames])
    ends_before = not normalized and "normalization" in layers
    return keras.Model(front_end.inputs, list(layers["normalization"].input) if ends_before else front_end.outputs)


class FrontEndStream:
    """The front end of one utterance while it is spoken: samples in pieces of any size, frames once they are decided.

    All that `feed` and `finish` return, one after the other, is what the front end gives for all samples at once.

    Args:
        front_end: as `unnormalized` takes; every normalisation but the utterance's own.

    Raises:
        UserError: the front end normalises each utterance by itself.
    """

    def __init__(self, front_end: keras.Model):
        layers = _layers_of(front_end)
        self._log_mel: LogMel = layers["log_mel"]
        self._deltas: Deltas | None = layers.get("deltas")
        self._normalization: GlobalNormalization | None = layers.get("normalization")
        if isinstance(self._normalization, UtteranceNormalization):
            raise UserError(
                "features.normalization is utterance: a frame is normalised by the mean and deviation of its whole "
                "utterance, which a stream does not know yet; train with features.normalization global or none"
            )
        self._geometry = {
            "n_fft": self._log_mel.n_fft,
            "hop_length": self._log_mel.hop_length,
            "center": self._log_mel.center,
        }
        # One graph for pieces of any size: operator by operator, a piece of a few frames takes ten times as long.
        self._log_mel_of = tf.function(
            lambda samples_BN: self._log_mel.of_frames(self._log_mel.cut(samples_BN)),
            input_signature=[tf.TensorSpec([1, None], tf.float32)],
            autograph=False,
        )
        self.reset()

    @property
    def latency(self) -> int:
        """Samples that must have come, counted from t * hop_length on, before frame t is given out."""
        lookahead = self._deltas.lookahead_frames if self._deltas else 0
        return lengths.num_samples_decided(lookahead, frame_length=self._log_mel.frame_length, **self._geometry)

    def reset(self) -> None:
        """Forgets everything: what comes next is another utterance."""
        before = -lengths.first_sample(0, **self._geometry)
        self._waiting_N = np.zeros(before, np.float32)  # from the first sample of the next frame on
        self._to_skip = 0  # samples before that one which have not come yet: a hop may be longer than a transform
        self._last_sample = np.zeros(1, np.float32)
        self._num_samples, self._num_frames = 0, 0
        self._slopes = [_SlopeStream() for _ in range(self._deltas.order if self._deltas else 0)]
        self._groups = [np.zeros([0, self._log_mel.n_mels], np.float32) for _ in range(1 + len(self._slopes))]
        self._finished = False

    def feed(self, samples_N: np.ndarray) -> np.ndarray:
        """Takes the next samples.

        Args:
            samples_N: floats in [-1, 1], as many as there are.

        Returns:
            The frames that these samples decide, `log_mel_TD` float32; often none.

        Raises:
            ValueError: samples after `finish`, or something else than a row of floats.
        """
        samples_N = np.asarray(samples_N)
        if self._finished:
            raise ValueError("the stream has been finished; call reset() before another utterance")
        if samples_N.ndim != 1 or not np.issubdtype(samples_N.dtype, np.floating):
            raise ValueError(
                f"samples must be a row of floats in [-1, 1], got {samples_N.dtype} of shape {list(samples_N.shape)}"
            )
        samples_N = samples_N.astype(np.float32)
        self._num_samples += len(samples_N)
        if self._log_mel.preemphasis:
            extended_N = np.concatenate([self._last_sample, samples_N])
            self._last_sample = extended_N[-1:]
            samples_N = self._log_mel.emphasize(extended_N[None])[0]
        skipped = min(self._to_skip, len(samples_N))
        self._to_skip -= skipped
        self._waiting_N = np.concatenate([self._waiting_N, samples_N[skipped:]])
        decided = lengths.num_frames_decided(
            self._num_samples, frame_length=self._log_mel.frame_length, **self._geometry
        )
        return self._give(self._compute(decided))

    def finish(self) -> np.ndarray:
        """Says that the utterance is over; returns the rest of its frames, `log_mel_TD`."""
        log_mel_TD = self._give(self._compute(lengths.num_frames(self._num_samples, **self._geometry)), finish=True)
        self._finished = True
        return log_mel_TD

    def _compute(self, until: int) -> np.ndarray:
        """Log-mel of the frames that have not been computed yet, up to frame `until`; zeros where samples end."""
        count = until - self._num_frames
        if count <= 0:
            return np.zeros([0, self._log_mel.n_mels], np.float32)
        # More never wait: a frame is decided once its transform is filled, if not before.
        needed = (count - 1) * self._log_mel.hop_length + self._log_mel.n_fft
        samples_N = np.pad(self._waiting_N, (0, max(0, needed - len(self._waiting_N))))
        passed = count * self._log_mel.hop_length
        self._to_skip += max(0, passed - len(self._waiting_N))
        self._waiting_N = self._waiting_N[passed:]
        self._num_frames = until
        return self._log_mel_of(samples_N[None])[0].numpy()

    def _give(self, log_mel_TM: np.ndarray, *, finish: bool = False) -> np.ndarray:
        """Appends slopes and normalises, as far as the frames to come are not needed."""
        new = [log_mel_TM]
        for slope_stream in self._slopes:
            new.append(slope_stream.feed(new[-1], finish=finish))
        self._groups = [np.concatenate(pair) for pair in zip(self._groups, new, strict=True)]
        count = len(self._groups[-1])
        log_mel_TD = np.concatenate([group[:count] for group in self._groups], axis=1)
        self._groups = [group[count:] for group in self._groups]
        if self._normalization is not None and count:
            log_mel_TD = np.asarray(self._normalization.normalize(log_mel_TD))
        return log_mel_TD


class _SlopeStream:
    """`slopes` of frames that come in pieces, the first and the last one repeated beyond the ends."""

    def __init__(self) -> None:
        self._context_TD: np.ndarray | None = None

    def feed(self, values_TD: np.ndarray, *, finish: bool) -> np.ndarray:
        known = self._context_TD
        if known is None:
            if not len(values_TD):
                return values_TD
            known = np.repeat(values_TD[:1], SLOPE_REACH, axis=0)
        known = np.concatenate([known, values_TD])
        if finish:
            known = np.concatenate([known, np.repeat(known[-1:], SLOPE_REACH, axis=0)])
        self._context_TD = known[-2 * SLOPE_REACH :]
        return slopes(known[None])[0]


def _layers_of(front_end: keras.Model) -> dict[str, Any]:
    return {layer.name: layer for layer in front_end.layers}
