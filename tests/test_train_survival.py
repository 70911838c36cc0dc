"""What training survives: kill -9, signals, a full disk, a second process, recordings that vanish, a NaN.

And what it gives twice: a run whose checkpoints and workers change on resuming, one that shall be deterministic.

The commands are real processes (`commands.py`).
"""

import json
import math
import random
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="training needs TensorFlow")
from commands import needs_fork  # noqa: E402
from tones import (  # noqa: E402
    SAMPLE_RATE,
    assert_same_weights,
    history_of,
    make_config,
    weights_of,
    write_config,
)

from speechgru import train as training  # noqa: E402
from speechgru.audio import reading as recordings  # noqa: E402
from speechgru.config.load import load_config  # noqa: E402
from speechgru.dataset import make_sampler, open_corpus, split  # noqa: E402
from speechgru.errors import BundleError, ConfigError, DiskError, UserError  # noqa: E402
from speechgru.runs import RunFolder, load_checkpoint, save_checkpoint  # noqa: E402
from speechgru.train.checkpoints import Checkpoints  # noqa: E402
from speechgru.utterances.manifest import read_manifest  # noqa: E402

pytestmark = [needs_fork, pytest.mark.usefixtures("no_pages")]

#: All that a run carries along: drawn masks, moments, an average, parts of a batch. The last step is an evaluation.
STEPS, CHECKPOINT_EVERY, KEEP_LAST = 21, 3, 3
OVERRIDES = (
    f"train.max_steps={STEPS}",
    f"train.checkpoint_every_steps={CHECKPOINT_EVERY}",
    f"train.keep_last={KEEP_LAST}",
    "train.evaluate_every_steps=7",
    "train.accumulate=2",
    "train.ema=0.9",
    "model.direction=forward",
)


@pytest.fixture(scope="module")
def config_file(tones):
    return write_config(tones, tones / "config.yaml")


@pytest.fixture(scope="module")
def config(config_file):
    return load_config(config_file, OVERRIDES)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run that nothing happened to."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert training.train(config, run).steps == STEPS
    return run


@pytest.fixture
def nearly_whole(whole, tmp_path):
    """The same as it was three steps before its end."""
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    RunFolder(run).list_checkpoints()[0].unlink()
    return run


def assert_same_run(one, other):
    assert_same_weights(one, other)
    assert history_of(one) == history_of(other)
    (arrays, state), (others, other_state) = (load_checkpoint(RunFolder(run).best) for run in (one, other))
    assert state == other_state and arrays.keys() == others.keys()
    assert all(np.array_equal(array, others[name]) for name, array in arrays.items())


def wait_until(happened, process, *, seconds=300.0):
    """Looks every millisecond until it has happened, or the process has ended."""
    end = time.monotonic() + seconds
    while not happened() and process.poll() is None:
        assert time.monotonic() < end, "the command takes too long"
        time.sleep(0.001)


def newest_step(run):
    """Steps of the newest checkpoint; 0 before the first."""
    paths = RunFolder(run).list_checkpoints()
    return int(paths[0].stem.removeprefix("step_")) if paths else 0


def wait_for_a_moment(kind, run, process, draws):
    """Waits for a moment to kill at, each time another one.

    Args:
        kind: `start` is before or in the first step, while it compiles; `steps` anywhere between steps, evaluations and
            checkpoints; `write` while a file is written.
        run: the run folder.
        process: the command that trains there.
        draws: seeded.
    """
    folder, before = RunFolder(run), newest_step(run)
    if kind == "start":
        written = stamp(folder.history)
        wait_until(lambda: stamp(folder.history) != written, process)
        time.sleep(draws.uniform(0.0, 4.0))
        return
    wait_until(lambda: newest_step(run) > before, process)
    if kind == "write":
        wait_until(lambda: any(folder.checkpoints.glob(".*")), process)
    else:
        time.sleep(draws.uniform(0.0, 0.15))


def stamp(path):
    """Changes with the file; None while there is none."""
    return path.stat().st_mtime_ns if path.exists() else None


