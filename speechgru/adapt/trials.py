"""Cross-validation: short trainings from one start, each scored at several lengths on recordings it never met.

All folds share one process, one model, one traced step and one pipeline of batches: only weights are put back between
them. A training of N steps is the beginning of one of 2 N (the learning rate is constant), so that one training a fold
shows every length.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru import metrics
from speechgru.config.sections import RunConfig
from speechgru.ctc import ctc_loss
from speechgru.dataset import Corpus, Sampler
from speechgru.dataset.batches import augmented_batches, sampler_of
from speechgru.dataset.sampling import Draws, Part
from speechgru.decoding import DecodingOptions, Hypothesis, Predictor, decode
from speechgru.errors import AudioError
from speechgru.progress import Progress, silent
from speechgru.scoring.predictions import transcribe_recordings
from speechgru.scoring.recordings import KEPT_BYTES, Batch, ScoringSet
from speechgru.text import Vocabulary
from speechgru.train.learner import Learner
from speechgru.train.optimizers import learning_rate_at
from speechgru.utterances.examination import Examined
from speechgru.utterances.manifest import write_manifest


@dataclass(frozen=True)
class FoldResult:
    """What the training of one fold recognised of the recordings that were held out from it.

    Args:
        number: the fold's, from 0.
        places: of the recordings held out, ascending.
        hypotheses: by number of steps, a text for each of `places`.
        losses: likewise, the CTC loss of the right text, nats.
    """

    number: int
    places: tuple[int, ...]
    hypotheses: Mapping[int, Sequence[str]]
    losses: Mapping[int, Sequence[float]]

    def as_record(self) -> dict[str, Any]:
        """The result as JSON-ready fields."""
        return {
            "fold": self.number,
            "places": list(self.places),
            "hypotheses": dict(self.hypotheses),
            "losses": dict(self.losses),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> FoldResult:
        """What `as_record` gave, also through JSON, whose keys are texts."""
        hypotheses, losses = (
            {int(steps): values for steps, values in record[key].items()} for key in ("hypotheses", "losses")
        )
        return cls(record["fold"], tuple(record["places"]), hypotheses, losses)


def cross_validate(
    learner: Learner,
    predictor: Predictor,
    *,
    config: RunConfig,
    corpus: Corpus,
    vocabulary: Vocabulary,
    recordings: Sequence[Examined],
    folds: Sequence[Sequence[int]],
    lengths: Sequence[int],
    report: Callable[[FoldResult], None],
    progress: Progress = silent,
) -> None:
    """Trains once for each fold without its recordings, and recognises them at every length.

    Args:
        learner: as it stands at the start; it stands there again afterwards.
        predictor: computes what `learner.shipped` computes.
        config: of the longest training.
        corpus: the first corpus, and as its last part the recordings, in order.
        vocabulary: the labels.
        recordings: the person's.
        folds: the places of the recordings that each fold holds out; empty for one that is known already.
        lengths: numbers of steps, ascending, 0 first.
        report: called with each fold's result, as soon as it is there.
        progress: called after each step.

    Raises:
        AudioError: a recording can no longer be read.
    """
    if not any(folds):
        return
    start = learner.arrays()
    waiting = [(number, tuple(places)) for number, places in enumerate(folds) if places]
    orders = [fold_order(corpus, places, config=config, num_steps=lengths[-1]) for _, places in waiting]
    batches = iter(augmented_batches(corpus, lambda: itertools.chain.from_iterable(orders), config=config))
    total = lengths[-1] * len(waiting)
    for done, (number, places) in enumerate(waiting):
        held_out = [recordings[place] for place in places]
        learner.restore(start, where="the start of the adaptation")
        hypotheses: dict[int, list[str]] = {}
        losses: dict[int, list[float]] = {}
        with tempfile.TemporaryDirectory() as folder:
            manifest = write_manifest(Path(folder) / "held_out.jsonl", (each.utterance for each in held_out))
            scored = ScoringSet(
                manifest, sample_rate=config.data.sample_rate, text=config.text.rules, kept_bytes=KEPT_BYTES
            )

            def tell(step: int, loss: float, done: int = done) -> None:
                progress("cross-validation", done * lengths[-1] + step, total, f"loss {loss:.2f}")

            for steps in _train_to_each(lengths, learner, batches, config=config, tell=tell):
                hypotheses[steps], losses[steps] = _recognise(predictor, scored, vocabulary, config=config)
        report(FoldResult(number, places, hypotheses, losses))
    learner.restore(start, where="the start of the adaptation")


def score_lengths(
    learner: Learner,
    *,
    config: RunConfig,
    corpus: Corpus,
    lengths: Sequence[int],
    score: Callable[[int], None],
    progress: Progress = silent,
) -> None:
    """Trains once on all recordings, and stops at every length for a score.

    Args:
        learner: as it stands at the start; it stands there again afterwards.
        config: of the longest training.
        corpus: the first corpus, and as its last part the recordings.
        lengths: numbers of steps, ascending.
        score: called with each, while `learner.shipped` is what so many steps make.
        progress: called after each step.
    """
    start = learner.arrays()
    order = fold_order(corpus, (), config=config, num_steps=lengths[-1])
    batches = iter(augmented_batches(corpus, lambda: order, config=config))

    def tell(step: int, loss: float) -> None:
        progress("what each length forgets", step, lengths[-1], f"loss {loss:.2f}")

    for steps in _train_to_each(lengths, learner, batches, config=config, tell=tell):
        score(steps)
    learner.restore(start, where="the start of the adaptation")


def _train_to_each(
    lengths: Sequence[int],
    learner: Learner,
    batches: Iterator[Any],
    *,
    config: RunConfig,
    tell: Callable[[int, float], None],
) -> Iterator[int]:
    """Trains from the learner's start; gives each length when it is reached, and `learner.shipped` is at it."""
    for before, after in itertools.pairwise([0, *lengths]):
        for step in range(before, after):
            tell(step + 1, _do_step(learner, batches, step, config=config))
        learner.ship()
        yield after


