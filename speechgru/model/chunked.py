"""The direction `chunked`: GRUs from both ends of windows that move over the utterance."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.gru import ChunkedBiGRU
from speechgru.lengths import StreamGeometry
from speechgru.model.direction import Direction, StreamSteps
from speechgru.model.layers import FromWindows, ToWindows
from speechgru.model.parts import Chunk, Part, Rows, States


class Chunked(Direction):
    """Two GRUs a layer inside windows that move over the utterance chunk by chunk (`gru.ChunkedBiGRU`)."""

    def __init__(self, config: RunConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        settings = config.model
        self._to_windows = ToWindows(
            chunk_steps=settings.chunk_steps,
            lookahead_steps=settings.lookahead_steps,
            dtype=self.precision,
            name="windows",
        )
        self._from_windows = FromWindows(chunk_steps=settings.chunk_steps, dtype="float32", name="steps")

    def make_layer(self, number: int) -> Part:
        settings = self.config.model
        layer = ChunkedBiGRU(settings.units, chunk_steps=settings.chunk_steps, **self.gru_arguments(number))
        return ChunkedLayer(layer, state=f"state_{number}")

    def enter(self, steps: Any, num_steps: Any, *, is_alone: bool) -> tuple[Any, Rows]:
        windows, num_steps_R = self._to_windows(steps, num_steps)
        return windows, Rows(num_steps_R, num_steps, is_alone)

    def leave(self, outputs: Any, steps: Any, rows: Rows) -> Any:
        return self._from_windows(outputs, steps)

    def stream_steps(self) -> StreamSteps:
        settings = self.config.model
        return StreamSteps(chunk_steps=settings.chunk_steps, lookahead_steps=settings.lookahead_steps)


class ChunkedLayer(Part):
    """A BiGRU over windows; a stream hands the forward state behind each chunk to the next call.

    Args:
        layer: the GRUs.
        state: the name of the forward state.
    """

    def __init__(self, layer: ChunkedBiGRU, *, state: str):
        self.layer, self._state = layer, state

    def whole(self, inputs: Any, rows: Rows) -> Any:
        return self.layer(inputs, lengths=rows.num_steps_B)

    def chunk(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        forward_1SU, _ = self.layer.run_direction(
            self.layer.forward_cell, inputs_1SD, initial_state=states[self._state]
        )
        backward_1SU, _ = self.layer.run_direction(
            self.layer.backward_cell, inputs_1SD, backwards=True, lengths=chunk.num_steps_1
        )
        # The steps ahead are computed once more in the next call, which begins behind this chunk's last step.
        after = {self._state: forward_1SU[:, chunk.geometry.chunk_steps - 1]}
        return tf.concat([forward_1SU, backward_1SU], axis=-1), after

    def state_shapes(self, geometry: StreamGeometry) -> dict[str, list[int]]:
        return {self._state: [1, self.layer.units]}
