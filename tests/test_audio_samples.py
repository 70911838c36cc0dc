"""Samples that callers give: every lawful form is the same sound, every other one is refused with the way to convert.

Law 10: the same samples in any lawful form (dtype, layout, rate, file or array) give the same text.
"""

import array
import io
import mmap
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechgru.audio.reading import read_recording, resample, resample_blocks
from speechgru.audio.samples import checked_rate, checked_samples
from speechgru.errors import AudioError, UserError
from speechgru.runtime import Recognizer

BUNDLE = Path(__file__).parent / "data" / "bundles" / "v3"
RATE = 16000

#: type of the array, the WAV's encoding with the same numbers
INTEGERS = [("uint8", "PCM_U8"), ("int16", "PCM_16"), ("int32", "PCM_32")]


def as_integers(samples_N, dtype):
    """Samples as whole numbers of a type, as a sound card gives them."""
    info = np.iinfo(dtype)
    full_scale = 2.0 ** (info.bits - 1)
    middle = 0 if info.min else full_scale
    return np.clip(np.rint(samples_N * full_scale + middle), info.min, info.max).astype(dtype)


@pytest.mark.parametrize(("dtype", "encoding"), INTEGERS)
def test_law_10_integers_are_what_a_file_of_them_gives(tmp_path, make_speech, dtype, encoding):
    expected_N = make_speech(0.5)
    numbers_N = as_integers(expected_N.astype(float), dtype)
    given = numbers_N
    if dtype == "uint8":  # soundfile writes them from 16 bits
        given = ((numbers_N.astype(np.int16) - 128) * 256).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", given, RATE, subtype=encoding)
    samples_N = checked_samples(numbers_N)
    assert samples_N.dtype == np.float32 and samples_N.flags.c_contiguous
    np.testing.assert_array_equal(samples_N, read_recording(tmp_path / "a.wav").samples_N)
    np.testing.assert_allclose(samples_N, expected_N, atol=2.0 ** -(np.iinfo(dtype).bits - 1))
    for same in (numbers_N.astype(numbers_N.dtype.newbyteorder()), np.repeat(numbers_N, 2)[::2]):
        np.testing.assert_array_equal(checked_samples(same), samples_N)


@pytest.mark.parametrize(
    ("dtype", "numbers", "expected"),
    [
        ("int8", [-128, 0, 64, 127], [-1, 0, 0.5, 127 / 128]),
        ("uint8", [0, 128, 192, 255], [-1, 0, 0.5, 127 / 128]),
        ("int16", [-32768, 0, 16384, 32767], [-1, 0, 0.5, 32767 / 32768]),
        ("uint16", [0, 32768, 49152], [-1, 0, 0.5]),
        ("int32", [-(2**31), 0, 2**30, 2**8], [-1, 0, 0.5, 2.0**-23]),
        ("uint32", [0, 2**31, 3 * 2**30], [-1, 0, 0.5]),
        ("float16", [-1, 0, 0.5], [-1, 0, 0.5]),
        ("float64", [-1, 0, 0.5, 1.25], [-1, 0, 0.5, 1.25]),
        ("longdouble", [-1, 0, 0.5], [-1, 0, 0.5]),
    ],
)
def test_a_type_says_its_full_scale(dtype, numbers, expected):
    np.testing.assert_array_equal(checked_samples(np.array(numbers, dtype)), np.array(expected, np.float32))


