"""Recordings as TensorFlow sees them: a path in the graph becomes samples in the graph."""

from __future__ import annotations

import functools
import importlib.util
import os
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from speechgru.audio.header import Header
from speechgru.audio.reading import read_header, read_recording, require_sound
from speechgru.audio.resampling import resample
from speechgru.errors import AudioError, UserError

Engine = Literal["auto", "soundfile", "tensorflow_io"]

#: How tensorflow-io stores the samples of PCM. It takes those of a 32-bit WAV for floats, whatever its header says.
_DTYPES = {
    "PCM_S8": tf.uint8,
    "PCM_U8": tf.uint8,
    "PCM_16": tf.int16,
    "PCM_24": tf.int32,
    "PCM_32": tf.float32,
    "FLOAT": tf.float32,
}
_TENSORFLOW_IO_READS = "WAV (8, 16, 24 and 32 bits, float32), FLAC (8, 16 and 24 bits), Ogg Vorbis and MP3"


def load_samples(
    path: tf.Tensor,
    offset: tf.Tensor,
    duration: tf.Tensor,
    *,
    channel: tf.Tensor | int = 0,
    sample_rate: int,
    engine: Engine = "auto",
) -> tf.Tensor:
    """Reads one recording, or a segment of it, inside a graph or outside.

    Both engines give the same samples to one 16-bit step: they check the same things, and they resample with the same
    filter. `auto` takes the faster one, and that is soundfile for every format: it was faster than tensorflow-io on
    WAV, FLAC, Ogg Vorbis and MP3, reads a segment without the rest, and reads more formats. It is also what the
    device runs.

    Args:
        path: string scalar.
        offset: float scalar, seconds at which to start.
        duration: float scalar, seconds to read; below 0 reads to the end.
        channel: integer scalar, the channel to read, from 1 on; 0 averages them.
        sample_rate: Hz of the result.
        engine: `soundfile`; `tensorflow_io` for its decoding ops; `auto` for the faster one.

    Returns:
        `samples_N`, float32 in [-1, 1].

    Raises:
        tf.errors.OpError: inside a graph, the recording cannot be read; `error_of` takes the reader's message out.
        AudioError: outside a graph, the same.
        UserError: the engine is none of these, or tensorflow-io was asked for and is not installed.
    """
    readers = {
        "auto": _read_with_soundfile,
        "soundfile": _read_with_soundfile,
        "tensorflow_io": _read_with_tensorflow_io,
    }
    if engine not in readers:
        raise UserError(f"unknown audio engine {engine!r}; use one of {', '.join(readers)}")
    require_engine(engine)
    read = functools.partial(readers[engine], sample_rate=sample_rate)
    samples_N = tf.numpy_function(read, [path, offset, duration, channel], tf.float32)
    samples_N.set_shape([None])
    return samples_N


