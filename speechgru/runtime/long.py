"""Recordings longer than a model computes at once: windows cut in pauses.

A GRU's state remembers how much was said. One that learnt sentences of some seconds writes less and less after as much
speech as it never met in training, in either direction, whoever speaks; silence of any length changes nothing
(docs/benchmarks.md, "Recordings of hours"). So a window is about as long as what training heard, and begins anew.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechgru.errors import UserError

#: Seconds of a recording that a model computes at once, at most, where it is not known what training heard.
WINDOW_SECONDS = 120.0

#: A window over the typical length in training: with less more words are cut, with more some are lost. Chosen on dev
#: sets, as what follows (docs/benchmarks.md).
_TYPICAL_LENGTHS = 1.4

#: Of a window: what it has beyond each cut. More is speech that counts, and that the neighbour has too.
_CONTEXT_SHARE = 1 / 22

#: Seconds around a place that must be quiet: more than the closure of a stop consonant.
_QUIET_SECONDS = 0.2
#: Power over that of the quietest place up to which a place is as quiet (6 dB), and what is silence anyway (-90 dB).
_AS_QUIET, _SILENT_POWER = 4.0, 1e-9


@dataclass(frozen=True)
class Limits:
    """How much of a recording is computed at once.

    Args:
        whole_seconds: a recording up to this length is computed as one.
        window_seconds: of a longer one at most so much.
    """

    whole_seconds: float
    window_seconds: float

    @classmethod
    def of(cls, metadata: Mapping[str, Any], *, window_seconds: float | None = None) -> Limits:
        """Those of a bundle.

        Args:
            metadata: the bundle's; `training_seconds` is what its training heard.
            window_seconds: what the caller asks for; None for what fits the training.

        Raises:
            UserError: that is not a number above 0.
        """
        require_window(window_seconds)
        heard = metadata.get("training_seconds")
        if window_seconds is not None or heard is None:
            seconds = WINDOW_SECONDS if window_seconds is None else window_seconds
            return cls(seconds, seconds)
        window = min(WINDOW_SECONDS, _TYPICAL_LENGTHS * heard["typical"])
        return cls(min(WINDOW_SECONDS, max(window, heard["longest"])), window)


def require_window(seconds: float | None) -> None:
    """Makes sure that what a caller asks for is a length, or nothing.

    Raises:
        UserError: it is not.
    """
    if seconds is not None and not (isinstance(seconds, numbers.Real) and seconds > 0):
        raise UserError(f"a window is a number of seconds above 0, got {seconds!r}")


class JoinedWindows:
    """One recording on its way through a model that needs both ends of what it computes.

    A recording up to `most` samples is computed as one. A longer one is cut, one place after the other, where it is
    quietest from `least` to `most` samples after the last cut. A window reaches from one cut to the next and `context`
    further on either side, so that a word in which a cut falls is whole in one of two windows; they are joined in the
    longest pause of what both have, so that no label is lost or written twice. All cuts are at whole steps.

    A window's text begins with no space, and that before it ends with none. Where two windows meet in a pause, the join
    is a space.

    All that `feed` and `finish` return, one after the other, is the recording's, however it is fed. Memory is that of
    two windows.

    Args:
        recognize: computes `samples_N` -> `log_probs_SV`.
        least, most: samples from one cut to the next, multiples of `step_samples`; the most is twice the least or more.
        context: samples beyond each cut, a multiple of `step_samples`, at most half of the least.
        step_samples: samples from one step to the next.
        quiet_samples: of how many samples around a place the level counts.
        blank_id: the blank's column.
        space_id: the space's; None of a vocabulary that writes none.
    """

    def __init__(
        self,
        recognize: Callable[[np.ndarray], np.ndarray],
        *,
        least: int,
        most: int,
        context: int,
        step_samples: int,
        quiet_samples: int,
        blank_id: int,
        space_id: int | None = None,
    ):
        fits = 0 < 2 * context <= least and 2 * least <= most
        if not fits or any(each % step_samples for each in (least, most, context)):
            raise ValueError(
                f"cuts {least} to {most} samples apart with {context} around each do not fit steps of {step_samples}; "
                "give multiples of it, at most half of the least around each, and at least twice the least as the most"
            )
        self._recognize, self._step_samples = recognize, step_samples
        self._least, self._most, self._context = (each // step_samples for each in (least, most, context))
        self._half_quiet = max(1, quiet_samples // 2)
        self._blank_id, self._space_id = blank_id, space_id
        #: Samples that are computed at once, at most.
        self.size = most + 2 * context
        #: What must be known beyond the farthest place of a cut to choose it.
        self._ahead = max(self._least, self._context, -(-self._half_quiet // step_samples))
        self._pieces: list[np.ndarray] = []  # the samples from `_first_step` on
        self._num_waiting = 0
        self._first_step = self._cut = 0
        # What the windows so far have for the steps from `_pending_step` on; the next window may replace its end.
        self._pending_SV: np.ndarray | None = None
        self._pending_step = 0
        self._last_label: int | None = None  # that was given out

    @classmethod
    def within(
        cls,
        recognize: Callable[[np.ndarray], np.ndarray],
        *,
        seconds: float,
        sample_rate: int,
        step_samples: int,
        blank_id: int,
        space_id: int | None,
    ) -> JoinedWindows:
        """Windows of some seconds at most, context included.

        Args:
            recognize, step_samples, blank_id, space_id: as above.
            seconds: of what is computed at once; six steps where that is more.
            sample_rate: Hz.
        """
        window = max(6, int(seconds * sample_rate) // step_samples)
        context = max(1, int(window * _CONTEXT_SHARE))
        most = window - 2 * context
        return cls(
            recognize,
            least=most // 2 * step_samples,
            most=most * step_samples,
            context=context * step_samples,
            step_samples=step_samples,
            quiet_samples=round(_QUIET_SECONDS * sample_rate),
            blank_id=blank_id,
            space_id=space_id,
        )

    def feed(self, samples_N: np.ndarray) -> list[np.ndarray]:
        """Takes the next samples; gives `log_probs_SV` of the steps that they decide."""
        self._pieces.append(np.array(samples_N, np.float32))
        self._num_waiting += len(samples_N)
        return self._compute(self._most + self._ahead)

    def finish(self) -> list[np.ndarray]:
        """Ends the recording; gives what is left of it."""
        given = self._compute(self._most)
        begin = max(0, self._cut - self._context)
        window_SV = self._recognize(self._samples_from(begin))
        given += self._join(window_SV, begin)
        assert self._pending_SV is not None
        return [*given, self._pending_SV]

    def _compute(self, most_left: int) -> list[np.ndarray]:
        """Cuts and computes windows while more than some steps follow the last cut."""
        results: list[np.ndarray] = []
        while self._num_waiting > (self._cut + most_left - self._first_step) * self._step_samples:
            begin = max(0, self._cut - self._context)
            waiting_N = self._samples_from(begin)
            cut = self._cut + self._quietest(waiting_N, self._cut - begin)
            end = cut + self._context
            window_SV = self._recognize(waiting_N[: (end - begin) * self._step_samples])
            results += self._join(window_SV[: end - begin], begin)
            self._cut = cut
        return results

    def _samples_from(self, step: int) -> np.ndarray:
        """What waits from a step on; what is before it is forgotten."""
        if len(self._pieces) != 1:
            self._pieces = [np.concatenate([np.zeros(0, np.float32), *self._pieces])]
        waiting_N = self._pieces[0]
        skipped = (step - self._first_step) * self._step_samples
        self._pieces, self._first_step = [waiting_N[skipped:]], step
        self._num_waiting = len(waiting_N) - skipped
        return self._pieces[0]

    def _quietest(self, samples_N: np.ndarray, cut: int) -> int:
        """Steps from the last cut, `cut` steps into the samples, to where the next one hurts least."""
        left = len(samples_N) // self._step_samples - cut
        steps_C = np.arange(self._least, max(self._least, min(self._most, left - self._least)) + 1)
        places_C = (cut + steps_C) * self._step_samples
        first = places_C[0] - self._half_quiet
        near_N = samples_N[max(0, first) : places_C[-1] + self._half_quiet].astype(np.float64)
        energy_N = np.concatenate([[0.0], np.cumsum(np.square(near_N))])
        starts_C = np.maximum(places_C - self._half_quiet - max(0, first), 0)
        ends_C = np.minimum(places_C + self._half_quiet - max(0, first), len(near_N))
        power_C = (energy_N[ends_C] - energy_N[starts_C]) / (ends_C - starts_C)
        # A long pause is left rather than the quietest moment, and in its middle.
        return int(steps_C[_middle_of_longest(power_C <= _AS_QUIET * power_C.min() + _SILENT_POWER)])

    def _join(self, window_SV: np.ndarray, begin: int) -> list[np.ndarray]:
        """Appends a window that begins at a step; gives the steps that it cannot change."""
        pending_SV = self._pending_SV
        if pending_SV is None:
            self._pending_SV = window_SV
            return []
        end, margin = self._pending_step + len(pending_SV), self._context // 2
        # Near the ends of what both have one of them lacks context; and what was given out before stays.
        first, stop = max(begin + margin, self._pending_step), min(end, begin + len(window_SV)) - margin
        join = first + _middle_of_pause(
            pending_SV[first - self._pending_step : stop - self._pending_step],
            window_SV[first - begin : stop - begin],
            blank_id=self._blank_id,
        )
        given_SV = self._with_space(pending_SV, window_SV, join - self._pending_step, join - begin)
        self._pending_SV, self._pending_step = window_SV[join - begin :], join
        return [given_SV]

    def _with_space(self, before_SV: np.ndarray, after_SV: np.ndarray, end: int, start: int) -> np.ndarray:
        """What is given of a window up to `end`, the last step a space where a word ends there and another begins."""
        given_SV = before_SV[:end]
        if self._space_id is None or not end:
            return given_SV
        written = self._written(given_SV)
        self._last_label = written[-1] if len(written) else self._last_label
        beyond, behind, follows = map(self._written, (before_SV[end:], after_SV[:start], after_SV[start:]))
        if self._last_label in (None, self._space_id) or self._space_id in follows[:1]:
            return given_SV
        # A window that writes on beyond the join, and no space first, is in a word there.
        if any(label != self._space_id for label in (*beyond[:1], *behind[-1:])):
            return given_SV
        given_SV = given_SV.copy()
        given_SV[-1, [self._blank_id, self._space_id]] = given_SV[-1, [self._space_id, self._blank_id]]
        self._last_label = self._space_id
        return given_SV

    def _written(self, log_probs_SV: np.ndarray) -> np.ndarray:
        """The surest label of each step where that is not the blank."""
        labels_S = log_probs_SV.argmax(axis=1)
        return labels_S[labels_S != self._blank_id]


def _middle_of_pause(before_SV: np.ndarray, after_SV: np.ndarray, *, blank_id: int) -> int:
    """The middle of the longest run of steps that two windows both find blank; of equal ones the most central.

    The same label may stand a step earlier in one window than in the other. Far from any, it is on the same side of the
    join in both. Where no step is blank, as in a vocabulary that hardly uses it, it is the one with the surest blank.
    """
    is_blank_S = (before_SV.argmax(axis=1) == blank_id) & (after_SV.argmax(axis=1) == blank_id)
    if not is_blank_S.any():
        return int(np.minimum(before_SV[:, blank_id], after_SV[:, blank_id]).argmax())
    return _middle_of_longest(is_blank_S)


def _middle_of_longest(is_one_X: np.ndarray) -> int:
    """The middle of the longest run of True, of equal ones the most central; there is one."""
    borders = np.flatnonzero(np.diff(is_one_X, prepend=False, append=False))
    starts, ends = borders[::2], borders[1::2]
    distances = np.abs(starts + ends - len(is_one_X))
    longest = np.lexsort((distances, starts - ends))[0]
    return int(starts[longest] + ends[longest]) // 2
