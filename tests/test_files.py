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
from speechgru.files import (
    atomic_folder,
    atomic_path,
    folders,
    held_alone,
    restore_folder,
    sha256_of,
    temporary_folder,
    write_json,
    write_text,
    writing,
)


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
    (left,) = (each for each in tmp_path.iterdir() if each != path)
    own = tmp_path / ".c.abcdefgh.txt"
    own.write_text("a hidden file of the user's, older than any")
    for each in (left, own):
        os.utime(each, (0, 0))
    with atomic_path(tmp_path / "d") as other:
        os.utime(other, (0, 0))
        writing._cleared.discard(tmp_path)
        write_text(path, "new")
        assert other.exists(), "another process is writing it"
        left.touch()
        os.utime(left, times=(2**33, 2**33))  # before the clock was turned back
        writing._cleared.discard(tmp_path)
        write_text(path, "new")
    assert sorted(os.listdir(tmp_path)) == [own.name, "c.txt", "d"], "what the killed one left is gone"


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


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX permissions")
def test_a_file_that_is_replaced_keeps_its_rights_and_no_thread_changes_those_of_others(tmp_path, monkeypatch):
    diary = tmp_path / "diary.jsonl"
    write_text(diary, "mine alone")
    diary.chmod(0o600)
    monkeypatch.setattr(os, "umask", None)  # of the whole process: what others write meanwhile would be anybody's
    write_text(diary, "more")
    assert diary.stat().st_mode & 0o777 == 0o600 and diary.read_text() == "more"


def test_a_folder_that_may_not_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may write everywhere, so permissions alone would not do
    with pytest.raises(
        UserError, match=r"c\.txt: cannot be written \(Permission denied\); choose a folder you may write"
    ):
        write_text(tmp_path / "c.txt", "x")


def test_a_disk_that_fails_as_it_keeps_a_folders_names_is_told_with_the_file(tmp_path, monkeypatch):
    def fail(folder):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("speechgru.files.writing.sync_folder", fail)
    with pytest.raises(UserError, match=r"c\.txt: .*[Ii]nput/output error"):
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


# Folders


def fill(folder, content):
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_text(content)
    (folder / content).touch()


def read(folder):
    return (folder / "a.txt").read_text(), sorted(os.listdir(folder))


def replace(place, content="new"):
    with atomic_folder(place) as made:
        fill(made, content)


@pytest.fixture(params=["exchanged", "in two steps"])
def system(request, monkeypatch):
    """A system that can exchange two folders at once, if this one can, and one that cannot."""
    if request.param == "in two steps":
        monkeypatch.setattr(folders, "_exchange", lambda one, other: False)


def test_a_folder_takes_the_place_of_another_whole(tmp_path, system):
    place = tmp_path / "below" / "bundle"
    for content in ("old", "new"):
        replace(place, content)
        assert read(place) == (content, ["a.txt", content])
        assert os.listdir(place.parent) == ["bundle"]
    assert place.stat().st_mode & 0o777 == 0o777 & ~os.umask(os.umask(0o022))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges folders in one step")
def test_a_disk_that_fails_under_a_folder_in_the_making_is_told_with_its_name(tmp_path):
    for error, number in ((UserError, 28), (FileNotFoundError, 2)):  # what the block did beside writing is as it is
        with pytest.raises(error) as caught, atomic_folder(tmp_path / "bundle"):
            raise OSError(number, os.strerror(number))
        assert number == 2 or "bundle: cannot be written (No space left on device)" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_two_folders_are_exchanged_here(tmp_path):
    for name in ("one", "other"):
        fill(tmp_path / name, name)
    assert folders._exchange(tmp_path / "one", tmp_path / "other")
    assert read(tmp_path / "one")[0] == "other" and read(tmp_path / "other")[0] == "one"


