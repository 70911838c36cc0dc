"""Stages of the speaker: another vocal tract and larynx."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from speechgru.augment.stage import Clip, SampleStage, Scene, percent
from speechgru.ranges import HalfAtMost, NonNegative, Share

if TYPE_CHECKING:
    import tensorflow as tf


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
