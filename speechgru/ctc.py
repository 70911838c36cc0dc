"""The CTC loss over real lengths: compiled code, the sum over all paths written for XLA, or TensorFlow's C++ kernel."""

from __future__ import annotations

import functools
import importlib.util
import itertools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from speechgru.errors import UserError
from speechgru.processors import num_threads
from speechgru.text import BLANK_ID

Implementation = Literal["auto", "compiled", "op", "xla"]

#: Looked up here, because AutoGraph warns of calls that it cannot read, and this is read while a step is traced.
_HAS_NUMBA = importlib.util.find_spec("numba") is not None

#: The logarithm of no probability. Finite: the difference of two infinities would be NaN.
_NEVER = -1e30
#: The kernel sums probabilities of float32, which below e^-87.3 are 0: a path over one of them would be no path.
_LEAST_OF_KERNEL = -80.0
#: Padded steps and labels are rounded up to these, so that XLA compiles few programs and not one a batch.
_STEP_MULTIPLE, _LABEL_MULTIPLE = 64, 16


def ctc_loss(
    logits_BSV: tf.Tensor,
    num_steps_B: tf.Tensor,
    labels_BL: tf.Tensor,
    num_labels_B: tf.Tensor,
    *,
    implementation: Implementation = "auto",
) -> tf.Tensor:
    """The negative natural log-probability of each utterance's labels, summed over all paths that spell them.

    Always in float32, also inside mixed precision. Padding changes neither the loss nor the gradient of a row.

    Args:
        logits_BSV: unnormalised scores; class `BLANK_ID` is the blank. Steps beyond a row's length do not count.
        num_steps_B: real steps, integers.
        labels_BL: labels from 1, below V; entries beyond a row's length do not count.
        num_labels_B: real labels, integers; 0 for an empty transcript.
        implementation: values and gradients are the same. `compiled` is machine code for CPUs (`ctc_kernel`), the
            fastest there. `xla` is compiled by XLA, alone or as part of a caller's `jit_compile=True`, in a third of a
            second for every new shape; steps and labels are padded to multiples of 64 and 16, so that shapes come
            back. `op` is TensorFlow's C++ kernel over sparse labels, which compiles nothing and is itself some fifteen
            times faster than the dense path that `keras.losses.CTC` takes; it exists on CPUs and GPUs only, and not
            under `jit_compile=True`. To it a label below a probability of some e^-87 is impossible: a batch with a
            needed one near that is computed as `xla` does it, by operations. `auto` is `op` where there is a GPU,
            else `compiled`, or `xla` without Numba.

    Returns:
        `loss_B`, float32, in nats; infinite, with a gradient of zeros, where a row's steps cannot spell its labels
        (`is_feasible`). No such row reaches training: `lengths.is_feasible` is asked beforehand, and `check` and
        training leave such utterances out and name them.

    Raises:
        ValueError: no such implementation.

    Source: Graves et al. 2006, "Connectionist Temporal Classification", equations 6 to 16.
    """
    implementation = resolve_implementation(implementation)
    logits_BSV = tf.cast(logits_BSV, tf.float32)
    num_steps_B, labels_BL, num_labels_B = (tf.cast(t, tf.int32) for t in (num_steps_B, labels_BL, num_labels_B))
    feasible_B = is_feasible(num_steps_B, labels_BL, num_labels_B)
    # A row that cannot be spelled is computed as another one, an empty transcript of one step or more, and then
    # overwritten: infinity inside the sums would become NaN in the gradient, which no `where` takes out again.
    num_labels_B = tf.where(feasible_B, num_labels_B, 0)
    num_steps_B = tf.where(feasible_B, num_steps_B, tf.maximum(num_steps_B, 1))
    loss_of = {"compiled": _compiled_loss, "op": _op_loss, "xla": _xla_loss}[implementation]
    loss_B = loss_of(logits_BSV, num_steps_B, labels_BL, num_labels_B)
    return tf.where(feasible_B, loss_B, float("inf"))


