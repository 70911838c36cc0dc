"""Signals, ordered threads, locked folders and freed memory."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import pytest

from speechgru.errors import DiskError, Interrupted, UserError
from speechgru.files import held, make_folder, write_text
from speechgru.jsonlines import append
from speechgru.process import workers
from speechgru.process.children import run_code, run_module
from speechgru.process.locked_folder import locked_file, locked_folder
from speechgru.process.memory import keep_freed_memory
from speechgru.process.ordered import map_in_order
from speechgru.process.signals import Interruption, exit_code

ROOT = Path(__file__).parents[1]

# Names that the standard library, NumPy or this package imports.
HOSTILE = ("queue", "statistics", "json", "pickle", "numpy", "yaml", "speechgru", "sitecustomize")


@pytest.fixture
def hostile_folder(tmp_path, monkeypatch):
    """A current folder whose modules have the names of others, and say when they are imported."""
    for name in HOSTILE:
        (tmp_path / f"{name}.py").write_text(f"open('imported', 'a').write('{name} ')\nraise SystemExit(7)\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_processes_import_nothing_from_the_current_folder(hostile_folder):
    code = "import sys, statistics, queue, json, yaml, speechgru\nprint(sys.argv[1:], speechgru.__file__)"
    spoken = subprocess.run(run_code(code, "a b", "c"), capture_output=True, text=True, check=True).stdout
    assert spoken == f"['a b', 'c'] {ROOT / 'speechgru' / '__init__.py'}\n"
    as_main = subprocess.run(run_module("speechgru.cli", "--help"), capture_output=True, text=True, check=True).stdout
    assert "Usage: " in as_main and "transcribe" in as_main
    assert sorted(workers.run(os.path.basename, ["a/b", "c/d"], workers=2)) == [(0, "b"), (1, "d")]
    assert not (hostile_folder / "imported").exists()


_HOLD = """
import sys
from speechgru.process.locked_folder import locked_folder
with locked_folder(sys.argv[1], activity="works here", advice="wait"):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_refused_by_name_until_the_first_ends_or_is_killed(tmp_path):
    folder = tmp_path / "new" / "run"
    for end in ("close", "kill"):
        holder = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdout.readline() == b"locked\n"
        with (
            pytest.raises(UserError, match=rf"run: process {holder.pid} is training here; wait for it or stop it$"),
            locked_folder(folder, activity="is training here", advice="wait for it or stop it"),
        ):
            pass
        holder.kill() if end == "kill" else holder.stdin.close()
        holder.wait()
        holder.stdin.close(), holder.stdout.close()
        with locked_folder(folder, activity="works", advice="wait"):
            assert (folder / ".holder").read_text() == f"process {os.getpid()}"
        # Who made it takes it away where nothing was done in it; who is killed cannot.
        assert os.listdir(folder) == [] if end == "kill" else not folder.exists()


def test_the_folder_is_free_after_an_error_in_the_block(tmp_path):
    for _ in range(2):
        with pytest.raises(KeyError), locked_folder(tmp_path, activity="works", advice="wait"):
            raise KeyError
    assert os.listdir(tmp_path) == []


