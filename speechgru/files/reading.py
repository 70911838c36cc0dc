"""Reading what strangers give: no pipe is waited for, nothing endless is read, and text in the forms of its day."""

from __future__ import annotations

import codecs
import errno
import io
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

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


def sha256_of(path: str | Path, *, most: int = MOST_BYTES) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal.

    Args:
        path: the file.
        most: the bytes that it may have.

    Raises:
        OSError: as for `open_file`.
    """
    import hashlib  # OpenSSL takes some milliseconds of every command's start

    digest = hashlib.sha256()
    with open_file(path, most=most) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
