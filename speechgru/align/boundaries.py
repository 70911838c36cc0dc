"""Where words begin and end: between labels, at the edges of what is quiet.

CTC writes a label as a short spike somewhere in its sound. Between the last spike of a word and the first one of the
next lies the end of the one, perhaps a pause, and the beginning of the other; what is quiet there is the pause. The
shares of loudness below were chosen on the dev set of joined spoken digits (`scripts/bench_alignment.py`), among them,
spikes as they are, spikes moved by their median error, and the middles between spikes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speechgru.align.loudness import TICK_SECONDS

#: How far from a spike its word's edge is looked for.
_REACH_SECONDS = 1.2
#: What is loud is looked for this far inside a word.
_INSIDE_SECONDS = 0.15
#: The level of a pause: this percentile of what lies between two words.
_QUIET_PERCENTILE = 10.0
#: Shares of the way from the quiet level to the loud one: below them a word has not begun, or has ended.
_START_SHARE, _END_SHARE = 0.2, 0.12
#: Where loud and quiet differ by less, words follow each other without a pause.
_LEAST_RANGE_DB = 6.0


def word_edges(
    firsts: Sequence[tuple[int, int]],
    lasts: Sequence[tuple[int, int]],
    *,
    decibels_T: np.ndarray,
    step_seconds: float,
    duration: float,
) -> list[tuple[float, float]]:
    """The start and the end of each word.

    Args:
        firsts: of each word the span of its first label, steps.
        lasts: of each word the span of its last label.
        decibels_T: the loudness (`Loudness`).
        step_seconds: seconds from one step to the next.
        duration: of the recording, seconds.

    Returns:
        Seconds; a word ends before the next one begins, and has half a step at least.
    """
    quarter = step_seconds / 4
    # What lies between words begins behind the last spike of one and ends before the first spike of the next.
    begins = [0.0, *(_middle(span, step_seconds) + quarter for span in lasts)]
    ends = [*(_middle(span, step_seconds) - quarter for span in firsts), duration]
    edges = [0.0]
    for place, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        begin, end = max(begin, edges[-1]), max(begin, end, edges[-1])
        has_left, has_right = place > 0, place < len(firsts)
        if has_left and has_right and end - begin <= 2 * _REACH_SECONDS:
            between = (lasts[place - 1][1] + firsts[place][0]) / 2 * step_seconds
            edges += _pause(decibels_T, begin, end, left=True, right=True, usual=min(max(begin, between), end))
            continue
        if has_left:
            reach = min(end, begin + _REACH_SECONDS)
            # A recording that is as loud up to its end was cut there.
            edges.append(
                _pause(decibels_T, begin, reach, left=True, right=False, usual=reach if reach == end else begin)[0]
            )
        if has_right:
            reach = max(begin, end - _REACH_SECONDS)
            edges.append(
                _pause(decibels_T, reach, end, left=False, right=True, usual=reach if reach == begin else end)[1]
            )
    return list(zip(edges[1::2], edges[2::2], strict=True))


def _middle(span: tuple[int, int], step_seconds: float) -> float:
    return (span[0] + span[1]) / 2 * step_seconds


def _pause(
    decibels_T: np.ndarray, begin: float, end: float, *, left: bool, right: bool, usual: float
) -> tuple[float, float]:
    """Where the longest pause between two times begins and ends.

    Args:
        decibels_T: the loudness.
        begin, end: seconds.
        left, right: whether a word stands before, and behind.
        usual: both where there is no pause.
    """
    first = min(round(begin / TICK_SECONDS), len(decibels_T) - 1)
    last = min(max(first, round(end / TICK_SECONDS)), len(decibels_T) - 1)
    inside = round(_INSIDE_SECONDS / TICK_SECONDS)
    between_T = decibels_T[first : last + 1]
    quiet = float(np.percentile(between_T, _QUIET_PERCENTILE))
    before = float(decibels_T[max(0, first - inside) : first + 1].max()) - quiet if left else np.inf
    behind = float(decibels_T[last : last + inside + 1].max()) - quiet if right else np.inf
    if min(before, behind) < _LEAST_RANGE_DB:
        return usual, usual
    is_quiet_T = between_T <= quiet + min(_START_SHARE, _END_SHARE) * min(before, behind)
    borders = np.flatnonzero(np.diff(is_quiet_T, prepend=False, append=False))
    longest = int(np.argmax(borders[1::2] - borders[::2]))
    start, stop = int(borders[2 * longest]), int(borders[2 * longest + 1]) - 1
    while left and start > 0 and between_T[start - 1] < quiet + _END_SHARE * before:
        start -= 1
    while right and stop < len(between_T) - 1 and between_T[stop + 1] < quiet + _START_SHARE * behind:
        stop += 1
    return (
        min(max(begin, (first + start) * TICK_SECONDS), end),
        min(max(begin, (first + stop) * TICK_SECONDS), end),
    )
