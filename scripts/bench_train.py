"""Times speechgru's training step beside the same architecture in PyTorch and in stock Keras on a CPU.

    python scripts/bench_train.py              # two sizes of model: some minutes
    python scripts/bench_train.py --quick      # the default configuration's, fewer repetitions
    python scripts/bench_train.py --quickstart # the quickstart's step from samples, compiled code beside operations
    python scripts/bench_train.py --precision  # mixed_bfloat16 beside float32

A step is all that changes the weights: forward, loss, backward, clipping by the global norm, AdamW. All get the same
batch of features of ragged length, with texts as long as speech has (13 characters a second); nothing is read,
augmented or written. The model is a convolution that makes a step of two frames, and bidirectional GRU layers behind
dropout and layer normalisation. The peers are written as a person would:

- PyTorch: Conv1d, LayerNorm, nn.GRU, nn.functional.ctc_loss with real lengths; with and without packed sequences, and
  the faster of the two counts;
- Keras: Conv1D, LayerNormalization, Bidirectional(GRU), keras.losses.CTC, through compile and train_on_batch, whose
  tf.function Keras makes. That loss takes every row for as long as the padded batch, so Keras does without lengths.

Before anything is timed all have the same weights and the same numbers of them, and must find the same loss: of rows
that fill the batch, and PyTorch's packed sequences (like ours, exact) of ragged rows too.

The implementations run in turn within one process, so that a change of the machine's load meets all of them; a figure
is the median of the repetitions. The last line is one JSON object: how many times as fast as its peers the step of the
default configuration is (`vs_torch`, `vs_keras`), and that of the larger model (`large_vs_...`); what cannot be
measured (no PyTorch) is null. Run it on a machine that does nothing else.
"""

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # also runs without an installation

import numpy as np  # noqa: E402
from bench_gru import medians  # noqa: E402
from peers_train import CLASSES, by_operations, make_peers, ours  # noqa: E402

BATCH = 32
FRAMES_PER_SECOND, CHARACTERS_PER_SECOND = 100, 13
SECONDS = (3.0, 6.0)  # of the shortest utterance and of the longest
#: The sizes of model that are timed: what they change in the default configuration.
SIZES = {
    "2 x 128, 40 mels": {},
    "3 x 256, 80 mels": {"model": {"num_layers": 3, "units": 256}, "features": {"n_mels": 80}},
}
#: What the peers do not have: features come normalised, and nothing is augmented.
ALIKE = {
    "features": {"normalization": "none"},
    "augment": {"noise_probability": 0.0, "frequency_warp_share": 0.0, "time_masks": 0, "frequency_masks": 0},
}
#: Steps that are timed as one, for the processor's time is counted in hundredths of a second.
STEPS_TOGETHER = 5


@dataclass(frozen=True)
class Batch:
    """Features and labels of one step, longest row first."""

    log_mel_BTM: np.ndarray
    num_frames_B: np.ndarray
    labels_BL: np.ndarray
    num_labels_B: np.ndarray

    @property
    def seconds(self):
        """Of speech, without the padding."""
        return float(self.num_frames_B.sum()) / FRAMES_PER_SECOND


def make_batch(n_mels, *, ragged=True, seed=0):
    """Random features, zeros beyond each length, and labels from 1; the longest row and text fill the batch."""
    rng = np.random.default_rng(seed)
    seconds_B = np.sort(rng.uniform(*SECONDS, BATCH))[::-1] if ragged else np.full(BATCH, SECONDS[1])
    seconds_B[0] = SECONDS[1]
    num_frames_B = np.round(seconds_B * FRAMES_PER_SECOND).astype(np.int32)
    num_labels_B = np.round(seconds_B * CHARACTERS_PER_SECOND).astype(np.int32)
    log_mel_BTM = rng.normal(size=[BATCH, num_frames_B[0], n_mels]).astype(np.float32)
    log_mel_BTM[np.arange(num_frames_B[0]) >= num_frames_B[:, None]] = 0.0
    labels_BL = rng.integers(1, CLASSES, [BATCH, num_labels_B[0]]).astype(np.int32)
    labels_BL[np.arange(num_labels_B[0]) >= num_labels_B[:, None]] = 0
    return Batch(log_mel_BTM, num_frames_B, labels_BL, num_labels_B)


