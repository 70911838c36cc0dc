"""Reading recordings: every format gives the same samples, and what is not a recording is named with its reason."""

import contextlib
import functools
import os
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.audio import foreign
from speechgru.audio.ogg import _ogg_checksum
from speechgru.audio.reading import read_blocks, read_header, read_recording, resample
from speechgru.errors import AudioError

RATE = 16000
CASES = Path(__file__).resolve().parents[2] / "shared" / "cases"

#: format, subtype, suffix, the greatest error that the form itself makes (measured on `make_speech`, doubled)
FORMS = [
    ("WAV", "PCM_U8", ".wav", 2**-7),
    ("WAV", "PCM_16", ".wav", 2**-15),
    ("WAV", "PCM_24", ".wav", 2**-23),
    ("WAV", "PCM_32", ".wav", 2**-24),
    ("WAV", "FLOAT", ".wav", 0),
    ("WAV", "DOUBLE", ".wav", 0),
    ("WAV", "ALAW", ".wav", 0.02),
    ("WAV", "ULAW", ".wav", 0.02),
    ("WAV", "IMA_ADPCM", ".wav", 0.15),
    ("WAV", "GSM610", ".wav", 0.2),
    ("WAVEX", "PCM_16", ".wav", 2**-15),
    ("RF64", "PCM_16", ".wav", 2**-15),
    ("W64", "PCM_16", ".w64", 2**-15),
    ("FLAC", "PCM_16", ".flac", 2**-15),
    ("FLAC", "PCM_24", ".flac", 2**-23),
    ("OGG", "VORBIS", ".ogg", 0.15),
    ("OGG", "OPUS", ".opus", 0.15),
    ("MP3", "MPEG_LAYER_III", ".mp3", 0.15),
    ("AIFF", "PCM_16", ".aiff", 2**-15),
    ("AIFF", "FLOAT", ".aiff", 0),
    ("AU", "PCM_16", ".au", 2**-15),
    ("CAF", "PCM_16", ".caf", 2**-15),
    ("NIST", "PCM_16", ".sph", 2**-15),
]
forms = pytest.mark.parametrize(("form", "subtype", "suffix", "tolerance"), FORMS, ids=lambda value: str(value))


def available(form, subtype):
    if not soundfile.check_format(form, subtype):
        pytest.skip(f"this libsndfile does not write {form}/{subtype}")


def relative_error(samples_N, expected_N):
    return np.linalg.norm(samples_N - expected_N) / np.linalg.norm(expected_N)


@forms
def test_every_format_gives_the_samples(tmp_path, write_wav, make_speech, form, subtype, suffix, tolerance):
    available(form, subtype)
    expected_N = make_speech(1.0)
    path = write_wav(tmp_path, f"a{suffix}", format=form, subtype=subtype)
    recording = read_recording(path)
    assert recording.samples_N.dtype == np.float32
    assert (recording.sample_rate, recording.source_rate, recording.num_channels) == (RATE, RATE, 1)
    assert recording.duration == len(recording.samples_N) / RATE
    if "ADPCM" in subtype:  # whole blocks only
        assert 0 <= len(recording.samples_N) - RATE < 1024
    else:
        assert len(recording.samples_N) == RATE
    np.testing.assert_allclose(recording.samples_N[:RATE], expected_N, rtol=0, atol=tolerance)


@forms
def test_a_segment_is_a_part_of_the_whole(tmp_path, write_wav, form, subtype, suffix, tolerance):
    available(form, subtype)
    path = write_wav(tmp_path, f"a{suffix}", seconds=2.0, format=form, subtype=subtype)
    whole_N = read_recording(path).samples_N
    segment_N = read_recording(path, offset=0.7, duration=0.55).samples_N
    assert len(segment_N) == 8800
    np.testing.assert_allclose(segment_N, whole_N[11200:20000], rtol=0, atol=1e-6)


