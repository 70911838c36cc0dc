"""Reading text as others write it, and writing files so that a crash leaves the old one or the new one."""

from __future__ import annotations

import codecs
import contextlib
import errno
import hashlib
import io
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from speechgru.errors import UserError

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


def read_text(path: str | Path) -> str:
    """Reads a text in UTF-8, or in the form that a mark at its start names: Excel and PowerShell write UTF-16.

    Line ends stay as they are.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is in another form.

    Example:
        >>> _ = Path("table.tsv").write_text("file\\ttext", encoding="utf-16")
        >>> read_text("table.tsv")
        'file\\ttext'
    """
    content = Path(path).read_bytes()
    coding = next((coding for mark, coding in _MARKS if content.startswith(mark)), "utf-8")
    return content.decode(coding)


def read_small_file(path: str | Path, *, most: int) -> bytes:
    """The bytes of a file that others may have put there: it waits for no pipe, and reads `most` at most.

    Raises:
        OSError: the file cannot be read.
        UserError: it is a pipe or a device, or larger.

    Example:
        >>> _ = Path("few.txt").write_text("words")
        >>> read_small_file("few.txt", most=5)
        b'words'
        >>> read_small_file("few.txt", most=4)
        Traceback (most recent call last):
        speechgru.errors.UserError: few.txt: is larger than 4 bytes, which is the most that is read
    """
    # Opening a pipe waits for a writer unless told otherwise; a regular file does not mind.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UserError(f"{path}: not a file (a folder, a pipe or a device)")
        content = stream.read(most + 1)
    if len(content) > most:
        raise UserError(f"{path}: is larger than {most:,} bytes, which is the most that is read")
    return content


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


def _require_place(path: Path) -> None:
    """Refuses a path below what is no folder."""
    above = next((each for each in path.absolute().parents if os.path.lexists(each)), None)
    if above is not None and not above.is_dir():
        raise UserError(f"{path}: cannot be written, because {above} is a file; name another place")


def _refuse_device(path: str | Path) -> None:
    """Refuses what a rename would replace."""
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise UserError(f"{path}: cannot be written (a device or a pipe, not a file); name a file")


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
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose a folder you may write to") from error
    os.close(handle)
    temporary = Path(name)
    try:
        try:
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
        temporary.unlink(missing_ok=True)


def sync_folder(folder: str | Path) -> None:
    """Makes new names in a folder survive a power cut, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
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


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def replace_folder(made: Path, out: Path) -> None:
    """Puts a finished folder in an old one's place; the old one is moved aside until the new one stands."""
    old = made.parent / "old"
    if out.exists():
        os.replace(out, old)
    try:
        os.replace(made, out)
    except OSError:
        if old.exists():
            os.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)
