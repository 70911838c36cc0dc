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

BATCH, CLASSES = 32, 30
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
CLIP_NORM, LEARNING_RATE, WEIGHT_DECAY = 5.0, 1e-3, 1e-3


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


@dataclass(frozen=True)
class Peer:
    """One implementation of the model and its step.

    Args:
        weights: how many can be trained.
        loss_of: batch -> mean loss of its rows, without dropout and without a change of the weights.
        make_step: batch -> a function without arguments that trains one step on it and returns when it is done.
    """

    weights: int
    loss_of: object
    make_step: object


def keras_optimizer():
    import keras

    return keras.optimizers.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY, global_clipnorm=CLIP_NORM)


def ours(config, *, form="features", ahead=False, **model_options):
    """`TrainStep`, as training has it, fed with features (or samples); and the encoder itself.

    With `ahead` the features of the next step are computed beside a step, as `train.loop` does.
    """
    import tensorflow as tf

    from speechgru.ctc import ctc_loss
    from speechgru.model.build import build_model
    from speechgru.process.memory import keep_freed_memory
    from speechgru.train.ahead import Ahead
    from speechgru.train.optimizers import make_optimizer
    from speechgru.train.step import TrainStep

    keep_freed_memory()  # of the peers as well
    model = build_model(config, CLASSES, **model_options)
    encoder, optimizer = model.encoder.model, make_optimizer(config.train)
    optimizer.build(model.trainable_variables)
    step = TrainStep(model, optimizer, config=config, form=form)

    def make_step(batch):
        arrays = batch if isinstance(batch, dict) else vars(batch)
        rows = len(arrays["num_labels_B"])
        given = {name: tf.constant(array) for name, array in arrays.items()} | {
            "index_B": tf.range(rows),
            "weight_B": tf.ones([rows]),
            "parts_left_B": tf.zeros([rows], tf.int32),
            "epoch_B": tf.zeros([rows]),
            "seed_B2": tf.stack([tf.zeros([rows], tf.int32), tf.range(rows)], axis=1),
        }

        prepared = Ahead(lambda: step.prepare([given])).take if ahead else lambda: [given]

        def one_step():
            step.gather(prepared())
            outcome = step.reduce()
            step.apply(outcome, learning_rate=LEARNING_RATE)
            return outcome.loss

        return one_step

    def loss_of(batch):
        log_mel_BTM, num_frames_B, labels_BL, num_labels_B = map(tf.constant, vars(batch).values())
        logits_BSV, num_steps_B = encoder([log_mel_BTM, num_frames_B], training=False)
        return float(tf.reduce_mean(ctc_loss(logits_BSV, num_steps_B, labels_BL, num_labels_B)))

    weights = sum(int(tf.size(variable.value)) for variable in encoder.trainable_variables)
    return Peer(weights, loss_of, make_step), encoder


def by_operations(config, **options):
    """Ours without compiled code: the fused GRU, TensorFlow's CTC kernel and its operations for all else.

    The step is traced before it is returned: it asks then for what may run.
    """
    from speechgru import native

    settings = config.train.model_copy(update={"ctc": "op"})
    with native.operations_only():
        peer, encoder = ours(config.model_copy(update={"train": settings}), implementation="fused", **options)

    def make_step(batch):
        step = peer.make_step(batch)
        with native.operations_only():
            step()
        return step

    return Peer(peer.weights, peer.loss_of, make_step), encoder


def stock_keras(config, encoder):
    """What Keras has, with the weights of our encoder."""
    import keras
    import tensorflow as tf

    from speechgru.gru import convert

    settings, factor = config.model, config.model.subsampling_factor
    convolution = keras.layers.Conv1D(
        settings.subsampling_channels, 2 * factor + 1, strides=factor, activation="relu", name="subsampling"
    )
    outputs = inputs = keras.Input([None, config.features.n_mels])
    outputs = convolution(keras.layers.ZeroPadding1D(factor)(outputs))
    for number in range(settings.num_layers):
        outputs = keras.layers.Dropout(settings.dropout)(outputs)
        outputs = keras.layers.LayerNormalization(name=f"norm_{number}")(outputs)
        layer = keras.layers.GRU(settings.units, return_sequences=True)
        outputs = keras.layers.Bidirectional(layer, name=f"gru_{number}")(outputs)
    outputs = keras.layers.Dropout(settings.dropout)(outputs)
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(outputs))
    for layer in encoder.layers:
        if layer.name.startswith("gru_"):
            model.get_layer(layer.name).set_weights(convert.to_keras(convert.read(layer)))
        elif layer.weights and not layer.name.startswith("dropout"):
            model.get_layer(layer.name).set_weights(layer.get_weights())
    model.compile(optimizer=keras_optimizer(), loss=keras.losses.CTC())

    def make_step(batch):
        log_mel_BTM, labels_BL = tf.constant(batch.log_mel_BTM), tf.constant(batch.labels_BL)
        return lambda: float(model.train_on_batch(log_mel_BTM, labels_BL))

    return Peer(
        sum(int(tf.size(variable.value)) for variable in model.trainable_variables),
        lambda batch: float(model.test_on_batch(batch.log_mel_BTM, batch.labels_BL)),
        make_step,
    )


