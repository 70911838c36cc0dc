"""What training reads from: manifests and shards, each a source of utterances, together a corpus."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from speechgru import lengths
from speechgru.audio.in_graph import load_samples
from speechgru.config.sections import RunConfig
from speechgru.dataset.sampling import Part
from speechgru.errors import ConfigError, UserError
from speechgru.progress import Progress, silent
from speechgru.shards.places import is_of_shards
from speechgru.shards.reader import Shards
from speechgru.shards.records import Form
from speechgru.shards.settings import require_fit
from speechgru.stores import is_remote
from speechgru.text import Vocabulary, shown, words_of_marks
from speechgru.utterances.case import Case
from speechgru.utterances.examination import Examined, examine, judge_alone, make_vocabulary, summarize
from speechgru.utterances.manifest import Utterance, read_manifest
from speechgru.utterances.measurement import Measurement, MeasurementLog, measurement_files


class Source(Protocol):
    """A part of a corpus: utterances that are read alike."""

    #: `samples`, or `features` where log-mel was computed beforehand.
    form: Form
    #: Frames of each utterance.
    num_frames: np.ndarray
    #: Sizes of runs of utterances that lie together on disk; empty where each is a file.
    blocks: tuple[int, ...]

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """In a graph: `samples_N` (or `log_mel_TM`) and `labels_L` of an utterance."""

    def name(self, index: int) -> str:
        """The utterance's name for messages."""


class ManifestSource:
    """Recordings that a manifest names, decoded anew each time.

    Args:
        examples: usable utterances.
        config: sample rate, decoder and front end.
    """

    form: Form = "samples"
    blocks: tuple[int, ...] = ()

    def __init__(self, examples: Sequence[Examined], *, config: RunConfig):
        self._examples = examples
        num_samples = np.fromiter((example.num_samples for example in examples), np.int64, len(examples))
        self.num_frames = frames_of(num_samples, config=config)
        self._read = recording_reader([example.utterance for example in examples], config=config)
        counts = [len(example.labels) for example in examples]
        flat = np.fromiter(itertools.chain.from_iterable(example.labels for example in examples), np.int32, sum(counts))
        self._labels = tf.RaggedTensor.from_row_lengths(flat, np.array(counts, np.int64))

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._read(index), self._labels[index]

    def name(self, index: int) -> str:
        return self._examples[index].utterance.utterance_id


class ShardSource:
    """Utterances packed in shards (`speechgru shard`), read from where they lie.

    Args:
        shards: the opened shards.
        usable: the records that this configuration can use, ascending.
    """

    def __init__(self, shards: Shards, usable: np.ndarray, *, config: RunConfig):
        self._shards, self._usable = shards, np.asarray(usable, np.int32)
        self.form, self.num_features, self.is_remote = shards.form, shards.num_features, is_remote(shards.folder)
        self.num_frames = frames_of(shards.num_samples[self._usable], config=config)
        sizes = np.bincount(shards.shard_of[self._usable])
        self.blocks = tuple(sizes[sizes > 0].tolist())

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._shards.load(tf.gather(self._usable, index))

    def name(self, index: int) -> str:
        return self._shards.utterance_id(int(self._usable[index]))

    def places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The files of utterances' records, and the byte at which each begins (`Shards.places`)."""
        return self._shards.places(self._usable[indices])


