"""How well a run or a bundle recognises recordings."""

from speechgru.scoring.evaluation import error_rates, evaluate, score
from speechgru.scoring.predictions import Decoded, decode_examples, load_run, read_for_scoring

__all__ = [
    "Decoded",
    "decode_examples",
    "error_rates",
    "evaluate",
    "load_run",
    "read_for_scoring",
    "score",
]
