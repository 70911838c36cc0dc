"""A block of steps of the fused GRU, forward and backward, for its two forms. The names follow `fused.py`.

Everything here is in the "write" convention, u = 1 - z, so that a step needs no `1 - z`. With a the input's part of a
pre-activation and m the state's:

    u = s(a_u + m_u),  r = s(a_r + m_r),  n = tanh(a_h + r * m_h),  h' = h + u * (n - h)

Backwards, with d the gradient of h' and s' = s (1 - s), tanh' = 1 - tanh^2:

    d_u = d * (n - h) * u * (1 - u)       gradient of a_u, and of m_u
    d_h = d * u * (1 - n^2)               gradient of a_h
    d_m = d_h * r                         gradient of m_h
    d_r = d_h * m_h * r * (1 - r)         gradient of a_r, and of m_r
    d  <- d * (1 - u) + [d_u, d_r, d_m] R^T

Each is d times a factor that is known before the backward loop starts. So the factors are computed for a whole block
at once, and a step of the loop multiplies.

A block is K consecutive frames: large operations run once a block, on data that is still in the processor's cache, and
only what depends on the state before it runs once a step.

Products with the state are computed in the dtype that a form is given; all else has the dtype of the states.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import tensorflow as tf


class Form(Protocol):
    """The steps of one of the two candidates, `ResetAfter` or `ResetBefore`, which documents the methods.

    `kept_widths` are the widths of what `forward` keeps for `backward`, beside the states; `gradient_widths` those of
    the two gradients that `backward` returns.
    """

    kept_widths: list[int]
    gradient_widths: list[int]

    def forward(
        self, gates: tf.Tensor, candidate: tf.Tensor, h_BU: tf.Tensor, order: list[int]
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]: ...

    def recompute(self, gates: tf.Tensor, candidate: tf.Tensor, before: tf.Tensor) -> tuple[tf.Tensor, ...]: ...

    def backward(
        self, kept: Sequence[tf.Tensor], before: tf.Tensor, upstream: tf.Tensor, d_BU: tf.Tensor, order: list[int]
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]: ...

    def recurrent_gradients(
        self, before_NU: tf.Tensor, d_inputs_NG: tf.Tensor, extra_NU: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]: ...


class ResetAfter:
    """n = tanh(a_h + r * (h R_h + c)): cuDNN's form.

    Args:
        recurrent_UG: the recurrent kernel, gates u, r, h.
        recurrent_bias_U: c, or None.
        mask_BU: recurrent dropout's mask, or None.
        dtype: of the products with the state.
    """

    def __init__(
        self,
        recurrent_UG: tf.Tensor,
        recurrent_bias_U: tf.Tensor | None,
        mask_BU: tf.Tensor | None,
        dtype: tf.DType,
    ) -> None:
        recurrent_UG = tf.cast(recurrent_UG, dtype)
        self.recurrent_UG = recurrent_UG
        # Copied once, for the backward loop: a product by `transpose_b` would take half as long again at every step.
        self.transposed_GU = tf.transpose(recurrent_UG)
        self.bias_U = recurrent_bias_U
        self.mask_BU = mask_BU
        self.units = recurrent_UG.shape[0]
        self.kept_widths = [2 * self.units, self.units, self.units]
        self.gradient_widths = [3 * self.units, self.units]

    def forward(
        self, gates: tf.Tensor, candidate: tf.Tensor, h_BU: tf.Tensor, order: list[int]
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """Runs the steps of one block.

        Args:
            gates: [K, B, 2U], a_u and a_r of each frame.
            candidate: [K, B, U], a_h of each frame.
            h_BU: the state before the block.
            order: the indices 0..K-1 in the order of processing.

        Returns:
            the states [K, B, U]; what `backward` needs, a tuple of [K, B, ...].
        """
        gates_K, candidate_K = tf.unstack(gates, num=len(order)), tf.unstack(candidate, num=len(order))
        states: list[tf.Tensor] = [None] * len(order)
        kept: list[tuple[tf.Tensor, ...]] = [()] * len(order)
        for k in order:
            # One product a step, for all three gates: the input's part a was computed before the loop.
            m_BG = product(_masked(h_BU, self.mask_BU), self.recurrent_UG)
            m_ur, m_h = tf.split(m_BG, [2 * self.units, self.units], axis=-1)
            if self.bias_U is not None:
                m_h = m_h + self.bias_U
            ur = tf.sigmoid(gates_K[k] + m_ur)  # one call for both gates: so small an operation costs mostly its call
            u, r = tf.split(ur, 2, axis=-1)
            n = tf.tanh(candidate_K[k] + r * m_h)
            # One operation less than (1 - u) * h + u * n, and h exactly where u = 0.
            h_BU = h_BU + u * (n - h_BU)
            # What the factors of the backward pass need beside the states. Without m_h: this product again.
            states[k], kept[k] = h_BU, (ur, n, m_h)
        return tf.stack(states), tuple(tf.stack(part) for part in zip(*kept, strict=True))

    def recompute(self, gates: tf.Tensor, candidate: tf.Tensor, before: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """What `forward` keeps, from the states before each frame, [K, B, U], in one product.

        The states are known by now, so the frames no longer wait for one another.
        """
        m = _product_of_frames(_masked(before, self.mask_BU), self.recurrent_UG)
        m_ur, m_h = tf.split(m, [2 * self.units, self.units], axis=-1)
        if self.bias_U is not None:
            m_h = m_h + self.bias_U
        ur = tf.sigmoid(gates + m_ur)
        return ur, tf.tanh(candidate + ur[..., self.units :] * m_h), m_h

    def backward(
        self, kept: Sequence[tf.Tensor], before: tf.Tensor, upstream: tf.Tensor, d_BU: tf.Tensor, order: list[int]
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """Runs the steps of one block backwards.

        Args:
            kept: what `forward` kept.
            before: [K, B, U], the state before each frame.
            upstream: [K, B, U], the gradient of the block's states.
            d_BU: the gradient that comes from the steps after the block.
            order: the indices 0..K-1 in the order of processing forward.

        Returns:
            the gradient of the state before the block; the gradient [K, B, 3U] of the pre-activations
            a_u, a_r, a_h (the recurrent products h R_u and h R_r share the first two) and that of h R_h + c, [K, B, U].
        """
        ur, n, m_h = kept
        u, r = tf.split(ur, 2, axis=-1)
        # The factors of d (see above), for all frames of the block.
        keep = 1 - u
        c_u = (n - before) * (u * keep)
        c_n = u * (1 - n * n)
        c_m = c_n * r
        c_r = c_m * m_h * (1 - r)
        parts = [tf.unstack(part, num=len(order)) for part in (c_u, c_r, c_n, c_m, keep, upstream)]
        d_inputs, d_m = [None] * len(order), [None] * len(order)
        for k in reversed(order):
            c_u, c_r, c_n, c_m, keep, upstream = (part[k] for part in parts)
            # The state is an output and the next step's input: its gradient is the sum of both ways.
            d_BU = d_BU + upstream
            d_u, d_r = d_BU * c_u, d_BU * c_r
            d_inputs[k] = tf.concat([d_u, d_r, d_BU * c_n], axis=-1)
            d_m[k] = d_BU * c_m
            # a_h and m_h have different gradients, for r stands between them: two concatenations, not one.
            d_products = tf.concat([d_u, d_r, d_m[k]], axis=-1)
            d_BU = d_BU * keep + _masked(product(d_products, self.transposed_GU), self.mask_BU)
        return d_BU, (tf.stack(d_inputs), tf.stack(d_m))

    def recurrent_gradients(
        self, before_NU: tf.Tensor, d_inputs_NG: tf.Tensor, extra_NU: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Gradients of the recurrent kernel and of its bias, from all frames at once.

        A sum over frames of outer products is one product of two tall matrices: no step of the loop has a part in it.

        Args:
            before_NU: the (masked) states before each frame, N = T * B rows.
            d_inputs_NG: the first gradient of `backward`, all frames.
            extra_NU: the second, here the gradient of h R_h + c.
        """
        d_m_NU = extra_NU
        d_ur = tf.matmul(before_NU, d_inputs_NG[:, : 2 * self.units], transpose_a=True)
        d_m = tf.matmul(before_NU, d_m_NU, transpose_a=True)
        return tf.concat([d_ur, d_m], axis=-1), column_sums(d_m_NU)


