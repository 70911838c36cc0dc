"""How well a run or a bundle recognises recordings."""

from speechgru.scoring.evaluation import error_rates, evaluate, score
from speechgru.scoring.predictions import Decoded, decode_recordings, load_run, transcribe_recordings
from speechgru.scoring.recordings import ScoringSet

__all__ = [
    "Decoded",
    "ScoringSet",
    "decode_recordings",
    "error_rates",
    "evaluate",
    "load_run",
    "score",
    "transcribe_recordings",
]
