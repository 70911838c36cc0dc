"""The TFLite form int8: int8 activations around the products, at the same scales in each signature."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from conftest import make_speech

from speechgru.config.sections import RunConfig
from speechgru.errors import UserError
from speechgru.export import QUANTIZATIONS, convert
from speechgru.export.convert import to_tflite
from speechgru.export.graphs import Graphs
from speechgru.export.int8 import measure_spans, with_int8_activations
from speechgru.model.build import build_model
from speechgru.runtime import RECOGNIZE, STREAM, Windows

pytestmark = pytest.mark.usefixtures("short_turns")
NUM_CLASSES, UNITS, LAYERS = 30, 40, 2
#: Those that stream; test_export.py has the form of a bidirectional model, which has no operation that these lack.
DIRECTIONS = {
    "forward": {"lookahead_frames": 4},
    "chunked": {"chunk_frames": 16, "lookahead_frames": 8},
}
#: Chunks of 8 steps: none is full, the last is full, it is not; and no step but one.
COUNTS = (1, 700, 8 * 160 * 4 - 80, 8 * 160 * 4 + 5, 9001)


def speech(count, seed=0):
    return make_speech(count / 8000, sample_rate=8000, seed=seed)


class Made:
    """A random model of one direction in two forms, and what it was calibrated on."""

    def __init__(self, direction):
        self.config = RunConfig.model_validate(
            {
                "data": {"sample_rate": 8000},
                "features": {"n_mels": 20, "normalization": "none"},
                "model": {
                    **{"direction": direction, "units": UNITS, "num_layers": LAYERS, "subsampling_channels": UNITS},
                    **DIRECTIONS[direction],
                },
            }
        )
        model = self.model = build_model(self.config, NUM_CLASSES, implementation="portable")
        rng = np.random.default_rng(1)
        for weight in model.encoder.model.trainable_variables:
            if "bias" in weight.path or "beta" in weight.path:  # they begin as 0, and the converter would drop them
                weight.assign(0.3 * rng.normal(size=weight.shape))
        kernel = model.encoder.logits.layer.kernel
        kernel.assign(2 * kernel.numpy())
        graphs = Graphs(model)
        self.functions = {RECOGNIZE: graphs.recognize(), STREAM: graphs.stream()}
        self.content = {
            form: to_tflite(self.functions, form=form, calibration=self.calibration()) for form in ("none", "int8")
        }

    def calibration(self):
        sounds = [speech(count, seed) for seed, count in enumerate([*COUNTS, 12000, 16000])]
        return [[samples_N[None]] for samples_N in [*sounds, np.zeros(2000, np.float32)]]

    def recognize(self, samples_N, form="int8"):
        run = Interpreter(model_content=self.content[form]).get_signature_runner(RECOGNIZE)
        return run(samples=samples_N[None])["log_probs"][0]

    def stream(self, samples_N, form="int8"):
        run = Interpreter(model_content=self.content[form]).get_signature_runner(STREAM)
        geometry = self.model.stream_geometry()
        windows = Windows(lambda inputs: run(**inputs), geometry=geometry, states=self.model.state_shapes())
        return np.concatenate(windows.feed(samples_N) + windows.finish())


@pytest.fixture(scope="module")
def made():
    """Makes models, each once."""
    known = {}

    def make(direction):
        if direction not in known:
            known[direction] = Made(direction)
        return known[direction]

    return make


def products(content, *, inputs=schema.TensorType.INT8):
    """By signature, the products whose inputs have a type: their weights' buffer, and input, weights, bias, output."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    found = {}
    for signature in model.signatureDefs:
        subgraph = model.subgraphs[signature.subgraphIndex]
        found[signature.signatureKey.decode()] = [
            [subgraph.tensors[int(index)] for index in [*operator.inputs, *operator.outputs]]
            for operator in subgraph.operators
            if model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.FULLY_CONNECTED
            and subgraph.tensors[int(operator.inputs[0])].type == inputs
        ]
    return found


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_subsampling_input_products_and_logits_take_and_give_int8_in_each_signature(made, direction):
    one = made(direction)
    directions = 1 if direction == "forward" else 2
    found = products(one.content["int8"])
    assert found.keys() == one.functions.keys()
    for tensors in found.values():
        # Buffer 0 is empty: these are computed.
        assert all(source.buffer == 0 and target.buffer == 0 for source, *_, target in tensors)
        kinds = [[tensor.type for tensor in each] for each in tensors]
        int8, int32 = schema.TensorType.INT8, schema.TensorType.INT32
        assert all(kind == [int8, int8, int32, int8] for kind in kinds)
        assert len({weights.buffer for _, weights, *_ in tensors}) == 2 + LAYERS * directions


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_recurrent_loop_has_8_bit_weights_on_float_states(made, direction):
    model = schema.ModelT.InitFromPackedBuf(made(direction).content["int8"], 0)
    mains = {signature.subgraphIndex for signature in model.signatureDefs}
    kinds = {
        tuple(subgraph.tensors[int(index)].type for index in operator.inputs[:2])
        for place, subgraph in enumerate(model.subgraphs)
        if place not in mains
        for operator in subgraph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.FULLY_CONNECTED
    }
    assert kinds == {(schema.TensorType.FLOAT32, schema.TensorType.INT8)}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_what_is_heard_is_nearly_that_of_floats(made, direction):
    one = made(direction)
    for count in (*COUNTS, 20000):
        samples_N = speech(count, seed=100)
        expected_SV, actual_SV = one.recognize(samples_N, form="none"), one.recognize(samples_N)
        assert actual_SV.shape == expected_SV.shape
        np.testing.assert_allclose(actual_SV, expected_SV, atol=0.25)
        assert np.abs(actual_SV - expected_SV).mean() < 0.04
    assert np.ptp(expected_SV, axis=1).min() > 2  # it says something


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_digital_silence_is_heard_and_what_is_louder_than_all_that_was_measured_stays_finite(made, direction):
    one = made(direction)
    silence_N = np.zeros(4000, np.float32)
    np.testing.assert_allclose(one.recognize(silence_N), one.recognize(silence_N, form="none"), atol=0.35)
    assert np.isfinite(one.recognize(1000 * speech(4000))).all()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_stream_hears_what_the_whole_recording_says(made, direction):
    one = made(direction)
    for count in (*COUNTS, 20000):
        samples_N = speech(count, seed=200)
        difference_SV = np.abs(one.stream(samples_N) - one.recognize(samples_N))
        # Where rounding tips a value over into the next of 255 steps, that step shows; it is rare.
        assert difference_SV.max(initial=0) < 0.2
        assert (difference_SV < 1e-3).mean() > 0.95


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_signatures_share_weights_biases_and_scales(made, direction):
    one = made(direction)
    found = products(one.content["int8"])

    def facts(name):
        return {
            (weights.buffer, bias.buffer, *(float(t.quantization.scale[0]) for t in (source, bias, target)))
            for source, weights, bias, target in found[name]
        }

    assert facts(STREAM) == facts(RECOGNIZE)


