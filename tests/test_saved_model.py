"""A SavedModel is written and read below any folder, whatever TensorFlow takes its name for."""

import os
import sys

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the training packages (extra train)")

from speechgru.export.graphs import BATCH, FEATURES  # noqa: E402
from speechgru.export.saved_model import SavedModelPredictor, save_model  # noqa: E402
from speechgru.runtime import RECOGNIZE  # noqa: E402


class Doubling(tf.Module):
    """Graphs whose log-probabilities are the samples, doubled by a weight."""

    def __init__(self):
        self.weight = tf.Variable(2.0)

    def recognize(self):
        @tf.function(autograph=False, input_signature=[tf.TensorSpec([1, None], name="samples")])
        def recognize(samples):
            return {"log_probs": self.weight * samples[..., None]}

        return recognize.get_concrete_function()

    def batch(self):
        specs = [tf.TensorSpec([None, None], name="samples"), tf.TensorSpec([None], tf.int32, name="num_samples")]

        @tf.function(autograph=False, input_signature=specs)
        def batch(samples, num_samples):
            return {"log_probs": self.weight * samples[..., None], "num_steps": num_samples}

        return batch.get_concrete_function()

    def features(self):
        @tf.function(autograph=False, input_signature=[tf.TensorSpec([1, None, 4], name="log_mel")])
        def features(log_mel):
            return {"log_probs": self.weight * log_mel}

        return features.get_concrete_function()


@pytest.mark.skipif(sys.platform == "win32", reason="no such names")
@pytest.mark.parametrize("name", ["a[1]", "[a]", "a\\b", "a*?{b}", "a\nb", os.fsdecode(b"caf\xe9")], ids=ascii)
def test_any_folder(tmp_path, name):
    if sys.platform == "darwin" and not name.isprintable():
        pytest.skip("names are Unicode there")
    path = tmp_path / name / "saved_model"
    path.parent.mkdir()
    assert save_model(Doubling(), path, sample_rate=8000, with_audio=False) == [BATCH, RECOGNIZE, FEATURES]
    predictor = SavedModelPredictor(path)
    samples_N = np.array([1.0, -0.5], np.float32)
    np.testing.assert_array_equal(predictor.log_probs(samples_N), [[2.0], [-1.0]])
    log_probs_BSV, num_steps_B = predictor.batch_log_probs(samples_N[None], np.array([2], np.int32))
    np.testing.assert_array_equal(log_probs_BSV, [[[2.0], [-1.0]]])
    assert num_steps_B.tolist() == [2]
