"""The recogniser on a device: a bundle, NumPy and LiteRT. Nothing here loads TensorFlow.

from speechgru.runtime import Recognizer
recognizer = Recognizer("bundle")
print(recognizer.transcribe(samples_N, sample_rate).text)

With hotwords:

from speechgru.decoding import DecodingOptions
options = DecodingOptions(beam_width=16, hotwords={"kitchen": 4.0})
print(recognizer.transcribe(samples_N, sample_rate, options).text)
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.decoding import DecodingOptions, Hypothesis, decode
from speechgru.errors import BundleError, TextError
from speechgru.recordings import read_recording, resample
from speechgru.text import TextRules, Vocabulary

#: The bundle format that this version writes and the newest that it reads.
BUNDLE_VERSION = 2

#: What a bundle's metadata must hold.
_REQUIRED = ("sample_rate", "step_seconds", "unit", "entries", "text", "models", "default_form")

#: What those who name no decoding get.
_GREEDY = DecodingOptions()


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
        self.text_rules = TextRules(**self.metadata["text"])
        self.vocabulary = Vocabulary.from_record(self.metadata)
        self._step_seconds: float = self.metadata["step_seconds"]
        self._interpreter = _load_interpreter(self.bundle / models[form]["file"], num_threads)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._prepared: tuple[DecodingOptions, DecodingOptions] = (_GREEDY, _GREEDY)

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

    def transcribe(
        self, samples_N: np.ndarray, sample_rate: int, decoding: DecodingOptions | None = None
    ) -> Hypothesis:
        """Hears one utterance.

        Args:
            samples_N: one channel of floats in [-1, 1].
            sample_rate: its rate in Hz; another than the bundle's is resampled.
            decoding: beam, hotwords and phrases, which go through the bundle's text rules; greedy when None.

        Returns:
            The text with word times in seconds and confidences.

        Raises:
            TextError: the bundle cannot write a hotword or phrase; names it.
        """
        return self.transcribe_n_best(samples_N, sample_rate, decoding)[0]

    def transcribe_n_best(
        self, samples_N: np.ndarray, sample_rate: int, decoding: DecodingOptions | None = None
    ) -> list[Hypothesis]:
        """Hears one utterance: the best first, at most `decoding.n_best` (see `transcribe`)."""
        options = self.prepare(decoding)
        samples_N = resample(np.asarray(samples_N, np.float32), source_rate=sample_rate, sample_rate=self.sample_rate)
        return decode(
            self.log_probs(samples_N), vocabulary=self.vocabulary, step_seconds=self._step_seconds, options=options
        )

    def prepare(self, decoding: DecodingOptions | None) -> DecodingOptions:
        """The options with hotwords and phrases as this recogniser writes them.

        Transcribing does it by itself, once for the same options; call it to hear of a mistake before the first sound.

        Raises:
            TextError: the bundle cannot write a hotword or phrase; names it.
        """
        given, prepared = self._prepared
        if decoding is not None and decoding is not given and decoding is not prepared:
            prepared = decoding.prepared(normalize=self.text_rules.normalize, vocabulary=self.vocabulary)
            self._prepared = decoding, prepared
        return _GREEDY if decoding is None else prepared

    def transcribe_file(self, path: str | os.PathLike[str], decoding: DecodingOptions | None = None) -> Hypothesis:
        """Hears a recording of any rate and channel count (see `transcribe`).

        Raises:
            AudioError: the file cannot be read; names it.
        """
        recording = read_recording(path)
        return self.transcribe(recording.samples_N, recording.sample_rate, decoding)


def read_bundle(bundle: str | os.PathLike[str]) -> dict[str, Any]:
    """A bundle's metadata, `bundle.json`, as this version writes it.

    Version 1 held the vocabulary as the text `characters`, and brought texts to NFKC.

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
    if version == 1 and "characters" in metadata:
        metadata |= {"unit": "character", "entries": list(metadata["characters"])}
    missing = [key for key in _REQUIRED if key not in metadata]
    if missing:
        raise BundleError(f"{path}: lacks {', '.join(missing)}; export the bundle again")
    try:
        metadata["text"] = dataclasses.asdict(TextRules.stored(metadata["text"]))
        Vocabulary.from_record(metadata)
    except (TextError, TypeError, ValueError) as error:
        raise BundleError(f"{path}: is damaged ({' '.join(str(error).split())}); export the bundle again") from error
    return metadata


def _load_interpreter(path: Path, num_threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    if not path.is_file():
        raise BundleError(f"{path}: is missing from the bundle; copy the folder whole")
    try:
        return Interpreter(model_path=str(path), num_threads=num_threads)
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{path}: is damaged ({str(error).splitlines()[0]}); export the bundle again") from error
