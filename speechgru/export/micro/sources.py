"""A model, and what its front end needs, as C: settings, tables, and the bytes of a `.tflite` file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.features import PCEN, Deltas, GlobalNormalization, RunningMean, Stage
from speechgru.files import write_text
from speechgru.model.build import AcousticModel
from speechgru.runtime.tflite import SignatureFacts
from speechgru.text import Vocabulary

#: The front end itself, which no model changes.
FRONT_END = ("speechgru_front_end.h", "speechgru_front_end.c")
SETTINGS, TABLES = "speechgru_settings.h", "speechgru_tables.c"

#: The stages behind the log-mel that the front end in C computes.
_STAGES: tuple[type[Stage], ...] = (PCEN, RunningMean, GlobalNormalization)

#: Numbers on a line.
_FLOATS, _BYTES = 6, 20


def front_end_obstacle(model: AcousticModel) -> str | None:
    """Why the front end in C cannot compute a model's features, and what to change; None where it can."""
    for stage in model.front_end.stages:
        if isinstance(stage, Deltas):
            return (
                f"features.deltas is {stage.order}: the front end in C computes no slopes, which wait for frames to "
                "come; train with features.deltas 0"
            )
        if not isinstance(stage, _STAGES):
            return f"the front end in C does not have the stage {stage.name} of features; train without it"
    return None


