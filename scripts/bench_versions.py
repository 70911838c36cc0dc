"""Times one training step of two checkouts of this project side by side: what a change has brought.

    git worktree add ../before 875e713
    python scripts/bench_versions.py ../before --repetitions 7

The model and batch are those of `make quickstart` as it was at first: 32 utterances of 2.5 s, from samples, 33 letters
each, 2 x 128 units, a step every 30 ms. Each checkout has a process of its own, in which its own `TrainStep` runs as
its training runs it, with the next step's features prepared beside where it has that. They take turns of ten steps; a
figure is the median of the turns. The last line is one JSON object; `ratio` is the time of the other checkout over that
of this one. Run it on a machine that does nothing else.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEPS, ROWS, LETTERS, CLASSES = 10, 32, 33, 30
CONFIG = """
data: {train: none.jsonl, dev: none.jsonl}
model: {subsampling_factor: 3, units: 128, num_layers: 2, subsampling_channels: 128}
augment: {time_masks: 0}
train: {batch_size: 32, max_steps: 3000}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the other checkout's folder")
    parser.add_argument("--repetitions", type=int, default=7, help="turns of each")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.other)
        return
    turns = {str(arguments.other): [], "this checkout": []}
    children = [start(arguments.other), start(ROOT)]
    try:
        for _ in range(arguments.repetitions):
            for child, taken in zip(children, turns.values(), strict=True):
                print("go", file=child.stdin, flush=True)
                taken.append(read(child))
    finally:
        for child in children:
            child.kill()
    answer = []
    print(f"{'':40s} {'ms a step':>10s} {'processors':>11s}")
    for name, taken in turns.items():
        seconds, processors = (statistics.median(column) for column in zip(*taken, strict=True))
        print(f"{name:40s} {1e3 * seconds:10.1f} {processors:11.2f}")
        answer.append(1e3 * seconds)
    print(json.dumps({"other_ms": answer[0], "this_ms": answer[1], "ratio": answer[0] / answer[1]}))


def start(checkout):
    command = [sys.executable, __file__, str(checkout.resolve()), "--serve"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    read(child)  # its first steps are over
    return child


def read(child):
    """The numbers of a child's next line; what libraries print besides is none."""
    for line in child.stdout:
        if line.startswith("took "):
            return [float(number) for number in line.split()[1:]]
    sys.exit("a checkout's process has ended; see its messages above")


def serve(checkout):
    """The child: one line for the first steps, and one for the steps of each turn that it is asked for."""
    sys.path.insert(0, str(checkout))
    one_step = make_step()
    one_step(), one_step()
    print("took 0 0", flush=True)
    for _ in sys.stdin:
        started, used = time.perf_counter(), time.process_time()
        for _ in range(STEPS):
            one_step()
        seconds = time.perf_counter() - started
        print(f"took {seconds / STEPS} {(time.process_time() - used) / seconds}", flush=True)


def make_step():
    """A step of the checkout that stands first in the path."""
    import numpy as np
    import tensorflow as tf

    from speechgru.config.load import load_config
    from speechgru.model.build import build_model
    from speechgru.train.optimizers import make_optimizer
    from speechgru.train.step import INPUTS, TrainStep

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(CONFIG)
        config = load_config(file)
    rng = np.random.default_rng(0)
    num_samples_B = rng.integers(39_000, 41_001, ROWS).astype(np.int32)
    samples_BN = rng.normal(scale=0.1, size=[ROWS, num_samples_B.max()]).astype(np.float32)
    samples_BN[np.arange(samples_BN.shape[1]) >= num_samples_B[:, None]] = 0.0
    values, counts = INPUTS["samples"]
    batch = {
        values: samples_BN,
        counts: num_samples_B,
        "labels_BL": rng.integers(1, CLASSES - 1, [ROWS, LETTERS]).astype(np.int32),
        "num_labels_B": np.full(ROWS, LETTERS, np.int32),
        "index_B": np.arange(ROWS, dtype=np.int32),
        "weight_B": np.ones(ROWS, np.float32),
        "parts_left_B": np.zeros(ROWS, np.int32),
        "epoch_B": np.zeros(ROWS, np.float32),
        "seed_B2": np.stack([np.zeros(ROWS, np.int32), np.arange(ROWS, dtype=np.int32)], axis=1),
    }
    batch = {name: tf.constant(array) for name, array in batch.items()}
    model, optimizer = build_model(config, CLASSES), make_optimizer(config.train)
    optimizer.build(model.trainable_variables)
    step = TrainStep(model, optimizer, config=config, form="samples")
    take = fetcher(step, batch)

    def one_step():
        step.gather(take())
        step.apply(step.reduce(), learning_rate=1e-3)

    return one_step


def fetcher(step, batch):
    """How the checkout's training gets a step's batches: prepared ahead, and with freed memory kept, where it knows."""
    try:
        from speechgru.process.memory import keep_freed_memory
        from speechgru.train.ahead import Ahead
    except ImportError:
        return lambda: [batch]
    keep_freed_memory()
    return Ahead(lambda: step.prepare([batch])).take


if __name__ == "__main__":
    main()
