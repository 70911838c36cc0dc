"""Scoring a run folder or an exported bundle on a manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from speechgru import metrics
from speechgru.config import RunConfig, TextConfig, load_config
from speechgru.decoding import Hypothesis, greedy_decode
from speechgru.errors import BundleError, UserError
from speechgru.examination import Examined, Problem, read_only, read_utterance
from speechgru.manifest import read_manifest
from speechgru.progress import Progress, silent
from speechgru.runs import RunFolder, load_checkpoint, restore_variables
from speechgru.runtime import Recognizer
from speechgru.text import Vocabulary


@dataclass(frozen=True)
class Decoded:
    """A set of utterances with what a recogniser heard in them.

    Args:
        examples: the utterances.
        hypotheses: one each.
        seconds: processing time, from samples to text.
        audio_seconds: duration of what was read.
        problems: records of the utterances that could not be read, and are scored by nobody.
    """

    examples: list[Examined]
    hypotheses: list[Hypothesis]
    seconds: float
    audio_seconds: float
    problems: list[dict[str, Any]]


def evaluate(
    path: str | Path,
    manifest: str | Path,
    *,
    form: str | None = None,
    name: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Scores a recogniser on a manifest.

    Args:
        path: a run folder (its best weights, by Keras) or a bundle (by LiteRT).
        manifest: the utterances with their transcripts.
        form: which of a bundle's models to run; its default when None.
        name: how to call the evaluation; by form and manifest when None.
        progress: told as utterances are done.

    Returns:
        A JSON-ready record: `form` and `size_bytes` of the model, `wer`, `cer`, `wer_interval` (95 %, bootstrap over
        utterances), counts, `rtf`, `num_skipped` with `skipped`, and `utterances` with each reference, hypothesis and
        its errors.

    Raises:
        BundleError: `path` is neither a run folder nor a bundle.
        ManifestError: the manifest cannot be read.
        UserError: none of its utterances can be used.
    """
    path, manifest = Path(path), Path(manifest)
    if (path / "bundle.json").is_file():
        recognizer = Recognizer(path, form=form)
        decoded = _decode_with_bundle(recognizer, manifest, progress)
        form_name, size_bytes = (
            f"TFLite {recognizer.form}",
            recognizer.metadata["models"][recognizer.form]["size_bytes"],
        )
    elif form is not None:
        raise UserError(f"{path}: form {form!r} names a bundle's model, and this is no bundle (no bundle.json)")
    elif (path / "config.yaml").is_file():
        decoded = _decode_with_run(path, manifest, progress)
        form_name, size_bytes = "Keras", None
    else:
        raise BundleError(
            f"{path}: is neither a run folder (config.yaml) nor a bundle (bundle.json); `speechgru train` makes the "
            "one, `speechgru export` the other"
        )
    record = {"form": form_name, "size_bytes": size_bytes, "manifest": str(manifest.absolute())}
    return record | score(decoded, name=name or f"{form_name}, {manifest.name}")


def score(decoded: Decoded, *, name: str, resamples: int = 1000) -> dict[str, Any]:
    """Error rates of hypotheses against their references, as a JSON-ready record.

    Args:
        decoded: references and hypotheses.
        name: the evaluation's name.
        resamples: bootstrap resamples for `wer_interval`; 0 leaves it out.
    """
    pairs = [(e.text, h.text) for e, h in zip(decoded.examples, decoded.hypotheses, strict=True)]
    words = [metrics.word_errors(reference, hypothesis) for reference, hypothesis in pairs]
    total = metrics.total(words)
    record: dict[str, Any] = {
        "name": name,
        "num_utterances": len(pairs),
        "audio_seconds": decoded.audio_seconds,
        "wer": total.rate,
        "cer": metrics.total(metrics.character_errors(*pair) for pair in pairs).rate,
        "sentence_error_rate": metrics.sentence_error_rate(words),
        "words": total.reference_length,
        "substitutions": total.substitutions,
        "insertions": total.insertions,
        "deletions": total.deletions,
        "rtf": metrics.real_time_factor(decoded.seconds, decoded.audio_seconds),
        "num_skipped": len(decoded.problems),
        "skipped": decoded.problems,
    }
    if resamples:
        record["wer_interval"] = list(metrics.bootstrap_interval(words, num_samples=resamples))
    record["utterances"] = [
        {
            "utterance_id": example.utterance.utterance_id,
            "audio_filepath": example.utterance.audio_filepath,
            "offset": example.utterance.offset,
            "duration": example.utterance.duration,
            "speaker": example.utterance.speaker,
            "reference": example.text,
            "hypothesis": hypothesis.text,
            "word_errors": errors.errors,
            "words": errors.reference_length,
            "confidence": hypothesis.confidence,
        }
        for example, hypothesis, errors in zip(decoded.examples, decoded.hypotheses, words, strict=True)
    ]
    return record


