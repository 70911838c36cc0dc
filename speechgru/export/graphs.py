"""The functions that are exported, each traced on its own from a trained model's layers; never the training graph.

At batch 1 no row is padded, so the GRU layers need no lengths there, and a step costs a few operations less.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru import lengths
from speechgru.config.sections import RunConfig
from speechgru.errors import UserError
from speechgru.features import SLOPE_REACH, mask_time, part_of_front_end, slopes
from speechgru.lengths import StreamGeometry

#: Seconds that a chunk of a forward model spans, about: a result so often.
FORWARD_CHUNK_SECONDS = 0.1

#: Signatures by name, beside those that a device runs (`runtime`); `serving_default` is that of SavedModel's loaders.
FEATURES, AUDIO, BATCH = "features", "audio", "serving_default"


class Graphs(tf.Module):
    """A recogniser's functions over one set of weights.

    Args:
        model: the recogniser, built with implementation="portable" (`model.build_model`).
        config: its configuration.
    """

    def __init__(self, model: keras.Model, config: RunConfig):
        super().__init__()
        self.model = model
        self.front_end, self.encoder = model.get_layer("front_end"), model.get_layer("encoder")
        self._config, self._num_mels = config, config.features.n_mels
        self._from_log_mel = part_of_front_end(self.front_end, from_log_mel=True)
        self._layers = {layer.name: layer for layer in self.encoder.layers}

    # -- whole utterances ----------------------------------------------------------------------------------------------

    def recognize(self) -> Any:
        """`samples` [1, N] -> `log_probs` [1, S, V], as a concrete function; N of any number above 0."""

        @tf.function(autograph=False)
        def recognize(samples: tf.Tensor) -> dict[str, tf.Tensor]:
            num_samples = tf.reshape(tf.shape(samples)[1], [1])
            return {"log_probs": self._log_probs(*self.front_end([samples, num_samples]))}

        return recognize.get_concrete_function(tf.TensorSpec([1, None], tf.float32, name="samples"))

    def features(self) -> Any:
        """`log_mel` [1, T, M], before any normalisation -> `log_probs` [1, S, V]."""

        @tf.function(autograph=False)
        def recognize_features(log_mel: tf.Tensor) -> dict[str, tf.Tensor]:
            num_frames = tf.reshape(tf.shape(log_mel)[1], [1])
            return {"log_probs": self._log_probs(*self._from_log_mel([log_mel, num_frames]))}

        return recognize_features.get_concrete_function(
            tf.TensorSpec([1, None, self._num_mels], tf.float32, name="log_mel")
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
        inputs = [samples_N[None], np.array([len(samples_N)], np.int32)]
        log_mel_1TM, _ = self.front_end.get_layer("log_mel")(*inputs)
        return {"log_mel": log_mel_1TM[0].numpy(), "features": self.front_end(inputs)[0][0].numpy()}

    def _log_probs(self, log_mel_1TD: tf.Tensor, num_frames_1: tf.Tensor) -> tf.Tensor:
        """Log-probabilities of one whole utterance."""
        settings = self._config.model
        num_steps_1 = lengths.num_steps(num_frames_1, subsampling_factor=settings.subsampling_factor)
        reach = settings.subsampling_factor
        outputs = steps_1SD = self._subsample(tf.pad(log_mel_1TD, [[0, 0], [reach, reach], [0, 0]]))
        if self._is_chunked:
            outputs, _ = self._layers["windows"](outputs, num_steps_1)
        for number in range(settings.num_layers):
            outputs = self._normalize(number, outputs)
            layer = self._layers[f"gru_{number}"]
            outputs = layer(outputs, lengths=num_steps_1) if self._is_chunked else layer(outputs)
        if self._is_chunked:
            outputs = self._layers["steps"](outputs, steps_1SD)
        elif "lookahead" in self._layers:
            outputs = self._layers["lookahead"](outputs, num_steps_1)
        return tf.nn.log_softmax(self._logits(outputs))

    def _subsample(self, frames_1TD: tf.Tensor) -> tf.Tensor:
        """The subsampling's convolution as one product: the frames of each step side by side.

        The same numbers, and in 8 bits better ones: there a convolution's inputs share one scale over the whole
        tensor, so that a step would depend on the loudest of what it is computed with, while a product's rows have a
        scale each.
        """
        convolution = self._layers["subsampling"].convolution
        kernel_KDE, bias_E = tf.convert_to_tensor(convolution.kernel), tf.convert_to_tensor(convolution.bias)
        size, width, channels = kernel_KDE.shape
        factor = self._config.model.subsampling_factor
        num_steps = (tf.shape(frames_1TD)[1] - size) // factor + 1
        if frames_1TD.shape[1] is not None:
            num_steps = (frames_1TD.shape[1] - size) // factor + 1
        parts = [frames_1TD[:, k : k + (num_steps - 1) * factor + 1 : factor] for k in range(size)]
        kernel_RE = tf.reshape(kernel_KDE, [size * width, channels])
        return tf.nn.relu(tf.matmul(tf.concat(parts, axis=2), kernel_RE) + bias_E)

    def _logits(self, outputs_1SD: tf.Tensor) -> tf.Tensor:
        """The last layer as one product with its bias, at any length; Keras' own takes it apart where S is unknown."""
        layer = self._layers["logits"]
        return tf.matmul(outputs_1SD, tf.convert_to_tensor(layer.kernel)) + tf.convert_to_tensor(layer.bias)

    @property
    def _is_chunked(self) -> bool:
        return self._config.model.direction == "chunked"

    def _normalize(self, number: int, inputs_BSD: tf.Tensor) -> tf.Tensor:
        kind = self._config.model.normalization
        if kind == "none":
            return inputs_BSD
        layer = self._layers[f"norm_{number}"]
        if kind == "layer":
            return layer(inputs_BSD)
        return layer(inputs_BSD, tf.fill(tf.shape(inputs_BSD)[:1], tf.shape(inputs_BSD)[1]), training=False)

    # -- while somebody speaks -----------------------------------------------------------------------------------------

    def stream(self, geometry: StreamGeometry) -> Any:
        """One call of a stream: `samples` of a chunk and the state before it -> `log_probs` and the state after it.

        Inputs: `samples` [1, chunk_samples]; `bounds` [4] (`StreamGeometry.bounds`); and the state, which each call
        takes as the one before gave it: `context` [1, context_samples], the samples before those of the chunk; for each
        layer `state_0`, ... [1, U]; `ahead` [1, delay_steps, U] where a forward model looks ahead. All begin as zeros,
        but `context`: it ends with the recording's first samples (`first_samples` less `chunk_samples` of them).

        Outputs: `log_probs` [1, chunk_steps, V], and the state under the same names.
        """
        settings = self._config.model
        specs = {
            "samples": tf.TensorSpec([1, geometry.chunk_samples], tf.float32, name="samples"),
            "bounds": tf.TensorSpec([4], tf.int32, name="bounds"),
            **{
                name: tf.TensorSpec(shape, tf.float32, name=name)
                for name, shape in state_shapes(self._config, geometry).items()
            },
        }

        @tf.function(autograph=False)
        def stream(samples: tf.Tensor, bounds: tf.Tensor, context: tf.Tensor, **states: tf.Tensor) -> Any:
            window_1N = tf.concat([context, samples], axis=1)
            after = {"context": window_1N[:, geometry.chunk_samples :]}
            log_mel_1TD = self._window_features(window_1N, bounds, geometry)
            outputs = self._subsample(log_mel_1TD)
            end_frame = bounds[3] - geometry.frames_before
            end_1 = tf.reshape(
                lengths.num_steps(tf.maximum(end_frame, 0), subsampling_factor=settings.subsampling_factor), [1]
            )
            end_1 = tf.minimum(end_1, geometry.window_steps)
            outputs = mask_time(outputs, end_1)
            for number in range(settings.num_layers):
                name, layer = f"state_{number}", self._layers[f"gru_{number}"]
                inputs = self._normalize(number, outputs)
                outputs, after[name] = layer.run_direction(layer.cells[0], inputs, initial_state=states[name])
                if self._is_chunked:
                    after[name] = outputs[:, geometry.chunk_steps - 1]
                    backward, _ = layer.run_direction(layer.cells[1], inputs, backwards=True, lengths=end_1)
                    outputs = tf.concat([outputs, backward], axis=-1)
            if geometry.delay_steps:
                outputs = tf.concat([states["ahead"], mask_time(outputs, end_1)], axis=1)
                after["ahead"] = outputs[:, geometry.chunk_steps :]
                outputs = self._layers["lookahead"].mix(outputs)
            logits_1SV = self._logits(outputs[:, : geometry.chunk_steps])
            return {"log_probs": tf.nn.log_softmax(logits_1SV), **after}

        return stream.get_concrete_function(**specs)

    def _window_features(self, window_1N: tf.Tensor, bounds: tf.Tensor, geometry: StreamGeometry) -> tf.Tensor:
        """Normalised features of a window without the slopes' reach at either end, zeros where no frame is real."""
        layers = {layer.name: layer for layer in self.front_end.layers}
        log_mel = layers["log_mel"]
        places_N = tf.range(geometry.window_samples)
        if geometry.leading_samples:
            window_1N, places_N = log_mel.emphasize(window_1N), places_N[geometry.leading_samples :]
        window_1N = tf.where((places_N >= bounds[0]) & (places_N < bounds[1]), window_1N, 0.0)
        # The last transform may reach beyond its window, where its samples count for nothing.
        covered = (geometry.window_frames - 1) * geometry.hop_length + geometry.n_fft
        missing = covered - (geometry.window_samples - geometry.leading_samples)
        values_1TD = log_mel.of_frames(log_mel.cut(tf.pad(window_1N, [[0, 0], [0, missing]])))
        frames_T = tf.range(geometry.window_frames)
        if "deltas" in layers:
            # Beyond the recording's ends the values at its ends go on.
            nearest_T = tf.clip_by_value(frames_T, bounds[2], tf.maximum(bounds[3] - 1, bounds[2]))
            groups = [values_1TD]
            for _ in range(layers["deltas"].order):
                found = slopes(tf.gather(groups[-1], nearest_T, axis=1))
                groups.append(tf.pad(found, [[0, 0], [SLOPE_REACH, SLOPE_REACH], [0, 0]]))
            values_1TD = tf.concat(groups, axis=2)
        if "normalization" in layers:
            values_1TD = layers["normalization"].normalize(values_1TD)
        is_real_T = (frames_T >= bounds[2]) & (frames_T < bounds[3])
        values_1TD = tf.where(is_real_T[None, :, None], values_1TD, 0.0)
        reach = geometry.slope_frames
        return values_1TD[:, reach : geometry.window_frames - reach]