def write_front_end(folder: Path, model: AcousticModel, *, vocabulary: Vocabulary, signature: SignatureFacts) -> None:
    """Writes the front end of a model: its code, its settings and its tables.

    Args:
        folder: where.
        model: the model, whose `front_end_obstacle` is None.
        vocabulary: its labels.
        signature: of the step, whose inputs and outputs the settings number.
    """
    for name in FRONT_END:
        write_text(folder / name, resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
    write_text(folder / SETTINGS, _settings(model, vocabulary, signature))
    write_text(folder / TABLES, _tables(model, vocabulary))


def write_model(folder: Path, name: str, content: bytes, *, arena_bytes: int) -> None:
    """Writes a model's bytes as an array, `NAME.c` and `NAME.h`.

    Args:
        folder: where.
        name: such as `speechgru_model_int8`; the array's too.
        content: the `.tflite` file.
        arena_bytes: of memory that it needs.
    """
    guard = name.upper()
    header = f"""/* A model for TensorFlow Lite Micro; speechgru wrote it. */

#ifndef {guard}_H
#define {guard}_H

/* Enough for the interpreter on a machine of 64 bits; one of 32 bits needs less. */
#define {guard}_ARENA_BYTES {arena_bytes}
#define {guard}_BYTES {len(content)}

#ifdef __cplusplus
extern "C" {{
#endif
extern const unsigned char {name}[{guard}_BYTES]; /* begins at a multiple of 16 */
#ifdef __cplusplus
}}
#endif

#endif
"""
    values = [f"0x{byte:02x}" for byte in content]
    source = f"""#include "{name}.h"

#if defined(__GNUC__)
__attribute__((aligned(16)))
#elif __STDC_VERSION__ >= 201112L
_Alignas(16)
#else
#error "align the array to 16 bytes in your compiler's way"
#endif
const unsigned char {name}[{guard}_BYTES] = {{
{_lines(values, _BYTES)}
}};
"""
    write_text(folder / f"{name}.h", header)
    write_text(folder / f"{name}.c", source)


def _settings(model: AcousticModel, vocabulary: Vocabulary, signature: SignatureFacts) -> str:
    log_mel, stages = model.front_end.log_mel, model.front_end.stages
    pcen = next((stage for stage in stages if isinstance(stage, PCEN)), None)
    running = next((stage for stage in stages if isinstance(stage, RunningMean)), None)
    defined: dict[str, Any] = {
        "SAMPLE_RATE": log_mel.sample_rate,
        "FRAME_LENGTH": log_mel.frame_length,
        "HOP_LENGTH": log_mel.hop_length,
        "N_FFT": log_mel.n_fft,
        "N_MELS": log_mel.n_mels,
        "NUM_FILTER_WEIGHTS": sum(len(weights) for _, weights in _filters(log_mel.filters_FM)),
        "CENTER": int(log_mel.center),
        "MAGNITUDE": int(log_mel.spectrum == "magnitude"),
        "PREEMPHASIS": _float(log_mel.preemphasis),
        "LOG_FLOOR": _float(log_mel.log_floor),
        "PCEN": int(pcen is not None),
        "RUNNING": int(running is not None),
        "NORMALIZED": int(model.front_end.normalization is not None),
        "SUBSAMPLING_FACTOR": model.encoder.subsampling.factor,
        "DELAY_STEPS": model.stream_geometry().delay_steps,
        "NUM_LABELS": len(vocabulary),
        "WORDS": int(vocabulary.unit == "word"),
    }
    if pcen is not None:
        for key in ("keep", "gain", "epsilon", "bias", "root"):
            defined[f"PCEN_{key.upper()}"] = _float(getattr(pcen, key))
    if running is not None:
        defined["RUNNING_KEEP"] = _float(running.keep)
    places = []
    for way, tensors in (("INPUT", signature.inputs), ("OUTPUT", signature.outputs)):
        places += [
            f"#define SPEECHGRU_{way}_{tensor.name.upper()} {place} /* {tensor.dtype} {list(tensor.shape)} */"
            for place, tensor in enumerate(tensors)
        ]
    lines = [f"#define SPEECHGRU_{name} {value}" for name, value in defined.items()]
    return "\n".join(
        [
            "/* What a model and its front end are; speechgru wrote it. */",
            "",
            "#ifndef SPEECHGRU_SETTINGS_H",
            "#define SPEECHGRU_SETTINGS_H",
            "",
            *lines,
            "",
            "/* The places of the model's inputs and outputs. */",
            *places,
            "",
            "#endif",
            "",
        ]
    )


def _tables(model: AcousticModel, vocabulary: Vocabulary) -> str:
    log_mel, normalization = model.front_end.log_mel, model.front_end.normalization
    before = (log_mel.n_fft - log_mel.frame_length) // 2
    angles_K = 2 * np.pi * np.arange(log_mel.n_fft // 2) / log_mel.n_fft
    filters = _filters(log_mel.filters_FM)
    floats = {
        "window": ("FRAME_LENGTH", log_mel.window_N[before : before + log_mel.frame_length]),
        "cosines": ("N_FFT / 2", np.cos(angles_K)),
        "sines": ("N_FFT / 2", np.sin(angles_K)),
        "filters": ("NUM_FILTER_WEIGHTS", np.concatenate([weights for _, weights in filters])),
        "mean": ("", [0.0] if normalization is None else normalization.mean_D.numpy()),
        "deviation": ("", [1.0] if normalization is None else normalization.deviation_D.numpy()),
    }
    counts = {"filter_first": [first for first, _ in filters], "filter_size": [len(weights) for _, weights in filters]}
    parts = ['/* The tables of a front end; speechgru wrote them. */\n\n#include "speechgru_front_end.h"\n']
    for name, (size, values) in floats.items():
        size = f"SPEECHGRU_{size}" if size else "SPEECHGRU_NORMALIZED ? SPEECHGRU_NUM_FEATURES : 1"
        numbers = [_float(value) for value in values]
        parts.append(f"const float speechgru_{name}[{size}] = {{\n{_lines(numbers, _FLOATS)}\n}};\n")
    for name, places in counts.items():
        rows = _lines([str(place) for place in places], _BYTES)
        parts.append(f"const uint16_t speechgru_{name}[SPEECHGRU_N_MELS] = {{\n{rows}\n}};\n")
    labels = ['""', *(_string(vocabulary.writes(label)) for label in range(1, len(vocabulary)))]
    rows = _lines(labels, _FLOATS)
    parts.append(f"const char *const speechgru_labels[SPEECHGRU_NUM_LABELS] = {{\n{rows}\n}};\n")
    return "\n".join(parts)


def _filters(filters_FM: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Each filter's first bin that is not 0, and its weights from there to the last."""
    found = []
    for weights_F in filters_FM.T:
        bins = np.flatnonzero(weights_F)
        found.append((int(bins[0]), weights_F[bins[0] : bins[-1] + 1]))
    return found


def _float(value: float) -> str:
    """A float32 as C writes it, to the last bit."""
    text = f"{np.float32(value):.9g}"
    return text + ("f" if any(mark in text for mark in ".e") else ".0f")


def _string(text: str) -> str:
    """A text as C writes it: bytes of UTF-8 that are not plain letters and digits as octal numbers, of three digits."""
    return (
        '"'
        + "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\{byte:03o}" for byte in text.encode())
        + '"'
    )


def _lines(values: Sequence[str], on_a_line: int) -> str:
    return ",\n".join("  " + ", ".join(values[start : start + on_a_line]) for start in range(0, len(values), on_a_line))
