"""Dropout and layer normalisation for training on a CPU as machine code: `kernels`, called from a TensorFlow graph.

The values, masks and gradients of TensorFlow's operations, which pass over a batch a dozen times, in one thread each.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.processors import num_threads

#: Numbers below which a thread more costs more than it brings: some 0.1 ms of work.
_LEAST_NUMBERS = 200_000


def dropout(inputs: tf.Tensor, *, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """What `tf.nn.experimental.stateless_dropout` gives on a CPU, to the bit; differentiable.

    Args:
        inputs: float32.
        rate: the share of numbers that become 0, from 0 and below 1; the others are divided by what is left.
        seed: integers [2].
    """
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    return _dropped(inputs, key, counter, rate=rate)


def _dropped(values: tf.Tensor, key: tf.Tensor, counter: tf.Tensor, *, rate: float) -> tf.Tensor:
    # It is linear: its gradient is itself.
    @tf.custom_gradient
    def dropped(values: tf.Tensor) -> tuple[tf.Tensor, Any]:
        outputs = tf.numpy_function(
            functools.partial(_run_dropout, rate=rate), [values, key, counter], tf.float32, stateful=False
        )
        outputs.set_shape(values.shape)
        return outputs, lambda upstream: _dropped(upstream, key, counter, rate=rate)

    return dropped(values)


def _run_dropout(values: np.ndarray, key: np.ndarray, counter: np.ndarray, *, rate: float) -> np.ndarray:
    from speechgru.jit import empty
    from speechgru.model.kernels import BLOCKS, dropout

    outputs, scale = empty(values.shape), np.float32(1 / (1 - rate))
    least = np.uint32(math.ceil(float(np.float32(rate)) * 2**23))
    flat_I, outputs_I = values.reshape(-1), outputs.reshape(-1)

    def run(first: int, end: int) -> None:
        numbers = np.empty(4 * BLOCKS, np.uint32)
        dropout(flat_I, key[0], counter[0], counter[1], least, scale, first, end, numbers, outputs_I)

    _run_parts(run, len(flat_I), width=1, multiple=4 * BLOCKS)
    return outputs


def layer_norm(inputs: tf.Tensor, gamma_D: tf.Tensor, beta_D: tf.Tensor, *, epsilon: float) -> tf.Tensor:
    """Layer normalisation over the last axis, float32; differentiable once.

    Args:
        inputs: numbers of any number of axes.
        gamma_D, beta_D: scale and shift.
        epsilon: is added to the variance.

    Raises:
        NotImplementedError: a gradient of the gradient is asked for.
    """

    @tf.custom_gradient
    def normalized(*operands: tf.Tensor) -> tuple[tf.Tensor, Any]:
        outputs = tf.numpy_function(
            functools.partial(_run_normalize, epsilon=epsilon), operands, tf.float32, stateful=False
        )
        outputs.set_shape(inputs.shape)

        def gradient(upstream: tf.Tensor) -> Any:
            # TensorFlow knows nothing of what the code inside computes: a second derivative would be wrong, silently.
            @tf.custom_gradient
            def once(upstream: tf.Tensor) -> tuple[Any, Any]:
                x, gamma_D, _ = operands
                function = functools.partial(_run_normalize_backward, epsilon=epsilon)
                gradients = tf.numpy_function(function, [upstream, x, gamma_D], [tf.float32] * 3, stateful=False)
                for part, operand in zip(gradients, operands, strict=True):
                    part.set_shape(operand.shape)
                return gradients, _refuse_second_derivative

            return once(upstream)

        return outputs, gradient

    return normalized(inputs, gamma_D, beta_D)


def _run_normalize(inputs: np.ndarray, gamma_D: np.ndarray, beta_D: np.ndarray, *, epsilon: float) -> np.ndarray:
    from speechgru.jit import empty
    from speechgru.model.kernels import normalize

    outputs = empty(inputs.shape)
    inputs_RD, outputs_RD = (array.reshape(-1, len(gamma_D)) for array in (inputs, outputs))
    _run_parts(
        lambda first, end: normalize(inputs_RD, gamma_D, beta_D, np.float32(epsilon), first, end, outputs_RD),
        len(inputs_RD),
        width=len(gamma_D),
    )
    return outputs


def _run_normalize_backward(
    upstream: np.ndarray, inputs: np.ndarray, gamma_D: np.ndarray, *, epsilon: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from speechgru.jit import empty
    from speechgru.model.kernels import normalize_backward

    d_inputs, width = empty(inputs.shape), len(gamma_D)
    upstream_RD, inputs_RD, d_inputs_RD = (array.reshape(-1, width) for array in (upstream, inputs, d_inputs))

    def run(first: int, end: int) -> np.ndarray:
        sums_2D = np.zeros((2, width), np.float32)
        normalize_backward(upstream_RD, inputs_RD, gamma_D, np.float32(epsilon), first, end, d_inputs_RD, *sums_2D)
        return sums_2D

    d_gamma_D, d_beta_D = sum(_run_parts(run, len(inputs_RD), width=width), np.zeros((2, width), np.float32))
    return d_inputs, d_gamma_D, d_beta_D


def _run_parts(run: Callable[[int, int], Any], count: int, *, width: int, multiple: int = 1) -> list[Any]:
    """Runs `run(first, end)` over equal parts of `count` rows in threads; all but the last end at a multiple."""
    from speechgru.jit import run_beside

    parts = max(1, min(num_threads(), count * width // _LEAST_NUMBERS))
    edges = [count * part // parts // multiple * multiple for part in range(parts)] + [count]
    return run_beside([functools.partial(run, *edge) for edge in itertools.pairwise(edges)], num_threads=num_threads())


def _refuse_second_derivative(*upstream: tf.Tensor) -> None:
    """The gradient of a gradient that was derived by hand.

    Raises:
        NotImplementedError: always; names the way out.
    """
    raise NotImplementedError(
        "the compiled layer normalisation has no second-order gradient: build the model within "
        "speechgru.native.operations_only() to differentiate a gradient."
    )