@forms
def test_a_truncated_file_is_named(tmp_path, write_wav, form, subtype, suffix, tolerance):
    available(form, subtype)
    path = write_wav(tmp_path, f"a{suffix}", format=form, subtype=subtype)
    content = path.read_bytes()
    for share in (0.05, 0.2, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(AudioError) as caught:
            read_recording(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "is truncated" in str(caught.value) or "cannot be decoded" in str(caught.value)


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
def test_an_ogg_that_ends_at_a_page_is_truncated_too(tmp_path, write_wav, suffix):
    path = write_wav(
        tmp_path, f"a{suffix}", seconds=20.0, format="OGG", subtype=suffix[1:].upper().replace("OGG", "VORBIS")
    )
    content = path.read_bytes()
    pages = [place for place in range(len(content)) if content.startswith(b"OggS\0", place)]
    assert len(pages) > 4
    for page in pages[3:]:
        path.write_bytes(content[:page])
        with pytest.raises(AudioError, match=r"is truncated: its last page does not end the stream; copy it again"):
            read_recording(path)
    path.write_bytes(content + b"TAG" + bytes(125))  # somebody's tag behind the last page
    assert len(read_recording(path).samples_N) == 20 * RATE


def without_end_of_stream(content):
    """An Ogg file whose last page does not say that it is the last, as Android's recorders write it."""
    changed = bytearray(content)
    place = changed.rindex(b"OggS\0")
    assert changed[place + 5] & 4
    changed[place + 5] &= ~4
    changed[place + 22 : place + 26] = bytes(4)
    changed[place + 22 : place + 26] = _ogg_checksum(bytes(changed[place:])).to_bytes(4, "little")
    return bytes(changed)


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
@pytest.mark.parametrize("seconds", [0.3, 0.7, 3.4, 20.3])
def test_an_ogg_without_the_end_of_stream_is_read_whole_and_a_cut_one_is_named(tmp_path, write_wav, suffix, seconds):
    subtype = suffix[1:].upper().replace("OGG", "VORBIS")
    path = write_wav(tmp_path, f"a{suffix}", seconds=seconds, format="OGG", subtype=subtype)
    whole = read_recording(path)
    content = without_end_of_stream(path.read_bytes())
    path.write_bytes(content)
    recording = read_recording(path)
    assert recording.duration == pytest.approx(seconds, abs=0.02)
    np.testing.assert_array_equal(recording.samples_N, whole.samples_N[: len(recording.samples_N)])
    for share in (0.3, 0.6, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(AudioError, match=r"is truncated|cannot be decoded"):
            read_recording(path)


def test_androids_recording_is_read_whole():
    path = CASES / "android_no_eos.opus"
    if not path.is_file():
        pytest.skip("../shared/cases is not on this machine")
    assert read_recording(path, sample_rate=16000).duration == pytest.approx(3.41, abs=0.01)
    assert read_header(path).num_samples == 54569


def test_a_truncated_wav_says_how_much_is_there(tmp_path, write_wav):
    path = write_wav(tmp_path, "a.wav", seconds=0.1)
    for missing in (1, 2, 500, 3200):
        path.write_bytes(write_wav(tmp_path, "b.wav", seconds=0.1).read_bytes()[:-missing])
        with pytest.raises(AudioError) as caught:
            read_recording(path)
        there = 3200 - missing
        assert str(caught.value) == (
            f"{path}: is truncated: its header promises 3200 bytes, {there} are there; copy it again"
        )


@pytest.mark.parametrize("num_channels", [1, 2, 5])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_channels_are_averaged(tmp_path, write_wav, make_speech, num_channels, suffix):
    path = write_wav(tmp_path, f"a{suffix}", num_channels=num_channels)
    recording = read_recording(path)
    assert recording.num_channels == num_channels
    expected_N = make_speech(1.0, num_channels=num_channels).reshape(RATE, num_channels).mean(axis=1)
    np.testing.assert_allclose(recording.samples_N, expected_N, atol=2**-15)


@pytest.mark.parametrize("source_rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("sample_rate", [8000, 16000])
def test_resampling_keeps_time_and_level(tmp_path, source_rate, sample_rate):
    seconds, frequency = 0.7317, 700.0
    time_N = np.arange(round(seconds * source_rate)) / source_rate
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * frequency * time_N), source_rate, subtype="FLOAT")
    recording = read_recording(tmp_path / "a.wav", sample_rate=sample_rate)
    assert (recording.sample_rate, recording.source_rate) == (sample_rate, source_rate)
    assert abs(len(recording.samples_N) - len(time_N) * sample_rate / source_rate) <= 1
    time_N = np.arange(len(recording.samples_N)) / sample_rate
    expected_N = 0.5 * np.sin(2 * np.pi * frequency * time_N)
    inside = slice(len(time_N) // 10, -len(time_N) // 10)
    np.testing.assert_allclose(recording.samples_N[inside], expected_N[inside], atol=1e-3)


def test_resampling_to_the_same_rate_is_the_same_array():
    samples_N = np.zeros(10, np.float32)
    assert resample(samples_N, source_rate=8000, sample_rate=8000) is samples_N
    assert resample(samples_N, source_rate=8000.0, sample_rate=8000) is samples_N


@pytest.mark.parametrize(
    ("source_rate", "sample_rate"),
    [
        (192000, 4000),
        (4000, 192000),
        (8000, 48000),
        (48000, 8000),
        (44100, 16000),
        (16000, 44100),
        (16000 * 1.1, 16000.0),
        (16000 * 0.9, 16000),
        (16000, 16000 / 0.95),
        (14545.4545, 16000),
        (1, 8000),
    ],
)
def test_resampling_gives_the_rounded_length_and_finite_samples(make_speech, source_rate, sample_rate):
    for count in (0, 1, 2, 3, 7, 10, 99, 100, 1001, 16001):
        samples_N = resample(make_speech(count / 16000), source_rate=source_rate, sample_rate=sample_rate)
        exact = count * sample_rate / source_rate
        assert abs(len(samples_N) - exact) <= 0.5 + 1e-6 * exact
        assert samples_N.dtype == np.float32 and samples_N.ndim == 1
        assert np.isfinite(samples_N).all()
        if source_rate == 1 and count > 100:
            break


@pytest.mark.parametrize("factor", [0.85, 0.9, 1.0, 1.0973, 1.15])
def test_resampling_between_rates_that_are_not_whole_changes_speed_and_pitch(factor):
    time_N = np.arange(16000) / 16000
    slower_N = resample(
        np.sin(2 * np.pi * 500 * time_N).astype(np.float32), source_rate=16000 * factor, sample_rate=16000
    )
    expected_N = np.sin(2 * np.pi * 500 * factor * np.arange(len(slower_N)) / 16000)
    np.testing.assert_allclose(slower_N[200:-200], expected_N[200:-200], atol=2e-3)


@pytest.mark.parametrize(
    ("source_rate", "sample_rate"), [(0, 8000), (8000, -1), (float("nan"), 8000), (8000, float("inf"))]
)
def test_rates_that_are_none_are_refused(source_rate, sample_rate):
    with pytest.raises(ValueError, match="rates are numbers of Hz above 0, got source_rate="):
        resample(np.zeros(10, np.float32), source_rate=source_rate, sample_rate=sample_rate)


def test_the_shortest_recordings_are_resampled(tmp_path):
    for count in range(1, 20):
        soundfile.write(tmp_path / "a.wav", np.full(count, 0.5), 48000)
        recording = read_recording(tmp_path / "a.wav", sample_rate=8000)
        assert abs(len(recording.samples_N) - count / 6) <= 0.5
        assert np.isfinite(recording.samples_N).all()


# Long ones


def bytes_read():
    """Bytes that this process has read from files so far."""
    try:
        content = Path("/proc/self/io").read_text()
    except OSError:
        pytest.skip("this system does not count what a process reads")
    return int(content.split("rchar: ")[1].split()[0])


@pytest.mark.parametrize(
    ("form", "subtype", "suffix", "share"),
    [
        ("WAV", "PCM_16", ".wav", 0.05),
        ("WAV", "ALAW", ".wav", 0.05),
        ("WAV", "IMA_ADPCM", ".wav", 0.06),
        ("FLAC", "PCM_16", ".flac", 0.1),
        ("OGG", "VORBIS", ".ogg", None),  # the last pages (130 kB), and a search between
        ("OGG", "OPUS", ".opus", None),
        ("MP3", "MPEG_LAYER_III", ".mp3", None),  # the headers of the frames before it: an MP3 has no index
    ],
)
def test_a_segment_of_a_long_recording_is_read_without_the_rest(
    tmp_path, monkeypatch, write_wav, form, subtype, suffix, share
):
    available(form, subtype)
    path = write_wav(tmp_path, f"a{suffix}", seconds=40.0, format=form, subtype=subtype)
    whole_N = read_recording(path).samples_N
    decoded = []
    read = soundfile.SoundFile.read

    def counting(stream, *arguments, **options):
        samples = read(stream, *arguments, **options)
        decoded.append(len(samples))
        return samples

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    for offset in (0.0, 20.0, 39.0):
        before = bytes_read() if share else 0
        segment_N = read_recording(path, offset=offset, duration=0.5).samples_N
        assert share is None or bytes_read() - before < share * path.stat().st_size + 1000
        assert sum(decoded) <= 8000 + 24 * 576  # of 640,000
        decoded.clear()
        start = round(offset * RATE)
        np.testing.assert_allclose(segment_N, whole_N[start : start + 8000], rtol=0, atol=1e-6)


def test_a_long_mp3_of_a_low_bit_rate_is_the_same_in_one_piece(tmp_path, monkeypatch, make_speech):
    """A frame of few bits borrows from those before it; a seek between two reads would take that away."""
    available("MP3", "MPEG_LAYER_III")
    path = tmp_path / "a.mp3"
    with soundfile.SoundFile(path, "w", 8000, 1, "MPEG_LAYER_III", None, "MP3", compression_level=0.99) as stream:
        stream.write(make_speech(30.0, sample_rate=8000))
    expected_N = soundfile.read(path, dtype="float32")[0]
    monkeypatch.setattr("speechgru.audio.reading._BLOCK", 10_000)
    np.testing.assert_array_equal(read_recording(path).samples_N, expected_N)
    for start in range(20_000, 200_000, 7_919):
        segment_N = read_recording(path, offset=start / 8000, duration=0.5).samples_N
        np.testing.assert_allclose(segment_N, expected_N[start : start + 4000], rtol=0, atol=1e-6)


def test_many_channels_take_no_more_memory_at_once(tmp_path, monkeypatch, write_wav):
    path = write_wav(tmp_path, num_channels=6)
    whole_N = read_recording(path).samples_N
    monkeypatch.setattr("speechgru.audio.reading._BLOCK", 600)
    lengths = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda *given, **options: lengths.append(given[1]) or read(*given, **options)
    )
    np.testing.assert_array_equal(read_recording(path).samples_N, whole_N)
    assert max(lengths) == 100


@given(offset=st.floats(0, 0.99), duration=st.floats(0, 1.2))
@settings(max_examples=60)
def test_segments_of_any_place(tmp_path, write_wav, offset, duration):
    path = tmp_path / "whole.wav"
    if not path.exists():
        write_wav(tmp_path, "whole.wav", subtype="FLOAT")
    whole_N = soundfile.read(path, dtype="float32")[0]
    if offset + duration > 1.01:
        with pytest.raises(AudioError, match=r"is 1\.000 s long, shorter than the segment from"):
            read_recording(path, offset=offset, duration=duration)
        return
    start = round(offset * RATE)
    expected_N = whole_N[start : start + round(duration * RATE)]
    np.testing.assert_array_equal(read_recording(path, offset=offset, duration=duration).samples_N, expected_N)


def test_a_segment_may_end_a_hundredth_of_a_second_late(tmp_path, write_wav):
    path = write_wav(tmp_path)
    assert len(read_recording(path, duration=1.009).samples_N) == RATE
    assert len(read_recording(path, offset=0.5, duration=0.509).samples_N) == RATE // 2
    with pytest.raises(AudioError, match=r"a\.wav: is 1\.000 s long, shorter than the segment from 0\.5 s to 1\.02 s"):
        read_recording(path, offset=0.5, duration=0.52)
    with pytest.raises(AudioError, match="shorter than the segment from 3 s to 3 s"):
        read_recording(path, offset=3)
    with pytest.raises(AudioError, match=r"shorter than the segment from 1e\+308 s"):
        read_recording(path, offset=1e308, duration=1e308)


@pytest.mark.parametrize(("offset", "duration"), [(-0.1, None), (0, -1), (float("nan"), None), (0, float("inf"))])
def test_seconds_that_are_none_are_refused(tmp_path, write_wav, offset, duration):
    with pytest.raises(AudioError, match=r"a\.wav: a segment's offset and duration are seconds, 0 or more, got"):
        read_recording(write_wav(tmp_path), offset=offset, duration=duration)


# Headers


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFFFFF - 36, 0x7FFFF000, 0x80000000])
def test_a_header_written_before_the_length_was_known_is_accepted(tmp_path, write_wav, make_speech, size):
    path = write_wav(tmp_path)
    content = bytearray(path.read_bytes())
    position = content.index(b"data")
    struct.pack_into("<I", content, position + 4, size)
    struct.pack_into("<I", content, 4, 0xFFFFFFFF)
    path.write_bytes(content)
    np.testing.assert_allclose(read_recording(path).samples_N, make_speech(1.0), atol=2**-15)
    assert len(read_recording(path, offset=0.5, duration=0.25).samples_N) == RATE // 4


