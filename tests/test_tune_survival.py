"""Sweeps of real processes, killed in every place: nothing finished is lost, and the result is the undisturbed one.

The commands are forked from one process (`commands.py`); the workers and trials that they start are those of any sweep.
"""

import csv
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import time
from pathlib import Path

import pytest
from commands import needs_fork

pytest.importorskip("keras_tuner", reason="sweeps need keras_tuner (extra train)")

pytestmark = needs_fork
HERE = Path(__file__).parent
#: What a sweep comes to, whoever did it and however long it took.
RESULT = ("trial", "status", "is_best", "wer", "parameters", "model.units", "augment.gain_db")


class Sweep:
    """A sweep of quick trials in a folder, by the command line."""

    def __init__(self, commands, tones, folder, *, tuner="random", trials=6, units="16, 24, 32, 40, 48", gpus=None):
        from tones import write_config

        self._commands, self.folder, self.run = commands, folder, folder / "sweep"
        folder.mkdir(parents=True, exist_ok=True)
        write_config(tones, folder / "base.yaml")
        (folder / "sweep.yaml").write_text(
            "base: base.yaml\n"
            "space:\n"
            f"  model.units: {{type: choice, values: [{units}]}}\n"
            "  augment.gain_db: {type: float, min: 0, max: 8, step: 2}\n"
            f"tuner: {tuner}\nbudget: {{trials: {trials}}}\n"
        )
        # The quick trials, which import the package of these tests, wherever another one is installed.
        path = os.pathsep.join([str(HERE / "quick_trials"), str(HERE.parent)])
        self.environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if gpus is not None:
            self.environment["CUDA_VISIBLE_DEVICES"] = gpus

    def start(self, *options, command=("tune", "sweep.yaml", "--run", "sweep"), slow=""):
        """Starts a command; the trials that `slow` names are slow enough to be killed."""
        environment = self.environment | {"SLOW_TRIALS": slow}
        return self._commands.start(*command, *options, cwd=self.folder, environment=environment)

    def finish(self, *options, code=0):
        status, said = self.start(*options).wait()
        assert status == code, said
        assert "Traceback" not in said
        return said

    def wait_for(self, condition, *, seconds=300.0):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it never came to it"
            time.sleep(0.02)

    def wait_for_outcomes(self, count):
        self.wait_for(lambda: len(list(self.run.glob("trials/*/outcome.json"))) >= count)

    def wait_for_steps(self, trial, count):
        path = self.run / "trials" / trial / "did.txt"
        self.wait_for(lambda: path.exists() and path.read_text().count("step") >= count)

    @property
    def result(self):
        with open(self.run / "trials.csv", newline="") as stream:
            return [{key: row[key] for key in RESULT} for row in csv.DictReader(stream)]

    def steps(self, trial):
        """The steps that a trial's processes did, in their order, and how many processes these were."""
        path = self.run / "trials" / trial / "did.txt"
        text = path.read_text() if path.exists() else ""
        return [int(step) for step in re.findall(r"step (\d+)", text)], text.count("process")


