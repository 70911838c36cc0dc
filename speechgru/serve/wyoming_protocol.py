"""Wyoming: what Home Assistant speaks with a speech-to-text service, and with one that gives texts a meaning.

Source: the events of the package `wyoming` (github.com/OHF-Voice/wyoming), which writes and reads them here.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Iterable
from typing import Any

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable, async_write_event
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info, IntentModel, IntentProgram
from wyoming.intent import Entity, Intent, NotRecognized, Recognize
from wyoming.ping import Ping, Pong

from speechgru import __version__
from speechgru.decoding import Hypothesis
from speechgru.errors import UserError
from speechgru.runtime import StreamResult
from speechgru.serve.limits import LimitError
from speechgru.serve.places import Places, host_of
from speechgru.serve.service import Service, Speaker, report_fault, samples_of
from speechgru.visible import counted

#: Bytes of an event's data, and of the line before it.
_MAX_DATA_BYTES = 1 << 16
#: Characters of a text to understand.
_MAX_TEXT = 1000
#: Seconds that a client has to read the last answer.
_LINGER_SECONDS = 1.0
#: Sample types by their width in bytes.
_WIDTHS = {2: "int16", 4: "int32"}


class WyomingError(UserError):
    """A client sent what is no event of the protocol, or one at the wrong time."""


class WyomingServer:
    """Serves a bundle by the Wyoming protocol, on sockets that listen.

    Args:
        service: whose model computes.
        sockets: where clients come in.
    """

    def __init__(self, service: Service, sockets: Iterable[socket.socket]):
        self._service, self._sockets = service, list(sockets)
        self._servers: list[asyncio.AbstractServer] = []
        self._connections = Places.of_connections(service.limits)
        self._clients: dict[asyncio.Task[Any] | None, asyncio.Future[None]] = {}

    async def start(self) -> None:
        """Begins to serve."""
        for each in self._sockets:
            self._servers.append(await asyncio.start_server(self._serve, sock=each, limit=_MAX_DATA_BYTES))

    async def stop(self) -> None:
        """Lets no more clients in, and disconnects those that are there."""
        for server in self._servers:
            server.close()
        for client in self._clients.values():
            client.cancel()
        if serving := [task for task in self._clients if task is not None]:
            await asyncio.wait(serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = host_of(writer.get_extra_info("peername"))
        try:
            self._connections.take(host)  # those that linger are no clients any more
        except LimitError:
            writer.transport.abort()
            return
        task, client = asyncio.current_task(), asyncio.ensure_future(self._converse(host, reader, writer))
        self._clients[task] = client
        try:
            # Not awaited itself: where it is cancelled, this ends as usual, or asyncio would report it as a fault.
            await asyncio.wait({client})
            if not client.cancelled():
                await _linger(reader, writer)
        finally:
            del self._clients[task]
            self._connections.leave(host)
            writer.close()
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), _LINGER_SECONDS)
            writer.transport.abort()  # it does not read what was written

    async def _converse(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self._service, reader, writer)
        with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError):  # the client is gone, or says nothing
            try:
                with self._service.client(host):
                    await connection.serve()
            except LimitError as error:
                await connection.write(Error(text=str(error), code="limit"))
            except UserError as error:
                await connection.write(Error(text=str(error), code="bad-request"))
            except (OSError, EOFError, asyncio.TimeoutError):
                raise
            except Exception as error:
                report_fault(error, "the Wyoming server")
                await connection.write(Error(text="the server has a fault, which its log names", code="fault"))


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Lets a client read the last answer: closing while it still sends would take that away from it (RFC 9112, 9.6)."""

    async def drop() -> None:
        while await reader.read(_MAX_DATA_BYTES):
            pass

    with contextlib.suppress(OSError, asyncio.TimeoutError):
        writer.write_eof()
        await asyncio.wait_for(drop(), _LINGER_SECONDS)


