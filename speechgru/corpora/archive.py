"""Fetching a corpus from the network and unpacking it without trusting it."""

from __future__ import annotations

import contextlib
import gzip
import http
import http.client
import os
import queue
import re
import shutil
import tarfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from speechgru.errors import CorpusError
from speechgru.files import atomic_path, temporary_folder
from speechgru.progress import Progress, silent
from speechgru.visible import visible

_BLOCK = 1 << 16


def download(
    url: str,
    path: Path,
    *,
    max_bytes: int,
    advice: str,
    timeout_seconds: float = 30.0,
    max_seconds: float = 3600.0,
    progress: Progress = silent,
) -> None:
    """Downloads a file over https; a download that breaks off leaves nothing behind.

    Args:
        url: what to fetch: https, or http of this machine itself. So is whatever it is redirected to.
        path: where to put it.
        max_bytes: more than this is refused.
        advice: what to do without a network; ends the messages.
        timeout_seconds: how long the connection may be still.
        max_seconds: how long all of it may take, however often a few bytes come.
        progress: called with the bytes received; the total is 0 where the server does not give it.

    Raises:
        CorpusError: no network, no such file, cut off, too large, too slow or not https; names the URL.
    """
    deadline = time.monotonic() + max_seconds
    blocks: queue.Queue[_Answer] = queue.Queue(maxsize=16)
    given_up = threading.Event()
    # In a thread, as no timeout of a socket bounds a server that sends a byte at a time, be it in its headers.
    threading.Thread(target=_fetch, args=(url, timeout_seconds, blocks, given_up), daemon=True).start()
    total, done = 0, 0
    try:
        with atomic_path(path) as temporary, open(temporary, "wb") as stream:
            while (answer := _next(blocks, deadline, url, max_seconds, advice)) is not None:
                if isinstance(answer, Exception):
                    raise CorpusError(f"{url}: cannot be downloaded ({answer}); {advice}") from answer
                if isinstance(answer, int):
                    total = answer
                else:
                    done += len(answer)
                    stream.write(answer)
                if max(done, total) > max_bytes:
                    raise CorpusError(f"{url}: is larger than the {max_bytes:,} bytes expected at most; {advice}")
                progress("downloading", done, total, "")
            if done < total:  # http.client returns what came before a connection ended early
                raise CorpusError(f"{url}: broke off after {done:,} of {total:,} bytes; try again, or {advice}")
    finally:
        given_up.set()


#: What the thread that fetches passes on: the size that the server gives, blocks, what failed, or None at the end.
_Answer = int | bytes | Exception | None


def _next(blocks: queue.Queue[_Answer], deadline: float, url: str, max_seconds: float, advice: str) -> _Answer:
    """The next answer of the thread that fetches.

    Raises:
        CorpusError: there is none in time.
    """
    try:
        if (left := deadline - time.monotonic()) > 0:
            return blocks.get(timeout=left)
    except queue.Empty:
        pass
    raise CorpusError(f"{url}: takes more than {max_seconds:,.0f} s; try again, or {advice}")


def _fetch(url: str, timeout_seconds: float, blocks: queue.Queue[_Answer], given_up: threading.Event) -> None:
    """Puts what a server answers into a queue, until nobody wants it any more; runs in a thread."""

    def put(answer: _Answer) -> None:
        while not given_up.is_set():
            with contextlib.suppress(queue.Full):
                blocks.put(answer, timeout=0.1)
                return

    try:
        _require_safe(url)
        with _opener().open(url, timeout=timeout_seconds) as response:
            if response.status != http.HTTPStatus.OK:
                raise OSError(f"the server answers {response.status} {response.reason}")
            put(_length_of(response))
            while not given_up.is_set() and (block := response.read1(_BLOCK)):
                put(block)
        put(None)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        put(error)
    except urllib.error.URLError as error:
        put(error.reason if isinstance(error.reason, Exception) else error)
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a URL that is none
        put(error)


def _length_of(response: http.client.HTTPResponse) -> int:
    """How many bytes a server says that it sends; 0 where it does not say.

    Raises:
        OSError: it says something else than a number.
    """
    given = set(response.headers.get_all("Content-Length") or ())
    if not given or response.headers.get("Transfer-Encoding") is not None:
        return 0
    (first, *others) = given
    if others or not (first.isascii() and first.isdecimal()):
        raise OSError(f"the server gives the length {', '.join(sorted(given))!r:.60}")
    return int(first)


