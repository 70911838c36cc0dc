"""Exact conversion of GRU weights: Keras, PyTorch, ONNX, and the two conventions of the update gate.

Every library's arrays become `DirectionWeights`, one record a direction, always in the "keep" convention; gate orders
and bias shapes are known here alone:

    convert.write(layer, convert.from_keras(keras_layer))            # keras.layers.GRU or Bidirectional(GRU)
    convert.write(layer, convert.from_torch(module)[0])              # layer 0 of a torch.nn.GRU
    convert.write(layer, convert.from_onnx(W, R, B, linear_before_reset=1))
    keras_layer.set_weights(convert.to_keras(convert.read(layer)))

A three-element example, U = 1: Keras's columns [z, r, h] are PyTorch's rows [r, z, n] and ONNX's rows [z, r, h].

The same outputs with the weights of a Keras layer, and back:

>>> import keras
>>> import numpy as np
>>> from speechgru.gru import GRU, convert
>>> theirs, ours = keras.layers.GRU(4, return_sequences=True), GRU(4)
>>> inputs_BTF = np.random.default_rng(0).normal(size=[2, 5, 3]).astype("float32")
>>> _ = theirs(inputs_BTF), ours(inputs_BTF)  # builds the weights
>>> convert.write(ours, convert.from_keras(theirs))
>>> np.allclose(ours(inputs_BTF), theirs(inputs_BTF), atol=1e-6)
True
>>> theirs.set_weights(convert.to_keras(convert.read(ours)))

Gates change places between libraries:

>>> weights = convert.DirectionWeights(
...     kernel_FG=np.array([[1.0, 2.0, 3.0]]),
...     recurrent_kernel_UG=np.array([[4.0, 5.0, 6.0]]),
...     input_bias_G=None,
...     recurrent_bias_G=None,
...     reset_after=True,
... )
>>> convert.to_torch([[weights]])["weight_ih_l0"].ravel().tolist()
[2.0, 1.0, 3.0]
>>> convert.to_onnx([weights])["W"].ravel().tolist()
[1.0, 2.0, 3.0]

A GRU with reset_after=False (the textbook; ONNX linear_before_reset=0) is another function than one with
reset_after=True (cuDNN, PyTorch, ONNX linear_before_reset=1): (r * h) R and r * (h R) differ whatever the weights,
because r multiplies different axes of R. There is no exact conversion between them, and `write` refuses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class DirectionWeights:
    """One direction of one layer: gates z, r, h; z keeps the old state.

    Args:
        kernel_FG: [F, 3U].
        recurrent_kernel_UG: [U, 3U].
        input_bias_G: [3U], or None without biases.
        recurrent_bias_G: [3U], or None without biases and where `reset_after` is False.
        reset_after: which candidate the weights are for, see `GRUCell`.
    """

    kernel_FG: np.ndarray
    recurrent_kernel_UG: np.ndarray
    input_bias_G: np.ndarray | None
    recurrent_bias_G: np.ndarray | None
    reset_after: bool

    @property
    def units(self) -> int:
        """The width U of the state."""
        return self.recurrent_kernel_UG.shape[0]


def flip_update_gate(weights: DirectionWeights) -> DirectionWeights:
    """Returns the `DirectionWeights` whose update gate is 1 - z: turns "keep" into "write" and back, exactly.

    1 - s(a) = s(-a), so W_z, R_z, b_z and c_z are negated.
    """
    sign_G = np.repeat([-1, 1, 1], weights.units)

    def flip(array: np.ndarray) -> np.ndarray:
        return array * sign_G.astype(array.dtype)

    return dataclasses.replace(
        weights,
        kernel_FG=flip(weights.kernel_FG),
        recurrent_kernel_UG=flip(weights.recurrent_kernel_UG),
        input_bias_G=None if weights.input_bias_G is None else flip(weights.input_bias_G),
        recurrent_bias_G=None if weights.recurrent_bias_G is None else flip(weights.recurrent_bias_G),
    )


def read(layer: keras.layers.Layer) -> list[DirectionWeights]:
    """Returns the weights of a built `GRU`, `BiGRU` or `GRUCell` as a list of `DirectionWeights`, forward first."""
    directions = []
    for cell in _cells(layer):
        _require_built(cell)
        weights = _from_arrays([np.asarray(weight) for weight in cell.weights], cell.reset_after)
        directions.append(weights if cell.update_gate == "keep" else flip_update_gate(weights))
    return directions


def write(layer: keras.layers.Layer, directions: Sequence[DirectionWeights]) -> None:
    """Sets the weights of a built `GRU`, `BiGRU` or `GRUCell`.

    Args:
        layer: the layer; a "write" layer is given the flipped weights.
        directions: a list of `DirectionWeights`, forward first, one for each direction of the layer.

    Raises:
        ValueError: the number of directions, a shape, the form (reset_after) or the presence of biases does not fit.
    """
    cells = _cells(layer)
    if len(cells) != len(directions):
        raise ValueError(
            f"{layer.name}: received weights of {len(directions)} direction(s), the layer has {len(cells)}."
        )
    arrays = []
    for cell, weights in zip(cells, directions, strict=True):
        _require_built(cell)
        if weights.reset_after != cell.reset_after:
            raise ValueError(
                f"{layer.name}: received weights of a GRU with reset_after={weights.reset_after}, the layer has "
                f"reset_after={cell.reset_after}. The two compute different functions, (r * h) R and r * (h R), which "
                f"no weights make equal: build the layer with reset_after={weights.reset_after}, or train it anew."
            )
        if cell.update_gate == "write":
            weights = flip_update_gate(weights)
        new = _to_arrays(weights, use_bias=cell.use_bias, name=layer.name)
        old_shapes, new_shapes = [tuple(weight.shape) for weight in cell.weights], [array.shape for array in new]
        if old_shapes != new_shapes:
            raise ValueError(f"{layer.name}: received weights of shapes {new_shapes}; expected {old_shapes}.")
        arrays.append(new)
    for cell, new in zip(cells, arrays, strict=True):
        cell.set_weights(new)


def from_keras(layer: keras.layers.Layer) -> list[DirectionWeights]:
    """Returns the weights of a built `keras.layers.GRU`, or of a `Bidirectional` around one, as a list of directions.

    Raises:
        ValueError: the layer has activations other than tanh and sigmoid, or is not built.
    """
    directions = []
    for part in (layer.forward_layer, layer.backward_layer) if hasattr(layer, "forward_layer") else (layer,):
        config = part.get_config()
        names = config["activation"], config["recurrent_activation"]
        if names != ("tanh", "sigmoid"):
            raise ValueError(f"{part.name}: activations are {names}; expected ('tanh', 'sigmoid').")
        _require_built(part)
        directions.append(_from_arrays([np.asarray(weight) for weight in part.weights], config["reset_after"]))
    return directions


def to_keras(directions: Sequence[DirectionWeights], *, use_bias: bool = True) -> list[np.ndarray]:
    """Returns the list for `set_weights` of a `keras.layers.GRU` (one direction) or `Bidirectional(GRU)` (two).

    Args:
        directions: a list of `DirectionWeights`.
        use_bias: whether the Keras layer has biases.
    """
    return [array for weights in directions for array in _to_arrays(weights, use_bias=use_bias, name="to_keras")]


def from_torch(module: Any) -> list[list[DirectionWeights]]:
    """Returns the weights of a `torch.nn.GRU`: a list over its layers of lists over its directions.

    Args:
        module: the module, or its `state_dict()`, or a dictionary of arrays with the same names.
    """
    state = module.state_dict() if hasattr(module, "state_dict") else module
    state = {name: _array(value) for name, value in state.items()}
    if "weight_ih_l0" not in state:
        raise ValueError(f"received {sorted(state)}; expected the names of a torch.nn.GRU, 'weight_ih_l0' and so on.")
    layers: list[list[DirectionWeights]] = []
    while f"weight_ih_l{len(layers)}" in state:
        suffixes = [f"l{len(layers)}", f"l{len(layers)}_reverse"]
        layers.append([_from_torch(state, suffix) for suffix in suffixes if f"weight_ih_{suffix}" in state])
    return layers


def _from_torch(state: Mapping[str, np.ndarray], suffix: str) -> DirectionWeights:
    biases = [state.get(f"{name}_{suffix}") for name in ("bias_ih", "bias_hh")]
    # PyTorch's matrices multiply columns, ours rows: hence .T.
    return DirectionWeights(
        kernel_FG=_swap_zr(state[f"weight_ih_{suffix}"].T),
        recurrent_kernel_UG=_swap_zr(state[f"weight_hh_{suffix}"].T),
        input_bias_G=None if biases[0] is None else _swap_zr(biases[0]),
        recurrent_bias_G=None if biases[1] is None else _swap_zr(biases[1]),
        reset_after=True,
    )


def to_torch(layers: Sequence[Sequence[DirectionWeights]]) -> dict[str, np.ndarray]:
    """Returns a dictionary of arrays with the names of a `torch.nn.GRU`; `from_torch` undoes it.

    Load it with `module.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})`.

    Args:
        layers: a list over layers of lists over directions.

    Raises:
        ValueError: weights with reset_after=False, which PyTorch does not have.
    """
    state = {}
    for index, directions in enumerate(layers):
        for weights, suffix in zip(directions, (f"l{index}", f"l{index}_reverse"), strict=False):
            if not weights.reset_after:
                raise ValueError("received weights with reset_after=False; torch.nn.GRU has reset_after=True only.")
            state[f"weight_ih_{suffix}"] = np.ascontiguousarray(_swap_zr(weights.kernel_FG).T)
            state[f"weight_hh_{suffix}"] = np.ascontiguousarray(_swap_zr(weights.recurrent_kernel_UG).T)
            if weights.input_bias_G is not None and weights.recurrent_bias_G is not None:
                state[f"bias_ih_{suffix}"] = _swap_zr(weights.input_bias_G)
                state[f"bias_hh_{suffix}"] = _swap_zr(weights.recurrent_bias_G)
    return state


def from_onnx(
    W: np.ndarray, R: np.ndarray, B: np.ndarray | None = None, *, linear_before_reset: int
) -> list[DirectionWeights]:
    """Returns the weights of an ONNX GRU operator as a list of directions.

    Args:
        W: [directions, 3U, F], gates z, r, h.
        R: [directions, 3U, U].
        B: [directions, 6U], the input biases, then the recurrent ones; or None.
        linear_before_reset: the operator's attribute, 0 or 1 (ONNX's default is 0).
    """
    directions = []
    for index in range(len(W)):
        input_bias_G: np.ndarray | None = None
        recurrent_bias_G: np.ndarray | None = None
        if B is not None:
            input_bias_G, recurrent_bias_G = np.split(np.asarray(B[index]), 2)
            if not linear_before_reset:  # both stand outside the product with r: their sum is one bias
                input_bias_G, recurrent_bias_G = input_bias_G + recurrent_bias_G, None
        directions.append(
            DirectionWeights(
                kernel_FG=np.asarray(W[index]).T,
                recurrent_kernel_UG=np.asarray(R[index]).T,
                input_bias_G=input_bias_G,
                recurrent_bias_G=recurrent_bias_G,
                reset_after=bool(linear_before_reset),
            )
        )
    return directions


def to_onnx(directions: Sequence[DirectionWeights]) -> dict[str, Any]:
    """Returns an ONNX GRU's W, R, B (None without biases), linear_before_reset, hidden_size and direction, by name."""
    # ONNX wants both biases of all directions, or none: those that are missing, as with reset_after=False, are zeros.
    biases = None
    if any(weights.input_bias_G is not None for weights in directions):
        biases = np.stack(
            [
                np.concatenate([_or_zeros(weights.input_bias_G, weights), _or_zeros(weights.recurrent_bias_G, weights)])
                for weights in directions
            ]
        )
    return {
        "W": np.stack([weights.kernel_FG.T for weights in directions]),
        "R": np.stack([weights.recurrent_kernel_UG.T for weights in directions]),
        "B": biases,
        "linear_before_reset": int(directions[0].reset_after),
        "hidden_size": directions[0].units,
        "direction": "bidirectional" if len(directions) == 2 else "forward",
    }


