"""The stages that are switched on, applied one after the other, each by its own part of an utterance's seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.augment.seeds import LENGTH, part_seed
from speechgru.augment.stage import Clip, FeatureStage, LengthStage, SampleStage, Scene, Stage


class Chain:
    """Augmentation by stages: pure functions of a stateless seed, so that a run repeats.

    Every `seed` is an int32 pair as `tf.random.stateless_uniform` expects; the same seed gives the same augmentation,
    whatever the order in which utterances are read and however often a run was resumed. Each stage draws from its own
    part of it, so one seed an utterance and epoch serves them all.

    Args:
        stages: stages with their keys' values, in the order in which they are applied.
        scene: sample rate, frames, and readers of recordings.

    >>> from speechgru.augment import Gain, Speed
    >>> chain = Chain([Speed(speed_share=0.0), Gain(gain_db=6.0)], scene=Scene(sample_rate=16000))
    >>> samples_N, draws = chain.augment_samples(tf.ones([4]), tf.constant([0, 1]))
    >>> sorted(draws), samples_N.shape
    (['gain_db'], TensorShape([4]))
    """

    def __init__(self, stages: Iterable[Stage], *, scene: Scene):
        self.stages: Sequence[Stage] = tuple(stages)
        self._scene = scene

    @property
    def num_length_draws(self) -> int:
        """Numbers that decide an utterance's length, by all stages."""
        return sum(stage.num_draws for stage in self.stages if isinstance(stage, LengthStage))

    def augment_samples(
        self,
        samples_N: tf.Tensor,
        seed: tf.Tensor,
        *,
        strength: Any = 1.0,
        length_draws: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Applies the stages of samples to one utterance.

        Args:
            samples_N: one utterance, float32.
            seed: int32 [2].
            strength: scalar in [0, 1], a tensor or a number; at 0 nothing is done.
            length_draws: float32 [`num_length_draws`] in [0, 1), which decide the length; whoever draws them knows it
                beforehand. From the seed when None.

        Returns:
            float32 samples, in general of another length than `samples_N` (loud ones may exceed 1, as floats can), and
            what was drawn by the stages that are on, scalar tensors by name.

        Raises:
            ValueError: a kind of noise lacks its reader.
        """
        samples_N = tf.convert_to_tensor(samples_N, tf.float32)
        is_on = [stage.is_on and not isinstance(stage, FeatureStage) for stage in self.stages]
        if not any(is_on):
            return samples_N, {}
        if length_draws is None and any(
            on and isinstance(stage, LengthStage) for on, stage in zip(is_on, self.stages, strict=True)
        ):
            length_draws = tf.random.stateless_uniform([self.num_length_draws], part_seed(seed, LENGTH))
        clip, first = Clip(samples_N, 0, tf.shape(samples_N)[0], {}), 0
        for on, stage in zip(is_on, self.stages, strict=True):
            if isinstance(stage, LengthStage):
                # A stage that is off keeps its numbers, so that switching it on changes no other stage.
                place, first = first, first + stage.num_draws
                if on:
                    draws_K = tf.convert_to_tensor(length_draws, tf.float32)[place:first]
                    clip = stage.apply(clip, draws_K, strength=strength, scene=self._scene)
            elif on and isinstance(stage, SampleStage):
                clip = stage.apply(clip, part_seed(seed, stage.seed_part), strength=strength, scene=self._scene)
        return clip.samples_N, clip.draws

    def augment_features(
        self,
        features_BTD: tf.Tensor,
        num_frames_B: tf.Tensor,
        seeds_B2: tf.Tensor,
        *,
        strength: Any = 1.0,
    ) -> tf.Tensor:
        """Applies the stages of features to a batch, each row by its own seed.

        Args:
            features_BTD: normalised features; zeros beyond each length stay zeros.
            num_frames_B: real frames.
            seeds_B2: int32.
            strength: scalar in [0, 1].
        """
        features_BTD = tf.convert_to_tensor(features_BTD)
        for stage in self.stages:
            if isinstance(stage, FeatureStage) and stage.is_on:
                features_BTD = stage.apply(features_BTD, num_frames_B, seeds_B2, strength=strength, scene=self._scene)
        return features_BTD

    def features_drawn(self, seeds_B2: tf.Tensor, *, strength: Any = 1.0) -> dict[str, tf.Tensor]:
        """What the stages of features draw for each row, [B] by name."""
        drawn: dict[str, tf.Tensor] = {}
        for stage in self.stages:
            if isinstance(stage, FeatureStage) and stage.is_on:
                drawn |= stage.drawn(seeds_B2, strength=strength)
        return drawn

    def num_frames(self, num_frames: np.ndarray, length_draws: np.ndarray, *, strength: float) -> np.ndarray:
        """Frames of utterances after augmentation, int32 [E], by their numbers [E, `num_length_draws`]."""
        first = 0
        for stage in self.stages:
            if isinstance(stage, LengthStage):
                place, first = first, first + stage.num_draws
                num_frames = stage.num_frames(
                    num_frames, length_draws[:, place:first], strength=strength, scene=self._scene
                )
        return np.ceil(num_frames).astype(np.int32)

    def records(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        """What the stages of samples drew for an utterance, ready for JSON, of plain numbers by name."""
        record: dict[str, Any] = {}
        for stage in self.stages:
            if stage.is_on and not isinstance(stage, FeatureStage):
                record |= stage.record(draws)
        return record

    def describe(self, record: Mapping[str, Any]) -> list[str]:
        """What was done to an utterance's samples, in words, in the order in which it was done."""
        return [
            fact
            for stage in self.stages
            if stage.is_on and not isinstance(stage, FeatureStage)
            for fact in stage.describe(record)
        ]
