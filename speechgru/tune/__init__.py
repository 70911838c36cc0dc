"""Sweeps: which hyperparameters recognise best, within what a device allows.

In Python: `tune(load_sweep("my_sweep.yaml"), "sweeps/mine")`.
"""

from __future__ import annotations

import importlib
from typing import Any

# A trial's process needs none of keras-tuner, which takes a second or two to load.
_LAZY = {
    "LoadedSweep": "speechgru.tune.sweep_file",
    "SweepResult": "speechgru.tune.chief",
    "join": "speechgru.tune.chief",
    "load_sweep": "speechgru.tune.sweep_file",
    "tune": "speechgru.tune.chief",
}

__all__ = list(_LAZY)


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
