"""How loud a recording is over time: what shows where words begin and end, and where a cut hurts nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

#: Seconds from one value to the next.
TICK_SECONDS = 0.01
#: What is quieter counts as this quiet: a sample of 16 bits has -90 dB.
_FLOOR_DB = -90.0


class Loudness:
    """The level of a recording whose samples come in pieces.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: int):
        self._rate = sample_rate
        self._num_samples = 0
        self._left_N = np.zeros(0, np.float32)
        self._powers: list[np.ndarray] = []  # of ticks: the sum of squares, in pieces
        self._num_ticks = 0

    @property
    def duration(self) -> float:
        """Seconds that came so far."""
        return self._num_samples / self._rate

    def watch(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Hands blocks of samples on and feeds itself with them."""
        for samples_N in blocks:
            self.feed(samples_N)
            yield samples_N

    def feed(self, samples_N: np.ndarray) -> None:
        """Takes the next samples, floats in [-1, 1]."""
        begun = self._num_samples - len(self._left_N)
        self._num_samples += len(samples_N)
        waiting_N = np.concatenate([self._left_N, np.asarray(samples_N, np.float32)])
        ends = self._edge(np.arange(self._num_ticks, int(self._num_samples / self._rate / TICK_SECONDS) + 2))
        ends = ends[ends <= self._num_samples] - begun
        self._left_N = waiting_N[ends[-1] :]
        if len(ends) > 1:
            powers_T = np.add.reduceat(np.square(waiting_N[: ends[-1]], dtype=np.float64), ends[:-1])
            self._powers.append(powers_T.astype(np.float32))
            self._num_ticks += len(powers_T)

    def _edge(self, ticks: np.ndarray) -> np.ndarray:
        """The sample that a tick begins with."""
        return np.round(ticks * (TICK_SECONDS * self._rate)).astype(np.int64)

    def decibels_T(self) -> np.ndarray:
        """The level at 0, 0.01, 0.02, ... seconds, of the 20 ms around each, dB of full scale; one value at least."""
        powers_T = np.concatenate([[0.0], *self._powers, [0.0]])
        around_T = (powers_T[:-1] + powers_T[1:]) / max(1.0, 2 * TICK_SECONDS * self._rate)
        around_T[[0, -1]] *= 2  # half of what is around the ends is no sound
        return np.maximum(_FLOOR_DB, 10 * np.log10(around_T + 1e-12)).astype(np.float32)