def decode_bytes(content: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    """The bytes of an encoded recording, inside a graph: for a server that is sent files.

    Reads WAV and FLAC of 16 bits and Ogg Vorbis, by tensorflow-io's operations, which a graph that holds them needs
    wherever it runs. It does not resample: a graph has no filter as good as the one that training used.

    Args:
        content: string scalar, the file.
        sample_rate: Hz that it must have.

    Returns:
        `samples_N`, float32 in [-1, 1], channels averaged.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs: another format, or another rate.
        UserError: tensorflow-io is not installed.
    """
    audio = _import_tensorflow_io().audio

    def number(start: int, size: int, kind: tf.DType) -> tf.Tensor:
        return tf.cast(tf.io.decode_raw(tf.strings.substr(content, start, size), kind)[0], tf.int32)

    def big_endian(start: int, size: int) -> tf.Tensor:
        total = tf.constant(0)
        for place in range(size):
            total = total * 256 + number(start + place, 1, tf.uint8)
        return total

    def read_wav() -> tuple[tf.Tensor, tf.Tensor]:
        samples_NC, rate = tf.audio.decode_wav(content)
        return samples_NC, rate

    def read_flac() -> tuple[tf.Tensor, tf.Tensor]:  # the rate is 20 bits from byte 18 on
        samples_NC = tf.cast(audio.decode_flac(content, dtype=tf.int16), tf.float32) / 32768.0
        return samples_NC, big_endian(18, 3) // 16

    def read_vorbis() -> tuple[tf.Tensor, tf.Tensor]:  # behind the first page's header of 28 bytes
        return audio.decode_vorbis(content), number(40, 4, tf.int32)

    def refuse() -> tuple[tf.Tensor, tf.Tensor]:
        message = "not a WAV of 16 bits, FLAC of 16 bits or Ogg Vorbis file; convert it"
        with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
            return tf.zeros([0, 1]), tf.constant(sample_rate)

    head = tf.strings.substr(content, 0, 4)
    samples_NC, rate = tf.case(
        [(head == b"RIFF", read_wav), (head == b"fLaC", read_flac), (head == b"OggS", read_vorbis)], default=refuse
    )
    message = f"the recording's rate is not the model's {sample_rate} Hz; resample it first"
    with tf.control_dependencies([tf.debugging.assert_equal(rate, sample_rate, message)]):
        return tf.reduce_mean(samples_NC, axis=1)


def require_engine(engine: Engine) -> None:
    """Whether an engine is there: before anything is read with it.

    Raises:
        UserError: it is not installed.
    """
    if engine == "tensorflow_io":
        _import_tensorflow_io()


def has_tensorflow_io() -> bool:
    """Whether tensorflow-io is installed (it has no release for TensorFlow 2.18 and later)."""
    return importlib.util.find_spec("tensorflow_io") is not None


def error_of(error: tf.errors.OpError) -> str | None:
    """The reader's own message inside a graph's error, without the graph's wrapping; None where there is none."""
    _, found, tail = str(error).partition(f"{AudioError.__name__}: ")
    return tail.split("\n", 1)[0].strip() if found else None


def _import_tensorflow_io() -> Any:
    try:
        import tensorflow_io
    except ImportError as error:
        raise UserError(
            "the engine tensorflow_io is not installed here (it needs Python 3.10 to 3.12 and TensorFlow 2.17); "
            "use the engine soundfile"
        ) from error
    return tensorflow_io


def _arguments(
    path: bytes, offset: np.floating, duration: np.floating, channel: np.integer
) -> tuple[str, float, float | None, int | None]:
    """What `numpy_function` hands over, as Python's own: eager code gives arrays, a graph bytes and scalars."""
    seconds = None if duration < 0 else float(duration)
    return os.fsdecode(np.asarray(path).item()), float(offset), seconds, int(channel) or None


def _read_with_soundfile(
    path: bytes, offset: np.floating, duration: np.floating, channel: np.integer, *, sample_rate: int
) -> np.ndarray:
    name, start, seconds, number = _arguments(path, offset, duration, channel)
    recording = read_recording(name, sample_rate=sample_rate, offset=start, duration=seconds, channel=number)
    return recording.samples_N


def _read_with_tensorflow_io(
    path: bytes, offset: np.floating, duration: np.floating, channel: np.integer, *, sample_rate: int
) -> np.ndarray:
    """Decodes the whole file with one of tensorflow-io's ops and takes the segment.

    Its ops alone would not do. `AudioIOTensor` keeps the file in a resource that all its calls share: from parallel
    workers, or with two of them alive, it gave one file's samples for another's. The `decode_*` ops keep nothing, but
    need the samples' type, give no rate, and an op that fails inside a graph does not say which file. So the header
    is read first, and the op is called here, where its error can be caught and given the name.
    """
    name, offset_seconds, seconds, number = _arguments(path, offset, duration, channel)
    header = read_header(name)
    header.require_channel(number)
    start, count = header.segment(offset_seconds, seconds)
    samples_NC = _decode_with_tensorflow_io(header)
    if samples_NC.shape != (header.num_samples, header.num_channels):
        raise AudioError(
            f"{name}: tensorflow-io finds {samples_NC.shape[0]} samples of {samples_NC.shape[1]} channels, the header "
            f"says {header.num_samples} of {header.num_channels}; use the engine soundfile"
        )
    chosen_NC = samples_NC[start : start + count, slice(None) if number is None else slice(number - 1, number)]
    samples_N = chosen_NC.mean(axis=1, dtype=np.float32)
    require_sound(samples_N, path=name)
    if len(samples_N):
        samples_N = resample(samples_N, source_rate=header.sample_rate, sample_rate=sample_rate)
    return samples_N


def _decode_with_tensorflow_io(header: Header) -> np.ndarray:
    """All samples of a file, float32.

    Raises:
        AudioError: tensorflow-io has no decoder for it, or its decoder fails.
    """
    audio = _import_tensorflow_io().audio
    dtype = _DTYPES.get(header.encoding)
    if header.container in ("WAV", "WAVEX") and dtype is not None:
        decode = functools.partial(audio.decode_wav, dtype=dtype)
    elif header.container == "FLAC" and dtype is not None:
        decode = functools.partial(audio.decode_flac, dtype=dtype)
    elif (header.container, header.encoding) == ("OGG", "VORBIS"):
        decode = audio.decode_vorbis
    elif (header.container, header.encoding) == ("MP3", "MPEG_LAYER_III"):
        decode = audio.decode_mp3
    else:
        raise AudioError(
            f"{header.path}: is {header.container} with {header.encoding}, which tensorflow-io does not read "
            f"(it reads {_TENSORFLOW_IO_READS}); use the engine soundfile"
        )
    try:
        content = Path(header.path).read_bytes()
        if header.container.startswith("WAV"):
            content = _plain_wav(content, num_samples=header.num_samples)
        samples_NC = decode(content).numpy()
    except (tf.errors.OpError, NotImplementedError, OSError) as error:
        # "{{function_node ...}} the reason [Op:...]"
        reason = str(error).rpartition("}} ")[2].partition(" [Op:")[0].split("\n", 1)[0]
        raise AudioError(
            f"{header.path}: tensorflow-io cannot read it ({reason.strip()}); use the engine soundfile"
        ) from error
    if header.encoding == "PCM_32":
        samples_NC = samples_NC.view(np.int32)
    if samples_NC.dtype == np.uint8:
        return (samples_NC.astype(np.float32) - 128) / 128
    if samples_NC.dtype.kind == "i":
        return samples_NC.astype(np.float32) / -float(np.iinfo(samples_NC.dtype).min)
    return samples_NC


def _plain_wav(content: bytes, *, num_samples: int) -> bytes:
    """A WAV of the chunks `fmt ` and `data` alone, with sizes that hold.

    tensorflow-io's op does not skip the byte that fills a chunk of odd size (8 and 24 bits have such, and texts), and
    does not know the sizes that stand for "until the end".
    """
    place, form = 12, b""
    while place + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, place)
        place += 8
        if name == b"fmt ":
            form = content[place : place + size]
        elif name == b"data":
            bytes_a_sample = int.from_bytes(form[12:14], "little")
            data = content[place : place + num_samples * bytes_a_sample]
            chunks = b"WAVE" + struct.pack("<4sI", b"fmt ", len(form)) + form + struct.pack("<4sI", b"data", len(data))
            return struct.pack("<4sI", b"RIFF", len(chunks) + len(data)) + chunks + data
        place += size + size % 2
    return content
