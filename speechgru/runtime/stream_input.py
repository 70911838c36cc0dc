"""What a stream is fed: checked samples of one channel, brought to the model's rate."""

from __future__ import annotations

import numpy as np

from speechgru.audio.samples import checked_samples


class StreamInput:
    """Samples of any lawful form on their way to a model's rate, piece by piece.

    Args:
        sample_rate: Hz of the model's input.
        source_rate: Hz of the samples that come.
    """

    def __init__(self, *, sample_rate: int, source_rate: float):
        self._resampler = None
        self._is_finished = False
        if source_rate != sample_rate:
            import soxr

            self._resampler = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="HQ")

    @property
    def is_finished(self) -> bool:
        """Whether `finish` was called."""
        return self._is_finished

    def feed(self, samples_N: np.ndarray) -> np.ndarray:
        """The next samples at the model's rate, as far as they are known yet.

        Raises:
            ValueError: the stream has been finished.
            AudioError: the samples are not one channel, not finite, or far outside [-1, 1]; none of them is taken.
        """
        return self._resampled(samples_N, last=False)

    def finish(self) -> np.ndarray:
        """Says that nothing follows; gives what is left."""
        rest_N = self._resampled(np.zeros(0, np.float32), last=True)
        self._is_finished = True
        return rest_N

    def _resampled(self, samples_N: np.ndarray, *, last: bool) -> np.ndarray:
        if self._is_finished:
            raise ValueError("the stream has been finished; begin another for what follows")
        samples_N = checked_samples(samples_N)
        if self._resampler is None:
            return samples_N.copy()  # sound cards fill the same buffer again
        return self._resampler.resample_chunk(samples_N, last=last)
