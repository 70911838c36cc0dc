"""From a run and recordings to decoded texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from speechgru.audio.mixing import CANCELLING, UNDO_CANCELLING
from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.decoding import DecodingOptions, Hypothesis, Predictor, decode
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder, load_checkpoint, restore_variables
from speechgru.scoring.recordings import Batch, ScoringSet
from speechgru.text import Vocabulary
from speechgru.utterances.examination import Examined
from speechgru.visible import counted

#: Gets a batch with its `log_probs_BSV` and `num_steps_B`.
Observer = Callable[[Batch, np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class Decoded:
    """A set of utterances with what a recogniser made of them.

    Args:
        examples: the utterances.
        hypotheses: one each.
        seconds: processing time, from samples to text.
        sample_rate: Hz, of `num_samples` of the examples.
        problems: records of the utterances that could not be read, and are scored by nobody.
        notes: what a person should know about the recordings, a sentence each.
    """

    examples: list[Examined]
    hypotheses: list[Hypothesis]
    seconds: float
    sample_rate: int
    problems: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    @property
    def durations(self) -> list[float]:
        """Seconds of each utterance, as read: a manifest's may be unknown."""
        return [example.num_samples / self.sample_rate for example in self.examples]

    @property
    def audio_seconds(self) -> float:
        """Duration of what was read."""
        return sum(self.durations)


def load_run(
    path: str | Path, *, implementation: str = "auto", newest: bool = False
) -> tuple[RunConfig, Vocabulary, Any]:
    """A run's configuration, vocabulary and Keras model with its best weights.

    Args:
        path: the run folder.
        implementation: how the GRU layers run.
        newest: whether the newest checkpoint's weights will do where no dev score has chosen any yet.

    Raises:
        BundleError: the folder holds no run, or none that reached a checkpoint.
    """
    folder = RunFolder(Path(path)).require()
    config = load_config(folder.config, stored=True)
    file = folder.require_weights(newest=newest)
    vocabulary = Vocabulary.load(folder.vocabulary)
    arrays, _ = load_checkpoint(file)
    # Before it TensorFlow is not needed, which takes seconds to load.
    from speechgru.model.build import build_model

    model = build_model(config, len(vocabulary), implementation=implementation)
    restore_variables(model.variables, arrays, "model", where=file)
    if file != folder.best and config.train.ema:
        _restore_averages(model, arrays, config, where=file)
    return config, vocabulary, model


def _restore_averages(model: Any, arrays: dict[str, np.ndarray], config: RunConfig, *, where: Path) -> None:
    """Gives a model the running averages of a checkpoint: it has one of each variable that is trained."""
    layers = model.encoder.layers_with_weights
    frozen = {id(variable) for name in config.train.freeze for variable in layers[name].variables}
    trained = [variable for variable in model.trainable_variables if id(variable) not in frozen]
    # Behind them stand those of the head that learns letters, if there is one (`train.spelling`).
    beside = {f"average/{len(trained) + k}" for k in range(sum(name.startswith("spelling/") for name in arrays))}
    own = {name: array for name, array in arrays.items() if name not in beside}
    restore_variables(trained, own, "average", where=where)


def decode_recordings(
    predictor: Predictor,
    recordings: ScoringSet,
    *,
    vocabulary: Vocabulary,
    step_seconds: float,
    options: DecodingOptions | None = None,
    batch_size: int = 32,
    observe: Observer | None = None,
    progress: Progress = silent,
) -> Decoded:
    """Runs a model over recordings in batches and decodes.

    Args:
        predictor: samples to log-probabilities, in whatever form.
        recordings: what is scored; each is read once here.
        vocabulary: the labels.
        step_seconds: seconds from one step to the next.
        options: how to decode, prepared for the recogniser (`DecodingOptions.prepared`); greedily when None.
        batch_size: recordings that the model computes at once; changes the time and no text.
        observe: gets each batch with its `log_probs_BSV` and `num_steps_B` (`ScoredLoss.add`).
        progress: called after each batch.

    Raises:
        UserError: no recording can be read.
    """

    options = options or DecodingOptions()

    def transcribe(batch: Batch) -> list[Hypothesis]:
        log_probs_BSV, num_steps_B = predictor.batch_log_probs(batch.samples_BN, batch.num_samples_B)
        if observe is not None:
            observe(batch, log_probs_BSV, num_steps_B)
        return [
            decode(log_probs_SV[:num_steps], vocabulary=vocabulary, step_seconds=step_seconds, options=options)[0]
            for log_probs_SV, num_steps in zip(log_probs_BSV, num_steps_B, strict=True)
        ]

    return transcribe_recordings(transcribe, recordings, batch_size=batch_size, progress=progress)


def transcribe_recordings(
    transcribe: Callable[[Batch], Sequence[Hypothesis]],
    recordings: ScoringSet,
    *,
    batch_size: int = 1,
    progress: Progress = silent,
) -> Decoded:
    """Runs whatever transcribes over recordings, and measures how long it takes; reading them is not counted.

    Args:
        transcribe: a batch to a hypothesis for each of its recordings.
        recordings: what is scored; each is read once here.
        batch_size: recordings in a batch.
        progress: called after each batch.

    Raises:
        UserError: no recording can be read.
    """
    found: dict[int, Hypothesis] = {}
    seconds = 0.0
    for batch in recordings.batches(batch_size):
        started = time.perf_counter()
        hypotheses = transcribe(batch)
        seconds += time.perf_counter() - started
        found.update(zip(batch.lines, hypotheses, strict=True))
        progress("scoring", len(found), recordings.num_expected, "")
    return Decoded(
        examples=list(recordings),
        hypotheses=[found[line] for line in recordings.usable_lines],
        seconds=seconds,
        sample_rate=recordings.sample_rate,
        problems=recordings.problems,
        notes=_notes_on(recordings),
    )


def _notes_on(recordings: ScoringSet) -> list[str]:
    """What of the sound was lost on its way to the recogniser."""
    cancelled = recordings.cancelled
    if not cancelled:
        return []
    first, more = cancelled[0], len(cancelled) - 1
    others = f" and {counted(more, 'more recording')}" if more else ""
    return [f"{first.audio_filepath} (line {first.line}){others}: {CANCELLING}; {UNDO_CANCELLING}"]
