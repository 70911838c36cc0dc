"""Where a run stands: what a checkpoint holds beside arrays, so that a resumed run goes on as if nothing had been."""

from __future__ import annotations

import dataclasses
from typing import Any

from speechgru.config.sections import TrainConfig
from speechgru.errors import BundleError

#: What mixed float16 begins with (the loss is a sum over a batch), and steps without an overflow after which it dares
#: twice as much.
_FIRST_LOSS_SCALE = 2.0**10
_STEPS_TO_GROW = 2000


@dataclasses.dataclass
class Standing:
    """Where a run stands.

    Args:
        step: steps done.
        epoch: the time in passes over the corpus.
        seconds: seconds of training, earlier sessions included.
        best_wer: the lowest dev WER so far, a fraction; None before the first.
        best_step: its step.
        evaluations_since_best: dev evaluations since then.
        evaluations_since_plateau: the same since the learning rate last fell, or the best.
        plateau_scale: what plateaus have brought the learning rate down to, a fraction.
        loss_scale: what the loss is multiplied with for the backward pass; 1 without mixed float16.
        steps_since_overflow: steps since that last changed.
        num_dropped: steps that had no finite loss or gradient.
        dropped_in_a_row: the newest of them.
        losses: since the last line of the history.
        gradient_norms: likewise.
        real_frames: frames of all batches, without padding.
        padded_frames: with it.
        timed_audio_seconds: seconds of speech in the steps whose time was taken.
        waited: seconds that steps waited for their batch.
        trained: seconds of steps, waiting included; the first of each session is left out, which compiles.
        timed_steps: how many those were.
        ended: why the run is at its end; None while it is not.
    """

    step: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    best_wer: float | None = None
    best_step: int = 0
    evaluations_since_best: int = 0
    evaluations_since_plateau: int = 0
    plateau_scale: float = 1.0
    loss_scale: float = 1.0
    steps_since_overflow: int = 0
    num_dropped: int = 0
    dropped_in_a_row: int = 0
    losses: list[float] = dataclasses.field(default_factory=list)
    gradient_norms: list[float] = dataclasses.field(default_factory=list)
    real_frames: int = 0
    padded_frames: int = 0
    timed_audio_seconds: float = 0.0
    waited: float = 0.0
    trained: float = 0.0
    timed_steps: int = 0
    ended: str | None = None

    @classmethod
    def at_start(cls, settings: TrainConfig) -> Standing:
        """Before the first step."""
        return cls(loss_scale=_FIRST_LOSS_SCALE if settings.precision == "mixed_float16" else 1.0)

    @classmethod
    def from_state(cls, state: dict[str, Any], *, where: object) -> Standing:
        """What a checkpoint tells.

        Raises:
            BundleError: it tells something else.
        """
        if state.keys() != {field.name for field in dataclasses.fields(cls)}:
            raise BundleError(f"{where}: the checkpoint is another version's; give another --run")
        return cls(**state)

    def as_state(self) -> dict[str, Any]:
        """The same as JSON-ready fields."""
        return dataclasses.asdict(self)

    @property
    def padding_share(self) -> float:
        """The share of the batches so far that was padding."""
        return 1.0 - self.real_frames / max(1, self.padded_frames)

    @property
    def wait_share(self) -> float:
        """The share of the steps' time so far that went by before their batch was there."""
        return self.waited / self.trained if self.trained else 0.0

    @property
    def steps_per_second(self) -> float:
        """How fast it goes; 0 before a step was timed."""
        return self.timed_steps / self.trained if self.trained else 0.0

    @property
    def audio_hours_per_hour(self) -> float:
        """Hours of speech that an hour of training hears."""
        return self.timed_audio_seconds / self.trained if self.trained else 0.0

    def take_score(self, wer: float, *, settings: TrainConfig) -> bool:
        """Notes a dev score; True where it is the best so far (the later of two equal ones).

        Only a lower WER than the best counts as progress for `patience` and plateaus.
        """
        is_lower = self.best_wer is None or wer < self.best_wer
        is_best = self.best_wer is None or wer <= self.best_wer
        if is_best:
            self.best_wer, self.best_step = wer, self.step
        if is_lower:
            self.evaluations_since_best = self.evaluations_since_plateau = 0
            return True
        self.evaluations_since_best += 1
        self.evaluations_since_plateau += 1
        if settings.schedule == "plateau" and self.evaluations_since_plateau >= settings.plateau_patience:
            self.plateau_scale *= settings.plateau_factor
            self.evaluations_since_plateau = 0
        return is_best

    def take_overflow(self) -> bool:
        """Notes a gradient that was not finite; True where a smaller scale of the loss may mend it."""
        if self.loss_scale <= 1.0:
            return False
        self.loss_scale, self.steps_since_overflow = self.loss_scale / 2.0, 0
        return True

    def take_finite(self, settings: TrainConfig) -> None:
        """Notes a step that reached the weights."""
        self.dropped_in_a_row = 0
        if settings.precision == "mixed_float16":
            self.steps_since_overflow += 1
            if self.steps_since_overflow >= _STEPS_TO_GROW:
                self.loss_scale, self.steps_since_overflow = self.loss_scale * 2.0, 0
