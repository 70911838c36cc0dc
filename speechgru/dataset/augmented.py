"""Augmentation of one utterance inside the input pipeline, from its seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from speechgru.augment.noise import Reader
from speechgru.augment.samples import augment_samples
from speechgru.augment.spectrogram import mask_spectrogram, warp_frequency
from speechgru.config.sections import RunConfig
from speechgru.dataset.corpus import Corpus, recording_reader
from speechgru.features import dither
from speechgru.utterances.manifest import Utterance, read_manifest

#: Seconds of a noise recording that are read at most, from a drawn place: it may be hours long.
_NOISE_SECONDS = 20.0


class Augmentation:
    """What training does to recordings by a configuration, to the samples and then to their features.

    Args:
        config: the augmentation, the sample rate, the dither.
        read_speech: gives another utterance of the corpus, for babble.

    Raises:
        ManifestError: the manifest of noise or of impulse responses cannot be read.
    """

    def __init__(self, config: RunConfig, *, read_speech: Reader | None = None):
        self._config, self._read_speech = config, read_speech
        noise, responses = config.augment.noise_manifest, config.augment.reverb_manifest
        self._read_noise = noise and utterance_reader(read_manifest(noise), config=config, most_seconds=_NOISE_SECONDS)
        self._read_response = responses and utterance_reader(read_manifest(responses), config=config)

    def strength(self, epoch: tf.Tensor | float) -> tf.Tensor:
        """How far the ramp of `augment.ramp_epochs` has risen at a time in epochs: 0 to 1."""
        epoch, ramp = tf.cast(epoch, tf.float32), self._config.augment.ramp_epochs
        return tf.clip_by_value(epoch / ramp, 0.0, 1.0) if ramp else tf.ones_like(epoch)

    def of_samples(
        self,
        samples_N: tf.Tensor,
        seed: tf.Tensor,
        length_draws: tf.Tensor,
        *,
        strength: tf.Tensor | float = 1.0,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """An utterance as training hears it, and what was drawn for that (`augment.augment_samples`).

        Args:
            samples_N: the recording.
            seed: int32 [2], by `augment_seed`.
            length_draws: float32 [3], by `sampling.draw_lengths`.
            strength: in [0, 1].
        """
        settings = self._config.augment
        samples_N, draws = augment_samples(
            samples_N,
            seed,
            sample_rate=self._config.data.sample_rate,
            strength=strength,
            speed_share=settings.speed_share,
            reverb_probability=settings.reverb_probability,
            reverb_seconds_min=settings.reverb_seconds_min,
            reverb_seconds_max=settings.reverb_seconds_max,
            read_response=self._read_response,
            silence_seconds=settings.silence_seconds,
            noise_probability=settings.noise_probability,
            noise_kinds=settings.noise_kinds,
            noise_snr_db_min=settings.noise_snr_db_min,
            noise_snr_db_max=settings.noise_snr_db_max,
            read_noise=self._read_noise,
            read_speech=self._read_speech,
            equalizer_db=settings.equalizer_db,
            gain_db=settings.gain_db,
            length_draws=length_draws,
            return_draws=True,
        )
        if self._config.features.dither:
            samples_N = dither(samples_N, seed, deviation=self._config.features.dither)
        return samples_N, draws

    def of_features(
        self,
        features_BTD: tf.Tensor,
        num_frames_B: tf.Tensor,
        seeds_B2: tf.Tensor,
        *,
        strength: tf.Tensor | float = 1.0,
    ) -> tf.Tensor:
        """Normalised features as training sees them: warped, then with bands hidden; each row by its own seed."""
        settings, num_groups = self._config.augment, 1 + self._config.features.deltas
        features_BTD = warp_frequency(
            features_BTD,
            seeds_B2,
            warp_share=settings.frequency_warp_share,
            strength=strength,
            num_groups=num_groups,
        )
        return mask_spectrogram(
            features_BTD,
            num_frames_B,
            seeds_B2,
            time_masks=settings.time_masks,
            time_masks_per_second=settings.time_masks_per_second,
            time_mask_share=settings.time_mask_share,
            frequency_masks=settings.frequency_masks,
            frequency_mask_share=settings.frequency_mask_share,
            frame_seconds=self._config.hop_length / self._config.data.sample_rate,
            strength=strength,
            num_groups=num_groups,
        )


def augment_seed(config: RunConfig, number_of_pass: tf.Tensor | int, index: tf.Tensor | int) -> tf.Tensor:
    """The stateless seed of an utterance's augmentation: two numbers of 32 bits name run, pass and utterance."""
    run = (config.train.seed * 7919 + 2**31) % 2**32 - 2**31
    return tf.stack([run + number_of_pass, index])


def utterance_reader(utterances: Sequence[Utterance], *, config: RunConfig, most_seconds: float = math.inf) -> Reader:
    """In a graph: a stateless seed -> one of the utterances, or `most_seconds` of it from a drawn place."""
    read, count = recording_reader(utterances, config=config), len(utterances)
    durations = np.array([utterance.duration for utterance in utterances])

    def read_one(seed: tf.Tensor) -> tf.Tensor:
        draws = tf.random.stateless_uniform([2], seed, dtype=tf.float64)
        index = tf.cast(draws[0] * count, tf.int32)
        skipped = tf.nn.relu(tf.gather(durations, index) - most_seconds)
        return read(index, start=draws[1] * skipped, most_seconds=most_seconds)

    return read_one


def speech_reader(corpus: Corpus) -> Reader:
    """In a graph: a stateless seed -> one of the corpus's utterances, as recorded."""

    def read(seed: tf.Tensor) -> tf.Tensor:
        index = tf.random.stateless_uniform([], seed, 0, len(corpus), dtype=tf.int32)
        return corpus.load(index)[0]

    return read


def augmented_frames(num_frames: np.ndarray, length_draws: np.ndarray, epoch: int, *, config: RunConfig) -> np.ndarray:
    """Frames of utterances once augmentation has changed their speed and put quiet around them.

    While a ramp rises, that of the middle of the epoch stands for all of it.
    """
    settings = config.augment
    strength = min(1.0, (epoch + 0.5) / settings.ramp_epochs) if settings.ramp_epochs else 1.0
    factors = 1.0 + strength * settings.speed_share * (2.0 * length_draws[:, 0] - 1.0)
    quiet = strength * settings.silence_seconds * config.data.sample_rate / config.hop_length
    return np.ceil(num_frames / factors + quiet * (length_draws[:, 1] + length_draws[:, 2])).astype(np.int32)