def of_torch(config, encoder, *, packed):
    """What PyTorch has, with the weights of our encoder."""
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    from speechgru.gru import convert

    settings, factor = config.model, config.model.subsampling_factor

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            channels, units = settings.subsampling_channels, settings.units
            self.subsampling = nn.Conv1d(
                config.features.n_mels, channels, 2 * factor + 1, stride=factor, padding=factor
            )
            widths = [channels] + [2 * units] * (settings.num_layers - 1)
            self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-3) for width in widths)
            self.grus = nn.ModuleList(nn.GRU(width, units, batch_first=True, bidirectional=True) for width in widths)
            self.dropout = nn.Dropout(settings.dropout)
            self.logits = nn.Linear(2 * units, CLASSES)

        def forward(self, log_mel_BTM, num_steps_B):
            outputs = self.subsampling(log_mel_BTM.transpose(1, 2)).relu().transpose(1, 2)
            for norm, gru in zip(self.norms, self.grus, strict=True):
                outputs = norm(self.dropout(outputs))
                if packed:
                    outputs = pack_padded_sequence(outputs, num_steps_B, batch_first=True)
                outputs, _ = gru(outputs)
                if packed:
                    outputs, _ = pad_packed_sequence(outputs, batch_first=True)
            return self.logits(self.dropout(outputs))

    model = Encoder()
    taken = {layer.name: [torch.tensor(array) for array in layer.get_weights()] for layer in encoder.layers}
    with torch.no_grad():
        for module, (kernel, bias) in ((model.subsampling, taken["subsampling"]), (model.logits, taken["logits"])):
            module.weight.copy_(kernel.permute(*reversed(range(kernel.ndim))))
            module.bias.copy_(bias)
        for number, (norm, gru) in enumerate(zip(model.norms, model.grus, strict=True)):
            norm.load_state_dict(dict(zip(("weight", "bias"), taken[f"norm_{number}"], strict=True)))
            state = convert.to_torch([convert.read(encoder.get_layer(f"gru_{number}"))])
            gru.load_state_dict({name: torch.as_tensor(array) for name, array in state.items()})
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def mean_loss(batch):
        log_mel_BTM, num_frames_B, labels_BL, num_labels_B = batch
        num_steps_B = (num_frames_B + factor - 1) // factor
        log_probs_BSV = model(log_mel_BTM, num_steps_B).log_softmax(-1)
        loss_B = nn.functional.ctc_loss(
            log_probs_BSV.transpose(0, 1), labels_BL, num_steps_B, num_labels_B, blank=0, reduction="none"
        )
        return loss_B.mean()

    def loss_of(batch):
        model.eval()
        with torch.no_grad():
            return float(mean_loss([torch.tensor(array) for array in vars(batch).values()]))

    def make_step(batch):
        tensors = [torch.tensor(array) for array in vars(batch).values()]
        model.train()

        def step():
            optimizer.zero_grad()
            loss = mean_loss(tensors)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            return loss.item()

        return step

    return Peer(sum(parameter.numel() for parameter in model.parameters()), loss_of, make_step)


def make_peers(config, *, with_torch):
    """All implementations by name, with the same weights."""
    peer, encoder = ours(config)
    peers = {"ours": peer, "ours, operations": by_operations(config)[0], "keras": stock_keras(config, encoder)}
    if with_torch:
        peers["torch"] = of_torch(config, encoder, packed=False)
        peers["torch, packed"] = of_torch(config, encoder, packed=True)
    return peers


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
