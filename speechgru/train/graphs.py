"""How TensorFlow prepares training's graphs before they run, and lets go of them."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator

import tensorflow as tf

from speechgru import native

_REWRITING_IS_OFF = "disable_meta_optimizer"
#: Where TensorFlow keeps them; it has no public way to let go of one. Looked up, since it may be elsewhere some day.
_PLACE = "tensorflow.python.framework.ops"
#: What the names of custom gradients begin with; other gradients that come meanwhile are of modules just imported.
_CUSTOM_GRADIENT = "CustomGradient-"


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


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """What is traced within it is let go of at its end, and cannot be run any more.

    TensorFlow keeps the Python functions that graphs call, and the custom gradients in them, for as long as the process
    lives; with these it keeps the graphs, their model and the corpus: 28 MB for each training of a few recordings. What
    another thread has traced meanwhile cannot be told apart, so outside the main thread all is kept. So it is where a
    release of TensorFlow keeps them elsewhere than 2.17 does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    gradients = getattr(getattr(sys.modules.get(_PLACE), "gradient_registry", None), "_registry", {})
    known, num_functions = set(gradients), len(_functions())
    try:
        yield
    finally:
        for name in gradients.keys() - known:
            if name.startswith(_CUSTOM_GRADIENT):
                gradients.pop(name, None)
        del _functions()[num_functions:]


def _functions() -> list[object]:
    """The Python functions that graphs call, as TensorFlow keeps them; without one it keeps no list yet."""
    return getattr(tf.compat.v1.get_default_graph(), "_py_funcs_used_in_graph", [])