def _recognise(
    predictor: Predictor, recordings: ScoringSet, vocabulary: Vocabulary, *, config: RunConfig
) -> tuple[list[str], list[float]]:
    """What is recognised of each recording, greedily, and the CTC loss of its reference.

    Raises:
        AudioError: a recording can no longer be read.
    """
    losses: dict[int, float] = {}
    greedy = functools.partial(
        decode, vocabulary=vocabulary, step_seconds=config.step_seconds, options=DecodingOptions()
    )

    def transcribe(batch: Batch) -> list[Hypothesis]:
        log_probs_BSV, num_steps_B = predictor.batch_log_probs(batch.samples_BN, batch.num_samples_B)
        labels = [vocabulary.encode(reference) for reference in batch.references]
        labels_BL = tf.ragged.constant(labels, tf.int32).to_tensor()
        num_labels_B = tf.constant([len(row) for row in labels], tf.int32)
        # TensorFlow's own kernel needs no compiling, which a handful of recordings would not earn back.
        loss_B = ctc_loss(log_probs_BSV, num_steps_B, labels_BL, num_labels_B, implementation="op")
        losses.update(zip(batch.lines, loss_B.numpy().tolist(), strict=True))
        rows = zip(log_probs_BSV, num_steps_B, strict=True)
        return [greedy(log_probs_SV[:num_steps])[0] for log_probs_SV, num_steps in rows]

    decoded = transcribe_recordings(transcribe, recordings, batch_size=32)
    if decoded.problems:
        raise AudioError(f"{decoded.problems[0]['message']} (it could be read before)")
    return [hypothesis.text for hypothesis in decoded.hypotheses], [losses[line] for line in recordings.usable_lines]


def _do_step(learner: Learner, batches: Iterator[Any], step: int, *, config: RunConfig) -> float:
    """One step of training; gives its loss. One without a finite gradient changes nothing."""
    parts_left = 1
    while parts_left:
        batch = next(batches)
        learner.step.gather([batch])
        parts_left = int(batch["parts_left_B"][0])
    outcome = learner.step.reduce()
    if outcome.is_finite:
        rate = learning_rate_at(step, settings=config.train, num_steps=config.train.max_steps)
        learner.step.apply(outcome, learning_rate=rate)
    else:
        learner.step.drop()
    return outcome.loss