def a_product(kernel_XY, bias_Y, activation=tf.identity):
    @tf.function(input_signature=[tf.TensorSpec([1, None, kernel_XY.shape[0]], tf.float32, name="frames")])
    def run(frames):
        return {"sums": activation(tf.matmul(frames, kernel_XY) + bias_Y)}

    return run.get_concrete_function()


def random_product(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=[64, 48]).astype("float32"), rng.normal(size=[48]).astype("float32")


def sums(content, frames_1SX):
    return Interpreter(model_content=content).get_signature_runner("run")(frames=frames_1SX)["sums"]


@pytest.mark.parametrize("activation", [tf.identity, tf.nn.relu])
def test_a_product_is_that_of_8_bit_integers(activation):
    kernel_XY, bias_Y = random_product()
    rng = np.random.default_rng(1)
    measured = [[rng.uniform(-1, 3, size=[1, count, 64]).astype("float32")] for count in (1, 50)]
    function = a_product(kernel_XY, bias_Y, activation)
    content = to_tflite({"run": function}, form="int8", calibration=measured)
    [[source, weights, bias, target]] = products(content)["run"]
    buffers = schema.ModelT.InitFromPackedBuf(content, 0).buffers
    weights_YX = buffers[weights.buffer].data.view(np.int8).reshape(48, 64).astype(np.int64)
    bias_in_units_Y = buffers[bias.buffer].data.view("<i4")
    unit_in, unit_out = (float(tensor.quantization.scale[0]) for tensor in (source, target))
    zero_in, zero_out = (int(tensor.quantization.zeroPoint[0]) for tensor in (source, target))
    weight_units_Y, bias_units_Y = (tensor.quantization.scale.astype(np.float64) for tensor in (weights, bias))
    # Inputs beyond what was measured count as the nearest that was.
    frames_1SX = rng.uniform(-2, 4, size=[1, 20, 64]).astype("float32")
    inputs_SX = np.clip(np.rint(frames_1SX[0] / unit_in) + zero_in, -128, 127) - zero_in
    sums_SY = inputs_SX @ weights_YX.T + bias_in_units_Y
    outputs_SY = np.clip(np.rint(sums_SY * bias_units_Y / unit_out) + zero_out, -128, 127)
    if activation is tf.nn.relu:
        outputs_SY = np.maximum(outputs_SY, zero_out)
        assert zero_out == -128
    expected_SY = (outputs_SY - zero_out) * unit_out
    np.testing.assert_allclose(sums(content, frames_1SX)[0], expected_SY, atol=1.01 * unit_out)
    # And the integers stand for the numbers that they were made of.
    np.testing.assert_allclose(weights_YX * weight_units_Y[:, None], kernel_XY.T, atol=0.51 * weight_units_Y.max())
    np.testing.assert_allclose(bias_in_units_Y * bias_units_Y, bias_Y, atol=1e-3)
    measured_X = np.concatenate([values.ravel() for [values] in measured])
    assert unit_in == pytest.approx(np.ptp(measured_X) / 255, rel=1e-5)


