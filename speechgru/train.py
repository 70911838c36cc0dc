"""Training: from a configuration and manifests to a run folder, or on from where that folder stands."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru.audio import error_of
from speechgru.augment import mask_spectrogram, warp_frequency
from speechgru.config import RunConfig, load_config, save_config
from speechgru.ctc import ctc_loss
from speechgru.dataset import evaluation_batches, num_batches, training_batches
from speechgru.errors import AudioError, BundleError, ConfigError, UserError
from speechgru.evaluate import decode_examples, make_predictor, read_for_scoring, score
from speechgru.examination import Examined, examine, make_vocabulary
from speechgru.files import write_json, write_text
from speechgru.manifest import read_manifest
from speechgru.model import build_model
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder, load_checkpoint, make_provenance, restore_variables, save_checkpoint
from speechgru.text import Vocabulary

#: Utterances that the normalisation statistics are taken from, at most: a mean of some 10^5 frames moves no more.
_STATISTICS_UTTERANCES = 2000

#: Steps between two lines of the training curve.
_HISTORY_EVERY = 10


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What training did.

    Args:
        run: the run folder.
        steps: steps done in all.
        best_wer: lowest dev WER, a fraction; None where there was no dev manifest.
        num_train: utterances trained on.
        num_skipped: utterances left out of train and dev, listed in `skipped.jsonl`.
        seconds: seconds of training, earlier sessions of the run included.
        num_parameters: trainable weights.
    """

    run: Path
    steps: int
    best_wer: float | None
    num_train: int
    num_skipped: int
    seconds: float
    num_parameters: int


def train(
    config: RunConfig, run: str | Path, *, progress: Progress = silent, command: Sequence[str] | None = None
) -> TrainingResult:
    """Trains a recogniser, or goes on with the one in `run`.

    Args:
        config: the configuration; `data.train` must name at least one manifest.
        run: the run folder; made when it is missing. One that holds a run of the same configuration is resumed.
        progress: told after each step.
        command: the command line for `provenance.json`; that of the process when None.

    Returns:
        What was done.

    Raises:
        ConfigError: no training manifest, or the folder holds a run of another configuration.
        UserError: too many utterances cannot be used, or the loss is no longer finite.
        ManifestError, BundleError, AudioError: a file is missing or damaged; the message names it.
    """
    folder = RunFolder(Path(run))
    if not config.data.train:
        raise ConfigError("data.train names no manifest; set it in the file or give data.train=PATH")
    _claim(folder, config, command)
    train_examples, vocabulary, problems = _read_corpus(config, progress=progress)
    dev_examples: list[Examined] = []
    if config.data.dev is not None:
        dev_examples, dev_problems = read_for_scoring(
            config.data.dev, sample_rate=config.data.sample_rate, text=config.text
        )
        problems += dev_problems
    vocabulary.save(folder.vocabulary)
    write_text(folder.skipped, "".join(json.dumps(record) + "\n" for record in problems))
    session = _Session(folder, config, vocabulary, train_examples, dev_examples, progress)
    try:
        session.restore_or_start()
        session.run_steps()
    except tf.errors.OpError as error:
        message = error_of(error)
        if message is None:
            raise
        raise AudioError(f"{message} (it could be read when training started)") from error
    return TrainingResult(
        run=folder.path,
        steps=session.step,
        best_wer=session.best_wer,
        num_train=len(train_examples),
        num_skipped=len(problems),
        seconds=session.seconds,
        num_parameters=session.model.count_params(),
    )


