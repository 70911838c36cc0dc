"""Utterances that training joins with those after them, so that it hears long sound too.

A model that learns single sentences loses words in long sound: its state remembers how much was said, and more than it
ever heard is strange to it (docs/benchmarks.md, "Recordings of hours"). A share of the utterances is therefore joined
with some that stand near in the corpus, with a pause between two, and augmented as one: one room, one noise. A manifest
whose lines follow each other in a recording is joined about in order; shards are read where they are read anyway.

Which are joined depends on the run's seed, the pass and the utterance's place alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from speechgru.config.sections import RunConfig
from speechgru.dataset.sampling import Part

#: Utterances that one is joined with, at most, and from how near each comes: from the next to the eighth.
MOST_JOINED, _NEAR = 7, 8
#: Seconds of a pause, drawn evenly. The shortest still has a step for the space or blank between two words.
_PAUSE_SECONDS = (0.1, 0.6)
#: How the level of a pause is measured: that of the quietest frames of the sound on either side.
_LEVEL_SECONDS, _LEVEL_SHARE = 0.02, 0.05
#: Numbers drawn for an utterance: whether it is joined, to which length, and for each other its place and its pause.
_NUM_DRAWS = 2 + 2 * MOST_JOINED

#: In a graph: the index of an utterance -> its `samples_N` and `labels_L`.
Load = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclass(frozen=True)
class Joined:
    """What utterances are joined with.

    Args:
        others_BK: places in the corpus, int32 [utterances, `MOST_JOINED`], in order; -1 behind the last.
        pauses_BK: frames of the pause before each, int32.
        num_frames_B: frames of the whole, about: each recording's last frame may be a part of one.
    """

    others_BK: np.ndarray
    pauses_BK: np.ndarray
    num_frames_B: np.ndarray


class Stretches:
    """Which utterances of a corpus are joined with which.

    Args:
        num_frames: frames of each utterance.
        parts: the corpus's parts in order; none is joined across them.
        share: of the utterances, that are joined with others.
        most_frames: frames of a stretch, at most; the lengths up to it are drawn evenly.
        pause_frames: frames of the shortest and the longest pause.
        seed: the run's.
    """

    def __init__(
        self,
        num_frames: np.ndarray,
        parts: Sequence[Part],
        *,
        share: float,
        most_frames: int,
        pause_frames: tuple[int, int],
        seed: int,
    ):
        self._num_frames, self._share, self._most, self._pauses = num_frames, share, most_frames, pause_frames
        counts = np.array([part.count for part in parts], np.int64)
        self._ends = np.cumsum(counts)
        self._starts, self._counts, self._seed = self._ends - counts, counts, seed

    @classmethod
    def of(cls, num_frames: np.ndarray, parts: Sequence[Part], *, config: RunConfig) -> Stretches | None:
        """Those of a configuration; None where it joins none.

        Args:
            num_frames, parts: of the corpus.
            config: `data.joined_share`, `data.joined_seconds`, the seed.
        """
        if not config.data.joined_share:
            return None
        frames_a_second = config.data.sample_rate / config.hop_length
        shortest, longest = (max(1, round(seconds * frames_a_second)) for seconds in _PAUSE_SECONDS)
        return cls(
            num_frames,
            parts,
            share=config.data.joined_share,
            most_frames=round(config.data.joined_seconds * frames_a_second),
            pause_frames=(shortest, longest),
            seed=config.train.seed,
        )

    def joined(self, indices: np.ndarray, passes: np.ndarray) -> Joined:
        """What utterances are joined with.

        Args:
            indices: their places in the corpus.
            passes: how often each was drawn before.
        """
        indices = np.asarray(indices, np.int64)
        draws_BJ = _uniform(self._seed, np.asarray(passes), indices, _NUM_DRAWS)
        part_B = np.searchsorted(self._ends, indices, side="right")
        starts_B1, counts_B1 = self._starts[part_B, None], self._counts[part_B, None]
        gaps_BK = 1 + (draws_BJ[:, 2 : 2 + MOST_JOINED] * np.minimum(_NEAR, counts_B1)).astype(np.int64)
        others_BK = starts_B1 + (indices[:, None] - starts_B1 + np.cumsum(gaps_BK, axis=1)) % counts_B1
        shortest, longest = self._pauses
        pauses_BK = shortest + (draws_BJ[:, 2 + MOST_JOINED :] * (longest + 1 - shortest)).astype(np.int64)
        own_B = self._num_frames[indices].astype(np.int64)
        lengths_BK = own_B[:, None] + np.cumsum(self._num_frames[others_BK] + pauses_BK, axis=1)
        # One at least where it fits: a joined utterance that is alone would make the share smaller than it says.
        targets_B = np.minimum(self._most, np.maximum(draws_BJ[:, 1] * self._most, lengths_BK[:, 0]))
        is_kept_BK = (lengths_BK <= targets_B[:, None]) & (draws_BJ[:, :1] < self._share)
        num_others_B = is_kept_BK.sum(axis=1)
        rows = np.arange(len(indices))
        num_frames_B = np.where(num_others_B > 0, lengths_BK[rows, num_others_B - 1], own_B)
        return Joined(
            np.where(is_kept_BK, others_BK, -1).astype(np.int32),
            np.where(is_kept_BK, pauses_BK, 0).astype(np.int32),
            num_frames_B.astype(np.int32),
        )


def _uniform(seed: int, passes_B: np.ndarray, indices_B: np.ndarray, count: int) -> np.ndarray:
    """Numbers in [0, 1) that each depend on seed, pass, place and their own number alone: [utterances, count].

    By splitmix64 (Steele et al. 2014, figure 17), which makes any row without those before it.
    """
    with np.errstate(over="ignore"):
        keys_B1 = _mixed(
            _mixed(np.uint64(seed % 2**64) + passes_B.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
            + indices_B.astype(np.uint64)
        )[:, None]
        mixed_BJ = _mixed(keys_B1 + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return (mixed_BJ >> np.uint64(11)) * 2.0**-53


def _mixed(keys: np.ndarray) -> np.ndarray:
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def join(
    load: Load,
    index: tf.Tensor,
    others_K: tf.Tensor,
    pauses_K: tf.Tensor,
    *,
    seed: tf.Tensor,
    config: RunConfig,
    space_label: int | None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """In a graph: `samples_N` and `labels_L` of an utterance and of what it is joined with.

    A pause is noise, as loud as the quietest moments on either side: no microphone gives digital silence, which would
    tell a model where recordings begin.

    Args:
        load: reads an utterance.
        index: its place.
        others_K, pauses_K: a row of `Joined`.
        seed: int32 [2], the utterance's (`augment_seed`).
        config: sample rate and hop.
        space_label: what stands between the labels of two; None of words and subwords, which need nothing.
    """
    frame = max(1, round(_LEVEL_SECONDS * config.data.sample_rate))
    between_L = tf.constant([] if space_label is None else [space_label], tf.int32)
    samples_N, labels_L = load(index)
    num_others = tf.reduce_sum(tf.cast(others_K >= 0, tf.int32))

    def append(number: tf.Tensor, samples_N: tf.Tensor, labels_L: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        next_N, next_L = load(others_K[number])
        length = pauses_K[number] * config.hop_length
        levels_N = tf.linspace(_quiet_level(samples_N, frame), _quiet_level(next_N, frame), length)
        noise_N = tf.random.stateless_normal([length], seed + tf.stack([0, 7919 * (number + 1)]))
        is_apart = tf.cast((tf.size(labels_L) > 0) & (tf.size(next_L) > 0), tf.int32)
        return (
            number + 1,
            tf.concat([samples_N, noise_N * levels_N, next_N], 0),
            tf.concat([labels_L, between_L[: is_apart * tf.size(between_L)], next_L], 0),
        )

    _, samples_N, labels_L = tf.while_loop(
        lambda number, *rest: number < num_others,
        append,
        (tf.constant(0), samples_N, labels_L),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([None])),
    )
    return samples_N, labels_L


def _quiet_level(samples_N: tf.Tensor, frame: int) -> tf.Tensor:
    """The root mean square of the quietest frames."""
    padded_N = tf.pad(samples_N, [[0, tf.nn.relu(frame - tf.size(samples_N))]])
    frames_TF = tf.reshape(padded_N[: tf.size(padded_N) // frame * frame], [-1, frame])
    deviations_T = tf.sort(tf.math.reduce_std(frames_TF, axis=1))
    return deviations_T[tf.cast(_LEVEL_SHARE * tf.cast(tf.size(deviations_T), tf.float32), tf.int32)]
