"""A run's model over long recordings, in the windows that its bundle computes."""

from __future__ import annotations

from typing import Any

import numpy as np

from speechgru.decoding import Predictor
from speechgru.decoding.predictor import predict_row_by_row
from speechgru.runtime.computing import Computing
from speechgru.runtime.long import Limits
from speechgru.scoring.trained_run import TrainedRun


class WindowedPredictor:
    """A `Predictor` that computes what is longer than training heard in windows, as a bundle does (`runtime.long`).

    Recordings that are not are computed together, as the model itself computes them.

    Args:
        model: the model.
        computing: its way with one recording.
    """

    def __init__(self, model: Predictor, computing: Computing):
        self._model, self._computing = model, computing

    def log_probs(self, samples_N: np.ndarray) -> np.ndarray:
        """One recording: `samples_N` at the model's sample rate -> `log_probs_SV`."""
        return self._computing.whole(samples_N)

    def batch_log_probs(self, samples_BN: np.ndarray, num_samples_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Several recordings: `samples_BN`, `num_samples_B` -> `log_probs_BSV`, `num_steps_B`."""
        if all(self._computing.window_for(count) is None for count in num_samples_B.tolist()):
            return self._model.batch_log_probs(samples_BN, num_samples_B)
        return predict_row_by_row(self, samples_BN, num_samples_B)


def in_windows(trained: TrainedRun, *, window_seconds: float | None = None) -> Predictor:
    """A run's model as what computes recordings of any length as its bundle does.

    Args:
        trained: the run.
        window_seconds: of a recording that are computed at once, at most; None for what fits its training.

    Raises:
        UserError: `window_seconds` is not a number above 0.
    """
    config, vocabulary = trained.config, trained.vocabulary
    limits = Limits.of({"training_seconds": trained.folder.read_training_seconds()}, window_seconds=window_seconds)
    if trained.model.stream_obstacle is None:  # what streams is the same at any length
        return trained.predictor
    metadata = {
        "sample_rate": config.data.sample_rate,
        "step_seconds": config.step_seconds,
        "stream": None,
        "features": {**config.features.model_dump(), "hop_length": config.hop_length, "n_fft": config.n_fft},
    }
    engine = WholeEngine(trained.predictor)
    computing = Computing(trained.folder.path, metadata, engine, vocabulary=vocabulary, limits=limits)
    return WindowedPredictor(trained.predictor, computing)


class WholeEngine:
    """A predictor in place of the `.tflite` file of a model that does not stream (`runtime.engine.Engine`).

    Args:
        model: the predictor.
    """

    streams = False

    def __init__(self, model: Predictor):
        self._model = model

    def recognize(self, samples_N: np.ndarray) -> Any:
        """`samples_N`, one or more, to `log_probs_SV`."""
        return self._model.log_probs(samples_N)