def make_optimizer(config: RunConfig) -> keras.optimizers.Optimizer:
    """AdamW with a linear warm-up and a cosine decay to zero; biases do not decay."""
    settings = config.train
    warmup = min(settings.warmup_steps, settings.max_steps - 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=settings.learning_rate / max(1, warmup) if warmup else settings.learning_rate,
        decay_steps=settings.max_steps - warmup,
        warmup_target=settings.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(
        schedule, weight_decay=settings.weight_decay, beta_2=0.98, global_clipnorm=settings.clip_norm
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def corpus_statistics(
    front_end: keras.Model, examples: Sequence[Examined], *, config: RunConfig, progress: Progress = silent
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each mel filter over the real frames of the corpus (a sample of a large one).

    Args:
        front_end: the model's front end; its own normalisation is left out.
        examples: the training utterances.
        config: sample rate and seed.
        progress: told after each batch.

    Returns:
        `mean_M` and `deviation_M`, float64; a deviation is at least 0.1 nat, so that a silent filter cannot explode.
    """
    log_mel_layer = front_end.get_layer("log_mel")
    chosen = np.random.default_rng(config.train.seed).permutation(len(examples))[:_STATISTICS_UTTERANCES]
    sample = [examples[k] for k in chosen]
    n_mels = config.features.n_mels
    count, total_M, total_square_M = 0, np.zeros(n_mels), np.zeros(n_mels)
    done = 0
    for batch in evaluation_batches(sample, config=config):
        log_mel_BTM, num_frames_B = log_mel_layer(batch["samples_BN"], batch["num_samples_B"])
        # Frames beyond a length are zeros and add nothing to either sum.
        values_BTM = log_mel_BTM.numpy().astype(np.float64)
        count += int(num_frames_B.numpy().sum())
        total_M += values_BTM.sum(axis=(0, 1))
        total_square_M += np.square(values_BTM).sum(axis=(0, 1))
        done += len(num_frames_B)
        progress("measuring the corpus", done, len(sample), "")
    mean_M = total_M / count
    return mean_M, np.maximum(0.1, np.sqrt(np.maximum(0.0, total_square_M / count - mean_M**2)))


def _claim(folder: RunFolder, config: RunConfig, command: Sequence[str] | None) -> None:
    """Makes the run folder, or finds in it a run of this very configuration."""
    if folder.config.exists():
        stored, given = load_config(folder.config).model_dump(), config.model_dump()
        changed = [
            f"{section}.{key} ({stored[section][key]!r} there, {value!r} now)"
            for section, values in given.items()
            for key, value in values.items()
            if stored[section][key] != value
        ]
        if changed:
            raise ConfigError(
                f"{folder.path}: holds a run of another configuration: {'; '.join(changed)}; "
                "give the same values to resume it, or another --run"
            )
        return
    save_config(folder.config, config)
    write_json(folder.provenance, make_provenance(seed=config.train.seed, command=command))


def _read_corpus(config: RunConfig, *, progress: Progress) -> tuple[list[Examined], Vocabulary, list[dict[str, Any]]]:
    utterances = [utterance for manifest in config.data.train for utterance in read_manifest(manifest)]
    vocabulary = make_vocabulary(config, utterances)
    examples, problems = _examine_manifests(config.data.train, config, vocabulary, progress)
    share = len(problems) / (len(examples) + len(problems))
    if not examples or share > config.data.max_skipped_share:
        first = "\n".join(f"  {record['message']}" for record in problems[:5])
        raise UserError(
            f"{len(problems)} of {len(examples) + len(problems)} training utterances cannot be used, more than "
            f"data.max_skipped_share ({config.data.max_skipped_share:g}) allows; `speechgru check` lists all:\n{first}"
        )
    return examples, vocabulary, problems


def _examine_manifests(
    manifests: Sequence[str], config: RunConfig, vocabulary: Vocabulary, progress: Progress
) -> tuple[list[Examined], list[dict[str, Any]]]:
    examples: list[Examined] = []
    records: list[dict[str, Any]] = []
    for manifest in manifests:
        found, problems = examine(
            read_manifest(manifest),
            config=config,
            vocabulary=vocabulary,
            progress=progress,
            stage=f"reading {Path(manifest).name}",
        )
        examples += found
        records += [problem.as_record(manifest) for problem in problems]
    return examples, records


class _Session:
    """One process's part of a run: the model, the optimizer and where they stand."""

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        vocabulary: Vocabulary,
        train_examples: list[Examined],
        dev_examples: list[Examined],
        progress: Progress,
    ):
        self.folder, self.config, self.vocabulary, self.progress = folder, config, vocabulary, progress
        self.train_examples, self.dev_examples = train_examples, dev_examples
        self.model = build_model(config, len(vocabulary))
        self.optimizer = make_optimizer(config)
        self.optimizer.build(self.model.trainable_variables)
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []  # since the last line of the history
        self.best_wer: float | None = None
        self._predict = make_predictor(self.model)
        self._update = _make_update(self.model, self.optimizer, config)

    def restore_or_start(self) -> None:
        for path in (self.folder.last, self.folder.previous):
            if not path.exists():
                continue
            try:
                arrays, state = load_checkpoint(path)
            except BundleError as error:
                self.progress("resuming", 0, 1, f"{error}; trying the one before")
                continue
            restore_variables(self.model.variables, arrays, "model", where=path)
            restore_variables(self.optimizer.variables, arrays, "optimizer", where=path)
            self.step, self.seconds, self.best_wer = state["step"], state["seconds"], state["best_wer"]
            self.losses = state["losses"]
            self.folder.cut_history(self.step)
            return
        front_end = self.model.get_layer("front_end")
        mean_M, deviation_M = corpus_statistics(
            front_end, self.train_examples, config=self.config, progress=self.progress
        )
        front_end.get_layer("normalization").set_statistics(mean_M, deviation_M)
        self.folder.cut_history(0)

    def run_steps(self) -> None:
        settings = self.config.train
        writer = tf.summary.create_file_writer(str(self.folder.logs))
        epoch_batches = num_batches(len(self.train_examples), batch_size=settings.batch_size)
        batches = training_batches(self.train_examples, config=self.config, start_step=self.step)
        before = self.seconds
        started = time.monotonic()
        for batch in batches.take(settings.max_steps - self.step):
            loss = float(self._update(batch, tf.constant(self.step)))
            self.step += 1
            self.seconds = before + time.monotonic() - started
            if not math.isfinite(loss):
                self._stop_not_finite(batch)
            self.losses.append(loss)
            done = self.step == settings.max_steps
            if self.step % _HISTORY_EVERY == 0 or done:
                record = {
                    "kind": "train",
                    "step": self.step,
                    "epoch": self.step / epoch_batches,
                    "loss": float(np.mean(self.losses)),
                    "learning_rate": float(self.optimizer.learning_rate),
                    "seconds": self.seconds,
                }
                self.losses = []
                self._record(record, writer)
            if self.dev_examples and (self.step % settings.evaluate_every_steps == 0 or done):
                self._evaluate(writer, epoch_batches)
            if self.step % settings.checkpoint_every_steps == 0 or done:
                self._save(self.folder.last)
            note = f"loss {loss:.2f}"
            if self.best_wer is not None:
                note += f", best dev WER {self.best_wer:.1%}"
            self.progress("training", self.step, settings.max_steps, note)
        writer.close()
        if not self.dev_examples:  # nothing to choose by: the last weights are the run's
            self._save(self.folder.best)

    def _evaluate(self, writer: tf.summary.SummaryWriter, epoch_batches: int) -> None:
        decoded = decode_examples(self._predict, self.dev_examples, config=self.config, vocabulary=self.vocabulary)
        scores = score(decoded, name="dev", resamples=0)
        self._record(
            {
                "kind": "dev",
                "step": self.step,
                "epoch": self.step / epoch_batches,
                "wer": scores["wer"],
                "cer": scores["cer"],
                "seconds": self.seconds,
            },
            writer,
        )
        if self.best_wer is None or scores["wer"] <= self.best_wer:
            self.best_wer = scores["wer"]
            self._save(self.folder.best)

    def _record(self, record: dict[str, Any], writer: tf.summary.SummaryWriter) -> None:
        self.folder.append_history(record)
        with writer.as_default(step=self.step):
            for key in record.keys() - {"kind", "step", "epoch"}:
                tf.summary.scalar(f"{record['kind']}/{key}", record[key])

    def _save(self, path: Path) -> None:
        arrays = {f"model/{k}": variable.numpy() for k, variable in enumerate(self.model.variables)}
        if path == self.folder.last:
            arrays |= {f"optimizer/{k}": variable.numpy() for k, variable in enumerate(self.optimizer.variables)}
            if path.exists():
                path.replace(self.folder.previous)
        state = {"step": self.step, "seconds": self.seconds, "best_wer": self.best_wer, "losses": self.losses}
        save_checkpoint(path, arrays, state)

    def _stop_not_finite(self, batch: dict[str, tf.Tensor]) -> None:
        names = [self.train_examples[k].utterance.utterance_id for k in batch["index_B"].numpy()]
        raise UserError(
            f"{self.folder.path}: the loss at step {self.step} is not a finite number; the weights of step "
            f"{self.step - self.step % self.config.train.checkpoint_every_steps} are kept. Lower train.learning_rate "
            f"(now {self.config.train.learning_rate:g}), or look at the batch's recordings: {', '.join(names[:8])}"
        )


def _make_update(model: keras.Model, optimizer: keras.optimizers.Optimizer, config: RunConfig):
    """The training step: augmented samples in, weights changed, mean loss out."""
    front_end, encoder = model.get_layer("front_end"), model.get_layer("encoder")
    settings, seed = config.augment, config.train.seed
    signature = {
        "samples_BN": tf.TensorSpec([None, None], tf.float32),
        "num_samples_B": tf.TensorSpec([None], tf.int32),
        "labels_BL": tf.TensorSpec([None, None], tf.int32),
        "num_labels_B": tf.TensorSpec([None], tf.int32),
        "index_B": tf.TensorSpec([None], tf.int32),
    }

    @tf.function(input_signature=[signature, tf.TensorSpec([], tf.int32)])
    def update(batch: dict[str, tf.Tensor], step: tf.Tensor) -> tf.Tensor:
        log_mel_BTM, num_frames_B = front_end([batch["samples_BN"], batch["num_samples_B"]])
        log_mel_BTM = warp_frequency(
            log_mel_BTM, tf.stack([seed, 3 * step + 2]), warp_share=settings.frequency_warp_share
        )
        log_mel_BTM = mask_spectrogram(
            log_mel_BTM,
            num_frames_B,
            tf.stack([seed, 3 * step]),
            time_masks=settings.time_masks,
            time_mask_share=settings.time_mask_share,
            frequency_masks=settings.frequency_masks,
            frequency_mask_share=settings.frequency_mask_share,
        )
        with tf.GradientTape() as tape:
            logits_BSV, num_steps_B = encoder([log_mel_BTM, num_frames_B], training=True)
            loss_B = ctc_loss(logits_BSV, num_steps_B, batch["labels_BL"], batch["num_labels_B"])
            loss = tf.reduce_mean(loss_B)
        gradients = tape.gradient(loss, model.trainable_variables)
        # A step that went wrong must not reach the weights; the loop sees the same number and stops.
        checked = loss + 0.0 * tf.linalg.global_norm(gradients)
        tf.cond(
            tf.math.is_finite(checked),
            lambda: optimizer.apply(gradients, model.trainable_variables),
            lambda: None,
        )
        return checked

    return update
