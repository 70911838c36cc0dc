"""The recogniser: a bundle's model with its text rules and vocabulary."""

from __future__ import annotations

import itertools
import numbers
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.audio.reading import read_blocks, resample_blocks
from speechgru.audio.samples import channel_of, checked_rate, checked_samples
from speechgru.decoding import DecoderStream, DecodingOptions, EndpointRule, Hypothesis, Scorer, decode
from speechgru.decoding.keywords import REFRACTORY_SECONDS, KeywordSpotter
from speechgru.decoding.keywords import WINDOW_SECONDS as WINDOW_OF_KEYWORDS
from speechgru.decoding.predictor import predict_row_by_row
from speechgru.errors import BundleError, GrammarError, UserError
from speechgru.grammar import Grammar
from speechgru.runtime.bundle import model_file, read_bundle
from speechgru.runtime.computing import Computing, cut
from speechgru.runtime.engine import Engine
from speechgru.runtime.isolated import IsolatedEngine
from speechgru.runtime.keywords import KeywordStream, asked_thresholds, names_in, thresholds_in
from speechgru.runtime.language import language_of
from speechgru.runtime.long import Limits, require_window
from speechgru.runtime.preparing import Preparation
from speechgru.runtime.stream import Stream
from speechgru.runtime.windows import Windows
from speechgru.text import TextRules, Vocabulary