def test_chunks_after_the_audio_are_no_audio(tmp_path, write_wav):
    path = write_wav(tmp_path)
    path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO" + b"\0")
    assert len(read_recording(path).samples_N) == RATE


def test_a_wav_whose_writer_was_stopped_is_named(tmp_path, write_wav):
    path = write_wav(tmp_path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, 0)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"a\.wav: its header counts no samples, but bytes follow: .* record it again"):
        read_recording(path)
    place = content.index(b"data") + 8
    path.write_bytes(content[:place] + b"LIST" + struct.pack("<I", 4) + b"INFO")
    assert len(read_recording(path).samples_N) == 0


@pytest.mark.parametrize(
    ("form", "subtype"), [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("AIFF", "PCM_16")]
)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_sound_behind_what_the_header_counts_is_named(tmp_path, write_wav, form, subtype, share):
    path = write_wav(tmp_path, f"a.{form.lower()}", format=form, subtype=subtype)
    content = bytearray(path.read_bytes())
    name, order = (b"data", "<") if form == "WAV" else (b"SSND", ">")
    place = content.index(name) + 4
    (size,) = struct.unpack_from(f"{order}I", content, place)
    struct.pack_into(f"{order}I", content, place, int(share * size) // 12 * 12)
    path.write_bytes(content)
    with pytest.raises(
        AudioError, match=r"its header counts \d+ samples, but \d+ bytes of sound follow them; mend the"
    ):
        read_recording(path)
    with pytest.raises(AudioError, match="sox --ignore-length"):
        read_header(path)


@pytest.mark.parametrize(
    "behind",
    [
        b"LIST\4\0\0\0INFO",
        b"LIST\0\0\1\0INFO, cut here",
        b"cue \4\0\0\0\0\0\0\0LIST\4\0\0\0INFO",
        b"TAG" + b"a title" * 18,
        b"ID3\3\0\0\0\0\2\1" + b"x" * 257,
        bytes(4096),
        b"\x03\x99" * 100,
    ],
)
@pytest.mark.parametrize("odd", [True, False])
def test_chunks_tags_and_zeros_behind_the_sound_are_none(tmp_path, write_wav, behind, odd):
    path = write_wav(tmp_path, seconds=0.5 + odd / RATE, subtype="PCM_U8")
    content = bytearray(path.read_bytes())
    for filler in (b"", b"\0") if odd else (b"",):  # some writers leave out what fills a chunk of odd size
        path.write_bytes(content[: 44 + 8000 + odd] + filler + behind)
        assert len(read_recording(path).samples_N) == 8000 + odd


@pytest.mark.parametrize(
    ("form", "suffix", "size"), [("WAV", ".wav", 44), ("FLAC", ".flac", 86), ("AIFF", ".aiff", 54), ("AU", ".au", 24)]
)
def test_a_header_alone_is_named(tmp_path, write_wav, form, suffix, size):
    path = write_wav(tmp_path, f"a{suffix}")
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(AudioError, match=r"is truncated|cannot be decoded") as caught:
        read_recording(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_rates_that_no_recorder_has_are_named(tmp_path, write_wav, rate):
    path = write_wav(tmp_path)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 24, rate)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=rf"a\.wav: its header says {rate} samples a second, expected 1000 to 768000"):
        read_recording(path, sample_rate=16000)


