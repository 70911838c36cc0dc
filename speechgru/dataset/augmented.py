"""Augmentation of one utterance inside the input pipeline, from its seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from speechgru.augment import Reader, Scene
from speechgru.augment.chain import Chain
from speechgru.config.sections import RunConfig
from speechgru.dataset.corpus import Corpus, recording_reader
from speechgru.features import dither
from speechgru.utterances.manifest import Utterance, read_manifest


class Augmentation:
    """What training does to recordings by a configuration, to the samples and then to their features.

    Args:
        config: the augmentation, the sample rate, the dither.
        read_speech: gives another utterance of the corpus, for babble.

    Raises:
        ManifestError: a manifest that a stage reads, such as that of noise, cannot be read.
    """

    def __init__(self, config: RunConfig, *, read_speech: Reader | None = None):
        self._config = config
        readers = {
            key: utterance_reader(read_manifest(manifest, needs_text=False), config=config, most_seconds=most_seconds)
            for key, (manifest, most_seconds) in config.augment.manifests.items()
        }
        if read_speech is not None:
            readers["speech"] = read_speech
        #: The stages, for whoever asks what they drew.
        self.chain = _chain_of(config, readers)

    def strength(self, epoch: tf.Tensor | float) -> tf.Tensor:
        """How far the ramp of `augment.ramp_epochs` has risen at a time in epochs: 0 to 1."""
        epoch, ramp = tf.cast(epoch, tf.float32), self._config.augment.ramp_epochs
        return tf.clip_by_value(epoch / ramp, 0.0, 1.0) if ramp else tf.ones_like(epoch)

    def augment_samples(
        self,
        samples_N: tf.Tensor,
        seed: tf.Tensor,
        length_draws: tf.Tensor,
        *,
        strength: tf.Tensor | float = 1.0,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """An utterance as training gets it, and what was drawn for that (`Chain.augment_samples`).

        Args:
            samples_N: the recording.
            seed: int32 [2], by `augment_seed`.
            length_draws: float32 [K], by `sampling.draw_lengths`.
            strength: in [0, 1].
        """
        samples_N, draws = self.chain.augment_samples(samples_N, seed, strength=strength, length_draws=length_draws)
        if self._config.features.dither:
            samples_N = dither(samples_N, seed, deviation=self._config.features.dither)
        return samples_N, draws

    def augment_features(
        self,
        features_BTD: tf.Tensor,
        num_frames_B: tf.Tensor,
        seeds_B2: tf.Tensor,
        *,
        strength: tf.Tensor | float = 1.0,
    ) -> tf.Tensor:
        """Normalised features as training gets them: warped, then with bands hidden; each row by its own seed."""
        return self.chain.augment_features(features_BTD, num_frames_B, seeds_B2, strength=strength)


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
    """Frames of utterances once the stages have changed their lengths.

    While a ramp rises, its value in the middle of the epoch stands for all of it.
    """
    ramp = config.augment.ramp_epochs
    strength = min(1.0, (epoch + 0.5) / ramp) if ramp else 1.0
    return _chain_of(config, {}).num_frames(num_frames, length_draws, strength=strength)


def _chain_of(config: RunConfig, readers: Mapping[str, Reader]) -> Chain:
    scene = Scene(config.data.sample_rate, readers, hop_length=config.hop_length, num_groups=1 + config.features.deltas)
    return Chain(config.augment.stages, scene=scene)
