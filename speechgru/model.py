"""From a configuration to a Keras model: samples -> log-mel -> subsampling -> GRU layers -> logits.

Precision is a matter of layers, never of Keras' global policy. Where it is mixed, the convolution and the GRU layers,
which have nearly all products, compute with 16-bit operands; variables, the front end, dropout, normalisation, the
recurrent state (`gru.GRU`) and the logits stay float32. What stays costs little, and so every precision has the same
variables in the same order and draws the same dropout masks.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru import lengths
from speechgru.config import RunConfig
from speechgru.features import Deltas, GlobalNormalization, LogMel, UtteranceNormalization, mask_time
from speechgru.gru import GRU, BiGRU, ChunkedBiGRU, to_windows, window_lengths

_LAYER_TYPES = {"bidirectional": BiGRU, "forward": GRU, "chunked": ChunkedBiGRU}

#: Keras' dtype policies that training may run in.
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


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


@keras.saving.register_keras_serializable(package="speechgru")
class LookaheadConvolution(keras.layers.Layer):
    """Mixes each number of a step with the same number of a few steps to come, so that a forward model may wait.

    ``y[s, d] = sum_j kernel[j, d] x[s + j, d]`` for j = 0 to `lookahead_steps`; beyond an utterance's length x is 0. It
    begins as y = x.

    Args:
        lookahead_steps: steps to come, 1 or more.

    Source: Wang et al. 2016, "Lookahead Convolution Layer for Unidirectional Recurrent Neural Networks".
    """

    def __init__(self, *, lookahead_steps: int, **kwargs: Any):
        super().__init__(**kwargs)
        if lookahead_steps < 1:
            raise ValueError(f"lookahead_steps must be at least 1, got {lookahead_steps}")
        self.lookahead_steps = lookahead_steps
        self.supports_masking = True  # it has lengths in place of a mask

    def build(self, inputs_shape: Any, num_steps_shape: Any = None) -> None:
        def identity(shape: Any, dtype: Any = None) -> Any:
            kernel_JD = np.zeros(shape, np.float32)
            kernel_JD[0] = 1.0
            return tf.constant(kernel_JD, dtype)

        shape = (self.lookahead_steps + 1, inputs_shape[-1])
        self.kernel_JD = self.add_weight(name="kernel", shape=shape, initializer=identity)
        self.built = True

    def call(self, inputs: tf.Tensor, num_steps: tf.Tensor) -> tf.Tensor:
        """Mixes `inputs_BSD`; `num_steps_B` says which steps are real."""
        inputs_BSD = mask_time(inputs, num_steps)
        return mask_time(self.mix(tf.pad(inputs_BSD, [[0, 0], [0, self.lookahead_steps], [0, 0]])), num_steps)

    def mix(self, inputs_BSD: tf.Tensor) -> tf.Tensor:
        """The convolution alone; the answer is `lookahead_steps` steps shorter."""
        kernel_1J1D = tf.cast(self.kernel_JD, inputs_BSD.dtype)[None, :, :, None]
        kernel_1JD1 = tf.reshape(kernel_1J1D, [1, self.lookahead_steps + 1, inputs_BSD.shape[-1], 1])
        outputs_B1SD = tf.nn.depthwise_conv2d(inputs_BSD[:, None], kernel_1JD1, [1, 1, 1, 1], "VALID")
        return outputs_B1SD[:, 0]

    def compute_output_shape(self, inputs_shape: Any, num_steps_shape: Any) -> Any:
        return tuple(inputs_shape)

    def compute_output_spec(self, inputs: Any, num_steps: Any) -> Any:
        return keras.KerasTensor(tuple(inputs.shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "lookahead_steps": self.lookahead_steps}


@keras.saving.register_keras_serializable(package="speechgru")
class ToWindows(keras.layers.Layer):
    """`steps_BSD`, `num_steps_B` -> `windows_NWD` and their real steps [N]: what `gru.ChunkedBiGRU` runs over.

    Args:
        chunk_steps: steps from one window to the next.
        lookahead_steps: steps that a window covers beyond its chunk.
    """

    def __init__(self, *, chunk_steps: int, lookahead_steps: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.chunk_steps, self.lookahead_steps = chunk_steps, lookahead_steps

    @property
    def window_steps(self) -> int:
        """Steps of a window."""
        return self.chunk_steps + self.lookahead_steps

    def call(self, inputs: tf.Tensor, num_steps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        windows_NWD = to_windows(inputs, chunk_steps=self.chunk_steps, lookahead_steps=self.lookahead_steps)
        lengths_N = window_lengths(
            num_steps,
            num_windows=tf.shape(windows_NWD)[0] // tf.shape(num_steps)[0],
            chunk_steps=self.chunk_steps,
            window_steps=self.window_steps,
        )
        return windows_NWD, lengths_N

    def compute_output_shape(self, inputs_shape: Any, num_steps_shape: Any) -> tuple[Any, Any]:
        return (None, self.window_steps, inputs_shape[-1]), (None,)

    def compute_output_spec(self, inputs: Any, num_steps: Any) -> tuple[Any, Any]:
        windows, window_lengths_shape = self.compute_output_shape(inputs.shape, num_steps.shape)
        return keras.KerasTensor(windows, self.compute_dtype), keras.KerasTensor(window_lengths_shape, "int32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "chunk_steps": self.chunk_steps, "lookahead_steps": self.lookahead_steps}


@keras.saving.register_keras_serializable(package="speechgru")
class FromWindows(keras.layers.Layer):
    """`windows_NWD`, `steps_BSE` -> `steps_BSD`: the chunks of all windows behind each other, as many as there were.

    Args:
        chunk_steps: steps from one window to the next.
    """

    def __init__(self, *, chunk_steps: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.chunk_steps = chunk_steps

    def call(self, windows: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        batch = steps.shape[0] or tf.shape(steps)[0]
        chunks_NCD = windows[:, : self.chunk_steps]
        num_steps = tf.shape(chunks_NCD)[0] // batch * self.chunk_steps
        return tf.reshape(chunks_NCD, [batch, num_steps, windows.shape[-1]])[:, : tf.shape(steps)[1]]

    def compute_output_shape(self, windows_shape: Any, steps_shape: Any) -> Any:
        return (*steps_shape[:2], windows_shape[-1])

    def compute_output_spec(self, windows: Any, steps: Any) -> Any:
        return keras.KerasTensor(self.compute_output_shape(windows.shape, steps.shape), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "chunk_steps": self.chunk_steps}


@keras.saving.register_keras_serializable(package="speechgru")
class RealStepsNormalization(keras.layers.BatchNormalization):
    """Batch normalisation over the real steps of a batch: padding has no part in its statistics.

    Training takes mean and variance of each number over all real steps of the batch, on all replicas together where
    there are several, so that they share a batch as one would have it. Outside training, and where the layer is frozen
    (`trainable = False`), the moving averages stand for them, and no utterance depends on its mates. A batch without
    a real step, or with one that is not finite, leaves the averages as they are: a bad step must not spoil a run.

    Keras' own layer takes a mask, but then lets each replica have statistics and moving averages of its own.

    Args:
        momentum: what is left of a moving average at each step. Keras' default, 0.99, is still 8 % start values after
            250 steps, which is a whole run on a few minutes of recordings.
        **kwargs: others of `keras.layers.BatchNormalization`; not `axis`, `synchronized` and `renorm`.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1.
    """

    def __init__(self, *, momentum: float = 0.9, **kwargs: Any):
        if kwargs.get("synchronized") or kwargs.get("renorm") or kwargs.get("axis", -1) != -1:
            raise ValueError("synchronized and renorm must be False (replicas share statistics anyway), and axis -1")
        super().__init__(momentum=momentum, **kwargs)

    def call(self, inputs: tf.Tensor, num_steps: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalises `inputs_BSD`; `num_steps_B` says which steps are real. What stands beyond them is arbitrary."""
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        values_BSD = mask_time(tf.cast(inputs, self.variable_dtype), num_steps)
        count = tf.cast(tf.reduce_sum(num_steps), values_BSD.dtype)
        count, total_D = _over_replicas([count, tf.reduce_sum(values_BSD, axis=[0, 1])])
        mean_D = total_D / tf.maximum(count, 1.0)
        squares_BSD = mask_time(tf.square(values_BSD - mean_D), num_steps)
        (squares_D,) = _over_replicas([tf.reduce_sum(squares_BSD, axis=[0, 1])])
        variance_D = squares_D / tf.maximum(count, 1.0)
        usable = (count > 0) & tf.reduce_all(tf.math.is_finite(mean_D) & tf.math.is_finite(variance_D))
        for average, now_D in ((self.moving_mean, mean_D), (self.moving_variance, variance_D)):
            moved_D = average + (1.0 - self.momentum) * (now_D - average)
            average.assign(tf.where(usable, moved_D, average))
        outputs_BSD = tf.nn.batch_normalization(
            values_BSD, mean_D, variance_D, self.beta, self.gamma, variance_epsilon=self.epsilon
        )
        return tf.cast(outputs_BSD, self.compute_dtype)


