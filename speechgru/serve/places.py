"""Places for clients: so many in all, and so many of them for one address."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator

from speechgru.serve.limits import AddressLimitError, LimitError, Limits
from speechgru.visible import counted

#: Leading bits of an IPv6 address that a whole house is given; any machine there may use as many of them as it likes.
_HOUSE_BITS = 64


class Places:
    """Who is there, counted by address: an IPv4 address, or all IPv6 addresses of a house (a /64).

    Args:
        total: places in all.
        per_address: how many of them one address may have.
        limits_local: whether this holds for this machine's own addresses too, which programs beside the server and a
            reverse proxy come from; else these may have all.

    Example:
        >>> places = Places(8, per_address=1, limits_local=False)
        >>> for host in ("192.0.2.1", "2001:db8::1", "127.0.0.1", "127.0.0.1"):
        ...     places.take(host)
        >>> len(places)
        4
        >>> places.take("2001:db8::2")
        Traceback (most recent call last):
        speechgru.serve.limits.AddressLimitError: this address has 1 client here already, the most that one may ...
    """

    def __init__(self, total: int, *, per_address: int, limits_local: bool):
        self._total, self._per_address, self._limits_local = total, per_address, limits_local
        self._taken: Counter[str] = Counter()

    @classmethod
    def of_clients(cls, limits: Limits) -> Places:
        """Those of clients that are served, of all protocols together."""
        return cls(limits.max_clients, per_address=limits.clients_per_address, limits_local=limits.limits_local)

    @classmethod
    def of_connections(cls, limits: Limits) -> Places:
        """Those of a protocol's open connections: some ask for nothing yet, or were refused and read why."""
        per_address = 2 * limits.clients_per_address + 16
        return cls(limits.max_connections, per_address=per_address, limits_local=limits.limits_local)

    @classmethod
    def of_recordings(cls, limits: Limits) -> Places:
        """Those of recordings that are received at a time; one address leaves one of them to others."""
        per_address = max(1, limits.max_recordings - 1)
        return cls(limits.max_recordings, per_address=per_address, limits_local=limits.limits_local)

    def __len__(self) -> int:
        return self._taken.total()

    def take(self, host: str) -> None:
        """Gives a client a place, which it has until `leave`.

        Args:
            host: its address; "" where it is gone again, so that nobody knows.

        Raises:
            AddressLimitError: its address has as many as it may have.
            LimitError: all are taken.
        """
        counted_as, is_local = _counted_as(host)
        if len(self) >= self._total:
            raise LimitError(f"all {self._total} places for clients are taken; try again later")
        if self._taken[counted_as] >= self._per_address and (self._limits_local or not is_local):
            raise AddressLimitError(
                f"this address has {counted(self._per_address, 'client')} here already, the most that one may have; "
                "end one, or try again later"
            )
        self._taken[counted_as] += 1

    def leave(self, host: str) -> None:
        """Takes a client's place back."""
        counted_as, _ = _counted_as(host)
        self._taken[counted_as] -= 1
        if not self._taken[counted_as]:
            del self._taken[counted_as]


class Queue:
    """Places that recordings wait for."""

    def __init__(self, places: Places):
        self._places, self._freed = places, asyncio.Event()

    @contextlib.asynccontextmanager
    async def place(self, host: str, *, seconds: float) -> AsyncIterator[None]:
        """A place for as long as the block runs, waited for as long as `seconds`.

        Raises:
            LimitError: there was none.
        """
        try:
            await asyncio.wait_for(self._take(host), seconds)
        except asyncio.TimeoutError:
            raise LimitError("too many recordings are being transcribed; try again later") from None
        try:
            yield
        finally:
            self._places.leave(host)
            self._freed.set()

    async def _take(self, host: str) -> None:
        while True:
            try:
                self._places.take(host)
            except LimitError:
                self._freed.clear()
                await self._freed.wait()
            else:
                return


def host_of(peer: object) -> str:
    """The host of a socket's peer, as `getpeername` gives it; "" where it is gone.

    Example:
        >>> host_of(("127.0.0.1", 40000)), host_of(None)
        ('127.0.0.1', '')
    """
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


def _counted_as(host: str) -> tuple[str, bool]:
    """The name by which an address is counted, and whether it is this machine's own."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host, False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif not address.is_loopback:
            return str(ipaddress.ip_network((int(address), _HOUSE_BITS), strict=False)), False
    return str(address), address.is_loopback
