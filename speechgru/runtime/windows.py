"""From samples that keep coming to the calls of a streaming model, and from these to log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from speechgru.lengths import StreamGeometry

#: A streaming model's call: inputs by name -> outputs by name.
Call = Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]]


class Windows:
    """One recording on its way through a streaming model, whatever runs the model.

    All that `feed` and `finish` return, one after the other, is what the model gives for all samples at once.

    Args:
        call: takes `samples` [1, chunk_samples], `bounds` [4] and the state; gives `log_probs` [1, chunk_steps, V] and
            the state after it.
        geometry: what a call covers.
        states: the shapes of the state's arrays by name, `context` among them.
    """

    def __init__(self, call: Call, *, geometry: StreamGeometry, states: Mapping[str, Sequence[int]]):
        self._call, self._geometry = call, geometry
        self._states = {name: np.zeros(shape, np.float32) for name, shape in states.items()}
        # The first window begins before the recording: with zeros, then the samples that a first call waits for.
        self._waiting = [np.zeros(geometry.samples_before, np.float32)]
        self._num_calls = 0
        #: Samples that came so far.
        self.num_samples = 0

    @property
    def chunk_samples(self) -> int:
        """Samples from one call to the next."""
        return self._geometry.chunk_samples

    def feed(self, samples_N: np.ndarray) -> list[np.ndarray]:
        """Takes the next samples, floats at the model's rate; gives `log_probs_SV` of each call that they complete."""
        self._waiting.append(np.array(samples_N, np.float32))  # a copy: sound cards fill the same buffer again
        self.num_samples += len(samples_N)
        ready = self._geometry.num_ready_calls(self.num_samples)
        return self._run(ready, None) if ready > self._num_calls else []

    def finish(self) -> list[np.ndarray]:
        """Says that the recording is over; gives what is left, call by call."""
        missing = self._geometry.window_samples + self._geometry.chunk_samples * (1 + self._geometry.delay_steps)
        self._waiting.append(np.zeros(missing, np.float32))
        return self._run(self._geometry.num_calls(self.num_samples), self.num_samples)

    def _run(self, until: int, num_samples: int | None) -> list[np.ndarray]:
        geometry = self._geometry
        waiting_N = np.concatenate(self._waiting)
        steps = None if num_samples is None else geometry.num_steps(num_samples)
        used, results = 0, []
        if not self._num_calls and until:
            used = geometry.context_samples
            self._states["context"] = waiting_N[None, :used]
        while self._num_calls < until:
            outputs = self._call(
                {
                    "samples": waiting_N[None, used : used + geometry.chunk_samples],
                    "bounds": self._bounds_of(self._num_calls, num_samples),
                    **self._states,
                }
            )
            self._states = {name: outputs[name] for name in self._states}
            results.append(outputs["log_probs"][0][geometry.steps_of(self._num_calls, num_steps=steps)])
            used += geometry.chunk_samples
            self._num_calls += 1
        self._waiting = [waiting_N[used:].copy()]
        return results

    def _bounds_of(self, call: int, num_samples: int | None) -> np.ndarray:
        return np.array(self._geometry.bounds(call, num_samples=num_samples), np.int32)
