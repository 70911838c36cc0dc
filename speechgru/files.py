"""Reading text as others write it, and writing files so that a crash leaves the old one or the new one."""

from __future__ import annotations

import codecs
import contextlib
import ctypes
import errno
import functools
import glob
import hashlib
import io
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from speechgru.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: The errors of a disk that cannot be written any more.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)


#: How a text of each mark at its start is coded; the longer mark first, which begins with a shorter one.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


#: No document of ours or of a user's, such as a manifest of millions of lines, is larger.
MOST_BYTES = 4 << 30
#: For what is read piece by piece, and whose size is known to be right.
ANY_SIZE = 1 << 62


def open_file(path: str | Path, *, most: int = MOST_BYTES) -> BinaryIO:
    """Opens a file to read, and nothing else: opening a pipe would wait for ever, and some devices never end.

    Args:
        path: the file.
        most: the bytes that it may have.

    Raises:
        OSError: it is missing, cannot be read, is a folder, a pipe or a device, or too large.

    Example:
        >>> _ = Path("notes.txt").write_text("one")
        >>> with open_file("notes.txt") as stream:
        ...     stream.read()
        b'one'
    """
    _require_plain(os.stat(path), path, most)  # before it is opened, which some devices act upon
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _require_plain(os.fstat(number), path, most)
        return open(number, "rb")
    except BaseException:
        os.close(number)
        raise


