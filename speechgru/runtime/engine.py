"""One exported model under LiteRT: the only place that calls its interpreter."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.errors import BundleError
from speechgru.files import read_file
from speechgru.process.notices import without_notices

#: The signatures of whole recordings and of a streaming call. Bundles of versions below 3 have one without a name.
RECOGNIZE, STREAM = "recognize", "stream"


class Engine:
    """A `.tflite` file that is loaded: whole recordings, and calls of a stream.

    Calls from several threads wait for each other: an interpreter holds the tensors of one call.

    Args:
        path: the file.
        num_threads: CPU threads that LiteRT may use.
        num_labels: what a step has log-probabilities of, the blank included.

    Raises:
        BundleError: the file is missing or damaged. So do the methods, where a call shows it.
    """

    def __init__(self, path: Path, *, num_threads: int, num_labels: int):
        self._path, self._num_labels = path, num_labels
        with naming(path):
            self._interpreter = load_interpreter(path, num_threads)
            signatures = self._interpreter.get_signature_list()
            self._recognize, self._stream = (
                self._interpreter.get_signature_runner(name) if name in signatures else None
                for name in (RECOGNIZE, STREAM)
            )
            if self._recognize is None:
                self._input = self._interpreter.get_input_details()[0]["index"]
                self._output = self._interpreter.get_output_details()[0]["index"]
        self._lock = threading.Lock()
        self._called: set[str] = set()

    @property
    def streams(self) -> bool:
        """Whether the file has a signature for streams."""
        return self._stream is not None

    def recognize(self, samples_N: np.ndarray) -> np.ndarray:
        """`samples_N`, one or more, to `log_probs_SV`."""
        with self._lock, self._quiet(RECOGNIZE), naming(self._path):
            if self._recognize is not None:
                outputs = self._recognize(samples=samples_N[None])
                require_outputs({}, outputs, num_labels=self._num_labels)
                return outputs["log_probs"][0]
            self._interpreter.resize_tensor_input(self._input, [1, len(samples_N)])
            self._interpreter.allocate_tensors()
            self._interpreter.set_tensor(self._input, samples_N[None])
            self._interpreter.invoke()
            outputs = {"log_probs": self._interpreter.get_tensor(self._output)}
            require_outputs({}, outputs, num_labels=self._num_labels)
            return outputs["log_probs"][0]

    def stream(self, inputs: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """One call of a stream (`windows.Call`)."""
        if self._stream is None:
            raise BundleError("this file has no stream: its model transcribes whole recordings only")
        with self._lock, self._quiet(STREAM), naming(self._path):
            outputs = self._stream(**inputs)
            require_outputs(inputs, outputs, num_labels=self._num_labels)
            return outputs

    def _quiet(self, signature: str) -> contextlib.AbstractContextManager[None]:
        """The first call of a signature prepares its graph, and LiteRT prints a notice then."""
        if signature in self._called:
            return contextlib.nullcontext()
        self._called.add(signature)
        return without_notices(_NOTICE)


def require_outputs(inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], *, num_labels: int) -> None:
    """Whether a call gave log-probabilities of the labels, and the next call's states.

    Args:
        inputs: of a stream's call, states among them; empty for a whole recording.
        outputs: what came of it.
        num_labels: of a step, the blank included.

    Raises:
        ValueError: it did not.
    """
    shape = outputs["log_probs"].shape if "log_probs" in outputs else ()
    if len(shape) != 3 or shape[::2] != (1, num_labels):
        raise ValueError(f"it gives numbers of the shape {list(shape)} for {num_labels} labels")
    if shape[1] and np.isnan(outputs["log_probs"].max()):
        raise ValueError("it gives NaN: its weights are damaged, or the sound is larger than any number")
    for name in inputs.keys() - {"samples", "bounds"}:
        if name not in outputs or outputs[name].shape != inputs[name].shape:
            raise ValueError(f"it does not give the state {name} that it takes")


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turns what LiteRT raises of a file that does not fit, or that is damaged, into an error that names it.

    Raises:
        BundleError: in place of the block's error.
    """
    try:
        yield
    except BundleError:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError, ArithmeticError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise BundleError(f"{path}: cannot be run ({reason}); export the bundle again") from error


def load_interpreter(path: Path, num_threads: int) -> Any:
    """LiteRT's interpreter of a file.

    Raises:
        BundleError: the file is missing or damaged.
    """
    from ai_edge_litert.interpreter import Interpreter

    if not path.is_file():
        raise BundleError(f"{path}: is missing from the bundle; copy the folder whole")
    try:
        if not _is_utf8(path):  # LiteRT takes no other name; the file's content is in memory twice then
            return Interpreter(model_content=read_file(path), num_threads=num_threads)
        return Interpreter(model_path=str(path), num_threads=num_threads)
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{path}: is damaged ({str(error).splitlines()[0]}); export the bundle again") from error


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


#: What LiteRT prints of every model that it prepares.
_NOTICE = rb"INFO: Created TensorFlow Lite XNNPACK delegate"