def test_a_holder_that_has_not_written_its_number_yet_is_another_process(tmp_path):
    with (
        filelock.FileLock(tmp_path / ".lock"),
        pytest.raises(UserError, match="another process works here; wait"),
        locked_folder(tmp_path, activity="works here", advice="wait"),
    ):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_what_a_strangers_folder_has_in_the_place_of_the_holder_is_neither_written_through_nor_waited_for(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    for put in (os.mkfifo, lambda holder: os.symlink(tmp_path / "mine.txt", holder)):
        folder = tmp_path / put.__name__
        folder.mkdir()
        put(folder / ".holder")
        with locked_folder(folder, activity="works", advice="wait"):
            assert (folder / ".holder").read_text() == f"process {os.getpid()}"
        assert os.listdir(folder) == [] and (tmp_path / "mine.txt").read_text() == "precious"
    with filelock.FileLock(folder / ".lock"):
        for content in (b"\xff", bytes(1000)):
            (folder / ".holder").write_bytes(content)
            with (
                pytest.raises(UserError, match="another process works; wait"),
                locked_folder(folder, activity="works", advice="wait"),
            ):
                pass


@pytest.mark.parametrize("what", ["removed", "another's"])
def test_nothing_is_written_into_a_folder_that_is_gone(tmp_path, what):
    folder = tmp_path / "run"
    with locked_folder(folder, activity="works", advice="wait"):
        write_text(folder / "below" / "file", "x")
        folder.rename(tmp_path / "before")
        if what == "another's":
            folder.mkdir()
            (folder / ".holder").write_text("process 1")
        for write in (write_text, lambda path, text: append(path, {}), lambda path, text: make_folder(path)):
            with pytest.raises(UserError, match=r"run: is gone, moved or removed while this command worked there"):
                write(folder / "below" / "file", "x")
        write_text(tmp_path / "beside", "x")
    assert os.listdir(folder) == [".holder"] if what == "another's" else not folder.exists()


def test_a_folder_that_goes_after_it_was_looked_for_does_not_come_back(tmp_path, monkeypatch):
    folder = tmp_path / "corpus"
    is_last = False

    def is_same():  # the last look before the folder goes
        if is_last:
            folder.rename(tmp_path / "away")
        return True

    with held(folder, is_same):
        make_folder(folder / "first")
        assert (folder / "first").is_dir(), "it was not there yet"
        is_last = True
        monkeypatch.setattr(Path, "exists", lambda path: True)
        with pytest.raises(UserError, match=r"corpus: is gone, moved or removed while this command worked there"):
            make_folder(folder / "second" / "third")
    monkeypatch.undo()
    assert not folder.exists() and (tmp_path / "away" / "first").is_dir()


def test_a_folder_that_was_made_a_moment_ago_does_not_come_back(tmp_path):
    folder = tmp_path / "corpus"
    with held(folder):
        make_folder(folder / "below")
        folder.rename(tmp_path / "away")
        with pytest.raises(UserError, match=r"corpus: is gone"):
            make_folder(folder)
    assert not folder.exists()


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_folder_that_goes_while_it_is_made_does_not_come_back(tmp_path, monkeypatch, below):
    folder, mkdir = tmp_path / "corpus", os.mkdir
    folder.mkdir()

    def mkdir_late(path, *arguments, **options):
        if folder.exists():
            folder.rename(tmp_path / "away")
        return mkdir(path, *arguments, **options)

    with held(folder):
        monkeypatch.setattr(os, "mkdir", mkdir_late)
        if below:
            with pytest.raises(UserError, match=r"corpus: is gone"):
                make_folder(folder / below)
        else:
            make_folder(folder)
    assert folder.exists() == (not below), "nothing is to be made of a folder that is there"


def test_a_folder_that_goes_within_one_that_stays_does_not_come_back(tmp_path):
    sweep, trial = tmp_path / "sweep", tmp_path / "sweep" / "trials" / "0000"
    make_folder(sweep)
    with held(sweep, is_others=True), locked_folder(trial, activity="works", advice="wait"):
        write_text(trial / "file", "x")
        trial.rename(tmp_path / "away")
        with pytest.raises(UserError, match=r"0000: is gone"):
            make_folder(trial / "checkpoints")
        make_folder(sweep / "workers")
    assert not trial.exists() and (sweep / "workers").is_dir()


def test_a_folder_of_another_process_must_be_there(tmp_path):
    with pytest.raises(UserError, match=r"sweep: is gone"), held(tmp_path / "sweep", is_others=True):
        pass
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize("is_back", [False, True])
def test_a_lock_does_not_bring_a_folder_back(tmp_path, monkeypatch, is_back):
    """Its library makes the folders above it, also those that go between the look for them and the acquiring."""
    folder, acquire = tmp_path / "deep" / "sweep", filelock.FileLock.acquire

    def acquire_late(lock, *arguments, **options):
        folder.rename(tmp_path / "away")
        if is_back:  # somebody has something else of that name
            (folder / "trial").mkdir(parents=True)
            (folder / "notes").touch()
        return acquire(lock, *arguments, **options)

    make_folder(folder / "trial")
    with held(folder, is_others=True):
        monkeypatch.setattr(filelock.FileLock, "acquire", acquire_late)
        with pytest.raises(UserError, match=r"sweep: is gone"), locked_file(folder / "trial" / ".lock", timeout=0):
            pass
    assert folder.exists() == is_back and folder.parent.is_dir()
    assert ((tmp_path / "away" / "trial").is_dir() and not is_back) or (folder / "notes").exists()
    monkeypatch.undo()
    with locked_file(folder / "trial" / ".lock", timeout=0):  # it is free, and nobody holds the folder
        pass


def test_a_lock_does_not_bring_back_what_lies_above_its_folder(tmp_path, monkeypatch):
    folder, acquire = tmp_path / "packed" / "part-1", filelock.FileLock.acquire

    def acquire_late(lock, *arguments, **options):
        folder.parent.rename(tmp_path / "away")
        return acquire(lock, *arguments, **options)

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire_late)
    with pytest.raises(UserError, match="part-1: is gone"), locked_folder(folder, activity="works", advice="wait"):
        pass
    assert os.listdir(tmp_path) == ["away"]


