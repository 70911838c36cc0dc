"""Recordings as training augments and sees them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru import lengths
from speechgru.audio.in_graph import error_of
from speechgru.config.sections import RunConfig
from speechgru.dataset import Augmentation, utterance_reader
from speechgru.dataset.corpus import frames_of, recording_reader
from speechgru.dataset.sampling import Part
from speechgru.dataset.stretches import Stretches, join
from speechgru.errors import AudioError
from speechgru.features import hz_to_mel, mel_to_hz
from speechgru.model.build import build_front_end
from speechgru.utterances.examination import read_utterance
from speechgru.utterances.manifest import Utterance

#: The least deviation in nats, so that a filter without sound is not blown up.
_LEAST_DEVIATION = 0.1


class Probe:
    """One utterance as training gets it, with a record of what was drawn.

    Args:
        config: the run.
        utterances: other speech, for babble.

    Raises:
        ManifestError: a manifest that a stage reads, such as that of noise, cannot be read.
    """

    def __init__(self, config: RunConfig, utterances: Sequence[Utterance]):
        self._config = config
        self._augmentation = Augmentation(config, read_speech=utterance_reader(utterances, config=config))
        num_samples = [round((utterance.duration or 0.0) * config.data.sample_rate) for utterance in utterances]
        num_frames = frames_of(np.array(num_samples, np.int64), config=config)
        self._stretches = Stretches.of(num_frames, [Part(len(utterances))], config=config)
        self._read = recording_reader(utterances, config=config)

    def joined(self, index: int, number_of_pass: int, seed: tf.Tensor) -> tuple[np.ndarray, list[int]] | None:
        """An utterance with those that training joins it with in a pass, and their places; None where with none.

        Raises:
            AudioError: one of them cannot be read.
        """
        if self._stretches is None:
            return None
        row = self._stretches.joined(np.array([index]), np.array([number_of_pass]))
        others = [other for other in row.others_BK[0].tolist() if other >= 0]
        if not others:
            return None
        nothing = tf.zeros([0], tf.int32)
        with _read_errors():
            samples_N, _ = join(
                lambda place: (self._read(place), nothing),
                tf.constant(index),
                tf.constant(row.others_BK[0]),
                tf.constant(row.pauses_BK[0]),
                seed=seed,
                config=self._config,
                space_label=None,
            )
        return samples_N.numpy(), others

    def samples(
        self, samples_N: np.ndarray, seed: tf.Tensor, length_draws: np.ndarray
    ) -> tuple[np.ndarray, dict[str, Any], list[str]]:
        """The samples that training gets, what was drawn for them by name, and the same in words.

        Raises:
            AudioError: noise, a response or other speech cannot be read.
        """
        with _read_errors():
            augmented_N, draws = self._augmentation.augment_samples(samples_N, seed, length_draws)
        chain = self._augmentation.chain
        record = chain.records({key: plain(value.numpy().item()) for key, value in draws.items()})
        return augmented_N.numpy(), record, chain.describe(record)

    def features(self, features_TD: np.ndarray, seed: tf.Tensor) -> np.ndarray:
        """The features that the model gets in training: warped, then with bands hidden behind zeros."""
        num_frames_B = tf.constant([len(features_TD)], tf.int32)
        return self._augmentation.augment_features(features_TD[None], num_frames_B, seed[None])[0].numpy()

    def features_drawn(self, seed: tf.Tensor) -> dict[str, float]:
        """What `features` draws by name, such as `frequency_warp`, the factor that the filter axis is stretched by."""
        drawn = self._augmentation.chain.features_drawn(seed[None])
        return {name: float(values_B[0]) for name, values_B in drawn.items()}


@contextlib.contextmanager
def _read_errors() -> Iterator[None]:
    """What cannot be read inside a graph, as what cannot be read.

    Raises:
        AudioError: as said.
    """
    try:
        yield
    except tf.errors.OpError as error:
        message = error_of(error)
        if message is None:
            raise
        raise AudioError(message) from error


class FrontEnd:
    """The run's front end, its normalisation set by the recordings on the page, and its frequency axis."""

    def __init__(self, config: RunConfig):
        settings = config.features
        self._front_end = build_front_end(config)
        self._normalization, self._n_mels, self._mel_scale = settings.normalization, settings.n_mels, settings.mel_scale
        first, last = hz_to_mel([settings.f_min_hz, config.f_max_hz], mel_scale=settings.mel_scale)
        self._first_mel, self._mel_step = first, (last - first) / (self._n_mels + 1)
        self.range = (0.0, 1.0)

    def learn(self, recordings: Sequence[np.ndarray]) -> None:
        """Sets the statistics of the normalisation, and the range of the colours, by the recordings."""
        if self._normalization in ("global", "running"):
            frames_TD = np.concatenate([self._run(samples_N, normalized=False) for samples_N in recordings])
            frames_TD = frames_TD.astype(np.float64)
            deviation_D = np.maximum(_LEAST_DEVIATION, frames_TD.std(axis=0))
            self._front_end.set_statistics(frames_TD.mean(axis=0), deviation_D)
        values = np.concatenate([self.log_mel_of(self.features(samples_N)).ravel() for samples_N in recordings])
        low, high = np.percentile(values, [2, 99.5])
        self.range = (float(low), float(max(high, low + 1e-6)))

    def features(self, samples_N: np.ndarray) -> np.ndarray:
        """`samples_N` -> what the model gets, `features_TD`."""
        return self._run(samples_N)

    def _run(self, samples_N: np.ndarray, *, normalized: bool = True) -> np.ndarray:
        num_samples_1 = np.array([len(samples_N)], np.int32)
        features_1TD, num_frames_1 = self._front_end.whole(samples_N[None], num_samples_1, normalized=normalized)
        return np.asarray(features_1TD)[0, : int(num_frames_1[0])]

    def log_mel_of(self, features_TD: np.ndarray) -> np.ndarray:
        """The part of the features that a picture shows: the log-mel without its slopes."""
        return features_TD[:, : self._n_mels]

    def place_of(self, hz: float) -> float:
        """Where a frequency stands on the filter axis: m at the centre of filter m."""
        return float((hz_to_mel(hz, mel_scale=self._mel_scale) - self._first_mel) / self._mel_step - 1)

    def hz_of(self, place: float) -> float:
        """The frequency at a place of the filter axis."""
        return float(mel_to_hz((place + 1) * self._mel_step + self._first_mel, mel_scale=self._mel_scale))

    def share_of(self, place: float) -> float:
        """A place of the filter axis as a share of a picture's height, from below."""
        return (place + 0.5) / self._n_mels


def read_samples(utterance: Utterance, config: RunConfig) -> np.ndarray:
    """Reads an utterance at the model's rate, and refuses one that is too short for a frame."""
    samples_N = read_utterance(utterance, sample_rate=config.data.sample_rate).samples_N
    if not count_frames(samples_N, config):
        raise AudioError(
            f"{utterance.audio_filepath}: {len(samples_N)} samples hold no frame; `speechgru check` names such "
            "utterances, leave them out"
        )
    return samples_N


def count_frames(samples_N: np.ndarray, config: RunConfig) -> int:
    """The frames that the front end makes of samples."""
    return lengths.num_frames(
        len(samples_N), n_fft=config.n_fft, hop_length=config.hop_length, center=config.features.center
    )


def plain(value: Any) -> Any:
    """A number as it was drawn, without the digits that float32 does not hold."""
    return round(value, 6) if isinstance(value, float) else value
