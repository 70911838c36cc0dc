"""The encoder as one object: whole utterances, and chunks of a stream."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from speechgru import lengths
from speechgru.config.sections import ModelConfig
from speechgru.features import mask_time
from speechgru.lengths import StreamGeometry
from speechgru.model.direction import Direction
from speechgru.model.layers import ConvSubsampling, Dropout
from speechgru.model.parts import Chunk, Logits, Part, Rows, States


class Block(NamedTuple):
    """A recurrent layer with what stands before it."""

    dropout: keras.layers.Layer
    normalization: Part | None
    recurrent: Part

    def whole(self, inputs: Any, rows: Rows) -> Any:
        """Whole utterances (`Part.whole`)."""
        outputs = self.dropout(inputs)
        if self.normalization is not None:
            outputs = self.normalization.whole(outputs, rows)
        return self.recurrent.whole(outputs, rows)

    def chunk(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """One call of a stream (`Part.chunk`)."""
        if self.normalization is not None:
            inputs_1SD, _ = self.normalization.chunk(inputs_1SD, states, chunk)
        return self.recurrent.chunk(inputs_1SD, states, chunk)

    def step(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """One step of a stream (`Part.step`)."""
        if self.normalization is not None:
            inputs_1SD, _ = self.normalization.step(inputs_1SD, states, chunk)
        return self.recurrent.step(inputs_1SD, states, chunk)


class Encoder:
    """Features to logits: subsampling, blocks of normalisation and a recurrent layer, a dense layer over the labels.

    The one description of this body: training builds its Keras graph by `whole`, exports trace `whole` at batch 1 and
    `chunk` for streams.

    Its Keras layers with weights are `subsampling`, `norm_0` (unless there is no normalisation), `gru_0`, `norm_1`,
    `gru_1`, ..., `lookahead` (where a forward model looks ahead), `logits`. Checkpoints number the weights in this
    order, and `train.freeze` takes these names.

    Args:
        settings: the section `model` of a configuration.
        num_classes: classes, blank included.
        num_features: numbers in a frame of features.
        direction: how the recurrent layers run over time.
        normalization: makes the part before a recurrent layer, given its Keras layer's name; None for none.
        precision: Keras' dtype policy of the subsampling; the direction knows that of the recurrent layers.
        seed: of the dropout masks.
    """

    def __init__(
        self,
        settings: ModelConfig,
        num_classes: int,
        *,
        num_features: int,
        direction: Direction,
        normalization: Any,
        precision: str,
        seed: int,
    ):
        def make_dropout(number: int, name: str) -> keras.layers.Layer:
            return Dropout(settings.dropout, seed=seed + number, name=name)

        # The layers are made in the order of the graph: each draws its first weights' seed when it is made.
        self.subsampling = ConvSubsampling(
            factor=settings.subsampling_factor,
            channels=settings.subsampling_channels,
            dtype=precision,
            name="subsampling",
        )
        self.direction = direction
        self.blocks = tuple(
            Block(
                dropout=make_dropout(number, f"dropout_{number}"),
                normalization=None if normalization is None else normalization(f"norm_{number}"),
                recurrent=direction.make_layer(number),
            )
            for number in range(settings.num_layers)
        )
        self.dropout = make_dropout(settings.num_layers, "dropout")
        self.logits = Logits(num_classes)
        features = keras.Input((None, num_features), name="log_mel", dtype="float32")
        num_frames = keras.Input((), name="num_frames", dtype="int32")
        #: The same as a Keras model, `encoder`, for a model that contains it.
        self.model = keras.Model([features, num_frames], list(self.whole(features, num_frames)), name="encoder")

    @property
    def layers_with_weights(self) -> dict[str, keras.layers.Layer]:
        """The Keras layers that training changes, by the names that `train.freeze` takes."""
        return {layer.name: layer for layer in self.model.layers if layer.weights}

    def whole(self, features: Any, num_frames: Any, *, is_alone: bool = False) -> tuple[Any, Any]:
        """Computes whole utterances.

        Args:
            features: `features_BTD`, zeros beyond each row's frames.
            num_frames: `num_frames_B`, integers.
            is_alone: whether this is one utterance without padding, as exports have it: the same numbers by other
                operations, which a device runs better.

        Returns:
            `logits_BSV` and `num_steps_B`.
        """
        subsample = self.subsampling.alone if is_alone else self.subsampling
        steps, num_steps = subsample(features, num_frames)
        outputs, rows = self.direction.enter(steps, num_steps, is_alone=is_alone)
        for block in self.blocks:
            outputs = block.whole(outputs, rows)
        outputs = self.direction.leave(outputs, steps, rows)
        return self.logits.whole(self.dropout(outputs), rows), num_steps

    def chunk(
        self, features_1TD: tf.Tensor, end_frame: tf.Tensor, states: States, *, geometry: StreamGeometry
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Computes one call of a stream.

        Args:
            features_1TD: a window's frames, zeros where they are not the utterance's; the chunk's first step begins
                `subsampling_factor` frames behind the first.
            end_frame: the frame after the utterance's last one, counted from the chunk's first; it may be below 0.
            states: the state before the call, by the names of `state_shapes`.
            geometry: what a call covers.

        Returns:
            `logits_1SV`, `chunk_steps` steps, and the state after the call.
        """
        steps_1SD = self.subsampling.as_product(features_1TD)
        num_steps = lengths.num_steps(tf.maximum(end_frame, 0), subsampling_factor=geometry.subsampling_factor)
        chunk = Chunk(geometry, tf.minimum(tf.reshape(num_steps, [1]), geometry.window_steps))
        outputs_1SD = mask_time(steps_1SD, chunk.num_steps_1)
        after: dict[str, tf.Tensor] = {}
        for run in (*(block.chunk for block in self.blocks), self.direction.leave_chunk):
            outputs_1SD, own = run(outputs_1SD, states, chunk)
            after |= own
        logits_1SV, _ = self.logits.chunk(outputs_1SD[:, : geometry.chunk_steps], states, chunk)
        return logits_1SV, after

    def step(
        self, window_1TD: tf.Tensor, states: States, *, geometry: StreamGeometry, num_steps_1: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Computes one step of a stream without a loop, as a microcontroller does: the numbers of `chunk`.

        Args:
            window_1TD: the step's frames, `subsampling_factor` of them before its first and as many after; zeros where
                they are not the utterance's.
            states: the state before the step, by the names of `state_shapes`.
            geometry: what a call covers; its `chunk_steps` is 1.
            num_steps_1: int32, 1 where the step is the utterance's, 0 for those behind its end, on which the answers of
                a model with look-ahead wait; None for 1.

        Returns:
            `logits_11V`, of the step that is `delay_steps` before, and the state after the step.
        """
        chunk = Chunk(geometry, tf.ones([1], tf.int32) if num_steps_1 is None else num_steps_1)
        outputs_11D = self.subsampling.as_product(window_1TD)
        after: dict[str, tf.Tensor] = {}
        for run in (*(block.step for block in self.blocks), self.direction.leave_chunk):
            outputs_11D, own = run(outputs_11D, states, chunk)
            after |= own
        logits_11V, _ = self.logits.chunk(outputs_11D, states, chunk)
        return logits_11V, after

    def state_shapes(self, geometry: StreamGeometry) -> dict[str, list[int]]:
        """The shapes of a stream's state by name, all float32, all zeros at the start."""
        shapes: dict[str, list[int]] = {}
        for block in self.blocks:
            shapes |= block.recurrent.state_shapes(geometry)
        return shapes | self.direction.state_shapes(geometry)
