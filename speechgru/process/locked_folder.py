"""A folder that one process at a time works in."""

from __future__ import annotations

import contextlib
import errno
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import filelock

from speechgru.errors import DiskError, UserError
from speechgru.files import folders_above, held, identity_of, make_folder, read_text, room_for, take_back, unfinished

#: What a file system without locks answers, as some networks' are.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
#: Of a note about who holds a lock.
_MOST_BYTES = 100


@contextlib.contextmanager
def locked_folder(path: str | Path, *, activity: str, advice: str) -> Iterator[None]:
    """Keeps other processes out of a folder while the block runs; a killed process's lock is gone with it.

    Args:
        path: the folder; made when it is missing, and removed again where nothing was written into it. `.lock` and
            `.holder` lie in it meanwhile: which process holds the lock is in a file of its own, as some systems let
            nobody read a locked one.
        activity: what the process does in the folder, as in "is training here"; completes the message.
        advice: what to do when another process holds it; ends the message.

    Raises:
        UserError: another process works there, or the folder cannot be written.
    """
    folder = Path(path)
    is_new = not folder.exists()
    lock, holder = filelock.FileLock(folder / ".lock", timeout=0), folder / ".holder"
    with room_for(folder):
        make_folder(folder)
        with held(folder):  # as it is now: acquiring makes it again where it has gone
            try:
                _acquire(lock)
            except filelock.Timeout:
                raise UserError(f"{folder}: {_read_holder(holder)} {activity}; {advice}") from None
            except (NotImplementedError, OSError) as error:
                if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                    raise
                warnings.warn(
                    f"{folder}: its file system has no locks; make sure that no second process works there",
                    stacklevel=3,
                )
    mark, began_in = f"process {os.getpid()}", identity_of(folder)

    def is_same() -> bool:
        # The number of a folder changes at times on some networks' file systems, while its files stay.
        return identity_of(folder) == began_in is not None or _read_holder(holder) == mark

    try:
        with room_for(folder):
            _write_holder(holder, mark)
        with unfinished(), held(folder, is_same):
            yield
    finally:
        # While the lock is held, and in the folder that it is of: else they may be another process's.
        for name in (holder, folder / ".lock") if is_same() else ():
            with contextlib.suppress(OSError):  # Windows keeps an open file; filelock removes it there
                name.unlink()
        lock.release()
        if is_new:
            with contextlib.suppress(OSError):  # something was done in it
                folder.rmdir()


@contextlib.contextmanager
def locked_file(path: str | Path, *, timeout: float) -> Iterator[None]:
    """Holds a file's lock while the block runs; makes no folder for it that was taken away (`files.held`).

    Args:
        path: the file; made where it is missing, and its folder too.
        timeout: seconds that another process is waited for; -1 waits for ever.

    Raises:
        filelock.Timeout: another process holds it.
        DiskError: it cannot be made, its file system has no locks, or it lies in a folder that was taken away.
    """
    with room_for(path):
        make_folder(Path(path).parent)
    lock = filelock.FileLock(path, timeout=timeout)
    try:
        _acquire(lock)
    except filelock.Timeout:
        raise
    except (NotImplementedError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DiskError(
            f"{path}: cannot be locked ({reason}); make room, or choose a folder whose file system has locks, and run "
            "the same command again"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: filelock.BaseFileLock) -> None:
    """Acquires a lock; takes back the folders that this makes where they were taken away."""
    before = folders_above(lock.lock_file)
    lock.acquire()
    try:
        take_back(lock.lock_file, before)
    except UserError:
        lock.release()
        raise


def _write_holder(path: Path, mark: str) -> None:
    """Writes who holds the lock: into a new file, as a folder of a stranger's may have a link or a pipe there."""
    path.unlink(missing_ok=True)
    with open(path, "x", encoding="utf-8") as stream:
        stream.write(mark)


def _read_holder(path: Path) -> str:
    try:
        return read_text(path, most=_MOST_BYTES) or "another process"
    except (OSError, UnicodeDecodeError):  # it has the lock, and has not written its number yet; or it is none
        return "another process"
