"""The quick alignment beside the best path of all: the very spans that following all states finds, or none."""

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
    for _ in range(rng.integers(0, 3)):
        place, label = int(rng.integers(len(labels) + 1)), int(rng.integers(1, num_columns))
        labels[place : place + int(rng.integers(0, 2))] = [label] * int(rng.integers(0, 2))
    return labels


@pytest.mark.parametrize("kind", ["as drawn", "with ties", "with impossible labels"])
def test_the_spans_are_those_of_all_states_followed(kind):
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(500):
        num_steps, num_columns = int(rng.integers(1, 40)), int(rng.integers(2, 9))
        logits_SV = rng.normal(0, 1, (num_steps, num_columns)) * rng.choice([1, 3, 8])
        if kind == "with ties":
            logits_SV = np.round(logits_SV)
        if kind == "with impossible labels":
            logits_SV[rng.random(logits_SV.shape) < 0.2] = -1e4
        log_probs_SV = logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)
        log_probs_SV[log_probs_SV < -1e3] = -np.inf
        if kind == "with ties":
            log_probs_SV = np.minimum(np.round(log_probs_SV), 0)
        path_S = log_probs_SV.argmax(axis=1)
        spelt = path_S[np.append(True, path_S[1:] != path_S[:-1])]
        labels = changed(spelt[spelt > 0].tolist(), num_columns, rng)
        if not labels or len(labels) > num_steps:
            continue
        spans = quick(log_probs_SV, labels)
        if spans is not None:
            found += 1
            assert all_followed(log_probs_SV, labels) == spans
    assert found > 100


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
