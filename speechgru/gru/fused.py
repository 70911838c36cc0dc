"""The GRU for training on a CPU: large products outside the loop, a small loop, and a hand-derived backward pass.

Keras's loop does a dozen small operations a frame in both passes, and lets autodiff keep every intermediate. Here:

- frames are run in blocks of `BLOCK`: the input product, the copies and the factors of the backward pass that do not
  depend on the state are large operations, once a block; a step has one product and a few elementwise operations;
- the backward loop does one small product a step; the gradients of the weights are large products after the loop;
- a frame that is not valid has u = 0 (its pre-activation is lowered by a large number), so that the state passes
  through it unchanged, in value and gradient, whatever the padding and its position;
- the two directions of a bidirectional layer are two loops without a common input except x, which TensorFlow runs side
  by side;
- under a mixed policy the products of frames (with the kernels, forward and backward) have 16-bit operands; the state,
  its gradient, what is kept for the backward pass, and the weights' gradients, which are sums over thousands of frames,
  have 32 bits.

Measured and left out (B=16, T=400, F=U=256, 2 cores): both directions as one batched product a step; XLA; a product by
`transpose_b` every step in place of one transposed copy (half as long again); the factors of the backward pass applied
by broadcasting (15 us a step against 3); frames written to the list one by one in place of a block (no difference);
both full recurrent gradients kept, [T, B, 6U] in place of [T, B, 4U] (a quarter more memory, no faster); blocks of 8 to
50 frames (no difference beyond the noise; tracing grows with the block).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from speechgru.gru.fused_block import Form, ResetAfter, ResetBefore, column_sums
from speechgru.gru.fused_loop import Blocks, loop

BLOCK = 16
# s(-CLOSED) is 0 (or so near that h + u * (n - h) == h) in every float type; 1e4 is still a float16.
CLOSED = 1e4


def fused_gru(
    inputs_TBF: tf.Tensor,
    *,
    initial_state_BU: tf.Tensor,
    kernel_FG: tf.Tensor,
    recurrent_kernel_UG: tf.Tensor,
    input_bias_G: tf.Tensor | None = None,
    recurrent_bias_G: tf.Tensor | None = None,
    valid_TB: tf.Tensor | None = None,
    recurrent_mask_BU: tf.Tensor | None = None,
    reset_after: bool = True,
    update_gate: str = "keep",
    backwards: bool = False,
    recompute: bool = False,
) -> tf.Tensor:
    """Runs one direction of a GRU over whole sequences; differentiable once.

    Args:
        inputs_TBF: time-major inputs; the products are computed in their dtype.
        initial_state_BU: the state before the first processed frame; it, the states, the weights and their gradients
            have one dtype, the inputs' own or a wider one.
        kernel_FG, recurrent_kernel_UG: weights, gates in the order z, r, h.
        input_bias_G, recurrent_bias_G: biases or None; `recurrent_bias_G` only where `reset_after`.
        valid_TB: booleans; at a frame that is not valid the state passes unchanged. None: all are.
        recurrent_mask_BU: recurrent dropout's mask, multiplies the state in the recurrent products.
        reset_after, update_gate: see `GRUCell`.
        backwards: from the last frame to the first.
        recompute: keep only the states for the backward pass and compute the gates again there: about 5 times less
            memory, a third more time.

    Returns:
        states_TBU, aligned with the inputs: the state after each frame.

    Raises:
        NotImplementedError: a gradient of the gradient is asked for.
    """
    units = recurrent_kernel_UG.shape[0]
    dtype = initial_state_BU.dtype
    bias_G = tf.zeros([3 * units], dtype) if input_bias_G is None else input_bias_G
    recurrent_bias_U = None
    if recurrent_bias_G is not None:
        # The recurrent biases of z and r stand beside the input ones; only that of h is inside the reset product.
        recurrent_zr, recurrent_bias_U = tf.split(recurrent_bias_G, [2 * units, units])
        bias_G = bias_G + tf.concat([recurrent_zr, tf.zeros([units], dtype)], axis=0)
    if update_gate == "keep":
        # The loops compute u = 1 - z = s(-a). The signs are put on the weights, once, and autodiff takes them off the
        # weights' gradients again: everything inside the custom gradient knows one convention only.
        sign_G = tf.concat([-tf.ones([units], dtype), tf.ones([2 * units], dtype)], axis=0)
        kernel_FG, recurrent_kernel_UG, bias_G = kernel_FG * sign_G, recurrent_kernel_UG * sign_G, bias_G * sign_G
    invalid_TB1 = None if valid_TB is None else tf.cast(~valid_TB, inputs_TBF.dtype)[:, :, tf.newaxis]
    # Arguments of the function with a custom gradient, for what it closes over would get none. The mask of dropout and
    # the validity need none.
    weights = [kernel_FG, bias_G, recurrent_kernel_UG] + ([] if recurrent_bias_U is None else [recurrent_bias_U])
    run = _Run(reset_after, invalid_TB1, recurrent_mask_BU, backwards, recompute)
    return run(inputs_TBF, initial_state_BU, weights)


class _Run:
    """One call of `fused_gru`: what its forward and backward passes share.

    The passes' `weights` are [kernel_FG, bias_G, recurrent_UG] and, where `reset_after` and with biases, c_U.
    """

    def __init__(
        self,
        reset_after: bool,
        invalid_TB1: tf.Tensor | None,
        recurrent_mask_BU: tf.Tensor | None,
        backwards: bool,
        recompute: bool,
    ) -> None:
        self.form_class = ResetAfter if reset_after else ResetBefore
        self.invalid_TB1 = invalid_TB1
        self.mask_BU = recurrent_mask_BU
        self.backwards = backwards
        self.recompute = recompute

    def __call__(self, inputs_TBF: tf.Tensor, initial_state_BU: tf.Tensor, weights: Sequence[tf.Tensor]) -> tf.Tensor:
        # Autodiff of a loop keeps every intermediate of every step, one list each, and its backward loop computes the
        # weights' gradients step by step. One gradient over the whole sequence keeps 4U numbers a frame beside the
        # states, and leaves to the backward loop what depends on the next step.
        @tf.custom_gradient
        def sequence(inputs_TBF: tf.Tensor, initial_state_BU: tf.Tensor, *weights: tf.Tensor) -> tuple[tf.Tensor, Any]:
            states_TBU, kept = self.forward(inputs_TBF, initial_state_BU, weights)

            def gradient(upstream_TBU: tf.Tensor) -> tuple[tf.Tensor, ...]:
                # To a second derivative the states and what was kept would be constants, for TensorFlow records nothing
                # inside a custom gradient. It would be wrong, silently; so it is refused.
                @tf.custom_gradient
                def once(upstream_TBU: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Any]:
                    return self.backward(
                        inputs_TBF, initial_state_BU, weights, states_TBU, kept, upstream_TBU
                    ), refuse_second_derivative

                return once(upstream_TBU)

            return states_TBU, gradient

        return sequence(inputs_TBF, initial_state_BU, *weights)

    def segments(self, num_frames: int | tf.Tensor) -> list[tuple[int, int | tf.Tensor, int | tf.Tensor]]:
        """Splits T frames into whole blocks and a rest of single frames: [(frames a block, blocks, first frame)].

        They are in the order of processing; the blocks of a segment are numbered by time. The steps of a block are
        written out in the graph, so its size must be known while tracing. Where T is not, the rest is a loop of blocks
        of one frame; where it is, the rest is one block.
        """
        if isinstance(num_frames, int) and num_frames < BLOCK:
            return [(num_frames, 1, 0)] if num_frames else [(1, 0, 0)]
        blocks = num_frames // BLOCK
        rest = num_frames - blocks * BLOCK
        # The rest comes last in the order of processing: backwards, that is at the beginning.
        main = (BLOCK, blocks, rest if self.backwards else 0)
        if isinstance(rest, int):
            return [main] + ([(rest, 1, 0 if self.backwards else blocks * BLOCK)] if rest else [])
        return [main, (1, rest, 0 if self.backwards else blocks * BLOCK)]

    def in_time(self, pieces: Sequence[tf.Tensor]) -> tf.Tensor:
        """Joins one piece a segment, [blocks, frames a block, B, ...], into [T, B, ...]."""
        pieces = [tf.reshape(piece, [-1, tf.shape(piece)[2], piece.shape[3]]) for piece in pieces]
        if self.backwards:
            pieces = pieces[::-1]
        return pieces[0] if len(pieces) == 1 else tf.concat(pieces, axis=0)

    def order(self, size: int) -> list[int]:
        """The frames of a block in the order of processing."""
        return list(range(size))[:: -1 if self.backwards else 1]

    def gate_inputs(
        self, inputs_TBF: tf.Tensor, weights: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]]:
        """What `block_gates` needs: inputs, with a column that closes the update gate at frames that are not valid.

        The column makes the mask a part of the product: adding it afterwards costs a pass over all pre-activations.
        """
        kernel_FG, bias_G = weights[:2]
        units = weights[2].shape[0]
        if self.invalid_TB1 is not None:
            inputs_TBF = tf.concat([inputs_TBF, self.invalid_TB1], axis=-1)
            closing_G = tf.concat([tf.fill([units], -CLOSED), tf.zeros([2 * units])], axis=0)
            closing_G = tf.cast(closing_G, kernel_FG.dtype)
            kernel_FG = tf.concat([kernel_FG, closing_G[tf.newaxis]], axis=0)
        sizes = [2 * units, units]
        return inputs_TBF, tf.split(tf.cast(kernel_FG, inputs_TBF.dtype), sizes, axis=-1), tf.split(bias_G, sizes)

    def block_gates(
        self, gate_inputs: tuple[tf.Tensor, list[tf.Tensor], list[tf.Tensor]], start: int | tf.Tensor, size: int
    ) -> list[tf.Tensor]:
        """The pre-activations of a block without the recurrent part: gates [K, B, 2U], candidate [K, B, U].

        x W does not depend on the state, so K * B rows of it are one product outside the steps. (Those of all T * B
        rows would be 3U numbers a frame in memory, for the steps to read from there.)
        """
        inputs_TBF, kernels, biases = gate_inputs
        block = inputs_TBF[start : start + size]
        rows = tf.reshape(block, [-1, block.shape[-1]])
        return [
            tf.reshape(
                tf.nn.bias_add(tf.cast(tf.matmul(rows, kernel), bias.dtype), bias),
                [size, tf.shape(block)[1], kernel.shape[1]],
            )
            for kernel, bias in zip(kernels, biases, strict=True)
        ]

    def form(self, inputs_TBF: tf.Tensor, weights: Sequence[tf.Tensor]) -> Form:
        return self.form_class(
            weights[2], weights[3] if len(weights) > 3 else None, self.mask_BU, dtype=inputs_TBF.dtype
        )

    def forward(
        self, inputs_TBF: tf.Tensor, h_BU: tf.Tensor, weights: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[list[Blocks]]]:
        """Runs all segments; returns the states [T, B, U] and, a segment, what the form keeps for `backward`."""
        form = self.form(inputs_TBF, weights)
        units = weights[2].shape[0]
        kept_widths = [] if self.recompute else form.kept_widths
        segments = self.segments(_num_frames(inputs_TBF))
        gate_inputs = self.gate_inputs(inputs_TBF, weights)
        states: list[tf.Tensor] = []
        kept: list[list[Blocks]] = []
        for size, blocks, first in segments:
            # Bound as defaults: the loop traces its body at once, but a closure would read the last segment's values.
            def body(
                q: int | tf.Tensor, h_BU: tf.Tensor, size: int = size, first: int | tf.Tensor = first
            ) -> tuple[tf.Tensor, list[tf.Tensor]]:
                start = first + q * size
                gates, candidate = self.block_gates(gate_inputs, start, size)
                order = self.order(size)
                states_KBU, parts = form.forward(gates, candidate, h_BU, order)
                last = states_KBU[order[-1]]
                return last, [states_KBU] if self.recompute else [states_KBU, *parts]

            h_BU, arrays = loop(blocks, h_BU, body, size=size, widths=[units, *kept_widths], descending=self.backwards)
            states.append(arrays[0].stack())
            kept.append(arrays[1:])
        states_TBU = self.in_time(states)
        states_TBU.set_shape([inputs_TBF.shape[0], inputs_TBF.shape[1], weights[2].shape[0]])
        return states_TBU, kept

    def backward(
        self,
        inputs_TBF: tf.Tensor,
        initial_state_BU: tf.Tensor,
        weights: Sequence[tf.Tensor],
        states_TBU: tf.Tensor,
        kept: list[list[Blocks]],
        upstream_TBU: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        """The gradients of the inputs, of the initial state and of each of the weights."""
        form = self.form(inputs_TBF, weights)
        segments = self.segments(_num_frames(inputs_TBF))
        units = weights[2].shape[0]
        # before_TBU[t] is the state before frame t is processed: the states, shifted, so that it is not kept as well.
        # (Cut to T frames for the sake of T = 0.)
        if self.backwards:
            before_TBU = tf.concat([states_TBU[1:], initial_state_BU[tf.newaxis]], axis=0)
        else:
            before_TBU = tf.concat([initial_state_BU[tf.newaxis], states_TBU[:-1]], axis=0)
        before_TBU = before_TBU[: _num_frames(inputs_TBF)]
        gate_inputs = self.gate_inputs(inputs_TBF, weights) if self.recompute else None
        d_BU = tf.zeros_like(initial_state_BU)
        pieces = []
        for (size, blocks, first), arrays in zip(reversed(segments), reversed(kept), strict=True):

            def body(
                q: int | tf.Tensor,
                d_BU: tf.Tensor,
                size: int = size,
                first: int | tf.Tensor = first,
                arrays: list[Blocks] = arrays,
            ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
                start = first + q * size
                order = self.order(size)
                before = before_TBU[start : start + size]
                if gate_inputs is not None:
                    gates, candidate = self.block_gates(gate_inputs, start, size)
                    parts = form.recompute(gates, candidate, before)
                else:
                    parts = tuple(array.read(q) for array in arrays)
                return form.backward(parts, before, upstream_TBU[start : start + size], d_BU, order)

            d_BU, gradients = loop(
                blocks, d_BU, body, size=size, widths=form.gradient_widths, descending=not self.backwards
            )
            pieces.append([array.stack() for array in gradients])
        # The loops are over. All that is left are products over N = T * B rows at once, at the speed of large products.
        d_inputs_NG, extra = (
            tf.reshape(self.in_time(part[::-1]), [-1, width])
            for part, width in zip(zip(*pieces, strict=True), form.gradient_widths, strict=True)
        )
        # The weights' gradients are sums over N rows, so they are computed in the wide dtype; the inputs' gradient is a
        # sum over 3U columns and has the dtype of the inputs.
        rows_NF = tf.cast(tf.reshape(inputs_TBF, [-1, inputs_TBF.shape[-1]]), d_inputs_NG.dtype)
        before_NU = tf.reshape(before_TBU if self.mask_BU is None else before_TBU * self.mask_BU, [-1, units])
        factors = (tf.cast(factor, inputs_TBF.dtype) for factor in (d_inputs_NG, weights[0]))
        d_inputs_TBF = tf.reshape(tf.matmul(*factors, transpose_b=True), tf.shape(inputs_TBF))
        d_kernel_FG = tf.matmul(rows_NF, d_inputs_NG, transpose_a=True)
        d_recurrent_UG, d_recurrent_bias_U = form.recurrent_gradients(before_NU, d_inputs_NG, extra)
        d_weights = [d_kernel_FG, column_sums(d_inputs_NG), d_recurrent_UG, d_recurrent_bias_U][: len(weights)]
        return d_inputs_TBF, d_BU, *d_weights


def _num_frames(inputs_TBF: tf.Tensor) -> int | tf.Tensor:
    """T, as an int where it is known."""
    return tf.shape(inputs_TBF)[0] if inputs_TBF.shape[0] is None else inputs_TBF.shape[0]


def refuse_second_derivative(*upstream: tf.Tensor) -> None:
    """The gradient of a gradient that was derived by hand.

    Raises:
        NotImplementedError: always; names the way out.
    """
    raise NotImplementedError(
        "speechgru's fused and compiled GRUs have no second-order gradient: build the layer with "
        "implementation='reference' to differentiate a gradient."
    )
