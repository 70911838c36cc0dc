"""From samples to frames to steps: the only length arithmetic in the project.

Every function takes plain integers, NumPy arrays or TensorFlow tensors alike: it uses operators only.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

Lengths = Any  # int, np.ndarray or tf.Tensor of integers


def num_frames(num_samples: Lengths, *, n_fft: int, hop_length: int, center: bool) -> Lengths:
    """How many frames the front end makes of so many samples.

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


def num_frames_decided(
    num_samples: Lengths, *, frame_length: int, n_fft: int, hop_length: int, center: bool
) -> Lengths:
    """How many frames the first `num_samples` samples decide, whatever follows: what a stream can give by then.

    The arguments are those of `num_samples_decided`, whose inverse this is.
    """
    first = num_samples_decided(0, frame_length=frame_length, n_fft=n_fft, hop_length=hop_length, center=center)
    return _at_least_0(1 + (num_samples - first) // hop_length)


def num_steps(num_frames: Lengths, *, subsampling_factor: int) -> Lengths:
    """How many output steps the model makes of so many frames: one for each begun group of `subsampling_factor`."""
    return (num_frames + subsampling_factor - 1) // subsampling_factor


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
