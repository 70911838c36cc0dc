"""Products of small matrices inside compiled code: C = A B, or C += A B, float32, in one thread.

The products of a recurrence have few rows (the batch) and follow one another. BLAS libraries copy the weights into an
order of their own at each call, which pays for large matrices only, and share a pool of threads among their callers:
at 32 rows of 128 numbers OpenBLAS reaches two thirds of this rate, at 16 rows of 256 half of it. Here a tile of C
stays in vector registers while the rows of B stream past, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from speechgru.jit import LANES, inner

#: Vectors beside each other in a tile of C.
_VECTORS = 2
#: The width of a tile: matrices B and C have a multiple of it as their number of columns (`padded`).
TILE = LANES * _VECTORS

_FLOAT, _INDEX = ir.FloatType(), ir.IntType(64)


def padded(width: int) -> int:
    """The least multiple of `TILE` that is not below `width`."""
    return -(-width // TILE) * TILE


def aligned(rows: int, columns: int) -> np.ndarray:
    """A matrix of zeros, float32, that begins at a line of the cache, `columns` padded to whole tiles."""
    size = rows * padded(columns)
    numbers = np.zeros(size + 15, np.float32)
    skipped = -(numbers.ctypes.data // 4) % 16
    return numbers[skipped : skipped + size].reshape(rows, padded(columns))


def _make_tile(height: int) -> Callable[..., Any]:
    """An intrinsic that computes a tile of C of `height` rows.

    It takes A, the place of the tile's first number in it, and A's steps from row to row and from column to column;
    B, the tile's first column, and B's width; C, the place of the tile and C's width; the number of columns of A; and
    whether it adds to what C holds.
    """

    @intrinsic
    def tile(
        typing_context: Any,
        a: Any,
        a_start: Any,
        a_row: Any,
        a_column: Any,
        b: Any,
        b_start: Any,
        b_row: Any,
        c: Any,
        c_start: Any,
        c_row: Any,
        depth: Any,
        adds: Any,
    ) -> Any:
        index = types.int64
        signature = types.void(a, index, index, index, b, index, index, c, index, index, index, types.boolean)
        vector = ir.VectorType(_FLOAT, LANES)

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            def start_of(position: int) -> Any:
                array = context.make_array(signature.args[position])(context, builder, values[position])
                return builder.gep(array.data, [values[position + 1]])

            a_data, b_data, c_data = start_of(0), start_of(4), start_of(7)
            a_row, a_column, b_row, c_row, depth, adds = (values[place] for place in (2, 3, 6, 9, 10, 11))
            sums = [[cgutils.alloca_once(builder, vector) for _ in range(_VECTORS)] for _ in range(height)]

            def place(data: Any, row: Any, stride: Any, number: int) -> Any:
                shift = builder.add(builder.mul(row, stride), ir.Constant(_INDEX, number * LANES))
                return builder.bitcast(builder.gep(data, [shift]), vector.as_pointer())

            with builder.if_else(adds) as (then, otherwise):
                with then:
                    for row, vectors in enumerate(sums):
                        for number, total in enumerate(vectors):
                            pointer = place(c_data, ir.Constant(_INDEX, row), c_row, number)
                            builder.store(builder.load(pointer, align=4), total)
                with otherwise:
                    for vectors in sums:
                        for total in vectors:
                            builder.store(ir.Constant(vector, [0.0] * LANES), total)
            signature_of_fma = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(builder.module, signature_of_fma, f"llvm.fma.v{LANES}f32")
            zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
            with cgutils.for_range(builder, depth) as loop:
                columns = [
                    builder.load(place(b_data, loop.index, b_row, number), align=4) for number in range(_VECTORS)
                ]
                along = builder.mul(loop.index, a_column)
                for row, vectors in enumerate(sums):
                    shift = builder.add(builder.mul(ir.Constant(_INDEX, row), a_row), along)
                    number_in_a = builder.load(builder.gep(a_data, [shift]))
                    first = builder.insert_element(
                        ir.Constant(vector, ir.Undefined), number_in_a, ir.Constant(ir.IntType(32), 0)
                    )
                    copies = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)
                    for total, column in zip(vectors, columns, strict=True):
                        builder.store(builder.call(fma, [copies, column, builder.load(total)]), total)
            for row, vectors in enumerate(sums):
                for number, total in enumerate(vectors):
                    pointer = place(c_data, ir.Constant(_INDEX, row), c_row, number)
                    builder.store(builder.load(total), pointer, align=4)
            return context.get_dummy_value()

        return signature, generate

    return tile


# The highest one hides the latency of a fused multiply-add; the others take the rows that are left.
_tile_8, _tile_4, _tile_2, _tile_1 = (_make_tile(height) for height in (8, 4, 2, 1))


@inner
def multiply_column(
    a: Any,
    a_start: int,
    a_row: int,
    a_column: int,
    rows: int,
    b: Any,
    b_start: int,
    b_row: int,
    c: Any,
    c_start: int,
    c_row: int,
    depth: int,
    adds: bool,
) -> None:
    """`TILE` columns of C = A B, or of C += A B.

    The arrays are contiguous and of any number of axes; a matrix stands somewhere in its array.

    Args:
        a, a_start, a_row, a_column: A's number in row i and column k is the number
            `a_start + i * a_row + k * a_column` of `a`.
        rows: of A and C.
        b, b_start, b_row: B's first number of these columns, and the numbers from row to row.
        c, c_start, c_row: the same of C.
        depth: columns of A, rows of B.
        adds: whether what C holds is added to.
    """
    row = 0
    while rows - row >= 8:
        from_a, to_c = a_start + row * a_row, c_start + row * c_row
        _tile_8(a, from_a, a_row, a_column, b, b_start, b_row, c, to_c, c_row, depth, adds)
        row += 8
    if rows - row >= 4:
        from_a, to_c = a_start + row * a_row, c_start + row * c_row
        _tile_4(a, from_a, a_row, a_column, b, b_start, b_row, c, to_c, c_row, depth, adds)
        row += 4
    if rows - row >= 2:
        from_a, to_c = a_start + row * a_row, c_start + row * c_row
        _tile_2(a, from_a, a_row, a_column, b, b_start, b_row, c, to_c, c_row, depth, adds)
        row += 2
    if rows - row >= 1:
        from_a, to_c = a_start + row * a_row, c_start + row * c_row
        _tile_1(a, from_a, a_row, a_column, b, b_start, b_row, c, to_c, c_row, depth, adds)


@inner
def multiply(
    a: Any,
    a_start: int,
    a_row: int,
    a_column: int,
    rows: int,
    b: Any,
    b_start: int,
    c: Any,
    c_start: int,
    width: int,
    depth: int,
    adds: bool,
) -> None:
    """C = A B, or C += A B, both B and C `width` numbers wide, a multiple of `TILE`. See `multiply_column`."""
    for column in range(0, width, TILE):
        multiply_column(
            a, a_start, a_row, a_column, rows, b, b_start + column, width, c, c_start + column, width, depth, adds
        )
