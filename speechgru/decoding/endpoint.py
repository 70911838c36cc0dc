"""When has somebody stopped speaking? Rules over the best path's silence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

from speechgru.errors import UserError

#: Share of a step by which a number of seconds may lie above whole steps and still be those: 0.8 s are 20 steps of
#: 0.04 s, however the quotient is rounded.
_ROUNDING_STEPS = 1e-6


@dataclass(frozen=True)
class EndpointRule:
    """When an utterance is over: whichever of three limits is met first.

    Silence is counted in steps of the model whose most probable label is the blank or a space: no threshold of loudness
    and no second model, so noise that the model does not take for speech is silence too. CTC models write a label as a
    short spike and blanks after it, so a pause begins where the last label was written, often before its sound ends:
    `trailing_seconds` must outlast the longest sound and the pauses between words.

    Source: the rules of Kaldi's online decoders (`OnlineEndpointConfig` in `online2/online-endpoint.h`; Povey et al.
    2011, "The Kaldi Speech Recognition Toolkit"): an utterance ends after enough silence, after more of it where
    nothing was recognised yet, and at a length in any case. Kaldi asks for less silence where the decoder's final state
    is probable; CTC labels have no such states, so there is one limit here.

    Args:
        trailing_seconds: silence after something was recognised.
        start_seconds: silence where nothing was recognised yet; None for no limit.
        max_seconds: the longest utterance; None for no limit.

    Raises:
        UserError: a limit is not a positive number of seconds.

    Example:
        >>> rule = EndpointRule(trailing_seconds=0.5)
        >>> rule.is_over(num_steps=40, trailing_blank_steps=12, has_label=True, step_seconds=0.04)
        False
        >>> rule.is_over(num_steps=41, trailing_blank_steps=13, has_label=True, step_seconds=0.04)
        True
    """

    trailing_seconds: float = 0.8
    start_seconds: float | None = 5.0
    max_seconds: float | None = 30.0

    def __post_init__(self) -> None:
        for name in ("trailing_seconds", "start_seconds", "max_seconds"):
            value = getattr(self, name)
            if value is None and name != "trailing_seconds":
                continue
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if not (is_number and math.isfinite(value) and value > 0):
                none = "" if name == "trailing_seconds" else ", or None for no limit"
                raise UserError(f"{name} must be a positive number of seconds{none}, got {value!r}")

    def is_over(
        self,
        *,
        num_steps: int | np.ndarray,
        trailing_blank_steps: int | np.ndarray,
        has_label: bool | np.ndarray,
        step_seconds: float,
    ) -> bool | np.ndarray:
        """Whether the utterance is over.

        Args:
            num_steps: steps so far; this and the next two as `DecoderStream` has them, or arrays of such, one entry
                for each of several moments.
            trailing_blank_steps: silent steps at the end.
            has_label: whether something was recognised.
            step_seconds: seconds from one step to the next.

        Returns:
            One answer, or an array of them.
        """
        trailing, start, longest = (
            math.inf if seconds is None else max(1, math.ceil(seconds / step_seconds - _ROUNDING_STEPS))
            for seconds in (self.trailing_seconds, self.start_seconds, self.max_seconds)
        )
        silent_too_long = np.greater_equal(trailing_blank_steps, np.where(has_label, trailing, start))
        over = silent_too_long | np.greater_equal(num_steps, longest)
        return over if np.ndim(over) else bool(over)