def _require_plain(found: os.stat_result, path: str | Path, most: int) -> None:
    """Refuses what is no file of at most so many bytes."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file", str(path))
    if found.st_size > most:
        raise _too_large(path, found.st_size, most)


def _too_large(path: str | Path, size: int, most: int) -> OSError:
    return OSError(errno.EFBIG, f"it has {size:,} bytes, and such a file at most {most:,}", str(path))


def read_file(path: str | Path, *, most: int = MOST_BYTES) -> bytes:
    """The contents of a file (`open_file`).

    Raises:
        OSError: as for `open_file`.
    """
    with open_file(path, most=most) as stream:
        content = stream.read(most + 1)
    if len(content) > most:  # it has grown, or is one whose size the system does not say
        raise _too_large(path, len(content), most)
    return content


def read_text(path: str | Path, *, most: int = MOST_BYTES) -> str:
    """Reads a text in UTF-8, or in the form that a mark at its start names: Excel and PowerShell write UTF-16.

    Line ends stay as they are.

    Args:
        path: the file.
        most: the bytes that it may have.

    Raises:
        OSError: as for `open_file`.
        UnicodeDecodeError: it is in another form.

    Example:
        >>> _ = Path("table.tsv").write_text("file\\ttext", encoding="utf-16")
        >>> read_text("table.tsv")
        'file\\ttext'
    """
    content = read_file(path, most=most)
    coding = next((coding for mark, coding in _MARKS if content.startswith(mark)), "utf-8")
    return content.decode(coding)


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


def describe_undecodable(error: UnicodeDecodeError) -> str:
    """What is wrong with a text that `read_text` cannot read, as a clause for a message.

    >>> try:
    ...     b"one\\ncaf\\xe9".decode("utf-8")
    ... except UnicodeDecodeError as error:
    ...     describe_undecodable(error)
    'is not UTF-8 text: the byte E9 in line 2 is none of it'
    """
    if error.encoding != "utf-8":
        return f"begins with the mark of {error.encoding[:6].upper()} text, and is none"
    line = error.object[: error.start].count(b"\n") + 1
    return f"is not UTF-8 text: the byte {error.object[error.start]:02X} in line {line} is none of it"


def split_lines(text: str) -> list[str]:
    r"""The lines of a text, by the ends that files have: `str.splitlines` also ends one at U+2028 and form feeds.

    >>> split_lines("one\r\ntwo\rthree\u2028and more\n")
    ['one', 'two', 'three\u2028and more']
    """
    return [line.rstrip("\r\n") for line in io.StringIO(text, newline="")]


def for_soundfile(path: str | os.PathLike[str]) -> Any:
    """A path as soundfile takes it: as bytes, because it does not take every name that a POSIX system allows."""
    return os.fspath(path) if os.name == "nt" else os.fsencode(path)


def require_folder_place(path: str | Path) -> None:
    """Refuses a place that no folder can be written to, to be asked before anything long is done.

    Raises:
        UserError: it is a file, or lies below one; names the path.
    """
    _require_place(Path(path))
    if os.path.lexists(path) and not os.path.isdir(path):
        raise UserError(f"{path}: is a file; name a folder to write")


def require_file_place(path: str | Path) -> None:
    """Refuses a place that no file can be written to, to be asked before anything long is done.

    Raises:
        UserError: it is a folder, a device or a pipe, or lies below a file; names the path.
    """
    _require_place(Path(path))
    if os.path.isdir(path):
        raise UserError(f"{path}: is a folder; name a file to write")
    _refuse_device(path)


def require_unread(paths: Iterable[str | Path], reads: Iterable[str | os.PathLike[str] | None]) -> None:
    """Refuses to write what the same command reads, such as a recording, which would be lost.

    Args:
        paths: the files to write.
        reads: what is read; None is left out.

    Raises:
        UserError: one of the paths is one of these, by whatever name; names it.

    Example:
        >>> _ = Path("talk.txt").write_text("good morning")
        >>> require_unread(["talk.srt"], reads=["talk.txt", None])
        >>> require_unread(["./talk.txt"], reads=["talk.txt"])
        Traceback (most recent call last):
        speechgru.errors.UserError: ./talk.txt: is what this command reads, and would be lost; name another file
    """
    found = [path for path in paths if os.path.exists(path)]
    if found:
        read = {_identity(path) for path in reads if path is not None and os.path.exists(path)}
        for path in found:
            if _identity(path) in read:
                raise UserError(f"{path}: is what this command reads, and would be lost; name another file")


def _identity(path: str | os.PathLike[str]) -> tuple[int, int]:
    state = os.stat(path)
    return state.st_dev, state.st_ino


def _require_place(path: Path) -> None:
    """Refuses a path below what is no folder."""
    above = next((each for each in path.absolute().parents if os.path.lexists(each)), None)
    if above is not None and not above.is_dir():
        raise UserError(f"{path}: cannot be written, because {above} is a file; name another place")


def _refuse_device(path: str | Path) -> None:
    """Refuses what a rename would replace."""
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise UserError(f"{path}: cannot be written (a device or a pipe, not a file); name a file")


#: The folders that this process works in, and what tells whether each is still the one that it began in.
_held: dict[Path, Callable[[], bool]] = {}


@contextlib.contextmanager
def held(folder: str | Path, is_same: Callable[[], bool]) -> Iterator[None]:
    """Lets nothing be written into a folder any more once it is gone: half a folder would come back.

    Args:
        folder: what the block works in.
        is_same: whether it is still there, and the same.
    """
    place = Path(os.path.realpath(folder))
    _held[place] = is_same
    try:
        yield
    finally:
        _held.pop(place, None)


def make_folder(path: str | Path) -> None:
    """Makes a folder with all above it, where they are missing, but none that has been taken away (`held`).

    Raises:
        UserError: it lies in a folder that was moved or removed while this process works there.
        OSError: it cannot be made.
    """
    place = Path(os.path.realpath(path))
    for folder, is_same in list(_held.items()):
        if place.is_relative_to(folder) and not is_same():
            raise UserError(
                f"{folder}: is gone, moved or removed while this command worked there; nothing is written into its "
                "place. Bring it back, or run the command again to begin anew"
            )
    Path(path).mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def room_for(path: str | Path) -> Iterator[None]:
    """Turns a full or failing disk under a block that writes into one clear error.

    Args:
        path: what the block writes.

    Raises:
        UserError: in place of an OSError from the block: the disk is full, read-only or failing, or the folder may not
            be written; names `path`.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror or error}); what was finished before is kept. Make room, or "
            "choose a folder you may write to, and run the same command again"
        ) from error


#: What this process has begun to write, and would leave half made if it ended here.
_unfinished: set[object] = set()


def is_writing() -> bool:
    """Whether this process would leave something half made if it ended here."""
    return bool(_unfinished)


