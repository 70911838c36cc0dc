"""Rooms and microphones: impulse responses, reverberation, equalisation."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from speechgru.augment.seeds import split_seed
from speechgru.augment.spectra import SILENT_ENERGY, at_unit_energy, coloured_noise, fft_length, powers_of_10

#: Places, evenly apart on the mel scale, at which a made-up microphone's gain is drawn; straight lines between.
_EQUALIZER_POINTS = 8
#: How long a made-up microphone may ring.
_EQUALIZER_SECONDS = 0.05

# A made-up room.
_NUM_REFLECTIONS = 8
_REFLECTION_SECONDS = (0.001, 0.05)
#: Amplitude of all early reflections together, the late reverberation's being 1.
_EARLY_SHARE = 0.5
#: Where the walls begin to swallow the treble.
_CORNER_HZ = (1000.0, 4000.0)
#: The loudest reflection, the direct sound being 1: the direct sound stays the response's peak.
_LOUDEST_REFLECTION = 0.95


def draw_reverb_seconds(seed: tf.Tensor, *, seconds_min: Any, seconds_max: Any) -> tf.Tensor:
    """The reverberation time that `room_response` draws from this seed."""
    return tf.random.stateless_uniform([], split_seed(seed, 6)[0], 0.0, 1.0) * (seconds_max - seconds_min) + seconds_min


def draw_direct_db(seed: tf.Tensor, *, direct_db_min: float, direct_db_max: float) -> tf.Tensor:
    """The direct sound's energy over that of all that follows, dB, that `room_response` draws from this seed."""
    return tf.random.stateless_uniform([], split_seed(seed, 6)[5], direct_db_min, direct_db_max)


def room_response(
    seed: tf.Tensor,
    *,
    sample_rate: int,
    seconds_min: Any,
    seconds_max: Any,
    direct_db_min: float = 0.0,
    direct_db_max: float = 12.0,
) -> tf.Tensor:
    """A made-up room: the direct sound, some early reflections, and noise that dies away, its treble dull.

    The noise's envelope falls by 60 dB over the reverberation time, which is the response's length as well.

    Args:
        seed: int32 [2].
        sample_rate: Hz.
        seconds_min: the shortest reverberation time.
        seconds_max: the longest.
        direct_db_min: by how much the direct sound's energy exceeds the rest's at the least, dB: the farthest speaker.
            0 is across a living room, below 0 another room's end.
        direct_db_max: at the most: 12 is arm's length.

    Returns:
        `response_K`, float32; the direct sound is 1, stands first and is the peak. A very short response, whose energy
        stands in few samples, may be nearer than was asked.

    Source: the statistical model of Polack 1988 (Gaussian noise under an exponential), plus reflections.
    """
    _, noise_seed, corner_seed, times_seed, levels_seed, _ = split_seed(seed, 6)
    seconds = draw_reverb_seconds(seed, seconds_min=seconds_min, seconds_max=seconds_max)
    length = tf.maximum(2, tf.cast(tf.math.ceil(seconds * sample_rate), tf.int32))
    decay_K = powers_of_10(-3.0 * tf.cast(tf.range(length), tf.float32) / (seconds * sample_rate))
    corner_hz = tf.random.stateless_uniform([], corner_seed, *_CORNER_HZ)
    late_K = decay_K * coloured_noise(
        length,
        noise_seed,
        sample_rate=sample_rate,
        gain=lambda frequencies_hz: tf.math.rsqrt(1.0 + tf.square(frequencies_hz / corner_hz)),
    )
    times = tf.random.stateless_uniform([_NUM_REFLECTIONS], times_seed, *_REFLECTION_SECONDS)
    places = tf.clip_by_value(tf.cast(tf.minimum(times, seconds) * sample_rate, tf.int32), 1, length - 1)
    levels = tf.random.stateless_uniform([_NUM_REFLECTIONS], levels_seed, 0.3, 1.0) * tf.gather(decay_K, places)
    early_K = tf.scatter_nd(places[:, None], levels, [length])
    is_after_K = tf.cast(tf.range(length) > 0, tf.float32)
    tail_K = is_after_K * (at_unit_energy(late_K) + _EARLY_SHARE * early_K / tf.norm(early_K))
    direct_db = draw_direct_db(seed, direct_db_min=direct_db_min, direct_db_max=direct_db_max)
    tail_K = at_unit_energy(tail_K) * tf.pow(10.0, -direct_db / 20.0)
    tail_K *= tf.minimum(1.0, _LOUDEST_REFLECTION / tf.maximum(1e-6, tf.reduce_max(tf.abs(tail_K))))
    return tail_K + (1.0 - is_after_K)


