"""From samples to frames to steps: the only length arithmetic in the project.

Every function accepts plain integers, NumPy arrays or TensorFlow tensors alike: it uses operators only.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Lengths = Any  # int, np.ndarray or tf.Tensor of integers


def num_frames(num_samples: Lengths, *, n_fft: int, hop_length: int, center: bool) -> Lengths:
    """How many frames the front end makes of `num_samples` samples.

    A centred frame t covers the n_fft samples around t * hop_length, zeros beyond both ends, so that a recording of
    any length but 0 gives 1 + num_samples // hop_length frames. Without centring only whole frames count. A
    recording without samples has no frames in either case.

    Args:
        num_samples: samples, 0 or more.
        n_fft: samples under one transform.
        hop_length: samples from one frame to the next.
        center: whether frames are centred on their time.

    Returns:
        The number of frames, of the type of `num_samples`.
    """
    if center:
        any_samples = 1 - 1 // (num_samples + 1)  # 0 for no samples, else 1
        return (1 + num_samples // hop_length) * any_samples
    return _at_least_0(1 + (num_samples - n_fft) // hop_length)  # 0 or less below one frame


def first_sample(frame: Lengths, *, n_fft: int, hop_length: int, center: bool) -> Lengths:
    """The first sample that a frame's transform covers; below 0 where it begins in the zeros before the recording."""
    return frame * hop_length - (n_fft // 2 if center else 0)


def num_samples_decided(frame: Lengths, *, frame_length: int, n_fft: int, hop_length: int, center: bool) -> Lengths:
    """How many samples decide a frame: the fewest from which on it exists and no further sample changes it.

    A centred frame waits for the last sample under its window, which stands in the middle of the transform; without
    centring a frame exists only once its whole transform is filled.

    Args:
        frame: the frame's number, from 0.
        frame_length: samples under a window, 2 or more.
        n_fft: samples under one transform.
        hop_length: samples from one frame to the next.
        center: whether frames are centred on their time.

    Returns:
        The number of samples, of the type of `frame`.
    """
    covered = (n_fft - frame_length) // 2 + frame_length if center else n_fft
    return first_sample(frame, n_fft=n_fft, hop_length=hop_length, center=center) + covered


def num_steps(num_frames: Lengths, *, subsampling_factor: int) -> Lengths:
    """How many output steps the model makes of frames: one for each begun group of `subsampling_factor`."""
    return (num_frames + subsampling_factor - 1) // subsampling_factor


def num_chunks(num_steps: Lengths, *, chunk_steps: int) -> Lengths:
    """How many chunks `num_steps` steps fill, the last one perhaps in part."""
    return (num_steps + chunk_steps - 1) // chunk_steps


@dataclass(frozen=True)
class StreamGeometry:
    """What one call of a streaming model covers: a chunk of steps, and the samples that these steps need.

    Call k = 0, 1, 2, ... looks at a window of `window_samples` samples, those of its chunk (the `chunk_samples` from
    k * chunk_samples on), `samples_before` before them and the rest after them; from window to window it moves on by
    `chunk_samples`. Where a window reaches beyond the recording it holds zeros. The call gives `chunk_steps` steps, the
    first of them k * chunk_steps - delay_steps.

    Args:
        frame_length, n_fft, hop_length, center: the front end's (see `num_frames`).
        slope_frames: frames on either side that a frame's slopes look at.
        leading_samples: samples before a frame's first that it needs: 1 for pre-emphasis, else 0.
        subsampling_factor: frames a step.
        chunk_steps: steps a call gives, 1 or more.
        lookahead_steps: steps after its chunk that a call computes too.
        delay_steps: steps that the answer comes late.

    Example:
        >>> geometry = StreamGeometry(
        ...     frame_length=4, n_fft=4, hop_length=2, center=True, slope_frames=0, leading_samples=0,
        ...     subsampling_factor=2, chunk_steps=3, lookahead_steps=0, delay_steps=0)
        >>> geometry.chunk_samples, geometry.samples_before, geometry.window_samples
        (12, 6, 20)
        >>> geometry.bounds(0, num_samples=9)  # the recording begins at sample 6 of the window, and frame 2
        (6, 15, 2, 7)
    """

    frame_length: int
    n_fft: int
    hop_length: int
    center: bool
    slope_frames: int
    leading_samples: int
    subsampling_factor: int
    chunk_steps: int
    lookahead_steps: int
    delay_steps: int

    @property
    def _front_end(self) -> dict[str, Any]:
        return {"n_fft": self.n_fft, "hop_length": self.hop_length, "center": self.center}

    @property
    def chunk_frames(self) -> int:
        """Frames from one window to the next."""
        return self.chunk_steps * self.subsampling_factor

    @functools.cached_property
    def chunk_samples(self) -> int:
        """Samples from one window to the next: the new ones of a call."""
        return self.chunk_frames * self.hop_length

    @property
    def window_steps(self) -> int:
        """Steps that a call computes."""
        return self.chunk_steps + self.lookahead_steps

    @property
    def frames_before(self) -> int:
        """Frames of a window before its chunk's first: the subsampling's reach and the slopes'."""
        return self.subsampling_factor + self.slope_frames

    @property
    def window_frames(self) -> int:
        """Frames of a window."""
        return self.frames_before + self.window_steps * self.subsampling_factor + 1 + self.slope_frames

    @functools.cached_property
    def samples_before(self) -> int:
        """Samples of a window before its chunk's first."""
        return self.leading_samples - first_sample(-self.frames_before, **self._front_end)

    @functools.cached_property
    def window_samples(self) -> int:
        """Samples of a window: up to the last one that a frame of it needs."""
        last = self.window_frames - 1 - self.frames_before
        return self.samples_before + num_samples_decided(last, frame_length=self.frame_length, **self._front_end)

    @property
    def context_samples(self) -> int:
        """Samples that a window shares with the next one."""
        return self.window_samples - self.chunk_samples

    @property
    def first_samples(self) -> int:
        """Samples of a recording that must have come before the first call; then `chunk_samples` for each."""
        return self.window_samples - self.samples_before

    @property
    def latency_samples(self) -> tuple[int, int]:
        """Samples from a step's first one until its answer can be computed: of a call's last step, and of its first."""
        step = self.subsampling_factor * self.hop_length
        greatest = self.first_samples + self.delay_steps * step
        return greatest - (self.chunk_steps - 1) * step, greatest

    def num_ready_calls(self, num_samples: int) -> int:
        """How many calls the first `num_samples` samples suffice for, whatever follows."""
        return max(0, 1 + (num_samples - self.first_samples) // self.chunk_samples)

    def num_steps(self, num_samples: int) -> int:
        """Steps of a recording."""
        return num_steps(num_frames(num_samples, **self._front_end), subsampling_factor=self.subsampling_factor)

    def num_calls(self, num_samples: int) -> int:
        """How many calls give all steps of a recording."""
        steps = self.num_steps(num_samples)
        return num_chunks(steps + self.delay_steps, chunk_steps=self.chunk_steps) if steps else 0

    def bounds(self, call: int, *, num_samples: int | None = None) -> tuple[int, int, int, int]:
        """Which samples and frames of a call's window are the recording's.

        Args:
            call: the call's number, from 0.
            num_samples: samples of the whole recording; None while more may come and the call is ready.

        Returns:
            The first such sample and the one after the last, the first such frame and the one after the last, counted
            in the window.
        """
        sample, frame = call * self.chunk_samples - self.samples_before, call * self.chunk_frames - self.frames_before
        end_sample, end_frame = self.window_samples, self.window_frames
        if num_samples is not None:
            end_sample = min(end_sample, max(0, num_samples - sample))
            end_frame = min(end_frame, max(0, num_frames(num_samples, **self._front_end) - frame))
        return max(0, -sample), end_sample, max(0, -frame), end_frame

    def steps_of(self, call: int, *, num_steps: int | None = None) -> slice:
        """Which of the steps that a call gives are the recording's; `num_steps` of it where that is known."""
        first = call * self.chunk_steps - self.delay_steps
        end = self.chunk_steps if num_steps is None else min(self.chunk_steps, num_steps - first)
        return slice(max(0, -first), max(0, end))


def min_steps(labels: Sequence[int]) -> int:
    """The fewest steps in which CTC can spell `labels`: one a label, and a blank between equal neighbours.

    Source: Graves et al. 2006, "Connectionist Temporal Classification", section 3.
    """
    repeats = sum(1 for first, second in itertools.pairwise(labels) if first == second)
    return len(labels) + repeats


def is_feasible(steps: int, labels: Sequence[int]) -> bool:
    """Whether some path of `steps` steps spells `labels`; where it is False the CTC loss is infinite."""
    return steps >= max(1, min_steps(labels))


def _at_least_0(number: Lengths) -> Lengths:
    return (number + abs(number)) // 2
