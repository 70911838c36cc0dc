"""Times speechgru's CTC loss and its gradient beside Keras', TensorFlow's dense and PyTorch's on a CPU.

    python scripts/bench_ctc.py            # about a minute
    python scripts/bench_ctc.py --quick    # fewer repetitions

All get the same ragged batch, and their losses and gradients must be the same before anything is timed: Keras'
`losses.CTC` counts the padding of every row, so it gets what its loss is made of, `keras.ops.ctc_loss`, with the real
lengths. The implementations run in turn within one process, so that a change of the machine's load meets all of them;
a figure is the median of the repetitions, after tracing and compiling. The last line is one JSON object: how many
times as fast as its peers the loss is as training runs it (`vs_...`), and with TensorFlow's C++ kernel (`op_vs_...`),
which needs no compiling; what cannot be measured (no PyTorch) is null.
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also runs without an installation

import numpy as np

BATCH, STEPS, CLASSES, LABELS = 32, 400, 32, 60


def make_batch(seed=0):
    """Random logits with ragged steps and labels, one row of each full."""
    rng = np.random.default_rng(seed)
    num_steps_B = rng.integers(5 * STEPS // 8, STEPS + 1, BATCH)
    num_labels_B = rng.integers(LABELS // 3, LABELS + 1, BATCH)
    num_steps_B[0], num_labels_B[0] = STEPS, LABELS
    logits_BSV = rng.normal(size=[BATCH, STEPS, CLASSES])
    labels_BL = rng.integers(1, CLASSES, [BATCH, LABELS])
    return (
        logits_BSV.astype(np.float32),
        *(part.astype(np.int32) for part in (num_steps_B, labels_BL, num_labels_B)),
    )


def runners(batch):
    """Name -> function without arguments that gives the losses and the gradient as arrays."""
    import keras
    import tensorflow as tf

    from speechgru.ctc import ctc_loss

    def dense(logits_BSV, num_steps_B, labels_BL, num_labels_B):
        return tf.nn.ctc_loss(labels_BL, logits_BSV, num_labels_B, num_steps_B, logits_time_major=False, blank_index=0)

    def of_keras(logits_BSV, num_steps_B, labels_BL, num_labels_B):
        return keras.ops.ctc_loss(labels_BL, logits_BSV, num_labels_B, num_steps_B, mask_index=0)

    tensors = [tf.constant(part) for part in batch]
    # Dynamic batch, steps and labels, as in training on bucketed batches.
    signature = [tf.TensorSpec([None, None, CLASSES])] + [
        tf.TensorSpec(shape, tf.int32) for shape in ([None], [None, None], [None])
    ]

    def tensorflow(loss_of):
        @tf.function(input_signature=signature)
        def train(logits_BSV, *rest):
            with tf.GradientTape() as tape:
                tape.watch(logits_BSV)
                loss_B = loss_of(logits_BSV, *rest)
            return loss_B, tape.gradient(loss_B, logits_BSV)

        return lambda: [part.numpy() for part in train(*tensors)]

    answer = {
        "ours": tensorflow(ctc_loss),
        "ours, xla": tensorflow(lambda *arguments: ctc_loss(*arguments, implementation="xla")),
        "ours, op": tensorflow(lambda *arguments: ctc_loss(*arguments, implementation="op")),
        "keras": tensorflow(of_keras),
        "tf dense": tensorflow(dense),
    }
    if importlib.util.find_spec("torch"):
        answer["torch"] = _torch(batch)
    return answer


def _torch(batch):
    import torch

    logits_BSV, num_steps_B, labels_BL, num_labels_B = (torch.tensor(part) for part in batch)

    def train():
        leaf_BSV = logits_BSV.clone().requires_grad_()
        log_probs_SBV = leaf_BSV.log_softmax(-1).transpose(0, 1)
        loss_B = torch.nn.functional.ctc_loss(
            log_probs_SBV, labels_BL, num_steps_B, num_labels_B, blank=0, reduction="none"
        )
        loss_B.sum().backward()
        return loss_B.detach().numpy(), leaf_BSV.grad.numpy()

    return train


def require_same_values(functions):
    """Ends the script where two implementations disagree: their times would say nothing."""
    loss_B, gradient_BSV = functions["ours"]()
    for name, function in functions.items():
        other_B, other_BSV = function()
        np.testing.assert_allclose(other_B, loss_B, rtol=1e-5, err_msg=f"loss of {name}")
        np.testing.assert_allclose(other_BSV, gradient_BSV, atol=5e-3, err_msg=f"gradient of {name}")


def medians(functions, repetitions):
    """Runs the functions in turn, `repetitions` times; returns the median seconds of each."""
    seconds = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            time.sleep(0.25)  # the threads of the last library spin for a while before they sleep, PyTorch's longest
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 repetitions")
    parser.add_argument("--repetitions", type=int, default=15, help="at least 7 for a figure to be quoted")
    arguments = parser.parse_args()

    functions = runners(make_batch())
    require_same_values(functions)
    repetitions = 3 if arguments.quick else arguments.repetitions
    seconds = medians(functions, repetitions)
    print(
        f"CTC loss and gradient, B={BATCH}, S={STEPS}, V={CLASSES}, up to {LABELS} labels; "
        f"{os.cpu_count()} processors; medians of {repetitions}; same losses and gradients\n"
    )
    print(f"{'':12s} {'ms':>9s} {'x ours':>8s}")
    for name, value in seconds.items():
        print(f"{name:12s} {1e3 * value:9.1f} {value / seconds['ours']:8.2f}")
    answer = {}
    for prefix, ours in (("", "ours"), ("op_", "ours, op")):
        for key, peer in (("keras", "keras"), ("dense", "tf dense"), ("torch", "torch")):
            answer[f"{prefix}vs_{key}"] = round(seconds[peer] / seconds[ours], 2) if peer in seconds else None
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
