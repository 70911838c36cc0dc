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
from speechgru.config import RunConfig, load_config, save_config
from speechgru.ctc import ctc_loss, is_feasible
from speechgru.dataset import Augmentation, Corpus, batches_of, open_corpus, training_batches
from speechgru.errors import AudioError, BundleError, ConfigError, UserError
from speechgru.evaluate import decode_examples, make_predictor, read_for_scoring, score
from speechgru.examination import Examined, read_only
from speechgru.features import part_of_front_end
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

#: What a batch holds of each utterance, by the corpus's form.
_INPUTS = {"samples": ("samples_BN", "num_samples_B"), "features": ("log_mel_BTM", "num_frames_B")}


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What training did.

    Args:
        run: the run folder.
        steps: steps done in all.
        best_wer: lowest dev WER, a fraction; None where there was no dev manifest.
        num_train: utterances trained on.
        num_skipped: utterances left out of train and dev, listed in `skipped.jsonl`.
        num_infeasible: utterances that training met with too few steps for their text and left out of the loss;
            `history.jsonl` names them. Examination finds such beforehand, so this is 0 unless shards say otherwise.
        seconds: seconds of training, earlier sessions of the run included.
        num_parameters: trainable weights.
        padding_share: the share of the batches that was padding.
        wait_share: the share of the steps' time that they waited for their batch.
    """

    run: Path
    steps: int
    best_wer: float | None
    num_train: int
    num_skipped: int
    num_infeasible: int
    seconds: float
    num_parameters: int
    padding_share: float
    wait_share: float


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
    corpus, vocabulary, problems = open_corpus(config, progress=progress)
    _require_readable(config)
    dev_examples: list[Examined] = []
    if config.data.dev is not None:
        dev_examples, dev_problems = read_for_scoring(
            config.data.dev, sample_rate=config.data.sample_rate, text=config.text.rules
        )
        problems += dev_problems
    vocabulary.save(folder.vocabulary)
    write_text(folder.skipped, "".join(json.dumps(record) + "\n" for record in problems))
    session = _Session(folder, config, vocabulary, corpus, dev_examples, progress)
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
        num_train=len(corpus),
        num_skipped=len(problems),
        num_infeasible=len(session.infeasible()),
        seconds=session.seconds,
        num_parameters=session.model.count_params(),
        padding_share=session.padding_share,
        wait_share=session.wait_share,
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
    front_end: keras.Model, corpus: Corpus, *, config: RunConfig, progress: Progress = silent
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each feature over the real frames of the corpus (a sample of a large one).

    Args:
        front_end: the model's front end; its own normalisation is left out.
        corpus: the training utterances.
        config: sample rate and seed.
        progress: told after each batch.

    Returns:
        `mean_D` and `deviation_D`, float64; a deviation is at least 0.1 nat (of slopes a tenth of that), so that a
        silent filter cannot explode.
    """
    chosen = np.random.default_rng(config.train.seed).permutation(len(corpus))[:_STATISTICS_UTTERANCES]
    unnormalized = part_of_front_end(front_end, from_log_mel=corpus.form == "features", normalized=False)
    chosen = chosen[np.argsort(-corpus.num_frames[chosen], kind="stable")]
    count, total_D, total_square_D = 0, np.zeros(config.num_features), np.zeros(config.num_features)
    done = 0
    for batch in batches_of(corpus, chosen, config=config):
        features_BTD, num_frames_B = unnormalized([batch[name] for name in _INPUTS[corpus.form]])
        # Frames beyond a length are zeros and add nothing to either sum.
        values_BTD = features_BTD.numpy().astype(np.float64)
        count += int(num_frames_B.numpy().sum())
        total_D += values_BTD.sum(axis=(0, 1))
        total_square_D += np.square(values_BTD).sum(axis=(0, 1))
        done += len(num_frames_B)
        progress("measuring the corpus", done, len(chosen), "")
    mean_D = total_D / count
    least_D = np.repeat([0.1, *[0.01] * config.features.deltas], config.features.n_mels)
    return mean_D, np.maximum(least_D, np.sqrt(np.maximum(0.0, total_square_D / count - mean_D**2)))


def _claim(folder: RunFolder, config: RunConfig, command: Sequence[str] | None) -> None:
    """Makes the run folder, or finds in it a run of this very configuration."""
    if folder.config.exists():
        stored, given = load_config(folder.config, stored=True).model_dump(), config.model_dump()
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


