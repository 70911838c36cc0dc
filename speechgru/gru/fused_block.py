"""A block of steps of the fused GRU, forward and backward, for its two forms. The names follow `fused.py`.

Everything here is in the "write" convention, u = 1 - z, so that a step needs no `1 - z`:

    u = s(a_u + m_u),  r = s(a_r + m_r),  h' = h + u * (n - h)

A block is K consecutive frames: large operations run once a block, on data that is still in the processor's cache, and
only what depends on the state before it runs once a step.

Products with the state are computed in the dtype that a form is given; all else has the dtype of the states.
"""

from __future__ import annotations

import tensorflow as tf


class ResetAfter:
    """n = tanh(a_h + r * (h R_h + c)): cuDNN's form."""

    def __init__(self, recurrent_UG, recurrent_bias_U, mask_BU, dtype):
        recurrent_UG = tf.cast(recurrent_UG, dtype)
        self.recurrent_UG = recurrent_UG
        # For the backward loop, where a product by `transpose_b` would take half as long again at every step.
        self.transposed_GU = tf.transpose(recurrent_UG)
        self.bias_U = recurrent_bias_U
        self.mask_BU = mask_BU
        self.units = recurrent_UG.shape[0]
        self.kept_widths = [2 * self.units, self.units, self.units]
        self.gradient_widths = [3 * self.units, self.units]

    def forward(self, gates, candidate, h_BU, order):
        """Runs the steps of one block.

        Args:
            gates: [K, B, 2U], a_u and a_r of each frame.
            candidate: [K, B, U], a_h of each frame.
            h_BU: the state before the block.
            order: the indices 0..K-1 in the order of processing.

        Returns:
            the states [K, B, U]; what `backward` needs, a tuple of [K, B, ...].
        """
        gates, candidate = tf.unstack(gates, num=len(order)), tf.unstack(candidate, num=len(order))
        states, kept = [None] * len(order), [None] * len(order)
        for k in order:
            m_BG = product(_masked(h_BU, self.mask_BU), self.recurrent_UG)
            m_ur, m_h = tf.split(m_BG, [2 * self.units, self.units], axis=-1)
            if self.bias_U is not None:
                m_h = m_h + self.bias_U
            ur = tf.sigmoid(gates[k] + m_ur)
            u, r = tf.split(ur, 2, axis=-1)
            n = tf.tanh(candidate[k] + r * m_h)
            h_BU = h_BU + u * (n - h_BU)
            states[k], kept[k] = h_BU, (ur, n, m_h)
        return tf.stack(states), tuple(tf.stack(part) for part in zip(*kept, strict=True))

    def recompute(self, gates, candidate, before):
        """What `forward` keeps, from the states before each frame, [K, B, U], in one product."""
        m = _product_of_frames(_masked(before, self.mask_BU), self.recurrent_UG)
        m_ur, m_h = tf.split(m, [2 * self.units, self.units], axis=-1)
        if self.bias_U is not None:
            m_h = m_h + self.bias_U
        ur = tf.sigmoid(gates + m_ur)
        return ur, tf.tanh(candidate + ur[..., self.units :] * m_h), m_h

    def backward(self, kept, before, upstream, d_BU, order):
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
        keep = 1 - u
        c_u = (n - before) * (u * keep)
        c_n = u * (1 - n * n)
        c_m = c_n * r
        c_r = c_m * m_h * (1 - r)
        parts = [tf.unstack(part, num=len(order)) for part in (c_u, c_r, c_n, c_m, keep, upstream)]
        d_inputs, d_m = [None] * len(order), [None] * len(order)
        for k in reversed(order):
            c_u, c_r, c_n, c_m, keep, upstream = (part[k] for part in parts)
            d_BU = d_BU + upstream
            d_u, d_r = d_BU * c_u, d_BU * c_r
            d_inputs[k] = tf.concat([d_u, d_r, d_BU * c_n], axis=-1)
            d_m[k] = d_BU * c_m
            d_products = tf.concat([d_u, d_r, d_m[k]], axis=-1)
            d_BU = d_BU * keep + _masked(product(d_products, self.transposed_GU), self.mask_BU)
        return d_BU, (tf.stack(d_inputs), tf.stack(d_m))

    def recurrent_gradients(self, before_NU, d_inputs_NG, d_m_NU):
        """Gradients of the recurrent kernel and of its bias, from all frames at once ([N, ...], N = T x B)."""
        d_ur = tf.matmul(before_NU, d_inputs_NG[:, : 2 * self.units], transpose_a=True)
        d_m = tf.matmul(before_NU, d_m_NU, transpose_a=True)
        return tf.concat([d_ur, d_m], axis=-1), column_sums(d_m_NU)


