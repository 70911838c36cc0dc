"""The verb: texts and a recogniser's labels to a GRU language model, or on from the state that the folder holds."""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from speechgru import jsonlines
from speechgru.config.differences import find_differences
from speechgru.config.language import LanguageConfig, load_language_config, save_language_config
from speechgru.errors import ConfigError, LanguageError, UserError
from speechgru.files import sha256_of, write_json
from speechgru.language.gru import Form, GRULanguageModel
from speechgru.language.labelled import LabelledTexts, LeftOut, label_texts, read_texts, require_texts
from speechgru.language.perplexity import Perplexity
from speechgru.process.memory import keep_freed_memory
from speechgru.process.signals import Interruption
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder, load_checkpoint, make_provenance, restore_variables
from speechgru.text import TextRules, Vocabulary
from speechgru.train.begin import begin
from speechgru.train.checkpoints import Checkpoints
from speechgru.train.graphs import run_as_written
from speechgru.train.job import require_stop
from speechgru.train.language.loop import LanguageJob, LanguageLoop
from speechgru.train.language.model import for_device
from speechgru.train.language.step import LanguageLearner
from speechgru.train.log import TrainingLog
from speechgru.train.run import held_folder
from speechgru.train.strategies import Workers
from speechgru.visible import counted

#: Keys that change nothing about a step, and those that only say when a run ends.
_MAY_CHANGE = (
    *("data.max_skipped_share", "train.max_dropped_in_a_row", "train.checkpoint_every_steps", "train.keep_last"),
    *("train.accumulate", "train.deterministic", "train.max_minutes", "train.patience"),
)
#: Texts that a message names at most.
_NAMED = 3


@dataclass(frozen=True)
class LanguageFolder(RunFolder):
    """A language model's run folder, which no verb takes for a recogniser's."""

    @property
    def config(self) -> Path:
        return self.path / "language.yaml"

    @property
    def model(self) -> Path:
        """The model with the best weights as a device reads it."""
        return self.path / "model.gru"


@dataclass(frozen=True)
class LanguageResult:
    """What the training of a language model did.

    Args:
        run: the run folder.
        model: the file that a beam reads.
        steps: steps done in all.
        ended: why it ended, as in `TrainingResult`.
        best_step: the step of the weights that were kept.
        scores: of the dev texts by the file's own weights: `perplexity` (per label), `word_perplexity`,
            `bits_per_character`.
        num_train: texts learnt from.
        num_dev: texts scored.
        num_left_out: texts that could not be written or were too long, listed in `skipped.jsonl`.
        num_weights: weights.
        size_bytes: of the file.
        seconds: seconds of training, earlier sessions of the run included.
        notes: what a person should know.
    """

    run: Path
    model: Path
    steps: int
    ended: str
    best_step: int
    scores: dict[str, float]
    num_train: int
    num_dev: int
    num_left_out: int
    num_weights: int
    size_bytes: int
    seconds: float
    notes: tuple[str, ...] = ()


