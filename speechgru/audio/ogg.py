"""Ogg: a stream that was cut reads as a whole, shorter one; one without a last page does not read at all.

Android's recorders do not say of the last page that it is the last. Source: RFC 3533 6.
"""

from __future__ import annotations

import itertools
import statistics
from typing import BinaryIO

#: An Ogg page is at most this long: 27 bytes of header, 255 of lengths, 255 * 255 of content.
_LONGEST_OGG_PAGE = 27 + 255 + 255 * 255
#: The flag of a page that ends its stream.
_END_OF_STREAM = 4
#: A page below this share of the usual one's time and bytes was closed because the stream was over.
_SHORT_PAGE = 0.9


def ogg_is_cut(stream: BinaryIO) -> bool:
    """Whether an Ogg file ends inside a page, or at a page behind which others would have come.

    The last page should say that it ends its stream (RFC 3533, 6: the flag eos). Android's recorders do not say it. So
    a last page without the flag is the end where it is clearly shorter than the others, in time and in bytes: writers
    close a page in the middle of a stream when it is full.
    """
    _, page = _last_ogg_page(stream)
    return not page or not (page[5] & _END_OF_STREAM or _last_ogg_page_is_short(stream))


def mend_ogg(stream: BinaryIO) -> bytes | None:
    """An Ogg file whose last page does not say that it ends the stream, saying it: libsndfile reads no other.

    Args:
        stream: the file, open for reading.

    Returns:
        The mended file; None where it says so already, or is cut.
    """
    place, page = _last_ogg_page(stream)
    if not page or page[5] & _END_OF_STREAM or not _last_ogg_page_is_short(stream):
        return None
    stream.seek(0)
    content = bytearray(stream.read())
    content[place + 5] |= _END_OF_STREAM
    # The checksum is linear: what the flag adds to it is its own, so that a damaged page stays a damaged one.
    flag = bytes(5) + bytes([_END_OF_STREAM]) + bytes(len(page) - 6)
    checksum = int.from_bytes(page[22:26], "little") ^ _ogg_checksum(flag)
    content[place + 22 : place + 26] = checksum.to_bytes(4, "little")
    return bytes(content)


def _last_ogg_page(stream: BinaryIO) -> tuple[int, bytes]:
    """Where the last page begins, and its bytes; none where it is cut."""
    size = stream.seek(0, 2)
    first = max(0, size - 2 * _LONGEST_OGG_PAGE)
    stream.seek(first)
    tail = stream.read()
    start = tail.rfind(b"OggS\0")
    if start < 0 or len(tail) < start + 27:
        return 0, b""
    num_lengths = tail[start + 26]
    end = start + 27 + num_lengths + sum(tail[start + 27 : start + 27 + num_lengths])
    return first + start, tail[start:end] if end <= len(tail) else b""


def _ogg_checksum(data: bytes) -> int:
    """RFC 3533, 6: the generator 0x04c11db7, the highest bit first."""
    checksum = 0
    for byte in data:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x04C11DB7 if checksum & 0x80000000 else 0)) & 0xFFFFFFFF
    return checksum


def _last_ogg_page_is_short(stream: BinaryIO) -> bool:
    """Whether the last page holds less time and fewer bytes than pages in the middle of its stream do."""
    granules, sizes = [0], []
    place = stream.seek(0)
    # A full page of an encoder with a page a second (Opus at 48 kHz) or of 4 kB (Vorbis), where no other page shows it.
    usual_granules, usual_size = 48_000.0, 4_096.0
    while True:
        stream.seek(place)
        header = stream.read(27)
        if len(header) < 27 or header[:5] != b"OggS\0":
            break
        lengths = stream.read(header[26])
        granule, size = int.from_bytes(header[6:14], "little", signed=True), sum(lengths)
        place += 27 + len(lengths) + size
        if granule > 0:  # pages of headers have 0, one in which no packet ends -1
            granules.append(granule)
            sizes.append(size)
    durations = [after - before for before, after in itertools.pairwise(granules)]
    if not durations:
        return False
    if len(durations) > 1:
        usual_granules, usual_size = statistics.median(durations[:-1]), statistics.median(sizes[:-1])
    return durations[-1] < _SHORT_PAGE * usual_granules and sizes[-1] < _SHORT_PAGE * usual_size
