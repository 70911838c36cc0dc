"""What Keras runs on, asked before Keras is imported."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def require_tensorflow() -> None:
    """Checks that Keras runs, or would run, on TensorFlow, as the layers of this package need.

    Rooms with layers call it before they import Keras, which would end in a missing package of another backend; where
    that is installed, the weights would be its own, and would not learn. The `speechgru` command sets the backend
    itself; in a library's process it is the caller's to choose.

    Raises:
        ImportError: another backend is asked for; the message says where, and what to do.
    """
    by_file, file = _backend_of_file()
    by_variable = os.environ.get("KERAS_BACKEND")
    # None while Keras itself is being imported.
    config = getattr(sys.modules.get("keras"), "config", None)
    backend = config.backend() if config is not None else by_variable or by_file
    if backend == "tensorflow":
        return
    if backend == by_variable:
        way = "by the environment variable KERAS_BACKEND: unset it, or set it to tensorflow, before Keras is imported"
    elif backend == by_file:
        way = f"by {file}: set the environment variable KERAS_BACKEND to tensorflow before Keras is imported"
    else:
        way = "in this process: set the environment variable KERAS_BACKEND to tensorflow before Keras is imported"
    raise ImportError(f"speechgru needs Keras on TensorFlow; it is set to {backend!r} {way}")


def _backend_of_file() -> tuple[str, Path]:
    """The backend that Keras's own file of settings names, read as Keras does, and the file."""
    home = os.path.expanduser("~")  # stays so where the user has none, as in a container that knows no such user
    folder = os.environ.get("KERAS_HOME") or Path(home if os.access(home, os.W_OK) else "/tmp") / ".keras"
    file = Path(folder) / "keras.json"
    try:
        settings = json.loads(file.read_text())
    except (OSError, ValueError):
        settings = None
    backend = settings.get("backend") if isinstance(settings, dict) else None
    return backend or "tensorflow", file
