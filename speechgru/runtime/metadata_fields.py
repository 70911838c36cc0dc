"""What each field of a bundle's metadata may be: types, and ranges far beyond any model's."""

from __future__ import annotations

import math
from typing import Any

from speechgru.audio.samples import HIGHEST_RATE, LOWEST_RATE
from speechgru.fields import flag, items, number, optional, record, table, text, whole
from speechgru.lengths import StreamGeometry

#: Samples of a frame or a hop, frames or steps of a call, and labels or values of an array, at most.
_MOST_SAMPLES, _MOST_STEPS, _MOST_VALUES = 1 << 20, 1 << 12, 1 << 24
_SAMPLES, _STEPS, _ANY = whole(0, _MOST_SAMPLES), whole(0, _MOST_STEPS), whole(0, 1 << 53)
_POSITIVE_SAMPLES, _POSITIVE_STEPS = whole(1, _MOST_SAMPLES), whole(1, _MOST_STEPS)

_GEOMETRY = {
    "frame_length": _POSITIVE_SAMPLES,
    "n_fft": _POSITIVE_SAMPLES,
    "hop_length": _POSITIVE_SAMPLES,
    "center": flag,
    "slope_frames": _STEPS,
    "leading_samples": _SAMPLES,
    "subsampling_factor": _POSITIVE_STEPS,
    "chunk_steps": _POSITIVE_STEPS,
    "lookahead_steps": _STEPS,
    "delay_steps": _STEPS,
}
_MODEL_FILE = record({"file": text()}, {"size_bytes": _ANY, "sha256": text()})
_FEATURES = {
    **dict.fromkeys(("frame_length", "n_fft", "hop_length"), _POSITIVE_SAMPLES),
    **dict.fromkeys(("frame_length_ms", "hop_length_ms"), number(0, 1e5)),
    **dict.fromkeys(("f_min_hz", "f_max_hz"), optional(number(0, HIGHEST_RATE))),
    **dict.fromkeys(("preemphasis", "dither", "log_floor", "running_seconds"), number()),
    **dict.fromkeys(("pcen_seconds", "pcen_gain", "pcen_bias", "pcen_root"), number()),
    **dict.fromkeys(("mean", "deviation"), items(number())),
    **dict.fromkeys(("mel_scale", "spectrum", "compression", "normalization"), text()),
    "n_mels": whole(1, 1 << 12),
    "deltas": whole(0, 2),
    "center": flag,
}
_MODEL = {
    **dict.fromkeys(("num_layers", "units", "subsampling_factor"), whole(1, 1 << 20)),
    **dict.fromkeys(("chunk_frames", "lookahead_frames", "subsampling_channels"), whole(0, 1 << 20)),
    **dict.fromkeys(("direction", "normalization", "update_gate"), text()),
    "reset_after": flag,
    "dropout": number(0, 1),
}
_SCORES = {"wer": number(), "cer": number(), "step": _ANY}
_FORMS = {name: number() for name in ("wer", "wer_change", "max_difference", "rtf", "stream_rtf", "stream_difference")}

_WEIGHTS = {name: optional(number(-1e3, 1e15)) for name in ("weight", "word_bonus", "unknown_penalty")}
_WEIGHTS["blank_penalty"] = optional(number(0, 1e2))
_LANGUAGE_MODEL = {
    **dict.fromkeys(("kind", "file", "sha256"), text()),
    "weights": record({}, {**_WEIGHTS, "known_words_only": flag}),
}

_METADATA = record(
    {
        "bundle_version": whole(1, 1 << 20),
        "sample_rate": whole(LOWEST_RATE, HIGHEST_RATE),
        "step_seconds": number(1e-4, 60.0),
        "unit": text(),
        "entries": items(text()),
        "models": table(_MODEL_FILE),
        "default_form": optional(text()),
    },
    {
        "speechgru_version": text(),
        "subsampling_factor": _POSITIVE_STEPS,
        "blank_id": whole(0, 0),
        "subwords": record({"method": text(), "scores": items(number())}),
        "grammar": optional(record({})),
        "language_model": optional(record(_LANGUAGE_MODEL, {"size_bytes": _ANY, "description": text()})),
        "features": optional(record({}, _FEATURES)),
        "model": optional(record({}, _MODEL)),
        "parameters": optional(_ANY),
        "latency_seconds": optional(record({"least": number(0, 1e6), "greatest": number(0, 1e6)})),
        "stream": optional(record({"geometry": record(_GEOMETRY), "states": table(items(whole(1, _MOST_VALUES)))})),
        "stream_obstacle": optional(text()),
        "training_seconds": optional(record({"typical": number(1e-3, 1e6), "longest": number(1e-3, 1e6)})),
        "dev": optional(record({}, _SCORES)),
        "rejection": optional(record({"threshold": number()})),
        "provenance": optional(record({}, {"versions": table(optional(text())), "created": text()})),
        "saved_model": optional(items(text())),
        "parity_utterances": optional(_ANY),
        "parity": optional(items(record({"form": text()}, _FORMS))),
        "golden": optional(items(record({}))),
        "checksum": optional(text()),
    },
)


def require_fields(metadata: dict[str, Any]) -> None:
    """Whether each field of a bundle's metadata has its type, is in its range, and goes with the others.

    Raises:
        ValueError: one does not; names it.
    """
    _METADATA(metadata, "")
    if metadata["step_seconds"] * metadata["sample_rate"] < 1:
        raise ValueError("step_seconds is less than a sample")
    if metadata.get("stream") is not None:
        geometry = StreamGeometry(**{key: metadata["stream"]["geometry"][key] for key in _GEOMETRY})
        num_values = sum(math.prod(shape) for shape in metadata["stream"]["states"].values())
        if geometry.window_samples > _MOST_VALUES or num_values > _MOST_VALUES:
            raise ValueError(f"stream is of more than {_MOST_VALUES:,} samples or values")
