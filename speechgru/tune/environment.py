"""The environment of a sweep's processes: keras-tuner's variables, GPUs, threads, addresses."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence

from speechgru.errors import UserError

#: What keras-tuner's own variables begin with.
_PREFIX = "KERASTUNER_"
#: Addresses that stand for every interface of a machine, and cannot be connected to.
_ALL_INTERFACES = ("0.0.0.0", "::", "")
#: Seconds that a chief has to begin listening.
_LISTEN_SECONDS = 30.0


@contextlib.contextmanager
def keras_tuner_environment(tuner_id: str, address: tuple[str, int] | None = None) -> Iterator[None]:
    """Sets keras-tuner's variables in this process, and restores the earlier ones.

    Args:
        tuner_id: this process's name; `chief` for the one that leads.
        address: host and port of the chief; None where there is one process alone.
    """
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_PREFIX)}
    given = _variables(tuner_id, address)
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)
        os.environ.update(before)


def is_chief_process() -> bool:
    """Whether keras-tuner's variables make this process the chief."""
    return f"{_PREFIX}ORACLE_IP" in os.environ and os.environ.get(f"{_PREFIX}TUNER_ID") == "chief"


def worker_environment(tuner_id: str, address: tuple[str, int]) -> dict[str, str]:
    """The environment of a worker's process.

    Args:
        tuner_id: the worker's name.
        address: host and port of the chief.
    """
    environment = _without_keras_tuner() | _variables(tuner_id, address)
    environment["CUDA_VISIBLE_DEVICES"] = "-1"  # of the worker itself; its trials have a GPU
    # gRPC would connect to a machine next door through a proxy.
    environment["no_grpc_proxy"] = ",".join(filter(None, [environment.get("no_grpc_proxy"), address[0]]))
    return environment


def trial_environment(*, gpu: str | None, threads: int | None) -> dict[str, str]:
    """The environment of a worker's trials.

    Args:
        gpu: the one GPU that they see; None for all that there are.
        threads: of TensorFlow; None for its own choice. Several workers on one machine share its cores.
    """
    environment = _without_keras_tuner()
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
    return f"{socket.gethostname()}-{number}"


def parse_address(text: str) -> tuple[str, int]:
    """The host and port of `HOST:PORT`.

    >>> parse_address("192.168.1.10:7777")
    ('192.168.1.10', 7777)

    Raises:
        UserError: the text is something else.
    """
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"{text!r} is not an address; give HOST:PORT, such as 192.168.1.10:7777")
    return host, int(port)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def local_host(host: str) -> str:
    """The host by which this machine reaches what listens on `host`."""
    return "127.0.0.1" if host in _ALL_INTERFACES else host


def wait_until_listening(address: tuple[str, int], failures: Sequence[BaseException]) -> None:
    """Waits for a server in another thread.

    Args:
        address: host and port.
        failures: gets an element where the server fails.

    Raises:
        UserError: it failed, or does not listen in time.
    """
    host, port = address
    deadline = time.monotonic() + _LISTEN_SECONDS
    while True:
        if failures or time.monotonic() > deadline:
            reason = f" ({failures[0]})" if failures else ""
            raise UserError(f"cannot listen on {host}:{port}{reason}; give another port, or an address of this machine")
        with contextlib.suppress(OSError), socket.create_connection((local_host(host), port), timeout=1.0):
            return
        time.sleep(0.05)


def _variables(tuner_id: str, address: tuple[str, int] | None) -> dict[str, str]:
    variables = {f"{_PREFIX}TUNER_ID": tuner_id}
    if address is not None:
        variables |= {f"{_PREFIX}ORACLE_IP": address[0], f"{_PREFIX}ORACLE_PORT": str(address[1])}
    return variables


def _without_keras_tuner() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_PREFIX)}
