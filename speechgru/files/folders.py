"""Folders that are made whole or not at all, and taken the place of in one step."""

from __future__ import annotations

import contextlib
import errno
import functools
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from speechgru.errors import DiskError, UserError
from speechgru.files.claims import make_folder, room_for, unfinished
from speechgru.files.making import IN_THE_MAKING, KNOWS_THE_KILLED, locked, remove_settled
from speechgru.files.writing import naming, sync, sync_folder

#: What ends the name of a folder that is to be replaced.
_SET_ASIDE = ".speechgru-replaced"
#: What a file system answers that cannot exchange two folders.
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextlib.contextmanager
def temporary_folder(parent: str | Path, name: str) -> Iterator[Path]:
    """A new, empty folder in `parent`, removed with all that is left in it; those of killed processes go too.

    Args:
        parent: made when it is missing.
        name: what it is for; part of its own name.

    Yields:
        Its path.

    Raises:
        DiskError: it cannot be made.
    """
    parent = Path(parent)
    try:
        make_folder(parent)
        _remove_left_behind(parent, name)
        made = tempfile.TemporaryDirectory(
            prefix=f".{name}.", suffix=IN_THE_MAKING, dir=parent, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise DiskError(f"{parent}: cannot be written ({error.strerror}); choose a folder you may write to") from error
    with unfinished(), made as folder, locked(Path(folder)):
        yield Path(folder)


def _remove_left_behind(parent: Path, name: str) -> None:
    """Removes temporary folders of that name whose processes have been killed, where the system knows that."""
    if not KNOWS_THE_KILLED:
        return
    for folder in parent.glob(f".{glob.escape(name)}.*{IN_THE_MAKING}"):
        if folder.is_dir() and not folder.is_symlink():  # removing a tree opens a pipe, and waits
            remove_settled(folder, functools.partial(shutil.rmtree, folder, ignore_errors=True))


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Gives an empty folder to fill; on a clean exit it takes the place of `path`, and what was there is removed.

    Whenever the process is ended, `path` is what it was before or the new folder. Where the system cannot exchange two
    folders in one step (only Linux can, on most of its file systems), a process that is killed within some microseconds
    leaves the old one beside, and the next call puts it back.

    Args:
        path: the folder; one that a link names is replaced where it is.

    Yields:
        The folder to fill.

    Raises:
        DiskError: its place cannot be written.
        UserError: a file system is mounted there.
    """
    place = Path(os.path.realpath(path))
    if os.path.ismount(place):
        raise UserError(f"{path}: is where a file system is mounted, which cannot be replaced; name a folder in it")
    restore_folder(place)
    with temporary_folder(place.parent, place.name) as temporary:
        made = temporary / "new"
        made.mkdir()
        with naming(path):
            yield made
        with room_for(path):
            _sync_files(made)
            _put(made, place)
            sync_folder(place.parent)


def restore_folder(path: str | Path) -> None:
    """Puts a folder back that a killed process had set aside, or removes it where the new one stands."""
    place = Path(os.path.realpath(path))
    aside = _aside(place)
    if aside.is_dir():
        with room_for(path):
            if os.path.lexists(place):
                shutil.rmtree(aside, ignore_errors=True)
            else:
                os.replace(aside, place)


def _aside(place: Path) -> Path:
    return place.with_name(f".{place.name}{_SET_ASIDE}")


def _put(made: Path, place: Path) -> None:
    """Lets a folder take the place of another one, if there is one."""
    if not os.path.lexists(place):
        os.replace(made, place)
    elif not _exchange(made, place):
        aside = _aside(place)
        try:
            os.replace(place, aside)
            os.replace(made, place)
        except BaseException:
            restore_folder(place)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Lets two folders change places in one step; False where the system cannot do that."""
    import ctypes  # which no command needs that only prints its help

    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # neither Linux nor a C library that knows it
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    if rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _sync_files(folder: Path) -> None:
    """Makes all files below a folder survive a power cut, where the system can."""
    for path in folder.rglob("*") if hasattr(os, "O_DIRECTORY") else ():
        if path.is_file():
            sync(path, os.O_RDONLY)
