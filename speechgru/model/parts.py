"""The encoder's parts: each runs whole utterances and chunks of a stream."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from speechgru.lengths import StreamGeometry
from speechgru.model.normalization import RealStepsNormalization, StepNormalization

#: A stream's state behind a call, or before it: tensors by name.
States = Mapping[str, tf.Tensor]


class Rows(NamedTuple):
    """Which steps are real, while whole utterances pass through the encoder.

    Args:
        num_steps_R: real steps of each row; a row is an utterance, or a window of one (`model.chunked`).
        num_steps_B: real steps of each utterance.
        is_alone: whether this is one utterance without padding, as exported graphs have it. Then every step is real,
            and a part may leave out what padding alone needs.
    """

    num_steps_R: Any
    num_steps_B: Any
    is_alone: bool


class Chunk(NamedTuple):
    """One call of a stream.

    Args:
        geometry: what each call covers.
        num_steps_1: how many of the call's `geometry.window_steps` steps are the utterance's.
    """

    geometry: StreamGeometry
    num_steps_1: tf.Tensor


class Part(abc.ABC):
    """A part of the encoder in its two forms, which give the same numbers."""

    @abc.abstractmethod
    def whole(self, inputs: Any, rows: Rows) -> Any:
        """Whole utterances: `inputs_RSD` -> `outputs_RSE`.

        Training builds its Keras graph with it, and exports trace it once more at batch 1 (`rows.is_alone`).
        """

    @abc.abstractmethod
    def chunk(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """One call of a stream: `inputs_1SD` and the state before it -> `outputs_1SE` and the part's state after it."""

    def step(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """A call of a stream that has one step only, without a loop: what a microcontroller runs. Else as `chunk`."""
        return self.chunk(inputs_1SD, states, chunk)

    def state_shapes(self, geometry: StreamGeometry) -> dict[str, list[int]]:
        """The part's own state in a stream by name, float32, zeros at the start; none where it remembers nothing."""
        return {}


class LayerNormalization(Part):
    """Each step by itself has mean 0 and deviation 1 over its numbers, then a learnt scale and shift."""

    def __init__(self, name: str):
        self.layer = StepNormalization(name=name)

    def whole(self, inputs: Any, rows: Rows) -> Any:
        return self.layer(inputs)

    def chunk(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        return self.layer(inputs_1SD), {}


class BatchNormalization(Part):
    """Each number has mean 0 and deviation 1 over the real steps of the batches that training saw."""

    def __init__(self, name: str):
        self.layer = RealStepsNormalization(dtype="float32", name=name)

    def whole(self, inputs: Any, rows: Rows) -> Any:
        return self.layer(inputs, rows.num_steps_R)

    def chunk(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        return self.layer(inputs_1SD, chunk.num_steps_1, training=False), {}


class Logits(Part):
    """The dense layer over the labels.

    Args:
        num_classes: the labels and the blank.
    """

    def __init__(self, num_classes: int):
        self.layer = keras.layers.Dense(num_classes, dtype="float32", name="logits")

    def whole(self, inputs: Any, rows: Rows) -> Any:
        return self._as_product(inputs) if rows.is_alone else self.layer(inputs)

    def chunk(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        return self._as_product(inputs_1SD), {}

    def _as_product(self, inputs_1SD: tf.Tensor) -> tf.Tensor:
        """One product with its bias, at any length: where S is unknown, Keras' own layer becomes several operations."""
        kernel_DV, bias_V = (tf.convert_to_tensor(weight) for weight in self.layer.weights)
        return tf.matmul(inputs_1SD, kernel_DV) + bias_V