def _cells(layer: keras.layers.Layer) -> list[Any]:
    return layer.cells if hasattr(layer, "cells") else [layer]


def _require_built(layer: keras.layers.Layer) -> None:
    if not layer.built:
        raise ValueError(f"{layer.name} has no weights yet: call it once, or build([None, None, F]).")


def _from_arrays(arrays: Sequence[np.ndarray], reset_after: bool) -> DirectionWeights:
    """From the arrays of a Keras GRU: [kernel, recurrent_kernel] and a bias of [2, 3U] or [3U]."""
    kernel_FG, recurrent_kernel_UG, *biases = arrays
    input_bias_G: np.ndarray | None = None
    recurrent_bias_G: np.ndarray | None = None
    if biases and reset_after:
        input_bias_G, recurrent_bias_G = biases[0]
    elif biases:
        input_bias_G = biases[0]
    return DirectionWeights(kernel_FG, recurrent_kernel_UG, input_bias_G, recurrent_bias_G, reset_after)


def _to_arrays(weights: DirectionWeights, *, use_bias: bool, name: str) -> list[np.ndarray]:
    arrays = [weights.kernel_FG, weights.recurrent_kernel_UG]
    biases = [weights.input_bias_G] + ([weights.recurrent_bias_G] if weights.reset_after else [])
    if use_bias:
        present = [_or_zeros(bias, weights) for bias in biases]
        arrays.append(np.stack(present) if weights.reset_after else present[0])
    elif any(bias is not None and np.any(bias) for bias in biases):
        raise ValueError(f"{name}: received biases other than 0 for a layer with use_bias=False.")
    return arrays


def _or_zeros(bias_G: np.ndarray | None, weights: DirectionWeights) -> np.ndarray:
    return np.zeros([3 * weights.units], weights.kernel_FG.dtype) if bias_G is None else bias_G


def _swap_zr(array: np.ndarray) -> np.ndarray:
    """Swaps the first two gates along the last axis: z, r, h <-> r, z, h."""
    first, second, third = np.split(array, 3, axis=-1)
    return np.concatenate([second, first, third], axis=-1)


def _array(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
