"""The loop that trains a language model: batches of texts, and the perplexity of held-out ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from speechgru.config.language import LanguageConfig
from speechgru.config.sections import TrainConfig
from speechgru.dataset.sampling import Sampler, split
from speechgru.language.labelled import LabelledTexts
from speechgru.language.perplexity import Perplexity
from speechgru.runs import RunFolder
from speechgru.train.job import Job
from speechgru.train.language.model import text_losses
from speechgru.train.language.step import LanguageLearner
from speechgru.train.loop import TrainingLoop
from speechgru.train.phases import Batch
from speechgru.train.state import TrainingState
from speechgru.train.strategies import Workers
from speechgru.train.tensorboard import CurveWriter


@dataclass(frozen=True)
class LanguageJob(Job):
    """The fixed parts of a language model's run.

    Args:
        folder: the run folder.
        config: the run's configuration.
        texts: what is learnt.
        dev: what is scored.
        workers: this process alone.
    """

    folder: RunFolder
    config: LanguageConfig
    texts: LabelledTexts
    dev: LabelledTexts
    workers: Workers

    @property
    def settings(self) -> TrainConfig:
        return self.config.train

    @property
    def has_dev(self) -> bool:
        return True

    @property
    def sampler(self) -> Sampler:
        settings = self.settings
        return Sampler(
            self.texts.num_labels + 1,
            batch_size=settings.batch_size,
            batch_frames=settings.batch_frames,
            seed=settings.seed,
            sorted_first_epoch=settings.sorted_first_epoch,
        )

    def open_curves(self) -> CurveWriter:
        return CurveWriter(self.folder.logs)

    def describe_best(self, state: TrainingState) -> list[str]:
        return [] if state.best_perplexity is None else [f"best dev perplexity {state.best_perplexity:.2f}"]


class LanguageLoop(TrainingLoop):
    """Takes a language model's run from its state to its end.

    Args:
        job, learner: what is trained, and on what.
        *args, **kwargs: see `TrainingLoop`.
    """

    _watched: ClassVar[tuple[str, ...]] = ("perplexity",)
    _job: LanguageJob
    _learner: LanguageLearner

    def __init__(self, job: LanguageJob, learner: LanguageLearner, *args: Any, **kwargs: Any):
        super().__init__(job, learner, *args, **kwargs)
        self._scorer = TextScorer(learner)

    def _batches_of(self, replica: int) -> Iterator[Batch]:
        for epoch, drawn in self._job.sampler.batches_from(self.state.step):
            parts = split(drawn, parts=self._job.settings.accumulate)
            for number, (draws, weights) in enumerate(parts, start=1):
                rows = [self._job.texts[index] for index in draws.indices.tolist()]
                count = len(rows)
                yield {
                    **padded(rows),
                    "index_B": tf.constant(draws.indices, tf.int32),
                    "weight_B": tf.constant(weights, tf.float32),
                    "parts_left_B": tf.fill([count], len(parts) - number),
                    "epoch_B": tf.fill([count], tf.constant(epoch, tf.float32)),
                }

    def _drawn_for(self, step: int) -> list[int]:
        _, drawn = next(self._job.sampler.batches_from(step))
        return drawn.indices.tolist()

    def _name(self, index: int) -> str:
        return self._job.texts.origins[index]

    def _count_frames(self, batch: Batch) -> float:
        lengths_B = batch["num_labels_B"].numpy()
        self.state.real_frames += int(lengths_B.sum(dtype=np.int64))
        self.state.padded_frames += int(len(lengths_B) * lengths_B.max())
        return 0.0  # texts have no sound

    def _score(self) -> dict[str, Any]:
        self._learner.ship()
        return dict(Perplexity.of(self._job.dev, self._scorer).as_record())

    def _record_score(self, scores: dict[str, Any]) -> bool:
        return self.state.record_perplexity(scores["perplexity"], settings=self._job.settings)

    def _show_examples(self) -> None:
        """There is nothing to see or to play beside the perplexity."""


class TextScorer:
    """The log-probabilities of texts by the weights that are kept, in a graph.

    Args:
        learner: its `shipped` is asked.
    """

    def __init__(self, learner: LanguageLearner):
        @tf.function(
            autograph=False,
            input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)],
        )
        def losses(labels_BL: tf.Tensor, num_labels_B: tf.Tensor) -> tf.Tensor:
            return text_losses(learner.shipped, labels_BL, num_labels_B, training=False)

        self._losses = losses

    def __call__(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        batch = padded(rows)
        return -self._losses(batch["labels_BL"], batch["num_labels_B"]).numpy()


def padded(rows: Sequence[np.ndarray]) -> Batch:
    """Texts as a batch: `labels_BL`, zeros beyond each text, and `num_labels_B`."""
    num_labels_B = np.array([len(row) for row in rows], np.int32)
    labels_BL = np.zeros((len(rows), num_labels_B.max(initial=0)), np.int32)
    for place, row in enumerate(rows):
        labels_BL[place, : len(row)] = row
    return {"labels_BL": tf.constant(labels_BL), "num_labels_B": tf.constant(num_labels_B)}
