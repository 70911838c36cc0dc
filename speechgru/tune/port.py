"""The sweep's port: workers ask for trials and report their end, and show the sweep's token.

A connection carries one call, a line each way, the second of them JSON:

    speechgru-sweep-1 TOKEN {"call": "next", "worker": "host-0"}          {"trial": "0003", "status": "RUNNING"}
    speechgru-sweep-1 TOKEN {"call": "ended", "trial": "0003"}            {}
    speechgru-sweep-1 TOKEN {"call": "hello"}                             {}
    speechgru-sweep-1 another {"call": "next", "worker": "host-0"}        {"refused": "show the sweep's token; ..."}

What comes from strangers is compared with the token and not read further. A trial's values and its result are files of
the sweep's folder, which all machines see; nothing of them goes through the port.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import selectors
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from speechgru.errors import UserError
from speechgru.network import Address
from speechgru.process.signals import Stopped
from speechgru.tune.folder import require_trial, require_worker

#: What a trial's ticket says: work on it, ask again later, there are no more.
RUNNING, IDLE, STOPPED = "RUNNING", "IDLE", "STOPPED"

_PROTOCOL = b"speechgru-sweep-1"
#: Bytes of a line at most, and seconds that a client has to send one.
_MOST_BYTES, _SECONDS = 4096, 10.0
#: Connections at a time, and of one address: who holds them for nothing leaves some to others.
_MOST_OPEN, _MOST_OPEN_OF_ONE = 256, 64
#: Seconds between two lines about refused calls.
_LOG_SECONDS = 60.0
#: Seconds for which a worker waits for a chief that was stopped or killed; before it asks again; for an answer.
_CHIEF_SECONDS, _IDLE_SECONDS, _ANSWER_SECONDS = 3600.0, 1.0, 120.0


@dataclass(frozen=True)
class Ticket:
    """What a worker gets when it asks.

    Args:
        trial_id: the trial's number.
        status: whether to run it (`RUNNING`), to ask again (`IDLE`), or to end (`STOPPED`).
    """

    trial_id: str
    status: str


class Desk(Protocol):
    """What hands out trials: the search, or a client of the port."""

    def create_trial(self, tuner_id: str) -> Ticket:
        """The next trial of a worker; the same until its end was reported."""

    def end_trial(self, trial_id: str) -> None:
        """Reports that a trial's outcome is in its folder.

        Raises:
            UserError: there is no such trial, or its outcome is not there.
        """


@dataclass(frozen=True)
class Listener:
    """Where the port is open.

    Args:
        address: as it was given.
        tls: for connections of other machines; None for plain ones.
    """

    address: Address
    tls: ssl.SSLContext | None = None


class Port:
    """Serves a desk, in threads, while it is entered.

    Args:
        desk: the search.
        token: what calls must show.
        listeners: where it listens.
        log: called now and then with a line about refused calls.

    Raises:
        UserError: an address cannot be listened on, such as one that another chief has.
    """

    def __init__(self, desk: Desk, token: str, listeners: Sequence[Listener], *, log: Callable[[str], None]):
        self._desk, self._token = desk, token.encode()
        self._refused = _Refused(log)
        self._lock = threading.Lock()
        self._end, self._ended = socket.socketpair()  # closing the one wakes who waits for the other
        self._open: Counter[str] = Counter()
        self._sockets: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        #: Where it really listens, in the order of `listeners`.
        self.addresses: list[Address] = []
        try:
            for listener in listeners:
                sockets = listener.address.listen()
                self._sockets += [(each, listener.tls) for each in sockets]
                self.addresses.append(Address(listener.address.host, sockets[0].getsockname()[1]))
        except UserError:
            self._close()
            raise
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Port:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.close()
        self._thread.join()
        self._close()
        self._refused.close()

    def _close(self) -> None:
        for each in (self._end, self._ended, *(listening for listening, _ in self._sockets)):
            each.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            for listening, tls in self._sockets:
                listening.setblocking(False)
                selector.register(listening, selectors.EVENT_READ, (listening, tls))
            selector.register(self._ended, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.data is None:
                        return
                    listening, tls = key.data
                    try:
                        connection, peer = listening.accept()
                    except OSError:  # the client is gone, or the process has no descriptor left
                        time.sleep(0.01)
                        continue
                    self._admit(connection, str(peer[0]), tls)

    def _admit(self, connection: socket.socket, host: str, tls: ssl.SSLContext | None) -> None:
        """Gives a connection a thread, where there is room for it."""
        with self._lock:
            has_room = self._open.total() < _MOST_OPEN and self._open[host] < _MOST_OPEN_OF_ONE
            if has_room:
                self._open[host] += 1
        if not has_room:
            self._refused.count(host)
            connection.close()
            return
        try:
            threading.Thread(target=self._serve, args=(connection, host, tls), daemon=True).start()
        except RuntimeError:  # the process may have no more threads
            connection.close()
            self._leave(host)

    def _serve(self, connection: socket.socket, host: str, tls: ssl.SSLContext | None) -> None:
        """One connection, from its line to the answer."""
        try:
            with connection, contextlib.suppress(OSError):  # the client is gone, silent, or speaks no TLS
                connection.settimeout(_SECONDS)
                wrapped = connection if tls is None else tls.wrap_socket(connection, server_side=True)
                with wrapped:
                    answer = self._answer(_receive_line(wrapped, seconds=_SECONDS, start=_PROTOCOL), host)
                    wrapped.settimeout(_SECONDS)
                    wrapped.sendall(json.dumps(answer).encode() + b"\n")
        finally:
            self._leave(host)

    def _leave(self, host: str) -> None:
        with self._lock:
            self._open[host] -= 1
            if not self._open[host]:
                del self._open[host]

    def _answer(self, line: bytes, host: str) -> dict[str, Any]:
        protocol, token, call = [*line.split(b" ", 2), b"", b""][:3]
        is_shown = hmac.compare_digest(token, self._token)
        if protocol != _PROTOCOL or not is_shown:
            self._refused.count(host)
            return {"refused": "show the sweep's token, which is in the file `token` of the sweep's folder"}
        try:
            return self._call(json.loads(call))
        except (UserError, ValueError, RecursionError) as error:
            return {"refused": str(error)[:1000]}

    def _call(self, call: object) -> dict[str, Any]:
        """Carries out a call.

        Raises:
            UserError: it is none.
        """
        given = call if isinstance(call, dict) else {}
        if given.get("call") == "next":
            ticket = self._desk.create_trial(require_worker(given.get("worker")))
            return {"trial": ticket.trial_id, "status": ticket.status}
        if given.get("call") == "ended":
            self._desk.end_trial(require_trial(given.get("trial")))
            return {}
        if given.get("call") == "hello":
            return {}
        raise UserError("a call is next, with a worker, ended, with a trial, or hello")


class _Refused:
    """Counts refused calls, and reports them now and then: a line for each would be what fills the disk."""

    def __init__(self, log: Callable[[str], None]):
        self._log, self._lock = log, threading.Lock()
        self._count, self._host, self._next = 0, "", 0.0

    def count(self, host: str) -> None:
        with self._lock:
            self._count, self._host = self._count + 1, host
            is_due = time.monotonic() >= self._next
        if is_due:
            self.close()

    def close(self) -> None:
        """Reports what was not reported yet."""
        with self._lock:
            count, self._count, self._next = self._count, 0, time.monotonic() + _LOG_SECONDS
        if count:
            calls = "a call" if count == 1 else f"{count:,} calls"
            self._log(f"refused {calls} without the sweep's token, or too many at a time, the last from {self._host}")


class Client:
    """A desk on another machine, or in another process; what it does not answer is asked again, for an hour.

    Args:
        address: the chief's.
        token: the sweep's.
        tls: trusts the chief's certificate; None where it has none.
        stopped: whether the worker shall end.
    """

    def __init__(self, address: Address, token: str, *, tls: ssl.SSLContext | None = None, stopped: Callable[[], bool]):
        self._address, self._token, self._tls, self._stopped = address, token.encode(), tls, stopped

    def greet(self) -> bool:
        """Whether the chief answers now.

        Raises:
            UserError: as for `create_trial`.
        """
        return self._try({"call": "hello"}) is not None

    def create_trial(self, tuner_id: str) -> Ticket:
        """The next trial of a worker.

        Raises:
            UserError: the chief refuses the token or the name, has another certificate, or is none.
            Stopped: the worker shall end, or the chief is gone.
        """
        answer = self._ask({"call": "next", "worker": tuner_id})
        status = answer.get("status")
        if status not in (RUNNING, IDLE, STOPPED):
            raise UserError(f"{self._address}: answers {answer!a:.80}, as no chief of this version does")
        return Ticket(require_trial(answer.get("trial")) if status == RUNNING else "", status)

    def end_trial(self, trial_id: str) -> None:
        """Reports the end of a trial.

        Raises:
            UserError, Stopped: as for `create_trial`; or the chief does not see the trial's outcome.
        """
        self._ask({"call": "ended", "trial": trial_id})

    def _ask(self, call: dict[str, str]) -> dict[str, Any]:
        deadline = time.monotonic() + _CHIEF_SECONDS
        while True:
            if self._stopped():
                raise Stopped
            answer = self._try(call)
            if answer is not None:
                return answer
            if time.monotonic() > deadline:
                raise Stopped
            time.sleep(_IDLE_SECONDS)

    def _try(self, call: dict[str, str]) -> dict[str, Any] | None:
        """The answer; None where there was none.

        Raises:
            UserError: the chief refuses the call, its certificate is not trusted, or the answer is none of a chief.
        """
        try:
            with contextlib.ExitStack() as stack:
                place = (self._address.host, self._address.port)
                connection = stack.enter_context(socket.create_connection(place, timeout=_SECONDS))
                if self._tls is not None:
                    connection = stack.enter_context(
                        self._tls.wrap_socket(connection, server_hostname=self._address.host)
                    )
                connection.sendall(b" ".join([_PROTOCOL, self._token, json.dumps(call).encode()]) + b"\n")
                line = _receive_line(connection, seconds=_ANSWER_SECONDS, stopped=self._stopped)
        except ssl.SSLCertVerificationError as error:
            raise UserError(
                f"{self._address}: its certificate is not trusted ({error.verify_message}); give the chief's with "
                "--tls-certificate, and make it for the host's name or address that --chief names"
            ) from error
        except ssl.SSLError as error:
            raise UserError(
                f"{self._address}: speaks no TLS ({error.reason}); leave --tls-certificate out where the chief has none"
            ) from error
        except OSError:
            return None
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise UserError(f"{self._address}: answers {line!a:.80}, as no chief of this version does")
        if "refused" in answer:
            raise UserError(f"{self._address}: the chief refuses: {_printable(answer['refused'])}")
        return answer


def _receive_line(
    connection: socket.socket, *, seconds: float, start: bytes = b"", stopped: Callable[[], bool] = lambda: False
) -> bytes:
    """A line, without its end.

    Args:
        connection: where it comes from.
        seconds: that it may take.
        start: what it begins with; one that does not is given as far as it came.
        stopped: whether nobody waits for it any more.

    Raises:
        OSError: it did not come whole, in time.
        Stopped: the worker shall end.
    """
    deadline, received = time.monotonic() + seconds, b""
    while b"\n" not in received:
        left = deadline - time.monotonic()
        if left <= 0 or len(received) > _MOST_BYTES:
            raise OSError("no line came")
        if stopped():
            raise Stopped
        connection.settimeout(min(left, _IDLE_SECONDS))
        with contextlib.suppress(TimeoutError):
            block = connection.recv(_MOST_BYTES)
            if not block:
                raise ConnectionResetError("closed before a line's end")
            received += block
        if not received.startswith(start[: len(received)]):
            break
    return received.partition(b"\n")[0]


def _printable(text: object) -> str:
    return "".join(mark if mark.isprintable() else "?" for mark in str(text))[:1000]