class Recognizer:
    """An exported recogniser: samples in, text out, of whole recordings or while somebody speaks.

    A recording may be hours long. Up to the longest that training heard the model computes it as one. Beyond, a model
    that streams computes it call by call, which is the same at any length; another one computes windows that are about
    as long as training's utterances, cut where the sound is quietest, with some context beyond the cut on either side
    (`runtime.long`). (Where `features.normalization` is `utterance`, each window is normalised by itself.) Time is
    linear in the length, memory that of one window, the samples that were given and the text.

    Any number of streams and threads may share it. Its model computes for one at a time and the others wait, for some
    milliseconds; where several cores should compute at once, make a recogniser for each thread. A stream itself is for
    one thread.

    Args:
        bundle: the folder that `speechgru export` wrote, or one `.tflite` file of it, which is enough by itself.
        form: which of the bundle's models to run (`none`, `dynamic`, `float16`, `int8`); its default when None.
        num_threads: CPU threads that LiteRT may use.
        window_seconds: of a recording that are computed at once, at most; None for what fits the bundle's training, or
            120 where the bundle does not know it. Infinite to compute any as one, whose memory grows with its length
            and whose time grows with the square of it, and where words are lost (docs/benchmarks.md).
        isolated: whether the model runs in a process of its own, for bundles of strangers: a file that would end the
            process that runs it, or never come to an end, is a `BundleError` then. It starts in about a second, and is
            no prison: code that a file gets to run has its user's rights.
        verify: whether a model's file must have the checksum that it was exported with. Bundles of versions below 3
            have none, and files that were given alone have one since November 2026.

    Raises:
        BundleError: the folder is not a bundle, is damaged, was written by a newer version, or lacks the form.
        UserError: `window_seconds` is not a number above 0, or `num_threads` not a whole number from 1.
    """

    _verify: bool

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        form: str | None = None,
        num_threads: int = 1,
        window_seconds: float | None = None,
        isolated: bool = False,
        verify: bool = True,
    ):
        require_window(window_seconds)
        if not (isinstance(num_threads, numbers.Integral) and num_threads > 0):
            raise UserError(f"num_threads is a whole number, 1 or more, got {num_threads!r}")
        bundle = Path(bundle)
        metadata = read_bundle(bundle, verify=verify)
        models: dict[str, dict[str, Any]] = metadata["models"]
        if form is None:
            form = metadata["default_form"]
        if form not in list(models):  # a list compares whatever a caller gives
            raise BundleError(f"{bundle}: holds no form {form!r}; it has {', '.join(models) or 'none for LiteRT'}")
        file = model_file(bundle, metadata, form, verify=verify)
        make_engine = IsolatedEngine if isolated else Engine
        num_labels = len(Vocabulary.from_record(metadata))
        engine = make_engine(file, num_threads=int(num_threads), num_labels=num_labels)
        self._verify = verify
        limits = Limits.of(metadata, window_seconds=window_seconds)
        self._set_up(bundle, metadata, engine, form=form, size_bytes=file.stat().st_size, limits=limits)

    @classmethod
    def over(
        cls,
        path: Path,
        metadata: dict[str, Any],
        engine: Any,
        *,
        form: str,
        size_bytes: int,
        window_seconds: float | None = None,
    ) -> Recognizer:
        """A recogniser whose model something else than LiteRT runs.

        Args:
            path: what messages name.
            metadata: as a bundle's.
            engine: has what `Engine` has: `recognize`, `stream`, `streams`.
            form: what the model is called.
            size_bytes: its size.
            window_seconds: as above.
        """
        recognizer = cls.__new__(cls)
        recognizer._verify = True
        limits = Limits.of(metadata, window_seconds=window_seconds)
        recognizer._set_up(path, metadata, engine, form=form, size_bytes=size_bytes, limits=limits)
        return recognizer

    def _set_up(
        self, path: Path, metadata: dict[str, Any], engine: Any, *, form: str, size_bytes: int, limits: Limits
    ) -> None:
        self.bundle, self.metadata = path, metadata
        self.form, self.size_bytes = form, size_bytes
        self.sample_rate: int = self.metadata["sample_rate"]
        self.text_rules = TextRules(**self.metadata["text"])
        self.vocabulary = Vocabulary.from_record(self.metadata)
        #: The least margin of a text that is accepted, where the bundle was calibrated (`speechgru calibrate`).
        self.threshold: float | None = (self.metadata.get("rejection") or {}).get("threshold")
        #: Seconds from one step of `log_probs` to the next.
        self.step_seconds: float = self.metadata["step_seconds"]
        #: How much of a recording is computed at once.
        self.limits = limits
        self._computing = Computing(path, metadata, engine, vocabulary=self.vocabulary, limits=limits)
        self._preparation = Preparation(self.text_rules, self.vocabulary, threshold=self.threshold)

    @cached_property
    def grammar(self) -> Grammar | None:
        """The grammar that the bundle carries: what `grammar=True` stands for; None where it carries none.

        Raises:
            BundleError: it is damaged, or of a newer version.
        """
        record = self.metadata["grammar"]
        try:
            return None if record is None else Grammar.from_record(record)
        except GrammarError as error:
            raise BundleError(f"{self.bundle}: {error}") from error

    @cached_property
    def language_model(self) -> Scorer | None:
        """The language model that the bundle carries, with its weights: what `DecodingOptions(language=True)` stands
        for; None where it carries none.

        Raises:
            BundleError: it is missing, damaged, or of a newer version.
        """
        return language_of(self.bundle, self.metadata, verify=self._verify)

    def log_probs(self, samples_N: np.ndarray) -> np.ndarray:
        """The model's output alone.

        Args:
            samples_N: one channel at the bundle's `sample_rate`, as in `transcribe`.

        Returns:
            `log_probs_SV`, natural logarithms, float32.

        Raises:
            AudioError: as `transcribe`.
        """
        return self._computing.whole(checked_samples(samples_N))

    def log_probs_of_blocks(self, blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
        """The model's output for one recording whose samples come block by block, piece by piece.

        Args:
            blocks: `samples_N` each, as in `transcribe`; no more of them is asked for than is being computed.
            sample_rate: their rate in Hz.

        Returns:
            `log_probs_SV` of the steps one after the other; a single piece where the model computes it as one.

        Raises:
            AudioError: as `transcribe`.
        """
        source_rate = checked_rate(sample_rate)
        return self._computing.pieces(
            resample_blocks(map(checked_samples, blocks), source_rate=source_rate, sample_rate=self.sample_rate)
        )

    def batch_log_probs(self, samples_BN: np.ndarray, num_samples_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The model's output for several recordings, which it computes one after the other (`decoding.Predictor`)."""
        return predict_row_by_row(self, samples_BN, num_samples_B)

    @property
    def streams(self) -> bool:
        """Whether `stream` works: the model is one that streams, and was exported with a signature for it."""
        return self._computing.streams

    def stream_log_probs(self, samples_N: np.ndarray, *, piece: int) -> np.ndarray:
        """What `log_probs` gives, by a stream that gets `piece` samples at a time: for whoever wants to compare."""
        windows = self.open_windows()
        samples_N = checked_samples(samples_N)
        results = []
        for start in range(0, len(samples_N), piece):
            results += windows.feed(samples_N[start : start + piece])
        return np.concatenate([np.zeros([0, len(self.vocabulary)], np.float32), *results, *windows.finish()])

    def open_windows(self) -> Windows:
        """A stream's way through the model alone: samples at `sample_rate` in, log-probabilities out, without an end.

        Raises:
            UserError: the model transcribes whole recordings only; says how to train one that streams.
        """
        return self._computing.open_windows()

    def window_for(self, num_samples: int) -> float | None:
        """Seconds of the windows that a recording of some samples at `sample_rate` is computed in.

        Returns:
            The seconds; None where it is computed as one, or by a stream, which is the same.
        """
        return self._computing.window_for(num_samples)

    def stream(
        self,
        sample_rate: int | None = None,
        decoding: DecodingOptions | None = None,
        *,
        grammar: Grammar | bool | None = None,
        endpoint: EndpointRule | None = None,
    ) -> Stream:
        """Opens a stream for somebody who is still speaking.

        Args:
            sample_rate: Hz of the samples to come; the bundle's when None.
            decoding, grammar: as in `transcribe`.
            endpoint: when an utterance is over and the next begins; without one all is one utterance, until `finish`.

        Returns:
            The stream. It gives what `transcribe` gives for the same samples, however they are cut.

        Raises:
            UserError: the bundle's model transcribes whole recordings only; says how to train one that streams.
            AudioError: `sample_rate` is not a number of Hz from 1,000 to 768,000.
            TextError: the bundle cannot write a hotword or phrase; names it.
        """
        options = self.prepare(self._preparation.with_grammar(decoding, grammar))
        return Stream(
            self.open_windows,
            vocabulary=self.vocabulary,
            step_seconds=self.step_seconds,
            sample_rate=self.sample_rate,
            source_rate=self.sample_rate if sample_rate is None else checked_rate(sample_rate),
            options=options,
            endpoint=endpoint,
        )

    @property
    def keyword_thresholds(self) -> dict[str, float]:
        """The keywords that the bundle was calibrated for, as it writes them, each with the least log-odds to count.

        Without a calibration all words that it writes, at even odds; none where it writes characters.

        Raises:
            BundleError: what the bundle holds of them is damaged.
        """
        return thresholds_in(self.metadata, self.vocabulary, name=self.bundle)

    def keyword_stream(
        self,
        sample_rate: int | None = None,
        keywords: Mapping[str, float | None] | Iterable[str] | None = None,
        *,
        window_seconds: float = WINDOW_OF_KEYWORDS,
        refractory_seconds: float = REFRACTORY_SECONDS,
    ) -> KeywordStream:
        """Opens a stream that listens for keywords, however long, and reports each once when it is said.

        Args:
            sample_rate: Hz of the samples to come; the bundle's when None.
            keywords: those to listen for, with their thresholds (log-odds, `decoding.KeywordScorer`) or without: then
                at the bundle's, or at even odds where it has none; all of `keyword_thresholds` when None. A model that
                writes characters listens for any text, at thresholds that you choose.
            window_seconds: the longest time that a keyword takes.
            refractory_seconds: the least time between two reports of the same keyword.

        Raises:
            UserError: the model transcribes whole recordings only; or there is no keyword.
            AudioError: `sample_rate` is not a number of Hz from 1,000 to 768,000.
            TextError: the bundle cannot write a keyword; names it.

        Example:
            stream = recognizer.keyword_stream(sample_rate)
            for samples_N in microphone:
                for found in stream.feed(samples_N):
                    print(found.keyword, found.seconds, found.score)
        """
        names, normalize = names_in(self.metadata, name=self.bundle), self.text_rules.normalize
        return KeywordStream(
            self.open_windows(),
            KeywordSpotter(
                asked_thresholds(keywords, self.keyword_thresholds, names=names, normalize=normalize, name=self.bundle),
                vocabulary=self.vocabulary,
                step_seconds=self.step_seconds,
                window_seconds=window_seconds,
                refractory_seconds=refractory_seconds,
                names=names,
            ),
            sample_rate=self.sample_rate,
            source_rate=self.sample_rate if sample_rate is None else checked_rate(sample_rate),
        )

    def transcribe(
        self,
        samples_N: np.ndarray,
        sample_rate: int,
        decoding: DecodingOptions | None = None,
        *,
        grammar: Grammar | bool | None = None,
    ) -> Hypothesis:
        """Transcribes one utterance.

        Args:
            samples_N: one channel: floats in [-1, 1], or integers of 8, 16 or 32 bits, which are scaled by their type.
            sample_rate: its rate in Hz, 1,000 to 768,000; another than the bundle's is resampled.
            decoding: beam, hotwords and phrases, which go through the bundle's text rules; greedy when None.
            grammar: True allows nothing but the sentences of the bundle's own grammar, and silence; a `Grammar` those
                of that one. The hypothesis then has an intent and slots. `decoding` becomes a beam where it is greedy.

        Returns:
            The text with word times in seconds and confidences.

        Raises:
            AudioError: the samples are not one channel, not finite, far outside [-1, 1], or of a form that does not
                show its full scale (bytes, whole numbers of 64 bits); says how to convert them.
            TextError: the bundle cannot write a hotword or phrase; names it.
        """
        return self.transcribe_n_best(samples_N, sample_rate, self._preparation.with_grammar(decoding, grammar))[0]

    def transcribe_n_best(
        self, samples_N: np.ndarray, sample_rate: int, decoding: DecodingOptions | None = None
    ) -> list[Hypothesis]:
        """Transcribes one utterance: the best first, at most `decoding.n_best` (see `transcribe`)."""
        return self.transcribe_blocks(cut(channel_of(samples_N)), sample_rate, decoding)

    def transcribe_blocks(
        self, blocks: Iterable[np.ndarray], sample_rate: int, decoding: DecodingOptions | None = None
    ) -> list[Hypothesis]:
        """Transcribes one recording whose samples come block by block, such as one of hours (`audio.read_blocks`).

        Args:
            blocks: `samples_N` each, as in `transcribe`; no more of them is asked for than is being computed.
            sample_rate, decoding: as in `transcribe`.

        Returns:
            What `transcribe_n_best` gives for all blocks, one after the other.

        Raises:
            AudioError: as `transcribe`.
            TextError: the bundle cannot write a hotword or phrase; names it.
        """
        options = self.prepare(decoding)
        how: dict[str, Any] = {"vocabulary": self.vocabulary, "step_seconds": self.step_seconds, "options": options}
        pieces = self.log_probs_of_blocks(blocks, sample_rate)
        first_SV, second_SV = next(pieces), next(pieces, None)
        if second_SV is None:
            return decode(first_SV, **how)
        decoder = DecoderStream(**how)
        for log_probs_SV in itertools.chain([first_SV, second_SV], pieces):
            decoder.feed(log_probs_SV)
        return decoder.finish()

    def prepare(self, decoding: DecodingOptions | None) -> DecodingOptions:
        """The options with hotwords and phrases as this recogniser writes them, and its threshold where they have none.

        Transcribing does it by itself, once for the same options; call it to learn of a mistake before the first sound.

        Raises:
            TextError: the bundle cannot write a hotword or phrase; names it.
        """
        return self._preparation.prepare(
            decoding, grammar_of=lambda: self.grammar, language_of=lambda: self.language_model
        )

    def transcribe_file(
        self,
        path: str | os.PathLike[str],
        decoding: DecodingOptions | None = None,
        *,
        grammar: Grammar | bool | None = None,
    ) -> Hypothesis:
        """Transcribes a recording of any rate and channel count (see `transcribe`).

        Raises:
            AudioError: the file cannot be read; names it.
        """
        blocks = read_blocks(path)
        first = next(blocks)
        samples = (block.samples_N for block in itertools.chain([first], blocks))
        return self.transcribe_blocks(samples, first.sample_rate, self._preparation.with_grammar(decoding, grammar))[0]
