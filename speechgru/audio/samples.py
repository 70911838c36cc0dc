"""Samples that a caller gives: which arrays are sound, at which rates, and what is wrong with the others.

Files and arrays follow the same rules. An integer type says its own full scale; a float says none, so it is believed
where recorders make such numbers, and refused where they are 16-bit numbers in disguise. Nothing that is refused here
reaches compiled code: soxr ends the process over some shapes, and never returns from some rates.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from speechgru.errors import AudioError

#: Hz. Below, there is no speech, and a damaged header's 1 Hz would become hours; above, no such recorder.
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
#: A recorder's float samples may pass full scale, but not by 40 dB: then they are 16-bit numbers, or damaged.
_LOUDEST = 100.0
#: Whole numbers from this size on are no float recording's: sound that is only a little too loud has fractions.
_LEAST_WHOLE = 2.0

_CONVERT_BYTES = "np.frombuffer(data, np.int16) makes samples of 16-bit PCM"
_CONVERT_WHOLE = "keep 16-bit numbers as int16 (np.asarray(samples, np.int16)), or divide them by 32768"


def checked_samples(samples: Any) -> np.ndarray:
    """One channel of samples as float32 in [-1, 1].

    Args:
        samples: `samples_N`: floats in [-1, 1], or integers of 8, 16 or 32 bits, which are scaled by their type
            (unsigned ones lie around its middle), as an array or as what NumPy makes one of.

    Returns:
        A contiguous float32 array; the given one where it is such.

    Raises:
        AudioError: they are something else, more than one channel, not finite, or far outside [-1, 1]; says how to
            convert them.
    """
    samples_N = scaled(channel_of(samples))
    fault = fault_of(samples_N)
    if fault is not None:
        raise AudioError(f"samples {fault}")
    return samples_N


def channel_of(samples: Any) -> np.ndarray:
    """What a caller gives as one channel of numbers that `scaled` knows, looked at by its type and shape alone.

    Raises:
        AudioError: as `checked_samples`, as far as that shows it.
    """
    if isinstance(samples, str) or hasattr(samples, "__fspath__"):
        raise AudioError(f"samples must be an array of numbers, got {samples!r}; transcribe_file reads a file")
    if _is_raw_memory(samples):
        raise AudioError(f"samples must be numbers, got {type(samples).__name__}; {_CONVERT_BYTES}")
    try:
        array = np.asarray(samples)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; tensors on a GPU, or with a gradient
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AudioError(f"samples must be an array of numbers; NumPy makes none of this ({reason[:150]})") from error
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        what = type(samples).__name__ if array.ndim == 0 else f"numbers of the type {array.dtype}"
        raise AudioError(f"samples must be floats in [-1, 1] or integers of 8, 16 or 32 bits, got {what}")
    if array.ndim != 1:
        raise AudioError(
            f"samples must be one channel [num_samples], got the shape {array.shape}; {_one_channel_of(array.shape)}"
        )
    if array.dtype.kind in "iu" and array.dtype.itemsize > 4:
        raise AudioError(
            f"samples of {array.dtype} (Python's whole numbers too) do not show their full scale; {_CONVERT_WHOLE}"
        )
    return array


def scaled(array_N: np.ndarray) -> np.ndarray:
    """Numbers of `channel_of` as contiguous float32, integers scaled so that their type's extreme is -1."""
    if array_N.dtype.kind == "f":
        with np.errstate(over="ignore"):  # too large for float32: infinite, which `fault_of` names
            return np.ascontiguousarray(array_N, np.float32)
    if array_N.dtype.kind not in "iu":  # bfloat16
        return np.ascontiguousarray(array_N.astype(np.float32))
    full_scale = 2.0 ** (8 * array_N.dtype.itemsize - 1)
    middle = full_scale if array_N.dtype.kind == "u" else 0.0
    # float32 holds 24 bits: what has more is scaled before it is rounded
    exact_N: np.ndarray = array_N.astype(np.float32 if array_N.dtype.itemsize < 4 else np.float64)
    return np.ascontiguousarray((exact_N - middle) / full_scale, np.float32)


def fault_of(samples_N: np.ndarray, *, advice: str = _CONVERT_WHOLE) -> str | None:
    """What is wrong with floats that should be in [-1, 1], as a verb and its object; None where nothing is.

    Args:
        samples_N: any float array.
        advice: how 16-bit numbers become such floats where these come from.
    """
    # Both ends, as the magnitudes would be a copy; NaN is the extreme of any samples that have one.
    loudest = float(max(samples_N.max(initial=0.0), -samples_N.min(initial=0.0)))
    if not math.isfinite(loudest):
        return "must be finite numbers; some are NaN or infinite"
    if loudest > _LOUDEST or (loudest >= _LEAST_WHOLE and bool((samples_N == np.rint(samples_N)).all())):
        shown = f"{loudest:,.0f}" if loudest < 1e12 else f"{loudest:.3g}"
        return f"reach {shown}, and full scale is 1; {advice}"
    return None


def checked_rate(sample_rate: Any) -> float:
    """A rate that samples may have, in Hz.

    Raises:
        AudioError: it is not a number from 1,000 to 768,000.
    """
    is_number = isinstance(sample_rate, numbers.Real) and not isinstance(sample_rate, bool)
    if not is_number or not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise AudioError(
            f"sample_rate must be a number of Hz from {LOWEST_RATE} to {HIGHEST_RATE}, got {sample_rate!r}"
        )
    return sample_rate


def _is_raw_memory(samples: Any) -> bool:
    """Whether this is memory without a type of its own: bytes, bytearray, mmap, a sound card's buffer."""
    if hasattr(samples, "__array__"):
        return False
    try:
        return memoryview(samples).format in ("B", "b", "c")
    except TypeError:
        return False


def _one_channel_of(shape: tuple[int, ...]) -> str:
    """How to make one channel of an array of this shape, in NumPy's words."""
    if len(shape) == 0:
        return "a single number is not sound"
    if len(shape) > 2:
        return "give one recording at a time"
    axis = 0 if shape[0] <= shape[1] else 1  # a recording has more samples than channels
    if shape[axis] == 1:
        return f"give samples{'[0]' if axis == 0 else '[:, 0]'}"
    return f"samples.mean(axis={axis}) averages channels"
