"""What kind of file it is, and what WAV, AIFF and SPHERE files say that libsndfile does not pass on.

A WAV whose writer was stopped reads as one without samples, or without those that came after its header was written; a
SPHERE file that was cut reads as a whole, shorter one. `mpeg`, `flac` and `ogg` do the same for theirs.
"""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

#: Chunks behind the sound whose end may be missing: the sound is all there.
_CUT_CHUNKS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"cue ", b"JUNK", b"PAD ", b"_PMX", b"afsp", b"ANNO")

#: place, bytes, what such a file is, and what to do where it is not even a recording
_NOT_READ: tuple[tuple[int, bytes, str, str | None], ...] = (
    (4, b"ftyp", "an MP4 or M4A file", None),
    (4, b"moov", "a QuickTime file", None),
    (4, b"mdat", "a QuickTime file", None),
    (0, b"\x1a\x45\xdf\xa3", "a WebM or Matroska file", None),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a WMA file", None),
    (0, b"#!AMR", "an AMR file", None),
    (0, b"\xff\xf1", "an AAC file", None),
    (0, b"\xff\xf9", "an AAC file", None),
    (0, b"ADIF", "an AAC file", None),
    (0, b"wvpk", "a WavPack file", None),
    (0, b"MAC ", "a Monkey's Audio file", None),
    (0, b"TTA1", "a True Audio file", None),
    (0, b".RMF", "a RealMedia file", None),
    (8, b"AVI ", "an AVI file", None),
    (28, b"Speex   ", "a Speex file", None),
    (28, b"\x7fFLAC", "a file of FLAC in Ogg", None),
    (0, b"version https://git-lfs", "a pointer of Git LFS", "fetch it with `git lfs pull`"),
    (0, b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (0, b"\x1f\x8b", "a gzip archive", "unpack it"),
    (0, b"<!DOCTYPE", "a web page", "fetch the recording again"),
    (0, b"<html", "a web page", "fetch the recording again"),
)


def what_it_is(head: bytes) -> tuple[str, str | None] | None:
    """Names a well-known form that libsndfile does not read, by the file's first bytes.

    Args:
        head: the first 40 bytes or more.

    Returns:
        What it is, and where it is no recording what to do, as parts of a sentence; None for a stranger.
    """
    for place, magic, name, fix in _NOT_READ:
        if head[place : place + len(magic)].lower() == magic.lower():
            return name, fix
    return None


def sphere_count(stream: BinaryIO) -> int:
    """The samples a channel that a NIST SPHERE header promises; 0 where it does not."""
    stream.seek(0)
    found = re.search(rb"\nsample_count -i (\d{1,18})\s", stream.read(1024))
    return int(found[1]) if found else 0


def wav_is_unfinished(stream: BinaryIO) -> bool:
    """Whether bytes that are no chunk follow an empty `data` chunk: the sizes come last, and its writer was stopped."""
    stream.seek(0)
    head = stream.read(1 << 16)
    place = head.find(b"data\0\0\0\0")
    following = head[place + 8 : place + 12]
    return place >= 0 and len(following) == 4 and re.fullmatch(rb"[ -~]{4}", following) is None


def bytes_behind_data(stream: BinaryIO) -> int:
    """Bytes behind a WAV's or AIFF's sound that are no chunk: sound that its header does not count.

    A recorder that was stopped, or a program that appends, leaves the size of an earlier moment in the header, and all
    that follows would be lost. Tags of other formats (ID3) and bytes that are all zero are no sound.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    form = stream.read(12)
    data, order = {b"RIFF": (b"data", "<"), b"RIFX": (b"data", ">"), b"FORM": (b"SSND", ">")}.get(form[:4], (b"", ""))
    place, is_behind = 12, False
    while data and place + 8 <= size:
        stream.seek(place)
        name, length = struct.unpack(f"{order}4sI", stream.read(8))
        # Some writers leave out the byte that fills a chunk of odd size.
        is_chunk = re.fullmatch(rb"[ -~]{4}", name) is not None and place + 8 + length <= size
        if is_behind and not is_chunk:
            return _sound_in(stream, place, size) if name not in _CUT_CHUNKS else 0
        is_behind = is_behind or name == data
        place += 8 + length
        if length % 2 and not _chunk_begins(stream, place):
            place += 1
    return 0


def _chunk_begins(stream: BinaryIO, place: int) -> bool:
    stream.seek(place)
    return re.fullmatch(rb"[ -~]{4}", stream.read(4)) is not None


def _sound_in(stream: BinaryIO, place: int, size: int) -> int:
    """How many bytes from a place on may be sound: none of a tag, none where all are zero."""
    stream.seek(place - 1)  # a byte that fills a chunk of odd size may be missing there
    head = stream.read(1 << 16)
    if any(tag in head[:9] for tag in (b"ID3", b"TAG")) or not any(head[1:]):
        return 0
    return size - place
