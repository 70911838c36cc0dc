"""Mel filters: how frequencies are spaced on a perceptual scale, and the filters of a front end."""

from __future__ import annotations

from typing import Any

import numpy as np

#: How filters can be spaced: Slaney's scale, librosa's default, or the formula that HTK and Kaldi use.
MEL_SCALES = ("slaney", "htk")

#: Weights of this many numbers and more are what TFLite's converter quantises.
_QUANTIZED_FROM = 1024

_SLANEY_BREAK_HZ = 1000.0
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_BREAK_MEL = _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = np.log(6.4) / 27.0
_HTK_MEL, _HTK_HZ = 2595.0, 700.0


def hz_to_mel(frequencies_hz: Any, *, mel_scale: str = "slaney") -> np.ndarray:
    """Frequencies on a mel scale.

    Args:
        frequencies_hz: Hz.
        mel_scale: `slaney`: linear below 1 kHz, logarithmic above; `htk`: 2595 log10(1 + f / 700).

    Returns:
        float64 of the same shape.

    Source: Slaney 1998, "Auditory Toolbox"; Young et al. 2006, "The HTK Book", section 5.4.
    """
    frequencies_hz = np.asarray(frequencies_hz, np.float64)
    if _is_htk(mel_scale):
        return _HTK_MEL * np.log10(1.0 + frequencies_hz / _HTK_HZ)
    logarithmic = _SLANEY_BREAK_MEL + (
        np.log(np.maximum(frequencies_hz, _SLANEY_BREAK_HZ) / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP
    )
    return np.where(frequencies_hz < _SLANEY_BREAK_HZ, frequencies_hz / _SLANEY_HZ_PER_MEL, logarithmic)


def mel_to_hz(mels: Any, *, mel_scale: str = "slaney") -> np.ndarray:
    """The inverse of `hz_to_mel`."""
    mels = np.asarray(mels, np.float64)
    if _is_htk(mel_scale):
        return _HTK_HZ * (10.0 ** (mels / _HTK_MEL) - 1.0)
    logarithmic = _SLANEY_BREAK_HZ * np.exp(
        _SLANEY_LOG_STEP * (np.maximum(mels, _SLANEY_BREAK_MEL) - _SLANEY_BREAK_MEL)
    )
    return np.where(mels < _SLANEY_BREAK_MEL, mels * _SLANEY_HZ_PER_MEL, logarithmic)


def _is_htk(mel_scale: str) -> bool:
    if mel_scale not in MEL_SCALES:
        raise ValueError(f"unknown mel_scale {mel_scale!r}; choose from {', '.join(MEL_SCALES)}")
    return mel_scale == "htk"


def mel_filters(
    *, sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float, mel_scale: str = "slaney"
) -> np.ndarray:
    """Triangular filters of equal area whose edges stand at equal distances on a mel scale, as librosa's.

    Args:
        sample_rate: Hz.
        n_fft: samples under one transform.
        n_mels: number of filters.
        f_min: lower edge of the first filter, Hz.
        f_max: upper edge of the last filter, Hz.
        mel_scale: one of `MEL_SCALES`.

    Returns:
        `filters_FM`, float32 [n_fft // 2 + 1, n_mels].

    Raises:
        ValueError: a filter is narrower than the transform's resolution and holds no bin at all; no such mel scale.
    """
    require_bins(sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, f_min=f_min, f_max=f_max, mel_scale=mel_scale)
    bins_F = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    edges = _edges(n_mels, f_min, f_max, mel_scale)
    rising_FM = (bins_F[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling_FM = (edges[2:] - bins_F[:, None]) / (edges[2:] - edges[1:-1])
    filters_FM = np.maximum(0.0, np.minimum(rising_FM, falling_FM)) * (2.0 / (edges[2:] - edges[:-2]))
    return filters_FM.astype(np.float32)


def require_bins(
    *, sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float, mel_scale: str = "slaney"
) -> None:
    """Refuses filters of which one would be empty, without making them: `mel_filters` explains the arguments.

    Raises:
        ValueError: a filter is narrower than the transform's resolution and holds no bin at all; no such mel scale.
    """
    bins_F = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    edges = _edges(n_mels, f_min, f_max, mel_scale)
    # A filter is 0 at its edges: what is inside counts.
    inside_M = np.searchsorted(bins_F, edges[2:], side="left") - np.searchsorted(bins_F, edges[:-2], side="right")
    empty = np.flatnonzero(inside_M <= 0)
    if len(empty):
        raise ValueError(
            f"{len(empty)} of {n_mels} mel filters hold no frequency bin (the first one around "
            f"{edges[empty[0] + 1]:.0f} Hz); use fewer features.n_mels or a longer features.frame_length_ms "
            f"(n_fft is {n_fft})"
        )


def _edges(n_mels: int, f_min: float, f_max: float, mel_scale: str) -> np.ndarray:
    """Where each filter begins, has its top and ends, Hz: places k, k + 1 and k + 2."""
    lowest, highest = hz_to_mel([f_min, f_max], mel_scale=mel_scale)
    return mel_to_hz(np.linspace(lowest, highest, n_mels + 2), mel_scale=mel_scale)


def cut_into_bands(filters_FM: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Cuts the filters into runs of neighbours: for each run its first bin and its part of the matrix.

    Most of the matrix is zeros, so this is less to multiply. Above all each part stays below the 1,024 numbers from
    which TFLite's quantisation stores a matrix in 8 bits: mel power spans nine decades, and no 8-bit product of it
    leaves the quiet ones standing.
    """
    bands: list[tuple[int, np.ndarray]] = []
    start, num_mels = 0, filters_FM.shape[1]
    while start < num_mels:
        end = start + 1
        part = _trim(filters_FM[:, start:end])
        while end < num_mels and (wider := _trim(filters_FM[:, start : end + 1]))[1].size < _QUANTIZED_FROM:
            part, end = wider, end + 1
        bands.append(part)
        start = end
    return bands


def _trim(filters_FM: np.ndarray) -> tuple[int, np.ndarray]:
    bins = np.flatnonzero(filters_FM.any(axis=1))
    return int(bins[0]), filters_FM[bins[0] : bins[-1] + 1]
