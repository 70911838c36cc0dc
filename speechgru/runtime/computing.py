"""Samples of any length through a bundle's model to log-probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from speechgru import lengths
from speechgru.errors import UserError
from speechgru.lengths import StreamGeometry
from speechgru.runtime.long import JoinedWindows, Limits
from speechgru.runtime.windows import Windows
from speechgru.text import BLANK_ID, Vocabulary

#: Samples of an array that are handed on at a time: about a minute at 16 kHz.
_BLOCK = 1 << 20


class Computing:
    """A model and how recordings go through it: as one, in windows that are joined, or call by call.

    Args:
        path: what messages name.
        metadata: the bundle's.
        engine: what runs the model (`runtime.engine.Engine`).
        vocabulary: what the model writes.
        limits: how much is computed at once.
    """

    def __init__(self, path: Path, metadata: Mapping[str, Any], engine: Any, *, vocabulary: Vocabulary, limits: Limits):
        self._path, self._metadata, self._engine = path, metadata, engine
        self._vocabulary, self._limits = vocabulary, limits
        self._sample_rate: int = metadata["sample_rate"]
        self._step_samples = round(metadata["step_seconds"] * self._sample_rate)
        #: Samples that are computed as one, at most.
        self._whole_samples: float = math.inf
        if limits.whole_seconds < math.inf:
            # Upwards, since what is as long as the longest that training heard is not to be cut.
            steps = math.ceil(limits.whole_seconds * self._sample_rate / self._step_samples)
            self._whole_samples = max(2, steps) * self._step_samples

    @property
    def streams(self) -> bool:
        """Whether the model is one that streams, and was exported with a signature for it."""
        return self._metadata["stream"] is not None and self._engine.streams

    def open_windows(self) -> Windows:
        """A stream's way through the model alone (`Recognizer.open_windows`)."""
        record = self._metadata["stream"]
        if not self.streams:
            reason = self._metadata.get("stream_obstacle") or "it was exported without a signature for streams"
            raise UserError(f"{self._path}: transcribes whole recordings only: {reason}")
        return Windows(self._engine.stream, geometry=StreamGeometry(**record["geometry"]), states=record["states"])

    def window_for(self, num_samples: int) -> float | None:
        """Seconds of the windows that a recording is computed in (`Recognizer.window_for`)."""
        in_windows = num_samples > self._whole_samples and not self.streams
        return self._joined_windows().size / self._sample_rate if in_windows else None

    def whole(self, samples_N: np.ndarray) -> np.ndarray:
        """`log_probs_SV` of all samples."""
        pieces = list(self.pieces(cut(samples_N)))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def pieces(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The log-probabilities, piece by piece, of samples at the bundle's rate that come block by block.

        One piece alone is what the model gives for all samples at once.
        """
        blocks = iter(blocks)
        begun, num_samples = [np.zeros(0, np.float32)], 0
        while num_samples <= self._whole_samples:
            block = next(blocks, None)
            if block is None:
                yield self._recognize(np.concatenate(begun))
                return
            begun.append(block)
            num_samples += len(block)
        windows = self.open_windows() if self.streams else self._joined_windows()
        while begun:
            yield from windows.feed(begun.pop(0))
        for block in blocks:
            yield from windows.feed(block)
        yield from windows.finish()

    def _joined_windows(self) -> JoinedWindows:
        return JoinedWindows.within(
            self._recognize,
            seconds=self._limits.window_seconds,
            sample_rate=self._sample_rate,
            step_samples=self._step_samples,
            blank_id=BLANK_ID,
            space_id=self._vocabulary.space_label if self._vocabulary.unit == "character" else None,
        )

    def _recognize(self, samples_N: np.ndarray) -> np.ndarray:
        """All samples at once."""
        if not self._has_steps(len(samples_N)):
            return np.zeros([0, len(self._vocabulary)], np.float32)
        return self._engine.recognize(samples_N)

    def _has_steps(self, num_samples: int) -> bool:
        """Whether this number of samples makes a step; without centred frames a whole transform is needed for one."""
        features = self._metadata.get("features", {})
        geometry = {key: features[key] for key in ("n_fft", "hop_length") if key in features}
        if len(geometry) < 2:
            return num_samples > 0
        return lengths.num_frames(num_samples, center=features.get("center", True), **geometry) > 0


def cut(samples_N: np.ndarray) -> Iterator[np.ndarray]:
    """Samples in blocks, one at least, none of them a copy."""
    for start in range(0, max(1, len(samples_N)), _BLOCK):
        yield samples_N[start : start + _BLOCK]
