"""What a person may choose of an adaptation, and the configuration that follows from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.errors import ConfigError, UserError
from speechgru.scoring.trained_run import TrainedRun
from speechgru.shards.folder import read_summary
from speechgru.shards.records import SUMMARY_NAME
from speechgru.utterances.manifest import read_manifest

#: Lengths that cross-validation compares, beside none: each half of the next.
_NUM_LENGTHS = 5
#: Steps over which the learning rate rises, at most.
_WARMUP_STEPS = 10
#: How much faster or slower a person becomes in training, at most: nobody says a word twice at one pace.
_MOST_SPEED_SHARE = 0.05
#: Keys that an adaptation sets by itself, with what to give in their place.
_OWN_KEYS = {
    "data.train": "give --replay",
    "data.train_weights": "give --share",
    "data.dev": "give --general",
    "data.grammar": "the grammar stays that of the run",
    "text.": "the vocabulary and its rules stay those of the run",
    "model.": "the model stays that of the run",
    "features.": "the front end stays that of the run",
    "train.start_from": "it is the run that is adapted",
    "train.max_steps": "give --steps; cross-validation chooses among them",
    "train.max_epochs": "give --steps",
    "train.max_minutes": "give --steps",
    "train.patience": "cross-validation chooses the length",
    "train.schedule": "lengths can be compared within one training because the learning rate is constant",
    "train.evaluate_every_steps": "the general set is scored once, at the end",
}


@dataclass(frozen=True)
class AdaptOptions:
    """How to adapt.

    Args:
        folds: parts of the recordings; each is held out once.
        steps: the longest training that is tried. Its half, quarter, eighth and sixteenth are tried too, and none.
        share: the share of a batch that are recordings of the person, a fraction; the rest is the first corpus.
        join: words of the longest string that recordings of single words are joined into; 0 joins none. A person who
            records single words and says strings of them is learnt, and measured, as they speak.
        max_forgetting: how much higher the WER on the general set may become, absolute, a fraction.
        general: the manifest of the general set; the run's dev manifest when None.
        replay: manifests or shards to mix in; those that the run was trained on when empty.
        overrides: `section.key=value` of the configuration, such as `train.learning_rate=5e-4`.

    Raises:
        UserError: a number is out of its range.
    """

    folds: int = 4
    steps: int = 320
    share: float = 0.5
    join: int = 0
    max_forgetting: float = 0.01
    general: Path | None = None
    replay: Sequence[Path] = ()
    overrides: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise UserError(f"cross-validation needs 2 folds or more, got {self.folds}")
        if self.steps < 1:
            raise UserError(f"the longest training needs 1 step or more, got {self.steps}")
        if not 0 < self.share < 1:
            raise UserError(
                f"the share of the person's recordings in a batch lies between 0 and 100 %, got {100 * self.share:g} %"
            )
        if self.join < 0 or self.join == 1:
            raise UserError(f"strings have 2 words or more, and 0 joins none, got {self.join}")
        if not 0 <= self.max_forgetting <= 1:
            raise UserError(
                "the general WER may rise by 0 to 100 percentage points, and what is allowed is "
                f"{100 * self.max_forgetting:g}"
            )

    @property
    def lengths(self) -> tuple[int, ...]:
        """The numbers of steps that are compared, none first.

        >>> AdaptOptions(steps=160).lengths, AdaptOptions(steps=4).lengths
        ((0, 10, 20, 40, 80, 160), (0, 1, 2, 4))
        """
        halves = {max(1, round(self.steps / 2**k)) for k in range(_NUM_LENGTHS)}
        return (0, *sorted(halves))


def configure(trained: TrainedRun, manifest: Path, options: AdaptOptions) -> RunConfig:
    """The configuration of the longest training that is tried.

    The learning rate is constant and low, and the running average of the weights counts, so that the weights after
    N steps of a long training are those of a training of N steps.

    Args:
        trained: the run that is adapted.
        manifest: the person's usable recordings.
        options: the rest.

    Raises:
        ConfigError: an override is wrong, or sets what adaptation sets by itself; or there is no general set.
        UserError: a manifest cannot be read.
    """
    config = trained.config
    for override in options.overrides:
        for key, advice in _OWN_KEYS.items():
            if override.split("=")[0].strip() == key or (key.endswith(".") and override.strip().startswith(key)):
                raise ConfigError(f"override {override!r}: an adaptation sets this by itself; {advice}")
    general = options.general or config.data.dev
    if general is None:
        raise ConfigError(
            f"{trained.folder.path}: has no dev manifest, so nothing would show what the adapted run forgets; name a "
            "manifest of other people with --general"
        )
    first, weights = _first_corpus(config, options)
    own: dict[str, Any] = {
        "data.train": [*first, str(manifest)],
        "data.train_weights": [*((1 - options.share) * weight for weight in weights), options.share],
        "data.dev": str(general),
        # The run's own copy: the file that it was trained with may be gone.
        "data.grammar": str(trained.folder.grammar) if trained.folder.grammar.is_file() else None,
        **_labels_of(trained),
        "augment.ramp_epochs": 0.0,
        # What makes other people of one would make the person another.
        "augment.prosody_probability": 0.0,
        "augment.voice_probability": 0.0,
        "augment.frequency_warp_share": 0.0,
        "augment.speed_share": min(config.augment.speed_share, _MOST_SPEED_SHARE),
        "train.start_from": str(trained.folder.path),
        "train.precision": "float32",
        "train.freeze": [],
        "train.sorted_first_epoch": False,
        "train.max_steps": options.steps,
        "train.max_epochs": None,
        "train.max_minutes": None,
        "train.patience": None,
        "train.optimizer": "adamw",
        "train.learning_rate": 1e-3,
        "train.schedule": "constant",
        "train.warmup_steps": min(_WARMUP_STEPS, options.lengths[1] - 1),
        "train.ema": 0.99,  # it grows with the steps, to a window of a tenth of them
        "train.evaluate_every_steps": options.steps,
        "train.checkpoint_every_steps": 50,
    }
    overrides = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in own.items()]
    return load_config(trained.folder.config, [*overrides, *options.overrides], stored=True)


def _labels_of(trained: TrainedRun) -> dict[str, Any]:
    """The keys that name the run's labels: the person's texts must not change the vocabulary."""
    vocabulary = trained.vocabulary
    if vocabulary.unit == "subword":
        return {"text.subword_model": str(trained.folder.vocabulary)}
    if vocabulary.unit == "word":
        return {"text.words": list(vocabulary.words), "text.characters": vocabulary.letters}
    return {"text.characters": "".join(vocabulary.entries)}


def with_length(config: RunConfig, steps: int) -> RunConfig:
    """The configuration of a training of `steps` steps, at whose end alone the general set is scored."""
    return config.model_copy(
        update={"train": config.train.model_copy(update={"max_steps": steps, "evaluate_every_steps": steps})}
    )


def _first_corpus(config: RunConfig, options: AdaptOptions) -> tuple[list[str], list[float]]:
    """What is mixed in, and the share of each of it."""
    replay = [str(path) for path in options.replay]
    first = replay or list(config.data.train)
    weights: list[float] = [] if replay else list(config.data.train_weights)
    for path in first:
        if not Path(path).exists():
            raise UserError(
                f"{path}: no such manifest or folder of shards to mix in"
                if replay
                else f"{path}: the run was trained on it, and it is gone, so it cannot be mixed in; name another "
                "corpus with --replay"
            )
    weights = weights or [float(_num_utterances(path)) for path in first]
    return first, [weight / sum(weights) for weight in weights]


def _num_utterances(path: str) -> int:
    if (Path(path) / SUMMARY_NAME).is_file():
        return int(read_summary(Path(path))["num_records"])
    return len(read_manifest(path))
