"""Golden vectors: what goes in and what must come out at each stage, so that a port to another language tests itself.

`golden/golden.json` lists cases, each with its numbers as files of raw little-endian float32 (`golden/CASE.samples.f32`
and so on) and their shapes. A port agrees when each stage is within `tolerance` of them and its texts are the same. A
form's own tolerance stands under the name of its stage, such as `log_probs.dynamic`; bundles of before November 2026
have `log_probs` alone, which is for all forms and too narrow for those of 8 bits.

Why they differ: kernels that sum in another order change a float by some 1e-6 of it. Where activations are rounded to 8
bits, one such change can move one of them by a whole unit, and every later step with it. So a form's tolerance is
measured: what changing the samples by `CHANGE` of their size does to its log-probabilities, twice, and no less than
`LEAST`. Of the quickstart's bundle that gives 0.001 for float32 and 0.17 for `dynamic`. The kernels of LiteRT 1.4 to
2.3, with and without XNNPACK, its reference kernels, a browser's and those of aarch64 are within 3e-5 and 0.051.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.decoding import Predictor, greedy_decode
from speechgru.files import write_json
from speechgru.text import Vocabulary

#: Seconds of the made-up sound, and of the longest recording that is taken along.
_SOUND_SECONDS, _LONGEST_SECONDS = 1.0, 4.0
#: What other kernels and orders of summing may change in a log-mel value; in a log-probability of a form that
#: has no tolerance of its own.
TOLERANCE = {"log_mel": 1e-3, "features": 1e-3, "log_probs": 1e-2}
#: How much samples are changed, relatively, to measure a form's tolerance, and how often a case is.
CHANGE, _DRAWS = 1e-5, 8
#: No form's tolerance is less: of those that keep activations as floats, and of those that round them to 8 bits, where
#: a unit may move in one run of many.
LEAST, _LEAST_8_BIT = 1e-3, 1e-2
_FORMS_8_BIT = ("dynamic", "int8", "micro-int8")


def made_up_sound(sample_rate: int) -> np.ndarray:
    """A second of rising tones and noise, `samples_N`: the same everywhere, and nobody's voice."""
    time_N = np.arange(round(_SOUND_SECONDS * sample_rate)) / sample_rate
    rng = np.random.default_rng(0)
    tones_N = sum(
        np.sin(2 * np.pi * (f * time_N + 0.5 * f * time_N**2)) / (k + 1) for k, f in enumerate((180, 410, 900))
    )
    loudness_N = 0.5 - 0.5 * np.cos(2 * np.pi * 3 * time_N)
    samples_N = 0.2 * loudness_N * tones_N + 0.01 * rng.standard_normal(len(time_N))
    return samples_N.astype(np.float32)


def write_golden(
    folder: Path,
    *,
    sample_rate: int,
    recording: np.ndarray | None,
    front_end: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    forms: Mapping[str, Predictor],
    vocabulary: Vocabulary,
    step_seconds: float,
) -> list[dict[str, Any]]:
    """Writes the vectors of a bundle.

    Args:
        folder: of the vectors; made.
        sample_rate: Hz.
        recording: `samples_N` of a real recording; where it is None, the made-up sound is the only case.
        front_end: `samples_N` -> its stages by name, `log_mel` and `features`.
        forms: the models by their form's name.
        vocabulary: the labels.
        step_seconds: seconds from one step to the next.

    Returns:
        The cases, as `golden.json` lists them.
    """
    folder.mkdir()
    sounds = {"sound": made_up_sound(sample_rate)}
    if recording is not None:
        sounds["speech"] = recording[: round(_LONGEST_SECONDS * sample_rate)]
    cases = []
    tolerance = dict(TOLERANCE)
    for name, samples_N in sounds.items():
        arrays = {"samples": samples_N, **front_end(samples_N)}
        texts = {}
        for form, predictor in forms.items():
            arrays[f"log_probs.{form}"] = predictor.log_probs(samples_N)
            hypothesis = greedy_decode(arrays[f"log_probs.{form}"], vocabulary=vocabulary, step_seconds=step_seconds)
            texts[form] = hypothesis.text
            stage = f"log_probs.{form}"
            tolerance[stage] = max(tolerance.get(stage, 0.0), tolerance_of(form, predictor, samples_N))
        files = {}
        for stage, values in arrays.items():
            file = f"{name}.{stage}.f32"
            (folder / file).write_bytes(np.ascontiguousarray(values, "<f4").tobytes())
            files[stage] = {"file": file, "shape": list(values.shape)}
        cases.append({"name": name, "sample_rate": sample_rate, "arrays": files, "texts": texts})
    write_json(folder / "golden.json", {"tolerance": tolerance, "cases": cases})
    return cases


def tolerance_of(form: str, predictor: Predictor, samples_N: np.ndarray) -> float:
    """How far another runtime's log-probabilities of some samples may be from a form's.

    Args:
        form: its name.
        predictor: runs it.
        samples_N: the samples.

    Returns:
        Twice what changing the samples by `CHANGE` of their size does at most, in two digits, and no less than `LEAST`.
    """
    rng = np.random.default_rng(0)
    log_probs_SV, greatest = predictor.log_probs(samples_N), 0.0
    for _ in range(_DRAWS):
        changed_N = (samples_N * (1 + CHANGE * rng.standard_normal(len(samples_N)))).astype(np.float32)
        greatest = max(greatest, float(np.abs(predictor.log_probs(changed_N) - log_probs_SV).max(initial=0.0)))
    least = _LEAST_8_BIT if form in _FORMS_8_BIT else LEAST
    return float(f"{max(least, 2 * greatest):.2g}")


def shortest_recording(recordings: Sequence[np.ndarray], references: Sequence[str]) -> np.ndarray | None:
    """The shortest of the recordings in which something is said."""
    spoken = [samples_N for samples_N, reference in zip(recordings, references, strict=True) if reference]
    return min(spoken, key=len, default=None)
