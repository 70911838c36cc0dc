"""Adaptation: a run learns a person's voice from a few recordings, and is kept only where it is better.

>>> AdaptOptions(folds=3, steps=80).lengths
(0, 5, 10, 20, 40, 80)
"""

from speechgru.adapt.options import AdaptOptions
from speechgru.adapt.run import Adaptation, adapt

__all__ = ["AdaptOptions", "Adaptation", "adapt"]
