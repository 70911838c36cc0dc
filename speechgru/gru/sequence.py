"""What every GRU layer over sequences shares: arguments, cells, the configuration, running directions."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from speechgru.gru.cell import GRUCell, read_size, refuse_other_values
from speechgru.gru.implementations import IMPLEMENTATIONS, Direction, Frames, choose, fitted, run

_CELL_ARGUMENTS = tuple(
    name
    for name, parameter in inspect.signature(GRUCell.__init__).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
)

#: Arguments of `keras.layers.GRU` (the last one of Keras 2's) that have one value here, and what to do instead.
_ONLY_VALUES: dict[str, tuple[Any, str]] = {
    "stateful": (False, "carry the state along by return_state and initial_state"),
    "unroll": (False, "leave it out, the loops are fast as they are"),
    "use_cudnn": ("auto", "name an implementation, such as implementation='cudnn'"),
    "zero_output_for_mask": (True, "outputs are zeros at frames that are masked out"),
    "time_major": (False, "transpose the inputs to [B, T, F]"),
}


class SequenceLayer(keras.layers.Layer):
    """The abstract base of `GRU`, `BiGRU` and `ChunkedBiGRU`, which name their cells and define `call`.

    >>> from speechgru.gru import GRU
    >>> layer = GRU(4, implementation="portable")
    >>> layer.explain()
    "implementation='portable' runs 'portable': asked for by name."

    Args:
        units: width of each direction's state.
        return_sequences, return_state, implementation, recompute: see `GRU`.
        **kwargs: the keyword arguments of `GRUCell` and of `keras.layers.Layer`; and those of `keras.layers.GRU` that
            have one value here, with that value.

    Raises:
        ValueError: implementation is none of `IMPLEMENTATIONS`, or an argument has a value that there is not here.
    """

    #: What `keras.layers.Bidirectional` asks a layer for.
    stateful = False
    states = None

    def __init__(
        self,
        units: int,
        *,
        return_sequences: bool = True,
        return_state: bool = False,
        implementation: str = "auto",
        recompute: bool = False,
        **kwargs: Any,
    ) -> None:
        if implementation not in IMPLEMENTATIONS:
            raise ValueError(f"implementation is {implementation!r}; expected one of {IMPLEMENTATIONS}.")
        for argument, (value, instead) in _ONLY_VALUES.items():
            refuse_other_values(argument, kwargs.pop(argument, value), only=value, instead=instead)
        self._cell_arguments = {name: kwargs.pop(name) for name in _CELL_ARGUMENTS if name in kwargs}
        super().__init__(**kwargs)
        self.units = read_size("units", units)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.implementation = implementation
        self.recompute = recompute
        self.supports_masking = True
        # XLA has no compiled code, and needs to know how many frames a slice has; `keras.layers.GRU` says so too. Keras
        # then runs the model without it, where it would else choose it by itself on a GPU.
        self.supports_jit = False
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def _make_cell(self, name: str, seed_offset: int = 0) -> GRUCell:
        arguments = dict(self._cell_arguments)
        if arguments.get("seed") is not None:
            arguments["seed"] += seed_offset
        return GRUCell(self.units, **arguments, dtype=self.dtype_policy, name=name)

    @property
    def cells(self) -> list[GRUCell]:
        """The cells, in the order of the weights."""
        raise NotImplementedError

    def build(self, input_shape: Sequence[int | None]) -> None:
        if input_shape[-1] is None:
            raise ValueError(
                f"{self.name}: inputs of shape {tuple(input_shape)}; expected [B, T, F] with a known F, on which the "
                "weights depend."
            )
        for cell in self.cells:
            cell.build(input_shape)
        # Compiled code would read beyond the end of inputs that are narrower than the weights.
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})
        self.built = True

    def explain(self, *, has_mask: bool = False) -> str:
        """Returns one sentence: which implementation a call runs here, and why.

        Args:
            has_mask: whether the call is given a mask (as against lengths, or nothing).
        """
        name, reason = choose(self.implementation, self.cells[0], has_mask=has_mask, recompute=self.recompute)
        return f"implementation={self.implementation!r} runs {name!r}: {reason}."

    def run_direction(
        self,
        cell: GRUCell,
        inputs: tf.Tensor,
        *,
        backwards: bool = False,
        lengths: Any = None,
        initial_state: Any = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs one direction alone.

        Args:
            cell: one of `cells`.
            inputs: [B, T, F].
            backwards: whether it starts at the last real frame; outputs stay in the order of time.
            lengths: [B] integers, as in a call.
            initial_state: [B, U]; zeros where None.
            training: whether dropout is active.

        Returns:
            outputs_BTU, aligned with the inputs; final_state_BU.
        """
        frames = Frames.read(inputs, dtype=self.compute_dtype, lengths=lengths, name=self.name)
        outputs_BTU, (final_BU,) = self._run(
            frames, [cell], backwards=[backwards], initial_states=[initial_state], training=training
        )
        return outputs_BTU, final_BU

    def _read(self, inputs: Any, *, lengths: Any, masks: Sequence[Any]) -> Frames:
        """The arguments of a call. Masks are None, or must hold together; Keras may give the same one twice."""
        mask, *others = [mask for mask in masks if mask is not None] or [None]
        for other in others:
            mask = mask if other is mask else tf.cast(mask, tf.bool) & tf.cast(other, tf.bool)
        return Frames.read(inputs, dtype=self.compute_dtype, lengths=lengths, mask=mask, name=self.name)

    def _run(
        self,
        frames: Frames,
        cells: Sequence[GRUCell],
        *,
        backwards: Sequence[bool],
        initial_states: Sequence[Any],
        training: bool,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Runs directions over frames that were read; every sequence has one element for each.

        Returns:
            outputs_BTY, the directions beside each other, and their final states, in the compute dtype.
        """
        name, _ = choose(self.implementation, self.cells[0], has_mask=frames.has_mask, recompute=self.recompute)
        directions = [
            Direction(cell, is_backwards, self._state(frames, state), training, self.recompute)
            for cell, is_backwards, state in zip(cells, backwards, initial_states, strict=True)
        ]
        outputs_BTY, states = run(name, frames, directions)
        return tf.cast(outputs_BTY, self.compute_dtype), [tf.cast(state, self.compute_dtype) for state in states]

    def _state(self, frames: Frames, initial_state: Any) -> tf.Tensor:
        """The state before the first frame, [B, U]."""
        # The state has the variables' dtype whatever the policy: 8 bits of mantissa would lose small updates.
        if initial_state is None:
            return tf.zeros([frames.batch, self.units], self.variable_dtype)
        state_BU = tf.cast(initial_state, self.variable_dtype)
        return fitted(state_BU, "initial_state", frames.given_BTF, width=self.units, name=self.name)

    def _states(self, initial_state: Any) -> list[Any]:
        """The argument `initial_state` as one state or None for each cell."""
        if initial_state is None:
            return [None] * len(self.cells)
        states = list(initial_state) if isinstance(initial_state, (list, tuple)) else [initial_state]
        if len(states) != len(self.cells):
            expected = "1" if len(self.cells) == 1 else f"{len(self.cells)}: forward and backward"
            raise ValueError(f"{self.name}: initial_state has {len(states)} tensors; expected {expected}.")
        return states

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        del inputs
        if isinstance(mask, (list, tuple)):
            mask = mask[0]
        output_mask = mask if self.return_sequences else None
        return [output_mask] + [None] * len(self.cells) if self.return_state else output_mask

    def get_config(self) -> dict[str, Any]:
        cell_config = self.cells[0].get_config()
        return {
            **super().get_config(),
            "units": self.units,
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "implementation": self.implementation,
            "recompute": self.recompute,
            **{name: cell_config[name] for name in _CELL_ARGUMENTS if name in cell_config},
        }


def last_output(final_BU: tf.Tensor, frames: Frames) -> tf.Tensor:
    """The output of `return_sequences=False`: the final state, zeros for a row without a real frame."""
    if frames.valid_BT is None:
        return final_BU
    has_frames_B1 = tf.reduce_any(frames.valid_BT, axis=1, keepdims=True)
    return tf.where(has_frames_B1, final_BU, tf.zeros([], final_BU.dtype))