def process_ids(pattern):
    """The processes whose command line holds all of `pattern`'s words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if all(word in words for word in pattern):
            found.append(int(path.parent.name))
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")


@pytest.fixture(scope="module")
def undisturbed(commands, tones, tmp_path_factory):
    """The sweep that nobody disturbed."""
    sweep = Sweep(commands, tones, tmp_path_factory.mktemp("undisturbed") / "here")
    said = sweep.finish()
    assert "6 completed" in said and "best: trial" in said
    assert all(sweep.steps(row["trial"])[0] == list(range(6)) for row in sweep.result)
    return sweep


@pytest.fixture
def sweep(commands, tones, tmp_path):
    return Sweep(commands, tones, tmp_path / "here")


def test_a_sweep_ends_in_a_config_that_trains_a_table_and_a_page(undisturbed):
    from speechgru.config.load import load_config

    best = next(row for row in undisturbed.result if row["is_best"] == "True")
    assert float(best["wer"]) == min(float(row["wer"]) for row in undisturbed.result)
    config = load_config(undisturbed.run / "best.yaml")
    assert config.model.units == int(best["model.units"]) and config.augment.gain_db == float(best["augment.gain_db"])
    assert best["model.units"] in (undisturbed.run / "report" / "sweep.html").read_text(encoding="utf-8")
    for row in undisturbed.result:  # the space, the table and the trial's own configuration agree
        plan = json.loads((undisturbed.run / "trials" / row["trial"] / "trial.json").read_text())
        assert plan["config"]["model"]["units"] == int(row["model.units"]) == plan["values"]["model.units"]


def test_a_finished_sweep_is_shown_again_and_goes_on_with_a_larger_budget(undisturbed):
    before = undisturbed.result
    assert "6 completed" in undisturbed.finish()
    text = (undisturbed.folder / "sweep.yaml").read_text()
    (undisturbed.folder / "sweep.yaml").write_text(text.replace("trials: 6", "trials: 8"))
    assert "8 completed" in undisturbed.finish()
    keep = [key for key in RESULT if key != "is_best"]
    assert [[row[k] for k in keep] for row in undisturbed.result[:6]] == [[row[k] for k in keep] for row in before]
    (undisturbed.folder / "sweep.yaml").write_text(text)
    (undisturbed.folder / "sweep.yaml").write_text(text + "seed: 5\n")
    said = undisturbed.finish(code=2)
    assert "holds another sweep: seed (0 there, 5 now)" in said
    (undisturbed.folder / "sweep.yaml").write_text(text)


def first_six(sweep):
    return [{key: value for key, value in row.items() if key != "is_best"} for row in sweep.result[:6]]


def test_a_sweep_killed_in_the_middle_of_a_trial_goes_on(sweep, undisturbed):
    process = sweep.start(slow="0002")
    sweep.wait_for_steps("0002", 3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path.parent.name: path.read_bytes() for path in sweep.run.glob("trials/*/outcome.json")}
    assert len(finished) == 2
    sweep.finish()
    assert first_six(sweep) == first_six(undisturbed)
    for trial, outcome in finished.items():
        assert (sweep.run / "trials" / trial / "outcome.json").read_bytes() == outcome
        assert sweep.steps(trial) == (list(range(6)), 1), "a finished trial is not done again"
    assert sweep.steps("0002") == (list(range(6)), 2), "it went on from its checkpoint"


def test_a_sweep_killed_again_and_again_at_random_goes_on(sweep, undisturbed):
    generator = random.Random(3)
    for kill in range(4):
        process = sweep.start()
        sweep.wait_for_outcomes(kill)
        time.sleep(generator.uniform(0, 0.4))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    sweep.finish()
    assert first_six(sweep) == first_six(undisturbed)


@needs_proc
def test_a_trial_that_is_killed_goes_on_from_its_checkpoint(sweep, undisturbed):
    process = sweep.start(slow="0001")
    sweep.wait_for_steps("0001", 3)
    (trial,) = process_ids(["speechgru.tune.trial", str(sweep.run / "trials" / "0001")])
    os.kill(trial, signal.SIGKILL)
    status, said = process.wait()
    assert status == 0, said
    assert first_six(sweep) == first_six(undisturbed)
    steps, processes = sweep.steps("0001")
    assert sorted(set(steps)) == list(range(6)) and len(steps) <= 7 and processes == 2


def interrupt(process):
    os.kill(process.pid, signal.SIGINT)
    status, said = process.wait()
    assert status == 130 and "Traceback" not in said
    assert "finished trials and the state of the others are kept, and the same command resumes the sweep" in said


def test_ctrl_c_ends_cleanly_and_the_same_command_goes_on(sweep, undisturbed):
    process = sweep.start(slow="0001")
    sweep.wait_for_steps("0001", 2)
    interrupt(process)
    assert not (sweep.run / "trials" / "0001" / "outcome.json").exists()
    sweep.finish()
    assert first_six(sweep) == first_six(undisturbed)
    assert sweep.steps("0001") == (list(range(6)), 2)


def test_a_second_leader_is_refused(sweep):
    process = sweep.start(slow="0000 0001")
    sweep.wait_for(lambda: (sweep.run / "journal.jsonl").exists())
    assert f"process {process.pid} leads this sweep; wait for it, stop it" in sweep.finish(code=2)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait()[0] == 143


@needs_proc
def test_a_worker_that_is_killed_is_replaced_and_its_trial_goes_on_each_with_a_gpu_of_its_own(
    commands, tones, undisturbed, tmp_path
):
    sweep = Sweep(commands, tones, tmp_path / "here", gpus="3,5")
    process = sweep.start("--workers", 2, slow="0000 0001 0002")
    sweep.wait_for_steps("0001", 2)
    workers = process_ids(["speechgru.tune.worker", str(sweep.run)])
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    status, said = process.wait()
    assert status == 0, said
    assert first_six(sweep) == first_six(undisturbed)
    assert all(set(sweep.steps(row["trial"])[0]) == set(range(6)) for row in sweep.result)
    assert not process_ids(["speechgru.tune.worker", str(sweep.run)]), "nobody is left"
    outcomes = [json.loads(path.read_text()) for path in sweep.run.glob("trials/*/outcome.json")]
    assert {outcome["environment"]["gpu"] for outcome in outcomes} == {"3", "5"}


@needs_proc
def test_two_workers_end_at_ctrl_c_and_when_their_chief_is_killed_and_are_started_again(sweep, undisturbed):
    process = sweep.start("--workers", 2, slow="0001 0002")
    sweep.wait_for_steps("0001", 2)
    interrupt(process)
    assert not (sweep.run / "trials" / "0001" / "outcome.json").exists()
    before, _ = sweep.steps("0002")
    process = sweep.start("--workers", 2, slow="0001 0002")
    sweep.wait_for_steps("0002", len(before) + 1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    sweep.finish("--workers", 2)
    assert first_six(sweep) == first_six(undisturbed)
    assert all(set(sweep.steps(row["trial"])[0]) == set(range(6)) for row in sweep.result)
    sweep.wait_for(lambda: not process_ids(["speechgru.tune.worker", str(sweep.run)]))


def test_workers_of_another_machine_outlive_a_chief_that_is_killed(sweep, undisturbed):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    chief = sweep.start("--workers", 0, "--listen", address)
    sweep.wait_for(lambda: (sweep.run / "status.json").exists())
    joined = sweep.start("--chief", address, "--workers", 2, command=("join", "sweep"), slow="0002")
    assert stat.S_IMODE((sweep.run / "token").stat().st_mode) == 0o600
    (sweep.folder / "guess").write_text("a-token-that-somebody-guessed")
    (sweep.folder / "guess").chmod(0o600)
    stranger = sweep.start("--chief", address, "--token-file", "guess", command=("join", "sweep"))
    status, said = stranger.wait()
    assert status == 2 and "the chief refuses: show the sweep's token, which is in the file `token`" in said
    sweep.wait_for_steps("0002", 2)
    os.kill(chief.pid, signal.SIGKILL)
    chief.wait()
    sweep.wait_for_steps("0002", 6)  # nobody leads, and the trial goes on
    sweep.finish("--workers", 0, "--listen", address)
    status, said = joined.wait()
    assert status == 0 and "the sweep has ended" in said
    assert first_six(sweep) == first_six(undisturbed)
    assert all(sweep.steps(row["trial"]) == (list(range(6)), 1) for row in sweep.result)


def test_failures_are_recorded_with_their_reason_and_the_sweep_goes_on(commands, tones, tmp_path):
    sweep = Sweep(commands, tones, tmp_path / "here", tuner="grid", trials=20, units="12, 13, 14, 15, 16")
    text = (sweep.folder / "sweep.yaml").read_text()
    (sweep.folder / "sweep.yaml").write_text(
        text.replace(
            "augment.gain_db: {type: float, min: 0, max: 8, step: 2}", "augment.gain_db: {type: choice, values: [0.0]}"
        )
    )
    said = sweep.finish()
    assert "2 completed, 3 failed" in said and "every combination was tried" in said
    outcomes = [json.loads(path.read_text()) for path in sorted(sweep.run.glob("trials/*/outcome.json"))]
    reasons = [outcome["reason"] for outcome in outcomes if outcome["status"] == "failed"]
    assert sum("ended with exit code 3 and no result, twice at the same place" in reason for reason in reasons) == 1
    assert "NaN, it says" in reasons and "the memory did not suffice (MemoryError: no room for a batch)" in reasons
    page = (sweep.run / "report" / "sweep.html").read_text(encoding="utf-8")
    assert "exit code 3" in page and "NaN, it says" in page


def test_a_full_disk_ends_the_sweep_and_no_trial_and_the_same_command_goes_on(sweep, undisturbed):
    sweep.environment["FULL_DISK"] = "0001"
    said = sweep.finish(code=2)
    assert "error: trial 0001 cannot go on" in said and "0001: cannot be written (No space left on device)" in said
    said = sweep.finish("--workers", 2, code=2)
    assert "has died 5 times, and no trial ended in between" in said and "No space left on device" in said
    trial = sweep.run / "trials" / "0001"
    assert not (trial / "outcome.json").exists() and not (trial / "deaths.json").exists()
    del sweep.environment["FULL_DISK"]
    sweep.finish()
    assert first_six(sweep) == first_six(undisturbed)


def test_an_address_that_cannot_be_listened_on_is_an_error(sweep):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = sweep.finish("--workers", 1, "--listen", address, code=2)
    assert f"{address}: cannot be listened on (address already in use); give another address or port" in said
    assert "an address is HOST:PORT, such as 127.0.0.1:10300, got '7777'" in sweep.finish("--listen", "7777", code=2)


@pytest.mark.slow  # three processes that import TensorFlow, and training
def test_a_real_trial_in_a_process_of_its_own_survives_a_kill(commands, tones, tmp_path):
    """The same with training itself: the killed sweep's WER is the one of its trial that nobody disturbed."""
    from speechgru.tune.folder import TrialFolder
    from speechgru.tune.trial import run_trial

    sweep = Sweep(commands, tones, tmp_path / "here", trials=1)
    del sweep.environment["PYTHONPATH"]
    text = (sweep.folder / "base.yaml").read_text()
    text = text.replace("max_steps: 12", "max_steps: 30").replace("model: {", "model: {direction: forward, ")
    (sweep.folder / "base.yaml").write_text(text)
    process = sweep.start()
    sweep.wait_for(lambda: list(sweep.run.glob("trials/0000/checkpoints/step_*.npz")))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    trial = sweep.run / "trials" / "0000"
    assert not (trial / "outcome.json").exists()
    sweep.finish()
    history = [json.loads(line) for line in (trial / "history.jsonl").read_text().splitlines()]
    assert [record["resumed"] for record in history if record["kind"] == "session"] == [False, True]
    again = TrialFolder(tmp_path / "again" / "trials" / "0000")
    again.path.mkdir(parents=True)
    shutil.copy(trial / "trial.json", again.plan)
    expected = run_trial(again, progress=lambda *arguments: None)
    (row,) = sweep.result
    assert (row["status"], float(row["wer"])) == (expected["status"], pytest.approx(expected["wer"]))
