"""The direction `forward`: GRUs from the start, which may wait for a few steps to come."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.features import mask_time
from speechgru.gru import GRU
from speechgru.lengths import StreamGeometry
from speechgru.model.direction import Direction, StreamSteps
from speechgru.model.layers import LookaheadConvolution
from speechgru.model.parts import Chunk, Part, Rows, States


class Forward(Direction):
    """GRUs from the start; where the configuration looks ahead, a convolution over steps to come behind them."""

    step_obstacle = None

    def __init__(self, config: RunConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.lookahead: Lookahead | None = None
        if config.model.lookahead_steps:
            layer = LookaheadConvolution(
                lookahead_steps=config.model.lookahead_steps, dtype="float32", name="lookahead"
            )
            self.lookahead = Lookahead(layer, units=config.model.units)

    def make_layer(self, number: int) -> Part:
        return ForwardGRU(GRU(self.config.model.units, **self.gru_arguments(number)), state=f"state_{number}")

    def leave(self, outputs: Any, steps: Any, rows: Rows) -> Any:
        return outputs if self.lookahead is None else self.lookahead.whole(outputs, rows)

    def leave_chunk(
        self, outputs_1SE: tf.Tensor, states: States, chunk: Chunk
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        return (outputs_1SE, {}) if self.lookahead is None else self.lookahead.chunk(outputs_1SE, states, chunk)

    def state_shapes(self, geometry: StreamGeometry) -> dict[str, list[int]]:
        return {} if self.lookahead is None else self.lookahead.state_shapes(geometry)

    def stream_steps(self) -> StreamSteps:
        return super().stream_steps()._replace(delay_steps=self.config.model.lookahead_steps)


class ForwardGRU(Part):
    """A GRU from the utterance's start on; a stream hands its state from call to call.

    Args:
        layer: the GRU.
        state: the name of its state.
    """

    def __init__(self, layer: GRU, *, state: str):
        self.layer, self._state = layer, state

    def whole(self, inputs: Any, rows: Rows) -> Any:
        # Without lengths a step costs a few operations less.
        return self.layer(inputs) if rows.is_alone else self.layer(inputs, lengths=rows.num_steps_R)

    def chunk(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        outputs_1SU, after_1U = self.layer.run_direction(self.layer.cell, inputs_1SD, initial_state=states[self._state])
        return outputs_1SU, {self._state: after_1U}

    def step(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        # A reshape in place of a slice: it costs a microcontroller neither time nor memory.
        after_1U, _ = self.layer.cell(tf.reshape(inputs_1SD, [1, inputs_1SD.shape[2]]), [states[self._state]])
        return tf.reshape(after_1U, [1, 1, self.layer.units]), {self._state: after_1U}

    def state_shapes(self, geometry: StreamGeometry) -> dict[str, list[int]]:
        return {self._state: [1, self.layer.units]}


class Lookahead(Part):
    """Mixes each step with a few steps to come; a stream keeps the steps that it has not given out yet.

    Args:
        layer: the convolution.
        units: numbers in a step.
    """

    def __init__(self, layer: LookaheadConvolution, *, units: int):
        self.layer, self._units = layer, units

    def whole(self, inputs: Any, rows: Rows) -> Any:
        return self.layer(inputs, rows.num_steps_R)

    def chunk(self, inputs_1SD: tf.Tensor, states: States, chunk: Chunk) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        # The layer's answers begin `lookahead_steps` steps in the past, at the first step that waits.
        steps_1SD = tf.concat([states["ahead"], mask_time(inputs_1SD, chunk.num_steps_1)], axis=1)
        return self.layer.mix(steps_1SD), {"ahead": steps_1SD[:, chunk.geometry.chunk_steps :]}

    def state_shapes(self, geometry: StreamGeometry) -> dict[str, list[int]]:
        return {"ahead": [1, self.layer.lookahead_steps, self._units]}