def test_the_header_is_told_without_the_samples(tmp_path, write_wav):
    path = write_wav(tmp_path, "a.flac", num_channels=2, sample_rate=22050)
    header = read_header(path)
    assert (header.container, header.encoding) == ("FLAC", "PCM_16")
    assert (header.sample_rate, header.num_channels, header.num_samples) == (22050, 2, 22050)
    assert header.segment(0.5, None) == (11025, 11025)
    with pytest.raises(AudioError, match=r"none\.wav: no such recording"):
        read_header(tmp_path / "none.wav")


@given(st.integers(0, 2**32))
@settings(max_examples=150)
def test_a_damaged_header_is_read_or_named(tmp_path, write_wav, seed):
    rng = np.random.default_rng(seed)
    name = ("a.wav", "a.flac", "a.ogg", "a.aiff")[seed % 4]
    path = tmp_path / name
    if not path.exists():
        write_wav(tmp_path, name, seconds=0.2, num_channels=1 + seed % 3)
    content = bytearray(path.read_bytes())
    for position in rng.integers(min(100, len(content)), size=rng.integers(1, 4)):
        content[position] = rng.integers(256)
    damaged = tmp_path / f"damaged_{name}"
    damaged.write_bytes(content)
    try:
        samples_N, message = read_recording(damaged).samples_N, ""
    except AudioError as error:
        samples_N, message = np.zeros(0), str(error)
    assert np.isfinite(samples_N).all()
    assert not message or message.startswith(f"{damaged}: ")


def test_a_header_that_promises_billions_of_samples_does_not_take_the_memory(tmp_path, write_wav):
    path = write_wav(tmp_path, "a.flac", seconds=0.2)
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the top four bits of STREAMINFO's 36-bit count of samples
    path.write_bytes(content)
    assert soundfile.info(path).frames > 2**35
    with pytest.raises(AudioError, match=r"a\.flac: (is truncated \(3200 of \d{11} samples\)|cannot be decoded)"):
        read_recording(path)


def test_long_recordings_are_read_in_blocks(tmp_path, monkeypatch, write_wav):
    path = write_wav(tmp_path, "a.ogg", num_channels=2)
    whole_N = read_recording(path).samples_N
    for block in (7999, 8000, 15999, 16000, 16001):
        monkeypatch.setattr("speechgru.audio.reading._BLOCK", block)
        np.testing.assert_array_equal(read_recording(path).samples_N, whole_N)
        assert len(read_recording(path, offset=0.25, duration=0.7).samples_N) == 11200


# What is not a recording


def test_a_wav_without_samples_has_none(tmp_path, write_wav):
    path = write_wav(tmp_path, seconds=0)
    for recording in (read_recording(path), read_recording(path, sample_rate=8000, duration=0.5)):
        assert recording.samples_N.shape == (0,)
        assert recording.samples_N.dtype == np.float32
        assert recording.duration == 0


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff", ".sph", ".txt", ""])
def test_a_text_file_is_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text("this is what was said\n" * 20, encoding="utf-8")
    with pytest.raises(AudioError) as caught:
        read_recording(path)
    assert str(caught.value) == (
        f"{path}: cannot be decoded (Format not recognised); it is not a recording in a known format, or is damaged: "
        "convert it to WAV or FLAC, or copy it again"
    )


