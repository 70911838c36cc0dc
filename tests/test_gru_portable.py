"""The portable GRU at the borders of its loops, its masks, its conversion to TFLite, and what makes it fast there."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from gru_reference import gru_reference

from speechgru.gru import BiGRU, portable
from speechgru.gru.portable import KEPT_FRAMES, MOST_FRAMES, portable_directions, portable_gru

UNITS, INPUTS = 4, 3
INNER, OUTER = MOST_FRAMES, KEPT_FRAMES
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


@pytest.mark.parametrize(("frames", "backwards"), list(zip(BORDERS, itertools.cycle([False, True]), strict=False)))
def test_every_border_of_the_loops_with_frames_known_while_tracing(backwards, frames):
    w = weights()
    x_BTF, h_BU = inputs_of(frames)
    outputs_BTU = traced(w, frames=frames, backwards=backwards)(x_BTF, h_BU)
    assert outputs_BTU.shape == [1, frames, UNITS]
    np.testing.assert_allclose(outputs_BTU, expected(x_BTF, h_BU, w, backwards=backwards), atol=1e-5)


@pytest.mark.parametrize(
    ("reset_after", "update_gate", "backwards"),
    [(True, "keep", False), (True, "write", True), (False, "keep", True), (False, "write", False)],
)
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


def both(w_forward, w_backward, *, frames=None, units=UNITS, inputs=INPUTS, valid=None, **arguments):
    """A function of the frames `a` alone: two directions in one loop, each from a state of its own."""
    states = [tf.constant(value) for value in states_of_both(units)]

    @tf.function(input_signature=[tf.TensorSpec([1, frames, inputs], name="a")])
    def run(a):
        directions = [
            {
                "inputs_BTF": a,
                "initial_state_BU": state_BU,
                "backwards": backwards,
                "valid_BT": None if valid is None or not backwards else tf.constant(valid),
                **{name: tf.constant(value) for name, value in w.items()},
                **arguments,
            }
            for w, state_BU, backwards in zip((w_forward, w_backward), states, (False, True), strict=True)
        ]
        return tf.concat(portable_directions(directions), axis=-1)

    return run


def states_of_both(units):
    return np.random.default_rng(5).normal(size=[2, 1, units]).astype("float32")


@pytest.mark.parametrize("reset_after", [True, False])
def test_two_directions_in_one_loop_are_the_two_at_every_border(reset_after):
    pair = [weights(reset_after), {name: -0.7 * value for name, value in weights(reset_after).items()}]
    run = both(*pair, reset_after=reset_after)
    content = converted(run)
    for frames in BORDERS[1:]:
        x_BTF, _ = inputs_of(frames)
        outputs = [
            expected(x_BTF, state_BU, w, backwards=backwards, reset_after=reset_after)
            for w, state_BU, backwards in zip(pair, states_of_both(UNITS), (False, True), strict=True)
        ]
        for actual_BTD in (run(x_BTF), run_tflite(content, x_BTF)):
            np.testing.assert_allclose(actual_BTD, np.concatenate(outputs, axis=-1), atol=1e-5)


def test_one_of_two_directions_may_have_frames_that_are_not_valid():
    """A stream's last window: the backward direction begins at the last real step, the forward one knows of no end."""
    pair = [weights(), {name: 0.7 * value for name, value in weights().items()}]
    x_BTF, _ = inputs_of(27)
    valid = np.arange(27)[None] < 19
    forward_BTU, backward_BTU = np.split(np.asarray(both(*pair, frames=27, valid=valid)(x_BTF)), 2, axis=-1)
    states = states_of_both(UNITS)
    np.testing.assert_allclose(forward_BTU, expected(x_BTF, states[0], pair[0]), atol=1e-5)
    expected_BTU = expected(x_BTF[:, :19], states[1], pair[1], backwards=True)
    np.testing.assert_allclose(backward_BTU[:, :19], expected_BTU, atol=1e-5)


@pytest.mark.parametrize(
    ("units", "frames"),
    [
        *itertools.product([4, 90, 128, 200], [None]),
        *itertools.product([4, 128], [7, 130]),
        *itertools.product([90, 200], [48]),
    ],
)
def test_every_number_of_frames_a_turn_gives_the_same(units, frames):
    """Widths whose turns have 10, 5, 2 and 1 frames."""
    w = weights(units=units)
    assert portable._frames_a_turn(units, 2) == {4: 10, 90: 5, 128: 2, 200: 1}[units]
    run = both(w, w, units=units, frames=frames)
    for count in (frames,) if frames else (1, 9, 10, 11, 99, 100, 101, 211):
        x_BTF, _ = inputs_of(count, units=units)
        outputs = [
            expected(x_BTF, state_BU, w, backwards=backwards)
            for state_BU, backwards in zip(states_of_both(units), (False, True), strict=True)
        ]
        np.testing.assert_allclose(run(x_BTF), np.concatenate(outputs, axis=-1), atol=1e-4)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("reset_after", [True, False])
@pytest.mark.parametrize("pair", [False, True])
def test_a_turn_is_one_call_of_xnnpack(dynamic, reset_after, pair):
    w = weights(reset_after, units=64, inputs=32)
    arguments = {"units": 64, "inputs": 32, "reset_after": reset_after}
    run = both(w, w, **arguments) if pair else traced(w, backwards=True, **arguments)
    turn = innermost(converted(run, dynamic=dynamic))
    floats = [name for name, *_, is_float in turn if is_float and name != "GATHER"]
    assert set(floats) <= DELEGATED
    # A frame: 14 operations for all rows, 1 or 2 products, and for two directions each product's row and their joint.
    products = (1 + pair) * (2 - reset_after)
    assert floats.count("FULLY_CONNECTED") == products * MOST_FRAMES
    assert len(floats) <= (14 + products + (3 * (2 - reset_after) if pair else 0) + 0.6) * MOST_FRAMES
    assert len(turn) - len(floats) <= 3, "the block's index, the loop's counter, and reading the block"
    # What XNNPACK does not run reads nothing that it computes, so that the rest can run as one.
    computed = {output for name, _, outputs, is_float in turn if is_float and name != "GATHER" for output in outputs}
    assert not [one for one in turn if not (one[3] and one[0] != "GATHER") and computed & set(one[1])]


def test_a_layer_runs_both_directions_of_one_utterance_in_one_loop():
    """And of several utterances, where each needs its own batch of rows, one after the other; with the same numbers."""
    layer, fused = (BiGRU(5, implementation=name) for name in ("portable", "fused"))
    x_BTF, _ = inputs_of(23, batch=2)
    fused(x_BTF), layer(x_BTF)
    layer.set_weights(fused.get_weights())

    def loops(batch):
        function = tf.function(layer.__call__, autograph=False)
        graph = function.get_concrete_function(tf.TensorSpec([batch, None, INPUTS])).graph
        return [one for one in graph.get_operations() if one.type in ("While", "StatelessWhile")]

    assert len(loops(1)) == 1 and len(loops(2)) == 2
    for rows_BTF in (x_BTF, x_BTF[:1]):
        np.testing.assert_allclose(layer(rows_BTF), fused(rows_BTF), atol=1e-5)