class Corpus:
    """Several sources as one row of utterances.

    Args:
        sources: the parts.
        notes: what a person should know of it, a sentence each.
        space_label: what stands between the labels of two utterances that are joined; None of words and subwords.

    Raises:
        ConfigError: some sources hold samples and others features.
    """

    def __init__(self, sources: Sequence[Source], *, notes: Sequence[str] = (), space_label: int | None = None):
        self.notes, self.space_label = tuple(notes), space_label
        forms = sorted({source.form for source in sources})
        if len(forms) != 1:
            raise ConfigError(f"data.train mixes {' and '.join(forms)}; pack all of it in the same form")
        self.form, self._sources = forms[0], list(sources)
        self.num_frames = np.concatenate([source.num_frames for source in sources])
        self.parts = [Part(len(source.num_frames), source.blocks) for source in sources]
        self._starts = np.cumsum([0, *(part.count for part in self.parts)])

    def __len__(self) -> int:
        return len(self.num_frames)

    def load(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """In a graph: `samples_N` (or `log_mel_TM`) and `labels_L` of an utterance."""
        if len(self._sources) == 1:
            return self._sources[0].load(index)
        number = tf.reduce_sum(tf.cast(index >= tf.constant(self._starts[1:-1], index.dtype), tf.int32))
        branches = [
            lambda source=source, start=start: source.load(index - tf.cast(start, index.dtype))
            for source, start in zip(self._sources, self._starts[:-1], strict=True)
        ]
        return tf.switch_case(number, branches)

    @property
    def num_features(self) -> int | None:
        """Numbers a frame, of a corpus of features; None of samples."""
        return next((source.num_features for source in self._sources if isinstance(source, ShardSource)), None)

    def require_places(self) -> None:
        """Refuses what the workers of a `tf.data` service cannot read.

        Raises:
            ConfigError: some of it is a manifest, or shards on a store.
        """
        for source in self._sources:
            if not isinstance(source, ShardSource) or source.is_remote:
                what = "shards on a store" if isinstance(source, ShardSource) else "a manifest's recordings"
                raise ConfigError(
                    f"data.service: its workers read shards in a folder that they see, and data.train names {what}; "
                    "pack them into such a folder with `speechgru shard`"
                )

    def places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The files of utterances' records, and the byte at which each begins.

        Args:
            indices: places in a corpus for which `require_places` holds.
        """
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        paths, offsets = np.empty(len(indices), object), np.empty(len(indices), np.int64)
        for number in np.unique(numbers):
            chosen, source = numbers == number, self._sources[number]
            if isinstance(source, ShardSource):
                paths[chosen], offsets[chosen] = source.places(indices[chosen] - self._starts[number])
        return paths, offsets

    def name(self, index: int) -> str:
        """The utterance's name for messages."""
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._sources[number].name(index - int(self._starts[number]))


def frames_of(num_samples: np.ndarray, *, config: RunConfig) -> np.ndarray:
    """Frames that the front end makes of recordings of `num_samples` samples, int32."""
    frames = lengths.num_frames(
        num_samples, n_fft=config.n_fft, hop_length=config.hop_length, center=config.features.center
    )
    return frames.astype(np.int32)


def recording_reader(utterances: Sequence[Utterance], *, config: RunConfig) -> Callable[..., tf.Tensor]:
    """In a graph: the index of an utterance -> its `samples_N`.

    The function also takes `start`, the seconds to skip, and `most_seconds` to read from there on.
    """
    paths = tf.constant([utterance.audio_filepath for utterance in utterances])
    offsets = tf.constant([utterance.offset for utterance in utterances], tf.float64)
    durations = tf.constant([utterance.duration or -1.0 for utterance in utterances], tf.float64)
    channels = tf.constant([utterance.channel or 0 for utterance in utterances], tf.int32)

    def read(index: tf.Tensor, *, start: tf.Tensor | float = 0.0, most_seconds: float = math.inf) -> tf.Tensor:
        duration = durations[index]
        return load_samples(
            paths[index],
            offsets[index] + start,
            tf.minimum(duration, most_seconds) if most_seconds < math.inf else duration,
            channel=channels[index],
            sample_rate=config.data.sample_rate,
            engine=config.data.audio_engine,
        )

    return read


def open_corpus(
    config: RunConfig, *, vocabulary: Vocabulary | None = None, progress: Progress = silent
) -> tuple[Corpus, Vocabulary, list[dict[str, Any]]]:
    """Reads what `data.train` names and sorts the usable utterances from the rest.

    Args:
        config: manifests and shard folders, limits, rules.
        vocabulary: the labels, where they are known already; None makes them as the configuration says.
        progress: called after each utterance.

    Returns:
        The corpus, the vocabulary, and a record for each utterance that is left out.

    Raises:
        UserError: more utterances cannot be used than `data.max_skipped_share` allows, or none can.
        ConfigError: shards do not fit the configuration or each other.
        ManifestError, AudioError: a manifest or a shard is missing or damaged.
    """
    packed = {
        path: Shards.open(path, cache=config.data.cache_folder, cache_gigabytes=config.data.cache_gigabytes)
        for path in config.data.train
        if is_of_shards(path)
    }
    for shards in packed.values():
        require_fit(shards, config)
    manifests = [path for path in config.data.train if path not in packed]
    lines = {path: read_manifest(path) for path in manifests}
    held_out = read_manifest(config.data.dev) if config.data.dev and "leak" in config.check.leave_out else []
    if packed and config.text.follows_transcripts:  # the shards alone know them
        vocabulary = _common_vocabulary(packed)
    elif vocabulary is None:
        vocabulary = make_vocabulary(config, [line for path in manifests for line in lines[path]])
    notes = _notes_on_marks(lines, config)
    sources: list[Source] = []
    problems: list[dict[str, Any]] = []
    for path in config.data.train:
        if path in packed:
            usable, left_out = _usable_records(packed[path], config=config)
            problems += [{"manifest": path, **record} for record in left_out]
            source: Source = ShardSource(packed[path], usable, config=config)
        else:
            examples, found = examine(
                lines.pop(path),
                config=config,
                vocabulary=vocabulary,
                progress=progress,
                stage=f"reading {Path(path).name}",
                held_out=held_out,
                log=MeasurementLog(None, known=measurement_files([path])),
            )
            problems += [problem.as_record(path) for problem in found]
            source = ManifestSource(examples, config=config)
        sources.append(source)
    usable_count = sum(len(source.num_frames) for source in sources)
    share = len(problems) / max(1, usable_count + len(problems))
    if not usable_count or share > config.data.max_skipped_share:
        raise UserError(
            f"{len(problems)} of {usable_count + len(problems)} training utterances cannot be used, more than "
            f"data.max_skipped_share ({config.data.max_skipped_share:g}) allows; `speechgru check` lists all:\n"
            + summarize(problems)
        )
    for path, source in zip(config.data.train, sources, strict=True):
        if config.data.train_weights and not len(source.num_frames):
            raise UserError(f"{path}: none of its utterances can be used, and data.train_weights gives it a share")
    space_label = vocabulary.space_label if vocabulary.unit == "character" else None
    corpus = Corpus(sources, notes=notes, space_label=space_label)
    if config.data.joined_share and corpus.form != "samples":
        raise ConfigError("data.joined_share joins samples, and data.train names packed features; pack samples instead")
    return corpus, vocabulary, problems


def _notes_on_marks(lines: Mapping[str, Sequence[Utterance]], config: RunConfig) -> list[str]:
    """What is said of transcripts with marks such as <unk>, which are learnt as words."""
    marked = [
        (line, marks)
        for each in lines.values()
        for line in each
        if (marks := words_of_marks(line.text, config.text.normalize))
    ]
    if not marked or "mark" in config.check.leave_out:
        return []
    (mark, words), *_ = marked[0][1].items()
    return [
        f"{len(marked):,} training transcripts hold marks in brackets, such as {mark} of {marked[0][0].utterance_id}, "
        f"which are learnt as words ({words!r}); take them out of the text, or leave such recordings out "
        "(check.leave_out: [mark])"
    ]


def _common_vocabulary(packed: Mapping[str, Shards]) -> Vocabulary:
    """The vocabulary that shards were packed with.

    Raises:
        ConfigError: they were packed with different ones.
    """
    (first, shards), *others = packed.items()
    for path, other in others:
        if other.vocabulary != shards.vocabulary:
            unit = shards.vocabulary.unit
            raise ConfigError(
                f"{path}: was packed with the {unit}s {_shown(other.vocabulary)}, {first} with "
                f"{_shown(shards.vocabulary)}; pack them again with the same text.{unit}s"
            )
    return shards.vocabulary


def _shown(vocabulary: Vocabulary) -> str:
    return shown(("" if vocabulary.unit == "character" else " ").join(vocabulary.entries))


def _usable_records(shards: Shards, *, config: RunConfig) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The records that this configuration can use, and why it cannot use the others: its limits may be narrower."""
    seconds = shards.num_samples / config.data.sample_rate
    fastest = np.floor(shards.num_samples / (1 + config.augment.speed_share)).astype(np.int64)
    steps = lengths.num_steps(frames_of(fastest, config=config), subsampling_factor=config.model.subsampling_factor)
    is_usable = (seconds >= config.data.min_duration_seconds) & (seconds <= config.data.max_duration_seconds)
    is_usable &= steps >= np.maximum(1, shards.min_steps)
    problems = []
    for index in np.flatnonzero(~is_usable).tolist():
        record = shards.read(index)
        utterance = Utterance(record.audio_filepath, record.duration, record.text, record.speaker, record.offset)
        measurement = Measurement(num_samples=int(shards.num_samples[index]))
        text = config.text.normalize(record.text)
        problem = judge_alone(Case(utterance, text, measurement, config, shards.vocabulary)).problem
        if problem is not None:
            problems.append(problem.as_record(shards.folder))
    return np.flatnonzero(is_usable), problems
