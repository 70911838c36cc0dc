"""The state of a run beside its arrays, so that it resumes exactly."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from speechgru.config.sections import TrainConfig
from speechgru.errors import BundleError
from speechgru.train.monitor import Monitor, rank

#: The first loss scale of mixed float16 (the loss is a sum over a batch), and steps without an overflow after which the
#: scale doubles.
_FIRST_LOSS_SCALE = 2.0**10
_STEPS_TO_GROW = 2000


@dataclasses.dataclass
class TrainingState:
    """The state of a run after a step, as a checkpoint holds it beside the arrays.

    Args:
        step: steps done.
        epoch: passes over the corpus, a fraction of one included.
        seconds: seconds of training, earlier sessions included.
        best_wer: the dev WER of the best weights so far, a fraction; None before the first.
        best_cer: their character error rate, which decides between equal ones; None in runs from before it did.
        best_loss: their dev loss, nats, which decides between equal rates; None in runs from before it did.
        best_misses: their share of missed dev utterances; None without negatives.
        best_perplexity: the dev perplexity per label of the best weights of a language model; None of a recogniser.
        best_step: its step.
        evaluations_since_best: dev evaluations since then.
        evaluations_since_plateau: the same since the learning rate last fell, or the best.
        plateau_scale: the factor by which plateaus have lowered the learning rate, in (0, 1].
        loss_scale: the factor of the loss in the backward pass; 1 without mixed float16.
        steps_since_overflow: steps since the loss scale last changed.
        num_dropped: steps that had no finite loss or gradient.
        dropped_in_a_row: those since the last step that changed the weights.
        losses: those since the last training record of the history, nats.
        gradient_norms: likewise.
        real_frames: frames (samples, where the corpus has samples) of all batches, padding left out.
        padded_frames: the same with padding.
        timed_audio_seconds: seconds of audio in the timed steps.
        waited: seconds that steps waited for their batch.
        trained: seconds of the timed steps, waiting included.
        timed_steps: steps whose time was measured: all but the first of each session, which compiles.
        ended: why the run has ended; None until then.
    """

    step: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    best_wer: float | None = None
    best_cer: float | None = None
    best_loss: float | None = None
    best_misses: float | None = None
    best_perplexity: float | None = None
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
    def initial(cls, settings: TrainConfig) -> TrainingState:
        """The state before the first step."""
        return cls(loss_scale=_FIRST_LOSS_SCALE if settings.precision == "mixed_float16" else 1.0)

    @classmethod
    def from_record(cls, record: dict[str, Any], *, where: object) -> TrainingState:
        """The state that a checkpoint holds.

        Args:
            record: what `as_record` returned.
            where: the checkpoint, for messages.

        Raises:
            BundleError: it has other fields.
        """
        older = dict.fromkeys(("best_misses", "best_cer", "best_loss", "best_perplexity"))  # what they may lack
        record = older | record
        if record.keys() != {field.name for field in dataclasses.fields(cls)}:
            raise BundleError(f"{where}: the checkpoint is another version's; give another --run")
        return cls(**record)

    def as_record(self) -> dict[str, Any]:
        """The state as JSON-ready fields."""
        return dataclasses.asdict(self)

    @property
    def padding_share(self) -> float:
        """The share of the batches so far that was padding."""
        return 1.0 - self.real_frames / max(1, self.padded_frames)

    @property
    def wait_share(self) -> float:
        """The share of the steps' time so far that they waited for their batch."""
        return self.waited / self.trained if self.trained else 0.0

    @property
    def steps_per_second(self) -> float:
        """Steps per second of training; 0 before a step was timed."""
        return self.timed_steps / self.trained if self.trained else 0.0

    @property
    def audio_hours_per_hour(self) -> float:
        """Hours of audio per hour of training."""
        return self.timed_audio_seconds / self.trained if self.trained else 0.0

    def record_score(
        self,
        wer: float,
        cer: float,
        *,
        settings: TrainConfig,
        monitor: Monitor = "wer",
        misses: float | None = None,
        loss: float | None = None,
    ) -> bool:
        """Records a dev score.

        With negatives the best weights are those that miss the fewest commands at the confidence that keeps the asked
        rate of false accepts. Of equal ones the monitored rate decides, then the other one, and then the loss: a few
        recordings without an error are soon all that a small dev set can show, long before the weights are good. Only
        what is better than the best counts as progress for `patience` and plateaus.

        Args:
            wer: a fraction.
            cer: likewise.
            settings: schedule and plateaus.
            monitor: the rate that decides first.
            misses: the share of dev utterances that are missed; None without negatives.
            loss: mean over the dev utterances, nats; None where it is not known.

        Returns:
            Whether it is the best so far; of two that are equal, as far as is known, the earlier is.
        """
        score = rank(wer, cer, monitor=monitor, misses=misses)
        best = None
        if self.best_wer is not None:
            best_cer = math.inf if self.best_cer is None else self.best_cer
            best = rank(self.best_wer, best_cer, monitor=monitor, misses=self.best_misses)
        is_best = best is None or score < best or (score == best and self._is_lower(loss))
        if is_best:
            self.best_wer, self.best_cer, self.best_misses, self.best_loss = wer, cer, misses, loss
        self._count_evaluation(settings, is_best=is_best)
        return is_best

    def record_perplexity(self, perplexity: float, *, settings: TrainConfig) -> bool:
        """Records a language model's dev score: perplexity per label.

        Returns:
            Whether it is the best so far; of two that are equal the earlier is.
        """
        is_best = self.best_perplexity is None or perplexity < self.best_perplexity
        if is_best:
            self.best_perplexity = perplexity
        self._count_evaluation(settings, is_best=is_best)
        return is_best

    def _count_evaluation(self, settings: TrainConfig, *, is_best: bool) -> None:
        """Counts what patience and plateaus wait for."""
        if is_best:
            self.best_step = self.step
            self.evaluations_since_best = self.evaluations_since_plateau = 0
            return
        self.evaluations_since_best += 1
        self.evaluations_since_plateau += 1
        if settings.schedule == "plateau" and self.evaluations_since_plateau >= settings.plateau_patience:
            self.plateau_scale *= settings.plateau_factor
            self.evaluations_since_plateau = 0

    def _is_lower(self, loss: float | None) -> bool:
        """Whether a loss is below the best weights', by more than the rounding of another machine."""
        if loss is None or self.best_loss is None:
            return False
        return loss < self.best_loss and not math.isclose(loss, self.best_loss, rel_tol=1e-5)

    def handle_overflow(self) -> bool:
        """Lowers the loss scale after a gradient that was not finite.

        Returns:
            Whether it could be lowered; if not, the scale was not the cause.
        """
        if self.loss_scale <= 1.0:
            return False
        self.loss_scale, self.steps_since_overflow = self.loss_scale / 2.0, 0
        return True

    def record_finite_step(self, settings: TrainConfig) -> None:
        """Records a step that changed the weights."""
        self.dropped_in_a_row = 0
        if settings.precision == "mixed_float16":
            self.steps_since_overflow += 1
            if self.steps_since_overflow >= _STEPS_TO_GROW:
                self.loss_scale, self.steps_since_overflow = self.loss_scale * 2.0, 0