def make_config(size):
    from speechgru.config.sections import RunConfig

    sections = {name: dict(keys) for name, keys in ALIKE.items()}
    for name, keys in SIZES[size].items():
        sections[name] = sections.get(name, {}) | keys
    return RunConfig.model_validate(sections)


def require_same_values(peers, config):
    """Ends the script where two implementations are not the same model: their times would say nothing."""
    full, ragged = (make_batch(config.features.n_mels, ragged=ragged) for ragged in (False, True))
    expected = peers["ours"].loss_of(full)
    for name, peer in peers.items():
        assert peer.weights == peers["ours"].weights, f"{name} has {peer.weights:,} weights"
        np.testing.assert_allclose(peer.loss_of(full), expected, rtol=1e-4, err_msg=f"loss of {name}")
    if "torch, packed" in peers:
        exact = [peers[name].loss_of(ragged) for name in ("ours", "torch, packed")]
        np.testing.assert_allclose(*exact, rtol=1e-4, err_msg="loss of ragged rows")


def set_threads(threads, with_torch):
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    if with_torch:
        import torch

        torch.set_num_threads(threads)


def frameworks(sizes, repetitions, *, with_torch):
    """The table of the implementations; returns the answer's keys."""
    answer = {}
    for size in sizes:
        config = make_config(size)
        peers = make_peers(config, with_torch=with_torch)
        require_same_values(peers, config)
        batch = make_batch(config.features.n_mels)
        seconds = medians({name: peer.make_step(batch) for name, peer in peers.items()}, repetitions)
        shape = "x".join(map(str, batch.log_mel_BTM.shape))
        print(f"\n{size}: {peers['ours'].weights:,} weights, batch {shape}, {batch.seconds:.0f} s of speech")
        print(f"{'':16s} {'ms a step':>10s} {'speech s / s':>13s} {'x ours':>8s}")
        for name, value in seconds.items():
            print(
                f"{name:16s} {1e3 * value:10.1f} {batch.seconds / value:13.0f} {value / seconds['ours']:8.2f}",
                flush=True,
            )
        prefix = "" if not SIZES[size] else "large_"
        torch_seconds = [value for name, value in seconds.items() if name.startswith("torch")]
        answer[f"{prefix}vs_torch"] = round(min(torch_seconds) / seconds["ours"], 2) if torch_seconds else None
        answer[f"{prefix}vs_keras"] = round(seconds["keras"] / seconds["ours"], 2)
        answer[f"{prefix}step_ms"] = round(1e3 * seconds["ours"], 1)
        answer[f"{prefix}speech_seconds_per_second"] = round(batch.seconds / seconds["ours"])
    return answer


def precisions(sizes, repetitions):
    """The table of float32 beside mixed_bfloat16; returns the answer's keys."""
    answer = {}
    for size in sizes:
        config = make_config(size)
        batch = make_batch(config.features.n_mels)
        peers, losses = {}, {}
        for precision in ("float32", "mixed_bfloat16"):
            peers[precision], _ = ours(config, precision=precision)  # the same seed, so the same weights
            losses[precision] = peers[precision].loss_of(batch)
        seconds = medians({name: peer.make_step(batch) for name, peer in peers.items()}, repetitions)
        print(f"\n{size}\n{'':16s} {'ms a step':>10s} {'speech s / s':>13s} {'first loss':>11s}")
        for name, value in seconds.items():
            print(f"{name:16s} {1e3 * value:10.1f} {batch.seconds / value:13.0f} {losses[name]:11.3f}", flush=True)
        prefix = "" if not SIZES[size] else "large_"
        answer[f"{prefix}bfloat16_vs_float32"] = round(seconds["float32"] / seconds["mixed_bfloat16"], 2)
    return answer


