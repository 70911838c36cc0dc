"""Small speech recognisers: train on your own recordings, search under a device's limits, ship one file.

Importing `speechgru` loads no TensorFlow. The names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

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

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
