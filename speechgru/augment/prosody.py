"""The same voice at another pitch, with another melody and pace inside the utterance: grains of two periods, moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

#: Voices from low men to children. Within an utterance a voice stays within this ratio of its median, nearly always.
_LOWEST_HZ, _HIGHEST_HZ = 65.0, 420.0
_REACH = 1.7

#: What is compared with itself a period later, and from one frame to the next.
_FRAME_SECONDS, _HOP_SECONDS = 0.025, 0.01
#: Pitch is looked for at about this sample rate: it is in the first harmonics.
_SEARCH_RATE = 4000

#: How much likelier the shorter of two equally good periods is, for each octave between them: two periods are one too.
_OCTAVE_COST = 0.1
#: A frame is voiced from this likeness to itself a period later on, unless it is this far below the loudest (energy).
_VOICED_FROM = 0.6
_QUIET_BELOW = 1e-4
#: Where nothing is voiced, grains are as long as this voice's.
_UNVOICED_HZ = 150.0

#: A melody and a pace turn about every so many seconds.
_TURN_SECONDS = 0.35

#: Deviations of periods that are drawn; a longer utterance uses them again.
_NUM_DEVIATIONS = 997
#: How unequally loud a hoarse voice's periods are, in deviations of their length.
_SHIMMER = 4.0


@dataclass(frozen=True)
class Prosody:
    """What of an utterance's melody and pace changes.

    Args:
        semitones: the pitch rises by so many.
        curve_semitones: and by up to so many more or fewer, slowly changing.
        rate_share: the pace is up to this share higher or lower, slowly changing; the duration stays.
        jitter_share: deviation of a period's length, as a share of it; its loudness deviates four times as much.
    """

    semitones: float
    curve_semitones: float
    rate_share: float
    jitter_share: float


@dataclass(frozen=True)
class PitchTrack:
    """A voice's pitch, in frames of `hop` samples.

    Args:
        hop: samples from one frame to the next; frame t stands at (t + 0.5) * hop.
        frequency_T: cycles a sample; where a frame is unvoiced, between those of its neighbours.
        shift_T: cycles to subtract from the sum of `frequency_T`, so that pulses fall on whole ones.
        voicing_T: 1 where voiced, else 0.
    """

    hop: float
    frequency_T: np.ndarray
    shift_T: np.ndarray
    voicing_T: np.ndarray


def change_in_graph(samples_N: tf.Tensor, changes_4: tf.Tensor, seed: tf.Tensor, *, sample_rate: int) -> tf.Tensor:
    """`change_prosody` in a graph, by the numbers of a `Prosody` in their order, and a seed (int32 [2])."""

    def change(samples_N: np.ndarray, changes_4: np.ndarray, seed: np.ndarray) -> np.ndarray:
        rng = np.random.Generator(np.random.Philox(key=seed.astype(np.int32).view(np.uint32).astype(np.uint64)))
        return change_prosody(samples_N, Prosody(*changes_4.tolist()), rng, sample_rate=sample_rate)

    changed_N = tf.numpy_function(change, [samples_N, changes_4, seed], tf.float32, stateful=False)
    changed_N.set_shape(samples_N.shape)
    return changed_N


def change_prosody(
    samples_N: np.ndarray, prosody: Prosody, rng: np.random.Generator, *, sample_rate: int
) -> np.ndarray:
    """Speech at another pitch, its formants and its duration kept.

    Pitch-synchronous overlap and add: grains of two periods, each around a pulse of the glottis, are laid down at the
    wanted distances. Where speech is voiced, that changes the pitch and leaves each pulse's resonances as they were;
    elsewhere distances stay. A grain comes from the time that the curve of the pace maps its place to.

    Args:
        samples_N: one utterance, float32.
        prosody: what to change.
        rng: draws the curves, and the jitter.
        sample_rate: Hz.

    Returns:
        N samples with the energy of `samples_N`; `samples_N` itself where it is silent or hardly longer than a frame.

    Source: Moulines and Charpentier 1990, "Pitch-Synchronous Waveform Processing Techniques for Text-to-Speech
    Synthesis Using Diphones", section 3 (TD-PSOLA); here pulses come from the phase of the energy at the pitch.
    """
    from speechgru.augment.prosody_kernel import lay_grains

    samples_N = np.ascontiguousarray(samples_N, np.float32)
    energy = float(np.vdot(samples_N, samples_N))
    if len(samples_N) < sample_rate / 10 or energy < 1e-10:
        return samples_N
    track = track_pitch(samples_N, sample_rate=sample_rate)
    # Curves are straight between points of the time axis.
    num_frames = len(track.voicing_T)
    num_points = 2 + int(len(samples_N) / sample_rate / _TURN_SECONDS)
    draws_2P = rng.uniform(-1.0, 1.0, [2, num_points])
    melody_T, pace_T = (
        np.interp(np.linspace(0, num_points - 1, num_frames), np.arange(num_points), draws_P) for draws_P in draws_2P
    )
    deviations_J2 = np.zeros([0, 2])
    if prosody.jitter_share:
        deviations_J2 = prosody.jitter_share * np.clip(rng.standard_normal([_NUM_DEVIATIONS, 2]), -2.5, 2.5)
    semitones_T = (prosody.semitones + prosody.curve_semitones * melody_T) * track.voicing_T
    changed_N = lay_grains(
        samples_N,
        track.hop,
        track.frequency_T,
        track.shift_T,
        np.exp2(semitones_T / 12),
        track.voicing_T,
        np.exp(np.log1p(prosody.rate_share) * pace_T),
        deviations_J2,
        _SHIMMER,
    )
    changed_energy = float(np.vdot(changed_N, changed_N))
    return changed_N * np.float32(np.sqrt(energy / changed_energy)) if changed_energy > 1e-10 else samples_N


def track_pitch(samples_N: np.ndarray, *, sample_rate: int) -> PitchTrack:
    """The pitch of an utterance of at least a tenth of a second, and where its pulses are."""
    from speechgru.augment.prosody_kernel import pulse_phases

    step = max(1, round(sample_rate / _SEARCH_RATE))
    # The mean of neighbours is filter enough: what folds is weak, and has the same period.
    coarse_M = samples_N[: len(samples_N) // step * step].reshape(-1, step).mean(axis=1)
    rate = sample_rate / step
    hop = round(_HOP_SECONDS * rate)
    frequency_T, voiced_T = _find_pitch(coarse_M, rate, hop)
    turned_T2 = pulse_phases(coarse_M, frequency_T, hop)
    turned_T = np.ascontiguousarray(turned_T2).view(np.complex128)[:, 0]
    # Three frames together hold two periods of a low voice.
    turned_T = np.convolve(turned_T, np.ones(3), mode="same")
    shift_T = np.unwrap(np.angle(turned_T)) / (-2 * np.pi)
    return PitchTrack(float(hop * step), frequency_T / step, shift_T, voiced_T.astype(np.float64))


def _find_pitch(coarse_M: np.ndarray, rate: float, hop: int) -> tuple[np.ndarray, np.ndarray]:
    """Cycles a sample of each frame, and which are voiced."""
    from speechgru.augment.prosody_kernel import correlate

    frame, shortest, longest = round(_FRAME_SECONDS * rate), int(rate / _HIGHEST_HZ), int(rate / _LOWEST_HZ) + 1
    num_frames = -(-len(coarse_M) // hop)
    # A frame and the one a period later lie around the frame's time.
    before = (frame + longest) // 2 - hop // 2
    # The first harmonics alone: the others are less alike a period later, where that lies between two samples.
    low_M = np.convolve(coarse_M, [0.25, 0.5, 0.25], mode="same")
    padded_M = np.pad(low_M, [before, num_frames * hop + frame + longest - len(coarse_M)])
    alike_TL, energy_T = correlate(padded_M.astype(np.float32), frame, hop, shortest - 1, longest + 1)
    alike_TL, energy_T = alike_TL[:num_frames], energy_T[:num_frames]
    is_loud_T = energy_T > _QUIET_BELOW * energy_T.max()
    lags_L = np.arange(shortest, longest + 1)

    def best(scores_TL: np.ndarray, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """The best lag from `first` to `last`, and whether it makes the frame a voiced one."""
        lag_T = first + scores_TL[:, first - shortest : last + 1 - shortest].argmax(axis=1)
        found_T = alike_TL[np.arange(num_frames), lag_T - shortest + 1]
        return lag_T, is_loud_T & (found_T > _VOICED_FROM)

    lag_T, voiced_T = best(alike_TL[:, 1:-1] - _OCTAVE_COST * np.log2(lags_L / shortest), shortest, longest)
    if voiced_T.any():
        # Once more near the voice's own pitch: what lies an octave beside it was a mistake.
        median = float(np.median(lag_T[voiced_T]))
        first, last = max(shortest, int(median / _REACH)), min(longest, int(median * _REACH) + 1)
        lag_T, voiced_T = best(alike_TL[:, 1:-1], first, last)
    if not voiced_T.any():
        return np.full(num_frames, _UNVOICED_HZ / rate), voiced_T
    # Between two lags: the peak of a parabola through three.
    frames_T = np.arange(num_frames)
    before_T, here_T, after_T = (alike_TL[frames_T, lag_T - shortest + 1 + side] for side in (-1, 0, 1))
    bend_T = np.minimum(before_T - 2 * here_T + after_T, -1e-6)
    exact_T = lag_T + np.clip(0.5 * (before_T - after_T) / bend_T, -0.5, 0.5)
    frequency_T = np.interp(frames_T, frames_T[voiced_T], 1.0 / exact_T[voiced_T])
    return _median_of_3(frequency_T), voiced_T


def _median_of_3(values_T: np.ndarray) -> np.ndarray:
    padded = np.concatenate([values_T[:1], values_T, values_T[-1:]])
    low_T, high_T = np.minimum(padded[:-2], padded[2:]), np.maximum(padded[:-2], padded[2:])
    return np.clip(values_T, low_T, high_T)
