"""Stages of the speaker: another melody and pace, another vocal tract and larynx."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import pydantic

from speechgru.augment.stage import Clip, SampleStage, Scene, percent
from speechgru.ranges import HalfAtMost, NonNegative, Share

if TYPE_CHECKING:
    import tensorflow as tf


class Prosody(SampleStage):
    """A share `prosody_probability` of the utterances is spoken at another pitch, its formants and duration kept.

    The pitch moves by up to `pitch_semitones`, and inside the utterance by up to `pitch_curve_semitones` more; the pace
    inside it gets faster and slower by up to `pace_share`. Periods of a hoarse voice deviate by up to `jitter_share`.
    """

    title: ClassVar[str] = "Prosody"
    switch: ClassVar[str] = "prosody_probability"
    seed_part: ClassVar[int] = 11

    prosody_probability: Share = 0.0
    pitch_semitones: Annotated[float, pydantic.Field(ge=0, le=12)] = 5.0
    pitch_curve_semitones: Annotated[float, pydantic.Field(ge=0, le=12)] = 1.5
    pace_share: HalfAtMost = 0.15
    jitter_share: Annotated[float, pydantic.Field(ge=0, le=0.1)] = 0.01

    @property
    def extent(self) -> str:
        return (
            f"{percent(self.prosody_probability)} of utterances, pitch up to {self.pitch_semitones:g} semitones up or "
            f"down and {self.pitch_curve_semitones:g} inside, pace up to {percent(self.pace_share)}, jitter up to "
            f"{percent(self.jitter_share)}"
        )

    def apply(self, clip: Clip, seed: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        import tensorflow as tf

        from speechgru.augment.prosody import change_in_graph
        from speechgru.augment.seeds import split_seed

        chance_seed, pitch_seed, jitter_seed, curve_seed = split_seed(seed, 4)
        is_other = tf.random.stateless_uniform([], chance_seed) < strength * self.prosody_probability
        pitch = strength * self.pitch_semitones * tf.random.stateless_uniform([], pitch_seed, -1.0, 1.0)
        jitter = strength * self.jitter_share * tf.random.stateless_uniform([], jitter_seed)
        changes = tf.stack([pitch, strength * self.pitch_curve_semitones, strength * self.pace_share, jitter])
        samples_N = tf.cond(
            is_other,
            lambda: change_in_graph(clip.samples_N, changes, curve_seed, sample_rate=scene.sample_rate),
            lambda: clip.samples_N,
        )
        draws = {"prosody_changed": is_other, "pitch_semitones": pitch, "jitter_share": jitter}
        return dataclasses.replace(clip, samples_N=samples_N, draws=clip.draws | draws)

    def record(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        if not draws["prosody_changed"]:
            return {}
        return {key: draws[key] for key in ("pitch_semitones", "jitter_share")}

    def describe(self, record: Mapping[str, Any]) -> list[str]:
        if "pitch_semitones" not in record:
            return []
        pitch = f"{record['pitch_semitones']:+.1f}".replace("-", "\u2212")
        return [f"pitch {pitch} semitones, {percent(record['jitter_share'])} jitter"]


class Voice(SampleStage):
    """A share `voice_probability` of the utterances is spoken by another vocal tract, its pitch and pace kept.

    Formants move together by up to `formant_share`, each for itself by up to `formant_bend_share` more, the spectrum
    tilts by up to `tilt_db` an octave, and up to `breath_share` of the treble's amplitude becomes breath.
    """

    title: ClassVar[str] = "Voice"
    switch: ClassVar[str] = "voice_probability"
    seed_part: ClassVar[int] = 8

    voice_probability: Share = 0.0
    formant_share: HalfAtMost = 0.2
    formant_bend_share: HalfAtMost = 0.06
    tilt_db: NonNegative = 3.0
    breath_share: Share = 0.4

    @property
    def extent(self) -> str:
        return (
            f"{percent(self.voice_probability)} of utterances, formants up to {percent(self.formant_share)} up or down "
            f"and {percent(self.formant_bend_share)} each, tilt up to {self.tilt_db:g} dB an octave, up to "
            f"{percent(self.breath_share)} breath"
        )

    def apply(self, clip: Clip, seed: tf.Tensor, *, strength: Any, scene: Scene) -> Clip:
        import tensorflow as tf

        from speechgru.augment.seeds import split_seed
        from speechgru.augment.voice import change_voice, draw_voice

        chance_seed, voice_seed, noise_seed = split_seed(seed, 3)
        is_other = tf.random.stateless_uniform([], chance_seed) < strength * self.voice_probability
        change = draw_voice(
            voice_seed,
            formant_share=self.formant_share,
            bend_share=self.formant_bend_share,
            tilt_db=self.tilt_db,
            breath_share=self.breath_share,
            strength=strength,
        )
        samples_N = tf.cond(
            is_other,
            lambda: change_voice(clip.samples_N, change, noise_seed, sample_rate=scene.sample_rate),
            lambda: clip.samples_N,
        )
        draws = {
            "voice_changed": is_other,
            "formant_ratio": change.formant_ratio,
            "tilt_db": change.tilt_db,
            "breath_share": change.breath,
        }
        return dataclasses.replace(clip, samples_N=samples_N, draws=clip.draws | draws)

    def record(self, draws: Mapping[str, Any]) -> dict[str, Any]:
        if not draws["voice_changed"]:
            return {}
        return {key: draws[key] for key in ("formant_ratio", "tilt_db", "breath_share")}

    def describe(self, record: Mapping[str, Any]) -> list[str]:
        if "formant_ratio" not in record:
            return []
        formants, tilt, breath = (record[key] for key in ("formant_ratio", "tilt_db", "breath_share"))
        tilted = f"tilt {tilt:+.1f} dB an octave".replace("-", "\u2212")
        return [f"formants × {formants:.3f}, {tilted}, {percent(breath)} breath"]
