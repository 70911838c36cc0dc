"""Where a server listens, and how it and its clients know each other: tokens and certificates."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import socket
import ssl
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from speechgru.errors import UserError
from speechgru.files import read_file

#: The environment's variable that may hold the token.
TOKEN_VARIABLE = "SPEECHGRU_TOKEN"
#: Characters of a token at least: nobody guesses 16 random ones.
_MIN_TOKEN = 16
_TOKEN_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~")


@dataclass(frozen=True)
class Address:
    """A host and a port to listen on.

    Args:
        host: a name or an IP address.
        port: 0 for any that is free.

    Example:
        >>> Address.parse("[::1]:8080")
        Address(host='::1', port=8080)
        >>> Address.parse("127.0.0.1:0").is_loopback, Address.parse("0.0.0.0:80").is_loopback
        (True, False)
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads `HOST:PORT`.

        Raises:
            UserError: it is something else.
        """
        host, colon, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
        if not (colon and host and port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
            raise UserError(f"an address is HOST:PORT, such as 127.0.0.1:10300, got {text!r:.80}")
        if ":" in host and f"[{host}]" not in text:
            raise UserError(f"an IPv6 address stands in brackets, such as [::1]:10300, got {text!r:.80}")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone reaches it.

        Raises:
            UserError: no such host.
        """
        return all(ipaddress.ip_address(host.partition("%")[0]).is_loopback for _, host in self._resolved())

    def listen(self) -> list[socket.socket]:
        """Sockets that listen there: one a family, where the host's name stands for several; all with one port.

        Raises:
            UserError: the address is another program's, another machine's, or not this user's to use.
        """
        sockets: list[socket.socket] = []
        port = self.port
        try:
            for family, host in self._resolved():
                sockets.append(socket.create_server((host, port), family=family, backlog=128))
                port = sockets[0].getsockname()[1]
        except OSError as error:
            for each in sockets:
                each.close()
            reason = (os.strerror(error.errno) if error.errno else str(error)).lower()
            raise UserError(f"{self}: cannot be listened on ({reason}); give another address or port") from error
        return sockets

    def _resolved(self) -> list[tuple[socket.AddressFamily, str]]:
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            raise UserError(f"{self}: there is no such host ({error}); give one of this machine's addresses") from error
        return list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))


def read_token(file: str | Path | None, environment: Mapping[str, str]) -> str | None:
    """The token that clients must show.

    Args:
        file: a text file that holds it; made, with a new token, where it is missing, for its owner's eyes alone.
        environment: may hold it in `SPEECHGRU_TOKEN`; the file comes first.

    Returns:
        The token; None where nothing gives one.

    Raises:
        UserError: as `read_token_file`.
    """
    if file is not None:
        return read_token_file(file)
    token = environment.get(TOKEN_VARIABLE)
    return None if token is None else _checked(token.strip(), f"the environment's {TOKEN_VARIABLE}")


def read_token_file(file: str | Path, *, make: bool = True) -> str:
    """The token in a file.

    Args:
        file: the file.
        make: whether a missing one is made, with a new token.

    Raises:
        UserError: the file cannot be read or written, others may read it, or the token is too short or has characters
            that no HTTP header holds.
    """
    file = Path(file)
    try:
        if make:
            with contextlib.suppress(FileExistsError):
                # O_EXCL: never an existing file's content, and nobody else's from the first moment on.
                number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(number, "w", encoding="ascii") as written:
                    written.write(secrets.token_urlsafe(32) + "\n")
        mode = stat.S_IMODE(file.stat().st_mode)
        token = read_file(file, most=1000).decode("utf-8", "replace").strip()
    except OSError as error:
        raise UserError(
            f"{file}: a file with a token, which cannot be read ({_reason(error)}); whoever has it may give you a copy"
        ) from error
    if os.name == "posix" and mode & 0o077:
        raise UserError(f"{file}: others than its owner may use it (mode {mode:o}); chmod 600 it, or name another")
    return _checked(token, str(file))


def _checked(token: str, where: str) -> str:
    if len(token) < _MIN_TOKEN:
        raise UserError(
            f"{where}: holds a token of {len(token)} characters, and {_MIN_TOKEN} are the least; remove it, and a file "
            "gets a new one by itself"
        )
    if not _TOKEN_CHARACTERS.issuperset(token):
        raise UserError(f"{where}: a token holds letters, digits and the marks - _ . ~ alone; choose another one")
    return token


def certificate_and_key(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Both files, as `--tls-certificate` and `--tls-key` name them, or None.

    Raises:
        UserError: one alone is given.
    """
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UserError("--tls-certificate and --tls-key go together")
    return certificate, key


def server_tls(certificate: str | Path, key: str | Path) -> ssl.SSLContext:
    """TLS for a server, by the files of a certificate and of its key (PEM).

    Raises:
        UserError: one of them cannot be read, is none, or the key asks for a password.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # Without an answer of ours OpenSSL would ask the terminal for a password.
        context.load_cert_chain(certificate, key, password=b"")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise UserError(
            f"{certificate}, {key}: not a certificate and its key in PEM without a password ({_reason(error)})"
        ) from error
    return context


def client_tls(certificate: str | Path) -> ssl.SSLContext:
    """TLS for a client that trusts the servers of one certificate, or of those that it has signed, and no other.

    Raises:
        UserError: the file cannot be read, or is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # asks for the host's name in the certificate
    try:
        context.load_verify_locations(certificate)
    except (OSError, ValueError) as error:
        raise UserError(f"{certificate}: not a certificate in PEM ({_reason(error)})") from error
    return context


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
