"""What one process trains on, where it writes, and how many steps that is."""

from __future__ import annotations

import functools
import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from speechgru.config.sections import RunConfig, TrainConfig
from speechgru.dataset import Corpus, make_sampler
from speechgru.dataset.sampling import Sampler
from speechgru.errors import ConfigError
from speechgru.grammar import Grammar
from speechgru.runs import RunFolder
from speechgru.scoring.recordings import ScoringSet
from speechgru.text import Vocabulary
from speechgru.train.monitor import Monitor, describe_score
from speechgru.train.state import TrainingState
from speechgru.train.strategies import Workers
from speechgru.train.tensorboard import CurveWriter, TensorBoardWriter


class Job(ABC):
    """The fixed parts of a run, which every phase of training reads, whatever is trained.

    Attributes:
        folder: the run folder.
        workers: the processes that train together.
    """

    folder: RunFolder
    workers: Workers

    @property
    @abstractmethod
    def settings(self) -> TrainConfig:
        """How the run goes, how long, and what is kept of it."""

    @property
    @abstractmethod
    def has_dev(self) -> bool:
        """Whether the run is scored, which all processes know of a run that the chief alone scores."""

    @property
    @abstractmethod
    def sampler(self) -> Sampler:
        """The order in which training sees the corpus."""

    @functools.cached_property
    def num_steps(self) -> int:
        """Steps of the complete run, where its learning rate schedule ends."""
        settings = self.settings
        return settings.max_steps if settings.max_epochs is None else self.steps_in(settings.max_epochs)

    def steps_in(self, epochs: float) -> int:
        """How many steps pass `epochs` times over the corpus; at least one."""
        sampler = self.sampler
        if sampler.batch_frames is None:
            return max(1, round(epochs * -(-len(sampler.num_frames) // sampler.batch_size)))
        # Batches by frames hold varying numbers of utterances: only the plan itself knows.
        steps = sampler.batches_from(0)
        return max(1, sum(1 for _ in itertools.takewhile(lambda planned: planned[0] < epochs, steps)))

    @abstractmethod
    def open_curves(self) -> CurveWriter:
        """Begins what TensorBoard shows of the run."""

    @abstractmethod
    def describe_best(self, state: TrainingState) -> list[str]:
        """The best dev score so far in words; empty before the first."""

    def stop_step(self, stop_after: int | float | None) -> int | None:
        """The step after which `train` was asked to stop.

        Args:
            stop_after: an int counts steps, a float passes over the corpus; None never stops early.

        Raises:
            ConfigError: it is neither, or not above 0.
        """
        require_stop(stop_after)
        if stop_after is None:
            return None
        return stop_after if isinstance(stop_after, int) else self.steps_in(stop_after)


@dataclass(frozen=True)
class TrainingJob(Job):
    """The fixed parts of a recogniser's run.

    Args:
        folder: the run folder.
        config: the run's configuration.
        vocabulary: its labels.
        corpus: the training utterances.
        dev: what to score; None without a dev manifest, and in processes that do not score.
        workers: the processes that train together.
        negatives: recordings without a command, which the best weights are chosen by too; scored where `dev` is.
        monitor: the error rate of `dev` that decides first which weights are the best.
        grammar: of the commands, where `data.grammar` names one: what counts as accepted in a negative.
    """

    folder: RunFolder
    config: RunConfig
    vocabulary: Vocabulary
    corpus: Corpus
    dev: ScoringSet | None
    workers: Workers
    negatives: tuple[ScoringSet, ...] = ()
    grammar: Grammar | None = None
    monitor: Monitor = "wer"

    @property
    def sampler(self) -> Sampler:
        return make_sampler(self.corpus, config=self.config)

    @property
    def settings(self) -> TrainConfig:
        return self.config.train

    @property
    def has_dev(self) -> bool:
        return self.config.data.dev is not None

    def open_curves(self) -> TensorBoardWriter:
        examples = self.dev[: self.settings.show_examples] if self.dev is not None else ()
        return TensorBoardWriter(self.folder.logs, config=self.config, vocabulary=self.vocabulary, examples=examples)

    def describe_best(self, state: TrainingState) -> list[str]:
        notes = []
        if state.best_wer is not None:
            notes.append(f"best dev {describe_score(state.best_wer, state.best_cer, monitor=self.monitor)}")
        if state.best_misses is not None:
            notes.append(f"{state.best_misses:.1%} missed")
        return notes


def require_stop(stop_after: Any) -> None:
    """Whether `train` can stop there: None never stops early.

    Raises:
        ConfigError: it is no number of steps or passes.
    """
    is_number = isinstance(stop_after, int | float) and not isinstance(stop_after, bool)
    if stop_after is not None and not (is_number and stop_after > 0):
        raise ConfigError(
            f"stop_after: expected a number of steps (an int) or of passes over the corpus (a float) above 0, got "
            f"{stop_after!r}"
        )