@contextlib.contextmanager
def unfinished() -> Iterator[None]:
    """Marks a block that takes back what it has begun where an exception ends it; see `is_writing`."""
    mark = object()
    _unfinished.add(mark)
    try:
        yield
    finally:
        _unfinished.discard(mark)


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; on a clean exit it is flushed to disk and renamed to `path`.

    Args:
        path: the file to write. Its folder is made when it is missing.

    Yields:
        The temporary path to write to, with the same suffix as `path`.

    Raises:
        UserError: the folder cannot be made or written, the disk is full, or the path is no file but a device or a
            pipe, which a rename would replace.
    """
    path = Path(path)
    _refuse_device(path)
    try:
        make_folder(path.parent)
        _remove_files_left_behind(path.parent)
        beginning, end = f".{path.stem[:_MOST_LETTERS]}.", f"{_IN_THE_MAKING}{path.suffix}"
        handle, name = tempfile.mkstemp(prefix=beginning, suffix=end, dir=path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose a folder you may write to") from error
    os.close(handle)
    temporary = Path(name)
    try:
        with _locked(temporary):
            try:
                with unfinished():
                    yield temporary
                with open(temporary, "rb+") as stream:
                    os.fsync(stream.fileno())
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise  # of what the block did beside writing
                raise UserError(
                    f"{path}: cannot be written ({error.strerror}); what was there before is intact. Make room "
                    "and run it again"
                ) from error
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes it private to the user
            try:
                os.replace(temporary, path)
            except OSError as error:
                raise UserError(f"{path}: cannot be written ({error.strerror}); choose another name") from error
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):  # of a disk that has become read-only, which the block's error names
            temporary.unlink(missing_ok=True)


def sync_folder(folder: str | Path) -> None:
    """Makes new names in a folder survive a power cut, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: str | Path, flags: int) -> None:
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


def sha256_of(path: str | Path, *, most: int = MOST_BYTES) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Args:
        path: the file.
        most: the bytes that it may have.

    Raises:
        OSError: as for `open_file`.
    """
    digest = hashlib.sha256()
    with open_file(path, most=most) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


#: What ends the name of a folder that is being made, and of one that is to be replaced: made by us, and marked so.
_IN_THE_MAKING, _SET_ASIDE = ".speechgru-unfinished", ".speechgru-replaced"
#: What is in the making and younger may be another process's that has not locked it yet.
_SETTLED_SECONDS = 60.0
#: Of a file's name, in the name that it has in the making: a system's names have an end.
_MOST_LETTERS = 40
#: The folders in which this process has looked for what killed ones left.
_cleared: set[Path] = set()
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
        UserError: it cannot be made.
    """
    parent = Path(parent)
    try:
        make_folder(parent)
        _remove_left_behind(parent, name)
        made = tempfile.TemporaryDirectory(
            prefix=f".{name}.", suffix=_IN_THE_MAKING, dir=parent, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise UserError(f"{parent}: cannot be written ({error.strerror}); choose a folder you may write to") from error
    with unfinished(), made as folder, _locked(Path(folder)):
        yield Path(folder)


def _remove_left_behind(parent: Path, name: str) -> None:
    """Removes temporary folders of that name whose processes have been killed, where the system knows that."""
    if fcntl is None:
        return
    for folder in parent.glob(f".{glob.escape(name)}.*{_IN_THE_MAKING}"):
        _remove_settled(folder, functools.partial(shutil.rmtree, folder, ignore_errors=True))


def _remove_files_left_behind(folder: Path) -> None:
    """Removes a folder's files in the making whose processes have been killed, where the system knows that.

    A process looks once: some folders have files by the hundred thousand.
    """
    if fcntl is None or folder in _cleared:
        return
    _cleared.add(folder)
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.startswith(".") and _IN_THE_MAKING in entry.name]
    for path in (folder / name for name in names):
        if path.is_file():
            _remove_settled(path, path.unlink)


def _remove_settled(path: Path, remove: Callable[[], None]) -> None:
    """Removes a file or folder in the making that no process holds."""
    with contextlib.suppress(OSError):  # another process has it, or has just removed it
        if time.time() - path.lstat().st_mtime > _SETTLED_SECONDS:
            with _locked(path, is_needed=True):
                remove()


@contextlib.contextmanager
def _locked(path: Path, *, is_needed: bool = False) -> Iterator[None]:
    """Holds the lock of a file or folder while the block runs; a killed process's is gone with it.

    Args:
        path: the file or folder.
        is_needed: whether it is an error that there is no lock to be had.

    Raises:
        OSError: there is none, and it is needed.
    """
    descriptor = -1
    try:
        if fcntl is not None:
            try:
                descriptor = os.open(path, os.O_RDONLY)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if is_needed:
                    raise
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


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
        UserError: its place cannot be written.
    """
    place = Path(os.path.realpath(path))
    if os.path.ismount(place):
        raise UserError(f"{path}: is where a file system is mounted, which cannot be replaced; name a folder in it")
    restore_folder(place)
    with temporary_folder(place.parent, place.name) as temporary:
        made = temporary / "new"
        made.mkdir()
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
            _sync(path, os.O_RDONLY)
