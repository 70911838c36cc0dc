"""Folders on Google's store (gs://), against a real server on loopback."""

import hashlib
import logging
import socket

import pytest

pytest.importorskip(
    "gcsfs", reason="gcsfs, which needs a newer protobuf than TensorFlow 2.17: an environment of its own"
)
emulator = pytest.importorskip("gcp_storage_emulator.server", reason="gcp-storage-emulator")

from speechgru import stores  # noqa: E402
from speechgru.errors import UserError  # noqa: E402
from speechgru.stores import Store  # noqa: E402


@pytest.fixture
def bucket(monkeypatch):
    """An empty bucket on a server of its own."""
    import gcsfs

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = emulator.create_server("127.0.0.1", port, in_memory=True)
    server.start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(stores, "_WAIT_SECONDS", 0.001)
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
    gcsfs.GCSFileSystem.clear_instance_cache()
    gcsfs.GCSFileSystem(token="anon").mkdir("shelf")
    yield "gs://shelf"
    server.stop()


def test_what_is_written_is_read(bucket, tmp_path):
    store, content = Store(f"{bucket}/shards"), bytes(range(256)) * 5000
    (tmp_path / "a b.bin").write_bytes(content)
    store.put(tmp_path / "a b.bin", "ä b.bin")
    assert store.read("ä b.bin") == content and store.size("ä b.bin") == len(content)
    assert store.sha256("ä b.bin") == hashlib.sha256(content).hexdigest()
    assert store.names("*.bin") == ["ä b.bin"] and store.names("*.txt") == [] and store.size("none") is None
    with pytest.raises(FileNotFoundError):
        store.read("none")


def test_a_bucket_that_is_none_is_one_message(bucket, tmp_path):
    (tmp_path / "a.txt").write_text("one")
    with pytest.raises(UserError, match=r"gs://nowhere/shards/a\.txt: cannot be written .*; make the bucket first"):
        Store("gs://nowhere/shards").put(tmp_path / "a.txt", "a.txt")
