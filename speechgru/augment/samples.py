"""What training does to a recording before it hears it: pure functions of a stateless seed, so that a run repeats.

Every `seed` is an int32 pair as `tf.random.stateless_uniform` takes; the same seed gives the same augmentation,
whatever the order in which utterances are read and however often a run was resumed. A seed is used once: where
several things are drawn it is split first, and the functions that are given an utterance's seed (`augment_samples`,
`warp_frequency`, `mask_spectrogram`) each take their own part of it, so that one seed an utterance and epoch serves
them all.

`strength` is a ramp from 0, where nothing is done, to 1: it scales every probability and every magnitude. What is drawn
stays in its place while it grows, so that an augmentation of half the strength is the milder form of the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.audio.reading import resample
from speechgru.augment.noise import Reader, mix_noise, noise_makers
from speechgru.augment.rooms import draw_reverb_seconds, equalize, reverberate, room_response
from speechgru.augment.seeds import EQUALIZER, GAIN, LENGTH, NOISE, REVERB, part_seed, split_seed


def augment_samples(
    samples_N: tf.Tensor,
    seed: tf.Tensor,
    *,
    sample_rate: int,
    strength: Any = 1.0,
    speed_share: float = 0.0,
    reverb_probability: float = 0.0,
    reverb_seconds_min: float = 0.1,
    reverb_seconds_max: float = 0.6,
    read_response: Reader | None = None,
    silence_seconds: float = 0.0,
    noise_probability: float = 0.0,
    noise_kinds: Sequence[str] = ("white",),
    noise_snr_db_min: float = 10.0,
    noise_snr_db_max: float = 40.0,
    read_noise: Reader | None = None,
    read_speech: Reader | None = None,
    equalizer_db: float = 0.0,
    gain_db: float = 0.0,
    length_draws: tf.Tensor | None = None,
    return_draws: bool = False,
) -> Any:
    """Speed, quiet before and after, a room, noise, timbre, and level: the speaker, the room, the microphone.

    The room rings on in the quiet.

    A kind that is switched off by a Python 0 costs no operation of the graph.

    Args:
        samples_N: one utterance, float32.
        seed: int32 [2].
        sample_rate: Hz.
        strength: scalar in [0, 1], a tensor or a number; at 0 nothing is done.
        speed_share: speech gets faster or slower by up to this share, its pitch with it.
        reverb_probability: the share of utterances that stand in a room.
        reverb_seconds_min: the shortest reverberation time of a made-up room.
        reverb_seconds_max: the longest, which `strength` brings down to the shortest.
        read_response: reads an impulse response, in place of made-up rooms.
        silence_seconds: at most so much quiet before, and as much after.
        noise_probability: the share of utterances that get noise.
        noise_kinds: the kinds to draw from, of `NOISE_KINDS`.
        noise_snr_db_min: the noisiest, dB over the speech; `strength` brings it up to the cleanest.
        noise_snr_db_max: the cleanest, dB over the speech.
        read_noise: reads recorded noise, for the kind `recorded`.
        read_speech: reads another utterance, for the kind `babble`.
        equalizer_db: frequencies get louder or softer by up to so many dB, as another microphone would have them.
        gain_db: the level changes by up to so many dB, up or down.
        length_draws: three numbers in [0, 1) that decide the speed, the silence before and that after; a caller who
            draws them knows the length beforehand. From the seed when None.
        return_draws: whether to tell what was drawn as well.

    Returns:
        float32 samples, in general of another length than `samples_N`; loud ones may go past 1, as floats can.
        With `return_draws` a pair of these and a dictionary of scalar tensors, with keys for what is switched on:
        `speed_factor`, `reverberated`, `reverb_seconds` (of a made-up room), `silence_before_seconds`,
        `silence_after_seconds`, `noise_kind` (its place in `noise_kinds`, -1 for no noise), `noise_snr_db`, `gain_db`.

    Raises:
        ValueError: a kind of noise is unknown, or lacks its reader.
    """
    samples_N = tf.convert_to_tensor(samples_N, tf.float32)
    draws: dict[str, tf.Tensor] = {}
    if speed_share or silence_seconds:
        if length_draws is None:
            length_draws = tf.random.stateless_uniform([3], part_seed(seed, LENGTH))
        length_draws = tf.convert_to_tensor(length_draws, tf.float32)
    if speed_share:
        draws["speed_factor"] = 1.0 + strength * speed_share * (2.0 * length_draws[0] - 1.0)
        samples_N = change_speed(samples_N, draws["speed_factor"])
    spoken_N, num_before = samples_N, 0
    if silence_seconds:
        most = strength * silence_seconds * sample_rate
        pads = tf.cast(length_draws[1:] * most, tf.int32)
        samples_N, num_before = tf.pad(samples_N, [pads]), pads[0]
        for key, pad in zip(("silence_before_seconds", "silence_after_seconds"), tf.unstack(pads), strict=True):
            draws[key] = tf.cast(pad, tf.float32) / sample_rate
    if reverb_probability:
        chance_seed, room_seed = split_seed(part_seed(seed, REVERB), 2)
        longest = reverb_seconds_min + strength * (reverb_seconds_max - reverb_seconds_min)
        room = {"seconds_min": reverb_seconds_min, "seconds_max": longest}
        draws["reverberated"] = tf.random.stateless_uniform([], chance_seed) < strength * reverb_probability
        if read_response is None:
            draws["reverb_seconds"] = draw_reverb_seconds(room_seed, **room)
        dry_N = samples_N
        samples_N = tf.cond(
            draws["reverberated"],
            lambda: reverberate(
                dry_N,
                room_response(room_seed, sample_rate=sample_rate, **room)
                if read_response is None
                else read_response(room_seed),
            ),
            lambda: dry_N,
        )
    if noise_probability:
        makers = noise_makers(noise_kinds, sample_rate=sample_rate, read_noise=read_noise, read_speech=read_speech)
        chance_seed, kind_seed, snr_seed, noise_seed = split_seed(part_seed(seed, NOISE), 4)
        is_noisy = tf.random.stateless_uniform([], chance_seed) < strength * noise_probability
        kind = tf.random.stateless_uniform([], kind_seed, 0, len(makers), tf.int32)
        snr_db = noise_snr_db_max - strength * (noise_snr_db_max - noise_snr_db_min) * (
            tf.random.stateless_uniform([], snr_seed)
        )
        draws |= {"noise_kind": tf.where(is_noisy, kind, -1), "noise_snr_db": snr_db}
        quiet_N = samples_N

        def add_noise() -> tf.Tensor:
            num_samples = tf.shape(quiet_N)[0]
            branches = [lambda make=make: make(num_samples, noise_seed) for make in makers]
            noise_N = branches[0]() if len(branches) == 1 else tf.switch_case(kind, branches)
            return mix_noise(quiet_N, noise_N, snr_db, start=num_before, end=num_before + tf.shape(spoken_N)[0])

        samples_N = tf.cond(is_noisy, add_noise, lambda: quiet_N)
    if equalizer_db:
        samples_N = equalize(
            samples_N, part_seed(seed, EQUALIZER), sample_rate=sample_rate, equalizer_db=strength * equalizer_db
        )
    if gain_db:
        gains = tf.random.stateless_uniform([], part_seed(seed, GAIN), -1.0, 1.0)
        draws["gain_db"] = strength * gain_db * gains
        samples_N = samples_N * tf.pow(10.0, draws["gain_db"] / 20.0)
    return (samples_N, draws) if return_draws else samples_N


def change_speed(samples_N: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Plays speech faster or slower, so that tempo, pitch and formants change together.

    Args:
        samples_N: one utterance, float32.
        factor: above 1 is faster: what swung at f Hz swings at f * factor Hz.

    Returns:
        round(N / factor) samples.

    Source: Ko et al. 2015, "Audio Augmentation for Speech Recognition", section 2.
    """
    faster_N = tf.numpy_function(_change_speed, [samples_N, factor], tf.float32, stateful=False)
    faster_N.set_shape([None])
    return faster_N


def _change_speed(samples_N: np.ndarray, factor: np.floating) -> np.ndarray:
    if not len(samples_N):
        return samples_N
    return resample(samples_N, source_rate=float(factor), sample_rate=1.0)