def reverberate(samples_N: tf.Tensor, response_K: tf.Tensor) -> tf.Tensor:
    """Speech in a room: convolved with its impulse response, as loud and as long as before, and not delayed.

    Args:
        samples_N: one utterance.
        response_K: an impulse response; its peak is taken as the direct sound, which falls on the speech's own time.

    Returns:
        N samples with the energy of `samples_N`, what rings on after the end cut off; `samples_N` itself where either
        is silent.
    """
    num_samples, num_response = tf.shape(samples_N)[0], tf.shape(response_K)[0]
    length = fft_length(num_samples + num_response)
    spectrum_F = tf.signal.rfft(samples_N, [length]) * tf.signal.rfft(response_K, [length])
    peak = tf.argmax(tf.abs(response_K), output_type=tf.int32)
    wet_N = tf.signal.irfft(spectrum_F, [length])[peak : peak + num_samples]
    energy, wet_energy = tf.reduce_sum(tf.square(samples_N)), tf.reduce_sum(tf.square(wet_N))
    gain = tf.sqrt(energy / tf.maximum(wet_energy, SILENT_ENERGY))
    return tf.where(wet_energy > SILENT_ENERGY, gain * wet_N, samples_N)


def equalize(samples_N: tf.Tensor, seed: tf.Tensor, *, sample_rate: int, equalizer_db: Any) -> tf.Tensor:
    """Speech through another microphone: each frequency louder or softer, smoothly, the whole as loud as before.

    Args:
        samples_N: one utterance.
        seed: int32 [2].
        sample_rate: Hz.
        equalizer_db: the largest change, up or down. It is drawn at eight places evenly apart on the mel scale from 0
            to half the sample rate, with straight lines in dB between them, and nothing is delayed.

    Returns:
        N samples with the energy of `samples_N`.
    """
    num_samples = tf.shape(samples_N)[0]
    length = fft_length(num_samples + int(_EQUALIZER_SECONDS * sample_rate))
    spectrum_F = tf.signal.rfft(samples_N, [length])
    frequencies_hz = tf.cast(tf.range(tf.size(spectrum_F)), tf.float32) * (sample_rate / tf.cast(length, tf.float32))
    places_F = (_EQUALIZER_POINTS - 1) * tf.math.log1p(frequencies_hz / 700.0) / math.log1p(sample_rate / 2.0 / 700.0)
    points_P = tf.range(_EQUALIZER_POINTS, dtype=tf.float32)
    weights_PF = tf.maximum(0.0, 1.0 - tf.abs(places_F - points_P[:, None]))
    gains_db_P = equalizer_db * tf.random.stateless_uniform([_EQUALIZER_POINTS], seed, -1.0, 1.0)
    gains_F = powers_of_10(tf.linalg.matvec(weights_PF, gains_db_P / 20.0, transpose_a=True))
    heard_N = tf.signal.irfft(spectrum_F * tf.cast(gains_F, tf.complex64), [length])[:num_samples]
    energy, heard_energy = tf.reduce_sum(tf.square(samples_N)), tf.reduce_sum(tf.square(heard_N))
    gain = tf.sqrt(energy / tf.maximum(heard_energy, SILENT_ENERGY))
    return tf.where((heard_energy > SILENT_ENERGY) & (equalizer_db > 0.0), gain * heard_N, samples_N)
