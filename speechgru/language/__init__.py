"""Language models: what people say, whoever says it.

A `LanguageModel` gives the probability of the next word of a sentence, unknown words included. `read_language_model`
reads one of a file: an ARPA file, KenLM's binary forms, or the compact form that `speechgru language convert` writes.
`decoding.LanguageScorer` lets a beam score texts by one. NumPy and plain Python only, as in all of decoding.

A `GRULanguageModel` gives the probability of the next label that one recogniser writes: a character, or a word. It is
trained by `train.language`, and `decoding.GRULanguageScorer` lets a beam ask it.

>>> from pathlib import Path
>>> rows = ["\\\\data\\\\", "ngram 1=4", "\\\\1-grams:", "-1 <unk>", "-99 <s>", "-0.5 </s>", "-0.4 yes", "\\\\end\\\\"]
>>> _ = Path("tiny.arpa").write_text("\\n".join(rows))
>>> model = read_language_model("tiny.arpa")
>>> isinstance(model, LanguageModel), model.knows("yes"), model.knows("no")
(True, True, False)
>>> round(model.log_prob("yes yes"), 3)  # natural logarithm, with the sentence's end
-2.993
"""

from speechgru.language.gru import GRULanguageModel, GRULayer
from speechgru.language.model import LanguageModel
from speechgru.language.perplexity import Perplexity
from speechgru.language.reading import read_language_model

__all__ = ["GRULanguageModel", "GRULayer", "LanguageModel", "Perplexity", "read_language_model"]
