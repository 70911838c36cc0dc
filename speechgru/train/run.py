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
from speechgru.audio.in_graph import require_engine
from speechgru.config.beginning import read_grammar, require_beginning, require_trained_labels
from speechgru.config.corpus_files import require_files
from speechgru.config.resuming import Resumption, resume, with_keys
from speechgru.config.sections import RunConfig
from speechgru.config.sizing import choose_by_size, describe_choice
from speechgru.ctc import resolve_implementation
from speechgru.dataset import Corpus, open_corpus
from speechgru.dataset.service import Service
from speechgru.errors import UserError
from speechgru.files import room_for
from speechgru.process.locked_folder import locked_folder
from speechgru.process.memory import keep_freed_memory
from speechgru.process.signals import Interruption
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder
from speechgru.text import Vocabulary
from speechgru.train.begin import begin, make_first_weights
from speechgru.train.checkpoints import Checkpoints
from speechgru.train.failures import errors_told
from speechgru.train.graphs import forgotten, run_as_written
from speechgru.train.job import TrainingJob, require_stop
from speechgru.train.learner import Learner
from speechgru.train.log import TrainingLog
from speechgru.train.monitor import Monitor, choose_monitor, describe_dev, interval_of
from speechgru.train.opening import (
    keep_grammar,
    open_scored,
    require_readable,
    require_same_corpus,
    require_same_vocabulary,
    require_writable,
    subwords_of,
    write_beginning,
)
from speechgru.train.page import report_run
from speechgru.train.recognition import RecognitionLoop
from speechgru.train.strategies import Workers, choose_strategy
from speechgru.train.transfer import require_layers
from speechgru.utterances.examination import vocabulary_of


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
        best_cer: their dev CER; None there too.
        monitor: which of the two the best weights were chosen by, `wer` or `cer`.
        best_interval: where that rate may lie at 95 %; None where the dev set is no small one.
        num_dev: utterances of the dev set that were scored; None without one.
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
        notes: what a person should know: what the corpus's size has chosen, a dev set that is too small, a run that was
            lengthened or whose corpus lies elsewhere.
    """

    run: Path
    steps: int
    ended: str
    best_wer: float | None
    best_cer: float | None
    monitor: Monitor
    best_interval: tuple[float, float] | None
    num_dev: int | None
    best_step: int
    num_train: int
    num_skipped: int
    num_infeasible: int
    num_dropped: int
    seconds: float
    num_parameters: int
    padding_share: float
    wait_share: float
    notes: tuple[str, ...] = ()


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
        ConfigError: no training manifest, `stop_after` is not above 0, the folder holds a run of another
            configuration, or the run that it shall start from cannot be used.
        UserError: too many utterances cannot be used, the folder is in use, the disk is full, memory does not suffice,
            or too many steps in a row had no finite loss.
        ManifestError, BundleError, AudioError, GrammarError: a file is missing or damaged; the message names it.
        Interrupted: a signal came; the state is kept.
    """
    folder = RunFolder(Path(run))
    require_stop(stop_after)
    if opened is None:
        require_files(config)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    keep_freed_memory()
    with Interruption(
        advice="the same command resumes the run from its last checkpoint, if it has one"
    ) as interruption:
        workers = Workers(opened.learner.step.strategy if opened else strategy or choose_strategy())
        held = held_folder(folder) if workers.is_chief else contextlib.nullcontext()
        # Callbacks may use the model after it, and who opened the run trains with it again.
        letting_go = contextlib.nullcontext() if opened or callbacks else forgotten()
        with held, run_as_written(), letting_go, errors_told(folder, config, workers):
            resumption = resume(folder, config) if workers.is_chief else Resumption(config, {}, ())
            config = with_keys(config, workers.share_json(dict(resumption.kept)))
            for note in resumption.notes:
                progress("resuming", 0, 0, note)
            result = _train(
                folder,
                config,
                workers,
                interruption,
                progress=progress,
                stop_after=stop_after,
                callbacks=callbacks,
                opened=opened,
                command=command,
            )
        return dataclasses.replace(result, notes=(*resumption.notes, *result.notes))


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
    command: Sequence[str] | None,
) -> TrainingResult:
    # All that needs no corpus comes before it, and all that may be wrong before anything is written.
    if opened is None:
        require_engine(config.data.audio_engine)
        resolve_implementation(config.train.ctc)
        if config.data.service is not None:
            Service(config.data.service)  # refuses one that nobody answers for
        if workers.is_chief and not folder.is_claimed:
            require_beginning(config)
            require_layers(config)
    grammar = read_grammar(config) if workers.is_chief else None
    dev, negatives, notes = open_scored(config, grammar, workers)
    require_readable(config)
    sized: dict[str, Any] = {}
    kept = subwords_of(folder, config, workers)
    known = kept or vocabulary_of(config)
    if known is not None:
        require_writable(grammar, config, known)
    if opened is None:
        corpus, vocabulary, problems = open_corpus(config, vocabulary=kept, progress=progress)
        sized = choose_by_size(config, len(corpus))
        config = with_keys(config, sized)
        notes = [*([describe_choice(sized, len(corpus))] if sized else []), *corpus.notes, *notes]
    else:
        corpus, vocabulary, problems = opened.corpus, opened.vocabulary, list(opened.problems)
    if config.data.service is not None:
        corpus.require_places()
    for recordings in (*([] if dev is None else [dev]), *negatives):
        problems += recordings.problems
    require_same_corpus(workers, [len(corpus), *vocabulary.entries])
    if workers.is_chief:
        if opened is None:
            notes += describe_dev(None if dev is None else dev.references)
            if not folder.is_claimed:
                require_trained_labels(config, vocabulary)
        if known is None:
            require_writable(grammar, config, vocabulary)
        for note in notes:
            progress("beginning", 1, 1, note)
        require_same_vocabulary(folder, vocabulary)
        write_beginning(folder, config, corpus, command, sized=sized)
        vocabulary.save(folder.vocabulary)
        keep_grammar(folder, grammar)
        jsonlines.write_lines(folder.skipped, problems)
    job = TrainingJob(
        folder,
        config,
        vocabulary=vocabulary,
        corpus=corpus,
        dev=dev,
        workers=workers,
        negatives=tuple(negatives),
        grammar=grammar if negatives else None,
        monitor=workers.share_json(choose_monitor(config, dev.references) if dev is not None else "wer"),
    )
    stop_step = job.stop_step(stop_after)
    learner = opened.learner if opened else None
    learner = learner or Learner(config, vocabulary, form=corpus.form, strategy=workers.strategy)
    log = TrainingLog(job, progress=progress)
    checkpoints = Checkpoints(folder, keep_last=config.train.keep_last)
    state, resumed = begin(
        job,
        learner,
        checkpoints=checkpoints,
        progress=progress,
        make_first_weights=lambda: make_first_weights(job, learner, progress),
    )
    if state.ended is None:
        log.record(
            state, "session", resumed=resumed, replicas=workers.num_replicas, monitor=job.monitor, seconds=state.seconds
        )
    loop = RecognitionLoop(
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
    history = folder.read_history() if workers.is_chief else []
    infeasible = {
        name for record in history if record.get("kind") == "infeasible" for name in record.get("utterances") or ()
    }
    return TrainingResult(
        run=folder.path,
        steps=state.step,
        ended=state.ended or "",
        best_wer=state.best_wer,
        best_cer=state.best_cer,
        monitor=job.monitor,
        best_interval=interval_of(history, job.monitor),
        num_dev=None if dev is None else len(dev),
        best_step=state.best_step,
        num_train=len(corpus),
        num_skipped=len(problems),
        num_infeasible=len(infeasible),
        num_dropped=state.num_dropped,
        seconds=state.seconds,
        num_parameters=learner.model.count_params(),
        padding_share=state.padding_share,
        wait_share=state.wait_share,
        notes=tuple(notes),
    )


def _report(folder: RunFolder, workers: Workers) -> None:
    if workers.is_chief:
        report_run(folder.path)


@contextlib.contextmanager
def held_folder(folder: RunFolder) -> Iterator[None]:
    """Holds the run folder against other processes."""
    advice = "wait for it, stop it, or give another --run"
    with locked_folder(folder.path, activity="is training here", advice=advice):
        with room_for(folder.path):
            for left_half_written in folder.checkpoints.glob(".*.npz"):  # by a process that was killed
                left_half_written.unlink()
        yield
