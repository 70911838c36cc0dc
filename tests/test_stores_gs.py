"""Folders on Google's store (gs://), against a real server on loopback."""

import hashlib
import json

import pytest
from store_servers import make_place, running

from speechgru import stores
from speechgru.errors import UserError
from speechgru.stores import Store


@pytest.fixture(scope="module")
def server():
    with running("gs") as server:
        yield server


@pytest.fixture
def bucket(server, monkeypatch, request):
    """An empty bucket."""
    monkeypatch.setattr(stores, "_WAIT_SECONDS", 0.001)
    return make_place("gs", server, request.node.name.replace("_", "-")[:60], monkeypatch)


def test_what_is_written_is_read(bucket, tmp_path):
    store, content = Store(f"{bucket}/shards"), bytes(range(256)) * 5000
    (tmp_path / "a b.bin").write_bytes(content)
    store.put(tmp_path / "a b.bin", "ä b.bin")
    assert store.read("ä b.bin") == content and store.size("ä b.bin") == len(content)
    assert store.sha256("ä b.bin") == hashlib.sha256(content).hexdigest()
    store.fetch("ä b.bin", tmp_path / "back", size=len(content), sha256=hashlib.sha256(content).hexdigest())
    assert (tmp_path / "back").read_bytes() == content
    assert store.names("*.bin") == ["ä b.bin"] and store.names("*.txt") == [] and store.size("none") is None
    with pytest.raises(FileNotFoundError):
        store.read("none")


def test_an_empty_file_is_written_and_replaced(bucket, tmp_path):
    store = Store(bucket)
    for content in (b"", b"more", b""):
        (tmp_path / "a").write_bytes(content)
        store.put(tmp_path / "a", "a")
        assert (store.read("a"), store.size("a")) == (content, len(content))


def test_a_bucket_that_is_none_is_one_message(bucket, tmp_path):
    (tmp_path / "a.txt").write_text("one")
    store = Store("gs://nowhere/shards")
    for asked in (
        lambda: store.put(tmp_path / "a.txt", "a.txt"),
        lambda: store.size("a.txt"),
        lambda: store.read("a.txt"),
        lambda: store.names("*"),
        lambda: store.fetch("a.txt", tmp_path / "b", size=3, sha256="0" * 64),
    ):
        with pytest.raises(UserError, match=r"^gs://nowhere/shards: there is no bucket 'nowhere'; make it first, or"):
            asked()


def test_who_may_not_is_told_where_rights_come_from_after_one_attempt(bucket, tmp_path, monkeypatch):
    """The server asks nobody for rights: its library's own answer to status 403 and 401 stands in."""
    from gcsfs.retry import validate_response

    store, statuses = Store(f"{bucket}/shards"), []

    def refuse(_):
        answer = {"code": statuses[-1], "message": "no storage.objects.get access"}
        validate_response(statuses.pop(), json.dumps({"error": answer}).encode(), "b/shelf")

    monkeypatch.setattr(store._files, "cat_file", refuse)
    for status in (401, 403):
        statuses.append(status)
        with pytest.raises(UserError, match=r"the store answers: .*GOOGLE_APPLICATION_CREDENTIALS.*what that may do"):
            store.read("a")
    statuses += [503] * 5
    with pytest.raises(UserError, match=r"the store answers after 5 attempts: .*look at the address and the network"):
        store.read("a")
    assert statuses == []
