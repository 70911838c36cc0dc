"""Recordings in TensorFlow: both engines give the same samples, in a graph too, and errors keep their message."""

import sys

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the training packages (extra train)")

from speechgru.audio import error_of, has_tensorflow_io, load_samples  # noqa: E402
from speechgru.errors import AudioError, UserError  # noqa: E402
from speechgru.recordings import read_recording  # noqa: E402

ONE_STEP = 2**-15

needs_tensorflow_io = pytest.mark.skipif(
    not has_tensorflow_io(), reason="tensorflow_io is not installed (it has no release for Python 3.13)"
)
ENGINES = ["soundfile", pytest.param("tensorflow_io", marks=needs_tensorflow_io)]


def load(path, offset=0.0, duration=-1.0, *, sample_rate=16000, engine="auto"):
    return load_samples(
        tf.constant(str(path)),
        tf.constant(offset, tf.float32),
        tf.constant(duration, tf.float32),
        sample_rate=sample_rate,
        engine=engine,
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("num_channels", [1, 2])
def test_both_engines_give_the_samples_to_one_16_bit_step(tmp_path, write_wav, engine, suffix, num_channels):
    path = write_wav(tmp_path, f"a{suffix}", seconds=0.8137, num_channels=num_channels)
    samples_N = load(path, engine=engine).numpy()
    assert samples_N.dtype == np.float32
    expected_N = read_recording(path).samples_N
    assert samples_N.shape == expected_N.shape
    np.testing.assert_allclose(samples_N, expected_N, rtol=0, atol=ONE_STEP)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize(("offset", "duration"), [(0.0, 0.25), (0.3, -1.0), (0.123, 0.4567), (0.5, 0.0)])
def test_both_engines_read_the_same_segment(tmp_path, write_wav, engine, suffix, offset, duration):
    path = write_wav(tmp_path, f"a{suffix}")
    whole_N = read_recording(path).samples_N
    start = round(offset * 16000)
    end = len(whole_N) if duration < 0 else start + round(duration * 16000)
    samples_N = load(path, offset, duration, engine=engine).numpy()
    assert len(samples_N) == end - start
    np.testing.assert_allclose(samples_N, whole_N[start:end], rtol=0, atol=ONE_STEP)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("source_rate", [8000, 22050, 48000])
def test_both_engines_resample(tmp_path, write_wav, engine, source_rate):
    path = write_wav(tmp_path, seconds=1.0, sample_rate=source_rate)
    expected_N = read_recording(path, sample_rate=16000).samples_N
    samples_N = load(path, engine=engine).numpy()
    assert abs(len(samples_N) - 16000) <= 1
    count = min(len(samples_N), len(expected_N))
    error = np.linalg.norm(samples_N[:count] - expected_N[:count]) / np.linalg.norm(expected_N)
    assert error < 0.02  # a delay of one sample alone makes more than that


@pytest.mark.parametrize("engine", ENGINES)
def test_it_is_the_same_in_a_graph(tmp_path, write_wav, engine):
    paths = [write_wav(tmp_path, f"{k}.flac", seconds=0.3 + 0.2 * k, seed=k) for k in range(3)]
    offsets, durations = [0.0, 0.1, 0.05], [-1.0, 0.3, -1.0]
    rows = tf.data.Dataset.from_tensor_slices(([str(path) for path in paths], offsets, durations))
    loaded = rows.map(lambda *row: load_samples(*row, sample_rate=16000, engine=engine))
    assert loaded.element_spec.shape.as_list() == [None]
    for samples_N, path, offset, duration in zip(loaded, paths, offsets, durations, strict=True):
        seconds = None if duration < 0 else duration
        expected_N = read_recording(path, offset=offset, duration=seconds).samples_N
        assert samples_N.shape == expected_N.shape
        np.testing.assert_allclose(samples_N, expected_N, rtol=0, atol=ONE_STEP)


def test_auto_is_soundfile_bit_for_bit(tmp_path, write_wav):
    for suffix in (".ogg", ".mp3", ".wav"):
        path = write_wav(tmp_path, f"a{suffix}", sample_rate=22050)
        expected_N = read_recording(path, sample_rate=16000).samples_N
        np.testing.assert_array_equal(load(path).numpy(), expected_N)
        np.testing.assert_array_equal(load(path, engine="soundfile").numpy(), expected_N)


def test_names_of_any_language(tmp_path, write_wav):
    path = write_wav(tmp_path, "é日本語😀.wav")
    np.testing.assert_array_equal(load(path).numpy(), read_recording(path).samples_N)


@pytest.mark.parametrize("content", [b"", b"turn on the light\n" * 9, None])
def test_the_readers_message_can_be_taken_from_a_graphs_error(tmp_path, content):
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError) as said:
        read_recording(path)
    with pytest.raises(tf.errors.OpError) as caught:
        list(tf.data.Dataset.from_tensors(str(path)).map(lambda name: load_samples(name, 0.0, -1.0, sample_rate=8000)))
    assert error_of(caught.value) == str(said.value)


def test_outside_a_graph_the_readers_error_comes_as_it_is(tmp_path):
    with pytest.raises(AudioError, match=r"none\.wav: no such recording"):
        load(tmp_path / "none.wav")


def test_an_error_without_the_readers_message_gives_none():
    assert error_of(tf.errors.InternalError(None, None, "out of memory")) is None


@needs_tensorflow_io
@pytest.mark.parametrize("content", [b"", b"turn on the light\n" * 9, None])
def test_tensorflow_io_refuses_what_is_no_recording(tmp_path, content):
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((tf.errors.OpError, ValueError)):
        load(path, engine="tensorflow_io")


def test_tensorflow_io_that_is_not_there_is_told(tmp_path, write_wav, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(UserError, match=r"the engine tensorflow_io is not installed here .*; use the engine soundfile"):
        load(write_wav(tmp_path), engine="tensorflow_io")
