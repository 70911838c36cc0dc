"""The run configuration: `sections` says what it holds, `load` reads and writes it."""

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
