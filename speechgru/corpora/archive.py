"""Fetching a corpus from the network and unpacking it without trusting it."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from speechgru.errors import CorpusError
from speechgru.files import atomic_path, temporary_folder
from speechgru.progress import Progress, silent

_BLOCK = 1 << 16


def download(
    url: str, path: Path, *, max_bytes: int, advice: str, timeout_seconds: float = 30.0, progress: Progress = silent
) -> None:
    """Downloads a file; a download that breaks off leaves nothing behind.

    Args:
        url: what to fetch.
        path: where to put it.
        max_bytes: more than this is refused.
        advice: what to do without a network; ends the messages.
        timeout_seconds: how long the connection may be still.
        progress: called with the bytes received; the total is 0 where the server does not give it.

    Raises:
        CorpusError: no network, no such file, cut off or too large; names the URL.
    """
    # They take as long to import as all else here, and few corpora are downloaded.
    import http.client
    import urllib.error
    import urllib.request

    try:
        with (
            urllib.request.urlopen(url, timeout=timeout_seconds) as response,
            atomic_path(path) as temporary,
            open(temporary, "wb") as stream,
        ):
            total, done = getattr(response, "length", None) or 0, 0  # None where the server does not say
            while block := response.read(_BLOCK):
                done += len(block)
                if done > max_bytes:
                    raise CorpusError(f"{url}: is larger than the {max_bytes:,} bytes expected at most; {advice}")
                stream.write(block)
                progress("downloading", done, total, "")
            if done < total:  # urllib returns what came before a connection ended early
                raise CorpusError(f"{url}: broke off after {done:,} of {total:,} bytes; try again, or {advice}")
    except (OSError, http.client.HTTPException) as error:  # URLError and TimeoutError are OSErrors
        reason: object = error
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        elif isinstance(error, urllib.error.URLError):
            reason = error.reason
        raise CorpusError(f"{url}: cannot be downloaded ({reason}); {advice}") from error


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
