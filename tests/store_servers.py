"""Object stores on loopback, each as its own library reaches it: S3, Google's, and a Hub."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import hub_server
import pytest


@contextlib.contextmanager
def running(kind: str) -> Iterator[Any]:
    """A server of `s3` or `gs`, as its address, or of `hf`, as the server itself; skips where a library is missing."""
    library = {"s3": "s3fs", "gs": "gcsfs", "hf": "huggingface_hub"}[kind]
    pytest.importorskip(library, reason=f"{library} (extra {'stores' if kind == 's3' else kind})")
    if kind == "hf":
        with hub_server.running() as hub:
            yield hub
    elif kind == "s3":
        moto = pytest.importorskip("moto.server", reason="moto[server] (extra dev)")
        server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()
    else:
        emulator = pytest.importorskip("gcp_storage_emulator.server", reason="gcp-storage-emulator (extra dev)")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = emulator.create_server("127.0.0.1", port, in_memory=True)
        server.start()
        yield f"http://127.0.0.1:{port}"
        server.stop()


def make_place(kind: str, server: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket or repository on a running server, which the environment names now; its address."""
    if kind == "s3":
        import s3fs

        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(key, "testing")
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir(name)
    elif kind == "gs":
        import gcsfs

        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)
        monkeypatch.setenv("NO_GCE_CHECK", "true")  # whether this is one of Google's machines is asked of the network
        gcsfs.GCSFileSystem.clear_instance_cache()
        gcsfs.GCSFileSystem(token="anon").mkdir(name)
    else:
        from huggingface_hub import HfFileSystem, constants

        # As HF_ENDPOINT and HF_HUB_DISABLE_XET would have it, which are read when the library is imported.
        template = server.url + constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/no/token/of/the/user")
        monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
        HfFileSystem.clear_instance_cache()
        server.repositories[f"ann/{name}"] = hub_server.Repository()
        return f"hf://datasets/ann/{name}"
    return f"{kind}://{name}"
