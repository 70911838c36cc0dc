"""Whether shards fit a configuration: what of it their records depend on, and what may differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from speechgru.augment import STAGES, FeatureStage
from speechgru.config.differences import find_differences
from speechgru.config.sections import RunConfig, TextConfig
from speechgru.errors import ConfigError
from speechgru.shards.reader import Shards
from speechgru.text import Vocabulary
from speechgru.utterances.examination import make_vocabulary

#: What changes the samples at random, anew in each epoch: features that were made before cannot follow.
_CHANGES_SAMPLES = (
    *(f"augment.{stage.switch}" for stage in STAGES if not issubclass(stage, FeatureStage)),
    "features.dither",
)

#: Keys of `text` that are compared by the vocabulary that they make, or that change no label.
_NOT_IN_LABELS = {"characters", "words", "subwords", "subword_method", "subword_model", "language"}

#: Keys of `features` that act in training, on samples or on log-mel, and not in making log-mel.
_NOT_IN_LOG_MEL = {
    *("deltas", "dither", "normalization", "running_seconds", "compression"),
    *("pcen_seconds", "pcen_gain", "pcen_bias", "pcen_root"),
}


def require_fit(shards: Shards, config: RunConfig) -> None:
    """Refuses shards that a configuration would not have made: another rate, other text rules, another front end.

    Raises:
        ConfigError: names every key that differs.
    """
    stored, given = complete_settings(shards.summary), settings_of(config)
    sections = ["data.sample_rate", *(f"text.{key}" for key in given["text"] if key not in _NOT_IN_LABELS)]
    if shards.form == "features":
        sections += [f"features.{key}" for key in given["features"] if key not in _NOT_IN_LOG_MEL]
    there, here = ({key: _at(values, key) for key in sections} for values in (stored, given))
    unit = config.text.unit
    if unit == shards.vocabulary.unit == "subword":
        for values, keys in zip((there, here), _subword_keys(shards.vocabulary, config), strict=True):
            values.update(keys)
    elif unit == shards.vocabulary.unit and given["text"][f"{unit}s"] != "auto":
        for vocabulary, values in ((shards.vocabulary, there), (make_vocabulary(config, ()), here)):
            values[f"text.{unit}s"] = list(vocabulary.words) if unit == "word" else "".join(vocabulary.entries)
            if unit == "word" and config.text.characters != "auto":  # else those of the packed transcripts
                values["text.characters"] = vocabulary.letters
    changed = [difference.describe(there="in the shards") for difference in find_differences(there, here)]
    if changed:
        raise ConfigError(
            f"{shards.folder}: was packed with another configuration: {'; '.join(changed)}; give the same values, "
            "or pack the manifests again"
        )
    if shards.form == "features":
        refuse_changed_samples(config, where=f"{shards.folder}: ")


def _subword_keys(vocabulary: Vocabulary, config: RunConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is compared of packed subwords and of those that a configuration asks for.

    They are the pieces where it names a model; else how many there are, and how they were found.
    """
    if config.text.subword_model is not None:
        packed, asked = (" ".join(each.entries) for each in (vocabulary, make_vocabulary(config, ())))
        return {"text.subword_model": packed}, {"text.subword_model": asked}
    assert vocabulary.subwords is not None
    return (
        {"text.subwords": len(vocabulary.entries), "text.subword_method": vocabulary.subwords.method},
        {"text.subwords": config.text.subwords, "text.subword_method": config.text.subword_method},
    )


def refuse_changed_samples(config: RunConfig, *, where: str = "") -> None:
    """Refuses augmentation of samples where only their features are there.

    Raises:
        ConfigError: names every key that is on.
    """
    sections = config.model_dump()
    on = [key for key in _CHANGES_SAMPLES if _at(sections, key)]
    if on:
        shown = ", ".join(f"{key} ({_at(sections, key):g})" for key in on)
        raise ConfigError(
            f"{where}features that are computed beforehand cannot be augmented as samples, but these are on: {shown}; "
            f"set them to 0 ({' '.join(f'{key}=0' for key in on)}), or pack samples (--form samples)"
        )


def settings_of(config: RunConfig) -> dict[str, Any]:
    """What of a configuration decides which utterances are packed and as what, as JSON gives it back."""
    sections = config.model_dump(mode="json")
    kept = {
        "data": {key: sections["data"][key] for key in ("sample_rate", "min_duration_seconds", "max_duration_seconds")},
        "check": sections["check"],
        "text": sections["text"],
        "features": sections["features"],
        "augment": {"speed_share": sections["augment"]["speed_share"]},  # the fastest copy must have steps enough
        "model": {"subsampling_factor": sections["model"]["subsampling_factor"]},
    }
    return json.loads(json.dumps(kept))


def complete_settings(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a folder of shards names, also the text rules that had no key yet when it was packed."""
    settings = dict(summary.get("settings", {}))
    if "text" in settings:
        settings["text"] = TextConfig.stored(settings["text"]).model_dump(mode="json")
    return settings


def _at(sections: dict[str, Any], key: str) -> Any:
    section, name = key.split(".")
    return sections.get(section, {}).get(name)
