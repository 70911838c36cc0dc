"""Another voice for the same speech: formants, tilt and breath, its pitch kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.augment.seeds import split_seed
from speechgru.augment.spectra import SILENT_ENERGY

#: A frame spans two periods of a low voice.
_FRAME_SECONDS = 0.03

#: What of the cepstrum is the envelope: up to here it is the vocal tract's, from a voice's period on the harmonics'
#: (here for voices of 330 Hz and more, whose first formant hardly shows between them). The upper half of the
#: coefficients fades out, or the envelope would ring.
_ENVELOPE_SECONDS = 0.003

#: Power below which a bin counts as silent, relative to full scale: nothing is to be warped there.
_LEAST_POWER = 1e-10

#: The most that a bin changes by, nats (26 dB): what an envelope puts into a stop band is the recording's noise.
_MOST_GAIN = 3.0

#: Places, evenly apart on the mel scale, at which formants move on their own; straight lines between.
_BEND_POINTS = 5

#: The tilt turns around this frequency, and is flat below the lowest.
_TILT_CENTRE_HZ, _TILT_LOWEST_HZ = 1000.0, 125.0

#: Breath is half of what it is at the top of the spectrum here; below, a breathy voice's harmonics stand out.
_BREATH_CORNER_HZ = 1500.0


@dataclass(frozen=True)
class VoiceChange:
    """How a voice differs from the one that spoke.

    Args:
        formant_ratio: scalar tensor; formants move to so many times their frequency.
        bends_P: nats by which each of `bend_places` moves besides, float32 [P].
        tilt_db: dB an octave that the spectrum rises by.
        breath: share in [0, 1] of the amplitude, at the top of the spectrum, that becomes noise.
    """

    formant_ratio: tf.Tensor
    bends_P: tf.Tensor
    tilt_db: tf.Tensor
    breath: tf.Tensor


def draw_voice(
    seed: tf.Tensor, *, formant_share: float, bend_share: float, tilt_db: float, breath_share: float, strength: Any
) -> VoiceChange:
    """Draws a voice: each number evenly over its range, which `strength` scales; ratios evenly on a log scale."""
    ratio_seed, bend_seed, tilt_seed, breath_seed = split_seed(seed, 4)
    return VoiceChange(
        formant_ratio=tf.exp(
            strength * math.log1p(formant_share) * tf.random.stateless_uniform([], ratio_seed, -1.0, 1.0)
        ),
        bends_P=strength * math.log1p(bend_share) * tf.random.stateless_uniform([_BEND_POINTS], bend_seed, -1.0, 1.0),
        tilt_db=strength * tilt_db * tf.random.stateless_uniform([], tilt_seed, -1.0, 1.0),
        breath=strength * breath_share * tf.random.stateless_uniform([], breath_seed),
    )


def change_voice(samples_N: tf.Tensor, change: VoiceChange, noise_seed: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    """The same words at the same pitch and pace by another vocal tract and another larynx.

    One pass of a short-time Fourier transform. Each frame's envelope E is the cosine series of its lowest cepstral
    coefficients, so that it can be evaluated at any frequency: the bin at f is multiplied with ``E(f / ratio) / E(f)``,
    which moves formants and leaves harmonics where they are, and with the tilt's gain. Then a share of each bin,
    larger towards the treble, is exchanged for noise under the same envelope.

    Args:
        samples_N: one utterance, float32.
        change: what to change.
        noise_seed: int32 [2], of the breath.
        sample_rate: Hz.

    Returns:
        N samples with the energy of `samples_N`; `samples_N` itself where it is silent.

    Source: Roebel and Rodet 2005, "Efficient Spectral Envelope Estimation and its Application to Pitch Shifting and
    Envelope Preservation", section 2 (the cepstral envelope).
    """
    frame, hop = _frame_of(sample_rate)
    num_samples = tf.shape(samples_N)[0]
    # The root of a Hann window, before and after: their product adds up to 1 from half a frame to the next.
    window_N = np.sin(np.pi * np.arange(frame) / frame).astype(np.float32)
    # Zeros before and after, so that all samples stand under as many windows.
    padded_N = tf.pad(samples_N, [[frame - hop, frame + hop]])
    frames_TN = tf.signal.frame(padded_N, frame, hop) * window_N
    spectrum_TF = tf.signal.rfft(frames_TN)
    changed_TF = _changed(spectrum_TF, change, noise_seed, sample_rate=sample_rate)
    changed_TN = tf.signal.irfft(changed_TF) * window_N
    changed_N = tf.signal.overlap_and_add(changed_TN, hop)[frame - hop :][:num_samples]
    energy, changed_energy = tf.reduce_sum(tf.square(samples_N)), tf.reduce_sum(tf.square(changed_N))
    gain = tf.sqrt(energy / tf.maximum(changed_energy, SILENT_ENERGY))
    return tf.where((energy > SILENT_ENERGY) & (changed_energy > SILENT_ENERGY), gain * changed_N, samples_N)


def _changed(spectrum_TF: tf.Tensor, change: VoiceChange, noise_seed: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    frame, _ = _frame_of(sample_rate)
    num_bins = frame // 2 + 1
    bins_F = np.arange(num_bins)
    frequencies_hz = bins_F * (sample_rate / frame)
    real_TF, imaginary_TF = tf.math.real(spectrum_TF), tf.math.imag(spectrum_TF)
    # Power of full scale: a sine's bin holds a quarter of the frame's length.
    floor = _LEAST_POWER * (frame / 4) ** 2
    log_TF = 0.5 * tf.math.log(tf.square(real_TF) + tf.square(imaginary_TF) + floor)
    orders_K = np.arange(round(_ENVELOPE_SECONDS * sample_rate) + 1)
    fade_K = np.minimum(1.0, 2.0 * (1.0 - orders_K / (orders_K[-1] + 1)))
    # The cosine series of the log amplitudes; the first and the last bin stand for one half each.
    cosines_FK = np.cos(np.pi * bins_F[:, None] * orders_K / (num_bins - 1))
    weights_FK = cosines_FK * fade_K * np.where(orders_K == 0, 1.0, 2.0) / (num_bins - 1)
    weights_FK[[0, -1]] /= 2
    cepstrum_TK = tf.matmul(log_TF, tf.constant(weights_FK, tf.float32))

    places_F = (_BEND_POINTS - 1) * np.log1p(frequencies_hz / 700) / np.log1p(sample_rate / 2 / 700)
    bend_FP = np.maximum(0.0, 1.0 - np.abs(places_F[:, None] - np.arange(_BEND_POINTS)))
    bend_F = tf.linalg.matvec(tf.constant(bend_FP, tf.float32), change.bends_P)
    source_F = tf.minimum(bins_F.astype(np.float32) * tf.exp(-bend_F) / change.formant_ratio, float(num_bins - 1))
    angles_KF = (np.pi / (num_bins - 1) * orders_K[:, None]).astype(np.float32) * source_F
    moved_KF = tf.cos(angles_KF) - tf.constant(cosines_FK.T, tf.float32)
    octaves_F = np.log2(np.maximum(frequencies_hz, _TILT_LOWEST_HZ) / _TILT_CENTRE_HZ).astype(np.float32)
    tilt_F = change.tilt_db * (math.log(10) / 20) * octaves_F
    gain_TF = tf.exp(tf.clip_by_value(tf.matmul(cepstrum_TK, moved_KF), -_MOST_GAIN, _MOST_GAIN) + tilt_F)

    corner = frequencies_hz**2 / (frequencies_hz**2 + _BREATH_CORNER_HZ**2)
    breath_F = change.breath * corner.astype(np.float32)

    def without_breath() -> tf.Tensor:
        return spectrum_TF * tf.cast(gain_TF, tf.complex64)

    def with_breath() -> tf.Tensor:
        envelope_TF = tf.exp(tf.matmul(cepstrum_TK, tf.constant(cosines_FK.T, tf.float32)))
        # Evenly distributed with mean square 1, real and imaginary part together: their sums over bins are Gaussian.
        noise_TF2 = tf.random.stateless_uniform([tf.shape(real_TF)[0], num_bins, 2], noise_seed, -1.0, 1.0)
        # A mean of logs lies below the effective value, far where harmonics stand out: each frame gets as much noise
        # as it loses.
        exchanged_TF = tf.square(breath_F) * (tf.square(real_TF) + tf.square(imaginary_TF))
        noise_TF = breath_F * envelope_TF
        level_T = tf.sqrt(1.5 * tf.reduce_sum(exchanged_TF, 1) / tf.reduce_sum(tf.square(noise_TF), 1))
        noise_TF2 *= (level_T[:, None] * noise_TF)[:, :, None]
        kept_F = tf.sqrt(1.0 - tf.square(breath_F))
        return tf.complex(
            gain_TF * (kept_F * real_TF + noise_TF2[:, :, 0]), gain_TF * (kept_F * imaginary_TF + noise_TF2[:, :, 1])
        )

    return tf.cond(change.breath > 0.0, with_breath, without_breath)


def _frame_of(sample_rate: int) -> tuple[int, int]:
    """Samples in a frame, a power of two, and from one frame to the next."""
    frame = 2 ** round(math.log2(_FRAME_SECONDS * sample_rate))
    return frame, frame // 2