class _Connection:
    """One client: its events, one after the other; the next is read once the last is done with, so floods wait."""

    def __init__(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._service, self._reader, self._writer = service, reader, writer
        self._idle_seconds = service.limits.idle_seconds
        self._speaker: Speaker | None = None
        self._format: tuple[int, int, int] = (0, 0, 0)
        self._is_answered = False  # an endpoint came before the client's own end
        self._written = ""  # of the transcript, in chunks

    async def serve(self) -> None:
        """Handles events until the client is gone."""
        while True:
            event = await asyncio.wait_for(
                read_event(self._reader, max_payload_bytes=self._service.limits.max_message_bytes), self._idle_seconds
            )
            if event is None:
                return
            await self._handle(event)

    async def write(self, event: Eventable) -> None:
        """Writes an event; a client that does not read is given up after a while."""
        await asyncio.wait_for(async_write_event(event.event(), self._writer), self._idle_seconds)

    async def _handle(self, event: Event) -> None:
        kind = event.type
        if Describe.is_type(kind):
            await self.write(make_info(self._service))
        elif Ping.is_type(kind):
            await self.write(Pong(text=event.data.get("text")))
        elif Transcribe.is_type(kind):
            self._require_language(event.data.get("language"))
        elif AudioStart.is_type(kind):
            await self._start(_format_of(event))
        elif AudioChunk.is_type(kind):
            await self._feed(_format_of(event), event.payload or b"")
        elif AudioStop.is_type(kind):
            await self._stop()
        elif Recognize.is_type(kind):
            await self._understand(event.data.get("text"), event.data.get("context"))
        # Other events are none of ours, and dropped, as the protocol has it.

    def _require_language(self, asked: Any) -> None:
        known = self._service.language
        if not asked or known is None:
            return
        if not isinstance(asked, str) or re.split("[-_]", asked.lower())[0] != known.lower().split("-")[0]:
            raise WyomingError(f"this recogniser writes {known}, and {asked!r:.40} was asked for; choose {known}")

    async def _start(self, sound: tuple[int, int, int]) -> Speaker:
        rate, width, _ = self._format = sound
        if width not in _WIDTHS:
            raise WyomingError(f"samples are 2 or 4 bytes wide, got {width}")
        self._speaker = await self._service.speaker(rate)
        self._is_answered, self._written = False, ""
        return self._speaker

    async def _feed(self, sound: tuple[int, int, int], data: bytes) -> None:
        if self._is_answered:
            return
        speaker = self._speaker or await self._start(sound)  # some clients send no start
        if sound != self._format:
            raise WyomingError(f"a sound keeps its rate, width and channels {self._format}; begin another one")
        _, width, num_channels = sound
        result = await speaker.feed(samples_of(data, sample_type=_WIDTHS[width], num_channels=num_channels))
        if result is None:
            return
        if result.ended:
            self._is_answered, self._speaker = True, None
            await self._answer(result.ended[0])
        else:
            await self._write_chunk(self._settled_text(result))

    def _settled_text(self, result: StreamResult) -> str:
        """The part of the text so far that no later sound changes: a chunk that was sent cannot be taken back."""
        if self._service.decoding.beam_width > 1:
            return ""
        return " ".join(word.text for word in result.hypothesis.words[:-1])

    async def _write_chunk(self, text: str) -> None:
        if len(text) <= len(self._written) or not text.startswith(self._written):
            return
        if not self._written:
            await self.write(TranscriptStart(language=self._service.language))
        await self.write(TranscriptChunk(text=text[len(self._written) :]))
        self._written = text

    async def _stop(self) -> None:
        if self._is_answered:
            self._is_answered = False
            return
        speaker, self._speaker = self._speaker, None
        await self._answer(Hypothesis() if speaker is None else await speaker.finish())

    async def _answer(self, hypothesis: Hypothesis) -> None:
        # What was recognised and is not accepted was no command: nobody should act on it.
        text = "" if hypothesis.accepted is False else hypothesis.text
        if self._service.recognizer.streams:
            await self._write_chunk(text)
        await self.write(Transcript(text=text, language=self._service.language))
        if self._written:
            await self.write(TranscriptStop())

    async def _understand(self, text: Any, context: Any) -> None:
        if not isinstance(text, str) or len(text) > _MAX_TEXT:
            raise WyomingError(f"a text to understand has at most {_MAX_TEXT:,} characters")
        sentence = await self._service.understand(text)
        if sentence is None:
            await self.write(NotRecognized(text=text, context=context))
            return
        entities = [Entity(name=name, value=value) for name, value in sentence.slots.items()]
        await self.write(Intent(name=sentence.intent, entities=entities, context=context))


def _format_of(event: Event) -> tuple[int, int, int]:
    """The rate in Hz, bytes a sample and channels of a sound."""
    rate, width, num_channels = (event.data.get(name) for name in ("rate", "width", "channels"))
    for value in (rate, width, num_channels):
        if not isinstance(value, int) or isinstance(value, bool):
            raise WyomingError("rate, width and channels of a sound are whole numbers")
    return rate, width, num_channels  # type: ignore[return-value]


def make_info(service: Service) -> Info:
    """What Home Assistant may know of a service: its languages, whether it streams, whether it knows intents."""
    languages = [] if service.language is None else [service.language]
    recognizer = service.recognizer
    shared: dict[str, Any] = {
        "attribution": Attribution(name="speechgru", url=""),
        "installed": True,
        "version": __version__,
    }
    name = "speechgru" if service.language is None else f"speechgru-{service.language}"
    words = f"a GRU-CTC recogniser of {len(recognizer.vocabulary) - 1:,} {recognizer.vocabulary.unit}s"
    asr = AsrProgram(
        name="speechgru",
        description=words,
        models=[AsrModel(name=name, description=words, languages=languages, **shared)],
        supports_transcript_streaming=recognizer.streams,
        requires_external_vad=service.endpoint is None,
        **shared,
    )
    if recognizer.grammar is None:
        return Info(asr=[asr])
    summary = recognizer.grammar.summary()
    meanings = f"a grammar of {counted(summary['num_intents'], 'intent')}"
    intent = IntentProgram(
        name="speechgru",
        description=meanings,
        models=[IntentModel(name=name, description=meanings, languages=[recognizer.grammar.language], **shared)],
        **shared,
    )
    return Info(asr=[asr], intent=[intent])


async def read_event(reader: asyncio.StreamReader, *, max_payload_bytes: int) -> Event | None:
    """Reads an event as `wyoming.event.async_read_event` does, but no more of it than a client may send.

    That one allocates as many bytes as a client's header claims, and raises what it meets in others.

    Args:
        reader: of the client; its limit is that of a line.
        max_payload_bytes: the longest payload.

    Returns:
        The event; None where the client has ended.

    Raises:
        WyomingError: this is no event.
        LimitError: it is longer than it may be.
        EOFError: the client ended in its midst.
    """
    try:
        line = await reader.readline()
    except ValueError as error:
        raise LimitError(f"an event's line has at most {_MAX_DATA_BYTES:,} bytes") from error
    if not line:
        return None
    header = _record_of(line)
    data = header.get("data") or {}
    length = _length_of(header, "data_length", most=_MAX_DATA_BYTES)
    if not isinstance(data, dict) or not isinstance(header.get("type"), str):
        raise WyomingError("an event has a type and data by name")
    if length:
        data = data | _record_of(await reader.readexactly(length))
    length = _length_of(header, "payload_length", most=max_payload_bytes)
    payload = await reader.readexactly(length) if length else None
    return Event(type=header["type"], data=data, payload=payload)


def _record_of(text: bytes) -> dict[str, Any]:
    try:
        record = json.loads(text)
        # What Python reads, and no answer could give back: halves of characters, NaN, and numbers beyond all measure.
        json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise WyomingError("this is no event of the Wyoming protocol: a line of JSON") from error
    if not isinstance(record, dict):
        raise WyomingError("this is no event of the Wyoming protocol: a line of JSON with a type")
    return record


def _length_of(header: dict[str, Any], name: str, *, most: int) -> int:
    length = header.get(name) or 0
    if not isinstance(length, int) or isinstance(length, bool) or length < 0:
        raise WyomingError(f"{name} is a number of bytes, got {length!r:.40}")
    if length > most:
        raise LimitError(f"{name} is at most {most:,} bytes here, got {length:,}; send less at a time")
    return length
