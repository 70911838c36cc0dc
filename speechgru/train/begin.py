"""The first phase of training: the newest checkpoint's state, or the first weights."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.features import GlobalNormalization
from speechgru.progress import Progress
from speechgru.train.checkpoints import Checkpoints
from speechgru.train.feature_statistics import corpus_statistics
from speechgru.train.job import Job, TrainingJob
from speechgru.train.learner import Learner, Variables
from speechgru.train.state import TrainingState
from speechgru.train.strategies import Workers
from speechgru.train.transfer import start_from
from speechgru.visible import counted


def begin(
    job: Job,
    learner: Variables,
    *,
    checkpoints: Checkpoints,
    progress: Progress,
    make_first_weights: Callable[[], None] = lambda: None,
) -> tuple[TrainingState, bool]:
    """Restores the newest intact checkpoint, or makes the first weights. All processes get the chief's.

    What a run wrote after that checkpoint, it will write again: history is cut back to it, and an evaluation that
    `stop_after` asked for is undone.

    Args:
        job: what is trained on, and where.
        learner: gets the weights.
        checkpoints: those of the run folder.
        progress: called with a damaged checkpoint.
        make_first_weights: what is still to be done to the learner's weights before the first step of a new run.

    Returns:
        The state of the run, and whether it was resumed.

    Raises:
        BundleError: no checkpoint is intact, or they are another version's.
        ConfigError: `train.start_from` does not fit.
    """
    arrays: dict[str, np.ndarray] = {}
    record: dict[str, Any] = {}
    where: Path | None = None
    if job.workers.is_chief:
        found = checkpoints.load_newest(lambda message: progress("resuming", 0, 0, message))
        if found is not None:
            arrays, record, where = found
        else:
            make_first_weights()
            learner.start_averages()
            arrays, record = learner.arrays(), TrainingState.initial(job.settings).as_record()
    resumed = bool(job.workers.share_json(where is not None))
    if job.workers.count > 1:
        arrays, record = _share(job.workers, arrays, record)
    if resumed or job.workers.count > 1:
        learner.restore(arrays, where=where or "the chief's state")
    state = TrainingState.from_record(record, where=where)
    if _is_lengthened(state, job):
        state.ended = None
    if job.workers.is_chief:
        damaged = job.folder.cut_history(state.step if resumed else -1)
        if damaged:
            kept = job.folder.damaged_history.name
            progress(
                job.folder.history.name,
                0,
                0,
                f"{counted(damaged, 'line is', 'lines are')} damaged and left out; the history as it was is in {kept}",
            )
        checkpoints.undo_stop()
    return state, resumed


def _is_lengthened(state: TrainingState, job: Job) -> bool:
    """Whether a run that has ended was given more steps, time or patience since."""
    settings = job.settings
    if state.ended == "max_minutes":
        return settings.max_minutes is None or settings.max_minutes > state.seconds / 60.0
    if state.ended == "patience":
        return settings.patience is None or state.evaluations_since_best < settings.patience
    # A cosine is at its end, even where the corpus has grown since.
    return state.ended in ("max_steps", "max_epochs") and state.step < job.num_steps and settings.schedule != "cosine"


def make_first_weights(job: TrainingJob, learner: Learner, progress: Progress) -> None:
    """Gives a recogniser the weights of the run that it starts from, or the statistics of its corpus.

    Args:
        job: what is trained on.
        learner: gets them.
        progress: called by the work.

    Raises:
        ConfigError: `train.start_from` does not fit.
    """
    config = job.config
    source = config.train.start_from
    if source is not None:
        transfer = start_from(
            source, learner.model, config=config, vocabulary=job.vocabulary, spelling=learner.spelling
        )
        note = f"weights of {transfer.source}"
        if transfer.num_new:
            num_labels = transfer.num_new + transfer.num_kept
            note += f"; {transfer.num_new} of {num_labels} labels are new to them"
        progress("starting from another run", 0, 0, note)
    elif isinstance((front_end := learner.model.front_end).normalization, GlobalNormalization):
        statistics = corpus_statistics(front_end, job.corpus, config=config, progress=progress)
        front_end.set_statistics(*statistics)


def _share(
    workers: Workers, arrays: dict[str, np.ndarray], record: dict[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The chief's arrays and record, in every process."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    with np.load(io.BytesIO(workers.share(stream.getvalue()))) as stored:
        return {name: stored[name] for name in stored.files}, workers.share_json(record)
