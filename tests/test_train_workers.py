"""Several replicas and several processes train what one would."""

import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="training needs TensorFlow")
from commands import needs_fork  # noqa: E402
from conftest import ROOT  # noqa: E402
from losses import Losses  # noqa: E402
from tones import make_config, weights_of, write_config, write_corpus  # noqa: E402

from speechgru import train as training  # noqa: E402
from speechgru.errors import ConfigError  # noqa: E402
from speechgru.runs import RunFolder  # noqa: E402
from speechgru.train.strategies import Workers, choose_strategy  # noqa: E402
from speechgru.utterances.manifest import read_manifest, write_manifest  # noqa: E402

#: A batch of 10 of 58 utterances: neither it nor an epoch's last of 8 can be shared by three, nor its parts by two.
COMMON = (
    "model.dropout=0.0",
    "model.direction=forward",
    "train.batch_size=10",
    "train.accumulate=2",
    "train.ema=0.9",
    "train.max_steps=8",
    "train.warmup_steps=0",
    "train.evaluate_every_steps=4",
    "train.checkpoint_every_steps=2",
)

#: What each process of a test runs: training as the command does, with the losses and the last weights for the test.
RUNNER = """
    import json, os, signal, sys
    import keras
    import numpy as np
    from speechgru import train as training
    from speechgru.cli import run_command
    from speechgru.config import load_config

    class Told(keras.callbacks.Callback):
        def __init__(self, to, stop_at=None):
            super().__init__()
            self.to, self.stop_at, self.losses, self.scores = to, stop_at, [], []

        def on_train_batch_end(self, batch, logs=None):
            self.losses.append(logs["loss"])
            if self.stop_at is not None and batch + 1 == self.stop_at[1]:
                os.kill(os.getpid(), self.stop_at[0])

        def on_epoch_end(self, epoch, logs=None):
            self.scores.append(logs["val_wer"])

        def on_train_end(self, logs=None):
            arrays = {f"model/{k}": variable.numpy() for k, variable in enumerate(self.model.variables)}
            np.savez(self.to, losses=self.losses, scores=self.scores, **arrays)

    config_file, run, to, stop_at, *overrides = sys.argv[1:]
    told = Told(to, json.loads(stop_at))
    run_command(lambda: training.train(load_config(config_file, overrides), run, callbacks=[told]) and 0)
"""

MIRRORED = """
    import json, sys
    import tensorflow as tf

    tests, config_file, *rest = sys.argv[1:]
    sys.path.insert(0, tests)
    devices = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 3)

    from losses import Losses
    from speechgru import train as training
    from speechgru.config import load_config

    overrides, runs = rest[:-2], rest[-2:]
    for run in runs:
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1", "CPU:2"])
        losses = Losses()
        training.train(load_config(config_file, overrides), run, callbacks=[losses], strategy=strategy)
        with open(run + ".json", "w") as stream:
            json.dump(losses.values, stream)
"""


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    folder = write_corpus(tmp_path_factory.mktemp("tones"))
    write_manifest(folder / "train.jsonl", read_manifest(folder / "train.jsonl")[:58])
    return folder


@pytest.fixture(scope="module")
def alone(tones, tmp_path_factory):
    """A run by one device: its losses, its folder, and the folder of the same run as it stood after step 4."""
    folder, losses = tmp_path_factory.mktemp("alone"), Losses()

    def copy_at_five(stage, done, total, note=""):
        if stage == "training" and done == 5:
            shutil.copytree(folder / "whole", folder / "half")

    config = make_config(tones, folder / "config.yaml", *COMMON)
    training.train(config, folder / "whole", callbacks=[losses], progress=copy_at_five)
    assert len(losses.values) == 8 and losses.values[-1] < losses.values[0]
    return losses.values, folder / "whole", folder / "half"


@pytest.fixture
def config_file(tones, tmp_path):
    return write_config(tones, tmp_path / "config.yaml")


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        **more,
    }


def assert_near(arrays, others):
    """The weights, optimizer states and averages of two runs are the same to float rounding."""
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        if not name.startswith("optimizer/"):
            np.testing.assert_allclose(array, others[name], rtol=1e-3, atol=1e-3, err_msg=name)


@needs_fork
def test_three_devices_train_what_one_does_and_take_up_its_run(alone, commands, config_file, tmp_path):
    losses, whole, half = alone
    shutil.copytree(half, tmp_path / "resumed")
    names = ("mirrored", "resumed")
    arguments = (ROOT / "tests", config_file, *COMMON, *(tmp_path / name for name in names))
    status, printed = commands.run(textwrap.dedent(MIRRORED), *arguments, environment=environment(), cwd=ROOT)
    assert status == 0, printed
    mirrored, resumed = (json.loads((tmp_path / f"{name}.json").read_text()) for name in names)
    assert mirrored == pytest.approx(losses, rel=1e-4)
    assert resumed == pytest.approx(losses[4:], rel=1e-4)
    history = RunFolder(tmp_path / "mirrored").read_history()
    assert history[0]["replicas"] == 3
    expected, state = weights_of(whole)
    for name in names:
        arrays, found = weights_of(tmp_path / name)
        assert_near(arrays, expected)
        assert (found["step"], found["best_wer"]) == (8, state["best_wer"])


