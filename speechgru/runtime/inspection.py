"""What a bundle is, without running it: its metadata, and what its models hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speechgru.grammar import Grammar
from speechgru.runtime import model_file, read_bundle
from speechgru.runtime.tflite import describe, require_intact

#: Of the front end's settings the corpus's mean and deviation, a number a feature, are left out.
_STATISTICS = ("mean", "deviation")


def inspect(bundle: str | Path) -> dict[str, Any]:
    """Looks into a bundle: reads and checks every file that a recogniser would use, and computes nothing.

    Args:
        bundle: the folder that `speechgru export` wrote, or one `.tflite` file of it.

    Returns:
        A JSON-ready record. Of the bundle: `bundle` (the path), `bundle_version`, `speechgru_version`, `provenance`
        (when, from which commit, with which versions), `sample_rate` in Hz, `step_seconds`, `subsampling_factor`,
        `features` (the front end), `unit`, `vocabulary_size` (labels without the blank), `text` (the rules),
        `language`, `grammar` (`Grammar.summary`), `language_model` (`kind`, `file`, `size_bytes`, `sha256`,
        `description`, `weights`), `model`, `direction`, `streams`, `latency_seconds` (`least` and `greatest`; None
        where it does not stream), `parameters`, `dev` (scores), `rejection` (the threshold and what it was chosen on),
        `parity` (how the forms compare), `default_form`, `saved_model` (its signatures). None or empty where the bundle
        has none, or its version did not record it. And `models`: for each form `form`, `file`, `is_default`,
        `has_checksum` (whether damage would be noticed), `foreign_operators` and the fields of
        `tflite.TFLiteFacts`.

    Raises:
        BundleError: the bundle or one of its models is missing, damaged, or of a newer version.
    """
    metadata = read_bundle(bundle)
    features = metadata.get("features") or {}
    model = metadata.get("model") or {}
    models = []
    for form, stored in metadata["models"].items():
        file = model_file(bundle, metadata, form)
        facts = describe(file)
        models.append(
            {
                "form": form,
                "file": stored["file"],
                "is_default": form == metadata["default_form"],
                "has_checksum": stored.get("sha256") is not None or require_intact(file),
                "foreign_operators": facts.foreign_operators,
                **facts.as_record(),
            }
        )
    return {
        "bundle": str(bundle),
        **{name: metadata.get(name) for name in ("bundle_version", "speechgru_version", "provenance")},
        **{name: metadata.get(name) for name in ("sample_rate", "step_seconds", "subsampling_factor")},
        "features": {name: value for name, value in features.items() if name not in _STATISTICS},
        "unit": metadata["unit"],
        "vocabulary_size": len(metadata["entries"]),
        "text": metadata["text"],
        "language": metadata["language"],
        "grammar": _grammar(metadata),
        "language_model": metadata["language_model"],
        "model": model,
        "direction": model.get("direction"),
        "streams": metadata["stream"] is not None,
        "latency_seconds": metadata.get("latency_seconds"),
        **{name: metadata.get(name) for name in ("parameters", "dev", "rejection", "parity", "default_form")},
        "saved_model": metadata.get("saved_model") or [],
        "models": models,
    }


def _grammar(metadata: dict[str, Any]) -> dict[str, Any] | None:
    if metadata["grammar"] is None:
        return None
    return Grammar.from_record(metadata["grammar"]).summary()
