"""One model for many clients: their sound in turns, and what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from speechgru.audio.samples import checked_rate
from speechgru.decoding import DecodingOptions, EndpointRule, Hypothesis
from speechgru.errors import AudioError, UserError
from speechgru.runtime import Recognizer, StreamResult
from speechgru.runtime.transcription import transcribe_file
from speechgru.serve.limits import LimitError, Limits
from speechgru.serve.places import Places
from speechgru.visible import visible

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

#: Seconds of sound that a client's turn computes at most: those who send much at once keep nobody waiting for long.
_TURN_SECONDS = 0.25
#: How raw samples may be written, all little endian.
SAMPLE_TYPES = {"int16": "<i2", "int32": "<i4", "float32": "<f4"}
#: First bytes of recordings that libsndfile reads. Nothing else is looked at: ffmpeg and PyAV follow playlists, texts
#: that name other files of this machine, and make hours of silence of a small file before anybody counts them.
_BEGINNINGS = re.compile(
    rb"(RIFF|RIFX|RF64).{4}WAVE|riff\x2e\x91\xcf\x11|FORM.{4}AIF[FC]|fLaC|OggS|ID3|\.snd|caff|\xff[\xe0-\xff]",
    re.DOTALL,
)


class Service:
    """A bundle that many clients use at once.

    Streams take turns: each has its own state, and one thread computes a piece of one after a piece of another. Whole
    recordings have a thread and a loaded model of their own, so that nobody's stream waits for somebody's hour.

    Args:
        bundle: the folder that `speechgru export` wrote, or one `.tflite` file of it.
        form: which of the bundle's models to run; its default when None.
        decoding: beam, hotwords, phrases, a grammar; greedy when None.
        endpoint: when an utterance of a stream is over; None leaves it to the client.
        language: of the texts, where the bundle does not state it or another tag is wanted.
        limits: what clients may use.
        num_threads: CPU threads that LiteRT may use.

    Raises:
        BundleError: the bundle is missing or damaged.
        TextError: the bundle cannot write a hotword or phrase.
        UserError: an endpoint is asked of a bundle that does not stream.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        form: str | None = None,
        decoding: DecodingOptions | None = None,
        endpoint: EndpointRule | None = None,
        language: str | None = None,
        limits: Limits | None = None,
        num_threads: int = 1,
    ):
        self.recognizer = Recognizer(bundle, form=form, num_threads=num_threads)
        self.limits = limits or Limits()
        self.decoding = self.recognizer.prepare(decoding)
        self.endpoint = endpoint
        self.language = language or self.recognizer.metadata["language"]
        if endpoint is not None and not self.recognizer.streams:
            raise UserError(
                f"{bundle}: transcribes whole recordings only, so that nothing is known of an utterance's end before "
                "its client says so; leave the endpoint out, or export a model that streams"
            )
        self._recordings = Recognizer(bundle, form=form, num_threads=num_threads)
        self._recordings_decoding = self._recordings.prepare(decoding)
        self._threads = {name: ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("streams", "recordings")}
        self._places = Places.of_clients(self.limits)
        #: What was done so far, by its name.
        self.counts: Counter[str] = Counter()

    def describe(self) -> dict[str, Any]:
        """What a client may know of it, JSON-ready: no path, and nothing of this machine."""
        recognizer = self.recognizer
        return {
            "language": self.language,
            "sample_rate": recognizer.sample_rate,
            "form": recognizer.form,
            "streams": recognizer.streams,
            "decoding": self.decoding.description,
            "intents": recognizer.grammar is not None,
            "endpoint_seconds": self.endpoint and self.endpoint.trailing_seconds,
            "limits": {
                "clients": self.limits.max_clients,
                "clients_per_address": self.limits.clients_per_address,
                "seconds": self.limits.max_seconds,
                "megabytes": self.limits.max_megabytes,
                "idle_seconds": self.limits.idle_seconds,
            },
        }

    @property
    def num_clients(self) -> int:
        """Clients that are served now."""
        return len(self._places)

    @contextlib.contextmanager
    def client(self, host: str) -> Iterator[None]:
        """A client's place as long as it is served.

        Args:
            host: its address.

        Raises:
            LimitError: there are as many as may be, of this address or of all.
        """
        try:
            self._places.take(host)
        except LimitError:
            self.counts["refused"] += 1
            raise
        try:
            yield
        finally:
            self._places.leave(host)

    async def compute(self, work: Callable[_Given, _Result], *given: _Given.args, **options: _Given.kwargs) -> _Result:
        """Runs something of a stream in its turn, beside the loop that serves all clients."""
        return await self._in_thread("streams", lambda: work(*given, **options))

    async def _in_thread(self, thread: str, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads[thread], work)

    async def speaker(self, sample_rate: float, endpoint: EndpointRule | None = None) -> Speaker:
        """Somebody who begins to speak.

        Args:
            sample_rate: Hz of the samples to come.
            endpoint: when an utterance is over; this service's rule when None.

        Raises:
            AudioError: no microphone has this rate.
            UserError: an endpoint is asked of a bundle that does not stream.
        """
        sample_rate = checked_rate(sample_rate)
        rule = endpoint or self.endpoint
        if rule is not None and not self.recognizer.streams:
            raise UserError("this recogniser transcribes whole utterances only; leave the endpoint out")
        return await self.compute(Speaker, self, sample_rate, rule)

    async def transcribe(self, path: Path, *, channel: int | None = None) -> dict[str, Any]:
        """Transcribes a file that a client sent; gives the record of `runtime.transcription.transcribe`, without paths.

        Raises:
            AudioError: the file is no recording, or longer than it may be.
        """

        def work() -> dict[str, Any]:
            with path.open("rb") as opened:
                require_recording(opened.read(16))
            record = transcribe_file(
                self._recordings,
                path,
                self._recordings_decoding,
                channel=channel,
                max_seconds=self.limits.max_seconds,
            )
            del record["audio_filepath"]
            return record

        try:
            record = await self._in_thread("recordings", work)
        except AudioError as error:
            raise AudioError(str(error).replace(str(path), "the recording")) from None
        self.counts["recordings"] += 1
        return record

    async def understand(self, text: str) -> Any:
        """The sentence of the bundle's grammar that a text is; None where it is none, or there is no grammar."""
        grammar = self.recognizer.grammar
        if grammar is None:
            return None
        self.counts["intents"] += 1
        return await self.compute(grammar.parse, text)

    async def answer(self, samples_N: np.ndarray, sample_rate: float) -> Hypothesis:
        """Transcribes what a client of a bundle that does not stream has said."""
        return await self._in_thread(
            "recordings",
            lambda: self._recordings.transcribe(samples_N, sample_rate, self._recordings_decoding),  # type: ignore[arg-type]
        )

    def close(self) -> None:
        """Ends the threads; what is being computed is the last."""
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)


