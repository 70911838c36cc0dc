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
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from speechgru.augment import Reader, augment_samples, mask_spectrogram, warp_frequency
from speechgru.config import RunConfig
from speechgru.dataset.corpus import Corpus, ManifestSource, recording_reader
from speechgru.dataset.sampling import Draws, Sampler, split
from speechgru.examination import Examined
from speechgru.features import dither
from speechgru.manifest import Utterance, read_manifest

#: Seconds of a noise recording that are read at most, from a drawn place: it may be hours long.
_NOISE_SECONDS = 20.0


def make_sampler(corpus: Corpus, *, config: RunConfig) -> Sampler:
    """The order in which training sees `corpus`."""
    return Sampler(
        corpus.num_frames,
        parts=corpus.parts,
        weights=config.data.train_weights,
        batch_size=config.train.batch_size,
        batch_frames=config.train.batch_frames,
        seed=config.train.seed,
        sorted_first_epoch=config.train.sorted_first_epoch,
        augmented=functools.partial(_augmented_frames, config=config) if corpus.form == "samples" else None,
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
    augmentation = None
    if corpus.form == "samples":
        augmentation = Augmentation(config, read_speech=speech_reader(corpus))

    def plan() -> Iterator[_Planned]:
        for epoch, batch in sampler.batches_from(start_step):
            parts = split(batch, parts=config.train.accumulate, replica=replica, num_replicas=num_replicas)
            for number, (draws, weights) in enumerate(parts, start=1):
                yield _Planned(epoch, draws, weights, len(parts) - number)

    return _batches(corpus, plan, config=config, augmentation=augmentation)


def evaluation_batches(
    corpus: Corpus | Sequence[Examined], *, config: RunConfig, batch_size: int = 32
) -> tf.data.Dataset:
    """Each utterance once, as recorded, the longest first, so that memory trouble shows at once."""
    if not isinstance(corpus, Corpus):
        corpus = Corpus([ManifestSource(corpus, config=config)])
    order = np.argsort(-corpus.num_frames, kind="stable").astype(np.int32)
    return batches_of(corpus, order, config=config, batch_size=batch_size)


def batches_of(corpus: Corpus, indices: np.ndarray, *, config: RunConfig, batch_size: int = 32) -> tf.data.Dataset:
    """The utterances at `indices` as recorded, in that order."""
    indices = np.asarray(indices, np.int32)

    def plan() -> Iterator[_Planned]:
        for start in range(0, len(indices), batch_size):
            part = indices[start : start + batch_size]
            draws = Draws(part, np.zeros_like(part), np.zeros((len(part), 3), np.float32))
            yield _Planned(0.0, draws, np.ones(len(part), np.float32), 0)

    return _batches(corpus, plan, config=config, augmentation=None)


class Augmentation:
    """What training does to recordings by a configuration, to the samples and then to their features.

    Args:
        config: the augmentation, the sample rate, the dither.
        read_speech: gives another utterance of the corpus, for babble.

    Raises:
        ManifestError: the manifest of noise or of impulse responses cannot be read.
    """

    def __init__(self, config: RunConfig, *, read_speech: Reader | None = None):
        self._config, self._read_speech = config, read_speech
        noise, responses = config.augment.noise_manifest, config.augment.reverb_manifest
        self._read_noise = noise and utterance_reader(read_manifest(noise), config=config, most_seconds=_NOISE_SECONDS)
        self._read_response = responses and utterance_reader(read_manifest(responses), config=config)

    def strength(self, epoch: tf.Tensor | float) -> tf.Tensor:
        """How far the ramp of `augment.ramp_epochs` has risen at a time in epochs: 0 to 1."""
        epoch, ramp = tf.cast(epoch, tf.float32), self._config.augment.ramp_epochs
        return tf.clip_by_value(epoch / ramp, 0.0, 1.0) if ramp else tf.ones_like(epoch)

    def of_samples(
        self,
        samples_N: tf.Tensor,
        seed: tf.Tensor,
        length_draws: tf.Tensor,
        *,
        strength: tf.Tensor | float = 1.0,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """An utterance as training hears it, and what was drawn for that (`augment.augment_samples`).

        Args:
            samples_N: the recording.
            seed: int32 [2], by `augment_seed`.
            length_draws: float32 [3], by `sampling.draw_lengths`.
            strength: in [0, 1].
        """
        settings = self._config.augment
        samples_N, draws = augment_samples(
            samples_N,
            seed,
            sample_rate=self._config.data.sample_rate,
            strength=strength,
            speed_share=settings.speed_share,
            reverb_probability=settings.reverb_probability,
            reverb_seconds_min=settings.reverb_seconds_min,
            reverb_seconds_max=settings.reverb_seconds_max,
            read_response=self._read_response,
            silence_seconds=settings.silence_seconds,
            noise_probability=settings.noise_probability,
            noise_kinds=settings.noise_kinds,
            noise_snr_db_min=settings.noise_snr_db_min,
            noise_snr_db_max=settings.noise_snr_db_max,
            read_noise=self._read_noise,
            read_speech=self._read_speech,
            equalizer_db=settings.equalizer_db,
            gain_db=settings.gain_db,
            length_draws=length_draws,
            return_draws=True,
        )
        if self._config.features.dither:
            samples_N = dither(samples_N, seed, deviation=self._config.features.dither)
        return samples_N, draws

    def of_features(
        self,
        features_BTD: tf.Tensor,
        num_frames_B: tf.Tensor,
        seeds_B2: tf.Tensor,
        *,
        strength: tf.Tensor | float = 1.0,
    ) -> tf.Tensor:
        """Normalised features as training sees them: warped, then with bands hidden; each row by its own seed."""
        settings, num_groups = self._config.augment, 1 + self._config.features.deltas
        features_BTD = warp_frequency(
            features_BTD,
            seeds_B2,
            warp_share=settings.frequency_warp_share,
            strength=strength,
            num_groups=num_groups,
        )
        return mask_spectrogram(
            features_BTD,
            num_frames_B,
            seeds_B2,
            time_masks=settings.time_masks,
            time_masks_per_second=settings.time_masks_per_second,
            time_mask_share=settings.time_mask_share,
            frequency_masks=settings.frequency_masks,
            frequency_mask_share=settings.frequency_mask_share,
            frame_seconds=self._config.hop_length / self._config.data.sample_rate,
            strength=strength,
            num_groups=num_groups,
        )


def augment_seed(config: RunConfig, number_of_pass: tf.Tensor | int, index: tf.Tensor | int) -> tf.Tensor:
    """The stateless seed of an utterance's augmentation: two numbers of 32 bits name run, pass and utterance."""
    run = (config.train.seed * 7919 + 2**31) % 2**32 - 2**31
    return tf.stack([run + number_of_pass, index])


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
) -> tf.data.Dataset:
    workers = config.data.num_workers
    names = ("samples_BN", "num_samples_B") if corpus.form == "samples" else ("log_mel_BTM", "num_frames_B")

    def load(
        epoch: tf.Tensor,
        parts_left: tf.Tensor,
        index: tf.Tensor,
        number_of_pass: tf.Tensor,
        length_draws: tf.Tensor,
        weight: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        values, labels_L = corpus.load(index)
        seed = augment_seed(config, number_of_pass, index)
        if augmentation is not None:
            values, _ = augmentation.of_samples(values, seed, length_draws, strength=augmentation.strength(epoch))
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

    def one_batch(epoch: tf.Tensor, parts_left: tf.Tensor, indices: tf.Tensor, *others: tf.Tensor) -> tf.data.Dataset:
        rows = tf.data.Dataset.from_tensor_slices((indices, *others)).map(lambda *row: load(epoch, parts_left, *row))
        return rows.padded_batch(tf.size(indices, out_type=tf.int64))

    def records() -> Iterator[tuple[Any, ...]]:
        for epoch, draws, weights, parts_left in plan():
            yield epoch, parts_left, draws.indices, draws.passes, draws.length_draws, weights

    signature = (
        tf.TensorSpec([], tf.float32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None, 3], tf.float32),
        tf.TensorSpec([None], tf.float32),
    )
    batches = tf.data.Dataset.from_generator(records, output_signature=signature)
    # Each inner dataset is one batch, read by a worker of its own; the order stays the plan's.
    batches = batches.interleave(one_batch, cycle_length=workers, num_parallel_calls=workers, deterministic=True)
    return batches.prefetch(2)


def utterance_reader(utterances: Sequence[Utterance], *, config: RunConfig, most_seconds: float = math.inf) -> Reader:
    """In a graph: a stateless seed -> one of the utterances, or `most_seconds` of it from a drawn place."""
    read, count = recording_reader(utterances, config=config), len(utterances)
    durations = np.array([utterance.duration for utterance in utterances])

    def read_one(seed: tf.Tensor) -> tf.Tensor:
        draws = tf.random.stateless_uniform([2], seed, dtype=tf.float64)
        index = tf.cast(draws[0] * count, tf.int32)
        skipped = tf.nn.relu(tf.gather(durations, index) - most_seconds)
        return read(index, start=draws[1] * skipped, most_seconds=most_seconds)

    return read_one


def speech_reader(corpus: Corpus) -> Reader:
    """In a graph: a stateless seed -> one of the corpus's utterances, as recorded."""

    def read(seed: tf.Tensor) -> tf.Tensor:
        index = tf.random.stateless_uniform([], seed, 0, len(corpus), dtype=tf.int32)
        return corpus.load(index)[0]

    return read


def _augmented_frames(num_frames: np.ndarray, length_draws: np.ndarray, epoch: int, *, config: RunConfig) -> np.ndarray:
    """Frames of utterances once augmentation has changed their speed and put quiet around them.

    While a ramp rises, that of the middle of the epoch stands for all of it.
    """
    settings = config.augment
    strength = min(1.0, (epoch + 0.5) / settings.ramp_epochs) if settings.ramp_epochs else 1.0
    factors = 1.0 + strength * settings.speed_share * (2.0 * length_draws[:, 0] - 1.0)
    quiet = strength * settings.silence_seconds * config.data.sample_rate / config.hop_length
    return np.ceil(num_frames / factors + quiet * (length_draws[:, 1] + length_draws[:, 2])).astype(np.int32)
