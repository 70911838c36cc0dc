"""The forms of a TFLite file: how its weights and activations are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from speechgru.errors import UserError
from speechgru.export.flatbuffer import Part, join
from speechgru.export.float16 import with_float16_weights
from speechgru.export.int8 import measure_spans, with_int8_activations
from speechgru.process.notices import without_notices
from speechgru.runtime.tflite import foreign_operators

#: How the weights of a TFLite file may be stored.
QUANTIZATIONS = ("none", "dynamic", "float16", "int8")

#: What TensorFlow's converter logs of every model in C++, beside what would matter.
_NOTICES = (
    rb"WARNING: All log messages before absl::InitializeLog|I\d{4} "
    rb"|W\d{4} .*tf_tfl_flatbuffer_helpers\.cc:\d+\] Ignored (output_format|drop_control_dependency)"
)

#: Inputs of a function, in the order of its arguments.
Inputs = list[np.ndarray]


class Conversions:
    """Functions over the same weights as TFLite files, a signature each, with built-in operators only.

    The converter runs once for two forms, as it takes most of the time: a file in 16 bits is made of that in 32, and
    one with 8-bit activations of that with 8-bit weights.

    Args:
        functions: concrete functions by the names of their signatures, all from one `graphs.Graphs`; the first one's is
            the file's main graph.

    Example:

        conversions = Conversions({"recognize": graphs.recognize()})
        files = {form: conversions.to_tflite(form) for form in ("none", "float16", "dynamic")}
    """

    def __init__(self, functions: Mapping[str, Any]):
        self._functions = functions
        self._converted: dict[tuple[str, bool], bytes] = {}

    def to_tflite(self, form: str, *, calibration: Iterable[Inputs] | None = None) -> bytes:
        """The file in one form.

        Args:
            form: one of `QUANTIZATIONS`.
            calibration: for `int8`, inputs of the first function, whose products must be all that the others have.

        Raises:
            UserError: an operator has no TFLite built-in; the message names it, or holds the converter's.
        """
        parts: list[Part] = []
        for name, function in self._functions.items():
            try:
                content = self._convert(name, has_8_bits=form in ("dynamic", "int8"))
                if form == "float16":
                    content = with_float16_weights(content)
                elif form == "int8":
                    if calibration is None:
                        raise ValueError("int8 needs a calibration")
                    if not parts:
                        spans = measure_spans(content, calibration)
                    content = with_int8_activations(content, spans)
            except Exception as error:  # the converter raises its own kinds, some of them plain Exception
                foreign = _foreign_operators(function)
                if foreign:
                    raise UserError(
                        f"the TFLite form {form!r} of {name} needs operators that LiteRT lacks, so no device could "
                        f"run it: {', '.join(foreign)}"
                    ) from error
                raise UserError(f"the TFLite form {form!r} of {name} cannot be made: {error}") from error
            parts.append(Part(name, content, inputs_of(function), sorted(function.structured_outputs)))
        return join(parts)

    def _convert(self, name: str, *, has_8_bits: bool) -> bytes:
        """One function by itself, its weights in 32 bits or in 8."""
        key = name, has_8_bits
        if key not in self._converted:
            converter = _converter(self._functions[name])
            if has_8_bits:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            self._converted[key] = _convert(converter)
        return self._converted[key]


def to_tflite(functions: Mapping[str, Any], *, form: str, calibration: Iterable[Inputs] | None = None) -> bytes:
    """Converts functions to one file in one form; `Conversions` says what they must be, and makes several."""
    return Conversions(functions).to_tflite(form, calibration=calibration)


def inputs_of(function: Any) -> list[str]:
    """The names of a concrete function's inputs in the order of its arguments, weights left out."""
    return [tensor.op.name for tensor in function.inputs if tensor.dtype != tf.resource]


def _convert(converter: Any) -> bytes:
    """What a converter makes, without the lines that it logs of every model in C++."""
    with without_notices(_NOTICES):
        return converter.convert()


def _foreign_operators(function: Any) -> list[str]:
    """What of a function LiteRT has not built in, by a conversion that may fall back on TensorFlow's operators."""
    converter = _converter(function)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    try:
        return foreign_operators(_convert(converter))
    except Exception:  # it is not for want of operators
        return []


def _converter(function: Any) -> tf.lite.TFLiteConverter:
    # Given its module as the second argument, the converter would convert by way of a SavedModel (see `flatbuffer`).
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter
