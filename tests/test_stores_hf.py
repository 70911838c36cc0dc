"""Folders in repositories of a Hub (hf://), against a server on loopback that speaks its API."""

import hashlib
import subprocess
import sys

import hub_server
import pytest
from store_servers import make_place, running

from speechgru import stores
from speechgru.errors import CorpusError, UserError
from speechgru.stores import Store

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def server():
    with running("hf") as server:
        yield server


@pytest.fixture
def hub(server, monkeypatch, tmp_path):
    """The server with one empty repository, `ann/corpus`, whose owner asks."""
    monkeypatch.setattr(stores, "_WAIT_SECONDS", 0.001)
    make_place("hf", server, "corpus", monkeypatch)
    server.requests.clear()
    server.failures.clear()
    (tmp_path / "text").write_text("one")
    (tmp_path / "bytes").write_bytes(CONTENT)
    return server


@pytest.fixture
def repository(hub):
    """Its repository, which holds `shards/a.bin`."""
    repository = hub.repositories["ann/corpus"]
    repository.revisions["main"]["shards/a.bin"] = CONTENT
    return repository


@pytest.mark.parametrize(("revision", "held"), [("", "main"), ("@main", "main"), ("@v%201", "v 1")])
def test_what_is_written_is_read(hub, tmp_path, revision, held):
    repository = hub.repositories["ann/corpus"]
    repository.revisions["v 1"] = {}
    store = Store(f"hf://datasets/ann/corpus{revision}/shards")
    assert store.names("*") == [] and store.size("a.txt") is None
    store.put(tmp_path / "text", "a.txt")
    store.put(tmp_path / "bytes", "ä b.bin")
    assert repository.revisions[held] == {"shards/a.txt": b"one", "shards/ä b.bin": CONTENT}
    assert repository.commits == [["shards/a.txt"], ["shards/ä b.bin"]]
    (tmp_path / "empty").write_bytes(b"")
    for name in ("c.txt", "d.txt", "a.txt"):  # more than a page, and one in place of another
        store.put(tmp_path / "empty", name)
    assert store.names("*.txt") == ["a.txt", "c.txt", "d.txt"] and store.read("a.txt") == b""
    assert store.read("ä b.bin") == CONTENT and store.size("ä b.bin") == len(CONTENT)
    assert store.sha256("ä b.bin") == SHA256
    store.fetch("ä b.bin", tmp_path / "back", size=len(CONTENT), sha256=SHA256)
    assert (tmp_path / "back").read_bytes() == CONTENT
    with pytest.raises(FileNotFoundError):
        store.read("none")


def test_other_bytes_than_promised_are_no_shard(repository, hub, tmp_path):
    store = Store("hf://datasets/ann/corpus/shards")
    with pytest.raises(CorpusError, match=r"shards/a\.bin: .* after 5 attempts: is damaged: its SHA-256 is wrong"):
        store.fetch("a.bin", tmp_path / "b", size=len(CONTENT), sha256="0" * 64)
    with pytest.raises(CorpusError, match=r"shards/none\.bin: no such file there; copy the shards again"):
        store.fetch("none.bin", tmp_path / "b", size=1, sha256=SHA256)
    del repository.revisions["main"]["shards/a.bin"]  # the listing of a moment ago still has it
    with pytest.raises(FileNotFoundError):
        store.read("a.bin")
    assert not (tmp_path / "b").exists()


def test_a_server_out_of_order_is_asked_again(repository, hub, tmp_path):
    store = Store("hf://datasets/ann/corpus/shards")
    hub.failures += [("/corpus$", 503), ("/corpus$", 500), ("/corpus$", 429)]
    assert store.names("*") == ["a.bin"] and hub.failures == []
    hub.failures += [("/commit/", 500), ("/commit/", 412)]
    store.put(tmp_path / "text", "b.txt")
    assert store.read("b.txt") == b"one" and hub.failures == []
    hub.failures += [("/corpus$", 503)] * 5
    with pytest.raises(UserError, match=r"the store answers after 5 attempts: .*503.*; look at the address"):
        store.names("*")


@pytest.mark.parametrize(
    ("token", "change", "ask", "message"),
    [
        ("", {"is_private": True}, "names", "has no such repository, or not for you;.* HF_TOKEN"),
        ("hf_of_somebody", {}, "names", "the store answers: .*Invalid credentials.*; put a token.* HF_TOKEN"),
        ("", {"is_gated": True}, "read", "the store answers: .*ann/corpus is restricted.*its conditions accepted"),
        ("", {}, "put", "the store answers: .*Invalid username.*; put a token that may do this"),
        (hub_server.READER, {}, "put", "the store answers: .*you must be owner.*; put a token that may do this"),
    ],
)
def test_who_may_not_is_told_of_a_token_after_one_attempt(
    repository, hub, tmp_path, monkeypatch, token, change, ask, message
):
    monkeypatch.setenv("HF_TOKEN", token)
    for name, value in change.items():
        setattr(repository, name, value)
    store = Store("hf://datasets/ann/corpus/shards")
    asked = {
        "names": lambda: store.names("*"),
        "read": lambda: store.read("a.bin"),
        "put": lambda: store.put(tmp_path / "text", "a.txt"),
    }[ask]
    with pytest.raises(UserError, match=message) as caught:
        asked()
    assert "hf_of" not in str(caught.value)
    assert len([line for line in hub.requests if "agent" not in line]) <= 4 and repository.commits == []


def test_a_place_that_is_none_is_one_message(repository, hub, tmp_path):
    for address, message in (
        ("hf://datasets/ann/other/shards", "other/shards: the Hub has no such repository"),
        ("hf://datasets/ann/corpus@v2/shards", "@v2/shards: the Hub has no such revision"),
        ("hf://datasets/ann/of..whom/shards", "the Hub has no such repository"),
        ("hf://ann/corpus/shards", "a dataset's begins with hf://datasets/"),
        ("hf://datasets/ann/corpus@/shards", "the store answers: .*Empty revision"),
    ):
        store = Store(address)
        for asked in (store.size, store.read, store.names, lambda name, to=store: to.put(tmp_path / "text", name)):
            with pytest.raises(UserError, match=message):
                asked("a.bin")
    for address in (
        "hf://",
        "hf://corpus",
        "hf://datasets/corpus",
        "hf://datasets/corpus@main",
        "hf://datasets/ann/@main",
    ):
        with pytest.raises(UserError, match=f"^{address}: names no repository; write hf://datasets/USER/NAME/FOLDER"):
            Store(address)


def test_the_environment_names_the_hub_and_the_token(repository, hub, monkeypatch, tmp_path):
    """As a person sets them: they are read when the library is imported, so by a process of its own."""
    repository.is_private = True
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    program = "from speechgru.stores import Store; print(Store('hf://datasets/ann/corpus/shards').names('*'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['a.bin']"
