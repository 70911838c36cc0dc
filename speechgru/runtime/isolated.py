"""A model in a process of its own, whose death is an exception here.

LiteRT trusts its files: one that is damaged, or made to harm, can end the process that runs it. What goes through the
pipes is plain numbers, which the caller checks as it would a file's: nothing of the child is unpickled or run.

It is a guard against crashes and endless loops, and no prison: whoever gets code to run in the child has its user's
rights.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import struct
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from speechgru.errors import BundleError
from speechgru.fields import flag, items, record, text, whole
from speechgru.process.children import run_code
from speechgru.runtime.engine import RECOGNIZE, STREAM, Engine

#: Bytes of the child's memory, of a message's head, and of its arrays, at most.
_MEMORY_BYTES, _HEAD_BYTES, _ARRAY_BYTES = 1 << 32, 1 << 20, 1 << 30
#: Seconds that the child may take: to begin, and for a call beside a multiple of what the sound lasts.
_BEGIN_SECONDS, _CALL_SECONDS, _TIMES_AS_LONG = 60.0, 30.0, 10.0
#: The rate that this is counted with: few have a lower one, and they have longer.
_LEAST_RATE = 4000
_SIZE = struct.Struct("<I")
_ARRAY = {"name": text(), "dtype": text("<f4", "<i4"), "shape": items(whole(0, _ARRAY_BYTES))}
_HEAD = record({"arrays": items(record(_ARRAY))}, {"call": text(), "streams": flag, "error": text()})


class IsolatedEngine:
    """The same as `Engine`, in another process.

    Args:
        path: the file.
        num_threads: CPU threads that LiteRT may use there.
        num_labels: what a step has log-probabilities of, the blank included.

    Raises:
        BundleError: the file is missing or damaged, or has ended the process; so do the methods.
    """

    def __init__(self, path: Path, *, num_threads: int, num_labels: int):
        self._path, self._num_labels, self._lock = path, num_labels, threading.Lock()
        self._is_late = False
        self._process = subprocess.Popen(
            run_code(f"from {__name__} import _serve; _serve()", str(path), str(num_threads), str(num_labels)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the caller's
            # NumPy's own threads would reserve memory for nothing.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._end = weakref.finalize(self, _end, self._process)
        #: Whether the file has a signature for streams.
        self.streams = bool(self._ask({"call": "begin"}, {}, seconds=_BEGIN_SECONDS)[0].get("streams"))

    def recognize(self, samples_N: np.ndarray) -> np.ndarray:
        """`samples_N`, one or more, to `log_probs_SV`."""
        return self._call(RECOGNIZE, {"samples": samples_N})["log_probs"][0]

    def stream(self, inputs: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """One call of a stream (`windows.Call`)."""
        return self._call(STREAM, inputs)

    def _call(self, name: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        num_samples = arrays["samples"].size
        return self._ask({"call": name}, arrays, seconds=_CALL_SECONDS + _TIMES_AS_LONG * num_samples / _LEAST_RATE)[1]

    def _ask(
        self, head: dict[str, Any], arrays: dict[str, np.ndarray], *, seconds: float
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        stdin, stdout = self._process.stdin, self._process.stdout
        with self._lock:
            watch = threading.Timer(seconds, self._stop)
            watch.daemon = True
            watch.start()
            try:
                if stdin is None or stdout is None:
                    raise EOFError
                _write(stdin, head, arrays)
                answer, outputs = _read(stdout)
            except (OSError, EOFError, ValueError) as error:
                self._process.kill()
                raise BundleError(f"{self._path}: {self._how_it_ended(error)}; export the bundle again") from error
            finally:
                watch.cancel()
        if "error" in answer:
            reason = "".join(mark if mark.isprintable() else "?" for mark in answer["error"])
            raise BundleError(reason[:1000])
        return answer, outputs

    def _stop(self) -> None:
        self._is_late = True
        self._process.kill()

    def _how_it_ended(self, error: Exception) -> str:
        if self._is_late:
            return "has kept the process that ran it busy for too long"
        if isinstance(error, ValueError):
            return f"the process that ran it answers what is none ({error})"
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        code = self._process.returncode
        name = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        return f"has ended the process that ran it ({name})"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a child that nobody needs any more."""
    process.kill()
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
    process.wait()


def _write(stream: BinaryIO | Any, head: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Sends a message: a head of JSON, and arrays."""
    described = [{"name": name, "dtype": array.dtype.str, "shape": list(array.shape)} for name, array in arrays.items()]
    content = json.dumps({**head, "arrays": described}).encode()
    stream.write(_SIZE.pack(len(content)) + content)
    for array in arrays.values():
        stream.write(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    stream.flush()


def _read(stream: BinaryIO | Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Receives a message.

    Raises:
        EOFError: the other process has ended.
        ValueError: it sends something else.
    """
    (size,) = _SIZE.unpack(_read_bytes(stream, _SIZE.size))
    if size > _HEAD_BYTES:
        raise ValueError(f"a head of {size:,} bytes")
    head = json.loads(_read_bytes(stream, size))
    _HEAD(head, "")
    arrays, left = {}, _ARRAY_BYTES
    for described in head["arrays"]:
        name, dtype, shape = described["name"], described["dtype"], described["shape"]
        num_bytes = 4 * math.prod(shape)
        left -= num_bytes
        if left < 0:
            raise ValueError("more numbers than any model gives")
        arrays[name] = np.frombuffer(_read_bytes(stream, num_bytes), dtype).reshape(shape)
    return head, arrays


def _read_bytes(stream: BinaryIO | Any, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError
    return content


def _serve() -> None:
    """The child: calls come on standard input, answers leave on what was standard output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    path, num_threads, num_labels = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    engine: Engine | None = None
    while True:
        try:
            head, arrays = _read(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer: dict[str, Any] = {}
            outputs: dict[str, np.ndarray] = {}
            if engine is None:
                engine = Engine(path, num_threads=num_threads, num_labels=num_labels)
                answer = {"streams": engine.streams}
            elif head["call"] == RECOGNIZE:
                outputs = {"log_probs": engine.recognize(arrays["samples"])[None]}
            else:
                outputs = dict(engine.stream(arrays))
        except (BundleError, MemoryError) as error:
            answer, outputs = {"error": str(error) or f"{path}: does not fit into memory"}, {}
        _write(answers, answer, outputs)