def kill_at_moments(commands, arguments, run, kinds, seed):
    """Trains again and again, and kills it each time. Gives the exit statuses."""
    draws, statuses = random.Random(seed), []
    for kind in kinds:
        process = commands.start(*arguments)
        wait_for_a_moment(kind, run, process, draws)
        process.send(signal.SIGKILL)
        status, said = process.wait()
        assert status in (-signal.SIGKILL, 0), said
        assert len(RunFolder(run).list_checkpoints()) <= KEEP_LAST + 1, "one is written before one is removed"
        statuses.append(status)
    return statuses


def test_a_run_killed_at_two_moments_ends_as_if_nothing_had_been(commands, config, config_file, whole, tmp_path):
    run = tmp_path / "run"
    arguments = ["train", config_file, "--run", run, *OVERRIDES]
    statuses = kill_at_moments(commands, arguments, run, ["steps", "write"], seed=0)
    assert -signal.SIGKILL in statuses
    training.train(config, run)
    assert_same_run(whole, run)
    assert len(RunFolder(run).list_checkpoints()) == KEEP_LAST and RunFolder(run).best.exists()


def test_what_changes_nothing_may_change_on_resuming(config_file, nearly_whole, whole):
    """A killed run with averages, parts and a seed for dropout ends as the whole one does, by other workers."""
    other = ("data.num_workers=4", "train.keep_last=1", "train.checkpoint_every_steps=1", "train.max_minutes=60")
    training.train(load_config(config_file, [*OVERRIDES, *other]), nearly_whole)
    assert_same_run(whole, nearly_whole)
    assert len(RunFolder(nearly_whole).list_checkpoints()) == 1
    with pytest.raises(ConfigError, match=r"train\.ema \(0\.9 there, 0\.6 now\)"):
        training.train(load_config(config_file, [*OVERRIDES, "train.ema=0.6"]), nearly_whole)


def test_a_deterministic_run_gives_the_same_bits_in_another_process(commands, config_file, tmp_path):
    """In processes of its own: the switch is a process's, and cannot be turned back."""
    runs = [tmp_path / "one", tmp_path / "two"]
    overrides = ("train.max_steps=3", "data.dev=null", "model.direction=forward", "train.deterministic=true")
    for run in runs:
        status, said = commands.start("train", config_file, "--run", run, *overrides).wait()
        assert status == 0, said
    assert_same_weights(*runs)
    losses = [json.dumps(history_of(run)) for run in runs]
    assert losses[0] == losses[1] and math.isfinite(history_of(runs[0])[0]["loss"])


#: Configurations that runs are killed with; the last step is an evaluation, a checkpoint, or neither.
_KINDS_OF_RUN = (
    ("train.max_steps=60",),
    ("train.max_steps=50", "train.accumulate=1", "train.ema=0", "train.deterministic=true"),
    ("train.max_steps=49", "train.schedule=plateau", "train.plateau_patience=1", "train.optimizer=lion"),
    ("train.max_epochs=6", "train.batch_frames=400", "data.max_duration_seconds=3", "train.sorted_first_epoch=true"),
    ("train.max_steps=42", "train.patience=3", "model.direction=bidirectional", "train.deterministic=true"),
)


@pytest.fixture(scope="module")
def undisturbed(commands, config_file, tmp_path_factory):
    """Runs of each kind that nothing happens to, made when they are asked for."""
    runs = {}

    def of(overrides):
        if overrides not in runs:
            run = tmp_path_factory.mktemp("undisturbed") / "run"
            status, said = commands.start("train", config_file, "--run", run, *OVERRIDES, *overrides).wait()
            assert status == 0, said
            runs[overrides] = run
        return runs[overrides]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_runs_killed_at_random_moments_end_as_if_nothing_had_been(commands, config_file, undisturbed, tmp_path, seed):
    run, draws = tmp_path / "run", random.Random(1000 + seed)
    overrides = _KINDS_OF_RUN[seed % len(_KINDS_OF_RUN)]
    kinds = draws.choices(["start", "steps", "write"], weights=[1, 3, 2], k=draws.randint(1, 4))
    arguments = ["train", config_file, "--run", run, *OVERRIDES, *overrides]
    kill_at_moments(commands, arguments, run, kinds, seed)
    status, said = commands.start(*arguments).wait()
    assert status == 0, said
    assert_same_run(undisturbed(overrides), run)
    assert len(RunFolder(run).list_checkpoints()) <= KEEP_LAST


