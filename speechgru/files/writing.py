"""Writing files so that a crash leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from speechgru.errors import DiskError, UserError
from speechgru.files.claims import make_folder, room_for, unfinished
from speechgru.files.making import IN_THE_MAKING, KNOWS_THE_KILLED, locked, remove_settled
from speechgru.files.places import refuse_device

#: The errors of a disk that cannot be written any more.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
#: Of a file's name, in the name that it has in the making: a system's names have an end.
_MOST_LETTERS = 40
#: The folders in which this process has looked for what killed ones left.
_cleared: set[Path] = set()


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; on a clean exit it is flushed to disk and renamed to `path`.

    Args:
        path: the file to write. Its folder is made when it is missing.

    Yields:
        The temporary path to write to, with the same suffix as `path`.

    Raises:
        DiskError: the folder cannot be made or written, or the disk is full.
        UserError: the path is no file but a device or a pipe, which a rename would replace.
    """
    path = Path(path)
    refuse_device(path)
    try:
        make_folder(path.parent)
        _remove_left_behind(path.parent)
        mode, temporary = _mode_of(path), _new_file(path)
    except OSError as error:
        raise DiskError(f"{path}: cannot be written ({error.strerror}); choose a folder you may write to") from error
    try:
        with locked(temporary):
            with naming(path):
                with unfinished():
                    yield temporary
                with open(temporary, "rb+") as stream:
                    os.fsync(stream.fileno())
            try:
                if mode is not None:
                    os.chmod(temporary, mode)
                os.replace(temporary, path)
            except OSError as error:
                raise DiskError(f"{path}: cannot be written ({error.strerror}); choose another name") from error
            with room_for(path):
                sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):  # of a disk that has become read-only, which the block's error names
            temporary.unlink(missing_ok=True)


def _new_file(path: Path) -> Path:
    """Makes an empty file beside a path, with the rights that the user's umask leaves.

    `tempfile` makes it private, and the umask cannot be asked for without being changed for all threads meanwhile.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    while True:
        name = f".{path.stem[:_MOST_LETTERS]}.{secrets.token_hex(4)}{IN_THE_MAKING}{path.suffix}"
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path.parent / name, flags, 0o666))
            return path.parent / name


def _mode_of(path: Path) -> int | None:
    """The rights of a file that is replaced, which stay: what was the user's alone remains so; None of a new one."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return stat.S_IMODE(found.st_mode) & 0o777 if stat.S_ISREG(found.st_mode) else None


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Within it a disk that cannot be written any more is told with what is in the making; all else is as it is.

    Raises:
        DiskError: the disk is full, read-only or failing.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise  # of what the block did beside writing
        raise DiskError(
            f"{path}: cannot be written ({error.strerror}); what was there before is intact. Make room and run it again"
        ) from error


def _remove_left_behind(folder: Path) -> None:
    """Removes a folder's files in the making whose processes have been killed, where the system knows that.

    A process looks once: some folders have files by the hundred thousand.
    """
    if not KNOWS_THE_KILLED or folder in _cleared:
        return
    _cleared.add(folder)
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(".") and IN_THE_MAKING in entry.name]
    for path in (folder / name for name in names):
        if path.is_file():
            remove_settled(path, path.unlink)


def sync_folder(folder: str | Path) -> None:
    """Makes new names in a folder survive a power cut, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def sync(path: str | Path, flags: int) -> None:
    """Makes a file or folder, opened with these flags, survive a power cut."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as indented JSON with a closing newline, atomically (`encode_json`)."""
    write_text(path, encode_json(value, indent=2).decode() + "\n")


def encode_json(value: Any, *, indent: int | None = None) -> bytes:
    """JSON as UTF-8; halves of characters, as in a file name that is not UTF-8, are escapes.

    >>> encode_json(["é", "caf\\udce9"]).decode()
    '["é", "caf\\\\udce9"]'
    """
    return json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "backslashreplace")


def open_log(path: str | Path) -> BinaryIO:
    """Opens a file to append to, made where it is missing; it waits for nobody who reads a pipe.

    Raises:
        UserError: it cannot be written, or is a pipe or a device.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with room_for(path):
        descriptor = os.open(path, flags, 0o666)
    stream = open(descriptor, "ab")  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        stream.close()
        raise UserError(f"{path}: not a file (a pipe or a device)")
    return stream
