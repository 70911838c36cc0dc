"""Recordings longer than a model computes at once: windows that overlap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

#: Seconds of a recording that a model computes at once, at most.
WINDOW_SECONDS = 120.0

#: Seconds that a window shares with the next one: half of them are context on either side of the join.
OVERLAP_SECONDS = 10.0


class JoinedWindows:
    """One recording on its way through a model that needs both ends of what it computes.

    A recording up to `size` samples is computed as one. A longer one is cut into windows of `size`, each beginning
    `size - overlap` after the one before, the last one ending where the recording ends. All begin at a whole number of
    steps, so that their steps are those of the recording. Two neighbours are joined in the longest pause of what they
    share, a quarter of it at either end left out, so that no label is lost or written twice.

    All that `feed` and `finish` return, one after the other, is the recording's. Memory is that of two windows.

    Args:
        recognize: computes `samples_N` -> `log_probs_SV`.
        size: samples of a window, a multiple of `step_samples`.
        overlap: samples that neighbours share, a multiple of `step_samples`, at most half of `size`.
        step_samples: samples from one step to the next.
        blank_id: the blank's column.
    """

    def __init__(
        self,
        recognize: Callable[[np.ndarray], np.ndarray],
        *,
        size: int,
        overlap: int,
        step_samples: int,
        blank_id: int,
    ):
        if not 0 < overlap <= size // 2 or size % step_samples or overlap % step_samples:
            raise ValueError(
                f"windows of {size} samples that share {overlap} do not fit steps of {step_samples}; "
                "give multiples of it, and at most half of a window to share"
            )
        self._recognize, self._size, self._hop, self._step_samples = recognize, size, size - overlap, step_samples
        self._margin_steps = overlap // step_samples // 4
        self._blank_id = blank_id
        self._pieces: list[np.ndarray] = []  # the samples from the last computed window's first on
        self._num_waiting = 0
        self._first_step = 0  # of the last computed window
        # What the windows so far have for the steps from `_pending_step` on; the next window may replace its end.
        self._pending_SV: np.ndarray | None = None
        self._pending_step = 0

    def feed(self, samples_N: np.ndarray) -> list[np.ndarray]:
        """Takes the next samples; gives `log_probs_SV` of the steps that they decide."""
        self._pieces.append(np.array(samples_N, np.float32))
        self._num_waiting += len(samples_N)
        results: list[np.ndarray] = []
        # A window is computed once something follows it: only then is it not the last, which ends with the recording.
        while self._num_waiting > self._size + (0 if self._pending_SV is None else self._hop):
            waiting_N = np.concatenate(self._pieces)
            if self._pending_SV is not None:
                waiting_N = waiting_N[self._hop :].copy()
                self._first_step += self._hop // self._step_samples
            self._pieces, self._num_waiting = [waiting_N], len(waiting_N)
            results += self._join(self._recognize(waiting_N[: self._size]))
        return results

    def finish(self) -> list[np.ndarray]:
        """Ends the recording; gives what is left of it."""
        waiting_N = np.concatenate([np.zeros(0, np.float32), *self._pieces])
        if self._pending_SV is None:
            return [self._recognize(waiting_N)]
        skipped = -(-(len(waiting_N) - self._size) // self._step_samples)
        self._first_step += skipped
        given = self._join(self._recognize(waiting_N[skipped * self._step_samples :]))
        return [*given, self._pending_SV]

    def _join(self, window_SV: np.ndarray) -> list[np.ndarray]:
        """Appends a window that begins at `_first_step`; gives the steps that it cannot change."""
        pending_SV, begin = self._pending_SV, self._first_step
        if pending_SV is None:
            self._pending_SV = window_SV
            return []
        end, margin = self._pending_step + len(pending_SV), self._margin_steps
        # Near the ends of what both have one of them lacks context; and what was given out before stays.
        first, stop = max(begin + margin, self._pending_step), end - margin
        join = first + _middle_of_pause(
            pending_SV[first - self._pending_step : stop - self._pending_step],
            window_SV[first - begin : stop - begin],
            blank_id=self._blank_id,
        )
        given_SV = pending_SV[: join - self._pending_step]
        self._pending_SV, self._pending_step = window_SV[join - begin :], join
        return [given_SV]


def _middle_of_pause(before_SV: np.ndarray, after_SV: np.ndarray, *, blank_id: int) -> int:
    """The middle of the longest run of steps that two windows both find blank; of equal ones the most central.

    The same label may stand a step earlier in one window than in the other. Far from any, it is on the same side of the
    join in both. Where no step is blank, as in a vocabulary that hardly uses it, it is the one with the surest blank.
    """
    is_blank_S = (before_SV.argmax(axis=1) == blank_id) & (after_SV.argmax(axis=1) == blank_id)
    borders = np.flatnonzero(np.diff(is_blank_S, prepend=False, append=False))
    starts, ends = borders[::2], borders[1::2]
    if not len(starts):
        return int(np.minimum(before_SV[:, blank_id], after_SV[:, blank_id]).argmax())
    distances = np.abs(starts + ends - len(is_blank_S))
    longest = np.lexsort((distances, starts - ends))[0]
    return int(starts[longest] + ends[longest]) // 2
