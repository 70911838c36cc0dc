"""`speechgru` commands as processes of their own, forked from one that has imported TensorFlow and not used it.

That saves each of them the seconds of the import. Such a process can be killed, and starts processes itself, as one
that a person started.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes of these tests are forked")

#: Forks a command for each line; answers with its id. A line that is a number asks for the exit status of that process,
#: and gets null while it runs.
_SERVER = """
import gc
gc.disable()
import importlib, json, os, resource, runpy, sys, traceback
from speechgru import cli

for module in sys.argv[1:]:
    importlib.import_module(module)
# Nothing of the imports is garbage; looking through it would copy its pages into each process that is forked.
gc.freeze()
gc.enable()

def run(request):
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f'{request["log"]}.{name}', os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if request["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["largest_file"], request["largest_file"]))
    script = request["script"]
    sys.argv = [script or "speechgru", *request["arguments"]]
    try:
        if script:
            sys.path.insert(0, os.path.dirname(script))
            runpy.run_path(script, run_name="__main__")
        else:
            cli.main()
    except SystemExit as end:
        return end.code
    except BaseException:
        traceback.print_exc()
        return 1

while line := sys.stdin.readline():
    request = json.loads(line)
    if isinstance(request, int):
        ended, status = os.waitpid(request, os.WNOHANG)
        print(json.dumps(os.waitstatus_to_exitcode(status) if ended else None), flush=True)
        continue
    child = os.fork()
    if child == 0:
        status = run(request)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)
    print(child, flush=True)
"""


class Command:
    """A command that was started; made by `Commands.start`.

    Args:
        ask: sends the server a line; gives its answer.
        pid: the process's id.
        log: the files of what it prints, without `.out` and `.err`.
    """

    def __init__(self, ask, pid, log):
        self._ask, self.pid, self._log = ask, pid, log
        #: The exit status, or minus the signal that ended it; None while it runs.
        self.returncode = None

    def poll(self):
        """The exit status; None while it runs."""
        if self.returncode is None:
            self.returncode = self._ask(self.pid)
        return self.returncode

    @property
    def printed(self):
        """What it printed on standard output."""
        return Path(f"{self._log}.out").read_text(encoding="utf-8")

    def wait(self, *, seconds=300.0):
        """Waits for its end; gives the exit status and all that it printed, on standard error last."""
        deadline = time.monotonic() + seconds
        while self.poll() is None:
            assert time.monotonic() < deadline, f"still running after {seconds:g} s: {self.printed}"
            time.sleep(0.005)
        return self.returncode, self.printed + Path(f"{self._log}.err").read_text(encoding="utf-8")

    def send(self, number):
        """Sends a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Commands:
    """Runs `speechgru` commands as processes.

    Args:
        folder: for their logs.
        *modules: what the server imports beforehand.
    """

    def __init__(self, folder, *modules):
        self._folder, self._count = folder, 0
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER, *modules],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore::DeprecationWarning"},
        )  # fmt: skip

    def start(self, *arguments, script=None, cwd=None, environment=None, largest_file=None):
        """Starts a command.

        Args:
            *arguments: of the command line.
            script: a program to run in place of `speechgru`.
            cwd: its folder; this process's when None.
            environment: its variables; this process's when None.
            largest_file: bytes that a file may have, as on a full disk.
        """
        self._count += 1
        log = self._folder / str(self._count)
        for name in ("out", "err"):  # which may be read before the process has run its first line
            Path(f"{log}.{name}").touch()
        request = {
            "arguments": [str(argument) for argument in arguments],
            "script": script and str(script),
            "cwd": str(cwd or Path.cwd()),
            "environment": dict(environment or os.environ),
            "log": str(log),
            "largest_file": largest_file,
        }
        return Command(self._ask, self._ask(request), log)

    def run(self, code, *arguments, **options):
        """Runs a program to its end.

        Args:
            code: the program's text.
            *arguments: of its command line.
            **options: those of `start`.

        Returns:
            the exit status and all that it printed.
        """
        script = self._folder / f"program{self._count + 1}.py"
        script.write_text(code, encoding="utf-8")
        return self.start(*arguments, script=script, **options).wait()

    def _ask(self, request):
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def close(self):
        """Ends the server."""
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()
