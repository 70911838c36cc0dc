"""The portable GRU at the borders of its loops, its masks, its conversion to TFLite, and what makes it fast there."""

import numpy as np
import pytest
import tensorflow as tf
from gru_reference import gru_reference

from speechgru.gru.portable import BLOCK, BLOCKS, portable_gru

UNITS, INPUTS = 4, 3
INNER, OUTER = BLOCK, BLOCK * BLOCKS
BORDERS = [0, 1, INNER - 1, INNER, INNER + 1, OUTER - 1, OUTER, OUTER + 1, 2 * OUTER, 2 * OUTER + INNER + 1]


def weights(reset_after=True, units=UNITS, inputs=INPUTS):
    rng = np.random.default_rng(0)
    names = ["input_bias_G"] + (["recurrent_bias_G"] if reset_after else [])
    return {
        "kernel_FG": rng.normal(size=[inputs, 3 * units]).astype("float32"),
        "recurrent_kernel_UG": (rng.normal(size=[units, 3 * units]) / np.sqrt(units)).astype("float32"),
        **{name: rng.normal(size=[3 * units]).astype("float32") for name in names},
    }


def inputs_of(frames, batch=1, units=UNITS, inputs=INPUTS):
    rng = np.random.default_rng(frames)
    return (rng.normal(size=shape).astype("float32") for shape in ([batch, frames, inputs], [batch, units]))


def expected(x_BTF, h_BU, w, *, backwards=False, reset_after=True, update_gate="keep"):
    outputs_BTU, _ = gru_reference(
        x_BTF,
        lengths_B=[x_BTF.shape[1]] * len(x_BTF),
        h_BU=h_BU,
        kernel=w["kernel_FG"],
        recurrent=w["recurrent_kernel_UG"],
        b=w["input_bias_G"],
        c=w.get("recurrent_bias_G"),
        reset_after=reset_after,
        update_gate=update_gate,
        backwards=backwards,
    )
    return outputs_BTU


def traced(w, *, batch=1, frames=None, units=UNITS, inputs=INPUTS, **arguments):
    signature = [tf.TensorSpec([batch, frames, inputs]), tf.TensorSpec([batch, units])]

    @tf.function(input_signature=signature)
    def run(x_BTF, h_BU):
        constants = {name: tf.constant(value) for name, value in w.items()}
        return portable_gru(x_BTF, initial_state_BU=h_BU, **constants, **arguments)

    return run


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_every_border_of_the_loops_with_frames_unknown_while_tracing(backwards, batch):
    w = weights()
    run = traced(w, batch=None if batch == 2 else 1, backwards=backwards)
    for frames in BORDERS:
        x_BTF, h_BU = inputs_of(frames, batch)
        np.testing.assert_allclose(run(x_BTF, h_BU), expected(x_BTF, h_BU, w, backwards=backwards), atol=1e-5)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("frames", BORDERS)
def test_every_border_of_the_loops_with_frames_known_while_tracing(backwards, frames):
    w = weights()
    x_BTF, h_BU = inputs_of(frames)
    outputs_BTU = traced(w, frames=frames, backwards=backwards)(x_BTF, h_BU)
    assert outputs_BTU.shape == [1, frames, UNITS]
    np.testing.assert_allclose(outputs_BTU, expected(x_BTF, h_BU, w, backwards=backwards), atol=1e-5)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("update_gate", ["keep", "write"])
def test_frames_that_are_not_valid_keep_every_bit_of_the_state(backwards, reset_after, update_gate):
    w, frames = weights(reset_after), OUTER + 7
    x_BTF, h_BU = inputs_of(frames, batch=3)
    h_BU[0, 0] = 1e3  # a state far from the candidate, where rounding would show
    valid_BT = np.random.default_rng(1).random([3, frames]) < 0.6
    valid_BT[0, :INNER] = valid_BT[0, -INNER:] = valid_BT[2] = False
    arguments = {"reset_after": reset_after, "update_gate": update_gate, "backwards": backwards}
    outputs_BTU = traced(w, batch=3, valid_BT=tf.constant(valid_BT), **arguments)(x_BTF, h_BU).numpy()
    for row in range(3):
        short = expected(x_BTF[row : row + 1, valid_BT[row]], h_BU[row : row + 1], w, **arguments)
        np.testing.assert_allclose(outputs_BTU[row, valid_BT[row]], short[0], atol=2e-4)
        state_U = h_BU[row]
        for frame in range(frames)[:: -1 if backwards else 1]:
            if not valid_BT[row, frame]:
                np.testing.assert_array_equal(outputs_BTU[row, frame], state_U)
            state_U = outputs_BTU[row, frame]


def test_gradients_pass_through_all_loops():
    w, frames = {name: tf.constant(value) for name, value in weights().items()}, INNER + 3
    x_BTF, h_BU = (tf.constant(value) for value in inputs_of(frames, batch=2))

    def plain(x_BTF, h_BU):
        b_G, c_G = w["input_bias_G"], w["recurrent_bias_G"]
        outputs = []
        for frame in range(frames):
            x_z, x_r, x_h = tf.split(x_BTF[:, frame] @ w["kernel_FG"] + b_G, 3, axis=-1)
            m_z, m_r, m_h = tf.split(h_BU @ w["recurrent_kernel_UG"] + c_G, 3, axis=-1)
            z, n = tf.sigmoid(x_z + m_z), tf.tanh(x_h + tf.sigmoid(x_r + m_r) * m_h)
            h_BU = z * h_BU + (1 - z) * n
            outputs.append(h_BU)
        return tf.stack(outputs, axis=1)

    def gradients(function):
        sources = [x_BTF, h_BU, *w.values()]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            loss = tf.reduce_sum(tf.sin(3 * function(x_BTF, h_BU)))
        return tape.gradient(loss, sources)

    @tf.function(input_signature=[tf.TensorSpec([None, None, INPUTS]), tf.TensorSpec([None, UNITS])])
    def graph(x_BTF, h_BU):
        return portable_gru(x_BTF, initial_state_BU=h_BU, **w)

    def eager(x_BTF, h_BU):
        return portable_gru(x_BTF, initial_state_BU=h_BU, **w)

    reference = gradients(plain)
    for one in (eager, graph):
        for actual, desired in zip(gradients(one), reference, strict=True):
            np.testing.assert_allclose(actual, desired, atol=1e-4)


# --- TFLite -------------------------------------------------------------------------------------------------------


def converted(function, *, dynamic=False):
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if dynamic:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def run_tflite(content, *arrays, reference_kernels=False):
    module = pytest.importorskip("ai_edge_litert.interpreter")
    kind = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if reference_kernels else module.OpResolverType.AUTO
    interpreter = module.Interpreter(model_content=content, experimental_op_resolver_type=kind)
    details = sorted(interpreter.get_input_details(), key=lambda detail: detail["name"])
    for detail, array in zip(details, arrays, strict=True):
        interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    for detail, array in zip(details, arrays, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def named(function, w, *, frames=None, **arguments):
    """A function whose inputs TFLite lists as `a` (the frames) and `b` (the state)."""
    constants = {name: tf.constant(value) for name, value in w.items()}

    @tf.function(input_signature=[tf.TensorSpec([1, frames, INPUTS], name="a"), tf.TensorSpec([1, UNITS], name="b")])
    def run(a, b):
        return portable_gru(function(a), initial_state_BU=b, **constants, **arguments)

    return run


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("reference_kernels", [False, True])
def test_tflite_gives_the_same_at_every_border(backwards, reference_kernels):
    """A loop hands its kept pieces on, each one place further: LiteRT copies them in order and must overwrite none."""
    w = weights()
    content = converted(named(tf.identity, w, backwards=backwards))
    for frames in BORDERS[1:]:
        x_BTF, h_BU = inputs_of(frames)
        outputs_BTU = run_tflite(content, x_BTF, h_BU, reference_kernels=reference_kernels)
        np.testing.assert_allclose(outputs_BTU, expected(x_BTF, h_BU, w, backwards=backwards), atol=1e-5)


@pytest.mark.parametrize("backwards", [False, True])
def test_tflite_gives_the_same_where_the_number_of_frames_depends_on_the_data(backwards):
    """A size that the inputs' sizes do not tell makes LiteRT run its other loop, which sizes tensors anew each turn."""
    w = weights()

    def positive(x_BTF):
        return x_BTF[:, : tf.reduce_sum(tf.cast(x_BTF[0, :, 0] > 0, tf.int32))]

    content = converted(named(positive, w, backwards=backwards))
    x_BTF, h_BU = inputs_of(2 * OUTER + 9)
    short_BTF = x_BTF[:, : np.sum(x_BTF[0, :, 0] > 0)]
    assert short_BTF.shape[1] > INNER
    np.testing.assert_allclose(
        run_tflite(content, x_BTF, h_BU), expected(short_BTF, h_BU, w, backwards=backwards), atol=1e-5
    )


@pytest.mark.parametrize("frames", [1, INNER - 3, 3 * INNER + 1])
def test_tflite_of_a_chunk_of_known_size(frames):
    w = weights()
    content = converted(named(tf.identity, w, frames=frames))
    x_BTF, h_BU = inputs_of(frames)
    np.testing.assert_allclose(run_tflite(content, x_BTF, h_BU), expected(x_BTF, h_BU, w), atol=1e-5)


def innermost(content):
    """The operators of one step in a TFLite file: [(name, [inputs], [outputs], whether it computes floats)]."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    graphs = [
        [
            (
                names[model.operatorCodes[one.opcodeIndex].builtinCode],
                list(one.inputs),
                list(one.outputs),
                graph.tensors[one.outputs[0]].type == schema.TensorType.FLOAT32,
            )
            for one in graph.operators
        ]
        for graph in model.subgraphs
    ]
    (step,) = [graph for graph in graphs if any(name == "TANH" for name, *_ in graph)]
    return step


#: The operators of a step that LiteRT's XNNPACK delegate runs (float32, and weights in 8 bits a channel).
DELEGATED = {
    "FULLY_CONNECTED",
    "ADD",
    "SUB",
    "MUL",
    "LOGISTIC",
    "TANH",
    "SPLIT",
    "STRIDED_SLICE",
    "CONCATENATION",
    "RESHAPE",
}


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_step_is_one_call_of_xnnpack(dynamic, reset_after, backwards):
    w = weights(reset_after, units=64, inputs=32)
    run = traced(w, units=64, inputs=32, reset_after=reset_after, backwards=backwards)
    step = innermost(converted(run, dynamic=dynamic))
    floats = [name for name, *_, is_float in step if is_float and name != "GATHER"]
    assert set(floats) <= DELEGATED
    assert len(floats) <= 17
    assert len(step) - len(floats) <= 3, "the frame's index, the loop's counter, and reading the frame"
    # What XNNPACK does not run reads nothing that it computes, so that the rest can run as one.
    computed = {output for name, _, outputs, is_float in step if is_float and name != "GATHER" for output in outputs}
    assert not [one for one in step if not (one[3] and one[0] != "GATHER") and computed & set(one[1])]
    # One product of each weight: a second one would have packed weights of its own.
    assert floats.count("FULLY_CONNECTED") == 2
