"""Times speechgru's bidirectional GRU beside keras.layers.GRU and torch.nn.GRU on a CPU.

    python scripts/bench_gru.py            # all shapes, the table over T, peak memory: several minutes
    python scripts/bench_gru.py --quick    # the first two shapes, and the first one's peak memory

The implementations run in turn within one process, so that a change of the machine's load meets all of them; a figure
is the median of the repetitions. "train" is forward + backward, to the gradients of the inputs and every weight. Peak
memory is measured in a process of its own for each implementation, over what stood before the first call. The limit is
the time that the products alone take at the sgemm rate measured here. The last line is one JSON object for the first
two shapes; what cannot be measured (no PyTorch) is null.

Run it on a machine that does nothing else: on a busy one PyTorch's threads wait for each other, and its figures (not
ours) grow tenfold and more.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

# batch, frames, inputs, units, layers
MAIN = (16, 400, 256, 256, 1)
#: First layer and batch of the quickstart as it was before it started from the base.
QUICKSTART = (32, 80, 128, 128, 1)
SHAPES = [MAIN, QUICKSTART, (1, 400, 256, 256, 1), (16, 1600, 256, 256, 1), (4, 200, 256, 800, 5)]
LENGTHS = [100, 200, 400, 800, 1600, 3200]
#: Our implementation and whether it computes the gates again for the backward pass.
OURS = {"ours": ("compiled", False), "ours-fused": ("fused", False), "ours-recompute": ("fused", True)}


def runners(name, shape):
    """Returns (forward, train) of one implementation: functions without arguments that run once."""
    return (_torch if name == "torch" else _tensorflow)(name, shape)


def _tensorflow(name, shape):
    import keras
    import tensorflow as tf

    from speechgru.gru import BiGRU

    batch, frames, inputs, units, layers = shape
    if name == "keras":
        stack = [keras.layers.Bidirectional(keras.layers.GRU(units, return_sequences=True)) for _ in range(layers)]
    else:
        implementation, recompute = OURS[name]
        stack = [BiGRU(units, implementation=implementation, recompute=recompute) for _ in range(layers)]
    x_BTF = tf.random.stateless_normal([batch, frames, inputs], [1, 2])
    upstream_BTD = tf.random.stateless_normal([batch, frames, 2 * units], [3, 4])

    # Dynamic time and batch, as in training on bucketed batches.
    signature = [tf.TensorSpec([None, None, inputs])]

    def run(x_BTF, training=False):
        for layer in stack:
            x_BTF = layer(x_BTF, training=training)
        return x_BTF

    run(x_BTF[:, :2])  # builds the weights

    def train(x_BTF, upstream_BTD):
        with tf.GradientTape() as tape:
            tape.watch(x_BTF)
            outputs_BTD = run(x_BTF, training=True)
        weights = [weight.value for layer in stack for weight in layer.trainable_weights]
        return tape.gradient(outputs_BTD, [x_BTF, *weights], output_gradients=upstream_BTD)

    forward_function = tf.function(run, input_signature=signature)
    train_function = tf.function(train, input_signature=[*signature, tf.TensorSpec([None, None, 2 * units])])
    return (
        lambda: forward_function(x_BTF).numpy(),
        lambda: train_function(x_BTF, upstream_BTD)[0].numpy(),
    )


def _torch(name, shape):
    import torch

    batch, frames, inputs, units, layers = shape
    module = torch.nn.GRU(inputs, units, num_layers=layers, batch_first=True, bidirectional=True)
    x_BTF = torch.randn(batch, frames, inputs)
    upstream_BTD = torch.randn(batch, frames, 2 * units)

    def forward():
        with torch.no_grad():
            return module(x_BTF)[0]

    def train():
        module.zero_grad()
        x = x_BTF.clone().requires_grad_()
        module(x)[0].backward(upstream_BTD)
        return x.grad

    return forward, train


def medians(functions, repetitions):
    """Runs the functions in turn, `repetitions` times; returns the median seconds of each."""
    for function in functions.values():  # tracing, first allocation
        function()
        function()
    seconds = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            time.sleep(0.25)  # the threads of the last library spin for a while before they sleep, PyTorch's longest
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def sgemm_rate(repetitions=15):
    """FLOP/s of a large float32 product, the best of the repetitions: a limit should not depend on the load.

    The faster one of TensorFlow's and NumPy's library (OpenBLAS in NumPy's own wheels).
    """
    import numpy as np
    import tensorflow as tf

    size = 2048
    matrix = tf.random.stateless_normal([size, size], [1, 1])
    array = matrix.numpy()
    in_graph = tf.function(lambda: tf.matmul(matrix, matrix)[0, 0])
    best = float("inf")
    for product in (lambda: in_graph().numpy(), lambda: np.matmul(array, array)):
        product()
        for _ in range(repetitions):
            start = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def forward_flops(shape):
    """Floating-point operations of the products, both directions, forward; forward + backward has 3 times as many."""
    batch, frames, inputs, units, layers = shape
    widths = [inputs] + [2 * units] * (layers - 1)
    return sum(2 * 2 * batch * frames * (width + units) * 3 * units for width in widths)


def peak_memory(name, shape):
    """Bytes of peak resident memory that forward + backward adds, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", name, *map(str, shape)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return int(answer.strip().splitlines()[-1])


def print_memory(name, shape):
    _, train = runners(name, shape)
    before = peak_bytes()
    for _ in range(3):
        train()
    print(peak_bytes() - before)


def peak_bytes():
    """Peak resident memory of this process. (On Linux ru_maxrss begins at the parent's peak: not used there.)"""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def ratio(ours, peer, digits=2):
    return None if ours is None or peer is None else round(peer / ours, digits)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the first two shapes only")
    parser.add_argument("--repetitions", type=int, default=11, help="at least 7 for a figure to be quoted")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out, as where it is not installed")
    parser.add_argument("--memory-of", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        name, *shape = arguments.memory_of
        print_memory(name, tuple(map(int, shape)))
        return

    with_torch = importlib.util.find_spec("torch") and not arguments.no_torch
    names = [*OURS, "keras"] + (["torch"] if with_torch else [])
    rate = sgemm_rate()
    print(f"sgemm {rate / 1e9:.0f} GFLOP/s; {os.cpu_count()} processors; medians of {arguments.repetitions}\n")
    print(f"{'B,T,F,U,layers':20s} {'':8s} {'limit':>8s} " + " ".join(f"{name:>15s}" for name in names) + "   (ms)")
    answer = {}
    for shape in SHAPES[:2] if arguments.quick else SHAPES:
        functions = {name: runners(name, shape) for name in names}
        repetitions = arguments.repetitions if shape[-1] == 1 else max(7, arguments.repetitions // 2)
        for index, (task, factor) in enumerate((("forward", 1), ("train", 3))):
            limit = factor * forward_flops(shape) / rate
            seconds = medians({name: pair[index] for name, pair in functions.items()}, repetitions)
            columns = " ".join(f"{seconds[name] * 1e3:15.1f}" for name in names)
            print(f"{','.join(map(str, shape)):20s} {task:8s} {limit * 1e3:8.1f} {columns}", flush=True)
            prefix = {MAIN: "", QUICKSTART: "quickstart_"}.get(shape)
            if prefix is not None:
                answer[f"{prefix}{task}_vs_fused"] = ratio(seconds["ours"], seconds["ours-fused"])
                answer[f"{prefix}{task}_vs_keras"] = ratio(seconds["ours"], seconds["keras"])
                answer[f"{prefix}{task}_vs_torch"] = ratio(seconds["ours"], seconds.get("torch"))
                if task == "train":
                    answer[f"{prefix}limit_share"] = round(limit / seconds["ours"], 2)

    memory = {name: peak_memory(name, MAIN) for name in names}
    print("\npeak memory of train, MiB: " + ", ".join(f"{name} {size / 2**20:.0f}" for name, size in memory.items()))
    answer["peak_memory_vs_keras"] = round(memory["ours"] / memory["keras"], 2)

    if not arguments.quick:
        print("\ntime over T (B=16, F=256, U=256), train, ms a frame:")
        functions = {frames: runners("ours", (16, frames, 256, 256, 1))[1] for frames in LENGTHS}
        for frames, seconds in medians(functions, arguments.repetitions).items():
            print(f"T={frames:5d} {seconds * 1e3:8.1f} ms {seconds * 1e3 / frames:8.3f} ms a frame")
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