def test_a_signal_ends_it_with_its_state_kept_and_a_second_process_is_refused(
    commands, config, config_file, whole, tmp_path
):
    run, folder = tmp_path / "run", RunFolder(tmp_path / "run")
    for number, status_of in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        before, written = newest_step(run), stamp(folder.history)
        process = commands.start("train", config_file, "--run", run, *OVERRIDES)
        wait_until(lambda written=written: stamp(folder.history) != written, process)
        with pytest.raises(UserError, match=rf"{run}: process {process.pid} is training here; wait for it, stop it,"):
            training.train(config, run)
        wait_until(lambda before=before: newest_step(run) > before, process)
        process.send(number)
        status, said = process.wait()
        assert status == status_of, said
        reported = re.search(rf"{run}: stopped after step (\d+) of {STEPS}; the state is kept, and the same", said)
        assert reported and "Traceback" not in said, said
        assert newest_step(run) == int(reported[1]) > before
        assert len(folder.list_checkpoints()) <= KEEP_LAST
        ends = [record for record in folder.read_history() if record["kind"] == "end"]
        assert (ends[-1]["reason"], ends[-1]["step"]) == ("interrupted", int(reported[1]))
    training.train(config, run)
    assert_same_run(whole, run)


def test_a_full_disk_ends_it_in_one_message_and_the_last_checkpoint_is_whole(
    commands, config_file, nearly_whole, tmp_path
):
    folder = RunFolder(nearly_whole)
    last = folder.list_checkpoints()[0]
    arguments = ["train", config_file, "--run", nearly_whole, *OVERRIDES]
    status, said = commands.start(*arguments, largest_file=last.stat().st_size // 2).wait()
    assert status == 2, said
    refused = folder.checkpoint(STEPS)
    progress = r"(reading|measuring|beginning|training|scoring)"
    reported = [line for line in said.splitlines() if not re.match(progress, line)]
    assert len(reported) == 1 and reported[0].startswith(
        f"error: {refused}: cannot be written (File too large); what"
    ), said
    assert not refused.exists() and newest_step(nearly_whole) == STEPS - CHECKPOINT_EVERY
    assert not any(folder.checkpoints.glob(".*")), "what was begun is removed"
    _, state, path = Checkpoints(folder, keep_last=KEEP_LAST).load_newest(pytest.fail)
    assert path == last and state["step"] == STEPS - CHECKPOINT_EVERY


@pytest.mark.parametrize("what", ["removed", "moved"])
def test_a_run_folder_that_is_gone_does_not_come_back(config, nearly_whole, tmp_path, what):
    elsewhere = tmp_path / "elsewhere"

    def take_away(stage, done, total, note=""):
        if stage == "training" and nearly_whole.exists():
            shutil.rmtree(nearly_whole) if what == "removed" else nearly_whole.rename(elsewhere)

    with pytest.raises(UserError, match=r": is gone, moved or removed while this command worked there; nothing is wri"):
        training.train(config, nearly_whole, progress=take_away)
    assert not nearly_whole.exists()
    if what == "moved":
        assert newest_step(elsewhere) == STEPS - CHECKPOINT_EVERY


def test_a_run_folder_that_cannot_be_is_named(config, tmp_path):
    """Root may write anywhere, but below a file not even root."""
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    with pytest.raises(UserError, match=r"file/run: cannot be written \(Not a directory\)"):
        training.train(config, occupied / "run")
    with pytest.raises(UserError, match=r"file: "):
        training.train(config, occupied)
    assert occupied.read_text() == "not a folder"


def test_what_a_killed_process_left_half_written_is_cleared_away(config, whole, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    left = [RunFolder(run).checkpoints / name for name in (".step_00000024.a1b2c3d4.npz", ".best.a1b2c3d4.npz")]
    for path in left:
        path.write_bytes(b"half a checkpoint")
    training.train(config, run)
    assert not any(path.exists() for path in left)
    assert_same_run(whole, run)


def test_a_recording_that_vanishes_is_named_and_once_back_the_run_ends_as_if_it_had_stayed(
    config, tones, whole, tmp_path
):
    """It is one of the second part of a batch: by then the first has drawn its dropout and been counted."""
    corpus, *_ = open_corpus(config)
    batches = make_sampler(corpus, config=config).batches_from(0)
    drawn = [next(batches)[1] for _ in range(6)]
    _, (second, weights) = split(drawn[5], parts=2)
    gone = tones / f"train{second.indices[weights > 0][0]}.wav"
    assert not any(second.indices[weights > 0][0] in batch.indices for batch in drawn[:5])
    away, run = tmp_path / "away.wav", tmp_path / "run"

    def vanish(stage, done, total, note=""):
        if stage == "measuring the corpus" and done == total:
            gone.rename(away)

    try:
        with pytest.raises(DiskError, match=rf"{gone.name}: no such recording.*resumes from its last checkpoint"):
            training.train(config, run, progress=vanish)
    finally:
        away.rename(gone)
    assert newest_step(run) >= CHECKPOINT_EVERY
    training.train(config, run)
    assert_same_run(whole, run)


def test_a_dev_recording_that_vanishes_costs_no_evaluation_and_no_step(
    config, tones, nearly_whole, whole, tmp_path, monkeypatch
):
    # As where the dev set is too large to be kept in memory.
    monkeypatch.setattr("speechgru.train.opening.KEPT_BYTES", 0)
    gone, away = tones / "dev3.wav", tmp_path / "away.wav"

    def vanish(stage, done, total, note=""):
        if stage == "training" and done == STEPS - 1:
            gone.rename(away)

    try:
        with pytest.raises(DiskError, match=r"dev3\.wav: no such recording.*resumes from its last checkpoint"):
            training.train(config, nearly_whole, progress=vanish)
    finally:
        away.rename(gone)
    assert training.train(config, nearly_whole).steps == STEPS
    assert_same_run(whole, nearly_whole)


def test_an_utterance_whose_loss_is_no_number_costs_its_steps_alone(tones, tmp_path, monkeypatch):
    """Nobody records a NaN, and reading refuses one; here that is switched off, to stand for what nobody thought of."""
    import soundfile

    monkeypatch.setattr(recordings, "require_sound", lambda samples_N, *, path: None)
    copies = tmp_path / "copies"
    shutil.copytree(tones, copies)
    lines = (tones / "train.jsonl").read_text().replace(str(tones), str(copies))
    (copies / "train.jsonl").write_text(lines)
    utterance = read_manifest(copies / "train.jsonl")[17]
    path = Path(utterance.audio_filepath)

    def plant(stage, done, total, note=""):
        if stage == "measuring the corpus" and done == total:
            samples_N, _ = soundfile.read(path, dtype="float32")
            samples_N[len(samples_N) // 2] = np.nan
            soundfile.write(path, samples_N, SAMPLE_RATE, subtype="FLOAT")

    overrides = ("train.max_steps=20", "train.max_dropped_in_a_row=2", "train.accumulate=2", "train.ema=0.9")
    config = make_config(copies, tmp_path / "config.yaml", *overrides, "model.direction=forward")
    result = training.train(config, tmp_path / "run", progress=plant)
    history = RunFolder(tmp_path / "run").read_history()
    dropped = [record for record in history if record["kind"] == "dropped"]
    assert [(record["reason"], record["utterances"]) for record in dropped] == [
        ("loss", [utterance.utterance_id])
    ] * len(dropped)
    assert (result.steps, result.num_dropped) == (20, len(dropped)) and len(dropped) in (2, 3), "2.7 passes"
    losses = [record["loss"] for record in history if record["kind"] == "train"]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    arrays, state = weights_of(tmp_path / "run")
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert state["dropped_in_a_row"] == 0 and state["num_dropped"] == len(dropped)


ARRAYS = {
    "model/0": np.arange(12, dtype=np.float32).reshape(3, 4),
    "optimizer/0": np.array(7),
    "average/0": np.linspace(0, 1, 5),
}


@pytest.fixture
def two_checkpoints(tmp_path):
    """A run folder with the states after steps 3 and 6."""
    folder = RunFolder(tmp_path / "run")
    for step in (3, 6):
        save_checkpoint(folder.checkpoint(step), ARRAYS, {"step": step})
    return folder


def test_no_damage_to_a_checkpoint_gives_other_numbers(two_checkpoints):
    """Every byte, and the file cut at every tenth: it is refused, or the byte had no meaning."""
    path = two_checkpoints.checkpoint(6)
    content, messages = path.read_bytes(), []
    damaged = [bytes([*content[:k], content[k] ^ 1 << k % 8, *content[k + 1 :]]) for k in range(len(content))]
    for version in [*damaged, *(content[:k] for k in range(0, len(content), 10))]:
        path.write_bytes(version)
        try:
            arrays, state = load_checkpoint(path)
        except BundleError as error:
            messages.append(str(error))
        else:
            assert state == {"step": 6} and arrays.keys() == ARRAYS.keys()
            assert all(np.array_equal(array, ARRAYS[name]) for name, array in arrays.items())
    assert all(message.startswith(f"{path}: the checkpoint is damaged (") for message in messages)
    assert len(messages) > 0.6 * len(damaged)


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (0.2, 0.2), (0.5, 0.5), (-22, -21), (-12, -8)],
    ids=["header", "first array", "another array", "end record", "place of the index"],
)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_taken(two_checkpoints, start, end):
    path = two_checkpoints.checkpoint(6)
    content = bytearray(path.read_bytes())
    first, last = (round(place * len(content)) if 0 < place < 1 else place for place in (start, end))
    for k in range(first, max(last, first + 1)):
        content[k] ^= 0x55
    path.write_bytes(content)
    assert_the_one_before_is_taken(two_checkpoints)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_set_aside_and_the_one_before_is_taken(two_checkpoints, share):
    path = two_checkpoints.checkpoint(6)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert_the_one_before_is_taken(two_checkpoints)


def assert_the_one_before_is_taken(folder):
    said = []
    arrays, state, path = Checkpoints(folder, keep_last=2).load_newest(said.append)
    assert path == folder.checkpoint(3) and state == {"step": 3}
    assert all(np.array_equal(array, ARRAYS[name]) for name, array in arrays.items())
    assert not folder.checkpoint(6).exists() and folder.checkpoint(6).with_suffix(".damaged").exists()
    assert len(said) == 1 and "step_00000006.npz: the checkpoint is damaged" in said[0]
    assert "set aside as step_00000006.damaged, trying the one before" in said[0]


@pytest.mark.parametrize("keep_last", [1, 2, 5])
def test_so_many_checkpoints_are_kept_and_the_best_weights(tmp_path, keep_last):
    folder = RunFolder(tmp_path / "run")
    save_checkpoint(folder.best, ARRAYS, {"step": 2})
    checkpoints = Checkpoints(folder, keep_last=keep_last)
    for step in range(1, 9):
        checkpoints.save(step, ARRAYS, {"step": step})
        steps = [load_checkpoint(path)[1]["step"] for path in folder.list_checkpoints()]
        assert steps == list(range(step, max(0, step - keep_last), -1))
    save_checkpoint(folder.checkpoint(9), ARRAYS, {"step": 9})  # and the process was killed
    assert checkpoints.load_newest(pytest.fail)[1] == {"step": 9}
    assert [path.name for path in folder.list_checkpoints()] == [
        folder.checkpoint(step).name for step in range(9, 9 - keep_last, -1)
    ]
    assert load_checkpoint(folder.best)[1] == {"step": 2}
    assert len(list(folder.checkpoints.iterdir())) == keep_last + 1


def test_a_run_of_an_earlier_version_is_refused_and_left_as_it_is(config, tmp_path):
    folder = RunFolder(tmp_path / "run")
    save_checkpoint(folder.checkpoints / "last.npz", ARRAYS, {"step": 3})
    folder.append_history({"kind": "train", "step": 3, "loss": 1.0})
    with pytest.raises(BundleError, match=r"run: the run was trained by an earlier version.*exported.*another --run"):
        training.train(config, folder.path)
    assert [record["step"] for record in folder.read_history()] == [3]
    assert load_checkpoint(folder.checkpoints / "last.npz")[1] == {"step": 3}
