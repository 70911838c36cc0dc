"""Noise to mix with speech: white, pink, recorded, babble of other utterances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from speechgru.augment.seeds import split_seed
from speechgru.augment.spectra import SILENT_ENERGY, coloured_noise
from speechgru.augment.stage import Reader

NOISE_KINDS = ("white", "pink", "babble", "recorded")

#: Below is no sound: pink noise, of equal power in every octave, would have most of its power there.
_LOWEST_HZ = 20.0

#: Voices of a babble, at least and at most: fewer can be understood, more sound like shaped noise.
_FEWEST_VOICES, _MOST_VOICES = 3, 7


def white_noise(num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Gaussian noise of equal power at all frequencies: a bad microphone's hiss."""
    return tf.random.stateless_normal([num_samples], seed)


def pink_noise(num_samples: tf.Tensor, seed: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    """Gaussian noise whose power falls by 3 dB an octave, from 20 Hz upwards: nearer to what streets and rooms make."""
    return coloured_noise(
        num_samples,
        seed,
        sample_rate=sample_rate,
        gain=lambda frequencies_hz: tf.where(
            frequencies_hz < _LOWEST_HZ, 0.0, tf.math.rsqrt(tf.maximum(frequencies_hz, _LOWEST_HZ) / _LOWEST_HZ)
        ),
    )


def babble(num_samples: tf.Tensor, seed: tf.Tensor, *, read_speech: Reader) -> tf.Tensor:
    """Three to seven voices at once, each as loud as the others, each cut or repeated to the length.

    Args:
        num_samples: samples wanted.
        seed: int32 [2].
        read_speech: reads an utterance.
    """
    count_seed, voices_seed = split_seed(seed, 2)
    count = tf.random.stateless_uniform([], count_seed, _FEWEST_VOICES, _MOST_VOICES + 1, tf.int32)
    seeds_V2 = tf.random.experimental.stateless_split(voices_seed, _MOST_VOICES)

    def add_voice(voice: tf.Tensor, sum_N: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        read_seed, place_seed = split_seed(seeds_V2[voice], 2)
        voice_M = read_speech(read_seed)
        # Levelled over the whole utterance: a pause that the cut may hit must not be blown up.
        power = tf.reduce_mean(tf.square(tf.pad(voice_M, [[0, 1]])))
        voice_M = voice_M * tf.where(power > SILENT_ENERGY, tf.math.rsqrt(tf.maximum(power, SILENT_ENERGY)), 0.0)
        return voice + 1, sum_N + fit_length(voice_M, num_samples, place_seed)

    # One at a time, so that one recording at a time is in the memory.
    _, sum_N = tf.while_loop(
        lambda voice, _: voice < count, add_voice, (tf.constant(0), tf.zeros([num_samples])), parallel_iterations=1
    )
    return sum_N


def fit_length(samples_M: tf.Tensor, num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Cuts `num_samples` out of a recording at a drawn place; a shorter one is repeated, from a drawn place on.

    A recording without samples counts as one of silence.
    """
    samples_M = tf.pad(samples_M, [[0, tf.cast(tf.equal(tf.size(samples_M), 0), tf.int32)]])
    length = tf.size(samples_M)
    places = tf.where(length < num_samples, length, length - num_samples + 1)
    start = tf.random.stateless_uniform([], seed, 0, places, tf.int32)
    repeats = (start + num_samples + length - 1) // length
    return tf.tile(samples_M, [repeats])[start : start + num_samples]


def mix_noise(samples_N: tf.Tensor, noise_N: tf.Tensor, snr_db: Any, *, start: Any = 0, end: Any = None) -> tf.Tensor:
    """Adds noise so that the speech's energy exceeds the noise's by just `snr_db` where speech stands.

    Args:
        samples_N: speech, perhaps with quiet before and after.
        noise_N: noise of any level.
        snr_db: signal-to-noise ratio.
        start: first sample of the speech.
        end: the sample after its last; None is the end.

    Returns:
        `samples_N` with the noise all along; as it is where the speech, or the noise under it, is silent.
    """
    speech = tf.reduce_sum(tf.square(samples_N[start:end]))
    noise = tf.reduce_sum(tf.square(noise_N[start:end]))
    level = tf.sqrt(speech / tf.maximum(noise, SILENT_ENERGY) * tf.pow(10.0, -tf.cast(snr_db, tf.float32) / 10.0))
    return samples_N + tf.where(noise > SILENT_ENERGY, level * noise_N, 0.0)


def noise_makers(
    kinds: Sequence[str], *, sample_rate: int, read_noise: Reader | None, read_speech: Reader | None
) -> list[Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
    """For each kind the function from a length and a seed to noise.

    Raises:
        ValueError: a kind is unknown, or lacks its reader.
    """

    def pink(num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return pink_noise(num_samples, seed, sample_rate=sample_rate)

    def babbled(num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return babble(num_samples, seed, read_speech=_required(read_speech))

    def recorded(num_samples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        read_seed, place_seed = split_seed(seed, 2)
        return fit_length(_required(read_noise)(read_seed), num_samples, place_seed)

    makers = {"white": white_noise, "pink": pink, "babble": babbled, "recorded": recorded}
    unknown = [kind for kind in kinds if kind not in makers]
    if unknown or not kinds:
        raise ValueError(
            f"noise_kinds must hold some of {', '.join(NOISE_KINDS)}, got {', '.join(map(repr, unknown)) or 'none'}"
        )
    for kind, name, reader in (("babble", "read_speech", read_speech), ("recorded", "read_noise", read_noise)):
        if kind in kinds and reader is None:
            raise ValueError(f"noise_kinds holds {kind!r}, which needs {name}: a function from a seed to samples")
    return [makers[kind] for kind in kinds]


def _required(reader: Reader | None) -> Reader:
    """A reader that `noise_makers` has found to be there, which its type cannot say."""
    if reader is None:
        raise ValueError("a kind of noise lacks its reader")
    return reader
