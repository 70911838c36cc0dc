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
from speechgru.runtime.tflite import foreign_operators

#: How the weights of a TFLite file may be stored.
QUANTIZATIONS = ("none", "dynamic", "float16", "int8")

#: Inputs of a function, in the order of its arguments.
Inputs = list[np.ndarray]


def to_tflite(functions: Mapping[str, Any], *, form: str, calibration: Iterable[Inputs] | None = None) -> bytes:
    """Converts functions over the same weights to one file, a signature each, with built-in operators only.

    Args:
        functions: concrete functions by the names of their signatures, all from one `graphs.Graphs`; the first one's is
            the file's main graph.
        form: one of `QUANTIZATIONS`.
        calibration: for `int8`, inputs of the first function, whose products must be all that the others have.

    Returns:
        The TFLite file's bytes.

    Raises:
        UserError: an operator has no TFLite built-in; the message names it, or holds the converter's.
    """
    parts: list[Part] = []
    for name, function in functions.items():
        try:
            converter = _converter(function)
            if form in ("dynamic", "int8"):
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            content = converter.convert()
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


def inputs_of(function: Any) -> list[str]:
    """The names of a concrete function's inputs in the order of its arguments, weights left out."""
    return [tensor.op.name for tensor in function.inputs if tensor.dtype != tf.resource]


def _foreign_operators(function: Any) -> list[str]:
    """What of a function LiteRT has not built in, by a conversion that may fall back on TensorFlow's operators."""
    converter = _converter(function)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    try:
        return foreign_operators(converter.convert())
    except Exception:  # it is not for want of operators
        return []


def _converter(function: Any) -> tf.lite.TFLiteConverter:
    # Given its module as the second argument, the converter would convert by way of a SavedModel (see `flatbuffer`).
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], function)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter
