"""A corpus -> shuffled, length-bucketed, padded, augmented batches, as a pure function of seed and step.

A batch is a dictionary: `samples_BN` float32 and `num_samples_B` (from a corpus of precomputed features `log_mel_BTM`
and `num_frames_B`), `labels_BL`, `num_labels_B`, `index_B` (int32; the row's place in the corpus), `weight_B` (float32;
0 where a row only fills up), `parts_left_B` (int32; how many parts of the same step follow), `epoch_B` (float32; the
batch's time in epochs) and `seed_B2` (int32; of each row's augmentation). The k-th step's batch depends on the seed and
k alone, so that a resumed run asks for "the batches from k on" and sees what it would have seen.

Recordings are read as they are needed and forgotten. What stays in memory is a few batches and, per utterance, the
line of its manifest; of shards (`records`) not even that.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.dataset.augmented import Augmentation, augment_seed, augmented_frames, speech_reader
from speechgru.dataset.corpus import Corpus
from speechgru.dataset.sampling import NUM_LENGTH_DRAWS, Draws, Part, Sampler, split
from speechgru.dataset.service import Service
from speechgru.dataset.stretches import MOST_JOINED, Stretches, join
from speechgru.shards.records import Form


def make_sampler(corpus: Corpus, *, config: RunConfig) -> Sampler:
    """The order in which training sees `corpus`."""
    return sampler_of(corpus.num_frames, corpus.parts, form=corpus.form, config=config)


def sampler_of(num_frames: np.ndarray, parts: Sequence[Part], *, form: Form, config: RunConfig) -> Sampler:
    """The order in which training would see a corpus of such utterances.

    Args:
        num_frames: frames of each.
        parts: the corpus's parts in order.
        form: the corpus's.
        config: batch size, seed, mixture, augmentation.
    """
    stretches = Stretches.of(num_frames, parts or (Part(len(num_frames)),), config=config)
    return Sampler(
        num_frames,
        parts=parts,
        weights=config.data.train_weights,
        batch_size=config.train.batch_size,
        batch_frames=config.train.batch_frames,
        seed=config.train.seed,
        sorted_first_epoch=config.train.sorted_first_epoch,
        augmented=functools.partial(augmented_frames, config=config) if form == "samples" else None,
        joined=None if stretches is None else lambda indices, passes: stretches.joined(indices, passes).num_frames_B,
    )


def training_batches(
    corpus: Corpus, *, config: RunConfig, start_step: int = 0, replica: int = 0, num_replicas: int = 1
) -> tf.data.Dataset:
    """Augmented batches without end, from the one that step `start_step` would see.

    A step's batch comes in `train.accumulate` parts, or in as many as it has utterances.

    Args:
        corpus: what to train on.
        config: batch size, seed, mixture, augmentation.
        start_step: 0-based step to start at.
        replica: whose share of each batch, where several train together.
        num_replicas: how many do.
    """
    sampler = make_sampler(corpus, config=config)
    if config.data.service is not None:
        corpus.require_places()
    return augmented_batches(
        corpus,
        lambda: sampler.batches_from(start_step),
        config=config,
        service=None if config.data.service is None else Service(config.data.service),
        replica=replica,
        num_replicas=num_replicas,
    )


def augmented_batches(
    corpus: Corpus,
    order: Callable[[], Iterator[tuple[float, Draws]]],
    *,
    config: RunConfig,
    replica: int = 0,
    num_replicas: int = 1,
    service: Service | None = None,
) -> tf.data.Dataset:
    """Augmented batches of utterances that stand together as the caller has them.

    Args:
        corpus: what to train on.
        order: gives each step's time in epochs, and its utterances (`Sampler.batches_from`).
        config: augmentation, and the parts of a batch.
        replica: whose share of each batch, where several train together.
        num_replicas: how many do.
        service: whose workers read the records; None for this process.
    """
    augmentation, stretches = None, Stretches.of(corpus.num_frames, corpus.parts, config=config)
    if corpus.form == "samples":
        augmentation = Augmentation(config, read_speech=speech_reader(corpus))

    def plan() -> Iterator[_Planned]:
        for epoch, batch in order():
            parts = split(batch, parts=config.train.accumulate, replica=replica, num_replicas=num_replicas)
            for number, (draws, weights) in enumerate(parts, start=1):
                yield _Planned(epoch, draws, weights, len(parts) - number)

    return _batches(corpus, plan, config=config, augmentation=augmentation, service=service, stretches=stretches)


def batches_of(corpus: Corpus, indices: np.ndarray, *, config: RunConfig, batch_size: int = 32) -> tf.data.Dataset:
    """The utterances at `indices` as recorded, in that order."""
    indices = np.asarray(indices, np.int32)

    def plan() -> Iterator[_Planned]:
        for start in range(0, len(indices), batch_size):
            part = indices[start : start + batch_size]
            draws = Draws(part, np.zeros_like(part), np.zeros((len(part), NUM_LENGTH_DRAWS), np.float32))
            yield _Planned(0.0, draws, np.ones(len(part), np.float32), 0)

    return _batches(corpus, plan, config=config, augmentation=None)


class _Planned(NamedTuple):
    epoch: float
    draws: Draws
    weights: np.ndarray
    parts_left: int


def _batches(
    corpus: Corpus,
    plan: Callable[[], Iterator[_Planned]],
    *,
    config: RunConfig,
    augmentation: Augmentation | None,
    service: Service | None = None,
    stretches: Stretches | None = None,
) -> tf.data.Dataset:
    workers = config.data.num_workers
    names = ("samples_BN", "num_samples_B") if corpus.form == "samples" else ("log_mel_BTM", "num_frames_B")

    @tf.autograph.experimental.do_not_convert
    def load(
        epoch: tf.Tensor,
        parts_left: tf.Tensor,
        index: tf.Tensor,
        number_of_pass: tf.Tensor,
        length_draws: tf.Tensor,
        weight: tf.Tensor,
        *read: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        seed = augment_seed(config, number_of_pass, index)
        if stretches is not None:
            values, labels_L = join(corpus.load, index, *read, seed=seed, config=config, space_label=corpus.space_label)
        else:
            values, labels_L = _unpadded(*read, width=corpus.num_features) if read else corpus.load(index)
        if augmentation is not None:
            values, _ = augmentation.augment_samples(values, seed, length_draws, strength=augmentation.strength(epoch))
        return {
            names[0]: values,
            names[1]: tf.shape(values)[0],
            "labels_BL": labels_L,
            "num_labels_B": tf.shape(labels_L)[0],
            "index_B": index,
            "weight_B": weight,
            "parts_left_B": parts_left,
            "epoch_B": epoch,
            "seed_B2": seed,
        }

    @tf.autograph.experimental.do_not_convert  # it would parse and rewrite all that augmentation is made of
    def one_batch(epoch: tf.Tensor, parts_left: tf.Tensor, indices: tf.Tensor, *others: tf.Tensor) -> tf.data.Dataset:
        rows = tf.data.Dataset.from_tensor_slices((indices, *others)).map(lambda *row: load(epoch, parts_left, *row))
        return rows.padded_batch(tf.size(indices, out_type=tf.int64))

    def records() -> Iterator[tuple[Any, ...]]:
        planned, asked = itertools.tee(plan())
        read: Iterator[tuple[np.ndarray, ...]] = itertools.repeat(())
        if service is not None:
            rows = service.read((each.draws.indices for each in asked), places=corpus.places)
            read = ((each.values_BX, each.lengths_B, each.labels_BL, each.num_labels_B) for each in rows)
        else:
            del asked  # it would keep the whole plan
        for (epoch, draws, weights, parts_left), fields in zip(planned, read, strict=False):
            if stretches is not None:
                joined = stretches.joined(draws.indices, draws.passes)
                fields = (joined.others_BK, joined.pauses_BK)
            yield epoch, parts_left, draws.indices, draws.passes, draws.length_draws, weights, *fields

    signature: tuple[tf.TensorSpec, ...] = (
        tf.TensorSpec([], tf.float32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None, NUM_LENGTH_DRAWS], tf.float32),
        tf.TensorSpec([None], tf.float32),
    )
    if service is not None:
        signature += (
            tf.TensorSpec([None, None], tf.float32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int32),
        )
    if stretches is not None:
        signature += (tf.TensorSpec([None, MOST_JOINED], tf.int32), tf.TensorSpec([None, MOST_JOINED], tf.int32))
    batches = tf.data.Dataset.from_generator(records, output_signature=signature)
    # Each inner dataset is one batch, read by a worker of its own; the order stays the plan's.
    batches = batches.interleave(one_batch, cycle_length=workers, num_parallel_calls=workers, deterministic=True)
    # Nothing here is left to tf.data's tuning, whose thread the end of a training waits for: by the wall clock, and a
    # day where that has been turned back by one.
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)


def _unpadded(
    values_X: tf.Tensor, length: tf.Tensor, labels_L: tf.Tensor, num_labels: tf.Tensor, *, width: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """In a graph: a row of what a service's worker read, as `Corpus.load` gives it."""
    values = values_X[: length * (width or 1)]
    return (values if width is None else tf.reshape(values, [length, width])), labels_L[:num_labels]
