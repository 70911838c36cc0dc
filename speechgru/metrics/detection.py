"""False accepts against misses, over every threshold, and the threshold for an asked rate.

A recogniser of commands answers each utterance with a text and a margin, and accepts the text where the margin reaches
a threshold. Commands are spoken to it, negatives are all that is not: other speech, noise. A command is a miss where it
is not accepted or its text is wrong, and a wrong text stays a miss at every threshold. A negative in which a text is
accepted is a false accept; these count by the hour, since a room has no number of utterances. Source: Martin et al.
1997, "The DET curve in assessment of detection task performance".
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from speechgru.metrics.intervals import rate_interval, share_interval


class OperatingPoint(NamedTuple):
    """What one threshold does: a text is accepted where its margin is at least `threshold`."""

    threshold: float
    num_false_accepts: int
    num_misses: int


class DetectionCurve:
    """What each threshold does to commands and negatives.

    Args:
        margins: of each command; minus infinity where nothing was recognised.
        right: whether its text is right.
        false_margins: of each negative in which a text was recognised.
        hours: how long all negatives are, those in which nothing was recognised included.

    Raises:
        ValueError: there is no command, or the negatives have no length.

    Example:
        >>> curve = DetectionCurve([-0.1, -0.6, -3.0], [True, True, False], false_margins=[-0.4, -2.0], hours=0.5)
        >>> curve.at_false_accepts(0).num_misses, curve.at_misses(0.4).num_false_accepts
        (2, 1)
    """

    def __init__(
        self, margins: Sequence[float], right: Sequence[bool], *, false_margins: Sequence[float], hours: float
    ):
        if not len(margins) or not hours > 0:
            raise ValueError(
                f"false accepts against misses need a command and negatives of more than 0 s, got {len(margins)} "
                f"commands and {hours * 3600:g} s of negatives"
            )
        self.num_commands, self.hours = len(margins), hours
        self._right_C = np.sort([margin for margin, is_right in zip(margins, right, strict=True) if is_right])
        self._false_N = np.sort(np.asarray(false_margins, float))

    @property
    def false_margins(self) -> np.ndarray:
        """The margins of what was recognised in negatives, the lowest first."""
        return self._false_N

    def at(self, threshold: float) -> OperatingPoint:
        """What a threshold does."""
        return self._points_at([threshold])[0]

    @functools.cached_property
    def points(self) -> list[OperatingPoint]:
        """A threshold for each pair of counts that there is, the lowest first: false accepts fall and misses rise.

        The first accepts every text, the last none. The others are in the middle between two margins: what the next
        recording brings is as far from one as from the other.
        """
        every = np.unique(np.concatenate([self._right_C, self._false_N]))
        if not len(every):
            return self._points_at([0.0])
        return self._points_at([every[0], *((every[:-1] + every[1:]) / 2), every[-1] + 1.0])

    def _points_at(self, thresholds: Sequence[float]) -> list[OperatingPoint]:
        false_accepts = len(self._false_N) - np.searchsorted(self._false_N, thresholds, side="left")
        misses = self.num_commands - len(self._right_C) + np.searchsorted(self._right_C, thresholds, side="left")
        return [
            OperatingPoint(float(threshold), int(accepted), int(missed))
            for threshold, accepted, missed in zip(thresholds, false_accepts, misses, strict=True)
        ]

    def at_false_accepts(self, per_hour: float) -> OperatingPoint:
        """The point with the fewest misses that has at most `per_hour` false accepts an hour; there is always one."""
        return next(point for point in self.points if point.num_false_accepts <= per_hour * self.hours)

    def at_misses(self, share: float) -> OperatingPoint | None:
        """The point with the fewest false accepts that misses at most a share of the commands.

        Returns:
            The point; None where more than that share is recognised wrongly at any threshold.
        """
        allowed = [point for point in self.points if point.num_misses <= share * self.num_commands]
        return allowed[-1] if allowed else None

    def describe(self, point: OperatingPoint) -> dict[str, float | int | list[float | None]]:
        """A point as JSON-ready fields: counts, rates, and where each rate may lie at 95 %."""
        low, high = rate_interval(point.num_false_accepts, self.hours)
        return {
            "threshold": point.threshold,
            "num_false_accepts": point.num_false_accepts,
            "false_accepts_per_hour": point.num_false_accepts / self.hours,
            "false_accepts_interval": [low, high],
            "num_misses": point.num_misses,
            "miss_rate": point.num_misses / self.num_commands,
            "miss_interval": list(share_interval(point.num_misses, self.num_commands)),
        }

    def corners(self, *, most: int = 100) -> list[OperatingPoint]:
        """The points that no other one beats in both counts, at most some number of them; both ends are among them."""
        best: dict[int, OperatingPoint] = {}
        for point in self.points:  # of equally many false accepts the first has the fewest misses
            best.setdefault(point.num_false_accepts, point)
        fewest: dict[int, OperatingPoint] = {}
        for point in best.values():  # of equally many misses the last has the fewest false accepts
            fewest[point.num_misses] = point
        corners = list(fewest.values())
        if len(corners) <= most:
            return corners
        # Evenly in the logarithm of false accepts, as the curve is drawn: its end of few is what people look at.
        counts = np.log([point.num_false_accepts + 1 for point in corners])
        wanted = np.linspace(counts[0], counts[-1], most)
        places = {0, len(corners) - 1, *(int(np.abs(counts - value).argmin()) for value in wanted)}
        return [corners[place] for place in sorted(places)]