# -- several processes -----------------------------------------------------------------------------------------------


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Pair:
    """Two workers on this machine; each tells its losses and last weights in a file of its own."""

    def __init__(self, folder, config_files, *, stops=(None, None)):
        self.files = [folder / f"told{index}.npz" for index in range(2)]
        hosts = [f"127.0.0.1:{port}" for port in free_ports(2)]
        self.processes = []
        for index in range(2):
            self.files[index].unlink(missing_ok=True)
            cluster = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            arguments = [config_files[index], folder / "run", self.files[index], json.dumps(stops[index]), *COMMON]
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-c", textwrap.dedent(RUNNER), *map(str, arguments)],
                    env=environment(TF_CONFIG=json.dumps(cluster)),
                    cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                )
            )  # fmt: skip

    def ended(self):
        """Exit code and what was said on standard error, of each."""
        try:
            said = [process.communicate(timeout=240)[1] for process in self.processes]
        finally:
            for process in self.processes:
                if process.poll() is None:
                    process.kill()
        return [(process.returncode, text) for process, text in zip(self.processes, said, strict=True)]

    def told(self):
        return [dict(np.load(file)) for file in self.files]


@pytest.mark.slow  # four processes that import TensorFlow; three devices in one process hold the same sums
def test_two_workers_train_what_one_does_stop_together_and_go_on(alone, config_file, tmp_path):
    """SIGTERM reaches worker 1 alone, in its third step; both end, and the same command ends the run."""
    losses, whole, _ = alone
    ended = Pair(tmp_path, [config_file] * 2, stops=[None, (15, 3)]).ended()
    assert [code for code, _ in ended] == [143, 143], ended
    assert all("stopped after step 4 of 8" in text for _, text in ended), ended
    assert RunFolder(tmp_path / "run").list_checkpoints()[0].name == "step_00000004.npz"
    pair = Pair(tmp_path, [config_file] * 2)
    ended = pair.ended()
    assert [code for code, _ in ended] == [0, 0], ended
    chief, other = pair.told()
    for name, array in chief.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)
    np.testing.assert_allclose(chief["losses"], losses[4:], rtol=1e-4)
    expected, state = weights_of(whole)
    arrays, found = weights_of(tmp_path / "run")
    assert_near(arrays, expected)
    for name, array in chief.items():
        if name.startswith("model/"):
            np.testing.assert_array_equal(arrays[name], array)
    assert (found["step"], found["ended"], found["best_wer"]) == (8, "max_steps", state["best_wer"])
    sessions = [r for r in RunFolder(tmp_path / "run").read_history() if r["kind"] == "session"]
    assert [(r["replicas"], r["resumed"]) for r in sessions] == [(2, False), (2, True)]


@pytest.mark.slow  # four processes more
def test_two_workers_go_on_after_both_were_killed(alone, config_file, tmp_path):
    losses, _, _ = alone
    ended = Pair(tmp_path, [config_file] * 2, stops=[(9, 5), (9, 5)]).ended()
    assert [code for code, _ in ended] == [-9, -9], ended
    pair = Pair(tmp_path, [config_file] * 2)
    assert [code for code, _ in pair.ended()] == [0, 0]
    for told in pair.told():
        np.testing.assert_allclose(told["losses"], losses[4:], rtol=1e-4)
    assert_near(weights_of(tmp_path / "run")[0], weights_of(alone[1])[0])


@pytest.mark.slow  # TensorFlow notices after a while
def test_a_worker_whose_fellow_died_says_so(alone, config_file, tmp_path):
    ended = Pair(tmp_path, [config_file] * 2, stops=[None, (9, 3)]).ended()
    assert [code for code, _ in ended] == [2, -9], ended
    assert "another of the 2 workers has ended" in ended[0][1]


@pytest.mark.slow  # two processes more
def test_a_worker_with_another_corpus_is_refused(tones, config_file, tmp_path):
    write_manifest(tones / "less.jsonl", read_manifest(tones / "train.jsonl")[:40])
    other = write_config(tones, tmp_path / "less.yaml", train="less.jsonl")
    (_, _), (code, text) = Pair(tmp_path, [config_file, other]).ended()
    assert code == 2
    assert "worker 1 can use 40 utterances with 2 labels, the chief 58 with 2; every machine needs the same" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{", r"TF_CONFIG: JSONDecodeError.* in '\{'; expected"),
        ("[]", r"TF_CONFIG: TypeError"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', r"TF_CONFIG: KeyError\('task'\)"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', r"TF_CONFIG: got .*expected"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}', r"TF_CONFIG: got"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}', r"TF_CONFIG: got"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": true}}', r"TF_CONFIG: got"),
        ('{"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}', r"TF_CONFIG: got"),
        ('{"cluster": {"worker": [1]}, "task": {"type": "worker", "index": 0}}', r"TF_CONFIG: got"),
        ('{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}', r"TF_CONFIG: got"),
        ('{"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}', r"TF_CONFIG: got"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}', r"TF_CONFIG: got"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}', r"TF_CONFIG: got"),
    ],
)  # fmt: skip
def test_a_cluster_that_cannot_be_read_is_told(monkeypatch, given, message):
    monkeypatch.setenv("TF_CONFIG", given)
    with pytest.raises(ConfigError, match=message):
        choose_strategy()


def test_a_process_alone_is_the_chief(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    workers = Workers(tf.distribute.get_strategy())
    assert workers.is_chief and (workers.count, workers.index, workers.num_replicas) == (1, 0, 1)
    assert list(workers.local_replicas) == [0]
    assert workers.share(b"word") == b"word" and workers.share_json({"a": [1, None]}) == {"a": [1, None]}
