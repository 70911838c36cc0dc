"""Stages of samples: speed, silence, rooms, noise, timbre, level."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pydantic

from speechgru.augment.stage import Clip, LengthStage, SampleStage, Scene, percent
from speechgru.ranges import Finite, HalfAtMost, NonNegative, Positive, Share

if TYPE_CHECKING:
    import tensorflow as tf


class Speed(LengthStage):
    """Speech gets faster or slower by up to `speed_share`, its pitch with it."""

    title: ClassVar[str] = "Speed"
    switch: ClassVar[str] = "speed_share"
    num_draws: ClassVar[int] = 1

    speed_share: HalfAtMost = 0.0

    @property
    def extent(self) -> str:
        return f"up to {percent(self.speed_share)} faster or slower"

    def apply(self, clip: Clip, draws_K: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        import tensorflow as tf

        from speechgru.augment.speed import change_speed

        factor = 1.0 + strength * self.speed_share * (2.0 * draws_K[0] - 1.0)
        samples_N = change_speed(clip.samples_N, factor)
        return Clip(samples_N, clip.num_before, tf.shape(samples_N)[0], clip.draws | {"speed_factor": factor})

    def num_frames(self, num_frames: np.ndarray, draws: np.ndarray, *, strength: float, scene: Scene) -> np.ndarray:
        return num_frames / (1.0 + strength * self.speed_share * (2.0 * draws[:, 0] - 1.0))

    def record(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        return {"speed_factor": draws["speed_factor"]}

    def describe(self, record: Mapping[str, Any]) -> list[str]:
        return [f"speed × {record['speed_factor']:.3f}"]


class Silence(LengthStage):
    """At most `silence_seconds` of silence before the speech, and as much after it."""

    title: ClassVar[str] = "Silence"
    switch: ClassVar[str] = "silence_seconds"
    num_draws: ClassVar[int] = 2

    silence_seconds: NonNegative = 0.1

    @property
    def extent(self) -> str:
        return f"up to {self.silence_seconds:g} s before and after"

    def apply(self, clip: Clip, draws_K: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        import tensorflow as tf

        most = strength * self.silence_seconds * scene.sample_rate
        pads = tf.cast(draws_K * most, tf.int32)
        draws = {
            f"silence_{side}_seconds": tf.cast(pad, tf.float32) / scene.sample_rate
            for side, pad in zip(("before", "after"), tf.unstack(pads), strict=True)
        }
        samples_N = tf.pad(clip.samples_N, [pads])
        return Clip(samples_N, clip.num_before + pads[0], clip.num_spoken, clip.draws | draws)

    def num_frames(self, num_frames: np.ndarray, draws: np.ndarray, *, strength: float, scene: Scene) -> np.ndarray:
        most = strength * self.silence_seconds * scene.sample_rate / scene.hop_length
        return num_frames + most * (draws[:, 0] + draws[:, 1])

    def record(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        return {key: draws[key] for key in ("silence_before_seconds", "silence_after_seconds")}

    def describe(self, record: Mapping[str, Any]) -> list[str]:
        before, after = record["silence_before_seconds"], record["silence_after_seconds"]
        return [f"silence: {before:.2f} s before, {after:.2f} s after"] if before or after else []


class Reverberation(SampleStage):
    """A share `reverb_probability` of the utterances is put in a room: made up, or of `reverb_manifest`.

    `strength` brings the longest reverberation time of a made-up room down to the shortest.
    """

    title: ClassVar[str] = "Rooms"
    switch: ClassVar[str] = "reverb_probability"
    manifests: ClassVar[Mapping[str, float]] = {"reverb_manifest": math.inf}
    seed_part: ClassVar[int] = 1

    reverb_probability: Share = 0.0
    reverb_seconds_min: Positive = 0.1
    reverb_seconds_max: Annotated[float, pydantic.Field(gt=0, le=10)] = 0.6
    reverb_direct_db_min: Finite = 0.0
    reverb_direct_db_max: Finite = 12.0
    reverb_manifest: str | None = None

    @property
    def extent(self) -> str:
        rooms = (
            f"{self.reverb_seconds_min:g} to {self.reverb_seconds_max:g} s, direct sound "
            f"{self.reverb_direct_db_min:g} to {self.reverb_direct_db_max:g} dB above the rest"
        )
        if self.reverb_manifest:
            rooms = f"recorded in {Path(self.reverb_manifest).name}"
        return f"{percent(self.reverb_probability)} of utterances, {rooms}"

    def require_consistent(self) -> None:
        _require_order("reverb_seconds", self.reverb_seconds_min, self.reverb_seconds_max)
        _require_order("reverb_direct_db", self.reverb_direct_db_min, self.reverb_direct_db_max)

    def apply(self, clip: Clip, seed: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        import tensorflow as tf

        from speechgru.augment.rooms import draw_direct_db, draw_reverb_seconds, reverberate, room_response
        from speechgru.augment.seeds import split_seed

        chance_seed, room_seed = split_seed(seed, 2)
        longest = self.reverb_seconds_min + strength * (self.reverb_seconds_max - self.reverb_seconds_min)
        room = {"seconds_min": self.reverb_seconds_min, "seconds_max": longest}
        distance = {"direct_db_min": self.reverb_direct_db_min, "direct_db_max": self.reverb_direct_db_max}
        is_in_room = tf.random.stateless_uniform([], chance_seed) < strength * self.reverb_probability
        draws = {"reverberated": is_in_room}
        read_response = scene.readers.get("reverb_manifest")
        if read_response is None:
            draws["reverb_seconds"] = draw_reverb_seconds(room_seed, **room)
            draws["reverb_direct_db"] = draw_direct_db(room_seed, **distance)

        def in_room() -> tf.Tensor:
            if read_response is None:
                response_K = room_response(room_seed, sample_rate=scene.sample_rate, **room, **distance)
            else:
                response_K = read_response(room_seed)
            return reverberate(clip.samples_N, response_K)

        samples_N = tf.cond(is_in_room, in_room, lambda: clip.samples_N)
        return dataclasses.replace(clip, samples_N=samples_N, draws=clip.draws | draws)

    def record(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        record = {"reverberated": draws["reverberated"]}
        if draws["reverberated"] and "reverb_seconds" in draws:
            record |= {key: draws[key] for key in ("reverb_seconds", "reverb_direct_db")}
        return record

    def describe(self, record: Mapping[str, Any]) -> list[str]:
        if not record["reverberated"]:
            return []
        seconds = record.get("reverb_seconds")
        if seconds is None:
            return ["a recorded room"]
        direct = f"{record['reverb_direct_db']:.0f} dB".replace("-", "\u2212")
        return [f"a room of {seconds:.2f} s, direct sound {direct} above the rest"]


class Noise(SampleStage):
    """A share `noise_probability` of the utterances gets noise of a kind drawn from `noise_kinds`.

    `strength` brings the noisiest signal-to-noise ratio up to the cleanest.
    """

    title: ClassVar[str] = "Noise"
    switch: ClassVar[str] = "noise_probability"
    manifests: ClassVar[Mapping[str, float]] = {"noise_manifest": 20.0}  # noise may be hours long
    seed_part: ClassVar[int] = 2

    noise_probability: Share = 0.1
    noise_kinds: tuple[Literal["white", "pink", "babble", "recorded"], ...] = pydantic.Field(
        default=("white",), strict=False
    )
    noise_manifest: str | None = None
    noise_snr_db_min: Finite = 10.0
    noise_snr_db_max: Finite = 40.0

    @property
    def extent(self) -> str:
        range_db = f"{self.noise_snr_db_min:g} to {self.noise_snr_db_max:g} dB below the speech"
        return f"{percent(self.noise_probability)} of utterances, {', '.join(self.noise_kinds)}, {range_db}"

    def require_consistent(self) -> None:
        _require_order("noise_snr_db", self.noise_snr_db_min, self.noise_snr_db_max)
        if self.noise_probability and not self.noise_kinds:
            raise ValueError("noise_kinds is empty; name a kind, or set noise_probability to 0")
        if len(set(self.noise_kinds)) < len(self.noise_kinds):
            raise ValueError(f"noise_kinds names a kind twice: {', '.join(self.noise_kinds)}")
        if ("recorded" in self.noise_kinds) != (self.noise_manifest is not None):
            raise ValueError("noise_kinds holds 'recorded' where noise_manifest names the recordings, and only there")

    def apply(self, clip: Clip, seed: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        import tensorflow as tf

        from speechgru.augment.noise import mix_noise, noise_makers
        from speechgru.augment.seeds import split_seed

        makers = noise_makers(
            self.noise_kinds,
            sample_rate=scene.sample_rate,
            read_noise=scene.readers.get("noise_manifest"),
            read_speech=scene.readers.get("speech"),
        )
        chance_seed, kind_seed, snr_seed, noise_seed = split_seed(seed, 4)
        is_noisy = tf.random.stateless_uniform([], chance_seed) < strength * self.noise_probability
        kind = tf.random.stateless_uniform([], kind_seed, 0, len(makers), tf.int32)
        snr_db = self.noise_snr_db_max - strength * (self.noise_snr_db_max - self.noise_snr_db_min) * (
            tf.random.stateless_uniform([], snr_seed)
        )

        def add_noise() -> tf.Tensor:
            num_samples = tf.shape(clip.samples_N)[0]
            branches = [lambda make=make: make(num_samples, noise_seed) for make in makers]
            noise_N = branches[0]() if len(branches) == 1 else tf.switch_case(kind, branches)
            end = clip.num_before + clip.num_spoken
            return mix_noise(clip.samples_N, noise_N, snr_db, start=clip.num_before, end=end)

        samples_N = tf.cond(is_noisy, add_noise, lambda: clip.samples_N)
        draws = {"noise_kind": tf.where(is_noisy, kind, -1), "noise_snr_db": snr_db}
        return dataclasses.replace(clip, samples_N=samples_N, draws=clip.draws | draws)

    def record(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        if draws["noise_kind"] < 0:
            return {}
        return {"noise_kind": self.noise_kinds[draws["noise_kind"]], "noise_snr_db": draws["noise_snr_db"]}

    def describe(self, record: Mapping[str, Any]) -> list[str]:
        if "noise_kind" not in record:
            return []
        return [f"{record['noise_kind']} noise, {record['noise_snr_db']:.0f} dB below the speech"]


class Equalizer(SampleStage):
    """Frequencies get louder or softer by up to `equalizer_db`, as through another microphone."""

    title: ClassVar[str] = "Timbre"
    switch: ClassVar[str] = "equalizer_db"
    seed_part: ClassVar[int] = 7

    equalizer_db: NonNegative = 0.0

    @property
    def extent(self) -> str:
        return f"frequencies up to {self.equalizer_db:g} dB louder or softer"

    def apply(self, clip: Clip, seed: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        from speechgru.augment.rooms import equalize

        samples_N = equalize(
            clip.samples_N, seed, sample_rate=scene.sample_rate, equalizer_db=strength * self.equalizer_db
        )
        return dataclasses.replace(clip, samples_N=samples_N)


class Gain(SampleStage):
    """The level changes by up to `gain_db`, up or down."""

    title: ClassVar[str] = "Level"
    switch: ClassVar[str] = "gain_db"
    seed_part: ClassVar[int] = 3

    gain_db: NonNegative = 12.0

    @property
    def extent(self) -> str:
        return f"up to {self.gain_db:g} dB up or down"

    def apply(self, clip: Clip, seed: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        import tensorflow as tf

        gain_db = strength * self.gain_db * tf.random.stateless_uniform([], seed, -1.0, 1.0)
        samples_N = clip.samples_N * tf.pow(10.0, gain_db / 20.0)
        return dataclasses.replace(clip, samples_N=samples_N, draws=clip.draws | {"gain_db": gain_db})

    def record(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        return {"gain_db": draws["gain_db"]}

    def describe(self, record: Mapping[str, Any]) -> list[str]:
        return [f"level {record['gain_db']:+.1f} dB".replace("-", "−")]


def _require_order(name: str, least: float, most: float) -> None:
    if least > most:
        raise ValueError(f"{name}_min ({least}) must not exceed {name}_max ({most})")
