"""Pitch tracking and overlap-add of grains as machine code: what `prosody` runs for each sample.

Curves come as numbers at frames: frame t stands at sample ``(t + 0.5) * hop``, with straight lines between.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import float32, float64, int64

from speechgru.jit import associative, entry, given, inner

#: Below, a frame holds no sound.
_LEAST_ENERGY = 1e-12

#: Grains that lie far apart get at most so many times as loud.
_MOST_GAIN = 2.0


@associative
def _product(samples_M: Any, first: int, second: int, count: int) -> Any:
    """The sum of products of `count` samples and as many others."""
    # Slices: an index that might be negative would keep the loop from vector instructions.
    some_M, others_M = samples_M[first : first + count], samples_M[second : second + count]
    product = np.float32(0.0)
    for m in range(count):
        product += some_M[m] * others_M[m]
    return product


@entry(given(float32, 1), int64, int64, int64, int64)
def correlate(samples_M: Any, frame: int, hop: int, shortest: int, longest: int) -> Any:
    """How alike each frame and the samples a lag later are, and each frame's energy.

    Args:
        samples_M: samples, `frame + longest` at least.
        frame: samples that are compared.
        hop: samples from one frame to the next.
        shortest: the least lag.
        longest: the greatest.

    Returns:
        Normalised cross-correlations [T, longest - shortest + 1] in [-1, 1], and energies [T].

    Source: Talkin 1995, "A Robust Algorithm for Pitch Tracking (RAPT)", equation 5.
    """
    num_frames = (len(samples_M) - frame - longest) // hop + 1
    alike_TL = np.empty((num_frames, longest - shortest + 1), np.float32)
    energy_T = np.empty(num_frames, np.float32)
    for t in range(num_frames):
        start = t * hop
        energy = _product(samples_M, start, start, frame)
        energy_T[t] = energy
        later = _product(samples_M, start + shortest, start + shortest, frame)
        for lag in range(shortest, longest + 1):
            product = _product(samples_M, start, start + lag, frame)
            # Rounding may leave a sliding sum of silence below zero.
            alike_TL[t, lag - shortest] = product / math.sqrt(max(energy * later, np.float32(_LEAST_ENERGY)))
            gone = samples_M[start + lag]
            new = samples_M[min(start + lag + frame, len(samples_M) - 1)]
            later = max(later - gone * gone + new * new, np.float32(0.0))
    return alike_TL, energy_T


@inner
def _at(values_T: Any, sample: float, hop: float) -> float:
    """A curve's value at a sample."""
    place = sample / hop - 0.5
    if place <= 0.0:
        return values_T[0]
    last = len(values_T) - 1
    if place >= last:
        return values_T[last]
    t = int(place)
    return values_T[t] + (place - t) * (values_T[t + 1] - values_T[t])


