"""The interface of an augmentation stage: keys, draws, application, record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pydantic

if TYPE_CHECKING:
    import tensorflow as tf

#: In a graph: a seed (int32 [2]) -> samples (float32 [any]): other speech, noise, impulse responses.
Reader = Callable[["tf.Tensor"], "tf.Tensor"]


@dataclass(frozen=True)
class Scene:
    """What stages need besides the utterance.

    Args:
        sample_rate: Hz.
        readers: for each manifest key of a stage that names recordings, the function that reads one of them by a seed;
            for `speech`, other utterances of the corpus.
        hop_length: samples from one frame to the next.
        num_groups: a frame's features are this many groups of filters, such as log-mel and its deltas.
    """

    sample_rate: int
    readers: Mapping[str, Reader] = field(default_factory=dict)
    hop_length: int = 160
    num_groups: int = 1

    @property
    def frame_seconds(self) -> float:
        """From one frame to the next."""
        return self.hop_length / self.sample_rate


@dataclass(frozen=True)
class Clip:
    """An utterance on its way through the stages of samples.

    Args:
        samples_N: the samples so far.
        num_before: samples of silence before the speech.
        num_spoken: samples of the speech, scalar.
        draws: what was drawn so far by name, scalar tensors.
    """

    samples_N: tf.Tensor
    num_before: tf.Tensor | int
    num_spoken: tf.Tensor
    draws: dict[str, tf.Tensor]


class Stage(pydantic.BaseModel, ABC):
    """One augmentation with its keys of the section `augment`; an instance holds their values.

    `strength`, wherever it is given, is a ramp from 0, where nothing is done, to 1: it scales every probability and
    every magnitude. What is drawn stays in its place while it grows, so that an augmentation of half the strength is
    the milder form of the same one.

    The base classes of stages are `LengthStage`, `SampleStage` and `FeatureStage`.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)

    #: Its name for people.
    title: ClassVar[str]

    #: The key that switches the stage off when it is 0.
    switch: ClassVar[str]

    #: The keys that name manifests of recordings, each with the most seconds of one that the stage reads, from a drawn
    #: place.
    manifests: ClassVar[Mapping[str, float]] = {}

    #: Which part of an utterance's seed the stage draws from; no two stages share one (`seeds.part_seed`).
    seed_part: ClassVar[int]

    @classmethod
    def of(cls, settings: Any) -> Stage:
        """The stage with its keys' values in a section `augment`."""
        return cls.model_construct(**{key: getattr(settings, key) for key in cls.model_fields})

    @property
    def is_on(self) -> bool:
        """Whether the stage does anything; one that does not costs no operation of the graph."""
        return bool(getattr(self, self.switch))

    def require_consistent(self) -> None:
        """Whether the values of the keys go together.

        Raises:
            ValueError: they do not; names the keys.
        """

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Stage:
        self.require_consistent()
        return self

    @property
    @abstractmethod
    def extent(self) -> str:
        """How far it goes, in words for people, such as "up to 3 dB up or down"."""

    def record(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        """What the stage drew for one utterance, ready for JSON.

        Args:
            draws: plain numbers by name, of all stages of samples; `apply` gave them as tensors.
        """
        return {}

    def describe(self, record: Mapping[str, Any]) -> list[str]:
        """What was done to one utterance, in words for people, from the records of all stages."""
        return []


class LengthStage(Stage):
    """A stage that changes how long an utterance is.

    Its numbers are drawn before batches are planned, so that utterances that will be equally long share a batch.
    """

    #: Numbers in [0, 1) that the stage needs for one utterance.
    num_draws: ClassVar[int]

    @abstractmethod
    def apply(self, clip: Clip, draws_K: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        """Applies the stage to an utterance, by its `num_draws` numbers."""

    @abstractmethod
    def num_frames(self, num_frames: np.ndarray, draws: np.ndarray, *, strength: float, scene: Scene) -> np.ndarray:
        """Frames of utterances [E] after the stage, not yet rounded, by their numbers [E, K]."""


class SampleStage(Stage):
    """A stage that changes samples and keeps their number."""

    @abstractmethod
    def apply(self, clip: Clip, seed: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        """Applies the stage to an utterance.

        Args:
            clip: the utterance.
            seed: int32 [2], of this stage alone; drawn from once, or split first.
            strength: scalar in [0, 1], a tensor or a number.
            scene: sample rate and readers.

        Returns:
            The utterance with other samples, and with what was drawn added to `draws`.
        """


class FeatureStage(Stage):
    """A stage that changes normalised features, each row of a batch by a seed of its own."""

    @abstractmethod
    def apply(
        self,
        features_BTD: tf.Tensor,
        num_frames_B: tf.Tensor,
        seeds_B2: tf.Tensor,
        *,
        strength: Any,
        scene: Scene,
    ) -> tf.Tensor:
        """Applies the stage to a batch.

        Args:
            features_BTD: zeros beyond each length stay zeros.
            num_frames_B: real frames.
            seeds_B2: int32, a seed an utterance; the stage draws from `seeds.part_seed(seed, self.seed_part)`.
            strength: scalar in [0, 1], a tensor or a number.
            scene: from one frame to the next, and groups of filters.
        """

    def drawn(self, seeds_B2: tf.Tensor, *, strength: Any) -> dict[str, tf.Tensor]:
        """What `apply` draws for each row by name, [B]; for `listen`."""
        return {}


def percent(share: float) -> str:
    """A share as people write it.

    >>> percent(0.125)
    '12.5\u202f%'
    """
    return f"{100 * share:.3g}\u202f%"
