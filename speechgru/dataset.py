"""Utterances -> shuffled, length-bucketed, padded batches, as a pure function of seed and step.

A batch is a dictionary: `samples_BN` float32, `num_samples_B`, `labels_BL`, `num_labels_B`, `index_B` (int32; the
row's place in the given list). The k-th batch depends on the seed and k alone, so that a resumed run asks for
"the batches from k on" and sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from speechgru.audio import load_samples
from speechgru.augment import augment_samples
from speechgru.config import RunConfig
from speechgru.examination import Examined

#: Batches whose utterances are sorted by length together: enough to waste little padding, few enough to stay random.
_BUCKET_BATCHES = 16


def num_batches(num_utterances: int, *, batch_size: int) -> int:
    """Batches in an epoch; the last one may be smaller."""
    return -(-num_utterances // batch_size)


def plan_epoch(num_samples: np.ndarray, *, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Which utterances stand together in each batch of an epoch.

    All are shuffled; stretches of `_BUCKET_BATCHES` batches are sorted by length and cut; the batches are shuffled.

    Args:
        num_samples: samples of each utterance.
        batch_size: utterances in a batch.
        seed: the run's seed.
        epoch: from 0.

    Returns:
        For each batch the utterances' indices; each utterance stands in exactly one.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(num_samples))
    stretch = _BUCKET_BATCHES * batch_size
    batches = []
    for start in range(0, len(order), stretch):
        part = order[start : start + stretch]
        part = part[np.argsort(num_samples[part], kind="stable")]
        batches += [part[k : k + batch_size] for k in range(0, len(part), batch_size)]
    return [batches[k] for k in rng.permutation(len(batches))]


def training_batches(examples: Sequence[Examined], *, config: RunConfig, start_step: int = 0) -> tf.data.Dataset:
    """Augmented batches without end, from the one that step `start_step` would see.

    Args:
        examples: usable utterances.
        config: batch size, seed, sample rate, augmentation.
        start_step: 0-based step to start at.
    """
    num_samples = np.array([example.num_samples for example in examples])
    batch_size, seed = config.train.batch_size, config.train.seed

    def plan() -> Iterator[tuple[int, np.ndarray]]:
        epoch, skip = divmod(start_step, num_batches(len(examples), batch_size=batch_size))
        while True:
            for batch in plan_epoch(num_samples, batch_size=batch_size, seed=seed, epoch=epoch)[skip:]:
                yield epoch, batch.astype(np.int32)
            epoch, skip = epoch + 1, 0

    return _batches(examples, plan, config=config, augment=True)


def evaluation_batches(examples: Sequence[Examined], *, config: RunConfig, batch_size: int = 32) -> tf.data.Dataset:
    """Each utterance once, as recorded, the longest first, so that memory trouble shows at once."""
    order = np.argsort([-example.num_samples for example in examples], kind="stable").astype(np.int32)

    def plan() -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, len(order), batch_size):
            yield 0, order[start : start + batch_size]

    return _batches(examples, plan, config=config, augment=False)


def _batches(examples: Sequence[Examined], plan, *, config: RunConfig, augment: bool) -> tf.data.Dataset:
    utterances = [example.utterance for example in examples]
    paths = tf.constant([utterance.audio_filepath for utterance in utterances])
    offsets = tf.constant([utterance.offset for utterance in utterances], tf.float64)
    durations = tf.constant([utterance.duration or -1.0 for utterance in utterances], tf.float64)
    labels = tf.ragged.constant([example.labels for example in examples], dtype=tf.int32, ragged_rank=1)
    sample_rate, workers, seed = config.data.sample_rate, config.data.num_workers, config.train.seed
    settings = config.augment

    def load(epoch: tf.Tensor, index: tf.Tensor) -> dict[str, tf.Tensor]:
        samples_N = load_samples(paths[index], offsets[index], durations[index], sample_rate=sample_rate)
        if augment:
            samples_N = augment_samples(
                samples_N,
                # Two numbers of 32 bits name a run, an epoch and an utterance.
                tf.stack([seed * 7919 + epoch, index]),
                sample_rate=sample_rate,
                gain_db=settings.gain_db,
                silence_seconds=settings.silence_seconds,
                noise_probability=settings.noise_probability,
                noise_snr_db_min=settings.noise_snr_db_min,
                noise_snr_db_max=settings.noise_snr_db_max,
            )
        labels_L = labels[index]
        return {
            "samples_BN": samples_N,
            "num_samples_B": tf.shape(samples_N)[0],
            "labels_BL": labels_L,
            "num_labels_B": tf.shape(labels_L)[0],
            "index_B": index,
        }

    def one_batch(epoch: tf.Tensor, indices: tf.Tensor) -> tf.data.Dataset:
        rows = tf.data.Dataset.from_tensor_slices(indices).map(lambda index: load(epoch, index))
        return rows.padded_batch(tf.size(indices, out_type=tf.int64))

    signature = (tf.TensorSpec([], tf.int32), tf.TensorSpec([None], tf.int32))
    batches = tf.data.Dataset.from_generator(plan, output_signature=signature)
    # Each inner dataset is one batch, read by a worker of its own; the order stays the plan's.
    batches = batches.interleave(one_batch, cycle_length=workers, num_parallel_calls=workers, deterministic=True)
    return batches.prefetch(2)
