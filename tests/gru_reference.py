"""The GRU in NumPy float64, frame by frame, written from the equations of `GRUCell`'s docstring and nothing else."""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def gru_reference(
    x_BTF, *, lengths_B, h_BU, kernel, recurrent, b=None, c=None, reset_after, update_gate, backwards=False
):
    """One direction, row by row, over the real frames of each row only.

    Returns outputs_BTU (zeros at padding) and the final states.
    """
    num_rows, num_frames, _ = x_BTF.shape
    units = h_BU.shape[1]
    weights_z, weights_r, weights_h = np.split(np.asarray(kernel, np.float64), 3, axis=1)
    recurrent_z, recurrent_r, recurrent_h = np.split(np.asarray(recurrent, np.float64), 3, axis=1)
    b_z, b_r, b_h = np.split(np.zeros(3 * units) if b is None else np.asarray(b, np.float64), 3)
    c_z, c_r, c_h = np.split(np.zeros(3 * units) if c is None else np.asarray(c, np.float64), 3)
    outputs_BTU = np.zeros([num_rows, num_frames, units])
    final_BU = np.array(h_BU, np.float64)
    for row in range(num_rows):
        h = final_BU[row]
        frames = range(int(lengths_B[row]))
        for t in reversed(frames) if backwards else frames:
            x = np.asarray(x_BTF[row, t], np.float64)
            z = sigmoid(x @ weights_z + b_z + h @ recurrent_z + c_z)
            r = sigmoid(x @ weights_r + b_r + h @ recurrent_r + c_r)
            if reset_after:
                n = np.tanh(x @ weights_h + b_h + r * (h @ recurrent_h + c_h))
            else:
                n = np.tanh(x @ weights_h + b_h + (r * h) @ recurrent_h)
            h = z * h + (1 - z) * n if update_gate == "keep" else (1 - z) * h + z * n
            outputs_BTU[row, t] = h
        final_BU[row] = h
    return outputs_BTU, final_BU


def layer_reference(layer, x_BTF, *, lengths_B=None, initial_states=None):
    """`gru_reference` over the cells of a GRU (forward) or BiGRU: [(outputs_BTU, final_BU), ...]."""
    if lengths_B is None:
        lengths_B = [x_BTF.shape[1]] * len(x_BTF)
    results = []
    for index, cell in enumerate(layer.cells):
        kernel, recurrent, *bias = (np.asarray(weight) for weight in cell.weights)
        b, c = (None, None) if not bias else tuple(bias[0]) if cell.reset_after else (bias[0], None)
        h_BU = np.zeros([len(x_BTF), layer.units]) if initial_states is None else initial_states[index]
        results.append(
            gru_reference(
                x_BTF,
                lengths_B=lengths_B,
                h_BU=h_BU,
                kernel=kernel,
                recurrent=recurrent,
                b=b,
                c=c,
                reset_after=cell.reset_after,
                update_gate=cell.update_gate,
                backwards=index == 1,
            )
        )
    return results
