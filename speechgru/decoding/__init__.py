"""From frame-wise log-probabilities to text, with the time and the confidence of every word.

NumPy and plain Python only: the same code scores a training run and runs beside the model on a device. `greedy_decode`
takes the best path; `beam_decode` searches the best texts, with hotwords, a phrase list or any other scorer; `align`
finds when each label of a known text was said. `decode` does what `DecodingOptions` say: it is what the recogniser and
the verbs call. `DecoderStream` does the same while somebody speaks, and an `EndpointRule` decides when they have
stopped. Whatever search found the labels, `Hypothesis` is what it gives back.

Time. Step s stands for the span [s * step_seconds, (s + 1) * step_seconds) of the recording. A label is on from its
first step to the end of the last step of its run; CTC models put labels as short spikes, usually late in the sound, so
a label's run is shorter than the sound that it stands for.
"""

from speechgru.decoding.alignment import align
from speechgru.decoding.beam import beam_decode
from speechgru.decoding.endpoint import EndpointRule
from speechgru.decoding.greedy import collapse, greedy_decode
from speechgru.decoding.hotwords import Hotwords
from speechgru.decoding.hypothesis import Hypothesis, Word
from speechgru.decoding.options import DecodingOptions, decode, options_from_lists
from speechgru.decoding.phrases import Phrases
from speechgru.decoding.predictor import Predictor
from speechgru.decoding.scorers import PrefixScorer, Scorer, Spelling
from speechgru.decoding.search import Pruning
from speechgru.decoding.stream import DecoderStream

__all__ = [
    "DecoderStream",
    "DecodingOptions",
    "EndpointRule",
    "Hotwords",
    "Hypothesis",
    "Phrases",
    "Predictor",
    "PrefixScorer",
    "Pruning",
    "Scorer",
    "Spelling",
    "Word",
    "align",
    "beam_decode",
    "collapse",
    "decode",
    "greedy_decode",
    "options_from_lists",
]