def _require_readable(config: RunConfig) -> None:
    """Reads the recordings that augmentation uses: better now than in the middle of the night.

    Raises:
        UserError: one cannot be read.
    """
    for manifest in (config.augment.noise_manifest, config.augment.reverb_manifest):
        for utterance in read_manifest(manifest) if manifest else ():
            read = read_only(utterance, sample_rate=config.data.sample_rate, text=config.text.rules)
            if not isinstance(read, Examined):
                raise UserError(f"{manifest}:{utterance.line}: {read.message}")


class _Session:
    """One process's part of a run: the model, the optimizer and where they stand."""

    def __init__(
        self,
        folder: RunFolder,
        config: RunConfig,
        vocabulary: Vocabulary,
        corpus: Corpus,
        dev_examples: list[Examined],
        progress: Progress,
    ):
        self.folder, self.config, self.vocabulary, self.progress = folder, config, vocabulary, progress
        self.corpus, self.dev_examples = corpus, dev_examples
        self.model = build_model(config, len(vocabulary))
        self.optimizer = make_optimizer(config)
        self.optimizer.build(self.model.trainable_variables)
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []  # since the last line of the history
        self.best_wer: float | None = None
        self._predict = make_predictor(self.model)
        self._update = _make_update(self.model, self.optimizer, config, form=corpus.form)
        self._frames = np.zeros(2, np.int64)  # real ones, and all with the padding
        self._waited = self._trained = 0.0

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
            self.losses, self._frames = state["losses"], np.array(state["frames"], np.int64)
            self._waited, self._trained = state["waited"], state["trained"]
            self.folder.cut_history(self.step)
            return
        if self.config.features.normalization == "global":
            front_end = self.model.get_layer("front_end")
            statistics = corpus_statistics(front_end, self.corpus, config=self.config, progress=self.progress)
            front_end.get_layer("normalization").set_statistics(*statistics)
        self.folder.cut_history(0)

    def run_steps(self) -> None:
        settings = self.config.train
        writer = tf.summary.create_file_writer(str(self.folder.logs))
        batches = iter(training_batches(self.corpus, config=self.config, start_step=self.step))
        before, is_first = self.seconds, True
        started = time.monotonic()
        while self.step < settings.max_steps:
            asked = time.monotonic()
            batch = next(batches)
            arrived = time.monotonic()
            loss, feasible_B = (part.numpy() for part in self._update(batch))
            epoch, is_first = float(batch["epoch_B"][0]), False
            self.step += 1
            if not is_first:  # that one compiles and fills the pipeline
                self._waited += arrived - asked
                self._trained += time.monotonic() - asked
            self._count_padding(batch)
            self.seconds = before + time.monotonic() - started
            if not math.isfinite(loss):
                self._stop_not_finite(batch)
            if not feasible_B.all():
                self._tell_infeasible(batch, feasible_B, epoch)
            if feasible_B.any():
                self.losses.append(float(loss))
            done = self.step == settings.max_steps
            if self.step % _HISTORY_EVERY == 0 or done:
                record = {
                    "kind": "train",
                    "step": self.step,
                    "epoch": epoch,
                    "loss": float(np.mean(self.losses)) if self.losses else None,
                    "learning_rate": float(self.optimizer.learning_rate),
                    "padding_share": self.padding_share,
                    "wait_share": self.wait_share,
                    "seconds": self.seconds,
                }
                self.losses = []
                self._record(record, writer)
            if self.dev_examples and (self.step % settings.evaluate_every_steps == 0 or done):
                self._evaluate(writer, epoch)
            if self.step % settings.checkpoint_every_steps == 0 or done:
                self._save(self.folder.last)
            note = f"loss {loss:.2f}"
            if self.best_wer is not None:
                note += f", best dev WER {self.best_wer:.1%}"
            self.progress("training", self.step, settings.max_steps, note)
        writer.close()
        if not self.dev_examples:  # nothing to choose by: the last weights are the run's
            self._save(self.folder.best)

    @property
    def padding_share(self) -> float:
        """The share of the batches so far that was padding."""
        return 1.0 - float(self._frames[0] / max(1, self._frames[1]))

    @property
    def wait_share(self) -> float:
        """The share of the steps' time so far that went by before their batch was there."""
        return self._waited / self._trained if self._trained else 0.0

    def _count_padding(self, batch: dict[str, tf.Tensor]) -> None:
        lengths_B = batch[_INPUTS[self.corpus.form][1]].numpy()
        self._frames += (lengths_B.sum(dtype=np.int64), len(lengths_B) * lengths_B.max())

    def _evaluate(self, writer: tf.summary.SummaryWriter, epoch: float) -> None:
        decoded = decode_examples(self._predict, self.dev_examples, config=self.config, vocabulary=self.vocabulary)
        scores = score(decoded, name="dev", resamples=0)
        self._record(
            {
                "kind": "dev",
                "step": self.step,
                "epoch": epoch,
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
                if record[key] is not None:
                    tf.summary.scalar(f"{record['kind']}/{key}", record[key])

    def _save(self, path: Path) -> None:
        arrays = {f"model/{k}": variable.numpy() for k, variable in enumerate(self.model.variables)}
        if path == self.folder.last:
            arrays |= {f"optimizer/{k}": variable.numpy() for k, variable in enumerate(self.optimizer.variables)}
            if path.exists():
                path.replace(self.folder.previous)
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "best_wer": self.best_wer,
            "losses": self.losses,
            "frames": self._frames.tolist(),
            "waited": self._waited,
            "trained": self._trained,
        }
        save_checkpoint(path, arrays, state)

    def _tell_infeasible(self, batch: dict[str, tf.Tensor], feasible_B: np.ndarray, epoch: float) -> None:
        """Names the utterances of a batch that had too few steps for their text, and so no part in the loss."""
        names = [self.corpus.name(int(index)) for index in batch["index_B"].numpy()[~feasible_B]]
        self.folder.append_history({"kind": "infeasible", "step": self.step, "epoch": epoch, "utterances": names})

    def infeasible(self) -> set[str]:
        """All utterances that were ever met with too few steps for their text."""
        records = [record for record in self.folder.read_history() if record["kind"] == "infeasible"]
        return {name for record in records for name in record["utterances"]}

    def _stop_not_finite(self, batch: dict[str, tf.Tensor]) -> None:
        names = [self.corpus.name(int(k)) for k in batch["index_B"].numpy()]
        raise UserError(
            f"{self.folder.path}: the loss at step {self.step} is not a finite number; the weights of step "
            f"{self.step - self.step % self.config.train.checkpoint_every_steps} are kept. Lower train.learning_rate "
            f"(now {self.config.train.learning_rate:g}), or look at the batch's recordings: {', '.join(names[:8])}"
        )


def _make_update(model: keras.Model, optimizer: keras.optimizers.Optimizer, config: RunConfig, *, form: str):
    """The training step: an augmented batch in, weights changed, mean loss out, and which rows it is the mean of.

    Rows with too few steps for their labels are left out of the mean.
    """
    front_end = part_of_front_end(model.get_layer("front_end"), from_log_mel=form == "features")
    encoder = model.get_layer("encoder")
    augmentation = Augmentation(config)
    values, counts = _INPUTS[form]
    signature = {
        values: tf.TensorSpec([None, None] if form == "samples" else [None, None, config.features.n_mels], tf.float32),
        counts: tf.TensorSpec([None], tf.int32),
        "labels_BL": tf.TensorSpec([None, None], tf.int32),
        "num_labels_B": tf.TensorSpec([None], tf.int32),
        "index_B": tf.TensorSpec([None], tf.int32),
        "epoch_B": tf.TensorSpec([None], tf.float32),
        "seed_B2": tf.TensorSpec([None, 2], tf.int32),
    }

    @tf.function(input_signature=[signature])
    def update(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        features_BTD, num_frames_B = front_end([batch[name] for name in _INPUTS[form]])
        strength = augmentation.strength(batch["epoch_B"][0])
        features_BTD = augmentation.of_features(features_BTD, num_frames_B, batch["seed_B2"], strength=strength)
        with tf.GradientTape() as tape:
            logits_BSV, num_steps_B = encoder([features_BTD, num_frames_B], training=True)
            feasible_B = is_feasible(num_steps_B, batch["labels_BL"], batch["num_labels_B"])
            loss_B = ctc_loss(
                logits_BSV,
                num_steps_B,
                batch["labels_BL"],
                batch["num_labels_B"],
                implementation=config.train.ctc,
            )
            # A row whose steps cannot spell its labels has no loss to learn from; the others must not suffer for it.
            num_feasible = tf.math.count_nonzero(feasible_B, dtype=tf.float32)
            loss = tf.reduce_sum(tf.where(feasible_B, loss_B, 0.0)) / tf.maximum(1.0, num_feasible)
        gradients = tape.gradient(loss, model.trainable_variables)
        # A step that went wrong must not reach the weights; the loop sees the same number and stops.
        checked = loss + 0.0 * tf.linalg.global_norm(gradients)
        tf.cond(
            tf.math.is_finite(checked) & (num_feasible > 0.0),
            lambda: optimizer.apply(gradients, model.trainable_variables),
            lambda: None,
        )
        return checked, feasible_B

    return update
