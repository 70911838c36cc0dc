"""Archives of corpora: their checksums, and unpacking them without trusting them."""

from __future__ import annotations

import bz2
import functools
import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from speechgru.errors import CorpusError
from speechgru.files import ANY_SIZE, make_folder, open_file, temporary_folder
from speechgru.progress import Progress, silent

_BLOCK = 1 << 16


def checksum_of(path: Path, kind: str, *, progress: Progress = silent) -> str:
    """The checksum of a file, in hexadecimal.

    Args:
        path: the file, of any size.
        kind: "md5" or "sha256".
        progress: called with the bytes read.

    Example:
        >>> _ = Path("a.txt").write_text("abc")
        >>> checksum_of(Path("a.txt"), "md5")
        '900150983cd24fb0d6963f7d28e17f72'
    """
    digest, done = hashlib.new(kind, usedforsecurity=False), 0
    size = path.stat().st_size
    with open_file(path, most=ANY_SIZE) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
            done += len(block)
            progress("verifying", done, size, "")
    return digest.hexdigest()


class DamagedArchiveError(CorpusError):
    """An archive that is not whole: what else fails while it is unpacked, such as a full disk, is no fault of it."""


#: How an archive is packed, by the end of its name; the longer one first.
_PACKED: dict[str, Callable[[IO[bytes]], Any]] = {
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar": lambda stream: stream,
}


def unpack(
    archive: Path,
    folder: Path,
    *,
    max_members: int,
    max_bytes: int,
    may_link: bool = False,
    progress: Progress = silent,
) -> None:
    """Unpacks a `.tar`, `.tar.gz`, `.tgz`, `.tar.bz2` or `.zip` into a new folder: plain files and folders below it.

    Everything is unpacked into a temporary folder beside it, which then takes its name: `folder` is whole or absent.

    Args:
        archive: the file; its name says what it is.
        folder: the folder to make; must not exist.
        max_members: more files and folders than this are refused.
        max_bytes: more unpacked bytes than this, headers included, are refused before they are unpacked.
        may_link: whether symbolic links are unpacked, too, that lead to something else in the archive. They are made
            when all else is there, so that nothing is written through one.
        progress: called with the bytes of the archive that were unpacked.

    Raises:
        DamagedArchiveError: it is not whole.
        CorpusError: the archive is too large, or has a member with an absolute path, with `..`, of another
            kind than file or folder (link, device), or twice; names archive and member. Nothing is left behind.
    """
    if folder.exists():
        raise CorpusError(f"{folder}: stands already; remove it to unpack {archive} again")
    form = next((end for end in (*_PACKED, ".zip") if archive.name.lower().endswith(end)), ".tar.gz")
    members = _zip_members if form == ".zip" else _tar_members
    with temporary_folder(folder.parent, folder.name) as work:
        made = work / "new"
        made.mkdir()
        try:
            size, links = archive.stat().st_size, []
            for number, member in enumerate(members(archive, form, max_bytes), start=1):
                if number > max_members:
                    raise CorpusError(f"{archive}: holds more than {max_members:,} files; refused, nothing unpacked")
                progress("unpacking", min(member.place, size - 1), size, "")
                if may_link and member.link:
                    links.append(member)
                else:
                    _unpack_member(member, made, archive)
            for link in links:
                _make_link(link, made, archive)
            progress("unpacking", size, size, "")
            os.replace(made, folder)
        except NotImplementedError as error:  # a ZIP file's way to pack that this Python does not have
            raise CorpusError(f"{archive}: cannot be unpacked here ({error}); give its folder, unpacked") from error
        except (
            tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError
        ) as error:  # fmt: skip
            raise DamagedArchiveError(f"{archive}: is not a whole {form} ({error}); fetch it again") from error
        except OSError as error:
            raise CorpusError(f"{archive}: cannot be unpacked into {folder} ({error})") from error


@dataclass(frozen=True)
class _Member:
    """A member of an archive.

    Args:
        name: its path inside.
        place: bytes of the archive before it, about.
        is_folder: whether it is a folder.
        is_file: whether it is a plain file.
        link: where it leads, as a symbolic link; empty where it is none.
        open: opens what it holds; None where it has no contents.
    """

    name: str
    place: int
    is_folder: bool
    is_file: bool
    link: str
    open: Callable[[], IO[bytes] | None]


