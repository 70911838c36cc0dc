"""The verb: a bundle for a house, by Wyoming and by HTTP, until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from speechgru.decoding import DecodingOptions, EndpointRule
from speechgru.errors import Interrupted, UserError
from speechgru.network import TOKEN_VARIABLE, Address, server_tls
from speechgru.process.signals import exit_code
from speechgru.serve.limits import Limits
from speechgru.serve.service import Service
from speechgru.text import require_language
from speechgru.visible import counted

#: Names by which a server on a loopback address is asked.
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class Server:
    """A bundle that is served; for programs with an asyncio loop of their own (`serve` is for all others).

    Args:
        bundle: the folder that `speechgru export` wrote, or one `.tflite` file of it.
        wyoming: `HOST:PORT` for the Wyoming protocol; None for none. Port 0 is any that is free.
        http: the same for HTTP and WebSocket.
        form: which of the bundle's models to run; its default when None.
        decoding: beam, hotwords, phrases, a grammar; greedy when None.
        endpoint: when an utterance of a stream is over; None leaves it to the client.
        language: of the texts, where the bundle does not state it or another tag is wanted.
        token: what HTTP's clients must show. An address that other machines reach needs one.
        tls: files of a certificate and of its key (PEM), where HTTP is https alone.
        trust_network: whether Wyoming, which knows no token, may listen where other machines reach it.
        origins: of pages in browsers that may use HTTP, beside the server's own.
        limits: what clients may use.
        num_threads: CPU threads that LiteRT may use.

    Raises:
        UserError: nothing is to be served, an address is none or reaches further than it may, or a package of the
            extra `serve` is missing.
        BundleError, TextError: as `Service`.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        wyoming: str | None = None,
        http: str | None = None,
        form: str | None = None,
        decoding: DecodingOptions | None = None,
        endpoint: EndpointRule | None = None,
        language: str | None = None,
        token: str | None = None,
        tls: tuple[Path, Path] | None = None,
        trust_network: bool = False,
        origins: Sequence[str] = (),
        limits: Limits | None = None,
        num_threads: int = 1,
    ):
        if wyoming is None and http is None:
            raise UserError("nothing to serve by; give an address for Wyoming (--wyoming) or HTTP (--http), or both")
        if language is not None:
            require_language(language)
        self._addresses = {
            name: Address.parse(given) for name, given in (("wyoming", wyoming), ("http", http)) if given is not None
        }
        is_local = {name: address.is_loopback for name, address in self._addresses.items()}
        if not is_local.get("wyoming", True) and not trust_network:
            raise UserError(
                f"{wyoming}: other machines reach this address, and the Wyoming protocol knows no token: anybody in "
                "the network may use it; give --trust-network if that is meant, or an address such as 127.0.0.1:10300"
            )
        if not is_local.get("http", True) and token is None:
            raise UserError(
                f"{http}: other machines reach this address, so a token is needed; name a file that holds it or shall "
                f"get a new one (--token-file FILE), or set the environment's {TOKEN_VARIABLE}"
            )
        self._hosts = _LOOPBACK_NAMES if is_local.get("http") and token is None else None
        if tls is not None:
            server_tls(*tls)  # refused before a model is loaded
        self._token, self._origins, self._tls = token, origins, tls
        self._makers = {name: _import(name) for name in self._addresses}
        self.service = Service(
            bundle,
            form=form,
            decoding=decoding,
            endpoint=endpoint,
            language=language,
            limits=limits,
            num_threads=num_threads,
        )
        self._servers: list[Any] = []
        #: The addresses that clients connect to, by protocol; once it is started.
        self.addresses: dict[str, Address] = {}

    @property
    def scheme(self) -> str:
        """What HTTP's addresses begin with: `http`, or `https` with a certificate."""
        return "http" if self._tls is None else "https"

    async def start(self) -> None:
        """Begins to serve.

        Raises:
            UserError: an address cannot be listened on.
        """
        listening = {name: address.listen() for name, address in self._addresses.items()}
        for name, sockets in listening.items():
            host = self._addresses[name].host
            self.addresses[name] = Address(host, sockets[0].getsockname()[1])
            options: dict[str, Any] = {}
            if name == "http":
                options = {"token": self._token, "origins": self._origins, "hosts": self._hosts, "tls": self._tls}
            server = self._makers[name](self.service, sockets, **options)
            await server.start()
            self._servers.append(server)

    async def stop(self) -> None:
        """Lets no more clients in, ends those that are there, and the threads."""
        await asyncio.gather(*(server.stop() for server in self._servers))
        self.service.close()


def serve(
    bundle: str | os.PathLike[str],
    *,
    listener: Callable[[str], None] = lambda line: None,
    started: Callable[[dict[str, str]], None] = lambda addresses: None,
    **options: Any,
) -> None:
    """Serves a bundle until Ctrl-C or SIGTERM; a second signal ends at once.

    Args:
        bundle: the folder that `speechgru export` wrote, or one `.tflite` file of it.
        listener: called with lines for a person: where it listens, and what to know of it.
        started: called once it listens, with what clients connect to, by protocol: `http://127.0.0.1:8080`.
        **options: as `Server` has them.

    Raises:
        UserError: as `Server`.
        Interrupted: a signal has ended it, with its exit status.
    """
    server = Server(bundle, **options)
    received = asyncio.run(_until_a_signal(server, listener, started))
    counts = server.service.counts
    done = [counted(counts[f"{noun}s"], noun) for noun in ("utterance", "recording", "intent") if counts[f"{noun}s"]]
    done += [f"{counts['refused']:,} refused"] if counts["refused"] else []
    raise Interrupted(f"stopped; {', '.join(done) or 'nobody came'}", code=exit_code(received))


async def _until_a_signal(
    server: Server, listener: Callable[[str], None], started: Callable[[dict[str, str]], None]
) -> int:
    """Serves until a signal comes; gives its number."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(number: int) -> None:
        if ended.done():
            os._exit(exit_code(number))  # it was asked to end already
        ended.set_result(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, end, number)
            except NotImplementedError:  # Windows: Ctrl-C ends the loop by itself
                signal.signal(number, lambda received, frame: loop.call_soon_threadsafe(end, received))
    await server.start()
    addresses = {
        name: f"{server.scheme}://{address}" if name == "http" else str(address)
        for name, address in server.addresses.items()
    }
    for name, shown in addresses.items():
        listener(f"{'HTTP and WebSocket' if name == 'http' else 'Wyoming'} on {shown}")
    if server.service.language is None and "wyoming" in server.addresses:
        listener("the bundle does not state its language, so Home Assistant offers it for none; give --language en")
    started(addresses)
    try:
        return await ended
    finally:
        await server.stop()


def _import(name: str) -> Any:
    """The class that serves by a protocol.

    Raises:
        UserError: its package is not installed.
    """
    try:
        if name == "wyoming":
            from speechgru.serve.wyoming_protocol import WyomingServer

            return WyomingServer
        from speechgru.serve.http_protocol import HttpServer

        return HttpServer
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("speechgru"):
            raise
        raise UserError(f"serving needs {error.name}: pip install 'speechgru[serve]'") from error
