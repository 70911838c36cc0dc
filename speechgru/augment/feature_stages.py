"""Stages of spectrograms: vocal-tract warping, and SpecAugment's masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from speechgru.augment.stage import FeatureStage, Scene, percent
from speechgru.ranges import HalfAtMost, NonNegative, NonNegativeInt, Share

if TYPE_CHECKING:
    import tensorflow as tf


class FrequencyWarp(FeatureStage):
    """Vocal tracts get longer or shorter by up to `frequency_warp_share`."""

    title: ClassVar[str] = "Warping"
    switch: ClassVar[str] = "frequency_warp_share"
    seed_part: ClassVar[int] = 4

    frequency_warp_share: HalfAtMost = 0.1

    @property
    def extent(self) -> str:
        return f"up to {percent(self.frequency_warp_share)} up or down"

    def apply(
        self,
        features_BTD: tf.Tensor,
        num_frames_B: tf.Tensor,
        seeds_B2: tf.Tensor,
        *,
        strength: Any,
        scene: Scene,
    ) -> tf.Tensor:
        from speechgru.augment.spectrogram import warp_frequency

        factors_B = self.drawn(seeds_B2, strength=strength)["frequency_warp"]
        return warp_frequency(features_BTD, factors_B, num_groups=scene.num_groups)

    def drawn(self, seeds_B2: tf.Tensor, *, strength: Any) -> dict[str, tf.Tensor]:
        from speechgru.augment.spectrogram import draw_warp_factors

        factors_B = draw_warp_factors(seeds_B2, self.seed_part, warp_share=self.frequency_warp_share, strength=strength)
        return {"frequency_warp": factors_B}


class TimeMasks(FeatureStage):
    """SpecAugment: `time_masks` bands of frames are hidden, and `time_masks_per_second` more a second.

    `strength` scales their widths, of at most `time_mask_share` of the utterance.
    """

    title: ClassVar[str] = "Time masks"
    switch: ClassVar[str] = "time_masks"
    seed_part: ClassVar[int] = 5

    time_masks: NonNegativeInt = 1
    time_masks_per_second: NonNegative = 0.0
    time_mask_share: Share = 0.05

    @property
    def extent(self) -> str:
        counts = [f"{self.time_masks}"] if self.time_masks else []
        if self.time_masks_per_second:
            counts.append(f"{self.time_masks_per_second:g} a second")
        return f"{' and '.join(counts)}, up to {percent(self.time_mask_share)} of the utterance each"

    @property
    def is_on(self) -> bool:
        """Whether there is a mask that hides anything."""
        return bool((self.time_masks or self.time_masks_per_second) and self.time_mask_share)

    def apply(
        self,
        features_BTD: tf.Tensor,
        num_frames_B: tf.Tensor,
        seeds_B2: tf.Tensor,
        *,
        strength: Any,
        scene: Scene,
    ) -> tf.Tensor:
        from speechgru.augment.spectrogram import count_masks, mask_frames

        counts_B = count_masks(
            num_frames_B, self.time_masks, per_second=self.time_masks_per_second, frame_seconds=scene.frame_seconds
        )
        widest_share = strength * self.time_mask_share
        return mask_frames(
            features_BTD, num_frames_B, seeds_B2, self.seed_part, counts_B=counts_B, widest_share=widest_share
        )


class FrequencyMasks(FeatureStage):
    """SpecAugment: `frequency_masks` bands of mel filters are hidden.

    `strength` scales their widths, of at most `frequency_mask_share` of the filters.
    """

    title: ClassVar[str] = "Frequency masks"
    switch: ClassVar[str] = "frequency_masks"
    seed_part: ClassVar[int] = 6

    frequency_masks: NonNegativeInt = 1
    frequency_mask_share: Share = 0.2

    @property
    def extent(self) -> str:
        return f"{self.frequency_masks}, up to {percent(self.frequency_mask_share)} of the filters each"

    @property
    def is_on(self) -> bool:
        """Whether there is a mask that hides anything."""
        return bool(self.frequency_masks and self.frequency_mask_share)

    def apply(
        self,
        features_BTD: tf.Tensor,
        num_frames_B: tf.Tensor,
        seeds_B2: tf.Tensor,
        *,
        strength: Any,
        scene: Scene,
    ) -> tf.Tensor:
        from speechgru.augment.spectrogram import mask_filters

        return mask_filters(
            features_BTD,
            seeds_B2,
            self.seed_part,
            count=self.frequency_masks,
            widest_share=strength * self.frequency_mask_share,
            num_groups=scene.num_groups,
        )
