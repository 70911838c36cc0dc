"""What averaging channels leaves of their sound: nothing where one of them is the other one upside down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Channels with nothing in common have this share of power left, for N channels 1 / N. Below a tenth of that they
#: are no chance: one is inverted.
_CANCELLED = 0.1

#: What is wrong and how to mend it, as parts of a sentence that begins with the recording's name.
CANCELLING = "its channels cancel each other, one of them is inverted: their average is nearly silent"
UNDO_CANCELLING = 'name one in the manifest\'s line ("channel": 1), or write it to a file of its own'


@dataclass(frozen=True)
class Mixing:
    """The power of a recording's channels before and after they were averaged; the sums of its blocks are the whole's.

    Args:
        before: energy of the channels, on average over them.
        after: energy of their average.
        num_channels: how many there were.
    """

    before: float = 0.0
    after: float = 0.0
    num_channels: int = 1

    def __add__(self, other: Mixing) -> Mixing:
        num_channels = max(self.num_channels, other.num_channels)
        return Mixing(self.before + other.before, self.after + other.after, num_channels)

    @property
    def cancels(self) -> bool:
        """Whether hardly any of the sound is left."""
        return self.num_channels > 1 and self.after < _CANCELLED * self.before / self.num_channels


def mix(samples_NC: np.ndarray) -> tuple[np.ndarray, Mixing]:
    """Averages channels.

    Args:
        samples_NC: float32 samples.

    Returns:
        `samples_N`, and what became of the power.
    """
    num_channels = samples_NC.shape[1]
    if num_channels == 1:
        return samples_NC[:, 0], Mixing()
    samples_N = samples_NC.mean(axis=1, dtype=np.float32)
    flat = np.ascontiguousarray(samples_NC).reshape(-1)
    return samples_N, Mixing(
        float(np.dot(flat, flat)) / num_channels, float(np.dot(samples_N, samples_N)), num_channels
    )