def _over_replicas(parts: list[tf.Tensor]) -> list[tf.Tensor]:
    """The sums over all replicas; a sum's gradient reaches each of them."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return parts
    return context.all_reduce(tf.distribute.ReduceOp.SUM, parts)


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


def build_encoder(
    config: RunConfig, num_classes: int, *, implementation: str = "auto", precision: str = "float32"
) -> keras.Model:
    """Normalised `log_mel_BTD`, `num_frames_B` -> `logits_BSV`, `num_steps_B`; arguments as in `build_model`.

    Its layers with weights are `subsampling`, `norm_0` (unless there is no normalisation), `gru_0`, `norm_1`, `gru_1`,
    ..., `lookahead` (where a forward model looks ahead), `logits`. A chunked model's GRU layers run over windows, which
    `windows` makes and `steps` joins again.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    settings = config.model
    log_mel = keras.Input((None, config.num_features), name="log_mel", dtype="float32")
    num_frames = keras.Input((), name="num_frames", dtype="int32")
    outputs, num_steps = ConvSubsampling(
        factor=settings.subsampling_factor,
        channels=settings.subsampling_channels,
        dtype=precision,
        name="subsampling",
    )(log_mel, num_frames)
    subsampled, lengths_of_rows = outputs, num_steps
    if settings.direction == "chunked":
        outputs, num_steps = ToWindows(
            chunk_steps=settings.chunk_steps, lookahead_steps=settings.lookahead_steps, dtype=precision, name="windows"
        )(outputs, num_steps)
    for number in range(settings.num_layers):
        outputs = _dropout(config, number, name=f"dropout_{number}")(outputs)
        if settings.normalization == "layer":
            outputs = keras.layers.LayerNormalization(dtype="float32", name=f"norm_{number}")(outputs)
        elif settings.normalization == "batch":
            outputs = RealStepsNormalization(dtype="float32", name=f"norm_{number}")(outputs, num_steps)
        outputs = _LAYER_TYPES[settings.direction](
            settings.units,
            **({"chunk_steps": settings.chunk_steps} if settings.direction == "chunked" else {}),
            reset_after=settings.reset_after,
            update_gate=settings.update_gate,
            implementation=implementation,
            dtype=precision,
            name=f"gru_{number}",
        )(outputs, lengths=lengths_of_rows)
    num_steps = lengths_of_rows
    if settings.direction == "chunked":
        outputs = FromWindows(chunk_steps=settings.chunk_steps, dtype="float32", name="steps")(outputs, subsampled)
    elif settings.lookahead_steps:
        outputs = LookaheadConvolution(lookahead_steps=settings.lookahead_steps, dtype="float32", name="lookahead")(
            outputs, num_steps
        )
    outputs = _dropout(config, settings.num_layers, name="dropout")(outputs)
    logits = keras.layers.Dense(num_classes, dtype="float32", name="logits")(outputs)
    return keras.Model([log_mel, num_frames], [logits, num_steps], name="encoder")


