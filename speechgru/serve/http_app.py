"""The application behind HTTP: recordings by POST, and streams by WebSocket."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from speechgru import __version__
from speechgru.audio.samples import checked_rate
from speechgru.decoding import EndpointRule
from speechgru.errors import AudioError, UserError
from speechgru.runtime import StreamResult
from speechgru.runtime.transcription import hypothesis_record
from speechgru.serve.limits import LimitError, TooLargeError
from speechgru.serve.places import Places, Queue, host_of
from speechgru.serve.service import Service, Speaker, samples_of

#: The subprotocol that a browser's page asks for beside its token.
STREAM_PROTOCOL = "speechgru"
#: Closing codes of RFC 6455 and its registry.
_POLICY, _TRY_LATER = 1008, 1013


def make_app(service: Service, folder: Path) -> Starlette:
    """The application: `POST /transcribe`, WebSocket `/stream`, `GET /info`.

    Args:
        service: whose model computes.
        folder: for the files of recordings while they are transcribed.
    """
    queue = Queue(Places.of_recordings(service.limits))

    async def info(request: Request) -> JSONResponse:
        return JSONResponse({"speechgru_version": __version__} | service.describe())

    async def transcribe(request: Request) -> JSONResponse:
        try:
            # Its body stays unread until there is room for it.
            async with queue.place(host_of(request.scope["client"]), seconds=service.limits.idle_seconds):
                return JSONResponse(await _transcribe(service, folder, request))
        except LimitError as error:
            status = 413 if isinstance(error, TooLargeError) else 503
            return JSONResponse({"error": str(error)}, status_code=status, headers={"connection": "close"})
        except AudioError as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        except UserError as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    async def stream(socket: WebSocket) -> None:
        await _Conversation(service, socket).run()

    routes = [
        Route("/info", info),
        Route("/transcribe", transcribe, methods=["POST"]),
        WebSocketRoute("/stream", stream),
    ]
    return Starlette(routes=routes)


async def _transcribe(service: Service, folder: Path, request: Request) -> dict[str, Any]:
    """Receives a recording's file and transcribes it."""
    limits = service.limits
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise UserError("send the recording's bytes alone as the body: curl --data-binary @hello.wav")
    channel = _whole_number(request.query_params.get("channel"), "channel")
    too_large = f"a recording has at most {limits.max_bytes:,} bytes here"
    if (_whole_number(request.headers.get("content-length"), "content-length") or 0) > limits.max_bytes:
        raise TooLargeError(too_large)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".audio") as file:
        size, body = 0, request.stream()
        deadline = asyncio.get_running_loop().time() + limits.max_seconds
        while True:
            left = deadline - asyncio.get_running_loop().time()
            try:
                part = await asyncio.wait_for(anext(body, None), max(0.0, min(left, limits.idle_seconds)))
            except asyncio.TimeoutError:
                raise UserError("the recording did not arrive in time; send it without pauses") from None
            if part is None:
                break
            size += len(part)
            if size > limits.max_bytes:
                raise TooLargeError(too_large)
            file.write(part)
        file.flush()
        if not size:
            raise UserError("the request's body is empty; send a recording's bytes: curl --data-binary @hello.wav")
        return await service.transcribe(Path(file.name), channel=channel)


def _whole_number(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UserError(f"{name} is a whole number, got {text!r:.40}")
    return int(text)


class _Conversation:
    """One WebSocket: samples in, texts out. A message is read once the last is done with, so that floods wait."""

    def __init__(self, service: Service, socket: WebSocket):
        self._service, self._socket = service, socket
        self._shown = ""
        self._speaker: Speaker | None = None
        self._sample_rate: float = service.recognizer.sample_rate
        self._sample_type, self._num_channels = "int16", 1
        self._endpoint: EndpointRule | None = None

    async def run(self) -> None:
        """Serves the client until it ends."""
        offered = self._socket.scope.get("subprotocols") or []
        await self._socket.accept(subprotocol=STREAM_PROTOCOL if STREAM_PROTOCOL in offered else None)
        try:
            self._read_options()
            await self._send("ready", **self._service.describe())
            while await self._next():
                pass
        except LimitError as error:
            await self._end(_POLICY, str(error))
        except UserError as error:
            await self._end(_POLICY, str(error))
        except asyncio.TimeoutError:
            await self._end(_TRY_LATER, "nothing came for too long; begin again")

    def _read_options(self) -> None:
        query = self._socket.query_params
        unknown = sorted(set(query) - {"sample_rate", "format", "channels", "endpoint"})
        if unknown:
            raise UserError(f"unknown option {unknown[0]!r:.40}; there are sample_rate, format, channels and endpoint")
        rate = _whole_number(query.get("sample_rate"), "sample_rate")
        self._sample_rate = checked_rate(self._service.recognizer.sample_rate if rate is None else rate)
        self._sample_type = query.get("format", "int16")
        self._num_channels = _whole_number(query.get("channels", "1"), "channels") or 0
        samples_of(b"", sample_type=self._sample_type, num_channels=self._num_channels)
        if "endpoint" in query:
            try:
                longest = min(30.0, self._service.limits.max_seconds)
                self._endpoint = EndpointRule(trailing_seconds=float(query["endpoint"]), max_seconds=longest)
            except ValueError as error:
                raise UserError(f"endpoint is a number of seconds, got {query['endpoint']!r:.40}") from error

    async def _next(self) -> bool:
        """Handles a message; False after the client's last."""
        limits = self._service.limits
        message = await asyncio.wait_for(self._socket.receive(), limits.idle_seconds)
        if message["type"] == "websocket.disconnect":
            return False
        data = message.get("bytes")
        if data is None:
            self._require_end(message.get("text") or "")
            await self._finish()
            return True
        if self._speaker is None:
            self._speaker, self._shown = await self._service.speaker(self._sample_rate, self._endpoint), ""
        samples_N = samples_of(data, sample_type=self._sample_type, num_channels=self._num_channels)
        result = await self._speaker.feed(samples_N)
        if result is not None:
            await self._show(result, self._speaker.seconds)
        return True

    def _require_end(self, text: str) -> None:
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            record = None
        if record != {"type": "end"}:
            raise UserError('messages are samples in binary, or the text {"type": "end"} after the last of them')

    async def _show(self, result: StreamResult, seconds: float) -> None:
        for hypothesis in result.ended:
            await self._send("utterance", **hypothesis_record(hypothesis))
            self._shown = ""
        if result.text != self._shown:
            self._shown = result.text
            await self._send("partial", text=result.text, seconds=round(seconds, 3))

    async def _finish(self) -> None:
        speaker = self._speaker or await self._service.speaker(self._sample_rate, self._endpoint)
        self._speaker = None
        seconds = speaker.seconds
        await self._send("final", **hypothesis_record(await speaker.finish()), duration=seconds)

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._socket.send_text(json.dumps({"type": kind, **fields}, ensure_ascii=False))

    async def _end(self, code: int, reason: str) -> None:
        await self._send("error", error=reason)
        await self._socket.close(code, reason.encode()[:120].decode("utf-8", "ignore"))
