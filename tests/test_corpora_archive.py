"""Fetching corpora: what broke off is resumed, what is not the known file is refused, archives of each kind."""

from __future__ import annotations

import bz2
import errno
import hashlib
import http.server
import io
import re
import tarfile
import threading
import zipfile

import numpy as np
import pytest

from speechgru.corpora import archive
from speechgru.corpora.download import download
from speechgru.corpora.public import source
from speechgru.errors import CorpusError

CONTENT = np.random.default_rng(0).bytes(300_000)


class Server(http.server.BaseHTTPRequestHandler):
    """Files from a table; the first answers of `cut` files end early, as connections do."""

    files: dict[str, bytes] = {}
    cuts: dict[str, int] = {}
    asked: list[tuple[str, str | None]] = []
    has_ranges = True

    def log_message(self, *args):
        pass

    def do_GET(self):
        content, wanted = self.files.get(self.path), self.headers.get("Range")
        self.asked.append((self.path, wanted))
        if content is None:
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.has_ranges else 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if wanted and self.has_ranges else 200)
        if wanted and self.has_ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = self.cuts.get(self.path, 0)
        self.cuts[self.path] = max(0, cut - 1)
        self.wfile.write(content[start : start + 100_000] if cut else content[start:])


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    for name, value in (("files", {}), ("cuts", {}), ("asked", []), ("has_ranges", True)):
        monkeypatch.setattr(Server, name, value)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        Server.home = f"http://127.0.0.1:{running.server_port}"
        yield Server
        running.shutdown()
        thread.join()


def get(server, path, **options):
    download(f"{server.home}/a", path, max_bytes=10**6, advice="use --source", **options)