def test_other_holders_of_the_same_numbers_are_arrays_too(make_speech):
    samples_N = make_speech(0.1)
    numbers_N = as_integers(samples_N.astype(float), "int16")
    for floats in (samples_N.tolist(), tuple(samples_N.tolist()), memoryview(samples_N), np.ma.array(samples_N)):
        np.testing.assert_array_equal(checked_samples(floats), samples_N)
    for integers in (memoryview(numbers_N), array.array("h", numbers_N.tolist())):
        np.testing.assert_array_equal(checked_samples(integers), checked_samples(numbers_N))
    assert checked_samples([]).shape == (0,)
    assert checked_samples(samples_N) is samples_N, "no copy of what is right already"


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (b"\x01\x02" * 80, r"must be numbers, got bytes; np\.frombuffer\(data, np\.int16\) makes samples"),
        (bytearray(160), r"must be numbers, got bytearray; np\.frombuffer\(data, np\.int16\)"),
        (memoryview(bytes(160)), r"must be numbers, got memoryview; np\.frombuffer\(data, np\.int16\)"),
        (mmap.mmap(-1, 160), r"must be numbers, got mmap; np\.frombuffer\(data, np\.int16\)"),
        (io.BytesIO(bytes(160)).getbuffer(), r"must be numbers, got memoryview"),
        ([0, 1200, -3000], r"of int64 \(Python's whole numbers too\) do not show their full scale; keep 16-bit"),
        (np.zeros(9, np.uint64), r"of uint64 .* keep 16-bit numbers as int16 \(np\.asarray\(samples, np\.int16\)\)"),
        (np.array([0.0, 1200.0, -3000.0]), r"reach 3,000, and full scale is 1; keep 16-bit numbers as int16"),
        (np.array([0.0, 12.0, -3.0]), r"reach 12, and full scale is 1; .*or divide them by 32768"),
        (np.array([0.0, 1e300]), "must be finite numbers; some are NaN or infinite"),
        (np.array([0.0, np.nan]), "must be finite numbers; some are NaN or infinite"),
        (np.array([0.0, -np.inf], np.float16), "must be finite numbers; some are NaN or infinite"),
        (np.zeros(9, bool), r"floats in \[-1, 1\] or integers of 8, 16 or 32 bits, got numbers of the type bool"),
        (np.zeros(9, complex), "got numbers of the type complex128"),
        (np.zeros(9, object), "got numbers of the type object"),
        (np.zeros(9, "datetime64[s]"), "got numbers of the type datetime64"),
        (np.zeros(9, [("left", "f4"), ("right", "f4")]), "got numbers of the type"),
        (None, "got NoneType"),
        ((k for k in range(3)), "got generator"),
        ("a.wav", "must be an array of numbers, got 'a.wav'; transcribe_file reads a file"),
        (Path("a.wav"), "transcribe_file reads a file"),
        ([[0.0], [0.0, 0.1]], "must be an array of numbers; NumPy makes none of this"),
        (0.5, r"must be one channel \[num_samples\], got the shape \(\); a single number is not sound"),
        (np.zeros([1, 44100], np.float32), r"got the shape \(1, 44100\); give samples\[0\]"),
        (np.zeros([44100, 1], np.int16), r"got the shape \(44100, 1\); give samples\[:, 0\]"),
        (np.zeros([2, 44100], np.float32), r"got the shape \(2, 44100\); samples\.mean\(axis=0\) averages channels"),
        (np.zeros([44100, 2]), r"got the shape \(44100, 2\); samples\.mean\(axis=1\) averages channels"),
        (np.zeros([1, 2, 441]), r"got the shape \(1, 2, 441\); give one recording at a time"),
        (np.zeros([0, 0]), r"got the shape \(0, 0\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_channel_of_samples_is_refused_with_the_way_to_convert(samples, message):
    with pytest.raises(AudioError, match=message) as caught:
        checked_samples(samples)
    assert len(str(caught.value)) <= 400


def test_loud_floats_that_are_sound_are_kept(make_speech):
    loud_N = make_speech(0.1, level=8.0)
    assert checked_samples(loud_N) is loud_N
    assert checked_samples(np.array([1.0, -1.0, 0.0])).tolist() == [1.0, -1.0, 0.0]


@pytest.mark.parametrize("rate", [0, -1, 999, 768_001, 1e300, float("nan"), float("inf"), None, "8000", True, [8000]])
def test_a_rate_that_no_recorder_has_is_refused(rate):
    with pytest.raises(AudioError, match="sample_rate must be a number of Hz from 1000 to 768000, got"):
        checked_rate(rate)


@pytest.mark.parametrize("rate", [1000, 44100, 768_000, 11025.5, np.int64(8000), np.float32(8000)])
def test_a_rate_of_any_kind_of_number_is_kept(rate):
    assert checked_rate(rate) == rate


@pytest.mark.parametrize("shape", [(1, 44100), (2, 44100), (44100, 2), ()])
def test_resampling_refuses_rows_before_compiled_code_takes_them_for_channels(shape):
    samples = np.zeros(shape, np.float32)
    with pytest.raises(ValueError, match=r"resampling works on one channel \[num_samples\], got the shape"):
        resample(samples, source_rate=44100, sample_rate=16000)
    with pytest.raises(ValueError, match=r"resampling works on one channel \[num_samples\], got the shape"):
        list(resample_blocks([samples], source_rate=44100, sample_rate=16000))


# -- The recogniser: transcribe, streams and files ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def device():
    return Recognizer(BUNDLE)


@pytest.fixture(scope="module")
def spoken():
    """Samples of whole 16-bit steps that the stored bundle writes "ab" of."""
    return as_integers(np.load(BUNDLE / "expected.npz")["samples"].astype(float), "int16")


def every_way(device, samples, rate):
    """The text by `transcribe`, and by a stream that gets a piece at a time."""
    stream = device.stream(rate)
    for start in range(0, len(samples), 700):
        stream.feed(samples[start : start + 700])
    return device.transcribe(samples, rate).text, stream.finish().text


@pytest.mark.parametrize("form", ["float32", "float64", "int16", "int32", "big-endian", "uint16", "list", "reversed"])
def test_law_10_the_same_samples_in_any_form_give_the_same_text(device, spoken, form):
    floats_N = spoken / np.float32(32768)
    samples = {
        "float32": floats_N,
        "float64": floats_N.astype(float),
        "int16": spoken,
        "int32": spoken.astype(np.int32) << 16,
        "big-endian": spoken.astype(">i2"),
        "uint16": (spoken.astype(np.int32) + 32768).astype(np.uint16),
        "list": floats_N.tolist(),
        "reversed": spoken[::-1].copy()[::-1],
    }[form]
    assert every_way(device, samples, 8000) == ("ab", "ab")
    np.testing.assert_array_equal(device.log_probs(samples), device.log_probs(floats_N))


def test_law_10_files_and_arrays_of_another_rate_give_the_same_text(device, spoken, tmp_path):
    fine_N = resample(spoken / np.float32(32768), source_rate=8000, sample_rate=44100)
    numbers_N = as_integers(fine_N.astype(float), "int16")
    for name in ("a.wav", "a.flac", "a.aiff"):
        soundfile.write(tmp_path / name, numbers_N, 44100)
        assert device.transcribe_file(tmp_path / name).text == "ab"
    assert every_way(device, numbers_N, 44100) == ("ab", "ab")
    assert every_way(device, numbers_N.astype(np.float32) / 32768, 44100.0) == ("ab", "ab")


@pytest.mark.parametrize(
    "samples",
    [np.zeros([2, 44100], np.float32), np.zeros([1, 44100], np.float32), bytes(800), [0, 3000], [9e3, 0.0], None],
    ids=["two rows", "a row", "bytes", "whole numbers", "16-bit floats", "nothing"],
)
def test_whatever_else_is_given_is_one_error_and_not_the_end_of_the_process(device, samples):
    calls = [
        lambda: device.transcribe(samples, 44100),
        lambda: device.transcribe_n_best(samples, 44100),
        lambda: device.transcribe_blocks([samples], 44100),
        lambda: device.stream(44100).feed(samples),
        lambda: device.log_probs(samples),
        lambda: device.stream_log_probs(samples, piece=100),
    ]
    for call in calls:
        with pytest.raises(AudioError, match=r"^samples "):
            call()


def test_a_piece_that_is_refused_leaves_the_stream_as_it_was(device, spoken):
    stream = device.stream(8000)
    for start in range(0, len(spoken), 700):
        with pytest.raises(AudioError):
            stream.feed(spoken[start : start + 700].tobytes())
        stream.feed(spoken[start : start + 700])
    assert stream.finish().text == "ab"


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "8000", 1e-300])
def test_a_stream_and_a_recording_refuse_the_same_rates(device, rate):
    with pytest.raises(AudioError, match="sample_rate must be a number of Hz"):
        device.stream(rate)
    with pytest.raises(AudioError, match="sample_rate must be a number of Hz"):
        device.transcribe(np.zeros(800, np.float32), rate)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_threads": 0}, "num_threads is a whole number, 1 or more, got 0"),
        ({"num_threads": -5}, "num_threads is a whole number, 1 or more, got -5"),
        ({"num_threads": 2.0}, r"num_threads is a whole number, 1 or more, got 2\.0"),
        ({"num_threads": "2"}, "num_threads is a whole number, 1 or more, got '2'"),
        ({"window_seconds": "long"}, "a window is a number of seconds above 0, got 'long'"),
        ({"window_seconds": float("nan")}, "a window is a number of seconds above 0, got nan"),
        ({"form": ["none"]}, r"holds no form \['none'\]; it has none"),
    ],
)
def test_what_a_recogniser_cannot_be_made_with_is_named(options, message):
    with pytest.raises(UserError, match=message):
        Recognizer(BUNDLE, **options)