class ResetBefore:
    """n = tanh(a_h + (r * h) R_h): the textbook's form. Methods as in `ResetAfter`, except as said."""

    def __init__(self, recurrent_UG, recurrent_bias_U, mask_BU, dtype):
        del recurrent_bias_U  # this form has none
        recurrent_UG = tf.cast(recurrent_UG, dtype)
        self.units = recurrent_UG.shape[0]
        self.recurrent_ur, self.recurrent_h = tf.split(recurrent_UG, [2 * self.units, self.units], axis=-1)
        self.transposed_ur, self.transposed_h = tf.transpose(self.recurrent_ur), tf.transpose(self.recurrent_h)
        self.mask_BU = mask_BU
        self.kept_widths = [2 * self.units, self.units]
        self.gradient_widths = [3 * self.units, self.units]

    def forward(self, gates, candidate, h_BU, order):
        gates, candidate = tf.unstack(gates, num=len(order)), tf.unstack(candidate, num=len(order))
        states, kept = [None] * len(order), [None] * len(order)
        for k in order:
            masked_BU = _masked(h_BU, self.mask_BU)
            ur = tf.sigmoid(gates[k] + product(masked_BU, self.recurrent_ur))
            u, r = tf.split(ur, 2, axis=-1)
            n = tf.tanh(candidate[k] + product(r * masked_BU, self.recurrent_h))
            h_BU = h_BU + u * (n - h_BU)
            states[k], kept[k] = h_BU, (ur, n)
        return tf.stack(states), tuple(tf.stack(part) for part in zip(*kept, strict=True))

    def recompute(self, gates, candidate, before):
        masked = _masked(before, self.mask_BU)
        ur = tf.sigmoid(gates + _product_of_frames(masked, self.recurrent_ur))
        return ur, tf.tanh(candidate + _product_of_frames(ur[..., self.units :] * masked, self.recurrent_h))

    def backward(self, kept, before, upstream, d_BU, order):
        """As in `ResetAfter`; in the place of the second gradient, the reset state r * h, [K, B, U]."""
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
            d_reset = product(d_n, self.transposed_h)
            d_ur = tf.concat([d_BU * c_u, d_reset * c_r], axis=-1)
            d_inputs[k] = tf.concat([d_ur, d_n], axis=-1)
            through = product(d_ur, self.transposed_ur) + d_reset * r
            d_BU = d_BU * keep + _masked(through, self.mask_BU)
        return d_BU, (tf.stack(d_inputs), reset)

    def recurrent_gradients(self, before_NU, d_inputs_NG, reset_NU):
        """As in `ResetAfter`; there is no recurrent bias."""
        d_ur, d_n = tf.split(d_inputs_NG, [2 * self.units, self.units], axis=-1)
        d_ur, d_n = tf.matmul(before_NU, d_ur, transpose_a=True), tf.matmul(reset_NU, d_n, transpose_a=True)
        return tf.concat([d_ur, d_n], axis=-1), None


def product(rows, matrix):
    """rows x matrix, computed in the matrix's dtype and given in that of the rows."""
    return tf.cast(tf.matmul(tf.cast(rows, matrix.dtype), matrix), rows.dtype)


def column_sums(tensor_NG):
    """Sums over the rows, as a product: several times as fast as tf.reduce_sum over the first axis of a tall matrix."""
    ones_1N = tf.ones([1, tf.shape(tensor_NG)[0]], tensor_NG.dtype)
    return tf.matmul(ones_1N, tensor_NG)[0]


def _masked(tensor, mask):
    return tensor if mask is None else tensor * mask


def _product_of_frames(tensor_KBU, matrix):
    """One large product over the frames of a block."""
    rows = product(tf.reshape(tensor_KBU, [-1, matrix.shape[0]]), matrix)
    return tf.reshape(rows, tf.concat([tf.shape(tensor_KBU)[:2], [matrix.shape[1]]], axis=0))