class Speaker:
    """One client's utterance while it is spoken (`Service.speaker` makes it).

    Args:
        service: whose model computes.
        sample_rate: Hz of the samples to come.
        endpoint: when an utterance is over; None when the client says so.
    """

    def __init__(self, service: Service, sample_rate: float, endpoint: EndpointRule | None):
        self._service, self._sample_rate, self._endpoint = service, sample_rate, endpoint
        self._kept = bytearray()  # of float32: as many arrays as messages would take far more
        self._stream = None
        if service.recognizer.streams:
            self._stream = service.recognizer.stream(
                sample_rate,  # type: ignore[arg-type]
                service.decoding,
                endpoint=endpoint,
            )
        #: Samples that came so far.
        self.num_samples = 0

    @property
    def seconds(self) -> float:
        """Seconds of sound that came so far."""
        return self.num_samples / self._sample_rate

    async def feed(self, samples_N: np.ndarray) -> StreamResult | None:
        """Takes the next samples; gives what is recognised by now, None where the bundle does not stream.

        Raises:
            AudioError: the samples are not finite, or far outside [-1, 1].
            LimitError: an utterance may not be as long.
        """
        limit = self._service.limits.max_seconds
        self.num_samples += len(samples_N)
        if self._endpoint is None and self.seconds > limit:
            raise LimitError(f"an utterance may last {limit:g} s here; end it sooner")
        if self._stream is None:
            self._kept += samples_N.tobytes()
            return None
        size = max(1, int(_TURN_SECONDS * self._sample_rate))
        ended: list[Hypothesis] = []
        result = StreamResult(Hypothesis())
        for start in range(0, max(1, len(samples_N)), size):
            result = await self._service.compute(self._stream.feed, samples_N[start : start + size])
            ended += result.ended
        return StreamResult(result.hypothesis, tuple(ended))

    async def finish(self) -> Hypothesis:
        """Says that nothing follows; gives the last utterance."""
        self._service.counts["utterances"] += 1
        if self._stream is not None:
            return await self._service.compute(self._stream.finish)
        return await self._service.answer(np.frombuffer(self._kept, np.float32), self._sample_rate)


def samples_of(data: bytes, *, sample_type: str, num_channels: int = 1) -> np.ndarray:
    """`samples_N` of raw PCM, its channels averaged.

    Args:
        data: whole samples of all channels.
        sample_type: one of `SAMPLE_TYPES`.
        num_channels: whose samples alternate.

    Raises:
        AudioError: another type or number of channels, or not whole samples.

    Example:
        >>> samples_of(bytes([0, 0, 0, 64, 0, 128, 0, 64]), sample_type="int16", num_channels=2).tolist()
        [0.25, -0.25]
    """
    dtype = SAMPLE_TYPES.get(sample_type)
    if dtype is None:
        raise AudioError(f"samples are of the type {', '.join(SAMPLE_TYPES)}, got {sample_type!r:.40}")
    if not 1 <= num_channels <= 16:
        raise AudioError(f"a stream has from 1 to 16 channels, got {num_channels}")
    size = np.dtype(dtype).itemsize * num_channels
    if len(data) % size:
        raise AudioError(
            f"a message holds whole samples, {size} bytes each ({sample_type}, {num_channels} "
            f"channel{'s' * (num_channels > 1)}), got {len(data)} bytes"
        )
    samples_NC = np.frombuffer(data, dtype).reshape(-1, num_channels)
    scale = 1.0 if dtype == "<f4" else 2.0 ** (8 * np.dtype(dtype).itemsize - 1)
    return (samples_NC.astype(np.float64).mean(axis=1) / scale).astype(np.float32)


def require_recording(beginning: bytes) -> None:
    """Refuses a file that does not begin as a recording does.

    Args:
        beginning: its first 16 bytes.

    Raises:
        AudioError: it does not.
    """
    if not _BEGINNINGS.match(beginning):
        raise AudioError("this is no recording of a form that the server reads; send WAV, FLAC, Ogg, MP3, AIFF or CAF")


def report_fault(error: BaseException, where: str) -> None:
    """Writes a line about a fault of ours, which the client gets no word of; with SPEECHGRU_TRACEBACK all of it."""
    if os.environ.get("SPEECHGRU_TRACEBACK"):
        traceback.print_exception(error)
    line = f"a fault in {where}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    print(visible(line, in_a_line=True), file=sys.stderr)
