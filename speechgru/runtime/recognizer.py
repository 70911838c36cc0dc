"""The recogniser: a bundle's model with its text rules and vocabulary."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from speechgru import lengths
from speechgru.audio.reading import read_recording, resample
from speechgru.decoding import DecodingOptions, EndpointRule, Hypothesis, decode
from speechgru.decoding.predictor import predict_row_by_row
from speechgru.errors import BundleError, UserError
from speechgru.lengths import StreamGeometry
from speechgru.runtime.bundle import model_file, read_bundle
from speechgru.runtime.engine import Engine
from speechgru.runtime.stream import Stream, checked_samples
from speechgru.runtime.windows import Windows
from speechgru.text import TextRules, Vocabulary

#: What those who name no decoding get.
_GREEDY = DecodingOptions()


class Recognizer:
    """An exported recogniser: samples in, text out, of whole recordings or while somebody speaks.

    Any number of streams and threads may share it. Its model computes for one at a time and the others wait, for some
    milliseconds; where several cores should compute at once, make a recogniser for each thread. A stream itself is for
    one thread.

    Args:
        bundle: the folder that `speechgru export` wrote, or one `.tflite` file of it, which is enough by itself.
        form: which of the bundle's models to run (`none`, `dynamic`, `float16`, `int8`); its default when None.
        num_threads: CPU threads that LiteRT may use.

    Raises:
        BundleError: the folder is not a bundle, is damaged, was written by a newer version, or lacks the form.
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
        file = model_file(self.bundle, self.metadata, form)
        self.size_bytes = file.stat().st_size
        self._engine = Engine(file, num_threads=num_threads)
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
        samples_N = checked_samples(samples_N)
        if not self._has_steps(len(samples_N)):
            return np.zeros([0, len(self.vocabulary)], np.float32)
        return self._engine.recognize(samples_N)

    def batch_log_probs(self, samples_BN: np.ndarray, num_samples_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The model's output for several recordings, which it computes one after the other (`decoding.Predictor`)."""
        return predict_row_by_row(self, samples_BN, num_samples_B)

    @property
    def streams(self) -> bool:
        """Whether `stream` works: the model is one that streams, and was exported with a signature for it."""
        return self.metadata["stream"] is not None and self._engine.streams

    def stream_log_probs(self, samples_N: np.ndarray, *, piece: int) -> np.ndarray:
        """What `log_probs` gives, by a stream that gets `piece` samples at a time: for whoever wants to compare."""
        windows = self._windows()
        samples_N = checked_samples(samples_N)
        results = []
        for start in range(0, len(samples_N), piece):
            results += windows.feed(samples_N[start : start + piece])
        return np.concatenate([np.zeros([0, len(self.vocabulary)], np.float32), *results, *windows.finish()])

    def _windows(self) -> Windows:
        record = self.metadata["stream"]
        if not self.streams:
            reason = self.metadata.get("stream_obstacle") or "it was exported without a signature for streams"
            raise UserError(f"{self.bundle}: transcribes whole recordings only: {reason}")
        return Windows(self._engine.stream, geometry=StreamGeometry(**record["geometry"]), states=record["states"])

    def _has_steps(self, num_samples: int) -> bool:
        """Whether this number of samples makes a step; without centred frames a whole transform is needed for one."""
        features = self.metadata.get("features", {})
        geometry = {key: features[key] for key in ("n_fft", "hop_length") if key in features}
        if len(geometry) < 2:
            return num_samples > 0
        return lengths.num_frames(num_samples, center=features.get("center", True), **geometry) > 0

    def stream(
        self,
        sample_rate: int | None = None,
        decoding: DecodingOptions | None = None,
        *,
        endpoint: EndpointRule | None = None,
    ) -> Stream:
        """Opens a stream for somebody who is still speaking.

        Args:
            sample_rate: Hz of the samples to come; the bundle's when None.
            decoding: as in `transcribe`.
            endpoint: when an utterance is over and the next begins; without one all is one utterance, until `finish`.

        Returns:
            The stream. It gives what `transcribe` gives for the same samples, however they are cut.

        Raises:
            UserError: the bundle's model transcribes whole recordings only; says how to train one that streams.
            TextError: the bundle cannot write a hotword or phrase; names it.
        """
        options = self.prepare(decoding)
        return Stream(
            self._windows,
            vocabulary=self.vocabulary,
            step_seconds=self._step_seconds,
            sample_rate=self.sample_rate,
            source_rate=sample_rate or self.sample_rate,
            options=options,
            endpoint=endpoint,
        )

    def transcribe(
        self, samples_N: np.ndarray, sample_rate: int, decoding: DecodingOptions | None = None
    ) -> Hypothesis:
        """Transcribes one utterance.

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
        """Transcribes one utterance: the best first, at most `decoding.n_best` (see `transcribe`)."""
        options = self.prepare(decoding)
        samples_N = resample(np.asarray(samples_N, np.float32), source_rate=sample_rate, sample_rate=self.sample_rate)
        return decode(
            self.log_probs(samples_N), vocabulary=self.vocabulary, step_seconds=self._step_seconds, options=options
        )

    def prepare(self, decoding: DecodingOptions | None) -> DecodingOptions:
        """The options with hotwords and phrases as this recogniser writes them.

        Transcribing does it by itself, once for the same options; call it to learn of a mistake before the first sound.

        Raises:
            TextError: the bundle cannot write a hotword or phrase; names it.
        """
        given, prepared = self._prepared
        if decoding is not None and decoding is not given and decoding is not prepared:
            prepared = decoding.prepared(normalize=self.text_rules.normalize, vocabulary=self.vocabulary)
            self._prepared = decoding, prepared
        return _GREEDY if decoding is None else prepared

    def transcribe_file(self, path: str | os.PathLike[str], decoding: DecodingOptions | None = None) -> Hypothesis:
        """Transcribes a recording of any rate and channel count (see `transcribe`).

        Raises:
            AudioError: the file cannot be read; names it.
        """
        recording = read_recording(path)
        return self.transcribe(recording.samples_N, recording.sample_rate, decoding)
