"""The loop over blocks of the fused GRU, and the lists that collect what its turns give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import tensorflow as tf


class Blocks(Protocol):
    """The outputs of a loop, one block a turn."""

    def read(self, q: int | tf.Tensor) -> tf.Tensor:
        """Block q, [K, B, width]."""

    def stack(self) -> tf.Tensor:
        """All blocks, [blocks, K, B, width]."""


def loop(
    count: int | tf.Tensor,
    carry: tf.Tensor,
    body: Callable[[int | tf.Tensor, tf.Tensor], tuple[tf.Tensor, Sequence[tf.Tensor]]],
    *,
    size: int,
    widths: Sequence[int],
    descending: bool,
) -> tuple[tf.Tensor, list[Blocks]]:
    """Runs `body(q, carry) -> carry, outputs` for every block q and collects the outputs.

    Args:
        count: the number of blocks.
        carry: what a turn hands to the next, [B, U].
        body: its outputs are [size, B, width], one for each of `widths`.
        size: frames a block.
        widths: of the outputs.
        descending: from the last block to the first.

    Returns:
        the last carry; for each of `widths` the outputs of all blocks, at their q.
    """
    if isinstance(count, int) and count == 1:
        # A short sequence is one block: a loop around it would cost more than its steps.
        carry, outputs = body(0, carry)
        return carry, [_OneBlock(output) for output in outputs]
    batch = tf.shape(carry)[0]
    lists = [
        ListOfBlocks.reserve(count, [size, carry.shape[0], width], tf.stack([size, batch, width]), carry.dtype)
        for width in widths
    ]

    def turn(i: tf.Tensor, carry: tf.Tensor, *handles: tf.Tensor) -> tuple[tf.Tensor, ...]:
        q = count - 1 - i if descending else i
        carry, outputs = body(q, carry)
        handles = tuple(
            tf.raw_ops.TensorListSetItem(input_handle=handle, index=q, item=output)
            for handle, output in zip(handles, outputs, strict=True)
        )
        return i + 1, carry, *handles

    _, carry, *handles = tf.while_loop(
        lambda i, *_: i < count,
        turn,
        [tf.constant(0), carry, *(blocks.handle for blocks in lists)],
        parallel_iterations=1,  # a turn needs the carry of the one before: more would only buffer
    )
    return carry, [blocks.with_handle(handle) for blocks, handle in zip(lists, handles, strict=True)]


class ListOfBlocks:
    """A list of equally shaped tensors, one a block.

    `tf.TensorArray` over the same operations cannot stack an empty list whose batch is unknown while tracing: here the
    shape of an element is a tensor.

    Args:
        handle: TensorFlow's list.
        static_shape: what is known of an element's shape while tracing.
        shape: an element's shape.
        dtype: an element's dtype.
    """

    def __init__(self, handle: tf.Tensor, static_shape: list[int | None], shape: tf.Tensor, dtype: tf.DType) -> None:
        self.handle, self.static_shape, self.shape, self.dtype = handle, static_shape, shape, dtype

    @classmethod
    def reserve(
        cls, count: int | tf.Tensor, static_shape: list[int | None], shape: tf.Tensor, dtype: tf.DType
    ) -> ListOfBlocks:
        """A list of `count` elements that are not set yet."""
        handle = tf.raw_ops.TensorListReserve(element_shape=shape, num_elements=count, element_dtype=dtype)
        return cls(handle, static_shape, shape, dtype)

    def with_handle(self, handle: tf.Tensor) -> ListOfBlocks:
        """The same list after operations on it, each of which returns a new handle."""
        return ListOfBlocks(handle, self.static_shape, self.shape, self.dtype)

    def read(self, q: int | tf.Tensor) -> tf.Tensor:
        element = tf.raw_ops.TensorListGetItem(
            input_handle=self.handle, index=q, element_shape=self.shape, element_dtype=self.dtype
        )
        element.set_shape(self.static_shape)
        return element

    def stack(self) -> tf.Tensor:
        stacked = tf.raw_ops.TensorListStack(
            input_handle=self.handle, element_shape=self.shape, element_dtype=self.dtype
        )
        stacked.set_shape([None, *self.static_shape])
        return stacked


class _OneBlock:
    """Blocks of a loop that turned once: no list, and no copy into one."""

    def __init__(self, element: tf.Tensor) -> None:
        self.element = element

    def read(self, q: int | tf.Tensor) -> tf.Tensor:
        del q
        return self.element

    def stack(self) -> tf.Tensor:
        return self.element[tf.newaxis]
