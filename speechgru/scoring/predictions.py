"""From a run and recordings to decoded texts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.decoding import DecodingOptions, Hypothesis, Predictor, decode
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder, load_checkpoint, restore_variables
from speechgru.scoring.recordings import KEPT_BYTES, ScoringSet
from speechgru.text import TextRules, Vocabulary
from speechgru.utterances.examination import Examined


@dataclass(frozen=True)
class Decoded:
    """A set of utterances with what a recogniser heard in them.

    Args:
        examples: the utterances.
        hypotheses: one each.
        seconds: processing time, from samples to text.
        sample_rate: Hz, of `num_samples` of the examples.
        problems: records of the utterances that could not be read, and are scored by nobody.
    """

    examples: list[Examined]
    hypotheses: list[Hypothesis]
    seconds: float
    sample_rate: int
    problems: list[dict[str, Any]]

    @property
    def durations(self) -> list[float]:
        """Seconds of each utterance, as read: a manifest's may be unknown."""
        return [example.num_samples / self.sample_rate for example in self.examples]

    @property
    def audio_seconds(self) -> float:
        """Duration of what was read."""
        return sum(self.durations)


def load_run(path: str | Path, *, implementation: str = "auto") -> tuple[RunConfig, Vocabulary, Any]:
    """A run's configuration, vocabulary and Keras model with its best weights.

    Args:
        path: the run folder.
        implementation: how the GRU layers run.

    Raises:
        BundleError: the folder holds no run, or none that reached a checkpoint.
    """
    from speechgru.model.build import build_model

    folder = RunFolder(Path(path)).require()
    config = load_config(folder.config, stored=True)
    vocabulary = Vocabulary.load(folder.vocabulary)
    arrays, _ = load_checkpoint(folder.best)
    model = build_model(config, len(vocabulary), implementation=implementation)
    restore_variables(model.variables, arrays, "model", where=folder.best)
    return config, vocabulary, model


def decode_examples(
    predictor: Predictor,
    examples: ScoringSet,
    *,
    config: RunConfig,
    vocabulary: Vocabulary,
    batch_size: int = 32,
    decoding: DecodingOptions | None = None,
    progress: Progress = silent,
) -> Decoded:
    """Runs a model over utterances in batches and decodes, greedily where nothing else is said."""
    options = (decoding or DecodingOptions()).prepared(normalize=config.text.normalize, vocabulary=vocabulary)
    return decode_set(
        predictor,
        examples,
        vocabulary=vocabulary,
        step_seconds=config.step_seconds,
        options=options,
        batch_size=batch_size,
        progress=progress,
    )


def decode_set(
    predictor: Predictor,
    recordings: ScoringSet,
    *,
    vocabulary: Vocabulary,
    step_seconds: float,
    options: DecodingOptions,
    batch_size: int,
    progress: Progress = silent,
) -> Decoded:
    """Runs a model over recordings in batches and decodes.

    Args:
        predictor: samples to log-probabilities, in whatever form.
        recordings: what is scored; each is read once here.
        vocabulary: the labels.
        step_seconds: seconds from one step to the next.
        options: how to decode, prepared for the recogniser (`DecodingOptions.prepared`).
        batch_size: recordings that the model computes at once; changes the time taken and no text.
        progress: told after each batch.

    Raises:
        UserError: no recording can be read.
    """
    found: dict[int, Hypothesis] = {}
    seconds, done = 0.0, 0
    for batch in recordings.batches(batch_size):
        started = time.perf_counter()
        log_probs_BSV, num_steps_B = predictor.batch_log_probs(batch.samples_BN, batch.num_samples_B)
        for line, log_probs_SV, num_steps in zip(batch.lines, log_probs_BSV, num_steps_B, strict=True):
            found[line] = decode(
                log_probs_SV[:num_steps], vocabulary=vocabulary, step_seconds=step_seconds, options=options
            )[0]
        seconds += time.perf_counter() - started
        done += len(batch.lines)
        progress("scoring", done, recordings.num_expected, "")
    hypotheses = [found[line] for line in recordings.usable_lines]
    return Decoded(list(recordings), hypotheses, seconds, recordings.sample_rate, recordings.problems)


def read_for_scoring(
    manifest: str | Path, *, sample_rate: int, text: TextRules, kept_bytes: int = KEPT_BYTES
) -> tuple[ScoringSet, list[dict[str, Any]]]:
    """A manifest's readable utterances with normalised references, and records of those that cannot be read.

    Raises:
        ManifestError: the manifest cannot be read.
        UserError: no recording of it can be read, or no reference holds a word.
    """
    recordings = ScoringSet(manifest, sample_rate=sample_rate, text=text, kept_bytes=kept_bytes)
    return recordings, recordings.problems
