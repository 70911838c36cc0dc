"""The workers of one machine: started, replaced when they die, stopped at the end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import filelock

from speechgru.errors import UserError
from speechgru.files import open_log, room_for
from speechgru.network import Address
from speechgru.process.children import run_module
from speechgru.process.locked_folder import locked_file
from speechgru.tune.environment import list_gpus, worker_environment, worker_name
from speechgru.tune.folder import SweepFolder
from speechgru.tune.telling import last_line

#: Times in a row that a worker may end without ending a trial before the sweep gives up on it.
_MOST_RESTARTS = 5
#: Seconds that workers have to stop: longer than they give their trials.
_STOP_SECONDS = 120.0


class Supervisor:
    """The workers of one machine: started, replaced when they die, stopped at the end.

    Args:
        folder: the sweep's.
        chief: where it listens.
        count: how many workers.
        token: of the chief's port.
        certificate: file of the certificate that the chief's TLS is trusted by; None where it has none.
        gpus: names for CUDA_VISIBLE_DEVICES; shared out in turn. None looks for them.
    """

    def __init__(
        self,
        folder: SweepFolder,
        chief: Address,
        count: int,
        *,
        token: str,
        certificate: Path | None = None,
        gpus: list[str] | None = None,
    ):
        self._folder, self._chief, self._count = folder, chief, count
        self._token, self._certificate = token, "" if certificate is None else str(certificate.absolute())
        self._gpus = list_gpus() if gpus is None else gpus
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._deaths: dict[str, list[int]] = {}
        self._locks = contextlib.ExitStack()
        self._names: list[str] = []
        self.num_replaced = 0

    def __enter__(self) -> Supervisor:
        number = 0
        with room_for(self._folder.workers):
            while len(self._names) < self._count:  # two supervisors of one machine take different names
                name = worker_name(number)
                with contextlib.suppress(filelock.Timeout):
                    self._locks.enter_context(locked_file(self._folder.workers / f"{name}.lock", timeout=0))
                    self._names.append(name)
                number += 1
        for name in self._names:
            self._start(name)
        return self

    def __exit__(self, *error: Any) -> None:
        running = [process for process in self._processes.values() if process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for process in self._processes.values():
            if process.stdin is not None:
                process.stdin.close()
        self._locks.close()

    def check(self, *, replace: bool = True, recall: bool = False) -> None:
        """Replaces the workers that died; the new one has the old one's name, and so gets its trial.

        Args:
            replace: whether there is anything left to do.
            recall: whether one that had nothing left to do is wanted again: another machine's trial lost its worker.

        Raises:
            UserError: one dies again and again.
        """
        for name, process in list(self._processes.items()):
            code = process.poll()
            if code is None or not replace or (code == 0 and not recall):
                continue
            if code == 0:
                self._start(name)
                continue
            ended = len(list(self._folder.path.glob("trials/*/outcome.json")))
            deaths = self._deaths.setdefault(name, [])
            deaths.append(ended)
            if deaths.count(ended) >= _MOST_RESTARTS:
                log = self._folder.workers / f"{name}.log"
                raise UserError(
                    f"worker {name} has died {_MOST_RESTARTS} times, and no trial ended in between; its last words "
                    f"in {log}: {last_line(log)}"
                )
            if process.stdin is not None:
                process.stdin.close()
            self.num_replaced += 1
            self._start(name)

    def wait(self) -> None:
        """Until the workers have ended by themselves, or a while."""
        deadline = time.monotonic() + 20.0
        while any(process.poll() is None for process in self._processes.values()) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _start(self, name: str) -> None:
        place = self._names.index(name)
        gpu = self._gpus[place % len(self._gpus)] if self._gpus else ""
        threads = str(max(1, (os.cpu_count() or 1) // self._count))
        options = (name, str(self._chief), threads, gpu, self._certificate)
        with open_log(self._folder.workers / f"{name}.log") as log:
            self._processes[name] = subprocess.Popen(
                run_module("speechgru.tune.worker", str(self._folder.path), *options),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=worker_environment(self._token),
                start_new_session=True,
            )
