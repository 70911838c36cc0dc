"""The protocol between models and decoding: samples to log-probabilities."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Predictor(Protocol):
    """A model of any form: `model.predictor.KerasPredictor`, `export.SavedModelPredictor`, `runtime.Recognizer`.

    Whoever scores, compares or decodes needs these two methods only, and need not know which form computes.
    """

    def log_probs(self, samples_N: np.ndarray) -> np.ndarray:
        """Computes one recording.

        Args:
            samples_N: one channel of floats in [-1, 1] at the model's sample rate.

        Returns:
            `log_probs_SV`, natural logarithms, float32.
        """
        ...

    def batch_log_probs(self, samples_BN: np.ndarray, num_samples_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Computes several recordings at once.

        Args:
            samples_BN: one recording a row; what follows its end does not matter.
            num_samples_B: the samples of each.

        Returns:
            `log_probs_BSV`, of which only each row's first steps count, and their numbers `num_steps_B`.
        """
        ...


def predict_row_by_row(
    predictor: Predictor, samples_BN: np.ndarray, num_samples_B: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`Predictor.batch_log_probs` for a model that computes one recording at a time; steps beyond a row's are zeros."""
    rows = [predictor.log_probs(samples_N[:count]) for samples_N, count in zip(samples_BN, num_samples_B, strict=True)]
    num_steps_B = np.array([len(log_probs_SV) for log_probs_SV in rows], np.int32)
    width = rows[0].shape[1] if rows else 0
    log_probs_BSV = np.zeros([len(rows), num_steps_B.max(initial=0), width], np.float32)
    for row, log_probs_SV in enumerate(rows):
        log_probs_BSV[row, : len(log_probs_SV)] = log_probs_SV
    return log_probs_BSV, num_steps_B
