"""The one front end: samples -> log-mel -> stages over frames; in training, in the exported graph, in a stream.

An utterance's features never depend on its batch mates, nor on the padding. `log_mel` computes frames, `frames` has the
stages behind it, and `front_end` runs them over whole utterances and over windows of a stream. To add a stage, write
its module and name it in `STAGES`.
"""

from collections.abc import Callable
from typing import Any

from speechgru.features.frames import (
    SLOPE_REACH,
    Deltas,
    GlobalNormalization,
    Stage,
    UtteranceNormalization,
    make_normalization,
    mask_time,
    slopes,
)
from speechgru.features.front_end import FrontEnd
from speechgru.features.log_mel import SPECTRA, LogMel, dither
from speechgru.features.mel import MEL_SCALES, hz_to_mel, mel_filters, mel_to_hz

#: The stages behind the log-mel in their order, each by its Keras layer's name: a function of the section `features`
#: of a configuration and of `num_features` and `name`, which makes the stage, or None where the section has none.
STAGES: dict[str, Callable[..., Stage | None]] = {
    "deltas": Deltas.from_settings,
    "normalization": make_normalization,
}


def make_stages(settings: Any, *, num_features: int) -> list[Stage]:
    """The stages that a configuration asks for.

    Args:
        settings: the section `features` of a configuration.
        num_features: numbers in a frame of the log-mel.
    """
    stages = []
    for name, make in STAGES.items():
        stage = make(settings, num_features=num_features, name=name)
        if stage is not None:
            stages.append(stage)
            num_features = stage.num_outputs(num_features)
    return stages


__all__ = [
    "MEL_SCALES",
    "SLOPE_REACH",
    "SPECTRA",
    "STAGES",
    "Deltas",
    "FrontEnd",
    "GlobalNormalization",
    "LogMel",
    "Stage",
    "UtteranceNormalization",
    "dither",
    "hz_to_mel",
    "make_stages",
    "mask_time",
    "mel_filters",
    "mel_to_hz",
    "slopes",
]
