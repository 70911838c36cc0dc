"""The quick alignment beside the best path of all: the very spans that following all states finds, or none."""

from itertools import pairwise

import numpy as np
import pytest

from speechgru.decoding.greedy import BestPath
from speechgru.decoding.short_alignment import best_states
from speechgru.decoding.sure_alignment import sure_spans


def all_followed(log_probs_SV, labels):
    states_Z = np.zeros(2 * len(labels) + 1, int)
    states_Z[1::2] = labels
    jumps_Z = np.zeros(len(states_Z), bool)
    jumps_Z[1:-2:2] = states_Z[3::2] != states_Z[1:-2:2]
    path_S = best_states(log_probs_SV, states_Z, jumps_Z)
    steps = [np.flatnonzero(path_S == state) for state in range(1, len(states_Z), 2)]
    return [(step_N[0], step_N[-1] + 1) for step_N in steps]


def quick(log_probs_SV, labels):
    best_path = BestPath()
    best_path.feed(log_probs_SV)
    return sure_spans(log_probs_SV, labels, spelt=best_path.labels, runs=best_path.spans, blank_id=0)


def changed(labels, num_columns, rng):
    """Labels with some replaced, left out or added, as a language model changes the best path's."""
    labels = list(labels)
    for _ in range(rng.integers(0, 4)):
        place, label = int(rng.integers(len(labels) + 1)), int(rng.integers(1, num_columns))
        labels[place : place + int(rng.integers(0, 2))] = [label] * int(rng.integers(0, 2))
    return labels


def spoken(kind, seed):
    """Log-probabilities about a path with doubts, and labels that are nearly the path's."""
    rng = np.random.default_rng(seed)
    num_steps, num_columns = int(rng.integers(3, 120)), int(rng.integers(3, 12))
    path_S = np.where(rng.random(num_steps) < 0.3, 0, rng.integers(0, num_columns, num_steps))
    logits_SV = rng.normal(0, rng.choice([0.5, 1, 2]), (num_steps, num_columns))
    logits_SV[range(num_steps), path_S] += rng.choice([2, 4, 8, 12])
    doubtful_S = rng.random(num_steps) < rng.choice([0.02, 0.1, 0.2])
    logits_SV[doubtful_S, rng.integers(0, num_columns, doubtful_S.sum())] += rng.choice([4, 8, 12])
    if kind == "with ties":
        logits_SV = np.round(logits_SV)
    if kind == "with impossible labels":
        logits_SV[rng.random(logits_SV.shape) < 0.01] = -1e4
    log_probs_SV = logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)
    log_probs_SV[log_probs_SV < -1e3] = -np.inf
    if kind == "with ties":
        log_probs_SV = np.minimum(np.round(log_probs_SV), 0)
    spelt = path_S[np.append(True, path_S[1:] != path_S[:-1])]
    return log_probs_SV, changed(spelt[spelt > 0].tolist(), num_columns, rng)


#: Seeds with which the best path passes by an anchor beside one that was left out.
PASSED_BY = {"as drawn": [10480], "with ties": [3476], "with impossible labels": [4738, 13594]}


@pytest.mark.parametrize("kind", PASSED_BY)
def test_the_spans_are_those_of_all_states_followed(kind, monkeypatch):
    monkeypatch.setattr("speechgru.decoding.sure_alignment._UNSURE", 1.0)  # try all
    found = 0
    for seed in [*range(300), *PASSED_BY[kind]]:
        log_probs_SV, labels = spoken(kind, seed)
        needed = len(labels) + sum(first == second for first, second in pairwise(labels))
        if not labels or needed > len(log_probs_SV):
            continue
        spans = quick(log_probs_SV, labels)
        if spans is not None:
            found += 1
            assert all_followed(log_probs_SV, labels) == spans
    assert found > 60


def test_it_finds_the_path_of_a_text_that_a_language_model_changed():
    rng = np.random.default_rng(4)
    path_S = np.repeat(rng.integers(1, 20, 60), 1)
    path_S = np.stack([path_S, np.zeros_like(path_S), np.zeros_like(path_S)], axis=1).reshape(-1)
    logits_SV = rng.normal(0, 1.5, (len(path_S), 20))
    logits_SV[np.arange(len(path_S)), path_S] += 16
    logits_SV[30, 7] += 17  # the letter that was misheard
    log_probs_SV = logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)
    labels = path_S[path_S > 0].tolist()
    spans = quick(log_probs_SV, labels)
    assert spans is not None and spans == all_followed(log_probs_SV, labels)
