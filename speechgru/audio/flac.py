"""FLAC: one that was written to a pipe counts 0 samples in its header, and reading its end fails.

Source: RFC 9639 8.2 and 9.1.
"""

from __future__ import annotations

from typing import BinaryIO

#: Bytes at a FLAC's end in which its last frame must begin: 8 channels of 65,535 samples of 24 bits.
_LONGEST_FLAC_FRAME = 1 << 21


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
