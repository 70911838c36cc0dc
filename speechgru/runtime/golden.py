"""Whether a bundle gives on this machine what it gave where it was exported: its golden vectors, run again."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.decoding import greedy_decode
from speechgru.errors import BundleError
from speechgru.files import read_file, read_text
from speechgru.runtime.bundle import read_bundle
from speechgru.runtime.recognizer import Recognizer

#: Seconds of the pieces that a stream gets, such as a sound card gives.
_PIECE_SECONDS = 0.037


@dataclass(frozen=True)
class GoldenResult:
    """One case of one form.

    Args:
        case: `sound`, a made-up one, or `speech`, a recording.
        form: the form, such as `dynamic`.
        is_stream: whether the model got the samples piece by piece.
        difference: the greatest of a log-probability from the golden ones; infinite where their number differs.
        tolerance: the greatest that is right.
        text: what greedy decoding makes of it.
        expected_text: what it made of it where the bundle was exported.
    """

    case: str
    form: str
    is_stream: bool
    difference: float
    tolerance: float
    text: str
    expected_text: str

    @property
    def passed(self) -> bool:
        """Whether the numbers are near enough and the text is the same."""
        return self.difference <= self.tolerance and self.text == self.expected_text


def check_golden(bundle: str | os.PathLike[str]) -> list[GoldenResult]:
    """Runs the golden vectors of every form of a bundle, whole and, where it streams, as a stream.

    Args:
        bundle: the folder that `speechgru export` wrote, or one `.tflite` file beside its folder `golden`.

    Returns:
        The results; of forms that only other bundles' files have, none.

    Raises:
        BundleError: the bundle or its golden vectors are missing or damaged, or it has no form for LiteRT.
    """
    bundle = Path(bundle)
    forms = list(read_bundle(bundle)["models"])
    if not forms:
        raise BundleError(f"{bundle}: has no form for LiteRT, so that nothing can be checked here")
    folder = (bundle if bundle.is_dir() else bundle.parent) / "golden"
    results = []
    try:
        golden = json.loads(read_text(folder / "golden.json"))
        for form in forms:
            recognizer = Recognizer(bundle, form=form)
            for case in golden["cases"]:
                results += _check_case(recognizer, folder, case, golden["tolerance"])
    except FileNotFoundError as error:
        raise BundleError(f"{error.filename}: is missing; copy the bundle with its folder golden") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"{folder / 'golden.json'}: is damaged ({reason}); export the bundle again") from error
    return results


def _check_case(
    recognizer: Recognizer, folder: Path, case: dict[str, Any], tolerances: dict[str, float]
) -> list[GoldenResult]:
    stage = f"log_probs.{recognizer.form}"
    samples_N, expected_SV = (_read(folder, case["arrays"][name]) for name in ("samples", stage))
    found = {False: recognizer.log_probs(samples_N)}
    if recognizer.streams:
        piece = max(1, round(_PIECE_SECONDS * recognizer.sample_rate))
        found[True] = recognizer.stream_log_probs(samples_N, piece=piece)
    results = []
    for is_stream, log_probs_SV in found.items():
        is_same_shape = log_probs_SV.shape == expected_SV.shape
        difference = float(np.abs(log_probs_SV - expected_SV).max(initial=0.0)) if is_same_shape else float("inf")
        text = greedy_decode(
            log_probs_SV, vocabulary=recognizer.vocabulary, step_seconds=recognizer.metadata["step_seconds"]
        ).text
        results.append(
            GoldenResult(
                case["name"],
                recognizer.form,
                is_stream,
                difference,
                # Bundles of before November 2026 have one tolerance for all forms.
                tolerances.get(stage, tolerances["log_probs"]),
                text,
                case["texts"][recognizer.form],
            )
        )
    return results


def _read(folder: Path, record: dict[str, Any]) -> np.ndarray:
    file = record["file"]
    if any(mark in file for mark in "/\\\0"):
        raise ValueError(f"{file!r:.80} is no name of a file in the bundle")
    return np.frombuffer(read_file(folder / file), "<f4").reshape(record["shape"])
