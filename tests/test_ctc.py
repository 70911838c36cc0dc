"""The CTC loss, the kernel's and XLA's: every path counted by hand, PyTorch beside them, nothing made up."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechgru import lengths

tf = pytest.importorskip("tensorflow", reason="the CTC loss runs on TensorFlow; it is not installed")

from speechgru.ctc import ctc_loss, is_feasible, quiet_start_loss  # noqa: E402

IMPLEMENTATIONS = ["compiled", "op", "xla"]
NUM_ROWS = 3

#: Rows of (steps, labels); their shapes are all alike, so that XLA compiles once.
ROWS = st.lists(
    st.tuples(st.integers(1, 5), st.lists(st.integers(1, 2), max_size=4)), min_size=NUM_ROWS, max_size=NUM_ROWS
)


def collapse(path):
    merged = [label for label, _ in itertools.groupby(path)]
    return tuple(label for label in merged if label != 0)


def brute_force(logits_SV, labels):
    """The loss and its gradient from the definition: every path that spells the labels, one by one, in float64."""
    log_probs_SV = logits_SV - np.logaddexp.reduce(logits_SV, axis=1, keepdims=True)
    num_steps, num_classes = logits_SV.shape
    paths = [
        path for path in itertools.product(range(num_classes), repeat=num_steps) if collapse(path) == tuple(labels)
    ]
    scores = np.array([sum(log_probs_SV[step, label] for step, label in enumerate(path)) for path in paths])
    total = np.logaddexp.reduce(scores)
    posterior_SV = np.zeros_like(logits_SV)
    for path, score in zip(paths, scores, strict=True):
        posterior_SV[range(num_steps), path] += np.exp(score - total)
    return -total, np.exp(log_probs_SV) - posterior_SV


def padded(rows):
    """Labels as an array, padded with a label that must not count."""
    longest = max(len(labels) for _, labels in rows)
    labels_BL = np.array([labels + [2] * (longest - len(labels)) for _, labels in rows], np.int32)
    return (
        np.array([steps for steps, _ in rows], np.int32),
        labels_BL.reshape(len(rows), longest),
        np.array([len(labels) for _, labels in rows], np.int32),
    )


def loss_and_gradient_tensors(logits_BSV, num_steps_B, labels_BL, num_labels_B, *, implementation, upstream_B=None):
    with tf.GradientTape() as tape:
        tape.watch(logits_BSV)
        loss_B = ctc_loss(logits_BSV, num_steps_B, labels_BL, num_labels_B, implementation=implementation)
    return loss_B, tape.gradient(loss_B, logits_BSV, output_gradients=upstream_B)


def loss_and_gradient(logits_BSV, num_steps_B, labels_BL, num_labels_B, *, implementation, upstream_B=None):
    loss_B, gradient_BSV = loss_and_gradient_tensors(
        tf.convert_to_tensor(logits_BSV),
        num_steps_B,
        labels_BL,
        num_labels_B,
        implementation=implementation,
        upstream_B=upstream_B,
    )
    return loss_B.numpy(), gradient_BSV.numpy()


def ragged_batch(seed, *, batch=6, steps=40, classes=7, longest=12, scale=2.0):
    """Random logits and labels with few classes, so that neighbours repeat; an empty row and a row of one step."""
    rng = np.random.default_rng(seed)
    num_labels_B = rng.integers(1, longest + 1, batch)
    labels_BL = rng.integers(1, classes, [batch, longest])
    num_labels_B[0], num_labels_B[1] = 0, 1
    num_steps_B = rng.integers(2 * longest, steps + 1, batch)
    num_steps_B[1] = 1
    logits_BSV = scale * rng.normal(size=[batch, steps, classes])
    return logits_BSV.astype(np.float32), num_steps_B, labels_BL, num_labels_B


# --- Law 4: the loss is the sum over all paths --------------------------------------------------------------------


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@settings(max_examples=60)
@given(rows=ROWS, seed=st.integers(0, 1000))
def test_law_4_loss_and_gradient_equal_brute_force(implementation, rows, seed):
    rows = [(steps, labels) if lengths.is_feasible(steps, labels) else (steps, []) for steps, labels in rows]
    logits_BSV = 2 * np.random.default_rng(seed).normal(size=[len(rows), 6, 3]).astype(np.float32)
    loss_B, gradient_BSV = loss_and_gradient(logits_BSV, *padded(rows), implementation=implementation)
    for row, (steps, labels) in enumerate(rows):
        expected, gradient_SV = brute_force(logits_BSV[row, :steps].astype(np.float64), labels)
        assert loss_B[row] == pytest.approx(expected, abs=1e-4)
        np.testing.assert_allclose(gradient_BSV[row, :steps], gradient_SV, atol=2e-5)
        assert not gradient_BSV[row, steps:].any(), "padding must not learn"


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradient_equal_torchs(implementation, seed):
    torch = pytest.importorskip("torch")
    logits_BSV, num_steps_B, labels_BL, num_labels_B = ragged_batch(seed)
    upstream_B = np.random.default_rng(seed).normal(size=len(num_steps_B)).astype(np.float32)
    leaf_BSV = torch.tensor(logits_BSV.astype(np.float64), requires_grad=True)
    theirs_B = torch.nn.functional.ctc_loss(
        leaf_BSV.log_softmax(-1).transpose(0, 1),
        *(torch.tensor(part) for part in (labels_BL, num_steps_B, num_labels_B)),
        blank=0,
        reduction="none",
    )
    theirs_B.backward(torch.tensor(upstream_B.astype(np.float64)))
    loss_B, gradient_BSV = loss_and_gradient(
        logits_BSV, num_steps_B, labels_BL, num_labels_B, implementation=implementation, upstream_B=upstream_B
    )
    np.testing.assert_allclose(loss_B, theirs_B.detach(), rtol=1e-5)
    np.testing.assert_allclose(gradient_BSV, leaf_BSV.grad, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_inside_a_compiled_function_it_equals_the_kernel(seed):
    batch = [tf.constant(part) for part in ragged_batch(seed)]

    @tf.function(jit_compile=True)
    def compiled(logits_BSV, *rest):
        with tf.GradientTape() as tape:
            tape.watch(logits_BSV)
            loss_B = ctc_loss(logits_BSV, *rest, implementation="xla")
        return loss_B, tape.gradient(loss_B, logits_BSV)

    loss_B, gradient_BSV = compiled(*batch)
    expected_B, expected_BSV = loss_and_gradient(*batch, implementation="op")
    np.testing.assert_allclose(loss_B, expected_B, atol=1e-4, rtol=1e-6)
    np.testing.assert_allclose(gradient_BSV, expected_BSV, atol=1e-4)


@pytest.mark.parametrize("implementation", ["compiled", "xla"])
def test_it_stays_exact_over_many_steps_and_unlikely_labels(implementation):
    torch = pytest.importorskip("torch")
    # Blanks all over, each label some e^-30 a step: alphas far below what float32, and in sum float64, can hold.
    logits_BSV, num_steps_B, labels_BL, num_labels_B = ragged_batch(5, steps=600, longest=60, scale=3.0)
    logits_BSV[:, :, 0] += 30.0
    leaf_BSV = torch.tensor(logits_BSV.astype(np.float64), requires_grad=True)
    theirs_B = torch.nn.functional.ctc_loss(
        leaf_BSV.log_softmax(-1).transpose(0, 1),
        *(torch.tensor(part) for part in (labels_BL, num_steps_B, num_labels_B)),
        reduction="none",
    )
    theirs_B.sum().backward()
    assert theirs_B.max() > 1000
    loss_B, gradient_BSV = loss_and_gradient(
        logits_BSV, num_steps_B, labels_BL, num_labels_B, implementation=implementation
    )
    np.testing.assert_allclose(loss_B, theirs_B.detach(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradient_BSV, leaf_BSV.grad, atol=5e-4)


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("depth", [60.0, 79.5, 86.0, 88.0, 104.0, 300.0, 1e4])
def test_labels_that_are_as_good_as_impossible_have_their_loss_and_gradient(implementation, depth, in_graph):
    """TensorFlow's kernel sums probabilities of float32, and below e^-87.3 there is none."""
    logits_BSV = np.random.default_rng(0).normal(size=[4, 5, 3]).astype(np.float32)
    rows = [(5, [1, 2]), (4, [1]), (5, []), (3, [2, 1])]
    logits_BSV[0, :, 2] -= depth  # a label that is needed, all along
    logits_BSV[1, 1:3] -= np.array([0.0, depth, 0.0], np.float32)  # one that is not needed at these steps
    logits_BSV[2, :, 0] -= depth  # blanks, where there is nothing else
    labels = padded(rows)
    run = tf.function(loss_and_gradient_tensors) if in_graph else loss_and_gradient_tensors
    loss_B, gradient_BSV = run(tf.constant(logits_BSV), *map(tf.constant, labels), implementation=implementation)
    for row, (steps, row_labels) in enumerate(rows):
        expected, gradient_SV = brute_force(logits_BSV[row, :steps].astype(np.float64), row_labels)
        np.testing.assert_allclose(loss_B[row], expected, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(gradient_BSV[row, :steps], gradient_SV, atol=2e-5 + 1e-6 * depth)
        assert not np.any(gradient_BSV[row, steps:])


def test_the_kernel_runs_where_it_is_exact(monkeypatch):
    """Fails when every batch goes the long way round."""
    from speechgru import ctc

    monkeypatch.setattr(ctc, "_summed_loss", lambda *a, **k: pytest.fail("the kernel is exact for these logits"))
    loss_B, _ = loss_and_gradient(*ragged_batch(0), implementation="op")
    assert np.isfinite(loss_B).all()


def test_logits_that_are_no_number_give_a_loss_that_is_none():
    logits_BSV, *rest = ragged_batch(0)
    logits_BSV[0, 0, 1] = np.nan
    loss_B, _ = loss_and_gradient(logits_BSV, *rest, implementation="compiled")
    assert np.isnan(loss_B[0]) and np.isfinite(loss_B[1:]).all()


# --- Conventions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_class_0_is_the_blank(implementation):
    log_probs_BSV = np.log(np.array([[[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]]], np.float32))

    def probability(labels):
        arguments = [np.array([2]), np.array([[*labels, 0]]), np.array([len(labels)])]
        return np.exp(-loss_and_gradient(log_probs_BSV, *arguments, implementation=implementation)[0][0])

    assert probability([]) == pytest.approx(0.7 * 0.6)
    assert probability([1]) == pytest.approx(0.2 * 0.3 + 0.7 * 0.3 + 0.2 * 0.6)
    assert probability([2]) == pytest.approx(0.1 * 0.1 + 0.7 * 0.1 + 0.1 * 0.6)
    assert probability([1, 2]) == pytest.approx(0.2 * 0.1)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_row_is_the_same_alone_and_inside_any_batch(implementation):
    logits_BSV, num_steps_B, labels_BL, num_labels_B = ragged_batch(7)
    loss_B, gradient_BSV = loss_and_gradient(
        logits_BSV, num_steps_B, labels_BL, num_labels_B, implementation=implementation
    )
    for row, (steps, labels) in enumerate(zip(num_steps_B, num_labels_B, strict=True)):
        alone_B, alone_BSV = loss_and_gradient(
            logits_BSV[row : row + 1, :steps],
            num_steps_B[row : row + 1],
            labels_BL[row : row + 1, :labels],
            num_labels_B[row : row + 1],
            implementation=implementation,
        )
        assert loss_B[row] == pytest.approx(alone_B[0], rel=1e-6)
        np.testing.assert_allclose(gradient_BSV[row, :steps], alone_BSV[0], atol=1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_half_precision_logits_are_summed_in_float32(implementation):
    logits_BSV, *rest = ragged_batch(3)
    half_BSV = logits_BSV.astype(np.float16)
    loss_B, gradient_BSV = loss_and_gradient(half_BSV, *rest, implementation=implementation)
    expected_B, expected_BSV = loss_and_gradient(half_BSV.astype(np.float32), *rest, implementation=implementation)
    assert (loss_B.dtype, gradient_BSV.dtype) == (np.float32, np.float16)
    np.testing.assert_array_equal(loss_B, expected_B)
    np.testing.assert_allclose(gradient_BSV, expected_BSV, atol=1e-3)


# --- What cannot be spelled ---------------------------------------------------------------------------------------


@given(rows=ROWS)
def test_feasibility_of_a_batch_is_that_of_its_rows(rows):
    expected = [lengths.is_feasible(steps, labels) for steps, labels in rows]
    assert is_feasible(*map(tf.constant, padded(rows))).numpy().tolist() == expected


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_an_infeasible_row_is_infinite_teaches_nothing_and_leaves_its_mates_alone(implementation):
    logits_BSV = np.random.default_rng(0).normal(size=[5, 4, 4]).astype(np.float32)
    num_steps_B = np.array([2, 2, 4, 0, 4])
    labels_BL = np.array([[1, 1, 0], [1, 2, 1], [3, 3, 1], [0, 0, 0], [0, 0, 0]])
    num_labels_B = np.array([2, 3, 3, 0, 0])
    loss_B, gradient_BSV = loss_and_gradient(
        logits_BSV, num_steps_B, labels_BL, num_labels_B, implementation=implementation
    )
    assert np.isinf(loss_B).tolist() == [True, True, False, True, False]
    assert np.isfinite(gradient_BSV).all()
    assert not gradient_BSV[[0, 1, 3]].any()
    for row in (2, 4):
        labels = labels_BL[row, : num_labels_B[row]].tolist()
        expected, gradient_SV = brute_force(logits_BSV[row].astype(np.float64), labels)
        assert loss_B[row] == pytest.approx(expected, abs=1e-4)
        np.testing.assert_allclose(gradient_BSV[row], gradient_SV, atol=2e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_batch_without_any_label_is_all_blanks(implementation):
    logits_BSV = np.random.default_rng(1).normal(size=[2, 3, 4]).astype(np.float32)
    loss_B, gradient_BSV = loss_and_gradient(
        logits_BSV, np.array([3, 2]), np.zeros([2, 0], np.int32), np.array([0, 0]), implementation=implementation
    )
    for row, steps in enumerate((3, 2)):
        expected, gradient_SV = brute_force(logits_BSV[row, :steps].astype(np.float64), [])
        assert loss_B[row] == pytest.approx(expected, abs=1e-5)
        np.testing.assert_allclose(gradient_BSV[row, :steps], gradient_SV, atol=1e-5)


def test_another_implementation_is_refused():
    with pytest.raises(ValueError, match="implementation must be auto, compiled, op or xla, got 'cuda'"):
        ctc_loss(tf.zeros([1, 2, 3]), [2], tf.constant([[1]]), [1], implementation="cuda")


def test_a_quiet_start_costs_what_the_blank_lacks_there_and_no_more_than_half_of_an_utterance():
    logits_BSV = np.random.default_rng(0).normal(size=[4, 9, 3]).astype(np.float32)
    num_steps_B = np.array([9, 5, 1, 0], np.int32)
    loss_B = quiet_start_loss(tf.constant(logits_BSV), tf.constant(num_steps_B), quiet_steps=3).numpy()
    log_probs_BSV = logits_BSV - np.logaddexp.reduce(logits_BSV, axis=2, keepdims=True)
    expected_B = [-log_probs_BSV[0, :3, 0].sum(), -log_probs_BSV[1, :2, 0].sum(), 0.0, 0.0]
    np.testing.assert_allclose(loss_B, expected_B, rtol=1e-5)
    longer_B = quiet_start_loss(tf.constant(logits_BSV), tf.constant(num_steps_B), quiet_steps=50).numpy()
    np.testing.assert_allclose(longer_B[0], -log_probs_BSV[0, :4, 0].sum(), rtol=1e-5)


def test_only_forward_models_ask_for_a_quiet_start_by_default():
    from speechgru.config.sections import RunConfig

    def asked(**sections):
        return RunConfig.model_validate(sections).quiet_start_ms

    assert asked() == asked(model={"direction": "chunked"}) == 0.0
    assert asked(model={"direction": "forward"}) == 200.0
    assert asked(model={"direction": "forward"}, train={"quiet_start_ms": 0.0}) == 0.0
    assert asked(train={"quiet_start_ms": 120.0}) == 120.0
