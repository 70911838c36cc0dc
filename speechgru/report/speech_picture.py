"""A recording as its log-mel and its label probabilities, on one time axis."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence

import numpy as np

from speechgru.decoding import Hypothesis, Word, greedy_decode
from speechgru.report.charts import Axis, colour_of, svg_element
from speechgru.report.html import text
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
    label: str = "",
) -> str:
    """A log-mel, the words found in it, and the probability of every label, one below the other on one time axis.

    Args:
        log_mel_TM: natural log of mel power, one row a frame.
        log_probs_SV: natural-log probabilities, one row a step, blank first.
        vocabulary: the characters of the columns.
        frame_seconds: seconds from one frame to the next.
        step_seconds: seconds from one step to the next.
        words: the words to mark; without, those of greedy decoding.
        label: what the picture shows, for those who cannot see it.

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
    x = Axis(0.0, duration, 46, width - 14)
    mel_top, mel_bottom, lanes_top, lane_height = 6, 156, 162, 21
    lanes = _lanes(words, x)
    chart_top = lanes_top + lane_height * max(lanes, default=0) + lane_height + 24
    y = Axis(0.0, 1.0, chart_top + 130, chart_top)
    height = round(y.start + 40)

    parts = []
    if log_mel_TM.size:
        image = base64.b64encode(log_mel_png(log_mel_TM)).decode()
        parts.append(
            f'<image x="{x.start}" y="{mel_top}" width="{x(len(log_mel_TM) * frame_seconds) - x.start:.1f}" '
            f'height="{mel_bottom - mel_top}" preserveAspectRatio="none" href="data:image/png;base64,{image}"/>'
        )
    middle = (mel_top + mel_bottom) / 2
    parts.append(
        f'<text class="tick" text-anchor="middle" transform="translate(30 {middle}) rotate(-90)">mel bands</text>'
    )
    for value in (0.0, 0.5, 1.0):
        parts.append(
            f'<line class="grid" x1="{x.start}" x2="{x.end}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text class="tick" text-anchor="end" x="{x.start - 7}" y="{y(value) + 4:.1f}">{value:g}</text>'
        )
    for tick in x.ticks(max(4, width // 110)):
        parts.append(
            f'<text class="tick" text-anchor="middle" x="{x(tick):.1f}" y="{y.start + 18:.1f}">{tick:g}</text>'
        )
    parts.append(f'<text class="tick" text-anchor="end" x="{x.end}" y="{height - 4}">seconds</text>')
    for word, lane in zip(words, lanes, strict=True):
        parts.append(_word_mark(word, x, top=lanes_top, y=lanes_top + lane_height * lane, bottom=y.start))
    parts.extend(_label_lines(np.exp(log_probs_SV.astype(float)), x, y, step_seconds=step_seconds))
    for found, peak in label_peaks(greedy, log_probs_SV):
        character = vocabulary.decode([found])
        parts.append(
            f'<text class="peak" style="fill: {colour_of(found)}" x="{x((peak + 0.5) * step_seconds):.1f}" '
            f'y="{y(np.exp(log_probs_SV[peak, found])) - 6:.1f}">{"␣" if character == " " else text(character)}</text>'
        )
    return svg_element(parts, width=width, height=height, label=label or "Log-mel and label probabilities", fixed=True)


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
        (label, start + int(log_probs_SV[start:end, label].argmax()))
        for label, (start, end) in zip(hypothesis.labels, hypothesis.spans, strict=True)
    ]


def label_areas(probs_SV: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Where a label other than the blank is more than nothing: label, first step, step after the last.

    One step more at both sides, so that an area rises from the ground.
    """
    for label in range(probs_SV.shape[1]):
        if label == BLANK_ID:
            continue
        seen_S = probs_SV[:, label] >= _VISIBLE
        wide_S = seen_S | np.append(seen_S[1:], False) | np.insert(seen_S[:-1], 0, False)
        edges = np.flatnonzero(np.diff(wide_S.astype(int), prepend=0, append=0))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            yield label, int(start), int(end)


def _label_lines(probs_SV: np.ndarray, x: Axis, y: Axis, *, step_seconds: float) -> list[str]:
    """The blank as a grey line, every other label as an area where it is more than nothing."""
    centres_S = (np.arange(len(probs_SV)) + 0.5) * step_seconds

    def path(steps: np.ndarray, label: int) -> str:
        return " ".join(f"{x(centres_S[step]):.1f},{y(probs_SV[step, label]):.1f}" for step in steps)

    parts = []
    if len(probs_SV):
        parts.append(f'<polyline class="blank" points="{path(np.arange(len(probs_SV)), BLANK_ID)}"/>')
    parts.extend(
        f'<polyline class="area" style="stroke: {colour_of(label)}; fill: {colour_of(label)}" '
        f'points="{path(np.arange(start, end), label)}"/>'
        for label, start, end in label_areas(probs_SV)
    )
    return parts


def _lanes(words: Sequence[Word], x: Axis) -> list[int]:
    """For each word the first line of text on which it does not touch the one before it."""
    free_from: list[float] = []
    lanes = []
    for word in words:
        middle = float(x((word.start_seconds + word.end_seconds) / 2))
        half = 4.2 * len(word.text) + 4
        lane = next((lane for lane, free in enumerate(free_from) if free <= middle - half), len(free_from))
        free_from[lane : lane + 1] = [middle + half]
        lanes.append(lane)
    return lanes


def _word_mark(word: Word, x: Axis, *, top: float, y: float, bottom: float) -> str:
    left, right = float(x(word.start_seconds)), float(x(word.end_seconds))
    return (
        f'<rect class="band" x="{left:.1f}" y="{top}" width="{right - left:.1f}" height="{bottom - top:.1f}"/>'
        f'<line class="edge" x1="{left:.1f}" x2="{right:.1f}" y1="{top}" y2="{top}"/>'
        f'<text class="word" x="{(left + right) / 2:.1f}" y="{y + 17}">{text(word.text)}'
        f"<title>{text(word.text)}: {word.start_seconds:.2f} to {word.end_seconds:.2f} s, "
        f"confidence {word.confidence:.2f}</title></text>"
    )
