"""The recogniser on a device: a bundle, NumPy and LiteRT. Nothing here loads TensorFlow.

from speechgru.runtime import Recognizer
recognizer = Recognizer("bundle")
print(recognizer.transcribe(samples_N, sample_rate).text)
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.decoding import Hypothesis, greedy_decode
from speechgru.errors import BundleError
from speechgru.recordings import read_recording, resample
from speechgru.text import Vocabulary

#: The bundle format that this version writes and the newest that it reads.
BUNDLE_VERSION = 1

#: What a bundle's metadata must hold.
_REQUIRED = ("sample_rate", "step_seconds", "characters", "text", "models", "default_form")


class Recognizer:
    """An exported recogniser: samples in, text out, one utterance at a time.

    Not for two threads at once: LiteRT's interpreter holds one input. Make one recogniser a thread.

    Args:
        bundle: the folder that `speechgru export` wrote.
        form: which of the bundle's models to run (`none`, `dynamic`, `float16`, `int8`); its default when None.
        num_threads: CPU threads that LiteRT may use.

    Raises:
        BundleError: the folder is no bundle, is damaged, was written by a newer version, or lacks the form.
    """

    def __init__(self, bundle: str | os.PathLike[str], *, form: str | None = None, num_threads: int = 1):
        self.bundle = Path(bundle)
        self.metadata = read_bundle(self.bundle)
        models: dict[str, dict[str, Any]] = self.metadata["models"]
        if form is None:
            form = self.metadata["default_form"]
        if form not in models:
            raise BundleError(f"{self.bundle}: holds no form {form!r}; it has {', '.join(models) or 'none for LiteRT'}")
        self.form = form
        self.sample_rate: int = self.metadata["sample_rate"]
        self.text_rules: dict[str, bool] = self.metadata["text"]
        self.vocabulary = Vocabulary(self.metadata["characters"])
        self._step_seconds: float = self.metadata["step_seconds"]
        self._interpreter = _load_interpreter(self.bundle / models[form]["file"], num_threads)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def log_probs(self, samples_N: np.ndarray) -> np.ndarray:
        """The model's output alone.

        Args:
            samples_N: one channel of floats in [-1, 1] at the bundle's `sample_rate`.

        Returns:
            `log_probs_SV`, natural logarithms, float32.

        Raises:
            ValueError: the samples are not one channel of finite numbers.
        """
        samples_N = np.asarray(samples_N, np.float32)
        if samples_N.ndim != 1:
            raise ValueError(f"samples must be one channel [num_samples], got the shape {samples_N.shape}")
        if not np.isfinite(samples_N).all():
            raise ValueError("samples must be finite numbers; some are NaN or infinite")
        if not len(samples_N):
            return np.zeros([0, len(self.vocabulary)], np.float32)
        self._interpreter.resize_tensor_input(self._input, [1, len(samples_N)])
        self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(self._input, samples_N[None])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)[0]

    def transcribe(self, samples_N: np.ndarray, sample_rate: int) -> Hypothesis:
        """Hears one utterance.

        Args:
            samples_N: one channel of floats in [-1, 1].
            sample_rate: its rate in Hz; another than the bundle's is resampled.

        Returns:
            The text with word times in seconds and confidences.
        """
        samples_N = resample(np.asarray(samples_N, np.float32), source_rate=sample_rate, sample_rate=self.sample_rate)
        return greedy_decode(self.log_probs(samples_N), vocabulary=self.vocabulary, step_seconds=self._step_seconds)

    def transcribe_file(self, path: str | os.PathLike[str]) -> Hypothesis:
        """Hears a recording of any rate and channel count.

        Raises:
            AudioError: the file cannot be read; names it.
        """
        recording = read_recording(path)
        return self.transcribe(recording.samples_N, recording.sample_rate)


def read_bundle(bundle: str | os.PathLike[str]) -> dict[str, Any]:
    """A bundle's metadata, `bundle.json`.

    Raises:
        BundleError: missing, damaged, or of a newer version than this one reads.
    """
    path = Path(bundle) / "bundle.json"
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{bundle}: is no bundle (no bundle.json); `speechgru export` makes one") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"{path}: is damaged ({error}); export the bundle again") from error
    version = metadata.get("bundle_version") if isinstance(metadata, dict) else None
    if not isinstance(version, int):
        raise BundleError(f"{path}: holds no bundle_version; export the bundle again")
    if version > BUNDLE_VERSION:
        raise BundleError(
            f"{path}: is of version {version}, this speechgru reads up to {BUNDLE_VERSION}; update speechgru"
        )
    missing = [key for key in _REQUIRED if key not in metadata]
    if missing:
        raise BundleError(f"{path}: lacks {', '.join(missing)}; export the bundle again")
    return metadata


def _load_interpreter(path: Path, num_threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    if not path.is_file():
        raise BundleError(f"{path}: is missing from the bundle; copy the folder whole")
    try:
        return Interpreter(model_path=str(path), num_threads=num_threads)
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{path}: is damaged ({str(error).splitlines()[0]}); export the bundle again") from error
