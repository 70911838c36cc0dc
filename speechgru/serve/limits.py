"""What a server lets its clients do: how many, how long, how much."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from speechgru.errors import UserError


@dataclass(frozen=True)
class Limits:
    """What clients may use of a server, so that none of them harms the others.

    Args:
        max_clients: clients that are served at a time, of all protocols together; further ones are refused.
        max_clients_per_address: how many of them one address may have, IPv6 by the house (a /64). None: 16, and all for
            this machine's own addresses, by which a reverse proxy's clients come.
        max_seconds: seconds of sound in a recording, or in an utterance of a stream without endpoints.
        max_megabytes: size of a recording's file.
        max_recordings: recordings that are received and transcribed at a time; further ones wait.
        idle_seconds: a client that sends nothing, or reads nothing, for so long is disconnected.

    Raises:
        UserError: a limit is not a number above 0.

    Example:
        >>> Limits().clients_per_address, Limits(max_clients=8).clients_per_address
        (16, 8)
    """

    max_clients: int = 64
    max_clients_per_address: int | None = None
    max_seconds: float = 300.0
    max_megabytes: float = 64.0
    max_recordings: int = 4
    idle_seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise UserError(f"{field.name} must be a number above 0, got {value!r}")

    @property
    def clients_per_address(self) -> int:
        """Clients of one address: by default those of a house, or of Home Assistant for all its rooms."""
        return min(self.max_clients, self.max_clients_per_address or 16)

    @property
    def limits_local(self) -> bool:
        """Whether this machine's own addresses have no more places than others."""
        return self.max_clients_per_address is not None

    @property
    def max_bytes(self) -> int:
        """Bytes of a recording's file."""
        return int(self.max_megabytes * 1e6)

    @property
    def max_message_bytes(self) -> int:
        """Bytes of a message of a stream: half a minute of 16-bit samples at 16 kHz, where players send 0.1 s."""
        return 1 << 20

    @property
    def max_connections(self) -> int:
        """Open connections of a protocol: some ask for nothing yet, or were refused and read why."""
        return 2 * self.max_clients + 16


class LimitError(UserError):
    """A client asked for more than it may use."""


class AddressLimitError(LimitError):
    """An address has as many clients as it may have."""


class TooLargeError(LimitError):
    """What a client sends is larger than it may be."""
