"""The functions that are exported, each traced on its own from a trained model's layers; never the training graph.

At batch 1 no row is padded, so the GRU layers need no lengths there, and a step costs a few operations less.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru import lengths
from speechgru.errors import UserError
from speechgru.model.build import AcousticModel

#: Signatures by name, beside those that a device runs (`runtime`); `serving_default` is that of SavedModel's loaders.
FEATURES, AUDIO, BATCH = "features", "audio", "serving_default"
#: That of a microcontroller.
STEP = "step"


class Graphs(tf.Module):
    """A recogniser's functions over one set of weights.

    Args:
        model: the recogniser, built with implementation="portable" (`model.build_model`).
    """

    def __init__(self, model: AcousticModel):
        super().__init__()
        self.model = model

    # -- whole utterances ----------------------------------------------------------------------------------------------

    def recognize(self) -> Any:
        """`samples` [1, N] -> `log_probs` [1, S, V], as a concrete function; of too few samples for a step S is 0."""
        front_end = self.model.front_end
        # Without any frame LiteRT's kernels fail: one is computed then, and left out of the answer.
        least = 1 if front_end.log_mel.center else front_end.log_mel.n_fft

        @tf.function(autograph=False)
        def recognize(samples: tf.Tensor) -> dict[str, tf.Tensor]:
            samples, num_samples = _alone(samples)
            enough = tf.maximum(num_samples, least)
            samples = tf.pad(samples, [[0, 0], [0, (enough - num_samples)[0]]])
            logits, _ = self.model.encoder.whole(*front_end.whole(samples, enough), is_alone=True)
            num_frames = front_end.log_mel.num_frames(num_samples)
            num_steps = lengths.num_steps(num_frames, subsampling_factor=self.model.encoder.subsampling.factor)
            # The softmax is last: LiteRT's Python cannot read a slice without steps.
            return {"log_probs": tf.nn.log_softmax(logits[:, : num_steps[0]])}

        return recognize.get_concrete_function(tf.TensorSpec([1, None], tf.float32, name="samples"))

    def features(self) -> Any:
        """`log_mel` [1, T, M], before any normalisation -> `log_probs` [1, S, V]."""

        @tf.function(autograph=False)
        def recognize_features(log_mel: tf.Tensor) -> dict[str, tf.Tensor]:
            log_mel, num_frames = _alone(log_mel)
            features = self.model.front_end.from_log_mel(log_mel, num_frames)
            logits, _ = self.model.encoder.whole(*features, is_alone=True)
            return {"log_probs": tf.nn.log_softmax(logits)}

        return recognize_features.get_concrete_function(
            tf.TensorSpec([1, None, self.model.front_end.log_mel.n_mels], tf.float32, name="log_mel")
        )

    def batch(self) -> Any:
        """`samples` [B, N], `num_samples` [B] -> `log_probs` [B, S, V], `num_steps` [B]: for servers."""

        @tf.function(autograph=False)
        def recognize_batch(samples: tf.Tensor, num_samples: tf.Tensor) -> dict[str, tf.Tensor]:
            logits_BSV, num_steps_B = self.model([samples, num_samples], training=False)
            return {"log_probs": tf.nn.log_softmax(logits_BSV), "num_steps": num_steps_B}

        return recognize_batch.get_concrete_function(
            tf.TensorSpec([None, None], tf.float32, name="samples"),
            tf.TensorSpec([None], tf.int32, name="num_samples"),
        )

    def front_end_stages(self, samples_N: np.ndarray) -> dict[str, np.ndarray]:
        """Of one utterance `log_mel` [T, M], and `features` [T, D] as the model gets them: with slopes, normalised."""
        log_mel_1TM, num_frames_1 = self.model.front_end.log_mel(samples_N[None], np.array([len(samples_N)], np.int32))
        features_1TD, _ = self.model.front_end.from_log_mel(log_mel_1TM, num_frames_1)
        return {"log_mel": log_mel_1TM[0].numpy(), "features": features_1TD[0].numpy()}

    # -- while somebody speaks -----------------------------------------------------------------------------------------

    def stream(self) -> Any:
        """One call of a stream: `samples` of a chunk and the state before it -> `log_probs` and the state after it.

        Inputs: `samples` [1, chunk_samples]; `bounds` [4] (`StreamGeometry.bounds`); and the state, which each call
        receives as the one before returned it (`AcousticModel.chunk`).

        Outputs: `log_probs` [1, chunk_steps, V], and the state under the same names.

        Raises:
            UserError: the model cannot stream; the message names the key to change.
        """
        geometry = self.model.stream_geometry()
        specs = {
            "samples": tf.TensorSpec([1, geometry.chunk_samples], tf.float32, name="samples"),
            "bounds": tf.TensorSpec([4], tf.int32, name="bounds"),
            **{name: tf.TensorSpec(shape, tf.float32, name=name) for name, shape in self.model.state_shapes().items()},
        }

        @tf.function(autograph=False)
        def stream(samples: tf.Tensor, bounds: tf.Tensor, **states: tf.Tensor) -> Any:
            logits_1SV, after = self.model.chunk(samples, bounds, states)
            return {"log_probs": tf.nn.log_softmax(logits_1SV), **after}

        return stream.get_concrete_function(**specs)

    def step(self) -> Any:
        """One step of a stream without its front end and without a loop: what a microcontroller runs.

        Inputs: `features` [1, K, D], the step's frames as the front end gives them and those on which its subsampling
        reaches, K = 2 * subsampling_factor + 1, zeros where they are not the utterance's; with look-ahead `num_steps`
        int32 [1], 1 where the step is the utterance's and 0 for those behind its end; and the state, zeros at first.

        Outputs: `log_probs` [1, V], of the step `delay_steps` before, and the state under the same names.

        Raises:
            UserError: the model cannot be computed so; the message names the key to change.
        """
        encoder = self.model.encoder
        obstacle = self.model.stream_obstacle or encoder.direction.step_obstacle
        if obstacle is not None:
            raise UserError(obstacle)
        geometry = dataclasses.replace(self.model.stream_geometry(), chunk_steps=1)
        window = [1, 2 * geometry.subsampling_factor + 1, self.model.front_end.num_features]
        specs = {"features": tf.TensorSpec(window, tf.float32, name="features")}
        if geometry.delay_steps:
            specs["num_steps"] = tf.TensorSpec([1], tf.int32, name="num_steps")
        for name, shape in encoder.state_shapes(geometry).items():
            specs[name] = tf.TensorSpec(shape, tf.float32, name=name)

        @tf.function(autograph=False)
        def step(features: tf.Tensor, **others: tf.Tensor) -> Any:
            num_steps = others.pop("num_steps", None)
            logits_11V, after = encoder.step(features, others, geometry=geometry, num_steps_1=num_steps)
            log_probs_1V = tf.nn.log_softmax(tf.reshape(logits_11V, [1, logits_11V.shape[2]]))
            return {"log_probs": log_probs_1V, **after}

        return step.get_concrete_function(**specs)


def _alone(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """One utterance and its length, [1].

    A runtime may be given more rows than the signature has, and would join them into one text. The reshape to one row
    of the length that each of them has fails then.
    """
    length = tf.shape(values)[1]
    return tf.reshape(values, tf.stack([1, length, *values.shape[2:]])), tf.reshape(length, [1])