def test_what_broke_off_is_resumed_where_it_ended(server, tmp_path):
    server.files["/a"], server.cuts["/a"] = CONTENT, 2
    calls = []
    for came in (100_000, 200_000):
        with pytest.raises(CorpusError, match=f"broke off after {came:,} of 300,000 bytes"):
            get(server, tmp_path / "a", resumes=True)
        assert (tmp_path / "a.part").read_bytes() == CONTENT[:came] and not (tmp_path / "a").exists()
    get(server, tmp_path / "a", resumes=True, progress=lambda *call: calls.append(call[:3]))
    assert (tmp_path / "a").read_bytes() == CONTENT and [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [wanted for _, wanted in server.asked] == [None, "bytes=100000-", "bytes=200000-"]
    assert calls[0] == ("downloading", 200_000, 300_000) and calls[-1] == ("downloading", 300_000, 300_000)


def test_a_server_without_ranges_sends_it_anew(server, tmp_path):
    server.files["/a"], server.has_ranges = CONTENT, False
    (tmp_path / "a.part").write_bytes(b"x" * 400_000)
    get(server, tmp_path / "a", resumes=True)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_file_that_had_come_whole_is_not_sent_again(server, tmp_path):
    server.files["/a"] = CONTENT
    (tmp_path / "a.part").write_bytes(CONTENT)
    get(server, tmp_path / "a", resumes=True)
    assert (tmp_path / "a").read_bytes() == CONTENT
    (tmp_path / "a.part").write_bytes(CONTENT + b"more than there is")
    with pytest.raises(CorpusError, match="no more than the 300,018 bytes that came before; they are removed"):
        get(server, tmp_path / "a", resumes=True)
    assert not (tmp_path / "a.part").exists(), "the next call begins anew"


def test_another_part_than_was_asked_for_is_refused(server, tmp_path, monkeypatch):
    server.files["/a"] = CONTENT
    (tmp_path / "a.part").write_bytes(CONTENT[:50])
    monkeypatch.setattr(
        Server, "send_header", lambda self, name, value: http.server.BaseHTTPRequestHandler.send_header(
            self, name, value.replace("bytes 50-", "bytes 60-"))
    )  # fmt: skip
    with pytest.raises(CorpusError, match="asked for what is behind 50 bytes, and gives 'bytes 60-"):
        get(server, tmp_path / "a", resumes=True)
    assert (tmp_path / "a.part").read_bytes() == CONTENT[:50]


# Archives of other kinds than .tar.gz, which the tests of FSDD hold.


def tarred(members, mode):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as packed:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members:
            packed.writestr(name, data)
    return stream.getvalue()


def packed_as(name, members):
    if name.endswith(".zip"):
        return zipped(members)
    return tarred(members, {".tar": "w", "r.gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2"}[name[-4:]])


def unpack(path, folder, **options):
    archive.unpack(path, folder, max_members=10, max_bytes=200_000, **options)


KINDS = ["a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.zip"]


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_unpacked_and_refused_where_it_is_cut(tmp_path, name):
    data = CONTENT[:60_000]
    path = tmp_path / name
    path.write_bytes(packed_as(name, [("top/ä b.wav", data), ("top/c/d.txt", b"words")]))
    calls = []
    unpack(path, tmp_path / "new", progress=lambda *call: calls.append(call))
    assert (tmp_path / "new" / "top" / "ä b.wav").read_bytes() == data
    assert (tmp_path / "new" / "top" / "c" / "d.txt").read_bytes() == b"words"
    assert calls[-1][1] == calls[-1][2] == path.stat().st_size
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(CorpusError, match=r"a\.\S+: is not a whole \.\S+ \(.*\); fetch it again"):
        unpack(path, tmp_path / "cut")
    assert sorted(each.name for each in tmp_path.iterdir()) == [name, "new"]


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (("/etc/passwd", b""), "'/etc/passwd' has an absolute path"),
        (("../outside", b""), r"has '\.\.' in its path"),
        (("a\\b", b""), "has an absolute path or a drive"),
        (("good", b""), "'good' stands in it twice"),
        (("big", bytes(300_000)), "unpacks to more than 200,000 bytes"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_that_wants_more_than_it_should_is_refused(tmp_path, member, message):
    path = tmp_path / "a.zip"
    path.write_bytes(zipped([("good", b"data"), member]))
    with pytest.raises(CorpusError, match=message):
        unpack(path, tmp_path / "new")
    assert [each.name for each in tmp_path.iterdir()] == ["a.zip"]


def test_a_zips_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    (tmp_path / "a.zip").write_bytes(zipped([(link, b"/etc")]))
    with pytest.raises(CorpusError, match="'link' is neither a file nor a folder"):
        unpack(tmp_path / "a.zip", tmp_path / "new", may_link=True)


def linked(path, *links):
    with tarfile.open(path, "w:gz") as packed:
        for name, leads_to in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, leads_to
            packed.addfile(info)
        info = tarfile.TarInfo("data/stm/a.stm")
        info.size = 5
        packed.addfile(info, io.BytesIO(b"words"))
    return path


def test_links_inside_an_archive_are_made_on_request(tmp_path):
    path = linked(tmp_path / "a.tar.gz", ("legacy/train/stm", "../../data/stm"), ("b.stm", "legacy/train/stm/a.stm"))
    with pytest.raises(CorpusError, match=r"'legacy/train/stm' is neither a file nor a folder \(a link"):
        unpack(path, tmp_path / "new")
    unpack(path, tmp_path / "new", may_link=True)
    assert (tmp_path / "new" / "legacy" / "train" / "stm" / "a.stm").read_text() == "words"
    assert (tmp_path / "new" / "b.stm").read_text() == "words"


@pytest.mark.parametrize(
    "links",
    [
        [("a", "/etc")], [("a", "../../outside")], [("a", "gone")], [("x/a", "../../../outside")],
        [("data/stm/a.stm", "../../data")], [("in", "data"), ("in/b", "../../outside")], [("a", "b"), ("b", "a")],
    ],
)  # fmt: skip
def test_links_that_lead_elsewhere_are_refused(tmp_path, links):
    (tmp_path / "outside").write_text("secret")
    path = linked(tmp_path / "a.tar.gz", *links)
    with pytest.raises(CorpusError, match=r"is a link to .*which the archive does not hold|lies behind|twice"):
        unpack(path, tmp_path / "to" / "new", may_link=True)
    assert not list((tmp_path / "to").iterdir())


def test_a_bomb_of_bzip2_is_refused(tmp_path):
    (tmp_path / "a.tar.bz2").write_bytes(bz2.compress(tarred([("a", bytes(5_000_000))], "w")))
    with pytest.raises(CorpusError, match="unpacks to more than 200,000 bytes"):
        unpack(tmp_path / "a.tar.bz2", tmp_path / "new")


# `fetch`: several archives of a corpus, verified and unpacked.


def archive_of(server, name, content, *, homes=("",), **fields):
    server.files[f"/{name}"] = content
    fields = {"num_bytes": len(content), "checksum": "md5:" + hashlib.md5(content).hexdigest()} | fields
    return source.Archive(name, tuple(f"{server.home}{home}/{name}" for home in homes), **fields)


def test_a_corpus_is_fetched_whole_with_its_size_said_first(server, tmp_path):
    one = archive_of(server, "one.tar.gz", tarred([("top/a.txt", b"a")], "w:gz"))
    two = archive_of(
        server,
        "two.zip",
        zipped([("b.txt", b"b")]),
        checksum="sha256:" + hashlib.sha256(zipped([("b.txt", b"b")])).hexdigest(),
    )
    table = archive_of(server, "table.tsv", b"id\ttext\n", num_bytes=0, checksum="")
    calls = []
    raw = source.fetch("toy", [one, two, table], tmp_path / "out", progress=lambda *call: calls.append(call))
    assert sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file()) == [
        "one/top/a.txt", "table.tsv", "two/b.txt",
    ]  # fmt: skip
    assert calls[0][:3] == ("downloading toy", 0, 0)
    assert re.match(r"one.tar.gz, two.zip, table.tsv: 0 MB and 1 of a size that .*127\.0\.0\.1 into .*raw", calls[0][3])
    assert {"downloading one.tar.gz", "verifying", "unpacking"} <= {call[0] for call in calls}
    asked = len(server.asked)
    source.fetch("toy", [one, two, table], tmp_path / "out")
    assert len(server.asked) == asked, "what is there is not asked for"


def test_what_is_not_the_known_file_is_removed_and_named(server, tmp_path):
    one = archive_of(server, "one.tar.gz", tarred([("a.txt", b"a")], "w:gz"), checksum="md5:" + "0" * 32)
    with pytest.raises(
        CorpusError, match=r"one.tar.gz: what came has the MD5 [0-9a-f]{32}, expected 0{32}; .*--source"
    ):
        source.fetch("toy", [one], tmp_path)
    assert not list((tmp_path / "raw").iterdir())


def test_an_archive_that_somebody_has_put_there_is_not_removed_where_it_is_another(server, tmp_path):
    (tmp_path / "raw").mkdir()
    own = tmp_path / "raw" / "one.tar.gz"
    own.write_bytes(b"60 GB of another release")
    for checksum, message in (("md5:" + "0" * 32, "has the MD5 .*: move it away"), ("", "not a whole .*: move it")):
        one = archive_of(server, "one.tar.gz", tarred([("a.txt", b"a")], "w:gz"), checksum=checksum)
        with pytest.raises(CorpusError, match=message):
            source.fetch("toy", [one], tmp_path)
        assert own.read_bytes() == b"60 GB of another release"


def test_an_archive_that_was_cut_where_it_is_made_is_removed_and_fetched_again(server, tmp_path):
    whole = tarred([("a.txt", CONTENT)], "w:gz")
    one = archive_of(server, "one.tar.gz", whole[:5000], checksum="")
    with pytest.raises(CorpusError, match=r"one.tar.gz: is not a whole \.tar\.gz .*: it is removed"):
        source.fetch("toy", [one], tmp_path)
    assert not list((tmp_path / "raw").iterdir())
    server.files["/one.tar.gz"] = whole
    source.fetch("toy", [source.Archive("one.tar.gz", one.urls)], tmp_path)
    assert (tmp_path / "raw" / "one" / "a.txt").read_bytes() == CONTENT


def test_a_full_disk_while_unpacking_keeps_what_was_downloaded(server, tmp_path, monkeypatch):
    one = archive_of(server, "one.tar.gz", tarred([("a.txt", CONTENT)], "w:gz"))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(archive.shutil, "copyfileobj", full)
        with pytest.raises(CorpusError, match=r"cannot be unpacked into .*No space left"):
            source.fetch("toy", [one], tmp_path)
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["one.tar.gz"]
    source.fetch("toy", [one], tmp_path)
    assert len(server.asked) == 1 and (tmp_path / "raw" / "one" / "a.txt").read_bytes() == CONTENT


def test_a_connection_that_breaks_often_and_a_dead_mirror_are_borne(server, tmp_path):
    content = tarred([("a.txt", CONTENT)], "w:gz")
    one = archive_of(server, "one.tar.gz", content, homes=("/dead", ""))
    server.cuts["/one.tar.gz"] = 2
    source.fetch("toy", [one], tmp_path)
    assert (tmp_path / "raw" / "one" / "a.txt").read_bytes() == CONTENT
    assert [wanted for path, wanted in server.asked if path == "/one.tar.gz"] == [
        None,
        "bytes=100000-",
        "bytes=200000-",
    ]


def test_no_server_at_all_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    one = source.Archive("one.tar.gz", ("http://127.0.0.1:9/one.tar.gz",), 100)
    with pytest.raises(
        CorpusError, match=r"http://127.*refused.*; run the command again to resume, or fetch and unpack"
    ):
        source.fetch("toy", [one], tmp_path)


def test_a_disk_without_room_is_refused_before_anything_comes(tmp_path):
    one = source.openslr(12, "one.tar.gz", num_bytes=10**18)
    with pytest.raises(CorpusError, match=r"raw: has room for .*GB, and toy needs 2,000,000,000\.0 GB while it is"):
        source.fetch("toy", [one], tmp_path)
