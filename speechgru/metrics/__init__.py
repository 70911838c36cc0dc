"""Error rates, where the errors are, and whether confidence knows.

>>> counts = [word_errors("turn it on", "turn on"), word_errors("stop", "stop now")]
>>> isinstance(counts[0], ErrorCounts), total(counts).rate, sentence_error_rate(counts)
(True, 0.5, 1.0)
>>> bootstrap_interval(counts, num_samples=100)
(0.3333333333333333, 1.0)
>>> error_interval([word_errors("stop", "stop")] * 22)  # no error, of few words
(0.0, 0.1486...)
>>> paired_interval(counts, [word_errors("turn it on", "turn it on"), word_errors("stop", "stop now")])
(-0.3333333333333333, 0.0)
>>> character_errors("stop", "step").rate
0.25
>>> pairs = align(["turn", "it", "on"], ["turn", "on"])
>>> pairs[1] == AlignedPair("delete", "it", None), count_pairs(pairs) == count_errors("abc", "ac")
(True, True)
>>> real_time_factor(0.5, 10.0)
0.05

Where the errors are, and whether confidence knows:

>>> found = confusions([align(["on"], ["off"]), align(["on"], ["off"])])
>>> isinstance(found, Confusions), found.substitutions
(True, [('on', 'off', 2)])
>>> slices = slice_by(["kitchen", "hall", "hall"])
>>> isinstance(slices[0], Slice), [(each.value, each.indices) for each in slices]
(True, [('hall', (1, 2)), ('kitchen', (0,))])
>>> words_right(align(["turn", "on"], ["turn", "off"]))
[True, False]
>>> area_under_curve([0.9, 0.8, 0.3], [True, True, False])
1.0
>>> bins = reliability([0.9, 0.8, 0.3], [True, True, False])
>>> isinstance(bins[0], ReliabilityBin), round(calibration_error(bins), 3)
(True, 0.2)
>>> low, high = share_interval(2, 3)
>>> low < 2 / 3 < high
True

False accepts against misses:

>>> curve = DetectionCurve([-0.1, -0.6], [True, True], false_margins=[-0.4], hours=0.5)
>>> isinstance(curve.points[0], OperatingPoint), curve.at_false_accepts(0.0)
(True, OperatingPoint(threshold=-0.25, num_false_accepts=0, num_misses=1))
>>> low, high = rate_interval(1, 0.5)
>>> low < 2.0 < high
True
"""

from speechgru.metrics.breakdown import Confusions, Slice, confusions, slice_by
from speechgru.metrics.confidence import (
    ReliabilityBin,
    area_under_curve,
    calibration_error,
    reliability,
    words_right,
)
from speechgru.metrics.detection import DetectionCurve, OperatingPoint
from speechgru.metrics.error_rates import (
    AlignedPair,
    ErrorCounts,
    align,
    character_errors,
    count_errors,
    count_pairs,
    real_time_factor,
    sentence_error_rate,
    total,
    word_errors,
)
from speechgru.metrics.intervals import (
    bootstrap_interval,
    error_interval,
    paired_interval,
    rate_interval,
    share_interval,
)

__all__ = [
    "AlignedPair",
    "Confusions",
    "DetectionCurve",
    "ErrorCounts",
    "OperatingPoint",
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
    "error_interval",
    "paired_interval",
    "rate_interval",
    "real_time_factor",
    "reliability",
    "sentence_error_rate",
    "share_interval",
    "slice_by",
    "total",
    "word_errors",
    "words_right",
]
