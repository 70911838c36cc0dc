"""Training a GRU language model, over the labels of a recogniser, by the loop that trains recognisers.

A step learns from nothing but labels: `step` is the loss of a text, `loop` the batches and the score, `run` the verb.
"""

from speechgru.train.language.run import LanguageFolder, LanguageResult, train_language_model

__all__ = ["LanguageFolder", "LanguageResult", "train_language_model"]