class ResetBefore:
    """n = tanh(a_h + (r * h) R_h): the textbook's form. Methods as in `ResetAfter`, except where noted.

    The candidate's product waits for r, so that a step has two products one after the other, in both passes. In the
    backward pass the gradient of r * h comes out of the first, and only then that of r:

        d_h = d * u * (1 - n^2),   d_reset = d_h R_h^T,   d_r = d_reset * h * r * (1 - r)
        d  <- d * (1 - u) + [d_u, d_r] R_ur^T + d_reset * r
    """

    def __init__(
        self,
        recurrent_UG: tf.Tensor,
        recurrent_bias_U: tf.Tensor | None,
        mask_BU: tf.Tensor | None,
        dtype: tf.DType,
    ) -> None:
        del recurrent_bias_U  # this form has none
        recurrent_UG = tf.cast(recurrent_UG, dtype)
        self.units = recurrent_UG.shape[0]
        self.recurrent_ur, self.recurrent_h = tf.split(recurrent_UG, [2 * self.units, self.units], axis=-1)
        self.transposed_ur, self.transposed_h = tf.transpose(self.recurrent_ur), tf.transpose(self.recurrent_h)
        self.mask_BU = mask_BU
        self.kept_widths = [2 * self.units, self.units]
        self.gradient_widths = [3 * self.units, self.units]

    def forward(
        self, gates: tf.Tensor, candidate: tf.Tensor, h_BU: tf.Tensor, order: list[int]
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        gates_K, candidate_K = tf.unstack(gates, num=len(order)), tf.unstack(candidate, num=len(order))
        states: list[tf.Tensor] = [None] * len(order)
        kept: list[tuple[tf.Tensor, ...]] = [()] * len(order)
        for k in order:
            masked_BU = _masked(h_BU, self.mask_BU)
            ur = tf.sigmoid(gates_K[k] + product(masked_BU, self.recurrent_ur))
            u, r = tf.split(ur, 2, axis=-1)
            n = tf.tanh(candidate_K[k] + product(r * masked_BU, self.recurrent_h))
            h_BU = h_BU + u * (n - h_BU)
            states[k], kept[k] = h_BU, (ur, n)  # r * h is an elementwise product: cheaper to repeat than to keep
        return tf.stack(states), tuple(tf.stack(part) for part in zip(*kept, strict=True))

    def recompute(self, gates: tf.Tensor, candidate: tf.Tensor, before: tf.Tensor) -> tuple[tf.Tensor, ...]:
        masked = _masked(before, self.mask_BU)
        ur = tf.sigmoid(gates + _product_of_frames(masked, self.recurrent_ur))
        return ur, tf.tanh(candidate + _product_of_frames(ur[..., self.units :] * masked, self.recurrent_h))

    def backward(
        self, kept: Sequence[tf.Tensor], before: tf.Tensor, upstream: tf.Tensor, d_BU: tf.Tensor, order: list[int]
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
        """As in `ResetAfter`; in the place of the second gradient, the reset state r * h, [K, B, U].

        The gradient of m_h = (r * h) R_h is that of a_h, which is among the first. `recurrent_gradients` needs its
        other factor.
        """
        ur, n = kept
        u, r = tf.split(ur, 2, axis=-1)
        keep = 1 - u
        reset = r * _masked(before, self.mask_BU)
        c_u = (n - before) * (u * keep)
        c_n = u * (1 - n * n)
        c_r = reset * (1 - r)
        parts = [tf.unstack(part, num=len(order)) for part in (c_u, c_n, c_r, r, keep, upstream)]
        d_inputs = [None] * len(order)
        for k in reversed(order):
            c_u, c_n, c_r, r, keep, upstream = (part[k] for part in parts)
            d_BU = d_BU + upstream
            d_n = d_BU * c_n
            # Here c_r is not a factor of d but of d_reset: the reset gate's gradient passes through R_h first.
            d_reset = product(d_n, self.transposed_h)
            d_ur = tf.concat([d_BU * c_u, d_reset * c_r], axis=-1)
            d_inputs[k] = tf.concat([d_ur, d_n], axis=-1)
            through = product(d_ur, self.transposed_ur) + d_reset * r
            d_BU = d_BU * keep + _masked(through, self.mask_BU)
        return d_BU, (tf.stack(d_inputs), reset)

    def recurrent_gradients(
        self, before_NU: tf.Tensor, d_inputs_NG: tf.Tensor, extra_NU: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """As in `ResetAfter`; `extra_NU` is the reset state, and there is no recurrent bias."""
        reset_NU = extra_NU
        d_ur, d_n = tf.split(d_inputs_NG, [2 * self.units, self.units], axis=-1)
        d_ur, d_n = tf.matmul(before_NU, d_ur, transpose_a=True), tf.matmul(reset_NU, d_n, transpose_a=True)
        return tf.concat([d_ur, d_n], axis=-1), None


def product(rows: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """rows x matrix, computed in the matrix's dtype and given in that of the rows."""
    return tf.cast(tf.matmul(tf.cast(rows, matrix.dtype), matrix), rows.dtype)


def column_sums(tensor_NG: tf.Tensor) -> tf.Tensor:
    """Sums over the rows, as a product: several times as fast as tf.reduce_sum over the first axis of a tall matrix."""
    ones_1N = tf.ones([1, tf.shape(tensor_NG)[0]], tensor_NG.dtype)
    return tf.matmul(ones_1N, tensor_NG)[0]


def _masked(tensor: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
    return tensor if mask is None else tensor * mask


def _product_of_frames(tensor_KBU: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """One large product over the frames of a block."""
    rows = product(tf.reshape(tensor_KBU, [-1, matrix.shape[0]]), matrix)
    return tf.reshape(rows, tf.concat([tf.shape(tensor_KBU)[:2], [matrix.shape[1]]], axis=0))
