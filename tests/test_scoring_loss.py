"""The loss of what is scored: that of each recording alone, whatever it is scored with."""

import numpy as np
import pytest

from speechgru.ctc import ctc_loss
from speechgru.scoring.loss import ScoredLoss
from speechgru.scoring.recordings import Batch
from speechgru.text import Vocabulary


def batch_of(references, first_line=0):
    """A batch of recordings whose samples nobody asks for."""
    lines = [first_line + row for row in range(len(references))]
    return Batch(lines, references, np.zeros([len(lines), 1], np.float32), np.ones(len(lines), np.int32))


def log_probs(rows, steps, classes, seed=0):
    logits = np.random.default_rng(seed).normal(size=[rows, steps, classes])
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)


def alone(log_probs_SV, labels):
    return float(ctc_loss(log_probs_SV[None], [len(log_probs_SV)], [labels], [len(labels)], implementation="xla")[0])


def test_each_recording_has_its_own_loss_and_the_mean_is_over_those_that_have_one():
    vocabulary, scored = Vocabulary(" ab"), ScoredLoss(Vocabulary(" ab"))
    log_probs_BSV, num_steps_B = log_probs(5, 7, 4), np.array([7, 5, 3, 6, 7], np.int32)
    # One text is too long for its three steps, one has a letter without a label, and one is empty.
    references = ["ab a", "b", "abba", "c", ""]
    order = [2, 4, 0, 3, 1]
    scored.add(batch_of(["b"], first_line=7), log_probs_BSV[:1], num_steps_B[:1])
    batch = batch_of([references[row] for row in order])._replace(lines=order)
    scored.add(batch, log_probs_BSV[order], num_steps_B[order])
    expected = {
        row: alone(log_probs_BSV[row, : num_steps_B[row]], vocabulary.encode(references[row])) for row in (0, 1, 4)
    } | {7: alone(log_probs_BSV[0], vocabulary.encode("b"))}
    assert scored.by_line.pop(2) == np.inf and scored.by_line.keys() == expected.keys()
    assert scored.by_line == pytest.approx(expected, rel=1e-5)
    assert scored.mean == pytest.approx(np.mean([*expected.values()]), rel=1e-5)


def test_a_word_that_is_spelt_is_one_label_of_the_models_own():
    vocabulary = Vocabulary.with_letters(["off", "on"], "adeln")
    scored, log_probs_BSV = ScoredLoss(vocabulary), log_probs(2, 6, len(vocabulary))
    scored.add(batch_of(["on lane", "zebra off"]), log_probs_BSV, np.array([6, 4], np.int32))
    expected = [alone(log_probs_BSV[0], [2, 3]), alone(log_probs_BSV[1, :4], [3, 1])]
    assert [scored.by_line[0], scored.by_line[1]] == pytest.approx(expected, rel=1e-5)


def test_without_a_loss_there_is_no_mean():
    scored = ScoredLoss(Vocabulary("ab"))
    assert scored.mean is None
    scored.add(batch_of(["c", "abab"]), log_probs(2, 3, 3), np.array([3, 3], np.int32))
    assert scored.by_line == {1: np.inf} and scored.mean is None
