"""Chromium without a window, driven over its pipe: what the tests of pages ask of a browser, and no library."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import functools
import http.server
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

#: Gives the ends of the pipes the numbers that Chromium expects, and becomes it.
_START = "import os, sys; [os.dup2(int(end), number) for number, end in ((3, sys.argv[1]), (4, sys.argv[2]))]; "
_START += "os.execv(sys.argv[3], sys.argv[3:])"


class Browser:
    """A browser with one page, until `close`.

    Args:
        *flags: further ones of the command line.
        width, height: of the page, CSS pixels.
    """

    def __init__(self, *flags: str, width: int = 1400, height: int = 1000):
        self._profile = tempfile.mkdtemp(prefix="speechgru-browser-")
        ends = (*os.pipe(), *os.pipe())
        # None of theirs is 3 or 4 already.
        their_reads, their_writes = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (ends[0], ends[3]))
        self._writes, self._reads = ends[1], ends[2]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _START, str(their_reads), str(their_writes), str(CHROMIUM),
             "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required", "--remote-debugging-pipe",
             f"--user-data-dir={self._profile}", f"--window-size={width},{height}", *flags, "about:blank"],
            pass_fds=(their_reads, their_writes), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        for end in (ends[0], ends[3], their_reads, their_writes):
            os.close(end)
        self._count, self._buffer = 0, b""
        #: What the page wrote on its console, and errors of it that nobody caught.
        self.console: list[str] = []
        targets = self.ask("Target.getTargets", session=None)["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.ask("Target.attachToTarget", {"targetId": page, "flatten": True}, session=None)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(
        self, method: str, parameters: dict[str, Any] | None = None, *, session: str | None = "", seconds: float = 120
    ):
        """Sends a command of the DevTools protocol; gives its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters or {}}
        if session is not None:
            message["sessionId"] = self._session
        os.write(self._writes, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + seconds
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reads], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"the browser did not answer in time; its console: {self.console}"
            piece = os.read(self._reads, 1 << 20)
            assert piece, f"the browser ended; its console: {self.console}"
            self._buffer += piece
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            words = (str(word.get("value", word.get("description"))) for word in parameters["args"])
            self.console.append(f"{parameters['type']}: {' '.join(words)}")
        elif method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.console.append(f"exception: {details.get('exception', {}).get('description', details['text'])}")
        elif method == "Log.entryAdded":
            entry = parameters["entry"]
            self.console.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")

    def open(self, address: str) -> None:
        """Begins to load a page."""
        self.ask("Page.navigate", {"url": address})

    def evaluate(self, expression: str) -> Any:
        """The JSON value of an expression in the page; a promise is awaited."""
        result = self.ask(
            "Runtime.evaluate",
            {"expression": expression, "returnByValue": True, "awaitPromise": True, "userGesture": True},
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, expression: str, *, seconds: float = 60) -> Any:
        """Waits until an expression is true; gives its value."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, (
                f"{expression} is not true after {seconds:g} s; the console: {self.console}; the page: "
                + str(self.evaluate("document.body.innerText"))[:2000]
            )
            time.sleep(0.05)
        return value

    def wait_for_state(self, *states: str, seconds: float = 60) -> str:
        """Waits until a page of a site is in one of some states."""
        wanted = json.dumps(states)
        return self.wait_for(
            f"{wanted}.includes(document.body?.dataset.state) && document.body.dataset.state", seconds=seconds
        )

    def give_file(self, selector: str, path: Path) -> None:
        """Chooses a file in an input of the page."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
        self.ask("DOM.setFileInputFiles", {"nodeId": node, "files": [str(path)]})

    def picture(self, path: Path, *, width: int, height: int = 900, dark: bool = False) -> None:
        """Writes a picture of the complete page."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", {"features": scheme})
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", metrics)
        time.sleep(0.5)
        image = self.ask("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
        path.write_bytes(base64.b64decode(image["data"]))

    def close(self) -> None:
        """Ends the browser and removes its profile."""
        with contextlib.suppress(AssertionError, OSError):
            self.ask("Browser.close", session=None, seconds=5)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        for end in (self._reads, self._writes):
            os.close(end)
        shutil.rmtree(self._profile, ignore_errors=True)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """A page that was left takes no more of a file: nothing to report."""


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serves a folder on loopback; gives its address."""
    server = _Server(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
