"""What files say and libsndfile does not pass on: streams without a count, streams that were cut, strange forms.

Some recordings are common and yet would be read wrongly, or named wrongly, by libsndfile 1.2 alone:

- An MP3 whose first frame holds no count (written to a pipe, or without the Xing frame). Its length is then guessed
  from the first frame's bit rate, and with a variable rate half a recording can be lost without a word.
- A FLAC written to a pipe. Its header counts 0 samples, and reading its end fails.
- An Ogg stream or a SPHERE file that was cut. It reads as a whole, shorter one.
- An Ogg stream whose last page does not say that it is the last (Android's recorders). It does not read at all.
- A WAV whose writer was stopped. It reads as one without samples.

Sources: ISO/IEC 11172-3 2.4.2.3 and 13818-3 (MPEG audio frames), the Xing header as LAME writes it, RFC 9639 8.2 and
9.1 (FLAC), RFC 3533 6 (Ogg pages).
"""

from __future__ import annotations

import itertools
import re
import statistics
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

#: An Ogg page is at most this long: 27 bytes of header, 255 of lengths, 255 * 255 of content.
_LONGEST_OGG_PAGE = 27 + 255 + 255 * 255
#: The flag of a page that ends its stream.
_END_OF_STREAM = 4
#: A page below this share of the usual one's time and bytes was closed because the stream was over.
_SHORT_PAGE = 0.9
#: Bytes at a FLAC's end in which its last frame must begin: 8 channels of 65,535 samples of 24 bits.
_LONGEST_FLAC_FRAME = 1 << 21

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


def mend_flac(stream: BinaryIO) -> bytes | None:
    """A FLAC file that does not count its samples, with the count that its last frame gives.

    Args:
        stream: the file, open for reading.

    Returns:
        The mended file; None where no frame is found.
    """
    stream.seek(0)
    content = bytearray(stream.read())
    info = content.find(b"fLaC") + 8
    first = _first_flac_frame(content, info - 4)
    if info < 8 or first is None:
        return None
    fixed_size = int.from_bytes(content[info : info + 2], "big")
    start = len(content)
    lowest = max(first, len(content) - _LONGEST_FLAC_FRAME)
    while (start := content.rfind(content[first : first + 2], lowest, start)) >= 0:
        end = _end_of_flac_frame(content, start, like=first, fixed_size=fixed_size)
        if end is not None:
            # STREAMINFO: 16 + 16 + 24 + 24 bits of sizes, 20 + 3 + 5 of the form, then 36 bits of the count.
            content[info + 13] = content[info + 13] & 0xF0 | end >> 32
            content[info + 14 : info + 18] = (end & 0xFFFFFFFF).to_bytes(4, "big")
            return bytes(content)
    return None


def _first_flac_frame(content: bytearray, block: int) -> int | None:
    """Where the frames begin, behind the metadata blocks (RFC 9639, 8.1)."""
    while block + 4 <= len(content):
        last, size = content[block] & 0x80, int.from_bytes(content[block + 1 : block + 4], "big")
        block += 4 + size
        if last:
            return block if block + 4 <= len(content) else None
    return None


def _end_of_flac_frame(content: bytearray, start: int, *, like: int, fixed_size: int) -> int | None:
    """The number of the sample behind a frame (RFC 9639, 9.1); None where no frame begins.

    Args:
        content: the file.
        start: where a frame may begin.
        like: where the first frame begins; all have its rate and sample size.
        fixed_size: samples in a frame when all frames have as many.
    """
    header = content[start : start + 16].ljust(16, b"\0")  # the last frame may be shorter than the longest header
    if (header[2] ^ content[like + 2]) & 0x0F or (header[3] ^ content[like + 3]) & 0x0F:
        return None
    # The frame's number is coded as in UTF-8, up to 7 bytes: as many leading ones as bytes.
    ones = 8 - (~header[4] & 0xFF).bit_length()
    length = max(1, ones)
    if ones == 1 or ones > 7:
        return None
    number = header[4] & (0xFF >> (ones + 1) if ones else 0x7F)
    for byte in header[5 : 4 + length]:
        if byte & 0xC0 != 0x80:
            return None
        number = number << 6 | byte & 0x3F
    place = 4 + length
    code = header[2] >> 4
    if code == 0:
        return None
    if code == 1:
        size = 192
    elif code < 6:
        size = 144 << code
    elif code < 8:
        size = int.from_bytes(header[place : place + code - 5], "big") + 1
        place += code - 5
    else:
        size = 1 << code
    place += {12: 1, 13: 2, 14: 2}.get(header[2] & 0x0F, 0)  # the rate, where it is not one of the usual
    if _crc8(header[:place]) != header[place]:
        return None
    return (number if header[1] & 1 else number * fixed_size) + size


def _crc8(data: bytearray) -> int:
    """The check of a FLAC frame's header: x^8 + x^2 + x + 1."""
    check = 0
    for byte in data:
        check ^= byte
        for _ in range(8):
            check = (check << 1 ^ (0x07 if check & 0x80 else 0)) & 0xFF
    return check


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
