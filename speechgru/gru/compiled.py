"""The GRU for training on a CPU as machine code: `recurrence`, called from a TensorFlow graph.

A layer is one operation forward and one backward: all its products and steps, of all directions, in threads beside each
other. Nothing is transposed, stacked or joined: a direction reads the inputs and writes its own columns. `fused` does
the same by some thousand operations of TensorFlow, which are traced, dispatched and passed over one by one
(`scripts/bench_gru.py` times both).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.gru.fused import refuse_second_derivative
from speechgru.processors import num_threads


def obstacle(*, reset_after: bool, compute_dtype: str, variable_dtype: str) -> str | None:
    """Why the compiled code cannot run a layer here, as a sentence; None if it can."""
    if tf.config.list_logical_devices("GPU"):
        return "its code is for CPUs, and there is a GPU"
    if not reset_after:
        return "it has no reset_after=False"
    if (compute_dtype, variable_dtype) != ("float32", "float32"):
        return f"it has float32 alone, and the layer computes in {compute_dtype} over {variable_dtype}"
    return _missing_package()


@functools.cache
def _missing_package() -> str | None:
    try:
        import speechgru.gru.recurrence  # noqa: F401
    except ImportError as error:
        return f"it needs Numba: {error}"
    return None


def compiled_gru(
    inputs_BTF: tf.Tensor,
    *,
    initial_states_BU: Sequence[tf.Tensor],
    kernels_FG: Sequence[tf.Tensor],
    recurrent_kernels_UG: Sequence[tf.Tensor],
    biases_2G: Sequence[tf.Tensor | None],
    recurrent_masks_BU: Sequence[tf.Tensor | None],
    backwards: Sequence[bool],
    valid_BT: tf.Tensor | None = None,
    update_gate: str = "keep",
    keep: bool = True,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Runs the directions of a GRU layer over whole sequences, float32; differentiable once.

    Every sequence of arguments has one element for each direction.

    Args:
        inputs_BTF: the inputs of all directions.
        initial_states_BU: the states before the first processed frame.
        kernels_FG, recurrent_kernels_UG: weights, gates in the order z, r, h.
        biases_2G: the input bias and the recurrent one, or None.
        recurrent_masks_BU: recurrent dropout's masks, which multiply the state in the recurrent products, or None.
        backwards: whether from the last frame to the first.
        valid_BT: booleans; at a frame that is not valid the state passes unchanged. None: all are.
        update_gate: see `GRUCell`.
        keep: whether what the backward pass needs is kept. Without, a backward pass runs the forward pass again.

    Returns:
        outputs_BTY, the directions beside each other, 0 at frames that are not valid; each direction's last state.

    Raises:
        NotImplementedError: a gradient of the gradient is asked for.
    """
    units = recurrent_kernels_UG[0].shape[0]
    layer = _Layer(backwards, update_gate=update_gate, keep=keep)
    masks = [mask for mask in recurrent_masks_BU if mask is not None]
    outputs_BTY, *states = layer(
        inputs_BTF,
        *initial_states_BU,
        *kernels_FG,
        *recurrent_kernels_UG,
        *(tf.zeros([2, 3 * units]) if bias_2G is None else bias_2G for bias_2G in biases_2G),
        valid_BT=tf.zeros([0, 0], tf.bool) if valid_BT is None else valid_BT,
        masks_DBU=tf.stack(masks) if masks else tf.zeros([len(backwards), 0, 0]),
    )
    outputs_BTY.set_shape([*inputs_BTF.shape[:2], len(backwards) * units])
    for state, before in zip(states, initial_states_BU, strict=True):
        state.set_shape(before.shape)
    return outputs_BTY, states


class _Layer:
    """The directions of a layer as one operation with a gradient.

    Args:
        backwards: of each direction.
        update_gate, keep: as in `compiled_gru`.
    """

    def __init__(self, backwards: Sequence[bool], *, update_gate: str, keep: bool) -> None:
        from speechgru.gru.recurrence import Recurrence

        threads = num_threads(tf.config.threading.get_intra_op_parallelism_threads())
        self._recurrence = Recurrence(backwards, update_gate=update_gate, num_threads=threads)
        self._num_directions, self._keep = len(backwards), keep

    def __call__(self, *differentiated: tf.Tensor, valid_BT: tf.Tensor, masks_DBU: tf.Tensor) -> Sequence[tf.Tensor]:
        """Operands as `recurrence.Operands` has them; gives outputs_BTY and the last state of each direction."""

        @tf.custom_gradient
        def layer(*differentiated: tf.Tensor) -> tuple[Sequence[tf.Tensor], Any]:
            operands = (*differentiated, valid_BT, masks_DBU)

            def forward(keep: bool) -> list[tf.Tensor]:
                function = functools.partial(self._recurrence.forward, keep=keep)
                return _operation(function, operands, count=2 + self._num_directions)

            *results, kept_BTK = forward(self._keep)

            def gradient(*upstream: tf.Tensor) -> Sequence[tf.Tensor]:
                # TensorFlow knows nothing of what the code inside computes: a second derivative would be wrong,
                # silently.
                @tf.custom_gradient
                def once(*upstream: tf.Tensor) -> tuple[Sequence[tf.Tensor], Any]:
                    kept = kept_BTK if self._keep else forward(True)[-1]
                    gradients = _operation(
                        self._recurrence.backward, [*upstream, kept, *operands], count=len(differentiated)
                    )
                    for part, operand in zip(gradients, differentiated, strict=True):
                        part.set_shape(operand.shape)
                    return gradients, refuse_second_derivative

                return once(*upstream)

            return results, gradient

        return layer(*differentiated)


def _operation(
    function: Callable[..., tuple[np.ndarray, ...]], operands: Sequence[tf.Tensor], *, count: int
) -> list[tf.Tensor]:
    """A function of arrays as an operation of the graph; pure, so that TensorFlow may order and drop it."""
    return list(tf.numpy_function(function, operands, [tf.float32] * count, stateful=False))
