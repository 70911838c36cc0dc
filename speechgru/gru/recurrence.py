"""The recurrence of a GRU layer over arrays: all directions, forward and backward, in compiled code and in threads."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from speechgru.gru import kernels
from speechgru.gru.products import aligned, padded
from speechgru.jit import empty, run_beside

#: Rows of a batch below which it is not parted further: the products would be too small.
_LEAST_ROWS = 8


@dataclasses.dataclass(frozen=True)
class Operands:
    """The arrays of one call. Those that the outputs are differentiated by come in the order of the fields.

    Args:
        inputs_BTF: x.
        states_BU, kernels_FG, recurrent_UG, biases_2G: one of each for each direction.
        valid_BT: booleans, or of no rows.
        masks_DBU: of recurrent dropout, or of no rows.
    """

    inputs_BTF: np.ndarray
    states_BU: Sequence[np.ndarray]
    kernels_FG: Sequence[np.ndarray]
    recurrent_UG: Sequence[np.ndarray]
    biases_2G: Sequence[np.ndarray]
    valid_BT: np.ndarray
    masks_DBU: np.ndarray

    @classmethod
    def read(cls, arrays: Sequence[np.ndarray]) -> Operands:
        """Sorts the arrays as an operation gets them."""
        inputs_BTF, *weights, valid_BT, masks_DBU = arrays
        count = len(weights) // 4
        states, kernels_FG, recurrent, biases = (weights[i : i + count] for i in range(0, 4 * count, count))
        return cls(inputs_BTF, states, kernels_FG, recurrent, biases, valid_BT, masks_DBU)

    @property
    def ends_B(self) -> np.ndarray:
        """The number of frames of each row up to its last valid one."""
        batch, num_frames = self.inputs_BTF.shape[:2]
        if not len(self.valid_BT) or not num_frames:
            return np.full(batch, num_frames, np.int64)
        last_B = num_frames - np.argmax(self.valid_BT[:, ::-1], axis=1)
        return np.where(self.valid_BT.any(axis=1), last_B, 0)


class Recurrence:
    """The directions of a layer, float32: a function of arrays and its gradient.

    Args:
        backwards: of each direction, whether it runs from the last frame to the first.
        update_gate: see `GRUCell`.
        num_threads: in which directions and parts of the batch run beside each other. Gradients are sums over the
            parts, the same at every call.
    """

    def __init__(self, backwards: Sequence[bool], *, update_gate: str, num_threads: int) -> None:
        self._backwards, self._num_threads = np.array(backwards, bool), num_threads
        self._sign = np.float32(-1.0 if update_gate == "keep" else 1.0)

    def forward(self, *arrays: np.ndarray, keep: bool) -> tuple[np.ndarray, ...]:
        """outputs_BTY, the last state of each direction, and what `backward` needs."""
        operands = Operands.read(arrays)
        units = operands.recurrent_UG[0].shape[0]
        batch, num_frames = operands.inputs_BTF.shape[:2]
        states_DBU = np.stack(operands.states_BU)
        outputs_BTY = empty((batch, num_frames, units * len(states_DBU)))
        # Where nothing is kept, one frame is written over and over.
        kept_width = kernels.KEPT * outputs_BTY.shape[2]
        kept_BTK = empty((batch, num_frames if keep else min(1, num_frames), kept_width))
        kernel_DFW, recurrent_DUW = _padded(operands.kernels_FG), _padded(operands.recurrent_UG)
        bias_D4U = np.stack([_joined(bias_2G, units) for bias_2G in operands.biases_2G])

        def run(rows_R: np.ndarray, ends_R: np.ndarray, first: int, end: int) -> None:
            rows, block = len(rows_R), _block_of(len(rows_R))
            h_DRH = _padded(states_DBU[:, rows_R])
            kernels.forward(
                operands.inputs_BTF,
                kernel_DFW,
                recurrent_DUW,
                bias_D4U,
                operands.valid_BT,
                operands.masks_DBU,
                rows_R,
                ends_R,
                self._sign,
                self._backwards,
                first,
                end,
                block,
                h_DRH,
                aligned(rows, units),
                aligned(rows, 3 * units),
                aligned(rows * block, 3 * units),
                outputs_BTY,
                kept_BTK,
            )
            states_DBU[first:end, rows_R] = h_DRH[first:end, :, :units]

        self._run_all(run, operands.ends_B)
        return outputs_BTY, *states_DBU, kept_BTK

    def backward(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """The gradients of the operands that can be differentiated by."""
        num_directions = len(self._backwards)
        upstream_BTY, *upstream_BU = arrays[: 1 + num_directions]
        kept_BTK, operands = arrays[1 + num_directions], Operands.read(arrays[2 + num_directions :])
        batch, num_frames, width = operands.inputs_BTF.shape
        units = operands.recurrent_UG[0].shape[0]
        d_states_DBU = np.stack(upstream_BU)
        kernel_DGE = _padded([kernel_FG.T for kernel_FG in operands.kernels_FG])
        recurrent_DGH = _padded([recurrent_UG.T for recurrent_UG in operands.recurrent_UG])

        def new_sums() -> list[np.ndarray]:
            """Zeros, of W, R and the biases of all directions."""
            kernel, recurrent = (aligned(num_directions * rows, 3 * units) for rows in (width, units))
            bias_D4U = np.zeros((num_directions, 4 * units), np.float32)
            return [*(sums.reshape(num_directions, -1, sums.shape[1]) for sums in (kernel, recurrent)), bias_D4U]

        def run(rows_R: np.ndarray, ends_R: np.ndarray, first: int, end: int) -> tuple[np.ndarray, ...]:
            rows, block = len(rows_R), _block_of(len(rows_R))
            d_DRH = _padded(d_states_DBU[:, rows_R])
            # A row's gradient is 0 beyond its last valid frame; directions that run beside each other have one each.
            d_inputs_BTE = shared_BTE if (first, end) == (0, num_directions) else np.zeros_like(shared_BTE)
            sums = new_sums()
            kernels.backward(
                upstream_BTY,
                kept_BTK,
                operands.inputs_BTF,
                kernel_DGE,
                recurrent_DGH,
                operands.valid_BT,
                operands.masks_DBU,
                rows_R,
                ends_R,
                self._sign,
                self._backwards,
                first,
                end,
                block,
                d_DRH,
                aligned(rows, units),
                aligned(rows * block, width),
                aligned(rows * block, units),
                aligned(rows * block, 3 * units),
                aligned(rows * block, 3 * units),
                d_inputs_BTE,
                *sums,
            )
            d_states_DBU[first:end, rows_R] = d_DRH[first:end, :, :units]
            return d_inputs_BTE, *sums

        shared_BTE = aligned(batch * num_frames, width).reshape(batch, num_frames, padded(width))
        # The first part's sums become those of all: zeros to add to would cost as much again.
        (d_inputs_BTE, *totals), *others = self._run_all(run, operands.ends_B) or [(shared_BTE, *new_sums())]
        for other_BTE, *sums in others:
            if other_BTE is not shared_BTE:
                d_inputs_BTE += other_BTE
            for total, part in zip(totals, sums, strict=True):
                total += part
        d_kernel_DFW, d_recurrent_DUW, d_bias_D4U = totals
        d_biases = [
            np.stack([bias_4U[: 3 * units], np.delete(bias_4U, np.s_[2 * units : 3 * units])]) for bias_4U in d_bias_D4U
        ]
        return (
            np.ascontiguousarray(d_inputs_BTE[:, :, :width]),
            *d_states_DBU,
            *np.ascontiguousarray(d_kernel_DFW[:, :, : 3 * units]),
            *np.ascontiguousarray(d_recurrent_DUW[:, :, : 3 * units]),
            *d_biases,
        )

    def _run_all(self, run: Callable[[np.ndarray, np.ndarray, int, int], Any], ends_B: np.ndarray) -> list[Any]:
        """Runs every direction over every row, `run(rows_R, ends_R, first direction, end)`, in threads.

        The parts depend on the batch and the number of threads alone, so that a sum over them is the same at every run.
        Each has long rows and short ones, the longest first. Batches with too few rows for all threads are parted by
        direction.
        """
        batch, num_directions = len(ends_B), len(self._backwards)
        if not batch:
            return []
        parts = max(1, min(self._num_threads, batch // _LEAST_ROWS))
        order_B = np.argsort(-ends_B, kind="stable")
        rows = [np.ascontiguousarray(order_B[part::parts]) for part in range(parts)]
        if parts < self._num_threads:
            directions = [(direction, direction + 1) for direction in range(num_directions)]
        else:
            directions = [(0, num_directions)]
        tasks = [functools.partial(run, part, ends_B[part], *edges) for part in rows for edges in directions]
        return run_beside(tasks, num_threads=self._num_threads)


def _block_of(rows: int) -> int:
    """Frames of a block: as many as make `kernels.BLOCK_ROWS` rows of a product, and whole tiles."""
    return max(8, kernels.BLOCK_ROWS // rows // 8 * 8)


def _joined(bias_2G: np.ndarray, units: int) -> np.ndarray:
    """The bias of u, r and h outside the reset product, and that of h inside it: [4U]."""
    input_G, recurrent_G = bias_2G
    inside = np.concatenate([recurrent_G[: 2 * units], np.zeros(units, np.float32)])
    return np.concatenate([input_G + inside, recurrent_G[2 * units :]])


def _padded(matrices: Sequence[np.ndarray]) -> np.ndarray:
    """Copies of equally large matrices, whose rows are padded by zeros to whole tiles."""
    rows, columns = matrices[0].shape
    copies = aligned(len(matrices) * rows, columns).reshape(len(matrices), rows, -1)
    for copy, matrix in zip(copies, matrices, strict=True):
        copy[:, :columns] = matrix
    return copies
