"""A recogniser as pictures need it: the log-mel and the log-probabilities of a recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.config.sections import RunConfig
from speechgru.runtime import Recognizer, is_bundle
from speechgru.scoring.predictions import load_run
from speechgru.text import Vocabulary

#: What of a bundle's front end makes its log-mel; an old bundle lacks what had no choice then.
_LOG_MEL_KEYS = (
    *("frame_length", "hop_length", "n_fft", "n_mels", "mel_scale", "spectrum", "preemphasis", "center", "log_floor"),
)


@dataclass(frozen=True)
class Probe:
    """What a picture of a recording is drawn from.

    Args:
        sample_rate: Hz.
        vocabulary: what the columns of its log-probabilities stand for.
        step_seconds: seconds from one step to the next.
        frame_seconds: seconds from one frame to the next.
        log_mel: the front end's layer, before normalisation.
        log_probs: `samples_N` -> `log_probs_SV`.
    """

    sample_rate: int
    vocabulary: Vocabulary
    step_seconds: float
    frame_seconds: float
    log_mel: Callable[..., Any]
    log_probs: Callable[[np.ndarray], np.ndarray]

    def draw(self, samples_N: np.ndarray) -> dict[str, Any]:
        """The parts of a recording's picture that `speech_picture` takes, without its words and texts."""
        log_mel_BTM, _ = self.log_mel(samples_N[None], np.array([len(samples_N)], np.int32))
        return {
            "log_mel_TM": np.asarray(log_mel_BTM[0]),
            "log_probs_SV": self.log_probs(samples_N),
            "vocabulary": self.vocabulary,
            "step_seconds": self.step_seconds,
            "frame_seconds": self.frame_seconds,
        }


def probe_of_run(config: RunConfig, vocabulary: Vocabulary, model: Any) -> Probe:
    """The probe of a run that was loaded by `load_run`."""

    def log_probs(samples_N: np.ndarray) -> np.ndarray:
        logits_BSV, _ = model([samples_N[None], np.array([len(samples_N)], np.int32)], training=False)
        logits_SV = np.asarray(logits_BSV[0], np.float64)
        return logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)

    return Probe(
        sample_rate=config.data.sample_rate,
        vocabulary=vocabulary,
        step_seconds=config.step_seconds,
        frame_seconds=config.hop_length / config.data.sample_rate,
        log_mel=model.front_end.log_mel,
        log_probs=log_probs,
    )


def open_probe(path: Path, *, form: str) -> Probe:
    """The probe of a run folder, or of one form of a bundle.

    Raises:
        UserError: it is gone or damaged.
        ImportError: TensorFlow, which the log-mel needs, is not installed.
    """
    from speechgru.features import LogMel

    if not is_bundle(path):
        return probe_of_run(*load_run(path))
    recognizer = Recognizer(path, form=form.removeprefix("TFLite "))
    features = recognizer.metadata["features"]
    return Probe(
        sample_rate=recognizer.sample_rate,
        vocabulary=recognizer.vocabulary,
        step_seconds=recognizer.metadata["step_seconds"],
        frame_seconds=features["hop_length"] / recognizer.sample_rate,
        log_mel=LogMel(
            sample_rate=recognizer.sample_rate,
            f_min=features["f_min_hz"],
            f_max=features["f_max_hz"],
            **{key: features[key] for key in _LOG_MEL_KEYS if key in features},
        ),
        log_probs=recognizer.log_probs,
    )
