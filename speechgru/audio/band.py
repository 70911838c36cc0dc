"""Up to which frequency a recording holds sound: a telephone's ends at 4 kHz, whatever rate its file says."""

from __future__ import annotations

import numpy as np

#: Rates that speech is carried at below the usual ones, Hz: half of each is where a resampled recording's sound ends.
_NARROW_RATES = (8000, 11025)
#: Samples of a spectrum, per Hz: about 20 ms, so that the lines are 50 Hz apart.
_SECONDS = 0.02
#: Just below an edge there must be this share of the power of all, else nothing shows whether something is missing.
_LEAST_SHARE = 1e-6
#: What is left above an edge when it is one: 25 dB below what is just below it. Of 1,902 real recordings at 16 kHz the
#: spectrum fell by less than 17 dB in 99.8 %; carried at 8 or 11 kHz, it fell by 29 dB or more in each of 476.
_DROP = 10**-2.5
#: The frequencies just below an edge and those above it, as shares of it: a resampler's filter takes room.
_BELOW, _ABOVE = (0.8, 0.92), 1.12
#: A recording whose sound ends below this share of what a model listens to lacks what it learnt from.
_ENOUGH = 0.75


def missing_band(highest_hz: float, *, f_max_hz: float) -> str | None:
    """What a recording lacks of what a model listens to, as a verb and its object; None where it is little.

    Args:
        highest_hz: the frequency above which the recording has nothing (`BandMeter.highest_hz`).
        f_max_hz: the upper edge of the model's highest filter.

    >>> missing_band(4000, f_max_hz=8000)
    'holds nothing above 4,000 Hz, and the model listens up to 8,000 Hz'
    >>> missing_band(11025, f_max_hz=8000)
    """
    if highest_hz >= _ENOUGH * f_max_hz:
        return None
    return f"holds nothing above {highest_hz:,.0f} Hz, and the model listens up to {f_max_hz:,.0f} Hz"


class BandMeter:
    """Adds up the spectrum of one recording, which may come block by block.

    Args:
        sample_rate: Hz of the samples.
    """

    def __init__(self, sample_rate: float):
        self._rate = sample_rate
        self._length = max(16, round(_SECONDS * sample_rate))
        self._window = np.hanning(self._length).astype(np.float32)
        self._power_F = np.zeros(self._length // 2 + 1)

    def feed(self, samples_N: np.ndarray) -> None:
        """Counts more samples; of each block the last 20 ms or less are left out."""
        num_frames = len(samples_N) // self._length
        frames_TN = samples_N[: num_frames * self._length].reshape(num_frames, self._length)
        # A few seconds at a time: the spectra of a whole block would take several times its memory.
        for start in range(0, num_frames, 256):
            spectra_TF = np.fft.rfft(frames_TN[start : start + 256] * self._window)
            self._power_F += (spectra_TF.real**2 + spectra_TF.imag**2).sum(axis=0)

    def highest_hz(self) -> float:
        """The frequency above which there is nothing: half the rate, or less where the sound came from a lower one."""
        edges = [rate / 2 for rate in _NARROW_RATES if rate < 0.8 * self._rate]
        return next((edge for edge in edges if self._ends_at(edge)), self._rate / 2)

    def _ends_at(self, edge: float) -> bool:
        """Whether the spectrum falls off a cliff at a frequency and nothing follows."""
        hz_F = np.arange(len(self._power_F)) * self._rate / self._length
        below = self._power_F[(hz_F >= _BELOW[0] * edge) & (hz_F <= _BELOW[1] * edge)]
        above = self._power_F[hz_F >= _ABOVE * edge]
        if not len(below) or not len(above) or below.sum() <= _LEAST_SHARE * self._power_F.sum():
            return False
        return bool(above.max() < _DROP * np.median(below))  # a single tone below is no cliff