def test_0_is_exact():
    content = to_tflite(
        {"run": a_product(*random_product())},
        form="int8",
        calibration=[[np.random.default_rng(0).uniform(0.3, 1, size=[1, 9, 64]).astype("float32")]],
    )
    bias_Y = random_product()[1]
    [[_, _, _, target]] = products(content)["run"]
    actual_1SY = sums(content, np.zeros([1, 2, 64], np.float32))
    np.testing.assert_allclose(actual_1SY, np.tile(bias_Y, [1, 2, 1]), atol=0.51 * float(target.quantization.scale[0]))


@pytest.mark.parametrize("tiny", [0.0, 1e-12, 1e-30])
def test_a_bias_beside_weights_of_next_to_nothing_is_heard(tiny):
    kernel_XY, bias_Y = random_product()
    kernel_XY[:, 7] *= tiny
    bias_Y[7] = 9.0
    frames_1SX = np.random.default_rng(2).normal(size=[1, 30, 64]).astype("float32")
    content = to_tflite({"run": a_product(kernel_XY, bias_Y)}, form="int8", calibration=[[frames_1SX]])
    actual_1SY = sums(content, frames_1SX)
    np.testing.assert_allclose(actual_1SY[..., 7], 9.0, atol=0.2)
    np.testing.assert_allclose(actual_1SY, frames_1SX @ kernel_XY + bias_Y, atol=1.0)


def test_the_converter_runs_once_for_two_forms(monkeypatch):
    converted, real, function = [], convert._converter, a_product(*random_product())
    monkeypatch.setattr(convert, "_converter", lambda function: converted.append(function) or real(function))
    conversions = convert.Conversions({"run": function})
    frames_1SX = np.random.default_rng(3).normal(size=[1, 9, 64]).astype("float32")
    found = {form: sums(conversions.to_tflite(form, calibration=[[frames_1SX]]), frames_1SX) for form in QUANTIZATIONS}
    assert converted == [function] * 2
    for form, allowed in (("float16", 0.05), ("dynamic", 0.5), ("int8", 0.5)):
        assert 0 < np.abs(found[form] - found["none"]).max() < allowed, form


def test_what_is_missing_is_said():
    frames_1SX = np.ones([1, 3, 64], np.float32)
    functions = {"run": a_product(*random_product())}
    with pytest.raises(UserError, match="int8 needs a calibration"):
        to_tflite(functions, form="int8")
    with pytest.raises(UserError, match="of run cannot be made: there are no recordings"):
        to_tflite(functions, form="int8", calibration=[])
    small = {"run": a_product(*(part[..., :15] for part in random_product()))}
    with pytest.raises(UserError, match="no product outside the recurrent loop is large enough for 8-bit weights"):
        to_tflite(small, form="int8", calibration=[[frames_1SX]])
    content = to_tflite(functions, form="dynamic")
    spans = measure_spans(content, [[frames_1SX]])
    other = to_tflite({"run": a_product(*random_product(seed=1))}, form="dynamic")
    with pytest.raises(ValueError, match="a product with 3072 weights is in no signature that was measured"):
        with_int8_activations(other, spans)
