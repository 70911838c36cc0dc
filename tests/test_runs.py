"""The run folder: checkpoints that are whole or refused, and a history that a crash cannot spoil."""

import json
import math
import os
import re
import shutil
import subprocess

import numpy as np
import pytest

from speechgru import runs
from speechgru.errors import BundleError
from speechgru.runs import RunFolder, load_checkpoint, make_provenance, restore_variables, save_checkpoint

STATE = {"step": 1234, "best_wer": 0.125, "best_step": None, "seed": 2**40, "note": "é"}


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "weights/0": rng.standard_normal((5, 7)).astype(np.float32),
        "weights/1": rng.standard_normal((64, 33)).astype(np.float32),
        "optimizer/0": np.array(7, np.int64),
        "optimizer/1": np.zeros((0, 3), np.float16),
    }


@pytest.fixture
def checkpoint(tmp_path, arrays):
    save_checkpoint(tmp_path / "checkpoints" / "last.npz", arrays, STATE)
    return tmp_path / "checkpoints" / "last.npz"


def is_whole(path, arrays):
    """Whether a file loads as what was saved; `BundleError` where it is refused."""
    loaded, state = load_checkpoint(path)
    return (
        state == STATE
        and loaded.keys() == arrays.keys()
        and all(
            loaded[name].dtype == array.dtype and np.array_equal(loaded[name], array) for name, array in arrays.items()
        )
    )


def test_a_checkpoint_loads_as_it_was_saved(checkpoint, arrays):
    assert is_whole(checkpoint, arrays)
    assert os.listdir(checkpoint.parent) == ["last.npz"]


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"none\.npz: no such checkpoint; train the run first"):
        load_checkpoint(tmp_path / "none.npz")


def test_the_weights_of_a_run_are_the_best_ones_or_where_that_will_do_the_newest(tmp_path):
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    for newest in (False, True):
        with pytest.raises(BundleError, match=r"best\.npz: no such checkpoint; train the run first"):
            folder.require_weights(newest=newest)
    for step in (20, 250):
        folder.checkpoint(step).write_bytes(b"")
    with pytest.raises(BundleError, match=r"a checkpoint after 250 steps.*resume the training with the same command"):
        folder.require_weights()
    assert folder.require_weights(newest=True) == folder.checkpoint(250)
    folder.best.write_bytes(b"")
    assert folder.require_weights() == folder.require_weights(newest=True) == folder.best


def test_a_flipped_byte_is_refused_or_means_nothing(checkpoint, arrays, tmp_path):
    """Bytes that say when and by what the file was written may change; no number may."""
    content = checkpoint.read_bytes()
    rng = np.random.default_rng(1)
    data = (
        set(range(len(content) - 400, len(content)))
        | set(range(0, 700, 3))
        | set(rng.integers(len(content), size=100).tolist())
    )
    messages = []
    for position in sorted(data):
        for flip in {1} if position >= len(content) - 400 else {int(rng.integers(1, 256))}:
            damaged = bytearray(content)
            damaged[position] ^= flip
            (tmp_path / "damaged.npz").write_bytes(damaged)
            try:
                assert is_whole(tmp_path / "damaged.npz", arrays), (position, flip)
            except BundleError as error:
                messages.append(str(error))
    assert len(messages) > 300
    assert all("damaged.npz: the checkpoint is damaged (" in message for message in messages)


def test_a_header_that_asks_for_less_is_refused(checkpoint, tmp_path):
    """NumPy itself reads half of the numbers then, and compares no checksum."""
    content = checkpoint.read_bytes()
    position = content.index(b"'<f4'", content.index(b"weights/1"))
    (tmp_path / "damaged.npz").write_bytes(content[:position] + b"'<f2'" + content[position + 5 :])
    with pytest.raises(BundleError, match=r"the checksum of weights/1\.npy is wrong"):
        load_checkpoint(tmp_path / "damaged.npz")


def test_a_truncated_checkpoint_is_refused(checkpoint, tmp_path):
    content = checkpoint.read_bytes()
    for size in [0, 1, 30, *np.random.default_rng(2).integers(len(content), size=40), len(content) - 1]:
        (tmp_path / "short.npz").write_bytes(content[:size])
        with pytest.raises(BundleError, match=r"short\.npz: the checkpoint is damaged \("):
            load_checkpoint(tmp_path / "short.npz")


def test_what_is_not_a_checkpoint_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(BundleError, match=r"other\.npz: the checkpoint is damaged"):
        load_checkpoint(tmp_path / "other.npz")
    np.savez(tmp_path / "pickled.npz", a=np.array([{}], dtype=object))
    with pytest.raises(BundleError, match=r"pickled\.npz: the checkpoint is damaged .*allow_pickle=False"):
        load_checkpoint(tmp_path / "pickled.npz")
    with pytest.raises(BundleError, match="the checkpoint is damaged"):
        load_checkpoint(tmp_path)


class Variable:
    """What `restore_variables` needs of a Keras variable."""

    def __init__(self, shape):
        self.shape = shape
        self.value = None

    def assign(self, value):
        self.value = value


def test_variables_are_restored_in_order(arrays, tmp_path):
    variables = [Variable((5, 7)), Variable((64, 33))]
    restore_variables(variables, arrays, "weights", where=tmp_path)
    assert variables[0].value is arrays["weights/0"]
    assert variables[1].value is arrays["weights/1"]


