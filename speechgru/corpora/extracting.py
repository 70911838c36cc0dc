"""Recordings out of other tools' archives (arks, tars, tables with sound inside) as files of their own.

A manifest names files, and has no word for a place inside one. So they are copied out, byte for byte, once: what an
earlier call has written is compared and kept.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from speechgru.errors import CorpusError
from speechgru.files import make_folder, open_file, room_for, unfinished
from speechgru.progress import Progress, silent
from speechgru.visible import counted

#: How a file of sound begins, and its suffix.
_HEADS = (
    (b"RIFF", ".wav"),
    (b"fLaC", ".flac"),
    (b"OggS", ".ogg"),
    (b"ID3", ".mp3"),
    (b"\xff", ".mp3"),
    (b"FORM", ".aiff"),
)
#: More than a recording of an utterance has; a length in a damaged archive can be anything.
_MOST_BYTES = 1 << 31


class Extraction:
    """Recordings that are written as files below a folder.

    Args:
        folder: for the files; made with the first one.
        progress: called with the bytes written, of those of the archives.

    Example:
        >>> extraction = Extraction(Path("audio"))
        >>> extraction.put("train/a.wav", b"RIFF...").as_posix()
        'audio/train/a.wav'
        >>> extraction.note
        '1 recording was copied out of archives, into audio (0.0 MB)'
    """

    def __init__(self, folder: Path, *, progress: Progress = silent):
        self.folder, self._progress = folder, progress
        self._done, self._total, self._count = 0, 0, 0
        self._written: set[Path] = set()

    @property
    def note(self) -> str | None:
        """What was done, for people; None where nothing was."""
        if not self._count:
            return None
        size = f"{self._done / 1e6:,.1f} MB"
        what = counted(self._count, "recording was", "recordings were")
        return f"{what} copied out of archives, into {self.folder} ({size})"

    def announce(self, archives: Iterable[Path]) -> None:
        """Says how much is to come, before it is written.

        Raises:
            CorpusError: the disk has not as much room as the archives have bytes, or one is missing.
        """
        for archive in archives:
            try:
                self._total += archive.stat().st_size
            except (OSError, ValueError) as error:  # ValueError: no file can have that name
                why = error.strerror if isinstance(error, OSError) else error
                raise CorpusError(f"{archive}: cannot be read ({why}); copy it again") from error
        if not self._total:
            return
        there = next(each for each in (self.folder, *self.folder.parents) if each.exists())
        left = self._total - self._done
        free = shutil.disk_usage(there).free
        if left > free and not self.folder.exists():
            raise CorpusError(
                f"{self.folder}: the recordings have {left / 1e9:,.1f} GB inside their archives and are copied out of "
                f"them, but {free / 1e9:,.1f} GB are free here; choose an --out with more room"
            )
        self._report()

    def put(self, name: str, content: bytes) -> Path:
        """Writes a recording, or keeps the file that has these very bytes.

        Args:
            name: relative, with `/`; as an archive names it, so it is not trusted.
            content: the bytes of a file of sound.

        Raises:
            CorpusError: the name leads elsewhere or was there before.
            UserError: the disk is full or cannot be written.
        """
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or parts[0] == "/" or "\0" in name or ":" in parts[0]:
            raise CorpusError(f"{name!r}: a recording's name in an archive must be a plain relative path; refused")
        path = self.folder.joinpath(*parts)
        if path in self._written:
            raise CorpusError(f"{name!r}: names two recordings of the archives; refused")
        self._written.add(path)
        with room_for(path):
            if not _has(path, content):
                make_folder(path.parent)
                part = path.with_name(f".{path.name}.part")
                with unfinished():
                    part.write_bytes(content)
                    # Not synced, which takes longer than all the rest: the next call compares what it finds.
                    os.replace(part, path)
        self._done, self._count = self._done + len(content), self._count + 1
        self._report()
        return path

    def _report(self) -> None:
        stage = f"copying recordings out of {self._total / 1e9:,.2f} GB of archives into {self.folder}"
        self._progress(stage, self._done, self._total, counted(self._count, "file"))


def _has(path: Path, content: bytes) -> bool:
    with contextlib.suppress(OSError):
        return path.stat().st_size == len(content) and path.read_bytes() == content
    return False


def suffix_of(content: bytes) -> str:
    """The suffix of a file of sound by its first bytes; of unknown ones `.wav`, and reading says what is wrong.

    >>> suffix_of(b"fLaC and more")
    '.flac'
    """
    return next((suffix for head, suffix in _HEADS if content.startswith(head)), ".wav")


def plain_name(name: str) -> str:
    """A name as any file system takes it.

    >>> plain_name("call 1/ada:7")
    'call_1_ada_7'
    """
    return re.sub(r"[^\w.=+-]", "_", name)


def tar_members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """The plain files of a tar in their order, with their contents.

    Raises:
        CorpusError: it is missing, damaged or cut; names it.
    """
    try:
        with tarfile.open(archive, mode="r:") as members:
            for member in members:
                if member.issparse():  # what it says that it holds costs its sender nothing
                    raise CorpusError(f"{archive}: {member.name} is stored with gaps; pack it without (no --sparse)")
                if member.isreg() and member.size <= _MOST_BYTES:
                    stream = members.extractfile(member)
                    content = b"" if stream is None else stream.read()
                    if len(content) != member.size:
                        raise CorpusError(f"{archive}: is cut inside {member.name}; copy it again")
                    yield member.name, content
    except tarfile.TarError as error:
        raise CorpusError(f"{archive}: is no tar, damaged or cut ({error}); copy it again") from error
    except OSError as error:
        raise CorpusError(f"{archive}: cannot be read ({error.strerror or error}); copy it again") from error


def read_ark(archive: Path, offset: int, *, where: str) -> bytes:
    """A recording inside a Kaldi ark, as its file: WAV as Kaldi stores it, or any form as ESPnet does.

    An entry is a WAV file as it is, or the word `AUDIO`, a byte that counts the bytes of a length, that length (least
    byte first), and a file of that length. Source: kaldiio `matio.py`, which ESPnet writes with.

    Args:
        archive: the ark.
        offset: where the entry begins, behind its name, as the scp gives it.
        where: what names it, for messages.

    Raises:
        CorpusError: there is no recording at the offset, or the ark is cut.
    """
    try:
        with open_file(archive, most=1 << 62) as stream:
            stream.seek(offset)
            head = stream.read(12)
            if head[:5] == b"AUDIO":
                stream.seek(offset + 6)
                size = int.from_bytes(stream.read(head[5] if len(head) > 5 else 0), "little")
            elif head[:4] == b"RIFF":
                size = 8 + int.from_bytes(head[4:8], "little")
                stream.seek(offset)
            else:
                raise CorpusError(
                    f"{where}: {archive} has no recording at byte {offset:,} (it begins with {head[:5]!r}); features "
                    "in an ark are no sound: name the set with wav.scp of recordings"
                )
            content = stream.read(min(size, _MOST_BYTES))
    except OSError as error:
        raise CorpusError(f"{where}: {archive} cannot be read ({error.strerror}); copy it again") from error
    if len(content) < size:
        raise CorpusError(f"{where}: {archive} is cut ({len(content):,} of {size:,} bytes); copy it again")
    return content
