"""A recording as its log-mel and its label probabilities, on one time axis."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from speechgru.decoding import Hypothesis, Word, greedy_decode
from speechgru.report.axis import linear_axis, time_axis
from speechgru.report.frame import Frame
from speechgru.report.shapes import Point, colour_of, label, polyline, shape
from speechgru.text import BLANK_ID, Vocabulary

#: A label is drawn where it has at least this probability at some step.
_VISIBLE = 0.02


def speech_picture(
    log_mel_TM: np.ndarray,
    log_probs_SV: np.ndarray,
    *,
    vocabulary: Vocabulary,
    frame_seconds: float,
    step_seconds: float,
    words: Sequence[Word] | None = None,
    name: str = "Log-mel and label probabilities over time",
    description: str = "",
) -> str:
    """A log-mel, the words found in it, and the probability of every label, one below the other on one time axis.

    Args:
        log_mel_TM: natural log of mel power, one row a frame.
        log_probs_SV: natural-log probabilities, one row a step, blank first.
        vocabulary: the characters of the columns.
        frame_seconds: seconds from one frame to the next.
        step_seconds: seconds from one step to the next.
        words: the words to mark; without, those of greedy decoding.
        name: what the picture is, for a reader who cannot see it.
        description: what it shows, likewise.

    Returns:
        An SVG element, as wide as the recording needs.

    Raises:
        ValueError: an array has not two axes, or the columns do not fit the vocabulary.
    """
    log_mel_TM, log_probs_SV = np.asarray(log_mel_TM), np.asarray(log_probs_SV)
    if log_mel_TM.ndim != 2:
        raise ValueError(f"a picture's log_mel must have the axes (frames, mels), got shape {log_mel_TM.shape}")
    greedy = greedy_decode(log_probs_SV, vocabulary=vocabulary, step_seconds=step_seconds)
    words = greedy.words if words is None else words
    duration = max(len(log_mel_TM) * frame_seconds, len(log_probs_SV) * step_seconds, 1e-3)
    width = round(min(max(230 * duration, 1000), 4000))
    left, right = 46.0, width - 14.0
    seconds = time_axis(duration, most=max(4, width // 110))
    mel_top, mel_bottom, lanes_top, lane_height = 6, 156, 162, 21
    lanes = _lanes(words, lambda time: seconds.pixel(time, left, right))
    chart_top = lanes_top + lane_height * max(lanes, default=0) + lane_height + 24
    probability = linear_axis(0.0, 1.0, at=(0.0, 0.5, 1.0))
    height = chart_top + 156
    frame = Frame(seconds, probability, width=width, height=height, left=left, right=14, top=chart_top)
    if log_mel_TM.size:
        image = base64.b64encode(log_mel_png(log_mel_TM)).decode()
        frame.add(
            shape(
                "image",
                x=left,
                y=mel_top,
                width=frame.x(len(log_mel_TM) * frame_seconds) - left,
                height=mel_bottom - mel_top,
                preserveAspectRatio="none",
                href=f"data:image/png;base64,{image}",
            )
        )
    frame.add(label(30, (mel_top + mel_bottom) / 2, "mel bands", kind="tick", turned=-90))
    for word, lane in zip(words, lanes, strict=True):
        frame.add(*_word_mark(word, frame, top=lanes_top, base=lanes_top + lane_height * lane + 17))
    frame.add(*_label_lines(np.exp(log_probs_SV.astype(float)), frame, step_seconds=step_seconds))
    for found, peak in label_peaks(greedy, log_probs_SV):
        place = frame.x((peak + 0.5) * step_seconds), frame.y(float(np.exp(log_probs_SV[peak, found]))) - 6
        frame.add(label(*place, vocabulary.drawn(found), kind="peak", style=f"fill: {colour_of(found)}"))
    return frame.svg(name, description=description, fixed=True)


def log_mel_png(log_mel_TM: np.ndarray) -> bytes:
    """A log-mel as a PNG, time to the right, low bands below."""
    from matplotlib.image import imsave

    stream = io.BytesIO()
    imsave(stream, log_mel_pixels(log_mel_TM), format="png")
    return stream.getvalue()


def log_mel_pixels(log_mel_TM: np.ndarray) -> np.ndarray:
    """A log-mel as 8-bit RGB of shape (mels, frames, 3), high bands first; the darkest 2 % and brightest 0.5 % are cut
    off."""
    import matplotlib

    values = np.where(np.isfinite(log_mel_TM), log_mel_TM, np.nan)
    low, high = np.nanpercentile(values, [2, 99.5]) if np.isfinite(values).any() else (0.0, 1.0)
    scaled = np.clip((np.nan_to_num(values, nan=low) - low) / max(high - low, 1e-6), 0, 1)
    colours = matplotlib.colormaps["magma"](scaled.T[::-1], bytes=True)
    return np.ascontiguousarray(colours[..., :3])


def label_peaks(hypothesis: Hypothesis, log_probs_SV: np.ndarray) -> list[tuple[int, int]]:
    """Each label that was found, with the step at which it is most probable."""
    return [
        (found, start + int(log_probs_SV[start:end, found].argmax()))
        for found, (start, end) in zip(hypothesis.labels, hypothesis.spans, strict=True)
    ]


def label_areas(probs_SV: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Where a label other than the blank is more than nothing: label, first step, step after the last.

    One step more at both sides, so that an area rises from the ground.
    """
    for found in range(probs_SV.shape[1]):
        if found == BLANK_ID:
            continue
        seen_S = probs_SV[:, found] >= _VISIBLE
        wide_S = seen_S | np.append(seen_S[1:], False) | np.insert(seen_S[:-1], 0, False)
        edges = np.flatnonzero(np.diff(wide_S.astype(int), prepend=0, append=0))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            yield found, int(start), int(end)


def _label_lines(probs_SV: np.ndarray, frame: Frame, *, step_seconds: float) -> list[str]:
    """The blank as a grey line, every other label as an area where it is more than nothing."""

    def points(start: int, end: int, found: int) -> list[Point]:
        return [
            (frame.x((step + 0.5) * step_seconds), frame.y(float(probs_SV[step, found]))) for step in range(start, end)
        ]

    blank = [polyline(points(0, len(probs_SV), BLANK_ID), kind="blank")] if len(probs_SV) else []
    return blank + [
        polyline(points(start, end, found), kind="area", colour=colour_of(found))
        for found, start, end in label_areas(probs_SV)
    ]


def _lanes(words: Sequence[Word], x: Callable[[float], float]) -> list[int]:
    """For each word the first line of text on which it does not touch the one before it."""
    free_from: list[float] = []
    lanes = []
    for word in words:
        middle = x((word.start_seconds + word.end_seconds) / 2)
        half = 4.2 * len(word.text) + 4
        lane = next((lane for lane, free in enumerate(free_from) if free <= middle - half), len(free_from))
        free_from[lane : lane + 1] = [middle + half]
        lanes.append(lane)
    return lanes


def _word_mark(word: Word, frame: Frame, *, top: float, base: float) -> list[str]:
    """A band from the word's first label to its last, under its name."""
    left, right = frame.x(word.start_seconds), frame.x(word.end_seconds)
    what = f"{word.text}: {word.start_seconds:.2f} to {word.end_seconds:.2f} s, confidence {word.confidence:.2f}"
    return [
        shape("rect", kind="band", x=left, y=top, width=right - left, height=frame.bottom - top),
        shape("line", kind="edge", x1=left, x2=right, y1=top, y2=top),
        label((left + right) / 2, base, word.text, kind="word", title=what),
    ]
