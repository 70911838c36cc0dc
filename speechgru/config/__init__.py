"""The run configuration: `sections` says what it holds, `load` reads and writes it.

>>> from pathlib import Path
>>> written = Path("my.yaml").write_text("model: {units: 64}")
>>> config = load_config("my.yaml", ["train.max_steps=100", "augment.gain_db=0.0"])
>>> config.model.units, config.train.max_steps, config.augment.gain_db
(64, 100, 0.0)
>>> save_config("resolved.yaml", config)
>>> load_config("resolved.yaml") == config
True
>>> "features.n_mels" in known_keys()
True
>>> sections = [DataConfig, CheckConfig, TextConfig, FeaturesConfig, AugmentConfig, ModelConfig, TrainConfig]
>>> RunConfig() == RunConfig(**{made.__name__.removesuffix("Config").lower(): made() for made in sections})
True
"""

from speechgru.config.load import known_keys, load_config, save_config
from speechgru.config.sections import (
    AugmentConfig,
    CheckConfig,
    DataConfig,
    FeaturesConfig,
    ModelConfig,
    RunConfig,
    TextConfig,
    TrainConfig,
)

__all__ = [
    "AugmentConfig",
    "CheckConfig",
    "DataConfig",
    "FeaturesConfig",
    "ModelConfig",
    "RunConfig",
    "TextConfig",
    "TrainConfig",
    "known_keys",
    "load_config",
    "save_config",
]
