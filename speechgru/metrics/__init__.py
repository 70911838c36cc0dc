"""Error rates, where the errors are, and whether confidence knows."""

from speechgru.metrics.breakdown import Confusions, Slice, confusions, slice_by
from speechgru.metrics.confidence import (
    ReliabilityBin,
    area_under_curve,
    calibration_error,
    reliability,
    share_interval,
    words_right,
)
from speechgru.metrics.error_rates import (
    AlignedPair,
    ErrorCounts,
    align,
    bootstrap_interval,
    character_errors,
    count_errors,
    count_pairs,
    real_time_factor,
    sentence_error_rate,
    total,
    word_errors,
)

__all__ = [
    "AlignedPair",
    "Confusions",
    "ErrorCounts",
    "ReliabilityBin",
    "Slice",
    "align",
    "area_under_curve",
    "bootstrap_interval",
    "calibration_error",
    "character_errors",
    "confusions",
    "count_errors",
    "count_pairs",
    "real_time_factor",
    "reliability",
    "sentence_error_rate",
    "share_interval",
    "slice_by",
    "total",
    "word_errors",
    "words_right",
]