@entry(given(float32, 1), given(float64, 1), int64)
def pulse_phases(samples_M: Any, frequency_T: Any, hop: int) -> Any:
    """The energy's turn at the pitch: for each frame the sum of the squared samples times exp(-2 pi i cycles).

    Args:
        samples_M: samples.
        frequency_T: cycles a sample.
        hop: samples in a frame.

    Returns:
        Real and imaginary parts [T, 2]. Their angle is the phase around which a period's energy lies.
    """
    turned_T2 = np.zeros((len(frequency_T), 2))
    cycles = 0.0
    for m in range(len(samples_M)):
        power = samples_M[m] * samples_M[m]
        t = min(m // hop, len(frequency_T) - 1)
        turned_T2[t, 0] += power * math.cos(2 * math.pi * cycles)
        turned_T2[t, 1] -= power * math.sin(2 * math.pi * cycles)
        cycles += _at(frequency_T, m, hop)
    return turned_T2


@inner
def _add_grain(
    padded_N: Any, changed_N: Any, centre: float, place: float, before: float, after: float, gain: float
) -> None:
    """Adds what stands around `centre` around `place`, under the two halves of a Hann window.

    `padded_N` has two zeros before the samples and two after them.
    """
    count = len(changed_N)
    moved = centre - place
    whole = math.floor(moved)
    # Between samples: the cubic through four of them (Lagrange), the same for all of a grain.
    d = moved - whole
    c0 = np.float32(-d * (d - 1.0) * (d - 2.0) / 6.0)
    c1 = np.float32((d + 1.0) * (d - 1.0) * (d - 2.0) / 2.0)
    c2 = np.float32(-(d + 1.0) * d * (d - 2.0) / 2.0)
    c3 = np.float32((d + 1.0) * d * (d - 1.0) / 6.0)
    offset = int(whole)
    for side in range(2):
        half = before if side == 0 else after
        start = math.ceil(place - before) if side == 0 else math.floor(place) + 1
        end = math.floor(place) if side == 0 else math.ceil(place + after) - 1
        start = max(start, 0, -1 - offset)
        end = min(end, count - 1, count - 1 - offset)
        # cos by its recurrence, two multiplications a sample.
        angle = math.pi / half
        turn = 2.0 * math.cos(angle)
        here, last = math.cos(angle * (start - place)), math.cos(angle * (start - 1 - place))
        for n in range(start, end + 1):
            m = n + offset + 1
            value = c0 * padded_N[m] + c1 * padded_N[m + 1] + c2 * padded_N[m + 2] + c3 * padded_N[m + 3]
            changed_N[n] += np.float32(gain * (0.5 + 0.5 * here)) * value
            here, last = turn * here - last, here


@entry(
    given(float32, 1),
    float64,
    given(float64, 1),
    given(float64, 1),
    given(float64, 1),
    given(float64, 1),
    given(float64, 1),
    given(float64, 2),
    float64,
)
def lay_grains(
    samples_N: Any,
    hop: float,
    frequency_T: Any,
    shift_T: Any,
    factor_T: Any,
    voicing_T: Any,
    pace_T: Any,
    deviations_J2: Any,
    shimmer: float,
) -> Any:
    """Takes speech apart into grains of two periods and lays them down at other distances (`prosody`).

    Args:
        samples_N: one utterance.
        hop: samples in a frame of the curves.
        frequency_T: cycles a sample of the speech.
        shift_T: cycles to subtract from their sum, so that pulses fall on whole ones.
        factor_T: the new pitch over the old, at the speech's own times.
        voicing_T: from 0, where periods are no pulses, to 1.
        pace_T: the new pace over the old, at the new times; its mean does not matter.
        deviations_J2: a period's deviations in length, as shares, and in loudness, used in turn; none where empty.
        shimmer: by how much the loudness deviates.

    Returns:
        `changed_N`, float32.
    """
    count = len(samples_N)
    cycles_N = np.empty(count)
    total = -shift_T[0]
    for n in range(count):
        cycles_N[n] = total - (_at(shift_T, n, hop) - shift_T[0])
        total += _at(frequency_T, n, hop)

    # Pulses: where cycles are whole, between two samples. One before the first sample and the one before that, and two
    # after the last, so that every sample stands between two.
    marks_K = np.empty(int(cycles_N[count - 1] - cycles_N[0]) + 8)
    first = math.floor(cycles_N[0])
    slope = frequency_T[0]
    marks_K[1] = -(cycles_N[0] - first) / slope
    marks_K[0] = marks_K[1] - 1.0 / slope
    num_marks = 2
    for n in range(1, count):
        whole = math.floor(cycles_N[n])
        if whole > first + num_marks - 2 and num_marks < len(marks_K) - 3:
            marks_K[num_marks] = n - (cycles_N[n] - whole) / max(cycles_N[n] - cycles_N[n - 1], 1e-9)
            num_marks += 1
    for _ in range(3):
        marks_K[num_marks] = max(marks_K[num_marks - 1] + 1.0 / frequency_T[-1], count * 1.0)
        num_marks += 1

    # The pace's mean is 1: the last sample comes from the last one.
    total = 0.0
    for n in range(1, count):
        total += _at(pace_T, n, hop)
    scale = (count - 1) / max(total, 1e-9)

    most = int(4 * (cycles_N[count - 1] - cycles_N[0])) + 16
    places_J, grains_J = np.empty(most), np.empty(most, np.int64)
    places_J[0], grains_J[0] = marks_K[1], 1
    num_grains = 1
    source, turned = 0.0, cycles_N[0]
    whole_before = math.floor(turned)
    cycles_before = cycles_N[0]
    for n in range(1, count):
        pace = scale * _at(pace_T, n, hop)
        source = min(source + pace, count - 1.0)
        place = min(int(source), count - 2)
        cycles = cycles_N[place] + (source - place) * (cycles_N[place + 1] - cycles_N[place])
        step = max(cycles - cycles_before, 0.0) / pace * _at(factor_T, source, hop)
        cycles_before = cycles
        turned += step
        whole = math.floor(turned)
        if whole > whole_before:
            whole_before = whole
            if num_grains < most - 1:
                places_J[num_grains] = n - (turned - whole) / step
                grains_J[num_grains] = min(max(math.floor(cycles + 0.5) - first + 1, 1), num_marks - 2)
                num_grains += 1
    # One more, at or beyond the end: the same distance on.
    last = grains_J[num_grains - 1]
    gap = (marks_K[last + 1] - marks_K[last]) / factor_T[-1]
    places_J[num_grains] = max(places_J[num_grains - 1] + gap, count * 1.0)
    grains_J[num_grains] = min(last + 1, num_marks - 2)
    num_grains += 1

    padded_N = np.zeros(count + 4, np.float32)
    padded_N[2 : count + 2] = samples_N
    changed_N = np.zeros(count, np.float32)
    for j in range(num_grains):
        centre, place = marks_K[grains_J[j]], places_J[j]
        before = centre - marks_K[grains_J[j] - 1]
        after = marks_K[grains_J[j] + 1] - centre
        # Closer together, they are quieter: the level stays.
        left = place - places_J[j - 1] if j > 0 else before
        right = places_J[j + 1] - place if j + 1 < num_grains else after
        gain = min((left + right) / (before + after), _MOST_GAIN)
        if len(deviations_J2):
            row = j % len(deviations_J2)
            voicing = _at(voicing_T, centre, hop)
            place += deviations_J2[row, 0] * voicing * before
            gain *= max(0.0, 1.0 + shimmer * deviations_J2[row, 1] * voicing)
        _add_grain(padded_N, changed_N, centre, place, before, after, gain)
    return changed_N
