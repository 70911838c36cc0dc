"""What a direction is: how the recurrent layers run over time."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.lengths import StreamGeometry
from speechgru.model.parts import Chunk, Part, Rows, States

#: Seconds that a chunk of a forward model spans, about: how often a stream has a result.
FORWARD_CHUNK_SECONDS = 0.1


class StreamSteps(NamedTuple):
    """What a call of a stream computes, in steps (`StreamGeometry`)."""

    chunk_steps: int
    lookahead_steps: int = 0
    delay_steps: int = 0


class Direction(abc.ABC):
    """How the recurrent layers run over time, and what stands before and behind them: a value of `model.direction`.

    Args:
        config: the run's configuration.
        implementation: how GRU layers run (`gru.GRU`).
        precision: Keras' dtype policy of the recurrent layers.
    """

    #: Why a stream cannot compute it, and what to change; None where it can.
    stream_obstacle: ClassVar[str | None] = None

    def __init__(self, config: RunConfig, *, implementation: str = "auto", precision: str = "float32"):
        self.config, self.implementation, self.precision = config, implementation, precision

    @property
    def step_obstacle(self) -> str | None:
        """Why it cannot be computed one step after the other, and what to change; None where it can."""
        return (
            f"model.direction is {self.config.model.direction}: a step depends on steps to come, and only single steps "
            "fit a microcontroller; train with model.direction forward"
        )

    @abc.abstractmethod
    def make_layer(self, number: int) -> Part:
        """Makes a recurrent layer; `number` counts from 0. Its Keras layer is named `gru_` and the number."""

    def enter(self, steps: Any, num_steps: Any, *, is_alone: bool) -> tuple[Any, Rows]:
        """What the layers run over in the whole form: `steps_BSD`, `num_steps_B` -> `inputs_RSD` and its rows."""
        return steps, Rows(num_steps, num_steps, is_alone)

    def leave(self, outputs: Any, steps: Any, rows: Rows) -> Any:
        """What follows the layers in the whole form: `outputs_RSE` and `steps_BSD` before them -> `outputs_BSE`."""
        return outputs

    def leave_chunk(
        self, outputs_1SE: tf.Tensor, states: States, chunk: Chunk
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The same in a stream; of what it gives, the first `chunk_steps` steps are the call's."""
        return outputs_1SE, {}

    def state_shapes(self, geometry: StreamGeometry) -> dict[str, list[int]]:
        """The state that `leave_chunk` keeps, by name."""
        return {}

    def stream_steps(self) -> StreamSteps:
        """What a call of a stream computes."""
        return StreamSteps(chunk_steps=max(1, round(FORWARD_CHUNK_SECONDS / self.config.step_seconds)))

    def gru_arguments(self, number: int) -> dict[str, Any]:
        """The arguments that GRU layers of every kind share."""
        settings = self.config.model
        return {
            "reset_after": settings.reset_after,
            "update_gate": settings.update_gate,
            "implementation": self.implementation,
            "dtype": self.precision,
            "name": f"gru_{number}",
        }
