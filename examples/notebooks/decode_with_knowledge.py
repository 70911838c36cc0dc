# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Decode with a grammar and a language model
#
# The base that comes with the package spells what it hears, letter by letter, and often wrongly. What is known before
# helps: words that are likely, sentences that are possible, and what people usually say.

# %%
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import speechgru
from speechgru.config.base_model import BASE_FOLDER
from speechgru.corpora.grammar import household
from speechgru.decoding import DecodingOptions, decode
from speechgru.language.kneser_ney import train as train_ngrams
from speechgru.metrics import word_errors
from speechgru.scoring.trained_run import open_run
from speechgru.utterances.examination import read_utterance

IS_SMALL = bool(os.environ.get("SPEECHGRU_SMALL"))  # as the tests run it
FOLDER = Path("notebook_decode")

# %% [markdown]
# ## Sentences that the base never heard

# %%
manifests = speechgru.corpora.prepare("synthetic", FOLDER / "corpus", utterances=24 if IS_SMALL else 500)
utterances = speechgru.read_manifest(manifests["test"])[: 4 if IS_SMALL else 40]
base = open_run(BASE_FOLDER)
probe, vocabulary = base.probe, base.vocabulary
heard = [probe.log_probs(read_utterance(each, sample_rate=probe.sample_rate).samples_N) for each in utterances]

# %% [markdown]
# ## A language model and a grammar
#
# The n-gram model learns from sentences of the training part; the grammar is the one that the corpus was drawn from.

# %%
texts = [each.text for each in speechgru.read_manifest(manifests["train"])]
language = train_ngrams([text.split() for text in texts], order=3).model
grammar = household()
print(language.description)

# %%
ways = {
    "greedy": DecodingOptions(),
    "beam": DecodingOptions(beam_width=16),
    "beam, 3-gram": DecodingOptions(beam_width=16, language=language),
    "beam, grammar": DecodingOptions(beam_width=16, grammar=grammar),
}
rates, examples = {}, {}
for name, options in ways.items():
    prepared = options.prepared(normalize=base.config.text.normalize, vocabulary=vocabulary)
    best = [
        decode(log_probs_SV, vocabulary=vocabulary, step_seconds=probe.step_seconds, options=prepared)[0]
        for log_probs_SV in heard
    ]
    errors = [word_errors(each.text, found.text) for each, found in zip(utterances, best, strict=True)]
    rates[name] = sum(each.errors for each in errors) / sum(each.reference_length for each in errors)
    examples[name] = best[0]
print(f"{'reference':15} {utterances[0].text}")
for name, hypothesis in examples.items():
    print(f"{name:15} {hypothesis.text}")

# %%
figure, axes = plt.subplots(figsize=(6, 2.5), layout="constrained")
axes.barh(list(rates), [100 * rate for rate in rates.values()])
axes.invert_yaxis()
axes.set(xlabel="words wrong, %")
plt.show()

# %% [markdown]
# ## What a grammar's hypothesis knows
#
# Its intent and its slots, and a margin: how far the allowed text is behind the best of all texts, by which
# `speechgru calibrate` learns what to accept.

# %%
hypothesis = examples["beam, grammar"]
print(hypothesis.intent, dict(hypothesis.slots), None if hypothesis.margin is None else round(hypothesis.margin, 2))
assert np.isfinite(rates["greedy"])
