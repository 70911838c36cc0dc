"""Reading recordings: every format gives the same samples, and what is no recording is named with its reason."""

import os
import struct
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru.errors import AudioError
from speechgru.recordings import read_recording, resample

RATE = 16000

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
    if form == "MP3":  # begins a frame late: what its first frame borrowed from the one before is missing
        segment_N, whole_N = segment_N[1152:], whole_N[1152:]
        assert relative_error(segment_N, whole_N[11200 : 11200 + len(segment_N)]) < 0.05
    else:
        np.testing.assert_allclose(segment_N, whole_N[11200:20000], rtol=0, atol=1e-6 if tolerance < 0.1 else 2e-2)


@forms
def test_a_truncated_file_is_named(tmp_path, write_wav, form, subtype, suffix, tolerance):
    available(form, subtype)
    if form == "OGG":
        pytest.skip("an Ogg stream that ends early is a whole, shorter one; the manifest's duration tells")
    path = write_wav(tmp_path, f"a{suffix}", format=form, subtype=subtype)
    content = path.read_bytes()
    for share in (0.2, 0.5, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(AudioError) as caught:
            read_recording(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "is truncated" in str(caught.value) or "cannot be decoded" in str(caught.value)


def test_a_truncated_ogg_is_named_where_its_duration_is_known(tmp_path, write_wav):
    path = write_wav(tmp_path, "a.ogg", seconds=8.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(AudioError, match=r"a\.ogg: is \d\.\d+ s long, shorter than the segment from 0 s to 8 s"):
        read_recording(path, duration=8.0)


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
        monkeypatch.setattr("speechgru.recordings._BLOCK", block)
        np.testing.assert_array_equal(read_recording(path).samples_N, whole_N)
        assert len(read_recording(path, offset=0.25, duration=0.7).samples_N) == 11200


# What is no recording


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
        f"{path}: cannot be decoded (Format not recognised); it is not a recording in a known format, or is damaged"
    )


def test_other_things_that_are_no_recording_are_named(tmp_path, write_wav):
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError, match=r"empty\.wav: is empty \(0 bytes\); record or copy it again"):
        read_recording(tmp_path / "empty.wav")
    with pytest.raises(AudioError, match=r"none\.wav: no such recording \(No such file or directory\)"):
        read_recording(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="is a folder, not a recording"):
        read_recording(tmp_path)
    with pytest.raises(AudioError, match=r"no such recording \(.*null (byte|character).*\)"):
        read_recording("a\0b.wav")
    write_wav(tmp_path, "a.wav").rename(tmp_path / "a.RAW")
    with pytest.raises(AudioError, match=r"a\.RAW: is raw audio, which does not say its rate and form; convert it"):
        read_recording(tmp_path / "a.RAW")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused(tmp_path, make_speech, value):
    samples_NC = make_speech(0.5, num_channels=2)
    samples_NC[1234, 1] = value
    soundfile.write(tmp_path / "a.wav", samples_NC, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: holds samples that are not finite numbers; write it again"):
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


# Real ones


def test_real_readings(shared_data):
    for path in sorted((shared_data / "librispeech-clips").glob("*.ogg")):
        recording = read_recording(path, sample_rate=8000)
        assert 5 < recording.duration < 40
        assert 0.05 < np.abs(recording.samples_N).max() < 1.5
        segment = read_recording(path, sample_rate=8000, offset=1.0, duration=2.0)
        np.testing.assert_allclose(segment.samples_N[200:-200], recording.samples_N[8200:23800], atol=1e-4)
