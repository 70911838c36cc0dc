"""From frame-wise log-probabilities to text, with the time and the confidence of every word.

NumPy and plain Python only: the same code scores a training run and runs beside the model on a device. `greedy_decode`
takes the best path; `beam_decode` searches the best texts, with hotwords, a phrase list or any other scorer; `align`
finds when each label of a known text was said. `decode` does what `DecodingOptions` say: it is what the recogniser and
the verbs call. `DecoderStream` does the same while somebody speaks, and an `EndpointRule` decides when they have
stopped. Whatever search found the labels, `Hypothesis` is what it gives back. A `KeywordSpotter` listens without an end
for a few keywords among anything else.

Time. Step s stands for the span [s * step_seconds, (s + 1) * step_seconds) of the recording. A label is on from its
first step to the end of the last step of its run; CTC models put labels as short spikes, usually late in the sound, so
a label's run is shorter than the sound that it stands for.

>>> import numpy as np
>>> from speechgru.text import Vocabulary
>>> vocabulary = Vocabulary("no ")
>>> log_probs_SV = np.log([[0.1, 0.8, 0.05, 0.05], [0.8, 0.1, 0.05, 0.05], [0.1, 0.1, 0.7, 0.1]])
>>> best = decode(log_probs_SV, vocabulary=vocabulary, step_seconds=0.04, options=DecodingOptions())[0]
>>> isinstance(best, Hypothesis), best.text, isinstance(best.words[0], Word)
(True, 'no', True)
>>> collapse([1, 1, 0, 2])
(1, 2)
>>> options_from_lists(hotwords=["no=2"]).description
'beam of 16, 1 hotword'
>>> DecodingOptions(beam_width=4, pruning=Pruning(beam_log_prob=-10.0)).description
'beam of 4, pruned'
>>> scorer = Hotwords({"NO": 2.0}).prepared(Spelling(str.lower, vocabulary, {}))
>>> isinstance(scorer, Scorer), dict(scorer)
(True, {'no': 2.0})
>>> LanguageScorer(None, LanguageWeights(weight=0.8)).description
"the recogniser's own language model"
>>> class Uniform:  # samples -> log-probabilities, as every `Predictor`; a step for each ten samples
...     def log_probs(self, samples_N):
...         return np.full([len(samples_N) // 10, 4], np.log(0.25))
...     def batch_log_probs(self, samples_BN, num_samples_B):
...         return np.stack([self.log_probs(samples_N) for samples_N in samples_BN]), num_samples_B // 10
>>> predictor: Predictor = Uniform()
>>> predictor.log_probs(np.zeros(40)).shape
(4, 4)
"""

from speechgru.decoding.alignment import align
from speechgru.decoding.beam import beam_decode
from speechgru.decoding.choices import Pruning
from speechgru.decoding.endpoint import EndpointRule
from speechgru.decoding.grammar import GrammarConstraint
from speechgru.decoding.greedy import collapse, greedy_decode
from speechgru.decoding.gru_language import GRULanguageScorer
from speechgru.decoding.hotwords import Hotwords
from speechgru.decoding.hypothesis import Hypothesis, Word
from speechgru.decoding.keywords import Detection, KeywordScorer, KeywordSpotter
from speechgru.decoding.language import LanguageScorer, LanguageWeights
from speechgru.decoding.lists import options_from_lists
from speechgru.decoding.options import DecodingOptions, decode
from speechgru.decoding.phrases import Phrases
from speechgru.decoding.predictor import Predictor
from speechgru.decoding.rescoring import rescore
from speechgru.decoding.scorers import PrefixScorer, Scorer, Spelling
from speechgru.decoding.settings import DecodingSettings
from speechgru.decoding.stream import DecoderStream
from speechgru.decoding.subwords import SubwordScorer

__all__ = [
    "DecoderStream",
    "DecodingOptions",
    "DecodingSettings",
    "Detection",
    "EndpointRule",
    "GRULanguageScorer",
    "GrammarConstraint",
    "Hotwords",
    "Hypothesis",
    "KeywordScorer",
    "KeywordSpotter",
    "LanguageScorer",
    "LanguageWeights",
    "Phrases",
    "Predictor",
    "PrefixScorer",
    "Pruning",
    "Scorer",
    "Spelling",
    "SubwordScorer",
    "Word",
    "align",
    "beam_decode",
    "collapse",
    "decode",
    "greedy_decode",
    "options_from_lists",
    "rescore",
]
