"""Times training through the command line in one process beside two that train one model on this machine.

    python scripts/bench_workers.py          # medians of 3 runs of each
    python scripts/bench_workers.py --quick  # one shorter run of each

Two processes share each batch and sum their gradients (`TF_CONFIG`, as on two machines). The runs take turns, so that a
change of the machine's load meets both. The last line is one JSON object: utterances a second of each, and their ratio.
Run it on a machine that does nothing else.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # also runs without an installation

from bench_pipeline import generated_flacs  # noqa: E402

BATCH = 32
#: Of each utterance.
SECONDS = 4.5


def compare(repetitions, *, steps=50):
    """The table of one process beside two on this machine, through the command line; returns the answer's keys."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        manifest = generated_flacs(folder, count=4 * BATCH, seconds=SECONDS)
        rates = {1: [], 2: []}
        for repetition in range(repetitions):
            for count, measured in rates.items():
                measured.append(utterances_per_second(manifest, folder / f"run-{count}-{repetition}", count, steps))
    means = {count: statistics.median(measured) for count, measured in rates.items()}
    print(f"{'':16s} {'utterances / s':>15s}   medians of {repetitions} runs of {steps} steps of {BATCH} utterances")
    for count, rate in means.items():
        print(f"{count} {'worker' if count == 1 else 'workers':14s} {rate:15.1f}")
    return {f"utterances_per_second_{count}": round(rate, 1) for count, rate in means.items()} | {
        "workers_2_vs_1": round(means[2] / means[1], 2)
    }


def utterances_per_second(manifest, run, count, steps):
    """Trains in `count` processes, which share each batch; the first lines of the history, which compile, do not count.

    Raises:
        RuntimeError: a process failed; the message holds what it printed.
    """
    ports = free_ports(count)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    settings = [
        f"data.train={manifest}",
        f"train.batch_size={BATCH}",
        f"train.max_steps={steps}",
        "train.evaluate_every_steps=100000",
        "train.checkpoint_every_steps=100000",
    ]
    config = run.with_suffix(".yaml")
    config.write_text("{}\n", encoding="utf-8")
    started = []
    for index in range(count):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        environment.pop("TF_CONFIG", None)
        if count > 1:
            environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        command = [sys.executable, "-m", "speechgru.cli", "train", str(config), "--run", str(run), *settings]
        with open(run.with_suffix(f".{index}.txt"), "wb") as output:
            started.append(subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT))
    codes = [process.wait() for process in started]
    if any(codes):
        printed = "\n".join(run.with_suffix(f".{index}.txt").read_text()[-2000:] for index in range(count))
        raise RuntimeError(f"training in {count} processes ended with {codes}:\n{printed}")
    lines = [json.loads(line) for line in (run / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    first, *_, last = [line for line in lines if line["kind"] == "train"]
    return BATCH * (last["step"] - first["step"]) / (last["seconds"] - first["seconds"])


def free_ports(count):
    """Free ports on the loopback interface."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return [bound.getsockname()[1] for bound in sockets]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run of each, of fewer steps")
    arguments = parser.parse_args()
    print(json.dumps(compare(1, steps=30) if arguments.quick else compare(3)))


if __name__ == "__main__":
    main()
