"""Stages between the microphone and the recogniser: overload, telephones, codecs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pydantic

from speechgru.augment.stage import Clip, SampleStage, Scene, percent
from speechgru.ranges import NonNegative, Share

if TYPE_CHECKING:
    import tensorflow as tf


class Clipping(SampleStage):
    """A share `clipping_probability` of the utterances is cut off at up to `clipping_db` below its loudest sample."""

    title: ClassVar[str] = "Clipping"
    switch: ClassVar[str] = "clipping_probability"
    seed_part: ClassVar[int] = 9

    clipping_probability: Share = 0.0
    clipping_db: NonNegative = 12.0

    @property
    def extent(self) -> str:
        return f"{percent(self.clipping_probability)} of utterances, up to {self.clipping_db:g} dB below their peak"

    def apply(self, clip: Clip, seed: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        import tensorflow as tf

        from speechgru.augment.seeds import split_seed
        from speechgru.augment.transmission import overload

        chance_seed, level_seed = split_seed(seed, 2)
        is_clipped = tf.random.stateless_uniform([], chance_seed) < strength * self.clipping_probability
        clipped_db = tf.where(
            is_clipped, strength * self.clipping_db * tf.random.stateless_uniform([], level_seed), 0.0
        )
        samples_N = tf.cond(is_clipped, lambda: overload(clip.samples_N, clipped_db), lambda: clip.samples_N)
        return dataclasses.replace(clip, samples_N=samples_N, draws=clip.draws | {"clipped_db": clipped_db})

    def record(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        return {"clipped_db": draws["clipped_db"]}

    def describe(self, record: Mapping[str, Any]) -> list[str]:
        return [f"clipped {record['clipped_db']:.1f} dB below the peak"] if record["clipped_db"] else []


class Transmission(SampleStage):
    """A share `transmission_probability` of the utterances comes over a line of a kind from `transmission_kinds`.

    `strength` makes the share grow; a line is what it is.
    """

    title: ClassVar[str] = "Transmission"
    switch: ClassVar[str] = "transmission_probability"
    seed_part: ClassVar[int] = 10

    transmission_probability: Share = 0.0
    transmission_kinds: tuple[Literal["telephone", "mu_law", "narrowband", "mp3", "opus"], ...] = pydantic.Field(
        default=("telephone", "mu_law"), strict=False
    )

    @property
    def extent(self) -> str:
        return f"{percent(self.transmission_probability)} of utterances, {_listed(self.transmission_kinds)}"

    def require_consistent(self) -> None:
        if self.transmission_probability and not self.transmission_kinds:
            raise ValueError("transmission_kinds is empty; name a kind, or set transmission_probability to 0")
        if len(set(self.transmission_kinds)) < len(self.transmission_kinds):
            raise ValueError(f"transmission_kinds names a kind twice: {', '.join(self.transmission_kinds)}")

    def apply(self, clip: Clip, seed: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        import tensorflow as tf

        from speechgru.augment.seeds import split_seed
        from speechgru.augment.transmission import transmitters

        chance_seed, kind_seed, line_seed = split_seed(seed, 3)
        lines = transmitters(self.transmission_kinds, sample_rate=scene.sample_rate)
        is_sent = tf.random.stateless_uniform([], chance_seed) < strength * self.transmission_probability
        kind = tf.random.stateless_uniform([], kind_seed, 0, len(lines), tf.int32)

        def send() -> tf.Tensor:
            branches = [lambda line=line: line(clip.samples_N, line_seed) for line in lines]
            return branches[0]() if len(branches) == 1 else tf.switch_case(kind, branches)

        samples_N = tf.cond(is_sent, send, lambda: clip.samples_N)
        draws = {"transmission_kind": tf.where(is_sent, kind, -1)}
        return dataclasses.replace(clip, samples_N=samples_N, draws=clip.draws | draws)

    def record(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        kind = draws["transmission_kind"]
        return {"transmission_kind": self.transmission_kinds[kind]} if kind >= 0 else {}

    def describe(self, record: Mapping[str, Any]) -> list[str]:
        return [f"over {_listed([record['transmission_kind']])}"] if "transmission_kind" in record else []


def _listed(kinds: Any) -> str:
    names = {"mu_law": "mu-law", "narrowband": "8 kHz", "mp3": "MP3", "opus": "Opus"}
    return ", ".join(names.get(kind, kind) for kind in kinds)
