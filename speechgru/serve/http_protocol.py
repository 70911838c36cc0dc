"""HTTP's server: who may ask, how many at a time, and what becomes of those that stall."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

from speechgru.serve.http_app import make_app
from speechgru.serve.limits import AddressLimitError, LimitError
from speechgru.serve.places import Places, host_of
from speechgru.serve.service import Service, report_fault

#: What a browser's page, which cannot set headers of a WebSocket, puts before the token in a subprotocol.
TOKEN_PROTOCOL = "token."
#: Seconds that a client that was closed has to read the last bytes.
_LINGER_SECONDS = 5.0

_Scope = dict[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[Any], Awaitable[None]]


class HttpServer:
    """Serves a bundle by HTTP and WebSocket, on sockets that listen.

    Args:
        service: whose model computes.
        sockets: where clients come in.
        token: what clients must show; None asks for none.
        origins: of pages in browsers that may use it, such as `https://example.org`, beside those that it is asked
            by under its own name.
        hosts: the names by which it may be asked; None for any. On a loopback address without a token it must be
            given: else any web page whose name is pointed at this machine may use it.
        tls: files of a certificate and of its key (PEM), where the server speaks https alone.
    """

    def __init__(
        self,
        service: Service,
        sockets: Iterable[socket.socket],
        *,
        token: str | None = None,
        origins: Sequence[str] = (),
        hosts: Sequence[str] | None = None,
        tls: tuple[Path, Path] | None = None,
    ):
        self._sockets = list(sockets)
        self._folder = tempfile.TemporaryDirectory(prefix="speechgru-serve-")
        limits, (certificate, key) = service.limits, tls or (None, None)
        app = _Gate(
            make_app(service, Path(self._folder.name)), service, token=token, origins=tuple(origins), hosts=hosts
        )
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                http=_guarded(Places.of_connections(limits), limits.idle_seconds),
                ws="websockets-sansio",
                ws_max_size=limits.max_message_bytes,
                ws_per_message_deflate=False,  # sound does not shrink by it, and a bomb would grow
                ws_ping_interval=None,  # an answer would wait behind sound that is not read yet; silence ends a client
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="critical",
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=5,
                timeout_graceful_shutdown=2,
                backlog=128,
                ssl_certfile=certificate,
                ssl_keyfile=key,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to serve."""
        self._task = asyncio.create_task(self._server.serve(sockets=self._sockets))
        while not self._server.started and not self._task.done():
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Lets no more clients in; those that are there have two seconds."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._folder.cleanup()


class _Uvicorn(uvicorn.Server):
    """A server that leaves signals to the program around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _guarded(places: Places, idle_seconds: float) -> type[H11Protocol]:
    """HTTP whose connections are counted, and cut where they ask for nothing, or do not read the end of an answer.

    Uvicorn waits for a request's first line for ever, and so it does for a reader of what was left when it closed.
    """
    hosts: dict[asyncio.Transport, str] = {}

    def forget(transport: asyncio.Transport) -> None:
        if transport in hosts:
            places.leave(hosts.pop(transport))

    class Guarded(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            for each in [each for each in hosts if each.is_closing() and not _holds(each)]:
                forget(each)
            host = host_of(transport.get_extra_info("peername"))
            try:
                places.take(host)
            except LimitError:
                transport.abort()
                return
            hosts[transport] = host
            super().connection_made(transport)
            self.loop.call_later(idle_seconds, self._watch, False)

        def connection_lost(self, error: Exception | None) -> None:
            forget(self.transport)
            if self.flow is not None:  # else it was refused at once
                super().connection_lost(error)

        def data_received(self, data: bytes) -> None:
            if self.flow is not None:
                super().data_received(data)

        def _watch(self, was_closing: bool) -> None:
            """Looks after the connection until it is gone, whatever protocol it has become."""
            transport = self.transport
            is_silent = transport.get_protocol() is self and self.cycle is None
            if is_silent or (was_closing and transport.is_closing()):
                transport.abort()
                forget(transport)
            elif transport in hosts:
                pause = _LINGER_SECONDS if transport.is_closing() else idle_seconds
                self.loop.call_later(pause, self._watch, transport.is_closing())

    return Guarded


def _holds(transport: asyncio.Transport) -> bool:
    """Whether something is still to be sent."""
    return transport.get_write_buffer_size() > 0


class _Gate:
    """What every request passes: who asks, from where, and whether there is room; and what becomes of a fault."""

    def __init__(
        self,
        app: Starlette,
        service: Service,
        *,
        token: str | None,
        origins: Sequence[str],
        hosts: Sequence[str] | None,
    ):
        self._app, self._service = app, service
        self._token = None if token is None else token.encode()
        self._origins, self._hosts = {origin.lower().rstrip("/") for origin in origins}, hosts

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["path"] == "/health" and scope["type"] == "http":
            await JSONResponse({"status": "ok"})(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal)
            return
        began = False

        async def watched(message: Any) -> None:
            nonlocal began
            began = True
            try:
                await asyncio.wait_for(send(message), self._service.limits.idle_seconds)
            except asyncio.TimeoutError:
                raise ConnectionError("the client does not read its answer") from None

        try:
            with self._service.client(host_of(scope["client"])):
                await self._app(scope, receive, watched)
        except LimitError as error:  # no room; others are answered where they arise
            status = 429 if isinstance(error, AddressLimitError) else 503
            await _refuse(scope, receive, send, status, str(error))
        except (OSError, asyncio.TimeoutError, WebSocketDisconnect, ClientDisconnect):
            pass  # the client is gone
        except Exception as error:
            report_fault(error, "the HTTP server")
            if not began:
                await _refuse(scope, receive, send, 500, "the server has a fault, which its log names")

    def _refusal(self, headers: dict[str, str]) -> tuple[int, str] | None:
        """A status and its reason, where the request is none that may pass."""
        host, origin = headers.get("host", "").lower(), headers.get("origin", "").lower()
        if self._hosts is not None and _name_in(host) not in self._hosts:
            return 403, "asked by a name that is none of this server's"
        # Pages of other sites may ask a browser to connect to this machine.
        if origin and origin not in self._origins and origin.partition("://")[2] != host:
            return 403, "pages of this origin may not use the server; start it with --origin"
        if self._token is None:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        offered = [given] if scheme.lower() == "bearer" else []
        for protocol in headers.get("sec-websocket-protocol", "").split(","):
            if protocol.strip().startswith(TOKEN_PROTOCOL):
                offered.append(protocol.strip().removeprefix(TOKEN_PROTOCOL))
        if not any(hmac.compare_digest(each.strip().encode(), self._token) for each in offered):
            return 401, "show the token: Authorization: Bearer TOKEN, or the subprotocols speechgru, token.TOKEN"
        return None


def _name_in(host: str) -> str | None:
    """The name or address in a `Host` header, without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


async def _refuse(scope: _Scope, receive: _Receive, send: _Send, status: int, reason: str) -> None:
    """Answers a request or a WebSocket's opening with an error."""
    headers = {"connection": "close"} | ({"www-authenticate": "Bearer"} if status == 401 else {})
    headers |= {"retry-after": "5"} if status in (429, 503) else {}
    response = JSONResponse({"error": reason}, status_code=status, headers=headers)
    if scope["type"] == "http":
        await response(scope, receive, send)
    else:  # the extension of ASGI that gives an opening an answer of its own
        start = {"type": "websocket.http.response.start", "status": status, "headers": response.raw_headers}
        await send(start)
        await send({"type": "websocket.http.response.body", "body": response.body})