@pytest.mark.parametrize("shapes", [[(5, 7)], [(5, 7), (64, 33), (1,)], [(7, 5), (64, 33)], [(64, 33), (5, 7)], []])
def test_weights_of_another_model_are_refused_and_nothing_is_assigned(arrays, shapes):
    variables = [Variable(shape) for shape in shapes]
    with pytest.raises(BundleError, match=r"last\.npz: the checkpoint's weights do not fit the run's configuration"):
        restore_variables(variables, arrays, "weights", where="last.npz")
    assert all(variable.value is None for variable in variables)


def test_history_is_cut_at_a_step(tmp_path):
    folder = RunFolder(tmp_path / "run")
    records = [{"step": step, "loss": 10.0 / step} for step in (1, 5, 5, 10, 15)]
    for record in records:
        folder.append_history(record)
    assert folder.read_history() == records
    folder.cut_history(10)
    assert folder.read_history() == records[:4]
    folder.append_history(records[4])
    assert folder.read_history() == records
    folder.cut_history(0)
    assert folder.read_history() == []
    assert folder.history.read_text(encoding="utf-8") == ""


def test_damaged_lines_of_a_history_are_set_aside_when_the_run_resumes(tmp_path):
    folder = RunFolder(tmp_path)
    folder.append_history({"step": 1, "kind": "dev"})
    assert folder.cut_history(5) == 0 and not folder.damaged_history.exists()
    with open(folder.history, "a", encoding="utf-8") as file:
        file.write('{"kind": "dev"}\n{"step": "two"}\nnothing\n[1]\n{"step": true}\n{"step": 2}\n')
    before = folder.history.read_bytes()
    assert folder.read_history() == [{"step": 1, "kind": "dev"}, {"step": 2}]
    assert folder.cut_history(1) == 5
    assert folder.read_history() == [{"step": 1, "kind": "dev"}]
    assert folder.damaged_history.read_bytes() == before


def test_a_half_written_last_line_is_left_out_and_goes_when_the_run_resumes(tmp_path):
    folder = RunFolder(tmp_path)
    whole = [{"step": 1, "loss": 3.5}, {"step": 2, "loss": math.pi}]
    for record in whole:
        folder.append_history(record)
    last = json.dumps({"step": 3, "loss": 0.1})
    for length in range(1, len(last)):
        content = "".join(json.dumps(record) + "\n" for record in whole) + last[:length]
        folder.history.write_text(content, encoding="utf-8")
        assert folder.read_history() == whole
    folder.cut_history(2)
    folder.append_history({"step": 3})
    assert folder.read_history() == [*whole, {"step": 3}]


def test_no_history_is_an_empty_one(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_history() == []
    folder.cut_history(5)
    assert folder.read_history() == []


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"not a run folder \(config\.yaml is missing\); `speechgru train` makes one"):
        RunFolder(tmp_path).require()
    (tmp_path / "bundle.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BundleError, match="is a bundle; name the folder of the run that it was exported from"):
        RunFolder(tmp_path).require()
    (tmp_path / "config.yaml").write_text("", encoding="utf-8")
    assert RunFolder(tmp_path).require() == RunFolder(tmp_path)


def test_every_file_lies_in_the_folder(tmp_path):
    folder = RunFolder(tmp_path)
    names = ("config", "vocabulary", "provenance", "skipped", "history", "logs", "report", "best")
    paths = [getattr(folder, name) for name in names]
    assert len(set(paths)) == len(names)
    assert all(path.is_relative_to(tmp_path) for path in (*paths, folder.checkpoint(3)))


def test_checkpoints_are_listed_newest_first_and_nothing_else_is(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.list_checkpoints() == []
    folder.checkpoints.mkdir()
    for step in (250, 9, 1000):
        folder.checkpoint(step).write_bytes(b"")
    for name in ("best.npz", "step_00000300.damaged", ".step_00000400.abc.npz", "last.npz"):
        (folder.checkpoints / name).write_bytes(b"")
    assert [path.name for path in folder.list_checkpoints()] == [
        "step_00001000.npz",
        "step_00000250.npz",
        "step_00000009.npz",
    ]


def test_provenance_says_where_an_artefact_came_from():
    provenance = make_provenance(seed=3, command=["speechgru", "train"])
    assert (provenance["seed"], provenance["command"]) == (3, ["speechgru", "train"])
    assert {"python", "numpy", "soundfile", "speechgru"} <= provenance["versions"].keys()
    assert provenance["created"].endswith("Z")
    assert json.loads(json.dumps(provenance)) == provenance


def test_the_commit_is_that_of_this_packages_checkout_and_of_nobody_elses(tmp_path, monkeypatch):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for folder in ("theirs/.venv/speechgru", "ours/speechgru"):
        package = tmp_path / folder
        package.mkdir(parents=True)
        repository = tmp_path / folder.partition("/")[0]
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        for command in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "first"]):
            subprocess.run(["git", "-C", str(repository), *command], check=True)
        monkeypatch.setattr(runs, "__file__", str(package / "runs.py"))
        commit = make_provenance(seed=0)["commit"]
        assert commit is None if repository.name == "theirs" else re.fullmatch("[0-9a-f]{40}", commit)