def train_language_model(
    config: LanguageConfig,
    run: str | Path,
    *,
    vocabulary: Vocabulary,
    rules: TextRules,
    form: Form = "int8",
    progress: Progress = silent,
    stop_after: int | float | None = None,
    command: Sequence[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> LanguageResult:
    """Trains a GRU language model, or resumes the run in `run`.

    It ends as `train` does: SIGTERM and Ctrl-C end it after the current step with its state kept, and a run that was
    killed resumes from its last checkpoint and ends with the very weights that it would have had.

    Args:
        config: the configuration.
        run: the run folder.
        vocabulary: the labels of the recogniser that it shall serve.
        rules: that recogniser's text rules.
        form: how the weights lie in the file.
        progress: called after each step.
        stop_after: as in `train`.
        command: what is recorded as the command; this process's arguments when None.
        callbacks: Keras callbacks; an evaluation, with `val_perplexity`, is their epoch.

    Raises:
        ConfigError: the folder holds another run.
        LanguageError: no text is named, a file cannot be read, or too many texts cannot be written by the recogniser.
        UserError: the folder is in use, the disk is full, memory does not suffice, or too many steps in a row had no
            finite loss.
        Interrupted: a signal came; the state is kept.
    """
    folder = LanguageFolder(Path(run))
    require_stop(stop_after)
    require_texts(config.data.train)
    _require_resumable(folder, config, vocabulary)
    vocabulary = vocabulary.written
    texts, dev, left_out, notes = _open(config, vocabulary, rules)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    keep_freed_memory()
    with (
        Interruption(advice="the same command resumes the run from its last checkpoint, if it has one") as interruption,
        held_folder(folder),
        run_as_written(),
        _memory_told(folder, config),
    ):
        _write_beginning(folder, config, vocabulary, left_out, command)
        job = LanguageJob(folder, config, texts, dev, Workers(tf.distribute.get_strategy()))
        learner = LanguageLearner(config, len(vocabulary))
        log = TrainingLog(job, progress=progress)
        checkpoints = Checkpoints(folder, keep_last=config.train.keep_last)
        state, resumed = begin(job, learner, checkpoints=checkpoints, progress=progress)
        if state.ended is None:
            log.record(state, "session", resumed=resumed, replicas=1, seconds=state.seconds)
        loop = LanguageLoop(
            job,
            learner,
            state,
            log=log,
            checkpoints=checkpoints,
            interruption=interruption,
            stop_step=job.stop_step(stop_after),
            callbacks=callbacks,
        )
        loop.run()
        model = _write_model(folder, job, learner, vocabulary=vocabulary, rules=rules, form=form)
    return LanguageResult(
        run=folder.path,
        model=folder.model,
        steps=state.step,
        ended=state.ended or "",
        best_step=state.best_step,
        scores=model.facts["dev"],
        num_train=len(texts),
        num_dev=len(dev),
        num_left_out=len(left_out),
        num_weights=model.num_weights,
        size_bytes=folder.model.stat().st_size,
        seconds=state.seconds,
        notes=tuple(notes),
    )


@contextlib.contextmanager
def _memory_told(folder: LanguageFolder, config: LanguageConfig) -> Iterator[None]:
    """Says what to do where the memory does not hold a batch."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"{folder.path}: the memory does not hold a batch; raise train.accumulate (now "
            f"{config.train.accumulate}), which computes it in parts to the same result, or lower data.max_labels "
            f"({config.data.max_labels:,}) in another --run"
        ) from error


def _require_resumable(folder: LanguageFolder, config: LanguageConfig, vocabulary: Vocabulary) -> None:
    """Refuses a folder of another run, before anything long is done.

    Raises:
        ConfigError: it holds a recogniser's run, or one of other labels or another configuration.
    """
    if RunFolder(folder.path).config.exists():
        raise ConfigError(f"{folder.path}: holds a recogniser's run; give the language model another --run")
    if not folder.is_claimed:
        return
    stored = load_language_config(folder.config)
    changed = find_differences(stored.as_record(), config.as_record(), may_differ=_MAY_CHANGE)
    if changed:
        raise ConfigError(
            f"{folder.path}: holds a run of another configuration: {'; '.join(map(str, changed))}; give the same "
            "values to resume it, or another --run"
        )
    if Vocabulary.load(folder.vocabulary) != vocabulary.written:
        raise ConfigError(f"{folder.path}: holds a run for a recogniser with other labels; give another --run")


def _open(
    config: LanguageConfig, vocabulary: Vocabulary, rules: TextRules
) -> tuple[LabelledTexts, LabelledTexts, list[LeftOut], list[str]]:
    """What is learnt and what is scored, what was left out of both, and what a person should know of it.

    Raises:
        LanguageError: there is too little of it, or the recogniser cannot write too much of it.
    """
    data, notes = config.data, []
    texts, left_out = _labelled(data.train, config, vocabulary, rules)
    if data.dev:
        dev, others = _labelled(data.dev, config, vocabulary, rules)
        left_out += others
    else:
        is_dev = held_out(texts, data.dev_share)
        texts, dev = texts.chosen(np.flatnonzero(~is_dev)), texts.chosen(np.flatnonzero(is_dev))
        notes.append(f"{len(dev):,} of the texts are held out to score by; --dev names others")
    for name, found in (("learn", texts), ("score by", dev)):
        if not len(found):
            raise LanguageError(
                f"{', '.join(data.train)}: holds no text to {name}; give two different texts at least that the "
                "recogniser can write"
            )
    if left_out:
        shown = "; ".join(f"{each.origin}: {each.reason}" for each in left_out[:_NAMED])
        more = "; ..." if len(left_out) > _NAMED else ""
        notes.append(f"{counted(len(left_out), 'text is', 'texts are')} left out: {shown}{more}")
    return texts, dev, left_out, notes


def _labelled(
    paths: Sequence[str], config: LanguageConfig, vocabulary: Vocabulary, rules: TextRules
) -> tuple[LabelledTexts, list[LeftOut]]:
    data = config.data
    read = [pair for path in paths for pair in read_texts(path)]
    texts, left_out = label_texts(read, rules=rules, vocabulary=vocabulary, max_labels=data.max_labels)
    if len(left_out) > data.max_skipped_share * len(read):
        raise LanguageError(
            f"{len(left_out):,} of {len(read):,} texts cannot be learnt from, more than data.max_skipped_share "
            f"({data.max_skipped_share:g}): {left_out[0].origin}: {left_out[0].reason}. Write the texts as the "
            "recogniser's transcripts are, a line an utterance (numbers as words), or raise that share"
        )
    return texts, left_out


def held_out(texts: LabelledTexts, share: float) -> np.ndarray:
    """Which texts to score by: the same ones each time, and never one that is also learnt, however often it stands."""
    hashes = np.array([zlib.crc32(texts[index].tobytes()) for index in range(len(texts))], np.int64)
    different = np.unique(hashes)
    if len(different) < 2:
        return np.zeros(len(texts), bool)
    return hashes <= different[max(1, round(share * len(different))) - 1]


def _write_beginning(
    folder: LanguageFolder,
    config: LanguageConfig,
    vocabulary: Vocabulary,
    left_out: Sequence[LeftOut],
    command: Sequence[str] | None,
) -> None:
    """Writes the configuration, and of a run that begins now where it comes from."""
    if not folder.is_claimed:
        known = make_provenance(seed=config.train.seed, command=command)
        digests = {key: [sha256_of(path) for path in paths] for key, paths in _files(config).items()}
        write_json(folder.provenance, known | {"corpus": digests})
    save_language_config(folder.config, config)
    vocabulary.save(folder.vocabulary)
    jsonlines.write_lines(folder.skipped, (dataclasses.asdict(each) for each in left_out))


def _files(config: LanguageConfig) -> dict[str, tuple[str, ...]]:
    return {key: paths for key, paths in (("data.train", config.data.train), ("data.dev", config.data.dev)) if paths}


def _write_model(
    folder: LanguageFolder,
    job: LanguageJob,
    learner: LanguageLearner,
    *,
    vocabulary: Vocabulary,
    rules: TextRules,
    form: Form,
) -> GRULanguageModel:
    """Writes the best weights as a device reads them, with their score in that form; gives what was written."""
    arrays, record = load_checkpoint(folder.best)
    restore_variables(learner.shipped.variables, arrays, "model", where=folder.best)
    facts: dict[str, Any] = {"step": record["step"], "texts": len(job.texts), "labels": int(job.texts.ends[-1])}
    model = for_device(learner.shipped, job.config, vocabulary=vocabulary, rules=rules, facts=facts).in_form(form)
    # What is scored is what a device computes, by rounded weights.
    model.facts["dev"] = Perplexity.of(job.dev, model.score).as_record()
    model.save(folder.model)
    return model
