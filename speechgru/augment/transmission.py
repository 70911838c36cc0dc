"""What lies between a microphone and the recogniser: overload, the telephone's band, codecs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from speechgru.augment.codecs import CODECS, require_codec, send
from speechgru.augment.seeds import split_seed
from speechgru.augment.spectra import SILENT_ENERGY, fft_length

#: Where a telephone's band begins and ends, Hz: 300 to 3400 by ITU-T G.712, which real ones keep more or less.
_BAND_BEGINS_HZ = (200.0, 400.0)
_BAND_ENDS_HZ = (3000.0, 3800.0)
#: Order of the band's slopes: 48 dB an octave.
_BAND_ORDER = 8
#: Where a recording at 8 kHz ends, Hz: up to half its rate, less what the filter in front of it takes, steeply.
_NARROW_ENDS_HZ = (3400.0, 4000.0)
_NARROW_ORDER = 60
#: What the filters ring for at most.
_BAND_SECONDS = 0.03

#: ITU-T G.711's companding constant, and steps to either side of zero.
_MU = 255.0
_MU_STEPS = 128.0
_MU_LAW_RATE = 8000
#: Level of the peak in the code's range, dB: spoken low and far from the mouthpiece, or just short of overload.
_MU_PEAK_DB = (-30.0, 0.0)


def overload(samples_N: tf.Tensor, clipped_db: Any) -> tf.Tensor:
    """Cuts off what is louder than `clipped_db` below the loudest sample, as an overdriven converter does."""
    limit = tf.reduce_max(tf.abs(tf.pad(samples_N, [[0, 1]]))) * tf.pow(10.0, -clipped_db / 20.0)
    return tf.clip_by_value(samples_N, -limit, limit)


def telephone(samples_N: tf.Tensor, seed: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    """Speech through a telephone's band, whose edges are drawn around 300 and 3400 Hz, as loud as before.

    Args:
        samples_N: one utterance.
        seed: int32 [2].
        sample_rate: Hz.

    Returns:
        N samples with the energy of `samples_N`, not delayed.
    """
    return _as_loud(_telephone_band(samples_N, seed, sample_rate=sample_rate), samples_N)


def narrowband(samples_N: tf.Tensor, seed: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    """Speech that was recorded at 8 kHz: as it was up to an edge drawn below 4 kHz, and nothing above.

    Arguments and answer are those of `telephone`.
    """
    ends_hz = tf.random.stateless_uniform([], seed, *_NARROW_ENDS_HZ)
    narrow_N = _limit_band(samples_N, 0.0, ends_hz, sample_rate=sample_rate, order=_NARROW_ORDER)
    return _as_loud(narrow_N, samples_N)


def mu_law(samples_N: tf.Tensor, seed: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    """Speech through a digital telephone: its band, and each sample as one of 255 steps of the mu-law at a drawn level.

    Arguments and answer are those of `telephone`.

    Source: ITU-T G.711, with the continuous law ``sgn(x) ln(1 + mu |x|) / ln(1 + mu)`` in place of its segments.
    """
    band_seed, level_seed = split_seed(seed, 2)
    band_N = _telephone_band(samples_N, band_seed, sample_rate=sample_rate)
    peak = tf.reduce_max(tf.abs(tf.pad(band_N, [[0, 1]])))
    level = tf.pow(10.0, tf.random.stateless_uniform([], level_seed, *_MU_PEAK_DB) / 20.0)
    scaled_N = band_N * level / tf.maximum(peak, math.sqrt(SILENT_ENERGY))
    code_N = tf.sign(scaled_N) * tf.math.log1p(_MU * tf.abs(scaled_N)) / math.log1p(_MU)
    code_N = tf.round(code_N * _MU_STEPS) / _MU_STEPS
    decoded_N = tf.sign(code_N) * tf.math.expm1(math.log1p(_MU) * tf.abs(code_N)) / _MU
    if sample_rate > _MU_LAW_RATE:
        # Steps were taken at the sample rate: what they add beyond the code's own rate is no part of it.
        decoded_N = _limit_band(decoded_N, 0.0, _MU_LAW_RATE / 2, sample_rate=sample_rate)
    return _as_loud(decoded_N, samples_N)


def _telephone_band(samples_N: tf.Tensor, seed: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    begins_seed, ends_seed = split_seed(seed, 2)
    begins_hz = tf.random.stateless_uniform([], begins_seed, *_BAND_BEGINS_HZ)
    ends_hz = tf.random.stateless_uniform([], ends_seed, *_BAND_ENDS_HZ)
    return _limit_band(samples_N, begins_hz, ends_hz, sample_rate=sample_rate)


def _limit_band(
    samples_N: tf.Tensor, begins_hz: Any, ends_hz: Any, *, sample_rate: int, order: int = _BAND_ORDER
) -> tf.Tensor:
    num_samples = tf.shape(samples_N)[0]
    length = fft_length(num_samples + int(_BAND_SECONDS * sample_rate))
    spectrum_F = tf.signal.rfft(samples_N, [length])
    frequencies_hz = tf.cast(tf.range(tf.size(spectrum_F)), tf.float32) * (sample_rate / tf.cast(length, tf.float32))
    # The amplitudes of two Butterworth filters, without their phase.
    below_F = tf.pow(begins_hz / tf.maximum(frequencies_hz, 1.0), 2.0 * order)
    above_F = tf.pow(frequencies_hz / ends_hz, 2.0 * order)
    gains_F = tf.math.rsqrt((1.0 + below_F) * (1.0 + above_F))
    return tf.signal.irfft(spectrum_F * tf.cast(gains_F, tf.complex64), [length])[:num_samples]


def _as_loud(changed_N: tf.Tensor, samples_N: tf.Tensor) -> tf.Tensor:
    """Scales to the energy of before; what was there before where either is silent."""
    energy, changed_energy = tf.reduce_sum(tf.square(samples_N)), tf.reduce_sum(tf.square(changed_N))
    gain = tf.sqrt(energy / tf.maximum(changed_energy, SILENT_ENERGY))
    return tf.where((energy > SILENT_ENERGY) & (changed_energy > SILENT_ENERGY), gain * changed_N, samples_N)


def transmitters(kinds: Sequence[str], *, sample_rate: int) -> list[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
    """For each kind the function from samples and a seed to samples.

    Raises:
        ValueError: the installed libraries lack a codec.
    """

    def transmitter(kind: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        if kind in CODECS:
            require_codec(kind)
            return lambda samples_N, seed: _as_loud(send(samples_N, seed, kind, sample_rate=sample_rate), samples_N)
        line = {"telephone": telephone, "mu_law": mu_law, "narrowband": narrowband}[kind]
        return lambda samples_N, seed: line(samples_N, seed, sample_rate=sample_rate)

    return [transmitter(kind) for kind in kinds]
