"""The environment of a sweep's processes: GPUs, threads, the token."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Iterator

from speechgru.network import TOKEN_VARIABLE


def worker_environment(token: str) -> dict[str, str]:
    """The environment of a worker's process.

    Args:
        token: of the sweep's port.
    """
    # A worker itself needs no GPU; its trials have one.
    return {**os.environ, TOKEN_VARIABLE: token, "CUDA_VISIBLE_DEVICES": "-1"}


def trial_environment(*, gpu: str | None, threads: int | None) -> dict[str, str]:
    """The environment of a worker's trials.

    Args:
        gpu: the one GPU that they see; None for all that there are.
        threads: of TensorFlow; None for its own choice. Several workers on one machine share its cores.
    """
    environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        if threads is not None:
            environment.setdefault(name, str(threads))
    if gpu is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpu
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return environment


@contextlib.contextmanager
def hidden_gpus() -> Iterator[str | None]:
    """Hides the GPUs from this process, which would leave less of them to the trials; yields what was visible."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    try:
        yield visible
    finally:
        if visible is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES")
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = visible


def list_gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(k) for k, line in enumerate(done.stdout.splitlines()) if line.startswith("GPU ")]


def worker_name(number: int | str) -> str:
    """The name of this machine's worker of a number; of all its workers the beginning, where that is empty."""
    host = re.sub(r"[^\w.-]", "_", socket.gethostname()).lstrip(".")[:100]
    return f"{host or 'host'}-{number}"