def _dropout(config: RunConfig, number: int, *, name: str) -> keras.layers.Layer:
    return keras.layers.Dropout(config.model.dropout, seed=config.train.seed + number, dtype="float32", name=name)


def build_model(
    config: RunConfig, num_classes: int, *, implementation: str = "auto", precision: str = "float32"
) -> keras.Model:
    """The whole recogniser: `samples_BN`, `num_samples_B` -> `logits_BSV`, `num_steps_B`.

    Args:
        config: the run's configuration.
        num_classes: classes, blank included: `len(vocabulary)`.
        implementation: how the GRU layers run; every choice has the same weights.
        precision: one of `PRECISIONS`; every choice has the same weights, all float32. Evaluation and export take
            float32; `mixed_float16` needs the loss scaled, because a small gradient is 0 in float16.

    Returns:
        A model with the layers `front_end` and `encoder`, so that training can augment between them.

    Raises:
        ValueError: no such precision.
    """
    keras.utils.set_random_seed(config.train.seed)
    samples = keras.Input((None,), name="samples", dtype="float32")
    num_samples = keras.Input((), name="num_samples", dtype="int32")
    log_mel, num_frames = build_front_end(config)([samples, num_samples])
    encoder = build_encoder(config, num_classes, implementation=implementation, precision=precision)
    logits, num_steps = encoder([log_mel, num_frames])
    return keras.Model([samples, num_samples], [logits, num_steps], name="speechgru")
