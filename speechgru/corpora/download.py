"""Fetching a file from the network without trusting who sends it."""

from __future__ import annotations

import contextlib
import http
import http.client
import os
import queue
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from speechgru.errors import CorpusError
from speechgru.files import atomic_path, make_folder, room_for
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
    resumes: bool = False,
    progress: Progress = silent,
) -> None:
    """Downloads a file over https; a download that breaks off leaves nothing behind, or what came so far on request.

    Args:
        url: what to fetch: https, or http of this machine itself. So is whatever it is redirected to.
        path: where to put it.
        max_bytes: more than this is refused.
        advice: what to do without a network; ends the messages.
        timeout_seconds: how long the connection may be still.
        max_seconds: how long all of it may take, however often a few bytes come.
        resumes: whether what came before it broke off stays beside `path`, under its name and `.part`, where the next
            call asks for the rest alone. That both are of one file, a checksum must show.
        progress: called with the bytes received; the total is 0 where the server does not give it.

    Raises:
        CorpusError: no network, no such file, cut off, too large, too slow or not https; names the URL.
    """
    deadline = time.monotonic() + max_seconds
    blocks: queue.Queue[_Answer] = queue.Queue(maxsize=16)
    given_up = threading.Event()
    part = path.with_name(f"{path.name}.part")
    begun = part.stat().st_size if resumes and part.is_file() else 0
    # In a thread, as no timeout of a socket bounds a server that sends a byte at a time, be it in its headers.
    threading.Thread(target=_fetch, args=(url, begun, timeout_seconds, blocks, given_up), daemon=True).start()
    total, done = 0, 0
    try:
        with contextlib.ExitStack() as stack:
            stream: IO[bytes] | None = None
            if not resumes:
                stream = stack.enter_context(open(stack.enter_context(atomic_path(path)), "wb"))
            while (answer := _next(blocks, deadline, url, max_seconds, advice)) is not None:
                if isinstance(answer, _NotOfThisFileError):
                    part.unlink()
                if isinstance(answer, Exception):
                    raise CorpusError(f"{url}: cannot be downloaded ({answer}); {advice}") from answer
                if isinstance(answer, _Start):
                    done, total = answer.place, answer.total
                else:
                    done += len(answer)
                if max(done, total) > max_bytes:
                    raise CorpusError(f"{url}: is larger than the {max_bytes:,} bytes expected at most; {advice}")
                if stream is None:
                    stream = stack.enter_context(_open_part(part, done))
                if isinstance(answer, bytes):
                    with room_for(path):
                        stream.write(answer)
                progress("downloading", done, total, "")
            if done < total:  # http.client returns what came before a connection ended early
                raise CorpusError(f"{url}: broke off after {done:,} of {total:,} bytes; try again, or {advice}")
        if resumes:
            with room_for(path):
                os.replace(part, path)
    finally:
        given_up.set()


def _open_part(part: Path, place: int) -> IO[bytes]:
    """Opens what has come of a file, to write on at a place: what is behind it goes."""
    with room_for(part):
        make_folder(part.parent)
        stream = open(part, "r+b" if place else "wb")  # noqa: SIM115
        stream.truncate(place)
        stream.seek(place)
    return stream


class _NotOfThisFileError(Exception):
    """The file on the server is shorter than what came before."""


@dataclass(frozen=True)
class _Start:
    """Where in the file a server's answer begins, and how many bytes the file has; 0 where the server does not say."""

    place: int
    total: int


#: What the thread that fetches passes on: where it begins, blocks, what failed, or None at the end.
_Answer = _Start | bytes | Exception | None


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


def _fetch(
    url: str, begun: int, timeout_seconds: float, blocks: queue.Queue[_Answer], given_up: threading.Event
) -> None:
    """Puts what a server answers into a queue, until nobody wants it any more; runs in a thread."""

    def put(answer: _Answer) -> None:
        while not given_up.is_set():
            with contextlib.suppress(queue.Full):
                blocks.put(answer, timeout=0.1)
                return

    try:
        _require_safe(url)
        request = urllib.request.Request(url, headers={"Range": f"bytes={begun}-"} if begun else {})
        with _opener().open(request, timeout=timeout_seconds) as response:
            put(_start_of(response, begun))
            while not given_up.is_set() and (block := response.read1(_BLOCK)):
                put(block)
        put(None)
    except urllib.error.HTTPError as error:
        ended = error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        if ended and begun and error.headers.get("Content-Range") == f"bytes */{begun}":  # all of it came before
            put(_Start(begun, begun))
            put(None)
        elif ended and begun:
            put(
                _NotOfThisFileError(
                    f"the file there has no more than the {begun:,} bytes that came before; they are removed"
                )
            )
        else:
            put(error)
        error.close()  # it holds the connection
    except urllib.error.URLError as error:
        put(error.reason if isinstance(error.reason, Exception) else error)
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a URL that is none
        put(error)


def _start_of(response: http.client.HTTPResponse, begun: int) -> _Start:
    """Where a server's answer begins: at the place that was asked for, or anew.

    Raises:
        OSError: the answer is no file, or another part of it.
    """
    if response.status == http.HTTPStatus.OK:
        return _Start(0, _length_of(response))
    given = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", given, re.ASCII)
    if response.status != http.HTTPStatus.PARTIAL_CONTENT or not begun:
        raise OSError(f"the server answers {response.status} {response.reason}")
    if found is None or int(found[1]) != begun:
        raise OSError(f"the server was asked for what is behind {begun:,} bytes, and gives {given!r:.60}")
    return _Start(begun, int(found[2]))


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
