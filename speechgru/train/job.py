"""What one process trains on, where it writes, and how many steps that is."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from speechgru.config.sections import RunConfig
from speechgru.dataset import Corpus, make_sampler
from speechgru.errors import ConfigError
from speechgru.grammar import Grammar
from speechgru.runs import RunFolder
from speechgru.scoring.recordings import ScoringSet
from speechgru.text import Vocabulary
from speechgru.train.monitor import Monitor
from speechgru.train.strategies import Workers


@dataclass(frozen=True)
class TrainingJob:
    """The fixed parts of a run, which every phase of training reads.

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
        num_steps: steps of the complete run, where its learning rate schedule ends.
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
    num_steps: int = field(init=False)

    def __post_init__(self) -> None:
        settings = self.config.train
        num_steps = settings.max_steps if settings.max_epochs is None else self.steps_in(settings.max_epochs)
        object.__setattr__(self, "num_steps", num_steps)

    def steps_in(self, epochs: float) -> int:
        """How many steps pass `epochs` times over the corpus; at least one."""
        settings = self.config.train
        if settings.batch_frames is None:
            return max(1, round(epochs * -(-len(self.corpus) // settings.batch_size)))
        # Batches by frames hold varying numbers of utterances: only the plan itself knows.
        steps = make_sampler(self.corpus, config=self.config).batches_from(0)
        return max(1, sum(1 for _ in itertools.takewhile(lambda planned: planned[0] < epochs, steps)))

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
