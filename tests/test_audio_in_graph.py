"""Recordings in TensorFlow: both engines give the same samples, in a graph too, and errors keep their message."""

import sys

import numpy as np
import pytest
import soundfile

tf = pytest.importorskip("tensorflow", reason="needs the training packages (extra train)")

from speechgru.audio.in_graph import error_of, has_tensorflow_io, load_samples  # noqa: E402
from speechgru.audio.reading import read_recording  # noqa: E402
from speechgru.errors import AudioError, UserError  # noqa: E402

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


#: format, subtype, suffix: all that tensorflow-io reads
FORMS = [
    ("WAV", "PCM_U8", ".wav"),
    ("WAV", "PCM_16", ".wav"),
    ("WAV", "PCM_24", ".wav"),
    ("WAV", "PCM_32", ".wav"),
    ("WAV", "FLOAT", ".wav"),
    ("WAVEX", "PCM_16", ".wav"),
    ("WAVEX", "PCM_24", ".wav"),
    ("FLAC", "PCM_S8", ".flac"),
    ("FLAC", "PCM_16", ".flac"),
    ("FLAC", "PCM_24", ".flac"),
    ("OGG", "VORBIS", ".ogg"),
    ("MP3", "MPEG_LAYER_III", ".mp3"),
]
forms = pytest.mark.parametrize(("form", "subtype", "suffix"), FORMS, ids=lambda value: str(value))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("source_rate", [16000, 22050])
@forms
def test_both_engines_give_the_samples_to_one_16_bit_step(
    tmp_path, write_wav, engine, num_channels, source_rate, form, subtype, suffix
):
    if not soundfile.check_format(form, subtype):
        pytest.skip(f"this libsndfile does not write {form}/{subtype}")
    shape = {"seconds": 0.8137, "num_channels": num_channels, "sample_rate": source_rate}
    path = write_wav(tmp_path, f"a{suffix}", format=form, subtype=subtype, **shape)
    segments = [(0.0, -1.0), (0.3, 0.25)]
    rows = tf.data.Dataset.from_tensor_slices(([str(path)] * 2, *np.transpose(segments)))
    in_a_graph = list(rows.map(lambda *row: load_samples(*row, sample_rate=16000, engine=engine)))
    for (offset, duration), in_graph_N in zip(segments, in_a_graph, strict=True):
        seconds = None if duration < 0 else duration
        expected_N = read_recording(path, sample_rate=16000, offset=offset, duration=seconds).samples_N
        for samples_N in (load(path, offset, duration, engine=engine), in_graph_N):
            assert samples_N.dtype == tf.float32
            assert samples_N.shape == expected_N.shape
            np.testing.assert_allclose(samples_N, expected_N, rtol=0, atol=ONE_STEP)


@pytest.mark.parametrize("engine", ENGINES)
def test_both_engines_read_one_channel(tmp_path, write_wav, engine):
    path = write_wav(tmp_path, "a.wav", seconds=0.5, num_channels=2)
    rows = tf.data.Dataset.from_tensor_slices([0, 1, 2])
    loaded = rows.map(
        lambda channel: load_samples(str(path), 0.1, 0.3, channel=channel, sample_rate=16000, engine=engine)
    )
    for channel, samples_N in zip((None, 1, 2), loaded, strict=True):
        expected_N = read_recording(path, offset=0.1, duration=0.3, channel=channel).samples_N
        np.testing.assert_allclose(samples_N, expected_N, rtol=0, atol=ONE_STEP)
    with pytest.raises(AudioError, match="has 2 channels, and number 3 was asked for; choose one from 1 to 2"):
        load_samples(str(path), 0.0, -1.0, channel=3, sample_rate=16000, engine=engine)


@pytest.mark.parametrize("engine", ENGINES)
def test_workers_beside_each_other_do_not_mix_up_their_files(tmp_path, engine):
    """tensorflow-io's own AudioIOTensor does: its calls share one resource."""
    paths = []
    for k in range(24):
        soundfile.write(tmp_path / f"{k}.wav", np.full(8000 + 10 * k, k / 64), 16000)
        paths.append(str(tmp_path / f"{k}.wav"))
    rows = tf.data.Dataset.from_tensor_slices(paths).repeat(5)
    loaded = rows.map(
        lambda path: load_samples(path, 0.0, -1.0, sample_rate=16000, engine=engine), num_parallel_calls=8
    )
    for position, samples_N in enumerate(loaded):
        k = position % 24
        assert samples_N.shape == (8000 + 10 * k,)
        assert np.all(samples_N.numpy() == k / 64)


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
    np.testing.assert_allclose(samples_N[:count], expected_N[:count], rtol=0, atol=ONE_STEP)


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