def stream_geometry(config: RunConfig) -> StreamGeometry:
    """How a model of this configuration streams.

    Raises:
        UserError: it cannot; says which key to change.
    """
    settings = config.model
    obstacle = stream_obstacle(config)
    if obstacle is not None:
        raise UserError(obstacle)
    chunk_steps = max(1, round(FORWARD_CHUNK_SECONDS / config.step_seconds))
    return StreamGeometry(
        frame_length=config.frame_length,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        center=config.features.center,
        slope_frames=SLOPE_REACH * config.features.deltas,
        leading_samples=int(config.features.preemphasis > 0),
        subsampling_factor=settings.subsampling_factor,
        chunk_steps=settings.chunk_steps if settings.direction == "chunked" else chunk_steps,
        lookahead_steps=settings.lookahead_steps if settings.direction == "chunked" else 0,
        delay_steps=settings.lookahead_steps if settings.direction == "forward" else 0,
    )


def stream_obstacle(config: RunConfig) -> str | None:
    """Why a model of this configuration cannot stream, and what to change; None where it can."""
    if config.model.direction == "bidirectional":
        return (
            "model.direction is bidirectional: the backward GRU begins at the utterance's end, which a stream does not "
            "know; train with model.direction forward or chunked"
        )
    if config.features.normalization == "utterance":
        return (
            "features.normalization is utterance: a frame is normalised by its whole utterance, which a stream does "
            "not know; train with features.normalization global or none"
        )
    return None


def state_shapes(config: RunConfig, geometry: StreamGeometry) -> dict[str, list[int]]:
    """The shapes of a stream's state by name, all float32."""
    shapes = {"context": [1, geometry.context_samples]}
    shapes |= {f"state_{number}": [1, config.model.units] for number in range(config.model.num_layers)}
    if geometry.delay_steps:
        shapes["ahead"] = [1, geometry.delay_steps, config.model.units]
    return shapes


def stream_record(config: RunConfig) -> dict[str, Any] | None:
    """What `bundle.json` says of the stream: its geometry and its state's shapes; None where there is no stream."""
    if stream_obstacle(config) is not None:
        return None
    geometry = stream_geometry(config)
    names = ("chunk_samples", "context_samples", "samples_before", "window_samples", "window_frames", "chunk_frames")
    sizes = {name: getattr(geometry, name) for name in (*names, "frames_before", "first_samples")}
    sizes["prefilled_samples"] = geometry.first_samples - geometry.chunk_samples
    return {"geometry": dataclasses.asdict(geometry), "sizes": sizes, "states": state_shapes(config, geometry)}
