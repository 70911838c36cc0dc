"""What a recording's header says, and which segments and channels it lets one ask for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from speechgru.errors import AudioError
from speechgru.visible import counted


@dataclass(frozen=True)
class Header:
    """What a recording's header says.

    Args:
        path: the file.
        container: libsndfile's name of the file's form: `WAV`, `FLAC`, `OGG`, `MP3`, ...
        encoding: its name of the samples' form: `PCM_16`, `ALAW`, `VORBIS`, ...
        sample_rate: Hz.
        num_channels: channels.
        num_samples: samples a channel.
    """

    path: str
    container: str
    encoding: str
    sample_rate: int
    num_channels: int
    num_samples: int

    @property
    def is_counted(self) -> bool:
        """Whether the samples were counted. In layer II, or in MP3 inside WAV, a few frames too many are guessed."""
        return not self.encoding.startswith("MPEG") or (self.container, self.encoding) == ("MP3", "MPEG_LAYER_III")

    def require_channel(self, channel: int | None) -> None:
        """Refuses a channel that is not there.

        Args:
            channel: its number, from 1 on; None for the average of all.

        Raises:
            AudioError: names the channels that there are.
        """
        if channel is None or 1 <= channel <= self.num_channels:
            return
        if self.num_channels == 1:
            choice = "it has one alone, so leave the choice out"
        else:
            choice = f"choose one from 1 to {self.num_channels}, or none to average them"
        raise AudioError(
            f"{self.path}: has {counted(self.num_channels, 'channel')}, and number {channel} was asked for; {choice}"
        )

    def segment(self, offset: float, duration: float | None) -> tuple[int, int]:
        """The first sample and the number of samples of a segment.

        Args:
            offset: seconds at which to start.
            duration: seconds; None for the rest.

        Raises:
            AudioError: these are no seconds, or the recording ends before the segment.
        """
        if not 0 <= offset < math.inf or not (duration is None or 0 <= duration < math.inf):
            raise AudioError(
                f"{self.path}: a segment's offset and duration are seconds, 0 or more, got {offset} and {duration}"
            )
        seconds = self.num_samples / self.sample_rate
        # A hundredth of a second of slack: manifests round, and compressed formats pad.
        if self.num_samples and offset + (duration or 0.0) > seconds + 0.01:
            raise AudioError(
                f"{self.path}: is {seconds:.3f} s long, "
                f"shorter than the segment from {offset:g} s to {offset + (duration or 0):g} s; "
                "correct the segment, or copy the recording again"
            )
        start = min(round(offset * self.sample_rate), self.num_samples)
        count = self.num_samples - start
        return start, count if duration is None else min(round(duration * self.sample_rate), count)
