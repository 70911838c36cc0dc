"""How TensorFlow prepares training's graphs before they run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from speechgru import native

_REWRITING_IS_OFF = "disable_meta_optimizer"


@contextlib.contextmanager
def run_as_written() -> Iterator[None]:
    """Within it TensorFlow runs graphs as they are traced, where compiled code does most of a step.

    TensorFlow otherwise searches each new graph for operations to fold and fuse. That is worth it where operations do
    the work; around compiled code it finds nothing that a step gains from, and each training waits for it. What was set
    before is set again at the end.
    """
    if native.obstacle() is not None:
        yield
        return
    before = bool(tf.config.optimizer.get_experimental_options().get(_REWRITING_IS_OFF))
    tf.config.optimizer.set_experimental_options({_REWRITING_IS_OFF: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({_REWRITING_IS_OFF: before})
