"""The loop that trains a recogniser: batches of a corpus, and error rates of a dev set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from speechgru.dataset import training_batches
from speechgru.errors import AudioError, DiskError
from speechgru.model.predictor import KerasPredictor
from speechgru.scoring.evaluation import error_rates
from speechgru.scoring.loss import ScoredLoss
from speechgru.scoring.predictions import Decoded, Observer, decode_recordings
from speechgru.scoring.recordings import ScoringSet
from speechgru.scoring.rejection import greedy_rejection
from speechgru.train.job import TrainingJob
from speechgru.train.learner import Learner
from speechgru.train.loop import TrainingLoop
from speechgru.train.phases import Batch
from speechgru.train.step import INPUTS


class RecognitionLoop(TrainingLoop):
    """Takes a recogniser's run from its state to its end.

    Args:
        job, learner: what is trained, and on what.
        *args, **kwargs: see `TrainingLoop`.
    """

    _watched: ClassVar[tuple[str, ...]] = ("wer", "cer")
    _job: TrainingJob
    _learner: Learner

    def __init__(self, job: TrainingJob, learner: Learner, *args: Any, **kwargs: Any):
        super().__init__(job, learner, *args, **kwargs)
        self._predictor = KerasPredictor(learner.shipped)

    def _batches_of(self, replica: int) -> Iterator[Batch]:
        return iter(
            training_batches(
                self._job.corpus,
                config=self._job.config,
                start_step=self.state.step,
                replica=replica,
                num_replicas=self._job.workers.num_replicas,
            )
        )

    def _drawn_for(self, step: int) -> list[int]:
        _, batch = next(self._job.sampler.batches_from(step))
        return batch.indices.tolist()

    def _name(self, index: int) -> str:
        return self._job.corpus.name(index)

    def _count_frames(self, batch: Batch) -> float:
        form, config = self._job.corpus.form, self._job.config
        lengths_B = batch[INPUTS[form][1]].numpy()
        self.state.real_frames += int(lengths_B.sum(dtype=np.int64))
        self.state.padded_frames += int(len(lengths_B) * lengths_B.max())
        unit = 1 if form == "samples" else config.hop_length
        return float(lengths_B.sum(dtype=np.int64)) * unit / config.data.sample_rate

    def _score(self) -> dict[str, Any]:
        """The dev set's error rates and loss, misses where there are negatives, and its first utterance with words."""
        job = self._job
        self._learner.ship()
        if job.dev is None:
            raise ValueError("there is no dev set to score; only the chief has one")
        loss = ScoredLoss(job.vocabulary)
        decoded = self._decode(job.dev, observe=loss.add)
        example, hypothesis = next(
            pair for pair in zip(decoded.examples, decoded.hypotheses, strict=True) if pair[0].text
        )
        scores: dict[str, Any] = error_rates(decoded) | {"loss": loss.mean}
        if job.negatives:
            accepted = [self._decode(negatives) for negatives in job.negatives]
            scores |= greedy_rejection(
                decoded, accepted, per_hour=job.config.train.false_accepts_per_hour, grammar=job.grammar
            )
        return scores | {"example": {"reference": example.text, "hypothesis": hypothesis.text}}

    def _record_score(self, scores: dict[str, Any]) -> bool:
        return self.state.record_score(
            scores["wer"],
            scores["cer"],
            settings=self._job.settings,
            monitor=self._job.monitor,
            misses=scores.get("misses"),
            loss=scores.get("loss"),
        )

    def _show_examples(self) -> None:
        self._log.show_examples(self._learner.shipped, self._predictor, self.state)

    def _decode(self, recordings: ScoringSet, *, observe: Observer | None = None) -> Decoded:
        """What the weights that are scored recognise, greedily."""
        try:
            return decode_recordings(
                self._predictor,
                recordings,
                vocabulary=self._job.vocabulary,
                step_seconds=self._job.config.step_seconds,
                observe=observe,
                progress=self._log.scoring(),
            )
        except AudioError as error:
            raise DiskError(f"{error}; the run resumes from its last checkpoint once it is there again") from error
