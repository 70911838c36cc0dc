"""Sweeps: which hyperparameters recognise best, within what a device allows.

In Python: `tune(load_sweep("my_sweep.yaml"), "sweeps/mine")`.
"""

from __future__ import annotations

from speechgru.lazy import lazy_names

# A trial's process needs none of keras-tuner, which takes a second or two to load.
_LAZY = {
    "LoadedSweep": "speechgru.tune.sweep_file",
    "SweepResult": "speechgru.tune.chief",
    "join": "speechgru.tune.chief",
    "load_sweep": "speechgru.tune.sweep_file",
    "tune": "speechgru.tune.chief",
}

__all__ = list(_LAZY)

__getattr__ = lazy_names(__name__, _LAZY)
