"""What compiled code shares: how it is compiled and kept, and elementary functions that become vector instructions.

Numba compiles a function at the first import of its module and keeps the machine code beside it, so that later
processes load it. Compiled functions run without the interpreter's lock, in as many threads as call them.
"""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic

# A product and a sum may become one instruction. Nothing else of "fast math": NaN must stay NaN, for training drops a
# step by it.
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}

#: Numbers of a vector register, as far as the processor is known; LLVM splits wider ones where there are none.
LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8

#: A function that compiled functions call; it is compiled into them.
inner = numba.njit(**_OPTIONS)
#: The same, for sums whose order is the compiler's: they become vector instructions, the same at every call.
associative = numba.njit(**{**_OPTIONS, "fastmath": {"contract", "reassoc"}})


def entry(*signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function that Python calls, compiled for one signature.

    The machine code is kept on disk where there is a place for it: the module's folder, or the user's cache.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            compiled = numba.njit(cache=True, **_OPTIONS)(function)
        except RuntimeError:  # neither can be written
            compiled = numba.njit(**_OPTIONS)(function)
        else:
            _forget_outdated(Path(compiled.stats.cache_path), module=function.__module__)
        compiled.compile(signature)
        compiled.disable_compile()
        return compiled

    return decorate


def _forget_outdated(folder: Path, *, module: str) -> None:
    """Deletes the index of a module's machine code where the code of others, compiled into it, has changed since.

    Numba itself looks at the module's own file only.
    """
    sources = [sys.modules[name].__file__ for name in (__name__, "speechgru.gru.products") if name in sys.modules]
    newest = max(os.stat(source).st_mtime for source in sources if source)
    for index in folder.glob(f"{module.rpartition('.')[2]}.*.nbi"):
        if index.stat().st_mtime < newest:
            index.unlink(missing_ok=True)


def given(dtype: Any, ndim: int) -> Any:
    """The type of a contiguous array that is only read."""
    return types.Array(dtype, ndim, "C", readonly=True)


def empty(shape: Sequence[int]) -> np.ndarray:
    """A new array, float32, that begins at a line of the cache.

    TensorFlow takes over such an array as it is, where it copies another one.
    """
    size = math.prod(shape)
    numbers = np.empty(size + 15, np.float32)
    skipped = -(numbers.ctypes.data // 4) % 16
    return numbers[skipped : skipped + size].reshape(shape)


def run_beside(tasks: Sequence[Callable[[], Any]], *, num_threads: int) -> list[Any]:
    """Runs functions beside each other, the last one in the calling thread; gives their results in order."""
    if not tasks:
        return []
    *others, last = tasks
    waiting = [_pool(num_threads).submit(task) for task in others]
    done = last()
    return [future.result() for future in waiting] + [done]


@functools.cache
def _pool(num_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_threads, thread_name_prefix="compiled")


# -- elementary functions ----------------------------------------------------------------------------------------------

# A rational approximation of tanh, x P(x^2) / Q(x^2), fitted to the least relative error on [-8.5, 8.5] (Lawson's
# reweighted least squares): 1.2e-8 in exact arithmetic; float32's rounding makes 3.3e-7 of it.
_END = np.float32(8.5)
_P0, _P1, _P2, _P3, _P4 = (
    np.float32(p)
    for p in (0.9999999881863447, 0.1341323595230372, 0.0035340137613767172, 2.125082601682103e-05, 1.42689180561e-08)
)
_Q1, _Q2, _Q3, _Q4 = (
    np.float32(q) for q in (0.4674655868724808, 0.02602270168720567, 0.00033488432712433183, 8.144998405431965e-07)
)
_ONE, _TWO, _HALF = np.float32(1.0), np.float32(2.0), np.float32(0.5)
_PER_LN_2 = np.float32(1 / np.log(2))
#: ln 2 in two parts, the first with so few digits that its multiples are exact.
_LN_2_HIGH, _LN_2_LOW = np.float32(0.693359375), np.float32(np.log(2) - 0.693359375)
_LEAST_EXPONENT = np.float32(-87.0)
_E2, _E3, _E4, _E5, _E6 = (np.float32(1 / n) for n in (2, 6, 24, 120, 720))
#: The bits of sqrt(1/2), from which the exponent of a logarithm is counted.
_HALF_ROOT = np.float32(np.sqrt(0.5)).view(np.int32)
_INFINITY = np.float32(np.inf)
_L3, _L5, _L7, _L9, _L11, _L13, _L15, _L17, _L19 = (np.float32(1 / n) for n in range(3, 20, 2))


@intrinsic
def _float_of_bits(typing_context: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], context.get_value_type(types.float32))

    return types.float32(types.int32), generate


@intrinsic
def _bits_of_float(typing_context: Any, number: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], context.get_value_type(types.int32))

    return types.int32(types.float32), generate


@inner
def tanh(x: Any) -> Any:
    """The hyperbolic tangent, float32, to 3e-7."""
    y = min(max(x, -_END), _END)
    square = y * y
    above = (((_P4 * square + _P3) * square + _P2) * square + _P1) * square + _P0
    below = (((_Q4 * square + _Q3) * square + _Q2) * square + _Q1) * square + _ONE
    value = min(max(y * above / below, -_ONE), _ONE)
    return value if x == x else x


@inner
def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x)), float32, to 2e-7."""
    return _HALF + _HALF * tanh(_HALF * x)


@inner
def exp(x: Any) -> Any:
    """The exponential of a number up to 0, float32, to a relative 2e-7; below -87 that of -87, some 1e-38.

    Source: Cody and Waite 1980, "Software Manual for the Elementary Functions": x = k ln 2 + r, and exp r by its
        series.
    """
    y = max(x, _LEAST_EXPONENT)
    k = np.int32(y * _PER_LN_2 - _HALF)  # rounds towards 0: to the nearest, for y is not above 0
    r = (y - k * _LN_2_HIGH) - k * _LN_2_LOW
    series = ((((_E6 * r + _E5) * r + _E4) * r + _E3) * r + _E2) * r * r + r + _ONE
    value = series * _float_of_bits((k + np.int32(127)) << np.int32(23))
    return value if x == x else x


@inner
def log(x: Any) -> Any:
    """The natural logarithm, float32, of a number from the least normal one (1.2e-38) on: to a relative 2e-7.

    x = 2^k m with m from sqrt(1/2) to sqrt(2), and log m as in `log_1_to_3`, whose argument is below 0.18 here.
    """
    bits = _bits_of_float(x)
    k = (bits - _HALF_ROOT) >> np.int32(23)
    m = _float_of_bits(bits - (k << np.int32(23)))
    y = (m - _ONE) / (m + _ONE)
    square = y * y
    series = ((_L9 * square + _L7) * square + _L5) * square + _L3
    tail = _TWO * y * square * series
    value = k * _LN_2_HIGH + (_TWO * y + (tail + k * _LN_2_LOW))
    return value if x < _INFINITY else x


@inner
def log_1_to_3(x: Any) -> Any:
    """The natural logarithm of a number from 1 to 3, float32, to 1e-7 and exactly 0 at 1.

    With d = x - 1 it is 2 artanh(d / (2 + d)), whose argument is below 1/2: its series.
    """
    y = (x - _ONE) / (x + _ONE)
    square = y * y
    series = _L19 * square + _L17
    series = ((series * square + _L15) * square + _L13) * square + _L11
    series = ((series * square + _L9) * square + _L7) * square + _L5
    return _TWO * y * ((series * square + _L3) * square + _ONE)
