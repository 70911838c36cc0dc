"""The verb: claims the run folder, opens the corpus, trains, and says in one line what went wrong."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from speechgru import jsonlines
from speechgru.audio.in_graph import error_of
from speechgru.config.differences import find_differences
from speechgru.config.load import load_config, save_config
from speechgru.config.sections import RunConfig
from speechgru.dataset import Corpus, open_corpus
from speechgru.decoding import GrammarConstraint, Spelling
from speechgru.errors import AudioError, ConfigError, UserError
from speechgru.files import room_for, write_json
from speechgru.grammar import Grammar
from speechgru.process.locked_folder import locked_folder
from speechgru.process.signals import Interruption
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder, make_provenance
from speechgru.scoring.negatives import negative_set
from speechgru.scoring.recordings import KEPT_BYTES, ScoringSet
from speechgru.text import Vocabulary
from speechgru.train.begin import begin
from speechgru.train.checkpoints import Checkpoints
from speechgru.train.job import TrainingJob
from speechgru.train.learner import Learner
from speechgru.train.log import TrainingLog
from speechgru.train.loop import TrainingLoop
from speechgru.train.page import report_run
from speechgru.train.strategies import Workers, choose_strategy
from speechgru.utterances.examination import Problem, read_usable
from speechgru.utterances.manifest import read_manifest

#: Keys that change nothing about what is computed, so that a resumed run may have other values.
_MAY_CHANGE = (
    "data.num_workers",
    "data.grammar",
    "train.max_minutes",
    "train.checkpoint_every_steps",
    "train.keep_last",
    "train.show_examples",
)

#: What TensorFlow raises when a process of the cluster is gone.
_PEER_GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.CancelledError,
    tf.errors.InternalError,
)


@dataclasses.dataclass(frozen=True)
class Opened:
    """A corpus that was opened, and a learner that was made for it, before `train` is called: see its `opened`.

    Args:
        corpus: what `data.train` names.
        vocabulary: the labels.
        problems: a record of each utterance that is left out.
        learner: its optimizer as new; `train` gives it the first weights.
    """

    corpus: Corpus
    vocabulary: Vocabulary
    problems: list[dict[str, Any]]
    learner: Learner


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """What training did.

    Args:
        run: the run folder.
        steps: steps done in all.
        ended: why it ended: `max_steps`, `max_epochs`, `max_minutes`, `patience`, `callback` or `stop_after`.
        best_wer: dev WER of the best weights, a fraction; None where there was no dev manifest.
        best_step: its step.
        num_train: utterances trained on.
        num_skipped: utterances left out of train and dev, listed in `skipped.jsonl`.
        num_infeasible: utterances that training met with too few steps for their text and left out of the loss;
            `history.jsonl` names them. Examination finds such beforehand, so this is 0 unless shards say otherwise.
        num_dropped: steps that had no finite loss or gradient and changed nothing; `history.jsonl` names their
            utterances.
        seconds: seconds of training, earlier sessions of the run included.
        num_parameters: weights.
        padding_share: the share of the batches that was padding.
        wait_share: the share of the steps' time that they waited for their batch.
    """

    run: Path
    steps: int
    ended: str
    best_wer: float | None
    best_step: int
    num_train: int
    num_skipped: int
    num_infeasible: int
    num_dropped: int
    seconds: float
    num_parameters: int
    padding_share: float
    wait_share: float


def train(
    config: RunConfig,
    run: str | Path,
    *,
    progress: Progress = silent,
    stop_after: int | float | None = None,
    command: Sequence[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
    opened: Opened | None = None,
) -> TrainingResult:
    """Trains a recogniser, or resumes the run in `run`.

    SIGTERM and Ctrl-C end it after the current step, with its state kept. A run that was killed resumes from its last
    checkpoint, and ends with the very weights that it would have had.

    Args:
        config: the configuration; `data.train` must name at least one manifest.
        run: the run folder; made when it is missing. One that holds a run of the same configuration is resumed.
        progress: called after each step.
        stop_after: stops cleanly after that many steps (an int) or passes over the corpus (a float), counted from the
            run's first step; None trains to the end. The learning rate schedule stays that of the complete run, and the
            same call with a larger number, or without one, resumes the run and ends with the very weights of a run that
            never stopped. Where the configuration has no dev evaluation at that step, the weights are scored there all
            the same, so that the stopped run can be judged and exported; resuming undoes that evaluation.
        command: the command line for `provenance.json`; that of the process when None.
        callbacks: Keras callbacks. Each dev evaluation is an epoch to them, with `val_wer` and `val_cer`; one that sets
            `model.stop_training` ends the run.
        strategy: how batches are shared; None uses several machines where `TF_CONFIG` names them, several GPUs where
            there are some, else one device.
        opened: for a caller that trains several times from the same start (`speechgru.adapt`): what was opened and
            made for this very configuration but for its length, so that nothing is read and traced twice. Its
            learner's strategy is the one that counts.

    Returns:
        What was done.

    Example (from `configs/quickstart.yaml`, in two sittings):

        config = load_config("configs/quickstart.yaml")
        train(config, "runs/first", stop_after=200)
        result = train(config, "runs/first")
        print(f"{result.best_wer:.1%} after {result.steps} steps")

    Raises:
        ConfigError: no training manifest, `stop_after` is not above 0, or the folder holds a run of another
            configuration.
        UserError: too many utterances cannot be used, the folder is in use, the disk is full, memory does not suffice,
            or too many steps in a row had no finite loss.
        ManifestError, BundleError, AudioError, GrammarError: a file is missing or damaged; the message names it.
        Interrupted: a signal came; the state is kept.
    """
    folder = RunFolder(Path(run))
    if not config.data.train:
        raise ConfigError("data.train names no manifest; set it in the file or give data.train=PATH")
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    with Interruption(advice="the run resumes from its last checkpoint") as interruption:
        workers = Workers(opened.learner.step.strategy if opened else strategy or choose_strategy())
        claim = _claimed(folder, config, command) if workers.is_chief else contextlib.nullcontext()
        with claim, _errors_told(folder, config, workers):
            return _train(
                folder,
                config,
                workers,
                interruption,
                progress=progress,
                stop_after=stop_after,
                callbacks=callbacks,
                opened=opened,
            )


def _train(
    folder: RunFolder,
    config: RunConfig,
    workers: Workers,
    interruption: Interruption,
    *,
    progress: Progress,
    stop_after: int | float | None,
    callbacks: Sequence[keras.callbacks.Callback],
    opened: Opened | None,
) -> TrainingResult:
    if opened is None:
        corpus, vocabulary, problems = open_corpus(config, progress=progress)
    else:
        corpus, vocabulary, problems = opened.corpus, opened.vocabulary, list(opened.problems)
    _require_readable(config)
    dev: ScoringSet | None = None
    negatives: list[ScoringSet] = []
    if config.data.dev is not None and workers.is_chief:
        dev = ScoringSet(
            config.data.dev, sample_rate=config.data.sample_rate, text=config.text.rules, kept_bytes=KEPT_BYTES
        )
        problems += dev.problems
        for manifest in config.data.negatives:
            negatives.append(
                negative_set(
                    manifest,
                    sample_rate=config.data.sample_rate,
                    kept_bytes=KEPT_BYTES // len(config.data.negatives),
                )
            )
            problems += negatives[-1].problems
    _require_same_corpus(workers, [len(corpus), *vocabulary.entries])
    if workers.is_chief:
        vocabulary.save(folder.vocabulary)
        _keep_grammar(folder, config, vocabulary)
        jsonlines.write_lines(folder.skipped, problems)
    grammar = Grammar.load(config.data.grammar) if negatives and config.data.grammar is not None else None
    job = TrainingJob(
        folder,
        config,
        vocabulary=vocabulary,
        corpus=corpus,
        dev=dev,
        workers=workers,
        negatives=tuple(negatives),
        grammar=grammar,
    )
    stop_step = job.stop_step(stop_after)
    learner = opened.learner if opened else None
    learner = learner or Learner(config, len(vocabulary), form=corpus.form, strategy=workers.strategy)
    log = TrainingLog(job, progress=progress)
    checkpoints = Checkpoints(folder, keep_last=config.train.keep_last)
    state, resumed = begin(job, learner, checkpoints=checkpoints, progress=progress)
    if state.ended is None:
        log.record(state, "session", resumed=resumed, replicas=workers.num_replicas, seconds=state.seconds)
    loop = TrainingLoop(
        job,
        learner,
        state,
        log=log,
        checkpoints=checkpoints,
        interruption=interruption,
        stop_step=stop_step,
        callbacks=callbacks,
    )
    try:
        loop.run()
    except BaseException:
        with contextlib.suppress(UserError):  # such as a full disk, which the first error reports already
            _report(folder, workers)
        raise
    _report(folder, workers)
    infeasible = {
        name
        for record in (folder.read_history() if workers.is_chief else ())
        if record["kind"] == "infeasible"
        for name in record["utterances"]
    }
    return TrainingResult(
        run=folder.path,
        steps=state.step,
        ended=state.ended or "",
        best_wer=state.best_wer,
        best_step=state.best_step,
        num_train=len(corpus),
        num_skipped=len(problems),
        num_infeasible=len(infeasible),
        num_dropped=state.num_dropped,
        seconds=state.seconds,
        num_parameters=learner.model.count_params(),
        padding_share=state.padding_share,
        wait_share=state.wait_share,
    )


def _keep_grammar(folder: RunFolder, config: RunConfig, vocabulary: Vocabulary) -> None:
    """Writes the grammar that `data.grammar` names into the run folder, once the run can write its sentences.

    Raises:
        GrammarError: it cannot be read.
        TextError: the vocabulary lacks a character or word of it.
    """
    if config.data.grammar is None:
        folder.grammar.unlink(missing_ok=True)
        return
    grammar = Grammar.load(config.data.grammar)
    GrammarConstraint(grammar).prepared(Spelling(config.text.normalize, vocabulary))
    grammar.save(folder.grammar)


def _report(folder: RunFolder, workers: Workers) -> None:
    if workers.is_chief:
        report_run(folder.path)


@contextlib.contextmanager
def _claimed(folder: RunFolder, config: RunConfig, command: Sequence[str] | None) -> Iterator[None]:
    """Holds the run folder against other processes; makes it, or finds in it a run of this very configuration."""
    advice = "wait for it, stop it, or give another --run"
    with locked_folder(folder.path, activity="is training here", advice=advice):
        with room_for(folder.path):
            for left_half_written in folder.checkpoints.glob(".*.npz"):  # by a process that was killed
                left_half_written.unlink()
        _require_same_config(folder, config, command)
        yield


def _require_same_config(folder: RunFolder, config: RunConfig, command: Sequence[str] | None) -> None:
    if folder.config.exists():
        stored, given = load_config(folder.config, stored=True).model_dump(), config.model_dump()
        changed = find_differences(stored, given, may_differ=_MAY_CHANGE)
        if changed:
            raise ConfigError(
                f"{folder.path}: holds a run of another configuration: {'; '.join(map(str, changed))}; "
                "give the same values to resume it, or another --run"
            )
    else:
        write_json(folder.provenance, make_provenance(seed=config.train.seed, command=command))
    save_config(folder.config, config)


def _require_readable(config: RunConfig) -> None:
    """Reads the recordings that augmentation uses: better now than in the middle of the night.

    Raises:
        UserError: one cannot be read.
    """
    for manifest, _ in config.augment.manifests.values():
        for utterance in read_manifest(manifest):
            read = read_usable(utterance, sample_rate=config.data.sample_rate)
            if isinstance(read, Problem):
                raise UserError(f"{manifest}:{utterance.line}: {read.message}")


def _require_same_corpus(workers: Workers, facts: Sequence[int | str]) -> None:
    """Whether every process found the same utterances and labels.

    Raises:
        UserError: this one did not.
    """
    chiefs = workers.share_json(list(facts))
    if list(facts) != chiefs:
        raise UserError(
            f"worker {workers.index} can use {facts[0]:,} utterances with {len(facts) - 1} labels, the chief "
            f"{chiefs[0]:,} with {len(chiefs) - 1}; every machine needs the same manifests and recordings"
        )


@contextlib.contextmanager
def _errors_told(folder: RunFolder, config: RunConfig, workers: Workers) -> Iterator[None]:
    """Turns what TensorFlow raises for a user's reasons into the user's errors."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"{folder.path}: the memory does not hold a batch; raise train.accumulate (now {config.train.accumulate}), "
            f"which computes it in parts to the same result, or lower data.max_duration_seconds (now "
            f"{config.data.max_duration_seconds:g}). The last checkpoint is intact"
        ) from error
    except tf.errors.OpError as error:
        message = error_of(error)
        if message is not None:
            raise AudioError(
                f"{message} (it could be read when training started; the run resumes from its last checkpoint once it "
                "is there again)"
            ) from error
        if workers.count > 1 and isinstance(error, _PEER_GONE):
            raise UserError(
                f"{folder.path}: another of the {workers.count} workers has ended or cannot be reached; start all of "
                "them again with the same commands, and the run resumes from its last checkpoint"
            ) from error
        raise
