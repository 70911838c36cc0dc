"""One step of the GRU: the equations, the weights and the dropout masks."""

from __future__ import annotations

import numbers
import operator
from collections.abc import Callable
from typing import Any, TypeAlias

import keras
from keras import KerasTensor, ops

UPDATE_GATES = ("keep", "write")

#: An initializer, a regularizer or a constraint, as Keras accepts it: its name, its configuration or the object.
KerasObject: TypeAlias = str | dict[str, Any] | Callable[..., Any] | None


def read_size(argument: str, given: Any) -> int:
    """A caller's number of something, such as units.

    Raises:
        ValueError: it is no integer of 1 or more.
    """
    try:
        number = 0 if isinstance(given, bool) else operator.index(given)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{argument} is {given!r}; expected an integer of 1 or more.")
    return number


def refuse_other_values(argument: str, given: Any, *, only: Any, instead: str) -> None:
    """Checks an argument of a Keras layer that has one value here.

    Args:
        argument: its name.
        given: the caller's value.
        only: the value.
        instead: what to do in place of giving another.

    Raises:
        ValueError: the caller's value is another one.
    """
    if given is not only and given != only:
        raise ValueError(f"{argument} is {given!r}; this layer has {only!r} only: {instead}.")


@keras.saving.register_keras_serializable(package="speechgru")
class GRUCell(keras.layers.GRUCell):
    """Gated recurrent unit, one step: `(inputs_BF, [h_BU]) -> (h_BU, [h_BU])`; usable under `keras.layers.RNN`.

    With x the input, h the state before the step, h' the state after it, s the logistic function and * elementwise:

        z = s(x W_z + b_z + h R_z + c_z)                    update gate
        r = s(x W_r + b_r + h R_r + c_r)                    reset gate
        n = tanh(x W_h + b_h + r * (h R_h + c_h))           candidate, reset_after=True  (cuDNN's form)
        n = tanh(x W_h + b_h + (r * h) R_h)                 candidate, reset_after=False (the textbook's form)
        h' = z * h + (1 - z) * n                            update_gate="keep"  (Keras, cuDNN, PyTorch, ONNX)
        h' = (1 - z) * h + z * n                            update_gate="write" (the textbook)

    "keep" and "write" are the same family of functions: negating W_z, R_z, b_z and c_z turns one into the other
    (`convert.flip_update_gate`). The two candidate forms are not: no weights of one give the other in general.

    Weights (those of `keras.layers.GRUCell`; gates in the order z, r, h along the last axis, U = units):

        kernel            [F, 3U]   W
        recurrent_kernel  [U, 3U]   R
        bias              [2, 3U]   b and c, reset_after=True;   [3U]  b, reset_after=False;   absent, use_bias=False

    Dropout is variational (Gal & Ghahramani 2016): one mask a sequence, the same at every step and for the three gates.
    `dropout` multiplies x; `recurrent_dropout` multiplies h inside the products with R only, so that a kept state is
    kept exactly (`keras.layers.GRUCell` draws a mask a gate when `recurrent_dropout` is set).

    Under a mixed policy the operands of the products have the policy's compute dtype, and all else that of the
    variables: with 8 bits of mantissa h + u * (n - h) would not move where u * (n - h) is below h / 512, and slow units
    would stop. For the same reason the new state has the dtype of the one given, and a sequence's first state that of
    the variables.

    The class derives from `keras.layers.GRUCell` because that is Keras's only public way for a cell to learn from
    `keras.layers.RNN` when a sequence begins and ends, hence when to draw new masks.

    One step, the state returned twice as Keras's cells do:

    >>> import numpy as np
    >>> from speechgru.gru import GRUCell
    >>> output_BU, (state_BU,) = GRUCell(4)(np.ones([2, 3], "float32"), [np.zeros([2, 4], "float32")])
    >>> tuple(output_BU.shape), bool((output_BU == state_BU).numpy().all())
    ((2, 4), True)

    Sources: Cho et al. 2014, arXiv:1406.1078v3, equations 5-8 (textbook, there with z as the "keep" gate); Chung et al.
    2014, arXiv:1412.3555 ("write"); cuDNN developer guide, cudnnRNNMode_t, CUDNN_GRU (reset after the product).

    Args:
        units: width U of the state, positive.
        reset_after: whether the reset gate is applied after the recurrent product (cuDNN's form).
        update_gate: "keep" or "write", see above.
        use_bias: whether there are biases.
        kernel_initializer, recurrent_initializer, bias_initializer: as in `keras.layers.GRUCell`.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: as in `keras.layers.GRUCell`.
        kernel_constraint, recurrent_constraint, bias_constraint: as in `keras.layers.GRUCell`.
        dropout: share of the inputs dropped, 0 <= dropout < 1.
        recurrent_dropout: share of the state dropped in the recurrent products, 0 <= recurrent_dropout < 1.
        seed: seed of the dropout masks.
        activation, recurrent_activation: tanh and the logistic function, by any name that Keras has for them.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        units: int,
        *,
        reset_after: bool = True,
        update_gate: str = "keep",
        use_bias: bool = True,
        kernel_initializer: KerasObject = "glorot_uniform",
        recurrent_initializer: KerasObject = "orthogonal",
        bias_initializer: KerasObject = "zeros",
        kernel_regularizer: KerasObject = None,
        recurrent_regularizer: KerasObject = None,
        bias_regularizer: KerasObject = None,
        kernel_constraint: KerasObject = None,
        recurrent_constraint: KerasObject = None,
        bias_constraint: KerasObject = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        activation: KerasObject = "tanh",
        recurrent_activation: KerasObject = "sigmoid",
        **kwargs: Any,
    ) -> None:
        if update_gate not in UPDATE_GATES:
            raise ValueError(f"update_gate is {update_gate!r}; expected one of {UPDATE_GATES}.")
        for name, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if not isinstance(rate, numbers.Real) or not 0.0 <= rate < 1.0:
                raise ValueError(f"{name} is {rate!r}; expected a number with 0 <= {name} < 1.")
        for name, given, own in (
            ("activation", activation, "tanh"),
            ("recurrent_activation", recurrent_activation, "sigmoid"),
        ):
            if keras.activations.get(given) is not keras.activations.get(own):
                # The fused, cuDNN and portable forms are derived for these two functions.
                refuse_other_values(name, given, only=own, instead="keras.layers.GRU has others")
        super().__init__(
            read_size("units", units),
            reset_after=reset_after,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            seed=seed,
            **kwargs,
        )
        self.update_gate = update_gate
        self.autocast = False  # of the inputs and the state, which `_product` casts itself
        self._input_mask: KerasTensor | None = None
        self._state_mask: KerasTensor | None = None

    @property
    def compute_dtype(self) -> str:
        # keras.layers.RNN makes the first state in this dtype and casts the one it is given to it; in the policy's own
        # 16 bits that state would be rounded before the first step.
        return self.variable_dtype

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        # A weight that casts itself would give 16-bit biases, which are added to 32-bit sums.
        return super().add_weight(*args, **{**kwargs, "autocast": False})

    def call(
        self, inputs: KerasTensor, states: KerasTensor | list[KerasTensor], training: bool = False
    ) -> tuple[KerasTensor, KerasTensor | list[KerasTensor]]:
        # Numbers of any dtype, as in `keras.layers.GRUCell`: masks and states of an integer's dtype would be rounded.
        inputs_BF = self._as_floats(inputs)
        nested = isinstance(states, (list, tuple))  # keras.layers.RNN gives a list, and expects one back
        given_BU = self._as_floats(states[0] if nested else states)
        h_BU = ops.cast(given_BU, self.variable_dtype)
        if training and self.dropout > 0:
            inputs_BF = inputs_BF * self.get_dropout_mask(inputs_BF)
        # Only the products see the masked state. The sum below keeps the real one: a mask is the same at every step, so
        # that it would empty the units that it drops and blow up the others, 1 / (1 - rate) times a step.
        masked_h_BU = h_BU
        if training and self.recurrent_dropout > 0:
            masked_h_BU = h_BU * self.get_recurrent_dropout_mask(h_BU)

        input_bias, recurrent_bias = self.biases()
        # One product for the three gates: a wide matrix product is faster than three narrow ones.
        x_BG = self._product(inputs_BF, self.kernel)
        if input_bias is not None:
            x_BG = x_BG + input_bias
        x_z, x_r, x_h = ops.split(x_BG, 3, axis=-1)
        if self.reset_after:
            # r multiplies a finished product, so that all three recurrent products can be one as well.
            m_BG = self._product(masked_h_BU, self.recurrent_kernel)
            if recurrent_bias is not None:
                m_BG = m_BG + recurrent_bias
            m_z, m_r, m_h = ops.split(m_BG, 3, axis=-1)
            z, r = ops.sigmoid(x_z + m_z), ops.sigmoid(x_r + m_r)
            candidate = ops.tanh(x_h + r * m_h)
        else:
            # The candidate's product needs r, which needs its own product first: two, one after the other.
            recurrent_zr, recurrent_h = ops.split(self.recurrent_kernel, [2 * self.units], axis=-1)
            m_z, m_r = ops.split(self._product(masked_h_BU, recurrent_zr), 2, axis=-1)
            z, r = ops.sigmoid(x_z + m_z), ops.sigmoid(x_r + m_r)
            candidate = ops.tanh(x_h + self._product(r * masked_h_BU, recurrent_h))
        keep = z if self.update_gate == "keep" else 1 - z
        new_BU = ops.cast(keep * h_BU + (1 - keep) * candidate, given_BU.dtype)
        return new_BU, [new_BU] if nested else new_BU

    def _as_floats(self, numbers: KerasTensor) -> KerasTensor:
        is_float = keras.backend.is_float_dtype(keras.backend.standardize_dtype(numbers.dtype))
        return numbers if is_float else ops.cast(numbers, self.variable_dtype)

    def _product(self, rows: KerasTensor, matrix: KerasTensor) -> KerasTensor:
        """rows x matrix, computed in the policy's compute dtype and given in that of the variables."""
        operands = (ops.cast(operand, self.dtype_policy.compute_dtype) for operand in (rows, matrix))
        return ops.cast(ops.matmul(*operands), self.variable_dtype)

    def biases(self) -> tuple[KerasTensor | None, KerasTensor | None]:
        """Returns (b, c), each [3U] or None: the biases beside the input product and beside the recurrent one."""
        if self.bias is None:
            return None, None
        if self.reset_after:
            return self.bias[0], self.bias[1]
        return self.bias, None  # outside the product with r, the two biases are one

    # keras.layers.RNN calls the two resets around a sequence, and `call` the two getters at every step. All four are
    # overridden, so that there is one mask for the three gates whatever the version of Keras.

    def get_dropout_mask(self, step_input: KerasTensor) -> KerasTensor | None:
        if self._input_mask is None and self.dropout > 0:
            self._input_mask = self._draw(step_input, self.dropout)
        return self._input_mask

    def get_recurrent_dropout_mask(self, step_input: KerasTensor) -> KerasTensor | None:
        if self._state_mask is None and self.recurrent_dropout > 0:
            self._state_mask = self._draw(step_input, self.recurrent_dropout)
        return self._state_mask

    def reset_dropout_mask(self) -> None:
        self._input_mask = None

    def reset_recurrent_dropout_mask(self) -> None:
        self._state_mask = None

    def _draw(self, like: KerasTensor, rate: float) -> KerasTensor:
        # Drawn in the variables' dtype: uniform numbers of 8 bits cannot meet a rate such as 0.1 well.
        mask = keras.random.dropout(ops.ones_like(like, dtype=self.variable_dtype), rate, seed=self.seed_generator)
        return ops.cast(mask, like.dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        # They have one value each, see `__init__`.
        del config["activation"], config["recurrent_activation"]
        return {**config, "update_gate": self.update_gate}