def test_an_error_leaves_the_old_folder_and_nothing_else(tmp_path, system):
    fill(tmp_path / "bundle", "old")

    def fill_half():
        with atomic_folder(tmp_path / "bundle") as made:
            fill(made, "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_half()
    assert read(tmp_path / "bundle")[0] == "old" and os.listdir(tmp_path) == ["bundle"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interruption_between_the_two_steps_leaves_the_old_folder(tmp_path, monkeypatch, error):
    fill(tmp_path / "bundle", "old")
    rename = os.replace

    def fail_at_the_second(source, target):
        if source.name == "new":
            raise error
        rename(source, target)

    monkeypatch.setattr(folders, "_exchange", lambda one, other: False)
    monkeypatch.setattr("os.replace", fail_at_the_second)
    with pytest.raises((KeyboardInterrupt, UserError)):
        replace(tmp_path / "bundle")
    assert read(tmp_path / "bundle")[0] == "old" and os.listdir(tmp_path) == ["bundle"]


_KILLED = """
import os, pathlib, signal, sys
from speechgru.files import folders
place, step = pathlib.Path(sys.argv[1]), int(sys.argv[2])
if sys.argv[3] == "in two steps":
    folders._exchange = lambda one, other: False
def killed_at(event, arguments):
    global step
    if event == "os.rename":
        step -= 1
        if step == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(killed_at)
with folders.atomic_folder(place) as made:
    (made / "a.txt").write_text("new")
    if step == 0:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("way", "step", "there"), [("exchanged", 0, True), ("in two steps", 1, True), ("in two steps", 2, False)]
)
def test_a_killed_process_leaves_one_of_both_and_the_next_one_clears_up(tmp_path, way, step, there):
    place = tmp_path / "bundle"
    fill(place, "old")
    done = subprocess.run([sys.executable, "-c", _KILLED, str(place), str(step), way], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert place.exists() == there
    (left,) = (path for path in tmp_path.iterdir() if path.name.endswith(".speechgru-unfinished"))
    restore_folder(place)
    assert read(place)[0] == "old"
    with atomic_folder(place):
        assert left.exists(), "another process may have made it just now"
    os.utime(left, (0, 0))
    replace(place, "newer")
    assert read(place)[0] == "newer" and os.listdir(tmp_path) == ["bundle"]


def test_a_folder_that_another_process_is_making_stays(tmp_path):
    with temporary_folder(tmp_path, "bundle") as made:
        os.utime(made, (0, 0))
        with temporary_folder(tmp_path, "bundle"):
            assert made.exists()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no locks of folders there")
def test_two_processes_do_not_write_into_one_folder_at_once(tmp_path, write_wav):
    """A lock is of an open folder, so that one process may stand for two; the folder has several names."""
    from speechgru.corpora import prepare
    from speechgru.utterances.negatives import add_negatives

    (tmp_path / "link").symlink_to("new")
    alone = {"activity": "works", "advice": "wait for it"}
    for _ in range(2):
        with held_alone(tmp_path / "new", **alone):
            for other in (tmp_path / "new", tmp_path / "link"):
                with pytest.raises(UserError, match="another process works; wait for it"), held_alone(other, **alone):
                    pass
            with pytest.raises(UserError, match=r"new: another process is preparing a corpus here; wait for it, or"):
                prepare("folder", tmp_path / "new", source=tmp_path)
            with pytest.raises(UserError, match=r"new: another process is adding negatives here; wait for it"):
                add_negatives([write_wav(tmp_path, "a.wav")], tmp_path / "new" / "negatives.jsonl")
        assert not (tmp_path / "new").exists(), "made for nothing"
    with held_alone(tmp_path / "new", **alone):
        write_text(tmp_path / "new" / "a.txt", "x")
    assert os.listdir(tmp_path / "new") == ["a.txt"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_a_pipe_or_a_link_with_the_name_of_a_folder_in_the_making_is_neither_opened_nor_followed(tmp_path):
    pipe, link = (tmp_path / f".bundle.{name}.speechgru-unfinished" for name in ("pipe", "link"))
    os.mkfifo(pipe)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    link.symlink_to(tmp_path / "mine")
    for path in (pipe, link):
        os.utime(path, (0, 0), follow_symlinks=False)
    with temporary_folder(tmp_path, "bundle"):
        pass
    assert sorted(os.listdir(tmp_path)) == [link.name, pipe.name, "mine"] and os.listdir(tmp_path / "mine") == ["a.txt"]


def test_a_folder_that_a_link_names_is_replaced_where_it_is(tmp_path, system):
    fill(tmp_path / "bundle", "old")
    (tmp_path / "link").symlink_to("bundle")
    replace(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and read(tmp_path / "bundle")[0] == "new"
    assert sorted(os.listdir(tmp_path)) == ["bundle", "link"]


def test_the_current_folder_can_be_replaced(tmp_path, monkeypatch):
    (tmp_path / "bundle").mkdir()
    monkeypatch.chdir(tmp_path / "bundle")
    replace(".")
    assert read(tmp_path / "bundle")[0] == "new" and os.listdir(tmp_path) == ["bundle"]


def test_a_place_that_no_folder_can_take_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("os.path.ismount", lambda path: True)
    with pytest.raises(UserError, match="bundle: is where a file system is mounted, which cannot be replaced"):
        replace(tmp_path / "bundle")
    monkeypatch.undo()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file: cannot be written \(.+\); choose a folder"):
        replace(tmp_path / "file" / "bundle")