def test_other_things_that_are_no_recording_are_named(tmp_path, write_wav):
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match=r"empty\.wav: is empty \(0 bytes\); record or copy it again"):
        read_recording(tmp_path / "empty.wav")
    with pytest.raises(AudioError, match=r"none\.wav: no such recording \(No such file or directory\)"):
        read_recording(tmp_path / "none.wav")
    with pytest.raises(AudioError) as caught:
        read_recording(tmp_path)
    assert str(caught.value) == f"{tmp_path}: is a folder, not a recording; name the file"
    with pytest.raises(AudioError, match=r"no such recording \(.*null (byte|character).*\)"):
        read_recording("a\0b.wav")
    write_wav(tmp_path, "a.wav").rename(tmp_path / "a.RAW")
    with pytest.raises(AudioError, match=r"a\.RAW: is raw audio, which does not say its rate and form; convert it"):
        read_recording(tmp_path / "a.RAW")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\0\x20ftypM4A ", "is an MP4 or M4A file; to read such files install PyAV"),
        (b"\x1a\x45\xdf\xa3webm", "is a WebM or Matroska file; to read such files install PyAV"),
        (b"#!AMR\n", "is an AMR file; to read such files install PyAV"),
        (b"RIFF\0\0\0\0AVI LIST", "is an AVI file; to read such files install PyAV"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a pointer of Git LFS, not a recording; fetch it with `git",
        ),
        (b"<!doctype html>", "is a web page, not a recording; fetch the recording again"),
        (b"PK\x03\x04", "is a ZIP archive, not a recording; unpack it"),
    ],
)
def test_known_forms_that_are_not_read_have_a_name(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(foreign, "decoder", lambda: None)
    path = tmp_path / "my song.wav"
    path.write_bytes(content + bytes(500))
    with pytest.raises(AudioError) as caught:
        read_recording(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    if "PyAV" in message:
        assert str(caught.value).endswith(
            f"install PyAV (`pip install av`) or ffmpeg; or convert it: ffmpeg -i '{path}' '{path.with_suffix('.wav')}'"
        )


@pytest.mark.parametrize("suffix", [".au", ".snd", ".gsm", ".vox", ".vox6"])
def test_a_name_alone_makes_no_recording(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text("this is what was said\n" * 200, encoding="utf-8")
    with pytest.raises(AudioError, match="has no header, and its name alone does not say what it holds; convert it"):
        read_recording(path)


@pytest.mark.skipif(os.name != "posix", reason="pipes and sockets with names, and users, are POSIX's")
def test_pipes_and_sockets_are_named_and_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "a.wav")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listener:
        monkeypatch.chdir(tmp_path)  # a socket's name must be short
        listener.bind("b.wav")
        for path in (tmp_path / "a.wav", tmp_path / "b.wav", "/dev/null", "/dev/zero"):
            with pytest.raises(AudioError) as caught:
                read_recording(path)
            assert str(caught.value) == f"{path}: is a pipe, a socket or a device, not a file; write a file first"


@pytest.mark.skipif(os.name != "posix", reason="rights are different elsewhere")
@pytest.mark.parametrize("target", ["file", "folder"])
def test_a_file_or_a_folder_without_rights_is_named(write_wav, target):
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:  # outside tmp_path, which other users may not enter
        Path(folder).chmod(0o755)
        path = write_wav(Path(folder) / "sub")
        (path if target == "file" else path.parent).chmod(0)
        try:
            if user == 0:  # the administrator may read anything
                os.seteuid(65534)
            with pytest.raises(
                AudioError, match=r"a\.wav: may not be read \(Permission denied\); change the file's or"
            ):
                read_recording(path)
        finally:
            os.seteuid(user)
            path.parent.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="links and the limit of names are different elsewhere")
def test_names_that_lead_nowhere_are_named(tmp_path):
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "broken.wav").symlink_to(tmp_path / "none.wav")
    for name, reason in (("loop.wav", "symbolic links"), ("broken.wav", "No such file"), ("a" * 300, "too long")):
        with pytest.raises(AudioError, match=rf"no such recording \(.*{reason}.*\); correct the path"):
            read_recording(tmp_path / name)


@pytest.mark.parametrize("level", [101.0, 32768.0, 1e30])
def test_samples_far_above_full_scale_are_refused(tmp_path, make_speech, level):
    soundfile.write(tmp_path / "a.wav", make_speech(0.5, level=level), RATE, subtype="FLOAT")
    with pytest.raises(
        AudioError,
        match=r"a\.wav: its samples reach \S+, and full scale is 1; they are .*; write it again",
    ):
        read_recording(tmp_path / "a.wav", sample_rate=8000)


def test_samples_a_little_above_full_scale_are_kept(tmp_path, make_speech):
    soundfile.write(tmp_path / "a.wav", make_speech(0.5, level=8.0), RATE, subtype="FLOAT")
    assert np.abs(read_recording(tmp_path / "a.wav").samples_N).max() == 8


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path, make_speech, value):
    samples_NC = make_speech(0.5, num_channels=2)
    samples_NC[1234, 1] = value
    soundfile.write(tmp_path / "a.wav", samples_NC, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: its samples must be finite numbers; .*; write it again"):
        read_recording(tmp_path / "a.wav")


# Names


@pytest.mark.parametrize(
    "name", ["a b.wav", "é日本語😀.wav", "[bold].wav", "-x.wav", "no suffix", "a.wav.mp3.wav", "A.WAV"]
)
def test_any_name_will_do(tmp_path, write_wav, name):
    path = write_wav(tmp_path, name, format="WAV")
    assert len(read_recording(path).samples_N) == len(read_recording(str(path)).samples_N) == RATE


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
def test_a_name_that_is_not_utf_8_will_do(tmp_path, write_wav):
    content = write_wav(tmp_path).read_bytes()
    name = os.fsencode(tmp_path) + b"/caf\xe9.wav"
    with open(name, "wb") as stream:
        stream.write(content)
    assert len(read_recording(name).samples_N) == len(read_recording(os.fsdecode(name)).samples_N) == RATE
    with open(name, "wb") as stream:
        stream.write(b"text")
    with pytest.raises(AudioError, match="cannot be decoded"):
        read_recording(name)


# Made by another program


@pytest.fixture(scope="session")
def ffmpeg():
    """A program that writes, and decodes, by other libraries than ours."""
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs imageio-ffmpeg (extra dev)")
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        pytest.skip(f"imageio-ffmpeg has no program for this machine: {error}")


def run_ffmpeg(program, *arguments):
    done = subprocess.run(
        [program, "-nostdin", "-v", "error", "-y", *map(str, arguments)], capture_output=True, check=False
    )
    if b"Unknown encoder" in done.stderr or b"Encoder not found" in done.stderr:
        pytest.skip(f"this ffmpeg does not write {arguments}")
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


#: name, what ffmpeg is asked for, channels, rate, samples that may be added, greatest error against its own decoder
MADE = [
    ("u8.wav", "-c:a pcm_u8", 1, 16000, 0, 1e-6),
    ("s16.wav", "-c:a pcm_s16le", 1, 16000, 0, 1e-6),
    ("s24.wav", "-c:a pcm_s24le", 1, 16000, 0, 1e-6),
    ("s32.wav", "-c:a pcm_s32le", 1, 16000, 0, 1e-6),
    ("f32.wav", "-c:a pcm_f32le", 1, 16000, 0, 1e-6),
    ("f64.wav", "-c:a pcm_f64le", 1, 16000, 0, 1e-6),
    ("alaw.wav", "-c:a pcm_alaw", 1, 16000, 0, 1e-6),
    ("mulaw.wav", "-c:a pcm_mulaw", 1, 16000, 0, 1e-6),
    ("ima.wav", "-c:a adpcm_ima_wav", 1, 16000, 2048, 1e-4),
    ("ms.wav", "-c:a adpcm_ms", 1, 16000, 2048, 1e-4),
    ("mp3.wav", "-c:a libmp3lame -b:a 64k", 1, 16000, 2304, 1e-5),
    ("extensible.wav", "-c:a pcm_s16le -ac 6", 6, 16000, 0, 1e-6),
    ("rf64.wav", "-c:a pcm_s16le -rf64 always", 1, 16000, 0, 1e-6),
    ("list.wav", "-metadata title=odd -metadata artist=bytes!! -metadata comment=123", 2, 16000, 0, 1e-6),
    ("a.w64", "", 1, 16000, 0, 1e-6),
    ("a.aiff", "", 1, 16000, 0, 1e-6),
    ("little.aiff", "-c:a pcm_s16le", 2, 16000, 0, 1e-6),
    ("float.aiff", "-c:a pcm_f32be", 1, 16000, 0, 1e-6),
    ("a.au", "", 1, 16000, 0, 1e-6),
    ("a.caf", "", 2, 16000, 0, 1e-6),
    ("s16.flac", "-sample_fmt s16", 2, 44100, 0, 1e-6),
    ("s24.flac", "-sample_fmt s32", 1, 16000, 0, 1e-6),
    ("six.flac", "-sample_fmt s16", 6, 48000, 0, 1e-6),
    ("a.ogg", "-c:a libvorbis", 1, 16000, 0, 1e-5),
    ("two.ogg", "-c:a libvorbis", 2, 44100, 0, 1e-5),
    ("six.ogg", "-c:a libvorbis", 6, 16000, 0, 1e-5),
    ("cbr.mp3", "-c:a libmp3lame -b:a 32k", 1, 16000, 0, 1e-5),
    ("vbr.mp3", "-c:a libmp3lame -q:a 5", 2, 44100, 0, 1e-5),
    ("lowest.mp3", "-c:a libmp3lame -b:a 8k", 1, 8000, 0, 1e-5),
    ("tags.mp3", "-c:a libmp3lame -b:a 64k -metadata title=Hello -id3v2_version 3 -write_id3v1 1", 1, 22050, 0, 1e-5),
    ("a.mp2", "-c:a mp2", 1, 16000, 1152, 1e-4),
]


@pytest.fixture
def made(tmp_path, ffmpeg, write_wav):
    """Makes a recording by ffmpeg; gives its path and the samples of ffmpeg's own decoder, channels averaged."""

    def make(name, options, num_channels, sample_rate, seconds=2.5):
        shape = {"seconds": seconds, "sample_rate": sample_rate, "num_channels": num_channels, "seed": len(name)}
        source = write_wav(tmp_path, "source.wav", subtype="FLOAT", **shape)
        run_ffmpeg(ffmpeg, "-i", source, *options.split(), tmp_path / name)
        return tmp_path / name, decoded_by_ffmpeg(ffmpeg, tmp_path / name, num_channels)

    return make


def decoded_by_ffmpeg(ffmpeg, path, num_channels, *options):
    content = run_ffmpeg(ffmpeg, "-i", path, *options, "-f", "f32le", "-c:a", "pcm_f32le", "-")
    return np.frombuffer(content, np.float32).reshape(-1, num_channels).mean(axis=1)


@pytest.mark.parametrize(
    ("name", "options", "num_channels", "sample_rate", "more", "tolerance"), MADE, ids=lambda v: str(v)[:12]
)
def test_what_ffmpeg_makes_is_read_as_ffmpeg_reads_it(made, name, options, num_channels, sample_rate, more, tolerance):
    path, expected_N = made(name, options, num_channels, sample_rate)
    recording = read_recording(path)
    assert (recording.source_rate, recording.num_channels) == (sample_rate, num_channels)
    assert 0 <= len(recording.samples_N) - round(2.5 * sample_rate) <= more
    count = min(len(expected_N), len(recording.samples_N))
    assert abs(len(expected_N) - len(recording.samples_N)) <= more
    np.testing.assert_allclose(recording.samples_N[:count], expected_N[:count], rtol=0, atol=tolerance)
    segment_N = read_recording(path, offset=1.3, duration=0.7).samples_N
    start = round(1.3 * sample_rate)
    np.testing.assert_allclose(segment_N, recording.samples_N[start : start + len(segment_N)], rtol=0, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000])
def test_rates_from_8_to_96_khz(made, rate):
    for suffix, options in ((".wav", ""), (".flac", ""), (".ogg", "-c:a libvorbis"), (".mp3", "-c:a libmp3lame")):
        if suffix == ".mp3" and rate > 48000:
            continue
        path, expected_N = made(f"a{suffix}", options, 1, rate, seconds=1.0)
        recording = read_recording(path)
        assert recording.source_rate == rate and len(recording.samples_N) == rate
        assert rate - 1152 < len(expected_N) <= rate  # of some Vorbis files ffmpeg leaves out the last samples
        np.testing.assert_allclose(recording.samples_N[: len(expected_N)], expected_N, rtol=0, atol=1e-5)


@pytest.mark.parametrize("options", ["-b:a 32k", "-b:a 16k -application voip -frame_duration 60", "-b:a 64k -ac 2"])
@pytest.mark.parametrize("suffix", [".opus", ".ogg"])
def test_opus_is_in_time(made, ffmpeg, options, suffix):
    available("OGG", "OPUS")
    num_channels = 2 if "-ac 2" in options else 1
    path, _ = made(f"a{suffix}", "-c:a libopus " + options, num_channels, 16000)
    recording = read_recording(path)
    assert (recording.source_rate, recording.num_channels) == (16000, num_channels)
    assert len(recording.samples_N) == 40000
    # ffmpeg decodes at 48 kHz, libsndfile at the rate that the header remembers: their filters differ a little.
    expected_N = decoded_by_ffmpeg(ffmpeg, path, num_channels, "-ar", "16000")
    at_lag = [np.dot(recording.samples_N[5000:35000], expected_N[5000 + lag : 35000 + lag]) for lag in range(-20, 21)]
    assert abs(np.argmax(at_lag) - 20) <= 1
    segment_N = read_recording(path, offset=1.3, duration=0.7).samples_N
    np.testing.assert_allclose(segment_N, recording.samples_N[20800:32000], rtol=0, atol=1e-6)


@pytest.mark.parametrize("options", ["-f wav", "-f flac", "-f au", "-f ogg -c:a libvorbis"])
def test_what_is_written_to_a_pipe_is_read_whole(tmp_path, ffmpeg, write_wav, make_speech, options):
    write_wav(tmp_path, "source.wav", seconds=2.5)
    path = tmp_path / f"a.{options.split()[1]}"
    path.write_bytes(run_ffmpeg(ffmpeg, "-i", tmp_path / "source.wav", *options.split(), "-"))
    recording = read_recording(path)
    assert len(recording.samples_N) == 40000
    np.testing.assert_allclose(
        recording.samples_N, make_speech(2.5), rtol=0, atol=2**-15 if "ogg" not in options else 0.15
    )
    segment_N = read_recording(path, offset=1.3, duration=0.7).samples_N
    np.testing.assert_allclose(segment_N, recording.samples_N[20800:32000], rtol=0, atol=1e-6)
    if path.suffix == ".flac":  # its last frame still says how many there should be
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(AudioError, match=r"a\.flac: is truncated|a\.flac: cannot be decoded"):
            read_recording(path)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100])
@pytest.mark.parametrize(
    "options", ["-b:a 64k -write_xing 0", "-q:a 4 -write_xing 0", "-q:a 4 -write_xing 0 -write_id3v1 1"]
)
def test_an_mp3_that_does_not_count_its_frames_is_read_whole(made, sample_rate, options):
    """libsndfile alone guesses from the first frame: of ten seconds with a variable bit rate it gave five."""
    options = "-c:a libmp3lame -metadata title=Hello " + options
    path, expected_N = made("a.mp3", options, 1, sample_rate, seconds=10.0)
    samples_N = read_recording(path).samples_N
    # The decoder's own delay (529 samples) is left out, nothing of the sound.
    np.testing.assert_allclose(samples_N, expected_N[529:], rtol=0, atol=1e-5)
    segment_N = read_recording(path, offset=8.3, duration=1.2).samples_N
    start = round(8.3 * sample_rate)
    np.testing.assert_allclose(segment_N, samples_N[start : start + len(segment_N)], rtol=0, atol=1e-6)


def test_joined_mp3s_are_read_to_the_end(tmp_path, made):
    """The first one's count is not the file's."""
    first, first_N = made("1.mp3", "-c:a libmp3lame -b:a 32k", 1, 16000)
    second, second_N = made("22.mp3", "-c:a libmp3lame -b:a 32k", 1, 16000)
    (tmp_path / "both.mp3").write_bytes(first.read_bytes() + second.read_bytes())
    samples_N = read_recording(tmp_path / "both.mp3").samples_N
    assert len(first_N) + len(second_N) <= len(samples_N) < len(first_N) + len(second_N) + 6 * 1152
    at_lag = [np.dot(samples_N[lag + 50000 : lag + 70000], second_N[8000:28000]) for lag in range(0, 6000)]
    lag = int(np.argmax(at_lag))
    assert relative_error(samples_N[lag + 50000 : lag + 70000], second_N[8000:28000]) < 0.01


@pytest.mark.parametrize("sample_rate", [16000, 44100])
@pytest.mark.parametrize("counts_bytes", [True, False])
def test_an_mp3_that_counts_a_frame_too_many_is_whole_and_a_cut_one_is_not(made, sample_rate, counts_bytes):
    """Of a real corpus 78 files lacked 20 to 45 ms by their headers, and were left out."""
    path, _ = made("a.mp3", "-c:a libmp3lame -b:a 48k", 1, sample_rate)
    whole_N, content = read_recording(path).samples_N, bytearray(path.read_bytes())
    place = max(content.find(b"Xing"), content.find(b"Info"))
    flags, num_frames, _ = struct.unpack_from(">3I", content, place + 4)
    assert flags & 3 == 3
    if not counts_bytes:
        content[place + 12 : place + 16] = bytes(4)
    for more, is_named in ((1, False), (2, False), (9, True)):
        struct.pack_into(">I", content, place + 8, num_frames + more)
        path.write_bytes(content)
        if is_named:
            with pytest.raises(AudioError, match=r"a\.mp3: is truncated \(\d+ of \d+ samples\); copy it again"):
                read_recording(path)
            continue
        samples_N = read_recording(path).samples_N
        assert 0 <= len(samples_N) - len(whole_N) <= 1152, "what the encoder filled the last frame with may be kept"
        np.testing.assert_allclose(samples_N[: len(whole_N)], whole_N, atol=1e-6)
        assert 0 <= read_header(path).num_samples - len(samples_N) <= 2 * 1152
        np.testing.assert_array_equal(np.concatenate([b.samples_N for b in read_blocks(path)]), samples_N)
    path.write_bytes(content[:-20])
    with pytest.raises(AudioError, match=r"a\.mp3: is truncated"):
        read_recording(path)


#: name, what ffmpeg is asked for, the rate, samples by which its length may differ, greatest error
FOREIGN = [
    ("a.m4a", "-c:a aac -b:a 128k", 48000, 2048, 0.2),
    ("alac.m4a", "-c:a alac", 44100, 0, 1e-3),
    ("a.mp4", "-c:a aac -b:a 96k", 16000, 2048, 0.25),
    ("a.mov", "-c:a pcm_s16le", 16000, 0, 1e-3),
    ("a.3gp", "-c:a aac -b:a 64k", 16000, 2048, 0.25),
    ("a.webm", "-c:a libopus", 48000, 960, 0.3),
    ("a.mka", "-c:a flac", 48000, 0, 1e-3),
    ("a.wma", "-c:a wmav2 -b:a 128k", 48000, 8192, 0.3),
    ("a.aac", "-c:a aac -b:a 128k", 48000, 4096, 0.2),
    ("a.amr", "-c:a libopencore_amrnb -ar 8000 -b:a 12.2k", 8000, 320, 0.75),
    ("a.wv", "-c:a wavpack", 48000, 0, 1e-3),
    ("a.tta", "-c:a tta", 48000, 0, 1e-3),
    ("flac.ogg", "-c:a flac", 48000, 0, 1e-3),
]


@pytest.fixture(params=["ffmpeg", "pyav"])
def foreign_decoder(request, monkeypatch, ffmpeg):
    """Each of the decoders of other forms."""
    if request.param == "pyav":
        pytest.importorskip("av", reason="PyAV is not installed")
        decode = foreign._decode_with_pyav
    else:
        decode = functools.partial(foreign._decode_with_ffmpeg, ffmpeg)
    monkeypatch.setattr(foreign, "decoder", lambda: decode)


@pytest.mark.parametrize(("name", "options", "rate", "more", "tolerance"), FOREIGN, ids=lambda value: str(value)[:8])
def test_other_forms_are_read_where_a_decoder_is_installed(
    tmp_path, ffmpeg, foreign_decoder, write_wav, make_speech, name, options, rate, more, tolerance
):
    source = write_wav(tmp_path, "source.wav", seconds=1.5, sample_rate=rate)
    path = tmp_path / name
    run_ffmpeg(ffmpeg, "-i", source, *options.split(), path)
    recording = read_recording(path)
    assert (recording.source_rate, recording.num_channels) == (rate, 1)
    assert abs(len(recording.samples_N) - 1.5 * rate) <= more
    expected_N, begin = make_speech(1.5, sample_rate=rate)[rate // 2 : rate], rate // 2
    spectra = [np.fft.rfft(samples_N, 4 * rate) for samples_N in (recording.samples_N, expected_N)]
    lag = int(np.fft.irfft(spectra[0] * spectra[1].conj())[: 2 * rate].argmax()) - begin
    assert abs(lag) <= more, "codecs have a delay"
    assert relative_error(recording.samples_N[begin + lag :][: len(expected_N)], expected_N) <= tolerance
    header = read_header(path)
    assert header.num_samples == len(recording.samples_N) and header.encoding == "decoded"
    segment_N = read_recording(path, offset=0.4, duration=0.5).samples_N
    np.testing.assert_array_equal(segment_N, recording.samples_N[round(0.4 * rate) :][: len(segment_N)])
    np.testing.assert_array_equal(np.concatenate([b.samples_N for b in read_blocks(path)]), recording.samples_N)


def test_other_forms_that_are_cut_or_hold_no_sound_are_named(tmp_path, ffmpeg, foreign_decoder, write_wav):
    source = write_wav(tmp_path, "source.wav", seconds=1.5)
    for name, options in (("a.m4a", "-c:a aac"), ("a.mka", "-c:a flac")):
        path = tmp_path / name
        run_ffmpeg(ffmpeg, "-i", source, *options.split(), path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(AudioError, match=r"is an? .* file, and cannot be decoded \(.*\); it is damaged or cut"):
            read_recording(path)
    run_ffmpeg(ffmpeg, "-f", "lavfi", "-i", "color=size=16x16:duration=0.2", tmp_path / "film.mp4")
    with pytest.raises(AudioError, match=r"film\.mp4: is an MP4 or M4A file, and cannot be decoded \(no sound in it\)"):
        read_recording(tmp_path / "film.mp4")


def test_a_decoder_is_given_names_of_any_kind(tmp_path, ffmpeg, foreign_decoder, write_wav, monkeypatch):
    source = write_wav(tmp_path, "source.wav", seconds=0.5)
    run_ffmpeg(ffmpeg, "-i", source, tmp_path / "a.m4a")
    monkeypatch.chdir(tmp_path)
    for name in ("-i.m4a", "a:b %d.m4a", "é [1].m4a"):
        Path(name).write_bytes((tmp_path / "a.m4a").read_bytes())
        assert read_recording(name).duration == pytest.approx(0.5, abs=0.1)


# Real ones


def test_real_readings(shared_data):
    for path in sorted((shared_data / "librispeech-clips").glob("*.ogg")):
        recording = read_recording(path, sample_rate=8000)
        assert 5 < recording.duration < 40
        assert 0.05 < np.abs(recording.samples_N).max() < 1.5
        segment = read_recording(path, sample_rate=8000, offset=1.0, duration=2.0)
        np.testing.assert_allclose(segment.samples_N[200:-200], recording.samples_N[8200:23800], atol=1e-4)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_a_channel_is_read_as_it_is_alone(tmp_path, make_speech, name):
    samples_NC = np.stack([make_speech(1.5, seed=seed) for seed in range(3)], axis=1)
    soundfile.write(tmp_path / name, samples_NC, 16000)
    apart_NC, _ = soundfile.read(tmp_path / name, dtype="float32")
    for channel in (1, 2, 3):
        recording = read_recording(tmp_path / name, channel=channel)
        np.testing.assert_array_equal(recording.samples_N, apart_NC[:, channel - 1])
        assert recording.num_channels == 3 and not recording.mixing.cancels
        blocks = [block.samples_N for block in read_blocks(tmp_path / name, channel=channel)]
        np.testing.assert_array_equal(np.concatenate(blocks), apart_NC[:, channel - 1])
        segment = read_recording(tmp_path / name, channel=channel, offset=0.5, duration=0.25)
        np.testing.assert_allclose(segment.samples_N, apart_NC[8000:12000, channel - 1], atol=1e-6)
    for channel in (0, 4):
        with pytest.raises(AudioError, match=f"has 3 channels, and number {channel} was asked for; choose one from 1"):
            read_recording(tmp_path / name, channel=channel)
