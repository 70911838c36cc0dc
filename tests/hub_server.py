"""A Hub on loopback: as much of its API as `HfFileSystem` asks to list, read and write files of dataset repositories.

Files of up to 10 MB that are text go into a commit as they are, others through git's large file storage, as there; the
Hub's own way of moving large files (Xet) is not spoken. What a real Hub answers was read from its client, not seen.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

#: Entries of a page of a listing; there 1,000.
PAGE = 3
TOKEN = "hf_of_the_owner"
READER = "hf_who_may_read"


@dataclass
class Repository:
    """A dataset repository: files by revision."""

    revisions: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    #: Nobody sees it without a token; everybody lists it, and its files need one.
    is_private: bool = False
    is_gated: bool = False
    commits: list[list[str]] = field(default_factory=list)


class Hub(ThreadingHTTPServer):
    """The server, its repositories by `user/name`, and what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        #: Statuses that the next requests get in whose line these patterns are found: [("^GET /api", 503), ...].
        self.failures: list[tuple[str, int]] = []
        self.large: dict[str, bytes] = {}


@contextlib.contextmanager
def running() -> Iterator[Hub]:
    """A server while it is needed."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class _Refused(Exception):
    def __init__(self, status: int, code: str = "", message: str = ""):
        self.status, self.code, self.message = status, code, message or code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    #: An answer leaves in one piece; in two, the second waits for the client's word that it had the first.
    wbufsize = -1
    server: Hub

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        line = f"{self.command} {unquote(self.path)}"
        self.server.requests.append(line)
        for number, (pattern, status) in enumerate(self.server.failures):
            if re.search(pattern, line):
                del self.server.failures[number]
                self._answer(b"out of order", status=status)
                return
        try:
            self._route(urlsplit(self.path), body)
        except _Refused as refused:
            headers = {"X-Error-Code": refused.code} if refused.code else {}
            self._answer(b"", status=refused.status, headers={**headers, "X-Error-Message": refused.message})

    do_GET = do_HEAD = do_POST = do_PUT = _serve

    def _route(self, url, body: bytes) -> None:
        path, query = url.path, parse_qs(url.query)
        if found := re.fullmatch(r"/large/(\w+)", path):
            self.server.large[found[1]] = body
            self._answer(b"")
        elif found := re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self._repository(found[1], to_write=True)
            self._batch(json.loads(body))
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)", path):
            self._repository(found[1])
            self._answer_json({"id": found[1], "sha": "0" * 40})
        elif found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/(\w+|paths-info)/([^/]+)(?:/(.*))?", path):
            name, what, revision, inside = found[1], found[2], unquote(found[3]), unquote(found[4] or "")
            repository = self._repository(name, to_write=what in ("preupload", "commit"))
            if revision not in repository.revisions:
                raise _Refused(404, "RevisionNotFound")
            files = repository.revisions[revision]
            if what == "revision":
                self._answer_json({"id": name, "sha": "0" * 40})
            elif what == "tree":
                self._tree(files, inside, int(query.get("cursor", ["0"])[0]))
            elif what == "preupload":
                asked = json.loads(body)["files"]
                self._answer_json({"files": [{**_mode(each), "path": each["path"]} for each in asked]})
            elif what == "commit":
                self._commit(name, files, body)
            else:
                raise _Refused(404)
        elif found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            repository = self._repository(found[1])
            if repository.is_gated and not self._token():
                raise _Refused(401, "GatedRepo", f"Access to dataset {found[1]} is restricted.")
            files = repository.revisions.get(unquote(found[2]))
            if files is None or unquote(found[3]) not in files:
                raise _Refused(404, "EntryNotFound" if files is not None else "RevisionNotFound")
            self._answer_range(files[unquote(found[3])])
        else:
            raise _Refused(404, "RepoNotFound" if path.startswith("/api/models/") else "")

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _repository(self, name: str, *, to_write: bool = False) -> Repository:
        if self._token() not in ("", TOKEN, READER):
            raise _Refused(401, message="Invalid credentials in Authorization header")
        repository = self.server.repositories.get(unquote(name))
        if repository is None or (repository.is_private and not self._token()):
            raise _Refused(404 if self._token() else 401, "RepoNotFound")
        if to_write and not self._token():
            raise _Refused(401, message="Invalid username or password.")
        if to_write and self._token() != TOKEN:
            raise _Refused(403, message="you must be owner or have write rights")
        return repository

    def _tree(self, files: dict[str, bytes], folder: str, start: int) -> None:
        prefix = f"{folder}/" if folder else ""
        entries = {}
        for path, content in sorted(files.items()):
            if path.startswith(prefix):
                head, slash, _ = path[len(prefix) :].partition("/")
                kind = {"type": "directory", "size": 0} if slash else {"type": "file", "size": len(content)}
                entries[head] = {**kind, "path": prefix + head, "oid": hashlib.sha1(content).hexdigest()}
        if folder and not entries:
            raise _Refused(404, "EntryNotFound")
        page = list(entries.values())[start : start + PAGE]
        more = start + PAGE < len(entries)
        following = f'<{self.server.url}{urlsplit(self.path).path}?cursor={start + PAGE}>; rel="next"'
        self._answer_json(page, headers={"Link": following} if more else {})

    def _batch(self, asked: dict) -> None:
        def action(each: dict) -> dict:
            return {**each, "actions": {"upload": {"href": f"{self.server.url}/large/{each['oid']}"}}}

        self._answer_json({"transfer": "basic", "objects": [action(each) for each in asked["objects"]]})

    def _commit(self, name: str, files: dict[str, bytes], body: bytes) -> None:
        changed = []
        for record in map(json.loads, body.splitlines()):
            value = record["value"]
            if record["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif record["key"] == "lfsFile":
                content = self.server.large[value["oid"]]
                if hashlib.sha256(content).hexdigest() != value["oid"]:
                    raise _Refused(400, message="another SHA-256")
                files[value["path"]] = content
            else:
                continue
            changed.append(value["path"])
        self.server.repositories[name].commits.append(changed)
        oid = "0" * 40
        self._answer_json({"commitUrl": f"{self.server.url}/datasets/{name}/commit/{oid}", "commitOid": oid})

    def _answer_range(self, content: bytes) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            self._answer(content)
            return
        start, end = int(found[1]), int(found[2] or len(content) - 1) + 1
        if start >= len(content):
            raise _Refused(416)
        headers = {"Content-Range": f"bytes {start}-{min(end, len(content)) - 1}/{len(content)}"}
        self._answer(content[start:end], status=206, headers=headers)

    def _answer_json(self, value: object, *, headers: dict[str, str] | None = None) -> None:
        self._answer(json.dumps(value).encode(), headers={"Content-Type": "application/json", **(headers or {})})

    def _answer(self, content: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _mode(file: dict) -> dict:
    """How a file is to come: as it is where it is small text, by the large file storage where it is not."""
    is_text = b"\0" not in base64.b64decode(file["sample"])
    mode = "regular" if is_text and file["size"] < 10_000_000 else "lfs"
    return {"uploadMode": mode, "shouldIgnore": False}