def quickstart(repetitions):
    """The table of the quickstart's step, from samples to weights; returns the answer's keys."""
    from speechgru.config.load import load_config
    from speechgru.train.step import INPUTS

    config = load_config(ROOT / "configs" / "quickstart.yaml")
    rows = config.train.batch_size
    rng = np.random.default_rng(0)
    batch = make_batch(config.features.n_mels)
    # A batch of like lengths, as the sampler makes them, of the corpus's mean length.
    num_samples_B = rng.integers(39_000, 41_001, rows).astype(np.int32)
    samples_BN = rng.normal(scale=0.1, size=[rows, num_samples_B.max()]).astype(np.float32)
    samples_BN[np.arange(samples_BN.shape[1]) >= num_samples_B[:, None]] = 0.0
    words = 6 if config.text.unit == "word" else 33
    given = dict(zip(INPUTS["samples"], (samples_BN, num_samples_B), strict=True)) | {
        "labels_BL": batch.labels_BL[:rows, :words],
        "num_labels_B": np.full(rows, words, np.int32),
    }
    peers = {
        "ours": ours(config, form="samples", ahead=True)[0],
        "ours, operations": by_operations(config, form="samples")[0],
    }
    steps = {name: peer.make_step(given) for name, peer in peers.items()}
    seconds, processor = {}, {}
    for name, step in steps.items():
        step()
        seconds[name], processor[name] = [], []
    for _ in range(repetitions):
        for name, step in steps.items():
            started, used = time.perf_counter(), time.process_time()
            for _ in range(STEPS_TOGETHER):
                step()
            seconds[name].append((time.perf_counter() - started) / STEPS_TOGETHER)
            processor[name].append((time.process_time() - used) / STEPS_TOGETHER)
    seconds, processor = ({name: statistics.median(v) for name, v in d.items()} for d in (seconds, processor))
    print(f"\nthe quickstart's step: batch {'x'.join(map(str, samples_BN.shape))}")
    print(f"{'':16s} {'steps / s':>10s} {'ms a step':>10s} {'processors':>11s} {'x ours':>8s}")
    for name, value in seconds.items():
        print(
            f"{name:16s} {1 / value:10.1f} {1e3 * value:10.1f} {processor[name] / value:11.2f} "
            f"{value / seconds['ours']:8.2f}"
        )
    return {
        "quickstart_steps_per_second": round(1 / seconds["ours"], 1),
        "quickstart_processors": round(processor["ours"] / seconds["ours"], 2),
        "quickstart_vs_operations": round(seconds["ours, operations"] / seconds["ours"], 2),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the default configuration's size, 3 repetitions")
    parser.add_argument("--repetitions", type=int, default=11, help="at least 7 for a figure to be quoted")
    parser.add_argument("--threads", type=int, default=2, help="of each library")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out, as where it is not installed")
    parser.add_argument("--quickstart", action="store_true", help="the quickstart's step, and nothing else")
    parser.add_argument("--precision", action="store_true", help="mixed_bfloat16 beside float32, and nothing else")
    arguments = parser.parse_args()

    with_torch = bool(importlib.util.find_spec("torch")) and not arguments.no_torch
    set_threads(arguments.threads, with_torch)
    repetitions = 3 if arguments.quick else arguments.repetitions
    print(f"{os.cpu_count()} processors, {arguments.threads} threads; medians of {repetitions}")
    sizes = list(SIZES)[:1] if arguments.quick else list(SIZES)
    if arguments.precision:
        answer = precisions(sizes, repetitions)
    elif arguments.quickstart:
        answer = quickstart(repetitions)
    else:
        answer = frameworks(sizes, repetitions, with_torch=with_torch) | quickstart(repetitions)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
