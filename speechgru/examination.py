"""Which utterances can be used, and why the others cannot: the one set of rules that `check` and training follow."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from speechgru import lengths
from speechgru.config import RunConfig, TextConfig
from speechgru.errors import AudioError
from speechgru.manifest import Utterance
from speechgru.progress import Progress, silent
from speechgru.recordings import Recording, read_recording
from speechgru.text import Vocabulary, describe_characters, normalize_text


@dataclass(frozen=True)
class Problem:
    """Why an utterance cannot be used.

    Args:
        utterance: the line.
        reason: a short code: `unreadable`, `no samples`, `too short`, `too long`, `unknown character`,
            `too few steps`.
        message: what is wrong and how to mend it.
    """

    utterance: Utterance
    reason: str
    message: str

    def as_record(self, manifest: str | Path) -> dict[str, object]:
        """The problem as JSON-ready fields."""
        return {
            "manifest": str(manifest),
            "line": self.utterance.line,
            "audio_filepath": self.utterance.audio_filepath,
            "reason": self.reason,
            "message": self.message,
        }


@dataclass(frozen=True)
class Examined:
    """A usable utterance with what reading it told.

    Args:
        utterance: the line.
        text: the normalised transcript.
        labels: its labels.
        num_samples: samples at the configured rate.
    """

    utterance: Utterance
    text: str
    labels: tuple[int, ...]
    num_samples: int


def make_vocabulary(config: RunConfig, utterances: Sequence[Utterance]) -> Vocabulary:
    """The configured characters, or with `text.characters: auto` those of the training transcripts."""
    if config.text.characters == "auto":
        return Vocabulary.from_texts(_normalize(config.text, utterance.text) for utterance in utterances)
    return Vocabulary(config.text.characters)


def examine(
    utterances: Sequence[Utterance],
    *,
    config: RunConfig,
    vocabulary: Vocabulary,
    progress: Progress = silent,
    stage: str = "reading recordings",
) -> tuple[list[Examined], list[Problem]]:
    """Reads every recording and transcript and sorts the usable from the rest, each in the given order.

    Args:
        utterances: what to read.
        config: sample rate, limits, front end and subsampling.
        vocabulary: the characters that a transcript may hold.
        progress: told after each utterance.
        stage: the words that `progress` gets.
    """
    usable, problems = [], []
    with ThreadPoolExecutor(config.data.num_workers) as pool:
        results = pool.map(lambda utterance: _examine_one(utterance, config, vocabulary), utterances)
        for done, result in enumerate(results, start=1):
            (usable if isinstance(result, Examined) else problems).append(result)  # type: ignore[arg-type]
            progress(stage, done, len(utterances), f"{len(problems)} left out" if problems else "")
    return usable, problems


def _normalize(rules: TextConfig, text: str) -> str:
    return normalize_text(text, lowercase=rules.lowercase, remove_punctuation=rules.remove_punctuation)


def read_utterance(utterance: Utterance, *, sample_rate: int) -> Recording:
    """Reads what a manifest's line names: its segment of the file.

    Raises:
        AudioError: it cannot be read, or the file ends before the line says.
    """
    return read_recording(
        utterance.audio_filepath, sample_rate=sample_rate, offset=utterance.offset, duration=utterance.duration or None
    )


def read_only(utterance: Utterance, *, sample_rate: int, text: TextConfig) -> Examined | Problem:
    """Asks only whether there is something to hear: what scoring needs. The labels are left empty."""
    try:
        recording = read_utterance(utterance, sample_rate=sample_rate)
    except AudioError as error:
        return Problem(utterance, "unreadable", str(error))
    if len(recording.samples_N) == 0:
        return Problem(utterance, "no samples", f"{utterance.audio_filepath}: holds no samples; record it again")
    return Examined(utterance, _normalize(text, utterance.text), (), len(recording.samples_N))


def _examine_one(utterance: Utterance, config: RunConfig, vocabulary: Vocabulary) -> Examined | Problem:
    read = read_only(utterance, sample_rate=config.data.sample_rate, text=config.text)
    if isinstance(read, Problem):
        return read
    name, data, num_samples, text = utterance.audio_filepath, config.data, read.num_samples, read.text
    duration = num_samples / data.sample_rate
    if duration < data.min_duration_seconds:
        return Problem(
            utterance,
            "too short",
            f"{name}: {duration:.3f} s, below data.min_duration_seconds ({data.min_duration_seconds:g})",
        )
    if duration > data.max_duration_seconds:
        return Problem(
            utterance,
            "too long",
            f"{name}: {duration:.1f} s, above data.max_duration_seconds ({data.max_duration_seconds:g}); "
            "cut it into segments (offset, duration)",
        )
    unknown = vocabulary.unknown(text)
    if unknown:
        return Problem(
            utterance,
            "unknown character",
            f"{name}: {describe_characters(unknown)} not in the vocabulary; spell {utterance.text!r} with known "
            "characters, or add them to text.characters",
        )
    labels = vocabulary.encode(text, where=name)
    frames = lengths.num_frames(
        num_samples, n_fft=config.n_fft, hop_length=config.hop_length, center=config.features.center
    )
    steps = lengths.num_steps(frames, subsampling_factor=config.model.subsampling_factor)
    if not lengths.is_feasible(steps, labels):
        return Problem(
            utterance,
            "too few steps",
            f"{name}: {duration:.3f} s give {steps} steps, too few for the {len(labels)} characters of "
            f"{text!r} (CTC needs {max(1, lengths.min_steps(labels))}); is the transcript another recording's, or "
            "model.subsampling_factor too large?",
        )
    return Examined(utterance, text, tuple(labels), num_samples)
