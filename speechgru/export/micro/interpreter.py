"""One model under TensorFlow Lite Micro: the only place that calls its interpreter."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from speechgru.errors import UserError
from speechgru.runtime.tflite import SignatureFacts, describe

#: An arena that is large enough for whatever fits a microcontroller, and is no hardship here.
_AMPLE_BYTES = 1 << 24
#: In units of this many bytes an arena is measured.
_UNIT_BYTES = 1024
#: What the interpreter prints of each model, whether it runs or not.
_NOISE = re.compile(r"temp buffers|Checksum passing")


def require_tflite_micro() -> None:
    """Refuses where TensorFlow Lite Micro's interpreter is not installed.

    Raises:
        UserError: it is not; there are wheels for Linux on x86-64 only.
    """
    try:
        import tflite_micro  # noqa: F401
    except ImportError:
        raise UserError(
            "a microcontroller's form is run by TensorFlow Lite Micro before it is written, and its package is not "
            "installed: pip install tflite-micro, speechgru's extra micro (it has wheels for Linux on x86-64 only)"
        ) from None


class MicroInterpreter:
    """A model that is loaded; inputs and outputs go by the names of its first signature.

    Args:
        content: a `.tflite` file.
        arena_bytes: memory for the interpreter; ample when None.

    Raises:
        UserError: the interpreter lacks an operator or a type of the model, or its arena is too small; the message
            quotes it.

    Example:

        interpreter = MicroInterpreter(Path("micro/speechgru_model_int8.tflite").read_bytes())
        outputs = interpreter.run({"features": window_1KD, "state_0": state_1U})
    """

    def __init__(self, content: bytes, *, arena_bytes: int | None = None):
        from tflite_micro import runtime

        self.signature: SignatureFacts = describe(content).signatures[0]
        with _captured() as said:
            try:
                self._interpreter: Any = runtime.Interpreter.from_bytes(
                    content, arena_size=_AMPLE_BYTES if arena_bytes is None else arena_bytes
                )
                self._interpreter.invoke()  # some types are refused only then
            except RuntimeError as error:
                reason = error
            else:
                return
        raise UserError(f"TensorFlow Lite Micro does not run this model: {'; '.join([*said, str(reason)][:3])}")

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs the model once: all inputs by name -> outputs by name."""
        for place, tensor in enumerate(self.signature.inputs):
            self._interpreter.set_input(inputs[tensor.name], place)
        self._interpreter.invoke()
        return {
            tensor.name: np.array(self._interpreter.get_output(place))  # a copy: the next run writes there
            for place, tensor in enumerate(self.signature.outputs)
        }

    def allocated_bytes(self) -> int:
        """What the interpreter keeps of its arena once it is ready; it needs some more until then."""
        with _captured() as said:
            self._interpreter.print_allocations()
        found = re.search(r"Arena allocation total (\d+) bytes", "\n".join(said))
        if found is None:
            raise UserError("this version of tflite-micro does not print what it allocated; install the newest")
        return int(found[1])


def least_arena(content: bytes) -> int:
    """The least arena that a model runs in on this machine, in bytes, a multiple of 1,024.

    On a machine of 32 bits the interpreter's own records are about half as long.

    Raises:
        UserError: the interpreter does not run the model.
    """
    # No less is tried than what is kept: its kernels do not survive a lack of it. More is needed for planning alone.
    units = -(-MicroInterpreter(content).allocated_bytes() // _UNIT_BYTES)
    while not _fits(content, units * _UNIT_BYTES):
        units += 1
    return units * _UNIT_BYTES


def _fits(content: bytes, arena_bytes: int) -> bool:
    try:
        MicroInterpreter(content, arena_bytes=arena_bytes)
    except UserError:
        return False
    return True


@contextlib.contextmanager
def _captured() -> Iterator[list[str]]:
    """Keeps off standard error what compiled code prints there; afterwards its lines are in the list."""
    said: list[str] = []
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield said
        return
    with tempfile.TemporaryFile() as written:
        os.dup2(written.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            lines = written.read().decode(errors="replace").splitlines()
            said += [line.strip() for line in lines if line.strip() and not _NOISE.search(line)]
