"""The exported graph as other programs run it: what it refuses, and what too little sound gives."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="needs the training packages (extra train)")

from ai_edge_litert.interpreter import Interpreter  # noqa: E402
from test_streaming import build, configure  # noqa: E402

from speechgru.export.convert import to_tflite  # noqa: E402
from speechgru.export.graphs import Graphs  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module", params=[("bidirectional", True), ("forward", False)], ids=str)
def exported(request):
    """A file of a model with random weights, its configuration and the functions that were converted."""
    direction, center = request.param
    config = configure({"center": center}, {"direction": direction})
    graphs = Graphs(build(config, seed=11, scale=1.0))
    functions = {"recognize": graphs.recognize(), "features": graphs.features()}
    return to_tflite(functions, form="none"), config, functions


def run(content, signature, **inputs):
    """The log-probabilities by an interpreter of its own: one that failed is not asked again."""
    return Interpreter(model_content=content).get_signature_runner(signature)(**inputs)["log_probs"]


def sound(*shape):
    return (0.1 * RNG.normal(size=shape)).astype(np.float32)


@pytest.mark.parametrize("rows", [0, 2, 3])
def test_several_recordings_are_refused_and_not_joined_into_one_text(exported, rows):
    content, config, _ = exported
    assert run(content, "recognize", samples=sound(1, 4000)).shape[0] == 1
    with pytest.raises(RuntimeError, match="num_input_elements != num_output_elements"):
        run(content, "recognize", samples=sound(rows, 4000))
    with pytest.raises(RuntimeError, match="num_input_elements != num_output_elements"):
        run(content, "features", log_mel=sound(rows, 50, config.features.n_mels))


def test_too_little_sound_for_a_transform_gives_no_step(exported):
    content, config, functions = exported
    least = 1 if config.features.center else config.n_fft
    for num_samples in (0, 1, 5, least - 1, least, least + 1, config.n_fft + config.hop_length):
        samples = sound(1, num_samples)
        expected = functions["recognize"](samples=tf.constant(samples))["log_probs"].numpy()
        assert (expected.shape[1] > 0) == (num_samples >= least)
        found = run(content, "recognize", samples=samples)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-4)
