"""What files say and libsndfile does not pass on: counts, cuts and names, against counting by brute force."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speechgru.audio import containers, flac, mpeg, ogg

#: Bit rates and sample rates of MPEG layer III, each as the two fields of a header, by version.
MPEG_1, MPEG_2, MPEG_25 = 0xFA, 0xF2, 0xE2


def mpeg_frame(kind, kilobits, rate, *, mono=True, padding=0, content=b""):
    """A frame that holds no sound; its length by the formula of ISO 11172-3, 2.4.3.1."""
    table = mpeg._KILOBITS_MPEG_1 if kind == MPEG_1 else mpeg._KILOBITS_MPEG_2
    rates = mpeg._MPEG_RATES[kind >> 3 & 3]
    header = bytes([0xFF, kind | 1, table.index(kilobits) << 4 | rates.index(rate) << 2 | padding << 1, 0xC0 * mono])
    length = int((144 if kind == MPEG_1 else 72) * kilobits * 1000 / rate) + padding
    return header + content.ljust(length - 4, b"\0")


def frames_of(content):
    """What libsndfile makes of the mended file: its count of samples, and the samples."""
    with soundfile.SoundFile(io.BytesIO(content)) as stream:
        return stream.frames, len(stream.read())


@pytest.mark.parametrize(
    ("kind", "rate", "frame_length"), [(MPEG_1, 44100, 1152), (MPEG_2, 16000, 576), (MPEG_25, 8000, 576)]
)
@pytest.mark.parametrize("mono", [True, False])
@given(kilobits=st.lists(st.sampled_from([32, 40, 48, 56, 64, 80, 96, 112, 128]), min_size=2, max_size=40))
def test_frames_of_any_bit_rates_are_counted(kind, rate, frame_length, mono, kilobits):
    frames = [mpeg_frame(kind, bits, rate, mono=mono, padding=k % 2) for k, bits in enumerate(kilobits)]
    mended = mpeg.mend_mp3(io.BytesIO(b"".join(frames)))
    assert mended is not None
    assert mended.endswith(b"".join(frames))
    count, decoded = frames_of(mended)
    # The decoder's delay is left out.
    assert count == decoded == frame_length * len(frames) - 529


def test_tags_and_rubbish_are_no_frames():
    frames = [mpeg_frame(MPEG_1, 64, 44100) for _ in range(7)]
    id3 = b"ID3\4\0\0\0\0\2\1" + b"\xff\xfb\x90\x00" + bytes(2 * 128 + 1 - 4)
    rubbish = b"\xff\xfb\x50\xc0 and more of it"
    content = id3 + b"".join(frames[:3]) + rubbish + b"".join(frames[3:]) + b"TAG" + bytes(125)
    mended = mpeg.mend_mp3(io.BytesIO(content))
    assert mended is not None and b"ID3" not in mended
    assert frames_of(mended)[0] == 7 * 1152 - 529


def test_a_count_that_holds_is_left_alone():
    frames = [mpeg_frame(MPEG_1, 64, 44100) for _ in range(7)]
    size = len(frames[0])
    for tag in (b"Xing", b"Info"):
        counting = mpeg_frame(MPEG_1, 64, 44100, content=bytes(17) + tag + struct.pack(">3I", 3, 7, 8 * size))
        assert mpeg.mend_mp3(io.BytesIO(counting + b"".join(frames))) is None
        # Cut: the promise is kept, so that the reader can say what is missing.
        assert mpeg.mend_mp3(io.BytesIO(counting + b"".join(frames[:3]))) is None
        # More than promised.
        content = counting + b"".join(frames * 20)
        assert frames_of(mpeg.mend_mp3(io.BytesIO(content)))[0] == 140 * 1152 - 529
    vbri = mpeg_frame(MPEG_1, 64, 44100, content=bytes(32) + b"VBRI" + bytes(6) + struct.pack(">2I", 8 * size, 7))
    assert mpeg.mend_mp3(io.BytesIO(vbri + b"".join(frames))) is None


@given(st.binary(max_size=2000))
def test_no_bytes_fell_it(content):
    for start in (
        b"",
        b"ID3\4\0\0\0\0\0\1",
        b"fLaC\x80\0\0\x22",
        b"OggS\0",
        b"\xff\xfb\x90\x00",
        b"RIFF\0\0\0\0WAVEdata",
        b"RIFF\0\0\0\0WAVEdata\1\0\0\0",
        b"FORM\0\0\0\0AIFFSSND\0\0\0\0",
    ):
        stream = io.BytesIO(start + content)
        mpeg.mend_mp3(stream)
        flac.mend_flac(stream)
        ogg.ogg_is_cut(stream)
        ogg.mend_ogg(stream)
        containers.sphere_count(stream)
        containers.wav_is_unfinished(stream)
        containers.bytes_behind_data(stream)
        containers.what_it_is(start + content)


def test_the_check_of_a_flac_header_is_the_usual_one():
    assert flac._crc8(bytearray(b"123456789")) == 0xF4  # CRC-8/SMBUS's published check value


@pytest.mark.parametrize("num_samples", [1, 191, 192, 4095, 4096, 4097, 40_000, 700_000])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize(("num_channels", "sample_rate"), [(1, 16000), (2, 44100), (3, 12345), (1, 8000)])
def test_a_flac_without_a_count_gets_it_from_its_last_frame(num_samples, subtype, num_channels, sample_rate):
    rng = np.random.default_rng(num_samples)
    written = io.BytesIO()
    samples = 0.1 * rng.standard_normal((num_samples, num_channels))
    soundfile.write(written, samples, sample_rate, format="FLAC", subtype=subtype)
    content = bytearray(written.getvalue())
    counted = bytes(content)
    content[21] &= 0xF0  # STREAMINFO's 36 bits
    content[22:26] = bytes(4)
    assert flac.mend_flac(io.BytesIO(bytes(content))) == counted


def test_a_flac_without_frames_has_no_count(tmp_path):
    written = io.BytesIO()
    soundfile.write(written, np.zeros(0), 16000, format="FLAC")
    assert flac.mend_flac(io.BytesIO(written.getvalue())) is None
    assert flac.mend_flac(io.BytesIO(b"fLaC")) is None


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_cut_at_any_byte_is_cut(make_speech, subtype):
    if not soundfile.check_format("OGG", subtype):
        pytest.skip(f"this libsndfile does not write {subtype}")
    written = io.BytesIO()
    soundfile.write(written, make_speech(0.3), 16000, format="OGG", subtype=subtype)
    content = written.getvalue()
    assert not ogg.ogg_is_cut(io.BytesIO(content))
    assert not ogg.ogg_is_cut(io.BytesIO(content + bytes(1000)))
    assert ogg.mend_ogg(io.BytesIO(content)) is None
    unmarked = bytearray(content)
    place = content.rindex(b"OggS\0")
    unmarked[place + 5] &= ~4
    # As RFC 3533 has it: over the page with zeros where the checksum stands.
    unmarked[place + 22 : place + 26] = bytes(4)
    checksum = ogg._ogg_checksum(bytes(unmarked[place:]))
    unmarked[place + 22 : place + 26] = checksum.to_bytes(4, "little")
    assert ogg.mend_ogg(io.BytesIO(bytes(unmarked))) == content
    for size in range(len(content)):
        assert ogg.ogg_is_cut(io.BytesIO(content[:size])), size
