"""MP3: what its first frame counts, and what there is.

Where that frame holds no count (written to a pipe, or without the Xing frame), libsndfile guesses the length from the
first frame's bit rate, and with a variable rate half a recording can be lost without a word.

Sources: ISO/IEC 11172-3 2.4.2.3 and 13818-3 (MPEG audio frames), the Xing header as LAME writes it.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

#: Bytes in which the first MPEG frame must begin, after the tags.
_FIRST_FRAME_WITHIN = 1 << 16
#: Bytes of tags at an MP3's end that do not count as a contradiction of its Xing frame.
_TAGS_AT_THE_END = 4096
#: Kilobits a second of layer III by the header's four bits; 0 (free) and 15 (forbidden) give no length.
_KILOBITS_MPEG_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_KILOBITS_MPEG_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)
_MPEG_RATES = {3: (44100, 48000, 32000, 0), 2: (22050, 24000, 16000, 0), 0: (11025, 12000, 8000, 0)}


def mend_mp3(stream: BinaryIO) -> bytes | None:
    """An MP3 whose first frame does not count the others, or counts less than there are, with a frame that does.

    Args:
        stream: the file, open for reading.

    Returns:
        The mended file, tags left out; None where the file's own count holds, and where no frame is found.
    """
    size = stream.seek(0, 2)
    start = _behind_id3(stream)
    stream.seek(start)
    head = stream.read(_FIRST_FRAME_WITHIN)
    first = _first_mpeg_frame(head)
    if first is None:
        return None
    promised_frames, promised_bytes = _xing_counts(head, first)
    if promised_frames and abs(start + first + promised_bytes - size) <= _TAGS_AT_THE_END:
        return None
    content = head + stream.read()
    num_frames, _ = _count_mpeg_frames(content, first)
    if promised_frames is not None:
        num_frames -= 1  # the Xing frame holds no sound
        if num_frames <= promised_frames:
            return None
        first += _mpeg_sizes(content[first + 1])[content[first + 2]]
    return _xing_frame(content[first : first + 4], num_frames) + content[first:]


def _behind_id3(stream: BinaryIO) -> int:
    """Where an ID3v2 tag ends: after 10 bytes, the size that they hold in four times seven bits, and a footer."""
    start = 0
    while True:
        stream.seek(start)
        header = stream.read(10)
        if len(header) < 10 or header[:3] != b"ID3":
            return start
        size = 0
        for byte in header[6:]:
            size = size << 7 | byte & 0x7F
        start += 10 + size + (10 if header[5] & 0x10 else 0)


def _mpeg_sizes(kind: int) -> list[int]:
    """Bytes of a layer III frame by its header's third byte (bit rate, sample rate, padding); 0 for none.

    Args:
        kind: the header's second byte (version, layer).
    """
    version = kind >> 3 & 3
    if kind & 0xE6 != 0xE2 or version == 1:
        return [0] * 256
    factor, kilobits = (144, _KILOBITS_MPEG_1) if version == 3 else (72, _KILOBITS_MPEG_2)
    sizes = []
    for byte in range(256):
        rate, bits = _MPEG_RATES[version][byte >> 2 & 3], kilobits[byte >> 4]
        sizes.append(factor * 1000 * bits // rate + (byte >> 1 & 1) if rate and bits else 0)
    return sizes


def _first_mpeg_frame(content: bytes) -> int | None:
    """Where the first layer III frame begins that another one follows, or the end."""
    start = -1
    while (start := content.find(b"\xff", start + 1)) >= 0 and start + 4 <= len(content):
        size = _mpeg_sizes(content[start + 1])[content[start + 2]]
        following = content[start + size : start + size + 2]
        if size and (len(following) < 2 or (following[0] == 0xFF and following[1] | 1 == content[start + 1] | 1)):
            return start
    return None


def _count_mpeg_frames(content: bytes, start: int) -> tuple[int, bool]:
    """Counts the whole frames of the first one's kind; between them may stand what is none.

    Returns:
        The count, and whether the content ends inside a frame.
    """
    kind, rate = content[start + 1] | 1, content[start + 2] & 0x0C
    sizes = [size if byte & 0x0C == rate else 0 for byte, size in enumerate(_mpeg_sizes(kind))]
    count, lost, ends_inside = 0, False, False
    while 0 <= start <= len(content) - 4:
        size = sizes[content[start + 2]] if content[start] == 0xFF and content[start + 1] | 1 == kind else 0
        end = start + size
        if size and lost:  # one that stands alone may be chance
            lost = not (end + 1 < len(content) and content[end] == 0xFF and content[end + 1] | 1 == kind)
        if size and not lost:
            ends_inside = end > len(content)
            count += not ends_inside
            start = end
        else:
            lost = True
            start = content.find(b"\xff", start + 1)
    return count, ends_inside


def mp3_is_cut(stream: BinaryIO) -> bool:
    """Whether an MP3 ends inside a frame. Some that are whole hold a frame or two less than their first one counts."""
    stream.seek(_behind_id3(stream))
    content = stream.read()
    first = _first_mpeg_frame(content[:_FIRST_FRAME_WITHIN])
    return first is None or _count_mpeg_frames(content, first)[1]


def _xing_place(header: bytes) -> int:
    """Where a Xing frame's own data begin: behind the header and the side information."""
    mono, mpeg_1 = header[3] >> 6 == 3, header[1] >> 3 & 3 == 3
    return 4 + ((17 if mono else 32) if mpeg_1 else (9 if mono else 17))


def _xing_counts(content: bytes, first: int) -> tuple[int | None, int]:
    """The frames and bytes that a first frame promises; None where it is not a Xing frame, 0 for what it leaves out."""
    place = first + _xing_place(content[first : first + 4])
    if content[place : place + 4] in (b"Xing", b"Info") and len(content) >= place + 16:
        flags, *numbers = struct.unpack_from(">3I", content, place + 4)
        counts = [numbers.pop(0) if flags & bit else 0 for bit in (1, 2)]
        return counts[0], counts[1]
    if content[first + 36 : first + 40] == b"VBRI" and len(content) >= first + 54:
        num_bytes, num_frames = struct.unpack_from(">2I", content, first + 46)
        return num_frames, num_bytes
    return None, 0


def _xing_frame(header: bytes, num_frames: int) -> bytes:
    """A frame without sound that counts those behind it, at the highest bit rate, so that there is room."""
    header = bytes([0xFF, header[1] | 1, 0xE0 | header[2] & 0x0C, header[3]])
    place = _xing_place(header)
    size = _mpeg_sizes(header[1])[header[2]]
    return (header + bytes(place - 4) + struct.pack(">4s2I", b"Info", 1, num_frames)).ljust(size, b"\0")
