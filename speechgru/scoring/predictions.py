"""From a run and recordings to decoded texts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechgru.config.load import load_config
from speechgru.config.sections import RunConfig
from speechgru.decoding import DecodingOptions, Hypothesis, Predictor, decode
from speechgru.errors import UserError
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder, load_checkpoint, restore_variables
from speechgru.text import TextRules, Vocabulary
from speechgru.utterances.examination import Examined, Problem, read_only
from speechgru.utterances.manifest import read_manifest


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
    examples: Sequence[Examined],
    *,
    config: RunConfig,
    vocabulary: Vocabulary,
    batch_size: int = 32,
    decoding: DecodingOptions | None = None,
    progress: Progress = silent,
) -> Decoded:
    """Runs a model over utterances in batches and decodes, greedily where nothing else is said."""
    from speechgru.dataset import evaluation_batches

    options = (decoding or DecodingOptions()).prepared(normalize=config.text.normalize, vocabulary=vocabulary)
    hypotheses = [Hypothesis()] * len(examples)
    seconds, done = 0.0, 0
    for batch in evaluation_batches(examples, config=config, batch_size=batch_size):
        started = time.perf_counter()
        log_probs_BSV, num_steps_B = predictor.batch_log_probs(
            batch["samples_BN"].numpy(), batch["num_samples_B"].numpy()
        )
        for row, index in enumerate(batch["index_B"].numpy()):
            hypotheses[index], *_ = decode(
                log_probs_BSV[row, : num_steps_B[row]],
                vocabulary=vocabulary,
                step_seconds=config.step_seconds,
                options=options,
            )
        seconds += time.perf_counter() - started
        done += len(num_steps_B)
        progress("scoring", done, len(examples), "")
    return Decoded(list(examples), hypotheses, seconds, config.data.sample_rate, [])


def read_for_scoring(
    manifest: str | Path, *, sample_rate: int, text: TextRules
) -> tuple[list[Examined], list[dict[str, Any]]]:
    """A manifest's readable utterances with normalised references, and records of those that cannot be read.

    Nothing else is left out: a reference with unknown characters, or one too long for its recording, is an error
    that the recogniser must answer for.

    Raises:
        ManifestError: the manifest cannot be read.
        UserError: no recording of it can be read, or no reference holds a word.
    """
    examples, problems = [], []
    for utterance in read_manifest(manifest):
        result = read_only(utterance, sample_rate=sample_rate, text=text)
        if isinstance(result, Problem):
            problems.append(result.as_record(manifest))
        else:
            examples.append(result)
    if not examples:
        raise UserError(f"{manifest}: none of its {len(problems)} recordings can be read: {problems[0]['message']}")
    if not any(example.text for example in examples):
        raise UserError(f"{manifest}: no reference holds a word, so there is no word error rate; add transcripts")
    return examples, problems
