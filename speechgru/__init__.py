"""Small speech recognisers: train on your own recordings, search under a device's limits, ship one file.

Importing `speechgru` loads no TensorFlow. The names and packages below are loaded when they are first used:

>>> import speechgru
>>> config = speechgru.load_config("my.yaml")  # doctest: +SKIP
>>> result = speechgru.train.train(config, "runs/first")  # doctest: +SKIP
>>> speechgru.Vocabulary("ab").encode("abba")
[1, 2, 2, 1]
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from speechgru.lazy import lazy_names

if TYPE_CHECKING:  # for checkers of types and editors; at run time `__getattr__` loads each when it is first used
    from speechgru import (
        adapt,
        config,
        corpora,
        dataset,
        decoding,
        export,
        grammar,
        listen,
        metrics,
        recording,
        runtime,
        scoring,
        shards,
        train,
        tune,
        utterances,
        voices,
    )
    from speechgru.config import RunConfig, load_config
    from speechgru.errors import UserError
    from speechgru.features import LogMel
    from speechgru.gru import GRU, BiGRU, GRUCell
    from speechgru.runtime import Recognizer
    from speechgru.text import Vocabulary
    from speechgru.utterances.manifest import Utterance, read_manifest, write_manifest

__version__ = "0.2.0"

# TensorFlow reads it when it is imported, and otherwise begins with eight lines that mean nothing to a user.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

#: The packages of the verbs and what they work on, so that `speechgru.train.train` needs no import of its own.
_PACKAGES = (
    "adapt",
    "config",
    "corpora",
    "dataset",
    "decoding",
    "export",
    "grammar",
    "listen",
    "metrics",
    "recording",
    "runtime",
    "scoring",
    "shards",
    "train",
    "tune",
    "utterances",
    "voices",
)

#: public name -> the module that holds it
_LAZY = {
    "Recognizer": "speechgru.runtime",
    "RunConfig": "speechgru.config",
    "load_config": "speechgru.config",
    "Utterance": "speechgru.utterances.manifest",
    "read_manifest": "speechgru.utterances.manifest",
    "write_manifest": "speechgru.utterances.manifest",
    "Vocabulary": "speechgru.text",
    "LogMel": "speechgru.features",
    "GRU": "speechgru.gru",
    "BiGRU": "speechgru.gru",
    "GRUCell": "speechgru.gru",
    "UserError": "speechgru.errors",
}

_lazy = lazy_names(__name__, _LAZY)

__all__ = [  # written out: checkers of types read it without running it
    "GRU",
    "BiGRU",
    "GRUCell",
    "LogMel",
    "Recognizer",
    "RunConfig",
    "UserError",
    "Utterance",
    "Vocabulary",
    "__version__",
    "adapt",
    "config",
    "corpora",
    "dataset",
    "decoding",
    "export",
    "grammar",
    "listen",
    "load_config",
    "metrics",
    "read_manifest",
    "recording",
    "runtime",
    "scoring",
    "shards",
    "train",
    "tune",
    "utterances",
    "voices",
    "write_manifest",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    return _lazy(name)


def __dir__() -> list[str]:
    return sorted(__all__)