def both_errors(path, **options):
    """The message of the same failure outside a graph and inside one."""
    with pytest.raises(AudioError) as outside:
        load(path, **options)
    rows = tf.data.Dataset.from_tensors(str(path))
    loaded = rows.map(lambda name: load_samples(name, 0.0, -1.0, sample_rate=16000, **options))
    with pytest.raises(tf.errors.OpError) as inside:
        list(loaded)
    assert error_of(inside.value) == str(outside.value)
    return str(outside.value)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_each_engine_names_what_is_no_recording(tmp_path, write_wav, engine, suffix):
    path = tmp_path / f"a{suffix}"
    assert both_errors(path, engine=engine).startswith(f"{path}: no such recording")
    path.write_bytes(b"")
    assert both_errors(path, engine=engine).startswith(f"{path}: is empty (0 bytes)")
    path.write_bytes(b"turn on the light\n" * 9)
    assert both_errors(path, engine=engine).startswith(f"{path}: cannot be decoded (Format not recognised)")
    write_wav(tmp_path, path.name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    message = both_errors(path, engine=engine)
    assert message.startswith(f"{path}: ")
    assert engine == "tensorflow_io" or "is truncated" in message or "cannot be decoded" in message
    assert "copy it again" in message or "use the engine soundfile" in message


@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_names_a_segment_that_is_not_there(tmp_path, write_wav, engine):
    path = write_wav(tmp_path)
    with pytest.raises(AudioError, match=r"a\.wav: is 1\.000 s long, shorter than the segment from 0\.5 s to 1\.5 s"):
        load(path, 0.5, 1.0, engine=engine)


@needs_tensorflow_io
@pytest.mark.parametrize(
    ("form", "subtype", "suffix"),
    [
        ("WAV", "ALAW", ".wav"),
        ("WAV", "ULAW", ".wav"),
        ("WAV", "DOUBLE", ".wav"),
        ("WAV", "IMA_ADPCM", ".wav"),
        ("RF64", "PCM_16", ".wav"),
        ("AIFF", "PCM_16", ".aiff"),
        ("OGG", "OPUS", ".opus"),
    ],
)
def test_what_tensorflow_io_cannot_read_is_named(tmp_path, write_wav, form, subtype, suffix):
    if not soundfile.check_format(form, subtype):
        pytest.skip(f"this libsndfile does not write {form}/{subtype}")
    path = write_wav(tmp_path, f"a{suffix}", format=form, subtype=subtype)
    message = both_errors(path, engine="tensorflow_io")
    assert message.startswith(f"{path}: is {form} with {subtype}, which tensorflow-io does not read (it reads WAV")
    assert message.endswith("; use the engine soundfile")


@needs_tensorflow_io
def test_tensorflow_io_reads_a_wav_of_any_chunks(tmp_path, write_wav):
    """Its op alone reads no chunk of odd size, and nothing of a WAV that was written to a pipe."""
    path = write_wav(tmp_path, seconds=8001 / 16000, subtype="PCM_24")
    content = bytearray(path.read_bytes())
    assert int.from_bytes(content[40:44], "little") % 2
    odd = b"JUNK" + (9).to_bytes(4, "little") + b"ninebytes\0"
    streamed = b"RIFF\xff\xff\xff\xff" + content[8:40] + b"\xff\xff\xff\xff" + content[44:-1]
    for variant in (content, content[:36] + odd + content[36:], content + odd, streamed):
        path.write_bytes(variant)
        expected_N = read_recording(path).samples_N
        assert len(expected_N) == 8001
        np.testing.assert_allclose(load(path, engine="tensorflow_io").numpy(), expected_N, rtol=0, atol=ONE_STEP)


@needs_tensorflow_io
def test_what_tensorflow_io_reads_differently_is_named(tmp_path, write_wav):
    """An MP3 that does not count its frames: tensorflow-io keeps the decoder's delay."""
    if not soundfile.check_format("MP3", "MPEG_LAYER_III"):
        pytest.skip("this libsndfile does not write MP3")
    path = write_wav(tmp_path, "a.mp3")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"Xing", bytes(4), 1).replace(b"Info", bytes(4), 1))
    num_samples = len(read_recording(path).samples_N)
    message = both_errors(path, engine="tensorflow_io")
    assert message == (
        f"{path}: tensorflow-io finds {num_samples + 529} samples of 1 channels, "
        f"the header says {num_samples} of 1; use the engine soundfile"
    )


@needs_tensorflow_io
def test_tensorflow_ios_own_failure_is_named(tmp_path, write_wav):
    """Its WAV reader knows three sizes of the `fmt ` chunk; libsndfile knows any."""
    path = write_wav(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:16] + b"\x14\0\0\0" + content[20:36] + bytes(4) + content[36:])
    assert len(read_recording(path).samples_N) == 16000
    message = both_errors(path, engine="tensorflow_io")
    assert message.startswith(f"{path}: tensorflow-io cannot read it (WAV file must have `fmt_size ` 16, 18, or 40")
    assert message.endswith("received: 20); use the engine soundfile")


def test_an_engine_that_is_none_is_reported(tmp_path):
    with pytest.raises(UserError, match=r"unknown audio engine 'fast'; use one of auto, soundfile, tensorflow_io"):
        load(tmp_path / "a.wav", engine="fast")


def test_tensorflow_io_that_is_not_there_is_reported(tmp_path, write_wav, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    with pytest.raises(UserError, match=r"the engine tensorflow_io is not installed here .*; use the engine soundfile"):
        load(write_wav(tmp_path), engine="tensorflow_io")
