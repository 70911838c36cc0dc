"""Whether training's compiled code may run here: Numba is installed, and there is no GPU."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

_is_off = False


def obstacle() -> str | None:
    """Why compiled code cannot run here, as a sentence; None if it can. Asked while a graph is made."""
    import tensorflow as tf

    if _is_off:
        return "operations alone are asked for"
    if tf.config.list_logical_devices("GPU"):
        return "its code is for CPUs, and there is a GPU"
    return _missing_package()


@contextlib.contextmanager
def operations_only() -> Iterator[None]:
    """Within it, what asks `obstacle` uses TensorFlow's operations, as where Numba is not installed."""
    global _is_off
    before, _is_off = _is_off, True
    try:
        yield
    finally:
        _is_off = before


@functools.cache
def _missing_package() -> str | None:
    try:
        import numba  # noqa: F401
    except ImportError as error:
        return f"it needs Numba: {error}"
    return None
