"""Training a GRU language model, over the labels of a recogniser, by the loop that trains recognisers.

A step learns from nothing but labels: `step` is the loss of a text, `loop` the batches and the score, `run` the verb.

>>> from pathlib import Path
>>> from speechgru.config.language import language_config
>>> from speechgru.text import TextRules, Vocabulary
>>> _ = Path("texts.txt").write_text("yes\\nno\\nyes yes\\nno yes\\n")
>>> config = language_config(["model.units=4", "train.max_steps=2", "train.batch_size=2"], train=["texts.txt"], dev=[])
>>> result = train_language_model(config, "run", vocabulary=Vocabulary(" enosy"), rules=TextRules())
>>> isinstance(result, LanguageResult), result.steps, LanguageFolder(Path("run")).model == result.model
(True, 2, True)

>>> from speechgru.language import GRULanguageModel
>>> from speechgru.decoding import GRULanguageScorer
>>> GRULanguageScorer(GRULanguageModel.load(result.model)).description
'GRU of 4 units over 6 characters (weight 0.5, bonus 0.5 a word)'
"""

from speechgru.train.language.run import LanguageFolder, LanguageResult, train_language_model

__all__ = ["LanguageFolder", "LanguageResult", "train_language_model"]
