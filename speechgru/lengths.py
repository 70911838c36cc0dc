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
    whole = 1 + (num_samples - n_fft) // hop_length  # 0 or less below one frame
    return (whole + abs(whole)) // 2


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
