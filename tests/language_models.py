"""Small language models for tests, and what a search over all texts finds."""

import itertools
import math

import numpy as np

from speechgru.language.gru import GRULanguageModel, GRULayer
from speechgru.text import TextRules, Vocabulary


def random_model(entries="ab ", *, units=5, width=4, num_layers=1, seed=0, form="float32", scale=1.0):
    """A GRU language model with random weights."""
    rng = np.random.default_rng(seed)
    vocabulary = entries if isinstance(entries, Vocabulary) else Vocabulary(entries)
    labels = len(vocabulary)

    def layer(inputs):
        shapes = ([inputs, 3 * units], [units, 3 * units], [2, 3 * units])
        return GRULayer(*(scale * rng.normal(size=shape) for shape in shapes))

    return GRULanguageModel(
        vocabulary,
        TextRules(),
        embedding_VE=rng.normal(size=[labels, width]),
        layers=[layer(width if number == 0 else units) for number in range(num_layers)],
        kernel_UV=rng.normal(size=[units, labels]),
        bias_V=rng.normal(size=[labels]),
        form=form,
    )


def random_log_probs(steps, columns, *, seed=1):
    """Log-probabilities of a recogniser that knows little."""
    logits_SV = np.random.default_rng(seed).normal(size=[steps, columns]) * 2
    return logits_SV - np.log(np.exp(logits_SV).sum(axis=1, keepdims=True))


def all_texts(log_probs_SV, *, blank_id=0):
    """Of every text of labels that fits its log-probability, summed over all its alignments."""
    steps, columns = log_probs_SV.shape
    found = {}
    for path in itertools.product(range(columns), repeat=steps):
        labels = tuple(label for label, _ in itertools.groupby(path) if label != blank_id)
        log_prob = sum(log_probs_SV[step, label] for step, label in enumerate(path))
        found[labels] = np.logaddexp(found.get(labels, -math.inf), log_prob)
    return found