def _tar_members(archive: Path, form: str, max_bytes: int) -> Iterator[_Member]:
    def bounded(stream: Any) -> Any:  # tarfile only reads it, and asks in its types for more
        return _Bounded(stream, max_bytes, archive)

    with (
        open_file(archive, most=ANY_SIZE) as packed,
        _PACKED[form](packed) as stream,
        tarfile.open(fileobj=bounded(stream), mode="r|") as members,
    ):
        for member in members:
            yield _Member(
                member.name,
                packed.tell() if not packed.closed else 0,
                member.isdir(),
                member.isreg() and not member.issparse(),
                member.linkname if member.issym() else "",
                functools.partial(members.extractfile, member),
            )


def _zip_members(archive: Path, form: str, max_bytes: int) -> Iterator[_Member]:
    with open_file(archive, most=ANY_SIZE) as packed, zipfile.ZipFile(packed) as members:
        infos = members.infolist()
        if sum(info.file_size for info in infos) > max_bytes:  # no member gives more than it says
            raise CorpusError(f"{archive}: unpacks to more than {max_bytes:,} bytes; refused")
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where another system packed it
            is_file = not info.is_dir() and kind in (0, stat.S_IFREG)
            if info.flag_bits & 1:
                raise CorpusError(f"{archive}: is encrypted; unpack it with its password, and give the folder")
            yield _Member(
                info.orig_filename,
                info.header_offset,
                info.is_dir(),
                is_file,
                "",
                functools.partial(members.open, info),
            )


def _refusal(archive: Path, member: _Member, reason: str) -> CorpusError:
    return CorpusError(f"{archive}: the member {member.name!r} {reason}; refused, nothing unpacked")


def _place_of(member: _Member, folder: Path, archive: Path) -> Path:
    """Where a member belongs.

    Raises:
        CorpusError: it would not be in the folder.
    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or "\\" in member.name or ":" in member.name:
        raise _refusal(archive, member, "has an absolute path or a drive")
    if "\0" in member.name:
        raise _refusal(archive, member, "has a name that no file can have")
    if ".." in name.parts:
        raise _refusal(archive, member, "has '..' in its path")
    return folder.joinpath(*name.parts)


def _unpack_member(member: _Member, folder: Path, archive: Path) -> None:
    target = _place_of(member, folder, archive)
    if not member.is_folder and not member.is_file:
        raise _refusal(archive, member, "is neither a file nor a folder (a link or a device)")
    try:
        make_folder(target if member.is_folder else target.parent)
    except OSError as error:
        raise _refusal(archive, member, f"cannot have its folder ({error.strerror})") from error
    if member.is_folder:
        return
    if target.exists():
        raise _refusal(archive, member, "stands in it twice")
    source = member.open()
    if source is None:
        raise _refusal(archive, member, "has no contents")
    with source, open(target, "xb") as stream:
        shutil.copyfileobj(source, stream, _BLOCK)


def _make_link(member: _Member, folder: Path, archive: Path) -> None:
    """Makes a symbolic link to what is in the folder."""
    target = _place_of(member, folder, archive)
    leads_to = Path(os.path.realpath(target.parent / member.link))
    if os.path.isabs(member.link) or not leads_to.is_relative_to(folder.resolve()) or not leads_to.exists():
        raise _refusal(archive, member, f"is a link to {member.link!r}, which the archive does not hold")
    if os.path.lexists(target):
        raise _refusal(archive, member, "stands in it twice")
    if not Path(os.path.realpath(target.parent)).is_relative_to(folder.resolve()):
        raise _refusal(archive, member, "lies behind a link")
    make_folder(target.parent)
    target.symlink_to(member.link)


class _Bounded:
    """A stream that refuses to give more than it should, however small the archive was."""

    def __init__(self, stream: IO[bytes], max_bytes: int, archive: Path):
        self._stream, self._left, self._archive, self._max_bytes = stream, max_bytes, archive, max_bytes

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise CorpusError(f"{self._archive}: unpacks to more than {self._max_bytes:,} bytes; refused")
        return data
