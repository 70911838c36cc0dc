"""From a configuration to a Keras model: samples -> log-mel -> subsampling -> GRU layers -> logits."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from speechgru import lengths
from speechgru.config import RunConfig
from speechgru.features import Deltas, GlobalNormalization, LogMel, UtteranceNormalization, mask_time
from speechgru.gru import GRU, BiGRU


@keras.saving.register_keras_serializable(package="speechgru")
class ConvSubsampling(keras.layers.Layer):
    """One convolution over time that makes a step of every `factor` frames.

    The kernel spans 2 * factor + 1 frames around each step's first frame, zeros beyond both ends. The ends are the
    utterance's own, so that padding and batch mates change nothing (Keras' "same" padding would look at the padded
    length).

    Args:
        factor: frames per step.
        channels: output channels.
    """

    def __init__(self, *, factor: int, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.factor, self.channels = factor, channels
        self.convolution = keras.layers.Conv1D(
            channels, 2 * factor + 1, strides=factor, padding="valid", activation="relu", dtype=self.dtype_policy
        )

    def build(self, log_mel_shape: Any, num_frames_shape: Any = None) -> None:
        self.convolution.build((None, None, log_mel_shape[-1]))
        self.built = True

    def call(self, log_mel: tf.Tensor, num_frames: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`log_mel_BTM` (zeros beyond each length), `num_frames_B` -> `outputs_BSD`, `num_steps_B`."""
        padded_BTM = tf.pad(log_mel, [[0, 0], [self.factor, self.factor], [0, 0]])
        num_steps_B = lengths.num_steps(num_frames, subsampling_factor=self.factor)
        return mask_time(self.convolution(padded_BTM), num_steps_B), num_steps_B

    def compute_output_shape(self, log_mel_shape: Any, num_frames_shape: Any) -> tuple[Any, Any]:
        frames = log_mel_shape[1]
        steps = None if frames is None else lengths.num_steps(frames, subsampling_factor=self.factor)
        return (log_mel_shape[0], steps, self.channels), tuple(num_frames_shape)

    def compute_output_spec(self, log_mel: Any, num_frames: Any) -> tuple[Any, Any]:
        outputs, steps = self.compute_output_shape(log_mel.shape, num_frames.shape)
        return keras.KerasTensor(outputs, self.compute_dtype), keras.KerasTensor(steps, "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor, "channels": self.channels}


def build_front_end(config: RunConfig) -> keras.Model:
    """`samples_BN`, `num_samples_B` -> normalised `log_mel_BTD`, `num_frames_B`.

    Its layers are `log_mel`, `deltas` where there are any, and `normalization` unless there is none; so
    `features.unnormalized` finds what stands before the normalisation, and `features.FrontEndStream` streams it.
    """
    settings = config.features
    samples = keras.Input((None,), name="samples", dtype="float32")
    num_samples = keras.Input((), name="num_samples", dtype="int32")
    log_mel, num_frames = LogMel(
        sample_rate=config.data.sample_rate,
        frame_length=config.frame_length,
        hop_length=config.hop_length,
        n_fft=config.n_fft,
        n_mels=settings.n_mels,
        f_min=settings.f_min_hz,
        f_max=config.f_max_hz,
        mel_scale=settings.mel_scale,
        spectrum=settings.spectrum,
        preemphasis=settings.preemphasis,
        center=settings.center,
        log_floor=settings.log_floor,
        name="log_mel",
    )(samples, num_samples)
    if settings.deltas:
        log_mel = Deltas(order=settings.deltas, name="deltas")(log_mel, num_frames)
    if settings.normalization == "global":
        log_mel = GlobalNormalization(num_features=config.num_features, name="normalization")(log_mel, num_frames)
    elif settings.normalization == "utterance":
        log_mel = UtteranceNormalization(name="normalization")(log_mel, num_frames)
    return keras.Model([samples, num_samples], [log_mel, num_frames], name="front_end")


def build_encoder(config: RunConfig, num_classes: int, *, implementation: str = "auto") -> keras.Model:
    """Normalised `log_mel_BTD`, `num_frames_B` -> `logits_BSV`, `num_steps_B`."""
    settings = config.model
    log_mel = keras.Input((None, config.num_features), name="log_mel", dtype="float32")
    num_frames = keras.Input((), name="num_frames", dtype="int32")
    outputs, num_steps = ConvSubsampling(
        factor=settings.subsampling_factor, channels=settings.subsampling_channels, name="subsampling"
    )(log_mel, num_frames)
    layer_type = BiGRU if settings.direction == "bidirectional" else GRU
    for number in range(settings.num_layers):
        outputs = keras.layers.Dropout(settings.dropout, seed=config.train.seed + number, name=f"dropout_{number}")(
            outputs
        )
        if settings.normalization == "layer":
            outputs = keras.layers.LayerNormalization(name=f"norm_{number}")(outputs)
        outputs = layer_type(
            settings.units,
            reset_after=settings.reset_after,
            update_gate=settings.update_gate,
            implementation=implementation,
            name=f"gru_{number}",
        )(outputs, lengths=num_steps)
    outputs = keras.layers.Dropout(settings.dropout, seed=config.train.seed + settings.num_layers, name="dropout")(
        outputs
    )
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(outputs)
    return keras.Model([log_mel, num_frames], [logits, num_steps], name="encoder")


def build_model(config: RunConfig, num_classes: int, *, implementation: str = "auto") -> keras.Model:
    """The whole recogniser: `samples_BN`, `num_samples_B` -> `logits_BSV`, `num_steps_B`.

    Args:
        config: the run's configuration.
        num_classes: classes, blank included: `len(vocabulary)`.
        implementation: how the GRU layers run; every choice has the same weights.

    Returns:
        A model with the layers `front_end` and `encoder`, so that training can augment between them.
    """
    keras.utils.set_random_seed(config.train.seed)
    samples = keras.Input((None,), name="samples", dtype="float32")
    num_samples = keras.Input((), name="num_samples", dtype="int32")
    log_mel, num_frames = build_front_end(config)([samples, num_samples])
    logits, num_steps = build_encoder(config, num_classes, implementation=implementation)([log_mel, num_frames])
    return keras.Model([samples, num_samples], [logits, num_steps], name="speechgru")