def resolve_implementation(implementation: Implementation) -> Literal["compiled", "op", "xla"]:
    """What `auto` means here; the others are themselves.

    Raises:
        ValueError: no such implementation.
        UserError: it is not installed.
    """
    if implementation not in ("auto", "compiled", "op", "xla"):
        raise ValueError(f"implementation must be auto, compiled, op or xla, got {implementation!r}")
    if implementation == "compiled" and not _HAS_NUMBA:
        raise UserError("ctc: compiled needs Numba, which is not installed; pip install numba, or set it to auto")
    if implementation != "auto":
        return implementation
    if tf.config.list_logical_devices("GPU"):
        # XLA for a GPU needs parts of CUDA that a pip installation often lacks.
        return "op"
    return "compiled" if _HAS_NUMBA else "xla"


def quiet_start_loss(logits_BSV: tf.Tensor, num_steps_B: tf.Tensor, *, quiet_steps: int) -> tf.Tensor:
    """What it costs each utterance not to begin with blanks: minus the sum of the blank's log-probabilities there.

    CTC does not say when a label is written. A model that sees the future puts the first label where it knows it; one
    that does not soon learns that some label comes first, writes the most frequent one at the first step, and stays
    there, for a later step only pays once the first is given up. With this beside the CTC loss it has seen something
    of the first label before it may write it, and learns the right time from there.

    Args:
        logits_BSV: unnormalised scores; class `BLANK_ID` is the blank.
        num_steps_B: real steps, integers.
        quiet_steps: steps that should be blank; of a short utterance the first half at most.

    Returns:
        `loss_B`, float32, in nats.
    """
    blank_BS = tf.nn.log_softmax(tf.cast(logits_BSV[:, :quiet_steps], tf.float32))[:, :, BLANK_ID]
    is_quiet_BS = tf.sequence_mask(tf.minimum(num_steps_B // 2, quiet_steps), tf.shape(blank_BS)[1])
    return -tf.reduce_sum(tf.where(is_quiet_BS, blank_BS, 0.0), axis=1)


def is_feasible(num_steps_B: tf.Tensor, labels_BL: tf.Tensor, num_labels_B: tf.Tensor) -> tf.Tensor:
    """`lengths.is_feasible` of every row of a batch, as booleans: enough steps for the labels and for a blank between
    equal neighbours, and one step at least."""
    repeats_BL = tf.equal(labels_BL[:, 1:], labels_BL[:, :-1])
    inside_BL = tf.range(1, tf.maximum(tf.shape(labels_BL)[1], 1)) < num_labels_B[:, None]
    num_repeats_B = tf.math.count_nonzero(repeats_BL & inside_BL, axis=1, dtype=tf.int32)
    return num_steps_B >= tf.maximum(1, num_labels_B + num_repeats_B)


def _compiled_loss(
    logits_BSV: tf.Tensor, num_steps_B: tf.Tensor, labels_BL: tf.Tensor, num_labels_B: tf.Tensor
) -> tf.Tensor:
    run = functools.partial(_run_kernel, threads=num_threads())

    @tf.custom_gradient
    def loss(logits_BSV: tf.Tensor) -> tuple[tf.Tensor, Any]:
        operands = [logits_BSV, num_steps_B, labels_BL, num_labels_B]
        loss_B, gradient_BSV = tf.numpy_function(run, operands, [tf.float32, tf.float32], stateful=False)
        loss_B.set_shape(logits_BSV.shape[:1])
        gradient_BSV.set_shape(logits_BSV.shape)
        return loss_B, lambda upstream_B: upstream_B[:, None, None] * gradient_BSV

    return loss(logits_BSV)


def _run_kernel(
    logits_BSV: np.ndarray, num_steps_B: np.ndarray, labels_BL: np.ndarray, num_labels_B: np.ndarray, *, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """`loss_B` and d loss / d logits."""
    from speechgru.ctc_kernel import loss_and_gradient
    from speechgru.jit import empty, run_beside

    batch, num_steps, _ = logits_BSV.shape
    num_places = 2 * labels_BL.shape[1] + 3
    loss_B, gradient_BSV = np.empty(batch, np.float64), empty(logits_BSV.shape)

    def run(first: int, end: int) -> None:
        loss_and_gradient(
            logits_BSV,
            num_steps_B,
            labels_BL,
            num_labels_B,
            BLANK_ID,
            first,
            end,
            np.empty((num_steps, num_places), np.float32),
            np.empty((num_steps, num_places), np.float32),
            np.empty((3, num_places), np.float32),
            np.empty(num_places, np.int64),
            loss_B,
            gradient_BSV,
        )

    edges = [batch * part // threads for part in range(threads + 1)]
    run_beside([functools.partial(run, *edge) for edge in itertools.pairwise(edges)], num_threads=threads)
    return loss_B.astype(np.float32), gradient_BSV


def _op_loss(logits_BSV: tf.Tensor, num_steps_B: tf.Tensor, labels_BL: tf.Tensor, num_labels_B: tf.Tensor) -> tf.Tensor:
    operands = [logits_BSV, num_steps_B, labels_BL, num_labels_B]
    # Rare, and then needed: a model that is sure of a wrong label learns most from the row, and the kernel would give
    # an infinite loss, for which training drops the whole batch.
    return tf.cond(
        _least_log_prob(*operands) < _LEAST_OF_KERNEL,
        lambda: _summed_loss(*operands, function=_loss_and_gradient_by_operations),
        lambda: _kernel_loss(*operands),
    )


def _least_log_prob(
    logits_BSV: tf.Tensor, num_steps_B: tf.Tensor, labels_BL: tf.Tensor, num_labels_B: tf.Tensor
) -> tf.Tensor:
    """The least log-probability of a batch, among those that its rows' paths are made of: blanks and own labels."""
    num_steps, num_labels = tf.shape(logits_BSV)[1], tf.shape(labels_BL)[1]
    own_BL = tf.where(tf.sequence_mask(num_labels_B, num_labels), labels_BL, BLANK_ID)
    own_BSL = tf.gather(logits_BSV, tf.pad(own_BL, [[0, 0], [0, 1]], constant_values=BLANK_ID), axis=2, batch_dims=1)
    least_BS = tf.reduce_min(own_BSL, axis=2) - tf.reduce_logsumexp(logits_BSV, axis=2)
    return tf.reduce_min(tf.where(tf.sequence_mask(num_steps_B, num_steps), least_BS, 0.0))


def _kernel_loss(
    logits_BSV: tf.Tensor, num_steps_B: tf.Tensor, labels_BL: tf.Tensor, num_labels_B: tf.Tensor
) -> tf.Tensor:
    # The kernel refuses a row without labels. Such a row gets a stand-in label here and its own formula below: the
    # only path that spells nothing is all blanks.
    is_empty_B = tf.equal(num_labels_B, 0)
    labels_BL = tf.where(is_empty_B[:, None], BLANK_ID + 1, tf.pad(labels_BL, [[0, 0], [0, 1]]))
    indices = tf.where(tf.sequence_mask(tf.maximum(num_labels_B, 1), tf.shape(labels_BL)[1]))
    loss_B = tf.nn.ctc_loss(
        labels=tf.SparseTensor(indices, tf.gather_nd(labels_BL, indices), tf.shape(labels_BL, out_type=tf.int64)),
        logits=logits_BSV,
        label_length=None,
        logit_length=num_steps_B,
        logits_time_major=False,
        blank_index=BLANK_ID,
    )

    def all_blank_loss() -> tf.Tensor:
        blank_log_probs_BS = tf.nn.log_softmax(logits_BSV)[:, :, BLANK_ID]
        is_real_BS = tf.sequence_mask(num_steps_B, tf.shape(logits_BSV)[1])
        return -tf.reduce_sum(tf.where(is_real_BS, blank_log_probs_BS, 0.0), axis=1)

    return tf.cond(tf.reduce_any(is_empty_B), lambda: tf.where(is_empty_B, all_blank_loss(), loss_B), lambda: loss_B)


def _xla_loss(
    logits_BSV: tf.Tensor, num_steps_B: tf.Tensor, labels_BL: tf.Tensor, num_labels_B: tf.Tensor
) -> tf.Tensor:
    num_steps, num_labels = tf.shape(logits_BSV)[1], tf.shape(labels_BL)[1]
    labels_BL = tf.pad(labels_BL, [[0, 0], [0, -num_labels % _LABEL_MULTIPLE]])
    logits_BSV = tf.pad(logits_BSV, [[0, 0], [0, -num_steps % _STEP_MULTIPLE], [0, 0]])
    return _summed_loss(logits_BSV, num_steps_B, labels_BL, num_labels_B, function=_loss_and_gradient_by_xla)


def _summed_loss(
    logits_BSV: tf.Tensor,
    num_steps_B: tf.Tensor,
    labels_BL: tf.Tensor,
    num_labels_B: tf.Tensor,
    *,
    function: Callable[..., tuple[tf.Tensor, tf.Tensor]],
) -> tf.Tensor:
    """The loss by `_loss_and_gradient`, in one of its two forms."""
    # One label at least, so that every shape has a label axis to work on.
    labels_BL = tf.pad(labels_BL, [[0, 0], [0, tf.cast(tf.shape(labels_BL)[1] == 0, tf.int32)]])

    # The loop yields the gradient in closed form. Automatic differentiation would keep every state of every step and
    # run a second loop backwards, where the backward recursion already runs beside the forward one.
    @tf.custom_gradient
    def loss(logits_BSV: tf.Tensor) -> tuple[tf.Tensor, Any]:
        # Stopped, or an eager tape would have the loop inside made ready for a gradient of its own.
        stopped_BSV = tf.stop_gradient(logits_BSV)
        loss_B, gradient_BSV = function(stopped_BSV, num_steps_B, labels_BL, num_labels_B)
        return loss_B, lambda upstream_B: upstream_B[:, None, None] * gradient_BSV

    return loss(logits_BSV)


def _loss_and_gradient(
    logits_BSV: tf.Tensor, num_steps_B: tf.Tensor, labels_BL: tf.Tensor, num_labels_B: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """`loss_B` and d loss / d logits, by the forward and the backward recursion side by side in one loop.

    A row of n labels has n + 1 blank states, b_0 to b_n, around its label states l_0 to l_(n-1). With y the
    log-probabilities of a step, and sums as log-sum-exp, a step of the forward recursion is

        b_i' = y(blank) + sum(b_i, l_(i-1))
        l_i' = y(label i) + sum(l_i, b_i, l_(i-1) unless the labels i-1 and i are equal)

    The backward recursion is the same one over steps and labels in reverse order, so both run as one batch of 2 B
    rows (here axis C). Three tricks:

    - A padded step is a blank for certain. So b_n is left alone once it holds the whole probability, all rows end
      together, and plain reversal serves ragged rows; those that go backwards start at their own last blank.
    - Every step subtracts the row's largest state and keeps the sum of what was subtracted (Rabiner 1989, section
      V.A, in logarithms): the states stay near 0, where float32 is fine. Without it 400 steps cost three digits of
      the gradient.
    - The gradient needs the posterior of the label states only, since those of a step add up to 1 with the blank's.
    """
    batch, steps, classes = tf.unstack(tf.shape(logits_BSV))
    width = tf.shape(labels_BL)[1]
    is_step_BS = tf.sequence_mask(num_steps_B, steps)
    log_probs_BSV = tf.nn.log_softmax(logits_BSV)
    blank_BS = tf.where(is_step_BS, log_probs_BSV[:, :, BLANK_ID], 0.0)
    label_BSL = tf.where(is_step_BS[:, :, None], tf.gather(log_probs_BSV, labels_BL, axis=2, batch_dims=1), _NEVER)
    differs_BL = tf.not_equal(labels_BL[:, 1:], labels_BL[:, :-1])

    blank_SC = tf.transpose(tf.concat([blank_BS, blank_BS[:, ::-1]], axis=0))
    label_SCL = tf.transpose(tf.concat([label_BSL, label_BSL[:, ::-1, ::-1]], axis=0), [1, 0, 2])
    skip_CL = tf.where(tf.concat([differs_BL, differs_BL[:, ::-1]], axis=0), 0.0, _NEVER)
    first_C = tf.concat([tf.zeros_like(num_labels_B), width - num_labels_B], axis=0)
    blanks_CL = tf.one_hot(first_C, width + 1, on_value=0.0, off_value=_NEVER)  # one state more than labels
    labels_CL = tf.fill([2 * batch, width], _NEVER)
    arrived = tf.TensorArray(tf.float32, size=steps, element_shape=[None, None])
    scales = tf.TensorArray(tf.float32, size=steps, element_shape=[None])

    def one_step(step: Any, blanks_CL: Any, labels_CL: Any, arrived: Any, scales: Any) -> tuple:
        before_CL = tf.pad(labels_CL, [[0, 0], [1, 0]], constant_values=_NEVER)
        skipped_CL = tf.pad(labels_CL[:, :-1] + skip_CL, [[0, 0], [1, 0]], constant_values=_NEVER)
        arrived_CL = _log_sum_exp(labels_CL, blanks_CL[:, :-1], skipped_CL)
        blanks_CL = _log_sum_exp(blanks_CL, before_CL) + blank_SC[step][:, None]
        labels_CL = arrived_CL + label_SCL[step]
        scale_C = tf.maximum(tf.reduce_max(blanks_CL, axis=1), tf.reduce_max(labels_CL, axis=1))
        return (
            step + 1,
            blanks_CL - scale_C[:, None],
            labels_CL - scale_C[:, None],
            arrived.write(step, arrived_CL),
            scales.write(step, scale_C),
        )

    _, blanks_CL, labels_CL, arrived, scales = tf.while_loop(
        lambda step, *_: step < steps, one_step, [0, blanks_CL, labels_CL, arrived, scales], maximum_iterations=steps
    )
    # A row without padding ends in its last blank or its last label. A padded row's label states got _NEVER at the
    # padding, so the same sum leaves its last blank alone.
    last_label_BL = tf.pad(labels_CL[:batch], [[0, 0], [1, 0]], constant_values=_NEVER)
    end_B = _log_sum_exp(
        *(tf.gather(states, num_labels_B, axis=1, batch_dims=1) for states in (blanks_CL[:batch], last_label_BL))
    )
    scale_SC = scales.stack()
    total_B = tf.reduce_sum(scale_SC[:, :batch], axis=0)

    # What was subtracted before a step, forward and backward, less the total. All three are large and nearly cancel,
    # so each step's mean share is taken off first: of n steps both directions together have subtracted n - 1.
    mean_B = total_B / tf.cast(num_steps_B, tf.float32)
    is_step_SC = tf.transpose(tf.concat([is_step_BS, is_step_BS[:, ::-1]], axis=0))
    apart_SC = scale_SC - tf.where(is_step_SC, tf.tile(mean_B, [2]), 0.0)
    before_SC = tf.cumsum(apart_SC, axis=0, exclusive=True)
    scale_SB = before_SC[:, :batch] + before_SC[::-1, batch:] - tf.reduce_sum(apart_SC[:, :batch], axis=0)
    scale_SB -= mean_B + end_B
    arrived_SCL = arrived.stack()
    posterior_SBL = tf.exp(
        arrived_SCL[:, :batch] + label_SCL[:, :batch] + arrived_SCL[::-1, batch:, ::-1] + scale_SB[:, :, None]
    )
    posterior_SBL = tf.where(tf.sequence_mask(num_labels_B, width)[None], posterior_SBL, 0.0)
    # A label may occur at several places, whose posteriors add up to its class's: one product with one-hot rows.
    by_class_BSV = tf.matmul(tf.transpose(posterior_SBL, [1, 0, 2]), tf.one_hot(labels_BL, classes))
    blank_BS1 = 1.0 - tf.reduce_sum(by_class_BSV, axis=2, keepdims=True)
    by_class_BSV += blank_BS1 * tf.one_hot(BLANK_ID, classes)
    gradient_BSV = tf.where(is_step_BS[:, :, None], tf.exp(log_probs_BSV) - by_class_BSV, 0.0)
    return -(total_B + end_B), gradient_BSV


_SIGNATURE = [
    tf.TensorSpec([None, None, None], tf.float32),
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None, None], tf.int32),
    tf.TensorSpec([None], tf.int32),
]
_loss_and_gradient_by_xla = tf.function(
    _loss_and_gradient, autograph=False, input_signature=_SIGNATURE, jit_compile=True
)
_loss_and_gradient_by_operations = tf.function(_loss_and_gradient, autograph=False, input_signature=_SIGNATURE)


def _log_sum_exp(*terms: tf.Tensor) -> tf.Tensor:
    largest = terms[0]
    for term in terms[1:]:
        largest = tf.maximum(largest, term)
    return largest + tf.math.log(tf.add_n([tf.exp(term - largest) for term in terms]))
