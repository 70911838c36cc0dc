"""What a spoken recording sounds like beside its voice: pauses, silence around it, noise and level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: The sample rate of the recordings, Hz.
SAMPLE_RATE = 16000
_NOISE_SLOPES = (0.0, 0.5, 1.0)  # the amplitude falls with frequency to this power: white, pink, brown
_NOISE_FLOOR_HZ = 50.0  # below it, coloured noise grows no further
_SPEECH_FLOOR = 0.003  # of the peak: what an engine gives before and after the words is quieter

_PAUSE_SHARE = 0.2
_FINAL_MARKS = ("", "", ".", ".", "!", "?")


@dataclass(frozen=True)
class Variety:
    """How far recordings differ.

    Args:
        is_wide: whether voices vary as far as they stay intelligible, and pauses and tones of the sentence too.
        padding_seconds: the silence before and after the speech, each.
        snr_db: the speech's power over the noise's.
        peak_db: the recording's level.
    """

    is_wide: bool
    padding_seconds: tuple[float, float]
    snr_db: tuple[float, float]
    peak_db: tuple[float, float]

    def draw_padding(self, rng: np.random.Generator) -> float:
        """Seconds of silence; of a wide range, short ones as often as long ones on a logarithmic scale."""
        low, high = self.padding_seconds
        return float(np.exp(rng.uniform(np.log(low), np.log(high))) if self.is_wide else rng.uniform(low, high))


#: By name.
VARIETIES = {
    "usual": Variety(False, padding_seconds=(0.05, 0.4), snr_db=(15.0, 40.0), peak_db=(-12.0, -0.5)),
    "wide": Variety(True, padding_seconds=(0.1, 1.5), snr_db=(10.0, 50.0), peak_db=(-30.0, -0.5)),
}


def phrase(text: str, rng: np.random.Generator, *, is_digits: bool) -> str:
    """The text with marks at which a voice pauses and by which it chooses its tone, as people differ in both.

    A string of digits is spoken without a pause, digit by digit, or in groups of two to four; of other sentences one of
    five has a pause somewhere. The words stay the same.
    """
    words = text.split()
    pauses: set[int] = set()
    if is_digits:
        step = (0, 1, int(rng.integers(2, 5)))[rng.integers(3)]
        pauses = set(range(step - 1, len(words) - 1, step)) if step else set()
    elif len(words) > 2 and rng.random() < _PAUSE_SHARE:
        pauses = {int(rng.integers(len(words) - 1))}
    marked = [word + "," if place in pauses else word for place, word in enumerate(words)]
    return " ".join(marked) + _FINAL_MARKS[rng.integers(len(_FINAL_MARKS))]


def trim(samples_N: np.ndarray) -> np.ndarray:
    """The samples from the first audible one to the last; none where nothing is audible."""
    if not len(samples_N):
        return samples_N
    audible = np.flatnonzero(np.abs(samples_N) > _SPEECH_FLOOR * np.abs(samples_N).max())
    return samples_N[audible[0] : audible[-1] + 1] if len(audible) else samples_N[:0]


def record(
    speech: np.ndarray, *, snr_db: float, rng: np.random.Generator, variety: Variety = VARIETIES["usual"]
) -> np.ndarray:
    """Puts speech into a room: noise before, under and after it, and a level.

    Args:
        speech: float samples at `SAMPLE_RATE`.
        snr_db: power of the speech, pauses included, over the power of the noise.
        rng: draws the pauses, the noise's colour and the level.
        variety: the ranges to draw from.

    Returns:
        Float samples within [-1, 1].
    """
    before, after = (int(variety.draw_padding(rng) * SAMPLE_RATE) for _ in range(2))
    padded = np.concatenate([np.zeros(before), speech.astype(np.float64), np.zeros(after)])
    noise = _coloured_noise(len(padded), slope=_NOISE_SLOPES[rng.integers(len(_NOISE_SLOPES))], rng=rng)
    noise *= np.sqrt(np.mean(speech.astype(np.float64) ** 2)) * 10 ** (-snr_db / 20)
    mixture = padded + noise
    return mixture / np.abs(mixture).max() * 10 ** (rng.uniform(*variety.peak_db) / 20)


def _coloured_noise(num_samples: int, *, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of power 1 whose amplitude spectrum falls as frequency to the power `-slope`."""
    if slope == 0:
        noise_N = rng.standard_normal(num_samples)
    else:
        # The spectrum of white noise is white noise itself: drawing it spares one of two transforms.
        n_fft = _fast_length(num_samples)
        spectrum = rng.standard_normal(n_fft + 2, dtype=np.float32).view(np.complex64)
        frequencies = np.arange(n_fft // 2 + 1, dtype=np.float32) * (SAMPLE_RATE / n_fft)
        noise_N = np.fft.irfft(spectrum * np.maximum(frequencies, _NOISE_FLOOR_HZ) ** -slope, n_fft)[:num_samples]
    return noise_N / np.sqrt(np.mean(noise_N**2))


def _fast_length(least: int) -> int:
    """The smallest even length, `least` or more, with no prime factor above 5: others take several times as long.

    >>> [_fast_length(least) for least in (1, 7, 1025, 40_001)]
    [2, 8, 1080, 40500]
    """
    odd_parts = (3**threes * 5**fives for threes in range(13) for fives in range(9))
    return min(odd << max(1, (-(-least // odd) - 1).bit_length()) for odd in odd_parts)