@pytest.mark.parametrize("is_new", [False, True])
def test_a_folder_that_goes_before_it_is_locked_does_not_come_back(tmp_path, monkeypatch, is_new):
    folder, acquire = tmp_path / "run", filelock.FileLock.acquire
    if not is_new:
        write_text(folder / "notes", "x")

    def acquire_late(lock, *arguments, **options):
        folder.rename(tmp_path / "away")
        return acquire(lock, *arguments, **options)

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire_late)
    with pytest.raises(UserError, match=r"run: is gone"), locked_folder(folder, activity="works", advice="wait"):
        pass
    assert os.listdir(tmp_path) == ["away"]


def test_a_folder_within_one_that_is_gone_is_not_locked_in_its_place(tmp_path):
    folder = tmp_path / "run"
    with locked_folder(folder, activity="works", advice="wait"):
        folder.rename(tmp_path / "before")
        with (
            pytest.raises(UserError, match=r"run: is gone, moved or removed while this command worked there"),
            locked_folder(folder / "fold1", activity="works", advice="wait"),
        ):
            pass
    assert not folder.exists()


def test_a_folder_whose_number_changes_is_the_same_while_its_files_stay(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    with locked_folder(folder, activity="works", advice="wait"):
        monkeypatch.setattr("speechgru.process.locked_folder.identity_of", lambda path: (1, 2))
        write_text(folder / "file", "x")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"run: cannot be written \(Not a directory\)"),
        locked_folder(tmp_path / "file" / "run", activity="works", advice="wait"),
    ):
        pass


def test_a_file_system_without_locks_is_warned_of_and_used(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with (
        pytest.warns(UserWarning, match="its file system has no locks"),
        locked_folder(tmp_path, activity="works", advice="wait"),
    ):
        assert (tmp_path / ".holder").exists()
    with (
        pytest.raises(DiskError, match=r"\.measuring: cannot be locked \(Operation not supported\)"),
        locked_file(tmp_path / ".measuring", timeout=0),
    ):
        pass


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_order_and_only_a_few_items_are_computed_ahead(workers):
    taken = []

    def items():
        for item in range(40):
            taken.append(item)
            yield item

    def slow_at_first(item):
        time.sleep(0.02 if item % 4 == 0 else 0.0)
        return -item

    results = map_in_order(slow_at_first, items(), workers=workers, lookahead=3)
    for number, result in enumerate(results):
        assert result == -number
        assert len(taken) <= number + 3 * workers
    assert number == 39


def test_an_error_comes_in_its_place_and_nothing_is_begun_after_it():
    begun, go = [], threading.Event()

    def fail_at_two(item):
        begun.append(item)
        if item == 2:
            raise ValueError("two")
        if item > 2:
            go.wait(10)
        return item

    results = map_in_order(fail_at_two, range(100), workers=1, lookahead=5)
    threading.Timer(0.2, go.set).start()
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert max(begun) <= 3


def test_a_consumer_that_ends_early_ends_the_threads():
    results = map_in_order(abs, range(1000), workers=2)
    next(results)
    results.close()
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_a_signal_is_recorded_where_it_is_awaited_and_a_second_one_ends_at_once():
    before = signal.getsignal(signal.SIGTERM)
    with Interruption(advice="the same command resumes it", awaited=True) as interruption:
        assert not interruption()
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption() and interruption.received == signal.SIGTERM
        with pytest.raises(Interrupted, match="stopped at once; the same command resumes it") as caught:
            os.kill(os.getpid(), signal.SIGINT)
        assert caught.value.code == 128 + signal.SIGINT
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_nobody_awaits_ends_at_once():
    with Interruption(advice="it resumes") as interruption:
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.received == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGTERM)  # `timeout` sends it twice
        time.sleep(0.001)
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)


def test_no_handler_is_set_outside_the_main_thread():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def enter():
        with Interruption(advice="it resumes") as interruption:
            interruption.renew()
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def test_the_exit_status_is_that_of_the_signal_or_of_sigterm():
    assert (exit_code(signal.SIGINT), exit_code(None)) == (130, 143)


# -- memory ----------------------------------------------------------------------------------------------------------

#: Prints the page faults of arrays that are made and freed again and again, some 24 MB each time.
_FAULTS = """
import resource, sys
import numpy as np
from speechgru.process.memory import keep_freed_memory
if sys.argv[1:]:
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [np.ones(750_000, np.float32) for _ in range(8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(), faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library keeps what it likes")
def test_freed_memory_is_kept_where_that_is_asked_for():
    def faults(*arguments):
        command = [sys.executable, "-c", _FAULTS, *arguments]
        return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    assert faults("keep") < 100 < 4000 < faults()


def test_a_c_library_that_cannot_keep_freed_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr("platform.libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False
