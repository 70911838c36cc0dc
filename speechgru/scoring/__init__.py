"""How well a run or a bundle recognises recordings.

A predictor that knows no better than "no", and one recording of it:

>>> import numpy as np, soundfile
>>> from speechgru.text import TextRules, Vocabulary
>>> from speechgru.utterances import Utterance, write_manifest
>>> soundfile.write("a.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 8000)
>>> manifest = write_manifest("test.jsonl", [Utterance("a.wav", 1.0, "Oh no")])
>>> class No:
...     def log_probs(self, samples_N):
...         return np.log([[0.1, 0.8, 0.05, 0.05], [0.8, 0.1, 0.05, 0.05], [0.1, 0.1, 0.7, 0.1]])
...     def batch_log_probs(self, samples_BN, num_samples_B):
...         return np.stack([self.log_probs(samples_N) for samples_N in samples_BN]), np.full(len(samples_BN), 3)
>>> recordings = ScoringSet(manifest, sample_rate=8000, text=TextRules())
>>> decoded = decode_recordings(No(), recordings, vocabulary=Vocabulary("no "), step_seconds=0.04)
>>> isinstance(decoded, Decoded), decoded.hypotheses[0].text
(True, 'no')
>>> rates = error_rates(decoded)
>>> rates["wer"], rates["cer"]
(0.5, 0.6)
>>> score(decoded, name="a recording")["wer"]
0.5
"""

from speechgru.scoring.evaluation import error_rates, evaluate, score
from speechgru.scoring.predictions import Decoded, decode_recordings, load_run, transcribe_recordings
from speechgru.scoring.recordings import ScoringSet
from speechgru.scoring.trained_run import TrainedRun, open_run

__all__ = [
    "Decoded",
    "ScoringSet",
    "TrainedRun",
    "decode_recordings",
    "error_rates",
    "evaluate",
    "load_run",
    "open_run",
    "score",
    "transcribe_recordings",
]
