"""Layers between the front end and the GRUs: subsampling, dropout, look-ahead, windows."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru import lengths, native
from speechgru.features import mask_time
from speechgru.gru import to_windows, window_lengths
from speechgru.model import compiled


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
            channels,
            2 * factor + 1,
            strides=factor,
            padding="valid",
            data_format="channels_last",  # whatever ~/.keras/keras.json says
            activation="relu",
            dtype=self.dtype_policy,
        )

    def build(self, log_mel_shape: Any, num_frames_shape: Any = None) -> None:
        self.convolution.build((None, None, log_mel_shape[-1]))
        self.built = True

    def call(self, log_mel: tf.Tensor, num_frames: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`log_mel_BTM` (zeros beyond each length), `num_frames_B` -> `outputs_BSD`, `num_steps_B`."""
        num_steps_B = lengths.num_steps(num_frames, subsampling_factor=self.factor)
        return mask_time(self.convolution(self._padded(log_mel)), num_steps_B), num_steps_B

    def alone(self, log_mel_1TM: tf.Tensor, num_frames_1: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One utterance without padding, as exports compute it -> `outputs_1SD`, `num_steps_1`."""
        num_steps_1 = lengths.num_steps(num_frames_1, subsampling_factor=self.factor)
        return self.as_product(self._padded(log_mel_1TM)), num_steps_1

    def as_product(self, frames_1TM: tf.Tensor) -> tf.Tensor:
        """The convolution alone as one product: the frames of each step side by side.

        The same numbers, and in 8 bits better ones: there a convolution's inputs share one scale over the whole
        tensor, so that a step would depend on the loudest of what it is computed with, while a product's rows have a
        scale each.

        Args:
            frames_1TM: with `factor` frames before the first step's and after the last step's.
        """
        kernel_KME, bias_E = (tf.convert_to_tensor(weight) for weight in self.convolution.weights)
        size, width, channels = kernel_KME.shape
        num_frames = frames_1TM.shape[1] or tf.shape(frames_1TM)[1]
        num_steps = (num_frames - size) // self.factor + 1
        if isinstance(num_steps, int) and num_steps == 1:  # all frames are one step's already
            rows_1SR = tf.reshape(frames_1TM, [1, 1, size * width])
        else:
            parts = [frames_1TM[:, k : k + (num_steps - 1) * self.factor + 1 : self.factor] for k in range(size)]
            rows_1SR = tf.concat(parts, axis=2)
        kernel_RE = tf.reshape(kernel_KME, [size * width, channels])
        return tf.nn.relu(tf.matmul(rows_1SR, kernel_RE) + bias_E)

    def _padded(self, log_mel_BTM: tf.Tensor) -> tf.Tensor:
        return tf.pad(log_mel_BTM, [[0, 0], [self.factor, self.factor], [0, 0]])

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
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout` in float32, whose masks training draws in compiled code where that can run: the same ones.

    Args:
        rate: the share of numbers that training sets to 0.
        **kwargs: others of `keras.layers.Dropout`.

    >>> Dropout(0.5)(tf.ones([1, 2, 3])).shape
    TensorShape([1, 2, 3])
    """

    def __init__(self, rate: float, **kwargs: Any):
        super().__init__(rate, **{**kwargs, "dtype": "float32"})

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if not (training and 0 < self.rate < 1) or self.noise_shape is not None or native.obstacle():
            return super().call(inputs, training=training)
        # Keras keeps the seed in 64 bits, and draws with 32 of them.
        seed = tf.math.floormod(self.seed_generator.next(), tf.int32.max - 1)
        return compiled.dropout(inputs, rate=self.rate, seed=tf.cast(seed, tf.int32))


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
