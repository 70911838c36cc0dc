"""What the size of a corpus chooses, where nobody does: batch, length, evaluations and the model of a small one.

The defaults are for hours of speech. Thirty recordings in batches of 32 are one step a pass: the first dev score comes
after 250 passes over them, and a model of their size is known by heart long before.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechgru.config.base_model import BASE
from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.runs import RunFolder
from speechgru.visible import counted

#: Keys that describe the model: a run that starts from another one needs that one's.
_MODEL = ("model.units", "model.subsampling_channels", "model.num_layers")
#: What is chosen below so many utterances, the fewest first; the defaults are for more.
_SIZES: tuple[tuple[int, dict[str, Any]], ...] = (
    (
        100,
        {
            "train.batch_size": 8,
            "train.max_steps": 1000,
            "train.warmup_steps": 50,
            "train.evaluate_every_steps": 50,
            "model.units": 64,
            "model.subsampling_channels": 64,
        },
    ),
    (300, {"train.batch_size": 16, "train.evaluate_every_steps": 100}),
)
#: Every key that a size may choose.
SIZED_KEYS = frozenset({*_MODEL, *(key for _, chosen in _SIZES for key in chosen)})


def choose_by_size(config: RunConfig, num_utterances: int) -> dict[str, Any]:
    """The keys of a new run that the size of its corpus chooses, with their values.

    Args:
        config: the run's configuration; a key that it sets is its own.
        num_utterances: what it is trained on.

    Returns:
        By dotted key the values that are not the defaults; none of a corpus of some size.

    >>> choose_by_size(RunConfig.model_validate({"train": {"max_steps": 400}}), 24)["train.batch_size"]
    8
    >>> choose_by_size(RunConfig(), 10_000)
    {}
    """
    settings = config.train
    chosen = dict(next((values for most, values in _SIZES if num_utterances < most), {}))
    if settings.start_from is not None:
        chosen = {key: value for key, value in chosen.items() if key not in _MODEL} | model_of_start(
            settings.start_from
        )
    if "train.batch_size" in chosen:
        chosen["train.batch_size"] = max(chosen["train.batch_size"], settings.accumulate)
    instead = {"train.batch_size": settings.batch_frames, "train.max_steps": settings.max_epochs}
    return {key: value for key, value in chosen.items() if not is_set(config, key) and instead.get(key) is None}


def model_of_start(start: str) -> dict[str, Any]:
    """The size of the model that a run starts from; `base` has given its own when the configuration was read."""
    folder = RunFolder(Path(start))
    if start == BASE or not folder.config.is_file():
        return {}
    model = load_config(folder.config, stored=True).model
    return {key: getattr(model, key.split(".")[1]) for key in _MODEL}


def describe_choice(chosen: Mapping[str, Any], num_utterances: int) -> str:
    """One sentence on what was chosen, which can be copied into a configuration.

    >>> describe_choice({"train.batch_size": 8, "model.units": 64}, 24)
    'chosen for 24 utterances, where the configuration is silent: train.batch_size=8 model.units=64'
    """
    values = " ".join(f"{key}={value}" for key, value in chosen.items())
    return f"chosen for {counted(num_utterances, 'utterance')}, where the configuration is silent: {values}"


def is_set(config: RunConfig, key: str) -> bool:
    """Whether somebody gave a key its value, be it the default.

    >>> is_set(RunConfig.model_validate({"train": {"batch_size": 32}}), "train.batch_size")
    True
    """
    section, name = key.split(".")
    return name in getattr(config, section).model_fields_set
