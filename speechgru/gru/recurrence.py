"""The recurrence of a GRU layer over arrays: all directions, forward and backward, in compiled code and in threads."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from speechgru.gru import kernels
from speechgru.gru.products import aligned, padded
from speechgru.jit import run_beside

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
        self._backwards, self._num_threads = tuple(backwards), num_threads
        self._sign = np.float32(-1.0 if update_gate == "keep" else 1.0)

    def forward(self, *arrays: np.ndarray, keep: bool) -> tuple[np.ndarray, ...]:
        """outputs_BTY, the last state of each direction, and what `backward` needs."""
        operands = Operands.read(arrays)
        units = operands.recurrent_UG[0].shape[0]
        batch, num_frames = operands.inputs_BTF.shape[:2]
        states_BU = [np.array(state_BU) for state_BU in operands.states_BU]
        outputs_BTY = np.empty((batch, num_frames, units * len(states_BU)), np.float32)
        # Where nothing is kept, one frame is written over and over.
        kept_width = kernels.KEPT * outputs_BTY.shape[2]
        kept_BTK = np.empty((batch, num_frames if keep else min(1, num_frames), kept_width), np.float32)
        kernels_FW = [_padded(kernel_FG) for kernel_FG in operands.kernels_FG]
        recurrent_UW = [_padded(recurrent_UG) for recurrent_UG in operands.recurrent_UG]

        def run(direction: int, rows_R: np.ndarray, ends_R: np.ndarray) -> None:
            h_RH = _padded(states_BU[direction][rows_R])
            input_G, recurrent_G = operands.biases_2G[direction]
            bias_3U = input_G + np.concatenate([recurrent_G[: 2 * units], np.zeros(units, np.float32)])
            kernels.forward(
                operands.inputs_BTF,
                kernels_FW[direction],
                recurrent_UW[direction],
                np.concatenate([bias_3U, recurrent_G[2 * units :]]),
                operands.valid_BT,
                operands.masks_DBU[direction],
                rows_R,
                ends_R,
                self._sign,
                self._backwards[direction],
                direction,
                h_RH,
                aligned(len(rows_R), units),
                aligned(len(rows_R), 3 * units),
                np.empty((len(rows_R), num_frames, padded(3 * units)), np.float32),
                outputs_BTY,
                kept_BTK,
            )
            states_BU[direction][rows_R] = h_RH[:, :units]

        self._run_all(run, directions=len(self._backwards), ends_B=operands.ends_B)
        return outputs_BTY, *states_BU, kept_BTK

    def backward(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """The gradients of the operands that can be differentiated by."""
        num_directions = len(self._backwards)
        upstream_BTY, *upstream_BU = arrays[: 1 + num_directions]
        kept_BTK, operands = arrays[1 + num_directions], Operands.read(arrays[2 + num_directions :])
        batch, num_frames, width = operands.inputs_BTF.shape
        units = operands.recurrent_UG[0].shape[0]
        d_states_BU = [np.array(d_state_BU) for d_state_BU in upstream_BU]
        d_kernels_FG = [np.zeros(kernel_FG.shape, np.float32) for kernel_FG in operands.kernels_FG]
        d_recurrent_UG = [np.zeros(recurrent_UG.shape, np.float32) for recurrent_UG in operands.recurrent_UG]
        d_biases_2G = [np.zeros(bias_2G.shape, np.float32) for bias_2G in operands.biases_2G]
        recurrent_GH = [_padded(recurrent_UG.T) for recurrent_UG in operands.recurrent_UG]
        kernels_GE = [_padded(kernel_FG.T) for kernel_FG in operands.kernels_FG]
        d_gates = [np.empty((batch, num_frames, padded(3 * units)), np.float32) for _ in self._backwards]
        # A row's gradient is 0 beyond its last valid frame.
        d_inputs_BTE = np.zeros((batch, num_frames, padded(width)), np.float32)

        def run(direction: int, rows_R: np.ndarray, ends_R: np.ndarray) -> tuple[int, tuple[np.ndarray, ...]]:
            d_RH = _padded(d_states_BU[direction][rows_R])
            gathered = max(kernels.GATHERED, len(rows_R))
            d_kernel_FW, d_recurrent_UW = aligned(width, 3 * units), aligned(units, 3 * units)
            d_bias_4U = np.zeros(4 * units, np.float32)
            kernels.backward(
                upstream_BTY,
                kept_BTK,
                operands.inputs_BTF,
                recurrent_GH[direction],
                operands.valid_BT,
                operands.masks_DBU[direction],
                rows_R,
                ends_R,
                self._sign,
                self._backwards[direction],
                direction,
                d_RH,
                aligned(len(rows_R), units),
                aligned(gathered, units),
                aligned(gathered, 3 * units),
                d_gates[direction],
                d_kernel_FW,
                d_recurrent_UW,
                d_bias_4U,
            )
            d_states_BU[direction][rows_R] = d_RH[:, :units]
            return direction, (d_kernel_FW, d_recurrent_UW, d_bias_4U)

        def run_inputs(_: int, rows_R: np.ndarray, ends_R: np.ndarray) -> None:
            for direction in range(num_directions):
                kernels.backward_inputs(
                    d_gates[direction], kernels_GE[direction], rows_R, ends_R, direction > 0, d_inputs_BTE
                )

        ends_B = operands.ends_B
        for direction, (d_kernel_FW, d_recurrent_UW, d_bias_4U) in self._run_all(
            run, directions=num_directions, ends_B=ends_B
        ):
            d_kernels_FG[direction] += d_kernel_FW[:, : 3 * units]
            d_recurrent_UG[direction] += d_recurrent_UW[:, : 3 * units]
            d_biases_2G[direction][0] += d_bias_4U[: 3 * units]
            d_biases_2G[direction][1] += np.delete(d_bias_4U, np.s_[2 * units : 3 * units])
        # All directions of a row's gradient are added up in one thread.
        self._run_all(run_inputs, directions=1, ends_B=ends_B)
        d_inputs_BTF = np.ascontiguousarray(d_inputs_BTE[:, :, :width])
        return d_inputs_BTF, *d_states_BU, *d_kernels_FG, *d_recurrent_UG, *d_biases_2G

    def _run_all(
        self, run: Callable[[int, np.ndarray, np.ndarray], Any], *, directions: int, ends_B: np.ndarray
    ) -> list[Any]:
        """Runs every direction over every row, `run(direction, rows_R, ends_R)`, beside each other in threads.

        The parts of the batch depend on the number of threads alone: a sum over them is the same at every run. Each has
        long rows and short ones, the longest first.
        """
        batch = len(ends_B)
        if not batch:
            return []
        parts = max(1, min(self._num_threads // directions, batch // _LEAST_ROWS))
        order_B = np.argsort(-ends_B, kind="stable")
        rows = [np.ascontiguousarray(order_B[part::parts]) for part in range(parts)]
        tasks = [
            functools.partial(run, direction, part, ends_B[part]) for part in rows for direction in range(directions)
        ]
        return run_beside(tasks, num_threads=self._num_threads)


def _padded(matrix: np.ndarray) -> np.ndarray:
    """A copy whose rows are padded by zeros to whole tiles."""
    copy = aligned(*matrix.shape)
    copy[:, : matrix.shape[1]] = matrix
    return copy
