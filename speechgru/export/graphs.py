"""The functions that are exported, each traced on its own from a trained model's layers; never the training graph.

At batch 1 no row is padded, so the GRU layers need no lengths there, and a step costs a few operations less.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.model.build import AcousticModel

#: Signatures by name, beside those that a device runs (`runtime`); `serving_default` is that of SavedModel's loaders.
FEATURES, AUDIO, BATCH = "features", "audio", "serving_default"


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
        """`samples` [1, N] -> `log_probs` [1, S, V], as a concrete function; N of any number above 0."""

        @tf.function(autograph=False)
        def recognize(samples: tf.Tensor) -> dict[str, tf.Tensor]:
            num_samples = tf.reshape(tf.shape(samples)[1], [1])
            return {"log_probs": self._log_probs(*self.model.front_end.whole(samples, num_samples))}

        return recognize.get_concrete_function(tf.TensorSpec([1, None], tf.float32, name="samples"))

    def features(self) -> Any:
        """`log_mel` [1, T, M], before any normalisation -> `log_probs` [1, S, V]."""

        @tf.function(autograph=False)
        def recognize_features(log_mel: tf.Tensor) -> dict[str, tf.Tensor]:
            num_frames = tf.reshape(tf.shape(log_mel)[1], [1])
            return {"log_probs": self._log_probs(*self.model.front_end.from_log_mel(log_mel, num_frames))}

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

    def _log_probs(self, features_1TD: tf.Tensor, num_frames_1: tf.Tensor) -> tf.Tensor:
        """Log-probabilities of one whole utterance."""
        logits_1SV, _ = self.model.encoder.whole(features_1TD, num_frames_1, is_alone=True)
        return tf.nn.log_softmax(logits_1SV)

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
