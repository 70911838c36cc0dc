"""Training through a tf.data service: the same batches, each utterance once, and a dispatcher that is gone is told."""

import re
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from tones import make_config

tf = pytest.importorskip("tensorflow", reason="the service is TensorFlow's")

from speechgru.cli import console  # noqa: E402
from speechgru.config.load import save_config  # noqa: E402
from speechgru.dataset import open_corpus, service, training_batches  # noqa: E402
from speechgru.errors import AudioError, ConfigError, UserError  # noqa: E402
from speechgru.shards.pack import shard  # noqa: E402

#: A worker as anybody starts it, in a process that knows TensorFlow alone.
WORKER = """
import sys, tensorflow as tf
server = tf.data.experimental.service.WorkerServer(
    tf.data.experimental.service.WorkerConfig(dispatcher_address=sys.argv[1], heartbeat_interval_ms=200))
print("ready", flush=True)
server.join()
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def start_dispatcher():
    port = free_port()
    config = tf.data.experimental.service.DispatcherConfig(port=port)
    return tf.data.experimental.service.DispatchServer(config), port


@pytest.fixture(scope="module")
def address():
    """A dispatcher here, and two workers: one here, one in a process of its own."""
    dispatcher, port = start_dispatcher()
    other = subprocess.Popen(
        [sys.executable, "-c", WORKER, f"127.0.0.1:{port}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    here = tf.data.experimental.service.WorkerServer(
        tf.data.experimental.service.WorkerConfig(dispatcher_address=f"127.0.0.1:{port}", heartbeat_interval_ms=200)
    )
    assert other.stdout.readline().strip() == "ready"
    deadline = time.monotonic() + 30
    while dispatcher._num_workers() < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    yield f"grpc://127.0.0.1:{port}"
    other.kill()
    other.wait()
    here.stop()
    dispatcher._stop()


@pytest.fixture(scope="module")
def shards(tones, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    for form in ("samples", "features"):
        quiet = [] if form == "samples" else ["augment.gain_db=0", "augment.silence_seconds=0"]
        quiet += [] if form == "samples" else ["augment.noise_probability=0"]
        config = make_config(tones, folder / "c.yaml", *quiet)
        shard([tones / "train.jsonl"], folder / form, config=config, form=form, shard_megabytes=0.05)
    return folder


def settings_of(tones, shards, tmp_path, form, *overrides):
    quiet = ["augment.gain_db=0", "augment.silence_seconds=0", "augment.noise_probability=0"]
    return make_config(
        tones, tmp_path / "c.yaml", f"data.train={shards / form}", *(quiet if form == "features" else []), *overrides
    )


@pytest.mark.parametrize("form", ["samples", pytest.param("features", marks=pytest.mark.slow)])
def test_batches_are_those_without_a_service_and_each_utterance_comes_once_an_epoch(
    address, tones, shards, tmp_path, form, monkeypatch
):
    monkeypatch.setattr(service, "_ROUND", 7)
    config = settings_of(tones, shards, tmp_path, form, "train.accumulate=2")
    corpus, _, _ = open_corpus(config)
    by_service = config.model_copy(update={"data": config.data.model_copy(update={"service": address})})
    for start, count in ((0, 32), (5, 4)):
        here = training_batches(corpus, config=config, start_step=start).take(count)
        there = training_batches(corpus, config=by_service, start_step=start).take(count)
        seen = []
        for one, other in zip(here, there, strict=True):
            assert one.keys() == other.keys()
            for key in one:
                np.testing.assert_array_equal(one[key], other[key], err_msg=key)
            seen += other["index_B"].numpy().tolist()
        if start == 0:  # two epochs of 8 steps, each in two parts
            assert sorted(seen[:60]) == sorted(seen[60:]) == list(range(60))


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["speechgru", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        console.main()
    printed = "".join(capsys.readouterr())
    assert "Traceback" not in printed
    return caught.value.code or 0, printed


def test_the_command_trains_through_the_service(address, tones, shards, tmp_path, monkeypatch, capsys):
    save_config(tmp_path / "s.yaml", settings_of(tones, shards, tmp_path, "samples", "data.dev=null"))
    code, printed = run(
        monkeypatch, capsys, "train", tmp_path / "s.yaml", "--run", tmp_path / "run", f"data.service={address}",
        "train.max_steps=3",
    )  # fmt: skip
    assert code == 0, printed


def test_nobody_at_the_address_is_one_message(tones, shards, tmp_path, monkeypatch, capsys):
    save_config(tmp_path / "s.yaml", settings_of(tones, shards, tmp_path, "samples", "data.dev=null"))
    address = f"grpc://127.0.0.1:{free_port()}"
    code, printed = run(
        monkeypatch, capsys, "train", tmp_path / "s.yaml", "--run", tmp_path / "run", f"data.service={address}"
    )
    assert code == 2 and f"{address}: no tf.data dispatcher answers there (connection refused)" in printed
    assert not (tmp_path / "run").exists()


def test_what_is_no_address_or_what_workers_cannot_read_is_refused(address, tones, shards, tmp_path):
    for text in ("localhost:5050", "grpc://host", "grpc://host:port", "http://host:80"):
        with pytest.raises(ConfigError, match=re.escape(f"grpc://host:5050, got {text!r}")):
            service.Service(text)
    config = make_config(tones, tmp_path / "m.yaml", f"data.service={address}")
    corpus, _, _ = open_corpus(config)
    with pytest.raises(ConfigError, match=r"data.train names a manifest's recordings; pack them"):
        training_batches(corpus, config=config)


def test_a_dispatcher_that_is_gone_ends_the_wait_with_one_message(tones, shards, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "_AWAY_SECONDS", 1.0)
    monkeypatch.setattr(service, "_ROUND", 4)
    dispatcher, port = start_dispatcher()  # without a worker: nothing is ever answered
    config = settings_of(tones, shards, tmp_path, "samples", f"data.service=grpc://127.0.0.1:{port}")
    corpus, _, _ = open_corpus(config)
    batches = service.Service(config.data.service).read([np.arange(3)], places=corpus.places)
    threading.Timer(1.5, dispatcher._stop).start()
    with pytest.raises((AudioError, UserError), match=rf"127.0.0.1:{port}: (the tf.data dispatcher is gone|a worker)"):
        next(batches)