def _require_safe(url: str, *, may_be_here: bool = True) -> None:
    """Refuses an address whose answers anybody on the way could have written.

    Args:
        url: the address.
        may_be_here: whether it may be http, of this machine.

    Raises:
        OSError: it is neither https nor such a one.
    """
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    is_here = host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and is_here and may_be_here)):
        raise OSError(f"{visible(url, in_a_line=True):.200} is not https")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server's word to where it may lead, and from https never elsewhere."""

    def redirect_request(
        self, request: urllib.request.Request, fp: Any, code: int, message: str, headers: Any, url: str
    ) -> urllib.request.Request | None:
        try:
            _require_safe(url, may_be_here=request.type != "https")
        except OSError:
            fp.close()  # it holds the connection
            raise
        return super().redirect_request(request, fp, code, message, headers, url)


def _opener() -> urllib.request.OpenerDirector:
    """What opens http and https, and no ftp, files or data, as urllib's own would."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def unpack(archive: Path, folder: Path, *, max_members: int, max_bytes: int) -> None:
    """Unpacks a `.tar.gz` into a new folder: plain files and folders below it, nothing else.

    Everything is unpacked into a temporary folder beside it, which then takes its name: `folder` is whole or absent.

    Args:
        archive: the file.
        folder: the folder to make; must not exist.
        max_members: more files and folders than this are refused.
        max_bytes: more unpacked bytes than this, headers included, are refused before they are unpacked.

    Raises:
        CorpusError: the archive is damaged, too large, or has a member with an absolute path, with `..`, of another
            kind than file or folder (link, device), or twice; names archive and member. Nothing is left behind.
    """
    if folder.exists():
        raise CorpusError(f"{folder}: stands already; remove it to unpack {archive} again")

    def bounded(stream: gzip.GzipFile) -> Any:  # tarfile only reads it, and asks in its types for more
        return _Bounded(stream, max_bytes, archive)

    with temporary_folder(folder.parent, folder.name) as work:
        made = work / "new"
        made.mkdir()
        try:
            with (
                gzip.open(archive) as stream,
                tarfile.open(fileobj=bounded(stream), mode="r|") as members,
            ):
                for number, member in enumerate(members, start=1):
                    if number > max_members:
                        raise CorpusError(
                            f"{archive}: holds more than {max_members:,} files; refused, nothing unpacked"
                        )
                    _unpack_member(members, member, made, archive)
            os.replace(made, folder)
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise CorpusError(f"{archive}: is not a whole .tar.gz ({error}); fetch it again") from error
        except OSError as error:
            raise CorpusError(f"{archive}: cannot be unpacked into {folder} ({error})") from error


def _unpack_member(members: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, archive: Path) -> None:
    def refuse(reason: str) -> CorpusError:
        return CorpusError(f"{archive}: the member {member.name!r} {reason}; refused, nothing unpacked")

    name = PurePosixPath(member.name)
    if name.is_absolute() or "\\" in member.name or ":" in member.name:
        raise refuse("has an absolute path or a drive")
    if ".." in name.parts:
        raise refuse("has '..' in its path")
    target = folder.joinpath(*name.parts)
    if not member.isdir() and (not member.isreg() or member.issparse()):
        raise refuse("is neither a file nor a folder (a link or a device)")
    try:
        (target if member.isdir() else target.parent).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refuse(f"cannot have its folder ({error.strerror})") from error
    if member.isdir():
        return
    if target.exists():
        raise refuse("stands in it twice")
    source = members.extractfile(member)
    if source is None:
        raise refuse("has no contents")
    with source, open(target, "xb") as stream:
        shutil.copyfileobj(source, stream, _BLOCK)


class _Bounded:
    """A stream that refuses to give more than it should, however small the archive was."""

    def __init__(self, stream: gzip.GzipFile, max_bytes: int, archive: Path):
        self._stream, self._left, self._archive, self._max_bytes = stream, max_bytes, archive, max_bytes

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise CorpusError(f"{self._archive}: unpacks to more than {self._max_bytes:,} bytes; refused")
        return data
