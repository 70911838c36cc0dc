"""Streams: samples in as they come, the text so far out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from speechgru.decoding import DecoderStream, DecodingOptions, EndpointRule, Hypothesis
from speechgru.runtime.stream_input import StreamInput
from speechgru.runtime.windows import Windows
from speechgru.text import Vocabulary


@dataclass(frozen=True)
class StreamResult:
    """What a stream has recognised after some more samples.

    Args:
        hypothesis: the present utterance so far; its last word may still be on the way.
        ended: utterances that came to their end meanwhile and hold a word, in order; always empty without an
            `EndpointRule`.
    """

    hypothesis: Hypothesis
    ended: tuple[Hypothesis, ...] = ()

    @property
    def text(self) -> str:
        """The present utterance's text so far."""
        return self.hypothesis.text


class Stream:
    """One person speaking (`Recognizer.stream` makes it); for one thread.

    However the samples are cut, the utterances, their texts and times are the same. Without an endpoint rule they are
    those of the whole recording. Where a rule ends an utterance, the next one begins with the very next step as a new
    recording would: the model forgets what was said before. Times of words count from the stream's first sample.

    Args:
        begin: makes the windows of a new utterance.
        vocabulary: what the model writes.
        step_seconds: seconds from one step to the next.
        sample_rate: Hz of the model's input.
        source_rate: Hz of the samples that are fed.
        options: how to decode, prepared for the vocabulary.
        endpoint: when an utterance is over; None never.
    """

    def __init__(
        self,
        begin: Callable[[], Windows],
        *,
        vocabulary: Vocabulary,
        step_seconds: float,
        sample_rate: int,
        source_rate: float,
        options: DecodingOptions,
        endpoint: EndpointRule | None,
    ):
        self._begin, self._vocabulary, self._step_seconds = begin, vocabulary, step_seconds
        self._sample_rate, self._options, self._endpoint = sample_rate, options, endpoint
        self._input = StreamInput(sample_rate=sample_rate, source_rate=source_rate)
        self._step_samples = round(step_seconds * sample_rate)
        self._start_utterance(0)

    @property
    def seconds(self) -> float:
        """Seconds of sound that the model has been given so far."""
        return (self._first_sample + self._windows.num_samples) / self._sample_rate

    def feed(self, samples_N: np.ndarray) -> StreamResult:
        """Takes the next samples, any number of them: one channel, as in `Recognizer.transcribe`.

        Returns:
            What is recognised by now. A model needs some sound to come before it answers (`latency` in `bundle.json`).

        Raises:
            ValueError: the stream has been finished.
            AudioError: the samples are not one channel, not finite, or far outside [-1, 1]; none of them is taken.
        """
        samples_N, ended = self._input.feed(samples_N), []
        while len(samples_N):
            # Chunk by chunk where an utterance may end: what the next one begins with must be decoded again.
            size = len(samples_N) if self._endpoint is None else self._windows.chunk_samples
            piece_N, samples_N = samples_N[:size], samples_N[size:]
            hypothesis, again_N = self._decode(piece_N)
            if hypothesis is not None and hypothesis.words:
                ended.append(hypothesis)
            samples_N = np.concatenate([again_N, samples_N]) if len(again_N) else samples_N
        return StreamResult(self._decoder.partial(), tuple(ended))

    def finish(self) -> Hypothesis:
        """Says that nothing follows; gives the last utterance. A second call gives the same."""
        return self.finish_n_best()[0]

    def finish_n_best(self) -> list[Hypothesis]:
        """The same with other readings, the best first, at most `decoding.n_best`."""
        if not self._input.is_finished:
            # No rule is asked here: what is left is the end of the last utterance.
            for log_probs_SV in [*self._windows.feed(self._input.finish()), *self._windows.finish()]:
                self._decoder.feed(log_probs_SV)
        return self._decoder.finish()

    def _start_utterance(self, first_sample: int) -> None:
        self._first_sample = first_sample
        self._windows = self._begin()
        self._recent: list[np.ndarray] = []  # what came last, back to the first sample of a step not decoded yet
        self._decoder = DecoderStream(
            vocabulary=self._vocabulary,
            step_seconds=self._step_seconds,
            options=self._options,
            start_seconds=first_sample / self._sample_rate,
        )

    def _decode(self, samples_N: np.ndarray) -> tuple[Hypothesis | None, np.ndarray]:
        """Decodes more samples; gives an utterance that they end, and those of them that belong to the next one."""
        results = self._windows.feed(samples_N)
        if self._endpoint is None:
            for log_probs_SV in results:
                self._decoder.feed(log_probs_SV)
            return None, samples_N[:0]
        self._recent.append(samples_N)
        for log_probs_SV in results:
            if self._decoder.feed_until(log_probs_SV, self._endpoint) is not None:
                recent_N = np.concatenate(self._recent)
                used = self._decoder.num_steps * self._step_samples
                again_N = recent_N[len(recent_N) - (self._windows.num_samples - used) :]
                hypothesis = self._decoder.finish()[0]
                self._start_utterance(self._first_sample + used)
                return hypothesis, again_N
        if results:
            recent_N = np.concatenate(self._recent)
            kept = self._windows.num_samples - self._decoder.num_steps * self._step_samples
            self._recent = [recent_N[max(0, len(recent_N) - kept) :].copy()]
        return None, samples_N[:0]