def fold_order(
    corpus: Corpus, held_out: Sequence[int], *, config: RunConfig, num_steps: int
) -> Iterator[tuple[float, Draws]]:
    """The steps of a training without some of the recordings: each one's time in epochs, and its utterances.

    Args:
        corpus: its last part are the recordings.
        held_out: places among them.
        config: batch size, seed, mixture.
        num_steps: how many.
    """
    *first, own = corpus.parts
    kept = np.setdiff1d(np.arange(len(corpus)), len(corpus) - own.count + np.asarray(held_out, int))
    parts = [*first, Part(own.count - len(held_out))]
    sampler: Sampler = sampler_of(corpus.num_frames[kept], parts, form=corpus.form, config=config)
    for epoch, draws in itertools.islice(sampler.batches_from(0), num_steps):
        yield epoch, dataclasses.replace(draws, indices=kept[draws.indices].astype(np.int32))


@dataclass(frozen=True)
class Choice:
    """The length that cross-validation chose, and what was recognised at each.

    Args:
        steps: of the lengths allowed, the number of steps with the fewest word errors on recordings held out; of equals
            the one that is surest of the right texts (the least CTC loss), of equals the smallest. With few recordings,
            several lengths make the same few errors, and the shortest of them is hardly done.
        texts: by number of steps, of each recording what the fold without it recognised.
        expected: of each recording that text at the length that the other folds chose: what new recordings can
            expect, as no recording took part in the choice of its own length.
        steps_of_folds: for each fold that length.
    """

    steps: int
    texts: Mapping[int, Sequence[str]]
    expected: Sequence[str]
    steps_of_folds: Sequence[int]


def choose_length(
    results: Sequence[FoldResult], references: Sequence[str], *, allowed: Collection[int] | None = None
) -> Choice:
    """Chooses how long to train.

    Args:
        results: one a fold; together they hold every recording once.
        references: the recordings' texts.
        allowed: the lengths to choose among; all of them when None.

    >>> losses = {0: [9.0], 5: [1.0], 9: [2.0]}
    >>> one = FoldResult(0, (0,), {0: ["of"], 5: ["on"], 9: ["on"]}, losses)
    >>> other = FoldResult(1, (1,), {0: ["of"], 5: [""], 9: ["off"]}, losses)
    >>> choice = choose_length([one, other], ["on", "off"])
    >>> choice.steps, choice.steps_of_folds, choice.expected
    (9, [9, 5], ['on', ''])
    >>> choose_length([one, other], ["on", "off"], allowed=[0, 5]).steps
    5
    """
    lengths = sorted(results[0].hypotheses)
    among = lengths if allowed is None else [steps for steps in lengths if steps in allowed]
    texts = {steps: [""] * len(references) for steps in lengths}
    losses = {steps: [0.0] * len(references) for steps in lengths}
    for result in results:
        for steps in lengths:
            for row, place in enumerate(result.places):
                texts[steps][place] = result.hypotheses[steps][row]
                losses[steps][place] = result.losses[steps][row]
    errors = {
        steps: [metrics.word_errors(*pair).errors for pair in zip(references, texts[steps], strict=True)]
        for steps in lengths
    }

    def best(places: Sequence[int]) -> int:
        def badness(steps: int) -> tuple[int, float, int]:
            return sum(errors[steps][place] for place in places), sum(losses[steps][place] for place in places), steps

        return min(among, key=badness)

    expected, steps_of_folds = [""] * len(references), []
    for result in results:
        steps = best([place for other in results if other is not result for place in other.places])
        steps_of_folds.append(steps)
        for place in result.places:
            expected[place] = texts[steps][place]
    return Choice(best(range(len(references))), texts, expected, steps_of_folds)


def helpful_lengths(texts: Mapping[int, Sequence[str]], references: Sequence[str]) -> list[int]:
    """The lengths at which recordings held out have fewer word errors than before any training, ascending.

    Args:
        texts: by number of steps, 0 among them, what was recognised of each recording (`Choice.texts`).
        references: the recordings' texts.

    >>> helpful_lengths({0: ["of"], 5: ["on"], 9: ["of"]}, ["on"])
    [5]
    """
    errors = {
        steps: sum(metrics.word_errors(*pair).errors for pair in zip(references, hypotheses, strict=True))
        for steps, hypotheses in texts.items()
    }
    return [steps for steps in sorted(errors) if errors[steps] < errors[0]]
