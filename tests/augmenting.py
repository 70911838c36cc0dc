"""What the tests of augmentation share: stages by their keys, synthetic speech, and measurements of it."""

from types import SimpleNamespace

import numpy as np
import tensorflow as tf

from speechgru.augment import STAGES, Scene
from speechgru.augment.chain import Chain

#: Every stage switched off.
OFF = {
    **{key: field.default for stage in STAGES for key, field in stage.model_fields.items()},
    **{stage.switch: 0 for stage in STAGES},
}


def chain_of(sample_rate, readers=None, num_groups=1, **keys):
    """The stages with these keys, everything else switched off."""
    settings = SimpleNamespace(**{**OFF, **keys})
    return Chain(
        [stage.of(settings) for stage in STAGES],
        scene=Scene(sample_rate, readers or {}, sample_rate // 100, num_groups),
    )


def seed(number):
    return tf.constant([7, number], tf.int32)


def energy(samples):
    return float(np.square(np.asarray(samples, np.float64)).sum())


def vowel(f0_hz, *, formants_hz=(500.0, 1500.0, 2500.0, 3500.0), seconds=1.0, sample_rate=16000):
    """A glottis's pulses, at a pitch that may be a curve [N], through resonances of 80 Hz width."""
    count = round(seconds * sample_rate)
    cycles_N = np.cumsum(np.broadcast_to(np.asarray(f0_hz, float), [count]) / sample_rate)
    samples_N = np.zeros(count)
    samples_N[np.flatnonzero(np.diff(np.floor(cycles_N), prepend=-1))] = 1.0
    frequencies_hz = np.fft.rfftfreq(2 * count, 1 / sample_rate)
    z_F = np.exp(-2j * np.pi * frequencies_hz / sample_rate)
    response_F = np.ones(len(z_F), complex)
    for formant_hz in formants_hz:
        radius = np.exp(-np.pi * 80 / sample_rate)
        response_F /= 1 - 2 * radius * np.cos(2 * np.pi * formant_hz / sample_rate) * z_F + (radius * z_F) ** 2
    samples_N = np.fft.irfft(np.fft.rfft(samples_N, 2 * count) * response_F)[:count]
    return (0.3 * samples_N / np.abs(samples_N).max()).astype(np.float32)


def formants_of(samples_N, *, sample_rate=16000, order=12, count=4):
    """The lowest resonances by linear prediction, Hz."""
    samples_N = samples_N * np.hanning(len(samples_N))
    correlation_K = np.correlate(samples_N, samples_N, "full")[len(samples_N) - 1 :][: order + 1]
    matrix_KK = correlation_K[np.abs(np.arange(order)[:, None] - np.arange(order))]
    predictor_K = np.linalg.solve(matrix_KK + 1e-9 * correlation_K[0] * np.eye(order), correlation_K[1:])
    roots = np.roots([1.0, *-predictor_K])
    roots = roots[(roots.imag > 0) & (-np.log(np.abs(roots)) * sample_rate / np.pi < 600)]
    return np.sort(np.angle(roots) * sample_rate / (2 * np.pi))[:count]


def pitch_of(samples_N, *, sample_rate=16000, lowest_hz=60, highest_hz=500):
    """The fundamental frequency by the autocorrelation of all samples, Hz, between two samples' lags."""
    windowed_N = np.asarray(samples_N, float) * np.hanning(len(samples_N))
    size = 2 * len(windowed_N)
    correlation_N = np.fft.irfft(np.abs(np.fft.rfft(windowed_N, size)) ** 2)
    lags = np.arange(sample_rate // highest_hz, sample_rate // lowest_hz)
    is_peak = (correlation_N[lags] > correlation_N[lags - 1]) & (correlation_N[lags] >= correlation_N[lags + 1])
    # The first that is as high as any: two periods are a period too.
    lag = lags[is_peak & (correlation_N[lags] > 0.85 * correlation_N[lags].max())][0]
    before, here, after = correlation_N[lag - 1 : lag + 2]
    return sample_rate / (lag + 0.5 * (before - after) / (before - 2 * here + after))
