"""Noise of things: what knocks, rings and rattles in a kitchen or a workshop, over a bed of softer noise."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from speechgru.augment.seeds import split_seed
from speechgru.augment.spectra import at_unit_energy, coloured_noise, fft_length, powers_of_10

#: Things that are hit, and the tones at which each rings.
_NUM_THINGS, _NUM_TONES = 3, 6
_TONES_HZ = (150.0, 6000.0)
#: How long a tone takes to fall by 60 dB: wood at one end, a glass at the other.
_RING_SECONDS = (0.02, 0.6)
#: Hits a second of one thing.
_HITS_A_SECOND = (0.3, 6.0)
#: The standard deviation of how loud the hits of one thing are.
_HIT_DB = 8.0
#: The bed's energy over that of the hits.
_BED_DB = (-15.0, 5.0)
#: The bed's amplitude falls with frequency to a power up to this, from here upwards.
_BED_SLOPE, _BED_HZ = 1.5, 50.0


def clatter(num_samples: tf.Tensor, seed: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    """Three things, each hit at random times, over coloured noise: dishes, tools, a door, a desk.

    A thing rings at six tones, drawn evenly in log frequency, each with a decay of its own (modal synthesis, Adrien
    1991). How often it is hit, how loud each hit is, and the colour and level of the noise below are drawn too.

    Args:
        num_samples: samples wanted.
        seed: int32 [2].
        sample_rate: Hz.

    Returns:
        float32 [num_samples], of any level: `mix_noise` sets it.
    """
    *seeds, slope_seed, bed_seed, bed_db_seed = split_seed(seed, _NUM_THINGS + 3)
    length = fft_length(num_samples + int(_RING_SECONDS[1] * sample_rate))
    spectra = [_hits_on_a_thing(num_samples, one, sample_rate=sample_rate, length=length) for one in seeds]
    hits_N = tf.signal.irfft(tf.add_n(spectra), [length])[:num_samples]
    slope = tf.random.stateless_uniform([], slope_seed, 0.0, _BED_SLOPE)
    bed_N = coloured_noise(
        num_samples,
        bed_seed,
        sample_rate=sample_rate,
        gain=lambda frequencies_hz: tf.where(
            frequencies_hz < _BED_HZ, 0.0, tf.pow(tf.maximum(frequencies_hz, _BED_HZ) / _BED_HZ, -slope)
        ),
    )
    bed_db = tf.random.stateless_uniform([], bed_db_seed, *_BED_DB)
    return at_unit_energy(hits_N) + at_unit_energy(bed_N) * powers_of_10(bed_db / 20.0)


def _hits_on_a_thing(num_samples: tf.Tensor, seed: tf.Tensor, *, sample_rate: int, length: tf.Tensor) -> tf.Tensor:
    """The spectrum of one thing's sound, complex64 [length / 2 + 1]."""
    rate_seed, kept_seed, places_seed, levels_seed, thing_seed = split_seed(seed, 5)
    most = _HITS_A_SECOND[1]
    count = 1 + tf.cast(most / sample_rate * tf.cast(num_samples, tf.float32), tf.int32)
    is_kept = tf.random.stateless_uniform([count], kept_seed, 0.0, most) < _between(_HITS_A_SECOND, rate_seed)
    levels = powers_of_10(_HIT_DB / 20.0 * tf.random.stateless_normal([count], levels_seed))
    places = tf.random.stateless_uniform([count, 1], places_seed, 0, tf.maximum(1, num_samples), tf.int32)
    hits_N = tf.scatter_nd(places, tf.where(is_kept, levels, 0.0), [tf.maximum(1, num_samples)])
    response_K = _thing(thing_seed, sample_rate=sample_rate)
    return tf.signal.rfft(hits_N, [length]) * tf.signal.rfft(response_K, [length])


def _thing(seed: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    """What one hit sounds like: tones that die away; none above half the sample rate."""
    tones_seed, rings_seed, weights_seed, phases_seed = split_seed(seed, 4)
    tones_hz = _between(_TONES_HZ, tones_seed, [_NUM_TONES, 1])
    is_heard = tf.cast(tones_hz < sample_rate / 2.0, tf.float32)
    weights = is_heard * tf.random.stateless_normal([_NUM_TONES, 1], weights_seed)
    phases = tf.random.stateless_uniform([_NUM_TONES, 1], phases_seed, 0.0, 2.0 * math.pi)
    seconds_K = tf.range(int(_RING_SECONDS[1] * sample_rate), dtype=tf.float32) / sample_rate
    decays = powers_of_10(-3.0 * seconds_K / _between(_RING_SECONDS, rings_seed, [_NUM_TONES, 1]))
    return at_unit_energy(tf.reduce_sum(weights * decays * tf.sin(2.0 * math.pi * tones_hz * seconds_K + phases), 0))


def _between(limits: tuple[float, float], seed: tf.Tensor, shape: Any = ()) -> tf.Tensor:
    """Drawn evenly in the logarithm."""
    return tf.exp(tf.random.stateless_uniform(shape, seed, *map(math.log, limits)))