def load_run(path: str | Path, *, implementation: str = "auto") -> tuple[RunConfig, Vocabulary, Any]:
    """A run's configuration, vocabulary and Keras model with its best weights.

    Args:
        path: the run folder.
        implementation: how the GRU layers run.

    Raises:
        BundleError: the folder holds no run, or none that reached a checkpoint.
    """
    from speechgru.model import build_model

    folder = RunFolder(Path(path)).require()
    config = load_config(folder.config)
    vocabulary = Vocabulary.load(folder.vocabulary)
    arrays, _ = load_checkpoint(folder.best)
    model = build_model(config, len(vocabulary), implementation=implementation)
    restore_variables(model.variables, arrays, "model", where=folder.best)
    return config, vocabulary, model


def make_predictor(model: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
    """`samples_BN`, `num_samples_B` -> `log_probs_BSV`, `num_steps_B`, traced once for all shapes."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.int32)])
    def predict(samples_BN: tf.Tensor, num_samples_B: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits_BSV, num_steps_B = model([samples_BN, num_samples_B], training=False)
        return tf.nn.log_softmax(logits_BSV), num_steps_B

    return predict


def decode_examples(
    predict: Callable[[Any, Any], tuple[Any, Any]],
    examples: Sequence[Examined],
    *,
    config: RunConfig,
    vocabulary: Vocabulary,
    batch_size: int = 32,
    progress: Progress = silent,
) -> Decoded:
    """Runs a model (`make_predictor`) over utterances in batches and decodes greedily."""
    from speechgru.dataset import evaluation_batches

    hypotheses = [Hypothesis()] * len(examples)
    seconds, done = 0.0, 0
    for batch in evaluation_batches(examples, config=config, batch_size=batch_size):
        started = time.perf_counter()
        log_probs_BSV, num_steps_B = (part.numpy() for part in predict(batch["samples_BN"], batch["num_samples_B"]))
        for row, index in enumerate(batch["index_B"].numpy()):
            hypotheses[index] = greedy_decode(
                log_probs_BSV[row, : num_steps_B[row]], vocabulary=vocabulary, step_seconds=config.step_seconds
            )
        seconds += time.perf_counter() - started
        done += len(num_steps_B)
        progress("scoring", done, len(examples), "")
    return Decoded(list(examples), hypotheses, seconds, _audio_seconds(examples, config.data.sample_rate), [])


def _decode_with_run(path: Path, manifest: Path, progress: Progress) -> Decoded:
    config, vocabulary, model = load_run(path)
    examples, problems = read_for_scoring(manifest, sample_rate=config.data.sample_rate, text=config.text)
    predict = make_predictor(model)
    predict(np.zeros([1, config.data.sample_rate], np.float32), np.array([config.data.sample_rate], np.int32))  # trace
    decoded = decode_examples(predict, examples, config=config, vocabulary=vocabulary, progress=progress)
    return replace(decoded, problems=problems)


def _decode_with_bundle(recognizer: Recognizer, manifest: Path, progress: Progress) -> Decoded:
    examples, problems = read_for_scoring(
        manifest, sample_rate=recognizer.sample_rate, text=TextConfig(**recognizer.text_rules)
    )
    hypotheses, seconds = [], 0.0
    for done, example in enumerate(examples, start=1):
        recording = read_utterance(example.utterance, sample_rate=recognizer.sample_rate)
        started = time.perf_counter()
        hypotheses.append(recognizer.transcribe(recording.samples_N, recognizer.sample_rate))
        seconds += time.perf_counter() - started
        progress("scoring", done, len(examples), "")
    return Decoded(examples, hypotheses, seconds, _audio_seconds(examples, recognizer.sample_rate), problems)


def _audio_seconds(examples: Sequence[Examined], sample_rate: int) -> float:
    return sum(example.num_samples for example in examples) / sample_rate


def read_for_scoring(
    manifest: str | Path, *, sample_rate: int, text: TextConfig
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
