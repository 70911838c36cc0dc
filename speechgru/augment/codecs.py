"""Speech through lossy codecs at low rates: encoded and decoded in memory by libsndfile."""

from __future__ import annotations

import inspect
import io
from dataclasses import dataclass

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Codec:
    """A format of libsndfile.

    Args:
        format, subtype: libsndfile's names.
        sample_rates: Hz that it can code.
        levels: the least and the greatest compression that is drawn, on libsndfile's scale up to 1.
    """

    format: str
    subtype: str
    sample_rates: tuple[int, ...]
    levels: tuple[float, float]


CODECS = {
    # At 16 kHz some 20 to 40 kbit/s.
    "mp3": Codec("MP3", "MPEG_LAYER_III", (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000), (0.7, 0.99)),
    # 8 to 34 kbit/s: from a poor connection to a good voice call.
    "opus": Codec("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000), (0.9, 1.0)),
}

#: What the loudest sample is scaled to while it is coded, and below which a signal counts as silent.
_CODED_PEAK, _SILENT_PEAK = 0.5, 1e-7


def require_codec(kind: str) -> None:
    """Refuses a codec that the installed libraries lack.

    Raises:
        ValueError: they do; says which.
    """
    import soundfile

    codec = CODECS[kind]
    if codec.subtype not in soundfile.available_subtypes(codec.format):
        raise ValueError(
            f"transmission_kinds holds {kind!r}, which libsndfile {soundfile.__libsndfile_version__} cannot write; "
            "install a newer soundfile, whose wheels bring libsndfile, or leave the kind out"
        )
    if "compression_level" not in inspect.signature(soundfile.write).parameters:
        raise ValueError(
            f"transmission_kinds holds {kind!r}, which needs soundfile 0.13 or newer (there is {soundfile.__version__})"
        )


def send(samples_N: tf.Tensor, seed: tf.Tensor, kind: str, *, sample_rate: int) -> tf.Tensor:
    """Speech through a codec at a drawn rate, not delayed.

    Some 6 ms of one core a second of sound for MP3, 20 to 30 ms for Opus: give them a small share of the utterances.

    Args:
        samples_N: one utterance.
        seed: int32 [2].
        kind: one of `CODECS`.
        sample_rate: Hz.

    Returns:
        N samples.
    """
    level = tf.random.stateless_uniform([], seed, *CODECS[kind].levels)

    def code(samples_N: np.ndarray, level: np.floating) -> np.ndarray:
        return coded(samples_N, kind, level=float(level), sample_rate=sample_rate)

    coded_N = tf.numpy_function(code, [samples_N, level], tf.float32, stateful=False)
    coded_N.set_shape(samples_N.shape)
    return coded_N


def coded(samples_N: np.ndarray, kind: str, *, level: float, sample_rate: int) -> np.ndarray:
    """Samples as they come out of a codec at a compression level of libsndfile; silence as it is."""
    import soundfile

    from speechgru.audio.resampling import resample

    peak = float(np.abs(samples_N).max(initial=0.0))
    if peak < _SILENT_PEAK:
        return samples_N
    codec = CODECS[kind]
    # The highest rate that is no higher: what lies above it is not worth coding.
    rate = max((rate for rate in codec.sample_rates if rate <= sample_rate), default=codec.sample_rates[0])
    scaled_N = resample(samples_N * np.float32(_CODED_PEAK / peak), source_rate=sample_rate, sample_rate=rate)
    file = io.BytesIO()
    soundfile.write(file, scaled_N, rate, format=codec.format, subtype=codec.subtype, compression_level=level)
    file.seek(0)
    decoded_N, _ = soundfile.read(file, dtype="float32")
    decoded_N = resample(decoded_N, source_rate=rate, sample_rate=sample_rate)[: len(samples_N)]
    return np.pad(decoded_N, [0, len(samples_N) - len(decoded_N)]) * np.float32(peak / _CODED_PEAK)
