"""The campaigns, as small as they come: what they count, what they call a finding, and that they resume."""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from commands import needs_fork

from speechgru.errors import ManifestError, UserError

ROOT = Path(__file__).parents[1]
needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None or sys.platform != "linux", reason="the failing disk is compiled by cc, for Linux"
)


@pytest.fixture
def campaign(monkeypatch):
    """Imports a script of the campaigns."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module


def test_a_ledger_resumes_behind_what_is_done_and_ends_in_one_object(campaign, tmp_path, capsys):
    ledger = campaign("campaigns").Ledger(tmp_path / "ledger.jsonl")
    ledger.add("export", 0, cases=3, seconds=1.0)
    ledger.add("export", 1, cases=2, findings=["half made"], seconds=1.0)
    with open(ledger.path, "a") as stream:
        stream.write('{"family": "export", "num')  # the campaign was killed here
    again = campaign("campaigns").Ledger(ledger.path)
    assert again.numbers("export") == {0, 1} and again.count("export") == 5 and again.count("shard") == 0
    capsys.readouterr()
    again.print()
    printed = capsys.readouterr().out.strip().splitlines()
    assert json.loads(printed[-1]) == {"cases": {"export": 5}, "findings": {"half made": 1}}


@pytest.mark.parametrize(
    ("status", "said", "finding"),
    [
        (0, "", None),
        (2, "error: x: cannot be written", None),
        (1, "Traceback (most recent call last):\nOSError: full", "not one message: OSError: full"),
        (70, "error: speechgru has a fault: KeyError", "not one message: error: speechgru has a fault: KeyError"),
        (-11, "", "exit status -11: nothing said"),
        (2, "error: a\nerror: b", "2 messages: error: a | error: b"),
        (2, "reading\nerror: Input/output error\n", "names no file: error: Input/output error"),
    ],
)
def test_what_a_command_must_not_do_is_a_finding(campaign, status, said, finding):
    assert campaign("campaigns").complaints(status, said) == ([] if finding is None else [finding])


def test_folders_are_compared_by_their_files(campaign, tmp_path):
    campaigns = campaign("campaigns")
    for name in ("same", "other", "gone", "times"):
        (tmp_path / name).write_text(name)
    before = campaigns.snapshot(tmp_path)
    for name in ("other", "times", ".more"):
        (tmp_path / name).write_text("changed")
    (tmp_path / "gone").unlink()
    found = campaigns.differences(before, campaigns.snapshot(tmp_path), volatile={"times"})
    assert found == ["gone is missing", ".more is left over", "other is other"]


def test_times_and_logs_are_no_difference_where_they_are_named(campaign, tmp_path):
    look, found = campaign("campaigns").snapshot, []
    for wer, seconds in ((1, 2), (1, 3), (2, 3)):
        (tmp_path / "page.html").write_text(f"<p>WER {wer} %, in {seconds}.5 s</p>")
        (tmp_path / "trials.csv").write_text(f"wer,total_seconds\n{wer},{seconds}\n")
        (tmp_path / "log.txt").write_text(f"{seconds}")
        found.append(look(tmp_path, timed=("page.html", "*.csv"), logs=("log.txt",)))
    assert found[0] == found[1]
    assert campaign("campaigns").differences(found[1], found[2]) == ["page.html is other", "trials.csv is other"]


#: Makes a folder, writes and renames a file there, makes it private, removes all: nine changes.
_CHANGES = """
import os, shutil, sys
folder = sys.argv[1] + "/out"
os.mkdir(folder)
descriptor = os.open(folder + "/a", os.O_WRONLY | os.O_CREAT)
os.write(descriptor, b"x" * 10); os.fsync(descriptor); os.close(descriptor)
os.replace(folder + "/a", folder + "/b")
os.chmod(folder + "/b", 0o600)
print(open(folder + "/b").read())
os.unlink(folder + "/b"); os.rmdir(folder)
os.mkdir(folder)
"""


@needs_compiler
def test_a_disk_fails_at_the_change_that_is_asked_for(campaign, tmp_path):
    disk = campaign("campaigns").Disk(tmp_path, tmp_path / "watched")

    def run(event, at):
        shutil.rmtree(tmp_path / "watched", ignore_errors=True)
        (tmp_path / "watched").mkdir()
        variables = {**os.environ, **disk.environment(event, at)}
        command = [sys.executable, "-c", _CHANGES, str(tmp_path / "watched")]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
        return done, sorted(str(path.relative_to(tmp_path / "watched")) for path in (tmp_path / "watched").rglob("*"))

    done, left = run("", 0)
    assert (done.returncode, done.stdout, disk.count, left) == (0, "xxxxxxxxxx\n", 9, ["out"])
    kinds = disk.kinds()
    assert sorted(number for numbers in kinds.values() for number in numbers) == list(range(1, 10))
    assert kinds["rename /out/b"] == [5] and kinds["write /out/a"] == [3]
    done, left = run("kill", 3)
    assert done.returncode == -signal.SIGKILL and (tmp_path / "watched/out/a").read_text() == "xxxxx"
    done, left = run("kill", 5)
    assert done.returncode == -signal.SIGKILL and left == ["out", "out/a"], "before the rename"
    done, left = run("full", 9)
    assert "No space left on device" in done.stderr and left == []
    done, left = run("full", 7)
    assert "No space left on device" in done.stderr and left == [], "a full disk lets go of what it has"
    done, left = run("readonly", 7)
    assert "Read-only file system" in done.stderr and left == ["out", "out/b"]
    done, left = run("once", 4)
    assert "Input/output error" in done.stderr and disk.count == 4
    done, left = run("gone", 3)
    assert "No such file" in done.stderr and left == ["away", "away/a"]
    assert run("clock", 1)[0].returncode == 0


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_the_processes_of_a_command_are_those_of_its_session_and_those_that_name_its_case(campaign, tmp_path):
    campaigns, wait = campaign("campaigns"), [sys.executable, "-c", "import sys; sys.stdin.read()"]
    options = {"stdin": subprocess.PIPE, "start_new_session": True}
    with (
        subprocess.Popen([*wait, "alone"], **options) as leader,
        subprocess.Popen([*wait, str(tmp_path / "out"), "worker"], **options) as worker,
    ):
        assert sorted(campaigns.processes_of(leader.pid, tmp_path)) == sorted([leader.pid, worker.pid])
        assert campaigns.processes_of(None, tmp_path, naming="worker\0") == [worker.pid]
        assert campaigns.processes_of(None, tmp_path / "out") == []
        leader.stdin.close()
        leader.wait()
        assert campaigns.end_all(leader.pid, tmp_path, seconds=0) == 1


def test_the_changes_of_a_command_are_all_tried_or_spread_evenly(campaign):
    places = campaign("campaign_faults").places
    assert places({"write": [1, 3], "open": [2, 4]}, 10, 10) == [1, 2, 3, 4]
    hundred = {"write": list(range(1, 101))}
    assert places(hundred, 100, 3) == [1, 51, 100] and places(hundred, 100, 1) == [1]
    assert places(hundred | {"rename": [101]}, 2, 100) == [1, 100, 101]


def test_what_two_commands_of_a_family_change_alike_is_tried_in_the_first(campaign):
    kinds = {"one": {"open": [1], "write": [2]}, "two": {"open": [3], "rename": [4]}, "other": {"open": [5]}}
    families = {"one": "training", "two": "training", "other": "adapt"}
    left = campaign("campaign_faults").unshared(kinds, families)
    assert left == {"one": {"open": [1], "write": [2]}, "two": {"rename": [4]}, "other": {"open": [5]}}


def test_kills_are_asked_for_by_family(campaign):
    kills = campaign("campaign_kills")
    assert sum(kills.SIZES.values()) == 200 + 100 + 8 * 50 and kills.asked_sizes("") == kills.SIZES
    assert kills.asked_sizes("export=5, train-gru=2") == {"export": 5, "train-gru": 2}
    with pytest.raises(SystemExit, match="got nothing"):
        kills.asked_sizes("nothing=3")
    families = {job.family for job in campaign("campaign_jobs").jobs().values()} | {"sweep"}
    assert families == kills.SIZES.keys()


@pytest.mark.parametrize(
    "content", [b'{"a": [1, {"b": "c"}], "d": null}\n', b"one {two}\nthree", bytes(range(256)), b""]
)
def test_mutations_are_seeded_and_change_something(campaign, content):
    fuzz = campaign("campaign_fuzz")
    copies = [fuzz.mutated(content, np.random.default_rng(seed), ("word",)) for seed in range(60)]
    again = [fuzz.mutated(content, np.random.default_rng(seed), ("word",)) for seed in range(60)]
    assert copies == again and len(set(copies)) > (30 if content else 2)


def test_only_a_users_mistake_is_no_finding(campaign, tmp_path):
    fuzz = campaign("campaign_fuzz")

    def outcome(error):
        class Target:
            def read(self, path):
                if error is not None:
                    raise error

        return fuzz.outcome(Target(), tmp_path)[0]

    assert [outcome(error) for error in (None, ManifestError("m.jsonl: no"), FileNotFoundError(2, "no", "m"))] == [
        None
    ] * 3
    assert outcome(UserError("")).startswith("a message without words")
    assert outcome(KeyError("x")).startswith("KeyError") and outcome(MemoryError()).startswith("MemoryError")


def test_growth_is_told_from_noise(campaign):
    soak = campaign("campaign_soak")
    warm = {"memory_mb": 100.0, "files": 8, "threads": 3, "temporary": 0}
    assert soak.growth(warm, warm | {"memory_mb": 120.0, "files": 9})[1] == []
    assert soak.growth(warm, warm | {"memory_mb": 170.0, "temporary": 1})[1] == [
        "memory_mb grows by 70",
        "temporary grows by 1",
    ]


def test_streams_for_a_moment(campaign, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # others' temporary files come and go
    utterances, grown, findings = campaign("campaign_soak").soak_streams(3, 0.005, speed=20)
    assert utterances >= 3 and findings == [] and grown["threads"] == 0


@pytest.mark.slow  # processes that import TensorFlow, a corpus and a run of their own
@needs_fork
@needs_compiler
def test_each_campaign_for_some_cases(tmp_path):
    for name, options in (
        ("kills", ["--kills", "language train=2,export=2,training=2,sweep=1"]),
        ("faults", ["--jobs", "language,shard", "--most", "2"]),
        ("fuzz", ["--cases", "manifests=30,journals=30,tables=20,Wyoming=10"]),
        ("soak", ["--streams", "2", "--minutes", "0.05", "--speed", "20", "--trials", "4", "--trainings", "2"]),
    ):
        command = [sys.executable, ROOT / "scripts" / f"campaign_{name}.py", "--folder", tmp_path / name, *options]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=1800)
        assert done.returncode == 0, done.stderr
        last = json.loads(done.stdout.strip().splitlines()[-1])
        assert last["findings"] == {} and sum(last["cases"].values()) > 0, done.stdout
