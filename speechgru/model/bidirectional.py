"""The direction `bidirectional`: GRUs from both ends of a whole utterance."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from speechgru.gru import BiGRU
from speechgru.model.direction import Direction
from speechgru.model.parts import Chunk, Part, Rows, States


class Bidirectional(Direction):
    """Two GRUs a layer, one from each end of the utterance."""

    stream_obstacle = (
        "model.direction is bidirectional: the backward GRU begins at the utterance's end, which a stream does not "
        "know; train with model.direction forward or chunked"
    )

    def make_layer(self, number: int) -> Part:
        return WholeBiGRU(BiGRU(self.config.model.units, **self.gru_arguments(number)))


class WholeBiGRU(Part):
    """A GRU from either end of the utterance, which no stream can compute (`Bidirectional.stream_obstacle`)."""

    def __init__(self, layer: BiGRU):
        self.layer = layer

    def whole(self, inputs: Any, rows: Rows) -> Any:
        return self.layer(inputs) if rows.is_alone else self.layer(inputs, lengths=rows.num_steps_R)

    def chunk(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        raise NotImplementedError("a bidirectional GRU needs the utterance's end, which a stream does not know")
