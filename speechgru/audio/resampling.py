"""One channel at another rate, by soxr: all at once, or block by block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np


def resample(samples_N: np.ndarray, *, source_rate: float, sample_rate: float) -> np.ndarray:
    """Resamples one channel with soxr's high quality.

    Args:
        samples_N: float32 samples.
        source_rate: their rate in Hz. It need not be whole: at `0.9 * sample_rate` speech becomes slower by a ninth.
        sample_rate: the wanted rate in Hz.

    Returns:
        float32 samples, `len(samples_N) * sample_rate / source_rate` rounded; the same array when the rates agree.

    Raises:
        ValueError: a rate is not a number above 0, or the samples are not one channel.
    """
    _check_rates(source_rate, sample_rate)
    _require_one_channel(samples_N)
    if source_rate == sample_rate:
        return samples_N
    import soxr

    return soxr.resample(samples_N, source_rate, sample_rate, quality="HQ")


def resample_blocks(blocks: Iterable[np.ndarray], *, source_rate: float, sample_rate: float) -> Iterator[np.ndarray]:
    """Resamples one channel that comes block by block: together what `resample` gives.

    Args:
        blocks: float32 samples, `samples_N` each.
        source_rate, sample_rate: as in `resample`.

    Raises:
        ValueError: a rate is not a number above 0, or samples are not one channel.
    """
    _check_rates(source_rate, sample_rate)
    if source_rate == sample_rate:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="HQ")
    for samples_N in blocks:
        _require_one_channel(samples_N)
        yield stream.resample_chunk(samples_N, last=False)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _check_rates(source_rate: float, sample_rate: float) -> None:
    if not (0 < source_rate < math.inf and 0 < sample_rate < math.inf):
        raise ValueError(f"rates are numbers of Hz above 0, got source_rate={source_rate}, sample_rate={sample_rate}")


def _require_one_channel(samples_N: np.ndarray) -> None:
    """Refuses what ends the process in soxr: it takes a row of samples for as many channels."""
    if samples_N.ndim != 1:
        raise ValueError(f"resampling works on one channel [num_samples], got the shape {samples_N.shape}")
