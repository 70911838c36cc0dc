"""Writing files: the old one or the new one, never half of one."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from speechgru.errors import UserError
from speechgru.files import atomic_path, sha256_of, write_json, write_text


def test_a_file_is_written_and_its_folder_made(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    write_text(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    assert os.listdir(path.parent) == ["c.txt"]


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "c.txt"
    write_text(path, "old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise RuntimeError("halfway")

    with pytest.raises(RuntimeError, match="halfway"):
        write_half()
    assert path.read_text(encoding="utf-8") == "old"
    assert os.listdir(tmp_path) == ["c.txt"]


def test_an_exception_where_no_file_was_leaves_none(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "c.txt"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "c.txt"
    write_text(path, "old")
    with atomic_path(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old"
        assert temporary.parent == path.parent  # a rename within one file system
        assert temporary.suffix == ".txt"  # for writers that look at it
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "c.txt"
    write_text(path, "old")
    code = (
        "import os, signal, sys; from speechgru.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text(encoding="utf-8") == "old"


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "c.txt"
    texts = ["a" * 100_000, "b" * 50_000]
    write_text(path, texts[0])
    stop = threading.Event()

    def write():
        turn = 0
        while not stop.is_set():
            write_text(path, texts[turn := 1 - turn])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = {path.read_text(encoding="utf-8") for _ in range(300)}
    finally:
        stop.set()
        writer.join()
    assert seen <= set(texts)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_any_new_file(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "c.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "c.txt").stat().st_mode & 0o777 == mode


def test_a_folder_that_may_not_be_written_is_named(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)  # root may write everywhere, so permissions alone would not do
    with pytest.raises(
        UserError, match=r"c\.txt: cannot be written \(Permission denied\); choose a folder you may write"
    ):
        write_text(tmp_path / "c.txt", "x")


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    write_text(tmp_path / "file", "x")
    with pytest.raises(UserError, match=r"c\.txt: cannot be written \(.+\); choose a folder you may write to"):
        write_text(tmp_path / "file" / "c.txt", "x")


def test_a_folder_where_the_file_should_be_is_named(tmp_path):
    (tmp_path / "c.txt").mkdir()
    with pytest.raises(UserError, match=r"c\.txt: cannot be written \(.+\); choose another name"):
        write_text(tmp_path / "c.txt", "x")
    assert os.listdir(tmp_path) == ["c.txt"]


def test_a_name_that_is_too_long_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot be written \(File name too long\)"):
        write_text(tmp_path / ("x" * 300), "x")


def test_json_is_read_by_people_and_programs(tmp_path):
    value = {"name": "é", "list": [1, 2.5, None]}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert '  "name": "é"' in text
    assert text.endswith("}\n")


def test_sha256_is_hashlibs_for_long_files_too(tmp_path):
    content = os.urandom(3_000_001)
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()
    (tmp_path / "a").write_bytes(b"")
    assert sha256_of(tmp_path / "a") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_a_pipe_or_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match=r"pipe: cannot be written \(a device or a pipe, not a file\); name a file"):
        write_text(tmp_path / "pipe", "text")
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
