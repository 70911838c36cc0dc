"""The one front end: samples -> log-mel -> slopes -> normalisation; in training, in the exported graph, in a stream.

An utterance's features never depend on its batch mates, nor on the padding. What a stream gives is what the whole
utterance gives, because both compute frames by `LogMel.of_frames`, slopes by `slopes` and the corpus's normalisation
by `GlobalNormalization.normalize`.
"""

from speechgru.features.frames import (
    SLOPE_REACH,
    Deltas,
    GlobalNormalization,
    UtteranceNormalization,
    mask_time,
    slopes,
)
from speechgru.features.log_mel import SPECTRA, LogMel, dither
from speechgru.features.mel import MEL_SCALES, hz_to_mel, mel_filters, mel_to_hz
from speechgru.features.stream import FrontEndStream, part_of_front_end

__all__ = [
    "MEL_SCALES",
    "SLOPE_REACH",
    "SPECTRA",
    "Deltas",
    "FrontEndStream",
    "GlobalNormalization",
    "LogMel",
    "UtteranceNormalization",
    "dither",
    "hz_to_mel",
    "mask_time",
    "mel_filters",
    "mel_to_hz",
    "part_of_front_end",
    "slopes",
]
